//! What was said in conferences that keep it: entries in the order of each room, and for each device a cursor up to which
//! it has them. Which entry is for whom is told apart by its author only; what is in one is octets here. When something
//! may go is decided here, how much may stay by whoever asks.
use std::time::SystemTime;

use bytes::Bytes;
use ids::{ConferenceId, DeviceId, Number, Term};
use sqlx::Row as _;

use crate::engine::{Connection, Engine, Row};
use crate::{Error, Store, millis};

/// Something that took its place in a room's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place.
    pub number: Number,
    /// What later entries need of it.
    pub kind: LogKind,
    /// The device that said it; none: the focus.
    pub author: Option<DeviceId>,
    /// When it came.
    pub accepted: SystemTime,
    /// All of it, as it was relayed.
    pub cpim: Bytes,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// Somebody said something.
    Message,
    /// The group changed: what follows cannot be opened without it.
    Commit,
}

impl LogKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Commit => "commit",
        }
    }
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// Entries in their order.
    pub entries: Vec<(Number, Bytes)>,
    /// Nothing is behind them.
    pub complete: bool,
}

/// How large a part may be. One entry is in it in any case.
#[derive(Clone, Copy, Debug)]
pub struct LogPageBounds {
    /// Entries.
    pub entries_max: u32,
    /// Octets of them.
    pub octets_max: u64,
}

/// How much of one conference stays.
#[derive(Clone, Copy, Debug)]
pub struct LogBounds {
    /// What came before this goes.
    pub since: SystemTime,
    /// Octets of messages.
    pub octets_max: u64,
    /// Messages.
    pub entries_max: u32,
}

