//! What the MRFC tells an MRFP, as checked values. An order says what should be; only broadcasts, deliveries and
//! answers happen once. Numbers and acknowledgements are the link's business, not this file's.
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ids::{Aor, ConferenceId, DeviceId, Epoch, Era, Key, Number, SeatId, Term};

use crate::auth::AuthAnswer;
use crate::bad::BadFrame;
use crate::log::{self, Page};
use crate::proto;
use crate::reach::{Fields, Reach};

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Concerns one room.
    Room {
        /// The conference whose room it is.
        conference: ConferenceId,
        /// What to do.
        order: RoomOrder,
    },
    /// The whole relay takes no new seats; it ends when its sessions are gone or the deadline has passed.
    Drain {
        /// How long sessions may go on, counted from when the order arrives.
        deadline: Duration,
    },
    /// Answers an [`AuthAsked`](crate::AuthAsked).
    Auth(AuthAnswer),
}

impl Order {
    /// An order for one room.
    pub const fn room(conference: ConferenceId, order: RoomOrder) -> Self {
        Self::Room { conference, order }
    }
}

/// What should be, or should happen, in one room.
#[derive(Clone, PartialEq, Eq)]
pub enum RoomOrder {
    /// The room exists, like this. Repeated to change it; seats stay.
    Open(Room),
    /// The room and all its seats end.
    Close {
        /// For the log and the participants' connections.
        reason: String,
    },
    /// The seat exists, like this. The relay answers with `Seated`, each time with the same path. Repeated to
    /// change it.
    Seat(Seat),
    /// The seat ends now.
    Unseat {
        /// Which.
        seat: SeatId,
        /// For the log.
        reason: String,
    },
    /// Which sealed messages may pass from now on.
    Gate(Gate),
    /// Give every bound seat this complete CPIM message, at its place in the room's order.
    Broadcast {
        /// Names it; a relay skips a key it has seen.
        key: Key,
        /// The message, headers and all.
        cpim: Bytes,
        /// If present, the gate from this place on.
        gate: Option<Gate>,
    },
    /// Give one seat this complete CPIM message.
    Deliver {
        /// Names it, from the same counter as broadcasts.
        key: Key,
        /// To whom.
        seat: SeatId,
        /// The message, headers and all.
        cpim: Bytes,
    },
    /// Every deposit up to there is on disk: its sender may be told. What should be, like the room.
    Stored(Number),
    /// This deposit could not be stored.
    Unstored(Number),
    /// What is stored of the room's log is deleted there; the relay forgets it, too.
    Purge,
    /// Answers a [`ReplayAsked`](crate::ReplayAsked). It is lost where the link breaks, and asked for again.
    Page(Page),
    /// Answers a [`NicknameAsked`](crate::RoomNotice::NicknameAsked).
    NicknameAnswer {
        /// Who asked.
        seat: SeatId,
        /// The number of their request.
        request: u64,
        /// The MSRP status: 200, 404, 423, 425 …
        status: u16,
    },
}

/// A room as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The conference URI: the CPIM To of room messages.
    pub uri: String,
    /// This relay's appointment.
    pub term: Term,
    /// What content it takes.
    pub level: Level,
    /// The group's epoch. A sealed room with no gate has no group yet: no application message passes.
    pub gate: Option<Gate>,
    /// The longest message (RFC 4975, `a=max-size`); a longer one gets 413.
    pub message_octets_max: u64,
    /// Each message is told by [`RoomNotice::Charged`](crate::RoomNotice::Charged). While the focus is away for so long
    /// that no more can be kept for it, new messages are refused.
    pub charge: bool,
    /// Messages are acknowledged when they are stored, and everything up to this place is. None: the room keeps no log,
    /// and a message is acknowledged when it is relayed.
    pub stored: Option<Number>,
}

/// What content a room takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Only MLS messages and sealed files.
    Sealed,
    /// Anything, protected hop by hop.
    Open,
    /// No conference: a one-to-one session through the relay. It has two seats, its legs, and what one sends goes to
    /// the other as it is, whatever it is. A room is a pair for all its life or never.
    Pair,
}

