//! What a person demands of a run: `p99<20ms,loss=0`. Pure.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::acts::{Guest, Turn, What};
use crate::book::{Deliveries, Measure};
use crate::latency::Figures;
use crate::scenario::{Level, Scenario};
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
    /// Why not, for a person: what was measured, and whether it can be believed. None: it holds.
    #[serde(default)]
    pub why: Option<String>,
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
    Knee,
    Growth,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measured {
    /// This much.
    Value(u64),
    /// This much, and it says more about the generator than about the system.
    NotValid(u64),
    /// Nothing.
    Nothing,
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
    ("knee", Metric::Knee),
    ("growth", Metric::Growth),
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
        let found = self.metric.measured(seen);
        let (measured, known) = match found {
            Measured::Value(value) => (value, true),
            Measured::NotValid(value) => (value, false),
            Measured::Nothing => (0, false),
        };
        let holds = match self.relation {
            Relation::Below => measured < self.bound,
            Relation::AtMost => measured <= self.bound,
            Relation::Above => measured > self.bound,
            Relation::AtLeast => measured >= self.bound,
            Relation::Equal => measured == self.bound,
        };
        let met = known && holds;
        let why = (!met).then(|| match found {
            Measured::Value(value) => self.metric.said(value),
            Measured::NotValid(value) => {
                format!("{}, and the result is not valid", self.metric.said(value))
            }
            Measured::Nothing => "not measured".to_owned(),
        });
        Judged { threshold: self.text.clone(), measured, met, why }
    }

    /// Why a run of this scenario, in which so many servers are looked at, cannot measure what is demanded.
    fn unmeasured(&self, scenario: &Scenario, servers: usize) -> Option<&'static str> {
        let sealed = scenario.level == Level::Sealed;
        let end = scenario.warmup + scenario.measured();
        let guests = scenario.guests_of(0);
        let comes =
            |guest: &Guest| guest.cues.iter().any(|cue| cue.turn == Turn::In && cue.at <= end);
        let of = |what: What| scenario.acts.iter().any(|act| act.what == what);
        let measured = match self.metric {
            Metric::Knee => (scenario.ramp.is_some(), "only a ramp has a knee"),
            Metric::Growth => (servers > 0, "nobody says how the servers are: give --metrics"),
            Metric::Latency(Some(Measure::Key), _) => {
                (sealed, "rooms that are not sealed have no key")
            }
            Metric::Latency(Some(Measure::Enter), _) => {
                (guests.iter().any(comes), "no guest comes in or comes back")
            }
            Metric::Latency(Some(Measure::CatchUp), _) => {
                let owed = scenario.owed();
                let kept = |guest: &Guest| owed.get(guest.place.member) == Some(&true);
                let any = guests.iter().any(|guest| kept(guest) && comes(guest));
                (any, "no guest comes back to a room that stores")
            }
            Metric::Latency(Some(Measure::Kick), _) => (of(What::Kick), "nobody is removed"),
            Metric::Latency(Some(Measure::Epoch), _) => {
                (sealed && !guests.is_empty(), "no guest changes a sealed group")
            }
            Metric::Latency(Some(Measure::Start | Measure::Seat) | None, _) | Metric::Count(_) => {
                return None;
            }
        };
        (!measured.0).then_some(measured.1)
    }
}

impl Judged {
    /// What is said of one that does not hold.
    pub(crate) fn missed(&self) -> String {
        let why = self.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        format!("{} is missed{why}", self.threshold)
    }
}

impl Metric {
    fn measured(self, seen: &Seen) -> Measured {
        let latency = |figures: Option<&Figures>, figure: Figure| match figures {
            Some(figures) if figures.count > 0 && seen.valid => Measured::Value(figure(figures)),
            Some(figures) if figures.count > 0 => Measured::NotValid(figure(figures)),
            _ => Measured::Nothing,
        };
        match self {
            Self::Latency(None, figure) => latency(Some(&seen.latency), figure),
            Self::Latency(Some(measure), figure) => latency(seen.measures.get(&measure), figure),
            Self::Count(count) => Measured::Value(count(seen)),
            Self::Knee => Measured::Value(whole(seen.knee.unwrap_or_default())),
            Self::Growth => Measured::Value(u64::try_from(seen.growth_octets).unwrap_or_default()),
        }
    }

