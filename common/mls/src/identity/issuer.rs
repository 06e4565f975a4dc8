//! Making certificates: the request a device signs, and the issuer that answers it.
//!
//! The issuer checks that the requester holds the key and asks for nothing but its own names. Whether the
//! requester *is* that person was settled before, by whoever calls [`Issuer::issue`].
//!
//! Every certificate is dated back by five minutes: who uses it first may have a clock that is behind ours.
use std::fmt;
use std::time::{Duration, SystemTime};

use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use x509_cert::attr::Attribute;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::{BitString, SetOfVec, Utf8StringRef};
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::{self, Decode as _, Encode as _};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::ext::{AsExtension as _, Extension};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Validity;
use x509_cert::{Certificate, TbsCertificate};
use zeroize::Zeroizing;

use super::key::{generate, to_pkcs8};
use super::names::{device, ed25519, extension, key_of, time};
use super::{BadCredential, BadKey, CERTIFICATE_OCTETS_MAX, DeviceKey, FocusKey, Roots};
use crate::wire::DeviceName;

/// How far a certificate is dated back: for devices whose clock is behind. Never by more than it lives.
const BACKDATED: Duration = Duration::from_secs(300);
/// Largest certificate request looked at.
const REQUEST_OCTETS_MAX: usize = 4096;

/// Why a certificate request is turned down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Not PKCS#10 with an Ed25519 key, or too long.
    #[error("not a PKCS#10 request with an Ed25519 key and the two names of a device")]
    Malformed,
    /// Not signed by the key it names.
    #[error("the requester does not hold the key (bad signature on the request)")]
    NoPossession,
    /// It names somebody else than who asked.
    #[error("the request names another person or device")]
    SomebodyElse,
    /// The names are too long for a leaf.
    #[error("the certificate would be longer than {CERTIFICATE_OCTETS_MAX} octets")]
    TooLong,
}

/// A PKCS#10 request for a certificate of this device, signed with its key.
pub fn request(key: &DeviceKey, name: &DeviceName) -> Result<Vec<u8>, BadRequest> {
    let malformed = |_| BadRequest::Malformed;
    let extensions = ExtensionReq(vec![extension(name).map_err(malformed)?]);
    let attribute = Attribute::try_from(extensions).map_err(malformed)?;
    let info = CertReqInfo {
        version: x509_cert::request::Version::V1,
        subject: Name::default(),
        public_key: public_key(&key.0).map_err(malformed)?,
        attributes: SetOfVec::try_from(vec![attribute]).map_err(malformed)?,
    };
    let signature = sign(&key.0, &info).map_err(malformed)?;
    CertReq { info, algorithm: ed25519(), signature }.to_der().map_err(malformed)
}

/// The certificate authority for devices.
#[derive(Clone)]
pub struct Issuer {
    key: SigningKey,
    certificate: Vec<u8>,
    name: Name,
    roots: Roots,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("name", &self.name.to_string()).finish_non_exhaustive()
    }
}

impl Issuer {
    /// A new authority with a certificate of its own, which ends a lifetime from now.
    pub fn generate(
        rng: &mut impl rand::CryptoRng,
        common_name: &str,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Self, BadCredential> {
        let key = generate(rng);
        let certificate =
            authority(&key, common_name, now, lifetime).map_err(|_| BadCredential::Malformed)?;
        Self::new(key, certificate)
    }

    /// An authority that was stored: its certificate in DER and its Ed25519 key in PKCS#8.
    pub fn from_der(certificate: &[u8], pkcs8: &[u8]) -> Result<Self, BadCredential> {
        let key = SigningKey::from_pkcs8_der(pkcs8).map_err(|_| BadCredential::WrongKey)?;
        Self::new(key, certificate.to_vec())
    }

    fn new(key: SigningKey, certificate: Vec<u8>) -> Result<Self, BadCredential> {
        let roots = Roots::from_der(&certificate)?;
        if roots.focus_key() != key.verifying_key().to_bytes() {
            return Err(BadCredential::WrongKey);
        }
        Ok(Self { key, certificate, name: roots.name().clone(), roots })
    }

    /// Believes the certificates of another authority, too ([`Roots::trust`]).
    pub fn trust(&mut self, certificate: &[u8]) -> Result<(), BadCredential> {
        self.roots.trust(certificate)
    }

    /// The authority's certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The authority's key, to be stored.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, BadKey> {
        to_pkcs8(&self.key)
    }

    /// What others check this authority's certificates against.
    pub const fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The key of the focus as external sender. In this round it is the authority's own key, so that a device
    /// that knows the authority knows the sender. The two uses cannot be confused: what MLS signs starts with
    /// the length of a label (RFC 9420, 5.1.2), what X.509 signs with the tag of a SEQUENCE.
    pub fn focus_key(&self) -> FocusKey {
        FocusKey::new(self.key.clone())
    }

