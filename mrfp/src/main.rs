//! The `mrfp` program: reads a configuration and runs a relay. Everything else is in the library.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The media relay of a conclave: forwards sealed MSRP chunks and cannot read them.
#[derive(Debug, Parser)]
#[command(name = "mrfp", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the relay until SIGTERM.
    Serve {
        /// The configuration, TOML.
        #[arg(long)]
        config: PathBuf,
        /// Stop when stdin closes, so that the relay does not outlive its parent.
        #[arg(long)]
        exit_with_parent: bool,
    },
    /// Reads the configuration, says what is wrong with it, and exits.
    CheckConfig {
        /// The configuration, TOML.
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Serve { config, exit_with_parent } => mrfp::serve(&config, exit_with_parent)?,
        Command::CheckConfig { config } => mrfp::check_config(&config)?,
    }
    Ok(ExitCode::SUCCESS)
}
