//! One thread's part of the relay: its connections, the routes of its rooms, and the errands at its door. A chunk is
//! handed in once and fanned out here, without a lock and without waking a task for each receiver; then everything
//! that was queued leaves, one write for each connection. What a room allows is for `room`.
mod behind;
mod local;
#[cfg(feature = "planted-faults")]
mod plant;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use control::Cause;
use ids::SeatId;
use msrp::TransactionId;
use prometheus::IntCounter;
use rand::rngs::StdRng;
use service::{clock, shutdown::Shutdown};

pub(crate) use local::{LocalRoom, Route};

use crate::connection::{self, Connection, Offered, onward};
use crate::dial::{self, Pool};
use crate::doors::{Door, Errand, Parcel};
use crate::metrics::{ByTransport, Metrics, Traffic};
use crate::plane::{self, Plane};
use crate::relay::{Relay, RoomId};
use crate::room::Roster;
use crate::writer::Room;

/// One shard.
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) plane: Arc<Plane>,
    door: Arc<Door>,
    /// Sealed octets pass through here on their way in; one buffer serves all connections.
    pub(crate) buffer: RefCell<Vec<u8>>,
    /// Opened octets of which nobody kept any: their room, for the next batch.
    pub(crate) spare: RefCell<BytesMut>,
    /// What is sealed passes through here on its way out.
    pub(crate) room: RefCell<Room>,
    pub(crate) rng: RefCell<StdRng>,
    rooms: RefCell<HashMap<RoomId, LocalRoom>>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
    /// Those that the relay opened.
    pub(crate) dialled: RefCell<Pool>,
    /// When the chunks of this round were ready.
    round: RefCell<Vec<Instant>>,
    /// Connections with something to write.
    dirty: RefCell<Vec<Rc<Connection>>>,
    /// Both empty but for their room, while nothing is settled.
    errands: RefCell<Vec<Errand>>,
    flushing: RefCell<Vec<Rc<Connection>>>,
    /// Whatever is marked dirty now is looked at before this ends.
    settling: Cell<bool>,
    last_connection: Cell<u64>,
    pub(crate) tally: Tally,
}

/// What was counted since the shared counters were told: they are common to all shards, and dear in a crowd.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) traffic: ByTransport<Traffic<Cell<u64>>>,
    pub(crate) writes: Cell<u64>,
}

impl Tally {
    fn tell(&self, metrics: &Metrics) {
        for (counted, counters) in self.traffic.beside(&metrics.traffic) {
            tell(&counted.chunks_in, &counters.chunks_in);
            tell(&counted.chunks_out, &counters.chunks_out);
            tell(&counted.octets_in, &counters.octets_in);
            tell(&counted.octets_out, &counters.octets_out);
        }
        tell(&self.writes, &metrics.writes);
    }
}

fn tell(counted: &Cell<u64>, counter: &IntCounter) {
    match counted.take() {
        0 => {}
        counted => counter.inc_by(counted),
    }
}

/// One more of something.
pub(crate) fn count(counted: &Cell<u64>) {
    counted.update(|sum| sum + 1);
}

/// How long receivers have for what waits for them when the relay ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often time-outs are looked at. They are seconds long, so this much late is early enough.
const TICK: Duration = Duration::from_millis(250);

/// Fewer receivers than this count together with other shards.
const SHARED_MAX: usize = 4;

/// Room for errands that a quiet shard keeps.
const ERRANDS_KEPT_MAX: usize = 1024;

/// Starts the thread of a shard; it ends when `shutdown` says so.
pub(crate) fn spawn(
    index: usize,
    plane: Arc<Plane>,
    shutdown: Shutdown,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
        let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match built {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, index, "a shard has no runtime");
                shutdown.trigger();
                return;
            }
        };
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            if let Some(shard) = Shard::new(index, plane) {
                Rc::new(shard).run(shutdown).await;
            }
        });
    })
}

impl Shard {
    fn new(index: usize, plane: Arc<Plane>) -> Option<Self> {
        let door = Arc::clone(plane.doors.door(index)?);
        Some(Self {
            index,
            door,
            buffer: RefCell::new(vec![0; plane.limits.read_octets]),
            spare: RefCell::default(),
            room: RefCell::default(),
            rng: RefCell::new(plane::random()),
            rooms: RefCell::default(),
            connections: RefCell::default(),
            dialled: RefCell::default(),
            round: RefCell::default(),
            dirty: RefCell::default(),
            errands: RefCell::default(),
            flushing: RefCell::default(),
            settling: Cell::new(false),
            last_connection: Cell::new(0),
            tally: Tally::default(),
            plane,
        })
    }

