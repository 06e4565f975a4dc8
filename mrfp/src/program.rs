//! The relay as a program: reads a configuration, makes the runtime, serves until told to stop. For `main` and for an
//! executable that holds both servers; whoever embeds a relay wants [`crate::run`].
use std::path::Path;

use service::config::{self, ConfigError};
use service::shutdown::Shutdown;
use service::telemetry::{self, TelemetryError};

use crate::config::{BadConfig, Config};
use crate::server::{Files, RunError, run};

/// Why the program ends with a failure.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The configuration file cannot be read or has a key that nobody knows.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// The configuration contradicts itself.
    #[error("{}: {why}", path.display())]
    Config {
        /// Which file.
        path: std::path::PathBuf,
        /// What is wrong.
        why: BadConfig,
    },
    /// The log filter makes no sense.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The system gave no runtime, or no signals.
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
    /// It cannot serve.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Serves until a signal and the drain that follows; with `exit_with_parent` also until standard input closes, and then
/// without a drain: nobody is left to wait for it.
///
/// # Errors
/// It cannot serve; in words for whoever wrote the configuration.
pub fn serve(path: &Path, exit_with_parent: bool) -> Result<(), ProgramError> {
    service::tls::install_provider();
    let config = load(path)?;
    telemetry::init(config.log.format, &config.log.level)?;
    service::secret::keep_out_of_core_files();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let (shutdown, parent_gone) = (Shutdown::new(), Shutdown::new());
        shutdown.on_signals()?;
        if exit_with_parent {
            parent_gone.on_stdin_end()?;
        }
        tokio::select! {
            served = run(config, shutdown) => Ok(served?),
            () = parent_gone.triggered() => Ok(()),
        }
    })
}

/// Reads a configuration and the files it names, says what is wrong with them, and opens nothing.
///
/// # Errors
/// What is wrong with it.
pub fn check_config(path: &Path) -> Result<(), ProgramError> {
    let config = load(path)?;
    Files::load(&config).map_err(RunError::from)?;
    Ok(())
}

fn load(path: &Path) -> Result<Config, ProgramError> {
    let config: Config = config::load(Some(path), "MRFP", &[])?;
    config.check().map_err(|why| ProgramError::Config { path: path.to_owned(), why })?;
    Ok(config)
}
