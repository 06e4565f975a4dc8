//! The end of a room's log, as its relay has it: the last messages in a ring, what of them is stored, who is behind, and
//! up to where each device has answered. Pure: it is told what happened and says what to give to whom, and it neither
//! stores nor sends. What is older than the ring the focus has, which gives it back in pages.
//!
//! ```text
//!            position is in the ring: the rest of it, then
//!  Ready ──────────────────────────────────────────────────► live: gets what comes
//!   │ ▲                                                        │
//!   │ │ drained                       too slow, or on hold      │
//!   │ Draining ◄────────────────────────────────────────────────┘
//!   ▼ ▲ page
//!  Asked
//! ```
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ids::{DeviceId, Number, SeatId};
use msrp::Body;

/// The log of one room.
#[derive(Debug)]
pub struct Log {
    /// Everything up to there is with the focus.
    stored: Number,
    ring: VecDeque<Entry>,
    octets: usize,
    octets_max: usize,
    /// Everything behind this place is in the ring.
    since: Number,
    behind: BTreeMap<SeatId, Behind>,
    /// Up to where devices have answered, here or at another seat before.
    cursors: HashMap<DeviceId, Number>,
    /// Those of which the focus has not been told.
    moved: BTreeSet<DeviceId>,
}

/// Something that has a place in the room's order.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place.
    pub number: Number,
    /// The device that said it, which is not given it; none: the focus.
    pub author: Option<DeviceId>,
    /// All of it.
    pub content: Body,
}

/// A seat that does not get what comes.
#[derive(Debug)]
struct Behind {
    device: DeviceId,
    /// It was given everything up to there.
    position: Number,
    /// How often it fell behind: what was given before the last time counts no more.
    fall: u32,
    stage: Stage,
    /// On hold: it is given nothing.
    paused: bool,
    /// What the focus said to it alone, each behind its place.
    asides: VecDeque<(Number, Bytes)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It can be given something.
    Ready,
    /// The focus was asked for what comes next; by then everything up to there was stored.
    Asked { until: Instant, stored: Number },
    /// It has not answered all that it was given.
    Draining,
}

/// Something to give to a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// An entry of the log.
    Entry(Number, Body),
    /// What the focus said to it alone.
    Aside(Bytes),
}

/// What follows for a seat that is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing now.
    Wait,
    /// Ask the focus for what comes behind this place, for this device.
    Ask(Number, DeviceId),
    /// Give it this.
    Give {
        /// In this order.
        items: Vec<Given>,
        /// It gets what comes from now on. Otherwise say when it has answered all of this.
        live: bool,
        /// To be given to it only if it has fallen behind this often.
        fall: u32,
    },
}

/// How long the focus has to answer before it is asked again.
pub const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Octets given to a seat at once: far below what may wait for a connection.
const GIVEN_OCTETS_MAX: usize = 1024 * 1024;
/// What the focus says to one seat that is behind: more than it ever has to say. The oldest goes first; it says again
/// what matters.
const ASIDES_MAX: usize = 64;
/// Devices whose places are remembered. The focus has them all.
const CURSORS_MAX: usize = 16 * 1024;

impl Log {
    /// The log of a room that begins: what came before `stored` the focus has.
    pub fn new(stored: Number, octets_max: usize) -> Self {
        Self {
            stored,
            ring: VecDeque::new(),
            octets: 0,
            octets_max,
            since: stored,
            behind: BTreeMap::new(),
            cursors: HashMap::new(),
            moved: BTreeSet::new(),
        }
    }

    /// Something took its place.
    pub fn append(&mut self, entry: Entry) {
        self.octets += octets(&entry.content);
        self.ring.push_back(entry);
        self.evict();
    }

    /// Everything up to there is with the focus.
    pub fn store(&mut self, number: Number) {
        self.stored = self.stored.max(number);
        self.evict();
    }

    /// This one cannot be stored: who has not had it will not.
    pub fn fail(&mut self, number: Number) {
        if let Ok(at) = self.ring.binary_search_by_key(&number, |entry| entry.number)
            && let Some(entry) = self.ring.remove(at)
        {
            self.octets -= octets(&entry.content);
        }
    }

    /// The focus has deleted what it had: so does the ring. Who was behind misses it.
    pub fn purge(&mut self) {
        while let Some(oldest) = self.ring.pop_front_if(|oldest| oldest.number <= self.stored) {
            self.octets -= octets(&oldest.content);
            self.since = oldest.number;
        }
    }

    /// Whether everything up to there is with the focus.
    pub fn is_stored(&self, number: Number) -> bool {
        number <= self.stored
    }

    /// What is not with the focus stays: nobody else has it.
    fn evict(&mut self) {
        while self.octets > self.octets_max
            && let Some(oldest) = self.ring.pop_front_if(|oldest| oldest.number <= self.stored)
        {
            self.octets -= octets(&oldest.content);
            self.since = oldest.number;
        }
    }

    /// A device takes a seat. It has everything up to `after`, as far as the focus knows; a new one begins with what comes
    /// after `last`. It is behind until [`go_on`](Self::go_on) says otherwise.
    pub fn sit(&mut self, seat: SeatId, device: &DeviceId, after: Option<Number>, last: Number) {
        let position = match after {
            None => {
                self.reach(device, last);
                last
            }
            // Nobody can have more than there is: somebody put an old database in place, and it says so to others.
            Some(after) => {
                after.max(self.cursors.get(device).copied().unwrap_or_default()).min(last)
            }
        };
        self.behind.insert(seat, Behind::new(device, position, Stage::Ready));
    }

