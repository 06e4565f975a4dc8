//! INVITE to a person: every registered device rings, and the first that answers has the session; the others are told to
//! stop. We are a back-to-back agent in both ways a session may go: end to end the description passes untouched, through
//! a relay its ends are replaced ([`super::pair_media`]). A call that nobody has answered is here, what follows the answer
//! in [`super::pair_dialog`].
use std::time::{Duration, Instant};

use ids::{Aor, ConferenceId, DeviceId};
use rand::RngCore as _;
use service::clock;
use sip::dialog::{Dialog, random_tag};
use sip::endpoint::{Failure, FlowId, TransactionKey};
use sip::header::{Name, NameAddr, ReasonValue};
use sip::{Method, Request, Response, SipUri, Status};

use super::answers::overloaded;
use super::dispatch::Reply;
use super::end::House;
use super::fork::{Fork, Said};
use super::message::Way;
use super::pair_media::{Media, reach_of, seat};
use super::pairs::{Branch, BranchState, Leg, Pair, Ring, Side, Unacknowledged};
use super::privacy::Privacy;
use super::screen::ALLOW;
use super::{Done, Front, WhatFor, refusal};
use crate::desk::Refusal;
use crate::legs::{Places, RoomTerms};

/// A place at a relay for a session, or why there is none.
pub(super) struct Opened {
    key: TransactionKey,
    flow: FlowId,
    caller: (Aor, DeviceId),
    callee: (Aor, DeviceId),
    room: ConferenceId,
    opened: Result<(String, Places), Refusal>,
}

/// Of our hop, or an extension that we do not take part in: not passed on with an INVITE.
const OF_OUR_HOP: [Name; 8] = [
    Name::Supported,
    Name::Allow,
    Name::AllowEvents,
    Name::SessionExpires,
    Name::MinSe,
    Name::Replaces,
    Name::Join,
    Name::TargetDialog,
];

/// A call that nobody answered is remembered this long for late 2xx (timer M of RFC 6026).
const LATE: Duration = Duration::from_secs(64);

impl Front {
    /// The person an INVITE is for, if it is a person of ours.
    pub(super) fn callee(&self, request: &Request) -> Option<Aor> {
        let uri = request.uri.sip().filter(|uri| uri.host().eq_ignore_ascii_case(&self.domain))?;
        uri.aor().ok().filter(|aor| self.users.knows(aor))
    }

    pub(super) fn call(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        caller: Aor,
        callee: Aor,
    ) -> Reply {
        let refuse = |status| Response::to(request, status);
        // What the callee wants is nobody's business: the same answer as where nobody may.
        if !self.config.sessions.enabled || !self.may_be_called(&callee, &caller) {
            return Err(refuse(Status::FORBIDDEN));
        }
        let contact = request.headers.contact().map_err(|_| refuse(Status::BAD_REQUEST))?;
        let privacy = self.privacy_of(request, &caller)?;
        let limits = &self.config.limits;
        if self.dialogs.len() + self.pairs.dialogs() + 2 > limits.dialogs_max
            || self.pairs.len_on(flow) + self.dialogs.len_on(flow)
                >= limits.dialogs_per_connection_max
        {
            return Err(overloaded(request));
        }
        let waits = self.waits_for(key, flow, request, &callee);
        if let Some(waits) = waits {
            return self.call_mailbox(key, flow, request, (caller, callee), (waits, None));
        }
        let Some(terms) = self.through_relay(&caller, &callee, privacy) else {
            self.respond(key, refuse(Status::TRYING));
            self.ring(key, flow, (caller, callee), None);
            return Ok(None);
        };
        let device = contact.instance().or_else(|| self.registrar.device_on(flow, &caller));
        let device = device.unwrap_or_else(|| DeviceId::random(&mut self.rng));
        let callee = (callee, DeviceId::random(&mut self.rng));
        self.open(key, flow, request, ((caller, device), callee), terms)
    }

