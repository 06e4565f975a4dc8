//! What an author may require a reader to understand (RFC 3862, section 4.7). A message that requires more is not shown: what
//! it says could mean something else than it seems to.
use msrp::cpim::{COMMON, Envelope, IMDN};

use super::letter::NAMESPACE;
use super::parcel::CONCLAVE;

/// The headers that are read here. What is passed over, such as a subject, is not among them.
const UNDERSTOOD: [(&str, &str); 11] = [
    (COMMON, "From"),
    (COMMON, "To"),
    (COMMON, "DateTime"),
    (COMMON, "NS"),
    (COMMON, "Require"),
    (IMDN, "Message-ID"),
    (IMDN, "Disposition-Notification"),
    (NAMESPACE, "Seen"),
    (CONCLAVE, "Seen"),
    (CONCLAVE, "Room"),
    (CONCLAVE, "Class"),
];

/// A header that a message requires, and that is not read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it requires {0:?}, which is not understood here")]
pub(crate) struct Required(String);

/// Whether all is understood that a message requires.
///
/// # Errors
/// It is not.
pub(crate) fn understood(envelope: &Envelope) -> Result<(), Required> {
    envelope.unknown_requirement(&UNDERSTOOD).map_or(Ok(()), |name| Err(Required(name)))
}
