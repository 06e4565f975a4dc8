//! The books of a run: what became of every message at its sender and at every receiver. It is told what happens and
//! judges nothing; times are counted from the start of the run. Pure.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::latency::{Figures, Latencies};
use crate::scenario::{Place, Scenario, Shot};

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
}

/// What became of the messages at their senders, over the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Messages of the schedule.
    pub scheduled: u64,
    /// Handed to a device.
    pub sent: u64,
    /// Accepted by the relay.
    pub accepted: u64,
    /// Refused, or not answered within the time of a transaction.
    pub failed: u64,
    /// Not handed over: the generator was the bottleneck.
    pub dropped: u64,
    /// Without an answer when the run was given up.
    pub unanswered: u64,
}

/// What became of the messages at their receivers, over the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deliveries {
    /// Arrivals that had to happen: every accepted message at everyone else in its room.
    pub expected: u64,
    /// Those that did, decrypted and octet for octet as sent.
    pub delivered: u64,
    /// Those that did not.
    pub lost: u64,
    /// Messages shown again to somebody who had them.
    pub duplicated: u64,
    /// Messages shown with content that nobody sent.
    pub corrupt: u64,
    /// Messages shown in another room, to their own author, or in another's name.
    pub misdelivered: u64,
    /// Messages shown after a later one of the same sender.
    pub reordered: u64,
    /// What arrived and could not be decrypted.
    pub undecryptable: u64,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorCount {
    /// What failed.
    pub what: &'static str,
    /// How often.
    pub count: u64,
    /// The first of them, in words.
    pub first: String,
}

/// What happened since the last time it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Messages handed over.
    pub sent: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Arrivals.
    pub heard: u64,
    /// Arrivals still owed, of all messages accepted so far.
    pub owed: u64,
    /// Errors so far.
    pub errors: u64,
    /// Latencies of this interval.
    pub latency: Figures,
}

/// Where a message stands at its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Scheduled,
    Handed,
    Accepted,
    Failed,
    Dropped,
}

/// The books.
#[derive(Debug)]
pub struct Book {
    scenario: Scenario,
    shots: Vec<Shot>,
    fates: Vec<Fate>,
    /// How often each member of its room was shown each message.
    shown: Vec<u8>,
    /// The members that were shown each message at least once.
    reached: Vec<u32>,
    /// The last message of each sender that each receiver was shown, plus one.
    latest: BTreeMap<(Place, usize), u64>,
    unsettled: u64,
    owed: u64,
    deliveries: Deliveries,
    latency: Latencies,
    lag: Latencies,
    measured: Measured,
    errors: BTreeMap<&'static str, (u64, String)>,
    interval: Interval,
    interval_latency: Latencies,
}

/// Counts over measured messages only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Messages of the schedule.
    pub scheduled: u64,
    /// Accepted by the relay.
    pub accepted: u64,
    /// When the last of them was accepted.
    pub accepted_last: Duration,
    /// Arrivals.
    pub delivered: u64,
}

impl Book {
    /// Books in which nothing has happened yet.
    #[must_use]
    pub fn new(scenario: Scenario, shots: Vec<Shot>) -> Self {
        let scheduled = shots.iter().filter(|shot| shot.measured).count() as u64;
        Self {
            scenario,
            fates: vec![Fate::Scheduled; shots.len()],
            shown: vec![0; shots.len() * scenario.members],
            reached: vec![0; shots.len()],
            latest: BTreeMap::new(),
            unsettled: shots.len() as u64,
            owed: 0,
            deliveries: Deliveries::default(),
            latency: Latencies::default(),
            lag: Latencies::default(),
            measured: Measured { scheduled, ..Measured::default() },
            errors: BTreeMap::new(),
            interval: Interval::default(),
            interval_latency: Latencies::default(),
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
            Note::Unreadable { receiver, why } => {
                self.deliveries.undecryptable += 1;
                self.error("decrypting", format!("{}: {why}", receiver.user()));
            }
            Note::Ended { receiver, why } => {
                self.error("seat", format!("{}: {why}", receiver.user()));
            }
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
        }
    }

