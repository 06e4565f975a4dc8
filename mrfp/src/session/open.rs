//! One message that is still coming in: first its CPIM headers, then either held until it is whole or passed on piece
//! by piece. It knows nothing of other messages.
//!
//! ```text
//! Heading ─ headers complete ─┬─► Holding   ─ every octet ─► Admitted::Whole
//!    │                        └─► Streaming ─ each chunk ─► Admitted::Relay
//!    └─ Refusal
//! ```
//!
//! The headers must come first, or nobody knows whom the rest is for; what is behind them may come in any order and
//! more than once (RFC 4975, 7.3.1). The chunk with `$` says how long the message is, and need not be the last.
use std::collections::BTreeMap;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use msrp::cpim::{BadCpim, Envelope, Gather};
use msrp::{Body, ByteRange, Chunk, Flag, MessageId};
use rand::RngCore;

use super::course::{self, Carriage, Course};
use super::runs::Runs;
use super::{
    Admitted, Audience, Kind, Limits, Message, PREFIX_OCTETS, Piece, Refusal, Surroundings,
};

#[derive(Debug)]
pub(super) struct Open {
    /// Which octets have come.
    runs: Runs,
    /// How many there are, once the chunk with `$` has come.
    total: Option<u64>,
    pub(super) touched: Instant,
    /// All octets that came, also those that came again.
    received: u64,
    /// Where the content starts, once the headers are checked.
    content_at: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Heading(Gather),
    Holding(Held),
    Streaming(Stream),
}

/// A message that waits for its rest. Its octets are copied out of the buffers they were read into: a chunk of one
/// octet would keep a whole buffer alive, and a list of millions of slices is slow to cut.
#[derive(Debug)]
struct Held {
    kind: Kind,
    course: Course,
    /// From the first octet, without a gap.
    octets: BytesMut,
    /// What lies behind a gap, by where it starts.
    beyond: BTreeMap<usize, BytesMut>,
}

/// Pieces behind gaps that are kept: each costs many times the octet it may hold. What comes in order is one piece.
const PIECES_MAX: usize = 1024;

#[derive(Debug)]
struct Stream {
    audience: Audience,
    /// The switch is a new sender, so receivers see a Message-ID of our own.
    id: MessageId,
    content_type: Bytes,
    wrapper: Option<Bytes>,
    begun: bool,
}

impl Open {
    pub(super) fn new(now: Instant) -> Self {
        let stage = Stage::Heading(Gather::default());
        let (runs, total) = (Runs::default(), None);
        Self { runs, total, received: 0, content_at: 0, touched: now, stage }
    }

    /// Whether octets are held back.
    pub(super) fn is_held(&self) -> bool {
        !matches!(self.stage, Stage::Streaming(_))
    }

