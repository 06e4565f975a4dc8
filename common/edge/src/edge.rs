//! The [`Edge`]: listeners, dialled connections and the table of open flows. It knows no SIP beyond where a message ends.
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use sip::endpoint::FlowId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};

use crate::event::{Closed, EdgeEvent, OpenedBy, Peer, Security};
use crate::flow::{Flow, linger};
use crate::limits::EdgeLimits;
use crate::outbox::Outbox;
use crate::{accept, dial};

/// How a listener protects what it accepts.
#[derive(Clone, Debug)]
pub enum Listen {
    /// TLS. Whether clients need a certificate is said by the configuration.
    Tls(Arc<ServerConfig>),
    /// WebSocket over TLS (RFC 7118), for browsers.
    WebSocket {
        /// TLS without certificates of clients: a browser would ask a person for one.
        tls: Arc<ServerConfig>,
        /// The origins whose pages may connect; none: all.
        origins: Arc<[String]>,
    },
    /// Plain TCP, for a network that somebody else protects.
    Protected,
}

/// Whom to dial.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// How.
    pub security: Dial,
}

/// How a dialled connection is protected.
#[derive(Clone, Debug)]
pub enum Dial {
    /// TLS, with a peer whose certificate has this name (RFC 5922).
    Tls {
        /// Whom to trust, and our own identity if we show one.
        config: Arc<ClientConfig>,
        /// The name.
        server_name: ServerName<'static>,
    },
    /// Plain TCP, in a network that somebody else protects.
    Protected,
}

/// SIP on sockets. A cheap handle; when [`Edge::shutdown`] was called, or the events are dropped, everything closes.
#[derive(Clone, Debug)]
pub struct Edge {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: EdgeLimits,
    pub(crate) events: mpsc::Sender<EdgeEvent>,
    pub(crate) stopping: watch::Sender<bool>,
    flows: Mutex<HashMap<FlowId, Arc<Outbox>>>,
    half_open: Mutex<BTreeMap<u64, Arc<Notify>>>,
    connections: AtomicUsize,
    last_id: AtomicU64,
}

impl Edge {
    /// An edge without listeners and flows, and what it will tell. Whoever holds the receiver must keep taking from it.
    pub fn new(limits: EdgeLimits) -> (Self, mpsc::Receiver<EdgeEvent>) {
        let (events, receiver) = mpsc::channel(limits.events_max);
        let shared = Shared {
            limits,
            events,
            stopping: watch::Sender::new(false),
            flows: Mutex::default(),
            half_open: Mutex::default(),
            connections: AtomicUsize::new(0),
            last_id: AtomicU64::new(0),
        };
        (Self { shared: Arc::new(shared) }, receiver)
    }

    /// Accepts connections on `address` from now on; says where exactly, if the port was 0.
    pub async fn listen(&self, address: SocketAddr, listen: Listen) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        drop(tokio::spawn(accept::run(self.shared.clone(), listener, listen)));
        Ok(local)
    }

    /// Dials. The flow's first event is [`EdgeEvent::Opened`], or [`EdgeEvent::Closed`] if it could not be dialled.
    pub fn connect(&self, target: Target) -> FlowId {
        let flow = self.shared.next_id();
        drop(tokio::spawn(dial::run(self.shared.clone(), flow, target)));
        flow
    }

    /// Queues `bytes` for a flow, without waiting. If the flow's queue is full, it is closed; if there is no such flow,
    /// nothing happens.
    pub fn send(&self, flow: FlowId, bytes: Bytes) {
        if let Some(outbox) = self.shared.outbox(flow) {
            outbox.push(bytes);
        }
    }

    /// Closes a flow when what is queued for it is written.
    pub fn close(&self, flow: FlowId) {
        if let Some(outbox) = self.shared.outbox(flow) {
            outbox.close();
        }
    }

    /// How many flows are open.
    pub fn flows(&self) -> usize {
        self.shared.flows().len()
    }

    /// Stops accepting and closes every flow when what is queued for it is written.
    pub fn shutdown(&self) {
        self.shared.stopping.send_replace(true);
        self.shared.flows().values().for_each(|outbox| outbox.close());
    }
}

impl Shared {
    pub(crate) fn next_id(&self) -> FlowId {
        FlowId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn flows(&self) -> MutexGuard<'_, HashMap<FlowId, Arc<Outbox>>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn half_open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
        self.half_open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self, flow: FlowId) -> Option<Arc<Outbox>> {
        self.flows().get(&flow).cloned()
    }

    /// A place for one more connection, if there is one.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Place> {
        let add_one = |count| (count < self.limits.connections_max).then_some(count + 1);
        let added = self.connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, add_one);
        added.is_ok().then(|| Place { shared: self.clone() })
    }

    /// A place for one more handshake. If too many are under way, the oldest has to go.
    pub(crate) fn handshake(self: &Arc<Self>) -> Handshake {
        let (id, evicted) = (self.next_id().0, Arc::new(Notify::new()));
        let mut half_open = self.half_open();
        if half_open.len() >= self.limits.half_open_max
            && let Some((_, oldest)) = half_open.pop_first()
        {
            oldest.notify_one();
        }
        half_open.insert(id, evicted.clone());
        drop(half_open);
        Handshake { shared: self.clone(), id, evicted }
    }

    /// Tells that a flow is open, runs it, and tells that it is closed.
    pub(crate) async fn run<S: AsyncRead + AsyncWrite>(
        &self,
        id: FlowId,
        peer: Peer,
        place: Place,
        stream: S,
    ) {
        let outbox = Arc::new(match peer.security {
            Security::WebSocket => Outbox::of_single_messages(self.limits.queue_bytes_max),
            Security::Tls { .. } | Security::Protected => Outbox::new(self.limits.queue_bytes_max),
        });
        self.flows().insert(id, outbox.clone());
        if *self.stopping.borrow() {
            outbox.close();
        }
        let opened_by = peer.opened_by;
        tracing::debug!(flow = id.0, peer = %peer.address, "flow open");
        let events = self.events.clone();
        let (limits, opened) = (self.limits, EdgeEvent::Opened { flow: id, peer });
        let (why, rest) = match events.send(opened).await {
            Ok(()) => Flow { id, opened_by, limits, outbox, events }.run(stream).await,
            Err(_) => (Closed::ByUs, None),
        };
        self.flows().remove(&id);
        tracing::debug!(flow = id.0, %why, "flow closed");
        // A socket that lingers keeps its place.
        let place = rest.is_some().then_some(place);
        self.tell(EdgeEvent::Closed { flow: id, why }).await;
        if let Some(rest) = rest {
            linger(rest).await;
        }
        drop(place);
    }

    /// Tells the owner, if it still listens.
    pub(crate) async fn tell(&self, event: EdgeEvent) {
        drop(self.events.send(event).await);
    }

    /// Waits until everything must end.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.events.closed() => {}
        }
    }
}

/// One of the connections there may be; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One of the handshakes there may be; given back when dropped.
#[derive(Debug)]
pub(crate) struct Handshake {
    shared: Arc<Shared>,
    id: u64,
    evicted: Arc<Notify>,
}

impl Handshake {
    /// Waits until this handshake has to make room for another.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.shared.half_open().remove(&self.id);
    }
}

impl Peer {
    pub(crate) fn of(stream: &tokio::net::TcpStream, opened_by: OpenedBy) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (address, local) = (stream.peer_addr()?, stream.local_addr()?);
        Ok(Self { address, local, security: Security::Protected, opened_by })
    }
}
