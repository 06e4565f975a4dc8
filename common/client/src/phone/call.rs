//! A call to or from a conference or a person: its dialog, how it ends, and what is asked of the focus meanwhile.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ids::{Aor, DeviceId};
use sip::dialog::{Dialog, DialogId};
use sip::{Headers, Method, Name, NameAddr, Request, Response, Uri};
use tokio::sync::oneshot;

use super::pager::with_list;
use super::{Calling, Phone, uri};
use crate::event::{Error, Shown};

/// What is asked of the focus, for its refusal.
const INVITING: &str = "inviting somebody";

/// How a device ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// Away: it stays a member.
    Away,
    /// Out for good.
    Leave,
}

/// A call from the phone's side: the dialog, and whom to tell when the focus ends it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) dialog: Arc<Mutex<Dialog>>,
    pub(super) ended: Option<oneshot::Sender<String>>,
    /// Our last session description, for a re-INVITE.
    pub(super) media: sip::sdp::MsrpMedia,
    pub(super) with: With,
}

/// Who is at the other end.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum With {
    /// A conference focus.
    Focus,
    /// A person, whose device has this path.
    Person(Vec<String>),
}

impl std::fmt::Debug for With {
    /// Leaves out the path, which is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Focus { "a focus" } else { "a person" })
    }
}

/// A call from the conference's side. Dropping it hangs up, away.
#[derive(Debug)]
pub(crate) struct Call {
    phone: Phone,
    id: DialogId,
    focus: Uri,
    conference: Aor,
    hangup: Option<oneshot::Receiver<String>>,
    /// What we are known by to the others, if the focus hides us.
    shown_as: Option<ShownAs>,
    /// A machine has answered.
    is_machine: bool,
}

/// Where a person is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// On their devices; who has none that is there may have a mailbox.
    Devices,
    /// In their mailbox, whoever is there.
    Mailbox,
}

impl At {
    pub(super) fn uri(self, who: &Aor) -> String {
        match self {
            Self::Devices => who.to_string(),
            Self::Mailbox => format!("{who};mailbox"),
        }
    }
}

/// What somebody who hides is known by in a conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownAs {
    /// In place of the address.
    pub(crate) aor: Aor,
    /// In a sealed conference, in place of the device.
    pub(crate) device: Option<DeviceId>,
}

impl ShownAs {
    /// What the focus says of it, in its answer to us or in its call.
    pub(super) fn of(headers: &Headers) -> Option<Self> {
        let shown = headers.addresses(Name::parse(b"Conclave-Shown-As").ok()?).ok()?;
        let shown = shown.first()?;
        Some(Self { aor: shown.uri.aor()?, device: shown.instance() })
    }
}

impl Phone {
    /// Calls a conference with an offer, and with people that it is to call (RFC 5366, 3): the call and the answer.
    pub(crate) async fn call(
        &self,
        target: &Aor,
        media: sip::sdp::MsrpMedia,
        offer: Bytes,
        (guests, shown): (&[Aor], Shown),
    ) -> Result<(Call, Bytes), Error> {
        let what = "joining the conference";
        let patience = self.shared.profile.limits.request;
        let (dialog, response) = self
            .invite(
                what,
                (target, At::Devices),
                (("application/sdp", offer), guests, shown),
                patience,
            )
            .await?;
        let bad = |why: String| Error::Answer { what, why };
        let contact = response.headers.contact().map_err(|error| bad(error.to_string()))?;
        if !contact.params.has("isfocus") {
            return Err(bad("the contact is no conference focus (RFC 4579, 5.1)".to_owned()));
        }
        let conference =
            contact.uri.aor().ok_or_else(|| bad("the contact has no name".to_owned()))?;
        let mut call = self.open(dialog, media, conference, With::Focus);
        call.shown_as = ShownAs::of(&response.headers);
        Ok((call, response.body.clone()))
    }

