//! A room as a value: who has a seat, which shard each is on, which epoch may pass, and the next number. Pure: `relay`
//! locks it, asks, and hands the answer to the shards under the same lock, which is what makes one order of it.
//!
//! ```text
//!           bind                lose | unseat
//! Expected ─────► Bound(shard) ───────────────► gone
//!    │ nobody came in time, unseat               ▲
//!    └───────────────────────────────────────────┘
//! ```
mod crowd;
pub mod log;
mod roster;
mod types;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use control::gate::{self, Verdict};
use control::{Gate, Level};
use ids::{ConferenceId, DeviceId, Number, SeatId};

use crowd::Crowd;
use log::Log;
pub use roster::{Participant, Recipient, Roster};
use types::Deaf;
pub use types::Types;

use crate::session::{Audience, Kind, Message, Piece, Refusal, SEALED_FILE, Seen};

/// Which shards have someone in the room: bit n stands for shard n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shards(u64);

impl Shards {
    /// More shards than a machine's cores are of no use; the set must fit a word.
    pub const COUNT_MAX: usize = 64;

    /// The set of one.
    pub const fn one(shard: usize) -> Self {
        Self(1 << (shard % Self::COUNT_MAX))
    }

    /// This set and that shard.
    #[must_use]
    pub const fn with(self, shard: usize) -> Self {
        Self(self.0 | Self::one(shard).0)
    }

    /// This set without that shard.
    #[must_use]
    pub const fn without(self, shard: usize) -> Self {
        Self(self.0 & !Self::one(shard).0)
    }

    /// The members, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::COUNT_MAX).filter(move |shard| self.0 & Self::one(*shard).0 != 0)
    }
}

/// One conference's media side.
#[derive(Debug)]
pub struct Room {
    conference: ConferenceId,
    roster: Arc<Roster>,
    seats: BTreeMap<SeatId, Place>,
    crowd: Crowd,
    last: Number,
    gate: Option<Gate>,
    /// When the gate's grace ends.
    grace_ends: Option<Instant>,
    seen: HashMap<DeviceId, Arc<Mutex<Seen>>>,
    /// Devices of `seen` that left, the latest behind. Some may be here again.
    departed: VecDeque<DeviceId>,
    deaf: Deaf,
    /// It keeps one, for all its life.
    log: Option<Log>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Expected { until: Instant },
    Bound { shard: usize },
}

/// What becomes of a complete message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It goes to these shards. A message to the room has its number; a private one has none.
    Pass(Shards, Option<Number>),
    /// Its epoch has not come by yet: ask again when the gate moves.
    Wait,
}

impl Room {
    /// A room as ordered, without seats.
    pub fn new(conference: ConferenceId, room: &control::Room, now: Instant) -> Self {
        let roster = Arc::new(Roster::new(&room.uri, room.level, room.message_octets_max));
        let mut new = Self {
            conference,
            roster,
            seats: BTreeMap::new(),
            crowd: Crowd::default(),
            // Where a relay before this one had the same appointment, its places are taken.
            last: Number { term: room.term, n: 0 }.max(room.stored.unwrap_or_default()),
            gate: None,
            grace_ends: None,
            seen: HashMap::new(),
            departed: VecDeque::new(),
            deaf: Deaf::default(),
            log: None,
        };
        new.open(room, now);
        new
    }

    /// Makes the room what the order says; seats stay. A new term starts counting at 1.
    pub fn open(&mut self, room: &control::Room, now: Instant) {
        if room.term > self.last.term {
            self.last = Number { term: room.term, n: 0 };
        }
        let people = std::mem::take(&mut Arc::make_mut(&mut self.roster).people);
        let fresh = Roster::new(&room.uri, room.level, room.message_octets_max);
        self.roster = Arc::new(Roster { people, charge: room.charge, ..fresh });
        if let Some(stored) = room.stored {
            let last = self.last;
            // What was said before, and not kept, nobody has to be given. What a log that is there holds and the focus
            // does not, the focus will be told once more: the order says nothing of that.
            self.log.get_or_insert_with(|| Log::new(last.max(stored), RING_OCTETS_MAX));
        }
        if let Some(gate) = room.gate {
            self.move_gate(gate, now);
        }
    }

    /// Its log, if it keeps one.
    pub fn log(&mut self) -> Option<&mut Log> {
        self.log.as_mut()
    }

    /// Whether it keeps a log.
    pub fn keeps_log(&self) -> bool {
        self.log.is_some()
    }

    /// The last place that was taken.
    pub fn last(&self) -> Number {
        self.last
    }

