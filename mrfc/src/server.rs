//! Puts the MRFC together from its configuration and runs it: files, store, links to the relays, desks, listeners,
//! front. It decides nothing.
mod identities;
mod limits;
mod listeners;
mod standing;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edge::Edge;
use mls::identity::{BadCredential, Issuer};
use rand::RngCore as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Serialize;
use service::metrics::Metrics as Registry;
use service::ops::{self, Health};
use service::secret::Secret;
use service::shutdown::Shutdown;
use service::tls::TlsError;
use service::{clock, config, quic, ready, telemetry, tls};
use store::{Registration, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::admin;
use crate::config::{BadConfig, Config};
use crate::database::{self, Leading};
use crate::desk::{DeskParts, Desks, OpenError};
use crate::devices::Devices;
use crate::front::{self, Front, FrontParts, NoRandomness};
use crate::http::Listening;
use crate::legs::Legs;
use crate::log::Logs;
use crate::mailbox::{self, Mailbox};
use crate::metrics::Metrics;
use crate::people::Policies;
use crate::relays::{Logins, PAUSES, RelayAt, RelayParts, Relays};
use crate::users::{BadUsers, Users};
use identities::Identities;
use limits::{desk_limits, edge_limits};
pub(crate) use listeners::listen;
use listeners::{SipAddresses, Works};

/// What the desks may have asked of the front before they wait: some seconds of a large deployment.
const EFFECTS_MAX: usize = 4_096;

/// Why the MRFC does not serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The configuration contradicts itself.
    #[error(transparent)]
    BadConfig(#[from] BadConfig),
    /// The users file is no good.
    #[error(transparent)]
    Users(#[from] BadUsers),
    /// A TLS identity is no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The relays cannot be dialled at all.
    #[error(transparent)]
    Quic(#[from] quic::QuicError),
    /// The device authority's files are no good.
    #[error("issuer: {path}: {why}")]
    Issuer {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it; never the key.
        why: String,
    },
    /// The database cannot be opened.
    #[error("the store {place}")]
    Store {
        /// Which; never its password.
        place: String,
        /// Why.
        #[source]
        why: store::Error,
    },
    /// Another focus of this machine has the file.
    #[error("another focus works on this database, and has {path} locked; stop it first")]
    DatabaseInUse {
        /// The lock.
        path: PathBuf,
    },
    /// Another focus has taken this one's place.
    #[error("another focus has taken the lease on the database")]
    LeaseLost,
    /// It was to end before it served.
    #[error("told to stop while another focus led on the database")]
    StoppedStandingBy,
    /// A conference cannot be recovered.
    #[error(transparent)]
    Desks(#[from] OpenError),
    /// A conference that should always be there cannot be made.
    #[error("conferences.standing: {name}: {why}")]
    Standing {
        /// Which.
        name: String,
        /// Why.
        why: crate::desk::Refusal,
    },
    /// The mailbox cannot be opened.
    #[error(transparent)]
    Mailbox(#[from] mailbox::NoMailbox),
    /// Numbers cannot be looked up.
    #[error("the resolver: {0}; name the servers in numbers.dns_servers")]
    Resolver(std::io::Error),
    /// A token that anybody could guess.
    #[error(
        "{path}: a token of fewer than 16 characters is easily guessed; put 32 random ones there"
    )]
    ShortToken {
        /// Which file.
        path: PathBuf,
    },
    /// A port is taken, or may not be used.
    #[error("cannot listen for {what} on {address}: {why}")]
    Listen {
        /// The listener, as the configuration calls it.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        why: std::io::Error,
    },
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// Logs cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The process cannot do what every process can.
    #[error("the runtime: {0}")]
    Runtime(std::io::Error),
}

/// Where a running MRFC listens: its ready line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    ready: &'static str,
    /// SIP over TLS.
    pub sip: SocketAddr,
    /// SIP over WebSocket, where that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip_websocket: Option<SocketAddr>,
    /// SIP over plain TCP, where that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip_protected: Option<SocketAddr>,
    /// The HTTPS API.
    pub https: SocketAddr,
    /// The operator's API, where that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<SocketAddr>,
    /// Metrics and health.
    pub ops: SocketAddr,
}

impl Addresses {
    fn of(
        sip: &SipAddresses,
        (https, admin, ops): (SocketAddr, Option<SocketAddr>, SocketAddr),
    ) -> Self {
        Self {
            ready: "mrfc",
            sip: sip.tls,
            sip_websocket: sip.websocket,
            sip_protected: sip.protected,
            https,
            admin,
            ops,
        }
    }
}

/// An MRFC whose listeners are open.
pub struct Server {
    addresses: Addresses,
    front: Front,
    desks: Desks,
    health: Health,
    shutdown: Shutdown,
    leading: Leading,
    helpers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.addresses).finish()
    }
}

