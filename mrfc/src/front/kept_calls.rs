//! Calls that the mailbox answers: a file or messages for somebody who is not there, and files that wait
//! ([`crate::mailbox::files`]). Here is their SIP: who may, the dialog, and its end.
use std::collections::HashMap;

use bytes::Bytes;
use ids::Aor;
use service::clock;
use sip::dialog::{Dialog, DialogId, random_tag};
use sip::endpoint::{FlowId, TransactionKey};
use sip::gruu::Gruu;
use sip::header::{Name, Warning};
use sip::sdp::{Offer, closed_file};
use sip::{Headers, Method, Request, Response, Status};
use tokio::sync::oneshot;

use super::answers::overloaded;
use super::deferral::header;
use super::dispatch::Reply;
use super::fork::Said;
use super::screen::ALLOW;
use super::{Done, Front, WhatFor};
use crate::mailbox::files::{Asked, Deposits, Files, NotTaken, Taken, Wanted};
use crate::mailbox::{Waits, stamp};
use crate::people::shapes::MailboxUse;

/// Dialogs with the mailbox.
pub(super) type KeptCalls = HashMap<DialogId, KeptCall>;

/// A dialog with the mailbox.
#[derive(Debug)]
pub(super) struct KeptCall {
    pub(super) dialog: Dialog,
    pub(super) person: Aor,
    pub(super) flow: FlowId,
    /// What the mailbox has said of its end.
    pub(super) description: Bytes,
    /// Dropped, the session ends; closed, it has ended.
    pub(super) hangup: oneshot::Sender<()>,
}

/// The mailbox has decided.
pub(super) struct Decided {
    key: TransactionKey,
    flow: FlowId,
    caller: Aor,
    instead: Option<Said>,
    taken: Result<Taken, NotTaken>,
}

impl Front {
    /// Whether a call is for the mailbox at once, and what it leaves there then waits for.
    pub(super) fn waits_for(
        &self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        callee: &Aor,
    ) -> Option<Waits> {
        if self.is_for_mailbox(key, callee) {
            return Some(Waits::ForNextTime);
        }
        self.ways_of(flow, request, callee).is_empty().then_some(Waits::ForComing)
    }

    /// The mailbox is called in the place of somebody who is not there, or by its own name; or instead of this answer of
    /// theirs, which stands if it is nothing that a mailbox has or takes.
    pub(super) fn call_mailbox(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        (caller, owner): (Aor, Aor),
        (waits, instead): (Waits, Option<Said>),
    ) -> Reply {
        let nobody = || Response::to(request, Status::TEMPORARILY_UNAVAILABLE);
        let mailbox = self.mailbox.clone().ok_or_else(nobody)?;
        let files = mailbox.files().cloned().ok_or_else(nobody)?;
        let unwanted = self.policies.of(&owner).mailbox() == MailboxUse::Never && caller != owner;
        let of_one_device = request.uri.sip().and_then(Gruu::of).is_some();
        // Whose name is hidden has no mailbox that a fetcher could be told of.
        if unwanted || of_one_device || self.privacy_of(request, &caller)?.hides() {
            return Err(nobody());
        }
        let kind = request.headers.content_type().ok().flatten();
        if kind.is_some_and(|kind| kind.essence.starts_with("multipart/")) {
            // RFC 5547, 8.8: who hears this offers again without the picture.
            return Err(Response::to(request, Status::UNSUPPORTED_MEDIA_TYPE)
                .with(Name::Accept, "application/sdp"));
        }
        let offer = Offer::parse(&request.body).map_err(|_| nobody())?;
        let wanted = Files::wanted(&offer).ok_or_else(nobody)?;
        let asked = Asked { caller: caller.clone(), owner, offer };
        let deposits = Deposits { mailbox, headers: along(&request.headers), waits };
        let work = async move {
            let taken = match wanted {
                Wanted::File => files.open(asked).await,
                Wanted::Messages => files.take_messages(asked, deposits).await,
            };
            Done::Kept(Box::new(Decided { key, flow, caller, instead, taken }))
        };
        let begun = self.calls.begin(self.config.limits.call(), WhatFor::Request(key), work);
        begun.map_err(|_| overloaded(request))?;
        self.respond(key, Response::to(request, Status::TRYING));
        Ok(None)
    }

    /// Nobody has taken a call. What it was for can be left, or found, if the mailbox takes messages that ended so.
    pub(super) fn unanswered(
        &mut self,
        key: TransactionKey,
        (flow, caller, callee): (FlowId, Aor, Aor),
        said: Said,
    ) {
        let Some(request) = self.request(key) else { return };
        let offer = Offer::parse(&request.body).ok();
        if self.defers(said.status) && offer.is_some_and(|offer| Files::wanted(&offer).is_some()) {
            let (people, instead) = ((caller, callee), (Waits::ForNextTime, Some(said.clone())));
            let taken = self.call_mailbox(key, flow, &request, people, instead);
            if taken.is_ok() {
                return;
            }
        }
        self.refuse_as_said(key, &request, said);
    }

    /// The device's refusal, and why, as it said.
    fn refuse_as_said(&mut self, key: TransactionKey, request: &Request, said: Said) {
        let refused = Response::to(request, said.status);
        self.respond(key, said.tell(refused));
    }

