//! KeyPackages: checking what a device uploads, and what a directory hands out.
//!
//! Making them needs private keys: that is the [`Keyring`](crate::member::Keyring)'s.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{
    KeyPackage, KeyPackageVerifyError, Lifetime, MlsMessageBodyIn, MlsMessageIn, ProtocolVersion,
};
use openmls::treesync::errors::LifetimeError;
use openmls_rust_crypto::RustCrypto;
use sha2::{Digest as _, Sha256};

use crate::group::SUITE;
use crate::identity::{BadCredential, Roots, leaf_identity, leaf_name};
use crate::wire::{DeviceName, KEY_PACKAGE_OCTETS_MAX};

/// Longest life of a KeyPackage; openmls accepts no longer one.
pub const LIFETIME_MAX: Duration = Duration::from_secs(84 * 24 * 3600);
/// How far a KeyPackage's life starts in the past, for clocks that are late.
pub(crate) const MARGIN: Duration = Duration::from_secs(3600);

/// Why a KeyPackage is turned down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyPackage {
    /// Not a KeyPackage, too long, of another suite, or a signature in it is wrong.
    #[error("not a KeyPackage of this system")]
    Malformed,
    /// Its time is over.
    #[error("the KeyPackage has expired")]
    Expired,
    /// Its time has not come.
    #[error("the KeyPackage is not valid yet")]
    NotYetValid,
    /// It claims to live longer than [`LIFETIME_MAX`].
    #[error("the KeyPackage lives too long")]
    LivesTooLong,
    /// It is somebody else's.
    #[error("the KeyPackage names another person or device")]
    SomebodyElse,
    /// Its certificate is no good.
    #[error("the KeyPackage's credential: {0}")]
    Credential(#[from] BadCredential),
}

/// A KeyPackage that belongs to the device it should and may be used now. Only [`CheckedKeyPackage::check`] makes one.
#[derive(Clone, Debug)]
pub struct CheckedKeyPackage {
    package: KeyPackage,
    bytes: Bytes,
    name: DeviceName,
    expiry: SystemTime,
}

impl CheckedKeyPackage {
    /// Checks the KeyPackage (an `MLSMessage`) of this device.
    pub fn check(
        bytes: &[u8],
        expected: &DeviceName,
        roots: &Roots,
        now: SystemTime,
    ) -> Result<Self, BadKeyPackage> {
        let package = parse(bytes)?;
        let leaf = package.leaf_node();
        let ends = check_lifetime(package.life_time(), now)?;
        let identity =
            leaf_identity(roots, leaf.credential(), leaf.signature_key().as_slice(), now)?;
        if identity.name != *expected {
            return Err(BadKeyPackage::SomebodyElse);
        }
        let expiry = ends.min(identity.not_after);
        let bytes = Bytes::copy_from_slice(bytes);
        Ok(Self { package, bytes, name: identity.name, expiry })
    }

    /// The device it adds.
    pub const fn device(&self) -> &DeviceName {
        &self.name
    }

    /// When it, or its certificate, ends.
    pub const fn expiry(&self) -> SystemTime {
        self.expiry
    }

    /// Names it in a directory that hands out each one once: a hash of the key that its Welcome is sealed for (RFC 9420, 10:
    /// no two have the same). The device deletes the private half with the first use, so of two with one key one opens nothing.
    pub fn reference(&self) -> [u8; 32] {
        Sha256::digest(self.package.hpke_init_key().as_slice()).into()
    }

    /// Whether it may be handed out more than once.
    pub fn is_last_resort(&self) -> bool {
        self.package.last_resort()
    }

    /// The KeyPackage as it came.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn into_package(self) -> KeyPackage {
        self.package
    }
}

/// The device a KeyPackage says it is of, which is all that a directory can go by at first. Only
/// [`CheckedKeyPackage::check`] says whether that is true.
pub fn named_device(bytes: &[u8]) -> Result<DeviceName, BadKeyPackage> {
    Ok(leaf_name(parse(bytes)?.leaf_node().credential())?)
}

/// Reads a KeyPackage and checks its signatures. openmls also compares its lifetime with the system clock.
fn parse(bytes: &[u8]) -> Result<KeyPackage, BadKeyPackage> {
    if bytes.len() > KEY_PACKAGE_OCTETS_MAX {
        return Err(BadKeyPackage::Malformed);
    }
    let message =
        MlsMessageIn::tls_deserialize_exact(bytes).map_err(|_| BadKeyPackage::Malformed)?;
    let MlsMessageBodyIn::KeyPackage(package) = message.extract() else {
        return Err(BadKeyPackage::Malformed);
    };
    let package = package
        .validate(&RustCrypto::default(), ProtocolVersion::Mls10)
        .map_err(|fault| fault_of(&fault))?;
    if package.ciphersuite() != SUITE {
        return Err(BadKeyPackage::Malformed);
    }
    Ok(package)
}

fn fault_of(fault: &KeyPackageVerifyError) -> BadKeyPackage {
    match fault {
        KeyPackageVerifyError::LifetimeError(LifetimeError::Expired { .. }) => {
            BadKeyPackage::Expired
        }
        KeyPackageVerifyError::LifetimeError(_) => BadKeyPackage::NotYetValid,
        _ => BadKeyPackage::Malformed,
    }
}

/// When a lifetime ends, if `now` is inside it and it is not too long.
pub(crate) fn check_lifetime(
    lifetime: &Lifetime,
    now: SystemTime,
) -> Result<SystemTime, BadKeyPackage> {
    let at = |seconds| {
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(BadKeyPackage::LivesTooLong)
    };
    let (starts, ends) = (at(lifetime.not_before())?, at(lifetime.not_after())?);
    if now >= ends {
        return Err(BadKeyPackage::Expired);
    }
    if now < starts {
        return Err(BadKeyPackage::NotYetValid);
    }
    match ends.duration_since(starts) {
        Ok(life) if life <= LIFETIME_MAX + MARGIN => Ok(ends),
        _ => Err(BadKeyPackage::LivesTooLong),
    }
}
