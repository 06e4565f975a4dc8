//! What the two sides of a session say to each other through us: ACK, re-INVITE, UPDATE with an offer, MESSAGE and OPTIONS
//! pass, BYE ends both dialogs, and so does a connection or a relay that is lost. How long each dialog lasts is between
//! its side and us ([`super::session_timer`]), so an UPDATE that only refreshes goes no further.
use control::RoomOrder;
use ids::{Aor, ConferenceId};
use service::clock;
use sip::dialog::DialogId;
use sip::endpoint::{Failure, FlowId, TransactionKey};
use sip::header::{Name, ReasonValue};
use sip::{Method, Request, Response, Status};

use super::dispatch::Reply;
use super::message_policy::Content;
use super::pair_media::Media;
use super::pairs::{PairId, Passing, Side, Unacknowledged};
use super::{Done, Front, WhatFor};

/// Header fields that belong to a body.
const OF_THE_BODY: [Name; 4] =
    [Name::ContentType, Name::ContentDisposition, Name::ContentEncoding, Name::ContentLanguage];

impl Front {
    /// A request in a dialog of a session. It is the author's, or there is no such dialog.
    pub(super) fn in_pair(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        author: &Aor,
        (id, side): (PairId, Side),
    ) -> Reply {
        let nothing = || Response::to(request, Status::NO_SUCH_DIALOG);
        let pair = self.pairs.find(id).ok_or_else(nothing)?;
        let leg = pair.leg(side);
        if leg.person != *author {
            return Err(nothing());
        }
        leg.dialog.receive(request).map_err(|refusal| refusal.response(request, &mut self.rng))?;
        let dialog = leg.dialog.id().clone();
        if leg.flow != flow {
            self.pairs.moved(id, side, flow);
        }
        match request.method {
            Method::Bye => {
                let reasons = request.headers.reasons().unwrap_or_default();
                self.end_pair(id, Some(side), reasons.first());
                Ok(Some(Response::to(request, Status::OK)))
            }
            Method::Update if request.body.is_empty() => {
                let response = Response::to(request, Status::OK)
                    .with(Name::Contact, self.pair_contact(&request.uri))
                    .with(Name::Allow, super::screen::ALLOW);
                Ok(Some(self.timed(request, response, &dialog)))
            }
            Method::Invite | Method::Update | Method::Message | Method::Options => {
                self.pass_on(key, request, author, (id, side)).map(|()| None)
            }
            _ => Err(Response::to(request, Status::METHOD_NOT_ALLOWED)
                .with(Name::Allow, super::screen::ALLOW)),
        }
    }

    fn pass_on(
        &mut self,
        key: TransactionKey,
        request: &Request,
        author: &Aor,
        (id, side): (PairId, Side),
    ) -> Result<(), Response> {
        if request.method == Method::Message {
            self.admit(request, author, &Content::of(request)?)?;
        }
        let nothing = || Response::to(request, Status::NO_SUCH_DIALOG);
        let pair = self.pairs.find(id).ok_or_else(nothing)?;
        let other = pair.leg(side.other());
        let (flow, told) = (other.flow, other.dialog.id().clone());
        // RFC 3311, 5.1: who does not take UPDATE is asked by INVITE.
        let passed = match &request.method {
            Method::Update if self.timers.updates(&told) => other.dialog.update(),
            Method::Update => other.dialog.request(Method::Invite),
            method => other.dialog.request(method.clone()),
        };
        // RFC 3261, 14.2: an INVITE of the other side is under way.
        let mut passed = passed.map_err(|_| Response::to(request, Status::REQUEST_PENDING))?;
        OF_THE_BODY.iter().for_each(|name| passed.headers.copy(name, &request.headers));
        passed.body = request.body.clone();
        if matches!(request.method, Method::Invite | Method::Update) {
            match self.describe(id, side, &request.body) {
                Ok(body) => passed.body = body,
                Err(bad) => {
                    // Nothing was sent, so the other side knows of no INVITE.
                    let refused = Response::to(request, bad.status());
                    if let Some(pair) = self.pairs.find(id) {
                        let unsent = Response::to(&passed, bad.status());
                        pair.leg(side.other()).dialog.answered(&unsent);
                    }
                    return Err(refused);
                }
            }
            self.timers.telling(&told, &passed.body);
            passed = self.with_timer_of(&told, passed);
        }
        if request.method == Method::Invite {
            self.respond(key, Response::to(request, Status::TRYING));
        }
        let sent = self.endpoint.request(clock::now(), flow, passed);
        self.pairs.passing.insert(sent, Passing { pair: id, from: side, asked: key });
        Ok(())
    }

