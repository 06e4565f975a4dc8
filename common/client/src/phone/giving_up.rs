//! An INVITE that its author gives up: CANCEL leaves, and a 2xx that comes all the same is acknowledged and ended at once
//! (RFC 3261, 9.1 and 13.2.2.4).
use std::sync::PoisonError;

use sip::dialog::Dialog;
use sip::endpoint::{Failure, TransactionKey};
use sip::{Method, Request, Response};

use super::Phone;

/// INVITEs remembered for a late answer; each needs it for a few seconds only.
const GIVEN_UP_MAX: usize = 64;

/// A request of ours that is not answered. Dropped before it is, an INVITE is cancelled.
struct Unanswered<'a> {
    phone: &'a Phone,
    key: TransactionKey,
    invite: Option<Request>,
}

impl Phone {
    /// Sends a request, and waits for the final answer to it.
    pub(super) async fn exchange(&self, request: Request) -> Result<Response, Failure> {
        let invite = (request.method == Method::Invite).then(|| request.clone());
        let mut exchange = self.shared.sip.begin(self.flow(), request).await?;
        let mut unanswered = Unanswered { phone: self, key: exchange.key, invite };
        let answer = exchange.last().await;
        unanswered.invite = None;
        answer
    }

    /// Somebody has answered a call that we gave up.
    pub(super) async fn too_late(&self, key: TransactionKey, response: &Response) {
        let request =
            self.shared.given_up.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let Some(request) = request else { return };
        let (Ok(mut dialog), Ok(cseq)) = (Dialog::uac(&request, response), request.headers.cseq())
        else {
            return;
        };
        self.shared.sip.acknowledge(self.flow(), dialog.acknowledgement(cseq.number)).await;
        if let Ok(bye) = dialog.request(Method::Bye) {
            let phone = self.clone();
            // Our own events are read by whoever called us, so the answer is waited for beside.
            tokio::spawn(async move { phone.send("giving a call up", bye).await });
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Some(invite) = self.invite.take() else { return };
        let shared = &self.phone.shared;
        let mut given_up = shared.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        if given_up.len() >= GIVEN_UP_MAX {
            given_up.clear();
        }
        given_up.insert(self.key, invite);
        drop(given_up);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (sip, key) = (shared.sip.clone(), self.key);
            runtime.spawn(async move { sip.cancel(key).await });
        }
    }
}
