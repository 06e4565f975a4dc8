//! The MRFC as a process: `mrfc serve --config FILE`.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The conference focus of Conclave: SIP, group keys, rosters.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Serve until told to stop
    Serve {
        /// The configuration file (TOML)
        #[arg(long)]
        config: PathBuf,
        /// Stop when standard input closes
        #[arg(long)]
        exit_with_parent: bool,
    },
    /// Check a configuration file and what it names, and say what is wrong
    CheckConfig {
        /// The configuration file (TOML)
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse().what {
        What::Serve { config, exit_with_parent } => mrfc::serve(&config, exit_with_parent)?,
        What::CheckConfig { config } => mrfc::check_config(&config)?,
    }
    Ok(ExitCode::SUCCESS)
}