    /// A description on its way to the other side: as it is, or with the relay's ends.
    fn describe(
        &mut self,
        id: PairId,
        from: Side,
        body: &bytes::Bytes,
    ) -> Result<bytes::Bytes, sip::sdp::BadSdp> {
        let media = self.pairs.find(id).and_then(|pair| pair.media.as_mut());
        let Some(media) = media.filter(|_| !body.is_empty()) else { return Ok(body.clone()) };
        let passed = media.pass(from, body)?;
        let media = media.clone();
        self.order_pair(&media, passed.order);
        Ok(passed.description)
    }

    /// The answer to something we passed on. Whether it was that.
    pub(super) fn passed_back(&mut self, key: TransactionKey, response: &Response) -> bool {
        let Some(passing) = self.pairs.passing.get(&key).copied() else { return false };
        if response.status.is_provisional() {
            return true;
        }
        let Passing { pair: id, from, asked } = passing;
        self.pairs.passing.remove(&key);
        let method = response.headers.cseq().map(|cseq| (cseq.method, cseq.number));
        let (Ok((method, number)), Some(pair)) = (method, self.pairs.find(id)) else {
            self.answer(asked, Status::NO_SUCH_DIALOG);
            return true;
        };
        let other = pair.leg(from.other());
        other.dialog.answered(response);
        let over = other.dialog.state() == sip::dialog::DialogState::Terminated;
        let (told, asker) = (other.dialog.id().clone(), pair.leg(from).dialog.id().clone());
        let describes = matches!(method, Method::Invite | Method::Update);
        let accepted = response.status.is_success() && describes;
        if !response.status.is_success()
            && let Some(media) = &mut pair.media
        {
            media.withdrawn();
        }
        if describes {
            self.timers.answered(&told, response.status);
        }
        if accepted {
            self.time_called(&told, response);
        }
        let body = match accepted {
            true => self.describe(id, from.other(), &response.body),
            false => Ok(response.body.clone()),
        };
        let request = self.request(asked);
        let waits = request.as_ref().is_some_and(|request| request.method == Method::Invite);
        if accepted && method == Method::Invite && !waits {
            // Who asked by UPDATE says no ACK, and who is gone neither.
            self.acknowledge_pair(id, from.other(), number, None);
        }
        if let Some(request) = request {
            let mut answer = Response::to(&request, status_for_the_other(response.status));
            OF_THE_BODY.iter().for_each(|name| answer.headers.copy(name, &response.headers));
            answer.headers.copy(&Name::Warning, &response.headers);
            answer.headers.copy(&Name::Accept, &response.headers);
            if accepted {
                answer = answer.with(Name::Contact, self.pair_contact(&request.uri));
                answer = self.timed(&request, answer, &asker);
                if waits {
                    let waits = Unacknowledged { pair: id, from, number };
                    self.pairs.unacknowledged.insert(asked, waits);
                }
            }
            match body {
                Ok(body) => {
                    if accepted {
                        self.timers.told(&asker, &body);
                    }
                    answer.body = body;
                }
                Err(bad) => {
                    self.end_pair(id, None, Some(&ReasonValue::new("SIP", 488, &bad.to_string())));
                    answer = Response::to(&request, Status::NOT_ACCEPTABLE_HERE);
                }
            }
            self.respond(asked, answer);
        }
        if over {
            self.end_pair(id, Some(from.other()), Some(&ReasonValue::new("SIP", 481, "gone")));
        }
        true
    }

    /// What we passed on gets no answer. Whether it was that.
    pub(super) fn passing_lost(&mut self, key: TransactionKey, why: Failure) -> bool {
        let Some(Passing { pair, from, asked }) = self.pairs.passing.remove(&key) else {
            return false;
        };
        tracing::debug!(%why, "the other side does not answer");
        self.answer(asked, Status::REQUEST_TIMEOUT);
        self.end_pair(pair, Some(from.other()), Some(&ReasonValue::new("SIP", 408, "no answer")));
        true
    }

    /// The ACK of one side, which belongs to the other too. Whether it was one.
    pub(super) fn pair_acknowledged(&mut self, key: TransactionKey, ack: &Request) -> bool {
        let Some(waits) = self.pairs.unacknowledged.remove(&key) else { return false };
        let Unacknowledged { pair, from, number } = waits;
        match self.describe(pair, from, &ack.body) {
            Ok(body) => {
                let mut passed = ack.clone();
                passed.body = body;
                self.acknowledge_pair(pair, from.other(), number, Some(&passed));
            }
            Err(bad) => {
                self.acknowledge_pair(pair, from.other(), number, None);
                self.end_pair(pair, None, Some(&ReasonValue::new("SIP", 488, &bad.to_string())));
            }
        }
        true
    }

