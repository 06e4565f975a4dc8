//! The devices of a person, as far as they have a certificate or KeyPackages here, and those that were taken back.
use std::collections::BTreeMap;
use std::time::SystemTime;

use ids::{Aor, DeviceId};
use sqlx::Row as _;

use crate::engine::Row;
use crate::{Error, Store, millis, time};

/// A device of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which.
    pub device: DeviceId,
    /// When its newest certificate ends, if it has one.
    pub certificate_ends: Option<SystemTime>,
    /// KeyPackages it has left to be handed out.
    pub key_packages: usize,
    /// Its last resort.
    pub last_resort: LastResort,
    /// When it was taken back.
    pub revoked: Option<SystemTime>,
}

/// What a device has for when its KeyPackages are used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastResort {
    /// Nothing.
    #[default]
    None,
    /// One that nobody has got yet.
    Fresh,
    /// One that was handed out: it should be replaced.
    Used,
}

impl Store {
    /// Takes a device back: its KeyPackages go, and it stays known as taken back. False if nothing was known of it, or
    /// if it was taken back before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke_device(
        &self,
        aor: &Aor,
        device: &DeviceId,
        now: SystemTime,
    ) -> Result<bool, Error> {
        let (aor, device) = (aor.clone(), device.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let revoked = sqlx::query(
                        "INSERT INTO revoked_devices (aor, device, revoked_ms) SELECT $1, $2, $3 \
                         WHERE EXISTS (SELECT 1 FROM certificates WHERE aor = $1 AND device = $2) \
                         OR EXISTS (SELECT 1 FROM key_packages WHERE aor = $1 AND device = $2 \
                         AND claimed_ms IS NULL) \
                         ON CONFLICT DO NOTHING",
                    )
                    .bind(aor.as_str())
                    .bind(device.as_str())
                    .bind(millis(now))
                    .execute(&mut *connection)
                    .await?;
                    // The claimed mark hides them, and keeps them from being taken again.
                    sqlx::query(
                        "UPDATE key_packages SET claimed_ms = $3 WHERE aor = $1 AND device = $2 \
                         AND claimed_ms IS NULL AND EXISTS \
                         (SELECT 1 FROM revoked_devices WHERE aor = $1 AND device = $2)",
                    )
                    .bind(aor.as_str())
                    .bind(device.as_str())
                    .bind(millis(now))
                    .execute(&mut *connection)
                    .await?;
                    Ok(revoked.rows_affected() > 0)
                })
            })
            .await
    }

    /// Every device that was taken back.
    ///
    /// # Errors
    /// The database failed, or holds a name that is none.
    pub async fn revoked_devices(&self) -> Result<Vec<(Aor, DeviceId)>, Error> {
        let rows = sqlx::query("SELECT aor, device FROM revoked_devices ORDER BY aor, device")
            .fetch_all(&self.readers)
            .await?;
        let read = |row: &Row| {
            let aor: String = row.try_get("aor")?;
            let aor = aor.parse().map_err(|_| Error::Foreign { what: "an address" })?;
            Ok((aor, device(row)?))
        };
        rows.iter().map(read).collect()
    }

    /// The devices of a person that were taken back.
    ///
    /// # Errors
    /// The database failed, or holds a device name that is none.
    pub async fn revoked_devices_of(&self, aor: &Aor) -> Result<Vec<DeviceId>, Error> {
        let rows = sqlx::query("SELECT device FROM revoked_devices WHERE aor = $1")
            .bind(aor.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(device).collect()
    }

    /// The devices of a person.
    ///
    /// # Errors
    /// The database failed, or holds a device name that is none.
    pub async fn devices(&self, aor: &Aor, now: SystemTime) -> Result<Vec<Device>, Error> {
        let certificates = sqlx::query(
            "SELECT device, MAX(expires_ms) AS ends_ms FROM certificates WHERE aor = $1 \
             GROUP BY device",
        )
        .bind(aor.as_str())
        .fetch_all(&self.readers)
        .await?;
        let packages = sqlx::query(
            "SELECT device, last_resort, COUNT(*) AS many, COUNT(handed_ms) AS handed \
             FROM key_packages WHERE aor = $1 AND claimed_ms IS NULL AND expires_ms > $2 \
             GROUP BY device, last_resort",
        )
        .bind(aor.as_str())
        .bind(millis(now))
        .fetch_all(&self.readers)
        .await?;
        let revoked = sqlx::query("SELECT device, revoked_ms FROM revoked_devices WHERE aor = $1")
            .bind(aor.as_str())
            .fetch_all(&self.readers)
            .await?;
        let mut all: BTreeMap<DeviceId, Device> = BTreeMap::new();
        let mut of = |id: DeviceId, tell: &dyn Fn(&mut Device)| {
            tell(all.entry(id.clone()).or_insert_with(|| Device::new(id)));
        };
        for row in &certificates {
            let ends = time(row.try_get("ends_ms")?);
            of(device(row)?, &|it| it.certificate_ends = Some(ends));
        }
        for row in &packages {
            let many = usize::try_from(row.try_get::<i64, _>("many")?).unwrap_or(0);
            let (last, handed): (i64, i64) = (row.try_get("last_resort")?, row.try_get("handed")?);
            of(device(row)?, &|it| match (last, handed) {
                (0, _) => it.key_packages = many,
                (_, 0) => it.last_resort = LastResort::Fresh,
                _ => it.last_resort = LastResort::Used,
            });
        }
        for row in &revoked {
            let at = time(row.try_get("revoked_ms")?);
            of(device(row)?, &|it| it.revoked = Some(at));
        }
        Ok(all.into_values().collect())
    }
}

impl Device {
    fn new(device: DeviceId) -> Self {
        Self {
            device,
            certificate_ends: None,
            key_packages: 0,
            last_resort: LastResort::None,
            revoked: None,
        }
    }
}

fn device(row: &Row) -> Result<DeviceId, Error> {
    let device: String = row.try_get("device")?;
    device.parse().map_err(|_| Error::Foreign { what: "a device name" })
}
