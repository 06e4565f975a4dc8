//! A run over time, in rows of one length. Messages count in the row in which something became of them; a latency counts in
//! the row for which its message was meant, so that a stall shows where it began. Pure.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency::Latencies;
use crate::scenario::{Scenario, Shot};

/// Rows of a run, at most.
const ROWS: u32 = 120;
/// What happens after the last message is waited for: rows kept for it.
const ROWS_AFTER: usize = 240;
const ROW_MIN: Duration = Duration::from_millis(100);

/// What happened in one row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Messages meant for it.
    pub offered: u64,
    /// Messages handed over.
    pub sent: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Arrivals.
    pub heard: u64,
    /// Latencies of the measured messages meant for it.
    pub latency: Latencies,
}

impl Row {
    pub(super) fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.heard += other.heard;
        self.latency.add(&other.latency);
    }
}

#[derive(Debug)]
pub(super) struct Rows {
    length: Duration,
    rows: Vec<Row>,
}

impl Rows {
    pub(super) fn new(scenario: &Scenario, shots: &[Shot]) -> Self {
        let mut rows = Self { length: length(scenario), rows: Vec::new() };
        for shot in shots {
            rows.at(shot.at).offered += 1;
        }
        rows
    }

    pub(super) fn length(&self) -> Duration {
        self.length
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row of a time. What is later than anything should be counts in the last one.
    pub(super) fn at(&mut self, at: Duration) -> &mut Row {
        let index = at.as_nanos() / self.length.as_nanos().max(1);
        let last = usize::try_from(ROWS).unwrap_or_default() + ROWS_AFTER;
        let index = usize::try_from(index).unwrap_or(last).min(last);
        if self.rows.len() <= index {
            self.rows.resize_with(index + 1, Row::default);
        }
        self.rows.get_mut(index).expect("there are as many rows now")
    }
}

/// How long a row of this scenario is.
pub(crate) fn length(scenario: &Scenario) -> Duration {
    let whole = (scenario.warmup + scenario.measured()) / ROWS;
    // Rounded up to a tenth of a second.
    let tenths = u32::try_from(whole.as_nanos().div_ceil(ROW_MIN.as_nanos())).unwrap_or(u32::MAX);
    ROW_MIN * tenths.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::scenario;

    #[test]
    fn a_run_of_any_length_has_a_bounded_number_of_rows() {
        let of = |secs| length(&Scenario { duration: Duration::from_secs(secs), ..scenario() });

        assert_eq!((of(10), of(119)), (Duration::from_millis(100), Duration::from_secs(1)));
        let mut rows = Rows::new(&scenario(), &[]);
        rows.at(Duration::from_secs(1_000_000)).heard += 1;
        assert_eq!(rows.rows().len(), 361);
    }

    #[test]
    fn what_is_offered_is_known_from_the_start() {
        let rows = Rows::new(&scenario(), &scenario().schedule().unwrap());

        assert_eq!(rows.rows().len(), 110);
        assert!(rows.rows().iter().all(|row| row.offered == 10));
    }
}
