//! The books of a run: what became of every message at its sender and at every receiver. It is told what happens and
//! judges nothing; times are counted from the start of the run. Who stays is owed every message, and so are guests for whom the
//! room keeps them; other guests, who come and go, are owed none, and what they are shown is checked all the same (`guests`).
//! Pure.
mod counts;
mod guests;
mod part;
mod rows;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::latency::{Figures, Latencies};
use crate::scenario::{Place, Scenario, Shot};
pub use counts::{Deliveries, ErrorCount, Interval, Measured, Sent};
use guests::Changes;
pub use guests::{Change, Guests, Measure};
pub use part::{Part, Room, StepPart};
pub use rows::Row;
use rows::Rows;
pub(crate) use rows::length as row_length;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The sender handed a message to its device.
    Handed {
        /// The message.
        number: u64,
        /// When.
        at: Duration,
    },
    /// The relay accepted a message to the last octet.
    Accepted {
        /// The message.
        number: u64,
        /// When.
        at: Duration,
    },
    /// A message was refused or not answered.
    Failed {
        /// The message.
        number: u64,
        /// Why, for a person.
        why: String,
    },
    /// The generator itself could not hand a message over: too many of that sender waited already.
    Dropped {
        /// The message.
        number: u64,
    },
    /// A device decrypted a message and showed it.
    Heard {
        /// Where.
        receiver: Place,
        /// Who is proven to have sent it, if it is anybody of this run.
        from: Option<Place>,
        /// Which message has exactly this content; `None` if none has.
        content: Option<u64>,
        /// When.
        at: Duration,
    },
    /// A device was sent something that it could not decrypt.
    Unreadable {
        /// Where.
        receiver: Place,
        /// Why, for a person.
        why: String,
    },
    /// A seat ended while the run went on.
    Ended {
        /// Where.
        receiver: Place,
        /// Why, for a person.
        why: String,
    },
    /// A commit of a device was refused, and the next one has to do it.
    Refused,
    /// Something besides a message took so long.
    Took {
        /// What.
        what: Measure,
        /// How long.
        time: Duration,
    },
    /// A guest came, went, or failed to.
    Guest(Change),
    /// A member who stays is in an epoch with these changes of the group.
    Advanced {
        /// Where.
        receiver: Place,
        /// Who came in.
        added: Vec<Place>,
        /// Who is out.
        removed: Vec<Place>,
        /// When.
        at: Duration,
    },
}

/// Where a message stands at its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Scheduled,
    Handed,
    Accepted,
    Failed,
    Dropped,
    /// The run was ended before its time came.
    Cut,
}

/// The books.
#[derive(Debug)]
pub struct Book {
    scenario: Scenario,
    /// In the order of their numbers, which may have gaps: another generator has the others.
    shots: Vec<Shot>,
    fates: Vec<Fate>,
    /// How often each place of its room was shown each message.
    shown: Vec<u8>,
    /// The members that were shown each message at least once.
    reached: Vec<u32>,
    /// The last message of each sender that each receiver was shown, plus one.
    latest: BTreeMap<(Place, usize), u64>,
    unsettled: u64,
    /// When the run was ended before its time.
    cut_at: Option<Duration>,
    owed: u64,
    lag: Latencies,
    steps: Vec<StepPart>,
    rooms: Vec<Room>,
    rows: Rows,
    changes: Changes,
    errors: BTreeMap<&'static str, (u64, String)>,
    interval: Interval,
}

impl Book {
    /// Books in which nothing has happened yet.
    #[must_use]
    pub fn new(scenario: Scenario, shots: Vec<Shot>) -> Self {
        let changes = Changes::new(&scenario);
        Self {
            fates: vec![Fate::Scheduled; shots.len()],
            shown: vec![0; shots.len() * changes.places()],
            reached: vec![0; shots.len()],
            latest: BTreeMap::new(),
            unsettled: shots.len() as u64,
            owed: 0,
            lag: Latencies::default(),
            steps: StepPart::planned(&scenario, &shots),
            rooms: vec![Room::default(); scenario.rooms],
            rows: Rows::new(&scenario, &shots),
            changes,
            errors: BTreeMap::new(),
            cut_at: None,
            interval: Interval::default(),
            scenario,
            shots,
        }
    }

