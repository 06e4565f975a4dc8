//! What comes in over SIP: calls from a focus, the end of calls, progress nobody asked for. Everything is answered. What
//! people want is in `ringing` and `pager`.
use std::sync::PoisonError;

use bytes::Bytes;
use edge::driver::SipEvent;
use ids::Aor;
use sip::dialog::{Dialog, DialogId, random_tag};
use sip::endpoint::TransactionKey;
use sip::multipart;
use sip::sdp::{self, MsrpMedia};
use sip::session_timer::{SECS_MIN, Terms};
use sip::{Method, Name, Request, Response, Status};
use tokio::sync::mpsc;

use super::call::{Line, With};
use super::{Call, Phone};
use crate::event::Error;

/// The methods a device takes.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS, NOTIFY, MESSAGE";

/// A focus calls: to be answered by [`Incoming::accept`] or by being dropped, which declines.
#[derive(Debug)]
pub(crate) struct Incoming {
    phone: Phone,
    key: TransactionKey,
    request: Option<Request>,
    /// The conference that calls.
    pub(crate) conference: Aor,
    /// What it offers.
    pub(crate) offer: sdp::Offer,
}

/// Answers what comes, over one flow after the other, until the phone is put away.
pub(super) async fn listen(
    phone: Phone,
    mut events: mpsc::Receiver<SipEvent>,
    to: mpsc::Sender<Incoming>,
) {
    while let Some(event) = events.recv().await {
        match event {
            SipEvent::Request { key, request, .. } => take(&phone, key, request, &to).await,
            SipEvent::Cancelled { key } => phone.cancelled(key).await,
            SipEvent::Abandoned { key, .. } => phone.abandoned(key),
            SipEvent::Stray { key, response } => phone.too_late(key, &response).await,
            SipEvent::Closed { flow, .. } if flow != phone.flow() => {}
            SipEvent::Closed { why, .. } => {
                let lines: Vec<_> = phone.lines().drain().collect();
                for (_id, line) in lines {
                    let told = line.ended.map(|ended| {
                        ended.send(format!("the focus is not reached any more: {why}"))
                    });
                    drop(told);
                }
                phone.watches().clear();
                phone.referrals().clear();
                phone.stop_refreshing();
                if !phone.come_back().await {
                    return;
                }
            }
            other => tracing::debug!(?other, "nothing to do"),
        }
    }
}

async fn take(phone: &Phone, key: TransactionKey, request: Request, to: &mpsc::Sender<Incoming>) {
    let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
    let response = match (&request.method, in_dialog) {
        (Method::Invite, false) => match called(phone, key, request, to).await {
            Ok(()) => return,
            Err(response) => *response,
        },
        (Method::Message, _) => phone.told(&request).await,
        (Method::Options, false) => answer(&request, Status::OK).with(Name::Allow, ALLOW),
        (Method::Notify, true) => {
            let told = phone.notified(&request).or_else(|| phone.referred(&request));
            told.unwrap_or_else(|| within(phone, &request))
        }
        (Method::Invite | Method::Update | Method::Bye | Method::Options, true) => {
            within(phone, &request)
        }
        (known, _) if Method::KNOWN.contains(known) => {
            answer(&request, Status::METHOD_NOT_ALLOWED).with(Name::Allow, ALLOW)
        }
        _ => answer(&request, Status::NOT_IMPLEMENTED).with(Name::Allow, ALLOW),
    };
    phone.shared.sip.respond(key, response).await;
}

async fn called(
    phone: &Phone,
    key: TransactionKey,
    request: Request,
    to: &mpsc::Sender<Incoming>,
) -> Result<(), Box<Response>> {
    let refuse = |status| Box::new(answer(&request, status));
    let contact = request.headers.contact().map_err(|_bad| refuse(Status::BAD_REQUEST))?;
    if !contact.params.has("isfocus") {
        return phone.rings(key, request).await;
    }
    // RFC 4579, 5.1: the contact of a focus is the conference.
    let conference = contact.uri.aor().ok_or_else(|| refuse(Status::BAD_REQUEST))?;
    // Who else was called may stand beside it (RFC 5366, 5).
    let body = multipart::find(&request.headers, &request.body, "application/sdp");
    let body = body.ok_or_else(|| refuse(Status::UNSUPPORTED_MEDIA_TYPE))?;
    let offer = sdp::Offer::parse_conference(&body);
    let offer = offer.map_err(|bad| refuse(bad.status()))?;
    let busy = refuse(Status::BUSY_HERE);
    let request = Some(request);
    let incoming = Incoming { phone: phone.clone(), key, request, conference, offer };
    match to.try_send(incoming) {
        Ok(()) => Ok(()),
        Err(
            mpsc::error::TrySendError::Full(mut incoming)
            | mpsc::error::TrySendError::Closed(mut incoming),
        ) => {
            incoming.request = None;
            Err(busy)
        }
    }
}