    fn acknowledge_pair(&mut self, id: PairId, to: Side, number: u32, like: Option<&Request>) {
        let Some(pair) = self.pairs.find(id) else { return };
        let leg = pair.leg(to);
        let (flow, dialog) = (leg.flow, leg.dialog.id().clone());
        let mut ack = leg.dialog.acknowledgement(number);
        if let Some(like) = like {
            OF_THE_BODY.iter().for_each(|name| ack.headers.copy(name, &like.headers));
            ack.body = like.body.clone();
        }
        self.pairs.acknowledged.insert(dialog, ack.clone());
        self.endpoint.acknowledge(flow, ack);
    }

    /// A 2xx that came again, because our ACK was not seen yet.
    pub(super) fn acknowledge_again(&mut self, id: &DialogId) {
        let Some(flow) = self.pairs.person(id).map(|(_, flow)| flow) else { return };
        if let Some(ack) = self.pairs.acknowledged.get(id).cloned() {
            self.endpoint.acknowledge(flow, ack);
        }
    }

    /// A request lost its transaction: who asked is gone, or acknowledges nothing.
    pub(super) fn pair_abandoned(&mut self, key: TransactionKey) {
        self.ring_given_up(key);
        if let Some(Unacknowledged { pair, from, number }) = self.pairs.unacknowledged.remove(&key)
        {
            self.acknowledge_pair(pair, from.other(), number, None);
            self.end_pair(pair, None, Some(&ReasonValue::new("SIP", 408, "no ACK")));
        }
    }

    /// Ends a session: both sides hear BYE, but the one who said it or is gone.
    pub(super) fn end_pair(&mut self, id: PairId, except: Option<Side>, why: Option<&ReasonValue>) {
        let Some(mut pair) = self.pairs.remove(id) else { return };
        self.gauges();
        for side in [Side::Caller, Side::Callee] {
            self.timers.forget(pair.leg(side).dialog.id());
            if except == Some(side) {
                continue;
            }
            let leg = pair.leg(side);
            // Only an INVITE can meet a glare.
            if let Ok(bye) = leg.dialog.request(Method::Bye) {
                let bye = match why {
                    Some(why) => bye.with(Name::Reason, why),
                    None => bye,
                };
                self.endpoint.request(clock::now(), leg.flow, bye);
            }
        }
        self.close_media(pair.media.as_ref(), "the session is over");
    }

    /// A connection is gone, and with it whoever spoke on it.
    pub(super) fn lost_pairs(&mut self, flow: FlowId) {
        for id in self.pairs.on(flow) {
            let Some(pair) = self.pairs.find(id) else { continue };
            let gone = if pair.caller.flow == flow { Side::Caller } else { Side::Callee };
            let why = ReasonValue::new("SIP", 503, "the other side's connection is gone");
            self.end_pair(id, Some(gone), Some(&why));
        }
    }

    /// The relay's room of a session has ended. Whether there is one.
    pub(super) fn hang_up_pair(&mut self, room: &ConferenceId, why: &ReasonValue) -> bool {
        let pair = self.pairs.in_room(room);
        if let Some(pair) = pair {
            self.end_pair(pair, None, Some(why));
        }
        pair.is_some()
    }

    pub(super) fn order_pair(&mut self, media: &Media, order: RoomOrder) {
        let (legs, relay, room) = (self.legs.clone(), media.relay.clone(), media.room.clone());
        self.calls.must(self.config.limits.call(), WhatFor::Nobody, async move {
            legs.order(&relay, &room, order).await;
            Done::Nothing
        });
    }

    pub(super) fn close_media(&mut self, media: Option<&Media>, reason: &'static str) {
        let Some(media) = media else { return };
        let (legs, room) = (self.legs.clone(), media.room.clone());
        self.calls.must(self.config.limits.call(), WhatFor::Nobody, async move {
            legs.close(&room, reason).await;
            Done::Nothing
        });
    }
}

/// What one side hears when the other one has refused: not what concerned only our hop.
const fn status_for_the_other(status: Status) -> Status {
    match status {
        Status::SESSION_INTERVAL_TOO_SMALL => Status::NOT_ACCEPTABLE_HERE,
        status => status,
    }
}
