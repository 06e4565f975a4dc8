//! The messages of one session, taken one beside the other, for whoever keeps them: octets go to a [`Sink`] as they come,
//! and the answer to the last of them, as well as the report, waits until the message is kept. A wrapper (message/cpim) is
//! part of a message. Nothing is sent; where messages end up is somebody else's.
use std::collections::VecDeque;
use std::time::Instant;

use msrp::{Address, Chunk, Flag, Frame, Item, MessageId, Method, Status};
use rand::CryptoRng;

use super::receiving::Receiving;
use super::{Out, Part, Sink};
use crate::{Alive, Binding, Now, Pulse, Setup};

/// Messages that may be on their way at a time.
const OPEN_MAX: usize = 16;
/// Messages that are remembered once they are over: pieces of them may still come.
const OVER_MAX: usize = 64;
/// Answers that wait for one message to be kept.
const ANSWERS_MAX: usize = 64;

/// Where the octets of the next message go.
pub type Sinks = Box<dyn FnMut(MessageId) -> Result<Box<dyn Sink>, String> + Send>;

/// A message that is whole and waits to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// What its sender calls it.
    pub id: MessageId,
    /// Its type, as it was sent.
    pub content_type: String,
    /// Octets of it.
    pub octets: u64,
}

struct Open {
    id: MessageId,
    receiving: Receiving,
    out: Out,
    /// Chunks that are answered once it is kept.
    unanswered: Vec<Chunk>,
}

/// The messages of one session.
pub struct Messages {
    setup: Setup,
    octets_max: u64,
    sinks: Sinks,
    alive: Alive,
    binding: Binding,
    open: Vec<Open>,
    /// And how a piece that comes late is answered.
    over: VecDeque<(MessageId, Status)>,
    replies: VecDeque<Frame>,
    is_over: bool,
}

impl Messages {
    /// A session on its connection, for messages of so many octets at most.
    pub fn new(setup: Setup, octets_max: u64, sinks: Sinks, rng: &mut impl CryptoRng) -> Self {
        let address = Address::new(&setup.to, &setup.own);
        let (binding, bind) = Binding::new(&setup, &address, rng);
        Self {
            alive: Alive::new(address, setup.limits),
            setup,
            octets_max,
            sinks,
            binding,
            open: Vec::new(),
            over: VecDeque::new(),
            replies: VecDeque::from_iter(bind),
            is_over: false,
        }
    }

