//! One message that is still coming in: first its CPIM headers, then either held until it is whole or passed on piece
//! by piece. It knows nothing of other messages.
//!
//! ```text
//! Heading ─ headers complete ─┬─► Holding   ─ $ ─► Admitted::Whole
//!    │                        └─► Streaming ─ each chunk ─► Admitted::Relay
//!    └─ Refusal
//! ```
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use msrp::cpim::{BadCpim, Envelope, Gather};
use msrp::{Body, ByteRange, Chunk, Flag, MessageId};
use rand::RngCore;

use super::course::{self, Carriage, Course};
use super::{
    Admitted, Audience, Kind, Limits, Message, PREFIX_OCTETS, Piece, Refusal, Surroundings,
};

#[derive(Debug)]
pub(super) struct Open {
    /// Octets without a gap, from the first.
    octets: u64,
    pub(super) touched: Instant,
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
    octets: BytesMut,
}

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
        Self { octets: 0, touched: now, stage: Stage::Heading(Gather::default()) }
    }

    /// Whether octets are held back.
    pub(super) fn is_held(&self) -> bool {
        !matches!(self.stage, Stage::Streaming(_))
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
        // Chunks come in order (RFC 4975, 7.1.1), so octets that are missing now do not come.
        if start > self.octets {
            return Err(Refusal::Gap);
        }
        let end = start.saturating_add(chunk.body.octets());
        let announced = chunk.range.total.unwrap_or(0).max(end);
        let Stage::Heading(gather) = &mut self.stage else {
            self.octets = self.octets.max(end);
            return self.carry(start, chunk.body.clone(), announced, chunk, around);
        };
        if start != self.octets {
            return Err(Refusal::Gap);
        }
        self.octets = end;
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
        self.stage = match course.carriage {
            Carriage::Whole(kind) => Stage::Holding(Held { kind, course, octets: BytesMut::new() }),
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
        match &mut self.stage {
            Stage::Heading(_) => Ok(Admitted::Kept),
            Stage::Holding(held) => {
                let end = chunk.end == Some(Flag::End);
                if end && held.octets.is_empty() {
                    // It came whole, so nothing is held, and nothing is copied.
                    return Ok(Admitted::Whole(held.message(around.seat, body)));
                }
                held.add(start, &body);
                if !end {
                    return Ok(Admitted::Kept);
                }
                let body = Body::from(held.octets.split().freeze());
                Ok(Admitted::Whole(held.message(around.seat, body)))
            }
            Stage::Streaming(stream) => {
                let total = match chunk.end {
                    Some(Flag::End) => Some(start.saturating_add(body.octets())),
                    _ => chunk.range.total,
                };
                let range = ByteRange::piece(start + 1, body.octets(), total);
                let first = !std::mem::replace(&mut stream.begun, true);
                let flag = chunk.flag();
                Ok(Admitted::Relay(stream.piece(around.seat, first, range, body, flag)))
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
        let range = ByteRange { start: self.octets + 1, end: None, total: None };
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
    fn add(&mut self, start: u64, body: &Body) {
        let mut at = usize::try_from(start).unwrap_or(usize::MAX);
        for slice in body.slices() {
            let behind = self.octets.get_mut(at..).unwrap_or_default();
            let (again, new) = slice.split_at(slice.len().min(behind.len()));
            behind.iter_mut().zip(again).for_each(|(old, octet)| *old = *octet);
            self.octets.extend_from_slice(new);
            at = at.saturating_add(slice.len());
        }
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