/// Which sealed messages may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The group's era.
    pub era: Era,
    /// Its current epoch.
    pub epoch: Epoch,
    /// A Remove is pending: no application message at all.
    pub shut: bool,
    /// The epoch before is still accepted for a moment. Never after a Remove.
    pub grace: bool,
}

/// A seat as it should be.
#[derive(Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its name.
    pub seat: SeatId,
    /// Whose it is.
    pub aor: Aor,
    /// On which device.
    pub device: DeviceId,
    /// URIs this participant may use as CPIM From.
    pub identities: Vec<String>,
    /// Room messages from it get 403.
    pub muted: bool,
    /// It takes private messages (the `chatroom` token of its SDP, RFC 7701, 8).
    pub private_messages: bool,
    /// `a=path` of the participant's SDP, which its From-Path must equal. None: not known yet.
    pub peer_path: Option<String>,
    /// Media types it takes inside of message/cpim, such as `text/plain` or `image/*` (RFC 4975, 8.6). Empty: anything.
    pub accept_wrapped_types: Vec<String>,
    /// How much of the paths in its requests must be as its SDP and ours said.
    pub matching: Match,
    /// How its participant is reached.
    pub reach: Reach,
    /// In a room that keeps a log: its device has everything up to there. None: it is new, and begins with what comes.
    pub after: Option<Number>,
    /// It is on hold (RFC 3264, 8.4): messages of others are not sent to it. What the focus itself says is.
    pub held: bool,
}

/// How a request is found to belong to a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Match {
    /// To-Path is the URI we handed out and From-Path that of the SDP (RFC 4975, 6.1 and 7.3).
    #[default]
    Strict,
    /// The session-id of To-Path is ours; hosts and ports may have been rewritten by somebody between us, as SBCs do.
    SessionId,
}

impl Seat {
    /// A seat that may talk to the room, takes any content but no private messages, and whose path is not known yet.
    pub const fn new(seat: SeatId, aor: Aor, device: DeviceId) -> Self {
        Self {
            seat,
            aor,
            device,
            identities: Vec::new(),
            muted: false,
            private_messages: false,
            peer_path: None,
            accept_wrapped_types: Vec::new(),
            matching: Match::Strict,
            reach: Reach::new(),
            held: false,
            after: None,
        }
    }
}

impl fmt::Debug for RoomOrder {
    /// Leaves out message bodies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(room) => write!(f, "Open({room:?})"),
            Self::Close { reason } => write!(f, "Close({reason:?})"),
            Self::Seat(seat) => write!(f, "{seat:?}"),
            Self::Unseat { seat, reason } => write!(f, "Unseat({seat}, {reason:?})"),
            Self::Gate(gate) => write!(f, "{gate:?}"),
            Self::Broadcast { key, cpim, gate } => {
                write!(f, "Broadcast({key}, {} octets, {gate:?})", cpim.len())
            }
            Self::Deliver { key, seat, cpim } => {
                write!(f, "Deliver({key}, {seat}, {} octets)", cpim.len())
            }
            Self::Stored(number) => write!(f, "Stored({number})"),
            Self::Unstored(number) => write!(f, "Unstored({number})"),
            Self::Purge => f.write_str("Purge"),
            Self::Page(page) => write!(f, "{page:?}"),
            Self::NicknameAnswer { seat, request, status } => {
                write!(f, "NicknameAnswer({seat}, {request}, {status})")
            }
        }
    }
}

impl fmt::Debug for Seat {
    /// Leaves out the peer's path, whose session id is a secret (RFC 4975, 14.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seat, aor, device, muted, private_messages, reach, .. } = self;
        write!(
            f,
            "Seat({seat}, {aor}, {device}, muted {muted}, private {private_messages}, {reach:?})"
        )
    }
}

