//! Writing a CPIM message. The content is shared, not copied.

use bytes::Bytes;

use super::IMDN;
use super::address::Address;
use super::escape::escape;
use crate::body::Body;

/// The headers of a message being written, in the order they are added.
#[derive(Debug, Clone)]
pub struct Builder {
    text: String,
}

impl Builder {
    /// A message from one sender to one recipient, as a chat room takes it.
    pub fn new(from_uri: &str, to_uri: &str) -> Self {
        Self::named((None, from_uri), to_uri)
    }

    /// The same with a display name for the sender.
    pub fn named((name, from_uri): (Option<&str>, &str), to_uri: &str) -> Self {
        let from = Address::write(name, from_uri);
        let empty = Self { text: String::with_capacity(256) };
        empty.line("From", &from).line("To", &Address::write(None, to_uri))
    }

    /// A message from one sender to several recipients.
    pub fn to_each<'a>(from_uri: &str, to_uris: impl IntoIterator<Item = &'a str>) -> Self {
        let from = Address::write(None, from_uri);
        let empty = Self { text: String::with_capacity(256) };
        let to = |builder: Self, to| builder.line("To", &Address::write(None, to));
        to_uris.into_iter().fold(empty.line("From", &from), to)
    }

    /// Adds a header. What may not stand in one as it is, is escaped (RFC 3862, section 2.3).
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let mut escaped = String::with_capacity(value.len());
        value.chars().for_each(|c| escape(&mut escaped, c));
        self.line(name, &escaped)
    }

    /// Adds a line. Control characters in it become spaces.
    fn line(mut self, name: &str, value: &str) -> Self {
        let clean = |c: char| if c.is_ascii_control() { ' ' } else { c };
        self.text.extend(name.chars().map(clean));
        self.text.push_str(": ");
        self.text.extend(value.chars().map(clean));
        self.text.push_str("\r\n");
        self
    }

    /// `DateTime` in the form of RFC 3339.
    #[must_use]
    pub fn date_time(self, date_time: &str) -> Self {
        self.header("DateTime", date_time)
    }

    /// Declares `prefix` for the headers of a namespace that follow.
    #[must_use]
    pub fn namespace(self, prefix: &str, uri: &str) -> Self {
        self.header("NS", &format!("{prefix} <{uri}>"))
    }

    /// The name of the message for receipts and de-duplication, and the receipts wanted (RFC 5438): none, or such as
    /// `positive-delivery` and `display`.
    #[must_use]
    pub fn imdn(self, message_id: &str, wanted: &[&str]) -> Self {
        let named = self.namespace("imdn", IMDN).header("imdn.Message-ID", message_id);
        if wanted.is_empty() {
            return named;
        }
        named.header("imdn.Disposition-Notification", &wanted.join(", "))
    }

    /// The message, with this content behind the headers.
    pub fn content(self, content_type: &str, content: impl Into<Body>) -> Body {
        self.mime(&[("Content-Type", content_type)], content)
    }

    /// The message, with these MIME headers and this content.
    pub fn mime(mut self, headers: &[(&str, &str)], content: impl Into<Body>) -> Body {
        self.text.push_str("\r\n");
        for (name, value) in headers {
            self = self.line(name, value);
        }
        self.text.push_str("\r\n");
        let mut whole = Body::from(Bytes::from(self.text));
        whole.append(&content.into());
        whole
    }
}
