//! One file in a session of its own (RFC 5547, 8.7), without sockets and file systems: decoded MSRP comes in, frames go
//! out, octets are read from a [`Source`] or written to a [`Sink`]. One message is the whole file, or the part that was
//! agreed on. It is over once, with what became of it; who called whom, and where a file ends up, is somebody else's.
//!
//! ```text
//! sender      bound ─► flowing ─► reporting ─► over        receiver    bound ─► taking ─► over
//!                         └─► aborting ──────────►                                └─► aborting ─►
//! ```
mod hashing;
mod messages;
mod receiving;
mod sending;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use msrp::{Address, Chunk, Frame, Item, MessageId, Method, Status};
use rand::CryptoRng;

pub use hashing::{Hashes, Hashing};
pub use messages::{Came, Messages, Sinks};
use receiving::Receiving;
use sending::Sending;

use super::{Alive, Binding, NotBound, Now, Pulse, Setup};

/// Where the octets of a file come from.
pub trait Source: Send {
    /// Octets from this place on, counted from 0; fewer only at the end of the file.
    ///
    /// # Errors
    /// They cannot be read; in words for a person.
    fn read(&mut self, offset: u64, octets: usize) -> Result<Bytes, String>;
}

/// Where the octets of a file go. What was written can be read again.
pub trait Sink: Source {
    /// Puts octets in their place, counted from 0.
    ///
    /// # Errors
    /// They cannot be written; in words for a person.
    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), String>;
}

/// Which part of a file is transferred, and what is known of all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its media type; of a file that is received, `None` if nothing was said of it.
    pub media_type: Option<String>,
    /// Where the part begins, counted from 0.
    pub start: u64,
    /// Octets of the part; of a file that is received, `None` if nothing was said of it.
    pub octets: Option<u64>,
    /// Hashes of all of the file.
    pub hashes: Hashes,
    /// Octets of the whole file that are taken, whatever was said.
    pub octets_max: u64,
    /// What goes into Content-Disposition; a receiver has none.
    pub disposition: Option<String>,
    /// A wrapper (message/cpim) that comes is part of what is received.
    pub as_sent: bool,
    /// What the message is called that is sent; `None` makes a name up.
    pub message_id: Option<MessageId>,
    /// When what is sent has arrived.
    pub proof: Proof,
}

/// When a receiver is believed to have what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// It reports that; or does not, and had time to.
    #[default]
    Report,
    /// It has answered the last octet.
    Answer,
}

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Octets of the part that are here, or that the other side has said it has: without a gap, from its beginning.
    pub octets: u64,
    /// Octets of the part, if that is known.
    pub total: Option<u64>,
}

/// A transfer that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Octets of the part.
    pub octets: u64,
    /// Whether the receiver has compared what came with what was said of it.
    pub verified: bool,
}

