//! Where a message goes and how it is carried, by its CPIM headers (RFC 7701, 6) and the room's level. It looks at
//! headers only, never at content.
use bytes::Bytes;
use control::Level;
use msrp::cpim::Envelope;

use super::{Audience, Kind, Refusal};
use crate::room::{Participant, Recipient, Roster};

/// What a sealed room takes besides files: one MLS message.
pub const SEALED: &str = "message/mls";
/// A sealed file, streamed.
pub const SEALED_FILE: &str = "application/vnd.conclave.sealed-file";
/// A handshake for the focus.
pub const BUNDLE: &str = "application/vnd.conclave.mls-bundle";

/// A message whose headers have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) audience: Audience,
    pub(super) carriage: Carriage,
    /// Where the content starts.
    pub(super) content_at: usize,
    /// Its media type, as sent.
    pub(super) content_type: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriage {
    /// Held until it is complete.
    Whole(Kind),
    /// Passed on as it comes.
    Streamed,
}

/// Checks the headers of a message from `sender`.
pub(super) fn find(
    envelope: &Envelope,
    sender: &Participant,
    roster: &Roster,
) -> Result<Course, Refusal> {
    let from = envelope.from().map_err(|_| Refusal::BadEnvelope)?;
    // RFC 7701, 6.1: the From must be the sender's own.
    if !sender.is(from.uri) {
        return Err(Refusal::NotYours);
    }
    let to = envelope.only_to().map_err(|_| match envelope.to() {
        Ok(all) if all.len() > 1 => Refusal::SeveralRecipients,
        _ => Refusal::BadEnvelope,
    })?;
    let recipient = roster.recipient(to.uri);
    let carriage = carriage(envelope, roster.level, &recipient)?;
    let audience = match recipient {
        Recipient::Room if sender.muted && carriage != Carriage::Whole(Kind::Handshake) => {
            return Err(Refusal::Muted);
        }
        Recipient::Room => Audience::Room,
        Recipient::Seats(seats) => Audience::Seats(seats),
        Recipient::NoPrivateMessages => return Err(Refusal::NoPrivateMessages),
        Recipient::Nobody => return Err(Refusal::UnknownRecipient),
    };
    let content_type = Bytes::copy_from_slice(envelope.content_type().unwrap_or_default());
    Ok(Course { audience, carriage, content_at: envelope.octets(), content_type })
}

fn carriage(envelope: &Envelope, level: Level, to: &Recipient) -> Result<Carriage, Refusal> {
    match level {
        Level::Open | Level::Pair => Ok(Carriage::Streamed),
        Level::Sealed if envelope.is_type(SEALED) => Ok(Carriage::Whole(Kind::Sealed)),
        Level::Sealed if envelope.is_type(SEALED_FILE) => Ok(Carriage::Streamed),
        Level::Sealed if envelope.is_type(BUNDLE) && *to == Recipient::Room => {
            Ok(Carriage::Whole(Kind::Handshake))
        }
        Level::Sealed => Err(Refusal::ContentType),
    }
}
