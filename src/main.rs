//! The `conclave` command: the demo, a system to play with, a client for the terminal, an operator's levers, and both
//! servers in one executable. It only chooses; the work is in the modules and in the crates they call.
mod canary;
mod chat;
mod cli;
mod db;
mod demo;
mod dev;
mod files;
mod operate;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use conclave::servers;

/// Something failed, or a promise was broken.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    service::tls::install_provider();
    let cli = cli::Cli::parse();
    let outcome = match cli.command {
        cli::Command::Mrfc { command } => servers::mrfc(command),
        cli::Command::Mrfp { command } => servers::mrfp(command),
        cli::Command::Demo(options) => on_runtime(show_demo(options)),
        cli::Command::Operate(command) => {
            on_runtime(async { Ok(operate::run(command).await.map(|()| ExitCode::SUCCESS)?) })
        }
        cli::Command::Db { command } => {
            on_runtime(async { Box::pin(db::run(command)).await.map(|()| ExitCode::SUCCESS) })
        }
        cli::Command::Dev(options) => {
            on_runtime(async { dev::run(options).await.map(|()| ExitCode::SUCCESS) })
        }
        cli::Command::Chat(options) => on_runtime(async { Box::pin(chat::run(options)).await }),
        cli::Command::Send(options) => {
            on_runtime(async { files::send(options).await.map(|()| ExitCode::SUCCESS) })
        }
        cli::Command::Receive(options) => {
            on_runtime(async { files::receive(options).await.map(|()| ExitCode::SUCCESS) })
        }
    };
    outcome.unwrap_or_else(|error| {
        complain(&error);
        let code = error.downcast_ref::<operate::Failure>().map(operate::Failure::exit_code);
        ExitCode::from(code.unwrap_or(FAILED))
    })
}

fn on_runtime(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

#[expect(clippy::print_stdout, reason = "the story and the report are what this command prints")]
async fn show_demo(options: cli::Demo) -> anyhow::Result<ExitCode> {
    let mut tell = |line: &str| {
        if !options.json {
            println!("{line}");
        }
    };
    let report = demo::play(&options, &mut tell).await?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", demo::verdict(&report));
    }
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

#[expect(clippy::print_stderr, reason = "the one place where this command complains")]
fn complain(error: &anyhow::Error) {
    eprintln!("conclave: {error:#}");
}