/// Reads the configuration file, and serves until a signal (or, if told so, the end of standard input). For `main`:
/// it makes the runtime.
///
/// # Errors
/// It cannot serve; in words for whoever wrote the configuration.
pub fn serve(path: &Path, exit_with_parent: bool) -> Result<(), StartError> {
    tls::install_provider();
    let config = load(path)?;
    telemetry::init(config.log.format, &config.log.level)?;
    service::secret::keep_out_of_core_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(StartError::Runtime)?.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.on_signals().map_err(StartError::Runtime)?;
        if exit_with_parent {
            shutdown.on_stdin_end().map_err(StartError::Runtime)?;
        }
        Box::pin(run(config, shutdown)).await
    })
}

/// Reads a configuration and everything it names, and opens nothing.
///
/// # Errors
/// What is wrong with it.
pub fn check_config(path: &Path) -> Result<(), StartError> {
    let config = load(path)?;
    Users::read(&config.users_file, &config.domain)?;
    Identities::load(&config)?;
    config.store.location()?;
    tls::load_roots_for("control.ca_file", &config.control.ca_file)?;
    issuer(&config)?;
    if let Some(file) = &config.https.proxy_ca_file {
        tls::load_roots_for("https.proxy_ca_file", file)?;
    }
    if let Some(file) = &config.sip.core_ca_file {
        tls::load_roots_for("sip.core_ca_file", file)?;
    }
    if let Some(settings) = &config.mailbox {
        mailbox::check(settings)?;
    }
    config.admin.as_ref().map_or(Ok(()), admin::check)
}

/// What waits for a person in the mailbox of this configuration, also beside a focus that runs on it.
///
/// # Errors
/// The configuration, its key or its database is no good.
pub async fn kept_messages(
    path: &Path,
    owner: &ids::Aor,
) -> Result<Vec<mailbox::inspect::KeptMessage>, StartError> {
    let config = load(path)?;
    let Some(settings) = &config.mailbox else { return Ok(Vec::new()) };
    Ok(mailbox::inspect::kept(settings, config.store.location()?, owner).await?)
}

fn load(path: &Path) -> Result<Config, StartError> {
    let config: Config = config::load(Some(path), "MRFC", &[])?;
    config.check()?;
    Ok(Config { file: Some(path.to_owned()), ..config })
}

/// Serves until the shutdown, and says on standard output where.
///
/// # Errors
/// It cannot serve.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), StartError> {
    let server = match Server::start(config, shutdown).await {
        Err(StartError::StoppedStandingBy) => return Ok(()),
        started => started?,
    };
    // A parent that has closed our standard output does not want to know.
    ready::announce(server.addresses()).ok();
    server.serve().await
}

