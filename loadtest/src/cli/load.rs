//! What a load can be told, and the scenario it comes to.
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::acts::{Act, What};
use crate::conduct::Asked;
use crate::output::Output;
use crate::recipe::{PATIENCE, Recipe};
use crate::report::Limit;
use crate::scenario::{self, Acknowledge, Level, Scenario, Transport};
use crate::threshold::Thresholds;
use crate::units;
use crate::watch::Exporter;

/// Everything a load can be told. What is left out is as the scenario says.
#[derive(Clone, Debug, Args)]
pub struct Load {
    /// Conferences (default: of the scenario; quick 4)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rooms: Option<u32>,
    /// Members of each who stay, one device each (quick 5)
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub members: Option<u32>,
    /// How many of them speak (everybody)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub speakers: Option<u32>,
    /// Messages a second over all rooms, sent at their times whatever became of earlier ones (quick 50)
    #[arg(long, value_parser = rate)]
    pub rate: Option<NonZeroU32>,
    /// How long to measure (quick 10s, soak 1h, smoke 2s)
    #[arg(long, value_parser = units::duration)]
    pub duration: Option<Duration>,
    /// How long to send before measuring (quick 2s, soak 30s, smoke 200ms)
    #[arg(long, value_parser = units::duration)]
    pub warmup: Option<Duration>,
    /// Octets of content in a message or file, like 256 or 64KiB (quick 256)
    #[arg(long, value_parser = units::octets)]
    pub size: Option<u64>,
    /// What senders and contents are drawn from; the same seed repeats the schedule (1)
    #[arg(long)]
    pub seed: Option<u64>,
    /// Whether the rooms are sealed with a group key (on)
    #[arg(long, value_enum)]
    pub e2ee: Option<Switch>,
    /// When a message is acknowledged; a system of --target has to be told so itself (relayed)
    #[arg(long, value_enum)]
    pub acknowledge: Option<Acknowledge>,
    /// What MSRP of the members runs over (tls)
    #[arg(long, value_enum)]
    pub transport: Option<Transport>,
    /// Have each speaker wait for an answer before the next message; latencies then hide stalls, and the result says so
    #[arg(long)]
    pub closed: bool,
    /// What to demand, like 'p99<20ms,loss=0,epoch.p99<1s,achieved>=98,growth<8MiB'
    #[arg(long)]
    pub threshold: Option<Thresholds>,
    /// How long to wait for late messages at the end (10s)
    #[arg(long, value_parser = units::duration)]
    pub patience: Option<Duration>,
    /// How often to show progress
    #[arg(long, default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// End with 0 also if the generator was the bottleneck: for a check that only asks whether everything arrives
    #[arg(long)]
    pub allow_not_valid: bool,
    /// Load a system that runs already: the folder in which it left its directions, or the file with them
    #[arg(long, value_name = "FOLDER|FILE")]
    pub target: Option<PathBuf>,
    /// Where a server of --target says how it is, like mrfp=http://10.0.0.7:9100/metrics; may be given several times
    #[arg(long, value_name = "NAME=URL", requires = "target")]
    pub metrics: Vec<Exporter>,
    /// What the names of the conferences at --target begin with (load- and a number that no other run has)
    #[arg(long)]
    pub prefix: Option<String>,
    /// Share the rooms among so many generators on this machine
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub agents: Option<u8>,
    /// Have this command start a generator, like 'ssh load2 loadtest agent'; may be given several times
    #[arg(long, value_name = "COMMAND", conflicts_with = "agents")]
    pub agent: Vec<String>,
    /// What to write and where.
    #[command(flatten)]
    pub output: Output,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

/// A scenario to be run.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// A file, or the name of a scenario that is built in
    #[arg(required_unless_present = "list", default_value = "")]
    pub scenario: String,
    /// Say which scenarios are built in
    #[arg(long)]
    pub list: bool,
    /// The load.
    #[command(flatten)]
    pub load: Load,
}

/// A rate that grows.
#[derive(Clone, Debug, Args)]
pub struct Ramp {
    /// Steps at most; the first is --rate
    #[arg(long, default_value_t = 12)]
    pub steps: u32,
    /// By what each step is above the one before
    #[arg(long, default_value_t = 1.5)]
    pub factor: f64,
    /// The most that the p99 of a step may be (default: ten times that of the first)
    #[arg(long, value_parser = units::duration)]
    pub p99_max: Option<Duration>,
    /// The load.
    #[command(flatten)]
    pub load: Load,
}

/// Guests that come and go.
#[derive(Clone, Debug, Args)]
pub struct Churn {
    /// Guests of each room who join and leave
    #[arg(long, default_value_t = 4)]
    pub joining: usize,
    /// Guests of each room who are removed, spread over the run
    #[arg(long, default_value_t = 2)]
    pub kicked: usize,
    /// How long a guest who joins stays, and stays away
    #[arg(long, default_value = "3s", value_parser = units::duration)]
    pub stay: Duration,
    /// The load.
    #[command(flatten)]
    pub load: Load,
}

/// How long people come and go, unless told otherwise.
const CHURN: Duration = Duration::from_secs(20);

impl Load {
    pub(super) fn quick(&self) -> Result<Asked, String> {
        self.over(Scenario::default())
    }

    pub(super) fn smoke(&self) -> Result<Asked, String> {
        self.over(Scenario {
            name: "smoke".to_owned(),
            rooms: 1,
            members: 2,
            duration: Duration::from_secs(2),
            warmup: Duration::from_millis(200),
            ..Scenario::default()
        })
    }

