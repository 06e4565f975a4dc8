//! Conducts a run: starts a system or finds one, seats everybody with one generator or several, lets them load it, looks at
//! the servers meanwhile, and draws up the report.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use conclave::system::{Directions, Plan, System};
use tokio::sync::watch;

use crate::agent::Agents;
use crate::engine::{Engine, LEAD, Manner, Outcome};
use crate::environment;
use crate::live::Live;
use crate::report::{Limit, Observed, Report, Sample, Used};
use crate::scenario::{Level, Scenario};
use crate::stage::{Share, Stage};
use crate::threshold::Thresholds;
use crate::usage::{self, Usage};

/// Connections beyond one for each device and each of its requests.
const SPARE_CONNECTIONS: usize = 64;

/// What a run was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What to run.
    pub scenario: Scenario,
    /// What is demanded of it.
    pub thresholds: Thresholds,
    /// How long late messages are waited for when everything has been sent.
    pub patience: Duration,
    /// How often progress is shown.
    pub interval: Duration,
    /// The most that the p99 of a step of a ramp may be.
    pub limit: Limit,
    /// The directions of a system that runs already, or the folder they are in.
    pub target: Option<PathBuf>,
    /// What the names of the conferences at that system begin with.
    pub prefix: String,
    /// Commands that each start a generator; none: this process is the only one.
    pub agents: Vec<Vec<String>>,
}

/// Runs it.
///
/// # Errors
/// The system does not start, somebody cannot join, or a server ends. A lost message is no error: it is in the report.
pub async fn run(asked: Asked) -> anyhow::Result<Report> {
    let begun = service::clock::now();
    let scenario = &asked.scenario;
    let environment = environment::seen();
    let live = Live::start(scenario);
    if scenario.closed {
        live.note(&format!("warning: {}", crate::report::CLOSED));
    }
    let (stopping, stop) = watch::channel(false);
    let listening = tokio::spawn(interrupts(stopping));
    let mut site = Site::open(&asked, &live).await?;
    let stage = Arc::new(site.stage(&asked)?);
    live.say(&format!(
        "seating {} devices in {} rooms",
        scenario.everybody().count(),
        scenario.rooms
    ));
    let ready = tokio::select! {
        ready = Generators::prepare(&asked, &stage, &live) => ready?,
        error = site.failed() => return Err(error),
        () = stopped(stop.clone()) => anyhow::bail!("interrupted before the load began"),
    };
    let setup = since(begun);
    let start = service::clock::now() + LEAD;
    let processes = site.processes()?;
    let (ended, watching) = watch::channel(false);
    let looking = tokio::spawn(look(processes, start, scenario.clone(), watching));
    let outcomes = tokio::select! {
        outcomes = ready.run(&asked, start, stop, &live) => outcomes?,
        error = site.failed() => return Err(error),
    };
    // Nobody listens if looking has failed, which is told below.
    let _gone = ended.send(true);
    let seen = looking.await.context("looking at the servers")??;
    listening.abort();
    live.finish();
    let own_system = site.is_own();
    site.close().await?;
    let (mut parts, mut generators, mut interrupted) = (None, Vec::new(), false);
    for outcome in outcomes {
        generators.push(outcome.generation);
        interrupted |= outcome.interrupted;
        match &mut parts {
            None => parts = Some(outcome.part),
            Some(part) => part.add(outcome.part),
        }
    }
    let part = parts.context("there was no generator")?;
    let observed = Observed {
        environment,
        generators,
        servers: seen.servers,
        samples: seen.samples,
        setup,
        elapsed: since(begun),
        interrupted,
        own_system,
    };
    Ok(Report::new(scenario, part, &observed, &asked.thresholds, asked.limit))
}

/// Ctrl-C ends the load and not the report.
async fn interrupts(stopping: watch::Sender<bool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        let _over = stopping.send(true);
    }
    std::future::pending::<()>().await;
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The system under load.
enum Site {
    Own(Box<System>),
    Found(Directions),
}

impl Site {
    async fn open(asked: &Asked, live: &Live) -> anyhow::Result<Self> {
        if let Some(target) = &asked.target {
            return Ok(Self::Found(directions(target)?));
        }
        live.say("starting the servers");
        let count = asked.scenario.everybody().count();
        let plan = Plan {
            users: asked.scenario.everybody().map(crate::scenario::Place::user).collect(),
            connections_max: Plan::default().connections_max.max(count * 4 + SPARE_CONNECTIONS),
            level: match asked.scenario.level {
                Level::Sealed => client::Level::Sealed,
                Level::Open => client::Level::Open,
            },
            ..Plan::default()
        };
        Ok(Self::Own(Box::new(System::start(&plan).await?)))
    }

