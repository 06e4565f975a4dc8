//! What passes through on a connection (RFC 4976, 6.4): the requests it sends to somebody else, and what somebody else
//! sends over it. Who may is for `transit`, what is owed for a request for `forward`; AUTH for this relay is in `login`.
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use msrp::{
    Address, Chunk, Flag, Frame, Head, MessageId, Method, Payload, Reply, SendRequest, Status,
};

use super::Connection;
use super::through::{Course, OPEN_MAX, Origin, Passing, Returning};
use crate::auth;
use crate::brake::Brake;
use crate::dials;
use crate::doors::Errand;
use crate::forward::{
    Answer, Failure, Ledger, Passed, Settled, Source, behind_relay, is_head_readable,
};
use crate::shard::{Shard, count};
use crate::transit::Transit;
use crate::transit::grants::{Barred, Hop, Next, Previous};
use service::clock;

impl Connection {
    pub(super) fn hop(&self, shard: &Shard) -> Hop {
        Hop { shard: shard.index, connection: self.number }
    }

    /// Looks whether something passes through here, so that it is no stranger's.
    pub(super) fn note_transit(&self, shard: &Shard, now: Instant) {
        let Some(transit) = &shard.plane.transit else { return };
        let through = &mut *self.through.borrow_mut();
        through.in_use = !through.waiting.is_empty() || transit.uses(self.hop(shard), now);
    }

    /// Whether somebody needs this connection to pass something through.
    pub(super) fn is_used_through(&self) -> bool {
        self.through.try_borrow().is_ok_and(|through| through.in_use)
    }

    /// We have dialled this host, and pass something through.
    pub(crate) fn dialled(&self, shard: &Shard, host: &str, now: Instant) {
        self.through.borrow_mut().dialled = Some((host.to_owned(), now));
        if let Some(transit) = &shard.plane.transit {
            transit.note_brake(self.hop(shard), self.brake(shard));
        }
    }

    /// When it was last of use, if we dialled it.
    pub(crate) fn last_use(&self) -> Option<Instant> {
        let through = self.through.borrow();
        through.dialled.as_ref().map(|(_, used)| (*used).max(self.heard.get()))
    }

    /// Takes a request, or a piece of one, that is not for a session here. False: it may be for one.
    pub(super) fn transits(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        chunk: &Chunk,
        now: Instant,
    ) -> bool {
        let Some(transit) = &shard.plane.transit else { return false };
        let head = &chunk.head;
        let auth = head.method() == Some(&Method::Auth);
        if head.to_path().len() == 1 {
            if auth {
                self.authenticate(transit, shard, head, now);
            }
            return auth;
        }
        let course = if chunk.first {
            self.course(transit, shard, head, now)
        } else {
            let arriving = self.through.borrow().arriving.clone();
            arriving.filter(|(id, _)| *id == head.transaction()).and_then(|(_, course)| course)
        };
        let unfinished = chunk.end.is_none().then(|| (head.transaction(), course.clone()));
        self.through.borrow_mut().arriving = unfinished;
        if let Some(course) = course {
            self.note_open(head, chunk, &course);
            count(&shard.tally.traffic.of(self.transport).chunks_in);
            if let Some(brake) = pass_on(shard, &course, chunk) {
                self.mind_brake(brake, shard);
            }
            // RFC 4976, 6.4.1: at once, and to the previous hop only.
            if chunk.end.is_some() && head.method() == Some(&Method::Send) {
                self.reply(crate::reports::accepted(head), shard);
            }
        }
        true
    }

