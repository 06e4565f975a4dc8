//! A room's receivers on one shard: a ready list that is rebuilt when membership changes, and the frozen lists of the
//! messages that are passing through.
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use ids::SeatId;
use msrp::{Address, MessageId};

use crate::connection::Connection;
use crate::doors::Parcel;
use crate::outbox::Lane;
use crate::room::Roster;
use crate::session::Audience;

/// One receiver.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) seat: SeatId,
    /// Its paths, encoded once.
    pub(crate) address: Address,
    pub(crate) connection: Rc<Connection>,
    /// The session among those of its connection.
    pub(crate) lane: Lane,
    /// Another seat of the room is on the same connection, so this one needs transaction ids of its own.
    pub(crate) shares_connection: bool,
    /// Whether the seat ended; frozen lists ask.
    gone: Rc<std::cell::Cell<bool>>,
}

impl Route {
    pub(crate) fn new(
        seat: SeatId,
        (address, lane): (Address, Lane),
        connection: Rc<Connection>,
    ) -> Self {
        let gone = Rc::default();
        Self { seat, address, connection, lane, shares_connection: false, gone }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
    }
}

/// A room as one shard knows it.
pub(crate) struct LocalRoom {
    pub(crate) roster: Arc<Roster>,
    routes: BTreeMap<SeatId, Route>,
    /// None after a change, until somebody asks.
    ready: Option<Rc<[Route]>>,
    streams: HashMap<MessageId, Rc<[Route]>>,
}

impl LocalRoom {
    pub(crate) fn new(roster: Arc<Roster>) -> Self {
        Self { roster, routes: BTreeMap::new(), ready: None, streams: HashMap::new() }
    }

    pub(crate) fn add(&mut self, mut route: Route) {
        let same = |other: &Route| Rc::ptr_eq(&other.connection, &route.connection);
        route.shares_connection = self.routes.values().any(same);
        self.routes.insert(route.seat, route);
        self.ready = None;
    }

    pub(crate) fn remove(&mut self, seat: SeatId) -> Option<Route> {
        let route = self.routes.remove(&seat)?;
        route.gone.set(true);
        self.ready = None;
        Some(route)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Everybody, for this moment.
    pub(crate) fn ready(&mut self) -> Rc<[Route]> {
        let routes = &self.routes;
        Rc::clone(self.ready.get_or_insert_with(|| routes.values().cloned().collect()))
    }

    /// Who gets this chunk: whoever is here, or of a streamed message whoever was here at its first chunk
    /// (RFC 7701, 6.1).
    pub(crate) fn receivers(&mut self, parcel: &Parcel) -> Rc<[Route]> {
        let Some(stream) = parcel.stream else {
            return if parcel.deaf.is_none() { self.ready() } else { self.audience(parcel) };
        };
        let routes = match self.streams.remove(&stream.id) {
            Some(frozen) => frozen,
            None if stream.first => self.audience(parcel),
            // None of those who were here at the first chunk was on this shard.
            None => return Rc::new([]),
        };
        if !stream.is_last() {
            self.streams.insert(stream.id, Rc::clone(&routes));
        }
        routes
    }

    fn audience(&mut self, parcel: &Parcel) -> Rc<[Route]> {
        match &parcel.audience {
            Audience::Room => match &parcel.deaf {
                None => self.ready(),
                Some(deaf) => {
                    let hears = |route: &&Route| deaf.binary_search(&route.seat).is_err();
                    self.routes.values().filter(hears).cloned().collect()
                }
            },
            Audience::Seats(seats) => {
                seats.iter().filter_map(|seat| self.routes.get(seat).cloned()).collect()
            }
        }
    }

    /// How many messages are passing through.
    #[cfg(test)]
    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn into_routes(self) -> Vec<Route> {
        let routes: Vec<Route> = self.routes.into_values().collect();
        routes.iter().for_each(|route| route.gone.set(true));
        routes
    }
}

impl Parcel {
    /// Whether a seat is of the audience.
    pub(crate) fn is_for(&self, seat: SeatId) -> bool {
        match &self.audience {
            Audience::Room => true,
            Audience::Seats(seats) => seats.contains(&seat),
        }
    }
}
