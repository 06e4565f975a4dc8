//! What a device has before and beside any group: its signature key, its certificate, and the private halves of
//! its KeyPackages.
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use openmls::prelude::{CredentialWithKey, KeyPackage, Lifetime, MlsMessageOut};
use sha2::{Digest as _, Sha256};

use super::MemberError;
use crate::group::{SUITE, capabilities};
use crate::identity::{BadCredential, DeviceKey, Roots, credential};
use crate::key_packages::{LIFETIME_MAX, MARGIN};
use crate::storage::{Provider, Records};
use crate::wire::{DeviceName, Filling, KeyPackageUpload};

/// A device's keys. A cheap handle: clones share the same keys.
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
}

struct Inner {
    name: DeviceName,
    key: DeviceKey,
    certificate: Vec<u8>,
    not_after: SystemTime,
    roots: Roots,
    provider: Provider,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("device", &self.inner.name).finish_non_exhaustive()
    }
}

impl Keyring {
    /// The keys of the device this certificate names. Refused unless it is valid and certifies this key.
    pub fn new(
        key: DeviceKey,
        certificate: &[u8],
        roots: &Roots,
        now: SystemTime,
    ) -> Result<Self, MemberError> {
        Self::with_records(key, certificate, roots, now, Records::default())
    }

    /// The same for a device that keeps its groups and KeyPackages in these records, and finds there what it kept.
    pub fn with_records(
        key: DeviceKey,
        certificate: &[u8],
        roots: &Roots,
        now: SystemTime,
        records: Records,
    ) -> Result<Self, MemberError> {
        let identity = roots.check(certificate, now).map_err(MemberError::OwnCredential)?;
        if identity.key != key.public() {
            return Err(MemberError::OwnCredential(BadCredential::WrongKey));
        }
        Ok(Self::with(identity.name, key, certificate, identity.not_after, roots, records))
    }

    pub(super) fn with(
        name: DeviceName,
        key: DeviceKey,
        certificate: &[u8],
        not_after: SystemTime,
        roots: &Roots,
        records: Records,
    ) -> Self {
        let inner = Inner {
            name,
            key,
            certificate: certificate.to_vec(),
            not_after,
            roots: roots.clone(),
            provider: Provider::new(records),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The device.
    pub fn device(&self) -> &DeviceName {
        &self.inner.name
    }

    /// The device's certificate.
    pub fn certificate(&self) -> &[u8] {
        &self.inner.certificate
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> SystemTime {
        self.inner.not_after
    }

    /// Whose certificates this device believes.
    pub fn roots(&self) -> &Roots {
        &self.inner.roots
    }

    /// What this device keeps.
    pub fn records(&self) -> &Records {
        self.inner.provider.records()
    }

    /// Makes KeyPackages for the directory: `count` to be used once each, and one as the last resort if asked for.
    /// They go beside what is in the directory; see [`KeyPackageUpload::replacing`]. They live `lifetime`, but no longer than the certificate and [`LIFETIME_MAX`].
    pub fn key_packages(
        &self,
        count: usize,
        last_resort: bool,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<KeyPackageUpload, MemberError> {
        let lifetime = self.lifetime(now, lifetime)?;
        let packages: Result<_, _> = (0..count).map(|_| self.package(lifetime, false)).collect();
        let last_resort = if last_resort { Some(self.package(lifetime, true)?) } else { None };
        Ok(KeyPackageUpload { filling: Filling::Add, packages: packages?, last_resort })
    }

    fn package(&self, lifetime: Lifetime, last_resort: bool) -> Result<Bytes, MemberError> {
        let mut builder = KeyPackage::builder()
            .leaf_node_capabilities(capabilities())
            .key_package_lifetime(lifetime);
        if last_resort {
            builder = builder.mark_as_last_resort();
        }
        let failed = MemberError::Failed("a KeyPackage");
        let bundle = builder
            .build(SUITE, self.provider(), self.key(), self.credential())
            .map_err(|_| failed.clone())?;
        let message = MlsMessageOut::from(bundle.key_package().clone());
        Ok(message.to_bytes().map_err(|_| failed)?.into())
    }

    pub(super) fn lifetime(
        &self,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Lifetime, MemberError> {
        let expired = MemberError::OwnCredential(BadCredential::Expired);
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map(|d| d.as_secs());
        let ends = (now + lifetime.min(LIFETIME_MAX)).min(self.not_after());
        if ends <= now {
            return Err(expired);
        }
        let starts = now.checked_sub(MARGIN).unwrap_or(UNIX_EPOCH);
        let (Ok(starts), Ok(ends)) = (seconds(starts), seconds(ends)) else {
            return Err(expired);
        };
        Ok(Lifetime::init(starts, ends))
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.inner.provider
    }

    pub(super) fn key(&self) -> &DeviceKey {
        &self.inner.key
    }

    pub(super) fn credential(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: credential(&self.inner.certificate),
            signature_key: self.inner.key.public().to_vec().into(),
        }
    }

    /// Notes that a Welcome is used; false if it was before.
    pub(super) fn use_welcome(&self, welcome: &[u8]) -> bool {
        // One for a last-resort KeyPackage could be used again.
        let name = [b"welcome/".as_slice(), &Sha256::digest(welcome)].concat();
        let new = self.records().own(&name).is_none();
        self.records().put_own(&name, &[]);
        new
    }
}
