//! Passing on: what one leg of a one-to-one session sends leaves by the connection of the other, and what becomes of it
//! there comes back. Every decision is made elsewhere: `pair/leg` admits, `pair/legs` knows the way, `forward` keeps the
//! books about the next hop.
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use control::Ending;
use msrp::{
    Chunk, FailureReport, Flag, Frame, Head, MessageId, Method, Payload, Reply, SendRequest, Status,
};

use super::Connection;
use super::seated::Seated;
use crate::brake::Brake;
use crate::doors::Errand;
use crate::forward::{self, Answer, Failure, Passed, Settled, Source};
use crate::pair::leg::{Admitted, Around, Ended, Leg};
use crate::pair::legs::{Onward, Outgoing, Way};
use crate::pair::{Origin, Spot};
use crate::relay::Relay;
use crate::session::Refusal;
use crate::shard::{Shard, count};

/// The sender's side.
impl Connection {
    pub(super) fn spot(&self, shard: &Shard) -> Spot {
        Spot { shard: shard.index, connection: self.number }
    }

    /// What slows down those who send to this connection.
    pub(super) fn brake(&self, shard: &Shard) -> &Arc<Brake> {
        self.brake.get_or_init(|| Arc::new(Brake::new(shard.plane.limits.pair_marks())))
    }

    /// A leg's user has come: from now on the other leg reaches it here.
    pub(super) fn link(
        &self,
        shard: &Shard,
        relay: &Relay,
        seated: &Seated,
    ) -> Option<Leg<Origin>> {
        if !relay.is_pair() {
            return None;
        }
        let way = Way {
            spot: self.spot(shard),
            address: seated.address.clone(),
            own: seated.own.clone(),
            brake: Arc::clone(self.brake(shard)),
        };
        relay.link(seated.seat(), &way);
        Some(Leg::default())
    }

    /// Admits a chunk of a leg and passes it on. Some octets: it ends a message that was passed on before, and that its
    /// receiver has reported whole.
    pub(super) fn pass_on(
        &self,
        seated: &mut Seated,
        shard: &Shard,
        chunk: &Chunk,
        now: Instant,
    ) -> Result<Option<u64>, Refusal> {
        let (relay, seat) = (Arc::clone(&seated.relay), seated.seat());
        let roster = shard.roster(&relay);
        let at = (seat, self.spot(shard));
        let admitted = {
            let Some(leg) = &mut seated.leg else { return Err(Refusal::NoSession) };
            if !forward::has_room_for_paths(&chunk.head) {
                return Err(Refusal::LongHead);
            }
            let seen = seated.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let around = Around {
                muted: roster.participant(seat).is_none_or(|person| person.muted),
                message_octets_max: roster.message_octets_max,
                open_max: shard.plane.limits.open_messages_max,
                seen: &seen,
            };
            leg.admit(now, chunk, &around, || relay.origin(at, roster.charge, chunk))
        };
        seated.end_messages(shard, now);
        let (source, complete) = match admitted? {
            Admitted::Nothing => return Ok(None),
            Admitted::Duplicate => {
                if chunk.end == Some(Flag::End) {
                    shard.plane.metrics.repeated.inc();
                }
                return Ok(seated.reported(chunk));
            }
            Admitted::Pass(source) => (source, None),
            Admitted::Last(source, octets) => (source, Some(octets)),
        };
        // The chunk with `$` need not be the last to come (RFC 4975, 7.3.1).
        let flag = match (complete, chunk.flag()) {
            (Some(_), _) => Flag::End,
            (None, Flag::End) => Flag::More,
            (None, flag) => flag,
        };
        let octets = (chunk.range.start - 1).saturating_add(chunk.body.octets());
        if let Some(tab) = &source.origin.tab {
            tab.note(octets);
        }
        let outgoing = Outgoing {
            source: Some(Arc::clone(&source)),
            payload: Payload::onward(chunk, &mut *shard.rng.borrow_mut()),
            range: chunk.range,
            flag,
        };
        if let Some(octets) = complete.flatten()
            && let Some(id) = source.message_id
        {
            // Before the next hop can say that it failed.
            seated.seen().note(id, octets);
            shard.plane.metrics.messages_in.inc();
        }
        self.cross(seated, shard, outgoing, now).inspect_err(|refusal| {
            seated.turn_down(&source, refusal);
            seated.end_messages(shard, now);
        })?;
        if chunk.end == Some(Flag::Abort) {
            close(&source, Ending::Aborted);
        }
        Ok(None)
    }

