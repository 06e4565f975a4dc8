//! Putting a backup back. What was written after it is gone here, but devices, relays and files of charges still know it; so
//! nothing may be said twice with another meaning:
//!
//! - each conference of it begins anew ([`Store::is_restored`]): with a term and an era that nobody can have seen;
//! - numbers that are given out once (seats, letters, records) go on far behind the last one;
//! - whoever wrote to the database under a lease writes nothing more.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ids::ConferenceId;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::backup::{beside, remove, settle};
use super::{Trouble, copy, is_missing, verify};
use crate::engine::{Connection, Engine, Location};
use crate::{Error, Store, millis, time};

/// Whether what is there may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// What is there stays.
    No,
    /// It is replaced, and a backup that is not sound is taken too.
    Yes,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Conferences that begin anew.
    pub conferences: u64,
    /// Where the file is that was there before.
    pub replaced: Option<PathBuf>,
}

/// More than anybody gives out between a backup and its return.
const JUMP: i64 = 1 << 32;

/// Puts a backup in the place of a database. Each conference of it begins anew ([`Store::is_restored`]), numbers that are
/// given out once go on far behind the last one, and whoever wrote there under a lease writes nothing more.
///
/// # Errors
/// Something is there and `force` does not say to replace it; a focus runs on it; the backup is none, or not sound.
pub async fn restore(
    from: &Path,
    to: &Location,
    force: Force,
    now: SystemTime,
) -> Result<Restored, Trouble> {
    let backup = Location::file(from);
    let of_backup = |why| Trouble::Backup(Box::new(why));
    let findings = verify(&backup).await.map_err(of_backup)?;
    let behind = super::pending(&backup).await.map_err(of_backup)?.len();
    if behind == 0 && !findings.is_empty() && force == Force::No {
        return Err(Trouble::Unsound(findings));
    }
    if !is_missing(to) {
        in_use(to, now).await?;
    }
    // Brought up to date beside its place; the backup itself stays as it is.
    match to.path() {
        Some(path) => into_file(from, path, force, now).await,
        None => into_server(from, to, force, now).await,
    }
}

/// Nobody may be writing there.
async fn in_use(to: &Location, now: SystemTime) -> Result<(), Trouble> {
    let mut connection = to.look().await?;
    // A database without the table has no focus of this version.
    let lease = sqlx::query("SELECT holder, expires_ms FROM leases WHERE expires_ms > $1")
        .bind(millis(now))
        .fetch_optional(&mut connection)
        .await;
    let Ok(Some(row)) = lease else { return Ok(()) };
    let (holder, until) = (row.try_get("holder")?, time(row.try_get("expires_ms")?));
    Err(Trouble::InUse { holder, until })
}

/// A copy of the backup with tables of this version.
async fn current(from: &Path, part: &Path) -> Result<(), Trouble> {
    for ending in ["", "-wal", "-shm"] {
        remove(&beside(part, ending))?;
    }
    fs::copy(from, part).map_err(|why| Trouble::File { path: from.to_owned(), why })?;
    Store::open(part).await?.close().await;
    Ok(())
}

