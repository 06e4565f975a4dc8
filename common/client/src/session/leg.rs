//! One side of a one-to-one session (RFC 4975), without sockets: decoded MSRP comes in, frames and events come out. It
//! says what it takes and sends only what its peer takes, reports what has arrived whole, and knows what has become of
//! what it sent. Who connects to whom is in [`endpoint::ends`]; SIP and TLS are somebody else's.
use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use msrp::cpim;
use msrp::{
    Address, Body, ByteRange, Chunk, Frame, Head, Item, MessageId, Method, Outcome, Quota,
    Reassembly, Report, Status, SuccessReport, TransactionId, Whole,
};
use rand::CryptoRng;
use sip::sdp::Direction;

use super::Ticket;
use super::outgoing::{Content, Outgoing, Sealing, Settled};
use super::required::understood;
use super::seen::Seen;
use crate::event::Error;
use crate::profile::Limits;
use endpoint::{Alive, Binding, Deliveries, Now, Pulse, Setup};

/// What happens in a one-to-one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// The peer says something.
    Message(Received),
    /// A message of ours has arrived whole at the peer's device.
    Delivered {
        /// Its Message-ID.
        id: String,
    },
    /// A message of ours that was accepted has come no further.
    Undelivered {
        /// Its Message-ID.
        id: String,
        /// The status of MSRP that says why.
        status: u16,
        /// The words of whoever reports it.
        reason: String,
    },
    /// Something came that we do not take.
    Unreadable {
        /// Why, for a person.
        why: String,
    },
    /// The session is over: hung up, refused, or its connection is lost.
    Ended {
        /// Why, for a person.
        reason: String,
    },
}

/// What the peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its Message-ID.
    pub id: String,
    /// The MIME type; of `message/cpim` that of what it holds.
    pub content_type: String,
    /// The octets.
    pub body: Bytes,
}

/// What a session wants done or has to tell.
#[derive(Debug)]
pub enum Output {
    /// Tell the person.
    Event(LegEvent),
    /// The session is bound to its connection, or refused.
    Bound(Result<(), Error>),
    /// A message is settled: accepted to the last octet, or failed.
    Settled(Ticket, Result<(), Error>),
    /// The peer does not answer any more: end the session.
    Dead,
}

/// One side of a one-to-one session.
#[derive(Debug)]
pub struct Leg {
    setup: Setup,
    incoming: Reassembly,
    outgoing: Outgoing,
    deliveries: Deliveries,
    seen: Seen,
    alive: Alive,
    binding: Binding,
    replies: VecDeque<Frame>,
    outputs: VecDeque<Output>,
}

impl Leg {
    /// A session on its connection. If we speak first, our first frame binds it.
    pub fn new(setup: Setup, limits: &Limits, rng: &mut impl CryptoRng) -> Self {
        let address = Address::new(&setup.to, &setup.own);
        let quota = Quota {
            message_octets_max: limits.message_octets_max as u64,
            messages_max: limits.incoming_max,
            ..Quota::default()
        };
        let (binding, bind) = Binding::new(&setup, &address, rng);
        Self {
            incoming: Reassembly::new(quota),
            outgoing: Outgoing::new(address.clone(), limits),
            deliveries: Deliveries::default(),
            seen: Seen::default(),
            alive: Alive::new(address, setup.limits),
            binding,
            replies: VecDeque::from_iter(bind),
            outputs: VecDeque::new(),
            setup,
        }
    }

    /// Messages that are not settled.
    pub fn unsettled(&self) -> usize {
        self.outgoing.len()
    }

