//! Dialogs (RFC 3261, 12 to 15): who the two sides are, where the next request goes, and which of the peer's requests
//! are in order. A dialog sends nothing and knows no transactions: it makes requests for
//! [`Endpoint::request`](crate::endpoint::Endpoint::request) and judges what an endpoint received.
//!
//! ```text
//!        1xx with tag        2xx                BYE, or a failure of the first INVITE,
//!   o ---------------> Early ----> Confirmed -+ or 481/408 to a request of ours
//!   |                    |             ^      |
//!   |         2xx        |             |      V
//!   +--------------------|-------------+  Terminated
//!                        +------------------->
//! ```
//!
//! A dialog carries usages (RFC 5057): the INVITE usage drawn here, and subscriptions (RFC 6665, REFER's too), which are
//! only counted. It is over when the last usage is. Inside the INVITE usage at most one INVITE or UPDATE with an offer is
//! in progress: the peer's crossing ours is refused with 491, a second one of the peer's with 500 (14.2; RFC 3311, 5.2).
mod id;
mod usage;

use std::time::Duration;

use rand::Rng;

pub use id::{BadDialog, DialogId, random_call_id, random_tag};
use usage::Pending;
pub use usage::{DialogState, Glare, Refusal};

use crate::header::{CSeq, Headers, Name, NameAddr};
use crate::message::{Method, Request, Response, Status};
use crate::uri::Uri;

/// One side's view of a dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    id: DialogId,
    local: NameAddr,
    remote: NameAddr,
    contact: Option<NameAddr>,
    target: Uri,
    routes: Vec<NameAddr>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    /// Whether the Call-ID is ours, which decides who waits longer after a glare.
    is_owner: bool,
    invite: DialogState,
    pending: Pending,
    /// The UPDATE in progress: of ours only one with an offer, of the peer's any.
    updating: Pending,
    subscriptions: u16,
}

impl Dialog {
    /// The dialog that our `response` to the peer's `request` makes (12.1.1). The response must have a To tag and be a
    /// 1xx (early) or a 2xx (confirmed).
    pub fn uas(request: &Request, response: &Response) -> Result<Self, BadDialog> {
        let (remote, local) = (request.headers.from()?, response.headers.to()?);
        let tag = local.tag().ok_or(BadDialog::NoDialog)?;
        let id = DialogId {
            call_id: request.headers.call_id()?.into(),
            local_tag: tag.into(),
            remote_tag: remote.tag().unwrap_or_default().into(),
        };
        let cseq = request.headers.cseq()?.number;
        let (invite, subscriptions) = usage::begun(&request.method, response.status)?;
        Ok(Self {
            id,
            contact: response.headers.contact().ok(),
            target: request.headers.contact()?.uri,
            routes: request.headers.record_routes()?,
            local,
            remote,
            local_cseq: 0,
            remote_cseq: Some(cseq),
            is_owner: false,
            pending: match invite {
                DialogState::Early => Pending::Theirs,
                DialogState::Confirmed | DialogState::Terminated => Pending::None,
            },
            updating: Pending::None,
            invite,
            subscriptions,
        })
    }

    /// The dialog that the peer's `response` to our `request` makes (12.1.2). Responses of several branches make several
    /// dialogs.
    pub fn uac(request: &Request, response: &Response) -> Result<Self, BadDialog> {
        let (local, remote) = (request.headers.from()?, response.headers.to()?);
        let tag = remote.tag().ok_or(BadDialog::NoDialog)?;
        let id = DialogId {
            call_id: request.headers.call_id()?.into(),
            local_tag: local.tag().unwrap_or_default().into(),
            remote_tag: tag.into(),
        };
        let cseq = request.headers.cseq()?.number;
        let (invite, subscriptions) = usage::begun(&request.method, response.status)?;
        let contact = response.headers.contact();
        // An early dialog may have to do without a Contact until the 2xx (RFC 3261, 20.10, table 2).
        let target = match (contact, invite) {
            (Err(_), DialogState::Early) => request.uri.clone(),
            (contact, _) => contact?.uri,
        };
        Ok(Self {
            id,
            contact: request.headers.contact().ok(),
            target,
            routes: reversed(response.headers.record_routes()?),
            local,
            remote,
            local_cseq: cseq,
            remote_cseq: None,
            is_owner: true,
            pending: match invite {
                DialogState::Early => Pending::Ours,
                DialogState::Confirmed | DialogState::Terminated => Pending::None,
            },
            updating: Pending::None,
            invite,
            subscriptions,
        })
    }

