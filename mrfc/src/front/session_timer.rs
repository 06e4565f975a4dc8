//! Session timers (RFC 4028) of every dialog here, with a participant or with one of two people. What both sides settle
//! is in [`sip::session_timer`]; here it is kept, our refreshes are sent, and who has vanished is put out.
//!
//! A refresh is an UPDATE where the peer takes that, and otherwise an INVITE with what we said before.
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use service::clock;
use sip::dialog::{Dialog, DialogId, DialogState, random_call_id};
use sip::endpoint::{Failure, FlowId, TransactionKey};
use sip::header::{Name, ReasonValue};
use sip::session_timer::{Due, SessionTimer, Terms};
use sip::{Method, Request, Response, Status};

use super::Front;
use super::end::House;
use super::offer::{Answered, again, answer_of};
use super::pairs::Branch;
use crate::config::Config;
use crate::desk::{End, Gone};

/// How long a peer that is busy with another request is left alone, if it does not say.
const BUSY: Duration = Duration::from_secs(5);

/// Every timer, and the refreshes under way. A dialog that ends otherwise may leave its timer behind, which is found to
/// be nobody's when it is due.
#[derive(Debug, Default)]
pub(super) struct Timers {
    timed: HashMap<DialogId, Timed>,
    due: BTreeSet<(Instant, DialogId)>,
    refreshing: HashMap<TransactionKey, DialogId>,
}

#[derive(Debug)]
struct Timed {
    timer: SessionTimer,
    terms: Terms,
    /// The peer takes UPDATE.
    updates: bool,
    /// What a side of a session between two was last told about the other one.
    told: Bytes,
    /// What it is being told now, if it takes that.
    offered: Option<Bytes>,
}

impl Timers {
    fn set(&mut self, id: &DialogId, timer: SessionTimer, terms: Terms, updates: Option<bool>) {
        let before = self.remove(id);
        self.due.insert((timer.next(), id.clone()));
        let known = before.as_ref().is_some_and(|before| before.updates);
        let told = before.map(|before| before.told).unwrap_or_default();
        let updates = updates.unwrap_or(known);
        let timed = Timed { timer, terms, updates, told, offered: None };
        self.timed.insert(id.clone(), timed);
    }

    fn change<T>(&mut self, id: &DialogId, change: impl FnOnce(&mut Timed) -> T) -> Option<T> {
        let timed = self.timed.get_mut(id)?;
        let before = timed.timer.next();
        let changed = change(timed);
        let after = timed.timer.next();
        if before != after {
            self.due.remove(&(before, id.clone()));
            self.due.insert((after, id.clone()));
        }
        Some(changed)
    }

    fn remove(&mut self, id: &DialogId) -> Option<Timed> {
        let timed = self.timed.remove(id)?;
        self.due.remove(&(timed.timer.next(), id.clone()));
        Some(timed)
    }

    /// A dialog is over.
    pub(super) fn forget(&mut self, id: &DialogId) {
        self.remove(id);
    }

    /// Whether the peer of this dialog takes UPDATE.
    pub(super) fn updates(&self, id: &DialogId) -> bool {
        self.timed.get(id).is_some_and(|timed| timed.updates)
    }

    /// One of two people was told this about the other's end.
    pub(super) fn told(&mut self, id: &DialogId, description: &Bytes) {
        if let Some(timed) = self.timed.get_mut(id)
            && !description.is_empty()
        {
            timed.told = description.clone();
        }
    }

    /// One of two people is being told this about the other's end.
    pub(super) fn telling(&mut self, id: &DialogId, description: &Bytes) {
        if let Some(timed) = self.timed.get_mut(id) {
            timed.offered = Some(description.clone()).filter(|description| !description.is_empty());
        }
    }

