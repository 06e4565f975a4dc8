//! Seats of rooms that keep a log: one that is too slow is not closed, it falls behind and is given what it misses. Who is
//! behind, and what follows for whom, is for the room; here it is told what its receivers took.
use std::rc::Rc;
use std::time::Instant;

use ids::{Number, SeatId};
use msrp::MessageId;

use super::{Route, Shard};
use crate::doors::{LogErrand, Parcel};
use crate::outbox::Tag;
use crate::relay::RoomId;

impl Shard {
    /// A sender of this shard waits until its message is stored.
    pub(crate) fn note_unstored(
        &self,
        room: RoomId,
        number: Number,
        (connection, seat): (u64, SeatId),
    ) {
        if let Some(local) = self.rooms.borrow_mut().get_mut(&room) {
            local.note_unstored(number, connection, seat);
        }
    }

    /// A sender of this shard waits until the charge of its message is kept.
    pub(crate) fn note_uncharged(
        &self,
        room: RoomId,
        id: MessageId,
        (connection, seat): (u64, SeatId),
    ) {
        if let Some(local) = self.rooms.borrow_mut().get_mut(&room) {
            local.note_uncharged(id, connection, seat);
        }
    }

    /// The charge of a message is kept.
    fn charged(self: &Rc<Self>, room: RoomId, id: MessageId) {
        let local = self.rooms.borrow_mut().get_mut(&room).map(|it| it.take_charged(id));
        for (_, connection, seat) in local.into_iter().flatten() {
            self.with(connection, |it| it.charged(self, (room, seat), id));
        }
    }

    /// A receiver has no room for a chunk.
    pub(super) fn too_slow(self: &Rc<Self>, parcel: &Parcel, route: &Route) {
        let Some(number) = parcel.number else {
            return route.connection.too_slow(self, "full");
        };
        if let Some(stream) = parcel.stream.filter(|stream| !stream.first) {
            // It is given all of it again.
            route.connection.cut_short(self, route.lane, Tag::of(stream.id));
        }
        let before = Number { n: number.n.saturating_sub(1), ..number };
        self.fall_behind(parcel.room, route, before);
    }

    /// A seat was sent everything up to `position`, and is sent no more.
    fn fall_behind(self: &Rc<Self>, room: RoomId, route: &Route, position: Number) {
        route.standing.behind.set(true);
        route.standing.fall.update(|fall| fall.wrapping_add(1));
        self.plane.metrics.fallen_behind.inc();
        route.connection.fall_behind(self, (room, route.seat), position, route.standing.fall.get());
    }

    pub(super) fn tend_log(self: &Rc<Self>, room: RoomId, what: LogErrand, now: Instant) {
        match what {
            LogErrand::Live { seat, fall } => {
                if let Some(route) = self.standing_like_this(room, seat, fall) {
                    route.standing.behind.set(false);
                }
            }
            LogErrand::Drain { seat, fall } => {
                if let Some(route) = self.standing_like_this(room, seat, fall) {
                    route.connection.drain(self, (room, seat), now);
                }
            }
            LogErrand::Hold { seat, position } => {
                let route = self.route(room, seat);
                if let Some(route) = route.filter(|route| !route.standing.behind.get()) {
                    self.fall_behind(room, &route, position);
                }
            }
            LogErrand::Stored(upto) => {
                let local = self.rooms.borrow_mut().get_mut(&room).map(|it| it.take_stored(upto));
                for (number, connection, seat) in local.into_iter().flatten() {
                    self.with(connection, |it| it.stored(self, (room, seat), number));
                }
            }
            LogErrand::Charged(id) => self.charged(room, id),
            LogErrand::Unstored(number) => {
                let mut rooms = self.rooms.borrow_mut();
                let local = rooms.get_mut(&room).map(|it| it.take_unstored(number));
                drop(rooms);
                for (number, connection, seat) in local.into_iter().flatten() {
                    self.with(connection, |it| it.unstored(self, (room, seat), number));
                }
            }
        }
    }

    fn route(&self, room: RoomId, seat: SeatId) -> Option<Route> {
        self.rooms.borrow().get(&room)?.route(seat).cloned()
    }

    /// The seat, if it has not fallen behind once more.
    fn standing_like_this(&self, room: RoomId, seat: SeatId, fall: u32) -> Option<Route> {
        self.route(room, seat).filter(|route| route.standing.fall.get() == fall)
    }
}
