//! Files that wait for people: who they are for and what they are. Their octets lie in a blob store, of which this knows the
//! names.
use std::time::SystemTime;

use bytes::Bytes;
use ids::Aor;
use sqlx::Row as _;

use crate::engine::{Connection, Row};
use crate::{Error, NewLetter, Store, flag, mailbox, millis, time};

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// Whose mailbox it is in.
    pub owner: Aor,
    /// Who sent it.
    pub sender: Aor,
    /// What its sender calls the transfer.
    pub transfer_id: String,
    /// The name of its octets in the blob store.
    pub blob: String,
    /// How many, as they were sent.
    pub octets: u64,
    /// SHA-256 of the octets as they were sent, in hexadecimal digits.
    pub sha256: String,
    /// SHA-1 of the same.
    pub sha1: String,
    /// The blob is not exactly what was sent.
    pub locked: bool,
    /// What its sender says of it.
    pub head: Bytes,
    /// When it was whole.
    pub accepted: SystemTime,
    /// When it goes.
    pub expires: SystemTime,
}

/// The same, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// Its number.
    pub number: i64,
    /// What it is.
    pub row: FileRow,
    /// Its owner has had all of it.
    pub fetched: bool,
}

/// How much one person may have in the blob store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileBounds {
    /// Files.
    pub files_max: u32,
    /// Files of one sender.
    pub sender_files_max: u32,
    /// Octets, those of large messages among them.
    pub octets_max: u64,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filed {
    /// It is kept.
    Kept,
    /// It was there already: the same octets of the same sender, or the same transfer.
    Known,
    /// There is no room for it.
    Full,
    /// As many of this sender are there as may be.
    SenderFull,
}

impl Store {
    /// Keeps a file whose octets are in the blob store, if it is new and there is room.
    ///
    /// # Errors
    /// The database failed.
    pub async fn keep_file(&self, file: FileRow, bounds: FileBounds) -> Result<Filed, Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let filed = file_room(connection, &file, bounds).await?;
                    if filed == Filed::Kept && !insert(connection, &file).await? {
                        return Ok(Filed::Known);
                    }
                    Ok(filed)
                })
            })
            .await
    }

    /// Everything in a person's mailbox that has not expired, oldest first.
    ///
    /// # Errors
    /// The database failed, or holds what this program did not write.
    pub async fn files_of(&self, owner: &Aor, now: SystemTime) -> Result<Vec<KeptFile>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM mailbox_files WHERE owner = $1 AND expires_ms > $2 ORDER BY number",
        )
        .bind(owner.as_str())
        .bind(millis(now))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Its owner has all of it: it goes then, if it would not go before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn file_fetched(
        &self,
        number: i64,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE mailbox_files SET fetched_ms = $1, \
                         expires_ms = CASE WHEN expires_ms < $2 THEN expires_ms ELSE $2 END \
                         WHERE number = $3 AND fetched_ms IS NULL",
                    )
                    .bind(millis(now))
                    .bind(millis(until))
                    .bind(number)
                    .execute(&mut *connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Files whose time is over, at most so many.
    ///
    /// # Errors
    /// The database failed, or holds what this program did not write.
    pub async fn expired_files(&self, now: SystemTime, max: u32) -> Result<Vec<KeptFile>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM mailbox_files WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2",
        )
        .bind(millis(now))
        .bind(i64::from(max))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Forgets a file whose octets are gone, and keeps what its sender is told of it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn end_file(&self, number: i64, notice: Option<NewLetter>) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let gone = sqlx::query("DELETE FROM mailbox_files WHERE number = $1")
                        .bind(number)
                        .execute(&mut *connection)
                        .await?;
                    if let (1, Some(notice)) = (gone.rows_affected(), &notice) {
                        mailbox::insert(connection, notice).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Blobs of messages whose text is gone, at most so many: the number of each, and its name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn ended_blobs(&self, max: u32) -> Result<Vec<(i64, String)>, Error> {
        let rows = sqlx::query(
            "SELECT number, blob FROM mailbox WHERE blob IS NOT NULL AND head IS NULL LIMIT $1",
        )
        .bind(i64::from(max))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| Ok((row.try_get("number")?, row.try_get("blob")?))).collect()
    }

    /// The blob of this message is gone.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_blob(&self, number: i64) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE mailbox SET blob = NULL WHERE number = $1 AND head IS NULL",
                    )
                    .bind(number)
                    .execute(&mut *connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Whether a blob belongs to a file or to a large message.
    ///
    /// # Errors
    /// The database failed.
    pub async fn knows_blob(&self, blob: &str) -> Result<bool, Error> {
        let row = sqlx::query(
            "SELECT 1 FROM mailbox_files WHERE blob = $1 UNION ALL \
             SELECT 1 FROM mailbox WHERE blob = $1 LIMIT 1",
        )
        .bind(blob)
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.is_some())
    }
}

