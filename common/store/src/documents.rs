//! What a person keeps here, one text for each kind: contacts, phonebook, profile, privacy. What is in it is for others
//! to know; here it has a version, and who changes it says which version they have seen.
use std::time::SystemTime;

use ids::Aor;
use sqlx::Row as _;

use crate::engine::Row;
use crate::{Error, Store, millis};

/// A person's text of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// It grows with each change; 0 where there is none yet.
    pub version: u64,
    /// The text; empty where there is none yet.
    pub body: String,
}

impl Store {
    /// A person's document; version 0 if there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn document(&self, owner: &Aor, kind: &str) -> Result<Document, Error> {
        let row = sqlx::query("SELECT version, body FROM documents WHERE owner = $1 AND kind = $2")
            .bind(owner.as_str())
            .bind(kind)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(Document::default()) };
        Ok(Document { version: version(row.try_get("version")?)?, body: row.try_get("body")? })
    }

    /// Every document of a kind, with its owner.
    ///
    /// # Errors
    /// The database failed, or holds an owner that is no address.
    pub async fn documents(&self, kind: &str) -> Result<Vec<(Aor, Document)>, Error> {
        let rows = sqlx::query("SELECT owner, version, body FROM documents WHERE kind = $1")
            .bind(kind)
            .fetch_all(&self.readers)
            .await?;
        let read = |row: &Row| {
            let owner: String = row.try_get("owner")?;
            let owner = owner.parse().map_err(|_| Error::Foreign { what: "an owner" })?;
            let version = version(row.try_get("version")?)?;
            Ok((owner, Document { version, body: row.try_get("body")? }))
        };
        rows.iter().map(read).collect()
    }

    /// Puts a document in the place of the version `seen`, 0 for none, and says its new version.
    ///
    /// # Errors
    /// [`Error::Stale`]: another one is there by now. Or the database failed.
    pub async fn put_document(
        &self,
        owner: &Aor,
        kind: &'static str,
        seen: u64,
        body: String,
        now: SystemTime,
    ) -> Result<u64, Error> {
        let owner = owner.clone();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let seen_stored = i64::try_from(seen).map_err(|_| Error::Stale)?;
                    let text = if seen == 0 {
                        "INSERT INTO documents (owner, kind, version, body, changed_ms) \
                         VALUES ($1, $2, $3 + 1, $4, $5) ON CONFLICT DO NOTHING"
                    } else {
                        "UPDATE documents SET version = $3 + 1, body = $4, changed_ms = $5 \
                         WHERE owner = $1 AND kind = $2 AND version = $3"
                    };
                    let changed = sqlx::query(text)
                        .bind(owner.as_str())
                        .bind(kind)
                        .bind(seen_stored)
                        .bind(&body)
                        .bind(millis(now))
                        .execute(&mut *connection)
                        .await?;
                    if changed.rows_affected() == 0 { Err(Error::Stale) } else { Ok(seen + 1) }
                })
            })
            .await
    }
}

fn version(stored: i64) -> Result<u64, Error> {
    u64::try_from(stored).map_err(|_| Error::Foreign { what: "a version" })
}
