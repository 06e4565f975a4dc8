//! The incremental decoder: octets in, in any cut, and chunks out. A body is never copied: a chunk holds slices of the
//! caller's buffer. Sessions, answers and what a message means are none of its business.
//!
//! ```text
//!            head complete              end-line
//! Head ──────────────────────► Body ──────────────► Head
//!   │ bad, but its end can be found      ▲ end-line
//!   ├────────────────────────► Skip ─────┘
//!   │ its end cannot be found
//!   └────────────────────────► Dead
//! ```

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use crate::body::Body;
use crate::fault::{Defect, Fault, Rejected};
use crate::head::{Head, Start};
use crate::ident::TransactionId;
use crate::limits::Limits;
use crate::lines::{Ending, Found, Lines};
use crate::parse::{self, BodyFollows, Draft, Line};
use crate::paths::{Known, Paths};
use crate::range::ByteRange;
use crate::scan::{self, Scan};
use crate::start::{Flag, Method};
use crate::success::Successes;

/// What the decoder hands out.
#[derive(Debug, Clone)]
pub enum Item {
    /// A request, or a piece of a long one.
    Request(Chunk),
    /// A response. Its body, which it must not have, is dropped.
    Response(Arc<Head>),
}

/// A request with its body; of a long one, a piece that is a valid chunk itself.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Start line and headers, the same for each piece.
    pub head: Arc<Head>,
    /// Where the octets lie in the message: start and end are what really arrived, the total what was announced.
    pub range: ByteRange,
    /// The octets.
    pub body: Body,
    /// Whether this is the first piece of its request.
    pub first: bool,
    /// The flag of the end-line, `None` where more pieces of this request follow.
    pub end: Option<Flag>,
}

impl Chunk {
    /// The flag this piece has as a chunk of its own.
    pub fn flag(&self) -> Flag {
        self.end.unwrap_or(Flag::More)
    }

    /// Whether it is all of a message in one: from the first octet to the end.
    pub fn is_whole_message(&self) -> bool {
        self.range.start == 1 && self.end == Some(Flag::End)
    }
}

/// A slice list longer than this is handed out early, so that a peer sending octet by octet costs no memory.
const SLICES_MAX: usize = 64;

/// Where in a message the decoder is.
#[derive(Debug)]
enum State {
    /// Before the end of start line and headers.
    Head,
    /// In a body.
    Body(Reading),
    /// In the body of a message that was refused.
    Skip { transaction: TransactionId, started: bool },
    /// The stream cannot be followed.
    Dead(Fault),
}

#[derive(Debug)]
struct Reading {
    head: Arc<Head>,
    /// Octets already handed out.
    handed: u64,
    /// Octets that arrived and were not handed out, but for those in `tail`.
    held: Body,
    /// The youngest slice, which grows as long as the next octets lie right behind it in memory.
    tail: BytesMut,
}

