//! Gives each request to whoever serves it, and keeps the dialogs going: ACK, BYE, lost connections.
use ids::{Aor, ConferenceId, SeatId};
use service::clock;
use sip::dialog::DialogId;
use sip::endpoint::{Event, FlowId, TransactionKey};
use sip::header::{Name, ReasonValue};
use sip::{Method, Request, Response, Status};

use super::agreement::{Agreement, told};
use super::answers::Open;
use super::authenticate::Stranger;
use super::dialogs::Call;
use super::end::House;
use super::offer::{Answered, Unacceptable, answer_of, body_of};
use super::screen::screen;
use super::target::Target;
use super::{Done, Front, WhatFor};
use crate::desk::Gone;

/// An answer now, or `None`: it follows.
pub(super) type Reply = Result<Option<Response>, Response>;

impl Front {
    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::Request { key, flow, request } => self.dispatch(key, flow, request),
            Event::Ack { key, request, .. } => {
                self.repeats.over(key);
                if !self.pair_acknowledged(key, &request) {
                    self.acknowledged(key, &request);
                }
            }
            Event::Cancelled { key } => {
                self.ring_given_up(key);
                self.answer(key, Status::REQUEST_TERMINATED);
            }
            Event::Abandoned { key, .. } => {
                self.repeats.over(key);
                self.abandoned(key);
            }
            Event::Response { key, response } => {
                if !self.refresh_answered(key, &response)
                    && !self.watcher_answered(key, &response)
                    && !self.message_answered(key, &response)
                    && !self.letter_answered(key, &response)
                    && !self.late_call_answered(key, &response)
                    && !self.branch_answered(key, &response)
                    && !self.passed_back(key, &response)
                {
                    self.dialled(key, &response);
                }
            }
            Event::Failed { key, why } => {
                if !self.refresh_lost(key, why)
                    && !self.watcher_lost(key)
                    && !self.message_lost(key, why)
                    && !self.letter_lost(key)
                    && !self.late_call_lost(key)
                    && !self.branch_lost(key, why)
                    && !self.passing_lost(key, why)
                {
                    self.not_dialled(key, why);
                }
            }
        }
    }

    fn dispatch(&mut self, key: TransactionKey, flow: FlowId, mut request: Request) {
        if !self.is_core(flow) {
            // RFC 3325, 5: who is outside of our trust domain may not assert who somebody is.
            request.headers.remove(&Name::PAssertedIdentity);
        }
        // RFC 3325, 9.2: a wish of who is proven anyway, and nobody else's business.
        request.headers.remove(&Name::PPreferredIdentity);
        let open = self.opened(key, flow, request);
        if let Ok(Some(response)) | Err(response) = self.serve(key, &open) {
            self.note_attempt(flow, &open.request, &response);
            self.respond(key, told(&open.request, response));
        }
    }

    fn serve(&mut self, key: TransactionKey, open: &Open) -> Reply {
        let Open { request, flow, .. } = open;
        self.agreed(*flow, request)?;
        let author = self.author(*flow, request)?;
        screen(request)?;
        if self.is_busy(*flow) {
            return Err(super::answers::overloaded(request));
        }
        if matches!(request.method, Method::Invite | Method::Update) {
            super::session_timer::terms(&self.config).check(request).map_err(|answer| *answer)?;
        }
        if let Some(pair) = self.pairs.of_request(request) {
            return self.in_pair(key, *flow, request, &author, pair);
        }
        if let Some(answered) = self.in_kept_call(*flow, request, &author) {
            return answered.map(Some);
        }
        let request = &self.for_person(request)?;
        match request.method {
            Method::Register => self.register(*flow, request, &author).map(Some),
            Method::Options => self.options(key, request, author),
            Method::Invite => self.invite(key, *flow, request, author),
            Method::Subscribe => self.subscribe(key, *flow, request, author),
            Method::Refer => self.refer(key, *flow, request, &author),
            Method::Message => self.message(key, *flow, request, &author),
            Method::Bye => self.bye(*flow, request, &author).map(Some),
            Method::Update => self.update(key, *flow, request, author),
            // `screen` lets nothing else through; the endpoint keeps ACK and CANCEL.
            _ => Err(Response::to(request, Status::METHOD_NOT_ALLOWED)),
        }
    }

    /// What protects the first hop, where the device is at the other end itself.
    fn agreed(&self, flow: FlowId, request: &Request) -> Result<(), Response> {
        let direct = request.headers.vias().is_ok_and(|vias| vias.len() == 1);
        let Some(known) = self.flows.get(&flow).filter(|known| direct && !known.core) else {
            return Ok(());
        };
        let required = self.config.registration.security_agreement;
        Agreement { tls: !known.plain, required }.check(request)
    }

    /// Who sent it, or the answer to a stranger.
    fn author(&mut self, flow: FlowId, request: &Request) -> Result<Aor, Response> {
        if let Some(author) = self.vouched_by_core(flow, request) {
            self.metrics.login("sip", "asserted");
            return Ok(author);
        }
        if let Some(author) = self.vouched_by_certificate(flow, request) {
            self.metrics.login("sip", "certificate");
            return Ok(author);
        }
        let now = clock::now();
        let found = self.gatekeeper.author(now, flow, request, &self.users, &self.registrar);
        let stranger = match found {
            Ok(author) => {
                self.metrics.login("sip", "accepted");
                return Ok(author);
            }
            Err(stranger) => stranger,
        };
        self.metrics.login("sip", stranger.label());
        if stranger == Stranger::Wrong && self.failed(flow) {
            tracing::debug!(flow = flow.0, "too many wrong passwords");
            self.doomed.push(flow);
        }
        Err(self.gatekeeper.refusal(now, request, stranger))
    }

    /// Counts a wrong password; whether it was one too many for this connection.
    fn failed(&mut self, flow: FlowId) -> bool {
        let max = self.limits().failures_per_connection_max;
        self.flows.get_mut(&flow).is_some_and(|known| {
            known.failures = known.failures.saturating_add(1);
            known.failures >= max
        })
    }

    pub(super) fn target(&self, request: &Request) -> Target {
        Target::of(&request.uri, &self.domain, &self.config.conferences.factory)
    }

    /// The dialog this request belongs to, if it is the author's and in order. It moves to the connection the request
    /// came on.
    pub(super) fn in_dialog(
        &mut self,
        flow: FlowId,
        request: &Request,
        author: &Aor,
    ) -> Result<DialogId, Response> {
        let nothing = || Response::to(request, Status::NO_SUCH_DIALOG);
        let id = DialogId::of_request(request).ok_or_else(nothing)?;
        let call = self.dialogs.find(&id).filter(|call| call.person == *author);
        let moved = call.ok_or_else(nothing)?.flow != flow;
        let dialog = self.dialogs.dialog(&id).ok_or_else(nothing)?;
        dialog.receive(request).map_err(|refusal| refusal.response(request, &mut self.rng))?;
        if moved {
            self.dialogs.change(&id, |call| call.flow = flow);
        }
        Ok(id)
    }

    fn bye(&mut self, flow: FlowId, request: &Request, author: &Aor) -> Result<Response, Response> {
        let id = self.in_dialog(flow, request, author)?;
        let reasons = request.headers.reasons().unwrap_or_default();
        let leaves = |reason: &ReasonValue| {
            reason.protocol.eq_ignore_ascii_case("conclave") && reason.cause() == Some(1)
        };
        let why = if reasons.iter().any(leaves) { Gone::Left } else { Gone::Away };
        self.end(&id, why);
        Ok(Response::to(request, Status::OK))
    }

    /// Forgets a dialog and gives its seat back.
    pub(super) fn end(&mut self, id: &DialogId, why: Gone) {
        if let Some(call) = self.forget_dialog(id) {
            self.release(&call.conference, call.seat, why);
        }
    }

    /// Forgets a dialog: what is unanswered in it is answered 487 (RFC 3261, 15.1.2), and notifications that still
    /// have to come take its tags and counters with them.
    pub(super) fn forget_dialog(&mut self, id: &DialogId) -> Option<Call> {
        let call = self.dialogs.remove(id)?;
        self.timers.forget(id);
        self.referrals.inherit(id, &call);
        for key in self.renewing(id) {
            self.answer(key, Status::REQUEST_TERMINATED);
        }
        Some(call)
    }

    /// Tells the desk that a seat is not used any more.
    pub(super) fn release(&mut self, conference: &ConferenceId, seat: SeatId, why: Gone) {
        let (desks, conference) = (self.desks.clone(), conference.clone());
        self.calls.must(self.config.limits.call(), WhatFor::Nobody, async move {
            desks.gone(&conference, seat, why).await;
            Done::Nothing
        });
    }

    /// The connection is gone: everybody who spoke on it is away.
    pub(super) fn lost_dialogs(&mut self, flow: FlowId) {
        for id in self.dialogs.on(flow) {
            self.end(&id, Gone::Away);
        }
        self.lost_pairs(flow);
        self.lost_kept_calls(flow);
        self.referrals.lost(flow);
        self.lost_watchers(flow);
    }

    /// The ACK to a 2xx of ours. Behind an INVITE without an offer it holds the answer to ours (RFC 3261, 13.2.2.4).
    fn acknowledged(&mut self, key: TransactionKey, ack: &Request) {
        let Some(id) = self.dialogs.awaiting(key) else { return };
        self.dialogs.change(&id, |call| call.unacknowledged = None);
        let Some(call) = self.dialogs.find(&id).filter(|call| call.peer_path.is_none()) else {
            return;
        };
        let answer = match body_of(ack) {
            Ok(Some(body)) => answer_of(body, call.level, &House::of(&self.config)),
            Ok(None) => Err(Unacceptable::Sdp(sip::sdp::BadSdp::NoMessage)),
            Err(why) => Err(why),
        };
        match answer {
            Ok(answered) => self.answered(&id, answered),
            Err(why) => {
                let reason = ReasonValue::new("SIP", 488, &why.to_string());
                self.say_bye(&id, &reason, Gone::Refused);
            }
        }
    }

    /// The peer's end of a session of ours became known.
    pub(super) fn answered(&mut self, id: &DialogId, Answered { path, end }: Answered) {
        let Some(call) = self.dialogs.find(id) else { return };
        let (desks, conference, seat) = (self.desks.clone(), call.conference.clone(), call.seat);
        self.dialogs.change(id, |call| {
            call.peer_path = Some(path.clone());
            call.end = end.clone();
        });
        self.calls.must(self.config.limits.call(), WhatFor::Nobody, async move {
            desks.answered(&conference, seat, path, end).await;
            Done::Nothing
        });
    }

    /// Ends a dialog by a BYE of ours, and gives its seat back.
    pub(super) fn say_bye(&mut self, id: &DialogId, reason: &ReasonValue, why: Gone) {
        if let Some(call) = self.forget_dialog(id) {
            self.release(&call.conference, call.seat, why);
            self.send_bye(call, reason);
        }
    }

    /// Sends a BYE in a dialog that is forgotten already; its answer changes nothing.
    pub(super) fn send_bye(&mut self, mut call: Call, reason: &ReasonValue) {
        // Only an INVITE can meet a glare.
        if let Ok(bye) = call.dialog.request(Method::Bye) {
            let bye = bye.with(Name::Reason, reason);
            self.endpoint.request(clock::now(), call.flow, bye);
        }
    }

    /// The desk has ended a seat.
    pub(super) fn hang_up(&mut self, conference: &ConferenceId, seat: SeatId, why: &str) {
        let reason = ReasonValue::new("SIP", 200, why);
        if self.hang_up_pair(conference, &reason) {
            return;
        }
        if let Some(id) = self.dialogs.seated(conference, seat) {
            if let Some(call) = self.forget_dialog(&id) {
                self.send_bye(call, &reason);
            }
        } else if !self.stop_calling(conference, seat) && !self.joining.is_empty() {
            // Its INVITE is perhaps being answered right now.
            self.ended_early.insert((conference.clone(), seat));
        }
    }

    /// A request of a device lost its transaction before its end.
    fn abandoned(&mut self, key: TransactionKey) {
        self.forget(key);
        self.messages.forget(key);
        self.pair_abandoned(key);
        if let Some(id) = self.dialogs.awaiting(key) {
            // RFC 3261, 13.3.1.4: a 2xx that nobody acknowledges is followed by BYE.
            self.say_bye(&id, &ReasonValue::new("SIP", 408, "no ACK"), Gone::Away);
        }
    }
}

/// The Date of now (RFC 3261, 20.17).
pub(super) fn date() -> Option<String> {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    time::OffsetDateTime::from(clock::wall()).format(format).ok()
}
