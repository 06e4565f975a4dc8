//! What one connection is to be sent and what its receivers have not answered, bounded in octets and chunks. Pure: it
//! neither seals nor writes, and it does not know why a receiver is slow; it only says when there is no more room.
//!
//! `lanes` keeps the order in which chunks leave, `unanswered` those that left and wait for their answer, `verdict` says
//! what an answer means.
mod lanes;
mod unanswered;
mod verdict;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ids::{Number, Term};
use msrp::{Flag, Frame, MessageId, TransactionId};

use lanes::Lanes;
pub use unanswered::Way;
pub use verdict::Verdict;

/// Frames on their way to one connection. Responses and reports overtake chunks, between two frames (RFC 4975, 7.1.1).
#[derive(Debug)]
pub struct Outbox {
    urgent: VecDeque<Frame>,
    lanes: Lanes,
    /// Chunks that pass through from one leg to the other.
    paced: VecDeque<Frame>,
    paced_turn: bool,
    octets: usize,
    bounds: Bounds,
}

/// What an outbox may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Octets that wait.
    pub octets_max: usize,
    /// Chunks of one session that left and are not answered. Others wait until an answer comes.
    pub unanswered_max: usize,
}

/// A session of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(pub u32);

/// Names a streamed message among those of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u64);

impl Tag {
    /// No stream.
    const NONE: Self = Self(0);
    /// A stream whose end was told.
    const ABORT: Self = Self(1);

    /// The message's.
    pub fn of(id: MessageId) -> Self {
        Self(fold(id.as_bytes()))
    }

    /// No stream, but a place.
    const fn placed(place: Place) -> Self {
        Self(place.0 + FIRST_PLACE)
    }

    const fn place(self) -> Option<Place> {
        if self.is_stream() || self.0 < FIRST_PLACE {
            return None;
        }
        Some(Place(self.0 - FIRST_PLACE))
    }

    const fn is_stream(self) -> bool {
        self.0 >> 63 == 1
    }
}

/// Tags below this mean something else.
const FIRST_PLACE: u64 = 2;

/// A place in a room's order, in one word: what a receiver answered is remembered by it. The order of places is that of
/// the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

/// Bits of a number within its term: as many messages as a room has in some thousand years.
const NUMBER_BITS: u32 = 38;
const TERMS: u32 = 1 << 24;

impl Place {
    /// Of a number; none for one that no room comes to.
    pub const fn of(number: Number) -> Option<Self> {
        if number.term.0 >= TERMS || number.n >> NUMBER_BITS != 0 {
            return None;
        }
        Some(Self(((number.term.0 as u64) << NUMBER_BITS) | number.n))
    }

    /// The number.
    pub fn number(self) -> Number {
        let term = u32::try_from(self.0 >> NUMBER_BITS).unwrap_or(u32::MAX);
        Number { term: Term(term), n: self.0 & ((1 << NUMBER_BITS) - 1) }
    }
}

/// 63 bits of a random id; the highest bit is set, so that it is none of the small numbers that mean something else.
fn fold(id: &[u8]) -> u64 {
    let (words, rest) = id.as_chunks();
    let rest = rest.iter().fold(0, |word, octet| (word << 8) | u64::from(*octet));
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let all = words.fold(rest, |sum, word| sum.rotate_left(23) ^ word);
    all | (1 << 63)
}

/// What a chunk is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A message, all of it.
    Whole,
    /// All of a message that has a place, or its last piece.
    Placed {
        /// Which message, if it came in pieces.
        stream: Option<Tag>,
        /// Its place.
        place: Place,
    },
    /// A piece of a streamed message.
    Piece {
        /// Which message.
        stream: Tag,
        /// How the piece ends: whether more follows.
        flag: Flag,
    },
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, or what stands for it does: so many octets.
    Queued(usize),
    /// The receiver wants no more of this message.
    Unwanted,
}

/// A chunk that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Whose it was.
    pub lane: Lane,
    /// The stream of which more may follow.
    pub stream: Option<Tag>,
}

