//! The door between the two legs of a one-to-one session: what one sends is handed to the other's shard under one lock,
//! so that it keeps its order. Which leg is where is for `pair/legs`.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ids::SeatId;
use msrp::{ByteRange, Chunk, MessageId, Status};

use super::{Relay, RoomId};
use crate::brake::Brake;
use crate::doors::Errand;
use crate::forward::Failure;
use crate::pair::legs::{Legs, Outgoing, Passage, Way};
use crate::pair::tab::{Fare, Tab};
use crate::pair::{Origin, Spot};
use crate::session::Refusal;

impl Relay {
    /// Whether this is a one-to-one session.
    pub(crate) fn is_pair(&self) -> bool {
        self.legs.is_some()
    }

    fn legs(&self) -> Option<MutexGuard<'_, Legs>> {
        self.legs.as_ref().map(|legs| Mutex::lock(legs).unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a one-to-one session has two other legs already.
    pub(crate) fn has_no_place_for(&self, seat: SeatId) -> bool {
        self.legs().is_some_and(|legs| legs.is_full(seat))
    }

    pub(super) fn add_leg(&self, seat: SeatId) {
        if let Some(mut legs) = self.legs() {
            legs.seat(seat);
        }
    }

    /// A leg's user has come; what was held for it is on its way.
    pub(crate) fn link(&self, seat: SeatId, way: &Way) {
        let Some(mut legs) = self.legs() else { return };
        for onward in legs.link(seat, way) {
            self.doors.push(way.spot.shard, Errand::Onward(Box::new(onward)));
        }
    }

    /// A request of one leg, for the other. The brake says whether its sender must pause.
    pub(crate) fn cross(
        &self,
        from: SeatId,
        outgoing: Outgoing,
        now: Instant,
    ) -> Result<Arc<Brake>, Refusal> {
        let until = now + Duration::from_secs(self.limits.pair_wait_secs);
        let mut legs = self.legs().ok_or(Refusal::NoSession)?;
        let (passage, brake) = legs.pass(from, outgoing, until)?;
        if let Passage::Go(shard, onward) = passage {
            self.doors.push(shard, Errand::Onward(Box::new(onward)));
        }
        Ok(brake)
    }

    /// A leg's user has reported a message of the other leg as arrived: its sender is told so again if it asks again.
    pub(crate) fn note_reported(&self, from: SeatId, id: MessageId, range: ByteRange) {
        // Whoever holds one of these may wait for the room.
        let seen: Vec<_> = self.lock().seen_of_others(from).cloned().collect();
        for seen in seen {
            seen.lock().unwrap_or_else(PoisonError::into_inner).note_reported(id, range);
        }
    }

    /// Ends what a leg has waited for the other with for too long.
    pub(crate) fn give_up(&self, from: SeatId, now: Instant) {
        let late = self.legs().map(|mut legs| legs.give_up(from, now));
        late.into_iter().flatten().for_each(|late| self.fail(late, Status::TIMEOUT));
    }

    pub(super) fn end_leg(&self, seat: SeatId) {
        let held = self.legs().map(|mut legs| legs.leave(seat));
        held.into_iter().flatten().for_each(|held| self.fail(held, Status::NO_SUCH_SESSION));
    }

    /// Tells the sender of what was held.
    fn fail(&self, outgoing: Outgoing, status: Status) {
        let Outgoing { source, range, .. } = outgoing;
        if let Some(source) = source {
            let shard = source.origin.spot.shard;
            let failure = Failure { source, range, status, comment: "".into(), open_at: None };
            self.doors.push(shard, Errand::Failed(Box::new(failure)));
        }
    }

    /// Opens the tab of a message of one leg.
    pub(crate) fn open_tab(&self, seat: SeatId, chunk: &Chunk) -> Result<Arc<Tab>, Refusal> {
        let conference = self.conference();
        let fare = Fare { conference: &conference, seat, receivers: 1 };
        Tab::open_for(&self.focus, fare, chunk)
    }

    /// The origin of a message that begins at this leg.
    pub(crate) fn origin(
        &self,
        (seat, spot): (SeatId, Spot),
        charge: bool,
        chunk: &Chunk,
    ) -> Result<Origin, Refusal> {
        let tab = charge.then(|| self.open_tab(seat, chunk)).transpose()?;
        let seat: Option<(RoomId, SeatId)> = Some((self.id, seat));
        Ok(Origin { spot, seat, tab })
    }
}
