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
use crate::scenario::{Acknowledge, Level, Scenario};
use crate::stage::{Share, Stage};
use crate::threshold::Thresholds;
use crate::usage;
use crate::watch::{Exporter, Look, Server};

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
    /// Where the servers of that system say how they are.
    pub metrics: Vec<Exporter>,
    /// What the names of the conferences at that system begin with; none: other names in each run.
    pub prefix: Option<String>,
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
    let servers = site.servers(&asked)?;
    for server in &servers {
        // Better now than when everything is over.
        server.look().await?;
    }
    let (ended, watching) = watch::channel(false);
    let looking = tokio::spawn(look(servers, start, scenario.clone(), watching));
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
        unanswered: seen.unanswered,
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
            stored: asked.scenario.acknowledge == Acknowledge::Stored,
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

    /// The servers that can be looked at.
    fn servers(&self, asked: &Asked) -> anyhow::Result<Vec<Server>> {
        let Self::Own(system) = self else {
            let said = |exporter: &Exporter| {
                let (name, exporter) = (exporter.name.clone(), Some(exporter.clone()));
                Server { name, pid: None, exporter }
            };
            return Ok(asked.metrics.iter().map(said).collect());
        };
        let mut servers = Vec::new();
        for child in system.servers() {
            let name = child.name().to_owned();
            let authority = child.address("ops")?.to_owned();
            let exporter = Exporter { name: name.clone(), authority, path: "/metrics".to_owned() };
            servers.push(Server { name, pid: Some(child.id()?), exporter: Some(exporter) });
        }
        Ok(servers)
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
            Self::There(agents) => agents.run(&asked.manner(), (start, stop), tell).await,
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
    /// How often one did not say how it is.
    unanswered: u32,
}

/// Looks at what the servers and this process use, row by row, until the run has ended.
async fn look(
    servers: Vec<Server>,
    start: Instant,
    scenario: Scenario,
    mut ended: watch::Receiver<bool>,
) -> anyhow::Result<Seen> {
    let row = crate::book::row_length(&scenario);
    let warm = start + scenario.warmup;
    let mut ticks = tokio::time::interval_at(start.into(), row);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (mut samples, mut before, mut unanswered) = (Vec::new(), None, 0);
    loop {
        tokio::select! {
            _ended = ended.changed() => break,
            () = tokio::time::sleep_until(warm.into()), if before.is_none() => {
                before = Some(looks(&servers).await?);
            }
            tick = ticks.tick() => {
                let at = tick.into_std().saturating_duration_since(start);
                match sample(&servers).await {
                    Ok(processes) => samples.push(Sample { at, processes }),
                    // A child of ours is gone, which ends the run elsewhere; another's server may say more the next time.
                    Err(_) => unanswered += 1,
                }
            }
        }
    }
    let over = looks(&servers).await?;
    let before = before.unwrap_or_else(|| over.clone());
    let used = servers.iter().zip(before).zip(over).map(|((server, before), after)| Used {
        name: server.name.clone(),
        before: before.usage,
        after: after.usage,
        relayed: after.relayed.since(&before.relayed),
    });
    Ok(Seen { servers: used.collect(), samples, unanswered })
}

async fn looks(servers: &[Server]) -> anyhow::Result<Vec<Look>> {
    let mut looks = Vec::new();
    for server in servers {
        looks.push(server.look().await?);
    }
    Ok(looks)
}

/// What the generator has used, and each server.
async fn sample(servers: &[Server]) -> anyhow::Result<Vec<(String, usage::Usage)>> {
    let own = usage::of(std::process::id()).context("reading what this process has used")?;
    let mut used = vec![("loadtest".to_owned(), own)];
    for server in servers {
        used.push((server.name.clone(), server.usage().await?));
    }
    Ok(used)
}

fn since(then: Instant) -> Duration {
    service::clock::now().saturating_duration_since(then)
}
