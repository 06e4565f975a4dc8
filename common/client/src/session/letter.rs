//! How a message is worded: the outer CPIM that servers read, the inner one that only members read, and the rule that
//! ties them together. A message is shown only if the group key, the inner and the outer sender name one author, and
//! the id bound to the seal is the id outside.
use std::borrow::Cow;

use bytes::Bytes;
use ids::Aor;
use mls::member::Opened;
use msrp::Body;
use msrp::cpim::{Builder, Envelope};

use super::required::understood;
use crate::event::Message;

/// Why a message is not shown, for a person.
pub(super) type Unfit = Cow<'static, str>;

/// Our own headers in the inner message.
pub(super) const NAMESPACE: &str = "urn:conclave";
/// Octets in which the headers of an inner message are looked for.
const HEAD_OCTETS_MAX: usize = 4096;

/// Between whom letters go.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// The author.
    pub(super) me: Aor,
    /// The conference URI.
    pub(super) conference: String,
}

impl Addresses {
    /// The complete message: what is sealed in a sealed room, and what is sent in an open one.
    pub(super) fn inner(&self, id: &str, date_time: &str, content_type: &str, body: Bytes) -> Body {
        self.private(&self.conference, (id, date_time), content_type, body)
    }

    /// The same for one address.
    pub(super) fn private(
        &self,
        to: &str,
        (id, date_time): (&str, &str),
        content_type: &str,
        body: Bytes,
    ) -> Body {
        let letter = Builder::new(self.me.as_str(), to).date_time(date_time);
        letter.imdn(id, &[]).content(content_type, body)
    }

    /// The complete message for everyone in a sealed room, with what its author has seen of the group.
    pub(super) fn witnessed(
        &self,
        seen: &str,
        (id, date_time): (&str, &str),
        content_type: &str,
        body: Bytes,
    ) -> Body {
        let letter = Builder::new(self.me.as_str(), &self.conference).date_time(date_time);
        let letter = letter.namespace("conclave", NAMESPACE).header("conclave.Seen", seen);
        letter.imdn(id, &[]).content(content_type, body)
    }

    /// What servers see of a sealed message.
    pub(super) fn outer(&self, id: &str, content_type: &str, sealed: impl Into<Body>) -> Body {
        Builder::new(self.me.as_str(), &self.conference).imdn(id, &[]).content(content_type, sealed)
    }

    /// What servers see of a message that is sealed for one person.
    pub(super) fn whisper(&self, to: &Aor, id: &str, sealed: Bytes) -> Body {
        Builder::new(self.me.as_str(), to.as_str()).imdn(id, &[]).content(mls::wire::MLS, sealed)
    }

    /// Whether a letter is for somebody and not for everyone.
    pub(super) fn is_private(&self, envelope: &Envelope) -> bool {
        envelope.to().is_ok_and(|all| all.iter().all(|to| to.uri != self.conference.as_str()))
    }

    /// A message to the focus itself.
    pub(super) fn to_focus(&self, content_type: &str, content: Bytes) -> Body {
        Builder::new(self.me.as_str(), &self.conference).content(content_type, content)
    }
}

/// Opens the inner letter of a sealed message and checks that everything names the same author and the same message.
///
/// # Errors
/// What does not fit, for a person.
pub(super) fn check(outer: &Envelope, proof: Opened) -> Result<Message, Unfit> {
    let inner = msrp::cpim::Message::read(&Body::from(Bytes::from(proof.plaintext)))
        .map_err(|_bad| "the inner message is not CPIM")?;
    let author = Some(&proof.from.aor);
    if sender(&inner.envelope).as_ref() != author || sender(outer).as_ref() != author {
        return Err("the sender it names is not the one who sealed it".into());
    }
    let inside = inner.envelope.imdn_message_id();
    if inside.as_deref() != Some(&*proof.message_id) || outer.imdn_message_id() != inside {
        return Err("it was sealed under another message id".into());
    }
    understood(outer).map_err(|required| required.to_string())?;
    let mut message = plain(&inner)?;
    message.device = Some(proof.from.device);
    message.epoch = Some(proof.epoch);
    Ok(message)
}

/// What the author of an opened message has seen of the group, if it says so.
pub(super) fn seen(plaintext: &[u8]) -> Option<String> {
    let head = plaintext.get(..plaintext.len().min(HEAD_OCTETS_MAX))?;
    let envelope = msrp::cpim::parse(&Bytes::copy_from_slice(head)).ok().flatten()?;
    envelope.text(NAMESPACE, "Seen").map(Cow::into_owned)
}

