//! Conducts a run: starts a system or finds one, seats everybody with one generator or several, lets them load it, looks at
//! the servers meanwhile, and draws up the report.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use conclave::system::{Directions, Plan, System};
use futures_util::future::join_all;
use ids::ConferenceId;
use service::shutdown::Shutdown;
use tokio::sync::watch;

use crate::agent::Agents;
use crate::book::{ErrorCount, Part};
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
    let stopping = Arc::new(stopping);
    let signals = Shutdown::new();
    signals.on_signals()?;
    signals.on_hangup()?;
    let listening = tokio::spawn(interrupts(signals, Arc::clone(&stopping)));
    let mut site = Site::open(&asked, &live).await?;
    let stage = Arc::new(site.stage(&asked)?);
    let servers = site.servers(&asked)?;
    for server in &servers {
        // Better now than when somebody has a seat, or when everything is over.
        server.look().await?;
    }
    let (everybody, rooms) = (scenario.everybody().count(), scenario.rooms);
    live.say(&format!("seating {everybody} devices in {rooms} rooms"));
    let ready = tokio::select! {
        ready = Generators::prepare(&asked, &stage, stop.clone(), &live) => ready?,
        error = site.failed() => return Err(error),
    };
    let setup = since(begun);
    let start = service::clock::now() + LEAD;
    let (ended, watching) = watch::channel(false);
    let looking = tokio::spawn(look(servers, start, scenario.clone(), watching));
    let ran = load(&asked, (ready, &mut site), start, (&stopping, stop), &live).await?;
    // Nobody listens if looking has failed, which is told below.
    let _gone = ended.send(true);
    let seen = looking.await.context("looking at the servers")?;
    listening.abort();
    live.finish();
    let own_system = site.is_own();
    let closed = site.close().await;
    let (mut parts, mut generators, mut interrupted) = (None::<Part>, Vec::new(), false);
    for outcome in ran.outcomes {
        generators.push(outcome.generation);
        interrupted |= outcome.interrupted;
        match &mut parts {
            None => parts = Some(outcome.part),
            Some(part) => part.add(outcome.part),
        }
    }
    let mut part = parts.context("there was no generator")?;
    part.errors.extend(ran.ended);
    // Of a server that has ended nothing new is said.
    if let Err(error) = closed
        && part.errors.iter().all(|known| known.what != SERVER)
    {
        part.errors.push(fault(SERVER, &error));
    }
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

/// Runs the generators. A server of our own that ends by itself ends the load, and not the report.
async fn load(
    asked: &Asked,
    (ready, site): (Generators, &mut Site),
    start: Instant,
    (stopping, stop): (&watch::Sender<bool>, watch::Receiver<bool>),
    live: &Live,
) -> anyhow::Result<Ran> {
    let running = ready.run(asked, start, stop, live);
    tokio::pin!(running);
    tokio::select! {
        ran = &mut running => ran,
        error = site.failed() => {
            live.note(&format!("{error:#}"));
            stopping.send_replace(true);
            let mut ran = running.await.with_context(|| format!("{error:#}"))?;
            ran.ended.push(fault(SERVER, &error));
            Ok(ran)
        }
    }
}

/// What an error of a server is told as.
const SERVER: &str = "server";

pub(crate) fn fault(what: &str, error: &anyhow::Error) -> ErrorCount {
    ErrorCount { what: what.to_owned(), count: 1, first: format!("{error:#}") }
}

/// What generators come to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcomes: Vec<Outcome>,
    /// What ended before it should.
    pub(crate) ended: Vec<ErrorCount>,
}

/// A signal ends the load and not the report; a second one ends everything.
async fn interrupts(signals: Shutdown, stopping: Arc<watch::Sender<bool>>) {
    signals.triggered().await;
    stopping.send_replace(true);
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
    async fn prepare(
        asked: &Asked,
        stage: &Arc<Stage>,
        stop: watch::Receiver<bool>,
        live: &Live,
    ) -> anyhow::Result<Self> {
        if asked.agents.is_empty() {
            let tell = |what: &str| live.say(what);
            let engine = Engine::prepare(stage, &asked.scenario, Share::WHOLE, stop, tell).await?;
            return Ok(Self::Here(Box::new(engine)));
        }
        let manner = asked.manner();
        let agents = Agents::start(&asked.agents, &asked.scenario, stage, &manner, stop).await?;
        Ok(Self::There(agents))
    }

    async fn run(
        self,
        asked: &Asked,
        start: Instant,
        stop: watch::Receiver<bool>,
        live: &Live,
    ) -> anyhow::Result<Ran> {
        let tell = |at: Duration, interval: &_| live.progress(at, &asked.scenario, interval);
        match self {
            Self::Here(engine) => {
                let outcome = engine.run(&asked.manner(), start, stop, tell).await?;
                Ok(Ran { outcomes: vec![outcome], ended: Vec::new() })
            }
            Self::There(agents) => agents.run(asked, (start, stop), tell).await,
        }
    }
}

impl Asked {
    /// Whether it can be done at all, before anything is touched.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(prefix) = &self.prefix {
            let last = format!("{prefix}-{}", self.scenario.rooms.saturating_sub(1));
            let named: Result<ConferenceId, _> = last.parse();
            named.map_err(|bad| format!("--prefix: {bad}"))?;
        }
        if self.agents.iter().any(Vec::is_empty) {
            return Err("--agent needs a command that starts a generator".to_owned());
        }
        let (agents, rooms) = (self.agents.len(), self.scenario.rooms);
        if agents > rooms {
            return Err(format!(
                "{agents} agents and {rooms} rooms: a room is not divided, so that one clock times a delivery"
            ));
        }
        Ok(())
    }

    pub(crate) fn manner(&self) -> Manner {
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
) -> Seen {
    let row = crate::book::row_length(&scenario);
    let warm = start + scenario.warmup;
    let mut ticks = tokio::time::interval_at(start.into(), row);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (mut samples, mut before, mut unanswered) = (Vec::new(), None, 0);
    loop {
        tokio::select! {
            _ended = ended.changed() => break,
            () = tokio::time::sleep_until(warm.into()), if before.is_none() => {
                before = Some(looks(&servers).await);
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
    let over = looks(&servers).await;
    let before = before.unwrap_or_else(|| over.clone());
    let mut used = Vec::new();
    for ((server, before), after) in servers.iter().zip(before).zip(over) {
        // Of a server that does not say how it was there is nothing to tell.
        let (Some(before), Some(after)) = (before, after) else {
            unanswered += 1;
            continue;
        };
        let relayed = after.relayed.since(&before.relayed);
        let name = server.name.clone();
        used.push(Used { name, before: before.usage, after: after.usage, relayed });
    }
    Seen { servers: used, samples, unanswered }
}

async fn looks(servers: &[Server]) -> Vec<Option<Look>> {
    join_all(servers.iter().map(|server| async { server.look().await.ok() })).await
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
