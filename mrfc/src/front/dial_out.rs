//! Dial-out (RFC 4353, 5.4): the focus calls every registered device of an invited person, over the
//! connection the device registered on, with an offer for a seat that is waiting.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ids::{Aor, ConferenceId, DeviceId, SeatId};
use service::clock;
use sip::dialog::{Dialog, DialogId, random_call_id, random_tag};
use sip::endpoint::{Failure, FlowId, TransactionKey};
use sip::header::{CSeq, Name, NameAddr, ReasonValue};
use sip::multipart::Part;
use sip::{Method, Request, Response, SipUri, Status, Uri};

use super::dialogs::Call;
use super::end::House;
use super::fork::Fork;
use super::hiding::{shown_as, shown_to_it};
use super::offer::{Place, answer_of};
use super::privacy::anonymous;
use super::screen::{ALLOW, SUPPORTED};
use super::{Done, Front, WhatFor};
use crate::config::Level;
use crate::desk::{Came, End, Gone, Joiner, Refusal, SeatGiven, Shown};
use crate::registrar::Binding;

/// An INVITE of ours.
#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) request: Request,
    pub(super) called: Called,
    seat: SeatId,
    /// What others see in place of who is called, and of the device.
    shown_as: (Option<String>, Option<DeviceId>),
    description: Bytes,
    state: State,
    /// It has said that it rings.
    alerting: bool,
    since: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// No final answer yet.
    Ringing,
    /// We gave up: a 2xx that still comes is ended at once.
    GivenUp,
    /// It made this dialog. Other 2xx come from other branches, and are ended.
    Answered(DialogId),
}

/// The device that is called.
#[derive(Clone, Debug)]
pub(super) struct Called {
    conference: ConferenceId,
    level: Level,
    who: Aor,
    /// Who asked for it, as the called one may see.
    by: String,
    shown: Shown,
    device: DeviceId,
    pub(super) flow: FlowId,
    target: Uri,
    /// Route: the Path of its registration.
    path: Vec<String>,
    /// What it is shown of the list that its person was on (RFC 5366, 5).
    history: Option<Part>,
}

/// A place for a device that is to be called.
pub(super) struct Seated {
    called: Called,
    given: Result<SeatGiven, Refusal>,
}

/// How many devices of whom are being called into what; nobody reachable is 480.
#[derive(Debug, Default)]
pub(super) struct Dials(HashMap<(ConferenceId, Aor), Fork>);

impl Dials {
    fn begin(&mut self, conference: &ConferenceId, who: &Aor, devices: usize) {
        self.0.entry((conference.clone(), who.clone())).or_default().add(devices);
    }

    /// Somebody has declined for every device.
    fn is_refused(&self, conference: &ConferenceId, who: &Aor) -> bool {
        self.0.get(&(conference.clone(), who.clone())).is_some_and(Fork::is_refused)
    }

    /// One device's call ended like this: what there is to tell whoever asked, if anything.
    fn ended(&mut self, conference: &ConferenceId, who: &Aor, status: Status) -> Option<Status> {
        let key = (conference.clone(), who.clone());
        let fork = self.0.get_mut(&key)?;
        let told = fork.ended(status).map(|said| said.status);
        if fork.is_over() {
            self.0.remove(&key);
        }
        told
    }
}

/// A call that nobody answered finally is remembered this long for late 2xx (timer M of RFC 6026).
const LATE: Duration = Duration::from_secs(32);

impl Front {
    /// The desk wants somebody called.
    pub(super) fn dial(
        &mut self,
        conference: &ConferenceId,
        who: &Aor,
        (by, by_shown_as): (&Aor, Option<String>),
    ) {
        let history = self.guest_lists.take(conference, who);
        let bindings = self.registrar.newest(who, clock::now());
        let level = self.desks.level(conference).unwrap_or(self.config.conferences.level);
        let willing = self.may_be_called(who, by);
        let discreet = self.referrals.was_discreet(conference, who).then(anonymous);
        let by = by_shown_as.or(discreet).unwrap_or_else(|| by.to_string());
        let called: Vec<Called> = bindings
            .iter()
            .filter(|_| willing)
            .filter_map(|binding| self.called(conference, level, (who, &by), binding))
            .collect();
        let status = match () {
            () if !willing => Status::FORBIDDEN,
            // Whoever names somebody who hides does not learn that they are here.
            () if self.dialogs.shown_as(conference, who).is_some() => {
                Status::TEMPORARILY_UNAVAILABLE
            }
            () if !bindings.is_empty() => Status::OK,
            () if self.users.knows(who) => Status::TEMPORARILY_UNAVAILABLE,
            () => Status::NOT_FOUND,
        };
        if called.is_empty() {
            // Nobody to call: unknown, not registered, or already in with every device.
            self.metrics.dial_out(if status.is_success() { "present" } else { "unreachable" });
            self.came_to(conference, who, status);
            return;
        }
        self.dials.begin(conference, who, called.len());
        for called in called {
            self.seat_for(Called { history: history.clone(), ..called });
        }
    }

