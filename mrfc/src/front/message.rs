//! Immediate messages (RFC 3428): a MESSAGE goes to every registered device of the person it names, body and type
//! untouched, and the first device that takes it is the answer. Nothing is kept, and no dialog is made.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ids::Aor;
use service::clock;
use sip::dialog::{random_call_id, random_tag};
use sip::endpoint::{Failure, FlowId, TransactionKey};
use sip::header::{CSeq, Name, NameAddr};
use sip::{Method, Request, Response, SipUri, Status};

use super::Front;
use super::answers::overloaded;
use super::dispatch::Reply;
use super::fork::Fork;
use super::privacy::Privacy;
use crate::config;

/// Messages without an answer.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// By the sender's transaction.
    underway: HashMap<TransactionKey, Underway>,
    /// Our transactions with devices, and whose message each carries.
    copies: HashMap<TransactionKey, TransactionKey>,
}

#[derive(Debug)]
struct Underway {
    fork: Fork,
    until: Instant,
    /// What a device says it takes, for a 415 (RFC 3261, 8.2.3).
    accept: Option<Bytes>,
}

/// A way to a device, or to whoever knows one.
struct Way {
    flow: FlowId,
    target: sip::Uri,
    /// Route: the Path of its registration.
    path: Vec<String>,
}

impl Messages {
    /// The sender wants no answer any more; what is on its way arrives all the same.
    pub(super) fn forget(&mut self, key: TransactionKey) {
        self.underway.remove(&key);
    }

    fn overdue(&self, now: Instant) -> Vec<TransactionKey> {
        let late = self.underway.iter().filter(|(_, message)| now >= message.until);
        late.map(|(key, _)| *key).collect()
    }
}

/// What belongs to one hop, or is made anew: none of it is passed on. Route and Require were answered here.
const OURS: [Name; 17] = [
    Name::Via,
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::Contact,
    Name::MaxForwards,
    Name::Route,
    Name::RecordRoute,
    Name::Path,
    Name::Require,
    Name::ProxyRequire,
    Name::Authorization,
    Name::ProxyAuthorization,
    Name::PAssertedIdentity,
    Name::PPreferredIdentity,
    Name::Privacy,
];

impl Front {
    pub(super) fn message(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        author: &Aor,
    ) -> Reply {
        let recipient = self.recipient(request)?;
        policy(&self.config.messages, request)?;
        let privacy = Privacy::of(request)?;
        let now = clock::now();
        let ways = self.ways(flow, request, &recipient, now);
        if ways.is_empty() {
            return Err(Response::to(request, Status::TEMPORARILY_UNAVAILABLE));
        }
        if self.messages.underway.len() >= self.config.limits.calls_max {
            return Err(overloaded(request));
        }
        let mut fork = Fork::default();
        fork.add(ways.len());
        let until = now + Duration::from_secs(self.config.messages.answer_secs);
        self.messages.underway.insert(key, Underway { fork, until, accept: None });
        for way in ways {
            match self.copy(request, author, privacy, &way) {
                Some(copy) => {
                    let sent = self.endpoint.request(now, way.flow, copy);
                    self.messages.copies.insert(sent, key);
                }
                None => self.message_ended(key, Status::TEMPORARILY_UNAVAILABLE),
            }
        }
        Ok(None)
    }

    /// Where copies go: to every device registered here, or else to the core, which knows where the person is. What
    /// came from the core because it knows of nobody else does not go back there.
    fn ways(&self, from: FlowId, request: &Request, to: &Aor, now: Instant) -> Vec<Way> {
        let here = self.registrar.bindings(to, now).into_iter().filter_map(|binding| {
            Some(Way { flow: binding.flow, target: binding.uri.parse().ok()?, path: binding.path })
        });
        let here: Vec<Way> = here.collect();
        let core = self.core().filter(|_| here.is_empty() && !self.came_from_us(from, request));
        let core = core.map(|flow| Way { flow, target: SipUri::from(to).into(), path: Vec::new() });
        here.into_iter().chain(core).collect()
    }

