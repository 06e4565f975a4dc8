//! Latencies in an HDR histogram: three significant digits from a microsecond to an hour, nothing averaged, nothing
//! sampled. Pure.
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

const LOWEST_US: u64 = 1;
const HIGHEST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Many latencies.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, DIGITS);
        Self(histogram.expect("the bounds are constant and in order"))
    }
}

/// What is said about many latencies, in microseconds. All are 0 if there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// How many there were.
    pub count: u64,
    /// Half were at most this.
    pub p50: u64,
    /// 90 % were at most this.
    pub p90: u64,
    /// 99 % were at most this.
    pub p99: u64,
    /// 99.9 % were at most this.
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

impl Latencies {
    /// Takes one more. What is longer than an hour counts as an hour.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(HIGHEST_US);
        self.0.saturating_record(micros);
    }

    /// Takes over all of `other`: what comes out is what one histogram would have shown.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// The figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Figures {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.0.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let mut latencies = Latencies::default();
        (1..=10_000).for_each(|ms| latencies.record(Duration::from_millis(ms)));

        let figures = latencies.figures();

        let near = |shown: u64, ms: u64| shown.abs_diff(ms * 1000) <= ms;
        assert_eq!(figures.count, 10_000);
        assert!(near(figures.p50, 5000) && near(figures.p90, 9000), "{figures:?}");
        assert!(near(figures.p99, 9900) && near(figures.p99_9, 9990), "{figures:?}");
        assert!(near(figures.max, 10_000), "{figures:?}");
    }

    #[test]
    fn a_single_outlier_is_the_maximum() {
        let mut latencies = Latencies::default();
        (0..999).for_each(|_| latencies.record(Duration::from_micros(500)));
        latencies.record(Duration::from_secs(3));

        let figures = latencies.figures();

        assert!(figures.p99_9 <= 500 && figures.max.abs_diff(3_000_000) < 3000, "{figures:?}");
    }

    #[test]
    fn what_is_too_long_counts_as_an_hour_and_is_not_lost() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::MAX);

        assert_eq!(latencies.figures().count, 1);
    }

    #[test]
    fn two_halves_add_up_to_the_whole() {
        let (mut whole, mut half, mut other) =
            (Latencies::default(), Latencies::default(), Latencies::default());
        for ms in 1..=1000 {
            whole.record(Duration::from_millis(ms));
            if ms % 3 == 0 {
                half.record(Duration::from_millis(ms));
            } else {
                other.record(Duration::from_millis(ms));
            }
        }
        half.add(&other);

        assert_eq!(half.figures(), whole.figures());
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(Latencies::default().figures(), Figures::default());
    }
}
