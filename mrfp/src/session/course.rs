//! Where a message goes and how it is carried, by its CPIM headers (RFC 7701, 6) and the room's level. It looks at
//! headers only, never at content.
use bytes::Bytes;
use control::Level;
use ids::SeatId;
use msrp::Body;
use msrp::cpim::{self, Envelope};

use super::{Audience, Kind, Refusal};
use crate::room::{Participant, Recipient, Roster};

/// What a sealed room takes besides files: one MLS message.
pub const SEALED: &str = "message/mls";
/// A sealed file, streamed.
pub const SEALED_FILE: &str = "application/vnd.conclave.sealed-file";
/// A handshake for the focus.
pub const BUNDLE: &str = "application/vnd.conclave.mls-bundle";
/// What a member says of the newest epoch, for the focus.
pub const EPOCH_REPORT: &str = "application/vnd.conclave.epoch-report";

/// A message whose headers have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) audience: Audience,
    pub(super) carriage: Carriage,
    /// Where the content starts.
    pub(super) content_at: usize,
    /// Its media type, as sent.
    pub(super) content_type: Bytes,
    /// What a REPORT about a private message carries.
    pub(super) wrapper: Option<Bytes>,
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
    let content_type = Bytes::copy_from_slice(envelope.content_type().unwrap_or_default());
    let recipient = roster.recipient(to.uri);
    let carriage = carriage(envelope, roster.level, &recipient)?;
    let mut wrapper = None;
    let audience = match recipient {
        Recipient::Room if sender.muted && carriage != Carriage::Whole(Kind::Handshake) => {
            return Err(Refusal::Muted);
        }
        Recipient::Room => Audience::Room,
        Recipient::Seats(seats) => {
            wrapper = wrap(envelope);
            Audience::Seats(willing(seats, &content_type, roster)?)
        }
        Recipient::NoPrivateMessages => return Err(Refusal::NoPrivateMessages),
        Recipient::Nobody => return Err(Refusal::UnknownRecipient),
    };
    Ok(Course { audience, carriage, content_at: envelope.octets(), content_type, wrapper })
}

/// Of a person's sessions those that take this content. A sealed room has one kind of content, and its level says so.
///
/// RFC 7701, 6.1 lets a switch drop without a word what one of many cannot take. Where nobody would get the message its
/// sender is told, as by any receiver (RFC 4975, 7.3.1).
fn willing(
    mut seats: Vec<SeatId>,
    content_type: &[u8],
    roster: &Roster,
) -> Result<Vec<SeatId>, Refusal> {
    if roster.level == Level::Open {
        let takes = |person: &Participant| person.types.include(content_type);
        seats.retain(|seat| roster.participant(*seat).is_some_and(takes));
    }
    if seats.is_empty() { Err(Refusal::RecipientType) } else { Ok(seats) }
}

/// RFC 7701, 6.2: the original From and To, around nothing. Addresses so long that no REPORT could hold them
/// (RFC 4975, 7.1) are left out.
fn wrap(envelope: &Envelope) -> Option<Bytes> {
    let value = |name| envelope.headers().get_exact(name);
    let (from, to) = (value("From")?, value("To")?);
    let nothing: &[u8] = b"\r\n\r\nContent-Type: text/plain\r\n\r\n";
    let wrapper = [b"From: ".as_slice(), from, b"\r\nTo: ", to, nothing].concat();
    (wrapper.len() <= WRAPPER_OCTETS_MAX).then(|| wrapper.into())
}

/// RFC 4975, 7.1: the body of anything but a SEND has at most 10 240 octets.
const WRAPPER_OCTETS_MAX: usize = 10_240;

/// What a REPORT carries about a private message that came before and comes once more in one chunk. Of one that comes
/// in several the headers are gone when its end is here.
pub(super) fn wrapper_again(whole: &Body, roster: &Roster) -> Option<Bytes> {
    let message = cpim::Message::read(whole).ok()?;
    let to = message.envelope.only_to().ok()?;
    let private = roster.recipient(to.uri) != Recipient::Room;
    private.then(|| wrap(&message.envelope)).flatten()
}

fn carriage(envelope: &Envelope, level: Level, to: &Recipient) -> Result<Carriage, Refusal> {
    match level {
        Level::Open | Level::Pair => Ok(Carriage::Streamed),
        Level::Sealed if envelope.is_type(SEALED) => Ok(Carriage::Whole(Kind::Sealed)),
        Level::Sealed if envelope.is_type(SEALED_FILE) => Ok(Carriage::Streamed),
        Level::Sealed
            if *to == Recipient::Room
                && (envelope.is_type(BUNDLE) || envelope.is_type(EPOCH_REPORT)) =>
        {
            Ok(Carriage::Whole(Kind::Handshake))
        }
        Level::Sealed => Err(Refusal::ContentType),
    }
}
