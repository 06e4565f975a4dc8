//! What can be typed behind `loadtest`, and what it ends with. The servers' subcommands are here because the system
//! under load starts this executable again as its servers; what a load can be told is in `load`.
mod load;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use conclave::servers::{self, ServerCommand};

use crate::calls;
use crate::compare;
use crate::conduct;
use crate::fanout::bare::Bare;
use crate::fanout::cli::Fanout;
use crate::fanout::peers::Peers;
use crate::output;
use crate::recipe::{BUILT_IN, Recipe};
use crate::report::Verdict;
use crate::selftest::SelfTest;
pub use load::{Churn, Load, Ramp, Run, Switch};

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

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 a message was lost, doubled, leaked or unreadable or something failed, 2 usage, \
    3 not valid: the generator was the bottleneck, 99 a threshold was missed.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a system on loopback, load it for a few seconds and say how it did
    #[command(after_help = EXIT_CODES)]
    Quick(Box<Load>),
    /// Run a scenario, from a file or by the name of one that is built in
    #[command(after_help = EXIT_CODES)]
    Run(Box<Run>),
    /// Raise the rate step by step until the system strains, and say what it carried before: the knee
    #[command(after_help = EXIT_CODES)]
    Ramp(Box<Ramp>),
    /// Load for a long time and look at memory as well
    #[command(after_help = EXIT_CODES)]
    Soak(Box<Load>),
    /// Have people join, leave and be removed all the time while the others talk
    #[command(after_help = EXIT_CODES)]
    Churn(Box<Churn>),
    /// Have most people go away and come back all at once
    #[command(after_help = EXIT_CODES)]
    Mailbox(Box<Load>),
    /// Share files
    #[command(after_help = EXIT_CODES)]
    Files(Box<Load>),
    /// Have two members talk for two seconds: whether a deployment works at all
    #[command(after_help = EXIT_CODES)]
    Smoke(Box<Load>),
    /// Load a relay, or another server, with one sender and many receivers and say what a delivery costs
    Fanout(Box<Fanout>),
    /// Load a focus with registered phones that call conferences, and say what a call costs
    Sip(Box<calls::cli::Sip>),
    /// Compare the relay with other servers under the same loads
    Peers(Peers),
    /// Compare two results
    Compare(compare::Compare),
    /// Show a result again, or write it as a page
    Report(Show),
    /// Measure a server whose stalls are known, and see whether the figures are right
    #[command(name = "selftest")]
    SelfTest(SelfTest),
    /// Serve a controller as one of several generators, over standard input and output
    Agent,
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

/// A result to be shown.
#[derive(Debug, Args)]
pub struct Show {
    /// What `--json` or `--save` wrote
    result: PathBuf,
    /// Write it as one page that needs nothing else, to a file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the rows of its timeline, comma-separated, to a file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write its latencies as an HdrHistogram log, to a file
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
}

/// Does what was asked and says with which exit code to end.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    if let Err(bad) = check(&cli.command) {
        refuse(bad);
    }
    let outcome = match cli.command {
        Command::Mrfc { command } => servers::mrfc(command),
        Command::Mrfp { command } => servers::mrfp(command),
        Command::Fanout(options) => options.carry_out(),
        Command::Sip(options) => options.carry_out(),
        Command::Peers(options) => options.carry_out(),
        Command::Bare(options) => options.serve().map(|()| ExitCode::SUCCESS),
        Command::Compare(options) => options.carry_out(),
        Command::Report(options) => options.carry_out(),
        Command::SelfTest(options) => options.carry_out(),
        Command::Agent => agent(),
        Command::Run(options) if options.list => list(),
        command => match loaded(command) {
            Ok((asked, options)) => load(asked, &options),
            Err(bad) => refuse(bad),
        },
    };
    outcome.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(FAILED)
    })
}

/// Sees whether what a command was told makes sense together, as far as its grammar cannot.
fn check(command: &Command) -> Result<(), String> {
    match command {
        Command::Fanout(options) => options.check(),
        Command::Sip(options) => options.check(),
        Command::SelfTest(options) => options.check(),
        _ => Ok(()),
    }
}

