//! Whether there is somebody of a name, asked without their hearing of it (RFC 3261, 11): who is known to the focus has a
//! mailbox there, whether or not they were ever there.
use ids::Aor;
use sip::Method;

use super::call::At;
use super::{Phone, uri};
use crate::event::Error;

impl Phone {
    /// Whether the focus knows this person; none where it cannot be told: there are no mailboxes, or nobody answers.
    pub(crate) async fn knows(&self, who: &Aor) -> Option<bool> {
        let own = &self.shared.profile.aor;
        if !who.host().eq_ignore_ascii_case(own.host()) {
            return None;
        }
        match self.has_mailbox(who).await {
            Ok(true) => Some(true),
            // Where there are mailboxes at all, we have one.
            Ok(false) => self.has_mailbox(own).await.ok().filter(|has| *has).map(|_| false),
            Err(_) => None,
        }
    }

    async fn has_mailbox(&self, who: &Aor) -> Result<bool, Error> {
        let request = self.request(Method::Options, uri(&At::Mailbox.uri(who))?, who)?;
        match self.send("asking for a mailbox", request).await {
            // A conference may have the same name, and is no machine.
            Ok((_, response)) => {
                let contact = response.headers.contact();
                Ok(contact.is_ok_and(|contact| contact.params.has("automata")))
            }
            Err(Error::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