impl Server {
    /// Recovers every conference and opens the listeners. Nobody is answered before [`Server::serve`].
    ///
    /// # Errors
    /// It cannot serve.
    pub async fn start(config: Config, shutdown: Shutdown) -> Result<Self, StartError> {
        config.check()?;
        let config = Arc::new(config);
        let users = Arc::new(Users::read(&config.users_file, &config.domain)?);
        let issuer = issuer(&config)?;
        let (roots, identities) = (issuer.roots().clone(), Identities::load(&config)?);
        let (registry, health) = (Registry::new(), Health::new());
        let (watch, metrics) = (identities.watch(&registry), Metrics::new(&registry));
        // Who stands by is well, and not ready.
        let (ops, ops_address) = listen("ops", config.ops.listen).await?;
        let ops = tokio::spawn(ops::serve(ops, registry, health.clone(), shutdown.clone()));
        let location = config.store.location()?;
        let wrong = no_store(&location);
        let lease = Duration::from_secs(config.store.lease_secs);
        let led = database::lead(&location, lease, &shutdown).await?;
        let (store, leading) = led.ok_or(StartError::StoppedStandingBy)?;
        let (policies, known) = kept(&store).await.map_err(&wrong)?;
        let logins = Logins::new(Arc::clone(&users), &config.domain, metrics.clone());
        let (relays, heard) = relays(&config, &identities, logins)?;
        let (sip, effects) = mpsc::channel(EFFECTS_MAX);
        let (legs, heard) = Legs::start(&config, (&store, &relays), heard, sip.clone());
        let (logs, heard) = Logs::start((&store, &relays), &config.conferences, heard);
        let desks = Desks::open(DeskParts {
            store: store.clone(),
            relays: relays.clone(),
            heard,
            roots: roots.clone(),
            focus: issuer.focus_key(),
            domain: config.domain.clone(),
            sip,
            wall: clock::wall,
            limits: desk_limits(&config),
            nicknames: config.conferences.nickname_policy()?,
            charging: config.conferences.charge.then(|| legs.ledger().clone()),
            logs: Some(logs),
        })
        .await?;
        standing::make(&desks, &config.conferences).await?;
        let (devices, asked) = Devices::start(&store, &users, &desks).await.map_err(wrong)?;

        let (edge, events) = Edge::new(edge_limits(&config.limits));
        let listening = listeners::listen_sip(&edge, &config, &identities.sip).await?;
        let works = Works { config, users, store, desks, relays, metrics, policies, devices };
        let (https_address, https) = works.https(issuer, &identities.https).await?;
        let (admin_address, admin) = works.admin(identities.admin.as_ref()).await?.unzip();
        let Works { config, users, store, desks, relays, metrics, policies, .. } = works;
        let renewing = renewing(watch, &config, &shutdown);
        let serve = |listening: Listening| tokio::spawn(listening.serve(shutdown.clone()));
        let helpers = [https].into_iter().chain(admin).map(serve).chain([ops, renewing]).collect();
        let others = (https_address, admin_address, ops_address);
        let addresses = Addresses::of(&listening, others);
        let port = config.sip.advertised_port.unwrap_or_else(|| addresses.sip.port());
        let front = Front::new(FrontParts {
            mailbox: Mailbox::of(&config, (&store, &users, &metrics)).await?,
            config,
            users,
            edge,
            events,
            effects,
            questions: asked,
            policies,
            desks: desks.clone(),
            relays,
            legs,
            metrics,
            store,
            known,
            roots,
            port,
        })?;
        Ok(Self { addresses, front, desks, health, shutdown, leading, helpers })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Serves until the shutdown; then the desks finish what they are doing. Conferences go on at the next start.
    ///
    /// # Errors
    /// Another focus has taken the database over.
    pub async fn serve(self) -> Result<(), StartError> {
        let Self { addresses, front, desks, health, shutdown, leading, helpers } = self;
        health.ready();
        tracing::info!(sip = %addresses.sip, https = %addresses.https, "serving");
        // As a task, so that what wakes it and what it wakes can be on one thread.
        if let Err(error) = tokio::spawn(front.run(shutdown.clone())).await {
            tracing::error!(%error, "the front ended badly");
        }
        health.drain();
        // Whoever else serves here stops too, also if the front ended by itself.
        shutdown.trigger();
        desks.stop().await;
        for helper in helpers {
            if let Err(error) = helper.await {
                tracing::warn!(%error, "a listener ended badly");
            }
        }
        let lost = leading.is_lost();
        leading.end().await;
        tracing::info!("stopped");
        if lost { Err(StartError::LeaseLost) } else { Ok(()) }
    }
}

/// Who was registered.
type Known = Vec<(ids::Aor, Registration)>;

/// What people want, and who was registered when it was last closed.
async fn kept(store: &Store) -> Result<(Policies, Known), store::Error> {
    Ok((Policies::load(store).await?, store.registrations(clock::wall()).await?))
}

fn no_store(location: &store::Location) -> impl Fn(store::Error) -> StartError + use<> {
    let place = location.to_string();
    move |why| StartError::Store { place: place.clone(), why }
}

/// Where the database of a configuration is, for commands beside the focus.
///
/// # Errors
/// The configuration is no good, or the file of the password cannot be read.
pub fn database_of(path: &Path) -> Result<store::Location, StartError> {
    let config = load(path)?;
    Ok(config.store.location()?)
}

/// Looks after the certificates as long as the server runs.
fn renewing(watch: tls::Watch, config: &Config, shutdown: &Shutdown) -> JoinHandle<()> {
    let every = Duration::from_secs(config.sip.reload_secs);
    tokio::spawn(watch.run(every, shutdown.clone(), |_| {}))
}

fn issuer(config: &Config) -> Result<Issuer, StartError> {
    let (certificate_file, key_file) = (&config.issuer.certificate_file, &config.issuer.key_file);
    let wrong = |path: &Path, why: String| StartError::Issuer { path: path.to_owned(), why };
    let certificate = CertificateDer::from_pem_file(certificate_file)
        .map_err(|why| wrong(certificate_file, why.to_string()))?;
    let key = Secret::read(key_file)?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|why| wrong(key_file, why.to_string()))?;
    let issuer = Issuer::from_der(&certificate, key.secret_pkcs8_der());
    let mut issuer = issuer.map_err(|why| match why {
        BadCredential::WrongKey => {
            wrong(key_file, String::from("not the Ed25519 key of the certificate"))
        }
        why => wrong(certificate_file, format!("not a device authority: {why}")),
    })?;
    for (path, certificate) in identities::external(config)? {
        let kind = "not an authority with an Ed25519 or P-256 key";
        issuer.trust(&certificate).map_err(|why| wrong(path, format!("{kind}: {why}")))?;
    }
    Ok(issuer)
}

fn relays(
    config: &Config,
    identities: &Identities,
    logins: Logins,
) -> Result<(Relays, mpsc::UnboundedReceiver<crate::relays::Heard>), StartError> {
    let control = &config.control;
    let roots = tls::load_roots_for("control.ca_file", &control.ca_file)?;
    let first = config.relays.first().and_then(|relay| relay.control.parse().ok());
    let like = first.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let mut incarnation = [0; 16];
    front::seeded()?.fill_bytes(&mut incarnation);
    Ok(Relays::start(RelayParts {
        focus: control.name.clone(),
        incarnation: hex::encode(incarnation),
        relays: config
            .relays
            .iter()
            .map(|relay| RelayAt {
                name: relay.name.clone(),
                control: relay.control.clone(),
                server_name: relay.server_name.clone(),
            })
            .collect(),
        dialler: quic::dialler_live(&identities.control, roots, like)?,
        limits: control::Limits::default(),
        pauses: PAUSES,
        logins,
    }))
}
