//! Frames: a message on its way out. What all receivers of a chunk share is encoded once, as [`Payload`]; what is
//! one receiver's own is its [`Address`], made once when it took its seat. Writing to sockets is the caller's.
//!
//! ```text
//! MSRP tid SEND                  payload: shared by all receivers
//! To-Path: …  From-Path: …       address: one seat's own
//! Message-ID: … Content-Type: …  payload
//! body                           payload: slices of the sender's bytes
//! -------tid$                    payload
//! ```

use std::fmt::Write;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use rand::RngCore;

use crate::body::Body;
use crate::ident::{MessageId, TransactionId};
use crate::path::Path;
use crate::range::ByteRange;
use crate::start::{FailureReport, Flag, SuccessReport};

/// The To-Path and From-Path lines of one receiver.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Address(Bytes);

impl Address {
    /// The two lines.
    pub fn new(to_path: &Path, from_path: &Path) -> Self {
        let mut text = BytesMut::with_capacity(24 + to_path.wire_len() + from_path.wire_len());
        put_paths(&mut text, to_path.iter(), from_path.iter());
        Self(text.freeze())
    }

    /// The octets on the wire.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// It holds session-ids, so nothing of it shows.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({} octets)", self.0.len())
    }
}

/// Everything of a message but its paths. Cloning it copies nothing.
#[derive(Debug, Clone)]
pub struct Payload(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    transaction: TransactionId,
    start: Bytes,
    headers: Bytes,
    body: Body,
    end: Bytes,
    octets: usize,
}

impl Payload {
    pub(crate) fn new(
        transaction: TransactionId,
        start: Bytes,
        headers: Bytes,
        body: Body,
        end: Bytes,
    ) -> Self {
        let octets = start.len() + headers.len() + body.len() + end.len();
        Self(Arc::new(Parts { transaction, start, headers, body, end, octets }))
    }

    /// A whole message without a body, its paths included, as small requests and responses are written.
    pub(crate) fn own(transaction: TransactionId, text: Bytes) -> Self {
        Self::new(transaction, text, Bytes::new(), Body::new(), Bytes::new())
    }

    /// The transaction id it was encoded with.
    pub fn transaction(&self) -> TransactionId {
        self.0.transaction
    }

    /// The body, shared.
    pub fn body(&self) -> &Body {
        &self.0.body
    }

    /// The same chunk under another transaction id, for a second seat on one connection. The body is shared.
    #[must_use]
    pub fn under(&self, transaction: TransactionId) -> Self {
        let old = self.0.transaction;
        let start = replace(&self.0.start, old, transaction);
        let end = replace(&self.0.end, old, transaction);
        Self::new(transaction, start, self.0.headers.clone(), self.0.body.clone(), end)
    }

    /// The same in a place of its own, for another thread: two that address it to many receivers do not wait for each
    /// other's counting. The octets are shared.
    #[must_use]
    pub fn apart(&self) -> Self {
        let Parts { transaction, start, headers, body, end, .. } = &*self.0;
        Self::new(*transaction, start.clone(), headers.clone(), body.clone(), end.clone())
    }

    /// This payload on its way to `address`.
    pub fn to(&self, address: &Address) -> Frame {
        Frame { address: address.clone(), payload: self.clone() }
    }
}

/// `text` with its first `old` replaced.
fn replace(text: &Bytes, old: TransactionId, new: TransactionId) -> Bytes {
    let Some(at) = memchr::memmem::find(text, old.as_bytes()) else { return text.clone() };
    let mut out = BytesMut::with_capacity(text.len() + 32);
    out.extend_from_slice(text.get(..at).unwrap_or_default());
    out.extend_from_slice(new.as_bytes());
    out.extend_from_slice(text.get(at + old.as_bytes().len()..).unwrap_or_default());
    out.freeze()
}

/// A message addressed to one receiver, ready for a vectored write. Cloning it copies nothing.
#[derive(Debug, Clone)]
pub struct Frame {
    /// This receiver's paths; empty where the payload holds them (responses and small requests).
    pub address: Address,
    /// What it shares with the other receivers.
    pub payload: Payload,
}

