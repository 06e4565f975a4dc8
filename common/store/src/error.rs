//! What can go wrong with the store. All but the database's failures are the caller's business.
use std::time::SystemTime;

use ids::{ConferenceId, Seq};

/// Why the store did not do what was asked. Nothing has changed, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal does not end where the caller thinks: another owner has appended.
    #[error("the journal of {conference} does not end at {expected}: another owner has appended")]
    Conflict {
        /// Whose journal.
        conference: ConferenceId,
        /// Where the caller thought that it ends.
        expected: Seq,
    },
    /// One of the KeyPackages is already in the directory, or was.
    #[error("a KeyPackage was uploaded before")]
    Duplicate,
    /// The device would have more KeyPackages than it may.
    #[error("the device may leave {max} KeyPackages")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The device was taken back.
    #[error("the device was taken back")]
    TakenBack,
    /// Another version is there than the one the caller has seen.
    #[error("it has been changed meanwhile")]
    Stale,
    /// Somebody else has the lease.
    #[error("{holder} writes to this database")]
    Held {
        /// Who.
        holder: String,
        /// From then on anybody may take it.
        until: SystemTime,
    },
    /// Somebody else has taken the lease that this store wrote under: it writes nothing more.
    #[error("somebody else has taken the lease: nothing more is written here")]
    Fenced,
    /// A stored value is not what this program writes.
    #[error("the database holds {what} that this program did not write")]
    Foreign {
        /// Which kind of value.
        what: &'static str,
    },
    /// It is deleted, and still in the files: somebody who began to read before goes on. To be asked again.
    #[error("somebody still reads what was deleted: it is in the files until they are done")]
    StillRead,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The tables cannot be brought up to date.
    #[error("the tables cannot be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The transaction this was part of could not be committed. The writer has said why.
    #[error("the change could not be committed")]
    NotCommitted,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}
