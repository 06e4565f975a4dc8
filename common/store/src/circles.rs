//! Circles: the state of each one's group, and the log of its changes with the devices each is for. A change names the
//! revision that it was made on, so that of two only one is kept. What a state or a change means is for others to know.
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Aor, ConferenceId, DeviceId};
use sqlx::Row as _;

use crate::engine::{Connection, Row};
use crate::journal::blob;
use crate::{Error, Store, millis, time};

/// A circle as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleRow {
    /// Grows by one with each change.
    pub revision: u64,
    /// Its people, in the order of their addresses.
    pub people: Vec<Aor>,
    /// Its group.
    pub state: Bytes,
}

/// Where a circle's group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircleStanding {
    /// Its era.
    pub era: u32,
    /// Its epoch.
    pub epoch: u64,
    /// Somebody has to go before anybody may write.
    pub paused: bool,
    /// When somebody else has to.
    pub ends: Option<SystemTime>,
}

/// A change of a circle's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleChange {
    /// The message.
    pub message: Bytes,
    /// The tree after it, where it lets devices in.
    pub tree: Option<Bytes>,
    /// The devices it is for; with a Welcome, those it lets in.
    pub readers: Vec<(Aor, DeviceId, Option<Bytes>)>,
}

/// What is put in the place of a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCircle {
    /// The revision this was made on; 0 for a circle that begins.
    pub seen: u64,
    /// The people of a circle that begins.
    pub people: Vec<Aor>,
    /// Where the group is.
    pub standing: CircleStanding,
    /// The group.
    pub state: Bytes,
    /// What is added to its log.
    pub changes: Vec<CircleChange>,
    /// How long, and how many, entries of its log are kept.
    pub kept: (Duration, u32),
}

/// A change as one device reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleRead {
    /// Its place in the log.
    pub seq: u64,
    /// The message.
    pub message: Bytes,
    /// The Welcome of this device, and the tree for it.
    pub welcome: Option<(Bytes, Bytes)>,
}

impl Store {
    /// A circle, if it has begun.
    ///
    /// # Errors
    /// The database failed, or holds a name that is none.
    pub async fn circle(&self, id: &ConferenceId) -> Result<Option<CircleRow>, Error> {
        let mut transaction = self.readers.begin().await?;
        let row = sqlx::query("SELECT revision, state FROM circles WHERE circle = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let people: Vec<String> =
            sqlx::query_scalar("SELECT aor FROM circle_people WHERE circle = $1 ORDER BY aor")
                .bind(id.as_str())
                .fetch_all(&mut *transaction)
                .await?;
        let people = people.iter().map(|aor| address(aor)).collect::<Result<_, _>>()?;
        let revision = number(row.try_get("revision")?)?;
        Ok(Some(CircleRow { revision, people, state: blob(&row, "state")? }))
    }

    /// The people of a circle, in the order of their addresses, and where its group is, if it has begun.
    ///
    /// # Errors
    /// The database failed, or holds a name or a number that is none.
    pub async fn circle_people(
        &self,
        id: &ConferenceId,
    ) -> Result<Option<(Vec<Aor>, CircleStanding)>, Error> {
        let rows = sqlx::query(
            "SELECT c.era, c.epoch, c.paused, c.ends_ms, p.aor FROM circles c \
             JOIN circle_people p ON p.circle = c.circle WHERE c.circle = $1 ORDER BY p.aor",
        )
        .bind(id.as_str())
        .fetch_all(&self.readers)
        .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let standing = standing(first)?;
        let people = rows.iter().map(|row| address(row.try_get("aor")?)).collect::<Result<_, _>>();
        Ok(Some((people?, standing)))
    }

    /// Where a circle's group is, if it has begun and is this person's.
    ///
    /// # Errors
    /// The database failed.
    pub async fn circle_standing(
        &self,
        id: &ConferenceId,
        person: &Aor,
    ) -> Result<Option<CircleStanding>, Error> {
        let row = sqlx::query(
            "SELECT c.era, c.epoch, c.paused, c.ends_ms FROM circles c \
             JOIN circle_people p ON p.circle = c.circle WHERE c.circle = $1 AND p.aor = $2",
        )
        .bind(id.as_str())
        .bind(person.as_str())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(standing).transpose()
    }

    /// The people of each circle that this person belongs to, at most so many circles.
    ///
    /// # Errors
    /// The database failed, or holds a name that is none.
    pub async fn circles_of(&self, person: &Aor, max: u32) -> Result<Vec<Vec<Aor>>, Error> {
        let rows = sqlx::query(
            "SELECT p.circle, p.aor FROM circle_people p WHERE p.circle IN \
             (SELECT circle FROM circle_people WHERE aor = $1 ORDER BY circle LIMIT $2) \
             ORDER BY p.circle, p.aor",
        )
        .bind(person.as_str())
        .bind(i64::from(max))
        .fetch_all(&self.readers)
        .await?;
        let (mut circles, mut last) = (Vec::<Vec<Aor>>::new(), String::new());
        for row in &rows {
            let (circle, aor): (String, String) = (row.try_get("circle")?, row.try_get("aor")?);
            if circles.is_empty() || circle != last {
                circles.push(Vec::new());
                last = circle;
            }
            if let Some(people) = circles.last_mut() {
                people.push(address(&aor)?);
            }
        }
        Ok(circles)
    }

    /// How many circles a person belongs to.
    ///
    /// # Errors
    /// The database failed.
    pub async fn circles_count(&self, person: &Aor) -> Result<u64, Error> {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM circle_people WHERE aor = $1")
            .bind(person.as_str())
            .fetch_one(&self.readers)
            .await?;
        number(count)
    }

    /// Changes of a circle after this place that are for this device, in order, at most so many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn circle_log(
        &self,
        id: &ConferenceId,
        (aor, device): (&Aor, &DeviceId),
        after: u64,
        max: u32,
    ) -> Result<Vec<CircleRead>, Error> {
        let rows = sqlx::query(
            "SELECT l.seq, l.message, l.tree, r.welcome FROM circle_readers r \
             JOIN circle_log l ON l.circle = r.circle AND l.seq = r.seq \
             WHERE r.circle = $1 AND r.aor = $2 AND r.device = $3 AND r.seq > $4 \
             ORDER BY r.seq LIMIT $5",
        )
        .bind(id.as_str())
        .bind(aor.as_str())
        .bind(device.as_str())
        .bind(stored(after)?)
        .bind(i64::from(max))
        .fetch_all(&self.readers)
        .await?;
        let read = |row: &Row| {
            let optional = |name| row.try_get::<Option<Vec<u8>>, _>(name);
            let welcome = optional("welcome")?.zip(optional("tree")?);
            Ok(CircleRead {
                seq: number(row.try_get("seq")?)?,
                message: blob(row, "message")?,
                welcome: welcome.map(|(welcome, tree)| (welcome.into(), tree.into())),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Puts a circle in the place of the revision it was made on, and adds to its log.
    ///
    /// # Errors
    /// [`Error::Stale`]: another change was first. Or the database failed.
    pub async fn put_circle(
        &self,
        id: &ConferenceId,
        new: NewCircle,
        now: SystemTime,
    ) -> Result<(), Error> {
        let id = id.clone();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    swap(connection, &id, &new, now).await?;
                    for change in &new.changes {
                        add(connection, &id, change, now).await?;
                    }
                    prune(connection, &id, new.kept, now).await
                })
            })
            .await
    }
}