/// Ends with the code of a usage error.
fn refuse(bad: String) -> ! {
    Cli::command().error(ErrorKind::ValueValidation, bad).exit()
}

/// The load that a command asks for.
fn loaded(command: Command) -> Result<(conduct::Asked, Load), String> {
    let (asked, options) = told(command)?;
    // Of a system of its own, both servers are looked at.
    let servers = if asked.target.is_some() { asked.metrics.len() } else { 2 };
    asked.thresholds.check(&asked.scenario, servers)?;
    Ok((asked, options))
}

fn told(command: Command) -> Result<(conduct::Asked, Load), String> {
    match command {
        Command::Quick(options) => Ok((options.quick()?, *options)),
        Command::Soak(options) => Ok((options.soak()?, *options)),
        Command::Mailbox(options) => Ok((options.built_in("mailbox-morning")?, *options)),
        Command::Files(options) => Ok((options.built_in("file-day")?, *options)),
        Command::Smoke(options) => {
            // Two members say whether it works; how fast the machine is they do not ask.
            let options = Load { allow_not_valid: true, ..*options };
            Ok((options.smoke()?, options))
        }
        Command::Churn(options) => Ok((options.asked()?, options.load)),
        Command::Ramp(options) => Ok((options.asked()?, options.load)),
        Command::Run(options) => Ok((options.asked()?, options.load)),
        _ => Err("this command is no load".to_owned()),
    }
}

#[expect(clippy::print_stdout, reason = "the result is what this command prints")]
fn load(asked: conduct::Asked, options: &Load) -> anyhow::Result<ExitCode> {
    options.output.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(conduct::run(asked));
    // The thread that fires messages may still be asleep until its next one.
    runtime.shutdown_background();
    let report = report?;
    // First what stays: whoever reads the rest may be gone.
    let written = options.output.write(&report);
    if options.output.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", crate::summary::result(&report));
    }
    written?;
    let code = match report.verdict {
        Verdict::NotValid if options.allow_not_valid => {
            let missed = report.thresholds.iter().any(|judged| !judged.met);
            if missed { Verdict::Missed } else { Verdict::Pass }.exit_code()
        }
        verdict => verdict.exit_code(),
    };
    Ok(ExitCode::from(code))
}

fn agent() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(crate::agent::serve());
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the list is what was asked for")]
fn list() -> anyhow::Result<ExitCode> {
    for (name, _) in BUILT_IN {
        let about = Recipe::built_in(name).map(|recipe| recipe.about).unwrap_or_default();
        println!("{name}\n  {}\n", about.replace('\n', "\n  "));
    }
    Ok(ExitCode::SUCCESS)
}