    /// A seat got everything up to `position` and cannot be given more now.
    pub fn fall_behind(&mut self, seat: SeatId, device: &DeviceId, position: Number, fall: u32) {
        let behind = self
            .behind
            .entry(seat)
            .or_insert_with(|| Behind::new(device, position, Stage::Draining));
        (behind.position, behind.stage, behind.fall) = (position, Stage::Draining, fall);
    }

    /// A seat goes on hold, or comes back: what others say waits in the log meanwhile. True: it has to fall behind first.
    pub fn pause(&mut self, seat: SeatId, paused: bool) -> bool {
        match self.behind.get_mut(&seat) {
            Some(behind) => {
                behind.paused = paused;
                false
            }
            None => paused,
        }
    }

    /// Whether it does not get what comes.
    pub fn is_behind(&self, seat: SeatId) -> bool {
        self.behind.contains_key(&seat)
    }

    /// Those that can go on: the focus has not answered for too long, or they are not on hold any more.
    pub fn overdue(&self, now: Instant) -> Vec<SeatId> {
        let late = |behind: &Behind| match behind.stage {
            Stage::Ready => !behind.paused,
            Stage::Asked { until, .. } => until <= now,
            Stage::Draining => false,
        };
        self.behind.iter().filter(|(_, behind)| late(behind)).map(|(seat, _)| *seat).collect()
    }

    /// The seat has answered all that it was given.
    pub fn drained(&mut self, seat: SeatId) {
        if let Some(behind) = self.behind.get_mut(&seat)
            && behind.stage == Stage::Draining
        {
            behind.stage = Stage::Ready;
        }
    }

    /// What follows for a seat.
    pub fn go_on(&mut self, seat: SeatId, now: Instant) -> Next {
        let Self { behind, ring, since, stored, .. } = self;
        let Some(one) = behind.get_mut(&seat).filter(|one| !one.paused) else { return Next::Wait };
        match one.stage {
            Stage::Draining => return Next::Wait,
            Stage::Asked { until, .. } if now < until => return Next::Wait,
            Stage::Ready | Stage::Asked { .. } => {}
        }
        if one.position < *since {
            one.stage = Stage::Asked { until: now + ASK_AGAIN, stored: *stored };
            return Next::Ask(one.position, one.device.clone());
        }
        let start = ring.partition_point(|entry| entry.number <= one.position);
        let mut items = Vec::new();
        let mut sum = 0;
        for entry in ring.range(start..) {
            if sum >= GIVEN_OCTETS_MAX {
                one.stage = Stage::Draining;
                return Next::Give { items, live: false, fall: one.fall };
            }
            one.position = entry.number;
            if entry.author.as_ref() != Some(&one.device) {
                sum += octets(&entry.content);
                one.give(&mut items, entry.number, entry.content.clone());
            }
        }
        items.extend(one.asides.drain(..).map(|(_, aside)| Given::Aside(aside)));
        let fall = one.fall;
        behind.remove(&seat);
        Next::Give { items, live: true, fall }
    }

    /// What the focus gave for a seat. Whatever is not what was asked for last is nothing.
    pub fn page(
        &mut self,
        seat: SeatId,
        after: Number,
        entries: Vec<(Number, Bytes)>,
        complete: bool,
        now: Instant,
    ) -> Next {
        let Some(one) = self.behind.get_mut(&seat).filter(|one| one.position == after) else {
            return Next::Wait;
        };
        let Stage::Asked { stored, .. } = one.stage else { return Next::Wait };
        let mut items = Vec::new();
        for (number, cpim) in entries {
            one.position = number;
            one.give(&mut items, number, Body::from(cpim));
        }
        if complete {
            one.position = one.position.max(stored);
        }
        if items.is_empty() {
            one.stage = Stage::Ready;
            return self.go_on(seat, now);
        }
        one.stage = Stage::Draining;
        Next::Give { items, live: false, fall: one.fall }
    }

    /// The focus has something for a seat alone, behind everything up to `last`. It comes back if it can be given now.
    pub fn aside(&mut self, seat: SeatId, last: Number, cpim: Bytes) -> Option<Bytes> {
        let Some(behind) = self.behind.get_mut(&seat) else { return Some(cpim) };
        if behind.asides.len() == ASIDES_MAX {
            behind.asides.pop_front();
        }
        behind.asides.push_back((last, cpim));
        None
    }

    /// A device has answered everything up to there.
    pub fn reach(&mut self, device: &DeviceId, number: Number) {
        if self.cursors.len() >= CURSORS_MAX && !self.cursors.contains_key(device) {
            let moved = &self.moved;
            self.cursors.retain(|device, _| moved.contains(device));
        }
        let cursor = self.cursors.entry(device.clone()).or_default();
        if number > *cursor {
            *cursor = number;
            self.moved.insert(device.clone());
        }
    }

    /// What the focus has to be told of that.
    pub fn take_moved(&mut self) -> Vec<(DeviceId, Number)> {
        let moved = std::mem::take(&mut self.moved);
        let place = |device: DeviceId| {
            let number = self.cursors.get(&device).copied()?;
            Some((device, number))
        };
        moved.into_iter().filter_map(place).collect()
    }

    /// A seat is over.
    pub fn leave(&mut self, seat: SeatId) {
        self.behind.remove(&seat);
    }
}

impl Behind {
    fn new(device: &DeviceId, position: Number, stage: Stage) -> Self {
        let (device, asides) = (device.clone(), VecDeque::new());
        Self { device, position, fall: 0, stage, paused: false, asides }
    }

    /// An entry, and before it what was said to this one alone before it came.
    fn give(&mut self, items: &mut Vec<Given>, number: Number, content: Body) {
        while let Some((_, aside)) = self.asides.pop_front_if(|(after, _)| *after < number) {
            items.push(Given::Aside(aside));
        }
        items.push(Given::Entry(number, content));
    }
}

fn octets(body: &Body) -> usize {
    usize::try_from(body.octets()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