    fn stage(&self, asked: &Asked) -> anyhow::Result<Stage> {
        match self {
            Self::Own(system) => Ok(Stage::own(system.directions().clone(), &asked.scenario)),
            Self::Found(directions) => {
                Stage::found(directions.clone(), asked.prefix.clone(), &asked.scenario)
            }
        }
    }

    const fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// The processes to be looked at: the generator first.
    fn processes(&self) -> anyhow::Result<Vec<(String, u32)>> {
        let mut processes = vec![("loadtest".to_owned(), std::process::id())];
        if let Self::Own(system) = self {
            for server in system.servers() {
                processes.push((server.name().to_owned(), server.id()?));
            }
        }
        Ok(processes)
    }

    async fn failed(&mut self) -> anyhow::Error {
        match self {
            Self::Own(system) => system.failed().await,
            Self::Found(_) => std::future::pending().await,
        }
    }

    async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Own(system) => system.stop().await,
            Self::Found(_) => Ok(()),
        }
    }
}

fn directions(target: &std::path::Path) -> anyhow::Result<Directions> {
    if target.is_dir() {
        return Directions::read(target);
    }
    let text = std::fs::read_to_string(target)
        .with_context(|| format!("reading the directions in {}", target.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not understood", target.display()))
}

/// One generator in this process, or several of their own.
enum Generators {
    Here(Box<Engine>),
    There(Agents),
}

impl Generators {
    async fn prepare(asked: &Asked, stage: &Arc<Stage>, live: &Live) -> anyhow::Result<Self> {
        if asked.agents.is_empty() {
            let tell = |what: &str| live.say(what);
            let engine = Engine::prepare(stage, &asked.scenario, Share::WHOLE, tell).await?;
            return Ok(Self::Here(Box::new(engine)));
        }
        let agents = Agents::start(&asked.agents, &asked.scenario, stage, &asked.manner()).await?;
        Ok(Self::There(agents))
    }

    async fn run(
        self,
        asked: &Asked,
        start: Instant,
        stop: watch::Receiver<bool>,
        live: &Live,
    ) -> anyhow::Result<Vec<Outcome>> {
        let tell = |at: Duration, interval: &_| live.progress(at, &asked.scenario, interval);
        match self {
            Self::Here(engine) => Ok(vec![engine.run(&asked.manner(), start, stop, tell).await?]),
            Self::There(agents) => agents.run(stop, |what| live.say(what)).await,
        }
    }
}

impl Asked {
    fn manner(&self) -> Manner {
        Manner { patience: self.patience, interval: self.interval, limit: self.limit }
    }
}

/// What was seen of the servers.
struct Seen {
    servers: Vec<Used>,
    samples: Vec<Sample>,
}

/// Looks at what processes use, row by row, until the run has ended.
async fn look(
    processes: Vec<(String, u32)>,
    start: Instant,
    scenario: Scenario,
    mut ended: watch::Receiver<bool>,
) -> anyhow::Result<Seen> {
    let row = crate::book::row_length(&scenario);
    let warm = start + scenario.warmup;
    let mut ticks = tokio::time::interval_at(start.into(), row);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (mut samples, mut before) = (Vec::new(), None);
    let over = loop {
        tokio::select! {
            _ended = ended.changed() => break usages(&processes)?,
            () = tokio::time::sleep_until(warm.into()), if before.is_none() => {
                before = Some(usages(&processes)?);
            }
            tick = ticks.tick() => {
                let at = tick.into_std().saturating_duration_since(start);
                samples.push(Sample { at, processes: usages(&processes)? });
            }
        }
    };
    let before = before.unwrap_or_else(|| over.clone());
    let used = before.into_iter().zip(over).skip(1);
    let servers = used.map(|((name, before), (_, after))| Used { name, before, after }).collect();
    Ok(Seen { servers, samples })
}

fn usages(processes: &[(String, u32)]) -> anyhow::Result<Vec<(String, Usage)>> {
    let read = |(name, pid): &(String, u32)| {
        let usage = usage::of(*pid).with_context(|| format!("reading what {name} has used"))?;
        Ok((name.clone(), usage))
    };
    processes.iter().map(read).collect()
}

fn since(then: Instant) -> Duration {
    service::clock::now().saturating_duration_since(then)
}