    /// Hands a request to the other leg, and pauses if that has too much to read.
    fn cross(
        &self,
        seated: &Seated,
        shard: &Shard,
        outgoing: Outgoing,
        now: Instant,
    ) -> Result<(), Refusal> {
        let brake = seated.relay.cross(seated.seat(), outgoing, now)?;
        self.mind_brake(brake, shard);
        Ok(())
    }

    /// Pauses if whoever this brake is of has too much to read.
    pub(super) fn mind_brake(&self, brake: Arc<Brake>, shard: &Shard) {
        let mut held_up = self.held_up.borrow_mut();
        if brake.is_high(shard.plane.would_overfill(0, 0))
            && held_up.iter().all(|known| !Arc::ptr_eq(known, &brake))
        {
            held_up.push(brake);
        }
    }

    /// RFC 4976, 6.4.2: REPORT and methods that nobody here knows go to the other leg. False: this is no leg.
    pub(super) fn pass_other(
        &self,
        shard: &Shard,
        chunk: &Chunk,
        now: Instant,
    ) -> Result<bool, Refusal> {
        let sessions = self.sessions.borrow();
        let to = chunk.head.to_path();
        let session = to.first().session_id().and_then(|id| sessions.get(id));
        let Some(seated) = session.filter(|seated| seated.leg.is_some()) else { return Ok(false) };
        if to.len() != 1 || !seated.is_meant_by(&chunk.head) {
            return Err(Refusal::NoSession);
        }
        if !forward::has_room_for_paths(&chunk.head) {
            return Err(Refusal::LongHead);
        }
        let answered = chunk.head.method() != Some(&Method::Report);
        let source = answered.then(|| {
            let seat = Some((seated.relay.id, seated.seat()));
            let origin = Origin { spot: self.spot(shard), seat, tab: None };
            Arc::new(Source::of(&chunk.head, origin))
        });
        if let Some(id) = succeeded(&chunk.head) {
            seated.relay.note_reported(seated.seat(), id, chunk.head.byte_range());
        }
        let payload = Payload::onward(chunk, &mut *shard.rng.borrow_mut());
        let outgoing = Outgoing { source, payload, range: chunk.range, flag: Flag::End };
        self.cross(seated, shard, outgoing, now)?;
        Ok(true)
    }

    /// A chunk that came on this connection did not arrive where it was passed on to.
    pub(crate) fn failed(self: &Rc<Self>, shard: &Shard, failure: &Failure<Origin>) {
        let report = failure.report(&mut *shard.rng.borrow_mut());
        self.reply(report, shard);
        if failure.source.method != Method::Send {
            return;
        }
        close(&failure.source, Ending::Refused(failure.status.code()));
        let (Some(id), Some((room, seat))) =
            (failure.source.message_id, failure.source.origin.seat)
        else {
            return;
        };
        let mut sessions = self.sessions.borrow_mut();
        let Some(seated) = sessions.values_mut().find(|seated| seated.is(room, seat)) else {
            return;
        };
        // It may be sent again.
        seated.seen().forget(id);
        if let Some(leg) = &mut seated.leg {
            leg.fail(id, failure.status);
        }
        if failure.status != Status::TIMEOUT {
            self.interrupt(shard, id, &Refusal::NextHop(failure.status));
        }
    }

    /// An answer of the next hop to a request that came on this connection.
    pub(crate) fn answered_back(self: &Rc<Self>, frame: Frame, shard: &Shard) {
        self.reply(Some(frame), shard);
    }
}

/// The receiver's side.
impl Connection {
    /// A request leaves by this connection.
    pub(crate) fn take_onward(self: &Rc<Self>, shard: &Shard, onward: Onward) {
        let Onward { frame, passed, brake, .. } = onward;
        let octets = frame.len();
        if let Some((passed, status)) = self.queue_onward(shard, frame, passed) {
            fail(shard, passed, status);
        }
        self.settle_brake();
        brake.arrived(octets);
    }