    /// Whether this session goes through a relay of ours, and on which terms.
    fn through_relay(&self, caller: &Aor, callee: &Aor, privacy: Privacy) -> Option<RoomTerms> {
        let sessions = &self.config.sessions;
        let one_of = |list: &[String]| {
            let is = |aor: &Aor, entry: &String| {
                aor.as_str().eq_ignore_ascii_case(entry) || aor.host().eq_ignore_ascii_case(entry)
            };
            list.iter().any(|entry| is(caller, entry) || is(callee, entry))
        };
        let charge = sessions.charge || one_of(&sessions.charge_for);
        // RFC 3323, 5.2: a relay of ours is where the media of whoever hides it seems to come from.
        let relayed = charge
            || privacy.hides_media()
            || sessions.through_relay
            || one_of(&sessions.through_relay_for);
        let message_octets_max = self.config.limits.message_bytes_max;
        relayed.then_some(RoomTerms { message_octets_max, charge })
    }

    fn open(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        (caller, callee): ((Aor, DeviceId), (Aor, DeviceId)),
        terms: RoomTerms,
    ) -> Reply {
        // RFC 5547, 8.8: who hears this offers again without the picture. A relay's ends are put into a description alone.
        let several = request.headers.content_type().ok().flatten();
        if several.is_some_and(|kind| kind.essence.starts_with("multipart/")) {
            return Err(Response::to(request, Status::UNSUPPORTED_MEDIA_TYPE)
                .with(Name::Accept, "application/sdp"));
        }
        let unacceptable = |bad: sip::sdp::BadSdp| {
            super::offer::Unacceptable::from(bad).response(request, &self.domain)
        };
        // Without an offer the other side makes one, of which nothing is known yet but that it is over TLS.
        let reach = match request.body.is_empty() {
            true => control::Reach::default(),
            false => reach_of(&House::of(&self.config), &request.body).map_err(unacceptable)?,
        };
        let theirs = control::Reach { transport: reach.transport, ..control::Reach::default() };
        let seats = [
            seat(Side::Caller, &caller.0, &caller.1, reach),
            seat(Side::Callee, &callee.0, &callee.1, theirs),
        ];
        let name = format!("p{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        let Ok(room) = name.parse::<ConferenceId>() else {
            return Err(Response::to(request, Status::SERVER_INTERNAL_ERROR));
        };
        let (legs, wait) = (self.legs.clone(), self.config.limits.call());
        let work = async move {
            let opened = tokio::time::timeout(wait, legs.open(&room, terms, seats)).await;
            let opened = opened.unwrap_or(Err(Refusal::RelaySilent));
            if opened.is_err() {
                legs.close(&room, "no session").await;
            }
            Done::Opened(Box::new(Opened { key, flow, caller, callee, room, opened }))
        };
        if self.calls.begin(wait * 2, WhatFor::Request(key), work).is_err() {
            return Err(overloaded(request));
        }
        self.respond(key, Response::to(request, Status::TRYING));
        Ok(None)
    }

