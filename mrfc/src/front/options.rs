//! OPTIONS: what the one who is asked can do (RFC 3261, 11). About a conference only those are told who could come in: whoever
//! is kept out, or is new to a locked one, hears what they would hear if there were none (RFC 4579, 5.13).
use ids::{Aor, ConferenceId};
use sip::endpoint::TransactionKey;
use sip::header::Name;
use sip::{Request, Response, SipUri, Status};

use super::answers::overloaded;
use super::dispatch::Reply;
use super::recipients::{FOR_INVITE, FOR_MESSAGE};
use super::screen::with_abilities;
use super::target::Target;
use super::{Done, Front, WhatFor, refusal};
use crate::conference::Scene;
use crate::desk::Refusal;

/// What a desk showed for an OPTIONS.
#[derive(Debug)]
pub(super) struct Shown {
    conference: ConferenceId,
    person: Aor,
    scene: Result<Scene, Refusal>,
}

impl Front {
    pub(super) fn options(&mut self, key: TransactionKey, request: &Request, person: Aor) -> Reply {
        let able = || with_abilities(Response::to(request, Status::OK));
        match self.target(request) {
            Target::Domain => Ok(Some(able())),
            // RFC 5366, 5.1: lists of people are for some resources only.
            Target::Factory => Ok(Some(able().with(Name::Supported, FOR_INVITE))),
            Target::Conference(_) if self.is_list_service(request) => {
                Ok(Some(able().with(Name::Supported, FOR_MESSAGE)))
            }
            Target::Conference(_) if let Some(contact) = self.mailbox_options(request) => {
                Ok(Some(able().with(Name::Contact, contact)))
            }
            Target::Conference(conference) => {
                let desks = self.desks.clone();
                let work = async move {
                    let scene = desks.glance(&conference).await;
                    Done::Shown(key, Box::new(Shown { conference, person, scene }))
                };
                let wait = self.config.limits.call();
                let begun = self.calls.begin(wait, WhatFor::Request(key), work);
                begun.map(|()| None).map_err(|_| overloaded(request))
            }
            Target::Nobody | Target::Elsewhere => Err(Response::to(request, Status::NOT_FOUND)),
            // RFC 3261, 8.2.2.1.
            Target::NotSip => Err(Response::to(request, Status::UNSUPPORTED_URI_SCHEME)),
        }
    }

    /// A desk has shown the conference that an OPTIONS is about.
    pub(super) fn shown(&mut self, key: TransactionKey, shown: Shown) {
        let Some(request) = self.request(key) else { return };
        let Shown { conference, person, scene } = shown;
        let response = match scene {
            Ok(scene) if scene.lets_in(&person) => {
                let secure = request.uri.sip().is_some_and(SipUri::is_secure);
                let able = with_abilities(Response::to(&request, Status::OK));
                // RFC 4579, 4.1: a focus says that it is one.
                match self.contact(&conference, secure) {
                    Some(contact) => able.with(Name::Contact, contact),
                    None => able,
                }
            }
            Ok(_) => refusal::response(&request, &Refusal::NoSuchConference, &self.domain),
            Err(why) => refusal::response(&request, &why, &self.domain),
        };
        self.respond(key, response);
    }
}
