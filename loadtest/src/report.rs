//! The result of a run, as `--json` prints it, and the verdict on it. `schema/quick-1.json` is its contract: a field
//! may be added under the same version, a changed meaning needs the next one. Pure.
use std::time::Duration;

use serde::Serialize;

use crate::book::{Book, Deliveries, ErrorCount, Sent};
use crate::latency::Figures;
use crate::scenario::Scenario;
use crate::threshold::{Judged, Thresholds};
use crate::usage::Usage;

/// The name of the schema.
pub const SCHEMA: &str = "conclave/loadtest-quick";
/// Its version.
pub const VERSION: u32 = 1;
/// The part of the measured p99 that the generator's own lag may have at its p99.
const LAG_SHARE_MAX: u64 = 10;
/// The least part of the machine, in percent, that must have had nothing to do: with less, whoever was late may have
/// waited for a CPU.
const IDLE_PERCENT_MIN: u64 = 10;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which schema this follows.
    pub schema: &'static str,
    /// Which version of it.
    pub version: u32,
    /// The verdict: of everything below, the worst.
    pub verdict: Verdict,
    /// What is wrong, in words. Empty when the verdict is `pass`.
    pub broken: Vec<String>,
    /// What was run.
    pub scenario: Ran,
    /// Where it was run.
    pub environment: Environment,
    /// Messages offered and carried in a second.
    pub rate: Rate,
    /// What became of the messages at their senders, warm-up included.
    pub messages: Sent,
    /// What became of them at their receivers, warm-up included.
    pub deliveries: Deliveries,
    /// From the intended start of a message to a receiver having decrypted it, in microseconds.
    pub latency_us: Figures,
    /// Whether the generator can be believed.
    pub generator: Generator,
    /// What the servers cost while measuring.
    pub servers: Vec<ServerCost>,
    /// The demands and whether they hold.
    pub thresholds: Vec<Judged>,
    /// What failed, by kind.
    pub errors: Vec<ErrorCount>,
    /// Milliseconds until everyone had joined, from the start of the servers.
    pub setup_ms: u64,
    /// Milliseconds of the whole run.
    pub elapsed_ms: u64,
}

/// The verdict on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing is wrong.
    Pass,
    /// Everything arrived, and a threshold was missed.
    Missed,
    /// A message was lost, doubled, changed, misdelivered or unreadable, or something failed.
    Failed,
}

impl Verdict {
    /// The exit code that says so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Failed => 1,
            Self::Missed => 99,
        }
    }
}

/// A scenario, as reported.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ran {
    /// Conferences.
    pub rooms: usize,
    /// Members in each.
    pub members: usize,
    /// Seconds measured.
    pub duration_secs: f64,
    /// Seconds sent before that.
    pub warmup_secs: f64,
    /// Octets of content in a message.
    pub size_octets: usize,
    /// What everything random was drawn from.
    pub seed: u64,
    /// Whether latency is from the intended start of a message: always.
    pub open_loop: bool,
    /// Whether the rooms were sealed: always.
    pub sealed: bool,
}

/// Where a run took place.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// The version of generator and servers: they are one executable.
    pub version: &'static str,
    /// `release`, or `debug`, whose figures say nothing about a deployment.
    pub profile: &'static str,
    /// CPUs that generator and servers share.
    pub cpus: usize,
    /// The kernel.
    pub kernel: String,
}

/// Messages in a second, over all rooms.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rate {
    /// As scheduled.
    pub offered: f64,
    /// Accepted: measured messages over the time until the last of them was accepted.
    pub achieved: f64,
}

/// The generator's look at itself.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// Whether the figures are the system's and not the generator's own.
    pub valid: bool,
    /// Why not, in words.
    pub why: Vec<String>,
    /// CPU it used while measuring: 100 is one CPU.
    pub cpu_percent: f64,
    /// CPU that nobody used while measuring: 100 is all of the machine.
    pub idle_percent: u64,
    /// From the intended start of a message to its being handed to the sender's device, in microseconds.
    pub lag_us: Figures,
}

/// What a server cost.
#[derive(Clone, Debug, Serialize)]
pub struct ServerCost {
    /// Which one.
    pub name: &'static str,
    /// Milliseconds of CPU while measuring.
    pub cpu_ms: u64,
    /// Microseconds of CPU for each arrival of a measured message.
    pub cpu_us_per_delivery: f64,
    /// Octets of memory at the end.
    pub rss_octets: u64,
    /// The most there were.
    pub rss_octets_max: u64,
}

/// What a process used while measuring.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Which process.
    pub name: &'static str,
    /// When measuring began.
    pub before: Usage,
    /// When it ended.
    pub after: Usage,
}

/// What a run observed besides its books.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Where it took place.
    pub environment: Environment,
    /// The generator.
    pub generator: Used,
    /// The servers.
    pub servers: Vec<Used>,
    /// CPU that nobody used while measuring, in percent of the machine, as its ticks saw it.
    pub idle_percent: u64,
    /// From the start of measuring until everything had arrived.
    pub measuring: Duration,
    /// Until everyone had joined.
    pub setup: Duration,
    /// The whole run.
    pub elapsed: Duration,
}

impl Used {
    /// CPU time while measuring.
    fn cpu(&self) -> Duration {
        self.after.cpu.saturating_sub(self.before.cpu)
    }
}

