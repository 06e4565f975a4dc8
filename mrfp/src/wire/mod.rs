//! What lies between a socket's octets and MSRP's: one value for each way a peer can be connected. It opens what came
//! in, seals what goes out, and owns no socket and no task. Which requests and frames go through it is for `connection`
//! and `writer`.
#[cfg(test)]
mod counts;
mod plain;
mod tls;
mod websocket;

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use control::Transport;
use msrp::Frame;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::net::tcp::OwnedWriteHalf;

use plain::Plain;
use tls::Tls;
use websocket::{BadWebSocket, WebSocket};

/// One connection's way of wrapping MSRP.
#[derive(Debug)]
pub(crate) enum Wire {
    /// TLS, at either end of it.
    Tls(Tls),
    /// WebSocket over TLS.
    WebSocket(Box<WebSocket>),
    /// Nothing, on a network that is protected.
    Plain(Plain),
}

/// How peers that connect to us are served.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    /// TLS; a client may show a certificate.
    pub(crate) tls: Arc<ServerConfig>,
    /// TLS for browsers, which would ask a person for a certificate if we asked them.
    pub(crate) browsers: Arc<ServerConfig>,
    /// The origins whose pages may connect; none: all.
    pub(crate) origins: Arc<[String]>,
}

/// What a transport is called in figures and logs.
pub(crate) const fn label(transport: Transport) -> &'static str {
    match transport {
        Transport::Tls => "tls",
        Transport::WebSocket => "ws",
        Transport::Tcp => "tcp",
    }
}

/// Whether the peer will send more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Open,
    /// It said that nothing follows.
    Closed,
}

/// How far a write got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Everything sealed has left.
    All,
    /// The socket takes no more now.
    Blocked,
}

/// What came in cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// Not TLS, or not from this peer.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The same, behind the handshake.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// Not WebSocket as MSRP has it.
    #[error(transparent)]
    WebSocket(#[from] BadWebSocket),
}

impl Ways {
    /// With the keys of a connection given to `record` behind its handshake.
    pub(crate) fn new(
        tls: Arc<ServerConfig>,
        browsers: Arc<ServerConfig>,
        origins: Arc<[String]>,
    ) -> Self {
        let giving = |config: Arc<ServerConfig>| {
            let mut config = Arc::unwrap_or_clone(config);
            config.enable_secret_extraction = true;
            Arc::new(config)
        };
        Self { tls: giving(tls), browsers: giving(browsers), origins }
    }
}

impl Wire {
    /// Our end of a connection that came in by a listener.
    pub(crate) fn accepted(transport: Transport, ways: &Ways) -> Result<Self, WireError> {
        match transport {
            Transport::Tls => Ok(Self::Tls(Tls::server(Arc::clone(&ways.tls))?)),
            Transport::WebSocket => {
                let (tls, origins) = (Arc::clone(&ways.browsers), Arc::clone(&ways.origins));
                Ok(Self::WebSocket(Box::new(WebSocket::server(tls, origins)?)))
            }
            Transport::Tcp => Ok(Self::plain()),
        }
    }

    /// Our end of a TLS connection that we open, to a peer of this name.
    pub(crate) fn dialled(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, WireError> {
        let mut config = Arc::unwrap_or_clone(config);
        config.enable_secret_extraction = true;
        Ok(Self::Tls(Tls::client(Arc::new(config), name)?))
    }

    /// Without TLS, either way.
    pub(crate) fn plain() -> Self {
        Self::Plain(Plain::default())
    }

    /// What the peer has shown and holds the key of, leaf first.
    pub(crate) fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Tls(tls) => tls.certificates(),
            Self::WebSocket(socket) => socket.tls().certificates(),
            Self::Plain(_) => None,
        }
    }

    /// Whether frames must still wait: the peers are not agreed yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Tls(tls) => tls.is_handshaking(),
            Self::WebSocket(socket) => socket.is_handshaking(),
            Self::Plain(_) => false,
        }
    }

    /// Opens `sealed`, as it came from the socket, and adds what was inside to `opened`.
    pub(crate) fn open(
        &mut self,
        sealed: &[u8],
        opened: &mut BytesMut,
    ) -> Result<Incoming, WireError> {
        match self {
            Self::Tls(tls) => tls.open(sealed, opened),
            Self::WebSocket(socket) => socket.open(sealed, opened),
            Self::Plain(_) => {
                Plain::open(sealed, opened);
                Ok(Incoming::Open)
            }
        }
    }

    /// Whether sealed octets wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Tls(tls) => tls.wants_write(),
            Self::WebSocket(socket) => socket.wants_write(),
            Self::Plain(plain) => plain.wants_write(),
        }
    }

    /// Takes frames, and seals them one behind the other.
    pub(crate) fn seal(&mut self, frames: &mut Vec<Frame>) {
        match self {
            Self::Tls(tls) => {
                tls.seal(frames);
                frames.clear();
            }
            Self::WebSocket(socket) => {
                socket.seal(frames);
                frames.clear();
            }
            Self::Plain(plain) => plain.seal(frames),
        }
    }

    /// Lends room for what is sealed. It is asked back when that has been written.
    pub(crate) fn lend(&mut self, room: &mut Vec<u8>) {
        match self {
            Self::Tls(tls) => tls.lend(room),
            Self::WebSocket(socket) => socket.tls_mut().lend(room),
            Self::Plain(_) => {}
        }
    }

    /// Gives back the room, unless something waits in it.
    pub(crate) fn give_back(&mut self, room: &mut Vec<u8>) {
        match self {
            Self::Tls(tls) => tls.give_back(room),
            Self::WebSocket(socket) => socket.tls_mut().give_back(room),
            Self::Plain(_) => {}
        }
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn close(&mut self) {
        match self {
            Self::Tls(tls) => tls.close(),
            Self::WebSocket(socket) => socket.close(),
            // The end of the stream says it.
            Self::Plain(_) => {}
        }
    }

    /// Writes what is sealed, in as few calls as the socket allows. Adds the number of calls to `writes`.
    pub(crate) fn write(&mut self, to: &OwnedWriteHalf, writes: &mut u64) -> io::Result<Written> {
        match self {
            Self::Tls(tls) => tls.write(to, writes),
            Self::WebSocket(socket) => socket.write(to, writes),
            Self::Plain(plain) => plain.write(to, writes),
        }
    }
}
