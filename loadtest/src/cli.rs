//! What can be typed behind `loadtest`, and what it ends with. The servers' subcommands are here because the system
//! under load starts this executable again as its servers.
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use conclave::servers::{self, ServerCommand};

use crate::calls;
use crate::fanout::bare::Bare;
use crate::fanout::cli::Fanout;
use crate::fanout::peers::Peers;
use crate::quick::{self, Asked};
use crate::scenario::{BadScenario, Scenario};
use crate::threshold::Thresholds;
use crate::{summary, units};

/// Something failed.
const FAILED: u8 = 1;

/// Loads conference servers and says what they carried.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a system on loopback, load it for a few seconds and say how it did
    Quick(Quick),
    /// Load a relay, or another server, with one sender and many receivers and say what a delivery costs
    Fanout(Box<Fanout>),
    /// Load a focus with registered phones that call conferences, and say what a call costs
    Sip(Box<calls::cli::Sip>),
    /// Compare the relay with other servers under the same loads
    Peers(Peers),
    /// Run the smallest switch there can be
    #[command(hide = true)]
    Bare(Bare),
    /// Run the conference focus
    #[command(hide = true)]
    Mrfc {
        /// What it should do.
        #[command(subcommand)]
        command: ServerCommand,
    },
    /// Run the relay
    #[command(hide = true)]
    Mrfp {
        /// What it should do.
        #[command(subcommand)]
        command: ServerCommand,
    },
}

/// A short load.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 ok, 1 a message was lost, doubled or unreadable or something failed, \
                        2 usage, 99 a threshold was missed."
)]
pub struct Quick {
    /// Conferences
    #[arg(long, default_value_t = 4)]
    pub rooms: usize,
    /// Members of each, one device each
    #[arg(long, default_value_t = 5)]
    pub members: usize,
    /// Messages per second over all rooms, sent at their times whatever became of earlier ones
    #[arg(long, default_value = "50")]
    pub rate: NonZeroU32,
    /// How long to measure
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    pub duration: Duration,
    /// How long to send before measuring
    #[arg(long, default_value = "2s", value_parser = units::duration)]
    pub warmup: Duration,
    /// Octets of content in a message
    #[arg(long, default_value_t = 256)]
    pub size: usize,
    /// What senders and contents are drawn from; the same seed repeats the schedule
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What to demand, like 'p99<20ms,loss=0' (p50 p90 p99 p99.9 max, loss dup reorder undecryptable; < <= =)
    #[arg(long)]
    pub threshold: Option<Thresholds>,
    /// How long to wait for late messages at the end
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    pub patience: Duration,
    /// How often to show progress
    #[arg(long, default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Print one JSON object (loadtest/schema/quick-1.json) instead of the summary
    #[arg(long)]
    pub json: bool,
}

impl Quick {
    fn asked(&self) -> Result<Asked, BadScenario> {
        let Self { rooms, members, rate, duration, warmup, size, seed, .. } = *self;
        let scenario = Scenario { rooms, members, rate, duration, warmup, size, seed };
        let thresholds = self.threshold.clone().unwrap_or_default();
        let (patience, interval) = (self.patience, self.interval);
        Ok(Asked { scenario, shots: scenario.schedule()?, thresholds, patience, interval })
    }
}

/// Does what was asked and says with which exit code to end.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Mrfc { command } => servers::mrfc(command),
        Command::Mrfp { command } => servers::mrfp(command),
        Command::Fanout(options) => options.carry_out(),
        Command::Sip(options) => options.carry_out(),
        Command::Peers(options) => options.carry_out(),
        Command::Bare(options) => options.serve().map(|()| ExitCode::SUCCESS),
        Command::Quick(options) => match options.asked() {
            Ok(asked) => load(asked, options.json),
            Err(bad) => Cli::command().error(ErrorKind::ValueValidation, bad).exit(),
        },
    };
    outcome.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(FAILED)
    })
}

#[expect(clippy::print_stdout, reason = "the result is what this command prints")]
fn load(asked: Asked, json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = quick::run(asked) => report,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                anyhow::bail!("interrupted")
            }
        }
    });
    // The thread that fires messages may still be asleep until its next one.
    runtime.shutdown_background();
    let report = report?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", summary::result(&report));
    }
    Ok(ExitCode::from(report.verdict.exit_code()))
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = units::duration(text)?;
    if interval < Duration::from_millis(10) {
        Err("at least 10ms".to_owned())
    } else {
        Ok(interval)
    }
}

#[expect(clippy::print_stderr, reason = "the one place where this command complains")]
fn complain(error: &anyhow::Error) {
    eprintln!("loadtest: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick(arguments: &str) -> Result<Quick, ErrorKind> {
        let arguments = ["loadtest", "quick"].into_iter().chain(arguments.split_whitespace());
        let cli = Cli::try_parse_from(arguments).map_err(|error| error.kind())?;
        match cli.command {
            Command::Quick(quick) => Ok(quick),
            other => panic!("not quick: {other:?}"),
        }
    }

    #[test]
    fn the_grammar_has_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn quick_without_options_takes_less_than_a_minute() {
        let asked = quick("").unwrap().asked().unwrap();

        let longest = asked.scenario.warmup + asked.scenario.duration + asked.patience;
        assert!(longest < Duration::from_secs(30), "{asked:?}");
        assert_eq!((asked.scenario.rooms, asked.scenario.members, asked.shots.len()), (4, 5, 600));
    }

    #[test]
    fn options_are_taken() {
        let options = "--rooms 2 --members 3 --rate 10 --duration 1.5s --warmup 0s --size 64 --seed 9 --threshold p99<20ms";
        let asked = quick(options).unwrap().asked().unwrap();

        assert_eq!((asked.scenario.rooms, asked.scenario.members, asked.scenario.seed), (2, 3, 9));
        assert_eq!((asked.shots.len(), asked.thresholds.0.len()), (15, 1));
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for bad in
            ["--rate 0", "--rate many", "--duration 10", "--threshold p98<1ms", "--interval 1ms"]
        {
            assert_eq!(quick(bad).unwrap_err(), ErrorKind::ValueValidation, "{bad}");
        }
        assert_eq!(quick("--members 1").unwrap().asked().unwrap_err(), BadScenario::Alone);
    }

    #[test]
    fn this_executable_can_be_started_again_as_either_server() {
        for role in ["mrfc", "mrfp"] {
            let serve = ["loadtest", role, "serve", "--exit-with-parent", "--config", "x.toml"];
            assert!(Cli::try_parse_from(serve).is_ok(), "{role}");
        }
    }
}