    /// What it was being told is settled, or refused.
    pub(super) fn answered(&mut self, id: &DialogId, status: Status) {
        if let Some(timed) = self.timed.get_mut(id)
            && let Some(offered) = timed.offered.take()
            && status.is_success()
        {
            timed.told = offered;
        }
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What is due, each thing once.
    fn due(&mut self, now: Instant) -> Vec<(DialogId, Due)> {
        let ripe = self.due.iter().take_while(|(at, _)| *at <= now);
        let ripe: Vec<DialogId> = ripe.map(|(_, id)| id.clone()).collect();
        let due = |id: DialogId| {
            let due = self.change(&id, |timed| timed.timer.due(now)).flatten()?;
            Some((id, due))
        };
        ripe.into_iter().filter_map(due).collect()
    }
}

/// What we want of every session.
pub(super) fn terms(config: &Config) -> Terms {
    Terms { secs: config.sip.session_secs, secs_min: config.sip.session_secs_min }
}

/// Whether the sender of these takes UPDATE, if it says what it takes.
fn allows_update(headers: &sip::Headers) -> Option<bool> {
    headers.has(&Name::Allow).then(|| headers.lists(&Name::Allow, Method::Update.as_str()))
}

impl Front {
    /// Our 2xx to an INVITE or UPDATE of the peer, with what it settles about the session's length.
    pub(super) fn timed(
        &mut self,
        request: &Request,
        response: Response,
        id: &DialogId,
    ) -> Response {
        let terms = terms(&self.config);
        let before = self.timers.timed.get(id).map(|timed| timed.timer);
        let (response, timer) = terms.grant(clock::now(), request, response, before.as_ref());
        self.timers.set(id, timer, terms, allows_update(&request.headers));
        response
    }

    /// The peer's 2xx to a request of ours settles the session's length.
    pub(super) fn time_called(&mut self, id: &DialogId, response: &Response) {
        let terms =
            self.timers.timed.get(id).map_or_else(|| terms(&self.config), |timed| timed.terms);
        let timer = terms.settled(clock::now(), response);
        self.timers.set(id, timer, terms, allows_update(&response.headers));
    }

    /// An INVITE of ours that begins a session.
    pub(super) fn with_timer(&self, request: Request) -> Request {
        terms(&self.config).ask(request, None)
    }

    /// A request of one of two people as it goes to the other one, in a session that is there.
    pub(super) fn with_timer_of(&self, id: &DialogId, request: Request) -> Request {
        let timed = self.timers.timed.get(id);
        let terms = timed.map_or_else(|| terms(&self.config), |timed| timed.terms);
        let request =
            request.with(Name::Supported, "timer").with(Name::Allow, super::screen::ALLOW);
        terms.ask(request, timed.map(|timed| &timed.timer))
    }

    /// The same INVITE with a longer interval, if that is what its refusal asks for: once, and as a call of its own.
    pub(super) fn with_longer_timer(
        &mut self,
        request: &Request,
        response: &Response,
    ) -> Option<Request> {
        let terms = terms(&self.config);
        let raised = terms.raised(response)?;
        let had = request.headers.session_expires().ok().flatten()?;
        if had.secs != terms.secs {
            return None;
        }
        let mut longer = request.clone();
        longer.headers.remove(&Name::SessionExpires);
        longer.headers.remove(&Name::MinSe);
        longer.headers.set(Name::CallId, random_call_id(&mut self.rng));
        Some(raised.ask(longer, None))
    }

    /// RFC 4028, 7.3: the same call with the interval that the device wants. Whether that is what it wants.
    pub(super) fn calls_longer(&mut self, key: TransactionKey, response: &Response) -> bool {
        let Some(mut ringing) = self.ringing.remove(&key) else { return false };
        let longer = self.with_longer_timer(&ringing.request, response);
        let sent = longer.map(|longer| {
            ringing.request = longer.clone();
            self.endpoint.request(clock::now(), ringing.called.flow, longer)
        });
        self.ringing.insert(sent.unwrap_or(key), ringing);
        sent.is_some()
    }

    /// The same with a call of one person to another.
    pub(super) fn rings_longer(&mut self, key: TransactionKey, response: &Response) -> bool {
        let Some(request) = self.pairs.branches.get(&key).map(|branch| branch.request.clone())
        else {
            return false;
        };
        let Some(longer) = self.with_longer_timer(&request, response) else { return false };
        let Some(branch) = self.pairs.branches.remove(&key) else { return false };
        let again = self.endpoint.request(clock::now(), branch.flow, longer.clone());
        if let Some(ring) = self.pairs.rings.get_mut(&branch.asked) {
            ring.branches.retain(|known| *known != key);
            ring.branches.push(again);
        }
        self.pairs.branches.insert(again, Branch { request: longer, ..branch });
        true
    }