    /// The mailbox takes a call, or not.
    pub(super) fn kept_call_decided(&mut self, decided: Decided) {
        let Decided { key, flow, caller, instead, taken } = decided;
        // Cancelled meanwhile: what was taken is dropped.
        let Some(request) = self.request(key) else { return };
        let Taken { answer, until, hangup } = match (taken, instead) {
            (Ok(taken), _) => taken,
            (Err(NotTaken::Nobody | NotTaken::NoFile), Some(said)) => {
                return self.refuse_as_said(key, &request, said);
            }
            (Err(why), _) => {
                tracing::debug!(%why, "the mailbox does not take a call");
                let warning = Warning::new(399, &self.domain, &why.to_string());
                let refused = Response::to(&request, status(&why)).with(Name::Warning, warning);
                return self.respond(key, refused);
            }
        };
        let contact = self.pair_contact(&request.uri);
        let tag = random_tag(&mut self.rng);
        let mut response = Response::to(&request, Status::OK)
            .with_to_tag(&tag)
            // RFC 3840, 10: a machine that takes messages.
            .with(Name::Contact, format!("{contact};automata;actor=\"msg-taker\""))
            .with(Name::Allow, ALLOW)
            .with_body("application/sdp", answer.clone());
        if let Some(until) = until {
            response = response.with(header(), format!("stores;until=\"{}\"", stamp(until)));
        }
        let Ok(dialog) = Dialog::uas(&request, &response) else {
            return self.answer(key, Status::BAD_REQUEST);
        };
        let id = dialog.id().clone();
        let call = KeptCall { dialog, person: caller, flow, description: answer, hangup };
        self.kept_calls.insert(id, call);
        self.respond(key, response);
    }

    /// A request in a dialog with the mailbox; `None` if it belongs to none.
    pub(super) fn in_kept_call(
        &mut self,
        flow: FlowId,
        request: &Request,
        author: &Aor,
    ) -> Option<Result<Response, Response>> {
        let id = DialogId::of_request(request)?;
        let call = self.kept_calls.get_mut(&id)?;
        if call.person != *author {
            return Some(Err(Response::to(request, Status::NO_SUCH_DIALOG)));
        }
        if let Err(refusal) = call.dialog.receive(request) {
            return Some(Err(refusal.response(request, &mut self.rng)));
        }
        call.flow = flow;
        let ok = Response::to(request, Status::OK);
        let response = match request.method {
            Method::Bye => {
                self.kept_calls.remove(&id);
                return Some(Ok(ok));
            }
            Method::Invite | Method::Update => {
                // RFC 5547, 8.4: a media line that is closed is a file that was given up.
                let closed = closed_file(&request.body).is_some();
                let description = call.description.clone();
                let refused = Offer::parse(&request.body).ok().map(|offer| {
                    let origin = sip::sdp::Origin {
                        username: String::from("-"),
                        session: 0,
                        version: 0,
                        address: offer.media().address.clone(),
                    };
                    offer.refuse(&origin)
                });
                let contact = self.pair_contact(&request.uri);
                let ok = ok.with(Name::Contact, contact).with(Name::Allow, ALLOW);
                match (request.body.is_empty(), closed, refused) {
                    (true, _, _) if request.method == Method::Update => ok,
                    (_, true, Some(refused)) => ok.with_body("application/sdp", refused),
                    (_, true, None) => Response::to(request, Status::NOT_ACCEPTABLE_HERE),
                    _ => ok.with_body("application/sdp", description),
                }
            }
            Method::Options => ok,
            _ => Response::to(request, Status::METHOD_NOT_ALLOWED).with(Name::Allow, ALLOW),
        };
        if let Some(call) = self.kept_calls.get_mut(&id) {
            call.dialog.responded(request, &response);
        }
        Some(Ok(response))
    }

    /// Ends the dialogs whose sessions are over: who has given a file hangs up (RFC 5547, 8.7).
    pub(super) fn kept_calls_due(&mut self) {
        let over = self.kept_calls.iter().filter(|(_, call)| call.hangup.is_closed());
        let over: Vec<DialogId> = over.map(|(id, _)| id.clone()).collect();
        for id in over {
            let Some(mut call) = self.kept_calls.remove(&id) else { continue };
            // Only an INVITE can meet a glare.
            if let Ok(bye) = call.dialog.request(Method::Bye) {
                self.endpoint.request(clock::now(), call.flow, bye);
            }
        }
    }

    /// A connection is gone, and with it whoever spoke on it. What has come of a file stays for a while.
    pub(super) fn lost_kept_calls(&mut self, flow: FlowId) {
        self.kept_calls.retain(|_, call| call.flow != flow);
    }
}

/// What goes along with each message of a session, of the request it began with.
fn along(asked: &Headers) -> Headers {
    let mut headers = Headers::new();
    for name in [Name::From, Name::To, Name::Date, Name::Subject] {
        headers.copy(&name, asked);
    }
    headers
}

/// How a caller is told.
fn status(why: &NotTaken) -> Status {
    match why {
        NotTaken::Nobody | NotTaken::Full | NotTaken::SenderFull | NotTaken::SenderLettersFull => {
            Status::TEMPORARILY_UNAVAILABLE
        }
        NotTaken::Sdp(bad) => bad.status(),
        NotTaken::TooLarge | NotTaken::Range | NotTaken::NoFile | NotTaken::Again => {
            Status::NOT_ACCEPTABLE_HERE
        }
        NotTaken::Busy => Status::BUSY_HERE,
        NotTaken::Disk => Status::SERVER_INTERNAL_ERROR,
    }
}