    /// Where a request goes; one that goes nowhere is answered.
    fn course(
        self: &Rc<Self>,
        transit: &Transit,
        shard: &Shard,
        head: &Arc<Head>,
        now: Instant,
    ) -> Option<Arc<Course>> {
        // Our URIs are of TLS, and what came without is not for them (RFC 4976, 9.2).
        if self.transport == control::Transport::Tcp {
            self.bar(shard, head, Barred::NotOurs);
            return None;
        }
        let hop = self.hop(shard);
        let relay = self.proved(shard, head);
        let previous = Previous { hop, relay: relay.as_deref() };
        let way = transit.way((head.to_path(), head.from_path()), &previous, now);
        let way = way.and_then(|way| match is_head_readable(head, (&way.to, &way.from)) {
            true => Ok(way),
            false => Err(Barred::TooLong),
        });
        let way = match way {
            Ok(way) => way,
            Err(barred) => {
                self.bar(shard, head, barred);
                return None;
            }
        };
        drop(self.half_open.take());
        self.through.borrow_mut().in_use = true;
        transit.note_brake(hop, self.brake(shard));
        let address = Address::new(&way.to, &way.from);
        let send = head.method() == Some(&Method::Send);
        let kept = (!send).then(|| Arc::clone(head));
        let sender = Arc::new(head.from_path().detached());
        let relay = relay.is_some();
        let flight = transit.begin();
        let origin = Origin { hop, sender, address: address.clone(), relay, head: kept, flight };
        let source = Arc::new(Source::of(head, origin));
        let via = way.from.first().detached();
        Some(Arc::new(Course { next: way.next, address, via, source }))
    }

    fn bar(self: &Rc<Self>, shard: &Shard, head: &Head, barred: Barred) {
        let metrics = &shard.plane.metrics;
        metrics.transit_refusals.with_label_values(&[barred.label()]).inc();
        self.refused.update(|refused| refused + 1);
        tracing::debug!(self.number, reason = barred.label(), "no way through");
        let status = match barred {
            Barred::NotOurs | Barred::EndsHere => Status::NO_SUCH_SESSION,
            Barred::NotTheOwners => Status::FORBIDDEN,
            // What the next hop would say, or end its connection for.
            Barred::TooLong => Status::BAD_REQUEST,
        };
        // RFC 4976, 6.4.2: what nobody knows is treated like a REPORT, which has no answer.
        if matches!(head.method(), Some(Method::Send | Method::Auth)) {
            self.reply(Reply::new(head, status).and_then(|reply| reply.encode()), shard);
        }
    }

    /// The name that the peer has proved with its certificate, if it is the one it says it is.
    pub(super) fn proved(&self, shard: &Shard, head: &Head) -> Option<String> {
        let name = head.from_path().first().host();
        let dialled = |(host, _): &(String, Instant)| host.eq_ignore_ascii_case(name);
        let ours = self.through.borrow().dialled.as_ref().is_some_and(dialled);
        (ours || self.has_proved(shard, name)).then(|| name.to_ascii_lowercase())
    }

    /// Whether the peer has a certificate that may prove a name here.
    pub(super) fn has_certificate(&self, shard: &Shard) -> bool {
        shard.plane.peers.is_some() && self.wire.borrow().certificates().is_some()
    }

    fn note_open(&self, head: &Head, chunk: &Chunk, course: &Arc<Course>) {
        let Some(id) = head.message_id().filter(|_| head.method() == Some(&Method::Send)) else {
            return;
        };
        let open = &mut self.through.borrow_mut().open;
        let sender = course.sender();
        open.retain(|(known, other, _)| *known != id || other.sender() != sender);
        if chunk.flag() == Flag::More {
            if open.len() == OPEN_MAX {
                open.pop_front();
            }
            let behind = chunk.range.start.saturating_add(chunk.body.octets());
            open.push_back((id, Arc::clone(course), behind));
        }
    }

    /// Something that somebody else sends over this connection.
    pub(crate) fn pass(self: &Rc<Self>, shard: &Shard, passing: Passing) {
        let Some(transit) = &shard.plane.transit else { return };
        let mut passing = passing;
        self.take(transit, shard, &mut passing);
        self.settle_brake();
        passing.arrive();
    }

    fn take(self: &Rc<Self>, transit: &Transit, shard: &Shard, passing: &mut Passing) {
        let frame = passing.frame.clone();
        let Some(passed) = passing.passed.take() else {
            // Reports do not wait behind chunks (RFC 4975, 7.1.1).
            return self.reply(Some(frame), shard);
        };
        let refused = {
            let through = &mut *self.through.borrow_mut();
            if let Some((_, used)) = &mut through.dialled {
                *used = clock::now();
            }
            let ledger = through.ledger.get_or_insert_with(|| Ledger::new(transit.ledger()));
            if ledger.is_stopped(&passed) {
                return;
            }
            ledger.pass(frame.payload.transaction(), passed.clone()).is_err()
        };
        if refused {
            tell(shard, &lost(passed));
        } else if self.push_paced(frame, shard) {
            count(&shard.tally.traffic.of(self.transport).chunks_out);
        }
    }

