//! Immediate messages (RFC 3428): to a person, to many at once by a list service (RFC 5365), and from people.
use bytes::Bytes;
use ids::Aor;
use msrp::cpim;
use rand::Rng as _;
use sip::multipart::{self, Part};
use sip::resource_lists::{self, Entry};
use sip::{Method, Name, Request, Response, Status};
use tokio::sync::broadcast;

use super::incoming::answer;
use super::late::{Late, is_stored, late};
use super::ringing::{Arrived, author};
use super::{Phone, uri};
use crate::event::Error;
use crate::session::kept::Kept;

/// The user part of the URI of the list service.
const LIST_SERVICE: &str = "list";
/// Says how far a message is protected.
const PROTECTION: &str = "Conclave-Protection";

/// The server says that few KeyPackages of this device are left.
const LOW: &str = "application/vnd.conclave.key-packages+json";

/// A message outside of any session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Immediate {
    /// Who sent it.
    pub from: Aor,
    /// The MIME type.
    pub content_type: String,
    /// The content, byte for byte as sent.
    pub body: Bytes,
    /// How far it was protected, if the server says so.
    pub protection: Option<Protection>,
    /// What is known of its times, if it has waited in the mailbox.
    pub late: Option<Late>,
}

/// How far a message is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// TLS to the server, which can read it.
    FirstHop,
    /// Only the recipient's device can read it.
    EndToEnd,
}

/// How far a message of ours has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A device of the recipient has it (200).
    Delivered,
    /// The recipient's mailbox has it (202): a device gets it when it registers.
    Stored,
    /// A server has it (202), and nothing is known yet of whom it is for.
    Accepted,
}

impl Phone {
    /// Sends a message to a person.
    pub(crate) async fn message(
        &self,
        to: &Aor,
        content_type: &str,
        body: Bytes,
    ) -> Result<(Taken, Option<Protection>), Error> {
        let request = self.request(Method::Message, uri(to.as_str())?, to)?;
        self.page(request.with_body(content_type, body)).await
    }

    /// Sends a message to each of these, who see each other's names.
    pub(crate) async fn message_all(
        &self,
        to: &[Aor],
        content_type: &str,
        body: Bytes,
    ) -> Result<(Taken, Option<Protection>), Error> {
        let (content_type, body) = with_list(content_type, body, to)?;
        let service = self.list_service()?;
        let request = self.request(Method::Message, uri(service.as_str())?, &service)?;
        let request = request.with(Name::Require, "recipient-list-message");
        self.page(request.with_body(&content_type, body)).await
    }

    /// Sends a sealed message to these people; several see each other's names.
    pub(crate) async fn parcel(
        &self,
        to: &[Aor],
        parts: Vec<Part>,
        departures: &broadcast::Sender<Immediate>,
    ) -> Result<Taken, Error> {
        let target = match to {
            [one] => one.clone(),
            _ => self.list_service()?,
        };
        let depart = |content_type: &str, body: &Bytes| {
            let from = self.shared.profile.aor.clone();
            let (content_type, body) = (content_type.to_owned(), body.clone());
            // Nobody may be listening.
            let _heard = departures.send(Immediate {
                from,
                content_type,
                body,
                protection: None,
                late: None,
            });
        };
        let (content_type, body) = whole(&parts);
        depart(&content_type, &body);
        let (content_type, body) = match to {
            [_one] => (content_type, body),
            people => {
                let list = recipients(people)?;
                whole(&parts.into_iter().chain([list]).collect::<Vec<_>>())
            }
        };
        let request = self.request(Method::Message, uri(target.as_str())?, &target)?;
        let request = match to {
            [_one] => request,
            _ => request.with(Name::Require, "recipient-list-message"),
        };
        let (taken, _said) = self.page(request.with_body(&content_type, body)).await?;
        Ok(taken)
    }

    fn list_service(&self) -> Result<Aor, Error> {
        let service = format!("sip:{LIST_SERVICE}@{}", self.shared.profile.system.domain);
        let bad =
            |error: ids::BadId| Error::Answer { what: "the list service", why: error.to_string() };
        service.parse().map_err(bad)
    }

