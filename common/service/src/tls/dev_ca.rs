//! A certificate authority for development, tests and `conclave dev`. Its key lives in memory only and its
//! certificates are short-lived; a deployment brings its own. It issues for TLS, never for devices.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;

use super::identity::write_private;
use super::{Identity, TlsError, roots_from_pem};

const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// Clocks of two machines in a test differ.
const BACKDATED: Duration = Duration::from_secs(3600);

/// A development CA.
pub struct DevCa {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    now: SystemTime,
}

impl std::fmt::Debug for DevCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DevCa")
    }
}

/// An identity and the files it was written to.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// The chain.
    pub certificate_file: PathBuf,
    /// The key; only its owner may read it.
    pub key_file: PathBuf,
}

impl DevCa {
    /// A new CA with a new key. Everything it issues is valid from an hour before `now` for 90 days.
    pub fn new(name: &str, now: SystemTime) -> Result<Self, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = dated(Vec::new(), name, now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem, now })
    }

    /// An identity for server and client use under these DNS names and IP addresses, with a new P-256 key.
    pub fn issue(&self, names: &[&str]) -> Result<Identity, TlsError> {
        let (chain, key) = self.make(names)?;
        Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes())
    }

    /// Issues an identity and writes it as `NAME.pem` and `NAME.key` (mode 0600) into a folder.
    pub fn issue_files(
        &self,
        names: &[&str],
        folder: &Path,
        name: &str,
    ) -> Result<IdentityFiles, TlsError> {
        let (chain, key) = self.make(names)?;
        let certificate_file = folder.join(format!("{name}.pem"));
        let key_file = folder.join(format!("{name}.key"));
        write_private(&key_file, &key.serialize_pem())?;
        write_public(&certificate_file, &chain)?;
        Ok(IdentityFiles { certificate_file, key_file })
    }

    fn make(&self, names: &[&str]) -> Result<(String, KeyPair), TlsError> {
        let key = KeyPair::generate()?;
        let subject = names.first().copied().unwrap_or("conclave");
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = dated(names, subject, self.now)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key))
    }

    /// The CA's certificate in PEM form.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Writes the CA's certificate; its key is never written.
    pub fn write_certificate(&self, path: &Path) -> Result<(), TlsError> {
        write_public(path, &self.certificate_pem)
    }

    /// The CA as the only trust anchor.
    pub fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        roots_from_pem(self.certificate_pem.as_bytes(), "the development CA")
    }
}

fn dated(
    names: Vec<String>,
    subject: &str,
    now: SystemTime,
) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + LIFETIME).into();
    Ok(params)
}

fn write_public(path: &Path, text: &str) -> Result<(), TlsError> {
    fs::write(path, text).map_err(|why| TlsError::Write { path: path.to_owned(), why })
}