    /// Something comes back that is owed to this connection's peer.
    pub(crate) fn give_back_to(self: &Rc<Self>, shard: &Shard, returning: Returning) {
        self.reply(Some(returning.frame), shard);
        if returning.failed {
            self.count_failure(shard);
        }
    }

    /// The next hop's answer to something that was passed on. False: it is none.
    pub(super) fn transit_answered(self: &Rc<Self>, shard: &Shard, head: &Head) -> bool {
        let answer = match &mut self.through.borrow_mut().ledger {
            Some(ledger) => ledger.answered(head),
            None => return false,
        };
        match answer {
            Answer::Unknown => return false,
            Answer::Taken(_) => self.settle_brake(),
            Answer::Back(source) => return_answer(shard, &source, head),
            Answer::Refused(failure) => {
                self.abort(shard, &failure);
                tell(shard, &failure);
            }
        }
        true
    }

    /// The next hop waits for the rest of a message that it has refused: it is told that nothing follows.
    fn abort(self: &Rc<Self>, shard: &Shard, failure: &Failure<Origin>) {
        if let (Some(at), Some(id)) = (failure.open_at, failure.source.message_id) {
            let frame = abort(id, at, &failure.source.origin.address, shard);
            self.push_paced(frame, shard);
        }
    }

    /// Whether more chunks wait for answers of this connection's peer than should.
    pub(super) fn is_crowded_through(&self) -> bool {
        let through = self.through.try_borrow();
        through.is_ok_and(|it| it.ledger.as_ref().is_some_and(Ledger::is_crowded))
    }

    /// Everything that was passed on over this connection has left.
    pub(super) fn transit_written(&self, now: impl FnOnce() -> Instant) {
        if let Some(ledger) = &mut self.through.borrow_mut().ledger
            && ledger.has_unwritten()
        {
            ledger.written(now());
        }
    }

    /// Looks at the time-outs.
    pub(super) fn transit_tick(self: &Rc<Self>, shard: &Shard, now: Instant) {
        let (settled, late) = {
            let through = &mut *self.through.borrow_mut();
            // While it is not read, its answers may have come.
            let heard = (!self.unheard.get()).then(|| self.heard_since.get());
            let ledger = through.ledger.as_mut();
            let settled = heard.and_then(|heard| Some(ledger?.expire(now, heard)));
            let mut late = Vec::new();
            while through.waiting.front().is_some_and(|waiting| waiting.until <= now) {
                late.extend(through.waiting.pop_front());
            }
            (settled.unwrap_or_default(), late)
        };
        tell_all(shard, settled);
        for waiting in late {
            if let Some(transit) = &shard.plane.transit {
                transit.take_asked(waiting.question.asked.request);
            }
            self.answer_auth(
                shard,
                &waiting.head,
                &auth::Answer::plain(Status::TIMEOUT),
                "no_focus",
            );
        }
    }

    /// The connection has ended: nothing passes through it any more.
    pub(super) fn leave_transit(&self, shard: &Rc<Shard>) {
        let Some(transit) = &shard.plane.transit else { return };
        transit.lose(self.hop(shard));
        let through = std::mem::take(&mut *self.through.borrow_mut());
        for waiting in through.waiting {
            transit.take_asked(waiting.question.asked.request);
        }
        if let Some(mut ledger) = through.ledger {
            tell_all(shard, ledger.lose(Status::TIMEOUT));
        }
        // RFC 4975, 7.1: the receivers of what began here are told that it ends.
        for (id, course, at) in through.open {
            let frame = abort(id, at, &course.address, shard);
            let passing = Passing { frame, passed: None, brake: None };
            send(shard, &course.next, passing);
        }
    }
}

/// A chunk that says that nothing of its message follows.
fn abort(id: MessageId, at: u64, address: &Address, shard: &Shard) -> Frame {
    let mut send = SendRequest { flag: Flag::Abort, ..SendRequest::bodiless(id) };
    send.range.start = at;
    send.encode(&mut *shard.rng.borrow_mut()).to(address)
}

