//! Latencies in an HDR histogram: three significant digits from a microsecond to an hour, nothing averaged, nothing
//! sampled. Written down they are the histogram itself (HdrHistogram V2, deflated, base64), so that those of several
//! generators add up to what one would have seen. Pure.
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

const HIGHEST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Many latencies.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // It grows with what is recorded: one for each row of a long run must not need room for an hour.
        Self(Histogram::new(DIGITS).expect("the number of digits is a legal constant"))
    }
}

/// What is said about many latencies, in microseconds. All are 0 if there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
        let micros = u64::try_from(latency.as_micros()).unwrap_or(HIGHEST_US).min(HIGHEST_US);
        self.0.record(micros).expect("a histogram that grows takes any number of an hour");
    }

    /// Takes over all of `other`: what comes out is what one histogram would have shown.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("a histogram that grows takes whatever another has");
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What so many percent were at most, in microseconds.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> u64 {
        self.0.value_at_quantile(percent / 100.0)
    }

    /// Every value there is, in microseconds and in order, with how often: for drawing.
    pub fn counted(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// The histogram, for writers of its own formats.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// As text, nothing lost.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut octets = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.0, &mut octets);
        written.expect("writing to memory does not fail");
        STANDARD.encode(octets)
    }

    /// What [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// It is no histogram.
    pub fn decode(text: &str) -> Result<Self, String> {
        let octets = STANDARD.decode(text).map_err(|error| error.to_string())?;
        let histogram = Deserializer::new().deserialize(&mut octets.as_slice());
        let mut histogram: Histogram<u64> = histogram.map_err(|error| error.to_string())?;
        histogram.auto(true);
        Ok(Self(histogram))
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

impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.encode())
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::decode(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_the_same_histogram_and_still_adds_up() {
        let mut first = Latencies::default();
        for us in [1, 900, 1_000_000, 3_599_999_999] {
            first.record(Duration::from_micros(us));
        }
        let mut read = Latencies::decode(&first.encode()).unwrap();

        assert_eq!(read.figures(), first.figures());
        read.add(&first);
        read.record(Duration::from_secs(3600));
        assert_eq!(read.count(), 9);
        assert!(Latencies::decode("no histogram").is_err());
    }

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
