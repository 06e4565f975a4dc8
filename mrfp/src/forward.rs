//! Passing requests on to the next hop (RFC 4976, 6.4): what is owed for each, and to whom. Pure: octets, time and
//! randomness are arguments, and nothing is sent from here. Which connection is the next hop is for `pair` (the other leg
//! of a one-to-one session) and for a relay's paths; this file and the [`Ledger`] serve both.
//!
//! ```text
//!           pass                         answered: 2xx
//! request ───────► waits for its answer ───────────────► taken
//!                       │ answered: anything else
//!                       ├─────────────────────────────► REPORT with that code   (Failure-Report: yes, partial)
//!                       │ 30 s after its last octet was written, nothing came
//!                       └─────────────────────────────► REPORT 408              (yes)
//!                                                       presumed to be taken    (partial)
//! ```
//!
//! The previous hop has had its 200 by then: a response says that one hop has the chunk, no more. With
//! `Failure-Report: no` nothing is remembered, for nobody is told. A chunk of one message is never joined with one of
//! another; a long one is passed on in pieces, each a chunk of its own with the Byte-Range it really carries.
mod ledger;

use std::sync::Arc;

use bytes::Bytes;
use msrp::{
    ByteRange, FailureReport, Frame, Head, MessageId, Method, Path, Report, Start, Status,
    SuccessReport, TransactionId, Uri,
};
use rand::RngCore;

pub use ledger::{Answer, Full, Ledger, Limits, Passed, Settled};

/// Where a request came from, in the words of whoever passes it on.
pub trait Origin {
    /// Tells senders apart that may use the same Message-ID.
    type Name: Clone + Eq + std::hash::Hash + std::fmt::Debug;

    /// The sender.
    fn name(&self) -> Self::Name;
}

/// Where a request came from, as far as its sender must be told of it. One for each request: its pieces share it.
#[derive(Debug)]
pub struct Source<O> {
    /// Where answers go.
    pub origin: O,
    /// What it asks for.
    pub method: Method,
    /// Which message it belongs to; a request that is no SEND may have none.
    pub message_id: Option<MessageId>,
    /// Which failures its sender wants to hear of.
    pub failure_report: FailureReport,
    /// Whether its sender wants to hear of success.
    pub success_report: SuccessReport,
    /// Its From-Path: the way back.
    pub back: Path,
    /// The first URI of its To-Path: ours.
    pub own: Uri,
    /// Its transaction id on the hop it came over.
    pub transaction: TransactionId,
}

impl<O> Source<O> {
    /// The source of the request with this head. It keeps none of the buffer that the request was read into.
    pub fn of(head: &Head, origin: O) -> Self {
        Self {
            origin,
            method: match head.method() {
                // The name of another method is a slice of the buffer.
                Some(Method::Other(name)) => Method::Other(Bytes::copy_from_slice(name)),
                Some(method) => method.clone(),
                None => Method::Send,
            },
            message_id: head.message_id(),
            failure_report: head.failure_report(),
            success_report: head.success_report(),
            back: head.from_path().detached(),
            own: head.to_path().first().detached(),
            transaction: head.transaction(),
        }
    }
}

/// A chunk that did not arrive, and whose sender wants to know.
#[derive(Debug)]
pub struct Failure<O> {
    /// Whose it was.
    pub source: Arc<Source<O>>,
    /// The octets that were passed on and failed.
    pub range: ByteRange,
    /// Why.
    pub status: Status,
    /// The same in words of the next hop, where it had some.
    pub comment: Bytes,
    /// The next hop still waits for the rest of the message, which begins here and will not come: it is told so by a
    /// chunk that ends with `#`.
    pub open_at: Option<u64>,
}

impl<O> Failure<O> {
    /// The REPORT for the sender, along the whole way back (RFC 4975, 7.1.2; RFC 4976, 6.4.1). None where it was no
    /// SEND.
    pub fn report(&self, rng: &mut impl RngCore) -> Option<Frame> {
        if self.source.method != Method::Send {
            return None;
        }
        let comment = short(&self.comment);
        let report = Report {
            to_path: &self.source.back,
            from_path: &Path::from(self.source.own.clone()),
            message_id: self.source.message_id?,
            range: self.range,
            status: self.status,
            comment: if comment.is_empty() { self.status.comment() } else { comment },
        };
        Some(report.encode(TransactionId::random(rng)))
    }
}

/// To-Path and From-Path of a message behind a relay: its own URI goes from the front of the one to the front of the
/// other (RFC 4976, 6.4.1). None: the relay is the end of the path.
pub fn behind_relay(head: &Head) -> Option<(Path, Path)> {
    let to = head.to_path().behind_first()?;
    let from = head.from_path().preceded_by(head.to_path().first().clone());
    Some((to, from))
}

/// Whether another relay like this one would read a path in a header. A path grows with each hop, and what breaks the
/// next hop's bounds would end a connection that others use too.
pub fn is_readable(path: &Path) -> bool {
    let bounds = msrp::Limits::default();
    path.len() <= bounds.path_uris_max && path_line(path) <= bounds.line_octets_max
}

/// The same of a whole head, which has these paths from now on and else what it came with.
pub fn is_head_readable(head: &Head, (to, from): (&Path, &Path)) -> bool {
    let bounds = msrp::Limits::default();
    let (lines, octets) = size(head);
    let octets = octets + path_line(to) + path_line(from);
    is_readable(from) && lines <= bounds.headers_max && octets <= bounds.head_octets_max
}

/// Whether a head would be read whatever its paths, each of which may take a quarter of it: for a leg whose user, and so
/// whose path, may not be there yet.
pub fn has_room_for_paths(head: &Head) -> bool {
    let bounds = msrp::Limits::default();
    let (lines, octets) = size(head);
    lines <= bounds.headers_max && octets <= bounds.head_octets_max / 2
}

/// Lines of a head behind us, with its paths, and octets, without them.
fn size(head: &Head) -> (usize, usize) {
    let line = |(name, value): (&[u8], &[u8])| name.len() + value.len() + ": \r\n".len();
    let (mut lines, mut octets) = (2 + OWN_HEADERS, OWN_OCTETS);
    for header in head.headers().iter() {
        lines += 1;
        octets += line(header);
    }
    if let Start::Response(_, comment) = head.start() {
        octets += comment.len();
    }
    (lines, octets)
}

/// The longest of the two lines that a path can be in.
fn path_line(path: &Path) -> usize {
    let uris: usize = path.iter().map(|uri| uri.as_str().len() + 1).sum();
    "From-Path:\r\n".len() + uris
}

/// What a hop may add to a head besides paths: a Byte-Range, and that in three numbers of 20 digits, behind a start line
/// with a transaction id of 32 octets.
const OWN_HEADERS: usize = 1;
const OWN_OCTETS: usize = 256;

/// How many characters of a comment of the next hop go on into a REPORT: every hop of the way back must read it.
const COMMENT_MAX: usize = 200;

/// The front of a comment; nothing of one that is no text.
fn short(comment: &[u8]) -> &str {
    let comment = std::str::from_utf8(comment).unwrap_or_default();
    let behind = comment.char_indices().nth(COMMENT_MAX);
    behind.and_then(|(at, _)| comment.get(..at)).unwrap_or(comment)
}

#[cfg(test)]
mod tests;
