//! An identity that nobody vouches for: a peer knows its certificate by the fingerprint that signalling named (RFC 8122, 5).
//! It says nothing about whose it is.
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use super::{Identity, TlsError};

/// It is made anew with each start of a program, and no program runs that long.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks of two devices differ.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);

impl Identity {
    /// A new P-256 key with a certificate of its own, for server and client use, valid from a day before `now`.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn self_signed(now: SystemTime) -> Result<Self, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "msrp");
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + LIFETIME).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.self_signed(&key)?;
        Self::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_and_its_certificate_names_nobody() {
        let now = crate::clock::wall();
        let (one, other) =
            (Identity::self_signed(now).unwrap(), Identity::self_signed(now).unwrap());

        assert_ne!(one.fingerprint(), other.fingerprint());
        let der = one.certificate().to_vec();
        assert!(!String::from_utf8_lossy(&der).contains("conclave"));
    }
}