/// Why a transfer did not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// We gave it up.
    #[error("the transfer was given up")]
    Aborted,
    /// The other side gave it up.
    #[error("the other side gave the transfer up")]
    GivenUp,
    /// The other side refused a part of it, or all of it once it was there.
    #[error("the other side refused the file: {status} {reason}")]
    Refused {
        /// The status of MSRP.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// It ended before its end.
    #[error("the file is shorter than was said")]
    Short,
    /// It did not end where it should.
    #[error("the file is longer than was said, or than is taken")]
    Long,
    /// It is not the file that was described.
    #[error("the file is not the one that was described: {0} is different")]
    Other(&'static str),
    /// The message makes no sense.
    #[error("what came is no file: {0}")]
    Malformed(&'static str),
    /// Our own file could not be read, or is not what it was.
    #[error("reading the file: {0}")]
    Source(String),
    /// Our own file could not be written.
    #[error("writing the file: {0}")]
    Sink(String),
    /// Nothing came, or nothing was answered, for too long.
    #[error("the other side has said nothing for too long")]
    Late,
    /// The session ended before.
    #[error("the session ended: {0}")]
    Ended(String),
}

/// What a transfer has to tell.
#[derive(Debug)]
pub enum Output {
    /// The session is bound to its connection, or refused.
    Bound(Result<(), NotBound>),
    /// It is over. Told once.
    Over(Result<Finished, Broken>),
}

/// A frame to write, or what became of everything; of both halves of a transfer.
#[derive(Default)]
struct Out {
    replies: VecDeque<Frame>,
    over: Option<Result<Finished, Broken>>,
}

enum Side {
    Sending(Sending),
    Receiving(Receiving),
}

/// One file in a session of its own.
pub struct Transfer {
    setup: Setup,
    side: Side,
    alive: Alive,
    binding: Binding,
    told: bool,
    out: Out,
    outputs: VecDeque<Output>,
}

impl Transfer {
    /// Sends a part of a file.
    pub fn send(
        setup: Setup,
        part: Part,
        source: Box<dyn Source>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let id = part.message_id.unwrap_or_else(|| MessageId::random(rng));
        let sending = Sending::new(&setup, part, source, id);
        Self::new(setup, Side::Sending(sending), rng)
    }

    /// Receives a part of a file. What is before the part is in the sink already.
    pub fn receive_into(
        now: Now,
        setup: Setup,
        part: Part,
        sink: Box<dyn Sink>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let receiving = Receiving::new(now.instant, part, sink, setup.limits);
        Self::new(setup, Side::Receiving(receiving), rng)
    }

    fn new(setup: Setup, side: Side, rng: &mut impl CryptoRng) -> Self {
        let address = Address::new(&setup.to, &setup.own);
        let (binding, bind) = Binding::new(&setup, &address, rng);
        let alive = Alive::new(address, setup.limits);
        Self {
            setup,
            side,
            alive,
            binding,
            told: false,
            out: Out { replies: VecDeque::from_iter(bind), over: None },
            outputs: VecDeque::new(),
        }
    }

    /// Whether this is the side that gets the file.
    pub fn receives(&self) -> bool {
        matches!(self.side, Side::Receiving(_))
    }

    /// From now on the sender hears that the file is whole when [`Transfer::kept`] says so, and not before.
    pub fn hold(&mut self) {
        if let Side::Receiving(receiving) = &mut self.side {
            receiving.hold();
        }
    }

    /// What is whole and waits for [`Transfer::kept`].
    pub fn held(&self) -> Option<Finished> {
        match &self.side {
            Side::Receiving(receiving) => receiving.held(),
            Side::Sending(_) => None,
        }
    }

    /// What was held is in its place, or why it is not. The sender is told.
    pub fn kept(&mut self, rng: &mut impl CryptoRng, kept: Result<(), String>) {
        if let Side::Receiving(receiving) = &mut self.side {
            receiving.kept(rng, &self.setup.own, kept, &mut self.out);
        }
        self.conclude();
    }

    /// The type that the sender gives what we receive, once anything of it has come.
    pub fn media_type(&self) -> Option<&str> {
        match &self.side {
            Side::Receiving(receiving) => receiving.media_type(),
            Side::Sending(_) => None,
        }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        match &self.side {
            Side::Sending(sending) => sending.progress(),
            Side::Receiving(receiving) => receiving.progress(),
        }
    }

    /// The next thing to tell.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.conclude();
        self.outputs.pop_front()
    }

    /// The next frame to write: answers first, then a piece of the file while few enough are unanswered.
    pub fn poll_frame(&mut self, now: Now, rng: &mut impl CryptoRng) -> Option<Frame> {
        if let Some(reply) = self.out.replies.pop_front() {
            return Some(reply);
        }
        match &mut self.side {
            Side::Sending(sending) if self.binding.is_bound() && !self.told => {
                sending.poll(now.instant, rng, &mut self.out);
                self.conclude();
                self.out.replies.pop_front()
            }
            _ => None,
        }
    }

    /// Gives it up; the other side is told (RFC 5547, 8.4).
    pub fn abort(&mut self, now: Now, rng: &mut impl CryptoRng) {
        match &mut self.side {
            Side::Sending(sending) => sending.abort(now.instant, rng, &mut self.out),
            Side::Receiving(receiving) => receiving.abort(now.instant),
        }
        self.conclude();
    }

    /// Takes what the decoder gave.
    pub fn receive(&mut self, now: Now, rng: &mut impl CryptoRng, item: &Item) {
        self.alive.heard(now.instant);
        match item {
            Item::Response(head) if self.binding.awaits(head) => {
                self.outputs.extend(self.binding.answered(head).map(Output::Bound));
            }
            Item::Response(head) => {
                if let Side::Sending(sending) = &mut self.side {
                    sending.answered(now.instant, rng, head, &mut self.out);
                }
            }
            Item::Request(chunk) => self.requested(now, rng, chunk),
        }
        self.conclude();
    }

    fn requested(&mut self, now: Now, rng: &mut impl CryptoRng, chunk: &Chunk) {
        if self.binding.has_refused(chunk) {
            return;
        }
        let before = self.out.replies.len();
        let status = if self.setup.is_for_us(&chunk.head) {
            self.outputs.extend(self.binding.requested().map(Output::Bound));
            self.take(now, rng, chunk)
        } else {
            Some(Status::NO_SUCH_SESSION)
        };
        if let Some(reply) = status.and_then(|status| self.binding.reply(chunk, status)) {
            // The answer goes before the report on the same message.
            self.out.replies.insert(before, reply);
        }
    }

    /// The status of a request; `None` where there is no answer.
    fn take(&mut self, now: Now, rng: &mut impl CryptoRng, chunk: &Chunk) -> Option<Status> {
        match (chunk.head.method(), &mut self.side) {
            (Some(Method::Send), _) if !chunk.head.has_body() => Some(Status::OK),
            // RFC 5547, 8.2: a file goes one way.
            (Some(Method::Send), Side::Sending(_)) => Some(Status::FORBIDDEN),
            (Some(Method::Send), Side::Receiving(receiving)) => {
                let own = &self.setup.own;
                Some(receiving.take(now.instant, rng, chunk, own, &mut self.out))
            }
            (Some(Method::Report), Side::Sending(sending)) => {
                sending.reported(&chunk.head, &mut self.out);
                None
            }
            (Some(Method::Report), Side::Receiving(_)) => None,
            _ => Some(Status::UNKNOWN_METHOD),
        }
    }

    /// Gives up what was not answered, or did not come, in time.
    pub fn timeout(&mut self, now: Now, rng: &mut impl CryptoRng) {
        match &mut self.side {
            Side::Sending(sending) => sending.timeout(now.instant, rng, &mut self.out),
            Side::Receiving(receiving) => receiving.timeout(now.instant, &mut self.out),
        }
        match self.alive.timeout(now.instant, rng) {
            Some(Pulse::Ask(frame)) => self.out.replies.push_back(*frame),
            Some(Pulse::Dead) => self.out.end(Err(Broken::Late)),
            None => {}
        }
        self.conclude();
    }

    /// When [`Transfer::timeout`] wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.told {
            return None;
        }
        let side = match &self.side {
            Side::Sending(sending) => sending.due(),
            Side::Receiving(receiving) => receiving.due(),
        };
        side.into_iter().chain(self.alive.due()).min()
    }

    /// The session is over. A file that is whole by then is whole.
    pub fn end(&mut self, reason: &str) {
        self.outputs.extend(self.binding.end(reason).map(Output::Bound));
        match &self.side {
            // Who has all of it hangs up, and may not know reports.
            Side::Sending(sending) if sending.is_sent() => {
                let octets = sending.progress().octets;
                self.out.end(Ok(Finished { octets, verified: false }));
            }
            _ => self.out.end(Err(Broken::Ended(reason.to_owned()))),
        }
        self.conclude();
    }

    fn conclude(&mut self) {
        if self.told {
            return;
        }
        if let Some(over) = self.out.over.clone() {
            self.told = true;
            self.outputs.push_back(Output::Over(over));
        }
    }
}

impl Out {
    /// What counts is what comes first.
    fn end(&mut self, over: Result<Finished, Broken>) {
        self.over.get_or_insert(over);
    }
}

#[cfg(test)]
mod tests;
