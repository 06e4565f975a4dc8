//! The octets a chunk carries, as slices of the buffer they were read into. Nothing here copies them, except
//! [`Body::gather`] where they lie in several slices.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// Octets in one or more slices. Equality compares the octets, not how they are cut.
#[derive(Clone, Default)]
pub struct Body {
    first: Bytes,
    rest: Vec<Bytes>,
    octets: usize,
}

impl Body {
    /// No octets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a slice behind the others.
    pub fn push(&mut self, slice: Bytes) {
        if slice.is_empty() {
            return;
        }
        self.octets += slice.len();
        if self.first.is_empty() {
            self.first = slice;
        } else {
            self.rest.push(slice);
        }
    }

    /// How many octets there are.
    pub fn len(&self) -> usize {
        self.octets
    }

    /// How many octets there are, as positions in a message are counted.
    pub fn octets(&self) -> u64 {
        u64::try_from(self.octets).unwrap_or(u64::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.octets == 0
    }

    /// The slices in order; none of them is empty.
    pub fn slices(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest).filter(|slice| !slice.is_empty())
    }

    /// In how many slices the octets lie.
    pub fn slice_count(&self) -> usize {
        usize::from(!self.first.is_empty()) + self.rest.len()
    }

    /// All octets in one slice; free where they already are.
    pub fn gather(&self) -> Bytes {
        if self.rest.is_empty() {
            return self.first.clone();
        }
        let mut all = BytesMut::with_capacity(self.octets);
        self.slices().for_each(|slice| all.extend_from_slice(slice));
        all.freeze()
    }

    /// The part from `start` up to but not including `end`, sharing the octets; what lies outside is left out.
    #[must_use]
    pub fn part(&self, start: usize, end: usize) -> Self {
        let mut part = Self::new();
        let mut at = 0;
        for slice in self.slices() {
            let from = start.clamp(at, at + slice.len()) - at;
            let to = end.clamp(at, at + slice.len()) - at;
            if from < to {
                part.push(slice.slice(from..to));
            }
            at += slice.len();
        }
        part
    }

    /// Adds all of `other` behind.
    pub fn append(&mut self, other: &Self) {
        other.slices().for_each(|slice| self.push(slice.clone()));
    }
}

impl From<Bytes> for Body {
    fn from(slice: Bytes) -> Self {
        Self { octets: slice.len(), first: slice, rest: Vec::new() }
    }
}

impl FromIterator<Bytes> for Body {
    fn from_iter<I: IntoIterator<Item = Bytes>>(slices: I) -> Self {
        let mut body = Self::new();
        slices.into_iter().for_each(|slice| body.push(slice));
        body
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets && self.gather() == other.gather()
    }
}

impl Eq for Body {}

impl PartialEq<[u8]> for Body {
    fn eq(&self, other: &[u8]) -> bool {
        self.octets == other.len() && self.gather() == other
    }
}

/// Bodies are secrets: only the size shows.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} octets)", self.octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Body {
        [&b"abc"[..], b"", b"de", b"fgh"].map(Bytes::from_static).into_iter().collect()
    }

    #[test]
    fn empty_slices_are_left_out_and_the_rest_keeps_its_order() {
        let body = three();
        assert_eq!((body.len(), body.slice_count()), (8, 3));
        assert_eq!(body.gather(), "abcdefgh");
        assert_eq!(body, Body::from(Bytes::from_static(b"abcdefgh")));
    }

    #[test]
    fn one_slice_is_gathered_without_a_copy() {
        let slice = Bytes::from(vec![7; 100]);
        assert_eq!(Body::from(slice.clone()).gather().as_ptr(), slice.as_ptr());
    }

    #[test]
    fn a_part_may_cross_slices_and_lie_outside() {
        let body = three();
        assert_eq!(body.part(2, 6).gather(), "cdef");
        assert_eq!(body.part(0, 99), body);
        assert!(body.part(8, 9).is_empty());
    }

    #[test]
    fn debug_output_shows_no_octet() {
        assert_eq!(format!("{:?}", three()), "Body(8 octets)");
    }
}
