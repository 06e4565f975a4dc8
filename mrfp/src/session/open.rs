//! One message that is still coming in: first its CPIM headers, then either held until it is whole or passed on piece
//! by piece. It knows nothing of other messages.
//!
//! ```text
//! Heading ─ headers complete ─┬─► Holding   ─ $ ─► Admitted::Whole
//!    │                        └─► Streaming ─ each chunk ─► Admitted::Relay
//!    └─ Refusal
//! ```
use std::time::Instant;

use msrp::cpim::{BadCpim, Gather};
use msrp::{Body, ByteRange, Chunk, Flag, MessageId};
use rand::RngCore;

use super::course::{self, Carriage, Course};
use super::{Admitted, Audience, Kind, Limits, Message, Piece, Refusal, Surroundings};

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

#[derive(Debug)]
struct Held {
    kind: Kind,
    course: Course,
    body: Body,
}

#[derive(Debug)]
struct Stream {
    audience: Audience,
    /// The switch is a new sender, so receivers see a Message-ID of our own.
    id: MessageId,
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
        let envelope = gather.push(&chunk.body).map_err(|why| match why {
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
            Carriage::Whole(kind) => Stage::Holding(Held { kind, course, body: Body::new() }),
            Carriage::Streamed => Stage::Streaming(Stream {
                audience: course.audience,
                id: MessageId::random(rng),
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
                held.add(start, body);
                Ok(match chunk.end {
                    Some(Flag::End) => Admitted::Whole(held.message(around.seat)),
                    _ => Admitted::Kept,
                })
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

    /// What is held of a sealed message to the room, as far as it came.
    pub(super) fn sealed_so_far(&self, sender: ids::SeatId) -> Option<Message> {
        match &self.stage {
            Stage::Holding(held)
                if held.kind == Kind::Sealed && held.course.audience == Audience::Room =>
            {
                Some(held.message(sender))
            }
            _ => None,
        }
    }
}

impl Held {
    /// RFC 4975, 7.3.1: of octets that come twice the later ones count.
    fn add(&mut self, start: u64, body: Body) {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        if start == self.body.len() {
            self.body.append(&body);
            return;
        }
        let behind = self.body.part(start.saturating_add(body.len()), self.body.len());
        self.body = self.body.part(0, start);
        self.body.append(&body);
        self.body.append(&behind);
    }

    fn message(&self, sender: ids::SeatId) -> Message {
        Message {
            sender,
            kind: self.kind,
            audience: self.course.audience.clone(),
            content_at: self.course.content_at,
            content_type: self.course.content_type.clone(),
            body: self.body.clone(),
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
        Piece { sender, stream: self.id, audience: self.audience.clone(), first, range, body, flag }
    }
}