impl Store {
    /// Appends entries, all or none. Says of each whether it is there: false means that something else has its place.
    ///
    /// # Errors
    /// The database failed.
    pub async fn append_log(
        &self,
        entries: Vec<(ConferenceId, LogEntry)>,
    ) -> Result<Vec<bool>, Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let mut there = Vec::with_capacity(entries.len());
                    for chunk in entries.chunks(ROWS_MAX) {
                        if insert(connection, chunk).await? == chunk.len() {
                            there.extend(chunk.iter().map(|_| true));
                            continue;
                        }
                        for (conference, entry) in chunk {
                            there.push(holds(connection, conference, entry).await?);
                        }
                    }
                    Ok(there)
                })
            })
            .await
    }

    /// What comes after a place, without what this device said itself.
    ///
    /// # Errors
    /// The database failed, or holds what this program did not write.
    pub async fn read_log(
        &self,
        conference: &ConferenceId,
        (after, device): (Number, &DeviceId),
        bounds: LogPageBounds,
    ) -> Result<LogPage, Error> {
        // Sizes first: an entry may be as large as a commit, and a page of those is more than anybody wants at once.
        let sizes = sqlx::query(
            "SELECT term, n, octets FROM conference_log WHERE conference = $1 AND \
             (term, n) > ($2, $3) AND author <> $4 ORDER BY term, n LIMIT $5",
        )
        .bind(conference.as_str())
        .bind(i64::from(after.term.0))
        .bind(signed(after.n))
        .bind(device.as_str())
        .bind(i64::from(bounds.entries_max))
        .fetch_all(&self.readers)
        .await?;
        let mut octets = 0_u64;
        let mut last = None;
        for (at, row) in sizes.iter().enumerate() {
            octets = octets.saturating_add(unsigned(row.try_get("octets")?));
            if octets > bounds.octets_max && at > 0 {
                break;
            }
            last = Some((at + 1, number(row)?));
        }
        let Some((count, last)) = last else {
            return Ok(LogPage { entries: Vec::new(), complete: true });
        };
        let rows = sqlx::query(
            "SELECT term, n, cpim FROM conference_log WHERE conference = $1 AND \
             (term, n) > ($2, $3) AND (term, n) <= ($4, $5) AND author <> $6 ORDER BY term, n",
        )
        .bind(conference.as_str())
        .bind(i64::from(after.term.0))
        .bind(signed(after.n))
        .bind(i64::from(last.term.0))
        .bind(signed(last.n))
        .bind(device.as_str())
        .fetch_all(&self.readers)
        .await?;
        let entry = |row: &Row| -> Result<(Number, Bytes), Error> {
            Ok((number(row)?, row.try_get::<Vec<u8>, _>("cpim")?.into()))
        };
        let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let all = usize::try_from(bounds.entries_max).unwrap_or(usize::MAX);
        Ok(LogPage { entries, complete: count == sizes.len() && count < all })
    }

    /// Devices have everything up to there. A cursor never goes back.
    ///
    /// # Errors
    /// The database failed.
    pub async fn move_cursors(
        &self,
        places: Vec<(ConferenceId, DeviceId, Number)>,
    ) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for (conference, device, number) in &places {
                        sqlx::query(
                            "INSERT INTO conference_cursors (conference, device, term, n) \
                             VALUES ($1, $2, $3, $4) ON CONFLICT (conference, device) DO UPDATE \
                             SET term = excluded.term, n = excluded.n WHERE \
                             (conference_cursors.term, conference_cursors.n) < \
                             (excluded.term, excluded.n)",
                        )
                        .bind(conference.as_str())
                        .bind(device.as_str())
                        .bind(i64::from(number.term.0))
                        .bind(signed(number.n))
                        .execute(&mut *connection)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Up to where a device has it; none if it never was here.
    ///
    /// # Errors
    /// The database failed, or holds what this program did not write.
    pub async fn cursor(
        &self,
        conference: &ConferenceId,
        device: &DeviceId,
    ) -> Result<Option<Number>, Error> {
        let row = sqlx::query(
            "SELECT term, n FROM conference_cursors WHERE conference = $1 AND device = $2",
        )
        .bind(conference.as_str())
        .bind(device.as_str())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(number).transpose()
    }

    /// Every conference of which something is kept, or a cursor.
    ///
    /// # Errors
    /// The database failed, or holds a name that is none.
    pub async fn logged_conferences(&self) -> Result<Vec<ConferenceId>, Error> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT conference FROM conference_log UNION SELECT conference FROM conference_cursors",
        )
        .fetch_all(&self.readers)
        .await?;
        let name = |name: String| {
            name.parse().map_err(|_| Error::Foreign { what: "a conference name that is none" })
        };
        names.into_iter().map(name).collect()
    }

    /// Lets go what every device has, and what is too much. A commit stays as long as a message behind it, for whoever
    /// is still before both. How many entries are gone.
    ///
    /// # Errors
    /// The database failed.
    pub async fn trim_log(
        &self,
        conference: ConferenceId,
        bounds: LogBounds,
    ) -> Result<u64, Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move { trim(connection, &conference, bounds).await })
            })
            .await
    }

    /// Forgets all that was said in a conference. When this returns nothing of it is in the files of the tables, whenever it
    /// was deleted; what a server keeps beside them (its log of writes, copies) is for its operator. On a server nobody reads
    /// or writes the log of any conference while the table is rewritten.
    ///
    /// # Errors
    /// The database failed, or somebody still reads what was deleted: asked again, it will be gone.
    pub async fn purge_log(&self, conference: &ConferenceId) -> Result<(), Error> {
        self.delete_log(conference, &["conference_log"]).await?;
        match self.location.scrub("conference_log").await? {
            true => Ok(()),
            false => Err(Error::StillRead),
        }
    }

    /// Forgets a conference that is over, with who had what of it. A file is written over at once, unless somebody reads;
    /// a server does it when it needs the place.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_log(&self, conference: &ConferenceId) -> Result<(), Error> {
        let gone = self.delete_log(conference, &["conference_log", "conference_cursors"]).await?;
        if gone > 0 && self.location.engine() == Engine::Sqlite {
            self.location.scrub("conference_log").await?;
        }
        Ok(())
    }

    async fn delete_log(
        &self,
        conference: &ConferenceId,
        tables: &'static [&'static str],
    ) -> Result<u64, Error> {
        let name = conference.clone();
        let gone = self.writer.write(move |connection| {
            Box::pin(async move {
                let mut gone = 0;
                for table in tables {
                    let statement = format!("DELETE FROM {table} WHERE conference = $1");
                    let done = sqlx::query(sqlx::AssertSqlSafe(statement))
                        .bind(name.as_str())
                        .execute(&mut *connection)
                        .await?;
                    gone += done.rows_affected();
                }
                Ok(gone)
            })
        });
        gone.await
    }
}

/// Rows in one statement: eight values each, far below what either engine takes.
const ROWS_MAX: usize = 64;
const COLUMNS: usize = 8;