/// The incremental decoder of one connection.
///
/// Append what arrives to a buffer and call [`Decoder::next`] until it returns `Ok(None)`. It takes octets from the
/// front of the buffer as soon as it can use them, and leaves at most one unfinished head or 43 octets of a body there.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: State,
    lines: Lines,
    known: Known,
    successes: Successes,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Head,
            lines: Lines::default(),
            known: Known::default(),
            successes: Successes::default(),
        }
    }

    /// Whether the stream is between two messages, so that its end is no loss.
    pub fn is_idle(&self, input: &BytesMut) -> bool {
        input.is_empty() && matches!(self.state, State::Head)
    }

    /// The next item of the stream, `None` when more octets are needed.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Item>, Fault> {
        loop {
            let step = match &mut self.state {
                State::Head => self.head(input),
                State::Body(_) => self.body(input),
                State::Skip { .. } => self.skip(input),
                State::Dead(fault) => {
                    input.clear();
                    return Err(fault.clone());
                }
            };
            match step {
                Step::Again => {}
                Step::Wait => return Ok(None),
                Step::Item(item) => return Ok(Some(item)),
                Step::Refuse(rejected) => return Err(Fault::Answerable(rejected)),
                Step::Die(why, rejected) => {
                    let fault = Fault::Fatal { why, rejected };
                    self.state = State::Dead(fault.clone());
                    input.clear();
                    return Err(fault);
                }
            }
        }
    }

    fn body(&mut self, input: &mut BytesMut) -> Step {
        let State::Body(reading) = &mut self.state else { return Step::Again };
        let send = reading.head.method() == Some(&Method::Send);
        let most = match send {
            true => self.limits.piece_octets_max.max(1),
            false => self.limits.other_body_octets_max,
        };
        let room = most.saturating_sub(reading.len());
        // Look no further than this piece can reach, or a long buffer would be searched again for each piece.
        let window = input.len().min(room.saturating_add(scan::END_LINE_OCTETS_MAX));
        let started = reading.handed > 0 || reading.len() > 0;
        let seen = input.get(..window).unwrap_or_default();
        match scan::end_line(seen, reading.head.transaction(), started) {
            Scan::End { data, taken, flag } if data <= room => {
                reading.take(input, data);
                input.advance(taken - data);
                let item = reading.hand_out(Some(flag));
                self.state = State::Head;
                Step::Item(item)
            }
            Scan::Data(0) => Step::Wait,
            // A full piece waits until an octet of the next has come, so that the last piece is never empty.
            _ if room == 0 && !send => self.too_long(),
            _ if room == 0 || (send && reading.is_scattered()) => {
                Step::Item(reading.hand_out(None))
            }
            Scan::Data(data) | Scan::End { data, .. } => {
                reading.take(input, data.min(room));
                Step::Again
            }
        }
    }

    /// RFC 4975, section 7.1: the body of anything but a SEND has at most 10 240 octets.
    fn too_long(&mut self) -> Step {
        let State::Body(reading) = std::mem::replace(&mut self.state, State::Head) else {
            return Step::Again;
        };
        let head = reading.head;
        let transaction = head.transaction();
        self.state = State::Skip { transaction, started: true };
        match head.start() {
            Start::Response(..) => Step::Die(Defect::BodyTooLong, None),
            Start::Request(method) => Step::Refuse(Box::new(Rejected {
                transaction,
                method: Some(method.clone()),
                to_path: Some(head.to_path().clone()),
                from_path: Some(head.from_path().clone()),
                failure_report: head.failure_report(),
                defect: Defect::BodyTooLong,
            })),
        }
    }

    fn skip(&mut self, input: &mut BytesMut) -> Step {
        let State::Skip { transaction, started } = &mut self.state else { return Step::Again };
        match scan::end_line(input, *transaction, *started) {
            Scan::End { taken, .. } => {
                input.advance(taken);
                self.state = State::Head;
                Step::Again
            }
            Scan::Data(data) => {
                *started |= data > 0;
                input.advance(data);
                Step::Wait
            }
        }
    }

    fn head(&mut self, input: &mut BytesMut) -> Step {
        if self.lines.is_fresh()
            && let Some((head, octets)) = self.successes.next(input, &self.known, &self.limits)
        {
            input.advance(octets);
            return Step::Item(Item::Response(head));
        }
        match self.lines.find(input, &self.known, &self.limits) {
            Found::Nothing => Step::Wait,
            Found::Head { octets, transaction, ending } => {
                let step = self.read(input, octets, transaction, ending);
                self.lines.restart();
                step
            }
            Found::Broken(defect) => self.give_up(input, defect),
        }
    }

    /// Ends the stream, with whoever can be read in the lines so far as the one to answer.
    fn give_up(&mut self, input: &mut BytesMut, defect: Defect) -> Step {
        let block = input.split().freeze();
        let read = start(&mut self.lines, &block).and_then(|(start, lines)| {
            let mut draft = Draft::new(Some(defect), lines.paths);
            draft.lines(&block, lines.headers, &self.limits);
            draft.finish(block.clone(), start, BodyFollows::No, &mut Known::default()).err()
        });
        Step::Die(defect, read)
    }

    /// The head is complete: its lines are read and its octets leave the buffer.
    fn read(
        &mut self,
        input: &mut BytesMut,
        octets: usize,
        transaction: TransactionId,
        ending: Ending,
    ) -> Step {
        let block = input.split_to(octets).freeze();
        let Some((start, lines)) = start(&mut self.lines, &block) else {
            return Step::Die(Defect::StartLine, None);
        };
        let body = if ending == Ending::Blank { BodyFollows::Yes } else { BodyFollows::No };
        let mut draft = Draft::new(None, lines.paths);
        draft.lines(&block, lines.headers, &self.limits);
        let head = draft.finish(block, start, body, &mut self.known);
        match (head, ending) {
            (Ok(head), Ending::EndLine(flag)) => Step::Item(match head.start() {
                Start::Response(..) => Item::Response(head),
                Start::Request(_) => Reading::new(head).hand_out(Some(flag)),
            }),
            (Ok(head), Ending::Blank) => {
                self.state = State::Body(Reading::new(head));
                Step::Again
            }
            (Err(rejected), Ending::EndLine(_)) => Step::Refuse(rejected),
            (Err(rejected), Ending::Blank) => {
                self.state = State::Skip { transaction, started: false };
                Step::Refuse(rejected)
            }
        }
    }
}