    /// A value in words.
    fn said(self, value: u64) -> String {
        match self {
            Self::Latency(..) => units::time(value),
            Self::Growth => units::said_octets(value),
            Self::Count(_) | Self::Knee => value.to_string(),
        }
    }
}

impl Thresholds {
    /// Sees whether a run of this scenario, in which so many servers are looked at, can measure what is demanded.
    ///
    /// # Errors
    /// What is demanded in vain, and why.
    pub fn check(&self, scenario: &Scenario, servers: usize) -> Result<(), String> {
        for threshold in &self.0 {
            if let Some(why) = threshold.unmeasured(scenario, servers) {
                return Err(format!("{threshold} can not be measured here: {why}"));
            }
        }
        Ok(())
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
            Metric::Growth => units::octets(bound)?,
            Metric::Latency(..) => {
                u64::try_from(units::duration(bound)?.as_micros()).unwrap_or(u64::MAX)
            }
            Metric::Count(_) | Metric::Knee => {
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
    use std::time::Duration;

    use super::*;
    use crate::acts::Act;
    use crate::acts::tests::act;
    use crate::scenario::tests::scenario;
    use crate::scenario::{Acknowledge, Ramp};

    fn judge(text: &str, valid: bool) -> bool {
        judged(text, valid).met
    }

    fn judged(text: &str, valid: bool) -> Judged {
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
        text.parse::<Threshold>().unwrap().judge(&seen)
    }

    #[test]
    fn what_is_missed_says_what_was_measured_and_whether_it_can_be_believed() {
        let cases = [
            ("p99<3800us", true, "3.8 ms"),
            ("p99<10s", false, "3.8 ms, and the result is not valid"),
            ("enter.p99<1s", true, "not measured"),
            ("loss=0", false, "2"),
            ("growth<1MiB", true, "3 MiB"),
            ("knee>=401", true, "400"),
        ];
        for (text, valid, why) in cases {
            assert_eq!(judged(text, valid).why.as_deref(), Some(why), "{text}");
        }
        assert_eq!(judged("p99<1s", true).why, None);
    }

    #[test]
    fn a_latency_that_no_message_has_meets_nothing() {
        let threshold: Threshold = "p99<1s".parse().unwrap();

        let judged = threshold.judge(&Seen { valid: true, ..Seen::default() });

        assert_eq!((judged.met, judged.why.as_deref()), (false, Some("not measured")));
    }

    #[test]
    fn what_a_scenario_cannot_measure_is_found_before_the_run() {
        let check = |text: &str, scenario: &Scenario| {
            text.parse::<Thresholds>().unwrap().check(scenario, 1).is_ok()
        };
        let second = Duration::from_secs(1);
        let with = |what, back| {
            let act = Act { back, ..act(what, 1) };
            Scenario { acts: vec![act], ..scenario() }
        };
        let stored = |scenario| Scenario { acknowledge: Acknowledge::Stored, ..scenario };
        let open = |scenario| Scenario { level: Level::Open, ..scenario };
        let ramp = Some(Ramp { steps: 2, factor: 2.0 });
        let cases = [
            ("enter.p99<1s", scenario(), with(What::Join, None)),
            ("enter.p99<1s", with(What::Vanish, None), with(What::Vanish, Some(second))),
            ("enter.p99<1s", with(What::Away, Some(9 * second)), with(What::Away, Some(second))),
            (
                "catchup.p99<1s",
                with(What::Away, Some(second)),
                stored(with(What::Away, Some(second))),
            ),
            ("kick.p99<1s", with(What::Join, None), with(What::Kick, None)),
            ("epoch.p99<1s", open(with(What::Kick, None)), with(What::Kick, None)),
            ("epoch.p99<1s", scenario(), with(What::Leave, None)),
            ("key.p99<1s", open(scenario()), scenario()),
            ("knee>1", scenario(), Scenario { ramp, ..scenario() }),
        ];
        for (text, cannot, can) in cases {
            assert_eq!((check(text, &cannot), check(text, &can)), (false, true), "{text} {can:?}");
        }
        assert!(check("p99<1s,seat.p99<1s,loss=0,growth<1MiB", &scenario()));
        let growth: Thresholds = "growth<1MiB".parse().unwrap();
        assert!(growth.check(&scenario(), 0).unwrap_err().contains("--metrics"));
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
