//! The only place that reads a clock. Everything else takes `now` as an argument, so that tests and simulations
//! decide what time it is.
use std::time::{Instant, SystemTime};

/// The time for measuring and waiting. It never goes back.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day, for certificates, records and log entries. It may jump.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
