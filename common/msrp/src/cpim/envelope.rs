//! The two header blocks of a CPIM message. Names are case-sensitive, lines end in CRLF and are never folded
//! (RFC 3862, section 3); a lone LF is refused, because receivers that read it otherwise would see another sender.

use std::borrow::Cow;

use bytes::Bytes;

use super::escape::resolved;
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

    /// `DateTime`.
    pub fn date_time(&self) -> Option<Cow<'_, str>> {
        text(self.headers.get_exact("DateTime")?)
    }

    /// The header `name` of the namespace `uri`, as sent, whatever prefix the sender chose. A prefix must be declared
    /// before it is used (RFC 3862, section 3.4).
    pub fn namespaced(&self, uri: &str, name: &str) -> Option<&[u8]> {
        let wanted = Some((uri.as_bytes(), name.as_bytes()));
        self.walk(|scope, header, value| (scope.resolve(header) == wanted).then_some(value))
    }

    /// The same with its escapes resolved (RFC 3862, section 2.3).
    pub fn text(&self, uri: &str, name: &str) -> Option<Cow<'_, str>> {
        text(self.namespaced(uri, name)?)
    }

    /// `imdn.Message-ID` (RFC 5438), whatever the prefix. It is a token, so none that has a control character is one.
    pub fn imdn_message_id(&self) -> Option<Cow<'_, str>> {
        self.text(IMDN, "Message-ID").filter(|id| !id.contains(char::is_control))
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

    /// The first header, as its author calls it, that a receiver has to understand (RFC 3862, section 4.7) and that is
    /// not among `known`: names, each behind its namespace.
    pub fn unknown_requirement(&self, known: &[(&str, &str)]) -> Option<String> {
        let is_known = |(uri, name)| {
            known.iter().any(|known| (known.0.as_bytes(), known.1.as_bytes()) == (uri, name))
        };
        self.walk(|scope, header, value| {
            if scope.resolve(header) != Some((COMMON.as_bytes(), b"Require")) {
                return None;
            }
            let mut names = value.split(|octet| *octet == b',').map(token::trim);
            let unknown = names.find(|name| !scope.resolve(name).is_some_and(is_known))?;
            Some(String::from_utf8_lossy(unknown).into_owned())
        })
    }

    /// What `visit` finds first, given each header and its value with what is declared before it.
    fn walk<'a, T>(
        &'a self,
        mut visit: impl FnMut(&Scope<'a>, &'a [u8], &'a [u8]) -> Option<T>,
    ) -> Option<T> {
        let mut scope = Scope { unprefixed: COMMON.as_bytes(), prefixes: Vec::new() };
        for (header, value) in self.headers.iter() {
            if header == b"NS" {
                scope.declare(value)?;
                continue;
            }
            let found = visit(&scope, header, value);
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// A namespace, and a name in it.
type Named<'a> = (&'a [u8], &'a [u8]);

/// Which prefix stands for which namespace.
struct Scope<'a> {
    unprefixed: &'a [u8],
    prefixes: Vec<Named<'a>>,
}

impl<'a> Scope<'a> {
    /// Takes in the value of an NS header; nothing of one that is malformed.
    fn declare(&mut self, value: &'a [u8]) -> Option<()> {
        let (prefix, uri) = declaration(value)?;
        if prefix.is_empty() {
            self.unprefixed = uri;
        } else {
            self.prefixes.retain(|(known, _)| *known != prefix);
            self.prefixes.push((prefix, uri));
        }
        Some(())
    }

    fn resolve<'b>(&self, header: &'b [u8]) -> Option<(&'a [u8], &'b [u8])> {
        let Some(dot) = memchr::memchr(b'.', header) else {
            return Some((self.unprefixed, header));
        };
        let (prefix, name) = (header.get(..dot)?, header.get(dot + 1..)?);
        let (_, uri) = self.prefixes.iter().find(|(known, _)| *known == prefix)?;
        Some((uri, name))
    }
}

/// A value that is text, with its escapes resolved.
fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(value).ok().map(resolved)
}

/// `[prefix] "<" URI ">"` of an NS header.
fn declaration(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let open = memchr::memchr(b'<', value)?;
    let uri = value.get(open + 1..)?.strip_suffix(b">")?;
    Some((token::trim(value.get(..open)?), uri))
}
