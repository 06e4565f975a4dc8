//! The two header blocks of a CPIM message. Names are case-sensitive, lines end in CRLF and are never folded
//! (RFC 3862, section 3); a lone LF is refused, because receivers that read it otherwise would see another sender.

use bytes::Bytes;

use super::{Address, COMMON, HEAD_OCTETS_MAX, IMDN};
use crate::head::media_type_is;
use crate::header::{Headers, Span};
use crate::token;

/// Why something is no CPIM message, or not one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadCpim {
    /// Both header blocks together are longer than [`HEAD_OCTETS_MAX`].
    #[error("the CPIM headers are too long")]
    TooLong,
    /// The message ends within the headers.
    #[error("the message ends within the CPIM headers")]
    Unfinished,
    /// A line is no header or does not end in CRLF.
    #[error("a CPIM header line is malformed")]
    Line,
    /// A header that must be there is not.
    #[error("the CPIM header {0} is missing")]
    Missing(&'static str),
    /// A header that may be there once is there more often.
    #[error("the CPIM header {0} is there more than once")]
    Repeated(&'static str),
    /// The value of a header does not follow its grammar.
    #[error("the CPIM header {0} is malformed")]
    Malformed(&'static str),
}

/// The headers of a CPIM message, as they were sent.
#[derive(Debug, Clone)]
pub struct Envelope {
    headers: Headers,
    mime: Headers,
    octets: usize,
}

/// Reads the headers at the front of `text`; `None` when they are not complete yet. Nothing is copied.
pub fn parse(text: &Bytes) -> Result<Option<Envelope>, BadCpim> {
    let Some((headers, mime_at)) = block(text, 0, Block::Cpim)? else { return Ok(None) };
    let Some((mime, octets)) = block(text, mime_at, Block::Mime)? else { return Ok(None) };
    Ok(Some(Envelope { headers, mime, octets }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Cpim,
    Mime,
}

/// The headers from `at` up to a blank line, and where the text behind that starts.
fn block(text: &Bytes, mut at: usize, kind: Block) -> Result<Option<(Headers, usize)>, BadCpim> {
    let mut spans = Vec::new();
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if text.len() >= HEAD_OCTETS_MAX { Err(BadCpim::TooLong) } else { Ok(None) };
        };
        if at + end >= HEAD_OCTETS_MAX {
            return Err(BadCpim::TooLong);
        }
        let Some([line @ .., b'\r', b'\n']) = rest.get(..=end) else { return Err(BadCpim::Line) };
        match (line.first(), kind) {
            (None, _) => return Ok(Some((Headers::new(text.clone(), spans), at + end + 1))),
            // MIME headers, unlike those of CPIM, may be folded (RFC 2045); a parameter on its own line is not read.
            (Some(b' ' | b'\t'), Block::Mime) if !spans.is_empty() => {}
            _ => spans.push(header(line, at).ok_or(BadCpim::Line)?),
        }
        at += end + 1;
    }
}

/// `name: value`, or `name:;parameters value` (RFC 3862, section 3.6).
fn header(line: &[u8], at: usize) -> Option<Span> {
    let colon = memchr::memchr(b':', line)?;
    let name = line.get(..colon)?;
    let graphic = |c: &u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'<' | b'>' | b'@' | b',');
    if name.is_empty() || !name.iter().all(graphic) {
        return None;
    }
    let behind = line.get(colon + 1..)?;
    let skipped = match behind.first() {
        Some(b';') => memchr::memchr(b' ', behind)?,
        _ => 0,
    };
    let value = token::trim(behind.get(skipped..)?);
    // Trimming leaves a slice of `line`, so its place follows from what was cut off.
    let start = value.as_ptr().addr() - line.as_ptr().addr();
    let narrow = |place: usize| u32::try_from(at + place).unwrap_or(u32::MAX);
    Some(Span {
        name: (narrow(0), narrow(colon)),
        value: (narrow(start), narrow(start + value.len())),
    })
}

impl Envelope {
    /// The CPIM headers, in order. Compare their names with [`Headers::get_exact`].
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The MIME headers of the content.
    pub fn mime(&self) -> &Headers {
        &self.mime
    }

    /// How many octets the headers have with both blank lines: where the content starts.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// The sender. RFC 7701, section 6.1 wants exactly one.
    pub fn from(&self) -> Result<Address<'_>, BadCpim> {
        self.only("From")
    }

    /// The recipient where there must be exactly one, as in a chat room (RFC 7701, section 6.1).
    pub fn only_to(&self) -> Result<Address<'_>, BadCpim> {
        self.only("To")
    }

    /// Every recipient.
    pub fn to(&self) -> Result<Vec<Address<'_>>, BadCpim> {
        let values = self.headers.iter().filter(|(name, _)| *name == b"To");
        values.map(|(_, value)| Address::parse(value).ok_or(BadCpim::Malformed("To"))).collect()
    }

    fn only(&self, name: &'static str) -> Result<Address<'_>, BadCpim> {
        let mut values = self.headers.iter().filter(|(n, _)| *n == name.as_bytes());
        let (_, value) = values.next().ok_or(BadCpim::Missing(name))?;
        if values.next().is_some() {
            return Err(BadCpim::Repeated(name));
        }
        Address::parse(value).ok_or(BadCpim::Malformed(name))
    }

    /// The media type of the content with its parameters, as sent.
    pub fn content_type(&self) -> Option<&[u8]> {
        self.mime.get("Content-Type")
    }

    /// Whether the content is of the type `wanted`, without regard to case and parameters.
    pub fn is_type(&self, wanted: &str) -> bool {
        self.content_type().is_some_and(|value| media_type_is(value, wanted))
    }

    /// `DateTime`, as sent.
    pub fn date_time(&self) -> Option<&str> {
        std::str::from_utf8(self.headers.get_exact("DateTime")?).ok()
    }

    /// The header `name` of the namespace `uri`, whatever prefix the sender chose. A prefix must be declared before
    /// it is used (RFC 3862, section 3.4).
    pub fn namespaced(&self, uri: &str, name: &str) -> Option<&[u8]> {
        let mut prefixes: Vec<&[u8]> = Vec::new();
        let mut unprefixed = uri == COMMON;
        for (header, value) in self.headers.iter() {
            if header == b"NS" {
                let (prefix, declared) = declaration(value)?;
                let same = declared == uri.as_bytes();
                if prefix.is_empty() {
                    unprefixed = same;
                } else {
                    prefixes.retain(|known| *known != prefix);
                    same.then(|| prefixes.push(prefix));
                }
                continue;
            }
            let (prefix, bare) = match memchr::memchr(b'.', header) {
                Some(dot) => (header.get(..dot), header.get(dot + 1..).unwrap_or_default()),
                None => (None, header),
            };
            let ours = prefix.map_or(unprefixed, |prefix| prefixes.contains(&prefix));
            if ours && bare == name.as_bytes() {
                return Some(value);
            }
        }
        None
    }

    /// `imdn.Message-ID` (RFC 5438), whatever the prefix.
    pub fn imdn_message_id(&self) -> Option<&str> {
        std::str::from_utf8(self.namespaced(IMDN, "Message-ID")?).ok()
    }

    /// Whether its author wants to be told this of it: `positive-delivery`, `negative-delivery`, `processing`, `display`
    /// (RFC 5438, 6.2). Case and parameters do not matter.
    pub fn wants(&self, notification: &str) -> bool {
        let asked = self.namespaced(IMDN, "Disposition-Notification").unwrap_or_default();
        asked.split(|octet| *octet == b',').any(|one| {
            let name = one.split(|octet| *octet == b';').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(notification.as_bytes())
        })
    }
}

/// `[prefix] "<" URI ">"` of an NS header.
fn declaration(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let open = memchr::memchr(b'<', value)?;
    let uri = value.get(open + 1..)?.strip_suffix(b">")?;
    Some((token::trim(value.get(..open)?), uri))
}