    /// What names it.
    pub fn id(&self) -> &DialogId {
        &self.id
    }

    /// The state of the INVITE usage.
    pub fn state(&self) -> DialogState {
        self.invite
    }

    /// Whether no usage is left, so that it can be forgotten.
    pub fn is_over(&self) -> bool {
        self.invite == DialogState::Terminated && self.subscriptions == 0
    }

    /// Us, with our tag.
    pub fn local(&self) -> &NameAddr {
        &self.local
    }

    /// The peer, with its tag.
    pub fn remote(&self) -> &NameAddr {
        &self.remote
    }

    /// Where the peer wants requests to go: its Contact.
    pub fn target(&self) -> &Uri {
        &self.target
    }

    /// The next request of ours in the dialog, with Route, From, To, Call-ID, `CSeq` and, where it refreshes the target,
    /// our Contact (12.2.1.1). BYE ends the INVITE usage at once (15.1.1). An INVITE is refused while one is in progress,
    /// or an UPDATE with an offer (14.1). An UPDATE with an offer is for [`Dialog::update`], an ACK for
    /// [`Dialog::acknowledgement`].
    pub fn request(&mut self, method: Method) -> Result<Request, Glare> {
        match method {
            Method::Invite if self.is_offering() => return Err(Glare),
            Method::Invite => self.pending = Pending::Ours,
            Method::Bye => self.end_invite(),
            _ => {}
        }
        Ok(self.next(method))
    }

    /// An UPDATE of ours that is to carry an offer (RFC 3311, 5.1). It is refused while another offer is in progress.
    pub fn update(&mut self) -> Result<Request, Glare> {
        if self.is_offering() {
            return Err(Glare);
        }
        self.updating = Pending::Ours;
        Ok(self.next(Method::Update))
    }

    fn is_offering(&self) -> bool {
        self.pending != Pending::None || self.updating != Pending::None
    }

    fn next(&mut self, method: Method) -> Request {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.build(method, self.local_cseq)
    }

    /// The ACK to a 2xx to our INVITE (13.2.2.4): its `CSeq` number is that of the INVITE. If the INVITE had
    /// credentials, the ACK needs the same ones (22.1).
    pub fn acknowledgement(&self, invite_cseq: u32) -> Request {
        self.build(Method::Ack, invite_cseq)
    }