/// The lines behind the start line, and the paths where those are known.
struct Rest<'a> {
    headers: &'a [Line],
    paths: Option<Arc<Paths>>,
}

/// The start line of the lines at hand, and the lines behind it.
fn start<'a>(lines: &'a mut Lines, block: &Bytes) -> Option<((TransactionId, Start), Rest<'a>)> {
    let (&(start, end), headers) = lines.spans.split_first()?;
    let (line, id) = (block.get(start as usize..end as usize)?, lines.transaction?);
    let rest = Rest { headers, paths: lines.paths.take() };
    Some(((id, parse::start_line(block, line, id)?), rest))
}

enum Step {
    Again,
    Wait,
    Item(Item),
    Refuse(Box<Rejected>),
    Die(Defect, Option<Box<Rejected>>),
}

impl Reading {
    fn new(head: Arc<Head>) -> Self {
        let (held, tail) = (Body::new(), BytesMut::new());
        Self { head, handed: 0, held, tail }
    }

    fn len(&self) -> usize {
        self.held.len() + self.tail.len()
    }

    /// So many slices that keeping them costs more than handing them out.
    fn is_scattered(&self) -> bool {
        self.held.slice_count() >= SLICES_MAX
            && self.held.octets() >= ByteRange::UNINTERRUPTIBLE_OCTETS_MAX
    }

    /// Takes the first `octets` of `input`, without copying them.
    fn take(&mut self, input: &mut BytesMut, octets: usize) {
        if octets == 0 {
            return;
        }
        let slice = input.split_to(octets);
        if self.tail.is_empty() {
            self.tail = slice;
        } else if self.tail.as_ptr_range().end == slice.as_ptr() {
            // They are neighbours in one buffer, so joining them copies nothing.
            self.tail.unsplit(slice);
        } else {
            self.held.push(std::mem::replace(&mut self.tail, slice).freeze());
        }
    }

    /// What is held, as an item. `end` is the flag of the end-line, if that has come.
    fn hand_out(&mut self, end: Option<Flag>) -> Item {
        self.held.push(std::mem::take(&mut self.tail).freeze());
        let body = std::mem::take(&mut self.held);
        if self.head.method().is_none() {
            return Item::Response(Arc::clone(&self.head));
        }
        let announced = self.head.byte_range();
        let start = announced.start.saturating_add(self.handed);
        let first = self.handed == 0;
        self.handed = self.handed.saturating_add(body.octets());
        let range = ByteRange::piece(start, body.octets(), announced.total);
        Item::Request(Chunk { head: Arc::clone(&self.head), range, body, first, end })
    }
}
