//! `loadtest quick`: starts a system of its own on loopback, fills it, loads it, and draws up the report.
use std::time::{Duration, Instant};

use anyhow::Context;
use conclave::system::{Plan, System};
use tokio::sync::mpsc;
use tokio::time::{self, MissedTickBehavior};

use crate::book::{Book, Note};
use crate::fleet::Fleet;
use crate::live::Live;
use crate::report::{Environment, Observed, Report, Used};
use crate::scenario::{Scenario, Shot};
use crate::threshold::Thresholds;
use crate::usage::{self, Machine, Usage};

/// Notes that wait for the book.
const NOTES_MAX: usize = 64 * 1024;
/// Notes taken at once.
const NOTES_AT_ONCE: usize = 256;
/// From the end of the set-up to the start of the run, so that the first message is not late already.
const LEAD: Duration = Duration::from_millis(50);
/// Connections beyond one for each device and each of its requests.
const SPARE_CONNECTIONS: usize = 64;

/// What `quick` was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What to run.
    pub scenario: Scenario,
    /// Its schedule.
    pub shots: Vec<Shot>,
    /// What is demanded of it.
    pub thresholds: Thresholds,
    /// How long late messages are waited for when everything has been sent.
    pub patience: Duration,
    /// How often progress is shown.
    pub interval: Duration,
}

/// Runs it.
///
/// # Errors
/// The system does not start, somebody cannot join, or a server ends. A lost message is no error: it is in the report.
pub async fn run(asked: Asked) -> anyhow::Result<Report> {
    let begun = service::clock::now();
    let scenario = asked.scenario;
    let live = Live::start(&scenario);
    live.say("starting the servers");
    let plan = Plan {
        users: scenario.places().map(crate::scenario::Place::user).collect(),
        connections_max: Plan::default()
            .connections_max
            .max(scenario.places().count() * 4 + SPARE_CONNECTIONS),
        ..Plan::default()
    };
    let mut system = System::start(&plan).await?;
    live.say(&format!("joining {} devices in {} rooms", scenario.places().count(), scenario.rooms));
    let directions = system.directions().clone();
    let fleet = tokio::select! {
        fleet = Fleet::join(&directions, &scenario, &live) => fleet?,
        error = system.failed() => return Err(error),
    };
    let setup = since(begun);
    let (book, measuring) = load(&asked, fleet, &mut system, &live).await?;
    live.finish();
    let observed = Observed {
        environment: environment(),
        generator: measuring.generator,
        servers: measuring.servers,
        idle_percent: measuring.idle_percent,
        measuring: measuring.time,
        setup,
        elapsed: since(begun),
    };
    system.stop().await?;
    Ok(Report::new(&scenario, &book, &observed, &asked.thresholds))
}

/// What was measured besides messages.
#[derive(Debug)]
struct Measuring {
    generator: Used,
    servers: Vec<Used>,
    idle_percent: u64,
    time: Duration,
}

/// Sends everything and keeps the book until all has arrived or patience has ended.
async fn load(
    asked: &Asked,
    fleet: Fleet,
    system: &mut System,
    live: &Live,
) -> anyhow::Result<(Book, Measuring)> {
    let scenario = &asked.scenario;
    let mut book = Book::new(*scenario, asked.shots.clone());
    let (to, mut notes) = mpsc::channel(NOTES_MAX);
    let start = service::clock::now() + LEAD;
    let run = fleet.run(scenario, asked.shots.clone(), start, &to);
    let warm = start + scenario.warmup;
    let end = warm + scenario.duration + asked.patience;
    let mut before = None;
    let mut ticks = time::interval_at((start + asked.interval).into(), asked.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut batch = Vec::with_capacity(NOTES_AT_ONCE);
    while !book.complete() {
        tokio::select! {
            biased;
            () = time::sleep_until(warm.into()), if before.is_none() => {
                before = Some((service::clock::now(), Machine::now()?, usages(system)?));
            }
            error = system.failed() => return Err(error),
            tick = ticks.tick() => {
                let at = tick.into_std().saturating_duration_since(start);
                live.progress(at, scenario.warmup, &book.interval());
            }
            _count = notes.recv_many(&mut batch, NOTES_AT_ONCE) => {
                batch.drain(..).for_each(|note: Note| book.note(note));
            }
            () = time::sleep_until(end.into()) => break,
        }
    }
    let (since_warm, machine, before) =
        before.context("the run ended before anything was measured")?;
    let time = since(since_warm);
    let after = usages(system)?;
    let idle_percent = Machine::now()?.idle_percent_since(machine);
    drop(run);
    let mut used = before.into_iter().zip(after).map(|((name, before), (_, after))| Used {
        name,
        before,
        after,
    });
    let generator = used.next().context("the generator's own usage comes first")?;
    Ok((book, Measuring { generator, servers: used.collect(), idle_percent, time }))
}

/// What generator and servers have cost so far, the generator first.
fn usages(system: &System) -> anyhow::Result<Vec<(&'static str, Usage)>> {
    let own = ("loadtest", std::process::id());
    let mut usages = Vec::new();
    for server in system.servers() {
        usages.push((server.name(), server.id()?));
    }
    usages.insert(0, own);
    let read = |(name, pid): (&'static str, u32)| {
        let usage = usage::of(pid).with_context(|| format!("reading what {name} has used"));
        usage.map(|usage| (name, usage))
    };
    usages.into_iter().map(read).collect()
}

fn environment() -> Environment {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Environment {
        version: env!("CARGO_PKG_VERSION"),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        cpus: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        kernel: kernel.trim().to_owned(),
    }
}

fn since(then: Instant) -> Duration {
    service::clock::now().saturating_duration_since(then)
}