    /// Whether every octet has come.
    pub(super) fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.runs.front() == total)
    }

    pub(super) fn take(
        &mut self,
        now: Instant,
        chunk: &Chunk,
        around: &Surroundings<'_>,
        rng: &mut impl RngCore,
    ) -> Result<Admitted, Refusal> {
        self.touched = now;
        let start = chunk.range.start.saturating_sub(1);
        let end = start.saturating_add(chunk.body.octets());
        let announced = chunk.range.total.unwrap_or(0).max(end);
        self.received = self.received.saturating_add(chunk.body.octets());
        // Octets may come again (RFC 4975, 7.3.1), but not for ever: each time costs what the first time did.
        if announced > self.octets_max(around) || self.received / 2 > self.octets_max(around) {
            return Err(Refusal::TooLarge);
        }
        // What the headers say was checked and decided; coming again they could say something else.
        if start < self.content_at && !chunk.body.is_empty() {
            return Err(Refusal::Contradiction);
        }
        let front = self.runs.front();
        self.note(start, end, chunk)?;
        let Stage::Heading(gather) = &mut self.stage else {
            return self.carry(start, chunk.body.clone(), announced, chunk, around);
        };
        if start != front {
            return Err(Refusal::Gap);
        }
        let envelope = head(gather, &chunk.body).map_err(|why| match why {
            BadCpim::TooLong => Refusal::LongEnvelope,
            _ => Refusal::BadEnvelope,
        })?;
        let Some(envelope) = envelope else {
            return if chunk.end == Some(Flag::End) {
                Err(Refusal::BadEnvelope)
            } else {
                Ok(Admitted::Kept)
            };
        };
        let sender = around.roster.participant(around.seat).ok_or(Refusal::NoSession)?;
        let course = course::find(&envelope, sender, around.roster)?;
        let body = gather.take();
        self.content_at = u64::try_from(course.content_at).unwrap_or(u64::MAX);
        self.stage = match course.carriage {
            Carriage::Whole(kind) => {
                let (octets, beyond) = (BytesMut::new(), BTreeMap::new());
                Stage::Holding(Held { kind, course, octets, beyond })
            }
            Carriage::Streamed => Stage::Streaming(Stream {
                audience: course.audience,
                id: MessageId::random(rng),
                content_type: course.content_type,
                wrapper: course.wrapper,
                begun: false,
            }),
        };
        self.carry(0, body, announced, chunk, around)
    }

    /// These octets have come. A message has one length, and nothing behind it.
    fn note(&mut self, start: u64, end: u64, chunk: &Chunk) -> Result<(), Refusal> {
        self.runs.add(start, end).map_err(|_scattered| Refusal::Contradiction)?;
        if chunk.end == Some(Flag::End) {
            if self.total.is_some_and(|total| total != end) {
                return Err(Refusal::Contradiction);
            }
            self.total = Some(end);
        }
        // Also a chunk of no octets lies somewhere, and receivers would be told where.
        let reach = self.runs.reach().max(end);
        let beyond = self.total.is_some_and(|total| reach > total);
        if beyond { Err(Refusal::Contradiction) } else { Ok(()) }
    }

    /// `body` lies at `start` in the message, and is all that came and was not carried before.
    fn carry(
        &mut self,
        start: u64,
        body: Body,
        announced: u64,
        chunk: &Chunk,
        around: &Surroundings<'_>,
    ) -> Result<Admitted, Refusal> {
        if announced > self.octets_max(around) {
            return Err(Refusal::TooLarge);
        }
        let complete = self.is_complete();
        match &mut self.stage {
            Stage::Heading(_) => Ok(Admitted::Kept),
            Stage::Holding(held) => {
                if complete && held.octets.is_empty() {
                    // It came whole, so nothing is held, and nothing is copied.
                    return Ok(Admitted::Whole(held.message(around.seat, body)));
                }
                held.add(start, &body)?;
                if !complete {
                    return Ok(Admitted::Kept);
                }
                let body = Body::from(held.octets.split().freeze());
                Ok(Admitted::Whole(held.message(around.seat, body)))
            }
            Stage::Streaming(stream) => {
                let total = self.total.or(chunk.range.total);
                let range = ByteRange::piece(start + 1, body.octets(), total);
                let first = !std::mem::replace(&mut stream.begun, true);
                // For its receivers, too, the `$` says where the message ends; it comes when all of it has.
                let last = complete && chunk.end == Some(Flag::End);
                let flag = if last { Flag::End } else { Flag::More };
                let closing = complete && !last;
                let piece = stream.piece(around.seat, first, range, body, flag);
                Ok(if closing { Admitted::Last(piece) } else { Admitted::Relay(piece) })
            }
        }
    }

    fn octets_max(&self, around: &Surroundings<'_>) -> u64 {
        let Limits { sealed_octets_max, handshake_octets_max, .. } = *around.limits;
        match &self.stage {
            Stage::Holding(Held { kind: Kind::Handshake, .. }) => handshake_octets_max,
            Stage::Holding(_) => sealed_octets_max.min(around.roster.message_octets_max),
            Stage::Heading(_) | Stage::Streaming(_) => around.roster.message_octets_max,
        }
    }

    /// The piece that tells receivers that no more will come, if they have had any.
    pub(super) fn abort(&self, sender: ids::SeatId) -> Option<Piece> {
        let Stage::Streaming(stream) = &self.stage else { return None };
        let range = ByteRange { start: self.runs.front() + 1, end: None, total: None };
        stream.begun.then(|| stream.piece(sender, false, range, Body::new(), Flag::Abort))
    }

    /// The front of a sealed message to the room that is held, enough to tell its epoch.
    pub(super) fn sealed_so_far(&self, sender: ids::SeatId) -> Option<Message> {
        match &self.stage {
            Stage::Holding(held)
                if held.kind == Kind::Sealed && held.course.audience == Audience::Room =>
            {
                let octets = held.course.content_at.saturating_add(PREFIX_OCTETS);
                let front: Vec<u8> = held.octets.iter().take(octets).copied().collect();
                Some(held.message(sender, Body::from(Bytes::from(front))))
            }
            _ => None,
        }
    }
}

