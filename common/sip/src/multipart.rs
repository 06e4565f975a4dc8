//! Bodies of several parts (RFC 2046, 5.1): read with bounds, and written. A part that is itself of several parts is
//! refused: nothing here needs one, and parsers have died of them.
use bytes::{BufMut, Bytes, BytesMut};

use crate::header::{Headers, MediaType, Name};

/// One part of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its own header fields: Content-Type, Content-Disposition and others.
    pub headers: Headers,
    /// What it holds, as it came.
    pub body: Bytes,
}

/// Why a body is not taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMultipart {
    /// No boundary, no last boundary, or a part whose head is none.
    #[error("a malformed multipart body")]
    Malformed,
    /// More parts than anybody needs.
    #[error("too many parts")]
    TooMany,
    /// A part that has parts.
    #[error("a part of several parts")]
    Nested,
}

impl Part {
    /// A part of this type.
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::default().with(Name::ContentType, content_type).with_body(body)
    }

    /// The same part with this header field added.
    pub fn with(mut self, name: Name, value: &str) -> Self {
        self.headers.push(name, value.to_owned());
        self
    }

    fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Its media type; RFC 2046, 5.1: what is not said is plain text.
    pub fn content_type(&self) -> Option<MediaType> {
        if !self.headers.has(&Name::ContentType) {
            return Some(MediaType::new("text/plain"));
        }
        self.headers.content_type().ok().flatten()
    }

    /// Its Content-ID, without the brackets (RFC 2392).
    pub fn id(&self) -> Option<String> {
        let id = self.headers.iter().find(|field| field.name == content_id())?;
        Some(bare(&String::from_utf8_lossy(id.value())).to_owned())
    }

    /// The first word of Content-Disposition, in lower case: what the part is for.
    pub fn disposition(&self) -> Option<String> {
        let value = self.headers.text(&Name::ContentDisposition)?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }
}

/// Parts of one body.
const PARTS_MAX: usize = 16;
/// Octets of a part's head.
const HEAD_OCTETS_MAX: usize = 8 * 1024;
/// RFC 2046, 5.1.1.
const BOUNDARY_OCTETS_MAX: usize = 70;

/// The parts of a body of this type. What stands before the first and behind the last boundary is no part.
///
/// # Errors
/// It is not what its type says, or more than is taken.
pub fn read(content_type: &MediaType, body: &Bytes) -> Result<Vec<Part>, BadMultipart> {
    let boundary = content_type.params.text("boundary").ok_or(BadMultipart::Malformed)?;
    if boundary.is_empty() || boundary.len() > BOUNDARY_OCTETS_MAX {
        return Err(BadMultipart::Malformed);
    }
    let delimiter = format!("\r\n--{boundary}");
    let finder = memchr::memmem::Finder::new(delimiter.as_bytes());
    let mut parts = Vec::new();
    // The first boundary may be the first line, without a line break before it.
    let first = body.strip_prefix(delimiter.trim_start().as_bytes());
    let mut at = match first.filter(|rest| ends_its_line(rest)) {
        Some(rest) => body.len() - rest.len(),
        None => boundary_behind(body, 0, &finder)?.1,
    };
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let line = memchr::memmem::find(rest, b"\r\n").ok_or(BadMultipart::Malformed)?;
        // The line break of the boundary may be the one before the next boundary: an empty part.
        let (end, next) = boundary_behind(body, at + line, &finder)?;
        if parts.len() >= PARTS_MAX {
            return Err(BadMultipart::TooMany);
        }
        let begin = at + line + 2;
        parts.push(part(body, begin.min(end), end)?);
        at = next;
    }
}

/// What a body holds of this type: all of it, or its first part of this type.
pub fn find(headers: &Headers, body: &Bytes, essence: &str) -> Option<Bytes> {
    let kind = headers.content_type().ok().flatten()?;
    if kind.is(essence) {
        return Some(body.clone());
    }
    let is = |part: &Part| part.content_type().is_some_and(|kind| kind.is(essence));
    if kind.is("multipart/related") {
        return root(&kind, read(&kind, body).ok()?).filter(is).map(|part| part.body);
    }
    if !kind.is("multipart/mixed") {
        return None;
    }
    read(&kind, body).ok()?.into_iter().find(is).map(|part| part.body)
}

/// The part that the others belong to: the one named by `start`, or the first (RFC 2387, 3.2).
fn root(kind: &MediaType, parts: Vec<Part>) -> Option<Part> {
    let start = kind.params.text("start");
    let named = |part: &Part| {
        start.as_deref().is_none_or(|start| part.id().as_deref() == Some(bare(start)))
    };
    parts.into_iter().find(named)
}

