//! What an MRFP tells the MRFC, as checked values. Each is sent again until the MRFC has acknowledged it, so every
//! receiver must bear one twice after the MRFC restarted.
use std::fmt;

use bytes::Bytes;
use ids::{ConferenceId, DeviceId, Key, Number, SeatId, Term};

use crate::auth::AuthAsked;
use crate::bad::BadFrame;
use crate::charge::Charge;
use crate::log::{self, Deposit, ReplayAsked};
use crate::proto;

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Concerns one room.
    Room {
        /// The conference whose room it is.
        conference: ConferenceId,
        /// What happened there.
        notice: RoomNotice,
    },
    /// The relay drains and still has this many sessions.
    Draining {
        /// Sessions left.
        sessions: u64,
    },
    /// Somebody wants to use the relay for a session of two.
    AuthAsked(AuthAsked),
}

impl Notice {
    /// A notice about one room.
    pub const fn room(conference: ConferenceId, notice: RoomNotice) -> Self {
        Self::Room { conference, notice }
    }
}

/// What happened in a room.
#[derive(Clone, PartialEq, Eq)]
pub enum RoomNotice {
    /// The seat is ready.
    Seated {
        /// Which.
        seat: SeatId,
        /// The MSRP URI for the SDP answer. Whoever knows it may take the seat: never log it.
        path: String,
    },
    /// The participant connected and sent the first request.
    Bound {
        /// Whose seat.
        seat: SeatId,
    },
    /// The seat has no connection any more.
    Lost {
        /// Which.
        seat: SeatId,
        /// Why.
        cause: Cause,
    },
    /// A message for the focus itself: its CPIM To is the conference and it holds an MLS bundle.
    Handshake {
        /// Who sent it.
        seat: SeatId,
        /// Its MSRP Message-ID.
        message_id: String,
        /// The inner Content-Type.
        content_type: String,
        /// The inner body.
        body: Bytes,
    },
    /// A broadcast took its place in the room's order.
    Broadcasted {
        /// Which broadcast.
        key: Key,
        /// Its place.
        number: Number,
    },
    /// The participant asks for a nickname (RFC 7701, 7.1).
    NicknameAsked {
        /// Who asks.
        seat: SeatId,
        /// To be repeated in the answer.
        request: u64,
        /// What they would like to be called; empty gives it up.
        nickname: String,
    },
    /// A message of a charged room has ended. Each message is told by exactly one notice.
    Charged(Charge),
    /// Something took its place in a room that keeps a log.
    Deposit(Deposit),
    /// Devices have answered everything up to there.
    Reached(Vec<(DeviceId, Number)>),
    /// A device has to be given again what it missed.
    ReplayAsked(ReplayAsked),
    /// Something that happens once was skipped: its key was there before, or a later one was. After a start that is as it
    /// should be; a key that the focus has not given out yet says that it has lost some of its journal.
    Skipped {
        /// The last key of the room.
        known: Key,
    },
}

impl fmt::Debug for RoomNotice {
    /// Leaves out session ids and bodies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seated { seat, .. } => write!(f, "Seated({seat})"),
            Self::Bound { seat } => write!(f, "Bound({seat})"),
            Self::Lost { seat, cause } => write!(f, "Lost({seat}, {cause:?})"),
            Self::Handshake { seat, content_type, body, .. } => {
                write!(f, "Handshake({seat}, {content_type}, {} octets)", body.len())
            }
            Self::Broadcasted { key, number } => write!(f, "Broadcasted({key}, {number})"),
            Self::NicknameAsked { seat, request, .. } => {
                write!(f, "NicknameAsked({seat}, {request})")
            }
            Self::Charged(charge) => write!(f, "{charge:?}"),
            Self::Deposit(deposit) => write!(f, "{deposit:?}"),
            Self::Reached(places) => write!(f, "Reached({} devices)", places.len()),
            Self::ReplayAsked(asked) => write!(f, "{asked:?}"),
            Self::Skipped { known } => write!(f, "Skipped({known})"),
        }
    }
}

/// Why a seat lost its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The connection ended.
    Disconnected,
    /// Its outbox was full in a room that keeps no log.
    Slow,
    /// It never connected, or was idle too long.
    Silent,
    /// It broke the protocol.
    Misbehaved,
}