    /// What must be told to its sender instead.
    fn queue_onward(
        self: &Rc<Self>,
        shard: &Shard,
        frame: Frame,
        passed: Option<Passed<Origin>>,
    ) -> Option<(Passed<Origin>, Status)> {
        let Some(passed) = passed else {
            if self.ending.get().is_none() {
                self.reply(Some(frame), shard);
            }
            return None;
        };
        if self.ending.get().is_some() {
            return Some((passed, Status::NO_SUCH_SESSION));
        }
        let quiet = passed.source.failure_report == FailureReport::No;
        let ends = quiet && passed.flag == Flag::End;
        let source = ends.then(|| Arc::clone(&passed.source));
        {
            let mut ledger = self.ledger.borrow_mut();
            if ledger.is_stopped(&passed) {
                return None;
            }
            if ledger.pass(frame.payload.transaction(), passed.clone()).is_err() {
                return Some((passed, Status::STOP_SENDING));
            }
        }
        if self.push_paced(frame, shard) {
            count(&shard.tally.traffic.of(self.transport).chunks_out);
            // Nobody will say what became of it.
            source.iter().for_each(|source| close(source, Ending::Complete));
        }
        None
    }

    /// An answer of the next hop. False: it answers nothing that was passed on.
    pub(super) fn answered(self: &Rc<Self>, shard: &Shard, head: &Head) -> bool {
        let answer = self.ledger.borrow_mut().answered(head);
        match answer {
            Answer::Unknown => return false,
            Answer::Taken(passed) => taken(&passed),
            Answer::Refused(failure) => {
                if let Some(at) = failure.open_at {
                    self.stop(shard, &failure.source, at, head);
                }
                send_back(shard, failure);
            }
            Answer::Back(source) => {
                let status = head.status().unwrap_or(Status::UNKNOWN_METHOD);
                let back = Reply::passed_back(
                    &source.method,
                    source.transaction,
                    (&source.back, &source.own),
                    status,
                );
                let spot = source.origin.spot;
                if let Some(frame) = back.encode() {
                    let errand = Errand::Back { connection: spot.connection, frame };
                    shard.plane.doors.push(spot.shard, errand);
                }
            }
        }
        self.settle_brake();
        true
    }

    /// Tells the user of the session that this answer is for that no more of a message will come.
    fn stop(self: &Rc<Self>, shard: &Shard, source: &Source<Origin>, at: u64, answer: &Head) {
        let sessions = self.sessions.borrow();
        let session = answer.to_path().first().session_id().and_then(|id| sessions.get(id));
        let Some(address) = session.map(|seated| seated.address.clone()) else { return };
        let abort = abort(source, at).encode(&mut *shard.rng.borrow_mut());
        self.push_paced(abort.to(&address), shard);
    }

    /// Queues a chunk whose sender is paused in time, so that it always has room.
    pub(super) fn push_paced(self: &Rc<Self>, frame: Frame, shard: &Shard) -> bool {
        if self.writer.push_paced(frame, &shard.plane).is_err() {
            self.too_slow(shard, "full");
            return false;
        }
        if self.writer.is_laden() {
            self.flush(shard);
        }
        self.mark_dirty(shard);
        true
    }

    /// Everything that was queued has left.
    pub(super) fn note_written(&self) {
        let mut ledger = self.ledger.borrow_mut();
        if ledger.has_unwritten() && self.writer.queued() == 0 {
            ledger.written(service::clock::now());
        }
    }

    pub(super) fn settle_brake(&self) {
        match self.brake.get() {
            Some(brake) if self.ending.get().is_none() => {
                let crowded = self.ledger.borrow().is_crowded() || self.is_crowded_through();
                brake.settle(self.writer.queued(), crowded);
            }
            Some(brake) => brake.settle(0, false),
            None => {}
        }
    }

    /// Looks at what the next hop has not answered.
    pub(super) fn expire_onward(self: &Rc<Self>, shard: &Shard, now: Instant) {
        if self.brake.get().is_none() {
            return;
        }
        if !self.unheard.get() {
            let settled = self.ledger.borrow_mut().expire(now, self.heard_since.get());
            settled.into_iter().for_each(|settled| settle(shard, settled));
        }
        self.settle_brake();
    }

