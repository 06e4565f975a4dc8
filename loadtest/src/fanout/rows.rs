//! The loads under which the relay is compared with others, what is compared, and what is demanded. A table. Pure.
use std::time::Duration;

use super::Asked;
use super::drive::Until;
use super::msrp::Answer;
use super::report::Report;
use super::server::{Against, Setup};
use crate::units::float;

/// Which figure of a run is compared. Less is better in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Microseconds of the server's CPU for a delivery.
    Cpu,
    /// The same for a MiB of content.
    CpuPerMib,
    /// Microseconds from a message's intended start to a receiver having it, at the 99th percentile.
    P99,
    /// KiB of the server for a connection.
    Memory,
}

impl Figure {
    /// Its unit.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "us",
            Self::CpuPerMib => "us/MiB",
            Self::P99 => "us p99",
            Self::Memory => "KiB",
        }
    }

    /// The figure of a run.
    #[must_use]
    pub fn of(self, report: &Report) -> f64 {
        let octets = u32::try_from(report.octets).unwrap_or(u32::MAX);
        match self {
            Self::Cpu => report.server_us,
            Self::CpuPerMib => report.server_us * 1_048_576.0 / f64::from(octets),
            Self::P99 => float(report.latency_us.p99),
            Self::Memory => float(report.rss_per_connection) / 1024.0,
        }
    }
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contestant {
    /// The server.
    pub against: Against,
    /// Threads of the relay.
    pub shards: usize,
}

impl Contestant {
    const fn of(against: Against) -> Self {
        Self { against, shards: 1 }
    }

    /// Its name in a table.
    #[must_use]
    pub fn label(self) -> String {
        let name = self.against.name();
        if self.shards == 1 { name.to_owned() } else { format!("{name}, {} shards", self.shards) }
    }
}

/// What the relay's figure may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Demand {
    /// At most these multiples of this one's figure: what must be, and what is aimed at.
    Times(Contestant, f64, f64),
    /// At most these multiples of the best other's figure.
    TimesBest(f64, f64),
    /// At most this much.
    AtMost(f64, f64),
}

/// A load and what is demanded under it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What is compared.
    pub figure: Figure,
    /// The relay first.
    pub contestants: Vec<Contestant>,
    /// What is demanded.
    pub demands: Vec<Demand>,
    receivers: usize,
    octets: usize,
    window: usize,
    rate: Option<f64>,
    plain: bool,
    pair: bool,
}

const RELAY: Contestant = Contestant::of(Against::Mrfp);
const NATS: Contestant = Contestant::of(Against::Nats);
const MOSQUITTO: Contestant = Contestant::of(Against::Mosquitto);
const HAPROXY: Contestant = Contestant::of(Against::Haproxy);
const BARE: Contestant = Contestant::of(Against::Bare);
const TWO_SHARDS: Contestant = Contestant { against: Against::Mrfp, shards: 2 };

/// A fan-out over TLS to a hundred receivers of messages of 1 KiB, sixteen in flight.
fn fan_out(name: &'static str, title: &'static str, demands: &[Demand]) -> Row {
    Row {
        name,
        title,
        figure: Figure::Cpu,
        contestants: vec![RELAY, NATS, MOSQUITTO, BARE],
        demands: demands.to_vec(),
        receivers: 100,
        octets: 1024,
        window: 16,
        rate: None,
        plain: false,
        pair: false,
    }
}

/// Every row.
#[must_use]
pub fn rows() -> Vec<Row> {
    use Demand::{AtMost, Times, TimesBest};
    let plain = |name, title, demand| Row {
        contestants: vec![RELAY, BARE],
        plain: true,
        ..fan_out(name, title, &[demand])
    };
    vec![
        fan_out(
            "window",
            "100 receivers, 1 KiB, window 16",
            &[Times(NATS, 0.5, 0.35), Times(MOSQUITTO, f64::INFINITY, 0.25)],
        ),
        Row {
            window: 1,
            ..fan_out("single", "100 receivers, 1 KiB, one at a time", &[Times(NATS, 0.9, 0.65)])
        },
        Row {
            octets: 16 * 1024,
            ..fan_out("16k", "100 receivers, 16 KiB, window 16", &[Times(NATS, 0.3, 0.2)])
        },
        Row {
            receivers: 1000,
            ..fan_out("1000", "1000 receivers, 1 KiB, window 16", &[Times(NATS, 0.6, 0.4)])
        },
        plain("plain", "plain TCP, 100 receivers, 1 KiB, window 16", Times(BARE, 2.0, 1.6)),
        Row {
            window: 1,
            ..plain("plain-single", "plain TCP, 1 KiB, one at a time", Times(BARE, 2.0, 1.6))
        },
        Row {
            octets: 16 * 1024,
            ..plain("plain-16k", "plain TCP, 100 receivers, 16 KiB", Times(BARE, 2.0, 2.0))
        },
        Row {
            figure: Figure::CpuPerMib,
            contestants: vec![RELAY, HAPROXY],
            receivers: 1,
            octets: 1024 * 1024,
            window: 4,
            pair: true,
            ..fan_out("file", "one-to-one file, 1 MiB messages", &[Times(HAPROXY, 0.9, 0.6)])
        },
        Row {
            figure: Figure::Memory,
            receivers: 5000,
            ..fan_out("idle", "5000 idle TLS connections", &[AtMost(16.0, 8.0)])
        },
        Row {
            figure: Figure::P99,
            rate: Some(30_000.0),
            ..fan_out("p99", "30 000 deliveries/s, 100 receivers, 1 KiB", &[TimesBest(1.2, 0.8)])
        },
        Row {
            contestants: vec![TWO_SHARDS, RELAY],
            ..fan_out("shards", "two shards against one, window 16", &[Times(RELAY, 1.3, 1.15)])
        },
    ]
}

impl Row {
    /// One run of one contestant.
    #[must_use]
    pub fn asked(&self, who: Contestant, duration: Duration) -> Asked {
        let idle = self.figure == Figure::Memory;
        Asked {
            setup: Setup {
                against: who.against,
                relay: None,
                shards: who.shards,
                plain: self.plain,
                plant: None,
                stalls: None,
            },
            receivers: self.receivers,
            octets: self.octets,
            window: self.window,
            rate: self.rate,
            warmup: if idle { Duration::ZERO } else { Duration::from_millis(500) },
            until: if idle { Until::Messages(0) } else { Until::Time(duration) },
            patience: Duration::from_secs(10),
            answer: Answer::Ok,
            pair: self.pair && who.against == Against::Mrfp,
            growth_max: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_compares_with_somebody_who_takes_part() {
        let rows = rows();
        for (at, row) in rows.iter().enumerate() {
            assert!(rows[at + 1..].iter().all(|other| other.name != row.name), "{}", row.name);
            assert_eq!(row.contestants[0].against, Against::Mrfp);
            for demand in &row.demands {
                if let Demand::Times(other, must, aim) = demand {
                    assert!(row.contestants.contains(other) && aim <= must, "{}", row.name);
                }
            }
        }
    }

    #[test]
    fn an_idle_row_sends_nothing_and_the_others_do() {
        for row in rows() {
            let asked = row.asked(row.contestants[0], Duration::from_secs(1));
            assert_eq!(asked.until == Until::Messages(0), row.name == "idle");
            assert_eq!(asked.pair, row.name == "file");
        }
    }
}
