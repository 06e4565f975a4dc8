//! Requests.
use std::fmt;

use bytes::Bytes;

use super::{Method, encode};
use crate::header::{Headers, Name};
use crate::uri::Uri;

/// A SIP/2.0 request. One that came from a [`super::Decoder`] has a legal Via, From, To, Call-ID and `CSeq`.
///
/// Content-Length is not among the headers: it is the length of the body. `Debug` shows neither values nor body,
/// which may be private.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// Of whom: the Request-URI.
    pub uri: Uri,
    /// The header fields.
    pub headers: Headers,
    /// The body, perhaps empty.
    pub body: Bytes,
}

impl Request {
    /// A request without header fields and body.
    pub fn new(method: Method, uri: impl Into<Uri>) -> Self {
        Self { method, uri: uri.into(), headers: Headers::new(), body: Bytes::new() }
    }

    /// The same request with this header field added.
    pub fn with(mut self, name: Name, value: impl ToString) -> Self {
        self.headers.push(name, value.to_string());
        self
    }

    /// The same request with this body.
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.set(Name::ContentType, content_type.to_owned());
        self.body = body.into();
        self
    }

    /// The request as it goes on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Bytes {
        encode(&format!("{} {} SIP/2.0", self.method, self.uri), &self.headers, &self.body)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lines, bytes) = (self.headers.len(), self.body.len());
        write!(f, "{} {} ({lines} header lines, {bytes} bytes)", self.method, self.uri)
    }
}