    pub(super) fn soak(&self) -> Result<Asked, String> {
        self.over(Scenario {
            name: "soak".to_owned(),
            rate: NonZeroU32::MIN.saturating_add(19),
            duration: Duration::from_secs(3600),
            warmup: Duration::from_secs(30),
            ..Scenario::default()
        })
    }

    pub(super) fn built_in(&self, name: &str) -> Result<Asked, String> {
        let recipe = Recipe::built_in(name).ok_or("there is no such scenario")?;
        self.cook(recipe)
    }

    /// A scenario with what was said on the command line instead of what it says itself.
    fn cook(&self, recipe: Recipe) -> Result<Asked, String> {
        let mut asked = self.over(recipe.scenario)?;
        if self.threshold.is_none() {
            asked.thresholds = recipe.thresholds;
        }
        asked.patience = self.patience.unwrap_or(recipe.patience);
        Ok(asked)
    }

    fn over(&self, base: Scenario) -> Result<Asked, String> {
        let whole = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let scenario = Scenario {
            rooms: self.rooms.map_or(base.rooms, whole),
            members: self.members.map_or(base.members, whole),
            speakers: self.speakers.map_or(base.speakers, whole),
            rate: self.rate.unwrap_or(base.rate),
            duration: self.duration.unwrap_or(base.duration),
            warmup: self.warmup.unwrap_or(base.warmup),
            size: self.size.map_or(base.size, |size| usize::try_from(size).unwrap_or(usize::MAX)),
            seed: self.seed.unwrap_or(base.seed),
            level: match self.e2ee {
                None => base.level,
                Some(Switch::On) => Level::Sealed,
                Some(Switch::Off) => Level::Open,
            },
            acknowledge: self.acknowledge.unwrap_or(base.acknowledge),
            transport: self.transport.unwrap_or(base.transport),
            closed: base.closed || self.closed,
            ..base
        };
        if let Some(speakers) = self.speakers.map(whole).filter(|said| *said > scenario.members) {
            return Err(format!(
                "--speakers {speakers} are more than the {} members of a room: less --speakers, or more --members",
                scenario.members
            ));
        }
        scenario.schedule().map_err(|bad: scenario::BadScenario| bad.to_string())?;
        let asked = Asked {
            scenario,
            thresholds: self.threshold.clone().unwrap_or_default(),
            patience: self.patience.unwrap_or(PATIENCE),
            interval: self.interval,
            limit: Limit::First,
            target: self.target.clone(),
            metrics: self.metrics.clone(),
            prefix: self.prefix.clone(),
            agents: self.commands()?,
        };
        asked.check()?;
        Ok(asked)
    }

    fn commands(&self) -> Result<Vec<Vec<String>>, String> {
        if let Some(count) = self.agents {
            let program = std::env::current_exe().map_err(|error| error.to_string())?;
            let command = vec![program.to_string_lossy().into_owned(), "agent".to_owned()];
            return Ok(vec![command; usize::from(count)]);
        }
        let words = |command: &String| command.split_whitespace().map(str::to_owned).collect();
        Ok(self.agent.iter().map(words).collect())
    }
}

impl Run {
    pub(super) fn asked(&self) -> Result<Asked, String> {
        let recipe = match Recipe::built_in(&self.scenario) {
            Some(recipe) => recipe,
            None => {
                let text = std::fs::read_to_string(Path::new(&self.scenario))
                    .map_err(|error| unread(&self.scenario, &error))?;
                Recipe::read(&text).map_err(|why| format!("{}: {why}", self.scenario))?
            }
        };
        self.load.cook(recipe)
    }
}

impl Ramp {
    pub(super) fn asked(&self) -> Result<Asked, String> {
        let asked = self.load.over(Scenario {
            name: "ramp".to_owned(),
            duration: Duration::from_secs(5),
            ramp: Some(scenario::Ramp { steps: self.steps, factor: self.factor }),
            ..Scenario::default()
        })?;
        Ok(Asked { limit: self.p99_max.map_or(Limit::First, Limit::P99), ..asked })
    }
}

impl Churn {
    pub(super) fn asked(&self) -> Result<Asked, String> {
        let every = self.stay * 2;
        let duration = self.load.duration.unwrap_or(CHURN);
        let at = Duration::from_secs(1).min(duration / 10);
        let rest = duration.saturating_sub(at);
        let act = |what, who| Act {
            what,
            who,
            at,
            over: every.min(rest),
            back: Some(self.stay),
            every: Some(every),
        };
        let kick = Act { over: rest, back: None, every: None, ..act(What::Kick, self.kicked) };
        let acts = [act(What::Join, self.joining), kick];
        self.load.over(Scenario {
            name: "churn".to_owned(),
            rooms: 2,
            duration: CHURN,
            acts: acts.into_iter().filter(|act| act.who > 0).collect(),
            ..Scenario::default()
        })
    }
}

/// Why there is no text of a scenario file.
fn unread(path: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!(
            "{path:?} is neither a scenario that is built in (`loadtest run --list`) nor a file: {error}"
        ),
        std::io::ErrorKind::InvalidData => {
            format!("the file {path:?} is no scenario: a scenario is TOML in UTF-8")
        }
        _ => format!("the file {path:?} cannot be read: {error}"),
    }
}

fn rate(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_no_rate| "a whole number, at least 1".to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = units::duration(text)?;
    if interval < Duration::from_millis(10) {
        Err("at least 10ms".to_owned())
    } else {
        Ok(interval)
    }
}
