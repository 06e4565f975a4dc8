//! Who may write. Of two focuses on one database only one leads: it takes a lease, and each of its transactions looks whether
//! the lease is still its own. One that was away too long finds that somebody else has taken it, and writes nothing more.
//!
//! What decides is the term, not a clock: two clocks that disagree can hand the lease over too early or too late, but never
//! let two write. Who is let in by name is for the caller; a holder of the same name takes over at once, as after a crash.
use std::time::SystemTime;

use sqlx::Row as _;

use crate::engine::Connection;
use crate::{Error, Store, millis, time};

/// A lease as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Of what.
    pub name: String,
    /// Who has it.
    pub holder: String,
    /// It grows with each change of hands.
    pub term: i64,
    /// From then on anybody may take it.
    pub expires: SystemTime,
}

/// What each transaction of a leading store looks for.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    name: String,
    holder: String,
    term: i64,
}

impl Fence {
    /// Whether the lease is still of this term. Nobody else writes until the transaction ends, so it stays so.
    pub(crate) async fn holds(&self, connection: &mut Connection) -> Result<bool, sqlx::Error> {
        let found =
            sqlx::query("SELECT 1 FROM leases WHERE name = $1 AND holder = $2 AND term = $3")
                .bind(&self.name)
                .bind(&self.holder)
                .bind(self.term)
                .fetch_optional(connection)
                .await?;
        Ok(found.is_some())
    }
}

impl Store {
    /// Takes a lease that is free, has expired, or is held under the same name. From then on this store writes only as long
    /// as nobody else has taken it.
    ///
    /// # Errors
    /// [`Error::Held`]: somebody else has it. Or the database failed.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        (now, until): (SystemTime, SystemTime),
    ) -> Result<Lease, Error> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let lease = self
            .writer
            .write(move |connection| {
                Box::pin(async move { take(connection, name, holder, (now, until)).await })
            })
            .await?;
        let Lease { name, holder, term, .. } = lease.clone();
        self.writer.fence(Fence { name, holder, term }).await?;
        Ok(lease)
    }

    /// Keeps a lease until a later time.
    ///
    /// # Errors
    /// [`Error::Fenced`]: somebody else has taken it. Or the database failed; then the lease is as it was.
    pub async fn renew_lease(&self, lease: &Lease, until: SystemTime) -> Result<Lease, Error> {
        let mut renewed = lease.clone();
        renewed.expires = until;
        let row = renewed.clone();
        self.writer
            .write(move |connection| {
                Box::pin(async move { expire(connection, &row, millis(until)).await })
            })
            .await?;
        Ok(renewed)
    }

    /// Gives a lease back, so that the next one need not wait.
    ///
    /// # Errors
    /// As for [`Store::renew_lease`].
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), Error> {
        let lease = lease.clone();
        self.writer
            .write(move |connection| Box::pin(async move { expire(connection, &lease, 0).await }))
            .await
    }

    /// Who has a lease, or had it last.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>, Error> {
        let row = sqlx::query("SELECT holder, term, expires_ms FROM leases WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Lease {
            name: name.to_owned(),
            holder: row.try_get("holder")?,
            term: row.try_get("term")?,
            expires: time(row.try_get("expires_ms")?),
        }))
    }
}

async fn take(
    connection: &mut Connection,
    name: String,
    holder: String,
    (now, until): (SystemTime, SystemTime),
) -> Result<Lease, Error> {
    let term: Option<i64> = sqlx::query_scalar(
        "INSERT INTO leases (name, holder, term, expires_ms) VALUES ($1, $2, 1, $4) \
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, term = leases.term + 1, \
         expires_ms = excluded.expires_ms \
         WHERE leases.expires_ms <= $3 OR leases.holder = excluded.holder RETURNING term",
    )
    .bind(&name)
    .bind(&holder)
    .bind(millis(now))
    .bind(millis(until))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(term) = term {
        return Ok(Lease { name, holder, term, expires: until });
    }
    let row = sqlx::query("SELECT holder, expires_ms FROM leases WHERE name = $1")
        .bind(&name)
        .fetch_one(&mut *connection)
        .await?;
    Err(Error::Held { holder: row.try_get("holder")?, until: time(row.try_get("expires_ms")?) })
}

async fn expire(connection: &mut Connection, lease: &Lease, until: i64) -> Result<(), Error> {
    let changed = sqlx::query(
        "UPDATE leases SET expires_ms = $4 WHERE name = $1 AND holder = $2 AND term = $3",
    )
    .bind(&lease.name)
    .bind(&lease.holder)
    .bind(lease.term)
    .bind(until)
    .execute(connection)
    .await?;
    if changed.rows_affected() == 0 { Err(Error::Fenced) } else { Ok(()) }
}
