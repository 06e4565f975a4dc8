//! To-Path, From-Path and Use-Path: one or more URIs, the nearest hop first.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::token;
use crate::uri::{BadUri, Uri};

/// One or more URIs, the nearest hop first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Path {
    first: Uri,
    rest: Vec<Uri>,
}

impl Path {
    /// Reads URIs separated by spaces, at most `uris_max` of them. Nothing is copied.
    pub fn parse(text: &Bytes, uris_max: usize) -> Result<Self, BadUri> {
        Self::parse_in(text, text, uris_max)
    }

    /// Reads the path `text`, which is a part of `block`.
    pub(crate) fn parse_in(block: &Bytes, text: &[u8], uris_max: usize) -> Result<Self, BadUri> {
        let (first, mut left) = split_first(text);
        let first = Uri::parse_in(block, first)?;
        let mut rest = Vec::new();
        while !left.is_empty() {
            let (next, behind) = split_first(left);
            left = behind;
            if rest.len() + 1 >= uris_max {
                return Err(BadUri::Count);
            }
            rest.push(Uri::parse_in(block, next)?);
        }
        Ok(Self { first, rest })
    }

    /// A path of `first` and then `rest`.
    pub fn new(first: Uri, rest: Vec<Uri>) -> Self {
        Self { first, rest }
    }

    /// The nearest hop (leftmost).
    pub fn first(&self) -> &Uri {
        &self.first
    }

    /// The endpoint (rightmost).
    pub fn last(&self) -> &Uri {
        self.rest.last().unwrap_or(&self.first)
    }

    /// How many URIs there are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a path is never empty")]
    pub fn len(&self) -> usize {
        1 + self.rest.len()
    }

    /// Every URI, the nearest hop first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Uri> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// As `a=path` of SDP and the headers write it. It holds session-ids: keep it out of logs.
    pub fn to_wire(&self) -> String {
        self.iter().map(Uri::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The path behind the nearest hop, `None` when that was the last.
    pub fn behind_first(&self) -> Option<Self> {
        let (first, rest) = self.rest.split_first()?;
        Some(Self { first: first.clone(), rest: rest.to_vec() })
    }

    /// This path with `uri` as the new nearest hop.
    #[must_use]
    pub fn preceded_by(&self, uri: Uri) -> Self {
        Self { first: uri, rest: self.iter().cloned().collect() }
    }

    /// This path, then all of `other`.
    #[must_use]
    pub fn followed_by(&self, other: &Self) -> Self {
        let rest = self.rest.iter().chain(other.iter()).cloned().collect();
        Self { first: self.first.clone(), rest }
    }

    /// The same URIs in the opposite order.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut rest: Vec<Uri> = self.iter().rev().cloned().collect();
        let first = rest.remove(0);
        Self { first, rest }
    }

    /// A copy that shares nothing with the buffer it was read from, for keeping.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { first: self.first.detached(), rest: self.rest.iter().map(Uri::detached).collect() }
    }

    /// The same path in `own`, which has the same octets as the front of `block`, where this one lies.
    pub(crate) fn moved(&self, block: &[u8], own: &Bytes) -> Self {
        let rest = self.rest.iter().map(|uri| uri.moved(block, own)).collect();
        Self { first: self.first.moved(block, own), rest }
    }

    pub(crate) fn wire_len(&self) -> usize {
        self.iter().map(|uri| uri.as_bytes().len() + 1).sum()
    }
}

/// The text up to the first space, and what is behind all spaces.
fn split_first(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    let (first, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    (first, token::trim(rest))
}

impl From<Uri> for Path {
    fn from(uri: Uri) -> Self {
        Self { first: uri, rest: Vec::new() }
    }
}

impl FromStr for Path {
    type Err = BadUri;

    fn from_str(text: &str) -> Result<Self, BadUri> {
        Self::parse(&Bytes::copy_from_slice(text.as_bytes()), usize::MAX)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_order_and_its_bound() {
        let text = "msrp://a:1/x;tcp msrp://b:2/y;tcp msrp://c:3/z;tcp";
        let path: Path = text.parse().unwrap();

        assert_eq!((path.len(), path.first().host(), path.last().host()), (3, "a", "c"));
        assert_eq!(path.to_wire(), text);
        assert_eq!(path.reversed().first().host(), "c");
        assert_eq!(path.behind_first().map(|rest| rest.len()), Some(2));
        let bytes = Bytes::from_static(text.as_bytes());
        assert_eq!(Path::parse(&bytes, 2), Err(BadUri::Count));
        assert!(Path::parse(&bytes, 3).is_ok());
        assert_eq!("".parse::<Path>(), Err(BadUri::Scheme));
    }

    #[test]
    fn a_relay_moves_itself_from_one_path_to_the_other() {
        let to: Path = "msrps://relay:1/r;tcp msrps://bob:2/b;tcp".parse().unwrap();
        let from: Path = "msrps://alice:3/a;tcp".parse().unwrap();

        let forwarded = (to.behind_first().unwrap(), from.preceded_by(to.first().clone()));

        assert_eq!(forwarded.0.to_wire(), "msrps://bob:2/b;tcp");
        assert_eq!(forwarded.1.to_wire(), "msrps://relay:1/r;tcp msrps://alice:3/a;tcp");
    }
}
