//! Charges for messages: written once each, however often a relay tells of them, and handed out until they are in the
//! operator's file of lines.
use std::collections::HashMap;

use ids::{Aor, ConferenceId, SeatId};
use sqlx::Row as _;

use crate::engine::{Connection, Row};
use crate::{Error, Store};

/// One message of a charged session, when it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCharge {
    /// The session.
    pub conference: ConferenceId,
    /// The sender's seat in it.
    pub seat: SeatId,
    /// The sender's Message-ID.
    pub message_id: String,
    /// To how many it was passed on.
    pub receivers: u32,
    /// Octets that came.
    pub octets: u64,
    /// Octets to pay for.
    pub charged: u64,
    /// What it was.
    pub media_type: String,
    /// 200, 0, or the status of its refusal.
    pub status: u16,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
}

/// A charge that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeRecord {
    /// Its number; it grows, and is never used twice.
    pub record: i64,
    /// What was charged.
    pub charge: NewCharge,
    /// Whose message it was.
    pub from: Option<String>,
    /// Who else had a seat; of a room with a seat 0 only that, which stands for everybody.
    pub to: Vec<String>,
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Store {
    /// Notes who has a seat in a charged room. Noting it again changes nothing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_charged_seat(
        &self,
        conference: ConferenceId,
        seat: SeatId,
        aor: Aor,
    ) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO charged_seats (conference, seat, aor) VALUES ($1, $2, $3) \
                         ON CONFLICT DO NOTHING",
                    )
                    .bind(conference.as_str())
                    .bind(signed(seat.0))
                    .bind(aor.as_str())
                    .execute(&mut *connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Writes charges, all or none, but for those that are there. How many are new.
    ///
    /// # Errors
    /// The database failed.
    pub async fn charge(&self, charges: Vec<NewCharge>) -> Result<u64, Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let mut new = 0;
                    for charge in &charges {
                        new += insert(connection, charge).await?;
                    }
                    Ok(new)
                })
            })
            .await
    }

    /// The oldest charges whose lines are not written, at most so many.
    ///
    /// # Errors
    /// The database failed, or holds what this program did not write.
    pub async fn charges_without_line(&self, max: u32) -> Result<Vec<ChargeRecord>, Error> {
        let mut transaction = self.readers.begin().await?;
        let rows = sqlx::query(
            "SELECT m.*, (SELECT aor FROM charged_seats s WHERE s.conference = m.conference AND \
             s.seat = m.seat) AS sender FROM charged_messages m WHERE line = 0 ORDER BY record LIMIT $1",
        )
        .bind(i64::from(max))
        .fetch_all(&mut *transaction)
        .await?;
        let seats = sqlx::query(
            "SELECT conference, seat, aor FROM charged_seats WHERE conference IN (SELECT conference \
             FROM charged_messages WHERE line = 0 ORDER BY record LIMIT $1) ORDER BY conference, seat",
        )
        .bind(i64::from(max))
        .fetch_all(&mut *transaction)
        .await?;
        let mut seated: HashMap<String, Vec<(i64, String)>> = HashMap::new();
        for row in &seats {
            let seat = (row.try_get("seat")?, row.try_get("aor")?);
            seated.entry(row.try_get("conference")?).or_default().push(seat);
        }
        rows.iter().map(|row| record(row, &seated)).collect()
    }

    /// The lines of charges up to this number are in the file.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_charge_lines(&self, last: i64) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE charged_messages SET line = 1 WHERE line = 0 AND record <= $1",
                    )
                    .bind(last)
                    .execute(&mut *connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }
}

async fn insert(connection: &mut Connection, charge: &NewCharge) -> Result<u64, Error> {
    let done = sqlx::query(
        "INSERT INTO charged_messages (conference, seat, message_id, receivers, \
         octets, charged, media_type, status, started_ms, ended_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
    )
    .bind(charge.conference.as_str())
    .bind(signed(charge.seat.0))
    .bind(&charge.message_id)
    .bind(i64::from(charge.receivers))
    .bind(signed(charge.octets))
    .bind(signed(charge.charged))
    .bind(&charge.media_type)
    .bind(i64::from(charge.status))
    .bind(signed(charge.started_ms))
    .bind(signed(charge.ended_ms))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

fn record(row: &Row, seated: &HashMap<String, Vec<(i64, String)>>) -> Result<ChargeRecord, Error> {
    let conference: String = row.try_get("conference")?;
    let seated = seated.get(&conference).map_or(&[][..], Vec::as_slice);
    let seat: i64 = row.try_get("seat")?;
    let everybody = seated.iter().any(|it| it.0 == 0);
    let others = seated.iter().filter(|it| if everybody { it.0 == 0 } else { it.0 != seat });
    let conference =
        conference.parse().map_err(|_| Error::Foreign { what: "the name of a session" })?;
    let number = |name: &str| row.try_get::<i64, _>(name).map(unsigned);
    Ok(ChargeRecord {
        record: row.try_get("record")?,
        from: row.try_get("sender")?,
        to: others.map(|it| it.1.clone()).collect(),
        charge: NewCharge {
            conference,
            seat: SeatId(unsigned(seat)),
            message_id: row.try_get("message_id")?,
            receivers: u32::try_from(number("receivers")?).unwrap_or(u32::MAX),
            octets: number("octets")?,
            charged: number("charged")?,
            media_type: row.try_get("media_type")?,
            status: u16::try_from(number("status")?).unwrap_or(0),
            started_ms: number("started_ms")?,
            ended_ms: number("ended_ms")?,
        },
    })
}