    /// The connection ends: what waits for an answer has none.
    pub(super) fn lose_onward(&self, shard: &Shard) {
        let settled = self.ledger.borrow_mut().lose(Status::NO_SUCH_SESSION);
        settled.into_iter().for_each(|settled| settle(shard, settled));
        self.settle_brake();
    }
}

/// Nobody is there to take the request.
pub(crate) fn undeliverable(shard: &Shard, onward: Onward) {
    onward.brake.arrived(onward.frame.len());
    if let Some(passed) = onward.passed {
        fail(shard, passed, Status::NO_SUCH_SESSION);
    }
}

fn settle(shard: &Shard, settled: Settled<Origin>) {
    match settled {
        Settled::Failed(failure) => send_back(shard, failure),
        Settled::Presumed(passed) => taken(&passed),
    }
}

fn taken(passed: &Passed<Origin>) {
    if passed.flag == Flag::End {
        close(&passed.source, Ending::Complete);
    }
}

fn close(source: &Source<Origin>, ending: Ending) {
    if let Some(tab) = &source.origin.tab {
        tab.close(ending);
    }
}

fn fail(shard: &Shard, passed: Passed<Origin>, status: Status) {
    let Passed { source, range, .. } = passed;
    if source.failure_report == FailureReport::No {
        close(&source, Ending::Refused(status.code()));
        return;
    }
    send_back(shard, Failure { source, range, status, comment: "".into(), open_at: None });
}

fn send_back(shard: &Shard, failure: Failure<Origin>) {
    // Before its sender hears of it: nothing must presume that it arrived.
    close(&failure.source, Ending::Refused(failure.status.code()));
    let to = failure.source.origin.spot.shard;
    shard.plane.doors.push(to, Errand::Failed(Box::new(failure)));
}

/// Which message a REPORT says has arrived.
fn succeeded(head: &Head) -> Option<MessageId> {
    let good = head.report_status().is_some_and(|told| told.status.is_success());
    head.message_id().filter(|_| good && head.method() == Some(&Method::Report))
}

/// The chunk that says that no more of a message will come (RFC 4975, 7.1).
fn abort(source: &Source<Origin>, at: u64) -> SendRequest {
    let id = source.message_id.unwrap_or_else(|| MessageId::random(&mut crate::plane::random()));
    SendRequest {
        range: msrp::ByteRange { start: at, end: Some(at - 1), total: None },
        success_report: source.success_report,
        failure_report: source.failure_report,
        flag: Flag::Abort,
        ..SendRequest::bodiless(id)
    }
}

impl Seated {
    /// The octets of a message that this chunk ends again, where its receiver has reported it (RFC 4975, 7.1.2: success
    /// is reported of what comes twice, too).
    fn reported(&self, chunk: &Chunk) -> Option<u64> {
        let id = chunk.head.message_id().filter(|_| chunk.end == Some(Flag::End))?;
        self.seen().reported(id)
    }

    /// A message cannot be passed on after all.
    fn turn_down(&mut self, source: &Source<Origin>, refusal: &Refusal) {
        close(source, Ending::Refused(refusal.status().code()));
        if let Some(id) = source.message_id {
            self.seen().forget(id);
            if let Some(leg) = &mut self.leg {
                leg.refuse(id, refusal.clone());
            }
        }
    }

    /// Tells the other leg of messages that ended without their sender saying so.
    pub(super) fn end_messages(&mut self, shard: &Shard, now: Instant) {
        let ended = self.leg.as_mut().map(Leg::take_ended).unwrap_or_default();
        self.pass_ended(ended, shard, now);
    }

    pub(super) fn pass_ended(&self, ended: Vec<Ended<Origin>>, shard: &Shard, now: Instant) {
        for Ended { source, at, refusal } in ended {
            let ending =
                refusal.map_or(Ending::Aborted, |why| Ending::Refused(why.status().code()));
            close(&source, ending);
            let send = abort(&source, at);
            let (range, flag) = (send.range, send.flag);
            let payload = send.encode(&mut *shard.rng.borrow_mut());
            // Nobody is told if this does not arrive: the other leg is lost then.
            let outgoing = Outgoing { source: Some(source), payload, range, flag };
            drop(self.relay.cross(self.seat(), outgoing, now));
        }
    }
}
