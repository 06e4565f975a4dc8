//! What operators and people did over HTTPS, for the question "who was that". Whoever notes a deed says how many are
//! kept.
use std::time::SystemTime;

use sqlx::Row as _;

use crate::engine::Row;
use crate::{Error, Store, millis, time};

/// Something that was done, or tried. Never what was said, and never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When.
    pub at: SystemTime,
    /// By whom.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// From which address.
    pub source: String,
    /// What became of it.
    pub result: String,
}

/// Octets of a text: what somebody asks for may be as long as a request.
const TEXT_OCTETS_MAX: usize = 1_024;

impl Deed {
    fn shortened(mut self) -> Self {
        let texts = [
            &mut self.actor,
            &mut self.action,
            &mut self.subject,
            &mut self.source,
            &mut self.result,
        ];
        for text in texts {
            text.truncate(text.floor_char_boundary(TEXT_OCTETS_MAX));
        }
        self
    }
}

impl Store {
    /// Notes a deed, each text of it cut at 1 KiB. With more than `kept_max` the oldest go.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_deed(&self, deed: Deed, kept_max: u32) -> Result<(), Error> {
        let deed = deed.shortened();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO deeds (id, at_ms, actor, action, subject, source, result) \
                         SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, $5, $6 FROM deeds",
                    )
                    .bind(millis(deed.at))
                    .bind(&deed.actor)
                    .bind(&deed.action)
                    .bind(&deed.subject)
                    .bind(&deed.source)
                    .bind(&deed.result)
                    .execute(&mut *connection)
                    .await?;
                    sqlx::query("DELETE FROM deeds WHERE id <= (SELECT MAX(id) FROM deeds) - $1")
                        .bind(i64::from(kept_max))
                        .execute(&mut *connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The newest deeds, newest first: of everybody, or of one actor.
    ///
    /// # Errors
    /// The database failed.
    pub async fn deeds(&self, actor: Option<&str>, count: u32) -> Result<Vec<Deed>, Error> {
        let rows = sqlx::query(
            "SELECT at_ms, actor, action, subject, source, result FROM deeds \
             WHERE $1 IS NULL OR actor = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(actor)
        .bind(i64::from(count))
        .fetch_all(&self.readers)
        .await?;
        let read = |row: &Row| {
            Ok(Deed {
                at: time(row.try_get("at_ms")?),
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                subject: row.try_get("subject")?,
                source: row.try_get("source")?,
                result: row.try_get("result")?,
            })
        };
        rows.iter().map(read).collect()
    }
}
