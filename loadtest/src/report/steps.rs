//! What one step of a growing rate shows, and from which step on the system is strained: the knee. Pure.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::draw::share;
use crate::book::StepPart;
use crate::latency::Figures;
use crate::scenario::Scenario;
use crate::units::float;

/// Percent of the offered rate that a step must have achieved.
const ACHIEVED_PERCENT: f64 = 98.0;
/// By what the p99 of a step may be above that of the first.
const P99_FACTOR: u64 = 10;

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Messages a second, as scheduled.
    pub offered: f64,
    /// Messages a second, accepted.
    pub achieved: f64,
    /// Arrivals a second.
    pub deliveries: f64,
    /// From intended start to decrypted, in microseconds.
    pub latency_us: Figures,
    /// The generator's lag, in microseconds.
    pub lag_us: Figures,
    /// Why this is more than the system, or the generator, carries; absent if it is not.
    pub strain: Option<String>,
}

/// The most that the p99 of a step may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Ten times that of the first step.
    First,
    /// This.
    P99(Duration),
}

impl Step {
    /// All steps that were begun, without that in which a ramp was ended from outside.
    pub(super) fn all(
        scenario: &Scenario,
        (parts, cut_at): (&[StepPart], Option<Duration>),
        limit: Limit,
    ) -> Vec<Self> {
        let mut steps = Vec::new();
        let begun = parts.iter().zip(0_u32..).take_while(|(part, _)| {
            part.counts.accepted > 0 || part.lag.count() > 0 || part.latency.count() > 0
        });
        for (part, number) in begun {
            // What was begun behind the first strain was ended before its time.
            if steps.last().is_some_and(|step: &Self| step.strain.is_some()) {
                break;
            }
            let from = scenario.warmup + scenario.duration * number;
            if scenario.ramp.is_some() && cut_at.is_some_and(|cut| cut < from + scenario.duration) {
                break;
            }
            let until = part.counts.accepted_last.saturating_sub(from).max(scenario.duration);
            let per_second = |count: u64| share(float(count), until.as_secs_f64());
            steps.push(Self {
                offered: f64::from(scenario.rate_of(number).get()),
                achieved: per_second(part.counts.accepted),
                deliveries: per_second(part.counts.delivered),
                latency_us: part.latency.figures(),
                lag_us: part.lag.figures(),
                strain: strain(scenario, parts, number, limit),
            });
        }
        steps
    }
}

/// Why a step is more than can be carried, if it is.
#[must_use]
pub fn strain(
    scenario: &Scenario,
    parts: &[StepPart],
    number: u32,
    limit: Limit,
) -> Option<String> {
    let index = usize::try_from(number).ok()?;
    let (first, part) = (parts.first()?, parts.get(index)?);
    let (latency, lag) = (part.latency.figures(), part.lag.figures());
    let from = scenario.warmup + scenario.duration * number;
    let until = part.counts.accepted_last.saturating_sub(from).max(scenario.duration);
    let percent = share(float(part.counts.accepted) * 100.0, float(part.counts.scheduled))
        * scenario.duration.as_secs_f64()
        / until.as_secs_f64();
    if percent < ACHIEVED_PERCENT {
        return Some(format!("{percent:.0} % of the offered rate was achieved"));
    }
    let p99_max = match limit {
        Limit::First => first.latency.figures().p99.saturating_mul(P99_FACTOR),
        Limit::P99(time) => u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
    };
    if latency.p99 > p99_max {
        return Some(format!("p99 {} us is above {p99_max} us", latency.p99));
    }
    // The generator cannot say more about the system than it can offer.
    (lag.p99 * super::rules::LAG_SHARE_MAX > latency.p99 && lag.p99 > first.latency.figures().p99)
        .then(|| format!("the generator was late itself: lag p99 {} us", lag.p99))
}

/// The highest rate before the first strain.
pub(super) fn knee(scenario: &Scenario, steps: &[Step]) -> Option<f64> {
    scenario.ramp?;
    steps.iter().take_while(|step| step.strain.is_none()).last().map(|step| step.offered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Ramp;
    use crate::scenario::tests::scenario;

    fn ramp() -> Scenario {
        Scenario { ramp: Some(Ramp { steps: 3, factor: 2.0 }), ..scenario() }
    }

    fn part(number: u32, accepted: u64, latency: Duration) -> StepPart {
        let mut part = StepPart::default();
        part.counts.scheduled = 1000 * 2_u64.pow(number);
        part.counts.accepted = accepted;
        part.counts.accepted_last = Duration::from_secs(11 + 10 * u64::from(number));
        (0..1000).for_each(|_| part.latency.record(latency));
        (0..1000).for_each(|_| part.lag.record(Duration::from_micros(50)));
        part
    }

    #[test]
    fn the_knee_is_the_last_step_before_the_first_that_strains() {
        let ms = Duration::from_millis;
        let parts = [part(0, 1000, ms(2)), part(1, 2000, ms(3)), part(2, 4000, ms(21))];

        let steps = Step::all(&ramp(), (&parts, None), Limit::First);

        assert_eq!(knee(&ramp(), &steps), Some(200.0));
        assert!(steps[2].strain.as_ref().unwrap().contains("p99"), "{steps:?}");
        assert_eq!(steps[1].achieved, 200.0);
        let strict = Step::all(&ramp(), (&parts, None), Limit::P99(ms(2)));
        assert!(knee(&ramp(), &strict).is_none_or(|knee| knee < 200.0), "{strict:?}");
    }

    #[test]
    fn a_step_that_falls_behind_strains_whatever_its_latency() {
        let parts =
            [part(0, 1000, Duration::from_millis(2)), part(1, 1900, Duration::from_millis(2))];

        assert!(strain(&ramp(), &parts, 1, Limit::First).unwrap().contains("95 %"));
    }

    #[test]
    fn a_step_that_was_never_begun_is_not_told() {
        let parts = [part(0, 1000, Duration::from_millis(2)), StepPart::default()];

        assert_eq!(Step::all(&ramp(), (&parts, None), Limit::First).len(), 1);
    }
}