    async fn page(&self, mut request: Request) -> Result<(Taken, Option<Protection>), Error> {
        // RFC 3428, 10: a MESSAGE makes no dialog, so it has no Contact.
        request.headers.remove(&Name::Contact);
        let (_sent, response) = self.send("the message", request).await?;
        let taken = match response.status {
            Status::ACCEPTED if is_stored(&response) => Taken::Stored,
            Status::ACCEPTED => Taken::Accepted,
            _ => Taken::Delivered,
        };
        Ok((taken, protection(&response.headers)))
    }

    /// A message has come.
    pub(super) async fn told(&self, request: &Request) -> Response {
        let content_type = request.headers.text(&Name::ContentType).unwrap_or_default();
        if content_type.eq_ignore_ascii_case(LOW) {
            // Whoever says it: it makes us look, no more.
            self.shared.low.notify_one();
            return answer(request, Status::OK);
        }
        let Some(inbox) = self.inbox() else {
            return answer(request, Status::TEMPORARILY_UNAVAILABLE);
        };
        let message = Immediate {
            from: author(request),
            content_type: content_type.into_owned(),
            body: request.body.clone(),
            protection: protection(&request.headers),
            late: late(&request.headers, &request.body),
        };
        // A place first: what is kept and finds none would come twice.
        let Ok(place) = inbox.try_reserve() else {
            return answer(request, Status::BUSY_HERE);
        };
        match self.shared.post.keep(&message).await {
            Ok(kept) => {
                place.send(Arrived::Message(message, kept));
                self.thank(request);
                answer(request, Status::OK)
            }
            Err(error) => {
                tracing::warn!(%error, "a message was not taken");
                answer(request, Status::TEMPORARILY_UNAVAILABLE)
            }
        }
    }

    /// What came before the device was started, and was not dealt with. Given once.
    pub(crate) fn kept(&self) -> Vec<(Immediate, Kept)> {
        self.shared.post.before()
    }
}

/// What its author calls a message (RFC 5438, 6.3), if servers can read that and it has a name.
pub(crate) fn name_of(message: &Immediate) -> Option<String> {
    let mut headers = sip::Headers::new();
    headers.push(Name::ContentType, message.content_type.clone());
    let kind = headers.content_type().ok().flatten()?;
    let envelope = kind.is(cpim::MEDIA_TYPE).then(|| cpim::parse(&message.body).ok().flatten());
    let id = envelope.flatten()?.imdn_message_id()?.to_owned();
    Some(id).filter(|id| !id.is_empty())
}

/// A content, and a list of people beside it.
pub(super) fn with_list(
    content_type: &str,
    content: Bytes,
    people: &[Aor],
) -> Result<(String, Bytes), Error> {
    let parts = [Part::new(content_type, content), recipients(people)?];
    Ok(multipart::write(&parts, rand::rng().random()))
}

fn recipients(people: &[Aor]) -> Result<Part, Error> {
    let entry = |aor: &Aor| Ok(Entry::to(uri(aor.as_str())?));
    let entries = people.iter().map(entry).collect::<Result<Vec<_>, Error>>()?;
    let list = Part::new(resource_lists::MEDIA_TYPE, resource_lists::write(&entries));
    Ok(list.with(Name::ContentDisposition, "recipient-list"))
}

/// A body of these parts; one alone needs no wrapper.
fn whole(parts: &[Part]) -> (String, Bytes) {
    if let [only] = parts
        && let Some(kind) = only.headers.text(&Name::ContentType)
    {
        return (kind.into_owned(), only.body.clone());
    }
    multipart::write(parts, rand::rng().random())
}

fn protection(headers: &sip::Headers) -> Option<Protection> {
    let name: Name = PROTECTION.parse().ok()?;
    match &*headers.text(&name)? {
        "first-hop" => Some(Protection::FirstHop),
        "end-to-end" => Some(Protection::EndToEnd),
        _ => None,
    }
}
