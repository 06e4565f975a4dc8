//! Sealed messages of circles on their way: the founding that comes with a first one is ordered before it passes, and
//! nobody writes in an epoch that is over. Of the message itself only the clear front of its seal is read.
use std::sync::Arc;

use bytes::Bytes;
use control::gate::{self, Prefix};
use ids::Aor;
use mls::circle::is_circle;
use mls::wire::{self, CommitResult, Founding};
use sip::endpoint::{FlowId, TransactionKey};
use sip::header::{MediaType, Warning};
use sip::multipart;
use sip::{Name, Request, Response, Status};

use super::super::answers::overloaded;
use super::super::dispatch::Reply;
use super::super::{Done, Front, WhatFor};
use crate::circles::{Circles, Refusal};
use crate::front::protection::inside;

/// What concerns a circle in a message.
#[derive(Debug)]
pub(super) struct Sealed {
    prefix: Prefix,
    founding: Option<Bytes>,
}

/// A sealed message whose circle was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    key: TransactionKey,
    flow: FlowId,
    author: Aor,
    passes: Result<(), Refusal>,
}

impl Sealed {
    /// The sealed message of a circle in this body, if it is one.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let kind = request.headers.content_type().ok().flatten()?;
        if !kind.is("multipart/mixed") {
            let prefix = prefix(&kind, &request.body)?;
            return Some(Self { prefix, founding: None });
        }
        let parts = multipart::read(&kind, &request.body).ok()?;
        let founding = parts.iter().find(|part| is(part, wire::FOUNDING));
        let founding = founding.map(|part| part.body.clone());
        let sealed = |part: &multipart::Part| prefix(&part.content_type()?, &part.body);
        let prefix = parts.iter().find_map(sealed)?;
        Some(Self { prefix, founding })
    }
}

fn is(part: &multipart::Part, essence: &str) -> bool {
    part.content_type().is_some_and(|kind| kind.is(essence))
}

/// The clear front of the seal inside a `message/cpim`, if it is a circle's.
fn prefix(kind: &MediaType, body: &Bytes) -> Option<Prefix> {
    if !inside(kind, body)?.is(wire::MLS) {
        return None;
    }
    let envelope = msrp::cpim::parse(body).ok().flatten()?;
    let prefix = gate::read(body.get(envelope.octets()..)?).ok()?;
    is_circle(&prefix.conference).then_some(prefix)
}

/// Orders the founding, if there is one, and asks whether the message may pass.
async fn ask(circles: Circles, author: &Aor, sealed: Sealed) -> Result<(), Refusal> {
    if let Some(founding) = &sealed.founding {
        let founding = Founding::from_bytes(founding).map_err(mls::ledger::Refusal::from)?;
        if *founding.people.id() != sealed.prefix.conference {
            return Err(Refusal::NoSuchCircle);
        }
        // Repeated by an author who does not know that it was kept, it changes nothing.
        if !matches!(circles.found(author, founding).await?, CommitResult::Accepted { .. }) {
            return Err(Refusal::OtherEpoch);
        }
    }
    circles.pass(author, &sealed.prefix).await
}

impl Front {
    /// Asks the circle of a sealed message. The message goes on, or is refused, when it has answered.
    pub(super) fn ask_circle(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        (author, sealed): (&Aor, Sealed),
    ) -> Reply {
        let (circles, author) = (self.desks.circles().clone(), author.clone());
        let work = async move {
            let passes = ask(circles, &author, sealed).await;
            Done::Sealed(Box::new(Asked { key, flow, author, passes }))
        };
        let begun = self.calls.begin(self.config.limits.call(), WhatFor::Request(key), work);
        begun.map(|()| None).map_err(|_| overloaded(request))
    }

    /// A circle has answered.
    pub(in crate::front) fn circle_answered(&mut self, asked: Asked) {
        let Asked { key, flow, author, passes } = asked;
        let Some(request) = self.request(key) else { return };
        let reply = match passes {
            Ok(()) => self.onward(key, flow, &request, &author),
            Err(why) => Err(refusal(&request, &why, &self.domain)),
        };
        if let Ok(Some(response)) | Err(response) = reply {
            self.respond(key, response);
        }
    }

    fn onward(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Arc<Request>,
        author: &Aor,
    ) -> Reply {
        let request = self.for_person(request)?;
        self.message_passes(key, flow, &request, author)
    }
}

fn refusal(request: &Request, why: &Refusal, agent: &str) -> Response {
    let status = match why {
        // The sender reads the log of the circle, and seals again.
        Refusal::OtherEpoch | Refusal::NoSuchCircle => Status::CONDITIONAL_REQUEST_FAILED,
        Refusal::TooMany => Status::FORBIDDEN,
        Refusal::Broken(_) => Status::BAD_REQUEST,
        Refusal::Unavailable => return overloaded(request),
    };
    let warning = Warning::new(399, agent, &why.to_string());
    Response::to(request, status).with(Name::Warning, warning)
}
