//! Receipts (RFC 5438, 7.2.1.1): who asks in the clear to be told that a message was delivered is told so, once, by the
//! device that has it. Of a receipt nobody is told, nor of what is sealed: its receipt would have to be sealed too.
use bytes::Bytes;
use ids::Aor;
use msrp::cpim::imdn::{Notification, Status};
use msrp::cpim::{self, Builder, IMDN_TYPE};
use sha2::{Digest as _, Sha256};
use sip::{Headers, Request};

use super::Phone;
use super::ringing::author;

impl Phone {
    /// Tells the sender of this message that it is here, if that was asked for. Nobody waits for it.
    pub(super) fn thank(&self, request: &Request) {
        let (from, us) = (author(request), &self.shared.profile.aor);
        let now = crate::date_time(service::clock::wall());
        let body = receipt(&request.headers, &request.body, (&from, us), &now);
        let Some(body) = body else { return };
        let phone = self.clone();
        tokio::spawn(async move {
            if let Err(error) = phone.message(&from, cpim::MEDIA_TYPE, body).await {
                tracing::debug!(%error, "a receipt was not sent");
            }
        });
    }
}

/// The body of the receipt for this message, a `message/cpim`, if its sender `from` wants one of `us`.
pub(super) fn receipt(
    headers: &Headers,
    body: &Bytes,
    (from, us): (&Aor, &Aor),
    now: &str,
) -> Option<Bytes> {
    let kind = headers.content_type().ok().flatten()?;
    let envelope = kind.is(cpim::MEDIA_TYPE).then(|| cpim::parse(body).ok().flatten()).flatten()?;
    let sealed = envelope.is_type("message/mls") || envelope.is_type("application/pkcs7-mime");
    let author = envelope.from().ok()?.uri.parse::<Aor>().ok()?;
    // A receipt goes to who has proved to be the sender, and to nobody else who is named.
    let wanted = envelope.wants("positive-delivery");
    if sealed || envelope.is_type(IMDN_TYPE) || author != *from || !wanted {
        return None;
    }
    let id = &*envelope.imdn_message_id()?;
    // All devices of a person give it the same name, so that several are one to who keeps or shows them.
    let own_id = hex::encode(Sha256::digest(format!("delivered {us} {from} {id}")));
    let own_id = own_id.get(..32).unwrap_or_default();
    let recipients = Some((us.as_str(), us.as_str()));
    let written = &*envelope.date_time().unwrap_or_else(|| now.into());
    let told = Notification { of: id, written, recipients, status: Status::Delivered };
    let headers = Builder::new(us.as_str(), from.as_str()).date_time(now).imdn(own_id, &[]);
    Some(told.wrapped_in(headers).gather())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::header::Name;

    fn told(wanted: &[&str], kind: &str, from: &str) -> Option<String> {
        let body = Builder::new("sip:alice@example.net", "sip:bob@example.net")
            .imdn("m<1", wanted)
            .content(kind, Bytes::from_static(b"hi"))
            .gather();
        let mut headers = Headers::new();
        headers.push(Name::ContentType, "message/cpim");
        let (from, us) = (from.parse().unwrap(), "sip:bob@example.net".parse().unwrap());
        let receipt = receipt(&headers, &body, (&from, &us), "2026-11-21T12:00:00Z");
        receipt.map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn imdn_02_a_receipt_is_for_who_asked_and_there_is_none_for_a_receipt_or_for_what_is_sealed() {
        let (alice, both) = ("sip:alice@example.net", &["display", "positive-delivery"][..]);

        let receipt = told(both, "text/plain", alice).unwrap();

        assert!(receipt.contains("<message-id>m&lt;1</message-id>"), "{receipt}");
        assert!(receipt.contains("<delivered/>") && receipt.contains("imdn.Message-ID: "));
        assert!(!receipt.contains("Disposition-Notification"));
        assert_eq!(told(&["display"], "text/plain", alice), None);
        assert_eq!(told(both, IMDN_TYPE, alice), None);
        assert_eq!(told(both, "message/mls", alice), None);
        assert_eq!(told(both, "text/plain", "sip:eve@example.net"), None);
    }
}
