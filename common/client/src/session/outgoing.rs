//! Messages on their way out: cut into chunks in turns, so that none blocks another (RFC 4975, 7.1.1), and kept until
//! the last response. A sealed message that was refused because the group moved on is sealed again under the same
//! `imdn.Message-ID`. Whatever happens, a message is settled by its deadline. It neither seals nor writes: it asks for
//! the one and hands out frames for the other.
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ids::{Epoch, Era};
use msrp::{Address, Body, Frame, Head, MessageId, SendRequest, SuccessReport, TransactionId};
use rand::RngCore;

use crate::event::Error;
use crate::profile::Limits;

/// The MIME type of everything sent in a room (RFC 7701, 6.1).
pub(super) const CPIM: &str = "message/cpim";

/// Names a message from the moment it was handed over until it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What is to be sent.
#[derive(Debug)]
pub(super) enum Content {
    /// To be sealed when its turn comes: the inner CPIM and the id that is bound to it.
    Plain {
        /// `imdn.Message-ID`.
        id: String,
        /// The complete inner CPIM message.
        inner: Bytes,
    },
    /// A complete outer CPIM message, sent as it is.
    Ready(Body),
    /// A message of a one-to-one session, as it is; its receiver is asked to report that it has arrived.
    Reported {
        /// Its Message-ID.
        id: MessageId,
        /// What it is.
        content_type: String,
        /// Its octets.
        body: Body,
    },
}

/// A generation of the group key: eras outrank epochs.
pub(super) type Generation = (Era, Epoch);

/// How long to wait before a message goes out again that the relay was not ready for.
const AGAIN: Duration = Duration::from_millis(250);

/// A sealed message, and the generation it was sealed in.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) generation: Generation,
    pub(super) bytes: Bytes,
}

/// Why something is not sealed.
#[derive(Debug)]
pub(super) enum Sealing {
    /// Not yet: there is no group key, or nobody may write.
    Wait,
    /// Never.
    Failed(Error),
}

/// A message that is settled: accepted to the last octet, or failed.
pub(super) type Settled = (Ticket, Result<(), Error>);

#[derive(Debug)]
struct Message {
    ticket: Ticket,
    content: Content,
    attempt: Option<Attempt>,
    hold: Hold,
    /// When it has failed, whatever it waits for.
    deadline: Instant,
}

/// What a message waits for before its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Nothing.
    None,
    /// A later generation than the one it was refused in.
    Later(Generation),
    /// The relay is behind us: it will have heard of our generation in a moment.
    Until(Instant),
}

/// One try to send a message.
#[derive(Debug)]
struct Attempt {
    send: SendRequest,
    generation: Option<Generation>,
    /// Where the next chunk starts; `None` when the last has left.
    next: Option<usize>,
    unanswered: u32,
}

#[derive(Debug)]
struct Sent {
    ticket: Ticket,
    deadline: Instant,
}

/// Messages on their way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    address: Address,
    chunk_octets: usize,
    patience: Duration,
    hold: Duration,
    messages: VecDeque<Message>,
    sent: HashMap<TransactionId, Sent>,
    tickets: u64,
}

impl Outgoing {
    pub(super) fn new(address: Address, limits: &Limits) -> Self {
        let Limits { chunk_octets, transaction: patience, message: hold, .. } = *limits;
        let (messages, sent) = (VecDeque::new(), HashMap::new());
        Self { address, chunk_octets, patience, hold, messages, sent, tickets: 0 }
    }

    /// How many messages are not settled.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether something waits to be sealed.
    pub(super) fn has_unsealed(&self) -> bool {
        self.messages.iter().any(Message::is_unsealed)
    }

    /// Gives what waits to be sealed the whole time again.
    pub(super) fn postpone(&mut self, now: Instant) {
        for message in self.messages.iter_mut().filter(|message| message.is_unsealed()) {
            message.deadline = message.deadline.max(now + self.hold);
        }
    }

