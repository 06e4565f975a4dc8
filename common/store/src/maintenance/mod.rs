//! What an operator does with a whole database: bring its tables up to date, look whether it is sound, take a backup while
//! the focus runs, put one back.
//!
//! A backup is a SQLite file, whatever it was taken from, so that it opens on any machine and goes back into either
//! database. Putting an old one back is the one way to make a focus forget what others know; what follows from that is in
//! [`restore()`].
mod backup;
mod copy;
mod restore;
mod verify;

use std::path::PathBuf;
use std::time::SystemTime;

use sqlx::Row as _;

use crate::engine::{Connection, Engine, Location};
use crate::{Error, Store};

pub use backup::backup;
pub use restore::{Force, Restored, restore};
pub use verify::{Finding, verify};

/// A change of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub version: i64,
    /// What it is about.
    pub about: String,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// There is no database.
    #[error("there is no database")]
    Missing,
    /// Something is there already.
    #[error("{0} is there already")]
    Exists(String),
    /// A focus writes to it.
    #[error("{holder} writes to this database")]
    InUse {
        /// Who.
        holder: String,
        /// Until when at least.
        until: SystemTime,
    },
    /// Its tables are not those of this program.
    #[error("its tables are not up to date: {0} changes are missing")]
    Behind(usize),
    /// It is of a later version.
    #[error("it was written by a later version (change {0} is not known here)")]
    Later(i64),
    /// It is not sound.
    #[error("it is not sound: {}", .0.first().map_or("", |it| it.what.as_str()))]
    Unsound(Vec<Finding>),
    /// It is the backup that is no good.
    #[error(transparent)]
    Backup(Box<Self>),
    /// A file.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: std::io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What [`migrate`] would do.
///
/// # Errors
/// It cannot be looked at, or is of a later version.
pub async fn pending(location: &Location) -> Result<Vec<Step>, Trouble> {
    let all = location.engine().migrations();
    let all = all.iter().map(|it| Step { version: it.version, about: it.description.to_string() });
    let mut all: Vec<Step> = all.collect();
    if is_missing(location) {
        return Ok(all);
    }
    let mut connection = location.look().await?;
    for version in applied(&mut connection, location.engine()).await? {
        let known = all.iter().position(|step| step.version == version);
        all.remove(known.ok_or(Trouble::Later(version))?);
    }
    Ok(all)
}

/// Brings the tables up to date, and says what was done.
///
/// # Errors
/// It cannot be opened, or is of a later version.
pub async fn migrate(location: &Location) -> Result<Vec<Step>, Trouble> {
    let steps = pending(location).await?;
    Store::open(location).await?.close().await;
    Ok(steps)
}

fn is_missing(location: &Location) -> bool {
    location.path().is_some_and(|path| !path.exists())
}

/// The changes that were made to a database; none if it is empty.
async fn applied(connection: &mut Connection, engine: Engine) -> Result<Vec<i64>, sqlx::Error> {
    let table = match engine {
        Engine::Sqlite => {
            "SELECT COUNT(*) AS many FROM sqlite_master WHERE name = '_sqlx_migrations'"
        }
        Engine::Postgres => {
            "SELECT COUNT(*) AS many FROM information_schema.tables \
             WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'"
        }
    };
    let row = sqlx::query(table).fetch_one(&mut *connection).await?;
    if row.try_get::<i64, _>("many")? == 0 {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version")
        .fetch_all(connection)
        .await
}
