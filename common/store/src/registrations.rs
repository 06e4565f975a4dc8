//! Where a person's devices can be reached. One row for each device; a new one replaces the old.
use std::time::SystemTime;

use ids::{Aor, DeviceId};
use sqlx::Row as _;

use crate::{Error, Store, millis, time};

/// A binding of a device (RFC 3261, 10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The person.
    pub aor: Aor,
    /// The device.
    pub device: DeviceId,
    /// The Contact URI, as it was given.
    pub contact: String,
    /// The connection it came over, in the edge's own words.
    pub flow: Option<String>,
    /// Until when it holds.
    pub expires: SystemTime,
}

impl Store {
    /// Keeps a binding; it replaces the device's former one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn register(&self, registration: Registration) -> Result<(), Error> {
        self.writer.write(move |connection| Box::pin(async move {
                sqlx::query(
                    "INSERT INTO registrations (aor, device, contact, flow, expires_ms) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (aor, device) DO UPDATE SET \
                     contact = excluded.contact, flow = excluded.flow, expires_ms = excluded.expires_ms",
                )
                .bind(registration.aor.as_str())
                .bind(registration.device.as_str())
                .bind(&registration.contact)
                .bind(&registration.flow)
                .bind(millis(registration.expires))
                .execute(&mut *connection)
                .await?;
                Ok(())
            })).await
    }

    /// Drops a device's binding. Dropping none is fine.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unregister(&self, aor: &Aor, device: &DeviceId) -> Result<(), Error> {
        let (aor, device) = (aor.clone(), device.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("DELETE FROM registrations WHERE aor = $1 AND device = $2")
                        .bind(aor.as_str())
                        .bind(device.as_str())
                        .execute(&mut *connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Drops every binding that has ended. Returns how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn expire_registrations(&self, now: SystemTime) -> Result<u64, Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query("DELETE FROM registrations WHERE expires_ms <= $1")
                        .bind(millis(now))
                        .execute(&mut *connection)
                        .await?;
                    Ok(done.rows_affected())
                })
            })
            .await
    }

    /// The bindings of a person that hold at `now`.
    ///
    /// # Errors
    /// The database failed, or holds a device name that is none.
    pub async fn registrations(
        &self,
        aor: &Aor,
        now: SystemTime,
    ) -> Result<Vec<Registration>, Error> {
        let rows = sqlx::query(
            "SELECT device, contact, flow, expires_ms FROM registrations \
             WHERE aor = $1 AND expires_ms > $2 ORDER BY device",
        )
        .bind(aor.as_str())
        .bind(millis(now))
        .fetch_all(&self.readers)
        .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let device: String = row.try_get("device")?;
            Ok(Registration {
                aor: aor.clone(),
                device: device.parse().map_err(|_| Error::Foreign { what: "a device name" })?,
                contact: row.try_get("contact")?,
                flow: row.try_get("flow")?,
                expires: time(row.try_get("expires_ms")?),
            })
        };
        rows.iter().map(read).collect()
    }
}