/// The outbox has no room: this receiver reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Outbox {
    /// An empty outbox.
    pub fn new(bounds: Bounds) -> Self {
        let (urgent, paced) = (VecDeque::new(), VecDeque::new());
        Self { urgent, lanes: Lanes::default(), paced, paced_turn: false, octets: 0, bounds }
    }

    /// Queues a chunk for a session, or says at once that there is no room for it.
    pub fn push(&mut self, lane: Lane, part: Part, frame: Frame) -> Result<Pushed, Full> {
        self.check(&frame)?;
        let pushed = self.lanes.push(lane, part, frame);
        if let Pushed::Queued(octets) = pushed {
            self.octets += octets;
        }
        Ok(pushed)
    }

    /// Queues a chunk whose sender pauses before the bound: what it had read by then may lie above it. Its answer is
    /// somebody else's business.
    pub fn push_paced(&mut self, frame: Frame) -> Result<(), Full> {
        let octets = self.octets.saturating_add(frame.len());
        if octets > self.bounds.octets_max.saturating_mul(2) {
            return Err(Full);
        }
        self.octets = octets;
        self.paced.push_back(frame);
        Ok(())
    }

    /// The next chunk; those that pass through take turns with the others.
    fn next_chunk(&mut self) -> Option<Frame> {
        let unanswered_max = self.bounds.unanswered_max;
        if self.paced.is_empty() {
            return self.lanes.next(unanswered_max);
        }
        self.paced_turn = !self.paced_turn;
        let other = if self.paced_turn { None } else { self.lanes.next(unanswered_max) };
        other.or_else(|| self.paced.pop_front())
    }

    /// Queues a response or a report, which overtakes every chunk.
    pub fn push_urgent(&mut self, frame: Frame) -> Result<(), Full> {
        self.check(&frame)?;
        self.octets += frame.len();
        self.urgent.push_back(frame);
        Ok(())
    }

    fn check(&self, frame: &Frame) -> Result<(), Full> {
        let octets = self.octets.saturating_add(frame.len());
        if octets > self.bounds.octets_max { Err(Full) } else { Ok(()) }
    }

    /// Takes frames from the front into `taken` until they hold `octets` or none may leave. A frame is never cut.
    /// How many octets they have.
    pub fn take(&mut self, octets: usize, taken: &mut Vec<Frame>) -> usize {
        let mut sum = 0;
        while sum < octets {
            let urgent = self.urgent.pop_front();
            let Some(frame) = urgent.or_else(|| self.next_chunk()) else {
                break;
            };
            sum += frame.len();
            taken.push(frame);
        }
        self.octets -= sum;
        if self.octets == 0 {
            self.lanes.shrink();
            if self.paced.capacity() > IDLE_FRAMES_MAX {
                self.paced = VecDeque::new();
            }
        }
        sum
    }

    /// A response came. None: no chunk waits for it.
    pub fn answered(&mut self, transaction: TransactionId) -> Option<Answered> {
        let (lane, tag) = self.lanes.answered(transaction)?;
        let stream = Some(tag).filter(|tag| tag.is_stream());
        Some(Answered { lane, stream })
    }

    /// The last place up to which a session has answered everything.
    pub fn reached(&self, lane: Lane) -> Option<Place> {
        self.lanes.reached(lane)
    }

    /// Whether a session has answered everything it was sent, and nothing waits for it.
    pub fn is_done(&self, lane: Lane) -> bool {
        self.lanes.is_done(lane)
    }

    /// Sessions that have not answered for `wait`. To be asked now and then; no other call needs a clock.
    pub fn silent(&mut self, now: Instant, way: Way, wait: Duration) -> Vec<Lane> {
        self.lanes.silent(now, way, wait)
    }

    /// A receiver wants no more of a stream (RFC 4975, 10.5): what waits of it goes, what comes of it is dropped, and
    /// one chunk says that the message is aborted.
    pub fn stop(&mut self, lane: Lane, stream: Tag) {
        self.octets -= self.lanes.stop(lane, stream);
    }

    /// A session has ended, and all that waits for it is dropped.
    pub fn end(&mut self, lane: Lane) {
        self.octets -= self.lanes.end(lane);
    }

    /// The connection has ended: nothing waits any more.
    pub fn clear(&mut self) {
        *self = Self::new(self.bounds);
    }

    /// Octets that wait.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.octets == 0
    }
}

/// What a chunk costs while it is not answered.
pub const UNANSWERED_OCTETS: usize = unanswered::OCTETS;

/// Capacity that an idle connection keeps.
const IDLE_FRAMES_MAX: usize = 64;

#[cfg(test)]
mod tests;