    /// Whether nothing more can come: the other side does not know the session, or is silent.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether no message is on its way.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The next frame to write.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        self.replies.pop_front()
    }

    /// The oldest message that is whole and waits for [`Messages::kept`].
    pub fn whole(&self) -> Option<Came> {
        self.open.iter().find_map(|open| {
            let octets = open.receiving.held()?.octets;
            let content_type = open.receiving.media_type().unwrap_or_default().to_owned();
            Some(Came { id: open.id, content_type, octets })
        })
    }

    /// A message is in its place, or is not and why: its sender is told.
    pub fn kept(&mut self, rng: &mut impl CryptoRng, id: MessageId, kept: Result<(), Status>) {
        let Some(at) = self.open.iter().position(|open| open.id == id) else { return };
        let mut open = self.open.remove(at);
        let status = kept.err().unwrap_or(Status::OK);
        for chunk in &open.unanswered {
            self.replies.extend(self.binding.reply(chunk, status));
        }
        if kept.is_ok() {
            open.receiving.kept(rng, &self.setup.own, Ok(()), &mut open.out);
            self.replies.append(&mut open.out.replies);
            self.note(id, Status::OK);
        }
    }

    /// Takes what the decoder gave.
    pub fn receive(&mut self, now: Now, rng: &mut impl CryptoRng, item: &Item) {
        self.alive.heard(now.instant);
        match item {
            Item::Response(head) if self.binding.awaits(head) => {
                self.is_over |= matches!(self.binding.answered(head), Some(Err(_)));
            }
            Item::Response(_) => {}
            Item::Request(chunk) => self.requested(now, rng, chunk),
        }
    }

    fn requested(&mut self, now: Now, rng: &mut impl CryptoRng, chunk: &Chunk) {
        if self.binding.has_refused(chunk) {
            return;
        }
        let status = if self.setup.is_for_us(&chunk.head) {
            self.binding.requested();
            self.take(now, rng, chunk)
        } else {
            Some(Status::NO_SUCH_SESSION)
        };
        let reply = status.and_then(|status| self.binding.reply(chunk, status));
        self.replies.extend(reply);
    }

    /// The status of a request; `None` where there is no answer, or not yet.
    fn take(&mut self, now: Now, rng: &mut impl CryptoRng, chunk: &Chunk) -> Option<Status> {
        match chunk.head.method() {
            Some(Method::Send) if !chunk.head.has_body() => Some(Status::OK),
            Some(Method::Send) => self.piece(now.instant, rng, chunk),
            Some(Method::Report) => None,
            _ => Some(Status::UNKNOWN_METHOD),
        }
    }

    fn piece(&mut self, now: Instant, rng: &mut impl CryptoRng, chunk: &Chunk) -> Option<Status> {
        let Some(id) = chunk.head.message_id() else { return Some(Status::BAD_REQUEST) };
        if let Some((_, status)) = self.over.iter().find(|(over, _)| *over == id) {
            return Some(*status);
        }
        let at = match self.open.iter().position(|open| open.id == id) {
            Some(at) => at,
            // Nothing of it has come, so there is nothing to drop.
            None if chunk.end == Some(Flag::Abort) => return Some(Status::OK),
            None => match self.begin(now, id, chunk) {
                Ok(()) => self.open.len() - 1,
                Err(status) => {
                    self.note(id, status);
                    return Some(status);
                }
            },
        };
        let open = self.open.get_mut(at)?;
        let status = open.receiving.take(now, rng, chunk, &self.setup.own, &mut open.out);
        if open.out.over.is_some() {
            self.open.remove(at);
            self.note(id, status);
            return Some(status);
        }
        if open.receiving.held().is_some() {
            if chunk.end.is_some() && open.unanswered.len() < ANSWERS_MAX {
                open.unanswered.push(chunk.clone());
            }
            return None;
        }
        Some(status)
    }

    fn begin(&mut self, now: Instant, id: MessageId, chunk: &Chunk) -> Result<(), Status> {
        let named = chunk.head.content_type().ok_or(Status::BAD_REQUEST)?;
        let named = String::from_utf8_lossy(named);
        let essence = named.split(';').next().unwrap_or_default().trim();
        if !self.setup.ours.accepts(essence) {
            return Err(Status::UNSUPPORTED_TYPE);
        }
        if self.open.len() >= OPEN_MAX {
            return Err(Status::STOP_SENDING);
        }
        let sink = (self.sinks)(id).map_err(|_why| Status::STOP_SENDING)?;
        let part = Part { octets_max: self.octets_max, as_sent: true, ..Part::default() };
        let mut receiving = Receiving::new(now, part, sink, self.setup.limits);
        receiving.hold();
        let out = Out::default();
        self.open.push(Open { id, receiving, out, unanswered: Vec::new() });
        Ok(())
    }

    fn note(&mut self, id: MessageId, status: Status) {
        self.over.push_back((id, status));
        if self.over.len() > OVER_MAX {
            self.over.pop_front();
        }
    }

    /// Gives up what did not come in time.
    pub fn timeout(&mut self, now: Now, rng: &mut impl CryptoRng) {
        for open in &mut self.open {
            open.receiving.timeout(now.instant, &mut open.out);
        }
        let late = |open: &mut Open| open.out.over.is_some();
        let late: Vec<MessageId> = self.open.extract_if(.., late).map(|open| open.id).collect();
        late.into_iter().for_each(|id| self.note(id, Status::TIMEOUT));
        match self.alive.timeout(now.instant, rng) {
            Some(Pulse::Ask(frame)) => self.replies.push_back(*frame),
            Some(Pulse::Dead) => self.is_over = true,
            None => {}
        }
    }

    /// When [`Messages::timeout`] wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.open.iter().filter_map(|open| open.receiving.due()).chain(self.alive.due()).min()
    }
}
