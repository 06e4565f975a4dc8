//! What a request leads to: its seat is found or taken, its chunk admitted and handed to the room, its sender answered.
//! Every decision is made elsewhere: `session` admits, `room` passes and numbers, `reports` words the answer.
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use control::Match;
use ids::{Number, SeatId};
use msrp::{Address, Chunk, Flag, Head, MessageId, Method, Path, Status, Uri};

use super::Connection;
use super::seated::{Asked, Seated};
use crate::registry::Ticket;
use crate::relay::RoomId;
use crate::reports;
use crate::room::Passage;
use crate::session::{self, Admitted, Kind, Message, Refusal, Session, Surroundings, Waiting};
use crate::shard::{Shard, count};

/// What an admitted chunk came to.
enum Outcome {
    /// Answer when the request ends.
    Accepted,
    /// The message is complete.
    Completed(Complete),
    /// It was completed before.
    Repeated(Complete),
    /// The answer comes when everything up to this place is stored.
    Unstored(Number, Complete),
    /// The answer comes when the epoch does.
    Later,
}

/// What is reported of a complete message.
pub(super) struct Complete {
    pub(super) octets: u64,
    /// The From and To of a private one.
    pub(super) wrapper: Option<Bytes>,
}

impl Connection {
    /// Carries out one request, or a piece of it.
    pub(crate) fn request(self: &Rc<Self>, shard: &Rc<Shard>, chunk: Chunk, now: Instant) {
        // Nothing of one that is being closed is carried out any more.
        if !self.is_alive() || self.transits(shard, &chunk, now) {
            return;
        }
        let head = Arc::clone(&chunk.head);
        let result = match head.method() {
            Some(Method::Send) => self.send(shard, chunk, now),
            Some(Method::Nickname) => self.nickname(shard, &head, now),
            // In a one-to-one session it goes to the other leg.
            Some(Method::Report) => self.pass_other(shard, &chunk, now).map(|passed| {
                if !passed {
                    self.report(shard, &head);
                }
            }),
            None => Ok(()),
            Some(Method::Other(_)) => match self.pass_other(shard, &chunk, now) {
                Ok(true) => Ok(()),
                Ok(false) => Err(Refusal::UnknownMethod),
                Err(refusal) => Err(refusal),
            },
            Some(Method::Auth) => Err(Refusal::UnknownMethod),
        };
        if let Err(refusal) = result {
            self.refuse(shard, &head, &refusal);
        }
    }

    pub(super) fn refuse(self: &Rc<Self>, shard: &Shard, head: &Head, refusal: &Refusal) {
        shard.plane.metrics.refusals.with_label_values(&[refusal.label()]).inc();
        tracing::debug!(self.number, reason = refusal.label(), "refused");
        self.refused.update(|refused| refused + 1);
        if self.is_alive() {
            self.reply(reports::refused(head, refusal), shard);
        }
    }

    fn send(self: &Rc<Self>, shard: &Rc<Shard>, chunk: Chunk, now: Instant) -> Result<(), Refusal> {
        count(&shard.tally.traffic.of(self.transport).chunks_in);
        let head = Arc::clone(&chunk.head);
        let end = chunk.end;
        // Its answer has been sent with an earlier piece; the rest is on its way and worth nothing.
        if self.answered.get() == Some(head.transaction()) && !chunk.first {
            return Ok(());
        }
        let mut sessions = self.sessions.borrow_mut();
        self.arriving.replace(end.is_none().then(|| Arc::clone(&head)));
        let outcome = self.seated(&mut sessions, shard, &head).and_then(|seated| {
            if shard.plane.is_ending() {
                return Err(Refusal::Ending);
            }
            let carried = match &seated.leg {
                Some(_) => {
                    self.pass_on(seated, shard, &chunk, now).map(|reported| match reported {
                        Some(octets) => Outcome::Repeated(Complete { octets, wrapper: None }),
                        None => Outcome::Accepted,
                    })
                }
                None => carry(seated, shard, &chunk, now),
            };
            carried.map(|outcome| (outcome, seated))
        });
        let (outcome, seated) = outcome.inspect_err(|_| {
            self.answered.set(end.is_none().then(|| head.transaction()));
        })?;
        match outcome {
            Outcome::Accepted if end.is_none() => {}
            Outcome::Accepted => self.reply(reports::accepted(&head), shard),
            Outcome::Completed(of) => self.complete(shard, seated, &head, of),
            Outcome::Repeated(of) => self.acknowledge(shard, seated, &head, of),
            Outcome::Unstored(number, of) => {
                self.wait_stored(shard, seated, &head, (number, of));
            }
            Outcome::Later => {}
        }
        Ok(())
    }

