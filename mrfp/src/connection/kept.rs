//! A connection's sessions in rooms that keep a log, or are charged: senders wait until what they said is stored and its
//! charge is kept, receivers fall behind and catch up, and what they have answered is told. What follows is decided by
//! the room's log.
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ids::{Number, SeatId};
use msrp::{Chunk, Head, MessageId};

use super::Connection;
use super::requests::Complete;
use super::seated::Seated;
use crate::outbox::{Lane, Tag};
use crate::relay::RoomId;
use crate::reports;
use crate::session::Refusal;
use crate::shard::Shard;

/// A complete message that is not answered yet.
pub(super) struct Unanswered {
    until: Until,
    head: Arc<Head>,
    of: Complete,
}

/// What a message is answered after.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// What has this place is stored.
    Stored(Number),
    /// Its charge is kept.
    Charged(MessageId),
}

impl Seated {
    /// A message begins. Whoever sends on without waiting for answers waits here, and not in our memory.
    pub(super) fn may_begin(&self, chunk: &Chunk, messages_max: usize) -> Result<(), Refusal> {
        // What only keeps the session alive has no content, and is answered at once.
        let begins = chunk.first && chunk.range.start == 1 && chunk.head.content_type().is_some();
        if begins && self.unanswered.len() >= messages_max {
            return Err(Refusal::Unanswered);
        }
        Ok(())
    }
}

impl Connection {
    /// The message has its place: it is remembered and acknowledged.
    pub(super) fn complete(
        self: &Rc<Self>,
        shard: &Shard,
        seated: &mut Seated,
        head: &Arc<Head>,
        of: Complete,
    ) {
        if let Some(id) = head.message_id() {
            seated.seen().note(id, of.octets);
        }
        self.acknowledge(shard, seated, head, of);
    }

    /// A message is answered, as soon as its charge is kept.
    pub(super) fn acknowledge(
        self: &Rc<Self>,
        shard: &Shard,
        seated: &mut Seated,
        head: &Arc<Head>,
        of: Complete,
    ) {
        // What says that it is kept is another errand of this shard, so it cannot be missed between here and there.
        let id = head.message_id().filter(|id| seated.relay.charge_waits(*id));
        if let Some(id) = id {
            let head = Arc::clone(head);
            seated.unanswered.push_back(Unanswered { until: Until::Charged(id), head, of });
            shard.note_uncharged(seated.relay.id, id, (self.number, seated.seat()));
            return;
        }
        self.reply(reports::accepted(head), shard);
        let rng = &mut *shard.rng.borrow_mut();
        let report = reports::success(head, of.octets, &seated.own, of.wrapper.as_ref(), rng);
        self.reply(report, shard);
    }

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
        let (until, head) = (Until::Stored(number), Arc::clone(head));
        seated.unanswered.push_back(Unanswered { until, head, of });
        shard.note_unstored(seated.relay.id, number, (self.number, seated.seat()));
    }

    /// A message of this seat is stored.
    pub(crate) fn stored(self: &Rc<Self>, shard: &Shard, seat: (RoomId, SeatId), number: Number) {
        self.settle(seat, Until::Stored(number), |seated, waits| {
            self.acknowledge(shard, seated, &waits.head, waits.of);
        });
    }

    /// The charge of a message of this seat is kept.
    pub(crate) fn charged(self: &Rc<Self>, shard: &Shard, seat: (RoomId, SeatId), id: MessageId) {
        self.settle(seat, Until::Charged(id), |seated, waits| {
            self.acknowledge(shard, seated, &waits.head, waits.of);
        });
    }

    /// A message of this seat could not be stored.
    pub(crate) fn unstored(self: &Rc<Self>, shard: &Shard, seat: (RoomId, SeatId), number: Number) {
        self.settle(seat, Until::Stored(number), |_seated, waits| {
            self.refuse(shard, &waits.head, &Refusal::NotStored);
        });
    }

    fn settle(
        &self,
        (room, seat): (RoomId, SeatId),
        until: Until,
        settle: impl Fn(&mut Seated, Unanswered),
    ) {
        let mut sessions = self.sessions.borrow_mut();
        let Some(seated) = sessions.values_mut().find(|seated| seated.is(room, seat)) else {
            return;
        };
        for waits in std::mem::take(&mut seated.unanswered) {
            match waits.until == until {
                true => settle(seated, waits),
                false => seated.unanswered.push_back(waits),
            }
        }
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