    /// The next thing to do or to tell.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next frame to write: responses and reports first, then a chunk of each message in turn.
    pub fn poll_frame(&mut self, now: Now, rng: &mut impl CryptoRng) -> Option<Frame> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(reply);
        }
        if !self.binding.is_bound() {
            return None;
        }
        let mut settled = Vec::new();
        // Nothing is sealed here: what is said in a session is ready to be sent.
        let seal = |_id: &str, _inner: &Bytes| Err(Sealing::Wait);
        let frame = self.outgoing.poll(now.instant, rng, seal, None, &mut settled);
        self.settle(settled);
        frame
    }

    /// Says something: its Message-ID, and the ticket it is settled under.
    ///
    /// # Errors
    /// The peer does not take such content, or not so much of it.
    pub fn say(
        &mut self,
        now: Now,
        rng: &mut impl CryptoRng,
        content_type: &str,
        content: Bytes,
    ) -> Result<(String, Ticket), Error> {
        let id = MessageId::random(rng);
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let theirs = &self.setup.theirs;
        // Whoever only takes gives it to somebody else later, who wants to know when it was written, and to have it once.
        let is_left = theirs.direction == Direction::RecvOnly
            && theirs.accepts(cpim::MEDIA_TYPE)
            && theirs.accepts_wrapped(essence)
            && essence != cpim::MEDIA_TYPE;
        let (content_type, body) = if theirs.accepts(essence) && !is_left {
            (content_type.to_owned(), Body::from(content))
        } else if theirs.accepts_wrapped(essence) {
            let letter = cpim::Builder::new(self.setup.me.as_str(), self.setup.peer.as_str())
                .date_time(&crate::date_time(now.wall));
            let letter = if is_left { letter.imdn(id.as_str(), &[]) } else { letter };
            (cpim::MEDIA_TYPE.to_owned(), letter.content(content_type, content))
        } else {
            let reason = format!("the other side takes no {essence}");
            return Err(Error::Refused { what: "a message", status: 415, reason });
        };
        let max = theirs.max_size.unwrap_or(u64::MAX);
        if body.octets() > max {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            return Err(Error::TooLarge { octets: body.len(), max });
        }
        self.deliveries.wait_for(id, body.octets());
        let content = Content::Reported { id, content_type, body };
        Ok((id.as_str().to_owned(), self.outgoing.push(now.instant, content)))
    }

    /// Gives a message up that nobody waits for any more; its receiver is told if it has some of it.
    pub fn cancel(&mut self, ticket: Ticket, rng: &mut impl CryptoRng) {
        self.replies.extend(self.outgoing.cancel(ticket, rng));
    }

    /// Takes what the decoder gave.
    pub fn receive(&mut self, now: Now, rng: &mut impl CryptoRng, item: &Item) {
        self.alive.heard(now.instant);
        match item {
            Item::Response(head) if self.binding.awaits(head) => {
                self.outputs.extend(self.binding.answered(head).map(bound));
            }
            Item::Response(head) => {
                let mut settled = Vec::new();
                self.outgoing.answered(now.instant, head, &mut settled);
                self.settle(settled);
            }
            Item::Request(chunk) => self.requested(now, rng, chunk),
        }
    }

    fn requested(&mut self, now: Now, rng: &mut impl CryptoRng, chunk: &Chunk) {
        if self.binding.has_refused(chunk) {
            return;
        }
        let before = self.replies.len();
        let status = if self.setup.is_for_us(&chunk.head) {
            self.outputs.extend(self.binding.requested().map(bound));
            self.take(now, rng, chunk)
        } else {
            // RFC 4975, 7.3: also when it comes from somebody else than it should.
            Some(Status::NO_SUCH_SESSION)
        };
        if let Some(reply) = status.and_then(|status| self.binding.reply(chunk, status)) {
            // The answer goes before the report on the same message.
            self.replies.insert(before, reply);
        }
    }

    /// The status of a request; `None` where there is no answer.
    fn take(&mut self, now: Now, rng: &mut impl CryptoRng, chunk: &Chunk) -> Option<Status> {
        match chunk.head.method() {
            Some(Method::Send) if !chunk.head.has_body() => Some(Status::OK),
            Some(Method::Send) if !self.takes(&chunk.head) => Some(Status::UNSUPPORTED_TYPE),
            Some(Method::Send) => Some(match self.incoming.add(now.instant, chunk) {
                Ok(Outcome::Whole(whole)) => self.arrived(rng, whole),
                Ok(Outcome::Open | Outcome::Aborted(_)) => Status::OK,
                Err(refusal) => {
                    self.unreadable(&format!("a message was not taken: {refusal}"));
                    refusal.status()
                }
            }),
            Some(Method::Report) => {
                self.reported(&chunk.head);
                None
            }
            _ => Some(Status::UNKNOWN_METHOD),
        }
    }

    fn takes(&self, head: &Head) -> bool {
        let Some(content_type) = head.content_type() else { return false };
        let content_type = String::from_utf8_lossy(content_type);
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        self.setup.ours.accepts(essence)
    }

    fn arrived(&mut self, rng: &mut impl CryptoRng, whole: Whole) -> Status {
        let Whole { message_id, head, body } = whole;
        let letter = head.is_type(cpim::MEDIA_TYPE).then(|| cpim::Message::read(&body));
        if let Some(Ok(letter)) = &letter
            && let Err(required) = understood(&letter.envelope)
        {
            self.unreadable(&required.to_string());
            return Status::UNSUPPORTED_TYPE;
        }
        if head.success_report() == SuccessReport::Yes {
            let report = Report {
                to_path: head.from_path(),
                from_path: &self.setup.own,
                message_id,
                range: ByteRange::whole(body.octets()),
                status: Status::OK,
                comment: Status::OK.comment(),
            };
            self.replies.push_back(report.encode(TransactionId::random(rng)));
        }
        // RFC 4975, 5.4: after a broken connection it may have been sent again.
        if !self.seen.note(&self.setup.peer, message_id.as_str()) {
            return Status::OK;
        }
        let (content_type, body) = match letter {
            Some(Ok(letter)) => {
                let kind = letter.envelope.content_type().unwrap_or(b"text/plain").to_vec();
                (kind, letter.content.gather())
            }
            Some(Err(_bad)) => {
                self.unreadable("not a CPIM message");
                return Status::OK;
            }
            None => (head.content_type().unwrap_or_default().to_vec(), body.gather()),
        };
        let content_type = String::from_utf8_lossy(&content_type).into_owned();
        let received = Received { id: message_id.as_str().to_owned(), content_type, body };
        self.outputs.push_back(Output::Event(LegEvent::Message(received)));
        Status::OK
    }

    /// RFC 4975, 7.1.2. Reports of other namespaces are ignored.
    fn reported(&mut self, head: &Head) {
        let told = head.message_id().zip(head.report_status().filter(|told| told.namespace == 0));
        let Some((id, told)) = told else { return };
        let name = id.as_str().to_owned();
        if told.status.is_success() {
            if self.deliveries.confirmed(id, head.byte_range()) {
                self.outputs.push_back(Output::Event(LegEvent::Delivered { id: name }));
            }
            return;
        }
        if !self.deliveries.failed(id) {
            return;
        }
        let (status, reason) =
            (told.status.code(), String::from_utf8_lossy(&told.comment).into_owned());
        let mut settled = Vec::new();
        let refused = Error::Refused { what: "a message", status, reason: reason.clone() };
        self.outgoing.failed(&id, refused, &mut settled);
        if settled.is_empty() {
            let event = LegEvent::Undelivered { id: name, status, reason };
            self.outputs.push_back(Output::Event(event));
        }
        self.settle(settled);
    }

    fn unreadable(&mut self, why: &str) {
        let event = LegEvent::Unreadable { why: why.to_owned() };
        self.outputs.push_back(Output::Event(event));
    }

    /// Gives up what was not answered or not completed in time.
    pub fn timeout(&mut self, now: Now, rng: &mut impl CryptoRng) {
        let mut settled = Vec::new();
        self.outgoing.timeout(now.instant, &mut settled);
        self.settle(settled);
        self.incoming.expire(now.instant);
        match self.alive.timeout(now.instant, rng) {
            Some(Pulse::Ask(frame)) => self.replies.push_back(*frame),
            Some(Pulse::Dead) => self.outputs.push_back(Output::Dead),
            None => {}
        }
    }

    /// When [`Leg::timeout`] wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = [self.outgoing.next_timeout(), self.incoming.next_expiry(), self.alive.due()];
        due.into_iter().flatten().min()
    }

    /// The session is over: everything unsettled fails.
    pub fn end(&mut self, reason: &str) {
        let mut settled = Vec::new();
        self.outgoing.end(reason, &mut settled);
        self.settle(settled);
        self.outputs.extend(self.binding.end(reason).map(bound));
        let event = LegEvent::Ended { reason: reason.to_owned() };
        self.outputs.push_back(Output::Event(event));
    }

    fn settle(&mut self, settled: Vec<Settled>) {
        let outputs = settled.into_iter().map(|(ticket, outcome)| Output::Settled(ticket, outcome));
        self.outputs.extend(outputs);
    }
}

fn bound(told: Result<(), endpoint::NotBound>) -> Output {
    Output::Bound(told.map_err(Error::from))
}

#[cfg(test)]
mod tests;
