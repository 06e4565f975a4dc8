//! Calls of people: they ring until they are taken, declined or given up. What a session is made of is decided by whoever
//! takes them.
use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use ids::{Aor, DeviceId, Epoch};
use sip::dialog::{Dialog, random_tag};
use sip::endpoint::TransactionKey;
use sip::multipart::{self, Part};
use sip::sdp::{self, MsrpMedia};
use sip::{Name, Request, Response, Status};
use tokio::sync::{mpsc, oneshot};

use super::call::With;
use super::incoming::{ALLOW, answer};
use super::pager::{Brings, Immediate};
use super::{Call, Phone};
use crate::event::{Announced, DeviceNews, Error};
use crate::session::kept::Kept;
use crate::session::parcel::{Letter, Receipt};
use crate::session::pins::Sighting;

/// Who calls and does not say who they are.
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// Transfers of files that are remembered, so that none is taken twice.
const TRANSFERS_MAX: usize = 256;

/// What people want of this device.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// A session.
    Call(Box<Ringing>),
    /// That it takes a message, which is kept until then.
    Message(Immediate, Option<Kept>),
    /// That it reads a letter: a sealed message that was opened.
    Letter(Letter, Kept),
    /// That it knows of a message of ours that arrived.
    Receipt(Receipt),
    /// That it fetches a file, or lets it come: its key is here.
    Announced(Announced, Kept),
    /// That it looks at a device which was not there before, or has another key.
    Device { who: Aor, device: DeviceId, news: DeviceNews, held: bool },
    /// That it looks into why somebody saw another group than this device did.
    Split { who: Aor, epoch: Epoch },
    /// Something sealed that does not open.
    Unreadable { from: Aor, why: String },
}

impl From<Sighting> for Arrived {
    fn from(Sighting { device, news, held }: Sighting) -> Self {
        Self::Device { who: device.aor, device: device.device, news: news.into(), held }
    }
}

/// A call that nobody has answered. Whoever takes it out of the table answers it.
#[derive(Debug)]
pub(super) struct Unanswered {
    tell: oneshot::Sender<()>,
    given_up: Response,
}

/// A person calls. Dropped, this device is busy; others of its user may go on ringing.
#[derive(Debug)]
pub(crate) struct Ringing {
    phone: Phone,
    key: TransactionKey,
    request: Request,
    tag: String,
    /// Who calls.
    pub(crate) from: Aor,
    /// What they offer.
    pub(crate) offer: sdp::Offer,
    /// A small picture of the file they offer.
    pub(crate) icon: Option<Part>,
    /// What is known of a message that a mailbox brings by this call.
    pub(crate) brings: Option<Brings>,
    given_up: oneshot::Receiver<()>,
}

/// Who says so: the identity that a server vouches for (RFC 3325), or that of From.
pub(super) fn author(request: &Request) -> Aor {
    let asserted = request.headers.addresses(Name::PAssertedIdentity).unwrap_or_default();
    let asserted = asserted.iter().find_map(|address| address.uri.aor());
    let from = || request.headers.from().ok().and_then(|from| from.uri.aor());
    asserted.or_else(from).unwrap_or_else(|| ANONYMOUS.parse().expect("it is an address"))
}

impl Phone {
    /// From now on calls and messages of people come here, and not where they came before.
    pub(crate) fn open_inbox(&self, to: mpsc::Sender<Arrived>) {
        *self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
    }

