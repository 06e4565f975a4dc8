//! From the lines of a head to a [`Head`]. It finds every part it can, so that a bad message can still be answered.

use std::sync::Arc;

use bytes::Bytes;

use crate::fault::{Defect, Rejected};
use crate::head::{Head, Start};
use crate::header::Headers;
use crate::ident::{MessageId, TransactionId};
use crate::limits::Limits;
use crate::path::Path;
use crate::paths::{Known, Paths};
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

/// A head that is being read.
#[derive(Default)]
pub(crate) struct Draft {
    /// The paths, where their lines were known.
    paths: Option<Arc<Paths>>,
    to_path: Option<Path>,
    from_path: Option<Path>,
    /// Lines of the paths, while these are all that was read.
    path_lines: [Line; 2],
    message_id: Option<MessageId>,
    byte_range: Option<ByteRange>,
    success_report: Option<SuccessReport>,
    failure_report: Option<FailureReport>,
    report_status: Option<ReportStatus>,
    content_type: Option<Line>,
    /// Where the lines behind the paths start and end.
    others: Line,
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
enum Read {
    Not,
    Good,
    Bad(Defect),
}

impl Draft {
    /// An empty one. `defect` is one that was found before; `paths` are those of lines that were known.
    pub(crate) fn new(defect: Option<Defect>, paths: Option<Arc<Paths>>) -> Self {
        Self { defect, paths, ..Self::default() }
    }

    /// Reads the lines behind the start line, without those of known paths.
    pub(crate) fn lines(&mut self, block: &Bytes, lines: &[Line], limits: &Limits) {
        let mut others = lines;
        if self.paths.is_none() {
            for (n, line) in lines.iter().take(2).enumerate() {
                self.line(block, *line, n, limits);
            }
            others = lines.get(2..).unwrap_or_default();
            if let [to, from, ..] = lines {
                self.path_lines = [*to, *from];
            }
        }
        for line in others {
            self.line(block, *line, 2, limits);
        }
        if let ([(start, _), ..], [.., (_, end)]) = (others, others) {
            // The last line's CRLF, too.
            self.others = (*start, end.saturating_add(2));
        }
    }

    fn line(&mut self, block: &Bytes, (start, end): Line, n: usize, limits: &Limits) {
        let line = block.get(start as usize..end as usize).unwrap_or_default();
        let colon = memchr::memchr(b':', line).unwrap_or(0);
        let name = line.get(..colon).unwrap_or_default();
        let value = token::trim(line.get(colon + 1..).unwrap_or_default());
        let read = match name.len() {
            7 if name.eq_ignore_ascii_case(b"To-Path") => {
                let found = match self.paths {
                    None => keep(&mut self.to_path, path(block, value, limits), "To-Path"),
                    Some(_) => Some(Defect::Repeated("To-Path")),
                };
                return self.note(found.or_else(|| (n != 0).then_some(Defect::PathOrder)));
            }
            9 if name.eq_ignore_ascii_case(b"From-Path") => {
                let found = match self.paths {
                    None => keep(&mut self.from_path, path(block, value, limits), "From-Path"),
                    Some(_) => Some(Defect::Repeated("From-Path")),
                };
                return self.note(found.or_else(|| (n != 1).then_some(Defect::PathOrder)));
            }
            _ => self.header(block, name, value),
        };
        match read {
            Read::Good => {}
            Read::Bad(defect) => {
                self.request_defect.get_or_insert(defect);
            }
            Read::Not if token::is_token(name) => {}
            Read::Not => {
                self.defect.get_or_insert(Defect::HeaderLine);
            }
        }
    }

    fn note(&mut self, found: Option<Defect>) {
        self.defect = self.defect.or(found);
    }

    fn header(&mut self, block: &Bytes, name: &[u8], value: &[u8]) -> Read {
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
                let value = (!value.is_empty()).then(|| place(block, value));
                keep(&mut self.content_type, value, "Content-Type")
            }
            _ => return Read::Not,
        };
        found.map_or(Read::Good, Read::Bad)
    }

    /// What a message of this kind must have and has not.
    fn missing(&self, start: &Start, body: BodyFollows) -> Option<Defect> {
        let absent = match start {
            _ if self.paths.is_none() && self.to_path.is_none() => "To-Path",
            _ if self.paths.is_none() && self.from_path.is_none() => "From-Path",
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

    /// The head, if every rule is kept. `known` remembers its paths.
    pub(crate) fn finish(
        mut self,
        block: Bytes,
        (transaction, start): (TransactionId, Start),
        body: BodyFollows,
        known: &mut Known,
    ) -> Result<Arc<Head>, Box<Rejected>> {
        if matches!(start, Start::Request(_)) {
            self.note(self.request_defect);
        }
        self.note(self.missing(&start, body));
        if self.defect.is_some() {
            return Err(self.rejected(transaction, start));
        }
        let paths = match (self.paths.take(), self.to_path.take(), self.from_path.take()) {
            (Some(paths), ..) => paths,
            (None, Some(to), Some(from)) => known.note(Paths { to, from }, &block, self.path_lines),
            _ => return Err(self.rejected(transaction, start)),
        };
        Ok(Arc::new(Head {
            transaction,
            start,
            paths,
            message_id: self.message_id,
            byte_range: self.byte_range,
            success_report: self.success_report.unwrap_or_default(),
            failure_report: self.failure_report.unwrap_or_default(),
            report_status: self.report_status,
            content_type: self.content_type,
            has_body: body == BodyFollows::Yes,
            headers: Headers::of_lines(block, self.others),
        }))
    }

    fn rejected(self, transaction: TransactionId, start: Start) -> Box<Rejected> {
        let (to, from) = match self.paths.as_deref() {
            Some(paths) => (Some(paths.to.clone()), Some(paths.from.clone())),
            None => (self.to_path, self.from_path),
        };
        let method = match start {
            Start::Request(method) => Some(method),
            Start::Response(..) => None,
        };
        Box::new(Rejected {
            transaction,
            method,
            to_path: to,
            from_path: from,
            failure_report: self.failure_report.unwrap_or_default(),
            defect: self.defect.unwrap_or(Defect::Missing("To-Path")),
        })
    }
}

fn path(block: &Bytes, value: &[u8], limits: &Limits) -> Option<Path> {
    Path::parse_in(block, value, limits.path_uris_max).ok()
}

/// Where `part`, a slice of `block`, lies in it.
fn place(block: &Bytes, part: &[u8]) -> (u32, u32) {
    let start = part.as_ptr().addr() - block.as_ptr().addr();
    let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
    (narrow(start), narrow(start + part.len()))
}
