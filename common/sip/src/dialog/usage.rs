//! The usages of a [`Dialog`] and what they make of requests: the INVITE usage with its one INVITE in progress, and the
//! number of subscriptions.
use rand::Rng;

use super::{BadDialog, Dialog};
use crate::header::Name;
use crate::message::{Method, Request, Response, Status};

/// The state of the INVITE usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogState {
    /// Made by a provisional response.
    Early,
    /// Made or confirmed by a 2xx.
    Confirmed,
    /// Over, or never there (a dialog made by SUBSCRIBE).
    Terminated,
}

/// Whose INVITE or UPDATE has no final response yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    None,
    Ours,
    Theirs,
}

/// An INVITE or an offer of ours now would cross one that is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an INVITE or UPDATE is in progress in this dialog")]
pub struct Glare;

/// Why a request in a dialog is turned down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such dialog, or it is over.
    #[error("no such dialog")]
    NoDialog,
    /// Its `CSeq` is not above the last one.
    #[error("CSeq out of order")]
    OutOfOrder,
    /// An INVITE of ours is in progress, or an UPDATE with an offer.
    #[error("crosses an INVITE or UPDATE of ours")]
    Glare,
    /// An earlier INVITE or UPDATE of the peer is in progress.
    #[error("an earlier INVITE or UPDATE is in progress")]
    Busy,
}

impl Refusal {
    /// The status it is refused with.
    pub fn status(self) -> Status {
        match self {
            Self::NoDialog => Status::NO_SUCH_DIALOG,
            Self::OutOfOrder | Self::Busy => Status::SERVER_INTERNAL_ERROR,
            Self::Glare => Status::REQUEST_PENDING,
        }
    }

    /// The whole refusal. With [`Refusal::Busy`] it asks to come again in 0 to 10 seconds, at random (14.2).
    pub fn response(self, request: &Request, rng: &mut impl Rng) -> Response {
        let response = Response::to(request, self.status());
        match self {
            Self::Busy => response.with(Name::RetryAfter, rng.random_range(0..=10u32)),
            Self::NoDialog | Self::OutOfOrder | Self::Glare => response,
        }
    }
}

/// The usages that a response makes: the state of the INVITE usage, and how many subscriptions.
pub(super) fn begun(method: &Method, status: Status) -> Result<(DialogState, u16), BadDialog> {
    let code = status.code();
    match method {
        Method::Invite if (101..200).contains(&code) => Ok((DialogState::Early, 0)),
        Method::Invite if status.is_success() => Ok((DialogState::Confirmed, 0)),
        Method::Subscribe | Method::Refer | Method::Notify if status.is_success() => {
            Ok((DialogState::Terminated, 1))
        }
        _ => Err(BadDialog::NoDialog),
    }
}

/// RFC 3261, 12.2; RFC 3311; RFC 6665, 4.4.1; RFC 3515 leaves it to the latter.
pub(super) fn refreshes_target(method: &Method) -> bool {
    matches!(
        method,
        Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer
    )
}

impl Dialog {
    /// A subscription begins in this dialog, by SUBSCRIBE or REFER: the dialog outlives the INVITE usage by it.
    pub fn subscription_begun(&mut self) {
        self.subscriptions = self.subscriptions.saturating_add(1);
    }

    /// A subscription in this dialog is over.
    pub fn subscription_ended(&mut self) {
        self.subscriptions = self.subscriptions.saturating_sub(1);
    }

    /// Whether there is a usage this request can belong to.
    pub(super) fn has_usage(&self, request: &Request) -> bool {
        let subscribed =
            matches!(request.method, Method::Subscribe | Method::Notify | Method::Refer);
        self.invite != DialogState::Terminated || (subscribed && self.subscriptions > 0)
    }

    pub(super) fn end_invite(&mut self) {
        self.invite = DialogState::Terminated;
        self.pending = Pending::None;
        self.updating = Pending::None;
    }

    /// An INVITE got its final answer. If it was the first one, the answer decides whether there is a dialog (12.3);
    /// a failed re-INVITE leaves everything as it was (14.1).
    pub(super) fn invite_answered(&mut self, whose: Pending, status: Status) {
        if self.pending == whose {
            self.pending = Pending::None;
        }
        match (self.invite, status.is_success()) {
            (DialogState::Early, true) => self.invite = DialogState::Confirmed,
            (DialogState::Early, false) => self.end_invite(),
            (DialogState::Confirmed | DialogState::Terminated, _) => {}
        }
    }
}