    /// Calls a person, or their mailbox: the call and the answer. Dropped meanwhile, the call is given up.
    pub(crate) async fn ring(
        &self,
        (target, at): (&Aor, At),
        media: sip::sdp::MsrpMedia,
        (kind, offer): (&str, Bytes),
    ) -> Result<(Call, Bytes), Error> {
        let patience = self.shared.profile.limits.ring;
        let body = (kind, offer);
        let (dialog, response) =
            self.invite("the call", (target, at), (body, &[], Shown::Named), patience).await?;
        let mut call = self.open(dialog, media, target.clone(), With::Person(Vec::new()));
        // RFC 3840, 10.
        let contact = response.headers.contact();
        call.is_machine = contact.is_ok_and(|contact| contact.params.has("automata"));
        if response.headers.contact().is_ok_and(|contact| contact.params.has("isfocus")) {
            // Dropped, it hangs up.
            let why = String::from("a conference has answered");
            return Err(Error::Answer { what: "the call", why });
        }
        Ok((call, response.body.clone()))
    }

    /// Sends an INVITE with an offer and a list of guests, and acknowledges the answer to it.
    async fn invite(
        &self,
        what: &'static str,
        (target, at): (&Aor, At),
        ((kind, offer), guests, shown): ((&str, Bytes), &[Aor], Shown),
        patience: Duration,
    ) -> Result<(Dialog, Response), Error> {
        let request = self
            .request(Method::Invite, uri(&at.uri(target))?, target)?
            .with(Name::Supported, "norefersub, outbound, timer")
            .with(Name::Allow, super::incoming::ALLOW);
        let request = match shown {
            Shown::Named => request,
            // RFC 3323: better no conference than one that learns the name.
            Shown::Hidden => request.with(Name::Privacy, "id;critical"),
        };
        let request = match guests {
            [] => request.with_body(kind, offer),
            guests => {
                let (kind, body) = with_list(kind, offer, guests)?;
                request.with(Name::Require, "recipient-list-invite").with_body(&kind, body)
            }
        };
        let (request, response) = self.send_within(what, request, patience).await?;
        let bad = |why: String| Error::Answer { what, why };
        let dialog = Dialog::uac(&request, &response).map_err(|error| bad(error.to_string()))?;
        let cseq = request.headers.cseq().map_err(|error| bad(error.to_string()))?.number;
        let mut ack = dialog.acknowledgement(cseq);
        // RFC 3261, 22.1: the ACK carries the credentials of its INVITE.
        ack.headers.copy(&Name::Authorization, &request.headers);
        self.shared.sip.acknowledge(self.flow(), ack).await;
        Ok((dialog, response))
    }

    /// Takes a dialog as a call.
    pub(super) fn open(
        &self,
        dialog: Dialog,
        media: sip::sdp::MsrpMedia,
        conference: Aor,
        with: With,
    ) -> Call {
        let (ended, hangup) = oneshot::channel();
        let (id, focus) = (dialog.id().clone(), dialog.target().clone());
        let line = Line { dialog: Arc::new(Mutex::new(dialog)), ended: Some(ended), media, with };
        self.lines().insert(id.clone(), line);
        let (hangup, shown_as) = (Some(hangup), None);
        Call { phone: self.clone(), id, focus, conference, hangup, shown_as, is_machine: false }
    }

    /// Ends a call from our side, if it is still there.
    async fn hang_up(&self, id: DialogId, how: Hangup) {
        let Some(line) = self.lines().remove(&id) else { return };
        let bye = line.dialog.lock().unwrap_or_else(PoisonError::into_inner).request(Method::Bye);
        let Ok(mut bye) = bye else { return };
        if how == Hangup::Leave {
            bye.headers.set(Name::Reason, "conclave;cause=1;text=\"leave\"");
        }
        if let Err(error) = self.send("hanging up", bye).await {
            tracing::debug!(%error, "the focus did not take the BYE");
        }
    }
}

impl Call {
    /// Whether a machine has answered in the place of a person: a mailbox.
    pub(crate) fn is_machine(&self) -> bool {
        self.is_machine
    }

    /// The conference, or the person.
    pub(crate) fn conference(&self) -> &Aor {
        &self.conference
    }

