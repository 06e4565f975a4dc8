//! TLS as all our programs use it: rustls with aws-lc-rs, TLS 1.3 and 1.2, AES-128-GCM first. Identities come from
//! PEM files; peers are checked against roots or, for MSRP between strangers, against a fingerprint from the SDP.
//! Nothing here accepts a peer that it could not check.
mod any_client;
mod dev_ca;
mod fingerprint;
mod identity;
mod live;
mod named;
mod names;
mod not_after;
mod self_signed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use any_client::AnyClient;
use rustls::client::{ResolvesClientCert, WantsClientCert};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

pub use any_client::Authority;
pub use dev_ca::{DevCa, IdentityFiles};
pub use fingerprint::{BadFingerprint, Fingerprint, FingerprintVerifier};
pub use identity::Identity;
pub use live::{Live, Watch};
pub use named::Named;
pub use names::{BadName, Names};

/// Why TLS cannot be set up. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {}: {why}; name a file that is there and that we may read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {why}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// PEM without what was looked for.
    #[error("{from} holds no {what} in PEM form ({why}); name a PEM file with one")]
    Pem {
        /// A certificate or a private key.
        what: &'static str,
        /// The file, or what else the bytes came from.
        from: String,
        /// What the parser said.
        why: String,
    },
    /// The certificate is not for the key, or the chain is unusable.
    #[error(
        "{} and {} are no certificate and its key ({why}); name the key that this certificate was issued for",
        certificate_file.display(),
        key_file.display()
    )]
    Pair {
        /// The file with the chain.
        certificate_file: PathBuf,
        /// The file with the key.
        key_file: PathBuf,
        /// What rustls said.
        why: rustls::Error,
    },
    /// A file that a configuration names is no good.
    #[error("{setting}: {why}")]
    Setting {
        /// The key of the configuration, with its table.
        setting: String,
        /// What is wrong with the file.
        why: Box<Self>,
    },
    /// The chain is unusable, or a setting contradicts another.
    #[error("TLS: {0}")]
    Rustls(rustls::Error),
    /// No trust anchor, or one that is none.
    #[error("roots: {0}")]
    Roots(String),
    /// A certificate could not be made.
    #[error("certificate: {0}")]
    Make(#[from] rcgen::Error),
}

impl From<rustls::Error> for TlsError {
    // Not `#[from]`: what is said already would be its source, and said again.
    fn from(why: rustls::Error) -> Self {
        Self::Rustls(why)
    }
}

impl TlsError {
    /// The same, with the key of the configuration that names the file.
    #[must_use]
    pub fn of(self, setting: impl Into<String>) -> Self {
        Self::Setting { setting: setting.into(), why: Box::new(self) }
    }
}

/// Our cipher suites and their order. AES-128-GCM is the fastest on every machine that runs a relay.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::cipher_suite as suite;
    let cipher_suites = vec![
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS13_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() })
}

/// Makes [`provider`] the process's default. Call it first in every `main`; calling it again changes nothing.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // Losing a race means that another thread has just installed the same one.
        drop(Arc::unwrap_or_clone(provider()).install_default());
    }
}

/// What a server asks of its clients.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// No certificate is asked for.
    None,
    /// A client may present a certificate of any issuer and must prove its key. It says nothing about who that is.
    Any,
    /// A client may present a certificate; if it does, it must be valid under these roots.
    Optional(Arc<RootCertStore>),
    /// A client must present a certificate that is valid under these roots.
    Required(Arc<RootCertStore>),
}

/// Whom a client believes.
#[derive(Clone, Debug)]
pub enum Trust {
    /// A certificate for the server's name, valid under these roots.
    Roots(Arc<RootCertStore>),
    /// Exactly these certificates (RFC 8122, 5), whatever name they carry. With none in the set, nobody.
    Fingerprints(Vec<Fingerprint>),
    /// The same, for fingerprints as an SDP wrote them.
    Named(Named),
}

/// How a server speaks TLS.
pub fn server_config(
    identity: &Identity,
    clients: ClientAuth,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let only = SingleCertAndKey::from(identity.certified()?);
    server_config_with(Arc::new(only), clients, alpn)
}

/// The same with an identity that may change; each handshake gets the one that holds then.
pub fn live_server_config(
    identity: &Arc<Live>,
    clients: ClientAuth,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    server_config_with(Arc::clone(identity) as Arc<dyn ResolvesServerCert>, clients, alpn)
}

fn server_config_with(
    identity: Arc<dyn ResolvesServerCert>,
    clients: ClientAuth,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let webpki = Arc::clone(&provider);
    let verifier = |roots| WebPkiClientVerifier::builder_with_provider(roots, webpki);
    let unusable = |e: rustls::server::VerifierBuilderError| TlsError::Roots(e.to_string());
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Any => builder.with_client_cert_verifier(Arc::new(AnyClient(provider))),
        ClientAuth::Optional(roots) => {
            let verifier = verifier(roots).allow_unauthenticated().build().map_err(unusable)?;
            builder.with_client_cert_verifier(verifier)
        }
        ClientAuth::Required(roots) => {
            builder.with_client_cert_verifier(verifier(roots).build().map_err(unusable)?)
        }
    };
    let mut config = builder.with_cert_resolver(identity);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}

/// How a client speaks TLS.
pub fn client_config(
    trust: Trust,
    identity: Option<&Identity>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = trusting(trust)?;
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.parts();
            builder.with_client_auth_cert(chain, key)?
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The same with an identity that may change.
pub fn live_client_config(
    trust: Trust,
    identity: &Arc<Live>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsError> {
    let identity = Arc::clone(identity) as Arc<dyn ResolvesClientCert>;
    let mut config = trusting(trust)?.with_client_cert_resolver(identity);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn trusting(trust: Trust) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let named = match trust {
        Trust::Roots(roots) => return Ok(builder.with_root_certificates(roots)),
        Trust::Fingerprints(known) => known.into(),
        Trust::Named(known) => known,
    };
    let verifier = FingerprintVerifier::new(named, provider);
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

/// Trust anchors from the text of a PEM file with one or more certificates. `from` names it in errors.
pub fn roots_from_pem(pem: &[u8], from: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, from)? {
        roots.add(certificate).map_err(|e| TlsError::Roots(format!("{from}: {e}")))?;
    }
    Ok(Arc::new(roots))
}

/// Trust anchors from a PEM file.
pub fn load_roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    roots_from_pem(&read(path)?, &path.display().to_string())
}

/// The same; `setting` is the key of the configuration that names the file, for errors.
pub fn load_roots_for(setting: &str, path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    load_roots(path).map_err(|why| why.of(setting))
}

/// The certificates of a PEM text; at least one.
fn certificates(pem: &[u8], from: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let missing = |why: String| TlsError::Pem { what: "certificate", from: from.to_owned(), why };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| missing(e.to_string()))?;
    if chain.is_empty() {
        return Err(missing("no CERTIFICATE section".into()));
    }
    Ok(chain)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|why| TlsError::Read { path: path.to_owned(), why })
}
