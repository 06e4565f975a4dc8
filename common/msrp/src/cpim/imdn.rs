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
        };
        format!("<{about}-notification><status>{status}</status></{about}-notification>")
    }
}

/// The message that a notification says was delivered.
pub fn delivered(notification: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(notification).ok().filter(|text| text.len() <= OCTETS_MAX)?;
    let of = text.split_once("<message-id>")?.1.split_once("</message-id>")?.0.trim();
    let is_delivered = text.contains("<delivered/>") || text.contains("<delivered />");
    (is_delivered && !of.is_empty()).then(|| unescaped(of))
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
    fn what_was_delivered_is_read_as_it_was_written_and_nothing_else_is_a_delivery() {
        assert_eq!(delivered(told(Status::Delivered).as_bytes()).unwrap(), "a<&lt; 1");
        for status in [Status::Failed, Status::Expired, Status::Stored] {
            assert_eq!(delivered(told(status).as_bytes()), None);
        }
        assert_eq!(delivered(b"<message-id></message-id><delivered/>"), None);
        assert_eq!(delivered(b"<message-id>m"), None);
        assert_eq!(delivered(b"\xff"), None);
        let long = format!("<message-id>m</message-id><delivered/>{}", " ".repeat(OCTETS_MAX));
        assert_eq!(delivered(long.as_bytes()), None);
    }
}
