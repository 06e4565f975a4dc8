//! `conclave dev`: keeps a system running on loopback to play with, and prints how to join it.
#![expect(clippy::print_stdout, reason = "how to join is what this command prints")]
use anyhow::{Context, bail};
use conclave::system::{Plan, System};
use service::shutdown::Shutdown;

use crate::cli;

/// Runs until it is interrupted or a server ends.
///
/// # Errors
/// The system does not start, or a server ended by itself.
pub(crate) async fn run(dev: cli::Dev) -> anyhow::Result<()> {
    if dev.users.iter().any(|user| user.trim().is_empty()) {
        bail!("--users: a user without a name; name one or more, as in --users alice,bob");
    }
    let start = service::clock::now();
    let plan = Plan { users: dev.users.clone(), sip: dev.sip, ..Plan::default() };
    let mut system = System::start_at(&plan, &dev.folder).await?;
    let ready = service::clock::now().saturating_duration_since(start);
    let directions = system.directions();
    // Whoever reads that it is ready may end it.
    let shutdown = Shutdown::new();
    shutdown.on_signals().context("waiting for Ctrl-C or SIGTERM")?;
    println!(
        "conclave {}  on loopback, not for production; files in {}",
        env!("CARGO_PKG_VERSION"),
        dev.folder.display()
    );
    println!("  focus   sips:{}", directions.sip);
    println!("  API     https://{}", directions.https);
    println!("  relay   msrps://{}", system.msrp()?);
    for server in system.servers() {
        println!("  {}    metrics http://{}/metrics", server.name(), server.address("ops")?);
    }
    println!("  users   {}", dev.users.join(", "));
    println!("ready in {:.2} s. In another terminal:", ready.as_secs_f64());
    let folder = match dev.folder == std::path::Path::new("conclave-dev") {
        true => String::new(),
        false => format!(" --folder {}", dev.folder.display()),
    };
    for user in dev.users.iter().take(2) {
        println!("  conclave chat lobby --as {user}{folder}");
    }
    let profile = match folder.is_empty() {
        true => String::new(),
        false => format!(" --profile {}", system.operator().display()),
    };
    println!("  conclave room list{profile}");
    tokio::select! {
        () = shutdown.triggered() => {}
        error = system.failed() => return Err(error),
    }
    system.stop().await
}
