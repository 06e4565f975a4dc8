//! The result of a run, as `--json` prints it. `schema/report-2.json` is its contract: a field may be added under the same
//! version, a changed meaning needs the next one. How it is drawn up is in `draw`, what a step of a ramp shows in `steps`, what
//! holds for every command in `rules`. Pure.
mod draw;
mod rules;
mod steps;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::book::{Deliveries, ErrorCount, Guests, Row, Sent};
use crate::latency::{Figures, Latencies};
use crate::scenario::{Acknowledge, Kind, Level, Transport};
use crate::threshold::Judged;
pub use draw::{Generation, Observed, Sample, Used};
pub(crate) use rules::{CLOSED, ended, late, worn_out};
pub use steps::{Limit, Step, strain};

/// The name of the schema.
pub const SCHEMA: &str = "conclave/loadtest";
/// Its version.
pub const VERSION: u32 = 2;

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which schema this follows.
    pub schema: String,
    /// Which version of it.
    pub version: u32,
    /// The verdict: of everything below, the worst.
    pub verdict: Verdict,
    /// What is wrong, in words. Empty when the verdict is `pass`.
    pub broken: Vec<String>,
    /// What has to be known to read the figures, in words.
    pub notes: Vec<String>,
    /// What was run.
    pub scenario: Ran,
    /// Where it was run.
    pub environment: Environment,
    /// Messages offered and carried in a second.
    pub rate: Rate,
    /// What became of the messages at their senders, warm-up included.
    pub messages: Sent,
    /// What became of them at the receivers who stay, warm-up included.
    pub deliveries: Deliveries,
    /// The same by room, for rooms in which something is wrong.
    pub rooms: Rooms,
    /// What became of those who come and go.
    pub guests: Guests,
    /// From the intended start of a message to a receiver having decrypted it, in microseconds.
    pub latency_us: Figures,
    /// The same as a histogram.
    pub latency_histogram: Latencies,
    /// What else was measured, by its word.
    pub measures: BTreeMap<String, Measured>,
    /// Step by step, if the rate grew; otherwise one.
    pub steps: Vec<Step>,
    /// The most that was carried in a step without strain, in messages a second; only if the rate grew.
    pub knee: Option<f64>,
    /// Whether the generator can be believed.
    pub generator: Generator,
    /// What the servers cost while measuring.
    pub servers: Vec<ServerCost>,
    /// The demands and whether they hold.
    pub thresholds: Vec<Judged>,
    /// What failed, by kind.
    pub errors: Vec<ErrorCount>,
    /// Over time.
    pub timeline: Timeline,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// Milliseconds until everyone had joined, from the start of the servers.
    pub setup_ms: u64,
    /// Milliseconds of the whole run.
    pub elapsed_ms: u64,
}

/// The verdict on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is wrong.
    Pass,
    /// Everything arrived, and a threshold was missed.
    Missed,
    /// Everything arrived, and the generator was the bottleneck: the figures say nothing about the system.
    NotValid,
    /// A message was lost, doubled, changed, misdelivered, leaked or unreadable, or something failed.
    Failed,
}

impl Verdict {
    /// The exit code that says so.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Failed => 1,
            Self::NotValid => NOT_VALID,
            Self::Missed => 99,
        }
    }
}

/// The exit code of a result that says nothing about the system.
pub const NOT_VALID: u8 = 3;

/// A scenario, as reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// What it is called.
    pub name: String,
    /// Conferences.
    pub rooms: usize,
    /// Members who stay, in each.
    pub members: usize,
    /// Those of them who speak.
    pub speakers: usize,
    /// Guests of each room.
    pub guests: usize,
    /// What they do, in words.
    pub acts: Vec<String>,
    /// When they begin to.
    pub marks: Vec<Mark>,
    /// Seconds measured.
    pub duration_secs: f64,
    /// Seconds sent before that.
    pub warmup_secs: f64,
    /// Octets of content in a message or file.
    pub size_octets: usize,
    /// What everything random was drawn from.
    pub seed: u64,
    /// Whether latency is from the intended start of a message.
    pub open_loop: bool,
    /// Protection of the rooms.
    pub level: Level,
    /// When a message was acknowledged.
    #[serde(default)]
    pub acknowledge: Acknowledge,
    /// What MSRP ran over.
    #[serde(default)]
    pub transport: Transport,
    /// What was sent.
    pub kind: Kind,
    /// Generators that shared the rooms.
    pub agents: usize,
    /// Whether the system was one of its own, on loopback.
    pub own_system: bool,
}

