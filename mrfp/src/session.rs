//! Decides whether a chunk may enter the room. Pure: time and randomness are arguments, and nothing is sent from here.
//! A session is a seat in use; it holds the messages of its sender that are not complete yet. Which epoch may pass and
//! what number a message gets is for `room`; which answer goes back is for `reports`.
mod course;
mod open;
mod refusal;
mod runs;
mod seen;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ids::SeatId;
use msrp::{Body, ByteRange, Chunk, Flag, Head, MessageId, SuccessReport};
use rand::RngCore;

pub use course::{BUNDLE, EPOCH_REPORT, SEALED, SEALED_FILE};
use open::Open;
pub use refusal::Refusal;
pub(crate) use runs::Runs;
pub use seen::Seen;

use crate::room::Roster;

/// A seat in use.
#[derive(Debug)]
pub struct Session {
    seat: SeatId,
    open: HashMap<MessageId, Open>,
    /// Messages that were turned down and may still be coming: each further chunk gets the same answer.
    refused: VecDeque<(MessageId, Refusal)>,
    /// Receivers of these streams must be told that no more will come.
    aborted: Vec<Piece>,
    waiting: Vec<Waiting>,
}

/// What a session may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of a sealed message, CPIM headers and all.
    pub sealed_octets_max: u64,
    /// Octets of a handshake for the focus.
    pub handshake_octets_max: u64,
    /// Messages that are held back at once, complete or not.
    pub held_max: usize,
    /// Messages that come in at once.
    pub open_max: usize,
    /// How long a message may pause between two chunks (RFC 7701, 6.1).
    pub chunk_timer: Duration,
    /// How long a complete message waits for its epoch.
    pub wait: Duration,
}

/// What a chunk is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Whose session this is.
    pub seat: SeatId,
    /// The room and its people.
    pub roster: &'a Roster,
    /// What the sender's device has completed before.
    pub seen: &'a Seen,
    /// The bounds.
    pub limits: &'a Limits,
}

/// A chunk that passed every check. Only [`Session::admit`] makes one, so a room cannot relay what nobody checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It carries nothing: it binds the session or keeps it alive, and nobody else hears of it.
    Nothing,
    /// Held back; more must come.
    Kept,
    /// Relayed before. Where the message ends here, how long it was.
    Duplicate(Option<u64>),
    /// To be passed on now.
    Relay(Piece),
    /// The same, and no octet is missing any more; [`Piece::closing`] follows.
    Last(Piece),
    /// A message that was held back is complete.
    Whole(Message),
}

/// A piece of a streamed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    sender: SeatId,
    stream: MessageId,
    audience: Audience,
    content_type: Bytes,
    wrapper: Option<Bytes>,
    first: bool,
    range: ByteRange,
    body: Body,
    flag: Flag,
}

impl Piece {
    /// Whose it is.
    pub fn sender(&self) -> SeatId {
        self.sender
    }

    /// The Message-ID its receivers see.
    pub fn stream(&self) -> MessageId {
        self.stream
    }

    /// Who gets it.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// The media type of what the CPIM headers wrap, as sent.
    pub fn content_type(&self) -> &Bytes {
        &self.content_type
    }

    /// Whether its content is of this type; case and parameters do not count.
    pub fn is_type(&self, wanted: &str) -> bool {
        let bare = self.content_type.split(|octet| *octet == b';').next().unwrap_or_default();
        bare.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
    }

    /// What a REPORT about it carries: of a private message its From and To (RFC 7701, 6.2).
    pub fn wrapper(&self) -> Option<&Bytes> {
        self.wrapper.as_ref()
    }

    /// Whether the receivers are chosen now.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// Which octets it carries.
    pub fn range(&self) -> ByteRange {
        self.range
    }

    /// The octets.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// How it ends.
    pub fn flag(&self) -> Flag {
        self.flag
    }

    /// What ends the message for its receivers where its last octets did not come last: no octets, and the `$`.
    pub fn closing(&self) -> Self {
        let octets = self.range.total.unwrap_or_default();
        let range = ByteRange::piece(octets.saturating_add(1), 0, Some(octets));
        Self { first: false, range, body: Body::new(), flag: Flag::End, ..self.clone() }
    }

