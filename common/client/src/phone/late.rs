//! Messages that have waited in the mailbox: what the focus says of the time they came, and that one of ours waits. Pure.
use std::time::SystemTime;

use sip::header::Name;
use sip::{Headers, Response};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::time_of;

/// Says that a mailbox has, or had, a message.
const MAILBOX: &str = "Conclave-Mailbox";

/// A message that could not be delivered when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// When the mailbox took it, by the focus's clock.
    pub accepted: SystemTime,
    /// When it was sent, by its sender's clock, if that was said.
    pub sent: Option<SystemTime>,
    /// The sender's clock was far from the focus's: who cares for the order goes by `accepted`.
    pub skewed: bool,
}

/// Whether, and for how long, a message has waited; of a message with an envelope its time is the one in there.
pub(super) fn late(headers: &Headers, body: &bytes::Bytes) -> Option<Late> {
    let said = said(headers)?;
    let mut parts = said.split(';').map(str::trim);
    if parts.next() != Some("deferred") {
        return None;
    }
    let (mut accepted, mut skewed) = (None, false);
    for part in parts {
        match part.split_once('=') {
            Some(("accepted", time)) => accepted = time_of(time.trim_matches('"')),
            None if part == "skewed" => skewed = true,
            _ => {}
        }
    }
    let kind = headers.text(&Name::ContentType).unwrap_or_default();
    let sent = sent_in(&kind, body);
    let dated = || {
        let date = headers.text(&Name::Date)?;
        OffsetDateTime::parse(&date, &Rfc2822).ok().map(SystemTime::from)
    };
    Some(Late { accepted: accepted?, sent: sent.or_else(dated), skewed })
}

/// When a message says that it was sent, if it has an envelope.
pub(super) fn sent_in(content_type: &str, body: &bytes::Bytes) -> Option<SystemTime> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let is_enveloped = essence.eq_ignore_ascii_case(msrp::cpim::MEDIA_TYPE);
    let envelope = is_enveloped.then(|| msrp::cpim::parse(body).ok().flatten()).flatten()?;
    time_of(&envelope.date_time()?)
}

/// Whether a mailbox has our message.
pub(super) fn is_stored(response: &Response) -> bool {
    said(&response.headers).is_some_and(|said| said.split(';').next() == Some("stored"))
}

fn said(headers: &Headers) -> Option<String> {
    let name: Name = MAILBOX.parse().ok()?;
    headers.text(&name).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(mailbox: &str) -> Headers {
        let mut headers = Headers::new();
        headers.push(MAILBOX.parse().unwrap(), mailbox.to_owned());
        headers.push(Name::Date, "Sat, 21 Nov 2026 12:00:00 GMT");
        headers
    }

    #[test]
    fn s4_16_a_late_message_says_when_it_was_sent_and_when_it_came() {
        let said = headers("deferred;accepted=\"2026-11-21T12:00:05Z\";skewed");

        let read = late(&said, &bytes::Bytes::new()).unwrap();

        assert_eq!(Some(read.accepted), time_of("2026-11-21T12:00:05Z"));
        assert_eq!(read.sent, time_of("2026-11-21T12:00:00Z"));
        assert!(read.skewed);
        for other in ["stored;until=\"2026-11-21T12:00:05Z\"", "deferred", "deferred;accepted=soon"]
        {
            assert_eq!(late(&headers(other), &bytes::Bytes::new()), None, "{other}");
        }
        assert_eq!(late(&Headers::new(), &bytes::Bytes::new()), None);
    }
}
