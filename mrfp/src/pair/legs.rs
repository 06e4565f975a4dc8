//! Where the two legs of a one-to-one session are, and what is held for a leg that has not come yet. `relay` asks it
//! under its lock and hands the answer to the shards before it unlocks, so that each leg sees one order.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use ids::SeatId;
use msrp::{Address, ByteRange, Flag, Frame, Payload, Uri};

use super::{Origin, Spot};
use crate::brake::{Brake, Marks};
use crate::forward::{Passed, Source};
use crate::session::Refusal;

/// A request on its way to the next hop, without its paths.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Whom the answer is owed to. None: nobody answers it.
    pub(crate) source: Option<Arc<Source<Origin>>>,
    pub(crate) payload: Payload,
    pub(crate) range: ByteRange,
    /// How its message stands behind it.
    pub(crate) flag: Flag,
}

/// A request with its paths, handed to the connection it leaves by.
#[derive(Debug)]
pub(crate) struct Onward {
    pub(crate) connection: u64,
    pub(crate) frame: Frame,
    /// What the next hop owes. None: nothing.
    pub(crate) passed: Option<Passed<Origin>>,
    pub(crate) brake: Arc<Brake>,
}

/// How to reach a leg.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) spot: Spot,
    /// To its user, from us.
    pub(crate) address: Address,
    /// The URI we handed out: the From-Path of what its user gets.
    pub(crate) own: Uri,
    pub(crate) brake: Arc<Brake>,
}

impl Way {
    /// The request, with the paths of this leg.
    pub(crate) fn take(&self, outgoing: Outgoing) -> Onward {
        let Outgoing { source, payload, range, flag } = outgoing;
        let passed = source.map(|source| Passed { source, range, flag, via: self.own.clone() });
        let frame = payload.to(&self.address);
        self.brake.add(frame.len());
        let brake = Arc::clone(&self.brake);
        Onward { connection: self.spot.connection, frame, passed, brake }
    }
}

/// The two ends.
#[derive(Debug)]
pub(crate) struct Legs {
    ends: Vec<End>,
    held: VecDeque<Held>,
    /// Pauses who sends to a leg that has not come.
    hold: Arc<Brake>,
    /// A leg has left, and none has been ordered in its place.
    left: bool,
}

#[derive(Debug)]
struct End {
    seat: SeatId,
    /// None: its user has not come yet.
    way: Option<Way>,
}

#[derive(Debug)]
struct Held {
    from: SeatId,
    until: Instant,
    octets: usize,
    outgoing: Outgoing,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Passage {
    /// To this shard.
    Go(usize, Onward),
    /// Nowhere yet.
    Held,
}

/// A session has two legs.
pub(crate) const LEGS_MAX: usize = 2;

impl Legs {
    pub(crate) fn new(marks: Marks) -> Self {
        let hold = Arc::new(Brake::new(marks));
        Self { ends: Vec::new(), held: VecDeque::new(), hold, left: false }
    }

    /// Whether this seat would be the third.
    pub(crate) fn is_full(&self, seat: SeatId) -> bool {
        self.ends.len() >= LEGS_MAX && self.ends.iter().all(|end| end.seat != seat)
    }

    /// A leg was ordered.
    pub(crate) fn seat(&mut self, seat: SeatId) {
        if self.ends.iter().all(|end| end.seat != seat) {
            self.ends.push(End { seat, way: None });
            self.left = false;
        }
    }

    /// A leg's user has come. What was held for it.
    pub(crate) fn link(&mut self, seat: SeatId, way: &Way) -> Vec<Onward> {
        let Some(end) = self.ends.iter_mut().find(|end| end.seat == seat) else {
            return Vec::new();
        };
        end.way = Some(way.clone());
        let (out, rest) = self.held.drain(..).partition(|held| held.from != seat);
        self.held = rest;
        let out: VecDeque<Held> = out;
        let release = |held: Held| {
            self.hold.arrived(held.octets);
            way.take(held.outgoing)
        };
        out.into_iter().map(release).collect()
    }

    /// A request of a leg, for the other one. The brake says whether its sender must pause.
    pub(crate) fn pass(
        &mut self,
        from: SeatId,
        outgoing: Outgoing,
        until: Instant,
    ) -> Result<(Passage, Arc<Brake>), Refusal> {
        // A leg that was ended by order sends nothing more, though its shard may not have heard of it; but the other one
        // waits for the end of what it has begun to get.
        let stands = !self.left && self.ends.iter().any(|end| end.seat == from);
        let other = self.ends.iter().find(|end| end.seat != from);
        if let Some(way) = other.and_then(|end| end.way.as_ref())
            && (stands || outgoing.flag == Flag::Abort)
        {
            let brake = Arc::clone(&way.brake);
            return Ok((Passage::Go(way.spot.shard, way.take(outgoing)), brake));
        }
        if !stands {
            return Err(Refusal::NoSession);
        }
        let octets = outgoing.payload.body().len() + HELD_OCTETS;
        self.hold.add(octets);
        self.held.push_back(Held { from, until, octets, outgoing });
        Ok((Passage::Held, Arc::clone(&self.hold)))
    }

    /// What a leg has waited long enough with.
    pub(crate) fn give_up(&mut self, from: SeatId, now: Instant) -> Vec<Outgoing> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let late = |held: &Held| held.from == from && held.until <= now;
        let (late, rest) = self.held.drain(..).partition(late);
        self.held = rest;
        self.drop_held(late)
    }

    /// A leg ends, and with it what was held.
    pub(crate) fn leave(&mut self, seat: SeatId) -> Vec<Outgoing> {
        let before = self.ends.len();
        self.ends.retain(|end| end.seat != seat);
        if self.ends.len() == before {
            return Vec::new();
        }
        self.left = true;
        let held = std::mem::take(&mut self.held);
        self.drop_held(held)
    }

    fn drop_held(&self, held: VecDeque<Held>) -> Vec<Outgoing> {
        let dropped = |held: Held| {
            self.hold.arrived(held.octets);
            held.outgoing
        };
        held.into_iter().map(dropped).collect()
    }
}

/// What it costs to hold a request besides its body.
const HELD_OCTETS: usize = 1024;
