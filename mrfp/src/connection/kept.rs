//! A connection's sessions in rooms that keep a log: senders wait until what they said is stored, receivers fall behind and
//! catch up, and what they have answered is told. What follows is decided by the room's log.
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ids::{Number, SeatId};
use msrp::Head;

use super::Connection;
use super::requests::Complete;
use super::seated::Seated;
use crate::outbox::{Lane, Tag};
use crate::relay::RoomId;
use crate::session::Refusal;
use crate::shard::Shard;

/// A message that is answered when it is stored.
pub(super) struct Unstored {
    number: Number,
    head: Arc<Head>,
    of: Complete,
}

impl Connection {
    /// A message has its place, and is answered when it is stored. One that comes again meanwhile waits, too.
    pub(super) fn wait_stored(
        &self,
        shard: &Shard,
        seated: &mut Seated,
        head: &Arc<Head>,
        (number, of): (Number, Complete),
    ) {
        if let Some(id) = head.message_id() {
            let mut seen = seated.seen();
            if seen.octets_of(id).is_none() {
                seen.note_placed(id, of.octets, Some(number));
            }
        }
        seated.unstored.push_back(Unstored { number, head: Arc::clone(head), of });
        shard.note_unstored(seated.relay.id, number, (self.number, seated.seat()));
    }

    /// A message of this seat is stored.
    pub(crate) fn stored(self: &Rc<Self>, shard: &Shard, seat: (RoomId, SeatId), number: Number) {
        self.settle_unstored(seat, number, |seated, waits| {
            self.acknowledge(shard, seated, &waits.head, &waits.of);
        });
    }

    /// A message of this seat could not be stored.
    pub(crate) fn unstored(self: &Rc<Self>, shard: &Shard, seat: (RoomId, SeatId), number: Number) {
        self.settle_unstored(seat, number, |_seated, waits| {
            self.refuse(shard, &waits.head, &Refusal::NotStored);
        });
    }

    fn settle_unstored(
        &self,
        (room, seat): (RoomId, SeatId),
        number: Number,
        settle: impl Fn(&Seated, &Unstored),
    ) {
        let mut sessions = self.sessions.borrow_mut();
        let Some(seated) = sessions.values_mut().find(|seated| seated.is(room, seat)) else {
            return;
        };
        let mut waiting = std::mem::take(&mut seated.unstored);
        for waits in waiting.iter().filter(|waits| waits.number == number) {
            settle(seated, waits);
        }
        waiting.retain(|waits| waits.number != number);
        seated.unstored = waiting;
    }

    /// What waits of a stream is dropped, and its receiver is told that it ends.
    pub(crate) fn cut_short(self: &Rc<Self>, shard: &Shard, lane: Lane, stream: Tag) {
        self.writer.stop(lane, stream);
        self.mark_dirty(shard);
    }

    /// A receiver has no room for more: it is given the rest when it has answered what it has.
    pub(crate) fn fall_behind(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        (room, seat): (RoomId, SeatId),
        position: Number,
        fall: u32,
    ) {
        tracing::debug!(self.number, %position, "it has fallen behind");
        let relay = self.with_seat((room, seat), |seated| Arc::clone(&seated.relay));
        if let Some(relay) = relay {
            relay.fall_behind(seat, position, fall);
            self.drain(shard, (room, seat), service::clock::now());
        }
    }

    /// The room waits until this seat has answered all that it was given.
    pub(crate) fn drain(self: &Rc<Self>, shard: &Rc<Shard>, seat: (RoomId, SeatId), now: Instant) {
        self.with_seat(seat, |seated| seated.drains = true);
        self.writer.await_done(true);
        self.look_if_drained(shard, now);
    }

    /// Something was answered while the room waits for it.
    pub(super) fn look_if_drained(&self, shard: &Shard, now: Instant) {
        if !self.writer.awaits_done() {
            return;
        }
        let mut sessions = self.sessions.borrow_mut();
        let mut waits = false;
        for seated in sessions.values_mut().filter(|seated| seated.drains) {
            if !self.writer.is_done(seated.lane) {
                waits = true;
                continue;
            }
            seated.drains = false;
            seated.relay.drained(seated.seat(), now, &mut *shard.rng.borrow_mut());
        }
        self.writer.await_done(waits);
    }

    /// Tells the rooms how far their receivers on this connection are.
    pub(super) fn note_reached(&self) {
        let mut sessions = self.sessions.borrow_mut();
        for seated in sessions.values_mut().filter(|seated| seated.relay.keeps_log()) {
            let reached = self.writer.reached(seated.lane);
            if let Some(place) = reached.filter(|_| reached > seated.reached) {
                seated.reached = reached;
                seated.relay.reached(seated.seat(), place);
            }
        }
    }

    /// The same once more for a session that ends, whose seat may be over already.
    pub(super) fn note_reached_last(&self, seated: &Seated) {
        if seated.relay.keeps_log()
            && let Some(device) = &seated.device
        {
            seated.relay.reached_last(device, self.writer.reached(seated.lane));
        }
    }

    fn with_seat<T>(
        &self,
        (room, seat): (RoomId, SeatId),
        act: impl FnOnce(&mut Seated) -> T,
    ) -> Option<T> {
        let mut sessions = self.sessions.borrow_mut();
        let seated = sessions.values_mut().find(|seated| seated.is(room, seat));
        seated.map(|seated| act(seated))
    }
}