async fn file_room(
    connection: &mut Connection,
    file: &FileRow,
    bounds: FileBounds,
) -> Result<Filed, Error> {
    let known = sqlx::query(
        "SELECT 1 FROM mailbox_files WHERE owner = $1 AND sender = $2 AND \
         (transfer_id = $3 OR sha256 = $4)",
    )
    .bind(file.owner.as_str())
    .bind(file.sender.as_str())
    .bind(&file.transfer_id)
    .bind(&file.sha256)
    .fetch_optional(&mut *connection)
    .await?;
    if known.is_some() {
        return Ok(Filed::Known);
    }
    let row = sqlx::query(
        "SELECT COUNT(*) AS files, CAST(COALESCE(SUM(octets), 0) AS BIGINT) AS octets, \
         COUNT(CASE WHEN sender = $2 THEN 1 END) AS of_sender FROM mailbox_files WHERE owner = $1",
    )
    .bind(file.owner.as_str())
    .bind(file.sender.as_str())
    .fetch_one(&mut *connection)
    .await?;
    let number = |name| -> Result<u64, Error> { Ok(row.try_get::<i64, _>(name)?.unsigned_abs()) };
    let large = large_octets(connection, &file.owner).await?;
    let used = number("octets")?.saturating_add(large);
    if number("files")? >= bounds.files_max.into()
        || used.saturating_add(file.octets) > bounds.octets_max
    {
        return Ok(Filed::Full);
    }
    if number("of_sender")? >= bounds.sender_files_max.into() {
        return Ok(Filed::SenderFull);
    }
    Ok(Filed::Kept)
}

/// Octets of large messages in the blob store.
async fn large_octets(connection: &mut Connection, owner: &Aor) -> Result<u64, Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(octets), 0) AS BIGINT) AS octets FROM mailbox \
         WHERE owner = $1 AND blob IS NOT NULL",
    )
    .bind(owner.as_str())
    .fetch_one(&mut *connection)
    .await?;
    Ok(row.try_get::<i64, _>("octets")?.unsigned_abs())
}

/// Octets that a person has in the blob store.
pub(crate) async fn blob_octets(connection: &mut Connection, owner: &Aor) -> Result<u64, Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(octets), 0) AS BIGINT) AS octets FROM mailbox_files \
         WHERE owner = $1",
    )
    .bind(owner.as_str())
    .fetch_one(&mut *connection)
    .await?;
    let files = row.try_get::<i64, _>("octets")?.unsigned_abs();
    Ok(files.saturating_add(large_octets(connection, owner).await?))
}

/// Whether it is new.
async fn insert(connection: &mut Connection, file: &FileRow) -> Result<bool, Error> {
    let done = sqlx::query(
        "INSERT INTO mailbox_files (owner, sender, transfer_id, blob, octets, sha256, sha1, \
         locked, head, accepted_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
    )
    .bind(file.owner.as_str())
    .bind(file.sender.as_str())
    .bind(&file.transfer_id)
    .bind(&file.blob)
    .bind(i64::try_from(file.octets).unwrap_or(i64::MAX))
    .bind(&file.sha256)
    .bind(&file.sha1)
    .bind(i64::from(file.locked))
    .bind(file.head.as_ref())
    .bind(millis(file.accepted))
    .bind(millis(file.expires))
    .execute(&mut *connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

fn read(row: &Row) -> Result<KeptFile, Error> {
    let address = |column| -> Result<Aor, Error> {
        let text: String = row.try_get(column)?;
        text.parse().map_err(|_| Error::Foreign { what: "an address of record" })
    };
    let head: Vec<u8> = row.try_get("head")?;
    let fetched: Option<i64> = row.try_get("fetched_ms")?;
    let file = FileRow {
        owner: address("owner")?,
        sender: address("sender")?,
        transfer_id: row.try_get("transfer_id")?,
        blob: row.try_get("blob")?,
        octets: row.try_get::<i64, _>("octets")?.unsigned_abs(),
        sha256: row.try_get("sha256")?,
        sha1: row.try_get("sha1")?,
        locked: flag(row, "locked")?,
        head: head.into(),
        accepted: time(row.try_get("accepted_ms")?),
        expires: time(row.try_get("expires_ms")?),
    };
    Ok(KeptFile { number: row.try_get("number")?, row: file, fetched: fetched.is_some() })
}
