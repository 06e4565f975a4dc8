//! What lies between a socket's octets and MSRP's: one value for each way a peer can be connected. It opens what came
//! in, seals what goes out, and owns no socket and no task. Which requests and frames go through it is for `connection`
//! and `writer`.
mod tls;

use std::io;

use bytes::BytesMut;
use msrp::Frame;
use tokio::net::tcp::OwnedWriteHalf;

pub(crate) use tls::Tls;

/// One connection's way of wrapping MSRP.
#[derive(Debug)]
pub(crate) enum Wire {
    /// TLS, at either end of it.
    Tls(Tls),
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
}

impl Wire {
    /// Whether frames must still wait: the peers are not agreed yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Tls(tls) => tls.is_handshaking(),
        }
    }

    /// Opens `sealed`, as it came from the socket, and adds what was inside to `opened`.
    pub(crate) fn open(
        &mut self,
        sealed: &[u8],
        opened: &mut BytesMut,
    ) -> Result<Incoming, WireError> {
        match self {
            Self::Tls(tls) => Ok(tls.open(sealed, opened)?),
        }
    }

    /// Whether sealed octets wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Tls(tls) => tls.wants_write(),
        }
    }

    /// Seals frames, one behind the other.
    pub(crate) fn seal(&mut self, frames: &[Frame]) {
        match self {
            Self::Tls(tls) => tls.seal(frames),
        }
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn close(&mut self) {
        match self {
            Self::Tls(tls) => tls.close(),
        }
    }

    /// Writes what is sealed, in as few calls as the socket allows. Adds the number of calls to `writes`.
    pub(crate) fn write(&mut self, to: &OwnedWriteHalf, writes: &mut u64) -> io::Result<Written> {
        match self {
            Self::Tls(tls) => tls.write(to, writes),
        }
    }
}
