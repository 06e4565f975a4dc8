//! What guests do to the group, and how long it takes: from the intended time of a change to every member who stays being
//! in an epoch that has it. Pure.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Room;
use crate::latency::Latencies;
use crate::scenario::{Place, Scenario};

/// What is measured besides the latency of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// A device starts: its certificate and KeyPackages (HTTPS) and its registration (SIP).
    Start,
    /// From the INVITE to the seat being taken over MSRP.
    Seat,
    /// From the seat to the group key.
    Key,
    /// From the time a guest is meant to come in, or to come back, to its holding the group key.
    Enter,
    /// From the time a guest is meant to come back to its having every message that had been accepted when it was back.
    CatchUp,
    /// From asking for somebody's removal to the focus having accepted it.
    Kick,
    /// From the intended time of a change of the group to a member who stays being in an epoch with it.
    Epoch,
}

impl Measure {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Seat => "seat",
            Self::Key => "key",
            Self::Enter => "enter",
            Self::CatchUp => "catchup",
            Self::Kick => "kick",
            Self::Epoch => "epoch",
        }
    }
}

/// A guest came, went, or failed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is about to come in: the group will change.
    Coming {
        /// Who.
        who: Place,
        /// When it was meant to.
        meant: Duration,
    },
    /// It is in and holds the key.
    In {
        /// Who.
        who: Place,
    },
    /// It is about to go. Where that changes the group, from when.
    Going {
        /// Who.
        who: Place,
        /// When it was meant to, if the group changes.
        meant: Option<Duration>,
    },
    /// Its removal was accepted.
    Kicked {
        /// Who.
        who: Place,
        /// When.
        at: Duration,
    },
    /// Its seat ended although it did not go.
    Lost {
        /// Who.
        who: Place,
    },
    /// It could not do what it was meant to.
    Failed {
        /// What.
        what: &'static str,
        /// Why, for a person.
        why: String,
    },
}

/// What became of the guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guests {
    /// Times that somebody came in or came back.
    pub entered: u64,
    /// Times that somebody went, of their own accord or not.
    pub went: u64,
    /// Of these, removals.
    pub kicked: u64,
    /// Seats that ended although their guest did not go: who does not read is cut off.
    pub seats_lost: u64,
    /// Messages guests were shown.
    pub heard: u64,
    /// What guests were sent and could not open: sealed before they came, or after they went.
    pub unreadable: u64,
    /// Commits that the focus refused because another one came first or because they left somebody in.
    pub commits_refused: u64,
    /// Messages that were accepted in their room while guests were away, one for each guest, and
    /// nothing kept them for them.
    pub missed: u64,
}

/// A change of the group that has been started.
#[derive(Clone, Copy, Debug)]
struct Pending {
    meant: Duration,
    /// Members who stay that have not followed yet.
    left: usize,
}

#[derive(Debug)]
pub(super) struct Changes {
    members: usize,
    /// By their places in a room, who is owed every message.
    owed: Vec<bool>,
    pub(super) measures: BTreeMap<Measure, Latencies>,
    pub(super) guests: Guests,
    adding: HashMap<Place, Pending>,
    removing: HashMap<Place, Pending>,
    /// Since when guests are out for good.
    kicked: HashMap<Place, Duration>,
    /// What had been accepted in the room when a guest went.
    away: HashMap<Place, u64>,
    /// When guests were meant to come who are not in yet.
    coming: HashMap<Place, Duration>,
    /// Messages that guests who came back are still owed.
    backlogs: HashMap<Place, Backlog>,
}

/// What a guest who came back is still owed of what it missed.
#[derive(Debug)]
struct Backlog {
    meant: Duration,
    numbers: HashSet<u64>,
}

