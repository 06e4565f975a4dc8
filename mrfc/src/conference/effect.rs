//! What has to be carried out once an event is kept. Each effect may be repeated without harm.
use bytes::Bytes;
use ids::{Aor, SeatId};
use mls::wire::{CommitRequest, CommitResult};

use super::nouns::{Participant, Why};

/// Something to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The relay's room is as [`super::Conference::room`] says.
    Open,
    /// The relay's room is over.
    Close(Why),
    /// This seat is as [`super::Conference::seat`] says.
    Seat(SeatId),
    /// This seat is over.
    Unseat(SeatId, Why),
    /// The gate is as [`super::Conference::gate`] says.
    Gate,
    /// Tell the device at this seat.
    Tell(SeatId, Told),
    /// Tell everybody at a seat, at one place in the room's order.
    Announce(Announced),
    /// Ask the directory for a KeyPackage of each of these.
    Claim(Vec<Participant>),
    /// Call every registered device of this person.
    DialOut {
        /// Whom.
        who: Aor,
        /// Who asked for it.
        by: Aor,
        /// What others see of that one, if they hide.
        by_shown_as: Option<String>,
    },
    /// End the dialog of this seat.
    Bye(SeatId, Why),
}

/// What one device is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The Welcome it can enter by. The tree of the present epoch goes with it.
    Welcome(Bytes),
    /// Please change the group.
    Request(CommitRequest),
    /// What became of its bundle.
    Result(CommitResult),
    /// The Remove proposals that are pending: it may have missed them.
    Proposals,
}

/// What everybody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The commit that made this epoch; the gate changes with it.
    Commit(Bytes),
    /// The Remove proposals that are pending.
    Proposals,
}
