//! Both servers as subcommands, so that one executable is enough for the demo, a load test and a container.
use std::process::ExitCode;

pub use service::command::ServerCommand;

/// Runs the conference focus.
///
/// # Errors
/// The configuration is no good, or it cannot serve.
pub fn mrfc(command: ServerCommand) -> anyhow::Result<ExitCode> {
    command.carry_out(mrfc::serve, mrfc::check_config)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the relay.
///
/// # Errors
/// The configuration is no good, or it cannot serve.
pub fn mrfp(command: ServerCommand) -> anyhow::Result<ExitCode> {
    command.carry_out(mrfp::serve, mrfp::check_config)?;
    Ok(ExitCode::SUCCESS)
}
