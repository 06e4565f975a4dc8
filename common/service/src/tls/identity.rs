//! Who we are in TLS: a certificate chain and the key of its leaf. The key leaves this type only into rustls
//! or a file that nobody else may read.
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Fingerprint, TlsError, certificates, provider, read};

/// A certificate chain, leaf first, and the private key of the leaf.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        let (chain, key) = self.parts();
        Self { chain, key }
    }
}

impl fmt::Debug for Identity {
    /// Shows the fingerprint, never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint())
    }
}

impl Identity {
    /// From the texts of two PEM files. The key may be PKCS#8, PKCS#1 or SEC1; it must fit the first certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::parse((chain, "the chain"), (key, "the key"))
    }

    /// From two PEM files.
    pub fn load(certificate_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let (chain, key) = (read(certificate_file)?, read(key_file)?);
        let names = (certificate_file.display().to_string(), key_file.display().to_string());
        Self::parse((&chain, &names.0), (&key, &names.1))
    }

    fn parse(chain: (&[u8], &str), key: (&[u8], &str)) -> Result<Self, TlsError> {
        let key_der = PrivateKeyDer::from_pem_slice(key.0).map_err(|e| TlsError::Pem {
            what: "private key",
            from: key.1.to_owned(),
            why: e.to_string(),
        })?;
        Self::new(certificates(chain.0, chain.1)?, key_der)
    }

    /// From DER. Refuses a key that is not the leaf's.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        if chain.is_empty() {
            return Err(TlsError::Rustls(rustls::Error::NoCertificatesPresented));
        }
        let identity = Self { chain, key };
        identity.certified()?;
        Ok(identity)
    }

    /// Chain and key as rustls signs with them.
    pub(super) fn certified(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let (chain, key) = self.parts();
        Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider())?))
    }

    /// The leaf certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.chain.first().expect("`new` refuses an empty chain")
    }

    /// What a peer writes down to know the leaf again (RFC 8122, 5).
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.certificate())
    }

    /// Chain and key, for a TLS library.
    #[must_use]
    pub fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }
}

/// Writes a file that only its owner may read. An existing one is replaced, never left with wider permissions.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    let write = || {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|why| TlsError::Write { path: path.to_owned(), why })
}