    async fn run(self: Rc<Self>, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut until = None;
        loop {
            tokio::select! {
                () = self.door.knocked() => {}
                _ = ticks.tick() => self.tick(clock::now()),
                () = shutdown.triggered(), if until.is_none() => until = Some(clock::now() + FAREWELL),
            }
            self.settle();
            // What was answered with 200 is owed to those who have not had it yet.
            if until.is_some_and(|until| self.owes_nothing() || clock::now() >= until) {
                break;
            }
        }
        self.end();
        // Their tasks have said goodbye when they are polled once more.
        tokio::task::yield_now().await;
    }

    /// Does what waits at the door, then sends what that and the input of connections have queued.
    fn settle(self: &Rc<Self>) {
        self.settling.set(true);
        let mut errands = self.errands.take();
        loop {
            self.door.take(&mut errands);
            if errands.is_empty() {
                break;
            }
            let now = clock::now();
            errands.drain(..).for_each(|errand| self.run_errand(errand, now));
        }
        errands.shrink_to(ERRANDS_KEPT_MAX);
        self.errands.replace(errands);
        self.plane.doors.relieve();
        let mut dirty = self.flushing.take();
        loop {
            std::mem::swap(&mut *self.dirty.borrow_mut(), &mut dirty);
            if dirty.is_empty() {
                break;
            }
            dirty.drain(..).for_each(|connection| connection.flush(self));
        }
        self.flushing.replace(dirty);
        self.settling.set(false);
        self.measure_round();
        self.tally.tell(&self.plane.metrics);
    }

    fn measure_round(&self) {
        let mut round = self.round.borrow_mut();
        if round.is_empty() {
            return;
        }
        let now = clock::now();
        for ready in round.drain(..) {
            let took = now.saturating_duration_since(ready);
            self.plane.metrics.relay_seconds.observe(took.as_secs_f64());
        }
    }

    fn run_errand(self: &Rc<Self>, errand: Errand, now: Instant) {
        match errand {
            Errand::Serve(newcomer) => connection::serve(self, newcomer, now),
            Errand::Displaced { connection } => self.with(connection, |it| it.displaced()),
            Errand::Relay(parcel) => self.fan_out(&parcel),
            Errand::Bound { room, seat, connection, roster, behind } => {
                self.add_route((room, roster), (seat, behind), connection);
            }
            Errand::Log { room, what } => self.tend_log(room, what, now),
            Errand::Roster { room, roster } => {
                if let Some(local) = self.rooms.borrow_mut().get_mut(&room) {
                    local.roster = roster;
                }
            }
            Errand::Unseated { room, seat } => {
                if let Some(route) = self.remove_route(room, seat) {
                    route.connection.unseated(self, room, seat);
                }
            }
            Errand::Named { room, seat } => {
                let route = self.routes(room).iter().find(|route| route.seat == seat).cloned();
                if let Some(route) = route {
                    route.connection.named(self, room, seat);
                }
            }
            Errand::Dial { seat, to } => {
                tokio::task::spawn_local(dial::seat(Rc::clone(self), seat, to));
            }
            Errand::GateMoved { room } => {
                let routes = self.routes(room);
                for route in routes.iter() {
                    route.connection.gate_moved(self, room, route.seat, now);
                }
            }
            Errand::Closed { room } => {
                let local = self.rooms.borrow_mut().remove(&room);
                for route in local.into_iter().flat_map(LocalRoom::into_routes) {
                    route.connection.unseated(self, room, route.seat);
                }
            }
            Errand::Onward(onward) => match self.connection(onward.connection) {
                Some(connection) => connection.take_onward(self, *onward),
                None => onward::undeliverable(self, *onward),
            },
            Errand::Failed(failure) => {
                if let Some(connection) = self.connection(failure.source.origin.spot.connection) {
                    connection.failed(self, &failure);
                }
            }
            Errand::Back { connection, frame } => {
                if let Some(connection) = self.connection(connection) {
                    connection.answered_back(frame, self);
                }
            }
            Errand::Pass { connection, passing } => match self.connection(connection) {
                Some(connection) => connection.pass(self, *passing),
                None => connection::undeliverable(self, *passing),
            },
            Errand::Return { connection, returning } => {
                self.with(connection, |it| it.give_back_to(self, *returning));
            }
            Errand::Auth { connection, answer } => {
                self.with(connection, |it| it.auth_answered(self, &answer, now));
            }
            Errand::Nickname { room, seat, request, status } => {
                let route = self.routes(room).iter().find(|route| route.seat == seat).cloned();
                if let Some(route) = route {
                    route.connection.nickname_answered(self, (room, seat), request, status);
                }
            }
        }
    }

