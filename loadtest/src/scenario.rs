//! What is sent, by whom and when, decided before the first octet leaves: the same seed gives the same schedule and the
//! same content. The schedule knows nothing of answers, and that is what makes the load open. Pure.
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// Octets of a message's own number, with which its content begins.
const NUMBER_OCTETS: usize = 8;
/// Octets of noise that contents are cut from, beyond the size of one.
const NOISE_OCTETS: usize = 64 * 1024;
/// Arrivals that one run keeps books on: one octet each.
const ARRIVALS_MAX: u64 = 200_000_000;

/// What a run is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Conferences.
    pub rooms: usize,
    /// Members in each, of one device each.
    pub members: usize,
    /// Messages in a second, over all rooms.
    pub rate: NonZeroU32,
    /// How long is measured.
    pub duration: Duration,
    /// How long is sent before that.
    pub warmup: Duration,
    /// Octets of content in a message.
    pub size: usize,
    /// What everything random is drawn from.
    pub seed: u64,
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
    #[error("--size must be {NUMBER_OCTETS} to {} octets", client::session::MESSAGE_OCTETS_MAX)]
    Size,
    /// Nothing would be measured.
    #[error("--duration is too short for a single message at this --rate")]
    Short,
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
}

/// A member of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The room, from 0.
    pub room: usize,
    /// The member in it, from 0.
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
    /// Every message of the run: evenly spaced, rooms in turns, the sender drawn.
    ///
    /// # Errors
    /// The scenario makes no sense.
    pub fn schedule(&self) -> Result<Vec<Shot>, BadScenario> {
        self.check()?;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let warming = self.messages_in(self.warmup);
        let total = warming + self.messages_in(self.duration);
        let rooms = (0..self.rooms).cycle();
        let shots = (0..total).zip(rooms).map(|(number, room)| Shot {
            number,
            at: self.offset(number),
            sender: Place { room, member: rng.random_range(0..self.members) },
            measured: number >= warming,
        });
        Ok(shots.collect())
    }

    /// All members of all rooms.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let (rooms, members) = (self.rooms, self.members);
        (0..rooms).flat_map(move |room| (0..members).map(move |member| Place { room, member }))
    }

    fn check(&self) -> Result<(), BadScenario> {
        if self.rooms == 0 {
            return Err(BadScenario::NoRooms);
        }
        if self.members < 2 {
            return Err(BadScenario::Alone);
        }
        if !(NUMBER_OCTETS..=client::session::MESSAGE_OCTETS_MAX).contains(&self.size) {
            return Err(BadScenario::Size);
        }
        if self.messages_in(self.duration) == 0 {
            return Err(BadScenario::Short);
        }
        let messages = self.messages_in(self.warmup) + self.messages_in(self.duration);
        let arrivals = messages.saturating_mul(self.members as u64);
        if arrivals > ARRIVALS_MAX {
            return Err(BadScenario::Many(arrivals));
        }
        Ok(())
    }

    /// How many messages are sent in so long.
    fn messages_in(&self, time: Duration) -> u64 {
        let messages = time.as_nanos() * u128::from(self.rate.get()) / 1_000_000_000;
        u64::try_from(messages).unwrap_or(u64::MAX / 2)
    }

    fn offset(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.rate.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The content of every message: its number, then noise that follows from the number. An arrival is compared with it
/// octet by octet.
#[derive(Debug)]
pub struct Contents {
    noise: Vec<u8>,
    size: usize,
}

impl Contents {
    /// The contents of a run.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let mut noise = vec![0; NOISE_OCTETS + scenario.size];
        StdRng::seed_from_u64(!scenario.seed).fill_bytes(&mut noise);
        Self { noise, size: scenario.size }
    }

    /// The content of a message.
    #[must_use]
    pub fn write(&self, number: u64) -> Bytes {
        let mut content = BytesMut::with_capacity(self.size);
        content.put_u64(number);
        content.put_slice(self.noise(number));
        content.freeze()
    }

    /// The number of the message that has this content; `None` if none has.
    #[must_use]
    pub fn read(&self, content: &[u8]) -> Option<u64> {
        let (number, noise) = content.split_first_chunk::<NUMBER_OCTETS>()?;
        let number = u64::from_be_bytes(*number);
        (noise == self.noise(number)).then_some(number)
    }

    fn noise(&self, number: u64) -> &[u8] {
        // Any odd factor spreads neighbouring numbers over the noise.
        let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        let start = usize::try_from(spread).unwrap_or(0) % NOISE_OCTETS;
        self.noise.get(start..start + self.size - NUMBER_OCTETS).unwrap_or_default()
    }
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
        }
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
            (Scenario { size: 7, ..scenario() }, BadScenario::Size),
            (Scenario { size, ..scenario() }, BadScenario::Size),
            (Scenario { duration: Duration::from_millis(9), ..scenario() }, BadScenario::Short),
        ];
        for (scenario, why) in cases {
            assert_eq!(scenario.schedule(), Err(why), "{scenario:?}");
        }
        let many = Scenario { rate, ..scenario() }.schedule();
        assert!(matches!(many, Err(BadScenario::Many(_))), "{many:?}");
    }

    #[test]
    fn content_is_known_again_and_no_other() {
        let contents = Contents::new(&scenario());
        let content = contents.write(41);

        assert_eq!((content.len(), contents.read(&content)), (64, Some(41)));
        assert_ne!(contents.write(42)[8..], content[8..]);
        for at in [0, 7, 8, 63] {
            let mut changed = content.to_vec();
            changed[at] ^= 1;
            assert_eq!(contents.read(&changed), None, "octet {at} changed");
        }
        assert_eq!(contents.read(&content[..63]), None);
        assert_eq!(contents.read(&[content.as_ref(), b"x"].concat()), None);
        assert_eq!(contents.read(b""), None);
    }
}
