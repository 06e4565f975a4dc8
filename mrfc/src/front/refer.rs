//! REFER to a conference (RFC 4579, 5.5 and 5.11; RFC 3515): a moderator has the focus call somebody, or removes
//! somebody. Answered 200, then told by NOTIFY how it went, unless the moderator asked not to be (RFC 4488).
use std::collections::HashMap;
use std::time::{Duration, Instant};

use ids::{Aor, ConferenceId};
use service::clock;
use sip::dialog::{Dialog, DialogId, random_tag};
use sip::endpoint::{FlowId, TransactionKey};
use sip::header::{Event, Name, SubscriptionState};
use sip::{Method, Request, Response, Status};

use super::answers::overloaded;
use super::dialogs::Call;
use super::dispatch::Reply;
use super::target::Target;
use super::{Done, Front, WhatFor, refusal};
use crate::desk::Refusal;

/// What is to be done with somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Invite,
    Remove,
}

/// What the desk said to a REFER.
#[derive(Debug)]
pub(super) struct Referred {
    asked: Asked,
    result: Result<(), Refusal>,
}

/// What a REFER asks.
#[derive(Clone, Debug)]
struct Asked {
    conference: ConferenceId,
    deed: Deed,
    flow: FlowId,
    /// The dialog it came in.
    inside: Option<DialogId>,
}

/// Somebody who wants to know how a call of the focus goes.
#[derive(Debug)]
struct Referral {
    key: TransactionKey,
    conference: ConferenceId,
    who: Aor,
    flow: FlowId,
    /// Where the notifications go, once the REFER is answered.
    subscription: Option<Subscription>,
    /// How it went, if that was known before the REFER was answered.
    ended: Option<Status>,
    since: Instant,
}

/// Where notifications are sent.
#[derive(Debug)]
struct Subscription {
    dialog: In,
    /// The number of a REFER in a dialog that may have had others (RFC 3515, 2.4.6).
    id: Option<u32>,
}

/// The dialog that notifications are sent in.
#[derive(Debug)]
enum In {
    /// One that the REFER made.
    Own(Box<Dialog>),
    /// The participant's own.
    Shared(DialogId),
}

/// What a seat, a CANCEL and its answer may take beside the ringing.
const LATE: Duration = Duration::from_secs(120);

/// Everybody who wants to know. As many as there may be tasks at the desks.
#[derive(Debug, Default)]
pub(super) struct Referrals(Vec<Referral>, Discreet);

/// Who is to be called for a moderator who wants not to be named to them (RFC 3323), by the REFER, and since when.
type Discreet = HashMap<TransactionKey, (ConferenceId, Aor, Instant)>;

impl Referrals {
    /// The REFER got no 200.
    pub(super) fn forget(&mut self, key: TransactionKey) {
        self.0.retain(|referral| referral.key != key);
    }

    /// Whether whoever has somebody called wants not to be named to them. Said once: the desk may ask for the call
    /// before or after the REFER is answered, or when nobody waits for the answer any more.
    pub(super) fn was_discreet(&mut self, conference: &ConferenceId, who: &Aor) -> bool {
        let before = self.1.len();
        self.1.retain(|_, (into, whom, _)| into != conference || whom != who);
        self.1.len() < before
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, flow: FlowId) {
        self.0.retain(|referral| referral.flow != flow);
    }

    /// The dialog is about to be forgotten: notifications still to come keep its tags and counters.
    pub(super) fn inherit(&mut self, id: &DialogId, call: &Call) {
        for subscription in self.0.iter_mut().filter_map(|one| one.subscription.as_mut()) {
            if matches!(&subscription.dialog, In::Shared(shared) if shared == id) {
                subscription.dialog = In::Own(Box::new(call.dialog.clone()));
            }
        }
    }

    /// The subscribers of a call.
    fn take(&mut self, conference: &ConferenceId, who: &Aor) -> Vec<Referral> {
        let (theirs, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|referral| {
                let theirs = referral.conference == *conference && referral.who == *who;
                theirs && referral.subscription.is_some()
            });
        self.0 = rest;
        theirs
    }

    /// The subscribers of a call that ended like this; those whose REFER is not answered yet learn it then.
    fn ended(&mut self, conference: &ConferenceId, who: &Aor, status: Status) -> Vec<Referral> {
        let over = self.take(conference, who);
        for referral in &mut self.0 {
            if referral.conference == *conference && referral.who == *who {
                referral.ended = Some(status);
            }
        }
        over
    }
}

