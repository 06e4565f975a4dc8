//! What the MRFC keeps on disk: the journal of each conference, what was said in those that keep it, the circles and their log, the KeyPackage directory,
//! counters, issued certificates, where people can be reached and who tried to register, what people keep here, what waits for them, and who did what
//! over HTTPS, in tables that an operator can read: of one SQLite file, or of a PostgreSQL database ([`Location`]).
//!
//! All changes pass through **one writer task**, which puts whatever is waiting into one transaction and answers
//! each caller only after the commit, which is on disk: a hundred callers share one flush. Reads take a connection of
//! their own from a pool, see one state of the database in each transaction, and never wait for the writer.
//!
//! **A new table** is one file in `migrations/`, written once for both databases in SQLite's words (`TEXT`, `BIGINT`,
//! `BLOB`, `INTEGER` for a flag, `INTEGER PRIMARY KEY AUTOINCREMENT` for a number that is never used twice; comments behind
//! `--`). `engine::postgres` says them in PostgreSQL's. What a statement may say is in `engine`, and the tests of this crate
//! run on both.
//!
//! This crate knows no protocol and no cryptography: events, groups and KeyPackages are octets to it. It reads no
//! clock; `now` is an argument.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ids::Seq;
//! let dir = tempfile::tempdir()?;
//! let store = store::Store::open(&dir.path().join("mrfc.sqlite")).await?;
//! let room: ids::ConferenceId = "room7".parse()?;
//!
//! let first = store.append(&room, Seq(0), store::Entry::event("{}")).await?;
//! assert_eq!(first, Seq(1));
//! // Somebody who has not seen the first event cannot append.
//! assert!(matches!(
//!     store.append(&room, Seq(0), store::Entry::event("{}")).await,
//!     Err(store::Error::Conflict { .. })
//! ));
//! # Ok(()) }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
mod appends;
mod attempts;
mod certificates;
mod charging;
mod circles;
mod conference_log;
mod counters;
mod deeds;
mod devices;
mod documents;
mod engine;
mod error;
mod files;
mod forgets;
mod journal;
mod key_packages;
mod leases;
mod mailbox;
pub mod maintenance;
mod registrations;
mod writer;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use attempts::Attempt;
pub use certificates::Certificate;
pub use charging::{ChargeRecord, NewCharge};
pub use circles::{CircleChange, CircleRead, CircleRow, CircleStanding, NewCircle};
pub use conference_log::{LogBounds, LogEntry, LogKind, LogPage, LogPageBounds};
pub use deeds::Deed;
pub use devices::{Device, LastResort};
pub use documents::Document;
use engine::Pool;
pub use engine::{BadLocation, Engine, Location};
pub use error::Error;
pub use files::{FileBounds, FileRow, Filed, KeptFile};
pub use journal::{Entry, History};
pub use key_packages::{Claimed, NewKeyPackage};
pub use leases::Lease;
pub use mailbox::{Letter, MailboxBounds, NewLetter, Posted, Settled};
pub use registrations::Registration;
use writer::Writer;

/// A handle to the database. Clones share the writer and the pool.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Writer,
    readers: Pool,
    location: Location,
}

impl Store {
    /// Opens the database and brings its tables up to date. A file is made if there is none; a database of a server is not.
    ///
    /// # Errors
    /// It cannot be opened, is no database, or is of a later version than this program.
    pub async fn open(location: impl Into<Location>) -> Result<Self, Error> {
        let location = location.into();
        let mut connection = location.writer().await?;
        location.engine().migrations().run(&mut connection).await?;
        let readers = location.readers().await?;
        Ok(Self { writer: Writer::spawn(location.clone(), connection), readers, location })
    }

    /// Waits until everything handed in before is on disk, and closes the database. Later calls fail.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

/// Milliseconds since 1970; earlier times count as 1970.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time of a stored number of milliseconds.
fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// A stored flag: 0 or 1, for not every database has another kind.
fn flag(row: &engine::Row, column: &str) -> Result<bool, sqlx::Error> {
    sqlx::Row::try_get::<i64, _>(row, column).map(|value| value != 0)
}
