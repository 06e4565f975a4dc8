//! Immediate messages (RFC 3428): a MESSAGE goes to every registered device of the person it names, body and type
//! untouched, and the first device that takes it is the answer. No dialog is made, and what nobody takes is for
//! [`super::deferral`] to keep.
mod sealed;

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
use super::deferral::{self, Sender};
use super::dispatch::Reply;
use super::fork::{Fork, Said};
use super::message_policy::{Content, Side, filter, judge};
use super::privacy::Privacy;
use super::protection::{self, Protection};
use crate::registrar::Binding;
pub(super) use sealed::Asked;
use sealed::Sealed;

/// Messages without an answer.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// By the sender's transaction.
    underway: HashMap<TransactionKey, Underway>,
    /// Our transactions with devices, and whose message each carries.
    copies: HashMap<TransactionKey, Copied>,
}

#[derive(Debug)]
struct Underway {
    fork: Fork,
    until: Instant,
    /// What a device says it takes, for a 415 (RFC 3261, 8.2.3).
    accept: Option<Bytes>,
    author: Aor,
    recipient: Aor,
    privacy: Privacy,
}

/// A message on its way to one device.
#[derive(Debug)]
struct Copied {
    sender: TransactionKey,
    /// The device's other flows, should this one fail (RFC 5626, 5.3).
    others: Vec<Way>,
}

/// A way to a device, or to whoever knows one.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) flow: FlowId,
    pub(super) target: sip::Uri,
    /// Route: the Path of its registration.
    pub(super) path: Vec<String>,
    /// Other ways to the same device. Only one is tried at a time.
    pub(super) others: Vec<Self>,
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
pub(super) const OURS: [Name; 20] = [
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
    Name::SecurityClient,
    Name::SecurityServer,
    Name::SecurityVerify,
];

impl Front {
    pub(super) fn message(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        author: &Aor,
    ) -> Reply {
        if request.headers.to().is_ok_and(|to| to.tag().is_some()) {
            return self.message_in_dialog(flow, request, author).map(Some);
        }
        if let Some(sealed) = Sealed::of(request) {
            return self.ask_circle(key, flow, request, (author, sealed));
        }
        self.message_passes(key, flow, request, author)
    }

    /// What may go on to whom it is for.
    fn message_passes(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        author: &Aor,
    ) -> Reply {
        if self.is_list_service(request) {
            return self.message_for_many(flow, request, author).map(Some);
        }
        super::list::refuse_lists(request)?;
        let recipient = self.recipient(request)?;
        let content = Content::of(request)?;
        self.admit(request, author, &content)?;
        self.terminate(request, &recipient, &content)?;
        self.welcome(request, author, &recipient)?;
        let privacy = self.privacy_of(request, author)?;
        let now = clock::now();
        let ways = self.ways(flow, request, &recipient, now);
        if ways.is_empty() || self.is_for_mailbox(key, &recipient) {
            return self.defer(key, request, &Sender { author, privacy }, &recipient);
        }
        if self.messages.underway.len() >= self.config.limits.calls_max {
            return Err(overloaded(request));
        }
        let mut fork = Fork::default();
        fork.add(ways.len());
        let until = now + Duration::from_secs(self.config.messages.answer_secs);
        let underway =
            Underway { fork, until, accept: None, author: author.clone(), recipient, privacy };
        self.messages.underway.insert(key, underway);
        for way in ways {
            self.message_by(key, request, way);
        }
        Ok(None)
    }

    /// Sends one device its copy.
    fn message_by(&mut self, sender: TransactionKey, request: &Request, way: Way) {
        let Some(underway) = self.messages.underway.get(&sender) else { return };
        let (author, privacy) = (underway.author.clone(), underway.privacy);
        match self.copy(request, &author, privacy, &way) {
            Some(copy) => {
                let sent = self.endpoint.request(clock::now(), way.flow, copy);
                self.messages.copies.insert(sent, Copied { sender, others: way.others });
            }
            None => self.message_ended(sender, Status::TEMPORARILY_UNAVAILABLE),
        }
    }

    /// A flow of a device has failed: the device's next one is tried, if it has one (RFC 5626, 5.3).
    fn next_flow(&mut self, copied: Copied) {
        let Copied { sender, mut others } = copied;
        others.retain(|way| self.flows.contains_key(&way.flow));
        let mut others = others.into_iter();
        match (others.next(), self.request(sender)) {
            (Some(way), Some(request)) => {
                let way = Way { others: others.collect(), ..way };
                self.message_by(sender, &request, way);
            }
            _ => self.message_ended(sender, Status::TEMPORARILY_UNAVAILABLE),
        }
    }

    /// What this person sends is allowed, and nothing in it that can be read speaks against it.
    pub(super) fn admit(
        &self,
        request: &Request,
        author: &Aor,
        content: &Content,
    ) -> Result<(), Response> {
        if author.host().eq_ignore_ascii_case(&self.domain) {
            judge(&self.config.messages, Side::Originating, request, content)?;
        }
        filter(&self.filter, request, content)
    }

    /// What this person is to get is allowed.
    pub(super) fn terminate(
        &self,
        request: &Request,
        to: &Aor,
        content: &Content,
    ) -> Result<(), Response> {
        match self.users.knows(to) {
            true => judge(&self.config.messages, Side::Terminating, request, content),
            false => Ok(()),
        }
    }