    /// The device behind a binding, unless it is in the conference or being called.
    fn called(
        &mut self,
        conference: &ConferenceId,
        level: Level,
        (who, by): (&Aor, &str),
        binding: &Binding,
    ) -> Option<Called> {
        let target = binding.uri.parse().ok()?;
        let device = binding.device.clone();
        let device = device.unwrap_or_else(|| DeviceId::random(&mut self.rng));
        let rings = |ringing: &Ringing| {
            let called = &ringing.called;
            ringing.state == State::Ringing
                && (&called.conference, &called.who, &called.device) == (conference, who, &device)
        };
        let is_in = self.dialogs.of(conference, who, &device).is_some();
        if is_in || self.joins(who, &device) || self.ringing.values().any(rings) {
            return None;
        }
        let shown = self.shown_when_called(who);
        let (conference, who, by) = (conference.clone(), who.clone(), by.to_owned());
        let (flow, path) = (binding.flow, binding.path.clone());
        let history = None;
        Some(Called { conference, level, who, by, shown, device, flow, target, path, history })
    }

    fn seat_for(&mut self, called: Called) {
        let (desks, device) = (self.desks.clone(), called.clone());
        let mask = DeviceId::random(&mut self.rng);
        let (conference, who) = (called.conference.clone(), called.who.clone());
        let what_for = WhatFor::Dial { conference, who };
        let work = async move {
            let joiner = Joiner {
                aor: device.who.clone(),
                device: device.device.clone(),
                identities: vec![device.who.to_string()],
                peer_path: None,
                end: End::default(),
                came: Came::DialedOut,
                shown: device.shown,
                mask,
            };
            let given = desks.join(&device.conference, joiner).await;
            Done::Seated(Box::new(Seated { called: device, given }))
        };
        if self.calls.begin(self.config.limits.call(), what_for, work).is_err() {
            self.metrics.overloaded.inc();
            self.dial_ended(&called.conference, &called.who, Status::SERVICE_UNAVAILABLE);
        }
    }

    /// A place is ready: call the device.
    pub(super) fn seated(&mut self, seated: Seated) {
        let Seated { called, given } = seated;
        let given = match given {
            Ok(given) => given,
            Err(refused) => {
                tracing::debug!(%refused, "no seat to call somebody for");
                self.metrics.dial_out("no_seat");
                let status = super::refusal::status(&refused);
                return self.dial_ended(&called.conference, &called.who, status);
            }
        };
        let seat = given.seat;
        if self.dials.is_refused(&called.conference, &called.who) {
            self.release(&called.conference, seat, Gone::Unreached);
            return self.dial_ended(&called.conference, &called.who, Status::REQUEST_TERMINATED);
        }
        if self.ended_early.remove(&(called.conference.clone(), seat)) {
            return self.dial_ended(&called.conference, &called.who, Status::REQUEST_TERMINATED);
        }
        let description =
            Place::of(&given, (seat.0, 1), called.level, House::of(&self.config)).offer();
        let Some(request) = self.invitation(&called, description.clone()) else {
            self.release(&called.conference, seat, Gone::Refused);
            return self.dial_ended(&called.conference, &called.who, Status::SERVER_INTERNAL_ERROR);
        };
        let request = match &given.shown_as {
            Some(shown) => request.with(shown_as(), shown_to_it(shown, given.mask.as_ref())),
            None => request,
        };
        let since = clock::now();
        let key = self.endpoint.request(since, called.flow, request.clone());
        let (state, shown_as) = (State::Ringing, (given.shown_as, given.mask));
        let alerting = false;
        let ringing =
            Ringing { request, called, seat, shown_as, description, state, alerting, since };
        self.ringing.insert(key, ringing);
    }

    fn invitation(&mut self, called: &Called, description: Bytes) -> Option<Request> {
        let focus = SipUri::new(Some(called.conference.as_str()), &self.domain).ok()?;
        let contact = self.contact(&called.conference, false)?;
        let from = NameAddr::new(focus.clone()).with_tag(&random_tag(&mut self.rng));
        let to = NameAddr::new(SipUri::from(&called.who));
        let request = Request::new(Method::Invite, called.target.clone())
            .with(Name::MaxForwards, 70)
            .with(Name::From, from)
            .with(Name::To, to)
            .with(Name::CallId, random_call_id(&mut self.rng))
            .with(Name::CSeq, CSeq { number: 1, method: Method::Invite })
            .with(Name::Contact, contact)
            .with(Name::PAssertedIdentity, NameAddr::new(focus))
            .with(Name::ReferredBy, format!("<{}>", called.by))
            .with(Name::Allow, ALLOW)
            .with(Name::Supported, SUPPORTED.join(", "));
        let request = match called.history.clone() {
            None => request.with_body("application/sdp", description),
            Some(history) => {
                let parts = [Part::new("application/sdp", description), history];
                let (content_type, body) = self.wrapped(&parts);
                request.with_body(&content_type, body)
            }
        };
        let request = self.with_timer(request);
        let route = called.path.iter();
        Some(route.fold(request, |request, hop| request.with(Name::Route, hop)))
    }

