//! What is sent, by whom and when, decided before the first octet leaves: the same seed gives the same schedule and the
//! same content. The schedule knows nothing of answers, and that is what makes the load open. Pure.
mod contents;
mod kinds;

use std::num::NonZeroU32;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::acts::{Act, What};
pub use contents::Contents;
use contents::NUMBER_OCTETS;
pub use kinds::{Acknowledge, Kind, Level, Transport};

/// Octets of the longest file that a device puts together in memory.
const FILE_OCTETS_MAX: usize = 8 * 1024 * 1024;
/// Arrivals that one run keeps books on: one octet each.
const ARRIVALS_MAX: u64 = 200_000_000;

/// What a run is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// Conferences.
    pub rooms: usize,
    /// Members who stay, in each, of one device each. Guests come on top, by what the acts say.
    pub members: usize,
    /// How many of them speak.
    pub speakers: usize,
    /// Messages in a second, over all rooms.
    pub rate: NonZeroU32,
    /// How long is measured; of each step, if the rate grows.
    pub duration: Duration,
    /// How long is sent before that.
    pub warmup: Duration,
    /// Octets of content in a message, or in a file.
    pub size: usize,
    /// What everything random is drawn from.
    pub seed: u64,
    /// Protection of the rooms.
    pub level: Level,
    /// When a message is acknowledged.
    pub acknowledge: Acknowledge,
    /// What MSRP runs over.
    pub transport: Transport,
    /// What is sent.
    pub kind: Kind,
    /// Whether a speaker waits for the answer to one message before it sends the next.
    pub closed: bool,
    /// Whether the rate grows.
    pub ramp: Option<Ramp>,
    /// What else happens.
    pub acts: Vec<Act>,
}

/// A rate that grows in steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ramp {
    /// Steps, the first at the rate of the scenario.
    pub steps: u32,
    /// By what each is above the one before.
    pub factor: f64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "quick".to_owned(),
            rooms: 4,
            members: 5,
            speakers: usize::MAX,
            rate: NonZeroU32::MIN.saturating_add(49),
            duration: Duration::from_secs(10),
            warmup: Duration::from_secs(2),
            size: 256,
            seed: 1,
            level: Level::Sealed,
            acknowledge: Acknowledge::Relayed,
            transport: Transport::Tls,
            kind: Kind::Messages,
            closed: false,
            ramp: None,
            acts: Vec::new(),
        }
    }
}

/// Why a scenario makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScenario {
    /// Nobody to send.
    #[error("--rooms must be at least 1")]
    NoRooms,
    /// Nobody to receive.
    #[error("--members must be at least 2: a message needs somebody to reach")]
    Alone,
    /// A size that a message cannot have.
    #[error("--size must be {NUMBER_OCTETS} to {0} octets")]
    Size(usize),
    /// Nobody to speak.
    #[error("--speakers must be at least 1")]
    Mute,
    /// A rate that does not grow.
    #[error("a ramp needs 1 to 100 steps and a factor above 1 and at most 100")]
    Ramp,
    /// An act that cannot be played.
    #[error("act {0}: {1}")]
    Act(usize, &'static str),
    /// Nothing would be measured.
    #[error("--duration is too short for a single message at this --rate")]
    Short,
    /// Nothing is kept of what is not sealed.
    #[error("rooms that are not sealed keep nothing: --acknowledge stored needs --e2ee on")]
    Stored,
    /// More than the books can hold.
    #[error(
        "{0} arrivals are too many to check (at most {ARRIVALS_MAX}): less --rate, --duration or --members"
    )]
    Many(u64),
}

/// One message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shot {
    /// Its number, from 0, in the order of sending.
    pub number: u64,
    /// When it is to be sent, from the start of the run. Nothing that happens moves it.
    pub at: Duration,
    /// Who sends it.
    pub sender: Place,
    /// Whether it counts in the measurements; what is sent while warming up does not.
    pub measured: bool,
    /// The step of the ramp that it belongs to, from 0; without one, 0.
    pub step: usize,
}

/// A member of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The room, from 0.
    pub room: usize,
    /// The member in it, from 0. Guests are counted on behind those who stay.
    pub member: usize,
}

impl Place {
    /// The user who sits there.
    #[must_use]
    pub fn user(self) -> String {
        format!("load-{}-{}", self.room, self.member)
    }
}

impl Scenario {
    /// Every message of the run: evenly spaced, rooms in turns, the sender drawn from those who speak.
    ///
    /// # Errors
    /// The scenario makes no sense.
    pub fn schedule(&self) -> Result<Vec<Shot>, BadScenario> {
        self.check()?;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut shots = Vec::new();
        let mut rooms = (0..self.rooms).cycle();
        let speakers = self.speakers.min(self.members);
        for part in self.parts() {
            for index in 0..part.messages {
                let room = rooms.next().unwrap_or_default();
                shots.push(Shot {
                    number: shots.len() as u64,
                    at: part.from + offset(index, part.rate),
                    sender: Place { room, member: rng.random_range(0..speakers) },
                    measured: part.step.is_some(),
                    step: part.step.unwrap_or_default(),
                });
            }
        }
        Ok(shots)
    }

