//! What can be typed behind `loadtest sip`.
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::house::Against;
use super::{Asked, Pace, Until, run};
use crate::report::ended;
use crate::units;

/// Registered phones that call conferences.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Exit codes: 0 ok, 1 something was refused, lost or left over, 2 usage, \
                         3 not valid: the generator was late itself.")]
pub struct Sip {
    /// The server to load
    #[arg(long, value_enum, default_value = "mrfc")]
    pub against: Against,
    /// Phones that register and stay
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(2..=9_000))]
    pub registrations: u32,
    /// Conferences, each with one participant who stays
    #[arg(long, default_value_t = 1000)]
    pub conferences: u32,
    /// Calls in flight
    #[arg(long, default_value_t = 64, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub window: u32,
    /// Calls a second, begun at their times whatever became of earlier ones, instead of a window
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Immediate messages a second between phones, beside the calls
    #[arg(long, default_value_t = 100)]
    pub messages: u32,
    /// How long to measure
    #[arg(long, default_value = "10s", value_parser = units::some_time, conflicts_with = "calls")]
    pub duration: Duration,
    /// Calls to make, instead of a time
    #[arg(long, value_parser = units::positive::<u64>)]
    pub calls: Option<u64>,
    /// How long to call before measuring
    #[arg(long, default_value = "1s", value_parser = units::duration)]
    pub warmup: Duration,
    /// How long nothing may be answered although something is in flight
    #[arg(long, default_value = "15s", value_parser = units::duration)]
    pub patience: Duration,
    /// Leave it to the system which process runs on which CPU, instead of giving the server one of its own
    #[arg(long)]
    pub unpinned: bool,
    /// End with 0 also if the generator was the bottleneck
    #[arg(long)]
    pub allow_not_valid: bool,
    /// Print one JSON object (loadtest/schema/sip-1.json) instead of the summary
    #[arg(long)]
    pub json: bool,
}

impl Sip {
    /// What is asked for.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let whole = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Asked {
            against: self.against,
            registrations: whole(self.registrations),
            conferences: whole(self.conferences),
            pace: self.rate.map_or_else(|| Pace::Window(whole(self.window)), Pace::Rate),
            messages: self.messages,
            until: self.calls.map_or(Until::Time(self.duration), Until::Calls),
            warmup: self.warmup,
            patience: self.patience,
            pinned: !self.unpinned,
        }
    }

    /// Sees whether there are phones for it.
    ///
    /// # Errors
    /// What to ask for instead.
    pub fn check(&self) -> Result<(), String> {
        if !(1..self.registrations).contains(&self.conferences) {
            return Err("somebody must be in each conference, and somebody must call: --conferences from 1 to less than --registrations".into());
        }
        let callers = self.registrations - self.conferences;
        if self.rate.is_none() && self.window > callers {
            return Err(format!(
                "--window {} needs as many phones that call, and there are {callers}: less --window, or more --registrations",
                self.window
            ));
        }
        Ok(())
    }

    /// Does it and prints the result.
    ///
    /// # Errors
    /// The run could not be made.
    #[expect(clippy::print_stdout, reason = "the result is what this command prints")]
    pub fn carry_out(&self) -> anyhow::Result<ExitCode> {
        let report = run(&self.asked())?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{report}");
        }
        Ok(ended(&report.broken, report.not_valid.is_some() && !self.allow_not_valid))
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (1.0..=1e6).contains(&rate) { Ok(rate) } else { Err("from 1 to 1000000".into()) }
}
