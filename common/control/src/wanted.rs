//! The state that a relay should have, folded from orders. What happens once is not here.
use std::collections::BTreeMap;
use std::time::Duration;

use ids::{ConferenceId, SeatId};

use crate::bad::Overfull;
use crate::order::{Order, Room, RoomOrder, Seat};

/// How much each end of a link may hold back for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Broadcasts, deliveries and answers that the relay has not carried out, and notices that the focus has not
    /// acknowledged: how many. The default, 16,384, is some seconds of a large deployment.
    pub waiting_max: usize,
    /// The same in octets of bodies. The default, 64 MiB, is sixteen of the largest MLS bundles.
    pub waiting_octets_max: usize,
    /// Frames made and not yet fetched by `poll`, beyond the full resend. A link that falls further behind
    /// breaks, and catches up by the full resend. The default is 65,536.
    pub queue_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting_max: 16_384, waiting_octets_max: 64 * 1024 * 1024, queue_max: 65_536 }
    }
}

#[derive(Debug)]
struct WantedRoom {
    room: Room,
    seats: BTreeMap<SeatId, Seat>,
}

#[derive(Debug, Default)]
pub(crate) struct Wanted {
    rooms: BTreeMap<ConferenceId, WantedRoom>,
    drain: Option<Duration>,
}

impl Wanted {
    /// Folds one order in, or says that it makes no sense and changes nothing.
    pub(crate) fn fold(&mut self, order: &Order) -> Result<(), Overfull> {
        let (conference, order) = match order {
            Order::Drain { deadline } => {
                self.drain = Some(*deadline);
                return Ok(());
            }
            Order::Auth(_) => return Ok(()),
            Order::Room { conference, order } => (conference, order),
        };
        if let RoomOrder::Open(room) = order {
            self.open(conference, room);
            return Ok(());
        }
        let Some(wanted) = self.rooms.get_mut(conference) else {
            // What should not be, is not.
            let ends = matches!(order, RoomOrder::Close { .. } | RoomOrder::Unseat { .. });
            return if ends { Ok(()) } else { Err(Overfull::NoRoom) };
        };
        match order {
            RoomOrder::Close { .. } => {
                self.rooms.remove(conference);
            }
            RoomOrder::Seat(seat) => {
                wanted.seats.insert(seat.seat, seat.clone());
            }
            RoomOrder::Unseat { seat, .. } => {
                wanted.seats.remove(seat);
            }
            RoomOrder::Gate(gate) | RoomOrder::Broadcast { gate: Some(gate), .. } => {
                wanted.room.gate = Some(*gate);
            }
            RoomOrder::Stored(number) => wanted.room.stored = wanted.room.stored.max(Some(*number)),
            RoomOrder::Open(_)
            | RoomOrder::Broadcast { gate: None, .. }
            | RoomOrder::Deliver { .. }
            | RoomOrder::Unstored(_)
            | RoomOrder::Purge
            | RoomOrder::Page(_)
            | RoomOrder::NicknameAnswer { .. } => {}
        }
        Ok(())
    }

    fn open(&mut self, conference: &ConferenceId, room: &Room) {
        match self.rooms.get_mut(conference) {
            Some(wanted) => {
                // What is stored stays so, whoever repeats how the room began.
                let stored = room
                    .stored
                    .map(|stored| wanted.room.stored.map_or(stored, |was| was.max(stored)));
                wanted.room = Room { stored, ..room.clone() };
            }
            None => {
                let wanted = WantedRoom { room: room.clone(), seats: BTreeMap::new() };
                self.rooms.insert(conference.clone(), wanted);
            }
        }
    }

    pub(crate) fn has_room(&self, conference: &ConferenceId) -> bool {
        self.rooms.contains_key(conference)
    }

    pub(crate) fn has_seat(&self, conference: &ConferenceId, seat: SeatId) -> bool {
        self.rooms.get(conference).is_some_and(|room| room.seats.contains_key(&seat))
    }

    /// The orders that bring a relay which knows nothing, or anything, to this state.
    pub(crate) fn orders(&self) -> impl Iterator<Item = Order> {
        let drain = self.drain.map(|deadline| Order::Drain { deadline });
        let rooms = self.rooms.iter().flat_map(|(conference, wanted)| {
            let open = RoomOrder::Open(wanted.room.clone());
            let seats = wanted.seats.values().cloned().map(RoomOrder::Seat);
            std::iter::once(open).chain(seats).map(|order| Order::room(conference.clone(), order))
        });
        drain.into_iter().chain(rooms)
    }
}
