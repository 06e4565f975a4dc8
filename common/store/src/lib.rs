//! What the MRFC keeps on disk: the journal of each conference, the circles and their log, the KeyPackage directory,
//! counters, issued certificates, where people can be reached and who tried to register, what people keep here, what waits for them, and who did what
//! over HTTPS, in one SQLite file that an operator can read.
//!
//! All changes pass through **one writer task**, which puts whatever is waiting into one transaction and answers
//! each caller only after the commit (WAL, `synchronous=FULL`): an answer means that it is on disk, and a hundred
//! callers share one flush. Reads take a connection of their own from a pool and never wait for the writer.
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
mod counters;
mod deeds;
mod devices;
mod documents;
mod error;
mod forgets;
mod journal;
mod key_packages;
mod mailbox;
mod registrations;
mod writer;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};

pub use attempts::Attempt;
pub use certificates::Certificate;
pub use charging::{ChargeRecord, NewCharge};
pub use circles::{CircleChange, CircleRead, CircleRow, NewCircle};
pub use deeds::Deed;
pub use devices::{Device, LastResort};
pub use documents::Document;
pub use error::Error;
pub use journal::{Entry, History};
pub use key_packages::{Claimed, NewKeyPackage};
pub use mailbox::{Letter, MailboxBounds, NewLetter, Posted, Settled};
pub use registrations::Registration;
use writer::Writer;

/// Connections for reads. SQLite reads in parallel with the writer; four keep a small machine busy.
const READERS_MAX: u32 = 4;
/// How long SQLite waits for a lock that another process (a backup, an operator's shell) holds.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// A handle to the database. Clones share the writer and the pool.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Writer,
    readers: SqlitePool,
}

impl Store {
    /// Opens the file, makes it if there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// The file cannot be opened, is no database, or is of a later version than this program.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_WAIT)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        sqlx::migrate!("./migrations").run(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        Ok(Self { writer: Writer::spawn(connection), readers })
    }

    /// Waits until everything handed in before is on disk, and closes the file. Later calls fail.
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
