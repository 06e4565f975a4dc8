//! One end of an MSRP session between two (RFC 4975), without sockets: what is said of it and what follows from what the
//! peer says ([`ends`]), which session a connection is for ([`Binding`]), whether the peer is still there ([`Alive`]), and
//! one file or one message in a session of its own ([`transfer`]). Decoded MSRP comes in, frames go out; time and
//! randomness are arguments. SIP, TLS and where a file ends up are somebody else's.
//!
//! Devices have such ends, and so does the MRFC's mailbox.
//!
//! ```
//! use endpoint::ends::{Place, answering};
//! let place = Place {
//!     address: "192.0.2.1",
//!     port: Some(2855),
//!     session: "s1234567890",
//!     fingerprint: &format!("SHA-256 {}", ["AB"; 32].join(":")),
//!     message_octets_max: 1 << 20,
//! };
//! let offer = place.media(sip::sdp::Setup::ActPass, true).unwrap();
//! assert_eq!(answering(&offer).unwrap().setup, sip::sdp::Setup::Active);
//! ```
mod alive;
mod binding;
mod deliveries;
pub mod ends;
pub mod transfer;

use std::time::{Duration, Instant, SystemTime};

use ids::Aor;
use msrp::{Head, Path, Uri};
use sip::sdp::MsrpMedia;

pub use alive::{Alive, Pulse};
pub use binding::Binding;
pub use deliveries::Deliveries;

/// The time, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For waiting.
    pub instant: Instant,
    /// For dates and certificates.
    pub wall: SystemTime,
}

/// Bounds of a session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of content in one chunk that we send. 2048 is the least a peer must take whole (RFC 4975, 7.1.1).
    pub chunk_octets: usize,
    /// How long a transaction may stay unanswered (RFC 4975, 7.1.1: 30 s).
    pub transaction: Duration,
    /// How long nothing may come of a message that has begun.
    pub message: Duration,
    /// How long the session may be silent before the peer is asked whether it is there.
    pub keep_alive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk_octets: 16 * 1024,
            transaction: Duration::from_secs(30),
            message: Duration::from_secs(60),
            keep_alive: Duration::from_secs(60),
        }
    }
}

/// Why a session was not bound to its connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBound {
    /// The peer does not know it, or does not want it.
    #[error("the session was refused: {status} {reason}")]
    Refused {
        /// The status of MSRP.
        status: u16,
        /// The peer's words.
        reason: String,
    },
    /// It was over before.
    #[error("the session ended: {0}")]
    Ended(String),
}

/// Who speaks first on the connection (RFC 4975, 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// We connected, so our first request says which session it is for.
    Us,
    /// The peer did.
    Peer,
}

/// What a session is made of, once both sides have described their ends.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Who we are, as in CPIM From.
    pub me: Aor,
    /// Whom we talk to.
    pub peer: Aor,
    /// Our own path.
    pub own: Path,
    /// The peer's path.
    pub to: Path,
    /// What we said of our end.
    pub ours: MsrpMedia,
    /// What the peer said of theirs.
    pub theirs: MsrpMedia,
    /// Who speaks first.
    pub first: First,
    /// Somebody between us has changed the addresses (RFC 6714): only the session-ids of URIs are compared.
    pub by_session_id: bool,
    /// Bounds.
    pub limits: Limits,
}

impl Setup {
    /// RFC 4975, 6.1 and 7.3: the last URIs are those of the two descriptions.
    pub fn is_for_us(&self, head: &Head) -> bool {
        let same = |one: &Uri, other: &Uri| match self.by_session_id {
            true => one.session_id().is_some() && one.session_id() == other.session_id(),
            false => one == other,
        };
        same(head.to_path().last(), self.own.last())
            && same(head.from_path().last(), self.to.last())
    }
}