    /// All members who stay.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let (rooms, members) = (self.rooms, self.members);
        (0..rooms).flat_map(move |room| (0..members).map(move |member| Place { room, member }))
    }

    /// Guests of each room.
    #[must_use]
    pub fn guests(&self) -> usize {
        self.acts.iter().map(|act| act.who).sum()
    }

    /// Everybody: those who stay and the guests, room by room.
    pub fn everybody(&self) -> impl Iterator<Item = Place> + use<> {
        let (rooms, all) = (self.rooms, self.members + self.guests());
        (0..rooms).flat_map(move |room| (0..all).map(move |member| Place { room, member }))
    }

    /// Whether who sits at each place of a room is owed every message: those who stay are, and where messages are stored the
    /// guests who go away, or stop reading, and come back.
    #[must_use]
    pub fn owed(&self) -> Vec<bool> {
        let guest = |act: &Act| {
            let kept = self.acknowledge == Acknowledge::Stored
                && matches!(act.what, What::Away | What::Pause)
                && act.back.is_some();
            std::iter::repeat_n(kept, act.who)
        };
        let stay = std::iter::repeat_n(true, self.members);
        stay.chain(self.acts.iter().flat_map(guest)).collect()
    }

    /// How long is measured, over all steps.
    #[must_use]
    pub fn measured(&self) -> Duration {
        self.duration * self.steps()
    }

    /// Steps of the rate; 1 if it does not grow.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.ramp.map_or(1, |ramp| ramp.steps)
    }

    /// The rate of a step.
    #[must_use]
    pub fn rate_of(&self, step: u32) -> NonZeroU32 {
        let Some(ramp) = self.ramp else { return self.rate };
        let rate = f64::from(self.rate.get()) * ramp.factor.powf(f64::from(step));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what fits"
        )]
        let rate = rate.round().clamp(1.0, 1e9) as u32;
        NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN)
    }

    /// How many messages a second are offered from one time of the run to another; none when it is over.
    #[must_use]
    pub fn rate_between(&self, from: Duration, to: Duration) -> f64 {
        let offered = |(begins, part): (Duration, &Part)| {
            let ends = begins + if part.step.is_some() { self.duration } else { self.warmup };
            let both = to.min(ends).saturating_sub(from.max(begins));
            both.as_secs_f64() * f64::from(part.rate.get())
        };
        let parts = self.parts();
        let offered: f64 = parts.iter().map(|part| offered((part.from, part))).sum();
        offered / to.saturating_sub(from).as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn parts(&self) -> Vec<Part> {
        let part = |step: Option<usize>, from: Duration, rate: NonZeroU32, time: Duration| Part {
            step,
            from,
            rate,
            messages: messages_in(time, rate),
        };
        let mut parts = vec![part(None, Duration::ZERO, self.rate, self.warmup)];
        for step in 0..self.steps() {
            let from = self.warmup + self.duration * step;
            let number = usize::try_from(step).unwrap_or_default();
            parts.push(part(Some(number), from, self.rate_of(step), self.duration));
        }
        parts
    }

    fn check(&self) -> Result<(), BadScenario> {
        if self.rooms == 0 {
            return Err(BadScenario::NoRooms);
        }
        if self.members < 2 {
            return Err(BadScenario::Alone);
        }
        if self.speakers == 0 {
            return Err(BadScenario::Mute);
        }
        let size_max = match self.kind {
            Kind::Messages => client::session::MESSAGE_OCTETS_MAX,
            Kind::Files => FILE_OCTETS_MAX,
        };
        if !(NUMBER_OCTETS..=size_max).contains(&self.size) {
            return Err(BadScenario::Size(size_max));
        }
        let grows = |ramp: Ramp| {
            (1..=100).contains(&ramp.steps) && ramp.factor > 1.0 && ramp.factor <= 100.0
        };
        if self.ramp.is_some_and(|ramp| !grows(ramp)) {
            return Err(BadScenario::Ramp);
        }
        for (number, act) in self.acts.iter().enumerate() {
            act.check(self.measured()).map_err(|why| BadScenario::Act(number + 1, why))?;
        }
        if self.acknowledge == Acknowledge::Stored && self.level == Level::Open {
            return Err(BadScenario::Stored);
        }
        if messages_in(self.duration, self.rate) == 0 {
            return Err(BadScenario::Short);
        }
        let messages: u64 =
            self.parts().iter().map(|part| part.messages).fold(0, u64::saturating_add);
        let owed = self.owed().into_iter().filter(|owed| *owed).count();
        let arrivals = messages.saturating_mul(owed as u64);
        if arrivals > ARRIVALS_MAX {
            return Err(BadScenario::Many(arrivals));
        }
        Ok(())
    }
}

