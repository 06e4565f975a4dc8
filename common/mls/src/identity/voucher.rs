//! The word of a device for another one of its person, or for itself when its certificate is to be renewed: whoever holds the
//! device has compared the code that the other one shows. A password alone does not give it.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use ids::Aor;

use super::{BadCredential, DeviceKey, EXTERNAL_CERTIFICATE_OCTETS_MAX, Roots};
use crate::codec::{Malformed, Reader, Writer};
use crate::wire::DeviceName;

/// How long a voucher is good for at most: the other device waits for it.
pub const VOUCHER_LIFE: Duration = Duration::from_secs(15 * 60);

const OCTETS_MAX: usize = 4096;
/// What no other signature of a device begins with: MLS's begin with the length of a label, X.509's with a SEQUENCE.
const LABEL: &[u8] = b"conclave device voucher 1";

/// Why a voucher counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadVoucher {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Whoever gives it is nobody here.
    #[error("the device that vouches: {0}")]
    Credential(#[from] BadCredential),
    /// It is signed by somebody else, or for something else.
    #[error("the signature does not fit")]
    Signature,
    /// It is of another person.
    #[error("only a device of the same person can vouch")]
    SomebodyElse,
    /// It is over, or lasts too long.
    #[error("it is not good now")]
    Late,
}

/// A device's word for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// Who vouches, by its certificate (DER).
    pub certificate: Bytes,
    /// For which device.
    pub device: DeviceName,
    /// For which key of it.
    pub key: [u8; 32],
    until: u64,
    signature: [u8; 64],
}

impl Voucher {
    /// The word of the device with this key and certificate.
    pub(crate) fn sign(
        (signer, certificate): (&DeviceKey, &[u8]),
        device: &DeviceName,
        key: [u8; 32],
        until: SystemTime,
    ) -> Self {
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = signer.0.sign(&signed(device, &key, until)).to_bytes();
        let certificate = Bytes::copy_from_slice(certificate);
        Self { certificate, device: device.clone(), key, until, signature }
    }

    /// Who vouches: a device of this person, good now, for one of the same person.
    pub fn check(
        &self,
        person: &Aor,
        roots: &Roots,
        now: SystemTime,
    ) -> Result<DeviceName, BadVoucher> {
        let by = roots.check(&self.certificate, now)?;
        if by.name.aor != *person || self.device.aor != *person {
            return Err(BadVoucher::SomebodyElse);
        }
        // Who is certified already vouches for its own key and no other.
        if by.name == self.device && by.key != self.key {
            return Err(BadVoucher::SomebodyElse);
        }
        let until = UNIX_EPOCH.checked_add(Duration::from_secs(self.until));
        if until.is_none_or(|until| until <= now || until > now + VOUCHER_LIFE) {
            return Err(BadVoucher::Late);
        }
        let key = VerifyingKey::from_bytes(&by.key).map_err(|_| BadVoucher::Signature)?;
        let signature = Signature::from_bytes(&self.signature);
        let signed = signed(&self.device, &self.key, self.until);
        key.verify_strict(&signed, &signature).map_err(|_| BadVoucher::Signature)?;
        Ok(by.name)
    }

    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        to.blob(&self.certificate);
        self.device.write(&mut to);
        to.raw(&self.key).u64(self.until).raw(&self.signature);
        to.finish()
    }

    /// Reads one whole voucher.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes, OCTETS_MAX, "voucher")?;
        let certificate = from.blob(EXTERNAL_CERTIFICATE_OCTETS_MAX, "certificate")?;
        let device = DeviceName::read(&mut from)?;
        let (key, until) = (from.array("key")?, from.u64("time")?);
        let signature = from.array("signature")?;
        from.end("voucher")?;
        Ok(Self { certificate, device, key, until, signature })
    }
}

fn signed(device: &DeviceName, key: &[u8; 32], until: u64) -> Bytes {
    let mut to = Writer::default();
    to.raw(LABEL);
    device.write(&mut to);
    to.raw(key).u64(until);
    to.finish()
}
