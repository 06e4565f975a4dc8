//! `loadtest fanout`: one sender, many receivers, raw messages, no group keys: what a delivery costs the relay, next to what
//! it costs others. The generator checks every octet that arrives and fails the run on any fault.
//!
//! ```sh
//! cargo run --release -p loadtest -- fanout --receivers 100 --octets 1024 --window 16
//! cargo run --release -p loadtest -- fanout --against nats --window 1
//! cargo run --release -p loadtest -- fanout --rate 30000 --seconds 5 --json
//! ```
//!
//! `loadtest peers`, or `make bench-peers`, compares the relay with others under a table of loads (`rows`), in rounds whose
//! order rotates; `make bench-peers ROW=window` runs one load in less than a minute.
//!
//! The server is a process of its own on loopback; the generator is one thread of this one. It plays the focus (`focus`),
//! takes all seats (`line`), and runs the load (`drive`): with a window it sends the next message when the oldest has
//! reached everybody (a closed loop), with a rate at its time (an open loop, latency from the intended start). The CPU of
//! the server is user and system time of its process, over the deliveries between the end of the warm-up and the last
//! message sent; `/proc` counts in steps of 10 ms.
//!
//! | file | what it is |
//! |---|---|
//! | `content` | what each message holds (pure) |
//! | `ledger` | what became of it at each receiver (pure) |
//! | `speech`, `msrp`, `nats`, `mqtt` | how to say it and what is heard (pure) |
//! | `line` | a connection |
//! | `drive` | the loop |
//! | `focus` | the room and its seats |
//! | `server` | the process under load |
//! | `bare` | the smallest switch there can be, as a limit |
//! | `report` | the result (pure) |
//! | `rows`, `table` | the loads of the comparison with others, and its table (pure) |
//! | `peers` | the comparison |
pub mod bare;
pub mod cli;
pub mod content;
pub mod drive;
pub mod focus;
pub mod ledger;
pub mod line;
pub mod mqtt;
pub mod msrp;
pub mod nats;
pub mod peers;
pub mod report;
pub mod rows;
pub mod server;
pub mod speech;
pub mod table;

use std::time::Duration;

use anyhow::Context;
use control::{Level, Transport};
use service::tls::ClientAuth;

use crate::usage;
use content::Content;
use drive::{Course, Member, Until, drive, greet};
use focus::Focus;
use ledger::Ledger;
use line::Line;
use mqtt::Mqtt;
use msrp::{Answer, Msrp};
use nats::Nats;
use report::{Memory, Report};
use server::{Against, Server, Setup};
use speech::Speech;

/// What a run was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The server.
    pub setup: Setup,
    /// Receivers, at least one.
    pub receivers: usize,
    /// Octets of content in a message.
    pub octets: usize,
    /// Messages in flight.
    pub window: usize,
    /// Deliveries a second, instead of a window.
    pub rate: Option<f64>,
    /// How long to send before measuring.
    pub warmup: Duration,
    /// When to stop.
    pub until: Until,
    /// How long nothing may arrive although something is in flight.
    pub patience: Duration,
    /// Whether receivers answer.
    pub answer: Answer,
    /// A one-to-one session instead of a room; it has one receiver.
    pub pair: bool,
    /// Octets by which the server may grow from the end of the warm-up on.
    pub growth_max: Option<u64>,
}

impl Asked {
    fn course(&self) -> Course {
        let receivers = u32::try_from(self.receivers).unwrap_or(u32::MAX);
        Course {
            window: self.window.max(1),
            rate: self.rate.map(|rate| rate / f64::from(receivers)),
            warmup: self.warmup,
            until: self.until,
            answered: self.setup.against.answers(),
            patience: self.patience,
        }
    }
}

