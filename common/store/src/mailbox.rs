//! Messages that wait for people. What is in one is octets here; who may read them, and what its sender is told, is for
//! others to say. Each device of a person has a cursor of its own, so that it is given each message once.
use std::time::SystemTime;

use bytes::Bytes;
use ids::Aor;
use sqlx::Row as _;

use crate::engine::{Connection, Row};
use crate::{Error, Store, files, flag, millis, time};

/// A message to be kept for somebody.
#[derive(Clone, Debug)]
pub struct NewLetter {
    /// Whose mailbox.
    pub owner: Aor,
    /// Who wrote it.
    pub sender: Aor,
    /// What its sender calls it. From the same sender it is kept once.
    pub message_id: String,
    /// When it came.
    pub accepted: SystemTime,
    /// Until when its text is kept.
    pub expires: SystemTime,
    /// Until when it is known that it was here.
    pub forget: SystemTime,
    /// Octets of the body as it was sent.
    pub octets: u64,
    /// Whether the body is under the mailbox's key; otherwise it is as it was sent.
    pub locked: bool,
    /// Its header fields.
    pub head: Bytes,
    /// Its body; of a large one the beginning.
    pub body: Bytes,
    /// The name of a large body in the blob store.
    pub blob: Option<String>,
}

/// A message that waits.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its place in the order in which they came.
    pub number: i64,
    /// What was kept.
    pub letter: NewLetter,
    /// Whether a device has it.
    pub delivered: bool,
    /// Whether its sender has heard that it was not delivered.
    pub told: bool,
}

/// How much one person's mailbox holds.
#[derive(Clone, Copy, Debug)]
pub struct MailboxBounds {
    /// Messages that no device has yet.
    pub letters_max: u32,
    /// The same of one sender.
    pub sender_letters_max: u32,
    /// Octets of such messages, but for large ones.
    pub octets_max: u64,
    /// Octets in the blob store: of large messages and files.
    pub blob_octets_max: u64,
    /// Rows of one person, with those of which only the name is left.
    pub known_max: u32,
}

/// What became of a message to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It is on disk.
    Kept,
    /// It came before; nothing changed.
    Known,
    /// The mailbox holds as much as it may.
    Full,
    /// Of this sender it does.
    SenderFull,
}

/// What a device said of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It has it.
    Taken,
    /// It never takes it.
    Refused,
}

