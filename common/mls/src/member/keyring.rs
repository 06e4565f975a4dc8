//! What a device has before and beside any group: its signature key, its certificate, and the private halves of
//! its KeyPackages.
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use openmls::prelude::{CredentialWithKey, KeyPackage, Lifetime, MlsMessageOut};
use sha2::{Digest as _, Sha256};

use super::MemberError;
use crate::group::{SUITE, capabilities};
use crate::identity::{
    BadCredential, BadRequest, DeviceIdentity, DeviceKey, Issued, Roots, Voucher, credential,
    request,
};
use crate::key_packages::{LIFETIME_MAX, MARGIN};
use crate::storage::{Provider, Records};
use crate::wire::{DeviceName, Filling, KeyPackageUpload};

/// Longer than anything runs.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A device's keys. A cheap handle: clones share the same keys.
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
}

struct Inner {
    name: DeviceName,
    key: DeviceKey,
    certified: RwLock<Certified>,
    roots: Roots,
    provider: Provider,
}

/// The certificate, which is renewed now and then.
struct Certified {
    certificate: Vec<u8>,
    renew_at: SystemTime,
    not_after: SystemTime,
}

impl Certified {
    /// A new one is due when two thirds of its time are over: enough is left for a device that is away for a while.
    fn new(certificate: &[u8], not_before: SystemTime, not_after: SystemTime) -> Self {
        let life = not_after.duration_since(not_before).unwrap_or_default();
        Self { certificate: certificate.to_vec(), renew_at: not_before + life / 3 * 2, not_after }
    }

    /// Who is certified by another authority is renewed there: it is never asked for here.
    fn of(certificate: &[u8], identity: &DeviceIdentity) -> Self {
        let certified = Self::new(certificate, identity.not_before, identity.not_after);
        match identity.issued {
            Issued::Here => certified,
            Issued::Elsewhere => Self { renew_at: identity.not_after + NEVER, ..certified },
        }
    }
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
        let certified = Certified::of(certificate, &identity);
        Ok(Self::of(identity.name, key, certified, roots, records))
    }

    #[cfg(test)]
    pub(super) fn with(
        name: DeviceName,
        key: DeviceKey,
        certificate: &[u8],
        not_after: SystemTime,
        roots: &Roots,
        records: Records,
    ) -> Self {
        let certified = Certified::new(certificate, UNIX_EPOCH, not_after);
        Self::of(name, key, certified, roots, records)
    }

    fn of(
        name: DeviceName,
        key: DeviceKey,
        certified: Certified,
        roots: &Roots,
        records: Records,
    ) -> Self {
        let inner = Inner {
            name,
            key,
            certified: RwLock::new(certified),
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
    pub fn certificate(&self) -> Vec<u8> {
        self.certified().certificate.clone()
    }

    /// When a new certificate should be asked for.
    pub fn renew_at(&self) -> SystemTime {
        self.certified().renew_at
    }

    /// A request for a new certificate for the same device and the same key.
    pub fn request(&self) -> Result<Vec<u8>, BadRequest> {
        request(&self.inner.key, &self.inner.name)
    }

    /// Takes a new certificate for the same device and the same key. What is made from now on carries it; in each group
    /// the leaf follows with [`Member::refresh`](super::Member::refresh).
    pub fn renew(&self, certificate: &[u8], now: SystemTime) -> Result<(), MemberError> {
        let identity =
            self.inner.roots.check(certificate, now).map_err(MemberError::OwnCredential)?;
        if identity.key != self.inner.key.public() || identity.name != self.inner.name {
            return Err(MemberError::OwnCredential(BadCredential::WrongKey));
        }
        let certified = Certified::of(certificate, &identity);
        *self.inner.certified.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }

    /// The device's public signature key.
    pub fn public_key(&self) -> [u8; 32] {
        self.inner.key.public()
    }

    /// This device's word for another one of its person, or for itself. Whether to give it is for the person to say.
    pub fn vouch(&self, device: &DeviceName, key: [u8; 32], until: SystemTime) -> Voucher {
        Voucher::sign((&self.inner.key, &self.certified().certificate), device, key, until)
    }

    fn certified(&self) -> RwLockReadGuard<'_, Certified> {
        self.inner.certified.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> SystemTime {
        self.certified().not_after
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
            credential: credential(&self.certified().certificate),
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
