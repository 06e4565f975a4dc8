//! What a receiver says about chunks it was sent, by response, by REPORT or by silence, and what that leads to for it
//! alone: the switch has answered the sender (RFC 7701, 6.3), and other receivers are not concerned.
use std::rc::Rc;
use std::time::{Duration, Instant};

use control::Cause;
use msrp::{Head, Status};

use super::Connection;
use crate::outbox::{Lane, Tag, Verdict};
use crate::shard::Shard;

impl Connection {
    /// Whether all that was queued for it has left, and is answered for.
    pub(crate) fn owes_nothing(&self) -> bool {
        self.writer.is_empty()
    }

    /// A receiver's answer to a chunk of ours.
    pub(super) fn response(self: &Rc<Self>, shard: &Shard, head: &Head) {
        if self.answered(shard, head) || self.binding_answered(shard, head) {
            return;
        }
        let Some(status) = head.status() else { return };
        if self.transit_answered(shard, head) {
            return;
        }
        let Some(answered) = self.writer.answered(head.transaction()) else {
            shard.plane.metrics.stray_answers.inc();
            return;
        };
        if !status.is_success() {
            self.follow(shard, answered.lane, answered.stream, status);
        }
        self.look_if_drained(shard, self.heard.get());
        // More may leave now that this one is answered.
        if !self.writer.is_empty() {
            self.mark_dirty(shard);
        }
    }

    /// RFC 4975, 7.3.2: a report of failure counts as a response of the same code. Success is heard by response already,
    /// and what receivers report goes no further.
    pub(super) fn report(self: &Rc<Self>, shard: &Shard, head: &Head) {
        let Some(report) = head.report_status().filter(|report| report.namespace == 0) else {
            return;
        };
        let lane = {
            let sessions = self.sessions.borrow();
            let seated = head.to_path().first().session_id().and_then(|id| sessions.get(id));
            seated.filter(|seated| seated.peer == *head.from_path().last()).map(|it| it.lane)
        };
        if let Some(lane) = lane.filter(|_| !report.status.is_success()) {
            self.follow(shard, lane, head.message_id().map(Tag::of), report.status);
        }
    }

    /// A chunk was refused (RFC 4975, 10).
    fn follow(self: &Rc<Self>, shard: &Shard, lane: Lane, stream: Option<Tag>, status: Status) {
        let class = if status.code() < 500 { "4xx" } else { "5xx" };
        shard.plane.metrics.receiver_failures.with_label_values(&[class]).inc();
        tracing::debug!(self.number, %status, "a receiver refused a chunk");
        match Verdict::of(status) {
            Verdict::Arrived => {}
            Verdict::Unwanted => {
                if let Some(stream) = stream {
                    self.writer.stop(lane, stream);
                    self.mark_dirty(shard);
                }
            }
            Verdict::SessionGone => self.fail(shard, lane, Cause::Disconnected),
            Verdict::TimedOut => self.fall_silent(shard, lane),
        }
    }

    /// Ends the sessions whose receivers have not answered in time.
    pub(super) fn end_silent(self: &Rc<Self>, shard: &Shard, now: Instant) {
        let wait = Duration::from_secs(shard.plane.limits.answer_secs);
        for lane in self.writer.silent(now, wait) {
            self.fall_silent(shard, lane);
        }
    }

    fn fall_silent(self: &Rc<Self>, shard: &Shard, lane: Lane) {
        tracing::debug!(self.number, "a receiver has not answered in time");
        shard.plane.metrics.silent_sessions.inc();
        self.fail(shard, lane, Cause::Silent);
    }

    /// A session has failed. The connection ends with its last; other sessions on it go on.
    pub(super) fn fail(self: &Rc<Self>, shard: &Shard, lane: Lane, cause: Cause) {
        let mut sessions = self.sessions.borrow_mut();
        let found = sessions.iter().find(|(_, seated)| seated.lane == lane);
        let Some(id) = found.map(|(id, _)| id.clone()) else { return };
        if sessions.len() == 1 {
            self.end(cause);
            return;
        }
        let Some(mut seated) = sessions.remove(&id) else { return };
        drop(shard.remove_route(seated.relay.id, seated.seat()));
        self.note_reached_last(&seated);
        self.writer.end_session(lane);
        super::goodbye::lose(&mut seated, shard, cause);
    }
}
