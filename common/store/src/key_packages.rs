//! The KeyPackage directory: each package is handed out once, except a device's last resort.
//!
//! What is in a package, and whose it is, was checked by whoever puts it here.
use std::time::SystemTime;

use bytes::Bytes;
use ids::{Aor, DeviceId};

use crate::engine::Connection;
use crate::journal::blob;
use crate::{Error, Store, millis};

/// A KeyPackage for the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKeyPackage {
    /// Names the package: a hash of its key. A name that was here before is refused.
    pub reference: Bytes,
    /// The package.
    pub package: Bytes,
    /// When it, or its certificate, ends.
    pub expires: SystemTime,
}

/// A KeyPackage that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The device it belongs to.
    pub device: DeviceId,
    /// The package.
    pub package: Bytes,
    /// The device has no other left; this one will be handed out again.
    pub last_resort: bool,
    /// How many the device has left, without its last resort.
    pub left: usize,
}

/// What becomes of the packages a device has left before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Former {
    Stay,
    Go,
}

impl Store {
    /// Takes a device's packages, all or none. A last resort replaces the former one. Packages that have expired
    /// at `now` are forgotten on the way.
    ///
    /// # Errors
    /// [`Error::Duplicate`] if one was here before; [`Error::TooMany`] if the device would have more than `max`;
    /// [`Error::TakenBack`] if nobody is to have any of it.
    pub async fn put_key_packages(
        &self,
        aor: &Aor,
        device: &DeviceId,
        packages: Vec<NewKeyPackage>,
        last_resort: Option<NewKeyPackage>,
        bounds: (usize, SystemTime),
    ) -> Result<(), Error> {
        self.fill((aor, device), Former::Stay, (packages, last_resort), bounds).await
    }

    /// Takes a device's packages in the place of all that it has left, its last resort included; all, or none.
    ///
    /// # Errors
    /// As for [`Store::put_key_packages`]. Then what was there stays.
    pub async fn replace_key_packages(
        &self,
        aor: &Aor,
        device: &DeviceId,
        packages: Vec<NewKeyPackage>,
        last_resort: Option<NewKeyPackage>,
        bounds: (usize, SystemTime),
    ) -> Result<(), Error> {
        self.fill((aor, device), Former::Go, (packages, last_resort), bounds).await
    }

    async fn fill(
        &self,
        (aor, device): (&Aor, &DeviceId),
        former: Former,
        (packages, last_resort): (Vec<NewKeyPackage>, Option<NewKeyPackage>),
        (max, now): (usize, SystemTime),
    ) -> Result<(), Error> {
        let (aor, device) = (aor.clone(), device.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    // Asked where nothing comes between: what is left here now would be handed out for ever.
                    if is_taken_back(connection, &aor, &device).await? {
                        return Err(Error::TakenBack);
                    }
                    sqlx::query("DELETE FROM key_packages WHERE expires_ms <= $1")
                        .bind(millis(now))
                        .execute(&mut *connection)
                        .await?;
                    if former == Former::Go {
                        forget(connection, &aor, &device).await?;
                    }
                    for package in packages {
                        insert(connection, (&aor, &device), package, false).await?;
                    }
                    if let Some(package) = last_resort {
                        // The claimed mark keeps the row (so it is not taken again) and hides it.
                        sqlx::query(
                            "UPDATE key_packages SET claimed_ms = $3 \
                         WHERE aor = $1 AND device = $2 AND last_resort = 1 AND claimed_ms IS NULL",
                        )
                        .bind(aor.as_str())
                        .bind(device.as_str())
                        .bind(millis(now))
                        .execute(&mut *connection)
                        .await?;
                        insert(connection, (&aor, &device), package, true).await?;
                    }
                    let left = count(&mut *connection, &aor, &device, now).await?;
                    if left > max { Err(Error::TooMany { max }) } else { Ok(()) }
                })
            })
            .await
    }

    /// Hands out one package of this device: the oldest, or the last resort if no other is left.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_key_package(
        &self,
        aor: &Aor,
        device: &DeviceId,
        now: SystemTime,
    ) -> Result<Option<Claimed>, Error> {
        let (aor, device) = (aor.clone(), device.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move { claim(connection, &aor, device, (now, now)).await })
            })
            .await
    }

    /// Hands out one package of each of these devices, in their order.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_for(
        &self,
        devices: Vec<(Aor, DeviceId)>,
        now: SystemTime,
    ) -> Result<Vec<Option<Claimed>>, Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let mut all = Vec::with_capacity(devices.len());
                    for (aor, device) in devices {
                        all.push(claim(connection, &aor, device, (now, now)).await?);
                    }
                    Ok(all)
                })
            })
            .await
    }

    /// Hands out one package of each device of a person, of those that live beyond `until`.
    ///
    /// # Errors
    /// The database failed, or holds a device name that is none.
    pub async fn claim_key_packages(
        &self,
        aor: &Aor,
        (now, until): (SystemTime, SystemTime),
    ) -> Result<Vec<Claimed>, Error> {
        let aor = aor.clone();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let devices: Vec<String> = sqlx::query_scalar(
                        "SELECT DISTINCT device FROM key_packages \
                     WHERE aor = $1 AND claimed_ms IS NULL AND expires_ms > $2 ORDER BY device",
                    )
                    .bind(aor.as_str())
                    .bind(millis(until))
                    .fetch_all(&mut *connection)
                    .await?;
                    let mut all = Vec::with_capacity(devices.len());
                    for device in devices {
                        let device =
                            device.parse().map_err(|_| Error::Foreign { what: "a device name" })?;
                        all.extend(claim(connection, &aor, device, (now, until)).await?);
                    }
                    Ok(all)
                })
            })
            .await
    }

    /// How many packages a device has left, without its last resort.
    ///
    /// # Errors
    /// The database failed.
    pub async fn count_key_packages(
        &self,
        aor: &Aor,
        device: &DeviceId,
        now: SystemTime,
    ) -> Result<usize, Error> {
        let mut connection = self.readers.acquire().await?;
        count(&mut connection, aor, device, now).await
    }
}

