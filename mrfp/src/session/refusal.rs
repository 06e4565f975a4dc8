//! Why a request is turned down, and the status each reason becomes. Whether the status is sent at all is for
//! `reports`.
use std::borrow::Cow;

use ids::{Epoch, Era};
use msrp::Status;

/// The peer is wrong, and this is why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// To-Path names no session of this relay, or one that is not this peer's.
    NoSession,
    /// The session is in use on another connection.
    BoundElsewhere,
    /// Neither SEND, REPORT nor NICKNAME.
    UnknownMethod,
    /// The connection has as many sessions as it may.
    TooManySessions,
    /// The message does not begin with its first chunk.
    Gap,
    /// The chunks of the message say different lengths, or it lies in too many pieces.
    Contradiction,
    /// The CPIM headers break their grammar, or the message ends within them.
    BadEnvelope,
    /// The CPIM headers are longer than a switch must buffer.
    LongEnvelope,
    /// A head that might be too long for who reads it behind us.
    LongHead,
    /// Not `message/cpim`.
    NoWrapper,
    /// The room does not take this content.
    ContentType,
    /// The CPIM From is not one of the sender's identities.
    NotYours,
    /// More than one CPIM To.
    SeveralRecipients,
    /// The sender may not talk to the room now.
    Muted,
    /// The CPIM To is neither the room nor a participant who is here.
    UnknownRecipient,
    /// The recipient takes no private messages.
    NoPrivateMessages,
    /// No session of the recipient takes this content.
    RecipientType,
    /// The message is longer than allowed.
    TooLarge,
    /// The sender has too many unfinished messages.
    TooManyOpen,
    /// No chunk came for too long, so what there was is gone.
    Expired,
    /// Sealed under a key that is no longer in use, or that nobody has: the group is at this epoch.
    StaleEpoch(Era, Epoch),
    /// The room has no group yet.
    NoGroup,
    /// The content is no MLS message of this conference that may be broadcast.
    NotMls,
    /// The focus is away and cannot take another message.
    FocusAway,
    /// The message could not be stored.
    NotStored,
    /// Too many of the sender's messages are not answered yet.
    Unanswered,
    /// The focus has not taken the sender's last handshakes yet.
    HandshakesWait,
    /// The relay ends: what it has taken leaves, and it takes nothing more.
    Ending,
    /// The nickname breaks the grammar.
    BadNickname,
    /// A one-to-one session has no nicknames (RFC 7701, 7.1).
    NoNicknames,
    /// The next hop did not take a part of the message.
    NextHop(Status),
}

impl Refusal {
    /// The status on the wire.
    pub fn status(&self) -> Status {
        match self {
            Self::Gap | Self::Contradiction | Self::BadEnvelope | Self::LongHead => {
                Status::BAD_REQUEST
            }
            Self::NotYours
            | Self::SeveralRecipients
            | Self::Muted
            | Self::TooManySessions
            | Self::NoNicknames => Status::FORBIDDEN,
            Self::NextHop(status) => *status,
            Self::UnknownRecipient => Status::NOT_FOUND,
            Self::LongEnvelope
            | Self::TooLarge
            | Self::TooManyOpen
            | Self::Expired
            | Self::StaleEpoch(..)
            | Self::NoGroup
            | Self::FocusAway
            | Self::NotStored
            | Self::Unanswered
            | Self::HandshakesWait
            | Self::Ending => Status::STOP_SENDING,
            Self::NoWrapper | Self::ContentType | Self::RecipientType | Self::NotMls => {
                Status::UNSUPPORTED_TYPE
            }
            Self::BadNickname => Status::BAD_NICKNAME,
            Self::NoPrivateMessages => Status::NO_PRIVATE_MESSAGES,
            Self::NoSession => Status::NO_SUCH_SESSION,
            Self::UnknownMethod => Status::UNKNOWN_METHOD,
            Self::BoundElsewhere => Status::BOUND_ELSEWHERE,
        }
    }

    /// The text behind the status. `stale-epoch ERA/EPOCH` is read by clients; the others are for people.
    pub fn comment(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::StaleEpoch(era, epoch) => return format!("stale-epoch {era}/{epoch}").into(),
            Self::NoSession => "No such session",
            Self::BoundElsewhere => "Session is on another connection",
            Self::UnknownMethod => "Unknown method",
            Self::TooManySessions => "Too many sessions on one connection",
            Self::Gap => "The first chunk is missing",
            Self::Contradiction => "The chunks contradict each other",
            Self::BadEnvelope => "Malformed CPIM headers",
            Self::LongEnvelope => "CPIM headers too long",
            Self::LongHead => "Headers too long",
            Self::NoWrapper => "message/cpim is needed",
            Self::ContentType => "Content-Type not taken in this room",
            Self::NotYours => "CPIM From is not yours",
            Self::SeveralRecipients => "One CPIM To only",
            Self::Muted => "You may not send to the room now",
            Self::UnknownRecipient => "No such recipient here",
            Self::NoPrivateMessages => "Recipient takes no private messages",
            Self::RecipientType => "Recipient does not take this Content-Type",
            Self::TooLarge => "Message too large",
            Self::TooManyOpen => "Too many unfinished messages",
            Self::Expired => "Message abandoned",
            Self::NoGroup => "The group has no key yet",
            Self::NotMls => "Not an MLS message of this conference",
            Self::FocusAway => "The focus is away",
            Self::NotStored => "The message could not be stored",
            Self::Unanswered => "Wait for the answers to your last messages",
            Self::HandshakesWait => "The focus is still busy with your handshakes",
            Self::Ending => "The relay ends",
            Self::BadNickname => "Malformed nickname",
            Self::NoNicknames => "No nicknames here",
            Self::NextHop(_) => "The other side did not take it",
        })
    }

    /// The label of the counter: the reason without its values.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::BoundElsewhere => "bound_elsewhere",
            Self::UnknownMethod => "unknown_method",
            Self::TooManySessions => "too_many_sessions",
            Self::Gap => "gap",
            Self::Contradiction => "contradiction",
            Self::BadEnvelope => "bad_envelope",
            Self::LongEnvelope => "long_envelope",
            Self::LongHead => "long_head",
            Self::NoWrapper => "no_wrapper",
            Self::ContentType => "content_type",
            Self::NotYours => "not_yours",
            Self::SeveralRecipients => "several_recipients",
            Self::Muted => "muted",
            Self::UnknownRecipient => "unknown_recipient",
            Self::NoPrivateMessages => "no_private_messages",
            Self::RecipientType => "recipient_type",
            Self::TooLarge => "too_large",
            Self::TooManyOpen => "too_many_open",
            Self::Expired => "expired",
            Self::StaleEpoch(..) => "stale_epoch",
            Self::NoGroup => "no_group",
            Self::NotMls => "not_mls",
            Self::FocusAway => "focus_away",
            Self::NotStored => "not_stored",
            Self::Unanswered => "unanswered",
            Self::HandshakesWait => "handshakes_wait",
            Self::Ending => "ending",
            Self::BadNickname => "bad_nickname",
            Self::NoNicknames => "no_nicknames",
            Self::NextHop(_) => "next_hop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_epoch_tells_where_the_group_is() {
        let refusal = Refusal::StaleEpoch(Era(2), Epoch(17));

        assert_eq!(refusal.status(), Status::STOP_SENDING);
        assert_eq!(refusal.comment(), "stale-epoch 2/17");
    }
}
