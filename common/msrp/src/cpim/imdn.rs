//! Notifications of what became of a message (RFC 5438, 7.2.1): one way to write them, for whoever has something to tell, and
//! what a receiver of one has to know. They are no more XML than that: what else a notification says is passed over.
use bytes::Bytes;

use super::{Builder, IMDN_TYPE};
use crate::body::Body;

/// What is not an element of RFC 5438 stands beside one that is.
const OURS: &str = "urn:conclave:mailbox";
/// Longest notification that is read.
const OCTETS_MAX: usize = 4096;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A device of its recipient has it.
    Delivered,
    /// A device does not take it.
    Failed,
    /// Nobody came for it in time.
    Expired,
    /// It waits.
    Stored,
    /// A file that was left for somebody was not fetched in time.
    Unfetched,
}

/// What is told of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The `imdn.Message-ID` of the message.
    pub of: &'a str,
    /// When the message was written.
    pub written: &'a str,
    /// Who has it and whom it was for, where that is said.
    pub recipients: Option<(&'a str, &'a str)>,
    /// What became of it.
    pub status: Status,
}

impl Notification<'_> {
    /// The message that tells it, behind these headers.
    pub fn wrapped_in(&self, headers: Builder) -> Body {
        let mime = [("Content-Type", IMDN_TYPE), ("Content-Disposition", "notification")];
        headers.mime(&mime, Bytes::from(self.to_xml()))
    }

    fn to_xml(self) -> String {
        let (of, written) = (escaped(self.of), escaped(self.written));
        let recipients = self.recipients.map(|(recipient, original)| {
            let (recipient, original) = (escaped(recipient), escaped(original));
            format!(
                "<recipient-uri>{recipient}</recipient-uri>\
                 <original-recipient-uri>{original}</original-recipient-uri>"
            )
        });
        let (recipients, element) = (recipients.unwrap_or_default(), self.status.element());
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\
             <message-id>{of}</message-id><datetime>{written}</datetime>{recipients}{element}</imdn>\r\n"
        )
    }
}

impl Status {
    fn element(self) -> String {
        let (about, status) = match self {
            Self::Delivered => ("delivery", "<delivered/>".to_owned()),
            Self::Failed => ("delivery", "<failed/>".to_owned()),
            Self::Expired => ("delivery", format!("<failed/><expired xmlns=\"{OURS}\"/>")),
            Self::Stored => ("processing", "<stored/>".to_owned()),
            Self::Unfetched => ("delivery", format!("<failed/><unfetched xmlns=\"{OURS}\"/>")),
        };
        format!("<{about}-notification><status>{status}</status></{about}-notification>")
    }
}

/// What a notification says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The `imdn.Message-ID` of the message.
    pub of: String,
    /// When it was written, as it says.
    pub written: String,
    /// Who has it, or does not, where that is said.
    pub recipient: Option<String>,
    /// What became of it.
    pub status: Status,
}

/// Reads a notification; nothing of one that says something else.
pub fn read(notification: &[u8]) -> Option<Told> {
    let text = std::str::from_utf8(notification).ok().filter(|text| text.len() <= OCTETS_MAX)?;
    let element = |name: &str| {
        let rest = text.split_once(&format!("<{name}>"))?.1;
        let inside = rest.split_once(&format!("</{name}>"))?.0.trim();
        Some(unescaped(inside)).filter(|inside| !inside.is_empty())
    };
    let says = |name: &str| {
        let tag = format!("<{name}");
        text.split(tag.as_str()).skip(1).any(|rest| rest.starts_with([' ', '/', '>']))
    };
    let status = match ["delivered", "unfetched", "expired", "failed", "stored"].map(says) {
        [true, ..] => Status::Delivered,
        [_, true, ..] => Status::Unfetched,
        [_, _, true, ..] => Status::Expired,
        [_, _, _, true, _] => Status::Failed,
        [.., true] => Status::Stored,
        _ => return None,
    };
    let written = element("datetime").unwrap_or_default();
    Some(Told { of: element("message-id")?, written, recipient: element("recipient-uri"), status })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace(char::is_control, " ")
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: Status) -> String {
        let recipients = Some(("sip:bob@x", "sip:bobby@x"));
        Notification { of: "a<&lt;\n1", written: "2026-11-21T12:00:00Z", recipients, status }
            .to_xml()
    }

    #[test]
    fn r5438_7_2_1_1_a_notification_says_of_which_message_when_for_whom_and_what() {
        let text = told(Status::Delivered);

        for part in [
            "<message-id>a&lt;&amp;lt; 1</message-id>",
            "<datetime>2026-11-21T12:00:00Z</datetime>",
            "<recipient-uri>sip:bob@x</recipient-uri>",
            "<original-recipient-uri>sip:bobby@x</original-recipient-uri>",
            "<delivery-notification><status><delivered/></status></delivery-notification>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(told(Status::Stored).contains("<processing-notification><status><stored/>"));
        assert!(told(Status::Failed).contains("<delivery-notification><status><failed/></status>"));
        assert!(told(Status::Expired).contains("<failed/><expired "));
    }

    #[test]
    fn what_a_notification_says_is_read_as_it_was_written() {
        for status in
            [Status::Delivered, Status::Failed, Status::Expired, Status::Stored, Status::Unfetched]
        {
            let read = read(told(status).as_bytes()).unwrap();
            assert_eq!((read.of.as_str(), read.status), ("a<&lt; 1", status));
            assert_eq!(read.recipient.as_deref(), Some("sip:bob@x"));
            assert_eq!(read.written, "2026-11-21T12:00:00Z");
        }
        let theirs = b"<imdn><message-id> m </message-id><status><delivered /></status></imdn>";
        let theirs = read(theirs).unwrap();
        assert_eq!((theirs.of.as_str(), theirs.status), ("m", Status::Delivered));
        assert_eq!((theirs.written.as_str(), theirs.recipient), ("", None));
    }

    #[test]
    fn what_says_nothing_of_a_message_is_no_notification() {
        for text in [
            &b"<message-id></message-id><delivered/>"[..],
            b"<message-id>m",
            b"<message-id>m</message-id>",
            b"<message-id>m</message-id><display-notification><displayed/>",
            b"<message-id>m</message-id><deliveredness/>",
            b"\xff",
        ] {
            assert_eq!(read(text), None);
        }
        let long = format!("<message-id>m</message-id><delivered/>{}", " ".repeat(OCTETS_MAX));
        assert_eq!(read(long.as_bytes()), None);
    }
}
