//! What a room with a log asks of the world: messages are deposited with the focus under the room's lock, in their order;
//! seats that are behind are given what they miss, the ring's part of it at the same place in the order at which they
//! become live. What is due to whom is decided in [`crate::room::log`].
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use control::{Deposit, Logged, Notice, Page, ReplayAsked, RoomNotice};
use ids::{Number, SeatId};
use msrp::Body;
use rand::RngCore;
use service::clock;

use super::{Relay, To};
use crate::doors::{Errand, LogErrand};
use crate::outbox::Place;
use crate::room::Room;
use crate::room::log::{Entry, Given, Next};
use crate::session::{Audience, Message, Refusal};

impl Relay {
    /// Whether a message counts only when it is stored.
    pub(crate) fn keeps_log(&self) -> bool {
        self.keeps_log.load(Ordering::Relaxed)
    }

    /// A message has a place; where the focus cannot take it nobody gets it.
    pub(super) fn deposit_message(
        &self,
        room: &mut Room,
        number: Number,
        message: &Message,
    ) -> Result<(), Refusal> {
        if !room.keeps_log() {
            return Ok(());
        }
        let author = room.roster().participant(message.sender()).map(|it| it.device.clone());
        let author = author.ok_or(Refusal::NoSession)?;
        let cpim = message.body().gather();
        let kind = Logged::Message(author.clone());
        let deposit = Deposit { number, kind, at_ms: now_ms(), cpim: cpim.clone() };
        let notice = Notice::room(room.conference().clone(), RoomNotice::Deposit(deposit));
        self.focus.notice(notice).map_err(|_overfull| Refusal::FocusAway)?;
        if let Some(log) = room.log() {
            log.append(Entry { number, author: Some(author), content: Body::from(cpim) });
        }
        Ok(())
    }

    /// What the focus says to everybody has a place. It is deposited like what people say, so that the log has one order.
    pub(super) fn deposit_broadcast(&self, room: &mut Room, number: Number, cpim: &Bytes) {
        if !room.keeps_log() {
            return;
        }
        let deposit = Deposit { number, kind: Logged::Commit, at_ms: now_ms(), cpim: cpim.clone() };
        self.focus.tell(room, RoomNotice::Deposit(deposit));
        if let Some(log) = room.log() {
            log.append(Entry { number, author: None, content: Body::from(cpim.clone()) });
        }
    }

    /// A seat goes on hold, or comes back, by its order.
    pub(super) fn hold(&self, room: &mut Room, order: &control::Seat) {
        let (seat, position) = (order.seat, room.last());
        let bound = room.roster().participant(seat).is_some_and(|it| it.bound);
        let shards = room.reach(&Audience::Seats(vec![seat]));
        let Some(log) = room.log().filter(|_| bound) else { return };
        if log.pause(seat, order.held) {
            let (room, what) = (self.id, LogErrand::Hold { seat, position });
            self.doors.push_all(shards, || Errand::Log { room, what });
        }
    }

    /// A seat has fallen behind: it was sent everything up to there.
    pub(crate) fn fall_behind(&self, seat: SeatId, position: Number, fall: u32) {
        let mut room = self.lock();
        let Some(person) = room.roster().participant(seat) else { return };
        let (device, held) = (person.device.clone(), person.held);
        if let Some(log) = room.log() {
            log.fall_behind(seat, &device, position, fall);
            log.pause(seat, held);
        }
    }

    /// The seat has answered all that it was given.
    pub(crate) fn drained(&self, seat: SeatId, now: Instant, rng: &mut impl RngCore) {
        let mut room = self.lock();
        if let Some(log) = room.log() {
            log.drained(seat);
        }
        self.go_on(&mut room, seat, now, rng);
    }

    /// A seat that was taken is given what its device missed.
    pub(crate) fn catch_up(&self, seat: SeatId, now: Instant, rng: &mut impl RngCore) {
        if self.keeps_log() {
            self.go_on(&mut self.lock(), seat, now, rng);
        }
    }

    fn go_on(&self, room: &mut Room, seat: SeatId, now: Instant, rng: &mut impl RngCore) {
        if let Some(log) = room.log() {
            let next = log.go_on(seat, now);
            self.follow(room, (seat, next), now, rng);
        }
    }

