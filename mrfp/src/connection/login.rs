//! AUTH for this relay on a connection (RFC 4976, 6.3): what may be asked, who waits for the focus's word, and what its
//! client gets. What is right is for `auth` and the focus to say.
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use control::{AuthAnswer, Cause, Notice, Transport};
use msrp::{Head, Status};

use super::Connection;
use super::through::{WAITING_MAX, Waiting};
use crate::auth::{self, Answer, Judged, Received};
use crate::shard::Shard;
use crate::transit::Transit;
use crate::transit::grants::{Asker, Owner};

impl Connection {
    pub(super) fn authenticate(
        self: &Rc<Self>,
        transit: &Transit,
        shard: &Shard,
        head: &Arc<Head>,
        now: Instant,
    ) {
        let refused = |status, result| (Answer::plain(status), result);
        let (answer, result) = match self.ask(transit, shard, head, now) {
            Ok(()) => return,
            Err(Unasked::Elsewhere) => refused(Status::NO_SUCH_SESSION, "elsewhere"),
            Err(Unasked::InTheClear) => refused(Status::FORBIDDEN, "in_the_clear"),
            Err(Unasked::Impostor) => refused(Status::FORBIDDEN, "impostor"),
            Err(Unasked::Draining) => refused(Status::FORBIDDEN, "draining"),
            Err(Unasked::NoFocus) => refused(Status::TIMEOUT, "no_focus"),
            Err(Unasked::Answer(answer)) => {
                let result = if answer.failed { "wrong" } else { "challenged" };
                (answer, result)
            }
        };
        self.answer_auth(shard, head, &answer, result);
    }

    fn ask(
        &self,
        transit: &Transit,
        shard: &Shard,
        head: &Arc<Head>,
        now: Instant,
    ) -> Result<(), Unasked> {
        if !transit.rules.is_us(head.to_path().first()) {
            return Err(Unasked::Elsewhere);
        }
        // RFC 4976, 8 and 9.2.
        if self.transport == Transport::Tcp {
            return Err(Unasked::InTheClear);
        }
        if shard.plane.is_draining() {
            return Err(Unasked::Draining);
        }
        let owner = self.owner(shard, head)?;
        let received = transit.auth().receive(head, now, &mut *shard.rng.borrow_mut());
        let question = match received {
            Received::Answer(answer) => return Err(Unasked::Answer(answer)),
            Received::Ask(question) => question,
        };
        let (plane, request) = (&shard.plane, question.asked.request);
        let mut through = self.through.borrow_mut();
        if through.waiting.len() >= WAITING_MAX
            || !plane.focus.link().is_up()
            || !transit.note_asked(request, self.hop(shard))
        {
            return Err(Unasked::NoFocus);
        }
        if plane.focus.notice(Notice::AuthAsked(question.asked.clone())).is_err() {
            transit.take_asked(request);
            return Err(Unasked::NoFocus);
        }
        let until = now + transit.rules.focus;
        through.waiting.push_back(Waiting { question, head: Arc::clone(head), owner, until });
        Ok(())
    }

    /// Whose the URI will be (RFC 4976, 6.3): of the relay that this AUTH came over, if it has proved its name; else of
    /// this connection. A certificate says nothing about who comes directly (9.2).
    fn owner(&self, shard: &Shard, head: &Head) -> Result<Owner, Unasked> {
        let direct = head.from_path().len() == 1;
        if direct || !self.has_certificate(shard) {
            return Ok(Owner::Client(self.hop(shard)));
        }
        self.proved(shard, head).map(Owner::Relay).ok_or(Unasked::Impostor)
    }

    /// The focus has answered an AUTH of this connection.
    pub(crate) fn auth_answered(self: &Rc<Self>, shard: &Shard, answer: &AuthAnswer, now: Instant) {
        let Some(transit) = &shard.plane.transit else { return };
        let waiting = {
            let waiting = &mut self.through.borrow_mut().waiting;
            let at = waiting.iter().position(|w| w.question.asked.request == answer.request);
            at.and_then(|at| waiting.remove(at))
        };
        let Some(Waiting { question, head, owner, .. }) = waiting else { return };
        let rng = &mut *shard.rng.borrow_mut();
        let judged = transit.auth().judge(&question, answer, now, rng);
        let (answer, result) = match judged {
            Judged::Granted(granted) => {
                let user = question.asked.username.as_str().into();
                let asker = Asker { owner, on: self.hop(shard), user };
                match transit.grant(asker, now, granted.lifetime, rng) {
                    Ok(own) => {
                        drop(self.half_open.take());
                        self.through.borrow_mut().in_use = true;
                        transit.note_brake(self.hop(shard), self.brake(shard));
                        let use_path = auth::use_path(head.from_path(), own);
                        (granted.answer(&use_path), "granted")
                    }
                    Err(_too_many) => (Answer::plain(Status::FORBIDDEN), "too_many"),
                }
            }
            Judged::Refused(answer) => {
                let result = match answer.status {
                    Status::OUT_OF_BOUNDS => "interval",
                    Status::UNAUTHORIZED if answer.failed => "wrong",
                    Status::UNAUTHORIZED => "stale",
                    _ => "forbidden",
                };
                (answer, result)
            }
        };
        self.answer_auth(shard, &head, &answer, result);
    }

    pub(super) fn answer_auth(
        self: &Rc<Self>,
        shard: &Shard,
        head: &Head,
        answer: &Answer,
        result: &'static str,
    ) {
        shard.plane.metrics.auth_requests.with_label_values(&[result]).inc();
        tracing::debug!(self.number, result, "AUTH");
        self.reply(answer.encode(head), shard);
        // RFC 4976, 6.3: what other relays let through is no reason to leave them.
        let of_relay = head.from_path().len() > 1 && self.proved(shard, head).is_some();
        if answer.failed && !of_relay {
            self.count_failure(shard);
        }
    }

    pub(super) fn count_failure(&self, shard: &Shard) {
        let Some(transit) = &shard.plane.transit else { return };
        let failures = {
            let failures = &mut self.through.borrow_mut().failures;
            *failures = failures.saturating_add(1);
            *failures
        };
        if failures >= transit.rules.failures_max {
            self.end(Cause::Misbehaved);
        }
    }
}

/// Why the focus is not asked.
enum Unasked {
    /// The AUTH is for somebody else.
    Elsewhere,
    /// It came without TLS.
    InTheClear,
    /// The peer's certificate is not of the name that it gives.
    Impostor,
    Draining,
    /// The focus is away, or has too much to answer.
    NoFocus,
    Answer(Answer),
}