impl From<Notice> for proto::Notice {
    fn from(notice: Notice) -> Self {
        use proto::notice::Kind;
        let (conference, notice) = match notice {
            Notice::Draining { sessions } => {
                let draining = proto::Draining { sessions };
                return Self { conference: String::new(), kind: Some(Kind::Draining(draining)) };
            }
            Notice::AuthAsked(asked) => {
                let kind = Some(Kind::AuthAsked(asked.into()));
                return Self { conference: String::new(), kind };
            }
            Notice::Room { conference, notice } => (conference.into(), notice),
        };
        let kind = match notice {
            RoomNotice::Seated { seat, path } => Kind::Seated(proto::Seated { seat: seat.0, path }),
            RoomNotice::Bound { seat } => Kind::Bound(proto::Bound { seat: seat.0 }),
            RoomNotice::Lost { seat, cause } => {
                Kind::Lost(proto::Lost { seat: seat.0, cause: proto::Cause::from(cause).into() })
            }
            RoomNotice::Handshake { seat, message_id, content_type, body } => {
                Kind::Handshake(proto::Handshake { seat: seat.0, message_id, content_type, body })
            }
            RoomNotice::Broadcasted { key, number } => Kind::Broadcasted(proto::Broadcasted {
                key: key.0,
                term: number.term.0,
                n: number.n,
            }),
            RoomNotice::NicknameAsked { seat, request, nickname } => {
                Kind::NicknameAsked(proto::NicknameAsked { seat: seat.0, request, nickname })
            }
            RoomNotice::Charged(charge) => Kind::Charged(charge.into()),
            RoomNotice::Deposit(deposit) => Kind::Deposit(deposit.into()),
            RoomNotice::Reached(places) => Kind::Reached(log::reached(places)),
            RoomNotice::ReplayAsked(asked) => Kind::ReplayAsked(asked.into()),
            RoomNotice::Skipped { known } => Kind::Skipped(proto::Skipped { known: known.0 }),
        };
        Self { conference, kind: Some(kind) }
    }
}

impl TryFrom<proto::Notice> for Notice {
    type Error = BadFrame;

    fn try_from(notice: proto::Notice) -> Result<Self, BadFrame> {
        use proto::notice::Kind;
        let kind = notice.kind.ok_or_else(|| BadFrame::missing("notice.kind"))?;
        if let Kind::Draining(draining) = kind {
            return Ok(Self::Draining { sessions: draining.sessions });
        }
        if let Kind::AuthAsked(asked) = kind {
            return Ok(Self::AuthAsked(asked.into()));
        }
        let conference =
            notice.conference.parse().map_err(|e| BadFrame::field("notice.conference", e))?;
        let notice = match kind {
            Kind::Seated(seated) => {
                if seated.path.is_empty() {
                    return Err(BadFrame::missing("seated.path"));
                }
                RoomNotice::Seated { seat: SeatId(seated.seat), path: seated.path }
            }
            Kind::Bound(bound) => RoomNotice::Bound { seat: SeatId(bound.seat) },
            Kind::Lost(lost) => {
                RoomNotice::Lost { seat: SeatId(lost.seat), cause: lost.cause().try_into()? }
            }
            Kind::Handshake(handshake) => RoomNotice::Handshake {
                seat: SeatId(handshake.seat),
                message_id: handshake.message_id,
                content_type: handshake.content_type,
                body: handshake.body,
            },
            Kind::Broadcasted(proto::Broadcasted { key, term, n }) => {
                RoomNotice::Broadcasted { key: Key(key), number: Number { term: Term(term), n } }
            }
            Kind::NicknameAsked(asked) => RoomNotice::NicknameAsked {
                seat: SeatId(asked.seat),
                request: asked.request,
                nickname: asked.nickname,
            },
            Kind::Charged(charged) => RoomNotice::Charged(charged.try_into()?),
            Kind::Deposit(deposit) => RoomNotice::Deposit(deposit.try_into()?),
            Kind::Reached(reached) => RoomNotice::Reached(log::checked(reached)?),
            Kind::ReplayAsked(asked) => RoomNotice::ReplayAsked(asked.try_into()?),
            Kind::Skipped(proto::Skipped { known }) => RoomNotice::Skipped { known: Key(known) },
            Kind::Draining(_) | Kind::AuthAsked(_) => {
                return Err(BadFrame::field("notice.kind", "names no room"));
            }
        };
        Ok(Self::Room { conference, notice })
    }
}

impl From<Cause> for proto::Cause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Disconnected => Self::Disconnected,
            Cause::Slow => Self::Slow,
            Cause::Silent => Self::Silent,
            Cause::Misbehaved => Self::Misbehaved,
        }
    }
}

impl TryFrom<proto::Cause> for Cause {
    type Error = BadFrame;

    fn try_from(cause: proto::Cause) -> Result<Self, BadFrame> {
        match cause {
            proto::Cause::Disconnected => Ok(Self::Disconnected),
            proto::Cause::Slow => Ok(Self::Slow),
            proto::Cause::Silent => Ok(Self::Silent),
            proto::Cause::Misbehaved => Ok(Self::Misbehaved),
            proto::Cause::Unspecified => Err(BadFrame::field("lost.cause", "is not a cause")),
        }
    }
}
