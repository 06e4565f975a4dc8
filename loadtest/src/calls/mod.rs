//! `loadtest sip`: registered phones on connections that stay open call conferences and hang up, while others write to each
//! other: what a call costs the focus.
//!
//! ```sh
//! cargo run --release -p loadtest -- sip --rate 1500
//! cargo run --release -p loadtest -- sip --window 64 --duration 20s --json
//! cargo run --release -p loadtest -- sip --calls 200000            # and the tables must be empty behind it
//! cargo run --release -p loadtest -- sip --against kamailio        # the same requests, answered without state
//! ```
//!
//! A call is INVITE with an offer, 200, ACK, BYE right behind it, 200. The answer to the INVITE waits for the seat, so a
//! relay runs beside the focus and gives it; nobody dials it, since what MSRP costs is for `fanout` to say. One participant
//! stays in each conference, so that no call makes or ends one.
//!
//! The server has one CPU, generator and relay share another. With `--rate` calls begin at their times and latency counts
//! from there (an open loop); with `--window` so many are in flight. CPU is user and system time of the server's process
//! over the measured calls, the messages beside them included.
//!
//! | file | what it is |
//! |---|---|
//! | `cli` | what can be typed |
//! | `text` | what is written and heard (pure) |
//! | `drive` | the phones |
//! | `house` | the servers |
//! | `report` | the result (pure) |
pub mod cli;
pub mod drive;
pub mod house;
pub mod report;
pub mod text;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context;
use service::clock;

use crate::report::{late, worn_out};
use crate::usage::{self, Usage};
use drive::{Phones, Tally};
use house::{Against, House};
use report::Report;
use text::Caller;

/// Registrations, or calls of those who stay, that are begun before the first is answered.
const AT_ONCE: usize = 48;
/// How often phones show that they are still there.
const KEEP_ALIVE: Duration = Duration::from_secs(100);
/// How often the clock is looked at when nothing comes in.
const TICK: Duration = Duration::from_millis(1);
/// The longest the server may take to notice that all have gone.
const SETTLE: Duration = Duration::from_secs(10);
/// How often the server is asked meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Must be zero when all have hung up.
const CALLS: [&str; 2] = ["mrfc_dialogs", "mrfc_rooms"];
/// Must be zero when all have gone.
const CONNECTIONS: [&str; 2] = ["mrfc_registrations", "mrfc_sip_connections"];

/// When calls begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many are in flight.
    Window(usize),
    /// So many in a second.
    Rate(f64),
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So long after the warm-up.
    Time(Duration),
    /// After so many measured calls.
    Calls(u64),
}

/// What a run was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The server.
    pub against: Against,
    /// Phones.
    pub registrations: usize,
    /// Conferences: the first phones each stay in one.
    pub conferences: usize,
    /// When calls begin.
    pub pace: Pace,
    /// Immediate messages a second.
    pub messages: u32,
    /// When to stop.
    pub until: Until,
    /// How long to call before measuring.
    pub warmup: Duration,
    /// How long nothing may be answered although something is in flight.
    pub patience: Duration,
    /// Whether the server has a CPU of its own.
    pub pinned: bool,
}

/// Runs it.
///
/// # Errors
/// The server does not start, or ends a connection. What it refuses is in the report.
pub fn run(asked: &Asked) -> anyhow::Result<Report> {
    let house = House::start(asked.against, asked.registrations, asked.pinned)?;
    let empty = house.usage()?.rss_octets;
    let phones = Phones::connect(&house, asked.registrations)?;
    let free = (asked.conferences..asked.registrations).map(Caller).collect();
    let mut run = Run { asked, house, phones, free, begun: 0, written: 0, rss: [empty; 3] };
    run.all(asked.registrations, |phones, n| phones.register(Caller(n)))?;
    run.rss[1] = run.house.usage()?.rss_octets;
    run.all(asked.conferences, |phones, n| phones.call(Caller(n), n, (clock::now(), true)))?;
    let load = run.load()?;
    run.rss[2] = run.house.usage()?.rss_octets;
    run.finish(&load)
}

/// A run that is going on.
struct Run<'a> {
    asked: &'a Asked,
    house: House,
    phones: Phones,
    /// Who is in no call: a phone that calls twice at once gives up its first call.
    free: VecDeque<Caller>,
    begun: u64,
    written: u64,
    rss: [u64; 3],
}