    /// A ticket for what is not sent from here.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Takes a message over.
    pub(super) fn push(&mut self, now: Instant, content: Content) -> Ticket {
        let ticket = self.ticket();
        let deadline = now + self.hold;
        let message = Message { ticket, content, attempt: None, hold: Hold::None, deadline };
        self.messages.push_back(message);
        ticket
    }

    /// Takes a message over that goes before all others: the group waits for it.
    pub(super) fn push_first(&mut self, now: Instant, content: Content) -> Ticket {
        let ticket = self.push(now, content);
        self.messages.rotate_right(1);
        ticket
    }

    /// The next chunk, if anything can be sent now. Each message has a turn before any has a second one.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        rng: &mut impl RngCore,
        mut seal: impl FnMut(&str, &Bytes) -> Result<(Generation, Body), Sealing>,
        generation: Option<Generation>,
        settled: &mut Vec<Settled>,
    ) -> Option<Frame> {
        for _turn in 0..self.messages.len() {
            let mut message = self.messages.pop_front()?;
            if message.attempt.is_none() && !message.hold.is_over(now, generation) {
                self.messages.push_back(message);
                continue;
            }
            if message.attempt.is_none() {
                match begin(&message, rng, &mut seal) {
                    Ok(attempt) => message.attempt = attempt,
                    Err(error) => {
                        settled.push((message.ticket, Err(error)));
                        continue;
                    }
                }
            }
            let frame = self.chunk(&mut message, now, rng);
            self.messages.push_back(message);
            if frame.is_some() {
                return frame;
            }
        }
        None
    }

    fn chunk(
        &mut self,
        message: &mut Message,
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Option<Frame> {
        let attempt = message.attempt.as_mut()?;
        let start = attempt.next?;
        let (chunk, next) = attempt.send.chunk(start, self.chunk_octets);
        attempt.next = next;
        attempt.unanswered += 1;
        let payload = chunk.encode(rng);
        // A large message is given time as long as it moves.
        message.deadline = message.deadline.max(now + self.patience);
        let sent = Sent { ticket: message.ticket, deadline: now + self.patience };
        self.sent.insert(payload.transaction(), sent);
        Some(payload.to(&self.address))
    }

    /// Takes a response. What answers nothing of ours is ignored (RFC 4975, 7.3).
    pub(super) fn answered(&mut self, now: Instant, response: &Head, settled: &mut Vec<Settled>) {
        let Some(sent) = self.sent.remove(&response.transaction()) else { return };
        let Some(status) = response.status() else { return };
        let Some(at) = self.messages.iter().position(|message| message.ticket == sent.ticket)
        else {
            return;
        };
        let Some(message) = self.messages.get_mut(at) else { return };
        let Some(attempt) = message.attempt.as_mut() else { return };
        attempt.unanswered -= 1;
        let outcome = if status.is_success() {
            if attempt.next.is_some() || attempt.unanswered > 0 {
                return;
            }
            Ok(())
        } else if let (Some(theirs), Some(ours)) = (stale(response), attempt.generation) {
            message.hold = if theirs < ours { Hold::Until(now + AGAIN) } else { Hold::Later(ours) };
            message.attempt = None;
            self.forget(sent.ticket);
            return;
        } else {
            let reason = response.comment().unwrap_or_default().to_owned();
            Err(Error::Refused { what: "a message", status: status.code(), reason })
        };
        self.messages.remove(at);
        self.forget(sent.ticket);
        settled.push((sent.ticket, outcome));
    }

    /// Gives up what was not answered in time (RFC 4975, 7.1.1), and what has waited to its deadline.
    pub(super) fn timeout(&mut self, now: Instant, settled: &mut Vec<Settled>) {
        let unanswered = self.sent.values().filter(|sent| sent.deadline <= now);
        let mut late: Vec<Ticket> = unanswered.map(|sent| sent.ticket).collect();
        let waiting = self.messages.iter().filter(|message| message.deadline <= now);
        late.extend(waiting.map(|message| message.ticket));
        late.sort_unstable();
        late.dedup();
        for ticket in late {
            self.messages.retain(|message| message.ticket != ticket);
            self.forget(ticket);
            settled.push((ticket, Err(Error::Late("a message"))));
        }
    }

    /// When something is to be given up, or sent again.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let unanswered = self.sent.values().map(|sent| sent.deadline);
        let waiting = self.messages.iter().map(|message| match message.hold {
            Hold::Until(at) if message.attempt.is_none() => at.min(message.deadline),
            _ => message.deadline,
        });
        unanswered.chain(waiting).min()
    }

    /// Fails everything: the session is over.
    pub(super) fn end(&mut self, why: &str, settled: &mut Vec<Settled>) {
        self.sent.clear();
        let messages = self.messages.drain(..);
        settled.extend(messages.map(|message| (message.ticket, Err(Error::Ended(why.to_owned())))));
    }

    /// Gives a message up that nobody waits for any more. If some of it has left and some has not, the receiver is told
    /// so with the frame that comes back (RFC 4975, 7.1.1).
    pub(super) fn cancel(&mut self, ticket: Ticket, rng: &mut impl RngCore) -> Option<Frame> {
        let at = self.messages.iter().position(|message| message.ticket == ticket)?;
        let message = self.messages.remove(at)?;
        self.forget(ticket);
        let attempt = message.attempt?;
        let start = attempt.next.filter(|start| *start > 0)?;
        let (chunk, _next) = attempt.send.chunk(start, 1);
        Some(chunk.encode(rng).to(&self.address).aborted())
    }

    /// Fails the message of this name, if it is still under way: its receiver, or somebody on the way, has said so.
    pub(super) fn failed(&mut self, id: &MessageId, error: Error, settled: &mut Vec<Settled>) {
        let is_it = |message: &Message| match &message.content {
            Content::Reported { id: own, .. } => own == id,
            _ => false,
        };
        let Some(at) = self.messages.iter().position(is_it) else { return };
        if let Some(message) = self.messages.remove(at) {
            self.forget(message.ticket);
            settled.push((message.ticket, Err(error)));
        }
    }

    fn forget(&mut self, ticket: Ticket) {
        self.sent.retain(|_transaction, sent| sent.ticket != ticket);
    }
}

