//! What an [`Edge`](crate::Edge) tells its owner.
use std::net::SocketAddr;

use bytes::Bytes;
use sip::endpoint::FlowId;
use sip::{Message, Status};

/// What happened on the sockets.
#[derive(Clone, Debug)]
pub enum EdgeEvent {
    /// A flow is open: accepted, or dialled by [`Edge::connect`](crate::Edge::connect).
    Opened {
        /// Which.
        flow: FlowId,
        /// With whom.
        peer: Peer,
    },
    /// A whole message came.
    Message {
        /// On this flow.
        flow: FlowId,
        /// The message.
        message: Message,
    },
    /// Something came that is no message. It has been answered if it could be, and the flow is closed if nothing behind
    /// it can be trusted.
    Malformed {
        /// On this flow.
        flow: FlowId,
        /// The status it deserved.
        status: Status,
        /// What is wrong with it; nothing the peer wrote.
        why: &'static str,
    },
    /// A flow is gone, or could not be dialled. Nothing more comes from it.
    Closed {
        /// Which.
        flow: FlowId,
        /// Why.
        why: Closed,
    },
    /// Somebody came and got no flow.
    Refused {
        /// Who.
        from: SocketAddr,
        /// Why.
        why: Refused,
    },
}

/// The other end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
    /// How the flow is protected.
    pub security: Security,
    /// Who opened the flow.
    pub opened_by: OpenedBy,
}

/// How a flow is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS. The certificate (DER) is that of the peer, checked by the TLS configuration, if it showed one.
    Tls {
        /// The peer's own certificate.
        certificate: Option<Bytes>,
    },
    /// WebSocket over TLS (RFC 7118). Nobody asks a browser for a certificate.
    WebSocket,
    /// Plain TCP inside a network that somebody else protects.
    Protected,
}

impl Security {
    /// What Via calls it (RFC 3261, 20.42; RFC 7118, 5.2.1).
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Tls { .. } => "TLS",
            Self::WebSocket => "WSS",
            Self::Protected => "TCP",
        }
    }
}

/// Who opened a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenedBy {
    /// The peer.
    Them,
    /// We did.
    Us,
}

/// Why a flow is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The peer closed it, or the network did.
    #[error("closed by the peer")]
    ByPeer,
    /// [`Edge::close`](crate::Edge::close), or the edge stopped.
    #[error("closed by us")]
    ByUs,
    /// Nothing was heard for too long.
    #[error("idle for too long")]
    Idle,
    /// A message was begun and not finished in time.
    #[error("a message took too long")]
    MessageTimeout,
    /// The peer did not read what was written in time.
    #[error("a write took too long")]
    WriteTimeout,
    /// The peer reads so slowly that its queue is full.
    #[error("too much is queued")]
    QueueFull,
    /// What came cannot be SIP.
    #[error("not SIP")]
    Malformed,
    /// It could not be dialled.
    #[error("could not connect")]
    NotConnected,
    /// The TLS handshake failed: in particular, the peer is not who it should be.
    #[error("the TLS handshake failed")]
    Handshake,
    /// There are too many connections.
    #[error("too many connections")]
    Full,
}

/// Why somebody who came got no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are too many connections.
    #[error("too many connections")]
    Full,
    /// Its handshake, TLS and WebSocket, took too long, or was the oldest of too many.
    #[error("the handshake took too long")]
    Slow,
    /// Its TLS handshake failed, or what it asked for behind that was no WebSocket for SIP.
    #[error("the handshake failed")]
    Handshake,
}