/// The part with this Content-ID, of a body whose parts belong together (RFC 2387).
pub fn related(headers: &Headers, body: &Bytes, id: &str) -> Option<Part> {
    let kind = headers.content_type().ok().flatten().filter(|kind| kind.is("multipart/related"))?;
    read(&kind, body).ok()?.into_iter().find(|part| part.id().as_deref() == Some(id))
}

fn bare(id: &str) -> &str {
    id.trim().trim_start_matches('<').trim_end_matches('>')
}

/// Where the next boundary begins and ends. Behind it come white space and a line break, or two hyphens; with anything
/// else it is a longer word that only begins alike.
fn boundary_behind(
    body: &[u8],
    from: usize,
    finder: &memchr::memmem::Finder<'_>,
) -> Result<(usize, usize), BadMultipart> {
    let mut from = from;
    loop {
        let found = body.get(from..).and_then(|rest| finder.find(rest));
        let begin = from + found.ok_or(BadMultipart::Malformed)?;
        let end = begin + finder.needle().len();
        if ends_its_line(body.get(end..).unwrap_or_default()) {
            return Ok((begin, end));
        }
        from = begin + 2;
    }
}

fn ends_its_line(rest: &[u8]) -> bool {
    let blank = rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    rest.starts_with(b"--") || rest.get(blank..).is_some_and(|rest| rest.starts_with(b"\r\n"))
}

fn part(whole: &Bytes, begin: usize, end: usize) -> Result<Part, BadMultipart> {
    let bytes = whole.slice(begin..end);
    let (head, body) = match bytes.starts_with(b"\r\n") {
        true => (Bytes::new(), bytes.slice(2..)),
        false => {
            let blank = memchr::memmem::find(&bytes, b"\r\n\r\n");
            let blank = blank.filter(|blank| *blank <= HEAD_OCTETS_MAX);
            let blank = blank.ok_or(BadMultipart::Malformed)?;
            (bytes.slice(..blank), bytes.slice(blank + 4..))
        }
    };
    let part = Part { headers: fields(&head)?, body };
    let nested = part.content_type().ok_or(BadMultipart::Malformed)?;
    if nested.essence.starts_with("multipart/") {
        return Err(BadMultipart::Nested);
    }
    Ok(part)
}

fn fields(head: &[u8]) -> Result<Headers, BadMultipart> {
    let mut headers = Headers::new();
    let text = std::str::from_utf8(head).map_err(|_| BadMultipart::Malformed)?;
    // A line that begins with white space goes on with the one before.
    let unfolded = text.replace("\r\n ", " ").replace("\r\n\t", " ");
    for line in unfolded.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(BadMultipart::Malformed)?;
        let name = Name::parse(name.trim_end().as_bytes()).map_err(|_| BadMultipart::Malformed)?;
        headers.push(name, value.trim().to_owned());
    }
    Ok(headers)
}

/// A body of these parts, and its Content-Type. The boundary is made of `random`, which nobody can guess, so that no
/// part holds it.
pub fn write(parts: &[Part], random: u128) -> (String, Bytes) {
    let (boundary, bytes) = joined(parts, random);
    (format!("multipart/mixed;boundary=\"{boundary}\""), bytes)
}

/// A body whose first part is of this type and refers to the others (RFC 2387), and its Content-Type.
pub fn write_related(root: &str, parts: &[Part], random: u128) -> (String, Bytes) {
    let (boundary, bytes) = joined(parts, random);
    (format!("multipart/related;type=\"{root}\";boundary=\"{boundary}\""), bytes)
}

/// The name of the field that names a part.
pub fn content_id() -> Name {
    Name::parse(b"Content-ID").expect("it is a token")
}

fn joined(parts: &[Part], random: u128) -> (String, Bytes) {
    let boundary = format!("part-{random:032x}");
    let mut bytes = BytesMut::new();
    for part in parts {
        bytes.put_slice(format!("--{boundary}\r\n").as_bytes());
        for header in part.headers.iter() {
            bytes.put_slice(header.name.as_str().as_bytes());
            bytes.put_slice(b": ");
            bytes.put_slice(header.value());
            bytes.put_slice(b"\r\n");
        }
        bytes.put_slice(b"\r\n");
        bytes.put_slice(&part.body);
        bytes.put_slice(b"\r\n");
    }
    bytes.put_slice(format!("--{boundary}--\r\n").as_bytes());
    (boundary, bytes.freeze())
}