impl Show {
    #[expect(clippy::print_stdout, reason = "the result is what this command prints")]
    fn carry_out(&self) -> anyhow::Result<ExitCode> {
        let report = output::read(&self.result)?;
        output::write(&report, self.html.as_deref(), self.csv.as_deref(), self.hdr.as_deref())?;
        if self.html.is_none() && self.csv.is_none() && self.hdr.is_none() {
            println!("{}", crate::summary::result(&report));
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[expect(clippy::print_stderr, reason = "the one place where this command complains")]
fn complain(error: &anyhow::Error) {
    eprintln!("loadtest: {error:#}");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(arguments: &str) -> Result<conduct::Asked, String> {
        let arguments = ["loadtest"].into_iter().chain(arguments.split_whitespace());
        let cli = Cli::try_parse_from(arguments).map_err(|error| error.kind().to_string())?;
        loaded(cli.command).map(|(asked, _)| asked)
    }

    #[test]
    fn the_grammar_has_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn quick_without_options_takes_less_than_a_minute() {
        let asked = asked("quick").unwrap();

        let longest = asked.scenario.warmup + asked.scenario.duration + asked.patience;
        assert!(longest < Duration::from_secs(30), "{asked:?}");
        assert_eq!((asked.scenario.rooms, asked.scenario.members), (4, 5));
        assert_eq!(asked.scenario.schedule().unwrap().len(), 600);
    }

    #[test]
    fn options_are_taken_over_those_of_the_scenario() {
        let options = "--rooms 2 --members 3 --rate 10 --duration 1.5s --warmup 0s --size 64 --seed 9 --threshold p99<20ms";
        let quick = asked(&format!("quick {options}")).unwrap();
        let chat = asked(&format!("run chat-room {options} --closed --e2ee off")).unwrap();

        for asked in [&quick, &chat] {
            assert_eq!(
                (asked.scenario.rooms, asked.scenario.members, asked.scenario.seed),
                (2, 3, 9)
            );
            assert_eq!(
                (asked.scenario.schedule().unwrap().len(), asked.thresholds.0.len()),
                (15, 1)
            );
        }
        assert_eq!((quick.scenario.closed, chat.scenario.closed), (false, true));
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for bad in [
            "quick --rate 0",
            "quick --rate many",
            "quick --duration 10",
            "quick --threshold p98<1ms",
            "quick --interval 1ms",
            "quick --members 1",
            "quick --rooms 20001",
            "ramp --factor 1",
            "run no-such-scenario",
            "quick --speakers 9",
            "quick --speakers 3 --members 2",
            "quick --threshold enter.p99<1s",
            "run mass-join --threshold knee>5",
            "quick --target x --threshold growth<1MiB",
        ] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_no_other_command_can_do_is_a_usage_error_too() {
        let refused = |arguments: &str| {
            let arguments = ["loadtest"].into_iter().chain(arguments.split_whitespace());
            match Cli::try_parse_from(arguments) {
                Ok(cli) => check(&cli.command).err(),
                Err(error) => (error.exit_code() == 2).then(|| error.to_string()),
            }
        };
        for (bad, said) in [
            ("selftest --stall 2s --every 1s", "shorter than --every"),
            ("selftest --stall 0s", "above 0s"),
            ("selftest --duration 0s", "at least as long as --every"),
            ("fanout --pair --receivers 3", "--receivers 1"),
            ("fanout --shards 0", "at least 1"),
            ("fanout --messages 0", "at least 1"),
            ("fanout --duration 0s", "above 0s"),
            ("sip --calls 0", "at least 1"),
            ("sip --duration 0s", "above 0s"),
            ("peers --row nope", "window, single"),
            ("peers --rounds 0", "at least 1"),
            ("quick --rate 0", "at least 1"),
        ] {
            let why = refused(bad).unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(why.contains(said), "{bad}: {why}");
        }
        for good in ["selftest", "fanout", "fanout --pair --receivers 1", "sip", "peers --row 16k"]
        {
            assert_eq!(refused(good), None, "{good}");
        }
    }

    #[test]
    fn a_scenario_file_that_gives_no_text_is_called_a_file_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin1.toml");
        std::fs::write(&path, b"name = 'Caf\xe9'\n").unwrap();
        let why = |path: &std::path::Path| asked(&format!("run {}", path.display())).unwrap_err();

        let told = [why(&path), why(folder.path()), why(&folder.path().join("none.toml"))];

        assert!(told[0].contains("the file") && told[0].contains("UTF-8"), "{}", told[0]);
        assert!(told[1].contains("cannot be read"), "{}", told[1]);
        assert!(told[2].contains("nor a file"), "{}", told[2]);
    }

    #[test]
    fn every_kind_of_load_has_a_scenario_that_makes_sense() {
        for kind in ["quick", "ramp", "soak", "churn", "mailbox", "files", "smoke", "run mass-kick"]
        {
            let asked = asked(kind).unwrap_or_else(|why| panic!("{kind}: {why}"));
            assert!(asked.scenario.schedule().is_ok(), "{kind}");
        }
    }

    #[test]
    fn this_executable_can_be_started_again_as_either_server() {
        for role in ["mrfc", "mrfp"] {
            let serve = ["loadtest", role, "serve", "--exit-with-parent", "--config", "x.toml"];
            assert!(Cli::try_parse_from(serve).is_ok(), "{role}");
        }
    }
}