impl Hold {
    fn is_over(self, now: Instant, generation: Option<Generation>) -> bool {
        match self {
            Self::None => true,
            Self::Later(refused) => generation.is_some_and(|current| current > refused),
            Self::Until(at) => at <= now,
        }
    }
}

impl Message {
    fn is_unsealed(&self) -> bool {
        self.attempt.is_none() && matches!(self.content, Content::Plain { .. })
    }
}

/// The first try, or the next; `None` if it must wait.
fn begin(
    message: &Message,
    rng: &mut impl RngCore,
    seal: &mut impl FnMut(&str, &Bytes) -> Result<(Generation, Body), Sealing>,
) -> Result<Option<Attempt>, Error> {
    let (body, generation) = match &message.content {
        Content::Ready(body) => (body.clone(), None),
        Content::Reported { id, content_type, body } => {
            let whole = SendRequest::whole(*id, content_type.clone(), body.clone());
            let send = SendRequest { success_report: SuccessReport::Yes, ..whole };
            return Ok(Some(Attempt { send, generation: None, next: Some(0), unanswered: 0 }));
        }
        Content::Plain { id, inner } => match seal(id, inner) {
            Ok((generation, body)) => (body, Some(generation)),
            Err(Sealing::Wait) => return Ok(None),
            Err(Sealing::Failed(error)) => return Err(error),
        },
    };
    let send = SendRequest::whole(MessageId::random(rng), CPIM, body);
    Ok(Some(Attempt { send, generation, next: Some(0), unanswered: 0 }))
}

/// The relay's generation, if it refused a message for its epoch: `413 stale-epoch ERA/EPOCH`.
fn stale(response: &Head) -> Option<Generation> {
    let comment = response.comment()?.strip_prefix("stale-epoch ")?;
    if response.status() != Some(msrp::Status::STOP_SENDING) {
        return None;
    }
    let (era, epoch) = comment.trim().split_once('/')?;
    Some((Era(era.parse().ok()?), Epoch(epoch.parse().ok()?)))
}

#[cfg(test)]
pub(super) mod tests;