    /// What was completed is not: whoever sends it again is not told that it was.
    pub fn forget_seen(&self, number: Number) {
        for seen in self.seen.values() {
            seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fail(number);
        }
    }

    /// Which conference it belongs to.
    pub fn conference(&self) -> &ConferenceId {
        &self.conference
    }

    /// The people, as of now.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// The gate, as of now.
    pub fn gate(&self, now: Instant) -> Option<Gate> {
        let grace = self.grace_ends.is_some_and(|end| now < end);
        self.gate.map(|gate| Gate { grace: gate.grace && grace, ..gate })
    }

    /// Makes the seat what the order says. True: it is new.
    pub fn seat(&mut self, seat: &control::Seat, until: Instant) -> bool {
        let new = !self.seats.contains_key(&seat.seat);
        let place = *self.seats.entry(seat.seat).or_insert(Place::Expected { until });
        let bound = matches!(place, Place::Bound { .. });
        self.people().insert(seat.seat, Arc::new(Participant::new(seat, bound)));
        new
    }

    /// Ends a seat. The shard it was on, if it was in use.
    pub fn unseat(&mut self, seat: SeatId) -> Option<Shards> {
        let place = self.seats.remove(&seat)?;
        if let Some(log) = &mut self.log {
            log.leave(seat);
        }
        if let Some(person) = self.people().remove(&seat) {
            self.note_departed(&person.device);
        }
        match place {
            Place::Bound { shard } => {
                self.crowd.go(shard);
                Some(Shards::one(shard))
            }
            Place::Expected { .. } => None,
        }
    }

    /// Of devices that left, the latest are remembered.
    fn note_departed(&mut self, device: &DeviceId) {
        if !self.seen.contains_key(device) {
            return;
        }
        self.departed.retain(|departed| departed != device);
        self.departed.push_back(device.clone());
        if self.departed.len() > DEPARTED_MAX
            && let Some(oldest) = self.departed.pop_front()
            && !self.roster.people.values().any(|person| person.device == oldest)
        {
            self.seen.remove(&oldest);
        }
    }

    /// The participant has come, on this shard. Its completed messages are remembered across seats.
    pub fn bind(&mut self, seat: SeatId, shard: usize) -> Result<Arc<Mutex<Seen>>, Refusal> {
        let place = self.seats.get_mut(&seat).ok_or(Refusal::NoSession)?;
        if let Place::Bound { .. } = place {
            return Err(Refusal::BoundElsewhere);
        }
        *place = Place::Bound { shard };
        self.crowd.come(shard);
        let person = Arc::make_mut(self.people().get_mut(&seat).ok_or(Refusal::NoSession)?);
        person.bound = true;
        let (device, after) = (person.device.clone(), person.after);
        if let Some(log) = &mut self.log {
            log.sit(seat, &device, after, self.last);
        }
        Ok(Arc::clone(self.seen.entry(device).or_default()))
    }

    /// What the devices of all other seats have completed.
    pub fn seen_of_others(&self, seat: SeatId) -> impl Iterator<Item = &Arc<Mutex<Seen>>> {
        let others = self.roster.people.iter().filter(move |(other, _)| **other != seat);
        others.filter_map(|(_, person)| self.seen.get(&person.device))
    }

    /// Seats whose participant has not come in time. They are gone when this returns.
    pub fn overdue(&mut self, now: Instant) -> Vec<SeatId> {
        let late = |place: &Place| matches!(place, Place::Expected { until } if *until <= now);
        let overdue: Vec<SeatId> =
            self.seats.iter().filter(|(_, place)| late(place)).map(|(seat, _)| *seat).collect();
        for seat in &overdue {
            self.unseat(*seat);
        }
        overdue
    }

    fn people(&mut self) -> &mut BTreeMap<SeatId, Arc<Participant>> {
        self.deaf.forget();
        &mut Arc::make_mut(&mut self.roster).people
    }

    /// All seats.
    pub fn seats(&self) -> impl Iterator<Item = SeatId> {
        self.seats.keys().copied()
    }

    /// The shards of everybody who is connected.
    pub fn shards(&self) -> Shards {
        self.crowd.shards()
    }

