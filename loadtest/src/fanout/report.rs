//! What a run showed: figures for people, or one JSON object. Pure.
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Asked;
use super::drive::Ran;
use super::ledger::Counts;
use super::server::Against;
use crate::latency::Figures;
use crate::report::{CLOSED, late};
use crate::units::float;

/// The name and version of the JSON object.
pub const SCHEMA: &str = "conclave/loadtest-fanout-1";

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which schema this follows.
    pub schema: &'static str,
    /// The server.
    pub against: Against,
    /// Whether it spoke without TLS.
    pub plain: bool,
    /// Threads of the relay that carry connections.
    pub shards: usize,
    /// Receivers.
    pub receivers: usize,
    /// Octets of content in a message.
    pub octets: usize,
    /// Messages in flight, in a closed loop.
    pub window: Option<usize>,
    /// Deliveries a second that were offered, in an open loop.
    pub offered_per_sec: Option<f64>,
    /// What became of all messages, warm-up included.
    pub counts: Counts,
    /// Seconds measured.
    pub seconds: f64,
    /// Deliveries while measuring.
    pub deliveries: u64,
    /// The same in a second.
    pub deliveries_per_sec: f64,
    /// CPU of the server for each of them, in microseconds: user and system.
    pub server_us: f64,
    /// CPU of the server: 100 is one CPU.
    pub server_cpu_percent: f64,
    /// CPU of the generator for each of them, in microseconds.
    pub generator_us: f64,
    /// CPU of the generator: 100 is one CPU.
    pub generator_cpu_percent: f64,
    /// CPU that nobody used: 100 is all of the machine.
    pub idle_percent: u64,
    /// Messages that the sender gave to its socket at once, on average.
    pub messages_per_write: f64,
    /// From a message's start (closed loop) or its intended start (open loop) to one receiver having all of it.
    pub latency_us: Figures,
    /// From the intended start of a message to its leaving, in an open loop.
    pub lag_us: Figures,
    /// Resident octets of the server before anybody connected.
    pub rss_empty: u64,
    /// Resident octets with everybody connected and nothing sent, for each connection.
    pub rss_per_connection: u64,
    /// The most there ever were.
    pub rss_max: u64,
    /// Resident octets every quarter of a second from the end of the warm-up on.
    pub rss: Vec<u64>,
    /// Why the latencies are the generator's own and not the server's, if they are.
    pub not_valid: Option<String>,
    /// What is wrong. Empty is good.
    pub broken: Vec<String>,
}

/// Memory of the server around the set-up.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Before anybody connected.
    pub empty: u64,
    /// With everybody connected.
    pub seated: u64,
}

impl Report {
    /// Draws it up.
    #[must_use]
    pub fn new(asked: &Asked, memory: Memory, ran: Ran) -> Self {
        let (before, after) = (ran.before, ran.after);
        let seconds = after.at.saturating_sub(before.at).as_secs_f64();
        let deliveries = after.delivered - before.delivered;
        let server = after.server.cpu.saturating_sub(before.server.cpu);
        let generator = after.generator.cpu.saturating_sub(before.generator.cpu);
        let connections = count(asked.receivers) + 1;
        Self {
            schema: SCHEMA,
            against: asked.setup.against,
            plain: asked.setup.plain,
            shards: asked.setup.shards,
            receivers: asked.receivers,
            octets: asked.octets,
            window: asked.rate.is_none().then_some(asked.window),
            offered_per_sec: asked.rate,
            counts: ran.counts,
            seconds,
            deliveries,
            deliveries_per_sec: quotient(float(deliveries), seconds),
            server_us: each(server, deliveries),
            server_cpu_percent: quotient(server.as_secs_f64() * 100.0, seconds),
            generator_us: each(generator, deliveries),
            generator_cpu_percent: quotient(generator.as_secs_f64() * 100.0, seconds),
            idle_percent: after.machine.idle_percent_since(before.machine),
            messages_per_write: quotient(float(ran.counts.sent), float(ran.writes)),
            latency_us: ran.latency,
            lag_us: ran.lag,
            not_valid: asked.rate.and_then(|_| late(&ran.latency, &ran.lag)),
            rss_empty: memory.empty,
            rss_per_connection: memory.seated.saturating_sub(memory.empty) / connections,
            rss_max: after.server.rss_octets_max,
            broken: broken(&ran.counts, ran.accepted, asked)
                .into_iter()
                .chain(asked.growth_max.and_then(|octets_max| growth(&ran.rss, octets_max)))
                .collect(),
            rss: ran.rss,
        }
    }
}