    /// What tells the receivers, instead of this piece, that no more will come.
    pub(crate) fn aborted(&self) -> Self {
        let range = ByteRange { start: self.range.start, end: None, total: None };
        Self { first: false, range, body: Body::new(), flag: Flag::Abort, ..self.clone() }
    }
}

/// A message that was gathered whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    sender: SeatId,
    kind: Kind,
    audience: Audience,
    content_at: usize,
    content_type: Bytes,
    wrapper: Option<Bytes>,
    body: Body,
}

impl Message {
    /// Whose it is.
    pub fn sender(&self) -> SeatId {
        self.sender
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Who gets it. A handshake goes to the focus, whatever this says.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// All of it, CPIM headers first.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// What the CPIM headers wrap.
    pub fn content(&self) -> Body {
        self.body.part(self.content_at, self.body.len())
    }

    /// The media type of the content, as sent.
    pub fn content_type(&self) -> &Bytes {
        &self.content_type
    }

    /// What a REPORT about it carries: of a private message its From and To (RFC 7701, 6.2).
    pub fn wrapper(&self) -> Option<&Bytes> {
        self.wrapper.as_ref()
    }

    /// The front of the content, enough for the clear prefix of an MLS message.
    pub fn prefix(&self) -> Bytes {
        self.body.part(self.content_at, self.content_at.saturating_add(PREFIX_OCTETS)).gather()
    }
}

/// More than the clear prefix of an MLS message of ours can have: 2 + 2 + 2 + 75 + 8 + 1.
const PREFIX_OCTETS: usize = 96;

/// What a gathered message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `message/mls`, for the members.
    Sealed,
    /// An MLS bundle, for the focus.
    Handshake,
}

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody but the sending session.
    Room,
    /// These seats.
    Seats(Vec<SeatId>),
}

/// A complete message whose epoch has not come by yet.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The message.
    pub message: Message,
    /// The request that completed it, which has no answer yet.
    pub head: Arc<Head>,
    /// When it is given up.
    pub until: Instant,
}

/// What a REPORT carries about a private message that was completed before and comes once more, if it comes in one
/// chunk.
pub fn wrapper_again(chunk: &Chunk, roster: &Roster) -> Option<Bytes> {
    let wanted = chunk.head.success_report() == SuccessReport::Yes && chunk.is_whole_message();
    wanted.then(|| course::wrapper_again(&chunk.body, roster)).flatten()
}

/// Refused messages that may still be coming; the oldest is forgotten first.
const REFUSED_MAX: usize = 16;

impl Session {
    /// A session without messages.
    pub fn new(seat: SeatId) -> Self {
        let (open, refused) = (HashMap::new(), VecDeque::new());
        Self { seat, open, refused, aborted: Vec::new(), waiting: Vec::new() }
    }

    /// Whose session it is.
    pub fn seat(&self) -> SeatId {
        self.seat
    }

    /// Checks a chunk of a SEND and takes note of it.
    pub fn admit(
        &mut self,
        now: Instant,
        chunk: &Chunk,
        around: &Surroundings<'_>,
        rng: &mut impl RngCore,
    ) -> Result<Admitted, Refusal> {
        let Some(id) = chunk.head.message_id() else { return Ok(Admitted::Nothing) };
        let abort = chunk.end == Some(Flag::Abort);
        let known = self.open.contains_key(&id);
        if !chunk.head.has_body() && !known && !abort {
            return Ok(Admitted::Nothing);
        }
        if chunk.first && chunk.range.start == 1 {
            self.refused.retain(|(refused, _)| *refused != id);
        } else if let Some((_, refusal)) = self.refused.iter().find(|(refused, _)| *refused == id) {
            return Err(refusal.clone());
        }
        if let Some(octets) = around.seen.octets_of(id) {
            return Ok(Admitted::Duplicate((chunk.end == Some(Flag::End)).then_some(octets)));
        }
        if abort {
            let open = self.open.remove(&id);
            let piece = open.and_then(|open| open.abort(self.seat));
            return Ok(piece.map_or(Admitted::Kept, Admitted::Relay));
        }
        let admitted = self.take(now, id, chunk, around, rng);
        match &admitted {
            Err(refusal) => self.refuse(id, refusal.clone()),
            Ok(_) if self.open.get(&id).is_some_and(Open::is_complete) => {
                drop(self.open.remove(&id));
            }
            Ok(_) => {}
        }
        admitted
    }