/// What was used up in the measured time.
#[derive(Clone, Copy, Debug)]
struct Load {
    time: Duration,
    calls: u64,
    server: Duration,
    relay: Duration,
    generator: Duration,
}

/// What everything had cost at one time.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    calls: u64,
    server: Usage,
    relay: Usage,
    generator: Usage,
}

impl Run<'_> {
    /// Does something with each of so many phones, a few at a time, and waits until all of it is done.
    fn all(
        &mut self,
        count: usize,
        mut begin: impl FnMut(&mut Phones, usize) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for n in 0..count {
            self.wait(|phones| phones.in_flight < AT_ONCE)?;
            begin(&mut self.phones, n)?;
        }
        self.wait(|phones| phones.in_flight == 0)
    }

    fn wait(&mut self, done: impl Fn(&Phones) -> bool) -> anyhow::Result<()> {
        let until = clock::now() + self.asked.patience;
        while !done(&self.phones) {
            anyhow::ensure!(clock::now() < until, "the server does not answer any more");
            self.phones.step(TICK)?;
        }
        Ok(())
    }

    fn sample(&self) -> anyhow::Result<Sample> {
        Ok(Sample {
            at: clock::now(),
            calls: self.phones.tally.measured,
            server: self.house.usage().context("the server has ended")?,
            relay: self.house.relay()?.unwrap_or_default(),
            generator: usage::of(std::process::id())?,
        })
    }

    fn load(&mut self) -> anyhow::Result<Load> {
        let start = clock::now();
        let (mut before, mut kept) = (None, start);
        let before: Sample = loop {
            let now = clock::now();
            if before.is_none() && now >= start + self.asked.warmup {
                self.phones.measuring = true;
                before = Some(self.sample()?);
            }
            if let Some(before) = before
                && self.is_over(before.at, now)
            {
                break before;
            }
            if now >= kept + KEEP_ALIVE {
                kept = now;
                self.phones.keep_alive()?;
            }
            self.begin(start, now)?;
            self.phones.step(TICK)?;
        };
        let after = self.sample()?;
        self.phones.measuring = false;
        self.wait(|phones| phones.in_flight == 0 && phones.unanswered() == 0)?;
        Ok(Load {
            time: after.at - before.at,
            calls: after.calls - before.calls,
            server: after.server.cpu.saturating_sub(before.server.cpu),
            relay: after.relay.cpu.saturating_sub(before.relay.cpu),
            generator: after.generator.cpu.saturating_sub(before.generator.cpu),
        })
    }

    fn is_over(&self, measured_since: Instant, now: Instant) -> bool {
        match self.asked.until {
            Until::Time(time) => now >= measured_since + time,
            Until::Calls(count) => self.phones.tally.measured >= count,
        }
    }

    /// Begins what is due.
    fn begin(&mut self, start: Instant, now: Instant) -> anyhow::Result<()> {
        match self.asked.pace {
            Pace::Window(window) => {
                while self.phones.in_flight < window {
                    self.call(now)?;
                }
            }
            Pace::Rate(rate) => loop {
                let begun = u32::try_from(self.begun).unwrap_or(u32::MAX);
                let meant = start + Duration::from_secs_f64(f64::from(begun) / rate);
                if meant > now {
                    break;
                }
                self.call(meant)?;
            },
        }
        while self.asked.messages > 0 {
            let written = u32::try_from(self.written).unwrap_or(u32::MAX);
            let meant = f64::from(written) / f64::from(self.asked.messages);
            if start + Duration::from_secs_f64(meant) > now {
                break;
            }
            self.written += 1;
            let (from, to) = (self.phone(self.written), self.phone(self.written + 1));
            self.phones.write(from, to)?;
        }
        Ok(())
    }

    /// Of those who stay in no conference, one after the other.
    fn phone(&self, n: u64) -> Caller {
        let Asked { registrations, conferences, .. } = *self.asked;
        let callers = (registrations - conferences).max(1);
        Caller(conferences + usize::try_from(n).unwrap_or_default() % callers)
    }

    fn call(&mut self, meant: Instant) -> anyhow::Result<()> {
        let room = usize::try_from(self.begun).unwrap_or_default() % self.asked.conferences.max(1);
        self.begun += 1;
        self.free.extend(self.phones.free.drain(..));
        match self.free.pop_front() {
            Some(caller) => self.phones.call(caller, room, (meant, false)),
            None => {
                self.phones.tally.dropped += 1;
                Ok(())
            }
        }
    }

    /// All hang up, all go, and the server's tables must be empty.
    fn finish(mut self, load: &Load) -> anyhow::Result<Report> {
        let staying = self.phones.staying();
        while self.phones.staying() > 0 {
            self.phones.hang_up(AT_ONCE)?;
            self.wait(|phones| phones.in_flight == 0)?;
        }
        let hung_up = settled(&self.house, &CALLS)?;
        let tally = std::mem::take(&mut self.phones.tally);
        let Self { asked, house, phones, rss, .. } = self;
        drop(phones);
        let mut left = hung_up;
        left.extend(settled(&house, &CONNECTIONS)?);
        house.stop()?;
        let mut broken: Vec<String> = tally
            .refused
            .iter()
            .map(|((method, code), count)| format!("{count} {method} got {code}"))
            .collect();
        if tally.put_out > 0 {
            broken.push(format!("{} were put out", tally.put_out));
        }
        if staying != asked.conferences || tally.registered != asked.registrations {
            let registered = tally.registered;
            broken.push(format!("{registered} are registered, {staying} stay in conferences"));
        }
        let over = left.iter().filter(|(_, count)| *count > 0);
        broken.extend(over.map(|(table, count)| format!("{count} are left in {table}")));
        Ok(report(asked, load, &tally, (rss, left), broken))
    }
}

