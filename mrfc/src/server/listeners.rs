//! Opens what the MRFC listens on. What is answered there, others say.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use edge::{Edge, Listen};
use mls::identity::Issuer;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use service::tls::{self, ClientAuth, Live, Names};
use store::Store;
use tokio::net::TcpListener;

use super::StartError;
use super::identities::external;
use crate::admin;
use crate::config::Config;
use crate::desk::Desks;
use crate::devices::Devices;
use crate::front;
use crate::http::{self, Admission, Api, Listening, Pace};
use crate::metrics::Metrics;
use crate::numbers::Numbers;
use crate::people::Policies;
use crate::relays::Relays;
use crate::users::Users;

/// What the listeners work on.
pub(super) struct Works {
    pub(super) config: Arc<Config>,
    pub(super) users: Arc<Users>,
    pub(super) store: Store,
    pub(super) desks: Desks,
    pub(super) relays: Relays,
    pub(super) metrics: Metrics,
    pub(super) policies: Policies,
    pub(super) devices: Devices,
}

impl Works {
    /// The listener of devices and their people.
    pub(super) async fn https(
        &self,
        issuer: Issuer,
        identity: &Arc<Live>,
    ) -> Result<(SocketAddr, Listening), StartError> {
        let config = &self.config;
        let (listener, address) = listen("https", config.https.listen).await?;
        let clients = ClientAuth::Optional(believed(config, &issuer)?);
        let tls = tls::live_server_config(identity, clients, &[b"http/1.1"])?;
        let numbers = Numbers::new(&config.numbers, Arc::clone(&self.users));
        let api = Api::from(http::Inner {
            gatekeeper: Mutex::new(front::gatekeeper(config)?),
            users: Arc::clone(&self.users),
            issuer,
            certificate_days: config.issuer.certificate_days,
            new_devices: config.issuer.new_devices,
            admission: Admission::default(),
            store: self.store.clone(),
            desks: self.desks.clone(),
            devices: self.devices.clone(),
            metrics: self.metrics.clone(),
            limits: config.limits.clone(),
            waits_secs: config.mailbox.as_ref().map(|mailbox| mailbox.keep_secs),
            guesses: Pace::new(config.limits.http_failures_per_minute_max),
            claims: Pace::new(config.limits.key_package_claims_per_minute_max),
            lookups: Pace::new(config.numbers.lookups_per_minute_max),
            domain: config.domain.clone(),
            numbers: numbers.map_err(StartError::Resolver)?,
            policies: self.policies.clone(),
            changing: tokio::sync::Mutex::default(),
            contacts_max: config.numbers.contacts_max,
            conferences: config.conferences.clone(),
            audit_max: config.admin.as_ref().map(|admin| admin.audit_max),
            // Checked with the configuration.
            proxies: Names::parse(&config.https.proxy_names).unwrap_or_default(),
        });
        let listening = Listening {
            listener,
            tls,
            router: http::router(api),
            connections_max: config.limits.http_connections_max,
            request: config.limits.http_request(),
            metrics: self.metrics.clone(),
        };
        Ok((address, listening))
    }

    /// The operator's listener, where one is configured.
    pub(super) async fn admin(
        &self,
        identity: Option<&Arc<Live>>,
    ) -> Result<Option<(SocketAddr, Listening)>, StartError> {
        let (Some(settings), Some(identity)) = (&self.config.admin, identity) else {
            return Ok(None);
        };
        let parts = admin::Parts {
            config: Arc::clone(&self.config),
            desks: self.desks.clone(),
            relays: self.relays.clone(),
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            questions: self.devices.questions.clone(),
            devices: self.devices.clone(),
        };
        admin::open(settings, identity, parts).await.map(Some)
    }
}

/// Under whom a client of the HTTPS listener may show a certificate: devices under their issuer, and the proxy in front.
fn believed(config: &Config, issuer: &Issuer) -> Result<Arc<RootCertStore>, StartError> {
    let mut roots = match &config.https.proxy_ca_file {
        Some(file) => RootCertStore::clone(&*tls::load_roots_for("https.proxy_ca_file", file)?),
        None => RootCertStore::empty(),
    };
    let devices = CertificateDer::from(issuer.certificate().to_vec());
    roots.add(devices).map_err(tls::TlsError::from)?;
    for (_, certificate) in external(config)? {
        roots.add(certificate).map_err(tls::TlsError::from)?;
    }
    Ok(Arc::new(roots))
}

/// Where SIP is spoken.
pub(super) struct SipAddresses {
    pub(super) tls: SocketAddr,
    pub(super) websocket: Option<SocketAddr>,
    pub(super) protected: Option<SocketAddr>,
}

/// Opens the SIP listeners: TLS, and WebSocket and plain TCP where they are configured.
pub(super) async fn listen_sip(
    edge: &Edge,
    config: &Config,
    identity: &Arc<Live>,
) -> Result<SipAddresses, StartError> {
    let mut files: Vec<(&str, &PathBuf)> = Vec::new();
    files.extend(config.sip.core_ca_file.iter().map(|file| ("sip.core_ca_file", file)));
    if config.registration.device_certificates {
        files.push(("issuer.certificate_file", &config.issuer.certificate_file));
    }
    let mut roots = RootCertStore::empty();
    for (setting, file) in &files {
        roots.roots.extend(tls::load_roots_for(setting, file)?.roots.iter().cloned());
    }
    let clients = match files.is_empty() {
        true => ClientAuth::None,
        false => ClientAuth::Optional(Arc::new(roots)),
    };
    let tls = Listen::Tls(tls::live_server_config(identity, clients, &[])?);
    let open = async |address, how| {
        let wrong = |why| StartError::Listen { what: "sip", address, why };
        edge.listen(address, how).await.map_err(wrong)
    };
    let address = open(config.sip.listen, tls).await?;
    let websocket = match config.sip.websocket_listen {
        Some(address) => {
            let tls = tls::live_server_config(identity, ClientAuth::None, &[])?;
            let origins = config.sip.websocket_origins.as_slice().into();
            Some(open(address, Listen::WebSocket { tls, origins }).await?)
        }
        None => None,
    };
    let protected = match config.sip.protected_listen {
        Some(address) => {
            let address = open(address, Listen::Protected).await?;
            // An operator's choice, and one that should be seen.
            tracing::warn!(%address, "SIP without TLS: this network must be protected otherwise");
            Some(address)
        }
        None => None,
    };
    Ok(SipAddresses { tls: address, websocket, protected })
}

/// Opens a port.
pub(crate) async fn listen(
    what: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let wrong = |why| StartError::Listen { what, address, why };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    Ok((listener, address))
}