    fn take(
        &mut self,
        now: Instant,
        id: MessageId,
        chunk: &Chunk,
        around: &Surroundings<'_>,
        rng: &mut impl RngCore,
    ) -> Result<Admitted, Refusal> {
        if !self.open.contains_key(&id) {
            if self.waiting.iter().any(|waiting| waiting.head.message_id() == Some(id)) {
                return Err(Refusal::TooManyOpen);
            }
            if chunk.range.start != 1 {
                return Err(Refusal::Gap);
            }
            // RFC 7701, 6.1: without the wrapper nobody knows whom it is for.
            if !chunk.head.is_type(msrp::cpim::MEDIA_TYPE) {
                return Err(Refusal::NoWrapper);
            }
            let held =
                self.open.values().filter(|open| open.is_held()).count() + self.waiting.len();
            if held >= around.limits.held_max || self.open.len() >= around.limits.open_max {
                return Err(Refusal::TooManyOpen);
            }
        }
        let open = self.open.entry(id).or_insert_with(|| Open::new(now));
        open.take(now, chunk, around, rng)
    }

    /// A message that was admitted could not be passed on.
    pub(crate) fn turn_down(&mut self, id: MessageId, refusal: Refusal) {
        self.refuse(id, refusal);
    }

    /// Forgets a message; what comes of it from now on gets the same answer.
    fn refuse(&mut self, id: MessageId, refusal: Refusal) {
        if let Some(open) = self.open.remove(&id) {
            self.aborted.extend(open.abort(self.seat));
        }
        if self.refused.len() == REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back((id, refusal));
    }

    /// Streams that ended without their sender saying so, to be passed on once.
    pub fn take_aborted(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.aborted)
    }

    /// Keeps a complete message until its epoch comes by.
    pub fn wait(&mut self, message: Message, head: Arc<Head>, until: Instant) {
        self.waiting.push(Waiting { message, head, until });
    }

    /// All messages that wait, to be tried again.
    pub fn take_waiting(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.waiting)
    }

    /// The gate moved: ends the unfinished sealed messages that `stale` turns down. Their Message-IDs, for an answer
    /// to a chunk that is just coming in.
    pub fn end_epoch(
        &mut self,
        stale: impl Fn(&Message) -> Option<Refusal>,
    ) -> Vec<(MessageId, Refusal)> {
        let seat = self.seat;
        let refusal = |open: &Open| open.sealed_so_far(seat).as_ref().and_then(&stale);
        let ended: Vec<(MessageId, Refusal)> =
            self.open.iter().filter_map(|(id, open)| Some((*id, refusal(open)?))).collect();
        ended.iter().for_each(|(id, refusal)| self.refuse(*id, refusal.clone()));
        ended
    }

    /// Ends messages of which no chunk came for too long. The waiting ones that are given up, for their answers.
    pub fn expire(&mut self, now: Instant, limits: &Limits) -> Vec<Waiting> {
        let late = |open: &Open| now.saturating_duration_since(open.touched) >= limits.chunk_timer;
        let expired: Vec<MessageId> =
            self.open.iter().filter(|(_, open)| late(open)).map(|(id, _)| *id).collect();
        expired.into_iter().for_each(|id| self.refuse(id, Refusal::Expired));
        let (late, waiting) = self.take_waiting().into_iter().partition(|w| w.until <= now);
        self.waiting = waiting;
        late
    }

    /// The session ends, and with it every unfinished message.
    pub fn close(&mut self) -> Vec<Piece> {
        let mut pieces = self.take_aborted();
        pieces.extend(self.open.drain().filter_map(|(_, open)| open.abort(self.seat)));
        pieces
    }
}

#[cfg(test)]
mod tests;
