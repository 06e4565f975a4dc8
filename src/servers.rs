//! Both servers as subcommands, so that one executable is enough for the demo, a load test and a container.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

/// What a server can be told to do.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Serve until told to stop
    Serve(Serve),
    /// Check a configuration file and say what is wrong with it
    CheckConfig {
        /// The configuration file (TOML)
        #[arg(long)]
        config: PathBuf,
    },
}

/// How to serve.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file (TOML)
    #[arg(long)]
    pub config: PathBuf,
    /// Stop when standard input closes
    #[arg(long)]
    pub exit_with_parent: bool,
}

/// Runs the conference focus.
///
/// # Errors
/// The configuration is no good, or it cannot serve.
pub fn mrfc(command: ServerCommand) -> anyhow::Result<ExitCode> {
    match command {
        ServerCommand::Serve(serve) => mrfc::serve(&serve.config, serve.exit_with_parent)?,
        ServerCommand::CheckConfig { config } => mrfc::check_config(&config)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the relay.
///
/// # Errors
/// The configuration is no good, or it cannot serve.
pub fn mrfp(command: ServerCommand) -> anyhow::Result<ExitCode> {
    match command {
        ServerCommand::Serve(serve) => mrfp::serve(&serve.config, serve.exit_with_parent)?,
        ServerCommand::CheckConfig { config } => mrfp::check_config(&config)?,
    }
    Ok(ExitCode::SUCCESS)
}