/// How many of them were new.
async fn insert(
    connection: &mut Connection,
    entries: &[(ConferenceId, LogEntry)],
) -> Result<usize, Error> {
    let row = |row: usize| {
        let values: Vec<String> =
            (1..=COLUMNS).map(|value| format!("${}", row * COLUMNS + value)).collect();
        format!("({})", values.join(","))
    };
    let rows: Vec<String> = (0..entries.len()).map(row).collect();
    let statement = format!(
        "INSERT INTO conference_log (conference, term, n, kind, author, accepted_ms, octets, cpim) \
         VALUES {} ON CONFLICT DO NOTHING",
        rows.join(",")
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
    for (conference, entry) in entries {
        query = query
            .bind(conference.as_str())
            .bind(i64::from(entry.number.term.0))
            .bind(signed(entry.number.n))
            .bind(entry.kind.as_str())
            .bind(author(entry))
            .bind(millis(entry.accepted))
            .bind(i64::try_from(entry.cpim.len()).unwrap_or(i64::MAX))
            .bind(entry.cpim.as_ref());
    }
    let done = query.execute(connection).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

/// Whether this entry, and nothing else, has its place.
async fn holds(
    connection: &mut Connection,
    conference: &ConferenceId,
    entry: &LogEntry,
) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT author, cpim FROM conference_log WHERE conference = $1 AND term = $2 AND n = $3",
    )
    .bind(conference.as_str())
    .bind(i64::from(entry.number.term.0))
    .bind(signed(entry.number.n))
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let (by, cpim): (String, Vec<u8>) = (row.try_get("author")?, row.try_get("cpim")?);
    Ok(by == author(entry) && cpim == entry.cpim)
}

fn author(entry: &LogEntry) -> &str {
    entry.author.as_ref().map_or("", DeviceId::as_str)
}

async fn trim(
    connection: &mut Connection,
    conference: &ConferenceId,
    bounds: LogBounds,
) -> Result<u64, Error> {
    let mut gone = 0;
    // Everybody has it; where nobody has a cursor, nobody waits for anything.
    gone += sqlx::query(
        "DELETE FROM conference_log WHERE conference = $1 AND NOT EXISTS (SELECT 1 FROM \
         conference_cursors c WHERE c.conference = conference_log.conference AND \
         (c.term, c.n) < (conference_log.term, conference_log.n))",
    )
    .bind(conference.as_str())
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let too_old = "DELETE FROM conference_log WHERE conference = $1 AND kind = 'message' AND \
                   accepted_ms < $2";
    gone += sqlx::query(too_old)
        .bind(conference.as_str())
        .bind(millis(bounds.since))
        .execute(&mut *connection)
        .await?
        .rows_affected();
    // The newest stay, as long as they are few enough and not too many octets together.
    gone += sqlx::query(
        "DELETE FROM conference_log WHERE conference = $1 AND kind = 'message' AND (term, n) IN \
         (SELECT term, n FROM (SELECT term, n, \
          ROW_NUMBER() OVER (ORDER BY term DESC, n DESC) AS place, \
          CAST(SUM(octets) OVER (ORDER BY term DESC, n DESC) AS BIGINT) AS total \
          FROM conference_log WHERE conference = $1 AND kind = 'message') AS newest \
          WHERE place > $2 OR total > $3)",
    )
    .bind(conference.as_str())
    .bind(i64::from(bounds.entries_max))
    .bind(signed(bounds.octets_max))
    .execute(&mut *connection)
    .await?
    .rows_affected();
    // A change of the group is of use to whoever has to read something behind it.
    gone += sqlx::query(
        "DELETE FROM conference_log WHERE conference = $1 AND kind = 'commit' AND \
         accepted_ms < $2 AND NOT EXISTS (SELECT 1 FROM conference_log m WHERE \
         m.conference = conference_log.conference AND m.kind = 'message' AND \
         (m.term, m.n) > (conference_log.term, conference_log.n))",
    )
    .bind(conference.as_str())
    .bind(millis(bounds.since))
    .execute(&mut *connection)
    .await?
    .rows_affected();
    Ok(gone)
}

fn number(row: &Row) -> Result<Number, Error> {
    let foreign = |_| Error::Foreign { what: "a place in a room that is none" };
    let term = u32::try_from(row.try_get::<i64, _>("term")?).map_err(foreign)?;
    Ok(Number { term: Term(term), n: unsigned(row.try_get("n")?) })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
