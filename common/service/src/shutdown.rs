//! When a process should stop: the first SIGTERM or SIGINT, the end of stdin for a child, or a word from inside.
//! A second signal ends it at once. How to stop in good order (drain) is each server's own business.
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells every task that the process should stop. Clones share one state; once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Nothing has asked for a stop yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone to stop.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until somebody asks. May be dropped and called again.
    pub async fn triggered(&self) {
        self.token.cancelled().await;
    }

    /// Stops with this one, or alone before it.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    /// The token itself, for libraries that take one.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// From now on SIGTERM and SIGINT ask for a stop, and a second one ends the process with code 1.
    /// Needs a running tokio runtime.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = either(&mut terminate, &mut interrupt).await;
            tracing::info!(signal = name, "stopping; a second signal ends the process at once");
            shutdown.trigger();
            let name = either(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal = name, "ending at once");
            std::process::exit(1);
        });
        Ok(())
    }

    /// From now on SIGHUP asks for a stop: the terminal of a person was closed.
    /// Needs a running tokio runtime.
    pub fn on_hangup(&self) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            hangup.recv().await;
            shutdown.trigger();
        });
        Ok(())
    }

    /// From now on the end of stdin asks for a stop, so that a child does not outlive its parent.
    /// What is read is thrown away.
    pub fn on_stdin_end(&self) -> io::Result<()> {
        let shutdown = self.clone();
        // A thread of its own: a blocked read in tokio's pool would hold up the end of the runtime.
        std::thread::Builder::new().name("stdin-end".into()).spawn(move || {
            // An error on stdin means as much as its end: the parent is gone.
            if let Err(error) = io::copy(&mut io::stdin().lock(), &mut io::sink()) {
                tracing::debug!(%error, "stdin");
            }
            shutdown.trigger();
        })?;
        Ok(())
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