impl From<Order> for proto::Order {
    fn from(order: Order) -> Self {
        use proto::order::Kind;
        let (conference, order) = match order {
            Order::Drain { deadline } => {
                let drain = proto::Drain { deadline_secs: deadline.as_secs() };
                return Self { conference: String::new(), kind: Some(Kind::Drain(drain)) };
            }
            Order::Auth(answer) => {
                let kind = Some(Kind::AuthAnswer(answer.into()));
                return Self { conference: String::new(), kind };
            }
            Order::Room { conference, order } => (conference.into(), order),
        };
        let kind = match order {
            RoomOrder::Open(room) => Kind::Open(room.into()),
            RoomOrder::Close { reason } => Kind::Close(proto::Close { reason }),
            RoomOrder::Seat(seat) => Kind::Seat(seat.into()),
            RoomOrder::Unseat { seat, reason } => {
                Kind::Unseat(proto::Unseat { seat: seat.0, reason })
            }
            RoomOrder::Gate(gate) => Kind::Gate(gate.into()),
            RoomOrder::Broadcast { key, cpim, gate } => {
                Kind::Broadcast(proto::Broadcast { key: key.0, cpim, gate: gate.map(Into::into) })
            }
            RoomOrder::Deliver { key, seat, cpim } => {
                Kind::Deliver(proto::Deliver { key: key.0, seat: seat.0, cpim })
            }
            RoomOrder::Stored(number) => Kind::Stored(log::place(number)),
            RoomOrder::Unstored(number) => Kind::Unstored(log::place(number)),
            RoomOrder::Purge => Kind::Purge(proto::Purge {}),
            RoomOrder::Page(page) => Kind::Page(page.into()),
            RoomOrder::NicknameAnswer { seat, request, status } => {
                let status = u32::from(status);
                Kind::NicknameAnswer(proto::NicknameAnswer { seat: seat.0, request, status })
            }
        };
        Self { conference, kind: Some(kind) }
    }
}

impl TryFrom<proto::Order> for Order {
    type Error = BadFrame;

    fn try_from(order: proto::Order) -> Result<Self, BadFrame> {
        use proto::order::Kind;
        let kind = order.kind.ok_or_else(|| BadFrame::missing("order.kind"))?;
        if let Kind::Drain(drain) = kind {
            return Ok(Self::Drain { deadline: Duration::from_secs(drain.deadline_secs) });
        }
        if let Kind::AuthAnswer(answer) = kind {
            return Ok(Self::Auth(answer.try_into()?));
        }
        let conference =
            order.conference.parse().map_err(|e| BadFrame::field("order.conference", e))?;
        let order = match kind {
            Kind::Open(room) => RoomOrder::Open(room.try_into()?),
            Kind::Close(close) => RoomOrder::Close { reason: close.reason },
            Kind::Seat(seat) => RoomOrder::Seat(seat.try_into()?),
            Kind::Unseat(unseat) => {
                RoomOrder::Unseat { seat: SeatId(unseat.seat), reason: unseat.reason }
            }
            Kind::Gate(gate) => RoomOrder::Gate(gate.into()),
            Kind::Broadcast(proto::Broadcast { key, cpim, gate }) => {
                RoomOrder::Broadcast { key: Key(key), cpim, gate: gate.map(Into::into) }
            }
            Kind::Deliver(proto::Deliver { key, seat, cpim }) => {
                RoomOrder::Deliver { key: Key(key), seat: SeatId(seat), cpim }
            }
            Kind::Stored(place) => RoomOrder::Stored(log::number(place)),
            Kind::Unstored(place) => RoomOrder::Unstored(log::number(place)),
            Kind::Purge(proto::Purge {}) => RoomOrder::Purge,
            Kind::Page(page) => RoomOrder::Page(page.try_into()?),
            Kind::NicknameAnswer(answer) => RoomOrder::NicknameAnswer {
                seat: SeatId(answer.seat),
                request: answer.request,
                status: status("nickname_answer.status", answer.status)?,
            },
            Kind::Drain(_) | Kind::AuthAnswer(_) => {
                return Err(BadFrame::field("order.kind", "names no room"));
            }
        };
        Ok(Self::Room { conference, order })
    }
}

