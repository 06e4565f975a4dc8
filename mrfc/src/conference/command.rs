//! What somebody asks a conference for. A command changes nothing by itself.
use bytes::Bytes;
use ids::{Aor, DeviceId, SeatId, Seq};
use mls::wire::EpochReport;

use super::life::Standing;
use super::nouns::{Came, End, Level, Participant, PeerPath, Shown, Why};
use super::rules::Ruling;

/// A device that wants a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joining {
    /// Who.
    pub who: Participant,
    /// The seat it is to have: never used before.
    pub seat: SeatId,
    /// URIs it may use as CPIM From.
    pub identities: Vec<String>,
    /// `a=path` of its SDP, if that is known already.
    pub peer_path: Option<PeerPath>,
    /// What else its SDP says.
    pub end: End,
    /// How it came.
    pub came: Came,
    /// Whether others learn who it is.
    pub shown: Shown,
    /// If not: the device that others, or at least the relay, see in place of this one. Never used before, but by this
    /// device in the same dialog.
    pub mask: Option<DeviceId>,
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make the conference.
    Create {
        /// Its first moderator.
        creator: Aor,
        /// What the relay may see.
        level: Level,
        /// The relay that carries its room; a standing one may rest until somebody comes.
        relay: Option<String>,
        /// What makes it outlive emptiness.
        standing: Option<Standing>,
    },
    /// A device asks for a seat, the first time or again.
    Join(Joining),
    /// The SDP answer of a device that was seated before it came.
    Answered {
        /// Whose seat.
        seat: SeatId,
        /// The path.
        peer_path: PeerPath,
        /// What else it says.
        end: End,
    },
    /// The device that is called rings.
    Alerting(SeatId),
    /// The participant has connected to its seat.
    Bound(SeatId),
    /// The seat is over; the person stays.
    Gone {
        /// Which seat.
        seat: SeatId,
        /// Why.
        why: Why,
    },
    /// The participant at this seat wants to be known by another name (RFC 7701, 7).
    Rename {
        /// Which seat.
        seat: SeatId,
        /// What they wish; empty: none.
        nickname: String,
    },
    /// The device at this seat leaves the conference.
    Leave(SeatId),
    /// A moderator wants somebody called.
    Invite {
        /// Who asks.
        by: Aor,
        /// Whom.
        who: Aor,
    },
    /// A moderator wants somebody out, with all devices; or somebody wants out.
    Kick {
        /// Who asks.
        by: Aor,
        /// Whom.
        who: Aor,
    },
    /// The operator wants somebody called, in the name of who made the conference.
    Call(Aor),
    /// Nobody could be reached of those who were to be called for this person.
    Unreached(Aor),
    /// A moderator, or the operator, settles something.
    Rule {
        /// Who asks; none: the operator.
        by: Option<Aor>,
        /// What.
        ruling: Ruling,
    },
    /// The operator wants somebody out, with all devices.
    Expel(Aor),
    /// This device has come anew under another pseudonym: the former one goes, and its leaf.
    Unmask(Participant),
    /// This device was taken back: it goes, and its leaf.
    Revoke(Participant),
    /// A moderator wants the conference to end.
    Delete {
        /// Who asks.
        by: Aor,
    },
    /// The operator wants the conference to end.
    Close,
    /// A device offers a change of the group ([`mls::wire::Bundle`]).
    Bundle {
        /// The seat it came from.
        seat: SeatId,
        /// The bundle, as it came.
        bundle: Bytes,
    },
    /// A device says what it found of the newest epoch.
    Report {
        /// The seat it came from.
        seat: SeatId,
        /// What it says.
        report: EpochReport,
    },
    /// The relay has carried out what belongs to this place, and that is more than the journal tells.
    Overtaken {
        /// The place ([`super::Conference::place`]).
        place: Seq,
    },
    /// The directory has answered.
    Claimed(Vec<(Participant, Option<Bytes>)>),
    /// The device asked for a commit cannot make one.
    Failed {
        /// Who was asked.
        whom: Participant,
        /// Whose KeyPackage is to blame, if one is.
        spoiled: Option<Participant>,
    },
    /// Another relay is to carry the room.
    Move {
        /// Which.
        relay: String,
    },
    /// The relay that carries the room, or this focus, begins anew: what it numbers from now on must not be taken for what
    /// was numbered before.
    Reappoint,
    /// Somebody comes to a conference that rests: this relay is to carry its room.
    Wake {
        /// Which.
        relay: String,
    },
    /// This focus has taken the conference over, after a start.
    Adopt,
    /// The journal came back with a backup: what happened after it is not known here, but to others.
    Restored,
    /// Time has passed: [`super::Conference::due`] has come.
    Tick,
}
