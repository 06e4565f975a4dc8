//! The list service for immediate messages (RFC 5365): one MESSAGE with a list of people becomes one for each of them.
//! Its sender hears 202 before anybody has answered, and nothing after it: whoever wants to know asks for dispositions
//! (RFC 5438) in what is sent.
use std::collections::HashSet;

use bytes::Bytes;
use ids::Aor;
use rand::RngCore as _;
use service::clock;
use sip::endpoint::FlowId;
use sip::header::{Name, NameAddr, Warning};
use sip::multipart::{self, BadMultipart, Part};
use sip::resource_lists::{self, BadList, Bounds, Entry};
use sip::{Request, Response, SipUri, Status};

use super::Front;
use super::answers::overloaded;
use super::message::with_protection;
use super::message_policy::Content;
use crate::config::Consent;

/// The extension a request for many is known by (RFC 5365, 4).
const EXTENSION: &str = "recipient-list-message";
/// What the list is for (RFC 5363, 4.2).
const RECIPIENT_LIST: &str = "recipient-list";

/// Header fields that speak of the body.
const OF_THE_BODY: [Name; 6] = [
    Name::ContentType,
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::ContentLanguage,
    Name::ContentLength,
    Name::MimeVersion,
];

/// A body taken apart.
struct Letter {
    recipients: Vec<Entry>,
    /// What is left for each of them.
    parts: Vec<Part>,
}

/// RFC 3261, 8.2.2.3: only the list service does what this extension asks for.
pub(super) fn refuse_lists(request: &Request) -> Result<(), Response> {
    if request.headers.lists(&Name::Require, EXTENSION) {
        let refused = Response::to(request, Status::BAD_EXTENSION);
        return Err(refused.with(Name::Unsupported, EXTENSION));
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
        let letter = take_apart(request, self.config.messages.list_recipients_max)
            .map_err(|why| why.response(request, &self.domain))?;
        let people = self.willing(request, &letter.recipients)?;
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
            for way in self.ways(flow, request, person, now) {
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
    fn willing(&self, request: &Request, recipients: &[Entry]) -> Result<Vec<Aor>, Response> {
        let willing = |person: &Aor| match self.config.messages.list_consent {
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
    fn template(&mut self, request: &Request, letter: Letter) -> Request {
        let Letter { recipients, mut parts } = letter;
        let history = resource_lists::history(&recipients).map(|list| {
            Part::new(resource_lists::MEDIA_TYPE, list)
                .with(Name::ContentDisposition, "recipient-list-history; handling=optional")
        });
        parts.extend(history);
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
                let random =
                    u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
                let (content_type, body) = multipart::write(several, random);
                template.headers.push(Name::ContentType, content_type);
                template.body = body;
            }
        }
        template
    }
}

/// Why a message for many goes to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NoLetter {
    #[error("a message for many is multipart/mixed, with a part of disposition recipient-list")]
    NoList,
    #[error("a list of recipients is application/resource-lists+xml")]
    ListType,
    #[error(transparent)]
    Multipart(#[from] BadMultipart),
    #[error(transparent)]
    List(#[from] BadList),
}

impl NoLetter {
    fn response(self, request: &Request, agent: &str) -> Response {
        let (status, accept) = match self {
            Self::NoList if request.headers.content_type().is_ok_and(is_multipart) => {
                (Status::BAD_REQUEST, None)
            }
            Self::NoList => (Status::UNSUPPORTED_MEDIA_TYPE, Some("multipart/mixed")),
            Self::ListType => (Status::UNSUPPORTED_MEDIA_TYPE, Some(resource_lists::MEDIA_TYPE)),
            Self::Multipart(BadMultipart::Malformed) => (Status::BAD_REQUEST, None),
            Self::Multipart(BadMultipart::Nested) => (Status::UNSUPPORTED_MEDIA_TYPE, None),
            Self::Multipart(BadMultipart::TooMany) | Self::List(BadList::TooLarge) => {
                (Status::REQUEST_ENTITY_TOO_LARGE, None)
            }
            Self::List(BadList::Malformed | BadList::Dtd | BadList::BadUri) => {
                (Status::BAD_REQUEST, None)
            }
        };
        let response = Response::to(request, status)
            .with(Name::Warning, Warning::new(399, agent, &self.to_string()));
        match accept {
            Some(types) => response.with(Name::Accept, types),
            None => response,
        }
    }
}

fn is_multipart(kind: Option<sip::header::MediaType>) -> bool {
    kind.is_some_and(|kind| kind.is("multipart/mixed"))
}

/// The recipients and the rest of a body. Several lists are one (RFC 5363, 4.1).
fn take_apart(request: &Request, recipients_max: usize) -> Result<Letter, NoLetter> {
    let kind = request.headers.content_type().ok().flatten();
    let kind = kind.filter(|kind| kind.is("multipart/mixed")).ok_or(NoLetter::NoList)?;
    let all = multipart::read(&kind, &request.body)?;
    let is_list = |part: &Part| part.disposition().as_deref() == Some(RECIPIENT_LIST);
    let (lists, parts): (Vec<_>, Vec<_>) = all.into_iter().partition(is_list);
    let bounds = Bounds { entries_max: recipients_max, ..Bounds::default() };
    let mut recipients = Vec::new();
    for list in &lists {
        if !list.content_type().is_some_and(|kind| kind.is(resource_lists::MEDIA_TYPE)) {
            return Err(NoLetter::ListType);
        }
        recipients.extend(resource_lists::read(&list.body, bounds)?);
        if recipients.len() > recipients_max {
            return Err(BadList::TooLarge.into());
        }
    }
    if recipients.is_empty() {
        return Err(NoLetter::NoList);
    }
    Ok(Letter { recipients: resource_lists::distinct(recipients), parts })
}
