//! Immediate messages (RFC 3428): to a person, to many at once by a list service (RFC 5365), and from people.
use bytes::Bytes;
use ids::Aor;
use msrp::cpim;
use rand::Rng as _;
use sip::header::Warning;
use sip::multipart::{self, Part};
use sip::resource_lists::{self, Entry};
use sip::{Method, Name, Request, Response, Status};
use tokio::sync::broadcast;

use super::incoming::answer;
use super::late::{Late, is_stored, late, sent_in};
use super::ringing::{Arrived, author};
use super::{Phone, uri};
use crate::event::Error;
use crate::session::kept::Kept;
use crate::session::required::{Required, understood};
use crate::vault::VaultError;

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

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    /// Nobody here takes messages.
    #[error("nobody takes messages here")]
    Nobody,
    /// Too many wait.
    #[error("too much waits to be looked at")]
    Busy,
    /// It could mean something else than it seems to.
    #[error(transparent)]
    Required(#[from] Required),
    /// The disk fails.
    #[error(transparent)]
    Disk(#[from] VaultError),
}

/// What is known of a message before it is here, by the call that brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brings {
    late: Late,
    protection: Option<Protection>,
}

impl Brings {
    /// Only the focus can say so: it passes on nobody else's word.
    pub(super) fn of(invite: &Request) -> Option<Self> {
        let late = late(&invite.headers, &Bytes::new())?;
        Some(Self { late, protection: protection(&invite.headers) })
    }
}

impl Immediate {
    /// The headers of the wrapper (RFC 3862), if there is one.
    fn envelope(&self) -> Option<cpim::Envelope> {
        let kind = self.content_type.split(';').next().unwrap_or_default().trim();
        let is_wrapped = kind.eq_ignore_ascii_case(cpim::MEDIA_TYPE);
        is_wrapped.then(|| cpim::parse(&self.body).ok().flatten()).flatten()
    }

    /// What is said, and its type: without the wrapper (RFC 3862), if there is one.
    pub fn inside(&self) -> (String, Bytes) {
        match self.envelope() {
            None => (self.content_type.clone(), self.body.clone()),
            Some(envelope) => {
                let kind = envelope.content_type().unwrap_or(b"text/plain");
                let kind = String::from_utf8_lossy(kind).into_owned();
                (kind, self.body.slice(envelope.octets().min(self.body.len())..))
            }
        }
    }

    /// A message that a mailbox has brought.
    pub(crate) fn brought(from: &Aor, brings: Brings, content_type: String, body: Bytes) -> Self {
        let Brings { late, protection } = brings;
        let sent = sent_in(&content_type, &body).or(late.sent);
        let late = Some(Late { sent, ..late });
        Self { from: from.clone(), content_type, body, protection, late }
    }
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
        self.post_out(to, request.with_body(content_type, body)).await
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
        self.post_out(&service, request.with_body(&content_type, body)).await
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
        let (taken, _said) = self.post_out(&target, request.with_body(&content_type, body)).await?;
        Ok(taken)
    }

    fn list_service(&self) -> Result<Aor, Error> {
        let service = format!("sip:{LIST_SERVICE}@{}", self.shared.profile.system.domain);
        let bad =
            |error: ids::BadId| Error::Answer { what: "the list service", why: error.to_string() };
        service.parse().map_err(bad)
    }

    async fn post_out(
        &self,
        to: &Aor,
        mut request: Request,
    ) -> Result<(Taken, Option<Protection>), Error> {
        // RFC 3428, 10: a MESSAGE makes no dialog, so it has no Contact.
        request.headers.remove(&Name::Contact);
        let _alone = self.shared.turns.alone(to).await?;
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
        let message = Immediate {
            from: author(request),
            content_type: content_type.into_owned(),
            body: request.body.clone(),
            protection: protection(&request.headers),
            late: late(&request.headers, &request.body),
        };
        match self.keep(message).await {
            Ok(()) => {
                self.thank(request);
                answer(request, Status::OK)
            }
            Err(NotKept::Busy) => answer(request, Status::BUSY_HERE),
            Err(NotKept::Required(required)) => {
                let warning =
                    Warning::new(399, &self.shared.profile.system.domain, &required.to_string());
                answer(request, Status::NOT_ACCEPTABLE_HERE).with(Name::Warning, warning)
            }
            Err(why) => {
                tracing::warn!(%why, "a message was not taken");
                answer(request, Status::TEMPORARILY_UNAVAILABLE)
            }
        }
    }

    /// Keeps a message, and gives it to the inbox: it is on the disk when this returns.
    pub(crate) async fn keep(&self, message: Immediate) -> Result<(), NotKept> {
        message.envelope().as_ref().map_or(Ok(()), understood)?;
        let inbox = self.inbox().ok_or(NotKept::Nobody)?;
        // A place first: what is kept and finds none would come twice.
        let place = inbox.try_reserve().map_err(|_full| NotKept::Busy)?;
        let kept = self.shared.post.keep(&message).await?;
        place.send(Arrived::Message(message, kept));
        Ok(())
    }

    /// What came before the device was started, and was not dealt with. Given once.
    pub(crate) fn kept(&self) -> Vec<(Immediate, Kept)> {
        self.shared.post.before()
    }
}

/// What its author calls a message (RFC 5438, 6.3), if servers can read that and it has a name.
pub(crate) fn name_of(message: &Immediate) -> Option<String> {
    let id = message.envelope()?.imdn_message_id()?.into_owned();
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