    /// The relay has a place for a session, or none.
    pub(super) fn opened_pair(&mut self, opened: Opened) {
        let Opened { key, flow, caller, callee, room, opened } = opened;
        let request = self.request(key);
        let (relay, places) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                if let Some(request) = request {
                    self.respond(key, refusal::response(&request, &why, &self.domain));
                }
                return;
            }
        };
        let house = House::of(&self.config);
        let people = (caller.0.clone(), callee.0.clone());
        let media = Media::new(room, relay, house, places, [caller, callee]);
        // An INVITE that was cancelled meanwhile, or whose client is gone, is not open any more.
        match request {
            Some(_) => self.ring(key, flow, people, Some(media)),
            None => self.close_media(Some(&media), "given up"),
        }
    }

    pub(super) fn ways_of(&self, flow: FlowId, request: &Request, callee: &Aor) -> Vec<Way> {
        // RFC 5630, 3.1.3: what was asked for over TLS goes over TLS, or nowhere.
        let secure = request.uri.sip().is_some_and(SipUri::is_secure);
        let plain = |way: &Way| self.flows.get(&way.flow).is_none_or(|flow| flow.plain);
        let mut ways = self.ways(flow, request, callee, clock::now());
        ways.retain(|way| (way.flow != flow || self.is_core(flow)) && !(secure && plain(way)));
        ways
    }

    /// Calls every device of the callee.
    fn ring(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        (caller, callee): (Aor, Aor),
        mut media: Option<Media>,
    ) {
        let Some(request) = self.request(key) else {
            return self.close_media(media.as_ref(), "given up");
        };
        let privacy = self.privacy_of(&request, &caller).unwrap_or_default();
        let mut outgoing = Request::clone(&request);
        OF_OUR_HOP.iter().for_each(|name| outgoing.headers.remove(name));
        if let Some(media) = &mut media
            && !request.body.is_empty()
        {
            match media.pass(Side::Caller, &request.body) {
                Ok(passed) => {
                    outgoing.body = passed.description;
                    self.order_pair(media, passed.order);
                }
                Err(bad) => {
                    self.close_media(Some(media), "no session");
                    let why = super::offer::Unacceptable::from(bad);
                    return self.respond(key, why.response(&request, &self.domain));
                }
            }
        }
        let ways = self.ways_of(flow, &request, &callee);
        let now = clock::now();
        let mut ring = Ring {
            flow,
            caller: caller.clone(),
            callee: callee.clone(),
            tag: random_tag(&mut self.rng),
            fork: Fork::default(),
            branches: Vec::new(),
            media,
            until: now + self.config.limits.ring(),
        };
        for way in ways {
            let Some(copy) = self.copy(&outgoing, &caller, privacy, &way) else { continue };
            let contact = self.pair_contact(&way.target);
            let copy = copy.with(Name::Contact, contact).with(Name::Allow, ALLOW);
            let copy = self.with_timer(copy.with(Name::Supported, "timer"));
            ring.fork.add(1);
            let sent = self.endpoint.request(now, way.flow, copy.clone());
            ring.branches.push(sent);
            let branch = Branch {
                asked: key,
                request: copy,
                person: callee.clone(),
                flow: way.flow,
                others: way.others,
                rings: false,
                state: BranchState::Ringing,
                since: now,
            };
            self.pairs.branches.insert(sent, branch);
        }
        let nobody = ring.branches.is_empty();
        self.pairs.rings.insert(key, ring);
        if nobody {
            self.ring_ended(key, Status::TEMPORARILY_UNAVAILABLE.into());
        }
    }

    /// Our Contact in a session's dialogs. It names nobody: the dialog does.
    pub(super) fn pair_contact(&self, like: &sip::Uri) -> String {
        let secure = like.sip().is_some_and(SipUri::is_secure);
        let scheme = if secure { "sips" } else { "sip" };
        let transport = if secure { "" } else { ";transport=tls" };
        format!("<{scheme}:{}:{}{transport}>", self.domain, self.port)
    }

    /// A device has answered a call, or one of us did not. Whether it was one.
    pub(super) fn branch_answered(&mut self, key: TransactionKey, response: &Response) -> bool {
        let Some(branch) = self.pairs.branches.get_mut(&key) else { return false };
        let (asked, rings) = (branch.asked, branch.state == BranchState::Ringing);
        let status = response.status;
        if status.is_provisional() {
            branch.rings |= status != Status::TRYING;
            if rings && status != Status::TRYING {
                self.progress(asked, status);
            }
            return true;
        }
        if status.is_success() {
            self.picked_up_by(key, response);
            return true;
        }
        if rings && self.rings_longer(key, response) {
            return true;
        }
        let branch = self.pairs.branches.remove(&key).filter(|_| rings);
        if let Some(branch) = branch {
            if status.code() >= 600 {
                // RFC 3261, 16.7, 5: nobody else need ring.
                self.stop_branches(asked);
            }
            self.ring_on(branch, Said::by(response));
        }
        true
    }

    /// A device did not answer. Whether it was one of a call.
    pub(super) fn branch_lost(&mut self, key: TransactionKey, why: Failure) -> bool {
        let Some(branch) = self.pairs.branches.remove(&key) else { return false };
        tracing::debug!(%why, "a device does not answer a call");
        if branch.state == BranchState::Ringing {
            self.ring_on(
                branch,
                match why {
                    Failure::FlowClosed => Status::FLOW_FAILED.into(),
                    _ => Status::REQUEST_TIMEOUT.into(),
                },
            );
        }
        true
    }

    fn progress(&mut self, asked: TransactionKey, status: Status) {
        let Some(tag) = self.pairs.rings.get(&asked).map(|ring| ring.tag.clone()) else { return };
        if let Some(request) = self.request(asked) {
            let contact = self.pair_contact(&request.uri);
            let response = Response::to(&request, status).with_to_tag(&tag);
            self.respond(asked, response.with(Name::Contact, contact));
        }
    }

    pub(super) fn branch_ended(&mut self, asked: TransactionKey, said: impl Into<Said>) {
        let said = said.into();
        // What concerns only our hop is not the caller's business (RFC 3261, 16.7).
        let said = match said.status.code() {
            401 | 407 | 408 | 430 | 481 | 487 | 503 | 300..=399 => {
                Status::TEMPORARILY_UNAVAILABLE.into()
            }
            _ => said,
        };
        let Some(ring) = self.pairs.rings.get_mut(&asked) else { return };
        if let Some(said) = ring.fork.ended(said) {
            self.ring_ended(asked, said);
        }
    }

    /// Nobody has answered, and nobody will.
    fn ring_ended(&mut self, asked: TransactionKey, said: Said) {
        self.stop_branches(asked);
        if let Some(ring) = self.pairs.rings.remove(&asked) {
            self.close_media(ring.media.as_ref(), "nobody answered");
            self.unanswered(asked, (ring.flow, ring.caller, ring.callee), said);
        }
    }

    /// The caller has given up, or is gone.
    pub(super) fn ring_given_up(&mut self, asked: TransactionKey) {
        self.stop_branches(asked);
        if let Some(ring) = self.pairs.rings.remove(&asked) {
            self.close_media(ring.media.as_ref(), "given up");
        }
    }

    /// Calls that rang long enough are cancelled, answered ones forgotten once nothing can follow.
    pub(super) fn pairs_late(&mut self, now: Instant) {
        let late = self.pairs.rings.iter().filter(|(_, ring)| now >= ring.until);
        let late: Vec<TransactionKey> = late.map(|(key, _)| *key).collect();
        for asked in late {
            self.ring_ended(asked, Status::TEMPORARILY_UNAVAILABLE.into());
        }
        let kept = self.config.limits.ring() + LATE;
        self.pairs.branches.retain(|_, branch| now < branch.since + kept);
    }

    fn stop_branches(&mut self, asked: TransactionKey) {
        let Some(ring) = self.pairs.rings.get_mut(&asked) else { return };
        for key in std::mem::take(&mut ring.branches) {
            if let Some(branch) = self.pairs.branches.get_mut(&key)
                && branch.state == BranchState::Ringing
            {
                branch.state = BranchState::GivenUp;
                self.endpoint.cancel(clock::now(), key);
            }
        }
    }

    /// The first device that answers has the session.
    fn picked_up_by(&mut self, key: TransactionKey, response: &Response) {
        let Some(branch) = self.pairs.branches.get_mut(&key) else { return };
        let (asked, flow, person) = (branch.asked, branch.flow, branch.person.clone());
        let Ok(dialog) = Dialog::uac(&branch.request, response) else {
            // Nothing can be acknowledged without a dialog; the device will notice.
            self.pairs.branches.remove(&key);
            return self.branch_ended(asked, Status::SERVER_INTERNAL_ERROR);
        };
        let (id, told) = (dialog.id().clone(), branch.request.body.clone());
        let rings = match &branch.state {
            BranchState::Answered(known) if *known == id => return self.acknowledge_again(&id),
            BranchState::Answered(_) | BranchState::GivenUp => false,
            BranchState::Ringing => true,
        };
        branch.state = BranchState::Answered(id);
        let leg = Leg { dialog, person, flow };
        match (rings, self.request(asked)) {
            (true, Some(request)) => {
                // The others stop before anything can fail: one answer is all there is.
                self.time_called(leg.dialog.id(), response);
                self.timers.told(leg.dialog.id(), &told);
                let own = branch_out(&mut self.pairs.rings, asked, key);
                self.stop_branches(asked);
                if own && let Some(ring) = self.pairs.rings.remove(&asked) {
                    return self.joined_pair(asked, &request, ring, leg, response);
                }
                self.too_late(leg);
            }
            _ => self.too_late(leg),
        }
    }

    fn joined_pair(
        &mut self,
        asked: TransactionKey,
        request: &Request,
        ring: Ring,
        callee: Leg,
        response: &Response,
    ) {
        let Ring { flow, caller, tag, mut media, .. } = ring;
        let mut body = response.body.clone();
        if let Some(media) = &mut media
            && !body.is_empty()
        {
            match media.pass(Side::Callee, &body) {
                Ok(passed) => {
                    body = passed.description;
                    self.order_pair(media, passed.order);
                }
                Err(bad) => {
                    tracing::debug!(%bad, "an answer that no relay can serve");
                    self.close_media(Some(media), "no session");
                    self.acknowledge_and_end(
                        callee,
                        &ReasonValue::new("SIP", 488, &bad.to_string()),
                    );
                    return self.answer(asked, Status::NOT_ACCEPTABLE_HERE);
                }
            }
        }
        let contact = self.pair_contact(&request.uri);
        let mut answer = Response::to(request, Status::OK)
            .with_to_tag(&tag)
            .with(Name::Contact, contact)
            .with(Name::Allow, ALLOW);
        if let Some(asserted) = Privacy::of_answer(response).asserted(&callee.person) {
            answer = answer.with(Name::PAssertedIdentity, NameAddr::new(SipUri::from(asserted)));
        }
        answer.headers.copy(&Name::ContentType, &response.headers);
        answer.body = body;
        match Dialog::uas(request, &answer) {
            Ok(dialog) => {
                let id = dialog.id().clone();
                let answer = self.timed(request, answer, &id);
                self.timers.told(&id, &answer.body);
                let caller = Leg { dialog, person: caller, flow };
                let pair = self.pairs.insert(Pair { caller, callee, media });
                let waits = Unacknowledged { pair, from: Side::Caller, number: 1 };
                self.pairs.unacknowledged.insert(asked, waits);
                self.gauges();
                self.respond(asked, answer);
            }
            Err(error) => {
                tracing::debug!(%error, "an INVITE that makes no dialog");
                self.close_media(media.as_ref(), "no session");
                self.acknowledge_and_end(callee, &ReasonValue::new("SIP", 400, "no dialog"));
                self.answer(asked, Status::BAD_REQUEST);
            }
        }
    }

    fn too_late(&mut self, leg: Leg) {
        self.acknowledge_and_end(
            leg,
            &ReasonValue::new("SIP", 487, "answered elsewhere or given up"),
        );
    }

    fn acknowledge_and_end(&mut self, mut leg: Leg, reason: &ReasonValue) {
        self.endpoint.acknowledge(leg.flow, leg.dialog.acknowledgement(1));
        // Only an INVITE can meet a glare.
        if let Ok(bye) = leg.dialog.request(Method::Bye) {
            self.endpoint.request(clock::now(), leg.flow, bye.with(Name::Reason, reason));
        }
    }
}

/// Takes one branch out of its ring, so that it is not stopped with the others. Whether it was in it.
fn branch_out(
    rings: &mut std::collections::HashMap<TransactionKey, Ring>,
    asked: TransactionKey,
    key: TransactionKey,
) -> bool {
    let Some(ring) = rings.get_mut(&asked) else { return false };
    let before = ring.branches.len();
    ring.branches.retain(|branch| *branch != key);
    ring.branches.len() < before
}
