//! Start line and headers of a message, read once and kept typed. What the values lead to is the caller's.

use std::sync::Arc;

use bytes::Bytes;

use crate::digest::{AuthenticationInfo, BadCredentials, Challenge, Credentials};
use crate::header::Headers;
use crate::ident::{MessageId, TransactionId};
use crate::nickname::{self, BadNickname};
use crate::path::Path;
use crate::paths::Paths;
use crate::range::ByteRange;
use crate::start::{FailureReport, Method, SuccessReport};
use crate::status::{ReportStatus, Status};
use crate::token;
use crate::uri::BadUri;

/// What the start line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A request.
    Request(Method),
    /// A response, with the comment as it was sent.
    Response(Status, Bytes),
}

/// Start line and headers of one message. Only the decoder makes one, so each has passed the grammar.
#[derive(Debug, Clone)]
pub struct Head {
    pub(crate) transaction: TransactionId,
    pub(crate) start: Start,
    pub(crate) paths: Arc<Paths>,
    pub(crate) message_id: Option<MessageId>,
    pub(crate) byte_range: Option<ByteRange>,
    pub(crate) success_report: SuccessReport,
    pub(crate) failure_report: FailureReport,
    pub(crate) report_status: Option<ReportStatus>,
    pub(crate) content_type: Option<(u32, u32)>,
    pub(crate) has_body: bool,
    pub(crate) headers: Headers,
}

impl Head {
    /// The id that ties a response to its request.
    pub fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// Request or response.
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request(method) => Some(method),
            Start::Response(..) => None,
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<Status> {
        match &self.start {
            Start::Request(_) => None,
            Start::Response(status, _) => Some(*status),
        }
    }

    /// The comment behind the status of a response; `None` also where it is no UTF-8.
    pub fn comment(&self) -> Option<&str> {
        match &self.start {
            Start::Request(_) => None,
            Start::Response(_, comment) => std::str::from_utf8(comment).ok(),
        }
    }

    /// Where it goes, the nearest hop first.
    pub fn to_path(&self) -> &Path {
        &self.paths.to
    }

    /// Where it came from, the nearest hop first.
    pub fn from_path(&self) -> &Path {
        &self.paths.from
    }

    /// Both paths. Messages of one decoder that follow each other and have the same path lines share them.
    pub fn paths(&self) -> &Arc<Paths> {
        &self.paths
    }

    /// Which message it belongs to. A SEND and a REPORT always have one.
    pub fn message_id(&self) -> Option<MessageId> {
        self.message_id
    }

    /// The range announced, or what its absence means.
    pub fn byte_range(&self) -> ByteRange {
        self.byte_range.unwrap_or_default()
    }

    /// Whether a Byte-Range was there at all.
    pub fn has_byte_range(&self) -> bool {
        self.byte_range.is_some()
    }

    /// Whether the sender wants to hear of success.
    pub fn success_report(&self) -> SuccessReport {
        self.success_report
    }

    /// Which answers the sender wants.
    pub fn failure_report(&self) -> FailureReport {
        self.failure_report
    }

    /// The `Status` header. A REPORT always has one.
    pub fn report_status(&self) -> Option<&ReportStatus> {
        self.report_status.as_ref()
    }

    /// The media type with its parameters, as sent.
    pub fn content_type(&self) -> Option<&[u8]> {
        self.content_type.map(|place| self.headers.octets(place))
    }

    /// Whether the media type is `wanted`, such as `message/cpim`, without regard to case and parameters.
    pub fn is_type(&self, wanted: &str) -> bool {
        self.content_type().is_some_and(|value| media_type_is(value, wanted))
    }

    /// Whether a blank line follows the headers, so that there is a body, perhaps of no octets.
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// Every header behind From-Path, in order, unknown ones among them.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The nickname a NICKNAME asks for; empty where it asks to remove the one there is (RFC 7701, section 7.3).
    pub fn use_nickname(&self) -> Result<String, BadNickname> {
        nickname::parse(self.headers.get("Use-Nickname").ok_or(BadNickname)?)
    }

    /// The path a relay gives out in its response to AUTH (RFC 4976).
    pub fn use_path(&self) -> Option<Result<Path, BadUri>> {
        self.headers.shared("Use-Path").map(|value| Path::parse(&value, usize::MAX))
    }

    /// `Expires` of AUTH and its response, in seconds (RFC 4976).
    pub fn expires(&self) -> Option<u64> {
        token::number(self.headers.get("Expires")?)
    }

    /// `Min-Expires` of a 423 to AUTH, in seconds (RFC 4976, section 4.6).
    pub fn min_expires(&self) -> Option<u64> {
        token::number(self.headers.get("Min-Expires")?)
    }

    /// `Max-Expires` of a 423 to AUTH, in seconds (RFC 4976, section 4.6).
    pub fn max_expires(&self) -> Option<u64> {
        token::number(self.headers.get("Max-Expires")?)
    }

    /// The challenges of a 401 that can be answered, in order (RFC 4976, section 5.1).
    pub fn challenges(&self) -> Vec<Challenge> {
        self.headers.all("WWW-Authenticate").filter_map(Challenge::parse).collect()
    }

    /// The credentials of an AUTH, of the first `Authorization` there is.
    pub fn credentials(&self) -> Option<Result<Credentials, BadCredentials>> {
        self.headers.get("Authorization").map(Credentials::parse)
    }

    /// What proves that a relay knew the password too.
    pub fn authentication_info(&self) -> Option<AuthenticationInfo> {
        AuthenticationInfo::parse(self.headers.get("Authentication-Info")?)
    }
}

/// Whether the media type in `value` is `wanted`, without regard to case and parameters (RFC 4975, section 8.6).
pub fn media_type_is(value: &[u8], wanted: &str) -> bool {
    let bare = value.split(|&c| c == b';').next().unwrap_or_default();
    token::trim(bare).eq_ignore_ascii_case(wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_compare_without_case_and_parameters() {
        assert!(media_type_is(b"message/CPIM", "message/cpim"));
        assert!(media_type_is(b"text/plain ; charset=UTF-8", "text/plain"));
        assert!(!media_type_is(b"text/plainer", "text/plain"));
    }
}
