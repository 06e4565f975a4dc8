//! Client certificates of any issuer: whoever shows one proves that the key is theirs, and nothing more. Whether it is
//! the right one is known only later, when a request says which session it is for (RFC 8122, 6.2); a chain and a name
//! are checked where they are asked for, by [`Authority`].
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::ServerName;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{TlsError, provider};

/// Takes any certificate whose key the client proves, and clients without one.
#[derive(Debug)]
pub(super) struct AnyClient(pub(super) Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Nobody is believed because of it: see the file's head.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Roots under which the certificates of peers prove names.
#[derive(Clone, Debug)]
pub struct Authority {
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authority {
    /// Believes certificates under these roots.
    pub fn new(roots: Arc<RootCertStore>) -> Result<Self, TlsError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider());
        let verifier = verifier.build().map_err(|e| TlsError::Roots(e.to_string()))?;
        Ok(Self { roots, verifier })
    }

    /// The roots, for a client.
    #[must_use]
    pub fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    /// Whether a chain, leaf first, is valid `now` and its leaf carries this name: a DNS name, or an IP address, in
    /// brackets or without.
    #[must_use]
    pub fn proves(&self, chain: &[CertificateDer<'_>], name: &str, now: UnixTime) -> bool {
        self.trusts(chain, now) && Self::names(chain, name)
    }

    /// Whether a chain, leaf first, is valid `now`, whoever it is of.
    #[must_use]
    pub fn trusts(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let Some((leaf, rest)) = chain.split_first() else { return false };
        self.verifier.verify_client_cert(leaf, rest, now).is_ok()
    }

    /// Whether the leaf of a chain carries a name, whoever says so.
    #[must_use]
    pub fn names(chain: &[CertificateDer<'_>], name: &str) -> bool {
        let Some(leaf) = chain.first() else { return false };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let Ok(name) = ServerName::try_from(name) else { return false };
        let Ok(parsed) = ParsedCertificate::try_from(leaf) else { return false };
        verify_server_name(&parsed, &name).is_ok()
    }
}