    /// A certificate for the device that signed this request, if the request names `expected`. It ends a lifetime from now.
    pub fn issue(
        &self,
        request: &[u8],
        expected: &DeviceName,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Vec<u8>, BadRequest> {
        let key = expected_key(request, expected)?;
        let certificate =
            self.certify(key, expected, now, lifetime).map_err(|_| BadRequest::Malformed)?;
        if certificate.len() > CERTIFICATE_OCTETS_MAX {
            return Err(BadRequest::TooLong);
        }
        Ok(certificate)
    }

    fn certify(
        &self,
        key: SubjectPublicKeyInfoOwned,
        name: &DeviceName,
        now: SystemTime,
        lifetime: Duration,
    ) -> der::Result<Vec<u8>> {
        let usage = KeyUsage(KeyUsages::DigitalSignature.into());
        let extensions = vec![extension(name)?, usage.to_extension(&Name::default(), &[])?];
        let tbs = tbs(&key, now, lifetime, self.name.clone(), Name::default(), extensions)?;
        assemble(&self.key, tbs)
    }
}

/// The device a request names, if it proves possession of its key. Whether who asks *is* that person, and may have
/// this device, is for the caller to say.
pub fn requested_device(request: &[u8]) -> Result<DeviceName, BadRequest> {
    read(request).map(|(_, named)| named)
}

/// The key of a request, if it proves possession of it.
pub fn requested_key(request: &[u8]) -> Result<[u8; 32], BadRequest> {
    let (key, _) = read(request)?;
    key_of(&key).ok_or(BadRequest::Malformed)
}

/// The key of a request that proves possession and names the expected device.
fn expected_key(
    request: &[u8],
    expected: &DeviceName,
) -> Result<SubjectPublicKeyInfoOwned, BadRequest> {
    let (key, named) = read(request)?;
    if named != *expected {
        return Err(BadRequest::SomebodyElse);
    }
    Ok(key)
}

fn read(request: &[u8]) -> Result<(SubjectPublicKeyInfoOwned, DeviceName), BadRequest> {
    if request.len() > REQUEST_OCTETS_MAX {
        return Err(BadRequest::Malformed);
    }
    let request = CertReq::from_der(request).map_err(|_| BadRequest::Malformed)?;
    let info = request.info;
    let key = key_of(&info.public_key).ok_or(BadRequest::Malformed)?;
    let key = VerifyingKey::from_bytes(&key).map_err(|_| BadRequest::Malformed)?;
    if request.algorithm != ed25519() {
        return Err(BadRequest::Malformed);
    }
    let signed = info.to_der().map_err(|_| BadRequest::Malformed)?;
    let signature = signature_of(&request.signature).ok_or(BadRequest::NoPossession)?;
    key.verify_strict(&signed, &signature).map_err(|_| BadRequest::NoPossession)?;

    let named = requested_name(info.attributes.as_slice()).ok_or(BadRequest::Malformed)?;
    Ok((info.public_key, named))
}

fn requested_name(attributes: &[Attribute]) -> Option<DeviceName> {
    let asked = attributes.iter().find(|a| a.oid == ExtensionReq::OID)?;
    let [value] = asked.values.as_slice() else {
        return None;
    };
    let extensions: Vec<Extension> = value.decode_as().ok()?;
    device(&extensions)
}

/// The self-signed certificate of an authority.
fn authority(
    key: &SigningKey,
    common_name: &str,
    now: SystemTime,
    lifetime: Duration,
) -> der::Result<Vec<u8>> {
    let name = common_name_of(common_name)?;
    let constraints = BasicConstraints { ca: true, path_len_constraint: Some(0) };
    let usage = KeyUsage(KeyUsages::KeyCertSign.into());
    let extensions = vec![constraints.to_extension(&name, &[])?, usage.to_extension(&name, &[])?];
    let tbs = tbs(&public_key(key)?, now, lifetime, name.clone(), name, extensions)?;
    assemble(key, tbs)
}

/// `CN=text`, built by hand: the text is data, not the language of RFC 4514.
fn common_name_of(text: &str) -> der::Result<Name> {
    let value = x509_cert::attr::AttributeTypeAndValue {
        oid: der::asn1::ObjectIdentifier::new_unwrap("2.5.4.3"),
        value: der::asn1::Any::from(Utf8StringRef::new(text)?),
    };
    let part = RelativeDistinguishedName(SetOfVec::try_from(vec![value])?);
    Ok(RdnSequence(vec![part]))
}

fn tbs(
    key: &SubjectPublicKeyInfoOwned,
    now: SystemTime,
    lifetime: Duration,
    issuer: Name,
    subject: Name,
    extensions: Vec<Extension>,
) -> der::Result<TbsCertificate> {
    let since = now.checked_sub(BACKDATED.min(lifetime)).unwrap_or(now);
    let validity = Validity { not_before: time(since)?, not_after: time(now + lifetime)? };
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: serial(key, &validity)?,
        signature: ed25519(),
        issuer,
        validity,
        subject,
        subject_public_key_info: key.clone(),
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    })
}

/// Unique for a key and a validity; positive and short (RFC 5280, 4.1.2.2).
fn serial(key: &SubjectPublicKeyInfoOwned, validity: &Validity) -> der::Result<SerialNumber> {
    let mut hash = Sha256::new();
    hash.update(key.to_der()?);
    hash.update(validity.to_der()?);
    let digest: [u8; 32] = hash.finalize().into();
    let mut serial: Vec<u8> = digest.into_iter().take(16).collect();
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    SerialNumber::new(&serial)
}

fn public_key(key: &SigningKey) -> der::Result<SubjectPublicKeyInfoOwned> {
    let bits = BitString::from_bytes(key.verifying_key().as_bytes())?;
    Ok(SubjectPublicKeyInfoOwned { algorithm: ed25519(), subject_public_key: bits })
}

fn assemble(key: &SigningKey, tbs: TbsCertificate) -> der::Result<Vec<u8>> {
    let signature = sign(key, &tbs)?;
    Certificate { tbs_certificate: tbs, signature_algorithm: ed25519(), signature }.to_der()
}

fn sign(key: &SigningKey, what: &impl der::Encode) -> der::Result<BitString> {
    BitString::from_bytes(&key.sign(&what.to_der()?).to_bytes())
}

pub(super) fn signature_of(bits: &BitString) -> Option<Signature> {
    Signature::from_slice(bits.as_bytes()?).ok()
}