    /// Where copies go: to every device registered here, or else to the core, which knows where the person is. What
    /// came from the core because it knows of nobody else does not go back there.
    pub(super) fn ways(&self, from: FlowId, request: &Request, to: &Aor, now: Instant) -> Vec<Way> {
        let way = |binding: Binding| {
            let (flow, target) = (binding.flow, binding.uri.parse().ok()?);
            Some(Way { flow, target, path: binding.path, others: Vec::new() })
        };
        let here = self.ways_to(&request.uri, to, now).into_iter().filter_map(|flows| {
            let mut flows = flows.into_iter().filter_map(way);
            let first = flows.next()?;
            Some(Way { others: flows.collect(), ..first })
        });
        let here: Vec<Way> = here.collect();
        let core = self.core().filter(|_| here.is_empty() && !self.came_from_us(from, request));
        let core = core.map(|flow| {
            let target = SipUri::from(to).into();
            Way { flow, target, path: Vec::new(), others: Vec::new() }
        });
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
    pub(super) fn copy(
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
        let mut copy = Request::new(request.method.clone(), way.target.clone())
            .with(Name::MaxForwards, hops)
            .with(Name::From, from)
            .with(Name::To, request.headers.text(&Name::To)?)
            .with(Name::CallId, random_call_id(&mut self.rng))
            .with(Name::CSeq, CSeq { number: 1, method: request.method.clone() });
        // RFC 3325, 7: inside the trust domain the identity stays, with the wish that it be hidden at its edge.
        let inside = self.is_core(way.flow);
        if let Some(author) = privacy.asserted(author).or_else(|| inside.then_some(author)) {
            let asserted = NameAddr::new(SipUri::from(author));
            copy = copy.with(Name::PAssertedIdentity, asserted);
        }
        if let Some(wish) = privacy.onward(inside) {
            copy = copy.with(Name::Privacy, wish);
        }
        copy = way.path.iter().fold(copy, |copy, hop| copy.with(Name::Route, hop));
        // What protects it is for us to say, and not for its sender.
        let protected = protection::header();
        if request.method == Method::Message {
            copy = copy.with(protected.clone(), Protection::of_request(request).as_str());
        }
        for header in request.headers.iter().filter(|header| !deferral::is_ours(&header.name)) {
            if !OURS.contains(&header.name) && privacy.passes(&header.name) {
                copy.headers.push(header.name.clone(), Bytes::copy_from_slice(header.value()));
            }
        }
        copy.body = privacy.body(request);
        Some(copy)
    }

    /// A device has answered a message of ours. Whether it was one.
    pub(super) fn message_answered(&mut self, copy: TransactionKey, response: &Response) -> bool {
        if response.status.is_provisional() {
            return self.messages.copies.contains_key(&copy);
        }
        let Some(copied) = self.messages.copies.remove(&copy) else { return false };
        if matches!(response.status, Status::FLOW_FAILED | Status::REQUEST_TIMEOUT) {
            self.next_flow(copied);
            return true;
        }
        let key = copied.sender;
        if response.status == Status::UNSUPPORTED_MEDIA_TYPE
            && let Some(underway) = self.messages.underway.get_mut(&key)
        {
            underway.accept = response.headers.raw(&Name::Accept).next().cloned();
        }
        // What concerns only our hop is not the sender's business (RFC 3261, 16.7).
        let said = match response.status.code() {
            401 | 407 | 481 | 503 => Status::TEMPORARILY_UNAVAILABLE.into(),
            300..=399 => Status::TEMPORARILY_UNAVAILABLE.into(),
            202 => Status::ACCEPTED.into(),
            200..=299 => Status::OK.into(),
            _ => Said::by(response),
        };
        self.message_ended(key, said);
        true
    }

    /// A device does not answer a message of ours. Whether it was one.
    pub(super) fn message_lost(&mut self, copy: TransactionKey, why: Failure) -> bool {
        let Some(copied) = self.messages.copies.remove(&copy) else { return false };
        tracing::debug!(%why, "a device does not answer a message");
        self.next_flow(copied);
        true
    }

    fn message_ended(&mut self, key: TransactionKey, said: impl Into<Said>) {
        let Some(underway) = self.messages.underway.get_mut(&key) else { return };
        let Some(said) = underway.fork.ended(said) else { return };
        let status = said.status;
        let Some(underway) = self.messages.underway.remove(&key) else { return };
        let Some(request) = self.request(key) else { return };
        if self.defers(status) {
            self.defer_late(key, &request, &underway, status);
            return;
        }
        self.metrics.message(status);
        let response = said.tell(with_protection(Response::to(&request, status), &request));
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
            let late = Status::TEMPORARILY_UNAVAILABLE;
            match (self.messages.underway.remove(&key), self.request(key)) {
                (Some(underway), Some(request)) => self.defer_late(key, &request, &underway, late),
                _ => self.answer(key, late),
            }
        }
    }

    /// No device took it: it waits, or its sender is told why not.
    fn defer_late(
        &mut self,
        key: TransactionKey,
        request: &Request,
        underway: &Underway,
        status: Status,
    ) {
        let sender = Sender { author: &underway.author, privacy: underway.privacy };
        if let Err(refused) = self.defer(key, request, &sender, &underway.recipient) {
            // Where nothing can be kept, what the devices said is the answer.
            let kept_nowhere = refused.status == Status::TEMPORARILY_UNAVAILABLE;
            let response = if kept_nowhere { Response::to(request, status) } else { refused };
            self.metrics.message(response.status);
            self.respond(key, response);
        }
    }
}

/// A sender whose message is on its way hears how far its protection reaches.
pub(super) fn with_protection(response: Response, request: &Request) -> Response {
    if !response.status.is_success() {
        return response;
    }
    response.with(protection::header(), Protection::of_request(request).as_str())
}
