//! Which device certificates were issued, for an operator's question "which devices does she have".
use std::time::SystemTime;

use ids::{Aor, DeviceId};
use sqlx::Row as _;

use crate::engine::Row;
use crate::{Error, Store, millis, time};

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its serial number or hash, in hexadecimal.
    pub serial: String,
    /// The person.
    pub aor: Aor,
    /// The device.
    pub device: DeviceId,
    /// When.
    pub issued: SystemTime,
    /// Until when it is good.
    pub expires: SystemTime,
}

impl Store {
    /// Notes that a certificate is issued. Noting it again changes nothing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_certificate(&self, certificate: Certificate) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO certificates (serial, aor, device, issued_ms, expires_ms) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                    )
                    .bind(&certificate.serial)
                    .bind(certificate.aor.as_str())
                    .bind(certificate.device.as_str())
                    .bind(millis(certificate.issued))
                    .bind(millis(certificate.expires))
                    .execute(&mut *connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The certificates of a person, newest first.
    ///
    /// # Errors
    /// The database failed, or holds a device name that is none.
    pub async fn certificates(&self, aor: &Aor) -> Result<Vec<Certificate>, Error> {
        let rows = sqlx::query(
            "SELECT serial, device, issued_ms, expires_ms FROM certificates WHERE aor = $1 \
             ORDER BY issued_ms DESC, serial",
        )
        .bind(aor.as_str())
        .fetch_all(&self.readers)
        .await?;
        let read = |row: &Row| {
            let device: String = row.try_get("device")?;
            Ok(Certificate {
                serial: row.try_get("serial")?,
                aor: aor.clone(),
                device: device.parse().map_err(|_| Error::Foreign { what: "a device name" })?,
                issued: time(row.try_get("issued_ms")?),
                expires: time(row.try_get("expires_ms")?),
            })
        };
        rows.iter().map(read).collect()
    }
}
