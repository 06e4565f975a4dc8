//! In which order the chunks of one connection leave. Sessions take turns by octets (RFC 4975, 7.1.1). Within a session
//! messages are completed in the order in which their last pieces were queued; until then the pieces of a stream go
//! beside that order, and whole messages overtake them.
//!
//! ```text
//!              whole messages, last pieces
//!  session ─┬─► ordered ────────────────────────┬─► out      the ordered lane leads by HEAD_START octets
//!           │      ▲ when its last piece comes  │
//!           └─► a lane for each stream ─────────┘            otherwise by turns
//! ```
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use msrp::{Flag, Frame, TransactionId};

use super::unanswered::Unanswered;
use super::{Lane, Part, Place, Pushed, Tag, Way};

/// How far whole messages get ahead of streams before those have a turn: one piece of the usual size.
const HEAD_START: u64 = 64 * 1024;

/// Streams a receiver wants no more of that are remembered. A sender has a few open; one that is forgotten is refused
/// once more.
const STOPPED_MAX: usize = 64;

/// All sessions of a connection that had something to say.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    sessions: Vec<Session>,
    /// How far the turns have come: where a session that was quiet joins in.
    turn: u64,
}

#[derive(Debug)]
struct Session {
    lane: Lane,
    /// Octets that left; a session that was quiet counts as if it had kept up.
    served: u64,
    ordered: VecDeque<Waiting>,
    ordered_served: u64,
    streams: Vec<Bulk>,
    /// The turns between `ordered` and the streams.
    turn: u64,
    stopped: Vec<Stopped>,
    unanswered: Unanswered,
}

/// What is left of a stream whose last piece has not come.
#[derive(Debug)]
struct Bulk {
    tag: Tag,
    served: u64,
    pieces: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    frame: Frame,
    /// The stream, if it is a piece of one.
    tag: Tag,
    kind: Kind,
    /// Its place, if it completes a message that has one.
    placed: Tag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A whole message, or the last piece of one.
    Last,
    /// More follows.
    More,
    /// It says that nothing follows.
    Abort,
}

/// A stream the receiver wants no more of.
#[derive(Debug)]
struct Stopped {
    tag: Tag,
    /// It has been told that nothing follows.
    told: bool,
}

impl Lanes {
    /// Queues a chunk, and says what that adds to what waits.
    pub(super) fn push(&mut self, lane: Lane, part: Part, frame: Frame) -> Pushed {
        self.session(lane).push(part, frame)
    }

    fn session(&mut self, lane: Lane) -> &mut Session {
        let found = self.sessions.iter().position(|session| session.lane == lane);
        let at = found.unwrap_or_else(|| {
            self.sessions.push(Session::new(lane));
            self.sessions.len() - 1
        });
        self.sessions.get_mut(at).expect("it was found or has just been added")
    }

    /// The next chunk, and a note of it until it is answered. At most `unanswered_max` of a session are on their way.
    pub(super) fn next(&mut self, unanswered_max: usize) -> Option<Frame> {
        let ready = |session: &&mut Session| {
            !session.is_empty() && session.unanswered.len() < unanswered_max
        };
        let session = match &mut *self.sessions {
            [only] => Some(only).filter(ready),
            many => many.iter_mut().filter(ready).min_by_key(|session| session.served),
        }?;
        let Waiting { frame, tag, kind, placed } = session.next()?;
        // Whoever was quiet or held joins in where the others are.
        self.turn = self.turn.max(session.served);
        session.served = self.turn + octets(&frame);
        let of = match kind {
            Kind::Last => placed,
            Kind::More => tag,
            Kind::Abort => Tag::ABORT,
        };
        session.unanswered.sent(frame.payload.transaction(), of);
        Some(frame)
    }

    /// Of which session and stream the chunk was that is answered here.
    pub(super) fn answered(&mut self, transaction: TransactionId) -> Option<(Lane, Tag)> {
        let in_turn = |session: &mut Session| {
            Some((session.lane, session.unanswered.answered_in_turn(transaction)?))
        };
        let out_of_turn = |session: &mut Session| {
            Some((session.lane, session.unanswered.answered_out_of_turn(transaction)?))
        };
        let found = self.sessions.iter_mut().find_map(in_turn);
        found.or_else(|| self.sessions.iter_mut().find_map(out_of_turn))
    }

