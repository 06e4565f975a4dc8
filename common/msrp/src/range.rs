//! `Byte-Range`: which octets of a message a chunk carries. What arrives decides, not what is announced:
//! nothing is ever allocated by these numbers (RFC 4975, section 14.5).

use std::fmt;

use crate::token;

/// `start-end/total`, counted from 1. An absent end or total is `*` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// The first octet; at least 1.
    pub start: u64,
    /// The last octet, which is `start - 1` where there is none.
    pub end: Option<u64>,
    /// The size of the whole message.
    pub total: Option<u64>,
}

/// What a chunk without a Byte-Range means: the whole of a message of unknown size.
impl Default for ByteRange {
    fn default() -> Self {
        Self { start: 1, end: None, total: None }
    }
}

impl ByteRange {
    /// Above this a chunk must be interruptible, so its end is written `*` (RFC 4975, section 7.1.1).
    pub const UNINTERRUPTIBLE_OCTETS_MAX: u64 = 2048;

    /// `1-octets/octets`: all of a message.
    pub fn whole(octets: u64) -> Self {
        Self { start: 1, end: Some(octets), total: Some(octets) }
    }

    /// `octets` from `start` on, of `total`.
    pub fn piece(start: u64, octets: u64, total: Option<u64>) -> Self {
        Self { start, end: Some(start.saturating_add(octets).saturating_sub(1)), total }
    }

    /// Reads a header value. A start of 0, a start behind the total and a number beyond 63 bits are refused.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', value)?;
        let slash = memchr::memchr(b'/', value)?;
        let start = token::number(value.get(..dash)?)?;
        let end = starred(value.get(dash + 1..slash)?)?;
        let total = starred(value.get(slash + 1..)?)?;
        // `1-0/0` is how a message without octets says so (section 7.1.1).
        let sane = start >= 1 && total.is_none_or(|total| start - 1 <= total);
        sane.then_some(Self { start, end, total })
    }

    /// How many octets lie between start and end, where the end is known.
    pub fn octets(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_add(1).saturating_sub(self.start))
    }

    /// Whether the end lies behind the announced total.
    pub fn exceeds_total(&self) -> bool {
        matches!((self.end, self.total), (Some(end), Some(total)) if end > total)
    }

    /// As it must be written: the end of a piece that must be interruptible becomes `*`.
    #[must_use]
    pub fn for_wire(self) -> Self {
        let long = self.octets().is_some_and(|n| n > Self::UNINTERRUPTIBLE_OCTETS_MAX);
        Self { end: self.end.filter(|_| !long), ..self }
    }
}

/// `None`: malformed. `Some(None)`: a star.
fn starred(text: &[u8]) -> Option<Option<u64>> {
    if text == b"*" { Some(None) } else { token::number(text).map(Some) }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.start)?;
        match self.end {
            Some(end) => write!(f, "{end}/")?,
            None => f.write_str("*/")?,
        }
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_written_back() {
        for text in ["1-25/25", "1-*/*", "1-*/10240", "2049-4096/*", "1-0/0", "26-25/25"] {
            let range = ByteRange::parse(text.as_bytes()).unwrap();
            assert_eq!(range.to_string(), text);
        }
    }

    #[test]
    fn impossible_ranges_are_refused() {
        let bad = ["", "1", "1-2", "1/2", "0-1/1", "x-1/1", "1-x/1", "1-1/x", "-1/1", "27-*/25"];
        for text in bad {
            assert_eq!(ByteRange::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(ByteRange::parse(b"99999999999999999999-*/*"), None);
    }

    #[test]
    fn only_a_piece_above_2048_octets_hides_its_end() {
        assert_eq!(ByteRange::piece(1, 2048, None).for_wire().to_string(), "1-2048/*");
        assert_eq!(ByteRange::piece(2049, 2049, Some(9000)).for_wire().to_string(), "2049-*/9000");
        assert_eq!(ByteRange::whole(0).for_wire().to_string(), "1-0/0");
    }
}
