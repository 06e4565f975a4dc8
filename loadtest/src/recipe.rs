//! Scenario files: a scenario and its demands as TOML, every word of it known. Those of `loadtest/scenarios` are built in and
//! run by their names. Pure.
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::acts::{Act, What};
use crate::scenario::{Acknowledge, Kind, Level, Ramp, Scenario, Transport};
use crate::threshold::Thresholds;
use crate::units;

/// The scenarios of this repository: the name, and the text of the file.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("chat-room", include_str!("../scenarios/chat-room.toml")),
    ("town-hall", include_str!("../scenarios/town-hall.toml")),
    ("many-rooms", include_str!("../scenarios/many-rooms.toml")),
    ("mass-join", include_str!("../scenarios/mass-join.toml")),
    ("mass-kick", include_str!("../scenarios/mass-kick.toml")),
    ("reconnect-storm", include_str!("../scenarios/reconnect-storm.toml")),
    ("slow-readers", include_str!("../scenarios/slow-readers.toml")),
    ("mailbox-morning", include_str!("../scenarios/mailbox-morning.toml")),
    ("file-day", include_str!("../scenarios/file-day.toml")),
];

/// A scenario and what goes with it.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What it is for and what it measures, in words.
    pub about: String,
    /// The scenario.
    pub scenario: Scenario,
    /// What is demanded of it.
    pub thresholds: Thresholds,
    /// How long late messages are waited for.
    pub patience: Duration,
}

