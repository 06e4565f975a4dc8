//! Who a device is and where its server is. Plain values; nothing here connects.
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ids::{Aor, DeviceId};
use zeroize::Zeroizing;

use crate::session::Pins;

/// Where a system is and whom to trust there.
#[derive(Clone)]
pub struct System {
    /// The SIP domain: conferences are `sip:ID@domain`.
    pub domain: String,
    /// The MRFC's SIP listener (TLS).
    pub sip: SocketAddr,
    /// The MRFC's HTTPS listener.
    pub https: SocketAddr,
    /// The name that the MRFC's certificates must prove.
    pub server_name: String,
    /// The certificate authorities of the servers' TLS certificates.
    pub roots: Arc<rustls::RootCertStore>,
    /// The certificate (DER) of the authority that issues device credentials, known out of band.
    pub issuer: Vec<u8>,
    /// The certificates (DER) of other authorities whose devices are believed, as the operator of the system says.
    pub authorities: Vec<Vec<u8>>,
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "System({} at {})", self.domain, self.sip)
    }
}

/// One device of one user.
#[derive(Clone)]
pub struct Profile {
    /// The user's address of record.
    pub aor: Aor,
    /// The user's password for digest authentication. Never shown.
    pub password: Zeroizing<String>,
    /// This device.
    pub device: DeviceId,
    /// The system it belongs to.
    pub system: System,
    /// How its seats in conferences reach their relay.
    pub transport: Transport,
    /// Bounds of what the device holds and waits for.
    pub limits: Limits,
    /// Whose keys this device has seen: its own, in memory, unless it is given some.
    pub pins: Pins,
    /// What is to happen when this device, a new one, waits to be confirmed by another one of its user.
    pub waits: Waits,
}

/// What MSRP to a conference's relay runs over. One-to-one sessions are always over TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// TLS (RFC 4975, 14.1).
    #[default]
    Tls,
    /// WebSocket over TLS (RFC 7977), through whatever lets only the web pass.
    WebSocket,
}

impl Transport {
    /// As the URI of an end names it.
    pub(crate) const fn of_uri(self) -> &'static str {
        match self {
            Self::Tls => "tcp",
            Self::WebSocket => "ws",
        }
    }
}

/// Whom a new device tells the code that its user types on another device ([`crate::Device::confirm`]).
#[derive(Clone, Default)]
pub struct Waits(Option<Arc<Tell>>);

type Tell = dyn Fn(&str) + Send + Sync;

impl Waits {
    /// Tells it so: it should be shown to the user at once.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(crate) fn tell(&self, code: &str) {
        if let Some(tell) = &self.0 {
            tell(code);
        }
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waits(..)")
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile({}, {}, {:?})", self.aor, self.device, self.system)
    }
}

/// Bounds of what a device holds and waits for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of content in one chunk that we send. 2048 is the least a peer must take whole (RFC 4975, 7.1.1).
    pub chunk_octets: usize,
    /// Messages that wait for their 200 or for the next epoch; sending more waits.
    pub unanswered_max: usize,
    /// Octets of one incoming message that are put together in memory.
    pub message_octets_max: usize,
    /// Octets of a file that comes in a session of its own; it lies on a disk.
    pub file_octets_max: u64,
    /// Incoming messages put together at the same time.
    pub incoming_max: usize,
    /// How long a transaction may stay unanswered (RFC 4975, 7.1.1: 30 s).
    pub transaction: Duration,
    /// How long a message may wait to be sealed and accepted: for the group key, for a removal to be committed. It is
    /// longer while its chunks are answered.
    pub message: Duration,
    /// How long the session may be silent before the relay is asked whether it is there.
    pub keep_alive: Duration,
    /// How long connecting, registering or joining may take.
    pub request: Duration,
    /// How long a person whom we call may take to answer. Longer than the focus lets them ring.
    pub ring: Duration,
    /// How many KeyPackages the directory should hold for this device.
    pub key_packages: usize,
    /// How long a message that begins a circle may be on its way at least: so long a KeyPackage that was replaced still opens
    /// one; longer if the server says that it keeps what waits for longer (`mailbox.keep_secs`).
    pub welcome: Duration,
    /// How long the leaf of this device in a group may stay as it is. It is replaced somewhere in the last quarter of
    /// this, so that the members of a group do not all do it at once.
    pub leaf_life: Duration,
    /// How many messages a leaf may seal before it is replaced, in the same way.
    pub leaf_messages_max: u64,
    /// How long a new device waits to be confirmed by another one of its user.
    pub confirm: Duration,
}

impl Limits {
    /// Those of one end of a session.
    pub(crate) const fn of_an_end(&self) -> endpoint::Limits {
        endpoint::Limits {
            chunk_octets: self.chunk_octets,
            transaction: self.transaction,
            message: self.message,
            keep_alive: self.keep_alive,
        }
    }
}

impl Limits {
    /// Octets of a file that comes to everybody in a conference by itself, as a message of that many and what is around it.
    pub const fn shared_octets_max(&self) -> usize {
        self.message_octets_max - self.message_octets_max / 16
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk_octets: 16 * 1024,
            unanswered_max: 64,
            message_octets_max: 16 * 1024 * 1024,
            file_octets_max: 64 << 30,
            incoming_max: 64,
            transaction: Duration::from_secs(30),
            message: Duration::from_secs(60),
            keep_alive: Duration::from_secs(60),
            request: Duration::from_secs(20),
            ring: Duration::from_secs(120),
            key_packages: 50,
            welcome: Duration::from_secs(7 * 24 * 3600),
            leaf_life: Duration::from_secs(7 * 24 * 3600),
            leaf_messages_max: 10_000,
            confirm: Duration::from_secs(600),
        }
    }
}