    /// Gives one chunk to everybody of its audience who is here.
    fn fan_out(self: &Rc<Self>, parcel: &Parcel) {
        let routes = match self.rooms.borrow_mut().get_mut(&parcel.room) {
            Some(local) => local.receivers(parcel),
            None => return,
        };
        // Each frame counts as one more holder of its payload, so where shards share it they count apart.
        let alone = self.plane.doors.count() == 1 || routes.len() < SHARED_MAX;
        let payload = if alone { parcel.payload.clone() } else { parcel.payload.apart() };
        let part = parcel.part();
        for route in routes.iter() {
            if Some(route.seat) == parcel.except || !parcel.is_for(route.seat) || route.is_gone() {
                continue;
            }
            if parcel.passes_over(&route.standing) {
                continue;
            }
            let frame = if route.shares_connection {
                let id = TransactionId::random(&mut *self.rng.borrow_mut());
                payload.under(id).to(&route.address)
            } else {
                payload.to(&route.address)
            };
            #[cfg(feature = "planted-faults")]
            let frames = plant::befall((parcel.room, route.seat), frame);
            #[cfg(not(feature = "planted-faults"))]
            let frames = [frame];
            for frame in frames {
                match route.connection.offer((route.lane, part), frame, self) {
                    Offered::Taken => {
                        count(&self.tally.traffic.of(route.connection.transport).chunks_out);
                    }
                    Offered::Left => {}
                    Offered::Full => self.too_slow(parcel, route),
                }
            }
        }
        self.round.borrow_mut().push(parcel.ready);
    }

    fn add_route(
        &self,
        (room, roster): (RoomId, Arc<Roster>),
        (seat, behind): (SeatId, bool),
        connection: u64,
    ) {
        let connection = self.connection(connection);
        if let Some(connection) = connection
            && let Some(way) = connection.way_to(room, seat)
        {
            // The room may have lost its last route here since the seat was taken, and with it its entry.
            let mut rooms = self.rooms.borrow_mut();
            let local = rooms.entry(room).or_insert_with(|| LocalRoom::new(roster));
            local.add(Route::new(seat, way, connection, behind));
        }
    }

    /// Does this to a connection, if it is still there.
    fn with(&self, number: u64, act: impl FnOnce(&Rc<Connection>)) {
        if let Some(connection) = self.connection(number) {
            act(&connection);
        }
    }

    fn connection(&self, number: u64) -> Option<Rc<Connection>> {
        self.connections.borrow().get(&number).cloned()
    }

    pub(crate) fn remove_route(&self, room: RoomId, seat: SeatId) -> Option<Route> {
        let mut rooms = self.rooms.borrow_mut();
        let local = rooms.get_mut(&room)?;
        let route = local.remove(seat);
        if local.is_empty() {
            rooms.remove(&room);
        }
        route
    }

    fn routes(&self, room: RoomId) -> Rc<[Route]> {
        match self.rooms.borrow_mut().get_mut(&room) {
            Some(local) => local.ready(),
            None => Rc::new([]),
        }
    }

    /// The people of a room, as this shard knows them.
    pub(crate) fn roster(&self, relay: &Relay) -> Arc<Roster> {
        let mut rooms = self.rooms.borrow_mut();
        let local = rooms
            .entry(relay.id)
            .or_insert_with(|| LocalRoom::new(Arc::clone(relay.lock().roster())));
        Arc::clone(&local.roster)
    }

    /// A session of this shard has joined the room, with these people.
    pub(crate) fn note_roster(&self, relay: &Relay, roster: Arc<Roster>) {
        let mut rooms = self.rooms.borrow_mut();
        let known = rooms.entry(relay.id).or_insert_with(|| LocalRoom::new(Arc::clone(&roster)));
        known.roster = roster;
    }

    /// Enters a connection and gives it a number.
    pub(crate) fn enter(&self, make: impl FnOnce(u64) -> Connection) -> Rc<Connection> {
        let number = self.last_connection.get() + 1;
        self.last_connection.set(number);
        let connection = Rc::new(make(number));
        self.connections.borrow_mut().insert(number, Rc::clone(&connection));
        connection
    }

    /// A connection has ended, and with it its sessions.
    pub(crate) fn leave(&self, connection: &Connection, seats: &[(RoomId, SeatId)]) {
        self.connections.borrow_mut().remove(&connection.number);
        for (room, seat) in seats {
            drop(self.remove_route(*room, *seat));
        }
        connection.give_back();
        self.plane.metrics.connections.of(connection.transport).dec();
        self.plane.leave(self.index);
    }

    /// A connection has something to write: it does so when the errands at hand are done.
    pub(crate) fn mark_dirty(&self, connection: Rc<Connection>) {
        let mut dirty = self.dirty.borrow_mut();
        if dirty.is_empty() && !self.settling.get() {
            self.door.nudge();
        }
        dirty.push(connection);
    }

    fn tick(&self, now: Instant) {
        let connections: Vec<_> = self.connections.borrow().values().cloned().collect();
        connections.iter().for_each(|connection| connection.tick(self, now));
    }

    /// Whether everything has left and is answered for.
    fn owes_nothing(&self) -> bool {
        self.connections.borrow().values().all(|connection| connection.owes_nothing())
    }

    fn end(&self) {
        let connections: Vec<_> = self.connections.borrow().values().cloned().collect();
        connections.iter().for_each(|connection| connection.end(Cause::Disconnected));
    }
}

#[cfg(test)]
mod tests;