/// When guests begin to do something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Seconds from the start of the run, warm-up included.
    pub at_secs: f64,
    /// What they do.
    pub what: String,
}

/// Where a run took place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The version of the generator, and of the servers if they are its own.
    pub version: String,
    /// `release`, or `debug`, whose figures say nothing about a deployment.
    pub profile: String,
    /// CPUs of the generator's machine.
    pub cpus: usize,
    /// What they are.
    pub cpu_model: String,
    /// The kernel.
    pub kernel: String,
    /// When it began (RFC 3339).
    pub began: String,
    /// How it was started.
    pub command: String,
}

/// Messages in a second, over all rooms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// As scheduled.
    pub offered: f64,
    /// Accepted: measured messages over the time until the last of them was accepted.
    pub achieved: f64,
    /// Arrivals of measured messages in that time.
    pub deliveries: f64,
}

/// Deliveries by room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rooms {
    /// Rooms.
    pub count: usize,
    /// Rooms in which everything arrived as it should.
    pub clean: usize,
    /// The others, the first hundred of them.
    pub faulty: Vec<FaultyRoom>,
}

/// A room in which something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultyRoom {
    /// Its number, from 0.
    pub room: usize,
    /// Arrivals that had to happen.
    pub expected: u64,
    /// Those that did not.
    pub lost: u64,
    /// Shown again.
    pub duplicated: u64,
    /// Shown with content that nobody sent.
    pub corrupt: u64,
    /// Shown at the wrong place or in a wrong name.
    pub misdelivered: u64,
    /// Shown after a later one of the same sender: a fault where nothing is sealed.
    #[serde(default)]
    pub reordered: u64,
    /// Not decrypted.
    pub undecryptable: u64,
    /// Shown to somebody who was out.
    pub leaked: u64,
}

/// Something measured besides the latency of messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What it is, in words.
    pub about: String,
    /// In microseconds.
    pub us: Figures,
    /// The same as a histogram.
    pub histogram: Latencies,
}

/// The generator's look at itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Whether the figures are the system's and not the generator's own.
    pub valid: bool,
    /// Why not, in words.
    pub why: Vec<String>,
    /// CPU it used while measuring: 100 is one CPU. Of several, all of it.
    pub cpu_percent: f64,
    /// CPU that nobody used while measuring: 100 is all of the machine. Of several machines, the least.
    pub idle_percent: u64,
    /// From the intended start of a message to its being handed to the sender's device, in microseconds.
    pub lag_us: Figures,
}

/// What a server cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerCost {
    /// Which one.
    pub name: String,
    /// Milliseconds of CPU while measuring.
    pub cpu_ms: u64,
    /// Microseconds of CPU for each arrival of a measured message.
    pub cpu_us_per_delivery: f64,
    /// Octets of memory at the end.
    pub rss_octets: u64,
    /// The most there were.
    pub rss_octets_max: u64,
    /// By how many octets the median of the last quarter of the run is above that of the first.
    pub rss_growth_octets: i64,
    /// What it added to each chunk, if it relays and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayAdded>,
}

/// From a chunk's last octet at the relay to the end of its writes, as the relay itself counts it. The relay counts in
/// steps, so each is a bound that this part is not above; none: it is above the last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayAdded {
    /// Chunks relayed while measuring.
    pub chunks: u64,
    /// Microseconds that half of them did not take longer than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// Microseconds that 99 of 100 did not take longer than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
}

/// A run over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Milliseconds of a row. The warm-up comes first.
    pub row_ms: u64,
    /// The rows.
    pub rows: Vec<Row>,
    /// What generator and servers used, from time to time.
    pub usage: Vec<Usages>,
}

/// What processes used up to a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usages {
    /// Milliseconds from the start of the run.
    pub at_ms: u64,
    /// CPU since the sample before, by process: 100 is one CPU.
    pub cpu_percent: BTreeMap<String, f64>,
    /// Memory, by process.
    pub rss_octets: BTreeMap<String, u64>,
}

#[cfg(test)]
pub(crate) mod tests;
