//! The `mrfp` program: reads a configuration and runs a relay. Everything else is in the library.
use clap::Parser;
use service::command::ServerCommand;

/// The media relay of a conclave: forwards sealed MSRP chunks and cannot read them.
#[derive(Parser)]
#[command(name = "mrfp", version)]
struct Arguments {
    #[command(subcommand)]
    command: ServerCommand,
}

fn main() -> anyhow::Result<()> {
    Ok(Arguments::parse().command.carry_out(mrfp::serve, mrfp::check_config)?)
}
