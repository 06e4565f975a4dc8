//! Puts a relay together, says where it listens, and takes it apart again.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use control::{RelayName, Transport};
use serde::Serialize;
use service::ops::{self, Health};
use service::quic::QuicError;
use service::shutdown::Shutdown;
use service::tls::{Authority, ClientAuth, Live, TlsError, Watch};
use service::{clock, metrics, quic, ready, tls};
use tokio::net::TcpListener;

use crate::accept;
use crate::config::{BadConfig, Config};
use crate::drain::Drain;
use crate::focus::Focus;
use crate::listeners::{self, Listeners};
use crate::metrics::Metrics;
use crate::obey::{self, Carrier, FocusNames};
use crate::plane::{self, Parts, Plane};
use crate::resolve::Resolver;
use crate::shard;
use crate::transit::Transit;
use crate::wire::Ways;

/// Why a relay cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// An identity or root is unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The control listener.
    #[error(transparent)]
    Quic(#[from] QuicError),
    /// A TCP listener.
    #[error("{setting}: cannot listen on {address}: {why}")]
    Bind {
        /// The key of the configuration.
        setting: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        why: std::io::Error,
    },
    /// The system gave no thread or no address.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// Where a relay listens: the line its parent reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// Always `mrfp`.
    pub ready: &'static str,
    /// For participants, MSRP over TLS.
    pub msrp: SocketAddr,
    /// MSRP over WebSocket, if it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket: Option<SocketAddr>,
    /// For participants, MSRP without TLS; where it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<SocketAddr>,
    /// For the focus, QUIC.
    pub control: SocketAddr,
    /// For operators, HTTP.
    pub ops: SocketAddr,
}

/// A relay that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    identities: Watch,
    config: Config,
    plane: Arc<Plane>,
    registry: metrics::Metrics,
    listeners: Listeners,
    control: quinn::Endpoint,
    focus_names: FocusNames,
    ops: TcpListener,
    ready: Ready,
}

/// Runs a relay until `shutdown` and the drain that follows; prints one line when it is ready.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    let server = Server::bind(config).await?;
    // A parent that has closed our stdout does not want to know.
    drop(ready::announce(server.ready()));
    server.serve(shutdown).await
}

/// What the files hold that a configuration names.
pub(crate) struct Files {
    identity: Arc<Live>,
    peers: Option<Authority>,
    own: Arc<Live>,
    roots: Arc<rustls::RootCertStore>,
}

impl Files {
    /// Loads them; they must be good.
    pub(crate) fn load(config: &Config) -> Result<Self, TlsError> {
        let (msrp, control) = (&config.msrp, &config.control);
        let authority = |file: &std::path::Path| {
            let setting = "msrp.peer_ca_file";
            Authority::new(tls::load_roots_for(setting, file)?).map_err(|why| why.of(setting))
        };
        Ok(Self {
            identity: Live::load_for(MSRP, &msrp.certificate_file, &msrp.key_file)?,
            peers: msrp.peer_ca_file.as_deref().map(authority).transpose()?,
            own: Live::load_for("control", &control.certificate_file, &control.key_file)?,
            roots: tls::load_roots_for("control.ca_file", &control.ca_file)?,
        })
    }
}