async fn is_taken_back(
    connection: &mut Connection,
    aor: &Aor,
    device: &DeviceId,
) -> Result<bool, Error> {
    let found = sqlx::query("SELECT 1 FROM revoked_devices WHERE aor = $1 AND device = $2")
        .bind(aor.as_str())
        .bind(device.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    Ok(found.is_some())
}

/// Forgets what has not been handed out, and the last resort. What was handed out once stays known, so that it is not
/// taken again.
async fn forget(connection: &mut Connection, aor: &Aor, device: &DeviceId) -> Result<(), Error> {
    sqlx::query("DELETE FROM key_packages WHERE aor = $1 AND device = $2 AND claimed_ms IS NULL")
        .bind(aor.as_str())
        .bind(device.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert(
    connection: &mut Connection,
    (aor, device): (&Aor, &DeviceId),
    package: NewKeyPackage,
    last_resort: bool,
) -> Result<(), Error> {
    let added = sqlx::query(
        "INSERT INTO key_packages (reference, aor, device, ordinal, package, last_resort, expires_ms) \
         SELECT $1, $2, $3, (SELECT COALESCE(MAX(ordinal), 0) + 1 FROM key_packages \
         WHERE aor = $2 AND device = $3 AND claimed_ms IS NULL), $4, $5, $6 WHERE TRUE ON CONFLICT DO NOTHING",
    )
    .bind(&package.reference[..])
    .bind(aor.as_str())
    .bind(device.as_str())
    .bind(&package.package[..])
    .bind(i64::from(last_resort))
    .bind(millis(package.expires))
    .execute(connection)
    .await?;
    if added.rows_affected() == 0 { Err(Error::Duplicate) } else { Ok(()) }
}

async fn count(
    connection: &mut Connection,
    aor: &Aor,
    device: &DeviceId,
    now: SystemTime,
) -> Result<usize, Error> {
    let left: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM key_packages WHERE aor = $1 AND device = $2 AND last_resort = 0 \
         AND claimed_ms IS NULL AND expires_ms > $3",
    )
    .bind(aor.as_str())
    .bind(device.as_str())
    .bind(millis(now))
    .fetch_one(connection)
    .await?;
    Ok(usize::try_from(left).unwrap_or(0))
}

async fn claim(
    connection: &mut Connection,
    aor: &Aor,
    device: DeviceId,
    (now, until): (SystemTime, SystemTime),
) -> Result<Option<Claimed>, Error> {
    let once = sqlx::query(
        "UPDATE key_packages SET claimed_ms = $4 WHERE reference = \
         (SELECT reference FROM key_packages WHERE aor = $1 AND device = $2 AND last_resort = 0 \
         AND claimed_ms IS NULL AND expires_ms > $3 ORDER BY ordinal LIMIT 1) RETURNING package",
    )
    .bind(aor.as_str())
    .bind(device.as_str())
    .bind(millis(until))
    .bind(millis(now))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = once {
        let left = count(&mut *connection, aor, &device, until).await?;
        let package = blob(&row, "package")?;
        return Ok(Some(Claimed { device, package, last_resort: false, left }));
    }
    let again = sqlx::query(
        "UPDATE key_packages SET handed_ms = COALESCE(handed_ms, $4) WHERE aor = $1 AND device = $2 \
         AND last_resort = 1 AND claimed_ms IS NULL AND expires_ms > $3 RETURNING package",
    )
    .bind(aor.as_str())
    .bind(device.as_str())
    .bind(millis(until))
    .bind(millis(now))
    .fetch_optional(&mut *connection)
    .await?;
    let claimed =
        |row| Ok(Claimed { device, package: blob(&row, "package")?, last_resort: true, left: 0 });
    again.map(claimed).transpose()
}