/// A request in a dialog of ours.
fn within(phone: &Phone, request: &Request) -> Response {
    let id = DialogId::of_request(request);
    let mut lines = phone.lines();
    let Some(line) = id.as_ref().and_then(|id| lines.get_mut(id)) else {
        return answer(request, Status::NO_SUCH_DIALOG);
    };
    let mut dialog = line.dialog.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(refusal) = dialog.receive(request) {
        return refusal.response(request, &mut rand::rng());
    }
    let mut response = answer(request, Status::OK);
    if request.method == Method::Update && request.body.is_empty() {
        response = refreshed(request, response.with(Name::Contact, phone.contact()));
        dialog.responded(request, &response);
    } else if let Some(sdp) = closed(line, request) {
        response = refreshed(request, response.with(Name::Contact, phone.contact()))
            .with_body("application/sdp", sdp);
        dialog.responded(request, &response);
        let told = line.ended.take().map(|ended| ended.send("the file was given up".to_owned()));
        drop(told);
    } else if matches!(request.method, Method::Invite | Method::Update) {
        response = match again(line, request) {
            Ok(sdp) => refreshed(request, response.with(Name::Contact, phone.contact()))
                .with_body("application/sdp", sdp),
            Err(status) => answer(request, status),
        };
        dialog.responded(request, &response);
    }
    drop(dialog);
    if request.method == Method::Bye {
        let ended = line.ended.take().map(|ended| ended.send(reason(request)));
        drop(ended);
        id.and_then(|id| lines.remove(&id));
    }
    response
}

/// Why the other side ends a call, in its words if it has any (RFC 3326).
fn reason(bye: &Request) -> String {
    let reasons = bye.headers.reasons().unwrap_or_default();
    let said = reasons.iter().find_map(|reason| reason.params.text("text"));
    let said = said.filter(|text| !text.is_empty());
    said.map_or_else(|| "the other side ended the call".to_owned(), std::borrow::Cow::into_owned)
}

/// The answer to a refresh (RFC 4028, 9): the session goes on for as long as the server says. That it does not come is
/// told by the flow, which ends before.
fn refreshed(request: &Request, response: Response) -> Response {
    const TERMS: Terms = Terms { secs: 1800, secs_min: SECS_MIN };
    let response = response.with(Name::Allow, ALLOW);
    TERMS.grant(service::clock::now(), request, response, None).0
}

/// Our description, when the peer closes the line of the file that the session is for (RFC 5547, 8.4).
fn closed(line: &Line, request: &Request) -> Option<Bytes> {
    let ours = line.media.file.as_deref()?;
    let closed = sdp::closed_file(&request.body)?;
    if closed.transfer_id != ours.transfer_id {
        return None;
    }
    let media = MsrpMedia { port: 0, ..line.media.clone() };
    Some(sdp::offer(&crate::device::origin(&line.media.address), &media))
}

/// Whether an offer asks for what is agreed on: the same file, or none (RFC 5547, 8.1, Figure 3).
fn is_repeated(line: &Line, offer: &sdp::Offer) -> bool {
    match (line.media.file.as_deref(), offer.media().file.as_deref()) {
        (Some(ours), Some(theirs)) => theirs.compared_with(ours) == sdp::Repetition::Same,
        (ours, theirs) => ours.is_some() == theirs.is_some_and(|file| !file.is_capability()),
    }
}

/// Our description, when the peer asks for it again. A person who has moved elsewhere would need a new connection.
fn again(line: &Line, request: &Request) -> Result<Bytes, Status> {
    let origin = crate::device::origin(&line.media.address);
    if request.body.is_empty() {
        return Ok(sdp::offer(&origin, &line.media));
    }
    let offer = match &line.with {
        With::Focus => sdp::Offer::parse_conference(&request.body),
        With::Person(_) => sdp::Offer::parse(&request.body),
    };
    let offer = offer.map_err(|bad| bad.status())?;
    match &line.with {
        With::Person(path) if *path != offer.media().path || !is_repeated(line, &offer) => {
            Err(Status::NOT_ACCEPTABLE_HERE)
        }
        _ => Ok(offer.answer(&origin, &line.media)),
    }
}

impl Incoming {
    /// Answers with `media` as our end of the session.
    pub(crate) async fn accept(
        mut self,
        media: MsrpMedia,
        answer_sdp: Bytes,
    ) -> Result<Call, Error> {
        let bad = |why: String| Error::Answer { what: "an invitation", why };
        let request =
            self.request.take().ok_or_else(|| bad("it is answered already".to_owned()))?;
        let response = answer(&request, Status::OK)
            .with(Name::Contact, self.phone.contact())
            .with(Name::Allow, ALLOW)
            .with_body("application/sdp", answer_sdp);
        let mut dialog =
            Dialog::uas(&request, &response).map_err(|error| bad(error.to_string()))?;
        dialog.responded(&request, &response);
        let call = self.phone.open(dialog, media, self.conference.clone(), With::Focus);
        let call = call.hidden_by(&request.headers);
        self.phone.shared.sip.respond(self.key, response).await;
        Ok(call)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(request) = self.request.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (phone, key) = (self.phone.clone(), self.key);
            let declined = answer(&request, Status::DECLINE);
            runtime.spawn(async move { phone.shared.sip.respond(key, declined).await });
        }
    }
}

/// A response with a To tag of ours where there is none yet.
pub(super) fn answer(request: &Request, status: Status) -> Response {
    let response = Response::to(request, status);
    let tagged = request.headers.to().is_ok_and(|to| to.tag().is_some());
    if tagged { response } else { response.with_to_tag(&random_tag(&mut rand::rng())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r4028_9_a_refresh_is_answered_with_what_was_asked_and_who_refreshes() {
        let uri = "sip:alice@192.0.2.1".parse::<sip::Uri>().unwrap();
        let update = Request::new(Method::Update, uri)
            .with(Name::Supported, "timer")
            .with(Name::SessionExpires, "600;refresher=uac");

        let response = refreshed(&update, Response::to(&update, Status::OK));

        assert_eq!(response.headers.text(&Name::SessionExpires).unwrap(), "600;refresher=uac");
        assert!(response.headers.lists(&Name::Allow, "UPDATE"));
    }
}