impl Server {
    /// Checks the configuration and opens the listeners.
    pub async fn bind(config: Config) -> Result<Self, RunError> {
        config.check()?;
        let focus_names = FocusNames::parse(&config.control.focus_names)?;
        let listeners = Listeners::bind(&config.msrp).await?;
        let ops = listeners::bind("ops.listen", config.ops.listen).await?;
        let Files { identity, peers, own, roots } = Files::load(&config)?;
        let control = quic::listen_live(config.control.listen, &own, roots);
        let control = control.map_err(|why| match why {
            QuicError::Bind { address, why } => {
                RunError::Bind { setting: "control.listen", address, why }
            }
            why => RunError::Quic(why),
        })?;
        let ready = Ready {
            ready: "mrfp",
            msrp: listeners.address(Transport::Tls).unwrap_or(config.msrp.listen),
            websocket: listeners.address(Transport::WebSocket),
            protected: listeners.address(Transport::Tcp),
            control: control.local_addr()?,
            ops: ops.local_addr()?,
        };
        let authorities = listeners.authorities(&config.msrp);
        let registry = metrics::Metrics::new();
        let name = RelayName {
            name: config.name.clone(),
            incarnation: String::new(),
            msrp: authorities.of(Transport::Tls).unwrap_or_default().to_owned(),
            fingerprint: identity.identity().fingerprint().to_string(),
        };
        let rng = &mut plane::random();
        let transit = Transit::new(&config.relay, &name.msrp, clock::now(), rng);
        let plane = Plane::new(Parts {
            limits: config.limits,
            shards: config.shard_count(),
            authorities,
            ways: Ways::new(
                tls::live_server_config(&identity, ClientAuth::Any, &[])?,
                tls::live_server_config(&identity, ClientAuth::None, &[b"http/1.1"])?,
                config.msrp.websocket_origins.as_slice().into(),
            ),
            identity: Arc::clone(&identity),
            peers,
            resolver: Resolver::new(config.msrp.nameserver)?,
            focus: Arc::new(Focus::new(
                name,
                config.limits.notices_waiting_max,
                &mut plane::random(),
            )),
            metrics: Arc::new(Metrics::new(&registry)),
            transit,
        });
        let identities = Watch::new(vec![(MSRP, identity), ("control", own)], &registry);
        Ok(Self {
            identities,
            config,
            plane: Arc::new(plane),
            registry,
            listeners,
            control,
            focus_names,
            ops,
            ready,
        })
    }

    /// Where it listens.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Serves until `shutdown`, an order or `GET /drain`, and drains.
    pub async fn serve(self, shutdown: Shutdown) -> Result<(), RunError> {
        let Self { config, plane, registry, listeners, control, focus_names, ops, .. } = self;
        let every = Duration::from_secs(config.msrp.reload_secs);
        let (health, accepting, stop) = (Health::new(), Shutdown::new(), Shutdown::new());
        let shards: Vec<_> = (0..plane.doors.count())
            .map(|index| shard::spawn(index, Arc::clone(&plane), stop.clone()))
            .collect::<Result<_, _>>()?;
        let drain = Drain::new(health.clone(), config.drain);
        let carrier = Carrier::new(Arc::clone(&plane), drain.clone());
        let control = (control, focus_names);
        let obeying = tokio::spawn(obey::obey(control, Arc::clone(&plane), carrier, stop.clone()));
        let accept = |listener| {
            tokio::spawn(accept::accept(listener, Arc::clone(&plane), accepting.clone()))
        };
        let accepts: Vec<_> = listeners.into_sockets().into_iter().map(accept).collect();
        let renamed = Arc::clone(&plane);
        let changed = move |listener| {
            if listener == MSRP {
                renamed.focus.rename(renamed.identity.identity().fingerprint().to_string());
            }
        };
        let renewing = tokio::spawn(self.identities.run(every, stop.clone(), changed));
        let operating = tokio::spawn(ops::serve(ops, registry, health.clone(), stop.clone()));
        health.ready();
        tracing::info!(relay = config.name, shards = shards.len(), "serving");

        drain.carry_out(&plane, &accepting, &shutdown).await;
        plane.end();

        stop.trigger();
        for task in accepts.into_iter().chain([obeying, operating, renewing]) {
            drop(tokio::time::timeout(LAST_WORDS, task).await);
        }
        let joined =
            tokio::task::spawn_blocking(move || shards.into_iter().all(|s| s.join().is_ok()));
        if !matches!(joined.await, Ok(true)) {
            tracing::error!("a shard panicked");
        }
        Ok(())
    }
}

/// The listeners for participants, among those with an identity.
const MSRP: &str = "msrp";

/// How long the parts have to end once nothing is left to do.
const LAST_WORDS: Duration = Duration::from_secs(3);