impl Front {
    pub(super) fn refer(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        author: &Aor,
    ) -> Reply {
        let Target::Conference(conference) = self.target(request) else {
            return Err(Response::to(request, Status::NOT_FOUND));
        };
        if self.referrals.0.len().max(self.referrals.1.len()) >= self.config.limits.calls_max {
            return Err(overloaded(request));
        }
        let (who, deed) = read(request)?;
        let privacy = self.privacy_of(request, author)?;
        let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
        let inside = if in_dialog { Some(self.in_dialog(flow, request, author)?) } else { None };
        let asked = Asked { conference: conference.clone(), deed, flow, inside };
        if deed == Deed::Invite && wants_notify(request) {
            let (conference, who) = (conference.clone(), who.clone());
            let (subscription, ended, since) = (None, None, clock::now());
            let referral = Referral { key, conference, who, flow, subscription, ended, since };
            self.referrals.0.push(referral);
        }
        let by = self.known_dialog(request, &conference).unwrap_or_else(|| author.clone());
        if by != *author {
            tracing::info!(%conference, %author, %by, "a REFER by the dialog that it names");
        }
        if deed == Deed::Invite && privacy.hides() {
            let discreet = (conference.clone(), who.clone(), clock::now());
            self.referrals.1.insert(key, discreet);
        }
        let desks = self.desks.clone();
        let work = async move {
            let result = match deed {
                Deed::Invite => desks.invite(&conference, &by, who).await,
                Deed::Remove => desks.kick(&conference, &by, who).await,
            };
            Done::Referred(key, Referred { asked, result })
        };
        let wait = self.config.limits.call();
        if self.calls.begin(wait, WhatFor::Request(key), work).is_err() {
            self.referrals.forget(key);
            return Err(overloaded(request));
        }
        Ok(None)
    }

    /// In whose dialog with this conference the REFER was made possible: whoever knows its names, which are random and
    /// told over TLS only, has them of its participant (RFC 4538, 4). One that names no dialog stands for itself.
    fn known_dialog(&self, request: &Request, conference: &ConferenceId) -> Option<Aor> {
        let call = self.dialogs.find(&DialogId::of_target(request)?)?;
        let protected = self.flows.get(&call.flow).is_some_and(|flow| !flow.plain);
        (protected && call.conference == *conference).then(|| call.person.clone())
    }

    /// The desk has answered a REFER.
    pub(super) fn referred(&mut self, key: TransactionKey, referred: Referred) {
        let Referred { asked, result } = referred;
        if result.is_err() {
            self.referrals.1.remove(&key);
        }
        let Some(request) = self.request(key) else { return self.referrals.forget(key) };
        if let Err(refused) = result {
            self.referrals.forget(key);
            let response = refusal::response(&request, &refused, &self.domain);
            return self.respond(key, response);
        }
        let tag = random_tag(&mut self.rng);
        let mut response = Response::to(&request, Status::OK).with_to_tag(&tag);
        if let Some(contact) = self.contact(&asked.conference, false) {
            response = response.with(Name::Contact, contact);
        }
        if !wants_notify(&request) {
            // RFC 4488, 4: the answer says that no subscription was made.
            return self.respond(key, response.with(Name::ReferSub, "false"));
        }
        let subscription = match asked.inside.clone() {
            Some(dialog) => {
                let id = request.headers.cseq().ok().map(|cseq| cseq.number);
                Some(Subscription { dialog: In::Shared(dialog), id })
            }
            None => Dialog::uas(&request, &response)
                .ok()
                .map(|dialog| Subscription { dialog: In::Own(Box::new(dialog)), id: None }),
        };
        self.respond(key, response);
        let Some(mut subscription) = subscription else { return self.referrals.forget(key) };
        if asked.deed == Deed::Remove {
            return self.notify(&mut subscription, asked.flow, Status::OK);
        }
        self.notify(&mut subscription, asked.flow, Status::TRYING);
        let Some(at) = self.referrals.0.iter().position(|referral| referral.key == key) else {
            return;
        };
        match self.referrals.0.get(at).and_then(|referral| referral.ended) {
            Some(status) => {
                self.referrals.0.remove(at);
                self.notify(&mut subscription, asked.flow, status);
            }
            None => {
                if let Some(referral) = self.referrals.0.get_mut(at) {
                    referral.subscription = Some(subscription);
                }
            }
        }
    }

    /// A call of the focus came to an end: tell whoever asked for it.
    pub(super) fn tell_referrers(&mut self, conference: &ConferenceId, who: &Aor, status: Status) {
        for referral in self.referrals.ended(conference, who, status) {
            if let Some(mut subscription) = referral.subscription {
                self.notify(&mut subscription, referral.flow, status);
            }
        }
    }

