//! A room's receivers on one shard: a ready list that is rebuilt when membership changes, and the frozen lists of the
//! messages that are passing through.
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use ids::{Number, SeatId};
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
    gone: Rc<Cell<bool>>,
    /// Where it stands in the log of a room that keeps one.
    pub(crate) standing: Rc<Standing>,
}

/// Whether a seat gets what comes.
#[derive(Default)]
pub(crate) struct Standing {
    /// It does not: it is given what it misses.
    pub(crate) behind: Cell<bool>,
    /// How often it fell behind.
    pub(crate) fall: Cell<u32>,
}

impl Route {
    pub(crate) fn new(
        seat: SeatId,
        (address, lane): (Address, Lane),
        connection: Rc<Connection>,
        behind: bool,
    ) -> Self {
        let standing = Rc::new(Standing { behind: Cell::new(behind), fall: Cell::new(0) });
        Self {
            seat,
            address,
            connection,
            lane,
            shares_connection: false,
            gone: Rc::default(),
            standing,
        }
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
    /// Whose messages are not stored yet: by place, the connection and the seat.
    unstored: BTreeSet<(Number, u64, SeatId)>,
    /// Whose charges are not kept yet: by message, the connection and the seat.
    uncharged: BTreeSet<(MessageId, u64, SeatId)>,
}

impl LocalRoom {
    pub(crate) fn new(roster: Arc<Roster>) -> Self {
        Self {
            roster,
            routes: BTreeMap::new(),
            ready: None,
            streams: HashMap::new(),
            unstored: BTreeSet::new(),
            uncharged: BTreeSet::new(),
        }
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

    pub(crate) fn route(&self, seat: SeatId) -> Option<&Route> {
        self.routes.get(&seat)
    }

    /// A sender waits until its message is stored.
    pub(crate) fn note_unstored(&mut self, number: Number, connection: u64, seat: SeatId) {
        self.unstored.insert((number, connection, seat));
    }

    /// A sender waits until its charge is kept.
    pub(crate) fn note_uncharged(&mut self, id: MessageId, connection: u64, seat: SeatId) {
        self.uncharged.insert((id, connection, seat));
    }

    /// Those who wait for the charge of this message.
    pub(crate) fn take_charged(&mut self, id: MessageId) -> Vec<(MessageId, u64, SeatId)> {
        let of_it = (id, 0, SeatId(0))..=(id, u64::MAX, SeatId(u64::MAX));
        self.uncharged.extract_if(of_it, |_| true).collect()
    }

    /// Those who wait for what is stored up to there.
    pub(crate) fn take_stored(&mut self, upto: Number) -> Vec<(Number, u64, SeatId)> {
        self.unstored.extract_if(.., |(number, ..)| *number <= upto).collect()
    }

    /// Those who wait for this one.
    pub(crate) fn take_unstored(&mut self, number: Number) -> Vec<(Number, u64, SeatId)> {
        self.unstored.extract_if(.., |(waits, ..)| *waits == number).collect()
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
            None if stream.first => self.present(parcel),
            // None of those who were here at the first chunk was on this shard.
            None => return Rc::new([]),
        };
        if !stream.is_last() {
            self.streams.insert(stream.id, Rc::clone(&routes));
        }
        routes
    }

    /// The audience of a stream. What is not in the log is for those who get what comes.
    fn present(&mut self, parcel: &Parcel) -> Rc<[Route]> {
        let routes = self.audience(parcel);
        let behind = |route: &Route| route.standing.behind.get();
        if parcel.number.is_some() || parcel.fall.is_some() || !routes.iter().any(behind) {
            return routes;
        }
        routes.iter().filter(|route| !behind(route)).cloned().collect()
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
    /// Whether it is not for a seat that stands like this in the log.
    pub(crate) fn passes_over(&self, standing: &Standing) -> bool {
        match self.fall {
            Some(fall) => standing.fall.get() != fall,
            None => self.number.is_some() && standing.behind.get(),
        }
    }

    /// Whether a seat is of the audience.
    pub(crate) fn is_for(&self, seat: SeatId) -> bool {
        match &self.audience {
            Audience::Room => true,
            Audience::Seats(seats) => seats.contains(&seat),
        }
    }
}