fn broken(counts: &Counts, accepted: u64, asked: &Asked) -> Vec<String> {
    let mut broken = Vec::new();
    let faults = [
        (counts.lost, "lost"),
        (counts.duplicated, "delivered again"),
        (counts.corrupt, "with other octets than were sent"),
    ];
    let faults = faults.into_iter().filter(|(count, _)| *count > 0);
    broken.extend(faults.map(|(count, what)| format!("{count} {what}")));
    if asked.setup.against.answers() && accepted != counts.sent {
        broken.push(format!("{accepted} of {} messages were answered", counts.sent));
    }
    broken
}

/// What is wrong with the memory of a run: its last quarter must not be above its first by more than this. Medians, so
/// that one batch under way in the first sample hides nothing, and one in the last shows nothing.
fn growth(rss: &[u64], octets_max: u64) -> Option<String> {
    let quarter = rss.len() / 4;
    if quarter == 0 {
        return Some("the run was too short to say anything about memory".to_owned());
    }
    let (first, last) = (rss.get(..quarter)?, rss.get(rss.len() - quarter..)?);
    let (first, last) = (median(first.to_vec())?, median(last.to_vec())?);
    let grown = last.saturating_sub(first);
    (grown > octets_max)
        .then(|| format!("the server grew by {} KiB, from {} KiB", grown / 1024, first / 1024))
}

fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

fn each(cpu: Duration, deliveries: u64) -> f64 {
    quotient(cpu.as_secs_f64() * 1e6, float(deliveries))
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A quotient, 0 if there is nothing to divide by.
fn quotient(amount: f64, by: f64) -> f64 {
    if by > 0.0 { amount / by } else { 0.0 }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receivers, octets, latency_us: latency, counts, .. } = self;
        let load = match (self.window, self.offered_per_sec) {
            (Some(window), _) => format!("window {window}"),
            (None, Some(rate)) => format!("{rate:.0} deliveries/s offered"),
            (None, None) => String::new(),
        };
        let plain = if self.plain { ", no TLS" } else { "" };
        writeln!(
            f,
            "{}: {receivers} receivers, {octets} octets, {load}{plain}",
            self.against.name()
        )?;
        writeln!(
            f,
            "  server     {:.3} us CPU a delivery ({:.0} %)   generator {:.3} us ({:.0} %)   idle {} %",
            self.server_us,
            self.server_cpu_percent,
            self.generator_us,
            self.generator_cpu_percent,
            self.idle_percent
        )?;
        writeln!(
            f,
            "  carried    {:.0} deliveries/s over {:.2} s, {:.1} messages a write",
            self.deliveries_per_sec, self.seconds, self.messages_per_write
        )?;
        writeln!(
            f,
            "  latency    p50 {} us  p99 {}  p99.9 {}  max {}",
            latency.p50, latency.p99, latency.p99_9, latency.max
        )?;
        match self.offered_per_sec {
            Some(_) => {
                writeln!(f, "  lag        p50 {} us  p99 {}", self.lag_us.p50, self.lag_us.p99)?;
            }
            None => writeln!(f, "  {CLOSED}")?,
        }
        writeln!(
            f,
            "  memory     {:.1} KiB a connection, {:.1} MiB empty, {:.1} MiB at most",
            float(self.rss_per_connection) / 1024.0,
            float(self.rss_empty) / 1_048_576.0,
            float(self.rss_max) / 1_048_576.0
        )?;
        let Counts { sent, delivered, lost, duplicated, corrupt } = counts;
        write!(
            f,
            "  checked    {sent} sent, {delivered} delivered, {lost} lost, {duplicated} doubled, {corrupt} corrupt"
        )?;
        self.not_valid.iter().try_for_each(|why| write!(f, "\nNOT VALID {why}"))?;
        self.broken.iter().try_for_each(|what| write!(f, "\nFAIL {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_steadily_is_found_and_a_peak_is_not() {
        let steady: Vec<u64> = (0..100).map(|at| (10_000 + at) * 1024).collect();
        let mut peak = vec![10_000 * 1024; 100];
        peak[60] = 90_000 * 1024;
        peak[99] = 20_000 * 1024;

        assert!(growth(&steady, 50 * 1024).is_some());
        assert_eq!(growth(&steady, 80 * 1024), None);
        assert_eq!(growth(&peak, 0), None);
        assert!(growth(&peak[..3], 0).is_some(), "too short");
    }
}