impl Store {
    /// Keeps a message, and in the same transaction what its sender is told of that, unless it came before or there is
    /// no room.
    ///
    /// # Errors
    /// The database failed; nothing is kept.
    pub async fn post(
        &self,
        letter: NewLetter,
        notice: Option<NewLetter>,
        bounds: MailboxBounds,
    ) -> Result<Posted, Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let posted = room(connection, &letter, bounds).await?;
                    if posted != Posted::Kept || !insert(connection, &letter).await? {
                        return Ok(if posted == Posted::Kept { Posted::Known } else { posted });
                    }
                    trim(connection, &letter.owner, bounds).await?;
                    if let Some(notice) = &notice {
                        insert(connection, notice).await?;
                    }
                    Ok(Posted::Kept)
                })
            })
            .await
    }

    /// Whether there is room for one more message of this sender, however small.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_room(
        &self,
        (owner, sender): (&Aor, &Aor),
        bounds: MailboxBounds,
    ) -> Result<Posted, Error> {
        let mut connection = self.readers.acquire().await?;
        waiting(&mut connection, (owner, sender)).await.map(|waiting| waiting.takes(bounds))
    }

    /// The oldest message that this device has not been given.
    ///
    /// # Errors
    /// The database failed, or holds what this program did not write.
    pub async fn next_letter(
        &self,
        owner: &Aor,
        device: &str,
        behind: i64,
        now: SystemTime,
    ) -> Result<Option<Letter>, Error> {
        let row = sqlx::query(
            "SELECT * FROM mailbox WHERE owner = $1 AND head IS NOT NULL AND expires_ms > $2 AND \
             number > $3 AND number > COALESCE((SELECT c.number FROM mailbox_cursors c \
             WHERE c.owner = $1 AND c.device = $4), 0) ORDER BY number LIMIT 1",
        )
        .bind(owner.as_str())
        .bind(millis(now))
        .bind(behind)
        .bind(device)
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// A device has answered a message: it is not given it again. One that was taken is kept until `until` for the
    /// person's other devices. `notice` is for the sender of one that was refused, once.
    ///
    /// # Errors
    /// The database failed.
    pub async fn settle_letter(
        &self,
        (owner, device, number): (&Aor, &str, i64),
        settled: Settled,
        (now, until): (SystemTime, SystemTime),
        notice: Option<NewLetter>,
    ) -> Result<(), Error> {
        let (owner, device) = (owner.clone(), device.to_owned());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO mailbox_cursors (owner, device, number) VALUES ($1, $2, $3) \
                         ON CONFLICT (owner, device) DO UPDATE SET number = excluded.number \
                         WHERE mailbox_cursors.number < excluded.number",
                    )
                    .bind(owner.as_str())
                    .bind(&device)
                    .bind(number)
                    .execute(&mut *connection)
                    .await?;
                    match settled {
                        Settled::Taken => take(connection, number, now, until).await?,
                        Settled::Refused => refuse(connection, number, notice.as_ref()).await?,
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Messages whose time is over, at most so many.
    ///
    /// # Errors
    /// The database failed, or holds what this program did not write.
    pub async fn expired_letters(&self, now: SystemTime, max: u32) -> Result<Vec<Letter>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM mailbox WHERE head IS NOT NULL AND expires_ms <= $1 \
             ORDER BY expires_ms LIMIT $2",
        )
        .bind(millis(now))
        .bind(i64::from(max))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Takes the text of these messages away, and keeps what their senders are told of it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn end_letters(&self, ended: Vec<(i64, Option<NewLetter>)>) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for (number, notice) in &ended {
                        let done = sqlx::query(
                            "UPDATE mailbox SET head = NULL, body = NULL, told = 1 \
                             WHERE number = $1 AND head IS NOT NULL",
                        )
                        .bind(number)
                        .execute(&mut *connection)
                        .await?;
                        if let (1, Some(notice)) = (done.rows_affected(), notice) {
                            insert(connection, notice).await?;
                        }
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Forgets what could come again no more, and the cursors of people for whom nothing waits.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_letters(&self, now: SystemTime) -> Result<(), Error> {
        let now = millis(now);
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    // A row that still names a blob stays until the blob is gone.
                    sqlx::query(
                        "DELETE FROM mailbox WHERE head IS NULL AND blob IS NULL AND forget_ms <= $1",
                    )
                    .bind(now)
                    .execute(&mut *connection)
                    .await?;
                    // Numbers only grow, so who has no message left starts behind all there ever were.
                    sqlx::query(
                        "DELETE FROM mailbox_cursors WHERE NOT EXISTS (SELECT 1 FROM mailbox m \
                         WHERE m.owner = mailbox_cursors.owner AND m.head IS NOT NULL)",
                    )
                    .execute(&mut *connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Everybody for whom something is kept.
    ///
    /// # Errors
    /// The database failed, or holds an owner that is no address.
    pub async fn mailbox_owners(&self) -> Result<Vec<Aor>, Error> {
        let rows = sqlx::query("SELECT DISTINCT owner FROM mailbox WHERE head IS NOT NULL")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| address(row, "owner")).collect()
    }

    /// Everything that is kept for a person, in order.
    ///
    /// # Errors
    /// The database failed, or holds what this program did not write.
    pub async fn letters(&self, owner: &Aor) -> Result<Vec<Letter>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM mailbox WHERE owner = $1 AND head IS NOT NULL ORDER BY number",
        )
        .bind(owner.as_str())
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }
}

/// Whether it is new and there is room for it.
async fn room(
    connection: &mut Connection,
    letter: &NewLetter,
    bounds: MailboxBounds,
) -> Result<Posted, Error> {
    let known =
        sqlx::query("SELECT 1 FROM mailbox WHERE owner = $1 AND sender = $2 AND message_id = $3")
            .bind(letter.owner.as_str())
            .bind(letter.sender.as_str())
            .bind(&letter.message_id)
            .fetch_optional(&mut *connection)
            .await?;
    if known.is_some() {
        return Ok(Posted::Known);
    }
    let waiting = waiting(connection, (&letter.owner, &letter.sender)).await?;
    let (used, most) = match letter.blob {
        None => (waiting.octets, bounds.octets_max),
        Some(_) => (files::blob_octets(connection, &letter.owner).await?, bounds.blob_octets_max),
    };
    if used.saturating_add(letter.octets) > most {
        return Ok(Posted::Full);
    }
    Ok(waiting.takes(bounds))
}

/// What waits for a person.
struct Waiting {
    letters: u64,
    /// Of this sender.
    of_sender: u64,
    /// But for large messages.
    octets: u64,
}

impl Waiting {
    fn takes(&self, bounds: MailboxBounds) -> Posted {
        if self.letters >= bounds.letters_max.into() {
            Posted::Full
        } else if self.of_sender >= bounds.sender_letters_max.into() {
            Posted::SenderFull
        } else {
            Posted::Kept
        }
    }
}

