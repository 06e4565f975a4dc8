//! The `loadtest` command. Everything is in the library.
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    service::tls::install_provider();
    loadtest::cli::run(loadtest::cli::Cli::parse())
}
