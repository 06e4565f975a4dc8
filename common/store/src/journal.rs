//! The journal of each conference, and the newest state of its group beside it.
//!
//! An event's place is its key: two owners of one conference cannot both append, the second is refused.
use bytes::Bytes;
use ids::{ConferenceId, Seq};
use sqlx::Row as _;

use crate::engine::Row;
use crate::{Error, Store};

/// What one append writes, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub event: Bytes,
    /// The group as it is after it, if the event changed the group. It replaces the one before.
    pub group: Option<Bytes>,
}

impl Entry {
    /// An event that leaves the group as it is.
    pub fn event(event: impl Into<Bytes>) -> Self {
        Self { event: event.into(), group: None }
    }
}

/// Everything kept about one conference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// How many events came before these, and are forgotten.
    pub before: Seq,
    /// The events from there on.
    pub events: Vec<Bytes>,
    /// The newest state of the group.
    pub group: Option<Bytes>,
}

impl Store {
    /// Appends to the journal of a conference, if it ends at `expected`. Returns the new end.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it ends elsewhere: another owner has appended.
    pub async fn append(
        &self,
        conference: &ConferenceId,
        expected: Seq,
        entry: Entry,
    ) -> Result<Seq, Error> {
        self.writer.append(conference.clone(), expected, entry).await
    }

    /// Everything kept about a conference; empty if nothing is.
    ///
    /// # Errors
    /// The database failed, or the journal has a gap.
    pub async fn read(&self, conference: &ConferenceId) -> Result<History, Error> {
        // One transaction, so that events and group belong together.
        let mut transaction = self.readers.begin().await?;
        let rows = sqlx::query(
            "SELECT seq, event FROM conference_events WHERE conference = $1 ORDER BY seq",
        )
        .bind(conference.as_str())
        .fetch_all(&mut *transaction)
        .await?;
        let group = sqlx::query("SELECT state FROM conference_groups WHERE conference = $1")
            .bind(conference.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let mut events = Vec::with_capacity(rows.len());
        let first = rows.first().map_or(Ok(1), |row| row.try_get::<i64, _>("seq"))?;
        let foreign = |_| Error::Foreign { what: "a sequence that is none" };
        let before = Seq(u64::try_from(first - 1).map_err(foreign)?);
        for (row, expected) in rows.iter().zip(first..) {
            if row.try_get::<i64, _>("seq")? != expected {
                return Err(Error::Foreign { what: "a journal with a gap" });
            }
            events.push(blob(row, "event")?);
        }
        let group = group.as_ref().map(|row| blob(row, "state")).transpose()?;
        Ok(History { before, events, group })
    }

    /// Forgets what a conference has been, up to and without this event, which says that it is over; and its group, with
    /// whatever was still to be delivered of it. What is appended meanwhile stays.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget(&self, conference: &ConferenceId, over: Seq) -> Result<(), Error> {
        self.writer.forget(conference.clone(), i64::try_from(over.0).unwrap_or(i64::MAX)).await
    }

    /// Every conference with a journal, but those of which only the end is left.
    ///
    /// # Errors
    /// The database failed, or holds a name that is none.
    pub async fn conferences(&self) -> Result<Vec<ConferenceId>, Error> {
        // From name to name: the primary key finds each without reading the journals.
        let names: Vec<String> = sqlx::query_scalar(
            "WITH RECURSIVE names(name) AS ( \
                 SELECT MIN(conference) FROM conference_events \
                 UNION ALL \
                 SELECT (SELECT MIN(conference) FROM conference_events WHERE conference > names.name) \
                 FROM names WHERE names.name IS NOT NULL) \
             SELECT name FROM names WHERE name IS NOT NULL AND \
                 ((SELECT MIN(seq) FROM conference_events WHERE conference = name) = 1 OR \
                  (SELECT MIN(seq) FROM conference_events WHERE conference = name) < \
                  (SELECT MAX(seq) FROM conference_events WHERE conference = name))",
        )
        .fetch_all(&self.readers)
        .await?;
        let parse =
            |name: String| name.parse().map_err(|_| Error::Foreign { what: "a conference name" });
        names.into_iter().map(parse).collect()
    }
}

pub(crate) fn blob(row: &Row, column: &str) -> Result<Bytes, sqlx::Error> {
    row.try_get::<Vec<u8>, _>(column).map(Bytes::from)
}
