//! Draws the report up: from the books and from what was observed beside them to figures and a verdict. Pure.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rules::{CLOSED, late};
use super::steps::knee;
use super::{
    Environment, FaultyRoom, Generator, Limit, Mark, Measured, Ran, Rate, RelayAdded, Report,
    Rooms, SCHEMA, ServerCost, Step, Timeline, Usages, VERSION, Verdict,
};
use crate::acts::Act;
use crate::book::{Deliveries, ErrorCount, Measure, Part, Room, Sent};
use crate::latency::Figures;
use crate::scenario::{Level, Scenario};
use crate::threshold::{Judged, Seen, Thresholds};
use crate::units::float;
use crate::usage::Usage;
use crate::watch::Delays;

/// The least part of the machine, in percent, that must have had nothing to do: with less, whoever was late may have
/// waited for a CPU.
const IDLE_PERCENT_MIN: u64 = 10;
/// Rooms with a fault that are told of one by one.
const FAULTY_MAX: usize = 100;

/// What a process used while measuring.
#[derive(Clone, Debug)]
pub struct Used {
    /// Which process.
    pub name: String,
    /// When measuring began.
    pub before: Usage,
    /// When it ended.
    pub after: Usage,
    /// What it has relayed meanwhile, by how long that took.
    pub(crate) relayed: Delays,
}

/// What a generator observed of itself while measuring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// CPU time it used.
    pub cpu: Duration,
    /// How long that was.
    pub time: Duration,
    /// CPU that nobody used, in percent of its machine, as the machine's ticks saw it.
    pub idle_percent: u64,
    /// CPUs of its machine.
    pub cpus: usize,
}

/// What processes had used at a time of the run.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Duration,
    /// Each process.
    pub processes: Vec<(String, Usage)>,
}

/// What a run observed besides its books.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Where it took place.
    pub environment: Environment,
    /// The generators.
    pub generators: Vec<Generation>,
    /// The servers, if they can be looked at.
    pub servers: Vec<Used>,
    /// How often one did not say how it is.
    pub unanswered: u32,
    /// What processes had used from time to time.
    pub samples: Vec<Sample>,
    /// Until everyone had joined.
    pub setup: Duration,
    /// The whole run.
    pub elapsed: Duration,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// Whether the servers are its own.
    pub own_system: bool,
}

impl Used {
    /// CPU time while measuring.
    fn cpu(&self) -> Duration {
        self.after.cpu.saturating_sub(self.before.cpu)
    }
}

impl Observed {
    /// CPU that nobody used, in percent of the machine that had least. The ticks of `/proc/stat` miss what runs between
    /// two of them, so it is at most what generator and servers left.
    fn idle_percent(&self) -> u64 {
        // Another's servers are on other machines.
        let here = self.servers.iter().filter(|_| self.own_system);
        let servers: Duration = here.map(Used::cpu).sum();
        let left = |generation: &Generation| {
            let all = generation.time.as_micros() * generation.cpus as u128;
            let used = generation.cpu + servers;
            let percent = (used.as_micros() * 100).checked_div(all).unwrap_or(0);
            let left = 100_u64.saturating_sub(u64::try_from(percent).unwrap_or(100));
            generation.idle_percent.min(left)
        };
        self.generators.iter().map(left).min().unwrap_or(0)
    }
}