    /// A response to a request of ours. Only those to INVITE matter.
    pub(super) fn dialled(&mut self, key: TransactionKey, response: &Response) {
        let Some(ringing) = self.ringing.get(&key) else { return };
        if response.status.is_provisional() {
            return self.rings(key, response.status);
        }
        if !response.status.is_success() {
            if ringing.state == State::Ringing && self.calls_longer(key, response) {
                return;
            }
            return self.declined(key, response.status);
        }
        let dialog = match Dialog::uac(&ringing.request, response) {
            Ok(dialog) => dialog,
            Err(error) => {
                // Nothing can be acknowledged without a dialog; the device will notice.
                tracing::debug!(%error, "a 2xx that makes no dialog");
                return self.declined(key, Status::SERVER_INTERNAL_ERROR);
            }
        };
        let flow = ringing.called.flow;
        self.endpoint.acknowledge(flow, dialog.acknowledgement(1));
        self.picked_up(key, dialog, response);
    }

    fn picked_up(&mut self, key: TransactionKey, dialog: Dialog, response: &Response) {
        let Some(ringing) = self.ringing.get_mut(&key) else { return };
        let id = dialog.id().clone();
        let call = Call {
            dialog,
            conference: ringing.called.conference.clone(),
            level: ringing.called.level,
            seat: ringing.seat,
            person: ringing.called.who.clone(),
            device: ringing.called.device.clone(),
            shown_as: ringing.shown_as.0.clone(),
            mask: ringing.shown_as.1.clone(),
            flow: ringing.called.flow,
            peer_path: None,
            end: End::default(),
            description: ringing.description.clone(),
            origin: (ringing.seat.0, 1),
            unacknowledged: None,
        };
        match &ringing.state {
            State::Ringing => {}
            State::Answered(known) if *known == id => return,
            State::Answered(_) | State::GivenUp => {
                return self.send_bye(call, &ReasonValue::new("SIP", 487, "too late"));
            }
        }
        match answer_of(&response.body, call.level, &House::of(&self.config)) {
            Ok(answered) => {
                ringing.state = State::Answered(id.clone());
                let (conference, who) = (call.conference.clone(), call.person.clone());
                self.metrics.dial_out("answered");
                if let Some(shown) = &call.shown_as {
                    self.note_hidden(call.flow, &who, &conference, shown);
                }
                self.supersede(&call);
                self.dialogs.insert(call);
                self.time_called(&id, response);
                self.answered(&id, answered);
                self.dial_ended(&conference, &who, Status::OK);
            }
            Err(why) => {
                self.send_bye(call, &ReasonValue::new("SIP", 488, &why.to_string()));
                self.declined(key, Status::NOT_ACCEPTABLE_HERE);
            }
        }
    }

    /// A request of ours gets no answer. Only INVITEs matter.
    pub(super) fn not_dialled(&mut self, key: TransactionKey, why: Failure) {
        let status = match why {
            Failure::Timeout => Status::REQUEST_TIMEOUT,
            Failure::FlowClosed | Failure::Busy => Status::SERVICE_UNAVAILABLE,
        };
        self.declined(key, status);
    }

    fn declined(&mut self, key: TransactionKey, status: Status) {
        let Some(ringing) = self.ringing.remove(&key) else { return };
        if matches!(ringing.state, State::Answered(_)) {
            return;
        }
        let given_up = ringing.state == State::GivenUp;
        let Called { conference, who, .. } = ringing.called;
        self.metrics.dial_out("declined");
        let gone = if given_up { Gone::Unreached } else { how(status) };
        self.release(&conference, ringing.seat, gone);
        // RFC 3261, 16.7: who declines for good does so on every device.
        if (600..=699).contains(&status.code()) {
            self.stop_all(&conference, &who);
        }
        self.dial_ended(&conference, &who, status);
    }

    /// A device that is called rings (RFC 4575, 5.7.3), and whoever asked for it hears that.
    fn rings(&mut self, key: TransactionKey, status: Status) {
        let Some(ringing) = self.ringing.get_mut(&key) else { return };
        if status.code() <= 100 || ringing.alerting || ringing.state != State::Ringing {
            return;
        }
        ringing.alerting = true;
        let (conference, who) = (ringing.called.conference.clone(), ringing.called.who.clone());
        let (desks, id, seat) = (self.desks.clone(), conference.clone(), ringing.seat);
        self.calls.must(self.config.limits.call(), WhatFor::Nobody, async move {
            desks.alerting(&id, seat).await;
            Done::Nothing
        });
        self.tell_progress(&conference, &who, status);
    }

