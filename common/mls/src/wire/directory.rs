//! KeyPackages on their way into the directory and out of it.
use bytes::Bytes;
use ids::{Aor, DeviceId};

use super::{KEY_PACKAGE_OCTETS_MAX, KEY_PACKAGES_MAX, Malformed, STATE_OCTETS_MAX};
use crate::codec::{Reader, Writer};

/// What becomes of the KeyPackages that the device has left before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// They stay; only a new last resort takes the place of the former one.
    Add,
    /// They go, the last resort too: their private keys are gone, and nobody could open a Welcome for them.
    Replace,
}

/// What a device puts into the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPackageUpload {
    /// Beside what is there, or in its place.
    pub filling: Filling,
    /// KeyPackages to be handed out once each.
    pub packages: Vec<Bytes>,
    /// The one handed out when no other is left.
    pub last_resort: Option<Bytes>,
}

impl KeyPackageUpload {
    /// The same, in the place of what is there: for a device that has just started and holds no older keys.
    #[must_use]
    pub fn replacing(self) -> Self {
        Self { filling: Filling::Replace, ..self }
    }

    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        to.u8(match self.filling {
            Filling::Add => 0,
            Filling::Replace => 1,
        });
        to.list(&self.packages, |to, package| {
            to.blob(package);
        });
        to.option(self.last_resort.as_ref(), |to, package| {
            to.blob(package);
        });
        to.finish()
    }

    /// Reads one whole upload.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let octets_max = (KEY_PACKAGES_MAX + 1) * (KEY_PACKAGE_OCTETS_MAX + 8);
        let mut from = Reader::new(bytes, octets_max, "KeyPackage upload")?;
        let filling = match from.u8("KeyPackage upload")? {
            0 => Filling::Add,
            1 => Filling::Replace,
            _ => return Err(Malformed("KeyPackage upload")),
        };
        let upload = Self {
            filling,
            packages: from.list(KEY_PACKAGES_MAX, "KeyPackages", package)?,
            last_resort: from.option("last resort", package)?,
        };
        from.end("KeyPackage upload")?;
        Ok(upload)
    }
}

/// A KeyPackage the directory has handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedKeyPackage {
    /// The person.
    pub aor: Aor,
    /// The person's device.
    pub device: DeviceId,
    /// The KeyPackage, an `MLSMessage`.
    pub key_package: Bytes,
}

impl ClaimedKeyPackage {
    pub(super) fn write(&self, to: &mut Writer) {
        to.text(&self.aor).text(&self.device).blob(&self.key_package);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            aor: from.name("address of record")?,
            device: from.name("device")?,
            key_package: package(from)?,
        })
    }
}

/// The encoding of what a claim gives: one KeyPackage for each device of a person.
pub fn claims_to_bytes(claims: &[ClaimedKeyPackage]) -> Bytes {
    let mut to = Writer::default();
    to.list(claims, |to, claim| claim.write(to)).finish()
}

/// Reads what a claim gave.
pub fn claims_from_bytes(bytes: &[u8]) -> Result<Vec<ClaimedKeyPackage>, Malformed> {
    let mut from = Reader::new(bytes, STATE_OCTETS_MAX, "claimed KeyPackages")?;
    let claims = from.list(KEY_PACKAGES_MAX, "claimed KeyPackages", ClaimedKeyPackage::read)?;
    from.end("claimed KeyPackages")?;
    Ok(claims)
}

fn package(from: &mut Reader<'_>) -> Result<Bytes, Malformed> {
    from.blob(KEY_PACKAGE_OCTETS_MAX, "KeyPackage")
}
