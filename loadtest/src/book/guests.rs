//! What guests do to the group, and how long it takes: from the intended time of a change to every member who stays being
//! in an epoch that has it. Pure.
use std::collections::{BTreeMap, HashMap};
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
    /// Messages that were accepted in their room while guests were away, one for each guest. Nothing keeps them for them.
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
    pub(super) measures: BTreeMap<Measure, Latencies>,
    pub(super) guests: Guests,
    adding: HashMap<Place, Pending>,
    removing: HashMap<Place, Pending>,
    /// Since when guests are out for good.
    kicked: HashMap<Place, Duration>,
    /// What had been accepted in the room when a guest went.
    away: HashMap<Place, u64>,
}

impl Changes {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            members: scenario.members,
            measures: BTreeMap::new(),
            guests: Guests::default(),
            adding: HashMap::new(),
            removing: HashMap::new(),
            kicked: HashMap::new(),
            away: HashMap::new(),
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
            }
            Change::In { who } => {
                self.guests.entered += 1;
                let missed = self.away.remove(&who).map(|before| accepted(who) - before);
                self.guests.missed += missed.unwrap_or_default();
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
    use crate::book::{Book, Note};
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
}
