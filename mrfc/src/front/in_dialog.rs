//! MESSAGE inside of a dialog (RFC 3428, 4). What one of two people writes goes to the other one; what a participant
//! writes to an open conference goes to the others in their dialogs, beside the order of the room.
use ids::{Aor, ConferenceId};
use service::clock;
use sip::dialog::DialogId;
use sip::endpoint::FlowId;
use sip::header::{Name, NameAddr, Warning};
use sip::{Method, Request, Response, SipUri, Status};

use super::Front;
use super::message::with_protection;
use super::message_policy::Content;
use super::privacy::Privacy;
use super::protection::{self, Protection};
use crate::config::Level;

impl Front {
    pub(super) fn message_in_dialog(
        &mut self,
        flow: FlowId,
        request: &Request,
        author: &Aor,
    ) -> Result<Response, Response> {
        let id = self.in_dialog(flow, request, author)?;
        let nothing = || Response::to(request, Status::NO_SUCH_DIALOG);
        let call = self.dialogs.find(&id).ok_or_else(nothing)?;
        let (conference, level, hides) =
            (call.conference.clone(), call.level, call.shown_as.is_some());
        let content = Content::of(request)?;
        self.admit(request, author, &content)?;
        if level == Level::Sealed && content.protection() != Protection::EndToEnd {
            let refused = Response::to(request, Status::UNSUPPORTED_MEDIA_TYPE);
            return Err(refused.with(Name::Accept, mls::wire::MLS));
        }
        let privacy = match hides {
            true => Privacy::whole(),
            false => self.privacy_of(request, author)?,
        };
        self.tell_others(request, (&conference, &id), (author, privacy))?;
        self.metrics.message(Status::ACCEPTED);
        // RFC 3428, 7: nobody has read it yet.
        Ok(with_protection(Response::to(request, Status::ACCEPTED), request))
    }

    fn tell_others(
        &mut self,
        request: &Request,
        (conference, except): (&ConferenceId, &DialogId),
        (author, privacy): (&Aor, Privacy),
    ) -> Result<(), Response> {
        let mut others = self.dialogs.in_conference(conference);
        others.retain(|id| id != except);
        if others.len() > self.config.messages.list_recipients_max {
            // One request is not to become thousands; the session is there for that.
            let warning = Warning::new(399, &self.domain, "too many participants: use the session");
            let refused = Response::to(request, Status::FORBIDDEN);
            return Err(refused.with(Name::Warning, warning));
        }
        let now = clock::now();
        for id in others {
            let Some(flow) = self.dialogs.find(&id).map(|call| call.flow) else { continue };
            // Only an INVITE can meet a glare.
            let copy = self.dialogs.dialog(&id).and_then(|it| it.request(Method::Message).ok());
            let Some(mut copy) = copy else { continue };
            if let Some(author) = privacy.asserted(author) {
                let asserted = NameAddr::new(SipUri::from(author));
                copy = copy.with(Name::PAssertedIdentity, asserted);
            }
            copy = copy.with(protection::header(), Protection::of_request(request).as_str());
            for name in [Name::ContentType, Name::ContentEncoding, Name::ContentLanguage] {
                copy.headers.copy(&name, &request.headers);
            }
            copy.body = privacy.body(request);
            self.endpoint.request(now, flow, copy);
        }
        Ok(())
    }
}