    pub(super) fn inbox(&self) -> Option<mpsc::Sender<Arrived>> {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn unanswered(&self) -> MutexGuard<'_, HashMap<TransactionKey, Unanswered>> {
        self.shared.ringing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person calls.
    pub(super) async fn rings(
        &self,
        key: TransactionKey,
        request: Request,
    ) -> Result<(), Box<Response>> {
        let refuse = |status| Box::new(answer(&request, status));
        // Nobody here takes calls of people. What a mailbox brings, it is to bring again: it is no more refused by a device
        // that does not listen yet than a message is.
        let nobody = match Brings::of(&request) {
            Some(_) => Status::TEMPORARILY_UNAVAILABLE,
            None => Status::NOT_ACCEPTABLE_HERE,
        };
        let inbox = self.inbox().ok_or_else(|| refuse(nobody))?;
        let body = multipart::find(&request.headers, &request.body, "application/sdp");
        let body = body.unwrap_or_else(|| request.body.clone());
        let offer = sdp::Offer::parse(&body).map_err(|bad| refuse(bad.status()))?;
        let from = author(&request);
        let file = offer.media().file.as_deref().filter(|file| !file.is_capability());
        if file.is_some_and(|file| !self.note_transfer(&from, &file.transfer_id)) {
            // RFC 5547, 8.1: who wants a new transfer gives it a new name.
            let used = "399 - \"this file-transfer-id was used before\"";
            return Err(Box::new(refuse(Status::NOT_ACCEPTABLE_HERE).with(Name::Warning, used)));
        }
        let icon = file.and_then(|file| file.icon.as_deref());
        let icon = icon.and_then(|id| multipart::related(&request.headers, &request.body, id));
        let brings = if file.is_none() { Brings::of(&request) } else { None };
        let place = inbox.try_reserve().map_err(|_full| refuse(Status::BUSY_HERE))?;
        let (tell, given_up) = oneshot::channel();
        let tag = random_tag(&mut rand::rng());
        let response = |status| Response::to(&request, status).with_to_tag(&tag);
        let unanswered = Unanswered { tell, given_up: response(Status::REQUEST_TERMINATED) };
        self.unanswered().insert(key, unanswered);
        let ringing = response(Status::RINGING).with(Name::Contact, self.contact());
        self.shared.sip.respond(key, ringing).await;
        let phone = self.clone();
        let rings = Ringing { phone, key, request, tag, from, offer, icon, brings, given_up };
        place.send(Arrived::Call(Box::new(rings)));
        Ok(())
    }

    /// Notes a transfer of a file; whether it is new.
    fn note_transfer(&self, from: &Aor, id: &str) -> bool {
        let mut known = self.shared.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|(author, seen)| author == from && seen == id) {
            return false;
        }
        known.push_back((from.clone(), id.to_owned()));
        if known.len() > TRANSFERS_MAX {
            known.pop_front();
        }
        true
    }

    /// A caller gives up.
    pub(super) async fn cancelled(&self, key: TransactionKey) {
        let unanswered = self.unanswered().remove(&key);
        if let Some(Unanswered { tell, given_up }) = unanswered {
            self.shared.sip.respond(key, given_up).await;
            // Whoever listened may be gone.
            let _told = tell.send(());
        }
    }

    /// A caller is gone.
    pub(super) fn abandoned(&self, key: TransactionKey) {
        let unanswered = self.unanswered().remove(&key);
        if let Some(Unanswered { tell, .. }) = unanswered {
            let _told = tell.send(());
        }
    }
}

impl Ringing {
    /// Resolves when the caller has given up.
    pub(crate) async fn given_up(&mut self) {
        // The table has forgotten it: it was given up, or there is no phone any more.
        let _either = (&mut self.given_up).await;
    }

    /// Whether the caller has given up.
    pub(crate) fn is_given_up(&mut self) -> bool {
        !matches!(self.given_up.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    /// Takes the call, with `media` as our end of the session.
    pub(crate) async fn accept(self, media: MsrpMedia, answer: Bytes) -> Result<Call, Error> {
        let bad = |why: String| Error::Answer { what: "a call", why };
        let response = Response::to(&self.request, Status::OK)
            .with_to_tag(&self.tag)
            .with(Name::Contact, self.phone.contact())
            .with(Name::Allow, ALLOW)
            .with_body("application/sdp", answer);
        let mut dialog =
            Dialog::uas(&self.request, &response).map_err(|error| bad(error.to_string()))?;
        dialog.responded(&self.request, &response);
        if self.phone.unanswered().remove(&self.key).is_none() {
            return Err(Error::Ended("the caller has given up".to_owned()));
        }
        let theirs = self.offer.media().path.clone();
        let call = self.phone.open(dialog, media, self.from.clone(), With::Person(theirs));
        self.phone.shared.sip.respond(self.key, response).await;
        Ok(call)
    }

    /// Answers that there will be no session.
    pub(crate) async fn refuse(self, status: Status) {
        if self.phone.unanswered().remove(&self.key).is_some() {
            let response = Response::to(&self.request, status).with_to_tag(&self.tag);
            self.phone.shared.sip.respond(self.key, response).await;
        }
    }
}

impl Drop for Ringing {
    fn drop(&mut self) {
        if self.phone.unanswered().remove(&self.key).is_some()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let response = Response::to(&self.request, Status::BUSY_HERE).with_to_tag(&self.tag);
            let (sip, key) = (self.phone.shared.sip.clone(), self.key);
            runtime.spawn(async move { sip.respond(key, response).await });
        }
    }
}