impl Observed {
    /// CPU that nobody used, in percent of the machine. The ticks of `/proc/stat` miss what runs between two of them, so
    /// it is at most what generator and servers left.
    fn idle_percent(&self) -> u64 {
        let used: Duration =
            self.servers.iter().map(Used::cpu).sum::<Duration>() + self.generator.cpu();
        let all = self.measuring.as_micros() * self.environment.cpus as u128;
        let used_percent = (used.as_micros() * 100).checked_div(all).unwrap_or(0);
        let left = 100_u64.saturating_sub(u64::try_from(used_percent).unwrap_or(100));
        self.idle_percent.min(left)
    }
}

impl Report {
    /// Draws it up.
    #[must_use]
    pub fn new(
        scenario: &Scenario,
        book: &Book,
        observed: &Observed,
        thresholds: &Thresholds,
    ) -> Self {
        let (sent, deliveries, errors) = (book.sent(), book.deliveries(), book.errors());
        let latency = book.latency();
        let generator = Generator::new(book, observed);
        let judge = |valid| {
            move |demand: &crate::threshold::Threshold| demand.judge(&latency, &deliveries, valid)
        };
        let thresholds: Vec<Judged> = thresholds.0.iter().map(judge(generator.valid)).collect();
        let faults = faults(&sent, &deliveries, &errors);
        let missed = thresholds.iter().filter(|judged| !judged.met);
        let missed: Vec<String> =
            missed.map(|judged| format!("{} is missed", judged.threshold)).collect();
        let verdict = match (faults.is_empty(), missed.is_empty()) {
            (false, _) => Verdict::Failed,
            (true, false) => Verdict::Missed,
            (true, true) => Verdict::Pass,
        };
        let arrivals = book.measured().delivered;
        Self {
            schema: SCHEMA,
            version: VERSION,
            verdict,
            broken: faults.into_iter().chain(missed).collect(),
            scenario: Ran::new(scenario),
            environment: observed.environment.clone(),
            rate: Rate::new(scenario, book),
            messages: sent,
            deliveries,
            latency_us: latency,
            generator,
            servers: observed.servers.iter().map(|used| ServerCost::new(used, arrivals)).collect(),
            thresholds,
            errors,
            setup_ms: millis(observed.setup),
            elapsed_ms: millis(observed.elapsed),
        }
    }
}

/// What no run may show, in words.
fn faults(sent: &Sent, deliveries: &Deliveries, errors: &[ErrorCount]) -> Vec<String> {
    let counts = [
        (deliveries.lost, "lost"),
        (deliveries.duplicated, "shown twice"),
        (deliveries.corrupt, "with content that nobody sent"),
        (deliveries.misdelivered, "at the wrong place or in a wrong name"),
        (deliveries.undecryptable, "undecryptable"),
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
    fn new(book: &Book, observed: &Observed) -> Self {
        let (lag, latency, dropped) = (book.lag(), book.latency(), book.sent().dropped);
        let mut why = Vec::new();
        if latency.count == 0 {
            why.push("nothing was measured".to_owned());
        } else if lag.p99 * LAG_SHARE_MAX > latency.p99 {
            why.push(format!(
                "the generator was late: lag p99 {} us is more than a tenth of the measured p99, {} us",
                lag.p99, latency.p99
            ));
        }
        if dropped > 0 {
            why.push(format!("the generator could not hand over {dropped} messages"));
        }
        let idle_percent = observed.idle_percent();
        if idle_percent < IDLE_PERCENT_MIN {
            why.push(format!("the machine had no CPU left: {idle_percent} % idle"));
        }
        let used = observed.generator.cpu();
        let cpu_percent = share(used.as_secs_f64() * 100.0, observed.measuring.as_secs_f64());
        Self { valid: why.is_empty(), why, cpu_percent, idle_percent, lag_us: lag }
    }
}

impl ServerCost {
    fn new(used: &Used, arrivals: u64) -> Self {
        let cpu = used.cpu();
        let arrivals = u32::try_from(arrivals).unwrap_or(u32::MAX);
        Self {
            name: used.name,
            cpu_ms: millis(cpu),
            cpu_us_per_delivery: share(cpu.as_secs_f64() * 1e6, arrivals.into()),
            rss_octets: used.after.rss_octets,
            rss_octets_max: used.after.rss_octets_max,
        }
    }
}

impl Rate {
    fn new(scenario: &Scenario, book: &Book) -> Self {
        let measured = book.measured();
        let until = measured.accepted_last.saturating_sub(scenario.warmup).max(scenario.duration);
        let accepted = u32::try_from(measured.accepted).unwrap_or(u32::MAX);
        Self {
            offered: scenario.rate.get().into(),
            achieved: share(accepted.into(), until.as_secs_f64()),
        }
    }
}

impl Ran {
    fn new(scenario: &Scenario) -> Self {
        Self {
            rooms: scenario.rooms,
            members: scenario.members,
            duration_secs: scenario.duration.as_secs_f64(),
            warmup_secs: scenario.warmup.as_secs_f64(),
            size_octets: scenario.size,
            seed: scenario.seed,
            open_loop: true,
            sealed: true,
        }
    }
}

/// A quotient with one decimal; 0 if there is nothing to divide by.
fn share(amount: f64, by: f64) -> f64 {
    if by > 0.0 { (amount / by * 10.0).round() / 10.0 } else { 0.0 }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