/// Messages at one rate.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// The step; none while warming up.
    step: Option<usize>,
    from: Duration,
    rate: NonZeroU32,
    messages: u64,
}

/// How many messages are sent in so long.
fn messages_in(time: Duration, rate: NonZeroU32) -> u64 {
    let messages = time.as_nanos() * u128::from(rate.get()) / 1_000_000_000;
    u64::try_from(messages).unwrap_or(u64::MAX / 2)
}

fn offset(number: u64, rate: NonZeroU32) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn scenario() -> Scenario {
        Scenario {
            rooms: 2,
            members: 3,
            rate: NonZeroU32::new(100).unwrap(),
            duration: Duration::from_secs(10),
            warmup: Duration::from_secs(1),
            size: 64,
            seed: 7,
            ..Scenario::default()
        }
    }

    #[test]
    fn a_ramp_offers_more_in_each_step() {
        let ramp = Some(Ramp { steps: 3, factor: 1.5 });

        let shots = Scenario { ramp, ..scenario() }.schedule().unwrap();

        let of = |step| shots.iter().filter(|shot| shot.measured && shot.step == step).count();
        assert_eq!([of(0), of(1), of(2)], [1000, 1500, 2250]);
        assert!(
            shots.windows(2).all(|two| two[0].at < two[1].at && two[0].number + 1 == two[1].number)
        );
        let bad = Scenario { ramp: Some(Ramp { steps: 3, factor: 1.0 }), ..scenario() };
        assert_eq!(bad.schedule(), Err(BadScenario::Ramp));
    }

    #[test]
    fn only_speakers_speak() {
        let shots = Scenario { speakers: 1, ..scenario() }.schedule().unwrap();

        assert!(shots.iter().all(|shot| shot.sender.member == 0));
    }

    #[test]
    fn a_seed_repeats_the_schedule_and_another_does_not() {
        let first = scenario().schedule().unwrap();

        assert_eq!(first, scenario().schedule().unwrap());
        assert_ne!(first, Scenario { seed: 8, ..scenario() }.schedule().unwrap());
    }

    #[test]
    fn messages_are_spaced_by_the_rate_over_all_rooms() {
        let shots = scenario().schedule().unwrap();

        assert_eq!(shots.len(), 1100);
        assert_eq!(shots[550].at, Duration::from_millis(5500));
        assert_eq!(shots.iter().filter(|shot| shot.sender.room == 1).count(), 550);
    }

    #[test]
    fn what_is_sent_while_warming_up_is_not_measured() {
        let shots = scenario().schedule().unwrap();

        let first = shots.iter().find(|shot| shot.measured).unwrap();
        assert_eq!((first.number, first.at), (100, Duration::from_secs(1)));
        assert_eq!(shots.iter().filter(|shot| shot.measured).count(), 1000);
    }

    #[test]
    fn an_uneven_rate_does_not_drift() {
        let rate = NonZeroU32::new(7).unwrap();

        let shots = Scenario { rate, ..scenario() }.schedule().unwrap();

        assert_eq!(shots[70].at, Duration::from_secs(10));
    }

    #[test]
    fn every_member_sends() {
        let shots = scenario().schedule().unwrap();

        for place in scenario().places() {
            assert!(shots.iter().any(|shot| shot.sender == place), "{place:?}");
        }
    }

    #[test]
    fn a_scenario_that_makes_no_sense_is_refused() {
        let size = client::session::MESSAGE_OCTETS_MAX + 1;
        let rate = NonZeroU32::MAX;
        let cases = [
            (Scenario { rooms: 0, ..scenario() }, BadScenario::NoRooms),
            (Scenario { members: 1, ..scenario() }, BadScenario::Alone),
            (
                Scenario { acknowledge: Acknowledge::Stored, level: Level::Open, ..scenario() },
                BadScenario::Stored,
            ),
            (
                Scenario { size: 7, ..scenario() },
                BadScenario::Size(client::session::MESSAGE_OCTETS_MAX),
            ),
            (
                Scenario { size, ..scenario() },
                BadScenario::Size(client::session::MESSAGE_OCTETS_MAX),
            ),
            (Scenario { duration: Duration::from_millis(9), ..scenario() }, BadScenario::Short),
        ];
        for (scenario, why) in cases {
            assert_eq!(scenario.schedule(), Err(why), "{scenario:?}");
        }
        let many = Scenario { rate, ..scenario() }.schedule();
        assert!(matches!(many, Err(BadScenario::Many(_))), "{many:?}");
    }
}