impl Report {
    /// Draws it up.
    #[must_use]
    pub fn new(
        scenario: &Scenario,
        part: Part,
        observed: &Observed,
        thresholds: &Thresholds,
        limit: Limit,
    ) -> Self {
        let (sent, deliveries) = (part.messages, Room::sum(&part.rooms));
        let histogram = part.latency();
        let latency = histogram.figures();
        let generator = Generator::new(&part, &latency, observed);
        let steps = Step::all(scenario, (&part.steps, part.cut_at), limit);
        let rate = Rate::new(scenario, &part, steps.len());
        let arrivals = part.steps.iter().map(|step| step.counts.delivered).sum();
        let server = |used: &Used| ServerCost::new(used, arrivals, &observed.samples);
        let servers: Vec<ServerCost> = observed.servers.iter().map(server).collect();
        let seen = Seen {
            latency,
            deliveries,
            measures: part.measures.iter().map(|(what, of)| (*what, of.figures())).collect(),
            achieved_percent: percent(rate.achieved, rate.offered),
            growth_octets: servers.iter().map(|server| server.rss_growth_octets).max().unwrap_or(0),
            knee: knee(scenario, &steps),
            valid: generator.valid,
        };
        let thresholds: Vec<Judged> =
            thresholds.0.iter().map(|demand| demand.judge(&seen)).collect();
        let faults = faults(scenario.level, (&sent, &deliveries), &part.errors);
        let (verdict, broken) = verdict(faults, &generator, &thresholds);
        Self {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            verdict,
            broken,
            notes: notes(scenario, observed),
            scenario: Ran::new(scenario, observed),
            environment: observed.environment.clone(),
            rate,
            messages: sent,
            deliveries,
            rooms: Rooms::new(&part.rooms, scenario.rooms, scenario.level),
            guests: part.guests,
            latency_us: latency,
            latency_histogram: histogram,
            measures: measures(&part),
            knee: seen.knee,
            steps,
            generator,
            servers,
            thresholds,
            timeline: Timeline::new(&part, &observed.samples),
            errors: part.errors,
            interrupted: observed.interrupted,
            setup_ms: millis(observed.setup),
            elapsed_ms: millis(observed.elapsed),
        }
    }
}

fn verdict(
    faults: Vec<String>,
    generator: &Generator,
    judged: &[Judged],
) -> (Verdict, Vec<String>) {
    let missed = judged.iter().filter(|judged| !judged.met);
    let missed: Vec<String> = missed.map(Judged::missed).collect();
    let verdict = match (faults.is_empty(), generator.valid, missed.is_empty()) {
        (false, ..) => Verdict::Failed,
        (true, false, _) => Verdict::NotValid,
        (true, true, false) => Verdict::Missed,
        (true, true, true) => Verdict::Pass,
    };
    (verdict, faults.into_iter().chain(generator.why.iter().cloned()).chain(missed).collect())
}

/// What has to be known to read the figures.
fn notes(scenario: &Scenario, observed: &Observed) -> Vec<String> {
    let mut notes = Vec::new();
    if scenario.closed {
        notes.push(CLOSED.to_owned());
    }
    if observed.interrupted {
        notes.push("interrupted: this is what was seen until then".to_owned());
    }
    if observed.unanswered > 0 {
        let times = observed.unanswered;
        notes.push(format!(
            "{times} times a server did not say how it is: its memory was looked at less often"
        ));
    }
    if observed.environment.profile == "debug" {
        notes.push("a debug build: its figures say nothing about a deployment".to_owned());
    }
    if observed.own_system {
        notes.push(
            "generator and servers shared one machine: compare runs on it, do not size a deployment by it".to_owned(),
        );
    }
    notes
}

