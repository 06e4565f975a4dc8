//! Measures a server that does nothing for a while, from time to time, so that it is known beforehand what a right
//! generator finds and what a naive one would: once in virtual time, with stalls of a second in every ten, and once over
//! sockets, ten times faster.
use std::cell::Cell;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::book::{Book, Note};
use crate::fanout::bare::Stalls;
use crate::fanout::drive::Until;
use crate::fanout::msrp::Answer;
use crate::fanout::server::{Against, Setup};
use crate::fanout::{self, Asked};
use crate::latency::{Figures, Latencies};
use crate::pace::pace;
use crate::report::Verdict;
use crate::scenario::{Place, Scenario};

/// What may lie between a figure and what it should be, in percent.
const TOLERANCE_PERCENT: u64 = 5;
const VIRTUAL: Stalls = Stalls { time: Duration::from_secs(1), every: Duration::from_secs(10) };
/// Messages a second over sockets.
const REAL_RATE: f64 = 2000.0;

/// A measurement of which the result is known.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every figure is within 5 % of what it should be, 1 one is not, \
                  3 over sockets the generator was the bottleneck: try again on a quieter machine."
)]
pub struct SelfTest {
    /// How long to measure over sockets
    #[arg(long, default_value = "10s", value_parser = crate::units::duration)]
    duration: Duration,
    /// How long the server over sockets does nothing
    #[arg(long, default_value = "100ms", value_parser = crate::units::some_time)]
    stall: Duration,
    /// How often it does that
    #[arg(long, default_value = "1s", value_parser = crate::units::duration)]
    every: Duration,
}

/// A percentile of what a generator should find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which.
    pub what: String,
    /// What it should be, in microseconds.
    pub expected: u64,
    /// What was found.
    pub measured: u64,
}

impl Check {
    /// Whether it is near enough.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.measured.abs_diff(self.expected) * 100 <= self.expected * TOLERANCE_PERCENT
    }
}

/// The percentile of the waiting times that such stalls cause to messages that come evenly, in microseconds. A message that
/// meets a stall waits for its end, so that of all messages the share (stall - t) / period waits longer than t.
#[must_use]
pub fn expected(stalls: Stalls, percent: f64) -> u64 {
    let above = stalls.every.mul_f64(1.0 - percent / 100.0);
    u64::try_from(stalls.time.saturating_sub(above).as_micros()).unwrap_or(u64::MAX)
}

/// Holds p99 and p99.9 up to what they should be.
#[must_use]
pub fn checks(stalls: Stalls, figures: &Figures) -> Vec<Check> {
    let check = |what: &str, percent: f64, measured: u64| Check {
        what: what.to_owned(),
        expected: expected(stalls, percent),
        measured,
    };
    vec![check("p99", 99.0, figures.p99), check("p99.9", 99.9, figures.p99_9)]
}

/// What the pace, the book and the histogram of a load make of the stalls, in virtual time.
///
/// # Panics
/// The scenario is a constant and makes sense.
#[must_use]
pub fn open_in_virtual_time() -> Figures {
    let scenario = scenario();
    let shots = scenario.schedule().expect("the scenario is a constant that makes sense");
    let clock = Cell::new(Duration::ZERO);
    let mut book = Book::new(scenario, shots.clone());
    pace(
        &shots,
        || clock.get(),
        |time| clock.set(clock.get() + time),
        |shot| {
            let at = clock.get() + VIRTUAL.left(clock.get());
            let receiver = Place { member: 1 - shot.sender.member, ..shot.sender };
            let (from, content) = (Some(shot.sender), Some(shot.number));
            book.note(Note::Heard { receiver, from, content, at });
            ControlFlow::Continue(())
        },
    );
    book.latency()
}

/// What somebody measures who sends at the same rate, waits for each answer, and counts from when the message was sent.
///
/// # Panics
/// The scenario is a constant and makes sense.
#[must_use]
pub fn closed_in_virtual_time() -> Figures {
    let shots = scenario().schedule().expect("the scenario is a constant that makes sense");
    let (mut latencies, mut time) = (Latencies::default(), Duration::ZERO);
    for shot in &shots {
        time = time.max(shot.at);
        let answered = time + VIRTUAL.left(time);
        latencies.record(answered - time);
        time = answered;
    }
    latencies.figures()
}

