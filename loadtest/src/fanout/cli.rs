//! What can be typed behind `loadtest fanout`.
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::bare::Plant;
use super::drive::Until;
use super::msrp::Answer;
use super::server::{Against, Setup};
use super::{Asked, run};
use crate::report::ended;
use crate::units;

/// One sender, many receivers.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit codes: 0 ok, 1 something was lost, doubled, changed or failed, 2 usage, \
                  3 not valid: the generator was late itself."
)]
pub struct Fanout {
    /// The server to load
    #[arg(long, value_enum, default_value = "mrfp")]
    pub against: Against,
    /// Receivers
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub receivers: u32,
    /// Octets of content in a message
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=64 * 1024 * 1024))]
    pub octets: u32,
    /// Messages in flight until all receivers have them; 1 is one at a time
    #[arg(long, default_value_t = 16, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    pub window: u32,
    /// Deliveries a second, sent at their times whatever became of earlier ones, instead of a window
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// How long to measure
    #[arg(long, default_value = "3s", value_parser = units::some_time, conflicts_with = "messages")]
    pub duration: Duration,
    /// Messages to send, instead of a time
    #[arg(long, value_parser = units::positive::<u64>)]
    pub messages: Option<u64>,
    /// How long to send before measuring
    #[arg(long, default_value = "500ms", value_parser = units::duration)]
    pub warmup: Duration,
    /// How long nothing may arrive although something is in flight
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    pub patience: Duration,
    /// Threads of the relay that carry connections
    #[arg(long, default_value_t = 1, value_parser = units::positive::<usize>)]
    pub shards: usize,
    /// A one-to-one session through the relay instead of a room; with --receivers 1
    #[arg(long)]
    pub pair: bool,
    /// Plain TCP instead of TLS
    #[arg(long)]
    pub plain: bool,
    /// Receivers do not answer chunks
    #[arg(long)]
    pub no_answer: bool,
    /// Fail if the relay's memory grows by more than this from the end of the warm-up on
    #[arg(long, value_name = "KIB")]
    pub growth_max: Option<u64>,
    /// Have the bare switch commit a fault, which must be found
    #[arg(long, value_enum, hide = true)]
    pub plant: Option<Plant>,
    /// Another executable of the relay, such as that of an earlier commit
    #[arg(long)]
    pub relay: Option<PathBuf>,
    /// End with 0 also if the generator was the bottleneck
    #[arg(long)]
    pub allow_not_valid: bool,
    /// Print one JSON object (loadtest/schema/fanout-1.json) instead of the summary
    #[arg(long)]
    pub json: bool,
}

impl Fanout {
    /// What is asked for.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let whole = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Asked {
            setup: Setup {
                against: self.against,
                relay: self.relay.clone(),
                shards: self.shards,
                plain: self.plain,
                plant: self.plant,
                stalls: None,
            },
            receivers: whole(self.receivers),
            octets: whole(self.octets),
            window: whole(self.window),
            rate: self.rate,
            warmup: self.warmup,
            until: self.messages.map_or(Until::Time(self.duration), Until::Messages),
            patience: self.patience,
            answer: if self.no_answer { Answer::Nothing } else { Answer::Ok },
            pair: self.pair,
            growth_max: self.growth_max.map(|kib| kib.saturating_mul(1024)),
        }
    }

    /// Sees whether there can be such a room.
    ///
    /// # Errors
    /// What to ask for instead.
    pub fn check(&self) -> Result<(), String> {
        if self.pair && self.receivers != 1 {
            return Err("a pair has one receiver: --pair needs --receivers 1".into());
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
            println!("{report}");
        }
        Ok(ended(&report.broken, report.not_valid.is_some() && !self.allow_not_valid))
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (1.0..=1e8).contains(&rate) { Ok(rate) } else { Err("from 1 to 100000000".into()) }
}