/// What no run may show, in words.
fn faults(
    level: Level,
    (sent, deliveries): (&Sent, &Deliveries),
    errors: &[ErrorCount],
) -> Vec<String> {
    let counts = [
        (deliveries.lost, "lost"),
        (deliveries.duplicated, "shown twice"),
        (deliveries.corrupt, "with content that nobody sent"),
        (deliveries.misdelivered, "at the wrong place or in a wrong name"),
        (deliveries.disordered(level), "shown after a later one of the same sender"),
        (deliveries.undecryptable, "undecryptable"),
        (deliveries.leaked, "shown to somebody who had been removed"),
        (sent.failed, "refused or not answered in time"),
        (sent.unanswered, "without an answer when the run was given up"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let mut faults: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    if sent.accepted == 0 {
        faults.push("nothing was accepted".to_owned());
    }
    faults.extend(errors.iter().map(|error| format!("{}: {}", error.what, error.first)));
    faults
}

impl Generator {
    fn new(part: &Part, latency: &Figures, observed: &Observed) -> Self {
        let (lag, dropped) = (part.lag.figures(), part.messages.dropped);
        let mut why = Vec::new();
        if latency.count == 0 {
            why.push("nothing was measured".to_owned());
        } else {
            why.extend(late(latency, &lag));
        }
        if dropped > 0 {
            why.push(format!("the generator could not hand over {dropped} messages"));
        }
        let idle_percent = observed.idle_percent();
        if idle_percent < IDLE_PERCENT_MIN {
            why.push(format!("the machine had no CPU left: {idle_percent} % idle"));
        }
        let used = |generation: &Generation| {
            share(generation.cpu.as_secs_f64() * 100.0, generation.time.as_secs_f64())
        };
        let cpu_percent = observed.generators.iter().map(used).sum();
        Self { valid: why.is_empty(), why, cpu_percent, idle_percent, lag_us: lag }
    }
}

impl ServerCost {
    fn new(used: &Used, arrivals: u64, samples: &[Sample]) -> Self {
        let cpu = used.cpu();
        let rss = samples.iter().flat_map(|sample| &sample.processes);
        let rss: Vec<u64> =
            rss.filter(|(name, _)| *name == used.name).map(|(_, usage)| usage.rss_octets).collect();
        Self {
            name: used.name.clone(),
            cpu_ms: millis(cpu),
            cpu_us_per_delivery: share(cpu.as_secs_f64() * 1e6, float(arrivals)),
            rss_octets: used.after.rss_octets,
            rss_octets_max: rss.iter().copied().fold(used.after.rss_octets_max, u64::max),
            rss_growth_octets: growth(&rss),
            relay: RelayAdded::new(&used.relayed),
        }
    }
}

impl RelayAdded {
    fn new(relayed: &Delays) -> Option<Self> {
        let micros = |part| {
            let seconds = relayed.quantile(part)?;
            let micros = (seconds * 1e6).round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bound")]
            let micros = micros.is_finite().then_some(micros as u64);
            Some(micros)
        };
        let chunks = relayed.count();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let chunks = chunks as u64;
        Some(Self { chunks, p50_us: micros(0.5)?, p99_us: micros(0.99)? })
    }
}

/// The median of the last quarter less that of the first; 0 if there are too few.
fn growth(rss: &[u64]) -> i64 {
    let quarter = rss.len() / 4;
    let median = |part: Option<&[u64]>| {
        let mut part = part.unwrap_or_default().to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied().and_then(|octets| i64::try_from(octets).ok())
    };
    let (first, last) = (median(rss.get(..quarter)), median(rss.get(rss.len() - quarter..)));
    last.zip(first).map_or(0, |(last, first)| last - first)
}

impl Rate {
    fn new(scenario: &Scenario, part: &Part, steps: usize) -> Self {
        let begun = steps.max(1);
        let counts = part.steps.iter().take(begun).map(|step| &step.counts);
        let last = counts.clone().map(|counts| counts.accepted_last).max().unwrap_or_default();
        let begun = u32::try_from(begun).unwrap_or(1);
        let planned = match part.cut_at {
            // Nothing more was offered.
            Some(cut) => cut.saturating_sub(scenario.warmup).min(scenario.duration * begun),
            None => scenario.duration * begun,
        };
        let until = last.saturating_sub(scenario.warmup).max(planned);
        let accepted: u64 = counts.clone().map(|counts| counts.accepted).sum();
        let delivered: u64 = counts.map(|counts| counts.delivered).sum();
        let offered: f64 = (0..begun).map(|step| f64::from(scenario.rate_of(step).get())).sum();
        Self {
            offered: share(offered, begun.into()),
            achieved: share(float(accepted), until.as_secs_f64()),
            deliveries: share(float(delivered), until.as_secs_f64()),
        }
    }
}

impl Rooms {
    fn new(rooms: &[Room], count: usize, level: Level) -> Self {
        let heard = rooms.iter().map(|room| &room.deliveries).enumerate();
        let faulty = heard.filter(|(_, deliveries)| !deliveries.is_clean(level));
        let told = |(number, room): (usize, &Deliveries)| FaultyRoom {
            room: number,
            expected: room.expected,
            lost: room.lost,
            duplicated: room.duplicated,
            corrupt: room.corrupt,
            misdelivered: room.misdelivered,
            reordered: room.reordered,
            undecryptable: room.undecryptable,
            leaked: room.leaked,
        };
        let clean = count - faulty.clone().count().min(count);
        Self { count, clean, faulty: faulty.take(FAULTY_MAX).map(told).collect() }
    }
}

fn measures(part: &Part) -> BTreeMap<String, Measured> {
    let about = |what: &Measure| match what {
        Measure::Start => "a device starts: certificate, KeyPackages, registration",
        Measure::Seat => "from the INVITE to the seat over MSRP",
        Measure::Key => "from the seat to the group key",
        Measure::Enter => "from the time somebody is meant to come in, or back, to their group key",
        Measure::CatchUp => {
            "from the time somebody is meant to come back to the last message they were owed by then"
        }
        Measure::Kick => "from asking for a removal to its being accepted",
        Measure::Epoch => {
            "from the intended time of a change to each member being in an epoch with it"
        }
    };
    let measured = |(what, of): (&Measure, &crate::latency::Latencies)| {
        let measured =
            Measured { about: about(what).into(), us: of.figures(), histogram: of.clone() };
        (what.name().to_owned(), measured)
    };
    part.measures.iter().map(measured).collect()
}

impl Timeline {
    fn new(part: &Part, samples: &[Sample]) -> Self {
        let usage = samples.windows(2).filter_map(|two| {
            let [before, after] = two else { return None };
            let time = after.at.saturating_sub(before.at).as_secs_f64();
            let mut usages = Usages {
                at_ms: millis(after.at),
                cpu_percent: BTreeMap::new(),
                rss_octets: BTreeMap::new(),
            };
            for ((name, now), (_, then)) in after.processes.iter().zip(&before.processes) {
                let cpu = now.cpu.saturating_sub(then.cpu).as_secs_f64();
                usages.cpu_percent.insert(name.clone(), share(cpu * 100.0, time));
                usages.rss_octets.insert(name.clone(), now.rss_octets);
            }
            Some(usages)
        });
        Self { row_ms: millis(part.row), rows: part.rows.clone(), usage: usage.collect() }
    }
}

impl Ran {
    fn new(scenario: &Scenario, observed: &Observed) -> Self {
        Self {
            name: scenario.name.clone(),
            rooms: scenario.rooms,
            members: scenario.members,
            speakers: scenario.speakers.min(scenario.members),
            guests: scenario.guests(),
            acts: scenario.acts.iter().map(Act::to_string).collect(),
            marks: marks(scenario),
            duration_secs: scenario.measured().as_secs_f64(),
            warmup_secs: scenario.warmup.as_secs_f64(),
            size_octets: scenario.size,
            seed: scenario.seed,
            open_loop: !scenario.closed,
            level: scenario.level,
            acknowledge: scenario.acknowledge,
            transport: scenario.transport,
            kind: scenario.kind,
            agents: observed.generators.len(),
            own_system: observed.own_system,
        }
    }
}

fn marks(scenario: &Scenario) -> Vec<Mark> {
    let mark = |at: Duration, what: &str| Mark {
        at_secs: (scenario.warmup + at).as_secs_f64(),
        what: what.to_owned(),
    };
    let marks = |act: &Act| {
        let back = act.back.map(|back| mark(act.at + back, "back"));
        [Some(mark(act.at, act.what.name())), back].into_iter().flatten()
    };
    scenario.acts.iter().flat_map(marks).collect()
}

fn percent(part: f64, whole: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
    let percent = (share(part, whole) * 100.0).max(0.0) as u64;
    percent
}

/// A quotient with one decimal if it is large and three if it is small; 0 if there is nothing to divide by.
pub(super) fn share(amount: f64, by: f64) -> f64 {
    let quotient = if by > 0.0 { amount / by } else { 0.0 };
    let digits = if quotient < 10.0 { 1000.0 } else { 10.0 };
    (quotient * digits).round() / digits
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
