//! One device in one conference, without sockets: decoded MSRP comes in, frames and events come out. It answers what
//! it receives, puts messages together, follows the group, and keeps what it sent until it is answered. Time and
//! randomness are arguments; SIP and HTTPS are somebody else's.
//!
//! ```text
//! receive ──► incoming (reassembly) ──► letter + group ──► poll_output
//! say, share ──► outgoing (chunks, 200s, sealing again) ──► poll_frame
//! ```
//!
//! [`leg`] is one side of a one-to-one session, on the same parts but the group.
mod files;
pub(crate) mod freshness;
mod group;
mod keeping;
pub(crate) mod kept;
pub mod leg;
mod letter;
mod outgoing;
pub(crate) mod parcel;
pub(crate) mod pins;
mod renames;
pub(crate) mod required;
pub(crate) mod seen;
mod setup;
mod tending;
mod trust;
pub(crate) mod untold;
mod whisper;
pub(crate) mod witness;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use ids::Aor;
use mls::member::{Keyring, Opened};
use mls::wire::{self, GroupState};
use msrp::cpim::{self, Envelope};
use msrp::{
    Address, Body, Chunk, Frame, Item, MessageId, Method, Outcome, Quota, Reassembly, Reply,
    SendRequest, Status, TransactionId,
};
use rand::CryptoRng;

use crate::event::{Error, Event, Level, Message};
use crate::profile::Limits;
pub use endpoint::Now;
use endpoint::{Alive, Pulse};
use files::Files;
use group::{Follows, Group};
use keeping::Keeping;
use letter::Addresses;
pub use outgoing::Ticket;
use outgoing::{Content, Outgoing, Sealing, Settled};
pub use pins::{BadPins, Keep, Pins};
use renames::Renames;
use seen::Seen;
pub use setup::{Setup, Standing};
use tending::Look;
use trust::Trust;
pub use trust::{Numbers, Pair};
pub use whisper::Whisper;
use witness::Witness;

/// The largest content of one message, in octets; more travels as a file. The sealed letter around it has its own
/// headers and must stay within 64 KiB.
pub const MESSAGE_OCTETS_MAX: usize = 60 * 1024;
/// Messages kept for an epoch to come.
const EARLY_MAX: usize = 256;

/// What a session wants done or has to tell.
#[derive(Debug)]
pub enum Output {
    /// Tell the person.
    Event(Event),
    /// The relay has answered our first frame: we have the seat, or not.
    Bound(Result<(), Error>),
    /// A message is settled: accepted to the last octet, or failed.
    Settled(Ticket, Result<(), Error>),
    /// The relay does not answer any more: end the session.
    Dead,
    /// Fetch the group's public state and call [`Session::enter`] with it.
    FetchGroup,
    /// Sealed octets came by, for whoever listens on the wire.
    Tapped(Bytes),
    /// Something for this person alone, under the key of a circle.
    Whispered(Box<Whisper>),
}

/// One device in one conference.
#[derive(Debug)]
pub struct Session {
    level: Level,
    addresses: Addresses,
    group: Group,
    trust: Trust,
    incoming: Reassembly,
    outgoing: Outgoing,
    files: Files,
    seen: Seen,
    keeping: Keeping,
    early: VecDeque<Body>,
    /// When the leaf of this device is looked at next.
    look: Look,
    /// The last change of ours that was sent.
    bundle: Option<Ticket>,
    limits: Limits,
    /// What others take: the room names no other bound.
    file_octets_max: usize,
    /// The transaction of our first frame, until it is answered.
    binding: Option<TransactionId>,
    alive: Alive,
    renames: Renames,
    replies: VecDeque<Frame>,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session that has said nothing yet. Its first frame binds it to its connection (RFC 4975, 5.4).
    pub fn new(setup: &Setup, keyring: Keyring, rng: &mut impl CryptoRng) -> Self {
        let address = Address::new(&setup.to_path, &setup.from_path);
        let limits = setup.limits;
        let quota = Quota {
            message_octets_max: limits.message_octets_max as u64,
            messages_max: limits.incoming_max,
            ..Quota::default()
        };
        let bind = SendRequest::bodiless(MessageId::random(rng)).encode(rng);
        let binding = Some(bind.transaction());
        let bind = bind.to(&address);
        let me = setup.shown_as.clone().unwrap_or_else(|| keyring.device().aor.clone());
        let records = keyring.records();
        let (mut keeping, mut outputs) = Keeping::open(records, &setup.conference);
        // The seal and the headers around a file take less than a sixteenth.
        let file_octets_max = limits.shared_octets_max();
        let (files, untold) = Files::kept(records, &setup.conference, file_octets_max);
        for (event, kept) in untold {
            keeping.tells_file(kept);
            outputs.push_back(Output::Event(event));
        }
        let seen = Seen::kept(records, &setup.conference);
        let witness = Witness::kept(records, &setup.conference);
        Self {
            level: setup.level,
            addresses: Addresses { me, conference: setup.uri.clone() },
            group: Group::new(keyring, setup.conference.clone()),
            trust: Trust::new(setup.pins.clone(), witness),
            incoming: Reassembly::new(quota),
            outgoing: Outgoing::new(address.clone(), &limits),
            files,
            seen,
            keeping,
            early: VecDeque::new(),
            look: Look::default(),
            bundle: None,
            limits,
            file_octets_max,
            binding,
            alive: Alive::new(address, limits.of_an_end()),
            renames: Renames::new(
                setup.to_path.clone(),
                setup.from_path.clone(),
                limits.transaction,
            ),
            replies: VecDeque::from([bind]),
            outputs,
        }
    }

