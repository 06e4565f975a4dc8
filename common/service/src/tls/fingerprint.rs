//! Trust by fingerprint (RFC 8122, 5): the certificate must be one that trusted signalling named, and its holder
//! must prove the key. Names, dates and issuers are not looked at. With no fingerprint known, everybody is refused.
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use super::Named;

/// The SHA-256 of a certificate. Shown as in SDP: `SHA-256 AB:CD:…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Not a fingerprint that we can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFingerprint {
    /// Another hash function. RFC 8122, 5: SHA-256 at least.
    #[error("not a SHA-256 fingerprint")]
    Hash,
    /// Not 32 octets as hexadecimal pairs with colons between.
    #[error("a SHA-256 fingerprint is 32 hexadecimal pairs with colons between")]
    Form,
}

impl Fingerprint {
    /// Of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// The hash itself.
    pub(super) const fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHA-256 ")?;
        for (at, octet) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    /// Accepts any case.
    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let (hash, pairs) = text.trim().split_once(' ').ok_or(BadFingerprint::Form)?;
        if !hash.eq_ignore_ascii_case("sha-256") {
            return Err(BadFingerprint::Hash);
        }
        let octets = octets(pairs).ok_or(BadFingerprint::Form)?;
        octets.try_into().map(Self).map_err(|_| BadFingerprint::Form)
    }
}

/// Reads hexadecimal pairs with colons between.
pub(super) fn octets(pairs: &str) -> Option<Vec<u8>> {
    let octet = |pair: &str| {
        let plain = pair.len() == 2 && pair.bytes().all(|c| c.is_ascii_hexdigit());
        plain.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
    };
    pairs.trim().split(':').map(octet).collect()
}

/// Accepts a server whose leaf certificate is in a known set.
#[derive(Debug)]
pub struct FingerprintVerifier {
    known: Named,
    provider: Arc<CryptoProvider>,
}

impl FingerprintVerifier {
    /// Accepts these and no others.
    #[must_use]
    pub fn new(known: Named, provider: Arc<CryptoProvider>) -> Self {
        Self { known, provider }
    }
}

impl ServerCertVerifier for FingerprintVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.known.has(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        // RFC 8122, 6.2: a mismatch ends the session with `bad_certificate`.
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
