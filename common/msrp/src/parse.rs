//! From the lines of a head to a [`Head`]. It finds every part it can, so that a bad message can still be answered.

use std::sync::Arc;

use bytes::Bytes;

use crate::fault::{Defect, Rejected};
use crate::head::{Head, Start};
use crate::header::{Headers, Span};
use crate::ident::{MessageId, TransactionId};
use crate::limits::Limits;
use crate::path::Path;
use crate::range::ByteRange;
use crate::start::{FailureReport, Method, SuccessReport};
use crate::status::{ReportStatus, Status};
use crate::token;

/// Where a line lies, without its CRLF.
pub(crate) type Line = (u32, u32);

/// The transaction id in a start line, if the line is one.
pub(crate) fn transaction(line: &[u8]) -> Option<TransactionId> {
    let rest = line.strip_prefix(b"MSRP ")?;
    let end = memchr::memchr(b' ', rest)?;
    TransactionId::parse(rest.get(..end)?)
}

/// `METHOD` or `3DIGIT [SP comment]`: what is behind the transaction id `id` in the start line.
pub(crate) fn start_line(block: &Bytes, line: &[u8], id: TransactionId) -> Option<Start> {
    let word = line.get(b"MSRP ".len() + id.as_bytes().len() + 1..)?;
    if !word.first()?.is_ascii_digit() {
        return Method::parse(block, word).map(Start::Request);
    }
    let (code, comment) = word.split_at_checked(3)?;
    let comment = match comment {
        [] => Bytes::new(),
        [b' ', comment @ ..] => block.slice_ref(comment),
        _ => return None,
    };
    Some(Start::Response(Status::parse(code)?, comment))
}

/// Whether a blank line ended the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFollows {
    Yes,
    No,
}

/// Reads the header lines behind the start line. `defect` is one that was found before.
pub(crate) fn head(
    block: Bytes,
    (transaction, start): (TransactionId, Start),
    lines: &[Line],
    body: BodyFollows,
    limits: &Limits,
    defect: Option<Defect>,
) -> Result<Arc<Head>, Box<Rejected>> {
    // The paths are kept apart.
    let others = lines.len().saturating_sub(2);
    let mut draft = Draft { defect, spans: Vec::with_capacity(others), ..Draft::default() };
    for (n, line) in lines.iter().enumerate() {
        draft.line(&block, *line, n, limits);
    }
    draft.finish(block, transaction, start, body)
}

#[derive(Default)]
struct Draft {
    to_path: Option<Path>,
    from_path: Option<Path>,
    message_id: Option<MessageId>,
    byte_range: Option<ByteRange>,
    success_report: Option<SuccessReport>,
    failure_report: Option<FailureReport>,
    report_status: Option<ReportStatus>,
    content_type: Option<Bytes>,
    spans: Vec<Span>,
    /// The first thing found wrong.
    defect: Option<Defect>,
    /// The first thing found wrong that would not matter in a response.
    request_defect: Option<Defect>,
}

/// Keeps `value` in `slot`, or says why it cannot.
fn keep<T>(slot: &mut Option<T>, value: Option<T>, name: &'static str) -> Option<Defect> {
    if slot.is_some() {
        return Some(Defect::Repeated(name));
    }
    *slot = value;
    slot.is_none().then_some(Defect::Malformed(name))
}

/// What a header that may be one this codec knows turned out to be.
enum Known {
    Not,
    Good,
    Bad(Defect),
}

impl Draft {
    fn line(&mut self, block: &Bytes, (start, end): Line, n: usize, limits: &Limits) {
        let line = block.get(start as usize..end as usize).unwrap_or_default();
        let colon = memchr::memchr(b':', line).unwrap_or(0);
        let name = line.get(..colon).unwrap_or_default();
        let value = token::trim(line.get(colon + 1..).unwrap_or_default());
        let path = || Path::parse_in(block, value, limits.path_uris_max).ok();
        if name.eq_ignore_ascii_case(b"To-Path") {
            let found = keep(&mut self.to_path, path(), "To-Path");
            self.note(found.or_else(|| (n != 0).then_some(Defect::PathOrder)));
        } else if name.eq_ignore_ascii_case(b"From-Path") {
            let found = keep(&mut self.from_path, path(), "From-Path");
            self.note(found.or_else(|| (n != 1).then_some(Defect::PathOrder)));
        } else {
            match self.header(block, name, value) {
                Known::Good => {}
                Known::Bad(defect) => {
                    self.request_defect.get_or_insert(defect);
                }
                Known::Not if token::is_token(name) => {}
                Known::Not => {
                    self.defect.get_or_insert(Defect::HeaderLine);
                    return;
                }
            }
            self.spans.push(Span { name: place(block, name), value: place(block, value) });
        }
    }

