//! Who is where, for every thread: rooms by conference, seats by session-id, connections by address. The only file
//! that names dashmap; everything it hands out is a clone, so no guard leaves it.
use std::net::IpAddr;
use std::sync::Arc;

use control::{Match, Transport};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use ids::{ConferenceId, SeatId};
use msrp::{Path, Uri};
use service::tls::Named;

use crate::relay::Relay;

/// What a session-id stands for. It is made when the seat is, and ends with it.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) relay: Arc<Relay>,
    pub(crate) seat: SeatId,
    /// What its connection must be.
    pub(crate) transport: Transport,
    /// The URI we handed out.
    pub(crate) own: Uri,
    /// The participant's `a=path`, once the focus knows it.
    pub(crate) peer: Option<Path>,
    /// How much of the paths in a request must be these.
    pub(crate) matching: Match,
    /// The certificates its connection may show. None: any, and none.
    pub(crate) named: Option<Arc<Named>>,
    /// The relay has set out to connect to the participant.
    pub(crate) dialled: bool,
}

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    rooms: DashMap<ConferenceId, Arc<Relay>>,
    tickets: DashMap<String, Ticket>,
    /// The way back from a seat to its session-id.
    session_ids: DashMap<(ConferenceId, SeatId), String>,
    addresses: Arc<DashMap<IpAddr, usize>>,
}

impl Registry {
    /// The room of a conference.
    pub(crate) fn room(&self, conference: &ConferenceId) -> Option<Arc<Relay>> {
        self.rooms.get(conference).map(|room| Arc::clone(&room))
    }

    /// Every room.
    pub(crate) fn rooms(&self) -> Vec<Arc<Relay>> {
        self.rooms.iter().map(|room| Arc::clone(&room)).collect()
    }

    /// How many rooms there are.
    pub(crate) fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// How many addresses have connections.
    #[cfg(test)]
    pub(crate) fn address_count(&self) -> usize {
        self.addresses.len()
    }

    pub(crate) fn add_room(&self, conference: ConferenceId, relay: Arc<Relay>) {
        self.rooms.insert(conference, relay);
    }

    pub(crate) fn remove_room(&self, conference: &ConferenceId) -> Option<Arc<Relay>> {
        self.rooms.remove(conference).map(|(_, relay)| relay)
    }

    /// What a session-id of a To-Path stands for.
    pub(crate) fn ticket(&self, session_id: &str) -> Option<Ticket> {
        self.tickets.get(session_id).map(|ticket| ticket.clone())
    }

    /// The ticket of a seat.
    pub(crate) fn ticket_of(&self, conference: &ConferenceId, seat: SeatId) -> Option<Ticket> {
        let session_id = self.session_ids.get(&(conference.clone(), seat))?.clone();
        self.ticket(&session_id)
    }

    /// How many seats there are.
    pub(crate) fn seat_count(&self) -> usize {
        self.tickets.len()
    }

    pub(crate) fn add_ticket(&self, conference: &ConferenceId, session_id: String, ticket: Ticket) {
        self.session_ids.insert((conference.clone(), ticket.seat), session_id.clone());
        self.tickets.insert(session_id, ticket);
    }

    /// The focus has learned the participant's path, and how it is compared.
    pub(crate) fn set_peer(
        &self,
        conference: &ConferenceId,
        seat: SeatId,
        (peer, matching): (Path, Match),
    ) {
        let session_id = self.session_ids.get(&(conference.clone(), seat)).map(|id| id.clone());
        if let Some(session_id) = session_id
            && let Some(mut ticket) = self.tickets.get_mut(&session_id)
        {
            (ticket.peer, ticket.matching) = (Some(peer), matching);
        }
    }

    /// The focus has learned which certificates the participant may show. True: others than before.
    pub(crate) fn set_named(
        &self,
        conference: &ConferenceId,
        seat: SeatId,
        named: Option<Arc<Named>>,
    ) -> bool {
        let set = |ticket: &mut Ticket| {
            let other = ticket.named != named;
            ticket.named = named;
            other
        };
        self.change(conference, seat, set).unwrap_or(false)
    }

    /// Where to connect to for a seat, the first time that it is asked and known.
    pub(crate) fn start_dial(&self, conference: &ConferenceId, seat: SeatId) -> Option<Uri> {
        let start = |ticket: &mut Ticket| {
            let first = ticket.peer.as_ref()?.first().clone();
            (!std::mem::replace(&mut ticket.dialled, true)).then_some(first)
        };
        self.change(conference, seat, start).flatten()
    }

    fn change<T>(
        &self,
        conference: &ConferenceId,
        seat: SeatId,
        change: impl FnOnce(&mut Ticket) -> T,
    ) -> Option<T> {
        let session_id = self.session_ids.get(&(conference.clone(), seat)).map(|id| id.clone())?;
        self.tickets.get_mut(&session_id).map(|mut ticket| change(&mut ticket))
    }

    /// A seat of this room ended: its session-id stands for nothing from now on. A conference that was closed and opened
    /// again may have the same seat by now, with another ticket, which stays.
    pub(crate) fn remove_ticket(&self, relay: &Relay, conference: &ConferenceId, seat: SeatId) {
        let key = (conference.clone(), seat);
        let Some(session_id) = self.session_ids.get(&key).map(|id| id.clone()) else { return };
        let of_room = |_: &String, ticket: &Ticket| ticket.relay.id == relay.id;
        if self.tickets.remove_if(&session_id, of_room).is_some() {
            self.session_ids.remove_if(&key, |_, id| *id == session_id);
        }
    }

    /// A place among the connections of an address, if it has one left. Dropping the slot gives it back.
    pub(crate) fn slot(&self, address: IpAddr, slots_max: usize) -> Option<AddressSlot> {
        let mut used = self.addresses.entry(address).or_insert(0);
        if *used >= slots_max {
            return None;
        }
        *used += 1;
        Some(AddressSlot { addresses: Arc::clone(&self.addresses), address })
    }
}

/// A connection's place among those of its address.
#[derive(Debug)]
pub(crate) struct AddressSlot {
    addresses: Arc<DashMap<IpAddr, usize>>,
    address: IpAddr,
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        if let Entry::Occupied(mut used) = self.addresses.entry(self.address) {
            *used.get_mut() -= 1;
            if *used.get() == 0 {
                used.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_slots_and_gets_them_back() {
        let registry = Registry::default();
        let here: IpAddr = [127, 0, 0, 1].into();

        let first = registry.slot(here, 2);
        let second = registry.slot(here, 2);
        assert!(first.is_some() && second.is_some() && registry.slot(here, 2).is_none());
        assert!(registry.slot([127, 0, 0, 2].into(), 2).is_some());
        drop(first);

        assert!(registry.slot(here, 2).is_some());
        drop(second);
        assert!(registry.addresses.is_empty());
    }
}