    /// The last place up to which a session has answered everything.
    pub(super) fn reached(&self, lane: Lane) -> Option<Place> {
        self.find(lane)?.unanswered.reached()
    }

    /// Whether a session has nothing that waits, for the socket or for an answer.
    pub(super) fn is_done(&self, lane: Lane) -> bool {
        self.find(lane).is_none_or(|it| it.is_empty() && it.unanswered.len() == 0)
    }

    fn find(&self, lane: Lane) -> Option<&Session> {
        self.sessions.iter().find(|session| session.lane == lane)
    }

    /// Sessions whose receiver has not answered for `wait`.
    pub(super) fn silent(&mut self, now: Instant, way: Way, wait: Duration) -> Vec<Lane> {
        let overdue = |session: &mut Session| {
            session.unanswered.is_overdue(now, way, wait).then_some(session.lane)
        };
        self.sessions.iter_mut().filter_map(overdue).collect()
    }

    /// The receiver wants no more of this stream: what waits of it goes, and it is told once that nothing follows.
    /// How many octets wait less.
    pub(super) fn stop(&mut self, lane: Lane, tag: Tag) -> usize {
        let found = self.sessions.iter_mut().find(|session| session.lane == lane);
        found.map_or(0, |session| session.stop(tag))
    }

    /// The session has ended. How many octets wait less.
    pub(super) fn end(&mut self, lane: Lane) -> usize {
        let Some(at) = self.sessions.iter().position(|session| session.lane == lane) else {
            return 0;
        };
        let session = self.sessions.swap_remove(at);
        let queues = session.streams.iter().map(|bulk| &bulk.pieces).chain([&session.ordered]);
        queues.flatten().map(|waiting| waiting.frame.len()).sum()
    }

    /// A burst must not keep its memory while the connection is idle.
    pub(super) fn shrink(&mut self) {
        for session in &mut self.sessions {
            if session.is_empty() && session.ordered.capacity() > super::IDLE_FRAMES_MAX {
                session.ordered = VecDeque::new();
            }
        }
    }
}

impl Session {
    fn new(lane: Lane) -> Self {
        Self {
            lane,
            served: 0,
            ordered: VecDeque::new(),
            ordered_served: 0,
            streams: Vec::new(),
            turn: 0,
            stopped: Vec::new(),
            unanswered: Unanswered::default(),
        }
    }

    /// No lane of a stream is kept empty.
    fn is_empty(&self) -> bool {
        self.ordered.is_empty() && self.streams.is_empty()
    }

    fn push(&mut self, part: Part, frame: Frame) -> Pushed {
        let (stream, flag, placed) = match part {
            Part::Whole => (None, Flag::End, Tag::NONE),
            Part::Piece { stream, flag } => (Some(stream), flag, Tag::NONE),
            Part::Placed { stream, place } => (stream, Flag::End, Tag::placed(place)),
        };
        let Some(tag) = stream else {
            let octets = frame.len();
            self.push_ordered(Waiting { frame, tag: Tag::NONE, kind: Kind::Last, placed });
            return Pushed::Queued(octets);
        };
        let Some((frame, flag)) = self.unless_stopped(tag, frame, flag) else {
            return Pushed::Unwanted;
        };
        let octets = frame.len();
        match flag {
            Flag::More => self.push_bulk(Waiting { frame, tag, kind: Kind::More, placed }),
            Flag::Abort => self.push_bulk(Waiting { frame, tag, kind: Kind::Abort, placed }),
            Flag::End => {
                // From here on the message has its place in the order of completion.
                if let Some(at) = self.streams.iter().position(|bulk| bulk.tag == tag) {
                    let rest = self.streams.swap_remove(at).pieces;
                    rest.into_iter().for_each(|piece| self.push_ordered(piece));
                }
                self.push_ordered(Waiting { frame, tag, kind: Kind::Last, placed });
            }
        }
        Pushed::Queued(octets)
    }

