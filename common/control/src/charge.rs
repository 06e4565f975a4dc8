//! What an MRFC needs to know of a message to charge for it. Whether it costs anything is for the MRFC: typing notices
//! and disposition notifications are told like everything else, and so is a message that its receiver refused.
use ids::SeatId;

use crate::bad::BadFrame;
use crate::proto;

/// One message of a charged room, when it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Whose message it was.
    pub seat: SeatId,
    /// How many seats it was passed on to.
    pub receivers: u32,
    /// The sender's Message-ID.
    pub message_id: String,
    /// Octets of its content: all of them, or what came before it ended otherwise.
    pub octets: u64,
    /// Its media type, without parameters.
    pub content_type: String,
    /// The media type that a `message/cpim` holds, without parameters; empty where the relay could not read it.
    pub wrapped_type: String,
    /// How it ended.
    pub ending: Ending,
    /// When its first octet came, in milliseconds of Unix time.
    pub started_ms: u64,
    /// When it ended, in milliseconds of Unix time.
    pub ended_ms: u64,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// All of it was passed on, and no receiver's answer that the sender wanted said otherwise.
    Complete,
    /// Its sender broke off, or was lost.
    Aborted,
    /// It was refused with this status on its way; 408 where the next hop stayed silent.
    Refused(u16),
}

const COMPLETE: u32 = 200;
const ABORTED: u32 = 0;

impl From<Charge> for proto::Charged {
    fn from(charge: Charge) -> Self {
        let status = match charge.ending {
            Ending::Complete => COMPLETE,
            Ending::Aborted => ABORTED,
            Ending::Refused(status) => status.into(),
        };
        Self {
            seat: charge.seat.0,
            receivers: charge.receivers,
            message_id: charge.message_id,
            octets: charge.octets,
            content_type: charge.content_type,
            wrapped_type: charge.wrapped_type,
            status,
            started_ms: charge.started_ms,
            ended_ms: charge.ended_ms,
        }
    }
}

impl TryFrom<proto::Charged> for Charge {
    type Error = BadFrame;

    fn try_from(charged: proto::Charged) -> Result<Self, BadFrame> {
        let ending = match (charged.status, u16::try_from(charged.status)) {
            (COMPLETE, _) => Ending::Complete,
            (ABORTED, _) => Ending::Aborted,
            (_, Ok(status @ 300..=999)) => Ending::Refused(status),
            (status, _) => {
                return Err(BadFrame::field("charged.status", format!("{status} ends nothing")));
            }
        };
        if charged.message_id.is_empty() {
            return Err(BadFrame::missing("charged.message_id"));
        }
        Ok(Self {
            seat: SeatId(charged.seat),
            receivers: charged.receivers,
            message_id: charged.message_id,
            octets: charged.octets,
            content_type: charged.content_type,
            wrapped_type: charged.wrapped_type,
            ending,
            started_ms: charged.started_ms,
            ended_ms: charged.ended_ms,
        })
    }
}