/// RFC 4975, 9: a status is three digits.
pub(crate) fn status(field: &'static str, status: u32) -> Result<u16, BadFrame> {
    match u16::try_from(status) {
        Ok(status @ 100..=999) => Ok(status),
        _ => Err(BadFrame::field(field, format!("{status} is no MSRP status"))),
    }
}

impl From<Room> for proto::Open {
    fn from(room: Room) -> Self {
        let level = match room.level {
            Level::Sealed => proto::Level::Sealed,
            Level::Open => proto::Level::Open,
            Level::Pair => proto::Level::Pair,
        };
        Self {
            uri: room.uri,
            term: room.term.0,
            level: level.into(),
            gate: room.gate.map(Into::into),
            message_octets_max: room.message_octets_max,
            charge: room.charge,
            stored: room.stored.map(log::place),
        }
    }
}

impl TryFrom<proto::Open> for Room {
    type Error = BadFrame;

    fn try_from(open: proto::Open) -> Result<Self, BadFrame> {
        let level = match open.level() {
            proto::Level::Sealed => Level::Sealed,
            proto::Level::Open => Level::Open,
            proto::Level::Pair => Level::Pair,
            proto::Level::Unspecified => {
                let why = format!("{} is neither sealed nor open nor a pair", open.level);
                return Err(BadFrame::field("open.level", why));
            }
        };
        if open.uri.is_empty() {
            return Err(BadFrame::missing("open.uri"));
        }
        Ok(Self {
            uri: open.uri,
            term: Term(open.term),
            level,
            gate: open.gate.map(Into::into),
            message_octets_max: open.message_octets_max,
            charge: open.charge,
            stored: open.stored.map(log::number),
        })
    }
}

impl From<Gate> for proto::Gate {
    fn from(gate: Gate) -> Self {
        Self { era: gate.era.0, epoch: gate.epoch.0, shut: gate.shut, grace: gate.grace }
    }
}

impl From<proto::Gate> for Gate {
    fn from(gate: proto::Gate) -> Self {
        Self { era: Era(gate.era), epoch: Epoch(gate.epoch), shut: gate.shut, grace: gate.grace }
    }
}

impl From<Seat> for proto::Seat {
    fn from(seat: Seat) -> Self {
        let matching = match seat.matching {
            Match::Strict => proto::Match::Strict,
            Match::SessionId => proto::Match::SessionId,
        };
        let Fields { transport, fingerprints, connect, connect_to } = seat.reach.into();
        Self {
            seat: seat.seat.0,
            aor: seat.aor.into(),
            device: seat.device.into(),
            identities: seat.identities,
            muted: seat.muted,
            private_messages: seat.private_messages,
            peer_path: seat.peer_path.unwrap_or_default(),
            accept_wrapped_types: seat.accept_wrapped_types,
            fingerprints,
            r#match: matching.into(),
            connect,
            transport,
            connect_to,
            held: seat.held,
            after: seat.after.map(log::place),
        }
    }
}

impl TryFrom<proto::Seat> for Seat {
    type Error = BadFrame;

    fn try_from(seat: proto::Seat) -> Result<Self, BadFrame> {
        let matching = match proto::Match::try_from(seat.r#match) {
            Ok(proto::Match::Strict) => Match::Strict,
            Ok(proto::Match::SessionId) => Match::SessionId,
            Err(error) => return Err(BadFrame::field("seat.match", error)),
        };
        let proto::Seat { transport, fingerprints, connect, connect_to, .. } = seat;
        let reach = Fields { transport, fingerprints, connect, connect_to }.try_into()?;
        let aor = seat.aor.parse().map_err(|e| BadFrame::field("seat.aor", e))?;
        let device = seat.device.parse().map_err(|e| BadFrame::field("seat.device", e))?;
        Ok(Self {
            identities: seat.identities,
            muted: seat.muted,
            private_messages: seat.private_messages,
            peer_path: Some(seat.peer_path).filter(|path| !path.is_empty()),
            accept_wrapped_types: seat.accept_wrapped_types,
            matching,
            reach,
            held: seat.held,
            after: seat.after.map(log::number),
            ..Self::new(SeatId(seat.seat), aor, device)
        })
    }
}