    /// Refreshes what has to be, and ends what nobody has refreshed.
    pub(super) fn sessions_due(&mut self, now: Instant) {
        for (id, due) in self.timers.due(now) {
            match due {
                Due::Refresh => self.refresh_session(now, &id),
                Due::End => self.session_over(&id, "the session was not refreshed"),
            }
        }
    }

    fn session_over(&mut self, id: &DialogId, why: &str) {
        self.timers.forget(id);
        self.metrics.sessions_expired.inc();
        let reason = ReasonValue::new("SIP", 408, why);
        if let Some((pair, _)) = self.pairs.of(id) {
            return self.end_pair(pair, None, Some(&reason));
        }
        self.say_bye(id, &reason, Gone::Silent);
    }

    fn spoken(&mut self, id: &DialogId) -> Option<(&mut Dialog, FlowId)> {
        if let Some((pair, side)) = self.pairs.of(id) {
            let leg = self.pairs.find(pair)?.leg(side);
            return Some((&mut leg.dialog, leg.flow));
        }
        let flow = self.dialogs.find(id)?.flow;
        Some((self.dialogs.dialog(id)?, flow))
    }

    fn refresh_session(&mut self, now: Instant, id: &DialogId) {
        let Some(timed) = self.timers.timed.get(id) else { return };
        let (timer, terms, updates) = (timed.timer, timed.terms, timed.updates);
        let offer = if updates { None } else { self.said_before(id) };
        let Some((dialog, flow)) = self.spoken(id) else { return self.timers.forget(id) };
        let request = match &offer {
            Some(_) => dialog.request(Method::Invite),
            None => dialog.request(Method::Update),
        };
        let Ok(request) = request else {
            // Something is in progress, which refreshes the session itself if it succeeds.
            return self.refresh_again(id, now + BUSY);
        };
        let request = terms.ask(request, Some(&timer)).with(Name::Supported, "timer");
        let request = match offer {
            Some(offer) => request.with_body("application/sdp", offer),
            None => request,
        };
        let key = self.endpoint.request(now, flow, request.with(Name::Allow, super::screen::ALLOW));
        self.timers.refreshing.insert(key, id.clone());
    }

    fn refresh_again(&mut self, id: &DialogId, at: Instant) {
        self.timers.change(id, |timed| timed.timer.again(at));
    }

    /// What the peer was told last, as an offer.
    fn said_before(&mut self, id: &DialogId) -> Option<Bytes> {
        if self.pairs.of(id).is_some() {
            let told = &self.timers.timed.get(id)?.told;
            return (!told.is_empty()).then(|| told.clone());
        }
        let call = self.dialogs.find(id)?;
        let (description, origin) = again(&call.description, call.origin)?;
        self.dialogs.change(id, |call| {
            call.description = description.clone();
            call.origin = origin;
        });
        Some(description)
    }

    /// The answer to a refresh of ours. Whether it was that.
    pub(super) fn refresh_answered(&mut self, key: TransactionKey, response: &Response) -> bool {
        let Some(id) = self.timers.refreshing.get(&key).cloned() else { return false };
        let status = response.status;
        if status.is_provisional() {
            return true;
        }
        self.timers.refreshing.remove(&key);
        let Some((dialog, flow)) = self.spoken(&id) else { return true };
        dialog.answered(response);
        let over = dialog.state() == DialogState::Terminated;
        let cseq = response.headers.cseq().ok();
        if let Some(cseq) = cseq.filter(|cseq| status.is_success() && cseq.method == Method::Invite)
        {
            let ack = dialog.acknowledgement(cseq.number);
            self.endpoint.acknowledge(flow, ack);
            self.said_again(&id, response);
        }
        match status.code() {
            200..=299 => self.time_called(&id, response),
            _ if over => self.session_over(&id, "the peer does not know the session"),
            422 => self.refresh_longer(&id, response),
            405 | 501 => {
                self.timers.change(&id, |timed| timed.updates = false);
                if self.said_before(&id).is_some() {
                    self.refresh_again(&id, clock::now());
                }
            }
            491 => {
                let wait = glare_wait(self, &id);
                self.refresh_again(&id, clock::now() + wait);
            }
            500 | 503 => {
                let after = response.headers.text(&Name::RetryAfter);
                let secs =
                    after.and_then(|after| after.split(['(', ';', ' ']).next()?.parse().ok());
                let wait = secs.map_or(BUSY, Duration::from_secs).max(BUSY / 5);
                self.refresh_again(&id, clock::now() + wait);
            }
            // It lives until its time is over.
            _ => {}
        }
        true
    }

