//! What one generator's books come to, and how those of several add up: counts are summed, histograms are merged value by
//! value, nothing is averaged. A room belongs to one generator, so that a delivery is timed by one clock. Pure.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::guests::{Guests, Measure};
use super::rows::Row;
use super::{Deliveries, ErrorCount, Measured, Sent};
use crate::latency::Latencies;
use crate::scenario::{Level, Scenario, Shot};

/// What one generator's books come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// At the senders.
    pub messages: Sent,
    /// At the receivers, room by room.
    pub rooms: Vec<Room>,
    /// Measured messages, step by step.
    pub steps: Vec<StepPart>,
    /// The generator's lag.
    pub lag: Latencies,
    /// Over time.
    pub rows: Vec<Row>,
    /// The length of a row.
    pub row: Duration,
    /// What else was measured.
    pub measures: BTreeMap<Measure, Latencies>,
    /// The guests.
    pub guests: Guests,
    /// What failed, by kind.
    pub errors: Vec<ErrorCount>,
    /// When the run was ended before its time.
    #[serde(default)]
    pub cut_at: Option<Duration>,
}

/// One room's deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Messages accepted.
    pub accepted: u64,
    /// At everyone else in it.
    pub deliveries: Deliveries,
}

/// Measured messages of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepPart {
    /// Counts.
    pub counts: Measured,
    /// From intended start to decrypted.
    pub latency: Latencies,
    /// From intended start to handed over.
    pub lag: Latencies,
}

impl StepPart {
    pub(super) fn planned(scenario: &Scenario, shots: &[Shot]) -> Vec<Self> {
        let steps = usize::try_from(scenario.steps()).unwrap_or(1);
        let mut steps = vec![Self::default(); steps];
        for shot in shots.iter().filter(|shot| shot.measured) {
            if let Some(step) = steps.get_mut(shot.step) {
                step.counts.scheduled += 1;
            }
        }
        steps
    }

    fn add(&mut self, other: &Self) {
        let (counts, more) = (&mut self.counts, &other.counts);
        counts.scheduled += more.scheduled;
        counts.accepted += more.accepted;
        counts.accepted_last = counts.accepted_last.max(more.accepted_last);
        counts.delivered += more.delivered;
        self.latency.add(&other.latency);
        self.lag.add(&other.lag);
    }
}

impl Room {
    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.deliveries.add(&other.deliveries);
    }

    /// All rooms together.
    #[must_use]
    pub fn sum(rooms: &[Self]) -> Deliveries {
        let mut all = Deliveries::default();
        rooms.iter().for_each(|room| all.add(&room.deliveries));
        all
    }
}

impl Deliveries {
    /// Whether everything arrived as it should in a room of this level.
    #[must_use]
    pub fn is_clean(&self, level: Level) -> bool {
        let faults =
            [self.lost, self.duplicated, self.corrupt, self.misdelivered, self.disordered(level)];
        faults.iter().all(|count| *count == 0) && self.undecryptable == 0 && self.leaked == 0
    }

    /// Messages out of order where nothing could have put them so but a server: in a sealed room one that was refused because
    /// the key changed is sealed again, and comes later.
    #[must_use]
    pub fn disordered(&self, level: Level) -> u64 {
        match level {
            Level::Open => self.reordered,
            Level::Sealed => 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.corrupt += other.corrupt;
        self.misdelivered += other.misdelivered;
        self.reordered += other.reordered;
        self.undecryptable += other.undecryptable;
        self.leaked += other.leaked;
    }
}

impl Guests {
    fn add(&mut self, other: &Self) {
        self.entered += other.entered;
        self.went += other.went;
        self.kicked += other.kicked;
        self.seats_lost += other.seats_lost;
        self.heard += other.heard;
        self.unreadable += other.unreadable;
        self.commits_refused += other.commits_refused;
        self.missed += other.missed;
    }
}

impl Sent {
    fn add(&mut self, other: &Self) {
        self.scheduled += other.scheduled;
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.failed += other.failed;
        self.dropped += other.dropped;
        self.unanswered += other.unanswered;
        self.cut += other.cut;
    }
}

/// The latencies of all steps together.
pub(super) fn whole(steps: &[StepPart]) -> Latencies {
    let mut all = Latencies::default();
    steps.iter().for_each(|step| all.add(&step.latency));
    all
}

impl Part {
    /// The latencies of all steps together.
    #[must_use]
    pub fn latency(&self) -> Latencies {
        whole(&self.steps)
    }

    /// Takes over another generator's books of the same scenario.
    pub fn add(&mut self, other: Self) {
        self.messages.add(&other.messages);
        self.guests.add(&other.guests);
        self.lag.add(&other.lag);
        self.rooms.resize_with(self.rooms.len().max(other.rooms.len()), Room::default);
        self.steps.resize_with(self.steps.len().max(other.steps.len()), StepPart::default);
        self.rows.resize_with(self.rows.len().max(other.rows.len()), Row::default);
        self.rooms.iter_mut().zip(&other.rooms).for_each(|(ours, theirs)| ours.add(theirs));
        self.steps.iter_mut().zip(&other.steps).for_each(|(ours, theirs)| ours.add(theirs));
        self.rows.iter_mut().zip(&other.rows).for_each(|(ours, theirs)| ours.add(theirs));
        for (what, latencies) in &other.measures {
            self.measures.entry(*what).or_default().add(latencies);
        }
        self.cut_at = self.cut_at.max(other.cut_at);
        for error in other.errors {
            match self.errors.iter_mut().find(|known| known.what == error.what) {
                Some(known) => known.count += error.count,
                None => self.errors.push(error),
            }
        }
    }
}