async fn into_file(
    from: &Path,
    to: &Path,
    force: Force,
    now: SystemTime,
) -> Result<Restored, Trouble> {
    if to.exists() && force == Force::No {
        return Err(Trouble::Exists(to.display().to_string()));
    }
    let part = beside(to, ".restoring");
    current(from, &part).await?;
    let mut connection = Location::file(&part).writer().await?;
    let mut transaction = connection.begin_with(Engine::Sqlite.begin()).await?;
    let conferences = begin_anew(&mut transaction, now).await?;
    for table in numbered(&mut transaction, Engine::Sqlite).await? {
        // The table may never have had a row, and then SQLite knows no number for it.
        for statement in [
            "INSERT INTO sqlite_sequence (name, seq) SELECT $1, 0 \
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = $1)",
            "UPDATE sqlite_sequence SET seq = seq + 4294967296 WHERE name = $1",
        ] {
            sqlx::query(statement).bind(&table.0).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    sqlx::raw_sql("PRAGMA journal_mode = DELETE").execute(&mut connection).await?;
    connection.close().await.map_err(Error::from)?;
    let replaced = to.exists().then(|| beside(to, ".replaced"));
    if let Some(replaced) = &replaced {
        // The log of the old file would be taken for that of the new one, so it goes along.
        for ending in ["-wal", "-shm", ""] {
            let (old, new) = (beside(to, ending), beside(replaced, ending));
            remove(&new)?;
            if old.exists() {
                fs::rename(&old, &new).map_err(|why| Trouble::File { path: old, why })?;
            }
        }
    }
    settle(&part, to)?;
    Ok(Restored { conferences, replaced })
}

async fn into_server(
    from: &Path,
    to: &Location,
    force: Force,
    now: SystemTime,
) -> Result<Restored, Trouble> {
    let part = beside(from, ".restoring");
    current(from, &part).await?;
    Store::open(to).await?.close().await;
    let mut source = Location::file(&part).look().await?;
    let mut target = to.writer().await?;
    let mut transaction = target.begin_with(Engine::Postgres.begin()).await?;
    let tables = copy::tables(&mut transaction, Engine::Postgres).await?;
    let before = sqlx::query("SELECT COALESCE(MAX(term), 0) AS term FROM leases")
        .fetch_one(&mut *transaction)
        .await?
        .try_get::<i64, _>("term")?;
    if force == Force::No {
        refuse_rows(&tables, &mut transaction, to).await?;
    }
    for table in &tables {
        let delete = format!("DELETE FROM {}", table.name);
        sqlx::query(AssertSqlSafe(delete)).execute(&mut *transaction).await?;
        copy::rows(table, &mut source, &mut transaction).await?;
    }
    sqlx::query("UPDATE leases SET term = term + $1")
        .bind(before)
        .execute(&mut *transaction)
        .await?;
    let conferences = begin_anew(&mut transaction, now).await?;
    for (table, column) in numbered(&mut transaction, Engine::Postgres).await? {
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), \
             COALESCE(MAX({column}), 0) + {JUMP}) FROM {table}"
        );
        sqlx::query(AssertSqlSafe(next)).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    source.close().await?;
    remove(&part)?;
    Ok(Restored { conferences, replaced: None })
}

async fn refuse_rows(
    tables: &[copy::Table],
    connection: &mut Connection,
    to: &Location,
) -> Result<(), Trouble> {
    for table in tables {
        let one = format!("SELECT 1 FROM {} LIMIT 1", table.name);
        if sqlx::query(AssertSqlSafe(one)).fetch_optional(&mut *connection).await?.is_some() {
            return Err(Trouble::Exists(to.to_string()));
        }
    }
    Ok(())
}

/// Marks every conference, lets every counter jump, and ends every lease. How many conferences there are.
async fn begin_anew(connection: &mut Connection, now: SystemTime) -> Result<u64, sqlx::Error> {
    let marked = sqlx::query(
        "INSERT INTO restored_conferences (conference, restored_ms) \
         SELECT DISTINCT conference, CAST($1 AS BIGINT) FROM conference_events WHERE TRUE \
         ON CONFLICT DO NOTHING",
    )
    .bind(millis(now))
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE counters SET value = value + $1")
        .bind(JUMP)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE leases SET term = term + 1, expires_ms = 0").execute(connection).await?;
    Ok(marked.rows_affected())
}

/// Tables that number their rows by themselves, and by which column.
async fn numbered(
    connection: &mut Connection,
    engine: Engine,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let statement = match engine {
        Engine::Sqlite => {
            "SELECT t.name AS name, c.name AS number FROM sqlite_master t \
             JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND c.pk = 1 \
             AND t.sql LIKE '%AUTOINCREMENT%'"
        }
        Engine::Postgres => {
            "SELECT table_name::text AS name, column_name::text AS number \
             FROM information_schema.columns WHERE table_schema = current_schema() \
             AND is_identity = 'YES'"
        }
    };
    let rows = sqlx::query(statement).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("number")?))).collect()
}

impl Store {
    /// Whether a conference came back with a backup and has not begun anew since.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_restored(&self, conference: &ConferenceId) -> Result<bool, Error> {
        let row = sqlx::query("SELECT 1 FROM restored_conferences WHERE conference = $1")
            .bind(conference.as_str())
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.is_some())
    }

    /// A conference has begun anew.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_begun_anew(&self, conference: &ConferenceId) -> Result<(), Error> {
        let conference = conference.clone();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("DELETE FROM restored_conferences WHERE conference = $1")
                        .bind(conference.as_str())
                        .execute(&mut *connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}
