//! Messages that are written whole, paths and all: responses, REPORT, NICKNAME, AUTH and other requests without a
//! body. Whether and when to send one is the caller's, except that a response nobody wants is never made.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};

use crate::encode::{Frame, put_end, put_header, put_paths, put_start};
use crate::head::{Head, Start};
use crate::ident::{MessageId, TransactionId};
use crate::nickname;
use crate::path::Path;
use crate::range::ByteRange;
use crate::start::{FailureReport, Flag, Method};
use crate::status::Status;
use crate::uri::Uri;

/// A response to one request. It goes back on the connection the request came on (RFC 4975, section 7.2).
#[derive(Debug, Clone)]
pub struct Reply<'a> {
    pub(crate) transaction: TransactionId,
    pub(crate) method: &'a Method,
    pub(crate) failure_report: FailureReport,
    pub(crate) from_path: &'a Path,
    pub(crate) own: &'a Uri,
    pub(crate) status: Status,
    pub(crate) comment: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

impl<'a> Reply<'a> {
    /// `status`, with its usual comment, in answer to `head`; `None` if that is a response itself.
    pub fn new(head: &'a Head, status: Status) -> Option<Self> {
        let Start::Request(method) = head.start() else { return None };
        Some(Self {
            transaction: head.transaction(),
            method,
            failure_report: head.failure_report(),
            from_path: head.from_path(),
            own: head.to_path().first(),
            status,
            comment: status.comment(),
            headers: &[],
        })
    }

    /// The answer of the next hop to a request that was passed on, on its way back: under the transaction id that the
    /// request came with, along its From-Path and from the first URI of its To-Path (RFC 4976, section 6.4.3).
    pub fn passed_back(
        method: &'a Method,
        transaction: TransactionId,
        (from_path, own): (&'a Path, &'a Uri),
        status: Status,
    ) -> Self {
        let (failure_report, comment) = (FailureReport::Yes, status.comment());
        Self { transaction, method, failure_report, from_path, own, status, comment, headers: &[] }
    }

    /// The same with another comment; an empty one is left out.
    #[must_use]
    pub fn comment(self, comment: &'a str) -> Self {
        Self { comment, ..self }
    }

    /// The same with these headers behind the paths.
    #[must_use]
    pub fn headers(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { headers, ..self }
    }

    /// The response; `None` where RFC 4975 wants silence: for a REPORT (section 7.1.2), and for what
    /// `Failure-Report` excludes (sections 7.1.4 and 7.2).
    pub fn encode(&self) -> Option<Frame> {
        if *self.method == Method::Report || !self.failure_report.wants(self.status) {
            return None;
        }
        let mut text = BytesMut::with_capacity(128 + self.from_path.wire_len());
        text.put_slice(b"MSRP ");
        text.put_slice(self.transaction.as_bytes());
        // Writing to memory cannot fail.
        _ = write!(text, " {}", self.status);
        let comment = self.comment.chars().map(|c| if c.is_control() { ' ' } else { c });
        if !self.comment.is_empty() {
            text.put_u8(b' ');
            comment.for_each(|c| text.put_slice(c.encode_utf8(&mut [0; 4]).as_bytes()));
        }
        text.put_slice(b"\r\n");
        // Section 7.2: a response to a SEND goes one hop back, any other the whole way.
        let hops = if *self.method == Method::Send { 1 } else { usize::MAX };
        put_paths(&mut text, self.from_path.iter().take(hops), std::iter::once(self.own));
        self.headers.iter().for_each(|(name, value)| put_header(&mut text, name, value));
        put_end(&mut text, self.transaction, Flag::End);
        Some(Frame::own(self.transaction, text.freeze()))
    }
}

/// A request without a body.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    method: Method,
    to_path: &'a Path,
    from_path: &'a Path,
    headers: Vec<(&'a str, String)>,
}

impl<'a> Request<'a> {
    /// A request of any method.
    pub fn new(method: Method, to_path: &'a Path, from_path: &'a Path) -> Self {
        Self { method, to_path, from_path, headers: Vec::new() }
    }

    /// Asks for `nickname`, or with an empty one to have none (RFC 7701, section 7).
    pub fn nickname(to_path: &'a Path, from_path: &'a Path, nickname: &str) -> Self {
        Self::new(Method::Nickname, to_path, from_path)
            .header("Use-Nickname", nickname::quote(nickname))
    }

    /// Asks a relay for a URI for this long (RFC 4976); add `Authorization` as a header.
    pub fn auth(to_path: &'a Path, from_path: &'a Path, expires_secs: u64) -> Self {
        Self::new(Method::Auth, to_path, from_path).header("Expires", expires_secs.to_string())
    }

    /// Adds a header. Control characters in its value become spaces.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The request under this transaction id.
    pub fn encode(&self, transaction: TransactionId) -> Frame {
        self.encode_with(transaction, None)
    }

    fn encode_with(&self, transaction: TransactionId, content: Option<(&str, &[u8])>) -> Frame {
        let mut text =
            BytesMut::with_capacity(192 + self.to_path.wire_len() + self.from_path.wire_len());
        put_start(&mut text, transaction, self.method.as_str());
        put_paths(&mut text, self.to_path.iter(), self.from_path.iter());
        self.headers.iter().for_each(|(name, value)| put_header(&mut text, name, value));
        if let Some((content_type, body)) = content {
            put_header(&mut text, "Content-Type", content_type);
            text.put_slice(b"\r\n");
            text.put_slice(body);
            text.put_slice(b"\r\n");
        }
        put_end(&mut text, transaction, Flag::End);
        Frame::own(transaction, text.freeze())
    }
}

/// What became of a message, or of a part of it. It carries no Success-Report and no Failure-Report, and nobody
/// answers it (RFC 4975, section 7.1.2).
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// The whole From-Path of the SEND.
    pub to_path: &'a Path,
    /// The own URI.
    pub from_path: &'a Path,
    /// The message reported on.
    pub message_id: MessageId,
    /// The octets reported on, by what really arrived.
    pub range: ByteRange,
    /// What became of them.
    pub status: Status,
    /// The text behind the code; left out when empty.
    pub comment: &'a str,
}

impl Report<'_> {
    /// The REPORT under this transaction id.
    pub fn encode(&self, transaction: TransactionId) -> Frame {
        self.request().encode(transaction)
    }

    /// The same with a body of this type. Draw the id when the body is there, or it may hold the end-line (RFC 4975,
    /// section 7.1); it has at most 10 240 octets.
    pub fn encode_with(
        &self,
        transaction: TransactionId,
        (content_type, body): (&str, &[u8]),
    ) -> Frame {
        self.request().encode_with(transaction, Some((content_type, body)))
    }

    fn request(&self) -> Request<'_> {
        let space = if self.comment.is_empty() { "" } else { " " };
        Request::new(Method::Report, self.to_path, self.from_path)
            .header("Message-ID", self.message_id.as_str())
            .header("Byte-Range", self.range.to_string())
            .header("Status", format!("000 {}{space}{}", self.status, self.comment))
    }
}