impl Frame {
    pub(crate) fn own(transaction: TransactionId, text: Bytes) -> Self {
        Self { address: Address::default(), payload: Payload::own(transaction, text) }
    }

    /// The octets in the order of the wire; no slice is empty.
    pub fn slices(&self) -> impl Iterator<Item = &Bytes> {
        let parts = &*self.payload.0;
        let head = [&parts.start, &self.address.0, &parts.headers];
        let end = std::iter::once(&parts.end);
        head.into_iter().chain(parts.body.slices()).chain(end).filter(|slice| !slice.is_empty())
    }

    /// What is sent in the place of a chunk when its message ends unfinished: the same head, no body, and a `#`
    /// (RFC 4975, 7.1.1).
    #[must_use]
    pub fn aborted(&self) -> Self {
        let Parts { transaction, start, headers, .. } = &*self.payload.0;
        let mut text = BytesMut::with_capacity(48);
        text.put_slice(b"\r\n");
        put_end(&mut text, *transaction, Flag::Abort);
        let (start, headers, end) = (start.clone(), headers.clone(), text.freeze());
        let payload = Payload::new(*transaction, start, headers, Body::new(), end);
        Self { address: self.address.clone(), payload }
    }

    /// How many octets it has on the wire.
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.address.0.len() + self.payload.0.octets
    }

    /// All octets in one slice: a copy, for tests and small messages.
    pub fn to_bytes(&self) -> Bytes {
        self.slices().cloned().collect::<Body>().gather()
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Frame {}

/// Why a chunk cannot be written under a transaction id that somebody else chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the end-line of this transaction id occurs in the body")]
pub struct EndLineInBody;

/// One SEND, but for its paths.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// Which message the chunk belongs to.
    pub message_id: MessageId,
    /// Which octets of it these are. The end is written as `*` where the chunk must be interruptible.
    pub range: ByteRange,
    /// Whether to hear of success; written only where it is `Yes`.
    pub success_report: SuccessReport,
    /// Which answers to hear; written only where it is not the default.
    pub failure_report: FailureReport,
    /// Further headers, written before Content-Type.
    pub headers: Vec<(String, String)>,
    /// The media type and the octets; `None` for a SEND without a body.
    pub content: Option<(Bytes, Body)>,
    /// How the chunk ends.
    pub flag: Flag,
}

impl SendRequest {
    /// A SEND without a body: it binds a session to its connection or keeps it alive.
    pub fn bodiless(message_id: MessageId) -> Self {
        Self {
            message_id,
            range: ByteRange::default(),
            success_report: SuccessReport::No,
            failure_report: FailureReport::Yes,
            headers: Vec::new(),
            content: None,
            flag: Flag::End,
        }
    }

    /// A whole message in one chunk.
    pub fn whole(message_id: MessageId, content_type: impl Into<Bytes>, body: Body) -> Self {
        let range = ByteRange::whole(body.octets());
        let content = Some((content_type.into(), body));
        Self { range, content, ..Self::bodiless(message_id) }
    }

    /// The octets from `start` (0 for the first) as one chunk of at most `octets_max`, and where the next begins;
    /// `None` for that when this is the last. For sending a message in turns with other traffic.
    pub fn chunk(&self, start: usize, octets_max: usize) -> (Self, Option<usize>) {
        let Some((content_type, body)) = &self.content else { return (self.clone(), None) };
        let end = start.saturating_add(octets_max.max(1)).min(body.len());
        let part = body.part(start, end);
        let first = u64::try_from(start).unwrap_or(u64::MAX).saturating_add(1);
        let next = (end < body.len()).then_some(end);
        let chunk = Self {
            range: ByteRange::piece(first, part.octets(), Some(body.octets())),
            content: Some((content_type.clone(), part)),
            flag: if next.is_some() { Flag::More } else { self.flag },
            headers: self.headers.clone(),
            ..*self
        };
        (chunk, next)
    }

