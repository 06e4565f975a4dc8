//! The control connection between MRFC and MRFP: QUIC with mutual TLS, one bidirectional stream of bytes.
//!
//! It moves bytes and nothing else: frames are `control::Codec`'s, whose output goes into [`Pipe::send`] and whose
//! input comes from [`Pipe::recv`]. Both ways are bounded; a slow reader slows the writer at the far end.
//!
//! A stream exists for the accepting side only when something was sent on it, so the side that speaks first
//! opens it. The MRFC dials and the MRFP greets: the MRFC calls [`accept`], the MRFP calls [`open`].
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, IdleTimeout, TransportConfig, VarInt};
use rustls::RootCertStore;
use tokio::sync::mpsc;

use crate::tls::{
    ClientAuth, Identity, Live, TlsError, Trust, client_config, live_client_config,
    live_server_config, server_config,
};

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"conclave-control/1";

/// A peer that says nothing for this long is gone.
const IDLE: Duration = Duration::from_secs(10);

/// Two may be lost before the peer counts as gone.
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// Not acknowledged bytes in one direction; a frame may be longer, it then takes several round trips.
const WINDOW_OCTETS: u32 = 4 * 1024 * 1024;

/// Pieces between the stream and the user of a [`Pipe`], each way.
const PIECES_MAX: usize = 64;

const PIECE_OCTETS_MAX: usize = 64 * 1024;

/// Why there is no control connection.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// Identity or roots are unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// QUIC needs a cipher suite that TLS was not given.
    #[error("QUIC: {0}")]
    Suite(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The socket could not be bound.
    #[error("cannot listen on {address}: {why}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        why: std::io::Error,
    },
    /// The address or name to dial makes no sense.
    #[error("cannot dial: {0}")]
    Dial(#[from] quinn::ConnectError),
    /// The handshake failed, or the peer went away.
    #[error("control connection: {0}")]
    Connection(#[from] quinn::ConnectionError),
}

/// Listens for the MRFC. Only clients with a certificate under `roots` get through the handshake.
pub fn listen(
    address: SocketAddr,
    identity: &Identity,
    roots: Arc<RootCertStore>,
) -> Result<Endpoint, QuicError> {
    listen_with(address, server_config(identity, ClientAuth::Required(roots), &[ALPN])?)
}

/// The same with an identity that may change.
pub fn listen_live(
    address: SocketAddr,
    identity: &Arc<Live>,
    roots: Arc<RootCertStore>,
) -> Result<Endpoint, QuicError> {
    listen_with(address, live_server_config(identity, ClientAuth::Required(roots), &[ALPN])?)
}

fn listen_with(address: SocketAddr, tls: Arc<rustls::ServerConfig>) -> Result<Endpoint, QuicError> {
    let crypto = QuicServerConfig::try_from(tls)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport()));
    config.migration(false);
    Endpoint::server(config, address).map_err(|why| QuicError::Bind { address, why })
}

/// An endpoint that dials relays, over IPv4 or IPv6 as `like` says.
pub fn dialler(
    identity: &Identity,
    roots: Arc<RootCertStore>,
    like: SocketAddr,
) -> Result<Endpoint, QuicError> {
    dial_with(client_config(Trust::Roots(roots), Some(identity), &[ALPN])?, like)
}

/// The same with an identity that may change.
pub fn dialler_live(
    identity: &Arc<Live>,
    roots: Arc<RootCertStore>,
    like: SocketAddr,
) -> Result<Endpoint, QuicError> {
    dial_with(live_client_config(Trust::Roots(roots), identity, &[ALPN])?, like)
}

fn dial_with(tls: Arc<rustls::ClientConfig>, like: SocketAddr) -> Result<Endpoint, QuicError> {
    let crypto = QuicClientConfig::try_from(tls)?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport()));
    let address: SocketAddr = match like {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut endpoint = Endpoint::client(address).map_err(|why| QuicError::Bind { address, why })?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE).expect("ten seconds fit into a QUIC integer");
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW_OCTETS))
        .receive_window(VarInt::from_u32(WINDOW_OCTETS))
        .send_window(u64::from(WINDOW_OCTETS))
        .datagram_receive_buffer_size(None);
    config
}

/// Dials a relay. `server_name` must be in its certificate.
pub async fn connect(
    endpoint: &Endpoint,
    address: SocketAddr,
    server_name: &str,
) -> Result<Connection, QuicError> {
    Ok(endpoint.connect(address, server_name)?.await?)
}

/// Opens the stream; for the side that speaks first.
pub async fn open(connection: Connection) -> Result<Pipe, QuicError> {
    let (send, recv) = connection.open_bi().await?;
    Ok(Pipe::over(connection, send, recv))
}

/// Takes the stream that the other side opened, once it has spoken.
pub async fn accept(connection: Connection) -> Result<Pipe, QuicError> {
    let (send, recv) = connection.accept_bi().await?;
    Ok(Pipe::over(connection, send, recv))
}

/// The stream of a control connection. Dropping it ends the connection after what was sent has left.
#[derive(Debug)]
pub struct Pipe {
    outgoing: mpsc::Sender<Bytes>,
    incoming: mpsc::Receiver<Bytes>,
    connection: Connection,
}

/// The connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control connection is gone")]
pub struct Gone;

impl Pipe {
    fn over(connection: Connection, send: quinn::SendStream, recv: quinn::RecvStream) -> Self {
        let (outgoing, to_write) = mpsc::channel(PIECES_MAX);
        let (read, incoming) = mpsc::channel(PIECES_MAX);
        tokio::spawn(write_loop(connection.clone(), send, to_write));
        tokio::spawn(read_loop(recv, read));
        Self { outgoing, incoming, connection }
    }

    /// The next bytes, cut anywhere; `None` when the connection is gone. May be dropped and called again.
    pub async fn recv(&mut self) -> Option<Bytes> {
        self.incoming.recv().await
    }

    /// Sends bytes; waits while the far end is slow. May be dropped and called again: then nothing was sent.
    pub async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.outgoing.send(bytes).await.map_err(|_| Gone)
    }

    /// A sender of its own, for a task that only sends.
    #[must_use]
    pub fn sender(&self) -> mpsc::Sender<Bytes> {
        self.outgoing.clone()
    }

    /// Ends the connection now, with a reason for the peer's log.
    pub fn close(&self, reason: &str) {
        self.connection.close(VarInt::from_u32(0), reason.as_bytes());
    }

    /// Who is at the far end.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// Why the connection ended, if it did.
    #[must_use]
    pub fn why_gone(&self) -> Option<String> {
        self.connection.close_reason().map(|reason| reason.to_string())
    }
}

async fn write_loop(
    connection: Connection,
    mut stream: quinn::SendStream,
    mut pieces: mpsc::Receiver<Bytes>,
) {
    let mut batch = Vec::with_capacity(PIECES_MAX);
    while pieces.recv_many(&mut batch, PIECES_MAX).await > 0 {
        if let Err(error) = stream.write_all_chunks(&mut batch).await {
            tracing::debug!(%error, "control stream");
            return;
        }
        batch.clear();
    }
    // Every sender is gone. The peer has it all when it says so, or has gone itself.
    if stream.finish().is_ok() {
        let stopped = stream.stopped().await;
        tracing::debug!(?stopped, "control stream ended");
    }
    connection.close(VarInt::from_u32(0), b"done");
}

async fn read_loop(mut stream: quinn::RecvStream, pieces: mpsc::Sender<Bytes>) {
    loop {
        let piece = match stream.read_chunk(PIECE_OCTETS_MAX, true).await {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "control stream");
                return;
            }
        };
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}
