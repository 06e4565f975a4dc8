//! An authority: the name that its certificates say they are from, the key that makes them good, and how long it lasts.
use std::time::SystemTime;

use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::BadCredential;
use super::issuer::signature_of;
use super::names::{ed25519, key_of, system_time};

/// RFC 5480, 2.1.1: a key on a curve that the parameters name.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 5480, 2.1.1.1: P-256.
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// RFC 5758, 3.2.
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    pub(super) name: Name,
    key: Key,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

#[derive(Clone, Debug)]
enum Key {
    Ed25519(VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

impl Authority {
    /// Reads the certificate of an authority, known out of band.
    pub(super) fn from_der(certificate: &[u8]) -> Result<Self, BadCredential> {
        let bad = BadCredential::Malformed;
        let certificate = Certificate::from_der(certificate).map_err(|_| bad)?;
        let tbs = &certificate.tbs_certificate;
        if tbs.subject.is_empty() || !is_authority(&certificate) {
            return Err(bad);
        }
        Ok(Self {
            name: tbs.subject.clone(),
            key: Key::of(&tbs.subject_public_key_info).ok_or(bad)?,
            not_before: system_time(tbs.validity.not_before),
            not_after: system_time(tbs.validity.not_after),
        })
    }

    /// Its Ed25519 key, if it has one.
    pub(super) fn ed25519(&self) -> Option<[u8; 32]> {
        match &self.key {
            Key::Ed25519(key) => Some(key.to_bytes()),
            Key::P256(_) => None,
        }
    }

    /// Whether it has signed this certificate.
    pub(super) fn has_signed(&self, certificate: &Certificate) -> Result<(), BadCredential> {
        let bad = BadCredential::NotOurs;
        let tbs = &certificate.tbs_certificate;
        if tbs.issuer != self.name || tbs.signature != certificate.signature_algorithm {
            return Err(bad);
        }
        let signed = tbs.to_der().map_err(|_| BadCredential::Malformed)?;
        match &self.key {
            Key::Ed25519(key) if tbs.signature == ed25519() => {
                let signature = signature_of(&certificate.signature).ok_or(bad)?;
                key.verify_strict(&signed, &signature).map_err(|_| bad)
            }
            Key::P256(key) if tbs.signature.oid == ECDSA_WITH_SHA256 => {
                let signature = certificate.signature.as_bytes().ok_or(bad)?;
                let signature = p256::ecdsa::Signature::from_der(signature).map_err(|_| bad)?;
                key.verify(&signed, &signature).map_err(|_| bad)
            }
            Key::Ed25519(_) | Key::P256(_) => Err(bad),
        }
    }
}

impl Key {
    fn of(info: &SubjectPublicKeyInfoOwned) -> Option<Self> {
        if let Some(key) = key_of(info) {
            return VerifyingKey::from_bytes(&key).ok().map(Self::Ed25519);
        }
        let curve = info.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok()?;
        if info.algorithm.oid != EC_PUBLIC_KEY || curve != P256 {
            return None;
        }
        let point = info.subject_public_key.as_bytes()?;
        p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P256)
    }
}

fn is_authority(certificate: &Certificate) -> bool {
    let tbs = &certificate.tbs_certificate;
    let ca = tbs.get::<BasicConstraints>().ok().flatten().is_some_and(|(_, c)| c.ca);
    let usage = tbs.get::<KeyUsage>().ok().flatten();
    ca && usage.is_none_or(|(_, u)| u.0.contains(KeyUsages::KeyCertSign))
}