async fn swap(
    connection: &mut Connection,
    id: &ConferenceId,
    new: &NewCircle,
    now: SystemTime,
) -> Result<(), Error> {
    let text = if new.seen == 0 {
        "INSERT INTO circles (circle, revision, era, epoch, state, changed_ms, paused, ends_ms) \
         VALUES ($1, $2 + 1, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"
    } else {
        "UPDATE circles SET revision = $2 + 1, era = $3, epoch = $4, state = $5, changed_ms = $6, \
         paused = $7, ends_ms = $8 WHERE circle = $1 AND revision = $2"
    };
    let CircleStanding { era, epoch, paused, ends } = new.standing;
    let changed = sqlx::query(text)
        .bind(id.as_str())
        .bind(stored(new.seen)?)
        .bind(i64::from(era))
        .bind(stored(epoch)?)
        .bind(&new.state[..])
        .bind(millis(now))
        .bind(i64::from(paused))
        .bind(ends.map(millis))
        .execute(&mut *connection)
        .await?;
    if changed.rows_affected() == 0 {
        return Err(Error::Stale);
    }
    for person in &new.people {
        sqlx::query(
            "INSERT INTO circle_people (aor, circle) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(person.as_str())
        .bind(id.as_str())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn add(
    connection: &mut Connection,
    id: &ConferenceId,
    change: &CircleChange,
    now: SystemTime,
) -> Result<(), Error> {
    // The newest entry is never pruned, so that no place is given twice.
    let seq: i64 = sqlx::query_scalar(
        "INSERT INTO circle_log (circle, seq, message, tree, accepted_ms) \
         SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4 FROM circle_log WHERE circle = $1 \
         RETURNING seq",
    )
    .bind(id.as_str())
    .bind(&change.message[..])
    .bind(change.tree.as_deref())
    .bind(millis(now))
    .fetch_one(&mut *connection)
    .await?;
    for (aor, device, welcome) in &change.readers {
        sqlx::query(
            "INSERT INTO circle_readers (circle, aor, device, seq, welcome) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(id.as_str())
        .bind(aor.as_str())
        .bind(device.as_str())
        .bind(seq)
        .bind(welcome.as_deref())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Forgets what is old, or more than is kept; never the newest.
async fn prune(
    connection: &mut Connection,
    id: &ConferenceId,
    (age, count): (Duration, u32),
    now: SystemTime,
) -> Result<(), Error> {
    let old = millis(now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH));
    sqlx::query(
        "DELETE FROM circle_log WHERE circle = $1 \
         AND seq < (SELECT MAX(seq) FROM circle_log WHERE circle = $1) \
         AND (accepted_ms < $2 OR seq <= (SELECT MAX(seq) FROM circle_log WHERE circle = $1) - $3)",
    )
    .bind(id.as_str())
    .bind(old)
    .bind(i64::from(count.max(1)))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM circle_readers WHERE circle = $1 \
         AND seq < (SELECT MIN(seq) FROM circle_log WHERE circle = $1)",
    )
    .bind(id.as_str())
    .execute(&mut *connection)
    .await?;
    Ok(())
}

fn standing(row: &Row) -> Result<CircleStanding, Error> {
    let era = u32::try_from(row.try_get::<i64, _>("era")?);
    let era = era.map_err(|_| Error::Foreign { what: "an era" })?;
    let epoch = number(row.try_get("epoch")?)?;
    let paused = row.try_get::<i64, _>("paused")? != 0;
    let ends = row.try_get::<Option<i64>, _>("ends_ms")?.map(time);
    Ok(CircleStanding { era, epoch, paused, ends })
}

fn address(text: &str) -> Result<Aor, Error> {
    text.parse().map_err(|_| Error::Foreign { what: "a person of a circle" })
}

fn number(stored: i64) -> Result<u64, Error> {
    u64::try_from(stored).map_err(|_| Error::Foreign { what: "a number of a circle" })
}

fn stored(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::Stale)
}
