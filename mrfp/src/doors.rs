//! The doors of the shards: what another thread wants of a shard is handed in here, one errand for each shard and
//! publish, never one for each receiver. What a shard does with an errand is in `shard`.
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use control::{AuthAnswer, Transport};
use ids::{ConferenceId, Number, SeatId};
use msrp::{Flag, Frame, MessageId, Payload};
use tokio::sync::Notify;

use crate::connection::{Passing, Returning};
use crate::forward::Failure;
use crate::outbox::{Part, Place as Placed, Tag};
use crate::pair::Origin;
use crate::pair::legs::Onward;
use crate::places::Place;
use crate::registry::AddressSlot;
use crate::relay::RoomId;
use crate::room::{Roster, Shards};
use crate::session::Audience;

/// Something for a shard to do.
#[derive(Debug)]
pub(crate) enum Errand {
    /// A connection to serve.
    Serve(Newcomer),
    /// A connection without a seat lost its place to another.
    Displaced { connection: u64 },
    /// A chunk for whoever of its audience is here.
    Relay(Arc<Parcel>),
    /// A seat of a connection of this shard gets chunks from now on.
    Bound { room: RoomId, seat: SeatId, connection: u64, roster: Arc<Roster>, behind: bool },
    /// What concerns the log of a room.
    Log { room: RoomId, what: LogErrand },
    /// The room's people changed.
    Roster { room: RoomId, roster: Arc<Roster> },
    /// A seat ended, by order.
    Unseated { room: RoomId, seat: SeatId },
    /// Another epoch may pass: what waits is tried again, what is stale ends.
    GateMoved { room: RoomId },
    /// The room and all its seats ended.
    Closed { room: RoomId },
    /// A request for the next hop.
    Onward(Box<Onward>),
    /// A connection's chunk did not arrive.
    Failed(Box<Failure<Origin>>),
    /// An answer that came from the next hop, for a connection.
    Back { connection: u64, frame: Frame },
    /// Signalling named certificates for a seat that may be in use.
    Named { room: RoomId, seat: SeatId },
    /// Connect to the participant of a seat, at its path or at this `host:port`.
    Dial { seat: (ConferenceId, SeatId), to: Option<String> },
    /// Something passes through, over a connection of this shard.
    Pass { connection: u64, passing: Box<Passing> },
    /// Something comes back to a connection that sent something through.
    Return { connection: u64, returning: Box<Returning> },
    /// The focus answered an AUTH of a connection.
    Auth { connection: u64, answer: Box<AuthAnswer> },
    /// The focus answered a NICKNAME.
    Nickname { room: RoomId, seat: SeatId, request: u64, status: u16 },
}

/// Something to do in a room that keeps a log, or is charged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LogErrand {
    /// The seat gets what comes from now on, if it has not fallen behind meanwhile.
    Live { seat: SeatId, fall: u32 },
    /// The relay waits until the seat has answered what it was given.
    Drain { seat: SeatId, fall: u32 },
    /// The seat is on hold from this place on.
    Hold { seat: SeatId, position: Number },
    /// Everything up to there is stored.
    Stored(Number),
    /// This one is not, and will not be.
    Unstored(Number),
    /// The charge of this message is kept.
    Charged(MessageId),
}

/// An accepted socket, with its places: among the connections of its address, and among those without a seat.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) address: IpAddr,
    /// What the listener speaks that it came in by.
    pub(crate) transport: Transport,
    pub(crate) slot: AddressSlot,
    pub(crate) half_open: Place,
}

/// One chunk on its way to the receivers of one room. All shards share it.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) room: RoomId,
    pub(crate) audience: Audience,
    /// The sending session gets no copy.
    pub(crate) except: Option<SeatId>,
    /// Who does not take its content, in order. Only its first chunk says so, which chooses the receivers.
    pub(crate) deaf: Option<Arc<[SeatId]>>,
    pub(crate) payload: Payload,
    pub(crate) stream: Option<Stream>,
    /// Its place in a room that keeps a log.
    pub(crate) number: Option<Number>,
    /// It is given again: to a seat that has fallen behind this often.
    pub(crate) fall: Option<u32>,
    /// When the relay had all of it.
    pub(crate) ready: Instant,
}

/// The place of a chunk in a streamed message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) id: MessageId,
    /// The receivers are chosen now, and stay.
    pub(crate) first: bool,
    /// Whether more follows.
    pub(crate) flag: Flag,
}

impl Stream {
    /// Nothing follows.
    pub(crate) fn is_last(&self) -> bool {
        self.flag != Flag::More
    }
}