    /// Takes a note of what happened.
    pub fn note(&mut self, note: Note) {
        match note {
            Note::Handed { number, at } => self.handed(number, at),
            Note::Accepted { number, at } => self.accepted(number, at),
            Note::Failed { number, why } => {
                self.settle(number, Fate::Failed);
                self.error("sending", why);
            }
            Note::Dropped { number } => {
                self.settle(number, Fate::Dropped);
            }
            Note::Heard { receiver, from, content, at } => self.heard(receiver, from, content, at),
            Note::Unreadable { receiver, .. } if !self.changes.is_owed(receiver) => {
                self.changes.guests.unreadable += 1;
            }
            Note::Unreadable { receiver, why } => {
                self.room(receiver).deliveries.undecryptable += 1;
                self.error("decrypting", format!("{}: {why}", receiver.user()));
            }
            Note::Ended { receiver, why } => {
                self.error("seat", format!("{}: {why}", receiver.user()));
            }
            Note::Refused => self.changes.guests.commits_refused += 1,
            Note::Took { what, time } => self.changes.took(what, time),
            Note::Guest(change) => {
                if let Change::In { who } = change
                    && self.changes.is_owed(who)
                {
                    self.changes.back(who, self.unseen(who));
                }
                if let Some((what, why)) = self.changes.note(change, &self.rooms) {
                    self.error(what, why);
                }
            }
            Note::Advanced { receiver, added, removed, at } => {
                self.changes.advanced(receiver, &added, &removed, at);
            }
        }
    }

    /// Ends the run at this time of it: what has not been handed over is not sent any more.
    pub fn cut(&mut self, at: Duration) {
        self.cut_at.get_or_insert(at);
        for fate in self.fates.iter_mut().filter(|fate| **fate == Fate::Scheduled) {
            *fate = Fate::Cut;
            self.unsettled -= 1;
        }
    }

