//! What a sender is told of a message that waits (RFC 5438): that it is stored, that a device does not take it, that its
//! time is over. That it was delivered is for the device to say (12.2), and never for us. Pure.
use bytes::Bytes;
use ids::Aor;
use msrp::cpim::imdn::{Notification, Status};
use msrp::cpim::{self, Address, Builder};

use super::letter::Letter;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It waits.
    Stored,
    /// A device does not take it.
    Refused,
    /// Nobody came for it in time.
    Expired,
    /// It was a file, and nobody fetched it in time.
    Unfetched,
}

/// What is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// What its sender calls it.
    pub(crate) id: &'a str,
    /// Who sent it, and is told.
    pub(crate) author: &'a Aor,
    /// In whose mailbox it is, or was.
    pub(crate) owner: &'a Aor,
    /// Whom its sender meant.
    pub(crate) meant: &'a str,
    /// When it was written.
    pub(crate) written: &'a str,
}

impl Fate {
    /// As a part of the notification's own name, so that each is told once.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Stored => "processing",
            Self::Refused | Self::Expired => "delivery",
            Self::Unfetched => "fetching",
        }
    }

    const fn status(self) -> Status {
        match self {
            Self::Stored => Status::Stored,
            Self::Refused => Status::Failed,
            Self::Expired => Status::Expired,
            Self::Unfetched => Status::Unfetched,
        }
    }
}

/// The body of a notification about this letter, a `message/cpim`; none if the letter has no name to tell of.
pub(crate) fn about(
    letter: &Letter,
    fate: Fate,
    names: (&str, &str),
    (owner, accepted): (&Aor, &str),
    now: &str,
) -> Option<Bytes> {
    let envelope = letter.envelope_inside()?;
    let id = &*envelope.imdn_message_id()?;
    let written = &*envelope.date_time().unwrap_or_else(|| accepted.into());
    let original = envelope.namespaced(cpim::IMDN, "Original-To");
    let original = original.and_then(Address::parse).map(|address| address.uri.to_owned());
    let to = envelope.to().ok().and_then(|all| all.first().map(|to| to.uri.to_owned()));
    let meant = original.or(to).unwrap_or_else(|| owner.to_string());
    let about = About { id, author: &letter.author, owner, meant: &meant, written };
    Some(notification(about, fate, names, now))
}

/// The body of a notification from the mailbox of this name, called so itself.
pub(crate) fn notification(
    about: About<'_>,
    fate: Fate,
    (mailbox, own_id): (&str, &str),
    now: &str,
) -> Bytes {
    let About { id, author, owner, meant, written } = about;
    let recipients = Some((owner.as_str(), meant));
    let told = Notification { of: id, written, recipients, status: fate.status() };
    let headers = Builder::new(mailbox, author.as_str()).date_time(now).imdn(own_id, &[]);
    told.wrapped_in(headers).gather()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::Headers;
    use sip::header::Name;

    fn letter(id: &str) -> Letter {
        let body = Builder::new("sip:alice@example.net", "sip:bob@example.net")
            .date_time("2026-11-21T12:00:00Z")
            .imdn(id, &["processing", "negative-delivery"])
            .content("text/plain", Bytes::from_static(b"hi"));
        let mut headers = Headers::new();
        headers.push(Name::ContentType, "message/cpim");
        let author = "sip:alice@example.net".parse().unwrap();
        Letter { author, headers, body: body.gather() }
    }

    fn told(fate: Fate) -> Letter {
        let names = ("sip:mailbox@example.net", "own1");
        let body = about(
            &letter("a<&1"),
            fate,
            names,
            (&"sip:bob@example.net".parse().unwrap(), "2026-11-21T12:00:01Z"),
            "2026-11-21T12:00:02Z",
        );
        Letter { body: body.unwrap(), ..letter("x") }
    }

    #[test]
    fn imdn_02_a_notification_says_of_which_message_and_asks_for_none() {
        let stored = told(Fate::Stored);

        let envelope = stored.envelope().unwrap();
        assert!(envelope.is_type(cpim::IMDN_TYPE));
        assert_eq!(envelope.mime().get("Content-Disposition").unwrap(), b"notification");
        assert_eq!(envelope.from().unwrap().uri, "sip:mailbox@example.net");
        assert_eq!(envelope.only_to().unwrap().uri, "sip:alice@example.net");
        assert_eq!(envelope.imdn_message_id().as_deref(), Some("own1"));
        assert_eq!(stored.wants(), super::super::letter::Wants::default());
        let text = String::from_utf8(stored.body.to_vec()).unwrap();
        assert!(text.contains("<message-id>a&lt;&amp;1</message-id>"), "{text}");
        assert!(text.contains("<datetime>2026-11-21T12:00:00Z</datetime>"), "{text}");
        assert!(text.contains("<recipient-uri>sip:bob@example.net</recipient-uri>"), "{text}");
    }

    #[test]
    fn imdn_06_each_fate_has_its_status_and_a_message_without_a_name_none() {
        for (fate, status) in [
            (Fate::Stored, "<stored/>"),
            (Fate::Refused, "<failed/>"),
            (Fate::Expired, "<expired "),
            (Fate::Unfetched, "<unfetched "),
        ] {
            let body = String::from_utf8(told(fate).body.to_vec()).unwrap();
            assert!(body.contains(status), "{body}");
        }
        let nameless = Letter { body: Bytes::from_static(b"hi"), ..letter("x") };
        let bob = "sip:bob@example.net".parse().unwrap();
        assert!(about(&nameless, Fate::Stored, ("", ""), (&bob, ""), "").is_none());
    }
}