    /// The focus has read the log for a seat.
    pub(crate) fn page(&self, page: Page, now: Instant, rng: &mut impl RngCore) {
        let mut room = self.lock();
        let Page { seat, after, entries, complete } = page;
        if let Some(log) = room.log() {
            let next = log.page(seat, after, entries, complete, now);
            self.follow(&room, (seat, next), now, rng);
        }
    }

    fn follow(
        &self,
        room: &Room,
        (seat, next): (SeatId, Next),
        now: Instant,
        rng: &mut impl RngCore,
    ) {
        let (items, live, fall) = match next {
            Next::Wait => return,
            Next::Ask(after, device) => {
                let asked = RoomNotice::ReplayAsked(ReplayAsked { seat, device, after });
                // Where the focus has been away for so long, it is asked again later.
                _ = self.focus.notice(Notice::room(room.conference().clone(), asked));
                return;
            }
            Next::Give { items, live, fall } => (items, live, fall),
        };
        let audience = Audience::Seats(vec![seat]);
        let shards = room.reach(&audience);
        let given = To { fall: Some(fall), ..To::everybody(&audience, shards, now) };
        for item in items {
            match item {
                Given::Entry(number, content) => {
                    let to = To { number: Some(number), ..given.clone() };
                    self.send(&to, &content, rng);
                }
                Given::Aside(cpim) => {
                    let to = To { fall: None, ..given.clone() };
                    self.send(&to, &Body::from(cpim), rng);
                }
            }
        }
        let what = match live {
            true => LogErrand::Live { seat, fall },
            false => LogErrand::Drain { seat, fall },
        };
        self.doors.push_all(shards, || Errand::Log { room: self.id, what });
    }

    /// Everything up to there is on disk.
    pub(crate) fn stored(&self, number: Number) {
        let mut room = self.lock();
        if let Some(log) = room.log() {
            log.store(number);
        }
        self.charge_stored(number);
        self.tell_log(&room, LogErrand::Stored(number));
    }

    /// What is on disk is deleted there.
    pub(crate) fn purge(&self) {
        if let Some(log) = self.lock().log() {
            log.purge();
        }
    }

    /// This one could not be stored.
    pub(crate) fn unstored(&self, number: Number) {
        let mut room = self.lock();
        if let Some(log) = room.log() {
            log.fail(number);
        }
        room.forget_seen(number);
        self.charge_unstored(number);
        self.tell_log(&room, LogErrand::Unstored(number));
    }

    pub(super) fn tell_log(&self, room: &Room, what: LogErrand) {
        self.doors.push_all(room.shards(), || Errand::Log { room: self.id, what });
    }

    /// Whether everything up to there is on disk.
    pub(crate) fn is_stored(&self, number: Number) -> bool {
        self.lock().log().is_none_or(|log| log.is_stored(number))
    }

    /// The device at a seat has answered everything up to there.
    pub(crate) fn reached(&self, seat: SeatId, place: Place) {
        let mut room = self.lock();
        let roster = Arc::clone(room.roster());
        if let (Some(person), Some(log)) = (roster.participant(seat), room.log()) {
            log.reach(&person.device, place.number());
        }
    }

    /// The same for a seat that may be over.
    pub(crate) fn reached_last(&self, device: &ids::DeviceId, place: Option<Place>) {
        let mut room = self.lock();
        if let (Some(place), Some(log)) = (place, room.log()) {
            log.reach(device, place.number());
        }
        self.tell_reached(&mut room);
    }

    pub(super) fn tell_reached(&self, room: &mut Room) {
        let moved = room.log().map(crate::room::log::Log::take_moved).unwrap_or_default();
        if !moved.is_empty() {
            self.focus.tell(room, RoomNotice::Reached(moved));
        }
    }

    /// Tells the focus what receivers have answered, and asks again what it has not answered.
    pub(crate) fn tend_log(&self, now: Instant, rng: &mut impl RngCore) {
        if !self.keeps_log() {
            return;
        }
        let mut room = self.lock();
        self.tell_reached(&mut room);
        let overdue = room.log().map(|log| log.overdue(now)).unwrap_or_default();
        for seat in overdue {
            self.go_on(&mut room, seat, now, rng);
        }
    }
}

fn now_ms() -> u64 {
    let since = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