    fn shards_of<'a>(&self, seats: impl Iterator<Item = &'a SeatId>) -> Shards {
        seats.fold(Shards::default(), |shards, seat| match self.seats.get(seat) {
            Some(Place::Bound { shard }) => shards.with(*shard),
            _ => shards,
        })
    }

    /// The shards of those who get a message of this audience.
    pub fn reach(&self, audience: &Audience) -> Shards {
        match audience {
            Audience::Room => self.shards(),
            Audience::Seats(seats) => self.shards_of(seats.iter()),
        }
    }

    /// Who of the connected does not take content of this type, so that it must not be sent there (RFC 4975, 8.6;
    /// RFC 7701, 6.1); none if everybody takes it.
    pub fn deaf_to(&mut self, content_type: &[u8]) -> Option<Arc<[SeatId]>> {
        self.deaf.to(content_type, &self.roster)
    }

    /// Who of the connected is on hold; none if nobody is.
    pub fn held(&self) -> Option<Arc<[SeatId]>> {
        self.deaf.held(&self.roster)
    }

    /// How many seats in use get a message of this audience.
    pub fn receivers(&self, audience: &Audience, sender: SeatId) -> u32 {
        let bound = |seat: &SeatId| matches!(self.seats.get(seat), Some(Place::Bound { .. }));
        let count = match audience {
            Audience::Room => self.seats.keys().filter(|s| **s != sender && bound(s)).count(),
            Audience::Seats(seats) => seats.iter().filter(|s| bound(s)).count(),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Decides about a complete message, and numbers it if it goes to the room.
    pub fn pass(&mut self, message: &Message, now: Instant) -> Result<Passage, Refusal> {
        self.sender_stands(message.sender())?;
        if *message.audience() != Audience::Room {
            return Ok(Passage::Pass(self.reach(message.audience()), None));
        }
        if message.kind() == Kind::Sealed
            && let Verdict::Wait { .. } = self.verdict(message, now)?
        {
            return Ok(Passage::Wait);
        }
        Ok(Passage::Pass(self.shards(), Some(self.number())))
    }

    /// Whether the sender still has its seat. A kick takes effect here, before any shard has heard of it.
    pub fn sender_stands(&self, sender: SeatId) -> Result<(), Refusal> {
        match self.seats.get(&sender) {
            Some(Place::Bound { .. }) => Ok(()),
            _ => Err(Refusal::NoSession),
        }
    }

    /// Whether a piece of a streamed message may pass now. What began in an open room does not go on in a sealed one.
    pub fn may_go_on(&self, piece: &Piece) -> Result<(), Refusal> {
        self.sender_stands(piece.sender())?;
        let open = self.roster.level != Level::Sealed;
        if open || piece.is_type(SEALED_FILE) { Ok(()) } else { Err(Refusal::ContentType) }
    }

    fn verdict(&self, message: &Message, now: Instant) -> Result<Verdict, Refusal> {
        let prefix = gate::read(&message.prefix()).map_err(|_| Refusal::NotMls)?;
        let gate = self.gate(now).ok_or(Refusal::NoGroup)?;
        match gate::decide(&self.conference, gate, &prefix) {
            Verdict::Stale { era, epoch } => Err(Refusal::StaleEpoch(era, epoch)),
            Verdict::Foreign => Err(Refusal::NotMls),
            verdict => Ok(verdict),
        }
    }

    /// Why an unfinished message can no longer pass, if it cannot. What has not come far enough to tell may go on.
    pub fn stale(&self, message: &Message, now: Instant) -> Option<Refusal> {
        let refusal = self.verdict(message, now).err()?;
        matches!(refusal, Refusal::StaleEpoch(..)).then_some(refusal)
    }

    /// Why a message that waited for its epoch is given up.
    pub fn late(&self, now: Instant) -> Refusal {
        let stale = |gate: Gate| Refusal::StaleEpoch(gate.era, gate.epoch);
        self.gate(now).map_or(Refusal::NoGroup, stale)
    }

    /// The next place in the room's order.
    pub fn number(&mut self) -> Number {
        self.last.n += 1;
        self.last
    }

    /// From now on this gate holds. A gate that is already in force moves nothing, so that repeating an order neither
    /// renews its grace nor goes back. True: it moved.
    pub fn move_gate(&mut self, gate: Gate, now: Instant) -> bool {
        let position = |gate: Gate| (gate.era, gate.epoch, gate.shut);
        if let Some(old) = self.gate
            && (position(old) == position(gate) || (gate.era, gate.epoch) < (old.era, old.epoch))
        {
            return false;
        }
        self.gate = Some(gate);
        self.grace_ends = gate.grace.then(|| now + GRACE);
        true
    }
}

/// How many devices that left are remembered. A whole room comes back when a load balancer breaks; the cost is 2 KiB
/// for each.
const DEPARTED_MAX: usize = 1024;

/// Octets of the last messages of a room that keeps a log: 1 MiB, some thousand of what people type. Whoever was away for
/// no longer than that needs nothing of the focus.
const RING_OCTETS_MAX: usize = 1024 * 1024;

/// How long the epoch before is accepted.
const GRACE: Duration = gate::GRACE;

#[cfg(test)]
mod tests;
