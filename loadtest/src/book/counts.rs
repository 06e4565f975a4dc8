//! What books count. Pure.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency::Latencies;

/// What became of the messages at their senders, over the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Never due: the run was ended before.
    pub cut: u64,
}

/// What became of the messages at their receivers, over the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Messages shown to somebody who had been removed before they were meant to be sent.
    pub leaked: u64,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// What failed.
    pub what: String,
    /// How often.
    pub count: u64,
    /// The first of them, in words.
    pub first: String,
}

/// What happened since the last time it was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// How long that is; the book does not know.
    pub time: Duration,
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
    pub latency: Latencies,
    /// The generator's lag in this interval.
    pub lag: Latencies,
}

impl Interval {
    /// Takes over what happened elsewhere; what is owed there and what failed so far is for the caller to sum.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.heard += other.heard;
        self.latency.add(&other.latency);
        self.lag.add(&other.lag);
    }
}

/// Counts over measured messages only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
