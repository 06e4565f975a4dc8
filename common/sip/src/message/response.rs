//! Responses, and how one is made from its request.
use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use super::{Method, Request, Status, encode};
use crate::header::{Headers, Name};

/// A SIP/2.0 response. One that came from a [`super::Decoder`] has a legal Via, From, To, Call-ID and `CSeq`.
///
/// Content-Length is not among the headers: it is the length of the body. `Debug` shows neither values nor body.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// What became of the request.
    pub status: Status,
    /// The same in words, for people.
    pub reason: Cow<'static, str>,
    /// The header fields.
    pub headers: Headers,
    /// The body, perhaps empty.
    pub body: Bytes,
}

impl Response {
    /// A response without header fields and body.
    pub fn new(status: Status) -> Self {
        let reason = Cow::Borrowed(status.phrase());
        Self { status, reason, headers: Headers::new(), body: Bytes::new() }
    }

    /// The response to `request`: Via, From, To, Call-ID and `CSeq` copied (RFC 3261, 8.2.6.2), Timestamp into a 100
    /// (8.2.6.1), Record-Route into what may make a dialog (12.1.1). It has no tag of ours yet.
    pub fn to(request: &Request, status: Status) -> Self {
        let mut response = Self::copy_of(&request.headers, status);
        let makes_dialogs =
            matches!(request.method, Method::Invite | Method::Subscribe | Method::Refer);
        if status.code() > 100 && status.code() < 300 && makes_dialogs {
            response.headers.copy(&Name::RecordRoute, &request.headers);
        }
        response
    }

    pub(crate) fn copy_of(headers: &Headers, status: Status) -> Self {
        const COPIED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
        let mut response = Self::new(status);
        for name in &COPIED {
            response.headers.copy(name, headers);
        }
        if status == Status::TRYING {
            response.headers.copy(&Name::Timestamp, headers);
        }
        response
    }

    /// The same response with `tag` in its To, unless there is a tag already or the response is a 100.
    pub fn with_to_tag(mut self, tag: &str) -> Self {
        if self.status == Status::TRYING {
            return self;
        }
        let line = self.headers.raw(&Name::To).next().cloned().unwrap_or_default();
        if self.headers.to().is_ok_and(|to| to.tag().is_none()) {
            // Behind the text as it came, so that it stays as the peer wrote it.
            self.headers.set(Name::To, [&*line, format!(";tag={tag}").as_bytes()].concat());
        }
        self
    }

    /// The same response with a tag in its To that is a function of the request, for answers nobody remembers
    /// (RFC 3261, 8.2.7).
    pub fn with_stateless_to_tag(self) -> Self {
        let mut hasher = DefaultHasher::new();
        for name in [Name::Via, Name::CallId, Name::CSeq] {
            self.headers.raw(&name).for_each(|value| value.hash(&mut hasher));
        }
        self.with_to_tag(&format!("{:016x}", hasher.finish()))
    }

    /// The same response with this header field added.
    pub fn with(mut self, name: Name, value: impl ToString) -> Self {
        self.headers.push(name, value.to_string());
        self
    }

    /// The same response with these words instead of the usual ones.
    pub fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The same response with this body.
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.set(Name::ContentType, content_type.to_owned());
        self.body = body.into();
        self
    }

    /// The response as it goes on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Bytes {
        let reason = self.reason.replace(|char: char| char.is_control(), " ");
        encode(&format!("SIP/2.0 {} {reason}", self.status), &self.headers, &self.body)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lines, bytes) = (self.headers.len(), self.body.len());
        write!(f, "{} {} ({lines} header lines, {bytes} bytes)", self.status, self.reason)
    }
}