/// Adds what came to the CPIM headers. While they are incomplete it is copied: see [`Held`].
fn head(gather: &mut Gather, piece: &Body) -> Result<Option<Envelope>, BadCpim> {
    let mut shared = gather.clone();
    let envelope = shared.push(piece)?;
    if envelope.is_some() {
        *gather = shared;
        return Ok(envelope);
    }
    let copy = |slice: &Bytes| Bytes::copy_from_slice(slice);
    gather.push(&piece.slices().map(copy).collect())
}

impl Held {
    /// RFC 4975, 7.3.1: of octets that come twice the later ones count.
    fn add(&mut self, start: u64, body: &Body) -> Result<(), Refusal> {
        let mut at = usize::try_from(start).unwrap_or(usize::MAX);
        if at > self.octets.len() {
            self.add_beyond(at, BytesMut::from(&body.gather()[..]));
            return match self.beyond.len() {
                ..=PIECES_MAX => Ok(()),
                _ => Err(Refusal::Contradiction),
            };
        }
        for slice in body.slices() {
            let behind = self.octets.get_mut(at..).unwrap_or_default();
            let (again, new) = slice.split_at(slice.len().min(behind.len()));
            behind.iter_mut().zip(again).for_each(|(old, octet)| *old = *octet);
            self.octets.extend_from_slice(new);
            at = at.saturating_add(slice.len());
        }
        // What came before, behind a gap that is closed now: of it counts what these octets do not reach.
        while let Some(entry) = self.beyond.first_entry().filter(|e| *e.key() <= self.octets.len())
        {
            let (at, piece) = entry.remove_entry();
            let rest = piece.get(self.octets.len() - at..).unwrap_or_default();
            self.octets.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Keeps a piece behind a gap. Of older pieces only what it does not cover stays.
    fn add_beyond(&mut self, at: usize, piece: BytesMut) {
        let end = at.saturating_add(piece.len());
        while let Some((&start, _)) = self.beyond.range(..end).next_back() {
            let Some(mut old) = self.beyond.remove(&start) else { break };
            let old_end = start.saturating_add(old.len());
            if old_end <= at {
                self.beyond.insert(start, old);
                break;
            }
            if old_end > end {
                self.beyond.insert(end, old.split_off(end.saturating_sub(start)));
            }
            if start < at {
                old.truncate(at - start);
                self.beyond.insert(start, old);
                break;
            }
        }
        // What comes in order behind a gap is one piece.
        if let Some((start, before)) = self.beyond.range_mut(..at).next_back()
            && start.saturating_add(before.len()) == at
        {
            before.extend_from_slice(&piece);
            return;
        }
        self.beyond.insert(at, piece);
    }

    fn message(&self, sender: ids::SeatId, body: Body) -> Message {
        Message {
            sender,
            kind: self.kind,
            audience: self.course.audience.clone(),
            content_at: self.course.content_at,
            content_type: self.course.content_type.clone(),
            wrapper: self.course.wrapper.clone(),
            body,
        }
    }
}

impl Stream {
    fn piece(
        &self,
        sender: ids::SeatId,
        first: bool,
        range: ByteRange,
        body: Body,
        flag: Flag,
    ) -> Piece {
        Piece {
            sender,
            stream: self.id,
            audience: self.audience.clone(),
            content_type: self.content_type.clone(),
            wrapper: self.wrapper.clone(),
            first,
            range,
            body,
            flag,
        }
    }
}
