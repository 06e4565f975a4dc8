//! What a person demands of a run: `p99<20ms,loss=0`. Pure.
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::book::Deliveries;
use crate::latency::Figures;
use crate::units;

/// One demand.
#[derive(Clone, Debug)]
pub struct Threshold {
    metric: Metric,
    relation: Relation,
    /// Microseconds, or a count.
    bound: u64,
    text: String,
}

/// Several demands, separated by commas.
#[derive(Clone, Debug, Default)]
pub struct Thresholds(pub Vec<Threshold>);

/// What became of a demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// As it was written.
    pub threshold: String,
    /// What was measured: microseconds for a latency, otherwise a count.
    pub measured: u64,
    /// Whether it holds. A demand on latency holds only if the result is valid.
    pub met: bool,
}

#[derive(Clone, Copy, Debug)]
enum Metric {
    Latency(fn(&Figures) -> u64),
    Count(fn(&Deliveries) -> u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Equal,
}

const METRICS: &[(&str, Metric)] = &[
    ("p50", Metric::Latency(|figures| figures.p50)),
    ("p90", Metric::Latency(|figures| figures.p90)),
    ("p99", Metric::Latency(|figures| figures.p99)),
    ("p99.9", Metric::Latency(|figures| figures.p99_9)),
    ("max", Metric::Latency(|figures| figures.max)),
    ("loss", Metric::Count(|deliveries| deliveries.lost)),
    ("dup", Metric::Count(|deliveries| deliveries.duplicated)),
    ("reorder", Metric::Count(|deliveries| deliveries.reordered)),
    ("undecryptable", Metric::Count(|deliveries| deliveries.undecryptable)),
];

/// Relations by their sign, longest first.
const RELATIONS: &[(&str, Relation)] =
    &[("<=", Relation::AtMost), ("<", Relation::Below), ("=", Relation::Equal)];

impl Threshold {
    /// Holds it up to what was measured.
    #[must_use]
    pub fn judge(&self, latency: &Figures, deliveries: &Deliveries, valid: bool) -> Judged {
        let (measured, known) = match self.metric {
            Metric::Latency(figure) => (figure(latency), valid),
            Metric::Count(count) => (count(deliveries), true),
        };
        let holds = match self.relation {
            Relation::Below => measured < self.bound,
            Relation::AtMost => measured <= self.bound,
            Relation::Equal => measured == self.bound,
        };
        Judged { threshold: self.text.clone(), measured, met: known && holds }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = RELATIONS.iter().find_map(|(sign, relation)| {
            let (name, bound) = text.split_once(sign)?;
            Some((name.trim(), *relation, bound.trim()))
        });
        let (name, relation, bound) = found.ok_or_else(|| {
            format!("{text:?} compares nothing: write it like p99<20ms or loss=0")
        })?;
        let (_, metric) = METRICS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            let known: Vec<&str> = METRICS.iter().map(|(known, _)| *known).collect();
            format!("{name:?} is not measured; these are: {}", known.join(", "))
        })?;
        let bound = match metric {
            Metric::Latency(_) => {
                u64::try_from(units::duration(bound)?.as_micros()).unwrap_or(u64::MAX)
            }
            Metric::Count(_) => {
                bound.parse().map_err(|_not_a_number| format!("{bound:?} is no count"))?
            }
        };
        Ok(Self { metric: *metric, relation, bound, text: text.to_owned() })
    }
}

impl FromStr for Thresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, valid: bool) -> bool {
        let latency =
            Figures { count: 1, p50: 900, p90: 1600, p99: 3800, p99_9: 20_000, max: 24_000 };
        let deliveries = Deliveries { lost: 2, ..Deliveries::default() };
        text.parse::<Threshold>().unwrap().judge(&latency, &deliveries, valid).met
    }

    #[test]
    fn each_relation_means_what_it_says() {
        for held in [
            "p99<3.9ms",
            "p99<=3800us",
            "p50=900us",
            " p90 < 2ms ",
            "max<1s",
            "loss=2",
            "loss<3",
            "dup=0",
        ] {
            assert!(judge(held, true), "{held}");
        }
        for missed in
            ["p99<3800us", "p99.9<20ms", "p50=1ms", "loss=0", "loss<2", "dup<0", "max<=23ms"]
        {
            assert!(!judge(missed, true), "{missed}");
        }
    }

    #[test]
    fn an_invalid_result_meets_no_demand_on_latency_but_its_counts_stand() {
        assert!(judge("p99<1s", true) && !judge("p99<1s", false));
        assert!(judge("loss=2", false));
    }

    #[test]
    fn several_are_separated_by_commas() {
        let thresholds: Thresholds = "p99<20ms, loss=0".parse().unwrap();

        let texts: Vec<String> = thresholds.0.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["p99<20ms", "loss=0"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in
            ["", "p99", "p98<1ms", "p99<20", "p99>1ms", "loss=0ms", "loss=-1", "p99<20ms,", "<1ms"]
        {
            assert!(text.parse::<Thresholds>().is_err(), "{text}");
        }
    }
}
