//! Virtual time: how long the world has run, by both clocks. It begins in the present, for openmls compares the
//! lifetimes of KeyPackages with the system clock, and a run must stay within their margin of an hour.
use std::time::{Duration, Instant, SystemTime};

use client::session::Now;

/// Where virtual time begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    instant: Instant,
    wall: SystemTime,
    /// How long the world has run.
    pub(crate) elapsed: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let (instant, wall) = (service::clock::now(), service::clock::wall());
        Self { instant, wall, elapsed: Duration::ZERO }
    }

    pub(crate) fn now(&self) -> Now {
        Now { instant: self.instant(), wall: self.wall() }
    }

    pub(crate) fn instant(&self) -> Instant {
        self.instant + self.elapsed
    }

    pub(crate) fn wall(&self) -> SystemTime {
        self.wall + self.elapsed
    }

    /// How much of the run is over at this moment.
    pub(crate) fn of_instant(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.instant)
    }

    /// The same by the other clock. The conference counts whole milliseconds, so it may be asked a moment early.
    pub(crate) fn of_wall(&self, at: SystemTime) -> Duration {
        at.duration_since(self.wall).unwrap_or_default() + Duration::from_millis(1)
    }
}
