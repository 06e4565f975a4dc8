//! Changes of a session that is there: re-INVITE (RFC 3261, 14.2) and UPDATE (RFC 3311). Who comes from elsewhere, or with
//! another certificate, gets another seat; whoever only stops listening or goes on (hold, RFC 3264, 8.4) keeps it.
use ids::Aor;
use sip::dialog::DialogId;
use sip::endpoint::{FlowId, TransactionKey};
use sip::{Method, Request, Response, Status};

use super::Front;
use super::dialogs::Call;
use super::dispatch::Reply;
use super::end::House;
use super::offer::{Answered, Offered, Place, again, peer_path, place_of};
use crate::desk::Joiner;

/// Whose ACK follows our 2xx to this request: an UPDATE has none.
pub(super) fn acknowledged_by(key: TransactionKey, request: &Request) -> Option<TransactionKey> {
    (request.method == Method::Invite).then_some(key)
}

/// Whether the peer says that it is where it was: the relay's place for it holds.
fn stays(call: &Call, joiner: &Joiner) -> bool {
    call.peer_path == joiner.peer_path
        && call.end.fingerprints == joiner.end.fingerprints
        && call.end.transport == joiner.end.transport
        && call.end.dial == joiner.end.dial
}

impl Front {
    /// An UPDATE. Without a body it refreshes the session and the target; with one it is what a re-INVITE is.
    pub(super) fn update(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        person: Aor,
    ) -> Reply {
        if !request.body.is_empty() {
            return self.renew(key, flow, request, person);
        }
        // RFC 3311, 10: it has exactly one Contact.
        request.headers.contact().map_err(|_| Response::to(request, Status::BAD_REQUEST))?;
        let id = self.in_dialog(flow, request, &person)?;
        let nothing = || Response::to(request, Status::NO_SUCH_DIALOG);
        let call = self.dialogs.find(&id).ok_or_else(nothing)?;
        let response = self.ok(request, &call.conference);
        Ok(Some(self.timed(request, response, &id)))
    }

    /// A re-INVITE, or an UPDATE with an offer.
    pub(super) fn renew(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        person: Aor,
    ) -> Reply {
        let id = self.in_dialog(flow, request, &person)?;
        let nothing = || Response::to(request, Status::NO_SUCH_DIALOG);
        let call = self.dialogs.find(&id).ok_or_else(nothing)?;
        if call.peer_path.is_none() && call.unacknowledged.is_some() {
            // RFC 3311, 5.2: the answer to our own offer is still to come.
            return Err(Response::to(request, Status::REQUEST_PENDING));
        }
        let (conference, level) = (call.conference.clone(), call.level);
        let device = call.device.clone();
        let (mut joining, mut joiner) =
            self.joiner(flow, request, person, level, Some(id.clone()))?;
        let call = self.dialogs.find(&id).ok_or_else(nothing)?;
        let description = match &joining.offer {
            None => self.offer_again(&id),
            Some(offered) if stays(call, &joiner) => self.answer_again(&id, offered),
            Some(_) => {
                // The dialog's device stays the same, whatever this Contact says.
                joining.device = device.clone();
                joiner.device = device;
                joiner.mask = call.mask.clone().unwrap_or(joiner.mask);
                let desks = self.desks.clone();
                return self.join(key, request, joining, async move {
                    let given = desks.join(&conference, joiner).await?;
                    Ok((conference, given))
                });
            }
        };
        let refused = || Response::to(request, Status::NOT_ACCEPTABLE_HERE);
        let description = description.ok_or_else(refused)?;
        let waits = acknowledged_by(key, request);
        self.dialogs.change(&id, |call| call.unacknowledged = waits.or(call.unacknowledged));
        let response = self.ok(request, &conference);
        let response = response.with_body("application/sdp", description);
        Ok(Some(self.timed(request, response, &id)))
    }

    /// Our end as an offer, whose answer comes with the ACK as the first time.
    fn offer_again(&mut self, id: &DialogId) -> Option<bytes::Bytes> {
        let call = self.dialogs.find(id)?;
        let (description, origin) = again(&call.description, call.origin)?;
        self.dialogs.change(id, |call| {
            call.peer_path = None;
            call.description = description.clone();
            call.origin = origin;
        });
        Some(description)
    }

    /// The answer to an offer of whoever stays: as it was if nothing has changed, otherwise one version on.
    fn answer_again(&mut self, id: &DialogId, offered: &Offered) -> Option<bytes::Bytes> {
        let call = self.dialogs.find(id)?;
        if call.end == offered.end {
            return Some(call.description.clone());
        }
        let (path, fingerprint) = place_of(&call.description)?;
        let (session, version) = call.origin;
        let origin = (session, version + 1);
        let house = House::of(&self.config);
        let place =
            Place { path: &path, fingerprint: &fingerprint, origin, level: call.level, house };
        let description = place.answer(offered)?;
        self.dialogs.change(id, |call| {
            call.description = description.clone();
            call.origin = origin;
        });
        // RFC 7701, 8: what a later description leaves out is no more.
        let (path, end) = (peer_path(offered.offer.media()), offered.end.clone());
        self.answered(id, Answered { path, end });
        Some(description)
    }
}