    fn note(&mut self, found: Option<Defect>) {
        self.defect = self.defect.or(found);
    }

    fn header(&mut self, block: &Bytes, name: &[u8], value: &[u8]) -> Known {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let found = match name.len() {
            10 if is("Message-ID") => {
                keep(&mut self.message_id, MessageId::parse(value), "Message-ID")
            }
            10 if is("Byte-Range") => {
                keep(&mut self.byte_range, ByteRange::parse(value), "Byte-Range")
            }
            14 if is("Success-Report") => {
                keep(&mut self.success_report, SuccessReport::parse(value), "Success-Report")
            }
            14 if is("Failure-Report") => {
                keep(&mut self.failure_report, FailureReport::parse(value), "Failure-Report")
            }
            6 if is("Status") => {
                let status = ReportStatus::parse(&block.slice_ref(value));
                keep(&mut self.report_status, status, "Status")
            }
            12 if is("Content-Type") => {
                let value = (!value.is_empty()).then(|| block.slice_ref(value));
                keep(&mut self.content_type, value, "Content-Type")
            }
            _ => return Known::Not,
        };
        found.map_or(Known::Good, Known::Bad)
    }

    /// What a message of this kind must have and has not.
    fn missing(&self, start: &Start, body: BodyFollows) -> Option<Defect> {
        let absent = match start {
            _ if self.to_path.is_none() => "To-Path",
            _ if self.from_path.is_none() => "From-Path",
            Start::Response(..) => return None,
            Start::Request(Method::Send | Method::Report) if self.message_id.is_none() => {
                "Message-ID"
            }
            Start::Request(Method::Report) if self.report_status.is_none() => "Status",
            Start::Request(_) if body == BodyFollows::Yes && self.content_type.is_none() => {
                "Content-Type"
            }
            Start::Request(_) => return None,
        };
        Some(Defect::Missing(absent))
    }

    fn finish(
        mut self,
        block: Bytes,
        transaction: TransactionId,
        start: Start,
        body: BodyFollows,
    ) -> Result<Arc<Head>, Box<Rejected>> {
        if matches!(start, Start::Request(_)) {
            self.note(self.request_defect);
        }
        self.note(self.missing(&start, body));
        let (to_path, from_path) = match (self.defect, self.to_path, self.from_path) {
            (None, Some(to_path), Some(from_path)) => (to_path, from_path),
            (defect, to_path, from_path) => {
                let method = match start {
                    Start::Request(method) => Some(method),
                    Start::Response(..) => None,
                };
                return Err(Box::new(Rejected {
                    transaction,
                    method,
                    to_path,
                    from_path,
                    failure_report: self.failure_report.unwrap_or_default(),
                    defect: defect.unwrap_or(Defect::Missing("To-Path")),
                }));
            }
        };
        Ok(Arc::new(Head {
            transaction,
            start,
            to_path,
            from_path,
            message_id: self.message_id,
            byte_range: self.byte_range,
            success_report: self.success_report.unwrap_or_default(),
            failure_report: self.failure_report.unwrap_or_default(),
            report_status: self.report_status,
            content_type: self.content_type,
            has_body: body == BodyFollows::Yes,
            headers: Headers::new(block, self.spans),
        }))
    }
}

/// Where `part`, a slice of `block`, lies in it.
fn place(block: &Bytes, part: &[u8]) -> (u32, u32) {
    let start = part.as_ptr().addr() - block.as_ptr().addr();
    let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
    (narrow(start), narrow(start + part.len()))
}