    /// The session a request is for. The first request takes the seat (RFC 4975, 5.4).
    fn seated<'a>(
        self: &Rc<Self>,
        sessions: &'a mut HashMap<String, Box<Seated>>,
        shard: &Rc<Shard>,
        head: &Head,
    ) -> Result<&'a mut Seated, Refusal> {
        let to = head.to_path();
        let session_id = to.first().session_id().ok_or(Refusal::NoSession)?;
        if to.len() != 1 {
            return Err(Refusal::NoSession);
        }
        if !sessions.contains_key(session_id) {
            if sessions.len() >= shard.plane.limits.sessions_per_connection_max {
                return Err(Refusal::TooManySessions);
            }
            let seated = self.take_seat(shard, session_id, head)?;
            sessions.insert(session_id.to_owned(), Box::new(seated));
        }
        let seated = sessions.get_mut(session_id).ok_or(Refusal::NoSession)?;
        if seated.is_meant_by(head) { Ok(seated) } else { Err(Refusal::NoSession) }
    }

    fn take_seat(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        session_id: &str,
        head: &Head,
    ) -> Result<Seated, Refusal> {
        let plane = &shard.plane;
        let Some(ticket) = plane.registry.ticket(session_id) else {
            if !plane.authorities.has(self.transport, head.to_path().first()) {
                plane.metrics.misrouted.inc();
            }
            return Err(Refusal::NoSession);
        };
        // A seat behind TLS is not there for who comes without, nor the other way round.
        if ticket.transport != self.transport {
            return Err(Refusal::NoSession);
        }
        let peer = head.from_path();
        // RFC 4975, 6.1 and 7.3: To-Path as we wrote it, From-Path as their SDP said, or it is somebody else.
        let known = || ticket.peer.as_ref().is_none_or(|known| known.last() == peer.last());
        let strict = ticket.matching == Match::Strict;
        if strict && (ticket.own != *head.to_path().first() || !known()) {
            return Err(Refusal::NoSession);
        }
        if ticket.named.as_ref().is_some_and(|named| !self.shows(named)) {
            self.is_impostor(shard);
            return Err(Refusal::NoSession);
        }
        // Where somebody between us rewrites what SDP says, the participant knows both ends by what its requests say.
        let (back, own) = if strict {
            (ticket.peer.clone().unwrap_or_else(|| peer.detached()), ticket.own.clone())
        } else {
            (peer.detached(), head.to_path().first().detached())
        };
        self.sit_down(shard, ticket, (back, own))
    }

    /// Takes the seat for this connection. `back` leads to the participant, `own` to us.
    pub(super) fn sit_down(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        ticket: Ticket,
        (back, own): (Path, Uri),
    ) -> Result<Seated, Refusal> {
        let binding = ticket.relay.bind(ticket.seat, shard.index, self.number)?;
        let now = service::clock::now();
        ticket.relay.catch_up(ticket.seat, now, &mut *shard.rng.borrow_mut());
        let device = binding.roster.participant(ticket.seat).map(|it| it.device.clone());
        drop(self.half_open.take());
        shard.plane.metrics.sessions_opened.of(self.transport).inc();
        shard.plane.metrics.sessions.of(self.transport).inc();
        shard.note_roster(&ticket.relay, binding.roster);
        let mut seated = Seated {
            conference: ticket.relay.conference(),
            transport: self.transport,
            session: Session::new(ticket.seat),
            seen: binding.seen,
            device,
            reached: None,
            drains: false,
            unanswered: std::collections::VecDeque::new(),
            address: Address::new(&back, &Path::from(own.clone())),
            own,
            matching: ticket.matching,
            lane: self.next_lane(),
            peer: back.last().clone(),
            relay: ticket.relay,
            nicknames: std::collections::VecDeque::new(),
            asked: 0,
            leg: None,
            binding: None,
        };
        let relay = Arc::clone(&seated.relay);
        seated.leg = self.link(shard, &relay, &seated);
        Ok(seated)
    }

    /// A seat of this connection ended by order; the connection ends with its last.
    pub(crate) fn unseated(self: &Rc<Self>, shard: &Shard, room: RoomId, seat: SeatId) {
        let mut sessions = self.sessions.borrow_mut();
        let found = sessions.iter().find(|(_, seated)| seated.is(room, seat));
        let Some(id) = found.map(|(id, _)| id.clone()) else { return };
        let Some(mut seated) = sessions.remove(&id) else { return };
        self.note_reached_last(&seated);
        seated.close(shard, "unseated");
        drop(sessions);
        if self.is_idle() {
            self.end(control::Cause::Disconnected);
        } else {
            // What came before the order may still leave.
            self.flush(shard);
            self.writer.end_session(seated.lane);
        }
    }

    /// Another epoch may pass: stale messages end, and those that waited are tried again.
    pub(crate) fn gate_moved(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        room: RoomId,
        seat: SeatId,
        now: Instant,
    ) {
        let mut sessions = self.sessions.borrow_mut();
        let Some(seated) = sessions.values_mut().find(|seated| seated.is(room, seat)) else {
            return;
        };
        let relay = Arc::clone(&seated.relay);
        let ended = seated.session.end_epoch(|message| relay.stale(message, now));
        for (id, refusal) in ended {
            self.interrupt(shard, id, &refusal);
        }
        for waiting in seated.session.take_waiting() {
            self.try_again(shard, seated, waiting, now);
        }
    }

    /// Answers the request that is just coming in, if it belongs to this message, so that its sender stops.
    pub(super) fn interrupt(self: &Rc<Self>, shard: &Shard, id: MessageId, refusal: &Refusal) {
        let arriving = self.arriving.borrow().clone();
        if let Some(head) = arriving.filter(|head| head.message_id() == Some(id))
            && self.answered.get() != Some(head.transaction())
        {
            self.answered.set(Some(head.transaction()));
            self.refuse(shard, &head, refusal);
        }
    }

    fn try_again(
        self: &Rc<Self>,
        shard: &Shard,
        seated: &mut Seated,
        waiting: Waiting,
        now: Instant,
    ) {
        let Waiting { message, head, until } = waiting;
        let passage = match head.message_id() {
            Some(id) => {
                let rng = &mut *shard.rng.borrow_mut();
                seated.relay.charged_message(id, &message, now, rng)
            }
            None => Err(Refusal::NoSession),
        };
        match passage {
            Ok(Passage::Pass(_, Some(number))) if seated.relay.keeps_log() => {
                self.wait_stored(shard, seated, &head, (number, Complete::of(&message)));
            }
            Ok(Passage::Pass(..)) => self.complete(shard, seated, &head, Complete::of(&message)),
            Ok(Passage::Wait) => seated.session.wait(message, head, until),
            Err(refusal) => self.refuse(shard, &head, &refusal),
        }
    }

    /// Messages and requests that took too long.
    pub(super) fn expire(self: &Rc<Self>, shard: &Shard, now: Instant) {
        let mut sessions = self.sessions.borrow_mut();
        for seated in sessions.values_mut() {
            for waiting in seated.session.expire(now, &shard.plane.session_limits) {
                let refusal = seated.relay.late(now);
                self.refuse(shard, &waiting.head, &refusal);
            }
            seated.pass_aborted(shard, now);
            if let Some(leg) = &mut seated.leg {
                leg.expire(now, shard.plane.session_limits.chunk_timer);
                seated.end_messages(shard, now);
                seated.relay.give_up(seated.seat(), now);
            }
            while seated.nicknames.front().is_some_and(|asked| asked.until <= now) {
                if let Some(asked) = seated.nicknames.pop_front() {
                    self.reply(reports::nickname(&asked.head, Status::TIMEOUT), shard);
                }
            }
        }
    }

    fn nickname(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        head: &Arc<Head>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut sessions = self.sessions.borrow_mut();
        let seated = self.seated(&mut sessions, shard, head)?;
        if seated.leg.is_some() {
            return Err(Refusal::NoNicknames);
        }
        let nickname = head.use_nickname().map_err(|_| Refusal::BadNickname)?;
        let limits = &shard.plane.limits;
        if seated.nicknames.len() >= limits.nicknames_waiting_max {
            return Err(Refusal::TooManyOpen);
        }
        seated.asked += 1;
        let request = seated.asked;
        seated.relay.nickname(seated.seat(), request, nickname)?;
        let until = now + Duration::from_secs(limits.nickname_secs);
        seated.nicknames.push_back(Asked { request, head: Arc::clone(head), until });
        Ok(())
    }

    /// The focus has decided about a nickname.
    pub(crate) fn nickname_answered(
        self: &Rc<Self>,
        shard: &Shard,
        (room, seat): (RoomId, SeatId),
        request: u64,
        status: u16,
    ) {
        let mut sessions = self.sessions.borrow_mut();
        let Some(seated) = sessions.values_mut().find(|seated| seated.is(room, seat)) else {
            return;
        };
        let Some(at) = seated.nicknames.iter().position(|asked| asked.request == request) else {
            return;
        };
        if let Some(asked) = seated.nicknames.remove(at) {
            let status = Status::new(status).unwrap_or(Status::FORBIDDEN);
            self.reply(reports::nickname(&asked.head, status), shard);
        }
    }
}