    /// The peer's answer to what we said before.
    fn said_again(&mut self, id: &DialogId, response: &Response) {
        let Some(call) = self.dialogs.find(id) else { return };
        let house = House::of(&self.config);
        let Ok(Answered { path, end }) = answer_of(&response.body, call.level, &house) else {
            return;
        };
        let same = call.peer_path.as_deref() == Some(&path);
        // Who connects was settled when the session began.
        let end = if same { End { flow: end.flow, ..call.end.clone() } } else { end };
        if !same || end != call.end {
            self.answered(id, Answered { path, end });
        }
    }

    fn refresh_longer(&mut self, id: &DialogId, response: &Response) {
        let raise = |timed: &mut Timed| match timed.terms.raised(response) {
            Some(raised) => {
                timed.terms = raised;
                true
            }
            None => false,
        };
        if self.timers.change(id, raise) == Some(true) {
            self.refresh_again(id, clock::now());
        }
    }

    /// A refresh of ours gets no answer. Whether it was that.
    pub(super) fn refresh_lost(&mut self, key: TransactionKey, why: Failure) -> bool {
        let Some(id) = self.timers.refreshing.remove(&key) else { return false };
        tracing::debug!(%why, "a session was not refreshed");
        if why == Failure::Timeout {
            self.session_over(&id, "no answer to a refresh");
        }
        true
    }
}

fn glare_wait(front: &mut Front, id: &DialogId) -> Duration {
    let mut rng = front.rng.clone();
    let wait = front.spoken(id).map(|(dialog, _)| dialog.glare_wait(&mut rng));
    front.rng = rng;
    wait.unwrap_or(BUSY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::Uri;

    const TERMS: Terms = Terms { secs: 1800, secs_min: 90 };

    fn id(name: &str) -> DialogId {
        DialogId { call_id: name.into(), local_tag: "l".into(), remote_tag: "r".into() }
    }

    fn timer(now: Instant) -> SessionTimer {
        let request = Request::new(Method::Invite, "sip:room7@example.net".parse::<Uri>().unwrap());
        TERMS.grant(now, &request, Response::to(&request, Status::OK), None).1
    }

    #[test]
    fn a_dialog_has_one_timer_which_is_due_once_and_leaves_nothing_behind() {
        let (mut timers, now) = (Timers::default(), clock::now());
        let later = now + Duration::from_secs(60);
        timers.set(&id("a"), timer(now), TERMS, Some(true));
        timers.set(&id("b"), timer(now), TERMS, Some(false));
        timers.set(&id("a"), timer(later), TERMS, None);

        let half = now + Duration::from_secs(900);
        assert_eq!(timers.due(half), [(id("b"), Due::Refresh)]);
        assert_eq!(timers.due(half), []);
        assert_eq!(timers.due(later + Duration::from_secs(900)), [(id("a"), Due::Refresh)]);
        assert_eq!(timers.due(now + Duration::from_secs(1768)), [(id("b"), Due::End)]);
        assert!(timers.updates(&id("a")), "what a peer takes is known until it says otherwise");

        timers.forget(&id("a"));
        timers.forget(&id("b"));
        assert!(timers.timed.is_empty() && timers.due.is_empty() && timers.next().is_none());
    }

    #[test]
    fn what_somebody_was_told_is_what_was_settled_last() {
        let (mut timers, now, a) = (Timers::default(), clock::now(), id("a"));
        timers.set(&a, timer(now), TERMS, None);
        timers.told(&a, &Bytes::from_static(b"one"));

        timers.telling(&a, &Bytes::from_static(b"two"));
        timers.answered(&a, Status::NOT_ACCEPTABLE_HERE);
        assert_eq!(timers.timed[&a].told, "one");
        timers.telling(&a, &Bytes::from_static(b"three"));
        timers.answered(&a, Status::OK);

        timers.set(&a, timer(now), TERMS, None);
        assert_eq!(timers.timed[&a].told, "three");
    }
}
