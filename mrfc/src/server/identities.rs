//! Who the MRFC is on each of its listeners and to its relays: certificates that follow their files. A changed one is for
//! the next handshake, and connections stay.
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use service::metrics::Metrics as Registry;
use service::tls::{Live, TlsError, Watch};

use super::StartError;
use crate::config::Config;

/// The identities of one MRFC.
pub(super) struct Identities {
    pub(super) sip: Arc<Live>,
    pub(super) https: Arc<Live>,
    pub(super) control: Arc<Live>,
    /// Where there is such a listener.
    pub(super) admin: Option<Arc<Live>>,
}

impl Identities {
    /// Loads them for the first time; they must be good.
    pub(super) fn load(config: &Config) -> Result<Self, TlsError> {
        let load = |table, certificate: &Path, key: &Path| Live::load_for(table, certificate, key);
        let (sip, https, control) = (&config.sip, &config.https, &config.control);
        let admin = config.admin.as_ref();
        Ok(Self {
            sip: load("sip", &sip.certificate_file, &sip.key_file)?,
            https: load("https", &https.certificate_file, &https.key_file)?,
            control: load("control", &control.certificate_file, &control.key_file)?,
            admin: admin.map(|it| load("admin", &it.certificate_file, &it.key_file)).transpose()?,
        })
    }

    /// What looks at their files.
    pub(super) fn watch(&self, registry: &Registry) -> Watch {
        let named = [("sip", &self.sip), ("https", &self.https), ("control", &self.control)];
        let admin = self.admin.iter().map(|live| ("admin", live));
        let all = named.into_iter().chain(admin);
        Watch::new(all.map(|(name, live)| (name, Arc::clone(live))).collect(), registry)
    }
}

/// The other authorities whose device certificates count, each with the file that it stands in. They are read at the start.
pub(super) fn external(
    config: &Config,
) -> Result<Vec<(&Path, CertificateDer<'static>)>, StartError> {
    let Some(path) = config.issuer.external_ca_file.as_deref() else { return Ok(Vec::new()) };
    let wrong = |why: String| StartError::Issuer { path: path.to_owned(), why };
    let all = CertificateDer::pem_file_iter(path).map_err(|why| wrong(why.to_string()))?;
    let all = all.map(|one| one.map(|one| (path, one)).map_err(|why| wrong(why.to_string())));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() { Err(wrong(String::from("there is no certificate in it"))) } else { Ok(all) }
}
