//! How a participant's connection comes about, and who must be at its far end. What the focus learns from SDP and
//! policy; resolving hosts and hashing certificates is the relay's.
use std::fmt;

use crate::bad::BadFrame;
use crate::proto;

/// How a seat is reached. The default is what most are: over TLS, by a participant that connects.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// What its path says, and what its connection must be.
    pub transport: Transport,
    /// `a=fingerprint` of the participant's SDP, as `SHA-256 AB:CD:…` (RFC 8122, 5): the certificate of its connection
    /// must be one of these. Empty: no certificate is asked for.
    pub fingerprints: Vec<String>,
    /// The relay connects (`setup:passive` of the participant). None: the participant does.
    pub dial: Option<Dial>,
}

/// The relay is the active side of a seat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dial {
    /// `host:port` to connect to in place of the first URI of the participant's path (RFC 6714, CEMA).
    pub to: Option<String>,
}

/// What carries MSRP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `msrps://…;tcp`.
    #[default]
    Tls,
    /// `msrps://…;ws`: WebSocket over TLS (RFC 7977).
    WebSocket,
    /// `msrp://…;tcp`: no protection of its own; only where the network has one.
    Tcp,
}

impl Reach {
    /// Over TLS, by a participant that connects and shows no certificate.
    pub const fn new() -> Self {
        Self { transport: Transport::Tls, fingerprints: Vec::new(), dial: None }
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, fingerprints, dial } = self;
        write!(f, "{transport:?}, {} fingerprints, {dial:?}", fingerprints.len())
    }
}

/// The fields of a seat that say how it is reached.
pub(crate) struct Fields {
    pub(crate) transport: i32,
    pub(crate) fingerprints: Vec<String>,
    pub(crate) connect: bool,
    pub(crate) connect_to: String,
}

impl From<Reach> for Fields {
    fn from(reach: Reach) -> Self {
        let transport = match reach.transport {
            Transport::Tls => proto::Transport::Tls,
            Transport::WebSocket => proto::Transport::WebSocket,
            Transport::Tcp => proto::Transport::Tcp,
        };
        Self {
            transport: transport.into(),
            fingerprints: reach.fingerprints,
            connect: reach.dial.is_some(),
            connect_to: reach.dial.and_then(|dial| dial.to).unwrap_or_default(),
        }
    }
}

impl TryFrom<Fields> for Reach {
    type Error = BadFrame;

    fn try_from(fields: Fields) -> Result<Self, BadFrame> {
        let transport = match proto::Transport::try_from(fields.transport) {
            Ok(proto::Transport::Tls) => Transport::Tls,
            Ok(proto::Transport::WebSocket) => Transport::WebSocket,
            Ok(proto::Transport::Tcp) => Transport::Tcp,
            Err(error) => return Err(BadFrame::field("seat.transport", error)),
        };
        let to = Some(fields.connect_to).filter(|to| !to.is_empty());
        if to.is_some() && !fields.connect {
            return Err(BadFrame::field("seat.connect_to", "the relay is not to connect"));
        }
        let dial = fields.connect.then_some(Dial { to });
        Ok(Self { transport, fingerprints: fields.fingerprints, dial })
    }
}