    /// Whether every message is settled and has reached everyone it had to.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.unsettled == 0 && self.owed == 0
    }

    /// What became of the messages at their senders.
    #[must_use]
    pub fn sent(&self) -> Sent {
        let count = |fate| self.fates.iter().filter(|is| **is == fate).count() as u64;
        let (accepted, failed, unanswered) =
            (count(Fate::Accepted), count(Fate::Failed), count(Fate::Handed));
        Sent {
            scheduled: self.shots.len() as u64,
            sent: accepted + failed + unanswered,
            accepted,
            failed,
            dropped: count(Fate::Dropped),
            unanswered,
            cut: count(Fate::Cut),
        }
    }

    /// What became of the messages at their receivers. What is owed now counts as lost.
    #[must_use]
    pub fn deliveries(&self) -> Deliveries {
        Room::sum(&self.settled_rooms())
    }

    /// From the intended start of each measured message to each receiver having decrypted it.
    #[must_use]
    pub fn latency(&self) -> Figures {
        part::whole(&self.steps).figures()
    }

    /// From the intended start of each measured message to its being handed to the sender's device.
    #[must_use]
    pub fn lag(&self) -> Figures {
        self.lag.figures()
    }

    /// Each step of the load so far.
    #[must_use]
    pub fn steps(&self) -> &[StepPart] {
        &self.steps
    }

    /// What failed, by kind.
    #[must_use]
    pub fn errors(&self) -> Vec<ErrorCount> {
        let kinds = self.errors.iter();
        let error = |(what, (count, first)): (&&'static str, &(u64, String))| ErrorCount {
            what: (*what).to_owned(),
            count: *count,
            first: first.clone(),
        };
        kinds.map(error).collect()
    }

    /// What happened since this was last asked.
    pub fn interval(&mut self) -> Interval {
        let errors = self.errors.values().map(|(count, _)| count).sum();
        Interval { owed: self.owed, errors, ..std::mem::take(&mut self.interval) }
    }

    /// Everything that is in the books, to be reported or added to those of other generators.
    #[must_use]
    pub fn part(&self) -> Part {
        Part {
            messages: self.sent(),
            rooms: self.settled_rooms(),
            steps: self.steps.clone(),
            lag: self.lag.clone(),
            rows: self.rows.rows().to_vec(),
            row: self.rows.length(),
            measures: self.changes.measures.clone(),
            guests: self.changes.guests,
            errors: self.errors(),
            cut_at: self.cut_at,
        }
    }

    /// What is owed in each room is lost there.
    fn settled_rooms(&self) -> Vec<Room> {
        let mut rooms = self.rooms.clone();
        for (slot, shot) in self.shots.iter().enumerate() {
            if self.fates.get(slot) == Some(&Fate::Accepted)
                && let Some(room) = rooms.get_mut(shot.sender.room)
            {
                let reached = u64::from(self.reached.get(slot).copied().unwrap_or_default());
                room.deliveries.expected += self.others();
                room.deliveries.delivered += reached;
                room.deliveries.lost += self.others() - reached;
            }
        }
        rooms
    }

    fn handed(&mut self, number: u64, at: Duration) {
        let Some((slot, shot)) = self.shot(number) else { return };
        if let Some(fate @ Fate::Scheduled) = self.fates.get_mut(slot) {
            *fate = Fate::Handed;
            self.interval.sent += 1;
            self.rows.at(at).sent += 1;
            let lag = at.saturating_sub(shot.at);
            if shot.measured && !self.scenario.closed {
                self.lag.record(lag);
                self.interval.lag.record(lag);
                if let Some(step) = self.steps.get_mut(shot.step) {
                    step.lag.record(lag);
                }
            }
            // Who waits for answers sends later, and measures from then.
            if self.scenario.closed
                && let Some(shot) = self.shots.get_mut(slot)
            {
                shot.at = at;
            }
        }
    }

    fn accepted(&mut self, number: u64, at: Duration) {
        let Some((slot, shot)) = self.settle(number, Fate::Accepted) else { return };
        let reached = self.reached.get(slot).copied().unwrap_or_default();
        self.owed += self.others() - u64::from(reached);
        self.interval.accepted += 1;
        self.rows.at(at).accepted += 1;
        self.room(shot.sender).accepted += 1;
        if shot.measured
            && let Some(step) = self.steps.get_mut(shot.step)
        {
            step.counts.accepted += 1;
            step.counts.accepted_last = step.counts.accepted_last.max(at);
        }
    }

    /// A message is settled once.
    fn settle(&mut self, number: u64, fate: Fate) -> Option<(usize, Shot)> {
        let (slot, shot) = self.shot(number)?;
        let known = self.fates.get_mut(slot)?;
        if !matches!(known, Fate::Scheduled | Fate::Handed) {
            return None;
        }
        *known = fate;
        self.unsettled -= 1;
        Some((slot, shot))
    }

    fn heard(&mut self, receiver: Place, from: Option<Place>, content: Option<u64>, at: Duration) {
        self.interval.heard += 1;
        self.rows.at(at).heard += 1;
        let Some((slot, shot)) = content.and_then(|number| self.shot(number)) else {
            self.room(receiver).deliveries.corrupt += 1;
            return;
        };
        let at_home = receiver.room == shot.sender.room && receiver != shot.sender;
        if !at_home || from != Some(shot.sender) {
            self.room(receiver).deliveries.misdelivered += 1;
            return;
        }
        if !self.changes.is_owed(receiver) {
            if self.changes.shown(receiver, shot.at) {
                self.room(receiver).deliveries.leaked += 1;
            }
            return;
        }
        let Some(shown) = self.shown.get_mut(slot * self.changes.places() + receiver.member) else {
            return;
        };
        *shown = shown.saturating_add(1);
        if *shown > 1 {
            self.room(receiver).deliveries.duplicated += 1;
            return;
        }
        let latest = self.latest.entry((receiver, shot.sender.member)).or_default();
        let overtaken = *latest > shot.number;
        *latest = (*latest).max(shot.number + 1);
        self.room(receiver).deliveries.reordered += u64::from(overtaken);
        self.arrived(slot, &shot, receiver, at);
    }

    fn arrived(&mut self, slot: usize, shot: &Shot, receiver: Place, at: Duration) {
        if let Some(reached) = self.reached.get_mut(slot) {
            *reached += 1;
        }
        if self.fates.get(slot) == Some(&Fate::Accepted) {
            self.owed -= 1;
        }
        // How long a guest was away is no latency.
        let stays = receiver.member < self.scenario.members;
        if !stays {
            self.changes.received(receiver, shot.number, at);
        }
        if shot.measured {
            let latency = stays.then(|| at.saturating_sub(shot.at));
            if let Some(latency) = latency {
                self.interval.latency.record(latency);
                self.rows.at(shot.at).latency.record(latency);
            }
            if let Some(step) = self.steps.get_mut(shot.step) {
                latency.into_iter().for_each(|latency| step.latency.record(latency));
                step.counts.delivered += 1;
            }
        }
    }

    fn error(&mut self, what: &'static str, why: String) {
        self.errors.entry(what).or_insert((0, why)).0 += 1;
    }

    fn shot(&self, number: u64) -> Option<(usize, Shot)> {
        let slot = self.shots.binary_search_by_key(&number, |shot| shot.number).ok()?;
        Some((slot, *self.shots.get(slot)?))
    }

    fn room(&mut self, place: Place) -> &mut Room {
        self.rooms
            .get_mut(place.room)
            .expect("whoever hears something sits in a room of the scenario")
    }

    /// What was accepted in somebody's room and not shown to them.
    fn unseen(&self, who: Place) -> HashSet<u64> {
        let places = self.changes.places();
        let is = |(slot, shot): &(usize, &Shot)| {
            shot.sender.room == who.room
                && self.fates.get(*slot) == Some(&Fate::Accepted)
                && self.shown.get(slot * places + who.member) == Some(&0)
        };
        self.shots.iter().enumerate().filter(is).map(|(_, shot)| shot.number).collect()
    }

    /// How many a message has to reach.
    fn others(&self) -> u64 {
        self.changes.owed() - 1
    }
}

#[cfg(test)]
mod tests;