    fn build(&self, method: Method, number: u32) -> Request {
        let mut headers = Headers::new();
        let mut route = self.routes.clone();
        let mut uri = self.target.clone();
        let is_loose = |hop: &NameAddr| hop.uri.sip().is_some_and(|uri| uri.params().has("lr"));
        // 12.2.1.1: a first hop that is a strict router takes the place of the target, which goes last.
        if route.first().is_some_and(|first| !is_loose(first)) {
            let first = route.remove(0);
            route.push(NameAddr::new(uri));
            uri = first.uri;
        }
        for hop in &route {
            headers.push(Name::Route, hop.to_string());
        }
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, self.local.to_string());
        headers.push(Name::To, self.remote.to_string());
        headers.push(Name::CallId, self.id.call_id.to_string());
        headers.push(Name::CSeq, CSeq { number, method: method.clone() }.to_string());
        if usage::refreshes_target(&method)
            && let Some(contact) = &self.contact
        {
            headers.push(Name::Contact, contact.to_string());
        }
        Request { headers, ..Request::new(method, uri) }
    }

    /// Judges a request from the peer, and notes it. `Err` says how to refuse it; a refused one changes nothing but the
    /// order. A BYE ends the INVITE usage: what is still unanswered in it is to be answered 487 (15.1.2).
    pub fn receive(&mut self, request: &Request) -> Result<(), Refusal> {
        if DialogId::of_request(request).as_ref() != Some(&self.id) || !self.has_usage(request) {
            return Err(Refusal::NoDialog);
        }
        if request.method == Method::Ack {
            return Ok(());
        }
        let number = request.headers.cseq().map_err(|_| Refusal::OutOfOrder)?.number;
        // 12.2.2: lower is out of order; a gap is not, since a proxy may have challenged what is missing.
        if self.remote_cseq.is_some_and(|last| number <= last) {
            return Err(Refusal::OutOfOrder);
        }
        self.remote_cseq = Some(number);
        match request.method {
            Method::Invite | Method::Update => self.begins(request)?,
            Method::Bye => self.end_invite(),
            _ => {}
        }
        Ok(())
    }

    /// An INVITE or UPDATE of the peer, unless something is in progress that it must not meet. An UPDATE without an offer
    /// meets only another UPDATE.
    fn begins(&mut self, request: &Request) -> Result<(), Refusal> {
        let invites = request.method == Method::Invite;
        let ours = self.pending == Pending::Ours || self.updating == Pending::Ours;
        let theirs = self.pending == Pending::Theirs || self.updating == Pending::Theirs;
        if !invites && request.body.is_empty() {
            if self.updating == Pending::Theirs {
                return Err(Refusal::Busy);
            }
        } else if theirs {
            return Err(Refusal::Busy);
        } else if ours {
            return Err(Refusal::Glare);
        }
        match invites {
            true => self.pending = Pending::Theirs,
            // One of ours cannot be met by it: neither can change the session.
            false if self.updating == Pending::None => self.updating = Pending::Theirs,
            false => {}
        }
        Ok(())
    }

    /// Our response to the peer's `request` left: a 2xx to a target refresh moves the target, and what answers an INVITE
    /// ends its being in progress.
    pub fn responded(&mut self, request: &Request, response: &Response) {
        let status = response.status;
        if status.is_provisional() {
            return;
        }
        if status.is_success()
            && usage::refreshes_target(&request.method)
            && let Ok(contact) = request.headers.contact()
        {
            self.target = contact.uri;
        }
        if request.method == Method::Update && self.updating == Pending::Theirs {
            self.updating = Pending::None;
        }
        if request.method == Method::Invite {
            self.invite_answered(Pending::Theirs, status);
            if status.is_success()
                && let Ok(contact) = response.headers.contact()
            {
                self.contact = Some(contact);
            }
        }
    }

    /// The peer's response to a request of ours came.
    pub fn answered(&mut self, response: &Response) {
        let (Ok(cseq), status) = (response.headers.cseq(), response.status) else { return };
        if status.is_provisional() {
            return;
        }
        let refreshes = status.is_success() && usage::refreshes_target(&cseq.method);
        if refreshes && let Ok(contact) = response.headers.contact() {
            self.target = contact.uri;
        }
        if cseq.method == Method::Invite {
            // 13.2.2.4: the route set of an early dialog is computed again from the 2xx.
            if status.is_success()
                && self.invite == DialogState::Early
                && let Ok(routes) = response.headers.record_routes()
            {
                self.routes = reversed(routes);
            }
            self.invite_answered(Pending::Ours, status);
        }
        if cseq.method == Method::Update && self.updating == Pending::Ours {
            self.updating = Pending::None;
        }
        // 12.2.1.2: the peer no longer has the dialog. For a NOTIFY or SUBSCRIBE that is the subscription (RFC 5057).
        let is_lost = matches!(status, Status::NO_SUCH_DIALOG | Status::REQUEST_TIMEOUT);
        if is_lost && !matches!(cseq.method, Method::Notify | Method::Subscribe) {
            self.end_invite();
        }
    }

    /// How long to wait after a 491 to our INVITE before the next one (14.1): the owner of the Call-ID waits longer, so
    /// that the two do not meet again.
    pub fn glare_wait(&self, rng: &mut impl Rng) -> Duration {
        let tens =
            if self.is_owner { rng.random_range(210..=400) } else { rng.random_range(0..=200) };
        Duration::from_millis(tens * 10)
    }
}

fn reversed(mut routes: Vec<NameAddr>) -> Vec<NameAddr> {
    routes.reverse();
    routes
}