impl Changes {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            members: scenario.members,
            owed: scenario.owed(),
            measures: BTreeMap::new(),
            guests: Guests::default(),
            adding: HashMap::new(),
            removing: HashMap::new(),
            kicked: HashMap::new(),
            away: HashMap::new(),
            coming: HashMap::new(),
            backlogs: HashMap::new(),
        }
    }

    pub(super) fn took(&mut self, what: Measure, time: Duration) {
        self.measures.entry(what).or_default().record(time);
    }

    /// What failed, if something did.
    pub(super) fn note(
        &mut self,
        change: Change,
        rooms: &[Room],
    ) -> Option<(&'static str, String)> {
        let accepted = |who: Place| rooms.get(who.room).map_or(0, |room| room.accepted);
        let left = self.members;
        match change {
            Change::Coming { who, meant } => {
                self.kicked.remove(&who);
                self.adding.insert(who, Pending { meant, left });
                self.coming.insert(who, meant);
            }
            Change::In { who } => {
                self.guests.entered += 1;
                self.coming.remove(&who);
                let missed = self.away.remove(&who).map(|before| accepted(who) - before);
                if !self.is_owed(who) {
                    self.guests.missed += missed.unwrap_or_default();
                }
            }
            Change::Going { who, meant } => {
                self.guests.went += 1;
                self.away.insert(who, accepted(who));
                if let Some(meant) = meant {
                    self.removing.insert(who, Pending { meant, left });
                }
            }
            Change::Kicked { who, at } => {
                self.guests.kicked += 1;
                self.kicked.insert(who, at);
            }
            Change::Lost { .. } => self.guests.seats_lost += 1,
            Change::Failed { what, why } => return Some((what, why)),
        }
        None
    }

    /// Whether who sits there is to get every message.
    pub(super) fn is_owed(&self, who: Place) -> bool {
        self.owed.get(who.member).copied().unwrap_or_default()
    }

    /// How many in a room are.
    pub(super) fn owed(&self) -> u64 {
        self.owed.iter().filter(|owed| **owed).count() as u64
    }

    /// Places in a room up to the last who is owed something.
    pub(super) fn places(&self) -> usize {
        self.owed.iter().rposition(|owed| *owed).map_or(0, |last| last + 1)
    }

    /// A guest is back, and these messages have been accepted that it was not shown.
    pub(super) fn back(&mut self, who: Place, numbers: HashSet<u64>) {
        if let Some(meant) = self.coming.remove(&who)
            && !numbers.is_empty()
        {
            self.backlogs.insert(who, Backlog { meant, numbers });
        }
    }

    /// A guest who is owed everything was shown a message for the first time.
    pub(super) fn received(&mut self, who: Place, number: u64, at: Duration) {
        self.guests.heard += 1;
        let Some(backlog) = self.backlogs.get_mut(&who) else { return };
        backlog.numbers.remove(&number);
        if backlog.numbers.is_empty() {
            let time = at.saturating_sub(backlog.meant);
            self.backlogs.remove(&who);
            self.took(Measure::CatchUp, time);
        }
    }

    /// A guest was shown a message that was meant for `meant`. Whether it may not have been.
    pub(super) fn shown(&mut self, who: Place, meant: Duration) -> bool {
        self.guests.heard += 1;
        self.kicked.get(&who).is_some_and(|since| meant > *since)
    }

    /// A member follows. An external commit adds and removes the same device: that is one change, a coming.
    pub(super) fn advanced(
        &mut self,
        receiver: Place,
        added: &[Place],
        removed: &[Place],
        at: Duration,
    ) {
        if receiver.member >= self.members {
            return;
        }
        let Self { measures, adding, removing, .. } = self;
        let sides = [(adding, added), (removing, removed)];
        for (pending, places) in sides {
            for place in places {
                let Some(change) = pending.get_mut(place) else { continue };
                let time = at.saturating_sub(change.meant);
                measures.entry(Measure::Epoch).or_default().record(time);
                change.left = change.left.saturating_sub(1);
                if change.left == 0 {
                    pending.remove(place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acts::tests::act;
    use crate::acts::{Act, What};
    use crate::book::{Book, Note};
    use crate::scenario::Acknowledge;
    use crate::scenario::tests::scenario;

    const SEC: Duration = Duration::from_secs(1);
    const GUEST: Place = Place { room: 0, member: 3 };

    fn book(notes: impl IntoIterator<Item = Note>) -> Book {
        let mut book = Book::new(scenario(), scenario().schedule().unwrap());
        notes.into_iter().for_each(|note| book.note(note));
        book
    }

    fn heard(number: usize) -> Note {
        let shot = scenario().schedule().unwrap()[number];
        Note::Heard {
            receiver: GUEST,
            from: Some(shot.sender),
            content: Some(shot.number),
            at: 9 * SEC,
        }
    }

    #[test]
    fn a_change_is_measured_at_each_member_who_stays_from_its_intended_time() {
        let advanced = |member, at| Note::Advanced {
            receiver: Place { room: 0, member },
            added: vec![],
            removed: vec![GUEST],
            at,
        };
        let book = book([
            Note::Guest(Change::Going { who: GUEST, meant: Some(2 * SEC) }),
            advanced(0, 3 * SEC),
            advanced(1, 4 * SEC),
            advanced(2, 5 * SEC),
            advanced(3, 8 * SEC),
            advanced(0, 9 * SEC),
        ]);

        let epoch = book.part().measures[&Measure::Epoch].figures();
        assert_eq!(
            epoch.count, 3,
            "a fourth is no member who stays, and the first does not count twice"
        );
        assert!(epoch.max.abs_diff(3_000_000) < 3000, "{epoch:?}");
    }

    #[test]
    fn what_somebody_removed_is_shown_afterwards_is_a_leak_and_before_is_not() {
        // Messages 100 and 700 are meant for 1 s and 7 s; room 0 has the even ones.
        let kicked = Note::Guest(Change::Kicked { who: GUEST, at: 5 * SEC });
        let leaked = |notes: Vec<Note>| book(notes).deliveries().leaked;

        assert_eq!(leaked(vec![kicked.clone(), heard(100)]), 0, "sent before, shown late");
        assert_eq!(leaked(vec![kicked.clone(), heard(700)]), 1);
        let back = Note::Guest(Change::Coming { who: GUEST, meant: 6 * SEC });
        assert_eq!(leaked(vec![kicked, back, heard(700)]), 0);
    }

    #[test]
    fn guests_are_owed_nothing_and_what_they_are_shown_is_checked() {
        let wrong = Note::Heard { receiver: GUEST, from: None, content: Some(0), at: SEC };
        let nobodys = Note::Heard { receiver: GUEST, from: None, content: None, at: SEC };
        let unreadable = Note::Unreadable { receiver: GUEST, why: String::new() };
        let book = book([heard(0), wrong, nobodys, unreadable]);

        let counts = book.deliveries();
        assert_eq!(
            (counts.expected, counts.misdelivered, counts.corrupt, counts.undecryptable),
            (0, 1, 1, 0)
        );
        assert_eq!((book.part().guests.heard, book.part().guests.unreadable), (1, 1));
    }

    #[test]
    fn what_is_accepted_while_a_guest_is_away_is_missed() {
        let accepted = |number| Note::Accepted { number, at: SEC };
        let book = book([
            accepted(0),
            Note::Guest(Change::Going { who: GUEST, meant: None }),
            accepted(2),
            accepted(3),
            accepted(4),
            Note::Guest(Change::In { who: GUEST }),
            accepted(6),
        ]);

        assert_eq!(book.part().guests.missed, 2, "3 is in another room");
    }

    /// Two guests for whom the room keeps everything sit behind its three members.
    fn kept() -> Scenario {
        let away = Act { back: Some(SEC), ..act(What::Away, 2) };
        Scenario { acts: vec![away], acknowledge: Acknowledge::Stored, ..scenario() }
    }

    /// Messages 0 and 2 are of room 0; the first is shown to everybody before a guest goes, the second while it is away.
    fn one_is_away() -> Book {
        let shots = kept().schedule().unwrap();
        let mut book = Book::new(kept(), shots.clone());
        let room = (0..5).map(|member| Place { room: 0, member });
        let others = |number: usize| {
            let sender = shots[number].sender;
            room.clone().filter(move |place| *place != sender)
        };
        let shown = |number: usize, receiver| Note::Heard {
            receiver,
            from: Some(shots[number].sender),
            content: Some(number as u64),
            at: SEC,
        };
        let first = others(0).map(|receiver| shown(0, receiver));
        let second = others(2).filter(|place| *place != GUEST).map(|receiver| shown(2, receiver));
        let accepted = |number| Note::Accepted { number, at: SEC };
        let going = Note::Guest(Change::Going { who: GUEST, meant: None });
        let notes = first.chain([accepted(0), going, accepted(2)]).chain(second);
        notes.for_each(|note| book.note(note));
        book
    }

    fn second_shown(at: Duration) -> Note {
        let shot = kept().schedule().unwrap()[2];
        Note::Heard { receiver: GUEST, from: Some(shot.sender), content: Some(2), at }
    }

    #[test]
    fn what_is_kept_for_a_guest_is_owed_to_it_and_not_shown_it_is_lost() {
        let mut book = one_is_away();

        assert_eq!((book.deliveries().expected, book.deliveries().lost), (8, 1));
        book.note(Note::Guest(Change::Coming { who: GUEST, meant: 2 * SEC }));
        book.note(Note::Guest(Change::In { who: GUEST }));
        book.note(second_shown(5 * SEC));
        assert_eq!((book.deliveries().delivered, book.deliveries().lost), (8, 0));
        assert_eq!(book.part().guests.missed, 0);
        book.note(second_shown(6 * SEC));
        assert_eq!(book.deliveries().duplicated, 1);
        let unreadable = Note::Unreadable { receiver: GUEST, why: String::new() };
        book.note(unreadable);
        assert_eq!(book.deliveries().undecryptable, 1);
    }

    #[test]
    fn a_guest_has_caught_up_with_the_last_of_what_was_kept_from_the_time_it_was_to_come_back() {
        let mut book = one_is_away();
        book.note(Note::Guest(Change::Coming { who: GUEST, meant: 2 * SEC }));
        book.note(Note::Guest(Change::In { who: GUEST }));

        assert!(!book.part().measures.contains_key(&Measure::CatchUp));
        book.note(second_shown(5 * SEC));

        let caught = book.part().measures[&Measure::CatchUp].figures();
        assert_eq!(caught.count, 1);
        assert!(caught.max.abs_diff(3_000_000) < 3000, "{caught:?}");
        // Of messages to those who stay one has been measured, and what the guest was shown late is none of it.
        assert!(book.latency().max < 1_000_000, "{:?}", book.latency());
    }
}
