//! Headers as they arrived: slices of one block of octets, in order, with nothing copied.

use std::fmt;

use bytes::Bytes;

use crate::token;

/// Where a name and its value lie in the block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) name: (u32, u32),
    pub(crate) value: (u32, u32),
}

/// Headers in the order they arrived, repeated and unknown ones among them.
#[derive(Clone, Default)]
pub struct Headers {
    block: Bytes,
    places: Places,
}

/// How the headers are found in the block.
#[derive(Clone)]
enum Places {
    /// They have been found.
    Spans(Vec<Span>),
    /// Their lines, which have passed the grammar, are cut again when somebody asks: most are never asked for.
    Lines(u32, u32),
}

impl Default for Places {
    fn default() -> Self {
        Self::Lines(0, 0)
    }
}

impl Headers {
    pub(crate) fn new(block: Bytes, spans: Vec<Span>) -> Self {
        Self { block, places: Places::Spans(spans) }
    }

    /// The headers whose lines, CRLFs and all, are this part of `block`. Each has a colon.
    pub(crate) fn of_lines(block: Bytes, (start, end): (u32, u32)) -> Self {
        Self { block, places: Places::Lines(start, end) }
    }

    pub(crate) fn octets(&self, (start, end): (u32, u32)) -> &[u8] {
        self.block.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Names and values, as sent.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (spans, lines) = match &self.places {
            Places::Spans(spans) => (spans.as_slice(), &[][..]),
            Places::Lines(start, end) => (&[][..], self.octets((*start, *end))),
        };
        let found = spans.iter().map(|span| (self.octets(span.name), self.octets(span.value)));
        found.chain(Rows(lines))
    }

    /// The value of the first header of this name. MSRP names are compared without case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Every value of this name, compared without case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The value of the first header whose name is written exactly so, as CPIM compares names.
    pub fn get_exact(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| value)
    }

    /// As [`Headers::get`], sharing the octets.
    pub fn shared(&self, name: &str) -> Option<Bytes> {
        self.get(name).map(|value| self.block.slice_ref(value))
    }

    /// As [`Headers::get`], as text; `None` also where it is no UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// Cuts lines that end in CRLF and have a colon.
struct Rows<'a>(&'a [u8]);

impl<'a> Iterator for Rows<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr::memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at_checked(end + 1)?;
        self.0 = rest;
        let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        let value = value.get(1..)?.strip_suffix(b"\r\n")?;
        Some((name, token::trim(value)))
    }
}

/// Values may hold credentials and names of people: only the names of the headers show.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}