    /// Every other call of this person into this conference is given up.
    fn stop_all(&mut self, conference: &ConferenceId, who: &Aor) {
        let theirs = |ringing: &Ringing| {
            let called = &ringing.called;
            ringing.state == State::Ringing
                && (&called.conference, &called.who) == (conference, who)
        };
        let keys: Vec<TransactionKey> =
            self.ringing.iter().filter(|(_, it)| theirs(it)).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.cancel(key));
    }

    /// One device's call is over: whoever asked for it hears when the person is in, or when nobody is left to try.
    pub(super) fn dial_ended(&mut self, conference: &ConferenceId, who: &Aor, status: Status) {
        if let Some(status) = self.dials.ended(conference, who, status) {
            self.came_to(conference, who, status);
        }
    }

    /// What a call of somebody came to, all devices together: the desk hears of nobody reached, and whoever asked hears
    /// it in any case.
    fn came_to(&mut self, conference: &ConferenceId, who: &Aor, status: Status) {
        if !status.is_success() {
            let (desks, id, person) = (self.desks.clone(), conference.clone(), who.clone());
            self.calls.must(self.config.limits.call(), WhatFor::Nobody, async move {
                desks.unreached(&id, person).await;
                Done::Nothing
            });
        }
        self.tell_referrers(conference, who, status);
    }

    /// The seat that a device is being called for is gone. Whether there is such a call.
    pub(super) fn stop_calling(&mut self, conference: &ConferenceId, seat: SeatId) -> bool {
        let calls = |ringing: &Ringing| {
            ringing.seat == seat
                && ringing.called.conference == *conference
                && ringing.state == State::Ringing
        };
        let key = self.ringing.iter().find(|(_, ringing)| calls(ringing)).map(|(key, _)| *key);
        if let Some(key) = key {
            self.cancel(key);
        }
        key.is_some()
    }

    /// A device that is being called has come by itself.
    pub(super) fn came_by_itself(&mut self, call: &Call) {
        let same = |ringing: &Ringing| {
            let called = &ringing.called;
            ringing.state == State::Ringing
                && (&called.conference, &called.who, &called.device)
                    == (&call.conference, &call.person, &call.device)
        };
        let key = self.ringing.iter().find(|(_, ringing)| same(ringing)).map(|(key, _)| *key);
        if let Some(key) = key {
            self.cancel(key);
        }
    }

    /// Calls that rang long enough are cancelled, answered ones forgotten once nothing can follow.
    pub(super) fn stop_ringing(&mut self, now: Instant) {
        let ring = self.config.limits.ring();
        self.ringing.retain(|_, ringing| {
            ringing.state == State::Ringing || now < ringing.since + ring + LATE * 2
        });
        let overdue =
            |ringing: &Ringing| ringing.state == State::Ringing && now >= ringing.since + ring;
        let keys: Vec<TransactionKey> =
            self.ringing.iter().filter(|(_, r)| overdue(r)).map(|(key, _)| *key).collect();
        for key in keys {
            self.cancel(key);
        }
    }

    /// Gives a call up. Its end comes as a 487, or as a timeout.
    fn cancel(&mut self, key: TransactionKey) {
        if let Some(ringing) = self.ringing.get_mut(&key) {
            ringing.state = State::GivenUp;
            self.endpoint.cancel(clock::now(), key);
        }
    }
}

/// What a refusal of a call means for the seat that waited.
fn how(status: Status) -> Gone {
    match status {
        Status::BUSY_HERE | Status::BUSY_EVERYWHERE => Gone::Busy,
        Status::REQUEST_TIMEOUT
        | Status::TEMPORARILY_UNAVAILABLE
        | Status::REQUEST_TERMINATED
        | Status::SERVICE_UNAVAILABLE => Gone::Unreached,
        _ => Gone::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> ConferenceId {
        "room7".parse().unwrap()
    }

    fn bob() -> Aor {
        "sip:bob@example.net".parse().unwrap()
    }

    #[test]
    fn calls_of_one_person_into_one_conference_are_one_fork_that_ends_with_the_last() {
        let mut dials = Dials::default();
        dials.begin(&room(), &bob(), 1);
        dials.begin(&room(), &bob(), 1);

        assert_eq!(dials.ended(&room(), &bob(), Status::OK), Some(Status::OK));
        assert_eq!(dials.ended(&room(), &bob(), Status::BUSY_HERE), None);
        assert!(dials.0.is_empty());
        assert_eq!(dials.ended(&room(), &bob(), Status::OK), None);
    }
}