    /// Encodes it under a fresh transaction id of 128 random bits. The id is drawn now, when every octet of the
    /// body is in memory, so nobody can have put its end-line there (RFC 4975, section 7.1).
    pub fn encode(&self, rng: &mut impl RngCore) -> Payload {
        self.write(TransactionId::random(rng))
    }

    /// Encodes it under an id the caller chose, after looking for its end-line in the body.
    pub fn encode_as(&self, transaction: TransactionId) -> Result<Payload, EndLineInBody> {
        let end_line = [b"-------", transaction.as_bytes()].concat();
        let found = |body: &Body| memchr::memmem::find(&body.gather(), &end_line).is_some();
        if self.content.as_ref().is_some_and(|(_, body)| found(body)) {
            return Err(EndLineInBody);
        }
        Ok(self.write(transaction))
    }

    fn write(&self, transaction: TransactionId) -> Payload {
        let mut text = BytesMut::with_capacity(320);
        put_start(&mut text, transaction, "SEND");
        let start = text.split().freeze();

        put_header(&mut text, "Message-ID", self.message_id.as_str());
        if self.content.is_some() || self.flag != Flag::End {
            text.put_slice(b"Byte-Range: ");
            // Writing to memory cannot fail.
            _ = write!(text, "{}\r\n", self.range.for_wire());
        }
        if self.success_report == SuccessReport::Yes {
            put_header(&mut text, "Success-Report", "yes");
        }
        if self.failure_report != FailureReport::Yes {
            put_header(&mut text, "Failure-Report", self.failure_report.as_str());
        }
        self.headers.iter().for_each(|(name, value)| put_header(&mut text, name, value));
        let Some((content_type, body)) = &self.content else {
            put_end(&mut text, transaction, self.flag);
            return Payload::new(transaction, start, text.freeze(), Body::new(), Bytes::new());
        };
        put_header(&mut text, "Content-Type", content_type);
        text.put_slice(b"\r\n");
        let headers = text.split().freeze();
        text.put_slice(b"\r\n");
        put_end(&mut text, transaction, self.flag);
        Payload::new(transaction, start, headers, body.clone(), text.freeze())
    }
}

pub(crate) fn put_start(text: &mut BytesMut, transaction: TransactionId, word: &str) {
    text.put_slice(b"MSRP ");
    text.put_slice(transaction.as_bytes());
    text.put_u8(b' ');
    put_value(text, word.as_bytes());
    text.put_slice(b"\r\n");
}

pub(crate) fn put_paths<'a>(
    text: &mut BytesMut,
    to_path: impl Iterator<Item = &'a crate::Uri>,
    from_path: impl Iterator<Item = &'a crate::Uri>,
) {
    text.put_slice(b"To-Path:");
    to_path.for_each(|uri| put_uri(text, uri));
    text.put_slice(b"\r\nFrom-Path:");
    from_path.for_each(|uri| put_uri(text, uri));
    text.put_slice(b"\r\n");
}

fn put_uri(text: &mut BytesMut, uri: &crate::Uri) {
    text.put_u8(b' ');
    text.put_slice(uri.as_bytes());
}

pub(crate) fn put_header(text: &mut BytesMut, name: &str, value: impl AsRef<[u8]>) {
    put_octets(text, name.as_bytes(), value.as_ref());
}

pub(crate) fn put_octets(text: &mut BytesMut, name: &[u8], value: &[u8]) {
    put_value(text, name);
    text.put_slice(b": ");
    put_value(text, value);
    text.put_slice(b"\r\n");
}

/// Nothing that comes from elsewhere can end its line: control characters become spaces.
pub(crate) fn put_value(text: &mut BytesMut, value: &[u8]) {
    if value.iter().any(|c| c.is_ascii_control() && *c != b'\t') {
        let spaced = value.iter().map(|c| if c.is_ascii_control() { b' ' } else { *c });
        text.extend(spaced);
    } else {
        text.put_slice(value);
    }
}

pub(crate) fn put_end(text: &mut BytesMut, transaction: TransactionId, flag: Flag) {
    text.put_slice(b"-------");
    text.put_slice(transaction.as_bytes());
    text.put_u8(flag.as_byte());
    text.put_slice(b"\r\n");
}
