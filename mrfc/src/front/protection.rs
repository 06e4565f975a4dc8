//! How well a message is protected, as its sender and its recipient may know it (3GPP TS 33.328, annex F.2): a client of a
//! signalling network knows its first hop, and more only where the content itself is encrypted. Pure.
use bytes::Bytes;
use mls::wire;
use sip::Request;
use sip::header::{MediaType, Name};
use sip::multipart::{self, Part};
use sip::resource_lists;

/// What a message's protection reaches over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// TLS to the server; whoever forwards it can read it.
    FirstHop,
    /// Only the recipient's device can read it.
    EndToEnd,
}

/// Says it in an answer and in a message that we pass on: `first-hop` or `end-to-end`.
pub(crate) const HEADER: &str = "Conclave-Protection";

impl Protection {
    /// Of a message with this type and content.
    pub(crate) fn of(content_type: Option<&MediaType>, body: &Bytes) -> Self {
        let sealed =
            content_type.is_some_and(|kind| is_sealed(kind, body) || all_sealed(kind, body));
        if sealed { Self::EndToEnd } else { Self::FirstHop }
    }

    pub(crate) fn of_request(request: &Request) -> Self {
        let kind = request.headers.content_type().ok().flatten();
        Self::of(kind.as_ref(), &request.body)
    }

    /// The value of the header field.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::FirstHop => "first-hop",
            Self::EndToEnd => "end-to-end",
        }
    }
}

/// The header field's name.
pub(crate) fn header() -> Name {
    Name::parse(HEADER.as_bytes()).unwrap_or(Name::Warning)
}

/// MLS, and the types of S/MIME and OpenPGP that hide (RFC 8551, 3.2.2; RFC 1847): a signature alone hides nothing.
fn is_encrypted(kind: &MediaType) -> bool {
    let smime = || kind.params.text("smime-type").unwrap_or_default().to_ascii_lowercase();
    match kind.essence.as_str() {
        wire::MLS | wire::SEALED_FILE | "multipart/encrypted" => true,
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
            matches!(smime().as_str(), "enveloped-data" | "authenveloped-data")
        }
        _ => false,
    }
}

fn is_sealed(kind: &MediaType, body: &Bytes) -> bool {
    is_encrypted(kind) || wraps_encrypted(kind, body)
}

/// Several parts of which one is sealed, and every other one is a way into the group or says whom it is for.
fn all_sealed(kind: &MediaType, body: &Bytes) -> bool {
    if !kind.is("multipart/mixed") {
        return false;
    }
    let parts = multipart::read(kind, body).unwrap_or_default();
    let sealed = |part: &Part| part.content_type().is_some_and(|kind| is_sealed(&kind, &part.body));
    let beside = |part: &Part| {
        let is = |essence| part.content_type().is_some_and(|kind| kind.is(essence));
        is(wire::FOUNDING) || is(resource_lists::MEDIA_TYPE)
    };
    parts.iter().any(sealed) && parts.iter().all(|part| sealed(part) || beside(part))
}

fn wraps_encrypted(kind: &MediaType, body: &Bytes) -> bool {
    inside(kind, body).is_some_and(|inner| is_encrypted(&inner))
}

/// The type that a `message/cpim` holds.
pub(crate) fn inside(kind: &MediaType, body: &Bytes) -> Option<MediaType> {
    if !kind.is(msrp::cpim::MEDIA_TYPE) {
        return None;
    }
    let envelope = msrp::cpim::parse(body).ok().flatten()?;
    let mut headers = sip::Headers::new();
    headers.push(Name::ContentType, envelope.content_type()?.to_vec());
    headers.content_type().ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str, body: &str) -> Protection {
        let uri: sip::Uri = "sip:bob@example.net".parse().unwrap();
        let request = Request::new(sip::Method::Message, uri);
        Protection::of_request(&request.with_body(content_type, body.to_owned()))
    }

    #[test]
    fn s1_10_only_what_no_server_can_read_is_called_end_to_end() {
        let parts = |kinds: &[&str]| {
            let part = |kind: &&str| format!("--b\r\nContent-Type: {kind}\r\n\r\nx\r\n");
            kinds.iter().map(part).collect::<String>() + "--b--\r\n"
        };
        let wrapped = |kind: &str| format!("From: <sip:a@b>\r\n\r\nContent-Type: {kind}\r\n\r\nx");
        for sealed in [
            of("message/mls", ""),
            of("Application/PKCS7-MIME; smime-type=\"enveloped-data\"", ""),
            of("message/cpim", &wrapped("message/mls")),
            of("multipart/mixed;boundary=b", &parts(&[wire::FOUNDING, "message/mls"])),
            of("multipart/mixed;boundary=b", &parts(&["message/mls", resource_lists::MEDIA_TYPE])),
        ] {
            assert_eq!(sealed, Protection::EndToEnd);
        }
        for clear in [
            of("text/plain", "message/mls"),
            of("application/pkcs7-mime;smime-type=signed-data", ""),
            of("multipart/signed;boundary=b", ""),
            of("multipart/mixed;boundary=b", &parts(&["message/mls", "text/plain"])),
            of("multipart/mixed;boundary=b", &parts(&[wire::FOUNDING])),
            of("multipart/mixed;boundary=b", "message/mls"),
            of("message/cpim", &wrapped("text/plain")),
            of("message/cpim", "Content-Type: message/mls"),
        ] {
            assert_eq!(clear, Protection::FirstHop);
        }
    }
}