impl Complete {
    fn of(message: &Message) -> Self {
        Self { octets: message.body().octets(), wrapper: message.wrapper().cloned() }
    }
}

/// Admits a chunk and hands on what follows from it.
fn carry(
    seated: &mut Seated,
    shard: &Shard,
    chunk: &Chunk,
    now: Instant,
) -> Result<Outcome, Refusal> {
    seated.may_begin(chunk, shard.plane.limits.messages_unanswered_max)?;
    let roster = shard.roster(&seated.relay);
    let seat = seated.seat();
    let rng = &mut *shard.rng.borrow_mut();
    let admitted = {
        let seen = seated.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let limits = &shard.plane.session_limits;
        let around = Surroundings { seat, roster: &roster, seen: &seen, limits };
        seated.session.admit(now, chunk, &around, rng)
    };
    for piece in seated.session.take_aborted() {
        // An abort is never refused.
        _ = seated.relay.piece(&piece, now, rng);
    }
    let relay = Arc::clone(&seated.relay);
    let begin = |piece: &session::Piece| match chunk.head.message_id() {
        Some(id) => relay.begin(id, piece),
        None => Ok(()),
    };
    match admitted? {
        Admitted::Nothing | Admitted::Kept | Admitted::Duplicate(None) => Ok(Outcome::Accepted),
        Admitted::Duplicate(Some(octets)) => {
            shard.plane.metrics.repeated.inc();
            let wrapper = session::wrapper_again(chunk, &roster);
            let of = Complete { octets, wrapper };
            let place = chunk.head.message_id().and_then(|id| seated.seen().place_of(id));
            Ok(match place.filter(|place| !relay.is_stored(*place)) {
                Some(place) => Outcome::Unstored(place, of),
                None => Outcome::Repeated(of),
            })
        }
        Admitted::Last(piece) => {
            let closing = piece.closing();
            let passed = begin(&piece)
                .and_then(|()| relay.piece(&piece, now, rng))
                .and_then(|()| relay.piece(&closing, now, rng));
            seated.heed(chunk, passed)?;
            let (octets, wrapper) = (closing.range().start - 1, piece.wrapper().cloned());
            Ok(Outcome::Completed(Complete { octets, wrapper }))
        }
        Admitted::Relay(piece) => {
            let passed = begin(&piece).and_then(|()| relay.piece(&piece, now, rng));
            seated.heed(chunk, passed)?;
            let octets = piece.range().start - 1 + piece.body().octets();
            if piece.flag() != Flag::End {
                return Ok(Outcome::Accepted);
            }
            let wrapper = piece.wrapper().cloned();
            Ok(Outcome::Completed(Complete { octets, wrapper }))
        }
        Admitted::Whole(message) => whole(seated, message, &chunk.head, (now, shard), rng),
    }
}

fn whole(
    seated: &mut Seated,
    message: Message,
    head: &Arc<Head>,
    (now, shard): (Instant, &Shard),
    rng: &mut impl rand::RngCore,
) -> Result<Outcome, Refusal> {
    let complete = Complete::of(&message);
    if message.kind() == Kind::Handshake {
        let id = head.message_id().ok_or(Refusal::NoSession)?;
        seated.relay.handshake(&message, id)?;
        return Ok(Outcome::Completed(complete));
    }
    let id = head.message_id().ok_or(Refusal::NoSession)?;
    match seated.relay.charged_message(id, &message, now, rng)? {
        Passage::Pass(_, Some(number)) if seated.relay.keeps_log() => {
            Ok(Outcome::Unstored(number, complete))
        }
        Passage::Pass(..) => Ok(Outcome::Completed(complete)),
        Passage::Wait => {
            let until = now + shard.plane.session_limits.wait;
            seated.session.wait(message, Arc::clone(head), until);
            Ok(Outcome::Later)
        }
    }
}
