//! What becomes of a call that the focus makes because we asked it to (RFC 3515): its notifications, up to the last one.
use std::time::Duration;

use ids::Aor;
use sip::header::Event;
use sip::{Request, Response, Status};
use tokio::sync::mpsc;

use super::Phone;
use crate::event::Error;

/// Notifications that wait; there are few, and only the last one counts.
const HEARD_MAX: usize = 16;
/// What the focus may take beside the ringing.
const LATE: Duration = Duration::from_secs(120);

/// Somebody whom the focus calls for us. Dropped, nothing more is heard of it; the call goes on.
#[derive(Debug)]
pub struct Calling {
    phone: Phone,
    call_id: String,
    heard: mpsc::Receiver<Status>,
    who: Aor,
}

impl Calling {
    /// Who is called.
    pub fn who(&self) -> &Aor {
        &self.who
    }

    /// Waits until they have taken the call, or it has come to another end.
    ///
    /// # Errors
    /// They did not take it: refused with the status that the call came to. Or nothing more is heard of it.
    pub async fn outcome(mut self) -> Result<(), Error> {
        let what = "the call";
        let patience = self.phone.shared.profile.limits.ring + LATE;
        let last = async {
            while let Some(status) = self.heard.recv().await {
                if !status.is_provisional() {
                    return Some(status);
                }
            }
            None
        };
        match tokio::time::timeout(patience, last).await {
            Ok(Some(status)) if status.is_success() => Ok(()),
            Ok(Some(status)) => {
                let (status, reason) = (status.code(), status.phrase().to_owned());
                Err(Error::Refused { what, status, reason })
            }
            Ok(None) | Err(_) => Err(Error::Late(what)),
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.phone.referrals().remove(&self.call_id);
    }
}

impl Phone {
    /// Listens to what becomes of the REFER that will have this Call-ID: a notification may be quicker than its answer.
    pub(super) fn hear(&self, call_id: String, who: &Aor) -> Calling {
        let (to, heard) = mpsc::channel(HEARD_MAX);
        self.referrals().insert(call_id.clone(), to);
        Calling { phone: self.clone(), call_id, heard, who: who.clone() }
    }

    /// A NOTIFY about a REFER of ours: its answer.
    pub(super) fn referred(&self, request: &Request) -> Option<Response> {
        let is_refer = |event: &Event| event.package == "refer";
        request.headers.event().ok().filter(is_refer)?;
        let call_id = request.headers.call_id().ok()?.into_owned();
        let status = status_of(&request.body)?;
        // Whoever asked may not want to know any more; then nobody is there to be told.
        let _told = self.referrals().get(&call_id)?.try_send(status);
        Some(super::incoming::answer(request, Status::OK))
    }
}

/// The status in a `message/sipfrag` (RFC 3515, 2.4.5).
fn status_of(fragment: &[u8]) -> Option<Status> {
    let line = std::str::from_utf8(fragment).ok()?.lines().next()?;
    let code = line.strip_prefix("SIP/2.0 ")?.split(' ').next()?;
    code.parse().ok().and_then(Status::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3515_2_4_5_a_fragment_says_how_the_call_goes() {
        let code = |text: &str| status_of(text.as_bytes()).map(Status::code);

        assert_eq!(code("SIP/2.0 404 Not Found\r\n"), Some(404));
        assert_eq!(code("SIP/2.0 100 Trying"), Some(100));
        for nothing in ["", "SIP/2.0", "SIP/2.0 x y", "HTTP/1.1 200 OK"] {
            assert_eq!(code(nothing), None, "{nothing}");
        }
    }
}
