//! Headers as they arrived: slices of one block of octets, in order, with nothing copied.

use std::fmt;

use bytes::Bytes;

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
    spans: Vec<Span>,
}

impl Headers {
    pub(crate) fn new(block: Bytes, spans: Vec<Span>) -> Self {
        Self { block, spans }
    }

    fn octets(&self, (start, end): (u32, u32)) -> &[u8] {
        self.block.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Names and values, as sent.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|span| (self.octets(span.name), self.octets(span.value)))
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
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// Values may hold credentials and names of people: only the names of the headers show.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}