/// Why so many calls were not made.
fn busy(dropped: u64) -> Option<String> {
    (dropped > 0).then(|| {
        format!("{dropped} calls were due while every phone was in one: more --registrations")
    })
}

/// What is in these tables, when nothing is left in them or it has been waited for long enough.
fn settled(house: &House, tables: &[&str]) -> anyhow::Result<Vec<(String, u64)>> {
    let until = clock::now() + SETTLE;
    loop {
        let text = house.metrics()?;
        let counts: Vec<(String, u64)> = tables
            .iter()
            .filter_map(|table| Some(((*table).to_owned(), gauge(&text, table)?)))
            .collect();
        if counts.iter().all(|(_, count)| *count == 0) || clock::now() > until {
            return Ok(counts);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The value of a metric without labels.
fn gauge(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn report(
    asked: &Asked,
    load: &Load,
    tally: &Tally,
    (rss, left): ([u64; 3], Vec<(String, u64)>),
    broken: Vec<String>,
) -> Report {
    let calls = f64::from(u32::try_from(load.calls.max(1)).unwrap_or(u32::MAX));
    let (time, micros) = (load.time.as_secs_f64(), |cpu: Duration| cpu.as_secs_f64() * 1e6 / calls);
    let registrations = u64::try_from(asked.registrations).unwrap_or(u64::MAX);
    let [empty, registered, _] = rss;
    let generator_cpus = load.generator.as_secs_f64() / time;
    let (window, offered_per_second) = match asked.pace {
        Pace::Window(window) => (Some(window), None),
        Pace::Rate(rate) => (None, Some(rate)),
    };
    let (invite, lag) = (tally.invites.figures(), tally.lag.figures());
    Report {
        schema: report::SCHEMA,
        against: format!("{:?}", asked.against).to_lowercase(),
        registrations: asked.registrations,
        conferences: asked.conferences,
        seconds: time,
        calls: load.calls,
        calls_per_second: calls / time,
        window,
        offered_per_second,
        lag,
        dropped: tally.dropped,
        not_valid: offered_per_second
            .and_then(|_| late(&invite, &lag))
            .or_else(|| busy(tally.dropped))
            .or_else(|| worn_out(generator_cpus)),
        invite,
        bye: tally.byes.figures(),
        message: tally.messages.figures(),
        messages_delivered: tally.delivered,
        server_us_per_call: micros(load.server),
        relay_us_per_call: micros(load.relay),
        server_cpus: load.server.as_secs_f64() / time,
        generator_cpus,
        octets_per_registration: registered.saturating_sub(empty) / registrations.max(1),
        rss,
        left,
        broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_found_by_its_whole_name() {
        let text = "# HELP mrfc_dialogs x\nmrfc_dialogs_max 9\nmrfc_dialogs 3\n";

        assert_eq!(gauge(text, "mrfc_dialogs"), Some(3));
        assert_eq!(gauge(text, "mrfc_rooms"), None);
    }
}