/// A message of an open room, believed as far as the relay is.
///
/// # Errors
/// It cannot be shown, and why, for a person.
pub(super) fn plain(letter: &msrp::cpim::Message) -> Result<Message, Unfit> {
    understood(&letter.envelope).map_err(|required| required.to_string())?;
    let content_type = letter.envelope.content_type().ok_or("it has no type")?;
    Ok(Message {
        from: sender(&letter.envelope).ok_or("it has no sender")?,
        device: None,
        id: letter.envelope.imdn_message_id().unwrap_or_default().into_owned(),
        written: letter.envelope.date_time().and_then(|it| crate::time_of(&it)),
        content_type: String::from_utf8_lossy(content_type).into_owned(),
        body: letter.content.gather(),
        epoch: None,
        private: false,
    })
}

fn sender(envelope: &Envelope) -> Option<Aor> {
    envelope.from().ok()?.uri.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Addresses {
        Addresses { me: "sip:alice@x".parse().unwrap(), conference: "sip:room@x".into() }
    }

    fn opened(aor: &str, bound_id: &str, inner: Bytes) -> Opened {
        let device = "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap();
        let from = mls::wire::DeviceName { aor: aor.parse().unwrap(), device };
        Opened { from, epoch: ids::Epoch(3), message_id: bound_id.into(), plaintext: inner.into() }
    }

    fn outer(id: &str) -> Envelope {
        let whole = alice().outer(id, "message/mls", Bytes::from_static(b"sealed"));
        msrp::cpim::Message::read(&whole).unwrap().envelope
    }

    fn inner(id: &str) -> Bytes {
        alice().inner(id, "2026-11-20T12:00:00Z", "text/plain", Bytes::from_static(b"hi")).gather()
    }

    #[test]
    fn a_message_whose_names_agree_is_shown() {
        let message = check(&outer("m1"), opened("sip:alice@x", "m1", inner("m1"))).unwrap();

        assert_eq!(
            (message.from.as_str(), message.id.as_str(), &*message.body),
            ("sip:alice@x", "m1", &b"hi"[..])
        );
    }

    #[test]
    fn what_was_seen_of_the_group_travels_inside() {
        let body = Bytes::from(vec![b'x'; 10_000]);
        let inner =
            alice().witnessed("1/2=00ff", ("m1", "2026-11-20T12:00:00Z"), "text/plain", body);
        let inner = inner.gather();

        assert_eq!(seen(&inner).as_deref(), Some("1/2=00ff"));
        let message = check(&outer("m1"), opened("sip:alice@x", "m1", inner)).unwrap();
        assert_eq!(message.body.len(), 10_000);
        assert_eq!(seen(b"no CPIM"), None);
    }

    /// RFC 3862, 4.7.
    #[test]
    fn cpim_06_a_message_that_requires_what_is_not_understood_here_is_not_shown() {
        let required = |name: &str| {
            let letter = Builder::new("sip:alice@x", "sip:room@x").imdn("m1", &[]);
            let letter = letter.namespace("our", NAMESPACE).header("Require", name);
            letter.content("text/plain", Bytes::from_static(b"hi"))
        };
        let envelope = |name: &str| msrp::cpim::Message::read(&required(name)).unwrap();
        let shown = |outer: &str, inner: &str| {
            let opened = opened("sip:alice@x", "m1", required(inner).gather());
            check(&envelope(outer).envelope, opened).map(|_| ())
        };
        let unknown = Err(Cow::from("it requires \"Subject\", which is not understood here"));

        assert_eq!(shown("imdn.Message-ID", "our.Seen, DateTime"), Ok(()));
        assert_eq!(shown("From", "Subject"), unknown);
        assert_eq!(shown("Subject", "From"), unknown);
        assert_eq!(plain(&envelope("Subject")).map(|_| ()), unknown);
        assert!(plain(&envelope("To")).is_ok());
    }

    #[test]
    fn a_message_in_another_persons_name_is_not_shown() {
        assert!(check(&outer("m1"), opened("sip:mallory@x", "m1", inner("m1"))).is_err());
    }

    #[test]
    fn a_message_under_another_id_than_it_was_sealed_with_is_not_shown() {
        assert!(check(&outer("m2"), opened("sip:alice@x", "m1", inner("m1"))).is_err());
        assert!(check(&outer("m1"), opened("sip:alice@x", "m2", inner("m1"))).is_err());
    }
}
