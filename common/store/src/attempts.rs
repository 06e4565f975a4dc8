//! Attempts to register, for an operator's question "who tried that". Whoever notes them says how many are kept.
use std::time::SystemTime;

use sqlx::Row as _;

use crate::engine::Row;
use crate::{Error, Store, millis, time};

/// Somebody registered, or tried to. Never a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: SystemTime,
    /// Who it was said to be; proven only if the result says so.
    pub aor: String,
    /// The device, if it named itself.
    pub device: Option<String>,
    /// From which address.
    pub source: String,
    /// What protected the connection: `tls`, `network`, `core`.
    pub access: String,
    /// The status of the answer.
    pub status: u16,
    /// What became of it, in a word: `registered`, `removed`, `challenged`, `wrong`, ..
    pub result: String,
}

impl Store {
    /// Notes attempts, in order. With more than `kept_max` the oldest go.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_attempts(&self, attempts: Vec<Attempt>, kept_max: u32) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for attempt in &attempts {
                        sqlx::query(
                            "INSERT INTO registration_attempts \
                             (id, at_ms, aor, device, source, access, status, result) \
                             SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, $5, $6, $7 \
                             FROM registration_attempts",
                        )
                        .bind(millis(attempt.at))
                        .bind(&attempt.aor)
                        .bind(&attempt.device)
                        .bind(&attempt.source)
                        .bind(&attempt.access)
                        .bind(i64::from(attempt.status))
                        .bind(&attempt.result)
                        .execute(&mut *connection)
                        .await?;
                    }
                    sqlx::query(
                        "DELETE FROM registration_attempts \
                         WHERE id <= (SELECT MAX(id) FROM registration_attempts) - $1",
                    )
                    .bind(i64::from(kept_max))
                    .execute(&mut *connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The newest attempts, newest first: of everybody, or in the name of one person.
    ///
    /// # Errors
    /// The database failed.
    pub async fn attempts(&self, aor: Option<&str>, count: u32) -> Result<Vec<Attempt>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM registration_attempts WHERE $1 IS NULL OR aor = $1 \
             ORDER BY id DESC LIMIT $2",
        )
        .bind(aor)
        .bind(i64::from(count))
        .fetch_all(&self.readers)
        .await?;
        let read = |row: &Row| {
            let status: i64 = row.try_get("status")?;
            Ok(Attempt {
                at: time(row.try_get("at_ms")?),
                aor: row.try_get("aor")?,
                device: row.try_get("device")?,
                source: row.try_get("source")?,
                access: row.try_get("access")?,
                status: u16::try_from(status).map_err(|_| Error::Foreign { what: "a status" })?,
                result: row.try_get("result")?,
            })
        };
        rows.iter().map(read).collect()
    }
}
