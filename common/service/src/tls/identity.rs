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
        Self::new(certificates(chain, "the chain")?, private_key(key, "the key")?)
    }

    /// From two PEM files.
    pub fn load(certificate_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        Self::load_saying(certificate_file, key_file, |_setting, why| why)
    }

    /// The same, for `certificate_file` and `key_file` of this table of a configuration: errors name those keys.
    pub fn load_for(
        table: &str,
        certificate_file: &Path,
        key_file: &Path,
    ) -> Result<Self, TlsError> {
        Self::load_saying(certificate_file, key_file, |setting, why| {
            why.of(format!("{table}.{setting}"))
        })
    }

    fn load_saying(
        certificate_file: &Path,
        key_file: &Path,
        say: impl Fn(&str, TlsError) -> TlsError,
    ) -> Result<Self, TlsError> {
        let name = |path: &Path| path.display().to_string();
        let chain = read(certificate_file)
            .and_then(|pem| certificates(&pem, &name(certificate_file)))
            .map_err(|why| say("certificate_file", why))?;
        let key = read(key_file)
            .and_then(|pem| private_key(&pem, &name(key_file)))
            .map_err(|why| say("key_file", why))?;
        Self::new(chain, key).map_err(|why| {
            let (certificate_file, key_file) = (certificate_file.into(), key_file.into());
            let why = match why {
                TlsError::Rustls(why) => TlsError::Pair { certificate_file, key_file, why },
                why => why,
            };
            say("key_file", why)
        })
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

/// The key of a PEM text.
fn private_key(pem: &[u8], from: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| TlsError::Pem {
        what: "private key",
        from: from.to_owned(),
        why: e.to_string(),
    })
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