async fn waiting(
    connection: &mut Connection,
    (owner, sender): (&Aor, &Aor),
) -> Result<Waiting, Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS letters, \
         CAST(COALESCE(SUM(CASE WHEN blob IS NULL THEN octets ELSE 0 END), 0) AS BIGINT) AS octets, \
         COUNT(CASE WHEN sender = $2 THEN 1 END) AS of_sender FROM mailbox \
         WHERE owner = $1 AND head IS NOT NULL AND delivered_ms IS NULL",
    )
    .bind(owner.as_str())
    .bind(sender.as_str())
    .fetch_one(&mut *connection)
    .await?;
    let number = |name| -> Result<u64, Error> { Ok(row.try_get::<i64, _>(name)?.unsigned_abs()) };
    let (letters, of_sender) = (number("letters")?, number("of_sender")?);
    Ok(Waiting { letters, of_sender, octets: number("octets")? })
}

/// Whether it is new.
pub(crate) async fn insert(connection: &mut Connection, letter: &NewLetter) -> Result<bool, Error> {
    let done = sqlx::query(
        "INSERT INTO mailbox (owner, sender, message_id, accepted_ms, expires_ms, forget_ms, octets, \
         locked, head, body, blob) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT DO NOTHING",
    )
    .bind(letter.owner.as_str())
    .bind(letter.sender.as_str())
    .bind(&letter.message_id)
    .bind(millis(letter.accepted))
    .bind(millis(letter.expires))
    .bind(millis(letter.forget))
    .bind(i64::try_from(letter.octets).unwrap_or(i64::MAX))
    .bind(i64::from(letter.locked))
    .bind(letter.head.as_ref())
    .bind(letter.body.as_ref())
    .bind(letter.blob.as_deref())
    .execute(&mut *connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A device has it. It stays for the others, for a while.
async fn take(
    connection: &mut Connection,
    number: i64,
    now: SystemTime,
    until: SystemTime,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE mailbox SET delivered_ms = $2, expires_ms = \
         CASE WHEN expires_ms < $3 THEN expires_ms ELSE $3 END \
         WHERE number = $1 AND delivered_ms IS NULL",
    )
    .bind(number)
    .bind(millis(now))
    .bind(millis(until))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// A device never takes it: its sender hears that once, unless another one has it.
async fn refuse(
    connection: &mut Connection,
    number: i64,
    notice: Option<&NewLetter>,
) -> Result<(), Error> {
    let done = sqlx::query(
        "UPDATE mailbox SET told = 1 WHERE number = $1 AND told = 0 AND delivered_ms IS NULL",
    )
    .bind(number)
    .execute(&mut *connection)
    .await?;
    if let (1, Some(notice)) = (done.rows_affected(), notice) {
        insert(connection, notice).await?;
    }
    Ok(())
}

/// Of what was delivered only as many stay as may wait, and of the rest only so many names.
async fn trim(
    connection: &mut Connection,
    owner: &Aor,
    bounds: MailboxBounds,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE mailbox SET head = NULL, body = NULL WHERE owner = $1 AND head IS NOT NULL AND \
         delivered_ms IS NOT NULL AND number <= (SELECT number FROM mailbox WHERE owner = $1 AND \
         head IS NOT NULL AND delivered_ms IS NOT NULL ORDER BY number DESC LIMIT 1 OFFSET $2)",
    )
    .bind(owner.as_str())
    .bind(i64::from(bounds.letters_max))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM mailbox WHERE owner = $1 AND head IS NULL AND blob IS NULL AND number <= \
         (SELECT number FROM mailbox WHERE owner = $1 ORDER BY number DESC LIMIT 1 OFFSET $2)",
    )
    .bind(owner.as_str())
    .bind(i64::from(bounds.known_max))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

fn address(row: &Row, column: &str) -> Result<Aor, Error> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| Error::Foreign { what: "an address of record" })
}

fn read(row: &Row) -> Result<Letter, Error> {
    let (head, body): (Vec<u8>, Vec<u8>) = (row.try_get("head")?, row.try_get("body")?);
    let delivered: Option<i64> = row.try_get("delivered_ms")?;
    let letter = NewLetter {
        owner: address(row, "owner")?,
        sender: address(row, "sender")?,
        message_id: row.try_get("message_id")?,
        accepted: time(row.try_get("accepted_ms")?),
        expires: time(row.try_get("expires_ms")?),
        forget: time(row.try_get("forget_ms")?),
        octets: row.try_get::<i64, _>("octets")?.unsigned_abs(),
        locked: flag(row, "locked")?,
        head: head.into(),
        body: body.into(),
        blob: row.try_get("blob")?,
    };
    let (number, told) = (row.try_get("number")?, flag(row, "told")?);
    Ok(Letter { number, letter, delivered: delivered.is_some(), told })
}
