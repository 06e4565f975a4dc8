//! Reads a head: the start line and the header field lines. It goes on past a fault, so that the fault can be answered.
use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;

use super::{Method, Status, Then};
use crate::header::{Headers, Name};
use crate::uri::Uri;

/// What a head says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) start: Start,
    pub(super) headers: Headers,
}

/// The start line.
#[derive(Debug)]
pub(super) enum Start {
    /// Method and Request-URI, each if it is one; without a fault both are there.
    Request { method: Option<Method>, uri: Option<Uri> },
    /// Status and reason phrase.
    Response { status: Status, reason: Cow<'static, str> },
}

/// What is wrong, and what it leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) status: Status,
    pub(super) why: &'static str,
    pub(super) then: Then,
}

impl Fault {
    pub(super) const fn new(why: &'static str) -> Self {
        Self { status: Status::BAD_REQUEST, why, then: Then::Continue }
    }

    pub(super) const fn fatal(why: &'static str) -> Self {
        Self { status: Status::BAD_REQUEST, why, then: Then::Close }
    }
}

/// Reads `head`, which ends with an empty line or was cut short. No head at all: it is not SIP.
pub(super) fn parse_head(head: Bytes, headers_max: usize) -> (Option<Head>, Option<Fault>) {
    let first = memmem::find(&head, b"\r\n").unwrap_or(head.len());
    let line = head.get(..first).unwrap_or_default();
    let Some((start, bad_start)) = start_line(line) else {
        return (None, Some(Fault::fatal("not SIP")));
    };
    let (headers, bad_headers) = header_lines(&head, first + 2, headers_max);
    (Some(Head { start, headers }), bad_start.or(bad_headers))
}

/// The start line, and what is wrong with it. `None`: this is not SIP at all.
fn start_line(line: &[u8]) -> Option<(Start, Option<Fault>)> {
    let line = String::from_utf8_lossy(line);
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        return Some(status_line(&line));
    }
    let mut words = line.split(' ');
    let method = words.next().and_then(|word| word.parse::<Method>().ok());
    let uri = words.next().and_then(|word| word.parse::<Uri>().ok());
    let version = words.next().filter(|_| words.next().is_none()).unwrap_or_default();
    let has_headers = uri.as_ref().and_then(Uri::sip).is_some_and(|uri| uri.headers().len() > 0);
    let fault = if !is_version(version) {
        // Something that never says SIP is another protocol; else it is one of our own with a bad line.
        memmem::find(line.to_ascii_uppercase().as_bytes(), b"SIP/")?;
        Some(Fault::new("bad request line"))
    } else if !version.eq_ignore_ascii_case("SIP/2.0") {
        Some(Fault { status: Status::VERSION_NOT_SUPPORTED, ..Fault::new("not SIP/2.0") })
    } else if method.is_none() {
        Some(Fault::new("bad method"))
    } else if uri.is_none() {
        Some(Fault::new("bad Request-URI"))
    } else if has_headers {
        // RFC 3261, 19.1.1, table 1: a Request-URI has no header fields.
        Some(Fault::new("header fields in the Request-URI"))
    } else {
        None
    };
    Some((Start::Request { method, uri }, fault))
}

fn status_line(line: &str) -> (Start, Option<Fault>) {
    let mut words = line.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    let digits = words.next().unwrap_or_default();
    let reason = words.next().unwrap_or_default();
    let three = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let status = digits.parse().ok().filter(|_| three).and_then(Status::new);
    let fault = match status {
        _ if !version.eq_ignore_ascii_case("SIP/2.0") => Some(Fault::new("not SIP/2.0")),
        None => Some(Fault::new("bad status code")),
        Some(_) => None,
    };
    let status = status.unwrap_or(Status::SERVER_INTERNAL_ERROR);
    let reason = match reason == status.phrase() {
        true => Cow::Borrowed(status.phrase()),
        false => Cow::Owned(reason.to_owned()),
    };
    (Start::Response { status, reason }, fault)
}

fn is_version(text: &str) -> bool {
    let Some(numbers) = text.get(4..).filter(|_| text.to_ascii_uppercase().starts_with("SIP/"))
    else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.split_once('.').is_some_and(|(major, minor)| digits(major) && digits(minor))
}

/// Reads the lines from `at` on. A line without its line break was cut off and does not count.
fn header_lines(head: &Bytes, mut at: usize, headers_max: usize) -> (Headers, Option<Fault>) {
    let mut headers = Headers::new();
    let mut fault = None;
    while let Some((end, folded)) = line_end(head, at).filter(|&(end, _)| end > at) {
        if headers.len() == headers_max {
            return (headers, Some(Fault::fatal("too many header fields")));
        }
        match header_line(head, at, end, folded) {
            Some((name, value)) => headers.push_clean(name, value),
            None => fault = fault.or(Some(Fault::new("bad header field line"))),
        }
        at = end + 2;
    }
    (headers, fault)
}

/// Where the line at `at` ends, in front of its line break, and whether it is folded.
fn line_end(head: &[u8], at: usize) -> Option<(usize, bool)> {
    let mut end = at + memmem::find(head.get(at..)?, b"\r\n")?;
    let mut folded = false;
    // RFC 3261, 7.3.1: a line that begins with white space continues the one before.
    while matches!(head.get(end + 2), Some(b' ' | b'\t')) {
        folded = true;
        end += 2 + memmem::find(head.get(end + 2..)?, b"\r\n")?;
    }
    Some((end, folded))
}

fn header_line(head: &Bytes, at: usize, end: usize, folded: bool) -> Option<(Name, Bytes)> {
    let line = head.get(at..end)?;
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = Name::parse(name.trim_ascii_end()).ok()?;
    let value = value.get(1..)?;
    if folded {
        let value = unfold(value);
        return (!has_break(&value)).then_some((name, value));
    }
    // A lone CR or LF would be a line break to somebody else.
    (!has_break(value)).then(|| (name, head.slice_ref(value.trim_ascii())))
}

fn has_break(value: &[u8]) -> bool {
    memchr::memchr2(b'\r', b'\n', value).is_some()
}

/// The value with one space in the place of each fold.
fn unfold(value: &[u8]) -> Bytes {
    let mut unfolded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memmem::find(rest, b"\r\n") {
        let (part, after) = rest.split_at(at);
        unfolded.extend_from_slice(part.trim_ascii_end());
        unfolded.push(b' ');
        rest = after.trim_ascii_start();
    }
    unfolded.extend_from_slice(rest);
    Bytes::copy_from_slice(unfolded.trim_ascii())
}