impl Parcel {
    /// What it is to each receiver.
    pub(crate) fn part(&self) -> Part {
        let last = self.stream.is_none_or(|stream| stream.flag == Flag::End);
        let place = self.number.filter(|_| last).and_then(Placed::of);
        let stream = self.stream.map(|stream| (Tag::of(stream.id), stream.flag));
        match (place, stream) {
            (Some(place), stream) => Part::Placed { stream: stream.map(|(tag, _)| tag), place },
            (None, Some((stream, flag))) => Part::Piece { stream, flag },
            (None, None) => Part::Whole,
        }
    }
}

impl Errand {
    /// What it costs to keep it until the shard has time.
    fn octets(&self) -> usize {
        match self {
            Self::Relay(parcel) => ERRAND_OCTETS + parcel.payload.body().len(),
            Self::Onward(onward) => ERRAND_OCTETS + onward.frame.len(),
            Self::Pass { passing, .. } => ERRAND_OCTETS + passing.octets(),
            _ => ERRAND_OCTETS,
        }
    }
}

const ERRAND_OCTETS: usize = 512;

/// One shard's door.
#[derive(Debug, Default)]
pub(crate) struct Door {
    queue: Mutex<Vec<Errand>>,
    octets: AtomicUsize,
    wake: Notify,
}

impl Door {
    fn push(&self, errand: Errand) {
        self.octets.fetch_add(errand.octets(), Ordering::SeqCst);
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(errand);
        self.wake.notify_one();
    }

    /// Takes all errands, in order, into `errands`, which is empty and leaves its room to those that come.
    pub(crate) fn take(&self, errands: &mut Vec<Errand>) {
        std::mem::swap(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner), errands);
        self.octets.fetch_sub(errands.iter().map(Errand::octets).sum(), Ordering::SeqCst);
    }

    /// Asks the shard to look at its door and at what it has to send.
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
    }

    /// Octets that wait.
    #[cfg(test)]
    pub(crate) fn octets(&self) -> usize {
        self.octets.load(Ordering::SeqCst)
    }

    /// Waits until there is something to do.
    pub(crate) async fn knocked(&self) {
        self.wake.notified().await;
    }
}

/// All doors. A room pushes under its lock, so every door sees the events of a room in the same order.
#[derive(Debug)]
pub(crate) struct Doors {
    doors: Vec<Arc<Door>>,
    /// Octets behind a door above which senders pause.
    octets_max: usize,
    relieved: Notify,
    /// Senders that are paused, so that relief costs nothing where nobody waits for it.
    paused: AtomicUsize,
}

impl Doors {
    pub(crate) fn new(shards: usize, octets_max: usize) -> Self {
        let doors = (0..shards).map(|_| Arc::default()).collect();
        Self { doors, octets_max, relieved: Notify::new(), paused: AtomicUsize::new(0) }
    }

    /// How many shards there are.
    pub(crate) fn count(&self) -> usize {
        self.doors.len()
    }

    /// The door of one shard.
    pub(crate) fn door(&self, shard: usize) -> Option<&Arc<Door>> {
        self.doors.get(shard)
    }

    /// Hands an errand to one shard.
    pub(crate) fn push(&self, shard: usize, errand: Errand) {
        if let Some(door) = self.door(shard) {
            door.push(errand);
        }
    }

    /// Hands an errand to each of these shards.
    pub(crate) fn push_all(&self, shards: Shards, errand: impl Fn() -> Errand) {
        shards.iter().for_each(|shard| self.push(shard, errand()));
    }

    /// Whether senders pause.
    pub(crate) fn is_congested(&self) -> bool {
        self.doors.iter().any(|door| door.octets.load(Ordering::SeqCst) > self.octets_max)
    }

    /// A shard has emptied its door.
    pub(crate) fn relieve(&self) {
        // Who pauses is counted first and looks at the doors then; here it is the other way round, so nobody is missed.
        if self.paused.load(Ordering::SeqCst) > 0 {
            self.relieved.notify_waiters();
        }
    }

    /// Waits while the machine cannot keep up. This pauses a sender by its own socket; no single receiver causes it.
    pub(crate) async fn passable(&self) {
        self.paused.fetch_add(1, Ordering::SeqCst);
        while self.is_congested() {
            let relieved = self.relieved.notified();
            if self.is_congested() {
                relieved.await;
            }
        }
        self.paused.fetch_sub(1, Ordering::SeqCst);
    }
}