    /// A call of the focus goes on: whoever asked for it hears how.
    pub(super) fn tell_progress(&mut self, conference: &ConferenceId, who: &Aor, status: Status) {
        for mut referral in self.referrals.take(conference, who) {
            if let Some(subscription) = &mut referral.subscription {
                self.notify(subscription, referral.flow, status);
            }
            self.referrals.0.push(referral);
        }
    }

    /// A call that nobody heard the end of for far longer than it may ring is told as timed out.
    pub(super) fn referrals_late(&mut self, now: Instant) {
        let wait = self.config.limits.ring() + LATE;
        let late = |referral: &Referral| now >= referral.since + wait;
        self.referrals.1.retain(|_, (_, _, since)| now < *since + wait);
        while let Some(at) = self.referrals.0.iter().position(late) {
            let referral = self.referrals.0.remove(at);
            if let Some(mut subscription) = referral.subscription {
                self.notify(&mut subscription, referral.flow, Status::REQUEST_TIMEOUT);
            }
        }
    }

    /// NOTIFY with a status line as sipfrag (RFC 3515, 2.4.5); a final one ends the subscription.
    fn notify(&mut self, subscription: &mut Subscription, flow: FlowId, status: Status) {
        let dialog = match &mut subscription.dialog {
            In::Own(dialog) => Some(&mut **dialog),
            In::Shared(id) => self.dialogs.dialog(id),
        };
        // A shared dialog that is gone was inherited before; without one there is nobody to tell.
        let Some(Ok(notify)) = dialog.map(|dialog| dialog.request(Method::Notify)) else { return };
        let state = match status.is_provisional() {
            true => SubscriptionState::active(60),
            false => SubscriptionState::terminated("noresource"),
        };
        let fragment = format!("SIP/2.0 {} {}\r\n", status, status.phrase());
        let mut event = Event::new("refer");
        if let Some(id) = subscription.id {
            event.params.set("id", Some(&id.to_string()));
        }
        let notify = notify
            .with(Name::Event, event)
            .with(Name::SubscriptionState, state)
            .with_body("message/sipfrag;version=2.0", fragment);
        self.endpoint.request(clock::now(), flow, notify);
    }
}

/// Whom a REFER is about, and what is to be done.
fn read(request: &Request) -> Result<(Aor, Deed), Response> {
    let refuse = |status| Response::to(request, status);
    // RFC 3515, 2.4.2: none, or more than one, is 400.
    let target = request.headers.refer_to().map_err(|_| refuse(Status::BAD_REQUEST))?;
    let uri = target.uri.sip().ok_or_else(|| refuse(Status::UNSUPPORTED_URI_SCHEME))?;
    let who = uri.aor().map_err(|_| refuse(Status::BAD_REQUEST))?;
    match uri.param("method").as_deref() {
        None | Some("INVITE") => Ok((who, Deed::Invite)),
        Some("BYE") => Ok((who, Deed::Remove)),
        Some(_) => Err(refuse(Status::FORBIDDEN).with_reason("Only INVITE And BYE Are Referred")),
    }
}

fn wants_notify(request: &Request) -> bool {
    let value = request.headers.text(&Name::ReferSub);
    !value.is_some_and(|value| value.trim().eq_ignore_ascii_case("false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refer(to: &str) -> Request {
        Request::new(Method::Refer, "sip:room7@example.net".parse::<sip::Uri>().unwrap())
            .with(Name::ReferTo, to)
    }

    #[test]
    fn refer_to_says_whom_and_what() {
        let bob: Aor = "sip:bob@example.net".parse().unwrap();

        let invite = read(&refer("<sip:bob@example.net>")).unwrap();
        let remove = read(&refer("<sip:bob@example.net;method=BYE>")).unwrap();

        assert_eq!(invite, (bob.clone(), Deed::Invite));
        assert_eq!(remove, (bob, Deed::Remove));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let code = |request: &Request| read(request).unwrap_err().status.code();

        assert_eq!(code(&refer("<tel:+15551230000>")), 416);
        assert_eq!(code(&refer("<sip:bob@example.net;method=SUBSCRIBE>")), 403);
        assert_eq!(code(&refer("<sip:example.net>")), 400);
        let two = refer("<sip:bob@example.net>").with(Name::ReferTo, "<sip:dave@example.net>");
        assert_eq!(code(&two), 400);
    }

    #[test]
    fn refer_sub_false_wants_no_notify() {
        let plain = refer("<sip:bob@example.net>");

        assert!(wants_notify(&plain));
        assert!(!wants_notify(&plain.with(Name::ReferSub, "false")));
    }
}