    fn push_ordered(&mut self, waiting: Waiting) {
        if self.ordered.is_empty() {
            // Not behind the stream that has waited longest, whatever was sent before.
            let longest = self.streams.iter().map(|bulk| bulk.served).min();
            self.ordered_served = self.ordered_served.max(longest.unwrap_or(self.turn));
        }
        self.ordered.push_back(waiting);
    }

    fn push_bulk(&mut self, waiting: Waiting) {
        match self.streams.iter_mut().find(|bulk| bulk.tag == waiting.tag) {
            Some(bulk) => bulk.pieces.push_back(waiting),
            None => {
                let (tag, served) = (waiting.tag, self.turn);
                self.streams.push(Bulk { tag, served, pieces: VecDeque::from([waiting]) });
            }
        }
    }

    /// The piece, unless the receiver wants no more of its stream; the first of those says that nothing follows.
    fn unless_stopped(&mut self, tag: Tag, frame: Frame, flag: Flag) -> Option<(Frame, Flag)> {
        let Some(at) = self.stopped.iter().position(|stopped| stopped.tag == tag) else {
            return Some((frame, flag));
        };
        let told = self.stopped.get_mut(at).is_none_or(|s| std::mem::replace(&mut s.told, true));
        if flag != Flag::More {
            self.stopped.swap_remove(at);
        }
        (!told).then(|| (frame.aborted(), Flag::Abort))
    }

    fn next(&mut self) -> Option<Waiting> {
        let longest = self.streams.iter().enumerate().min_by_key(|(_, bulk)| bulk.served);
        let Some((at, bulk)) = longest else {
            let waiting = self.next_ordered();
            self.turn = self.turn.max(self.ordered_served);
            return waiting;
        };
        if !self.ordered.is_empty() && self.ordered_served <= bulk.served + HEAD_START {
            return self.next_ordered();
        }
        let bulk = self.streams.get_mut(at)?;
        let waiting = bulk.pieces.pop_front()?;
        bulk.served += octets(&waiting.frame);
        if bulk.pieces.is_empty() {
            // The stream is forgotten, and its next piece must not come before those that waited.
            self.turn = self.turn.max(bulk.served);
            self.streams.swap_remove(at);
        }
        Some(waiting)
    }

    fn next_ordered(&mut self) -> Option<Waiting> {
        let waiting = self.ordered.pop_front()?;
        self.ordered_served += octets(&waiting.frame);
        Some(waiting)
    }

    fn stop(&mut self, tag: Tag) -> usize {
        if self.stopped.iter().any(|stopped| stopped.tag == tag) {
            return 0;
        }
        let bulk = self.streams.iter_mut().find(|bulk| bulk.tag == tag);
        let told = bulk.is_some();
        let freed = cut(bulk.map_or(&mut self.ordered, |bulk| &mut bulk.pieces), tag);
        if freed.is_none() || told {
            // More pieces may come.
            if self.stopped.len() == STOPPED_MAX {
                self.stopped.remove(0);
            }
            self.stopped.push(Stopped { tag, told });
        }
        freed.unwrap_or(0)
    }
}

/// Puts one abort in the place of all that waits of a stream. How many octets wait less; none if nothing waited.
fn cut(queue: &mut VecDeque<Waiting>, tag: Tag) -> Option<usize> {
    let of = |waiting: &&Waiting| waiting.tag == tag;
    let before: usize = queue.iter().filter(of).map(|waiting| waiting.frame.len()).sum();
    let first = queue.iter_mut().find(|waiting| waiting.tag == tag)?;
    let aborted = first.frame.aborted();
    let left = aborted.len();
    (first.frame, first.kind, first.tag) = (aborted, Kind::Abort, Tag::NONE);
    queue.retain(|waiting| waiting.tag != tag);
    Some(before.saturating_sub(left))
}

fn octets(frame: &Frame) -> u64 {
    u64::try_from(frame.len()).unwrap_or(u64::MAX)
}