    /// Whether a request passed here before: one of the Vias below the top one is ours.
    fn came_from_us(&self, from: FlowId, request: &Request) -> bool {
        let ours = |via: &sip::header::Via| {
            via.host.eq_ignore_ascii_case(&self.domain) && via.port == Some(self.port)
        };
        self.is_core(from) && request.headers.vias().is_ok_and(|vias| vias.iter().any(ours))
    }

    /// Whom a MESSAGE is for. A conference is talked to in its session, not beside it.
    fn recipient(&self, request: &Request) -> Result<Aor, Response> {
        let refuse = |status| Response::to(request, status);
        if request.headers.to().is_ok_and(|to| to.tag().is_some()) {
            // No dialog here takes one: those with the focus have MSRP for it.
            return Err(refuse(Status::METHOD_NOT_ALLOWED).with(Name::Allow, super::screen::ALLOW));
        }
        let uri = request.uri.sip().ok_or_else(|| refuse(Status::UNSUPPORTED_URI_SCHEME))?;
        if !uri.host().eq_ignore_ascii_case(&self.domain) {
            return Err(refuse(Status::NOT_FOUND));
        }
        let aor = uri.aor().map_err(|_| refuse(Status::NOT_FOUND))?;
        if self.users.knows(&aor) || self.core().is_some() {
            Ok(aor)
        } else {
            Err(refuse(Status::NOT_FOUND))
        }
    }

    /// The message for one device.
    fn copy(
        &mut self,
        request: &Request,
        author: &Aor,
        privacy: Privacy,
        way: &Way,
    ) -> Option<Request> {
        let mut own = request.headers.from().ok()?;
        own.params = sip::header::Params::default();
        let from = privacy.from(own).with_tag(&random_tag(&mut self.rng));
        let hops = request.headers.max_forwards().ok().flatten().unwrap_or(70).saturating_sub(1);
        let mut copy = Request::new(Method::Message, way.target.clone())
            .with(Name::MaxForwards, hops)
            .with(Name::From, from)
            .with(Name::To, request.headers.text(&Name::To)?)
            .with(Name::CallId, random_call_id(&mut self.rng))
            .with(Name::CSeq, CSeq { number: 1, method: Method::Message });
        // RFC 3325, 7: inside the trust domain the identity stays, with the wish that it be hidden at its edge.
        let inside = self.is_core(way.flow);
        if let Some(author) = privacy.asserted(author).or_else(|| inside.then_some(author)) {
            let asserted = NameAddr::new(SipUri::from(author));
            copy = copy.with(Name::PAssertedIdentity, asserted);
        }
        if inside {
            copy.headers.copy(&Name::Privacy, &request.headers);
        }
        copy = way.path.iter().fold(copy, |copy, hop| copy.with(Name::Route, hop));
        for header in request.headers.iter() {
            if !OURS.contains(&header.name) && privacy.passes(&header.name) {
                copy.headers.push(header.name.clone(), Bytes::copy_from_slice(header.value()));
            }
        }
        copy.body = request.body.clone();
        Some(copy)
    }

    /// A device has answered a message of ours. Whether it was one.
    pub(super) fn message_answered(&mut self, copy: TransactionKey, response: &Response) -> bool {
        if response.status.is_provisional() {
            return self.messages.copies.contains_key(&copy);
        }
        let Some(key) = self.messages.copies.remove(&copy) else { return false };
        if response.status == Status::UNSUPPORTED_MEDIA_TYPE
            && let Some(underway) = self.messages.underway.get_mut(&key)
        {
            underway.accept = response.headers.raw(&Name::Accept).next().cloned();
        }
        // What concerns only our hop is not the sender's business (RFC 3261, 16.7).
        let status = match response.status.code() {
            401 | 407 | 408 | 430 | 481 | 503 => Status::TEMPORARILY_UNAVAILABLE,
            300..=399 => Status::TEMPORARILY_UNAVAILABLE,
            202 => Status::ACCEPTED,
            200..=299 => Status::OK,
            _ => response.status,
        };
        self.message_ended(key, status);
        true
    }

