//! Checking certificates: from octets and a time to a device, or to the reason why not.
//!
//! Our own issuer makes one shape of certificate, and nothing else of it is taken. An authority of the operator's may put more
//! into one: what is read of it are the two names of the device, among others in the SubjectAltName, and its Ed25519 key.
use std::time::SystemTime;

use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};
use x509_cert::name::Name;

use super::authority::Authority;
use super::names::{device, device_among, key_of, system_time};
use super::{CERTIFICATE_OCTETS_MAX, EXTERNAL_CERTIFICATE_OCTETS_MAX};
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
    /// Who issued it.
    pub issued: Issued,
}

/// Who issues a certificate, and renews it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// The focus.
    Here,
    /// An authority of the operator's.
    Elsewhere,
}

/// The authorities whose certificates are believed: our own, and any of the operator's.
#[derive(Clone, Debug)]
pub struct Roots {
    own: Authority,
    key: [u8; 32],
    others: Vec<Authority>,
}

impl Roots {
    /// Reads the authority's certificate, known out of band.
    pub fn from_der(certificate: &[u8]) -> Result<Self, BadCredential> {
        let own = Authority::from_der(certificate)?;
        let key = own.ed25519().ok_or(BadCredential::Malformed)?;
        Ok(Self { own, key, others: Vec::new() })
    }

    /// Believes another authority, too: with an Ed25519 key, or one on P-256 that signs with SHA-256. It cannot speak for the
    /// focus, nor for a pseudonym.
    pub fn trust(&mut self, certificate: &[u8]) -> Result<(), BadCredential> {
        self.others.push(Authority::from_der(certificate)?);
        Ok(())
    }

    /// The public key Remove proposals of the focus are signed with (see
    /// [`Issuer::focus_key`](super::Issuer::focus_key)).
    pub fn focus_key(&self) -> [u8; 32] {
        self.key
    }

    pub(super) const fn name(&self) -> &Name {
        &self.own.name
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
        let (by, issued) = self.signer(&parsed)?;
        let (name, key) = match issued {
            Issued::Here if certificate.len() > CERTIFICATE_OCTETS_MAX => {
                return Err(BadCredential::Malformed);
            }
            Issued::Here => subject(&parsed)?,
            Issued::Elsewhere => subject_of_another(&parsed)?,
        };
        let validity = &parsed.tbs_certificate.validity;
        let not_before = system_time(validity.not_before);
        if now < not_before.max(by.not_before) {
            return Err(BadCredential::NotYetValid);
        }
        let not_after = system_time(validity.not_after).min(by.not_after);
        Ok(DeviceIdentity { name, key, not_before, not_after, issued })
    }

    /// Who signed it, of those who are believed.
    fn signer(&self, certificate: &Certificate) -> Result<(&Authority, Issued), BadCredential> {
        let own = std::iter::once((&self.own, Issued::Here));
        let others = self.others.iter().map(|other| (other, Issued::Elsewhere));
        let mut all = own.chain(others);
        all.find(|(by, _)| by.has_signed(certificate).is_ok()).ok_or(BadCredential::NotOurs)
    }

    /// When the last authority ends, and with it every certificate.
    pub(crate) fn not_after(&self) -> SystemTime {
        let others = self.others.iter().map(|other| other.not_after);
        others.fold(self.own.not_after, SystemTime::max)
    }
}

/// Who a certificate names, whoever issued it, and when it ends. Only for certificates that were checked before.
pub(super) fn named(certificate: &[u8]) -> Result<(DeviceName, SystemTime), BadCredential> {
    let parsed = parse(certificate)?;
    let extensions = parsed.tbs_certificate.extensions.as_deref().unwrap_or_default();
    let name = device_among(extensions).ok_or(BadCredential::Malformed)?;
    Ok((name, system_time(parsed.tbs_certificate.validity.not_after)))
}

fn parse(certificate: &[u8]) -> Result<Certificate, BadCredential> {
    if certificate.len() > EXTERNAL_CERTIFICATE_OCTETS_MAX {
        return Err(BadCredential::Malformed);
    }
    let parsed = Certificate::from_der(certificate).map_err(|_| BadCredential::Malformed)?;
    let is_v3 = parsed.tbs_certificate.version == Version::V3;
    if is_v3 { Ok(parsed) } else { Err(BadCredential::Malformed) }
}

/// The names and the key of a leaf certificate of ours: a SubjectAltName, a KeyUsage for signing, nothing else.
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

/// The same of another authority's: no certificate of an authority, nothing critical that nobody here understands, and never
/// a pseudonym, which is the focus's to give.
fn subject_of_another(certificate: &Certificate) -> Result<(DeviceName, [u8; 32]), BadCredential> {
    let bad = BadCredential::Malformed;
    let tbs = &certificate.tbs_certificate;
    let extensions = tbs.extensions.as_deref().unwrap_or_default();
    let known = [SubjectAltName::OID, KeyUsage::OID, BasicConstraints::OID];
    if extensions.iter().any(|e| e.critical && !known.contains(&e.extn_id)) {
        return Err(bad);
    }
    // `get` fails where one is there twice.
    let constraints = tbs.get::<BasicConstraints>().map_err(|_| bad)?;
    let usage = tbs.get::<KeyUsage>().map_err(|_| bad)?;
    let signs = usage.is_none_or(|(_, usage)| usage.digital_signature());
    if !signs || constraints.is_some_and(|(_, constraints)| constraints.ca) {
        return Err(bad);
    }
    let name = device_among(extensions).filter(|name| !name.aor.is_pseudonym()).ok_or(bad)?;
    Ok((name, key_of(&tbs.subject_public_key_info).ok_or(bad)?))
}
