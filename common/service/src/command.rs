//! The command line every server has: serve, or check a configuration. What serving is, the server says; an executable
//! that holds several servers puts one [`ServerCommand`] under each of its subcommands.
use std::path::{Path, PathBuf};

use clap::Subcommand;

/// What a server can be told to do.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Serve until told to stop
    Serve {
        /// The configuration file (TOML)
        #[arg(long)]
        config: PathBuf,
        /// Stop when standard input closes, so that the server does not outlive its parent
        #[arg(long)]
        exit_with_parent: bool,
    },
    /// Check a configuration file and what it names, and say what is wrong
    CheckConfig {
        /// The configuration file (TOML)
        #[arg(long)]
        config: PathBuf,
    },
}

impl ServerCommand {
    /// Does it, with what `serve` (configuration, exit with parent) and `check` are for this server.
    ///
    /// # Errors
    /// What they say.
    pub fn carry_out<E>(
        self,
        serve: impl FnOnce(&Path, bool) -> Result<(), E>,
        check: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Serve { config, exit_with_parent } => serve(&config, exit_with_parent),
            Self::CheckConfig { config } => check(&config),
        }
    }
}
