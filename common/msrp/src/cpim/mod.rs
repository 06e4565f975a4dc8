//! CPIM messages (RFC 3862): headers, MIME headers, content. The octets stay exactly as they were sent: signatures and
//! receivers depend on it, so nothing here rewrites a message.

mod address;
mod build;
mod envelope;
mod escape;
mod gather;
pub mod imdn;

pub use address::Address;
pub use build::Builder;
pub use envelope::{BadCpim, Envelope, parse};
pub use gather::Gather;

use crate::body::Body;

/// The media type of a CPIM message.
pub const MEDIA_TYPE: &str = "message/cpim";

/// The namespace of IMDN headers (RFC 5438).
pub const IMDN: &str = "urn:ietf:params:imdn";
/// What says what became of a message (RFC 5438).
pub const IMDN_TYPE: &str = "message/imdn+xml";

/// The namespace that headers without a prefix belong to (RFC 3862, section 4).
pub const COMMON: &str = "urn:ietf:params:cpim-headers:";

/// Octets of both header blocks together, however many chunks they come in.
pub const HEAD_OCTETS_MAX: usize = 16 * 1024;

/// A whole message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its headers.
    pub envelope: Envelope,
    /// What they wrap, octet for octet.
    pub content: Body,
}

impl Message {
    /// Reads a whole message. The content is shared, not copied.
    pub fn read(whole: &Body) -> Result<Self, BadCpim> {
        let mut gather = Gather::default();
        let envelope = gather.push(whole)?.ok_or(BadCpim::Unfinished)?;
        let content = whole.part(envelope.octets(), whole.len());
        Ok(Self { envelope, content })
    }
}