    /// What we are known by to the others, if the focus hides us.
    pub(crate) fn shown_as(&self) -> Option<&ShownAs> {
        self.shown_as.as_ref()
    }

    /// The focus has called us with this.
    pub(super) fn hidden_by(mut self, headers: &Headers) -> Self {
        self.shown_as = ShownAs::of(headers);
        self
    }

    /// What both sides have said of their ends, for when the peer asks again.
    pub(crate) fn described(&self, ours: sip::sdp::MsrpMedia, theirs: &sip::sdp::MsrpMedia) {
        if let Some(line) = self.phone.lines().get_mut(&self.id) {
            line.media = ours;
            line.with = With::Person(theirs.path.clone());
        }
    }

    /// Resolves with the reason when the other side ends the call. Given once.
    pub(crate) fn hangup(&mut self) -> oneshot::Receiver<String> {
        self.hangup.take().unwrap_or_else(|| oneshot::channel().1)
    }

    /// Asks the focus to do something to a person: to invite them, or with the method BYE to remove them
    /// (RFC 3515, RFC 4579). We want no subscription to its progress (RFC 4488).
    pub(crate) async fn refer(&self, who: &Aor, method: Option<&str>) -> Result<(), Error> {
        let target = match method {
            None => who.to_string(),
            Some(method) => format!("{who};method={method}"),
        };
        let request = self.referral(&target)?.with(Name::ReferSub, "false");
        let what = if method.is_some() { "removing somebody" } else { INVITING };
        self.phone.send(what, request).await.map(|_answered| ())
    }

    /// Asks the focus to invite a person, and to tell what becomes of it.
    pub(crate) async fn refer_and_hear(&self, who: &Aor) -> Result<Calling, Error> {
        let request = self.referral(who.as_str())?;
        let call_id = request.headers.call_id().map(|id| id.into_owned()).unwrap_or_default();
        let calling = self.phone.hear(call_id, who);
        self.phone.send(INVITING, request).await.map(|_answered| calling)
    }

    fn referral(&self, target: &str) -> Result<Request, Error> {
        let request = self.phone.request(Method::Refer, self.focus.clone(), &self.conference)?;
        Ok(request
            .with(Name::Supported, "norefersub")
            .with(Name::ReferTo, NameAddr::new(uri(target)?)))
    }

    /// Watches who is in the conference.
    pub(crate) async fn watch(&self) -> Result<super::Watch, Error> {
        self.phone.watch(&self.conference).await
    }

    /// Describes our end again, to the other side of a call that stands.
    pub(crate) async fn describe_again(&self, description: Bytes) -> Result<(), Error> {
        let what = "describing the session again";
        let over = || Error::Ended("the call is over".to_owned());
        let line = self.phone.lines().get(&self.id).map(|line| Arc::clone(&line.dialog));
        let dialog = line.ok_or_else(over)?;
        let request = dialog.lock().unwrap_or_else(PoisonError::into_inner).request(Method::Invite);
        let request = request
            .map_err(|_glare| over())?
            .with(Name::Contact, self.phone.contact())
            .with(Name::Allow, super::incoming::ALLOW)
            .with_body("application/sdp", description);
        let patience = self.phone.shared.profile.limits.request;
        let (request, response) = self.phone.send_within(what, request, patience).await?;
        let ack = {
            let mut dialog = dialog.lock().unwrap_or_else(PoisonError::into_inner);
            dialog.answered(&response);
            let cseq = request.headers.cseq().map_err(|_bad| over())?.number;
            dialog.acknowledgement(cseq)
        };
        self.phone.shared.sip.acknowledge(self.phone.flow(), ack).await;
        Ok(())
    }

    /// Ends the call.
    pub(crate) async fn hang_up(&self, how: Hangup) {
        self.phone.hang_up(self.id.clone(), how).await;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let there = self.phone.lines().contains_key(&self.id);
        if there && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (phone, id) = (self.phone.clone(), self.id.clone());
            runtime.spawn(async move { phone.hang_up(id, Hangup::Away).await });
        }
    }
}