fn scenario() -> Scenario {
    Scenario {
        rooms: 1,
        members: 2,
        rate: NonZeroU32::MIN.saturating_add(999),
        duration: VIRTUAL.every * 10,
        warmup: Duration::ZERO,
        size: 16,
        ..Scenario::default()
    }
}

/// The same over sockets, against the smallest switch there can be.
fn over_sockets(
    rate: Option<f64>,
    stalls: Stalls,
    duration: Duration,
) -> anyhow::Result<fanout::report::Report> {
    fanout::run(&Asked {
        setup: Setup {
            against: Against::Bare,
            relay: None,
            shards: 1,
            plain: true,
            plant: None,
            stalls: Some(stalls),
        },
        receivers: 1,
        octets: 64,
        window: 1,
        rate,
        warmup: Duration::ZERO,
        until: Until::Time(duration),
        patience: Duration::from_secs(10),
        answer: Answer::Ok,
        pair: false,
        growth_max: None,
    })
}

impl SelfTest {
    /// Sees whether there is something to find.
    ///
    /// # Errors
    /// What to ask for instead.
    pub fn check(&self) -> Result<(), String> {
        if self.stall >= self.every {
            return Err("--stall must be shorter than --every".into());
        }
        if self.duration < self.every {
            return Err(
                "--duration must be at least as long as --every: no stall is met before".into()
            );
        }
        Ok(())
    }

    /// Measures and prints.
    ///
    /// # Errors
    /// The switch does not start.
    #[expect(clippy::print_stdout, reason = "the comparison is what this command prints")]
    pub fn carry_out(&self) -> anyhow::Result<ExitCode> {
        let say = |how: &str, stalls: Stalls, open: &Figures, closed: &Figures| {
            println!("{how}: nothing for {:?} in every {:?}", stalls.time, stalls.every);
            let mut right = true;
            for check in checks(stalls, open) {
                right &= check.holds();
                println!(
                    "  {:<6} should be {:>9} us, is {:>9} us   {}",
                    check.what,
                    check.expected,
                    check.measured,
                    if check.holds() { "PASS" } else { "MISS" }
                );
            }
            println!(
                "  a closed loop would have said p99 {} us, p99.9 {} us",
                closed.p99, closed.p99_9
            );
            right
        };
        let mut right =
            say("virtual time", VIRTUAL, &open_in_virtual_time(), &closed_in_virtual_time());
        let stalls = Stalls { time: self.stall, every: self.every };
        let open = over_sockets(Some(REAL_RATE), stalls, self.duration)?;
        let closed = over_sockets(None, stalls, self.duration)?;
        let virtually_right = right;
        right &= say("over sockets", stalls, &open.latency_us, &closed.latency_us);
        Ok(match open.not_valid {
            Some(why) if virtually_right => {
                println!("  NOT VALID {why}");
                ExitCode::from(Verdict::NotValid.exit_code())
            }
            _ if right => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_of_a_second_in_every_ten_are_found_and_a_closed_loop_hides_them() {
        let open = checks(VIRTUAL, &open_in_virtual_time());

        assert_eq!((open[0].expected, open[1].expected), (900_000, 990_000));
        assert!(open.iter().all(Check::holds), "{open:?}");
        let closed = checks(VIRTUAL, &closed_in_virtual_time());
        assert!(!closed.iter().any(Check::holds), "{closed:?}");
        assert!(closed_in_virtual_time().p99_9 < 1000, "{:?}", closed_in_virtual_time());
    }

    #[test]
    fn a_figure_six_percent_off_is_no_pass() {
        let check = |measured| Check { what: String::new(), expected: 100_000, measured };

        assert!(check(95_000).holds() && check(105_000).holds());
        assert!(!check(94_000).holds() && !check(106_000).holds());
    }
}