/// Sends a request, or a piece of one, on its way.
fn pass_on(shard: &Rc<Shard>, course: &Course, chunk: &Chunk) -> Option<Arc<Brake>> {
    let payload = Payload::onward(chunk, &mut *shard.rng.borrow_mut());
    // RFC 4975, 7.1.2: a REPORT has no answer.
    let owed = chunk.head.method() != Some(&Method::Report);
    let passed = owed.then(|| Passed {
        source: Arc::clone(&course.source),
        range: chunk.range,
        flag: chunk.flag(),
        via: course.via.clone(),
    });
    let frame = payload.to(&course.address);
    send(shard, &course.next, Passing { frame, passed, brake: None })
}

/// Sends it, and says whose brake is to be minded.
fn send(shard: &Rc<Shard>, next: &Next, mut passing: Passing) -> Option<Arc<Brake>> {
    let transit = shard.plane.transit.as_ref()?;
    match next {
        Next::Hop(hop) => {
            let brake = transit.brake_of(*hop);
            passing.wait_for(brake.clone());
            let errand = Errand::Pass { connection: hop.connection, passing: Box::new(passing) };
            shard.plane.doors.push(hop.shard, errand);
            brake
        }
        Next::Dial(uri, user) => dials::pass(shard, (user, uri), passing),
    }
}

/// The connection that something was to be passed on over is gone.
pub(crate) fn undeliverable(shard: &Shard, mut passing: Passing) {
    passing.arrive();
    if let Some(passed) = passing.passed {
        tell(shard, &lost(passed));
    }
}

fn lost(passed: Passed<Origin>) -> Failure<Origin> {
    let (range, source) = (passed.range, passed.source);
    Failure { source, range, status: Status::TIMEOUT, comment: Bytes::new(), open_at: None }
}

/// The sender of what has failed is told, if it wants to know.
fn tell(shard: &Shard, failure: &Failure<Origin>) {
    let source = &failure.source;
    if source.failure_report == msrp::FailureReport::No {
        return;
    }
    let frame = match &source.origin.head {
        None => failure.report(&mut *shard.rng.borrow_mut()),
        Some(head) => unanswered(head, failure.status),
    };
    give_back(shard, source.origin.hop, frame, false);
}

/// What a request gets whose far end does not answer. RFC 4976, 6.4.2: what nobody here knows has no answer of ours.
fn unanswered(head: &Head, status: Status) -> Option<Frame> {
    if head.method() != Some(&Method::Auth) {
        return None;
    }
    Reply::new(head, status).and_then(|reply| reply.encode())
}

fn tell_all(shard: &Shard, settled: Vec<Settled<Origin>>) {
    for settled in settled {
        match settled {
            Settled::Failed(failure) => tell(shard, &failure),
            Settled::Presumed(_) => {}
        }
    }
}

/// A response that travels the whole way back (RFC 4976, 6.4.3). One to a SEND ends here.
fn return_answer(shard: &Shard, source: &Source<Origin>, head: &Head) {
    let Some(asked) = &source.origin.head else { return };
    let Some((to, from)) = behind_relay(head) else { return };
    let frame = if is_head_readable(head, (&to, &from)) {
        Frame::back(head, source.transaction, &Address::new(&to, &from))
    } else {
        let label = Barred::TooLong.label();
        shard.plane.metrics.transit_refusals.with_label_values(&[label]).inc();
        unanswered(asked, Status::TIMEOUT)
    };
    let proved = asked.headers().get("Authorization").is_some();
    let stale = || head.challenges().iter().any(|challenge| challenge.stale);
    let unauthorized = head.status() == Some(Status::UNAUTHORIZED);
    // RFC 4976, 6.3: guessing at another relay is guessing all the same, but for a relay.
    let guessed = proved && unauthorized && !stale() && !source.origin.relay;
    give_back(shard, source.origin.hop, frame, guessed);
}

fn give_back(shard: &Shard, hop: Hop, frame: Option<Frame>, failed: bool) {
    if let Some(frame) = frame {
        let returning = Box::new(Returning { frame, failed });
        let errand = Errand::Return { connection: hop.connection, returning };
        shard.plane.doors.push(hop.shard, errand);
    }
}
