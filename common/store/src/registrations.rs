//! Where people can be reached, so that a restarted MRFC knows whom it served. Whether a row can still be reached is for
//! the registrar to say: connections are not kept here.
use std::time::SystemTime;

use ids::{Aor, DeviceId};
use sqlx::Row as _;

use crate::engine::{Connection, Row};
use crate::{Error, Store, flag, millis, time};

/// One binding of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Which one of the person's.
    pub slot: String,
    /// The Contact URI.
    pub contact: String,
    /// The device, if it named itself.
    pub device: Option<DeviceId>,
    /// Which flow of the device (RFC 5626).
    pub reg_id: Option<u32>,
    /// The way back (RFC 3327), as a list that the registrar writes and reads.
    pub path: String,
    /// Whether it came over a connection of the SIP core.
    pub via_core: bool,
    /// Call-ID of the last REGISTER.
    pub call_id: String,
    /// `CSeq` of the last REGISTER.
    pub cseq: u32,
    /// When it ends.
    pub expires: SystemTime,
}

impl Store {
    /// Keeps what people's registrations are now, in place of what they were.
    ///
    /// # Errors
    /// The database failed.
    pub async fn keep_registrations(
        &self,
        people: Vec<(Aor, Vec<Registration>)>,
    ) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for (aor, registrations) in &people {
                        replace(connection, aor, registrations).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Every registration that has not ended, whose it is, in order; those that have ended are forgotten.
    ///
    /// # Errors
    /// The database failed, or holds a name that is none.
    pub async fn registrations(&self, now: SystemTime) -> Result<Vec<(Aor, Registration)>, Error> {
        let now = millis(now);
        let forget = "DELETE FROM registrations WHERE expires_ms <= $1";
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(forget).bind(now).execute(&mut *connection).await?;
                    Ok(())
                })
            })
            .await?;
        let rows = sqlx::query("SELECT * FROM registrations ORDER BY aor, slot")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }
}

async fn replace(
    connection: &mut Connection,
    aor: &Aor,
    registrations: &[Registration],
) -> Result<(), Error> {
    sqlx::query("DELETE FROM registrations WHERE aor = $1")
        .bind(aor.as_str())
        .execute(&mut *connection)
        .await?;
    for registration in registrations {
        sqlx::query(
            "INSERT INTO registrations (aor, slot, contact, device, reg_id, path, via_core, \
             call_id, cseq, expires_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT DO NOTHING",
        )
        .bind(aor.as_str())
        .bind(&registration.slot)
        .bind(&registration.contact)
        .bind(registration.device.as_ref().map(DeviceId::as_str))
        .bind(registration.reg_id.map(i64::from))
        .bind(&registration.path)
        .bind(i64::from(registration.via_core))
        .bind(&registration.call_id)
        .bind(i64::from(registration.cseq))
        .bind(millis(registration.expires))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn read(row: &Row) -> Result<(Aor, Registration), Error> {
    let foreign = |what| Error::Foreign { what };
    let (aor, device): (String, Option<String>) = (row.try_get("aor")?, row.try_get("device")?);
    let (reg_id, cseq): (Option<i64>, i64) = (row.try_get("reg_id")?, row.try_get("cseq")?);
    let number = |number: i64| u32::try_from(number).map_err(|_| foreign("a number"));
    let device = device.map(|device| device.parse().map_err(|_| foreign("a device name")));
    let registration = Registration {
        slot: row.try_get("slot")?,
        contact: row.try_get("contact")?,
        device: device.transpose()?,
        reg_id: reg_id.map(number).transpose()?,
        path: row.try_get("path")?,
        via_core: flag(row, "via_core")?,
        call_id: row.try_get("call_id")?,
        cseq: number(cseq)?,
        expires: time(row.try_get("expires_ms")?),
    };
    Ok((aor.parse().map_err(|_| foreign("an address of record"))?, registration))
}
