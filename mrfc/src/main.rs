//! The `mrfc` program: reads a configuration and runs a conference focus. Everything else is in the library.
use clap::Parser;
use service::command::ServerCommand;

/// The conference focus of Conclave: SIP, group keys, rosters.
#[derive(Parser)]
#[command(name = "mrfc", version)]
struct Arguments {
    #[command(subcommand)]
    command: ServerCommand,
}

fn main() -> anyhow::Result<()> {
    Ok(Arguments::parse().command.carry_out(mrfc::serve, mrfc::check_config)?)
}