    /// What became of the messages at their receivers. What is owed now counts as lost.
    #[must_use]
    pub fn deliveries(&self) -> Deliveries {
        let expected = self.sent().accepted * self.others();
        Deliveries { expected, delivered: expected - self.owed, lost: self.owed, ..self.deliveries }
    }

    /// From the intended start of each measured message to each receiver having decrypted it.
    #[must_use]
    pub fn latency(&self) -> Figures {
        self.latency.figures()
    }

    /// From the intended start of each measured message to its being handed to the sender's device.
    #[must_use]
    pub fn lag(&self) -> Figures {
        self.lag.figures()
    }

    /// Counts over measured messages.
    #[must_use]
    pub fn measured(&self) -> Measured {
        self.measured
    }

    /// What failed, by kind.
    #[must_use]
    pub fn errors(&self) -> Vec<ErrorCount> {
        let kinds = self.errors.iter();
        kinds
            .map(|(what, (count, first))| ErrorCount { what, count: *count, first: first.clone() })
            .collect()
    }

    /// What happened since this was last asked.
    pub fn interval(&mut self) -> Interval {
        let latency = self.interval_latency.figures();
        self.interval_latency.clear();
        let errors = self.errors.values().map(|(count, _)| count).sum();
        Interval { owed: self.owed, errors, latency, ..std::mem::take(&mut self.interval) }
    }

    fn handed(&mut self, number: u64, at: Duration) {
        let Some((slot, shot)) = self.shot(number) else { return };
        if let Some(fate @ Fate::Scheduled) = self.fates.get_mut(slot) {
            *fate = Fate::Handed;
            self.interval.sent += 1;
            if shot.measured {
                self.lag.record(at.saturating_sub(shot.at));
            }
        }
    }

    fn accepted(&mut self, number: u64, at: Duration) {
        let Some((slot, shot)) = self.settle(number, Fate::Accepted) else { return };
        let reached = self.reached.get(slot).copied().unwrap_or_default();
        self.owed += self.others() - u64::from(reached);
        self.interval.accepted += 1;
        if shot.measured {
            self.measured.accepted += 1;
            self.measured.accepted_last = self.measured.accepted_last.max(at);
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
        let Some((slot, shot)) = content.and_then(|number| self.shot(number)) else {
            self.deliveries.corrupt += 1;
            return;
        };
        let at_home = receiver.room == shot.sender.room && receiver != shot.sender;
        if !at_home || from != Some(shot.sender) {
            self.deliveries.misdelivered += 1;
            return;
        }
        let Some(shown) = self.shown.get_mut(slot * self.scenario.members + receiver.member) else {
            return;
        };
        *shown = shown.saturating_add(1);
        if *shown > 1 {
            self.deliveries.duplicated += 1;
            return;
        }
        let latest = self.latest.entry((receiver, shot.sender.member)).or_default();
        if *latest > shot.number {
            self.deliveries.reordered += 1;
        }
        *latest = (*latest).max(shot.number + 1);
        self.arrived(slot, &shot, at);
    }

    fn arrived(&mut self, slot: usize, shot: &Shot, at: Duration) {
        if let Some(reached) = self.reached.get_mut(slot) {
            *reached += 1;
        }
        if self.fates.get(slot) == Some(&Fate::Accepted) {
            self.owed -= 1;
        }
        if shot.measured {
            let latency = at.saturating_sub(shot.at);
            self.latency.record(latency);
            self.interval_latency.record(latency);
            self.measured.delivered += 1;
        }
    }

    fn error(&mut self, what: &'static str, why: String) {
        self.errors.entry(what).or_insert((0, why)).0 += 1;
    }

    fn shot(&self, number: u64) -> Option<(usize, Shot)> {
        let slot = usize::try_from(number).ok()?;
        Some((slot, *self.shots.get(slot)?))
    }

    /// How many a message has to reach.
    fn others(&self) -> u64 {
        self.scenario.members as u64 - 1
    }
}

#[cfg(test)]
mod tests;
