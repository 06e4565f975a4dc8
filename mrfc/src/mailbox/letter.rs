//! A message as it is kept: who wrote it, the header fields that will go along, and its body; and what it says of itself
//! in them: its name, when it was written, how long it may wait, and what its sender wants to be told. Pure.
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ids::Aor;
use msrp::cpim::{self, Envelope};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sip::Headers;
use sip::header::Name;
use sip::multipart::{self, Part};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// Octets of a name that is kept as it is.
const ID_BYTES_MAX: usize = 128;

/// A message that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Who wrote it, whatever its From shows.
    pub(crate) author: Aor,
    /// What goes along.
    pub(crate) headers: Headers,
    /// Octet for octet as it was sent.
    pub(crate) body: Bytes,
}

/// What a sender wants to be told (RFC 5438, 6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// That it waits.
    pub(crate) processing: bool,
    /// That it was not delivered.
    pub(crate) negative: bool,
}

/// The head as it lies on disk, under the key.
#[derive(Serialize, Deserialize)]
struct Head {
    author: String,
    headers: Vec<(String, String)>,
}

impl Letter {
    /// Everything but the body.
    pub(crate) fn head(&self) -> Vec<u8> {
        let header = |header: &sip::header::Header| {
            (header.name.as_str().to_owned(), STANDARD.encode(header.value()))
        };
        let headers = self.headers.iter().map(header).collect();
        let head = Head { author: self.author.to_string(), headers };
        serde_json::to_vec(&head).unwrap_or_default()
    }

    /// From what was kept, if it is that.
    pub(crate) fn read(head: &[u8], body: Bytes) -> Option<Self> {
        let head: Head = serde_json::from_slice(head).ok()?;
        let mut headers = Headers::new();
        for (name, value) in head.headers {
            headers.push(Name::parse(name.as_bytes()).ok()?, STANDARD.decode(value).ok()?);
        }
        Some(Self { author: head.author.parse().ok()?, headers, body })
    }

    /// Its CPIM headers, if it has some.
    pub(crate) fn envelope(&self) -> Option<Envelope> {
        let media = self.headers.content_type().ok().flatten()?;
        media.is(cpim::MEDIA_TYPE).then(|| cpim::parse(&self.body).ok().flatten()).flatten()
    }

    /// The CPIM headers of what is said, also where something stands beside it: the founding of a circle.
    pub(crate) fn envelope_inside(&self) -> Option<Envelope> {
        let media = self.headers.content_type().ok().flatten()?;
        if !media.is("multipart/mixed") {
            return self.envelope();
        }
        let parts = multipart::read(&media, &self.body).ok()?;
        let is_cpim = |part: &Part| part.content_type().is_some_and(|it| it.is(cpim::MEDIA_TYPE));
        let said = parts.into_iter().find(is_cpim)?;
        cpim::parse(&said.body).ok().flatten()
    }

    /// Its type, with its parameters.
    pub(crate) fn content_type(&self) -> Option<String> {
        self.headers.text(&Name::ContentType).map(Cow::into_owned)
    }

    /// What its sender calls it; a sender that gave it no name is taken to repeat itself only if the request is the same.
    pub(crate) fn id(&self, call: &str) -> String {
        let id = self.envelope().and_then(|it| it.imdn_message_id().map(Cow::into_owned));
        match id.filter(|id| !id.is_empty()) {
            Some(id) if id.len() <= ID_BYTES_MAX => format!("imdn:{id}"),
            Some(id) => format!("imdn-sha256:{}", hex::encode(Sha256::digest(id))),
            None => format!("call-sha256:{}", hex::encode(Sha256::digest(call))),
        }
    }

    /// When it was written, as its sender's clock had it.
    pub(crate) fn written(&self) -> Option<SystemTime> {
        let envelope = self.envelope();
        let in_envelope = envelope.as_ref().and_then(Envelope::date_time);
        let in_envelope = in_envelope.and_then(|it| OffsetDateTime::parse(&it, &Rfc3339).ok());
        in_envelope.map(SystemTime::from).or_else(|| self.date())
    }