/// A file, as it is written. All but its name may be missing, and is then as in `quick`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    about: String,
    rooms: Option<usize>,
    members: Option<usize>,
    speakers: Option<usize>,
    rate: Option<NonZeroU32>,
    #[serde(default, deserialize_with = "some_duration")]
    duration: Option<Duration>,
    #[serde(default, deserialize_with = "some_duration")]
    warmup: Option<Duration>,
    size: Option<Size>,
    seed: Option<u64>,
    e2ee: Option<bool>,
    #[serde(default)]
    acknowledge: Acknowledge,
    #[serde(default)]
    transport: Transport,
    #[serde(default)]
    closed: bool,
    send: Option<Kind>,
    threshold: Option<String>,
    #[serde(default, deserialize_with = "some_duration")]
    patience: Option<Duration>,
    ramp: Option<WrittenRamp>,
    #[serde(default)]
    act: Vec<WrittenAct>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Octets(usize),
    Words(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRamp {
    steps: u32,
    factor: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAct {
    what: What,
    who: usize,
    #[serde(deserialize_with = "duration")]
    at: Duration,
    #[serde(default, deserialize_with = "some_duration")]
    over: Option<Duration>,
    #[serde(default, deserialize_with = "some_duration")]
    back: Option<Duration>,
    #[serde(default, deserialize_with = "some_duration")]
    every: Option<Duration>,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    units::duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

impl Recipe {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
        let quick = Scenario::default();
        let thresholds = written.threshold.as_deref().map(str::parse).transpose()?;
        let size = match written.size {
            None => quick.size,
            Some(Size::Octets(octets)) => octets,
            Some(Size::Words(words)) => {
                usize::try_from(units::octets(&words)?).unwrap_or(usize::MAX)
            }
        };
        let act = |act: WrittenAct| Act {
            what: act.what,
            who: act.who,
            at: act.at,
            over: act.over.unwrap_or_default(),
            back: act.back,
            every: act.every,
        };
        let scenario = Scenario {
            name: written.name,
            rooms: written.rooms.unwrap_or(quick.rooms),
            members: written.members.unwrap_or(quick.members),
            speakers: written.speakers.unwrap_or(usize::MAX),
            rate: written.rate.unwrap_or(quick.rate),
            duration: written.duration.unwrap_or(quick.duration),
            warmup: written.warmup.unwrap_or(quick.warmup),
            size,
            seed: written.seed.unwrap_or(quick.seed),
            level: if written.e2ee.unwrap_or(true) { Level::Sealed } else { Level::Open },
            acknowledge: written.acknowledge,
            transport: written.transport,
            kind: written.send.unwrap_or(Kind::Messages),
            closed: written.closed,
            ramp: written.ramp.map(|ramp| Ramp { steps: ramp.steps, factor: ramp.factor }),
            acts: written.act.into_iter().map(act).collect(),
        };
        scenario.schedule().map_err(|bad| bad.to_string())?;
        Ok(Self {
            about: written.about.trim().to_owned(),
            scenario,
            thresholds: thresholds.unwrap_or_default(),
            patience: written.patience.unwrap_or(PATIENCE),
        })
    }

    /// One of this repository.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Some(Self::read(text).expect("a test reads every scenario that is built in"))
    }
}

/// How long late messages are waited for, unless a file says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_repository_is_named_as_its_file_and_says_what_it_is_for() {
        for (name, text) in BUILT_IN {
            let recipe = Recipe::read(text).unwrap_or_else(|why| panic!("{name}: {why}"));

            assert_eq!(recipe.scenario.name, *name);
            assert!(recipe.about.len() > 80, "{name}: {}", recipe.about);
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap();
        assert_eq!(files.count(), BUILT_IN.len(), "a file is not built in");
    }

    const SMALL: &str =
        "name = 'x'\nabout = 'y'\nrooms = 1\nmembers = 2\nrate = 5\nduration = '3s'\n";

    #[test]
    fn what_a_file_leaves_out_is_as_in_quick() {
        let recipe = Recipe::read("name = 'x'").unwrap();

        let quick = Scenario { name: "x".into(), ..Scenario::default() };
        assert_eq!(recipe.scenario, quick);
        assert_eq!((recipe.patience, recipe.thresholds.0.len()), (PATIENCE, 0));
        assert!(Recipe::read("rooms = 1").unwrap_err().contains("name"));
    }

    #[test]
    fn everything_a_file_can_say_is_taken() {
        let more = "speakers = 1\nwarmup = '0s'\nsize = '4KiB'\nseed = 9\ne2ee = false\ntransport = 'wss'\nclosed = true\nsend = 'files'\n\
                    threshold = 'loss=0'\npatience = '1m'\n[ramp]\nsteps = 2\nfactor = 2.0\n\
                    [[act]]\nwhat = 'vanish'\nwho = 3\nat = '1s'\nover = '2s'\nback = '1s'\nevery = '5s'\n";

        let recipe = Recipe::read(&format!("{SMALL}{more}")).unwrap();

        let scenario = recipe.scenario;
        assert_eq!((scenario.speakers, scenario.size, scenario.seed), (1, 4096, 9));
        assert_eq!(
            (scenario.level, scenario.transport, scenario.kind, scenario.closed),
            (Level::Open, Transport::Wss, Kind::Files, true)
        );
        assert_eq!((scenario.steps(), scenario.guests(), recipe.thresholds.0.len()), (2, 3, 1));
        assert_eq!(recipe.patience, Duration::from_secs(60));
    }

    #[test]
    fn a_word_that_means_nothing_is_an_error_that_names_it() {
        let cases = [
            ("membres = 3\n", "membres"),
            ("size = '4 parsecs'\n", "parsecs"),
            ("threshold = 'p98<1ms'\n", "p98"),
            ("[[act]]\nwhat = 'dance'\nwho = 1\nat = '1s'\n", "dance"),
            ("[[act]]\nwhat = 'kick'\nwho = 0\nat = '1s'\n", "act 1"),
            ("[[act]]\nwhat = 'kick'\nwho = 1\nat = '1'\n", "duration"),
        ];
        for (line, named) in cases {
            let why = Recipe::read(&format!("{SMALL}{line}")).unwrap_err();
            assert!(why.contains(named), "{line}: {why}");
        }
    }
}