    /// Where this device stands in the group.
    pub fn standing(&self) -> Standing {
        Standing { held: self.trust.held().to_vec(), ..self.group.standing() }
    }

    /// Whether that is still where it stands: a look, and no list of everybody.
    pub fn is_at(&self, known: &Standing) -> bool {
        self.trust.held() == known.held && self.group.is_at(known)
    }

    /// Messages that are not settled.
    pub fn unsettled(&self) -> usize {
        self.outgoing.len()
    }

    /// The next thing to do or to tell.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next frame to write: responses first, then a chunk of each message in turn.
    pub fn poll_frame(&mut self, now: Now, rng: &mut impl CryptoRng) -> Option<Frame> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(reply);
        }
        let (held, before) = (self.is_held(), self.group.sealed());
        let (group, addresses) = (&mut self.group, &self.addresses);
        let generation = group.generation();
        let seal = |id: &str, inner: &Bytes| {
            if held {
                return Err(Sealing::Wait);
            }
            let sealed = group.seal(id, inner)?;
            Ok((sealed.generation, addresses.outer(id, wire::MLS, sealed.bytes)))
        };
        let mut settled = Vec::new();
        let frame = self.outgoing.poll(now.instant, rng, seal, generation, &mut settled);
        self.has_sealed(now.instant, before);
        self.settle(settled);
        frame
    }

    /// Says something to everyone: its `imdn.Message-ID` and the ticket it is settled under.
    ///
    /// # Errors
    /// The content is too large for a message.
    pub fn say(
        &mut self,
        now: Now,
        rng: &mut impl CryptoRng,
        content_type: &str,
        body: Bytes,
    ) -> Result<(String, Ticket), Error> {
        if body.len() > MESSAGE_OCTETS_MAX {
            return Err(Error::TooLarge { octets: body.len(), max: MESSAGE_OCTETS_MAX });
        }
        let id = MessageId::random(rng).as_str().to_owned();
        let date_time = crate::date_time(now.wall);
        let inner = match self.level {
            Level::Sealed => {
                let (named, seen) = ((&*id, &*date_time), self.seen());
                self.addresses.witnessed(&seen, named, content_type, body)
            }
            Level::Open => self.addresses.inner(&id, &date_time, content_type, body),
        };
        let content = match self.level {
            Level::Sealed => Content::Plain { id: id.clone(), inner: inner.gather() },
            Level::Open => Content::Ready(inner),
        };
        Ok((id, self.outgoing.push(now.instant, content)))
    }

    /// Shares a file with everyone: first its key, sealed as a message, then its sealed octets.
    ///
    /// # Errors
    /// The file cannot be sealed, or the room is open.
    pub fn share(
        &mut self,
        now: Now,
        rng: &mut impl CryptoRng,
        file: &crate::event::Outgoing,
    ) -> Result<[Ticket; 2], Error> {
        if file.content.len() > self.file_octets_max {
            return Err(Error::TooLarge { octets: file.content.len(), max: self.file_octets_max });
        }
        if self.level == Level::Open {
            return Err(Error::Group("files are shared in sealed rooms only".to_owned()));
        }
        let (description, sealed) = files::seal(file, rng)?;
        let (_id, first) = self.say(now, rng, wire::FILE_DESCRIPTION, description)?;
        let id = MessageId::random(rng);
        let letter = self.addresses.outer(id.as_str(), wire::SEALED_FILE, sealed);
        Ok([first, self.outgoing.push(now.instant, Content::Ready(letter))])
    }

    /// Asks to be known by this name; by none if it is empty.
    pub fn rename(&mut self, now: Now, rng: &mut impl CryptoRng, nickname: &str) -> Ticket {
        let ticket = self.outgoing.ticket();
        self.replies.push_back(self.renames.ask(now.instant, rng, ticket, nickname));
        ticket
    }

    /// Takes what the decoder gave.
    pub fn receive(&mut self, now: Now, item: &Item) {
        self.alive.heard(now.instant);
        self.look.settled(now.instant);
        match item {
            Item::Response(head) if self.binding == Some(head.transaction()) => {
                self.binding = None;
                let refused = |status: Status| Error::Refused {
                    what: "the seat",
                    status: status.code(),
                    reason: head.comment().unwrap_or_default().to_owned(),
                };
                let refused = head.status().filter(|status| !status.is_success()).map(refused);
                self.outputs.push_back(Output::Bound(refused.map_or(Ok(()), Err)));
            }
            Item::Response(head) => {
                let mut settled: Vec<Settled> = self.renames.answered(head).into_iter().collect();
                self.outgoing.answered(now.instant, head, &mut settled);
                self.settle_answered(now, settled);
            }
            Item::Request(chunk) => self.requested(now, chunk),
        }
    }

    fn requested(&mut self, now: Now, chunk: &Chunk) {
        let status = match chunk.head.method() {
            Some(Method::Send) if !chunk.head.has_body() => Status::OK,
            Some(Method::Send) if !chunk.head.is_type(cpim::MEDIA_TYPE) => Status::UNSUPPORTED_TYPE,
            Some(Method::Send) => match self.incoming.add(now.instant, chunk) {
                Ok(Outcome::Whole(whole)) => {
                    self.arrived(now, whole.body);
                    Status::OK
                }
                Ok(Outcome::Open | Outcome::Aborted(_)) => Status::OK,
                Err(refusal) => {
                    self.unreadable(&format!("a message was not taken: {refusal}"));
                    refusal.status()
                }
            },
            Some(Method::Report) => return,
            _ => Status::UNKNOWN_METHOD,
        };
        // A long chunk comes in pieces and is answered once: at its end, or where it is refused.
        let answer = chunk.end.is_some() || !status.is_success();
        let reply = Reply::new(&chunk.head, status).filter(|_| answer);
        self.replies.extend(reply.and_then(|reply| reply.encode()));
    }

    fn arrived(&mut self, now: Now, whole: Body) {
        let Ok(letter) = cpim::Message::read(&whole) else {
            return self.unreadable("not a CPIM message");
        };
        let content = || letter.content.gather();
        let envelope = &letter.envelope;
        if envelope.is_type(wire::MLS) {
            let sealed = content();
            self.outputs.push_back(Output::Tapped(sealed.clone()));
            if self.addresses.is_private(envelope) {
                return self.whispered(&whole, envelope, sealed);
            }
            let follows = self.group.process(&sealed, now.wall);
            self.follow(now, follows, Some((envelope, &whole)));
        } else if !self.is_from_focus(envelope) {
            self.talked(&letter);
        } else if envelope.is_type(wire::WELCOME) {
            let follows = self.group.welcomed(&content(), now.wall);
            self.follow(now, follows, None);
        } else if envelope.is_type(wire::COMMIT_REQUEST) {
            let follows = self.group.asked(&content(), now.wall);
            self.follow(now, follows, None);
        } else if envelope.is_type(wire::COMMIT_RESULT) {
            let follows = self.group.decided(&content());
            self.follow(now, follows, None);
        }
    }

    /// Takes what people send without a seal of its own: a sealed file, or anything in an open room.
    fn talked(&mut self, letter: &cpim::Message) {
        if letter.envelope.is_type(wire::SEALED_FILE) {
            self.file_came(letter.content.clone());
        } else if self.level == Level::Open {
            match letter::plain(letter) {
                Ok(message) => {
                    let private = self.addresses.is_private(&letter.envelope);
                    self.show(Message { private, ..message });
                }
                Err(why) => self.unreadable(&why),
            }
        } else {
            self.unreadable("cleartext in a sealed room");
        }
    }

    /// Only a sealed room has a focus that talks to devices, and it talks in the conference's name.
    fn is_from_focus(&self, envelope: &Envelope) -> bool {
        let focus: Option<Aor> = envelope.from().ok().and_then(|from| from.uri.parse().ok());
        let types = [wire::WELCOME, wire::COMMIT_REQUEST, wire::COMMIT_RESULT];
        self.level == Level::Sealed
            && types.iter().any(|focus_type| envelope.is_type(focus_type))
            && focus.is_some_and(|focus| focus.as_str() == self.addresses.conference)
    }

    /// Carries out what follows from a message; `from` is the message itself.
    fn follow(&mut self, now: Now, follows: Vec<Follows>, from: Option<(&Envelope, &Body)>) {
        for next in follows {
            match next {
                Follows::Event(event) => {
                    if matches!(event, Event::Refused { .. }) {
                        self.look.refused(now.instant);
                    }
                    self.outputs.push_back(Output::Event(event));
                }
                Follows::FetchGroup => self.outputs.push_back(Output::FetchGroup),
                Follows::Send(bundle) => {
                    let letter = self.addresses.to_focus(wire::BUNDLE, bundle.to_bytes());
                    let bundle = Content::Ready(letter);
                    self.bundle = Some(self.outgoing.push_first(now.instant, bundle));
                }
                Follows::Report(report) => {
                    let letter = self.addresses.to_focus(wire::EPOCH_REPORT, report.to_bytes());
                    self.outgoing.push_first(now.instant, Content::Ready(letter));
                }
                Follows::Show(opened) => match from {
                    Some((envelope, _whole)) => self.opened(envelope, opened),
                    None => self.unreadable("a message without an envelope"),
                },
                Follows::Early if self.early.len() < EARLY_MAX => {
                    self.early.extend(from.map(|(_envelope, whole)| whole.clone()));
                }
                // Most of what comes to a device without keys is not for it, and what comes last is most likely to be.
                Follows::Early if self.group.member().is_none() => {
                    self.early.pop_front();
                    self.early.extend(from.map(|(_envelope, whole)| whole.clone()));
                }
                Follows::Early => {
                    self.unreadable("too many messages of epochs to come");
                    self.early.clear();
                    self.outputs.push_back(Output::FetchGroup);
                }
                Follows::Advanced => {
                    self.recognise();
                    self.look.anew(now.instant);
                    for whole in std::mem::take(&mut self.early) {
                        self.arrived(now, whole);
                    }
                }
            }
        }
    }

    fn opened(&mut self, envelope: &Envelope, opened: Opened) {
        self.compare(&opened.from.aor, &opened.plaintext);
        match letter::check(envelope, opened) {
            Ok(message) => {
                if let Some(message) = self.told_of_file(message) {
                    self.show(message);
                }
            }
            Err(why) => self.unreadable(&why),
        }
    }

    fn show(&mut self, message: Message) {
        // A plain client may leave the id out; then nobody can tell a repetition.
        if message.id.is_empty() || self.seen.note(&message.from, &message.id) {
            self.keeping.tells(&message);
            self.outputs.push_back(Output::Event(Event::Message(message)));
        }
    }

    fn unreadable(&mut self, why: &str) {
        let event = Event::Unreadable { why: why.to_owned() };
        self.outputs.push_back(Output::Event(event));
    }

    /// Takes the group's public state that was asked for; `None` if there is no group.
    pub fn enter(&mut self, now: Now, state: Option<&GroupState>) {
        match state {
            Some(state) => {
                let follows = self.group.enter(state, now.wall);
                self.follow(now, follows, None);
            }
            None => self.unreadable("there is no group to enter"),
        }
    }

    /// The `imdn.Message-ID` of sealed octets, if they open with the keys of this device.
    pub fn opens(&mut self, now: Now, sealed: &[u8]) -> Option<String> {
        self.group.opens(sealed, now.wall)
    }

    /// Gives up what was not answered or not completed in time.
    pub fn timeout(&mut self, now: Now, rng: &mut impl CryptoRng) {
        let mut settled = Vec::new();
        self.postpone(now.instant);
        self.tend(now);
        self.outgoing.timeout(now.instant, &mut settled);
        settled.extend(self.renames.late(now.instant));
        self.settle(settled);
        self.incoming.expire(now.instant);
        match self.alive.timeout(now.instant, rng) {
            Some(Pulse::Ask(frame)) => self.replies.push_back(*frame),
            Some(Pulse::Dead) => self.outputs.push_back(Output::Dead),
            None => {}
        }
    }

    /// When [`Session::timeout`] wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let (sent, named) = (self.outgoing.next_timeout(), self.renames.due());
        let due = [sent, named, self.incoming.next_expiry(), self.alive.due(), self.look.due()];
        due.into_iter().flatten().min()
    }

    /// The connection or the seat is gone: everything unsettled fails. Keys stay, so that what came by can be held
    /// up to them.
    pub fn end(&mut self, reason: &str) {
        let mut settled = Vec::new();
        self.outgoing.end(reason, &mut settled);
        settled.extend(self.renames.end(reason));
        self.settle(settled);
        self.outputs.push_back(Output::Event(Event::Ended { reason: reason.to_owned() }));
    }

    fn settle(&mut self, settled: Vec<Settled>) {
        let outputs = settled.into_iter().map(|(ticket, outcome)| Output::Settled(ticket, outcome));
        self.outputs.extend(outputs);
    }
}