    /// Its Date (RFC 3261, 20.17).
    pub(crate) fn date(&self) -> Option<SystemTime> {
        let date = self.headers.text(&Name::Date)?;
        OffsetDateTime::parse(&date, &Rfc2822).ok().map(SystemTime::from)
    }

    /// Until when its sender wants it to wait, counted from when it was sent (RFC 3428, 4).
    pub(crate) fn wanted_until(&self, accepted: SystemTime) -> Option<SystemTime> {
        let secs = self.headers.expires().ok().flatten()?;
        self.date().unwrap_or(accepted).checked_add(Duration::from_secs(secs.into()))
    }

    /// What its sender wants to be told. Of a notification nobody is told (RFC 5438, 7.2.1).
    pub(crate) fn wants(&self) -> Wants {
        let Some(envelope) = self.envelope_inside() else { return Wants::default() };
        if envelope.is_type(cpim::IMDN_TYPE) {
            return Wants::default();
        }
        Wants {
            processing: envelope.wants("processing"),
            negative: envelope.wants("negative-delivery"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &[u8]) -> Letter {
        let mut headers = Headers::new();
        headers.push(Name::ContentType, "message/cpim");
        headers.push(Name::Subject, vec![b'c', 0xe9, b' ']);
        let author = "sip:alice@example.net".parse().unwrap();
        Letter { author, headers, body: Bytes::copy_from_slice(body) }
    }

    fn envelope(wanted: &[&str], media: &str) -> Letter {
        let built = cpim::Builder::new("sip:alice@example.net", "sip:bob@example.net")
            .date_time("2026-11-21T12:00:00+01:00")
            .imdn("Zx81kPq0", wanted)
            .content(media, Bytes::from_static(b"hi"));
        letter(&built.gather())
    }

    #[test]
    fn s4_09_what_was_kept_is_read_back_octet_for_octet() {
        let kept = letter(&(0..=255).collect::<Vec<u8>>());

        let read = Letter::read(&kept.head(), kept.body.clone()).unwrap();

        assert_eq!((read.author, read.headers, read.body), (kept.author, kept.headers, kept.body));
        assert!(Letter::read(b"{}", Bytes::new()).is_none());
    }

    #[test]
    fn imdn_01_its_name_and_its_time_are_those_of_the_envelope() {
        let named = envelope(&[], "text/plain");
        let mut plain = letter(b"hi");
        plain.headers.set(Name::ContentType, "text/plain");
        plain.headers.push(Name::Date, "Sat, 21 Nov 2026 11:00:00 GMT");

        assert_eq!(named.id("c1"), "imdn:Zx81kPq0");
        assert_eq!(named.written(), plain.written());
        assert!(plain.written().is_some());
        assert_eq!(plain.id("c1"), plain.id("c1"));
        assert_ne!(plain.id("c1"), plain.id("c2"));
    }

    #[test]
    fn imdn_02_of_a_notification_nobody_is_told() {
        let both = &["processing", "negative-delivery", "display"];
        let all = Wants { processing: true, negative: true };

        assert_eq!(envelope(both, "text/plain").wants(), all);
        assert_eq!(envelope(&["positive-delivery"], "text/plain").wants(), Wants::default());
        assert_eq!(envelope(both, "message/imdn+xml").wants(), Wants::default());
        assert_eq!(letter(b"no envelope").wants(), Wants::default());
    }

    #[test]
    fn msg_04_expires_counts_from_its_date_and_from_its_coming_where_it_has_none() {
        let accepted = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut asked = letter(b"hi");
        assert_eq!(asked.wanted_until(accepted), None);
        asked.headers.push(Name::Expires, "60");
        assert_eq!(asked.wanted_until(accepted), Some(accepted + Duration::from_secs(60)));

        asked.headers.push(Name::Date, "Sat, 21 Nov 2026 11:00:00 GMT");

        let sent = asked.date().unwrap();
        assert_eq!(asked.wanted_until(accepted), Some(sent + Duration::from_secs(60)));
    }
}
