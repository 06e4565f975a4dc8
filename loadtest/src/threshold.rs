//! What a person demands of a run: `p99<20ms,loss=0`. Pure.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::book::{Deliveries, Measure};
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// As it was written.
    pub threshold: String,
    /// What was measured: microseconds for a latency, otherwise a count.
    pub measured: u64,
    /// Whether it holds. A demand on latency holds only if the result is valid.
    pub met: bool,
}

/// What a run showed, as far as something can be demanded of it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The latency of messages.
    pub latency: Figures,
    /// Deliveries.
    pub deliveries: Deliveries,
    /// What else was measured.
    pub measures: BTreeMap<Measure, Figures>,
    /// Percent of the offered rate that was achieved.
    pub achieved_percent: u64,
    /// The most by which a server grew.
    pub growth_octets: i64,
    /// The knee of a ramp.
    pub knee: Option<f64>,
    /// Whether the generator can be believed.
    pub valid: bool,
}

#[derive(Clone, Copy, Debug)]
enum Metric {
    Latency(Option<Measure>, Figure),
    Count(fn(&Seen) -> u64),
    Octets(fn(&Seen) -> u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

/// A percentile among figures.
type Figure = fn(&Figures) -> u64;

const FIGURES: &[(&str, Figure)] = &[
    ("p50", |figures| figures.p50),
    ("p90", |figures| figures.p90),
    ("p99", |figures| figures.p99),
    ("p99.9", |figures| figures.p99_9),
    ("max", |figures| figures.max),
];

const MEASURES: &[Measure] = &[
    Measure::Start,
    Measure::Seat,
    Measure::Key,
    Measure::Enter,
    Measure::CatchUp,
    Measure::Kick,
    Measure::Epoch,
];

const METRICS: &[(&str, Metric)] = &[
    ("loss", Metric::Count(|seen| seen.deliveries.lost)),
    ("dup", Metric::Count(|seen| seen.deliveries.duplicated)),
    ("reorder", Metric::Count(|seen| seen.deliveries.reordered)),
    ("undecryptable", Metric::Count(|seen| seen.deliveries.undecryptable)),
    ("leaked", Metric::Count(|seen| seen.deliveries.leaked)),
    ("corrupt", Metric::Count(|seen| seen.deliveries.corrupt)),
    ("misdelivered", Metric::Count(|seen| seen.deliveries.misdelivered)),
    ("achieved", Metric::Count(|seen| seen.achieved_percent)),
    ("knee", Metric::Count(|seen| whole(seen.knee.unwrap_or_default()))),
    ("growth", Metric::Octets(|seen| u64::try_from(seen.growth_octets).unwrap_or_default())),
];

/// Relations by their sign, longest first.
const RELATIONS: &[(&str, Relation)] = &[
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Below),
    (">", Relation::Above),
    ("=", Relation::Equal),
];

/// `p99` of messages, `epoch.p99` of something else.
fn metric(name: &str) -> Option<Metric> {
    if let Some((_, metric)) = METRICS.iter().find(|(known, _)| *known == name) {
        return Some(*metric);
    }
    let (measure, figure) = match name.split_once('.') {
        Some((measure, figure)) if measure != "p99" => {
            (Some(*MEASURES.iter().find(|known| known.name() == measure)?), figure)
        }
        _ => (None, name),
    };
    let (_, figure) = FIGURES.iter().find(|(known, _)| *known == figure)?;
    Some(Metric::Latency(measure, *figure))
}

fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of messages"
    )]
    let whole = number.max(0.0) as u64;
    whole
}

impl Threshold {
    /// Holds it up to what was seen.
    #[must_use]
    pub fn judge(&self, seen: &Seen) -> Judged {
        let (measured, known) = match self.metric {
            Metric::Latency(None, figure) => (figure(&seen.latency), seen.valid),
            Metric::Latency(Some(measure), figure) => match seen.measures.get(&measure) {
                Some(figures) => (figure(figures), seen.valid),
                None => (0, false),
            },
            Metric::Count(count) | Metric::Octets(count) => (count(seen), true),
        };
        let holds = match self.relation {
            Relation::Below => measured < self.bound,
            Relation::AtMost => measured <= self.bound,
            Relation::Above => measured > self.bound,
            Relation::AtLeast => measured >= self.bound,
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
        let metric = metric(name).ok_or_else(|| {
            let figures = FIGURES.iter().map(|(known, _)| *known);
            let known: Vec<&str> = figures.chain(METRICS.iter().map(|(known, _)| *known)).collect();
            let measures: Vec<&str> = MEASURES.iter().map(|measure| measure.name()).collect();
            format!(
                "{name:?} is not measured; these are: {}; and p50 to max behind {}., as in epoch.p99",
                known.join(", "),
                measures.join("., ")
            )
        })?;
        let bound = match metric {
            Metric::Octets(_) => units::octets(bound)?,
            Metric::Latency(..) => {
                u64::try_from(units::duration(bound)?.as_micros()).unwrap_or(u64::MAX)
            }
            Metric::Count(_) => {
                bound.parse().map_err(|_not_a_number| format!("{bound:?} is no count"))?
            }
        };
        Ok(Self { metric, relation, bound, text: text.to_owned() })
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
        let epoch = Figures { count: 1, p99: 70_000, ..Figures::default() };
        let measures = BTreeMap::from([(Measure::Epoch, epoch)]);
        let (growth_octets, knee) = (3 << 20, Some(400.0));
        let seen = Seen {
            latency,
            deliveries,
            measures,
            achieved_percent: 99,
            growth_octets,
            knee,
            valid,
        };
        text.parse::<Threshold>().unwrap().judge(&seen).met
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
            "epoch.p99<71ms",
            "achieved>=99",
            "growth<=3MiB",
            "knee>399",
            "p99.9>=20ms",
        ] {
            assert!(judge(held, true), "{held}");
        }
        for missed in [
            "p99<3800us",
            "p99.9<20ms",
            "p50=1ms",
            "loss=0",
            "loss<2",
            "dup<0",
            "max<=23ms",
            "epoch.p99<70ms",
            "enter.p99<1h",
            "achieved>99",
            "growth<1MiB",
            "knee>=401",
        ] {
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
        for text in [
            "",
            "p99",
            "p98<1ms",
            "p99<20",
            "start.loss=0",
            "grown.p99<1s",
            "growth<1ms",
            "loss=0ms",
            "loss=-1",
            "p99<20ms,",
            "<1ms",
        ] {
            assert!(text.parse::<Thresholds>().is_err(), "{text}");
        }
    }
}
