//! The `mrfp` program: reads a configuration and runs a relay. Everything else is in the library.
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use mrfp::Config;
use service::shutdown::Shutdown;

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

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Serve { config, exit_with_parent } => serve(&config, exit_with_parent),
        Command::CheckConfig { config } => load(&config).map(|_config| ()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "there may be no log yet")]
fn complain(error: &anyhow::Error) {
    eprintln!("mrfp: {error:#}");
}

fn load(path: &std::path::Path) -> anyhow::Result<Config> {
    let config: Config = service::config::load(Some(path), "MRFP", &[])?;
    config.check().with_context(|| path.display().to_string())?;
    Ok(config)
}

fn serve(path: &std::path::Path, exit_with_parent: bool) -> anyhow::Result<()> {
    let config = load(path)?;
    service::telemetry::init(config.log.format, &config.log.level)?;
    service::tls::install_provider();
    service::secret::keep_out_of_core_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let (shutdown, parent_gone) = (Shutdown::new(), Shutdown::new());
        shutdown.on_signals()?;
        if exit_with_parent {
            parent_gone.on_stdin_end()?;
        }
        tokio::select! {
            served = mrfp::run(config, shutdown) => Ok(served?),
            // Nobody is left to wait for a drain.
            () = parent_gone.triggered() => Ok(()),
        }
    })
}