    /// A device does not answer a message of ours. Whether it was one.
    pub(super) fn message_lost(&mut self, copy: TransactionKey, why: Failure) -> bool {
        let Some(key) = self.messages.copies.remove(&copy) else { return false };
        tracing::debug!(%why, "a device does not answer a message");
        self.message_ended(key, Status::TEMPORARILY_UNAVAILABLE);
        true
    }

    fn message_ended(&mut self, key: TransactionKey, status: Status) {
        let Some(underway) = self.messages.underway.get_mut(&key) else { return };
        let Some(status) = underway.fork.ended(status) else { return };
        let Some(underway) = self.messages.underway.remove(&key) else { return };
        self.metrics.message(status);
        let Some(request) = self.request(key) else { return };
        let response = Response::to(&request, status);
        let accept = underway.accept.filter(|_| status == Status::UNSUPPORTED_MEDIA_TYPE);
        let response = match accept {
            Some(types) => response.with(Name::Accept, String::from_utf8_lossy(&types)),
            None => response,
        };
        self.respond(key, response);
    }

    /// Messages that no device took in time. RFC 4320, 4.1: a 408 would come too late to be of use.
    pub(super) fn messages_late(&mut self, now: Instant) {
        for key in self.messages.overdue(now) {
            self.messages.forget(key);
            self.metrics.message(Status::TEMPORARILY_UNAVAILABLE);
            self.answer(key, Status::TEMPORARILY_UNAVAILABLE);
        }
    }
}

/// What the operator lets pass.
fn policy(policy: &config::Messages, request: &Request) -> Result<(), Response> {
    let refuse = |status| Response::to(request, status);
    if !policy.enabled {
        return Err(refuse(Status::FORBIDDEN));
    }
    if request.body.len() > policy.octets_max {
        return Err(refuse(Status::REQUEST_ENTITY_TOO_LARGE));
    }
    let Ok(Some(media)) = request.headers.content_type() else {
        // Without a body there is nothing to name; with one its type must be known (RFC 3261, 20.15).
        return if request.body.is_empty() { Ok(()) } else { Err(refuse(Status::BAD_REQUEST)) };
    };
    let takes = |range: &String| match range.strip_suffix('*') {
        Some(kind) => media.essence.starts_with(&kind.to_ascii_lowercase()),
        None => media.essence.eq_ignore_ascii_case(range),
    };
    if policy.types.is_empty() || policy.types.iter().any(takes) {
        return Ok(());
    }
    Err(refuse(Status::UNSUPPORTED_MEDIA_TYPE).with(Name::Accept, policy.types.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(media: &str, octets: usize) -> Request {
        let uri: sip::Uri = "sip:bob@example.net".parse().unwrap();
        Request::new(Method::Message, uri).with_body(media, vec![0; octets])
    }

    fn verdict(types: &[&str], request: &Request) -> u16 {
        let types = types.iter().map(ToString::to_string).collect();
        let policy = config::Messages { octets_max: 100, types, ..config::Messages::default() };
        super::policy(&policy, request).map_or_else(|response| response.status.code(), |()| 200)
    }

    #[test]
    fn policy_bounds_size_and_type_and_says_what_it_takes() {
        assert_eq!(verdict(&[], &request("application/x-any", 100)), 200);
        assert_eq!(verdict(&[], &request("text/plain", 101)), 413);
        assert_eq!(verdict(&["text/plain", "image/*"], &request("IMAGE/jpeg", 1)), 200);
        assert_eq!(verdict(&["text/plain"], &request("text/html", 1)), 415);
    }

    #[test]
    fn a_body_without_a_type_is_400_and_no_body_needs_none() {
        let mut untyped = request("text/plain", 1);
        untyped.headers.remove(&Name::ContentType);
        assert_eq!(verdict(&[], &untyped), 400);
        untyped.body = Bytes::new();
        assert_eq!(verdict(&[], &untyped), 200);
    }

    #[test]
    fn a_switched_off_service_is_403() {
        let off = config::Messages { enabled: false, ..config::Messages::default() };

        let refused = policy(&off, &request("text/plain", 1)).unwrap_err();

        assert_eq!(refused.status, Status::FORBIDDEN);
    }
}