/// Runs it.
///
/// # Errors
/// The server does not start or refuses; a connection ends. What arrives wrong is no error: it is in the report.
pub fn run(asked: &Asked) -> anyhow::Result<Report> {
    let server = Server::start(&asked.setup)?;
    match asked.setup.against {
        Against::Mrfp => {
            let control = server.control.context("the relay has no control listener")?;
            let level = if asked.pair { Level::Pair } else { Level::Open };
            let transport = if asked.setup.plain { Transport::Tcp } else { Transport::Tls };
            let (focus, paths) =
                Focus::open(&server.ca, control, asked.receivers + 1, (level, transport))?;
            let answer = asked.answer;
            let speeches = paths.iter().map(|paths| Msrp::new(&paths.seat, &paths.own, answer));
            let report = load(asked, &server, &msrp::wrapper(), speeches);
            drop(focus);
            report
        }
        Against::Bare => {
            let path = |seat| format!("msrps://ua{seat}.example.net:9/u{seat};tcp");
            let seats = 0..=asked.receivers;
            let speeches =
                seats.map(|seat| Msrp::new("msrps://bare:9/s;tcp", &path(seat), asked.answer));
            load(asked, &server, &msrp::wrapper(), speeches)
        }
        Against::Haproxy => between(asked, &server),
        Against::Nats => {
            let receivers = std::iter::repeat_n(Nats::Subscriber, asked.receivers);
            load(asked, &server, b"", std::iter::once(Nats::Publisher).chain(receivers))
        }
        Against::Mosquitto => {
            let receivers = (0..asked.receivers).map(Mqtt::Subscriber);
            load(asked, &server, b"", std::iter::once(Mqtt::Publisher).chain(receivers))
        }
    }
}

/// One connection into haproxy and one out of it, whose two ends speak with each other.
fn between(asked: &Asked, server: &Server) -> anyhow::Result<Report> {
    anyhow::ensure!(asked.receivers == 1, "haproxy has one receiver");
    let empty = usage::of(server.id())?.rss_octets;
    let client = line::tls(server.ca.roots()?)?;
    let client = (!asked.setup.plain).then_some(&client);
    let identity = server.ca.issue(&[line::SERVER_NAME])?;
    let config = service::tls::server_config(&identity, ClientAuth::None, &[])?;
    let line = Line::connect(server.address, client, false)?;
    let (socket, _) = server.behind.as_ref().context("nothing is behind it")?.accept()?;
    let tls = client.map(|_| rustls::ServerConnection::new(config)).transpose()?;
    let behind = Line::over(socket, tls.map(rustls::Connection::Server))?;
    let (one, two) = ("msrps://ua0.example.net:9/u0;tcp", "msrps://ua1.example.net:9/u1;tcp");
    let mut members = [
        Member { line, speech: Msrp::new(two, one, asked.answer) },
        Member { line: behind, speech: Msrp::new(one, two, asked.answer) },
    ];
    let memory = Memory { empty, seated: usage::of(server.id())?.rss_octets };
    finish(asked, server, &mut members, &msrp::wrapper(), memory)
}

/// Connects everybody, the sender first, and runs the load.
fn load<S: Speech>(
    asked: &Asked,
    server: &Server,
    wrapper: &[u8],
    speeches: impl Iterator<Item = S>,
) -> anyhow::Result<Report> {
    let rss = || usage::of(server.id()).map(|usage| usage.rss_octets);
    let empty = rss()?;
    let tls = line::tls(server.ca.roots()?)?;
    let tls = (!asked.setup.plain).then_some(&tls);
    let clear = asked.setup.against == Against::Nats;
    let connect = |(at, speech): (usize, S)| -> anyhow::Result<Member<S>> {
        let member = Line::connect(server.address, tls, clear).and_then(|line| greet(line, speech));
        member.with_context(|| format!("connection {at}"))
    };
    let members: anyhow::Result<Vec<Member<S>>> = speeches.enumerate().map(connect).collect();
    let mut members = members?;
    let memory = Memory { empty, seated: rss()? };
    finish(asked, server, &mut members, wrapper, memory)
}

fn finish<S: Speech>(
    asked: &Asked,
    server: &Server,
    members: &mut [Member<S>],
    wrapper: &[u8],
    memory: Memory,
) -> anyhow::Result<Report> {
    let content = Content::new(wrapper, asked.octets);
    let ledger = Ledger::new(content, asked.receivers, asked.warmup);
    let ran = drive(members, ledger, asked.course(), server.id())?;
    Ok(Report::new(asked, memory, ran))
}
