//! The list service for immediate messages (RFC 5365): one MESSAGE with a list of people becomes one for each of them.
//! Its sender hears 202 before anybody has answered, and nothing after it: whoever wants to know asks for dispositions
//! (RFC 5438) in what is sent.
use std::collections::HashSet;

use bytes::Bytes;
use ids::Aor;
use rand::RngCore as _;
use service::clock;
use sip::endpoint::FlowId;
use sip::header::{Name, NameAddr};
use sip::multipart::{self, Part};
use sip::resource_lists::Entry;
use sip::{Request, Response, SipUri, Status};

use super::Front;
use super::answers::overloaded;
use super::deferral::Sender;
use super::message::with_protection;
use super::message_policy::Content;
use super::recipients::{self, FOR_MESSAGE, Recipients};
use crate::config::Consent;

/// Header fields that speak of the body.
const OF_THE_BODY: [Name; 6] = [
    Name::ContentType,
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::ContentLanguage,
    Name::ContentLength,
    Name::MimeVersion,
];

/// RFC 3261, 8.2.2.3: only the list service does what this extension asks for.
pub(super) fn refuse_lists(request: &Request) -> Result<(), Response> {
    if request.headers.lists(&Name::Require, FOR_MESSAGE) {
        let refused = Response::to(request, Status::BAD_EXTENSION);
        return Err(refused.with(Name::Unsupported, FOR_MESSAGE));
    }
    Ok(())
}

impl Front {
    pub(super) fn is_list_service(&self, request: &Request) -> bool {
        let name = &self.config.messages.list_service;
        let uri = request.uri.sip().filter(|uri| uri.host().eq_ignore_ascii_case(&self.domain));
        !name.is_empty() && uri.and_then(SipUri::user).is_some_and(|user| user == name.as_str())
    }

    /// A message for many. The sender has proved who they are before this (RFC 5363, 5.2).
    pub(super) fn message_for_many(
        &mut self,
        flow: FlowId,
        request: &Request,
        author: &Aor,
    ) -> Result<Response, Response> {
        let privacy = self.privacy_of(request, author)?;
        let letter = Recipients::of(request, self.config.messages.list_recipients_max)
            .map_err(|why| why.response(request, &self.domain))?;
        let people = self.willing(request, &letter.entries, self.config.messages.list_consent)?;
        let template = self.template(request, letter);
        let content = Content::of(&template)?;
        self.admit(request, author, &content)?;
        for person in &people {
            self.terminate(request, person, &content)?;
        }
        if self.endpoint.transactions() >= self.config.limits.calls_max * 4 {
            return Err(overloaded(request));
        }
        let now = clock::now();
        for person in &self.takers(people, author) {
            let mut outgoing = template.clone();
            let to = NameAddr::new(SipUri::from(person));
            outgoing.headers.set(Name::To, to.to_string());
            let ways = self.ways(flow, request, person, now);
            if ways.is_empty() || self.wants_mailbox(person) {
                self.defer_quietly(&outgoing, &Sender { author, privacy }, person);
                continue;
            }
            for way in ways {
                if let Some(copy) = self.copy(&outgoing, author, privacy, &way) {
                    // RFC 5365, 7.1: what becomes of it is not told.
                    self.endpoint.request(now, way.flow, copy);
                }
            }
        }
        self.metrics.message(Status::ACCEPTED);
        Ok(with_protection(Response::to(request, Status::ACCEPTED), &template))
    }

    /// The recipients, each once, if all of them have agreed to be sent such messages (RFC 5360, 5.9.3.3).
    pub(super) fn willing(
        &self,
        request: &Request,
        recipients: &[Entry],
        consent: Consent,
    ) -> Result<Vec<Aor>, Response> {
        let willing = |person: &Aor| match consent {
            Consent::Domain => self.users.knows(person),
            Consent::Nobody => false,
        };
        let (mut people, mut unwilling) = (Vec::new(), Vec::new());
        let mut known = HashSet::new();
        for entry in recipients {
            match entry.uri.aor().filter(willing) {
                Some(person) if known.insert(person.clone()) => people.push(person),
                Some(_) => {}
                None => unwilling.push(format!("<{}>", entry.uri)),
            }
        }
        if unwilling.is_empty() {
            return Ok(people);
        }
        let refused = Response::to(request, Status::CONSENT_NEEDED);
        let missing = Name::parse(b"Permission-Missing").unwrap_or(Name::Warning);
        Err(refused.with(missing, unwilling.join(", ")))
    }

    /// What each recipient gets: what is left of the body, and who else got it. One part alone needs no wrapper
    /// (RFC 5365, 7.3).
    fn template(&mut self, request: &Request, letter: Recipients) -> Request {
        let Recipients { entries, mut parts } = letter;
        parts.extend(recipients::history(&entries));
        let mut template = request.clone();
        OF_THE_BODY.iter().for_each(|name| template.headers.remove(name));
        match parts.as_slice() {
            [] => template.body = Bytes::new(),
            [only] => {
                for header in only.headers.iter() {
                    let value = Bytes::copy_from_slice(header.value());
                    template.headers.push(header.name.clone(), value);
                }
                template.body = only.body.clone();
            }
            several => {
                let (content_type, body) = self.wrapped(several);
                template.headers.push(Name::ContentType, content_type);
                template.body = body;
            }
        }
        template
    }

    /// A body of these parts, and its Content-Type.
    pub(super) fn wrapped(&mut self, parts: &[Part]) -> (String, Bytes) {
        let random = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        multipart::write(parts, random)
    }
}
