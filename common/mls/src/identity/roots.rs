//! Checking certificates: from octets and a time to a device, or to the reason why not.
use std::time::SystemTime;

use ed25519_dalek::VerifyingKey;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::name::Name;

use super::CERTIFICATE_OCTETS_MAX;
use super::issuer::signature_of;
use super::names::{device, ed25519, key_of, system_time};
use crate::wire::DeviceName;

/// Why a credential is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCredential {
    /// Not one X.509 certificate of the shape the issuer makes, or too long.
    #[error("not a device certificate")]
    Malformed,
    /// Another issuer, or not signed by ours.
    #[error("not issued by the authority of this system")]
    NotOurs,
    /// Its time has not come.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// The key that signs is not the certified one.
    #[error("the key is not the certified one")]
    WrongKey,
}

/// What a valid certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// The person and the device.
    pub name: DeviceName,
    /// The device's public signature key.
    pub key: [u8; 32],
    /// When the certificate began.
    pub not_before: SystemTime,
    /// When the certificate ends.
    pub not_after: SystemTime,
}

/// The authority whose certificates are believed.
#[derive(Clone, Debug)]
pub struct Roots {
    name: Name,
    key: VerifyingKey,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Roots {
    /// Reads the authority's certificate, known out of band.
    pub fn from_der(certificate: &[u8]) -> Result<Self, BadCredential> {
        let bad = BadCredential::Malformed;
        let certificate = Certificate::from_der(certificate).map_err(|_| bad)?;
        let tbs = &certificate.tbs_certificate;
        let key = key_of(&tbs.subject_public_key_info).ok_or(bad)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| bad)?;
        if tbs.subject.is_empty() || !is_authority(&certificate) {
            return Err(bad);
        }
        Ok(Self {
            name: tbs.subject.clone(),
            key,
            not_before: system_time(tbs.validity.not_before),
            not_after: system_time(tbs.validity.not_after),
        })
    }

    /// The public key Remove proposals of the focus are signed with (see
    /// [`Issuer::focus_key`](super::Issuer::focus_key)).
    pub fn focus_key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    /// Who this certificate names, if it is ours and valid at `now`.
    pub fn check(
        &self,
        certificate: &[u8],
        now: SystemTime,
    ) -> Result<DeviceIdentity, BadCredential> {
        let identity = self.check_past(certificate, now)?;
        if now < identity.not_after { Ok(identity) } else { Err(BadCredential::Expired) }
    }

    /// As [`Roots::check`], but its time may be over: for leaves that the focus let in while it was not.
    pub(super) fn check_past(
        &self,
        certificate: &[u8],
        now: SystemTime,
    ) -> Result<DeviceIdentity, BadCredential> {
        let parsed = parse(certificate)?;
        let tbs = &parsed.tbs_certificate;
        if tbs.issuer != self.name {
            return Err(BadCredential::NotOurs);
        }
        let signed = tbs.to_der().map_err(|_| BadCredential::Malformed)?;
        let signature = signature_of(&parsed.signature).ok_or(BadCredential::NotOurs)?;
        self.key.verify_strict(&signed, &signature).map_err(|_| BadCredential::NotOurs)?;

        if now < system_time(tbs.validity.not_before).max(self.not_before) {
            return Err(BadCredential::NotYetValid);
        }
        let not_after = system_time(tbs.validity.not_after).min(self.not_after);
        let (name, key) = subject(&parsed)?;
        let not_before = system_time(tbs.validity.not_before);
        Ok(DeviceIdentity { name, key, not_before, not_after })
    }

    /// Whose certificates end with the authority's own at the latest.
    pub(crate) const fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

/// Who a certificate names, whoever issued it, and when it ends. Only for certificates that were checked before.
pub(super) fn named(certificate: &[u8]) -> Result<(DeviceName, SystemTime), BadCredential> {
    let parsed = parse(certificate)?;
    let (name, _) = subject(&parsed)?;
    Ok((name, system_time(parsed.tbs_certificate.validity.not_after)))
}

fn parse(certificate: &[u8]) -> Result<Certificate, BadCredential> {
    if certificate.len() > CERTIFICATE_OCTETS_MAX {
        return Err(BadCredential::Malformed);
    }
    let parsed = Certificate::from_der(certificate).map_err(|_| BadCredential::Malformed)?;
    let tbs = &parsed.tbs_certificate;
    let ours = tbs.version == Version::V3
        && tbs.signature == ed25519()
        && parsed.signature_algorithm == ed25519();
    if ours { Ok(parsed) } else { Err(BadCredential::Malformed) }
}

/// The names and the key of a leaf certificate: a SubjectAltName, a KeyUsage for signing, nothing else.
fn subject(certificate: &Certificate) -> Result<(DeviceName, [u8; 32]), BadCredential> {
    let bad = BadCredential::Malformed;
    let tbs = &certificate.tbs_certificate;
    let extensions = tbs.extensions.as_deref().unwrap_or_default();
    let known = [SubjectAltName::OID, KeyUsage::OID];
    let only_known = extensions.iter().all(|e| known.contains(&e.extn_id));
    if !only_known || extensions.len() != known.len() || !tbs.subject.is_empty() {
        return Err(bad);
    }
    let usage = tbs.get::<KeyUsage>().ok().flatten().ok_or(bad)?.1;
    if !usage.digital_signature() {
        return Err(bad);
    }
    let key = key_of(&tbs.subject_public_key_info).ok_or(bad)?;
    Ok((device(extensions).ok_or(bad)?, key))
}

fn is_authority(certificate: &Certificate) -> bool {
    let tbs = &certificate.tbs_certificate;
    let ca = tbs.get::<BasicConstraints>().ok().flatten().is_some_and(|(_, c)| c.ca);
    let usage = tbs.get::<KeyUsage>().ok().flatten();
    ca && usage.is_none_or(|(_, u)| u.0.contains(KeyUsages::KeyCertSign))
}
