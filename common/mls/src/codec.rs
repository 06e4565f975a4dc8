//! Reading and writing our own structures in the presentation language of RFC 9420, 2.1, with a bound on everything.
//!
//! It knows octets, numbers, vectors and names, and no message. What MLS itself defines is read by openmls.
use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;
use openmls::prelude::tls_codec::{Deserialize as _, Serialize as _, VLByteSlice, VLBytes};

/// Bytes that are not the structure they should be. It names the part, never its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// Longest text of a name or reason.
const TEXT_OCTETS_MAX: usize = 1024;

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts on a whole structure; longer than `octets_max` is refused before anything is read.
    pub(crate) fn new(
        bytes: &'a [u8],
        octets_max: usize,
        what: &'static str,
    ) -> Result<Self, Malformed> {
        if bytes.len() > octets_max {
            return Err(Malformed(what));
        }
        Ok(Self { rest: bytes })
    }

    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Malformed(what))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], Malformed> {
        self.take(N, what)?.try_into().map_err(|_| Malformed(what))
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// A vector of at most `octets_max` octets.
    pub(crate) fn blob(
        &mut self,
        octets_max: usize,
        what: &'static str,
    ) -> Result<Bytes, Malformed> {
        // By the `Read` trait: the one over slices asserts, in debug builds, that a vector is as long as it claims.
        let bytes = VLBytes::tls_deserialize(&mut self.rest).map_err(|_| Malformed(what))?;
        let bytes: Vec<u8> = bytes.into();
        if bytes.len() > octets_max {
            return Err(Malformed(what));
        }
        Ok(bytes.into())
    }

    /// A text that is a name: an address of record, a device, a conference.
    pub(crate) fn name<T: FromStr>(&mut self, what: &'static str) -> Result<T, Malformed> {
        self.text(what)?.parse().map_err(|_| Malformed(what))
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<String, Malformed> {
        let bytes = self.blob(TEXT_OCTETS_MAX, what)?;
        String::from_utf8(bytes.into()).map_err(|_| Malformed(what))
    }

    /// A vector of at most `count_max` structures.
    pub(crate) fn list<T>(
        &mut self,
        count_max: usize,
        what: &'static str,
        item: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let bytes = self.blob(usize::MAX, what)?;
        let mut inner = Reader { rest: &bytes };
        let mut items = Vec::new();
        while !inner.rest.is_empty() {
            if items.len() == count_max {
                return Err(Malformed(what));
            }
            items.push(item(&mut inner)?);
        }
        Ok(items)
    }

    /// An optional structure (RFC 9420, 2.1.1).
    pub(crate) fn option<T>(
        &mut self,
        what: &'static str,
        item: impl Fn(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.u8(what)? {
            0 => Ok(None),
            1 => item(self).map(Some),
            _ => Err(Malformed(what)),
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(self, what: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed(what)) }
    }
}

#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A vector. Lengths beyond 2^30 cannot be written; nothing here comes near.
    pub(crate) fn blob(&mut self, bytes: &[u8]) -> &mut Self {
        let written = VLByteSlice(bytes).tls_serialize(&mut self.bytes);
        debug_assert!(written.is_ok(), "a vector below 2^30 octets can always be written");
        self
    }

    pub(crate) fn text(&mut self, text: &impl Display) -> &mut Self {
        self.blob(text.to_string().as_bytes())
    }

    pub(crate) fn list<T>(&mut self, items: &[T], item: impl Fn(&mut Self, &T)) -> &mut Self {
        let mut inner = Self::default();
        for each in items {
            item(&mut inner, each);
        }
        self.blob(&inner.bytes)
    }

    pub(crate) fn option<T>(
        &mut self,
        value: Option<&T>,
        item: impl Fn(&mut Self, &T),
    ) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                item(self, value);
                self
            }
        }
    }

    pub(crate) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_that_claims_more_than_there_is_is_refused() {
        // RFC 9420, 2.1.2: 0x80 starts a four-octet length; here it claims a gigabyte and brings three octets.
        let bytes = [0xbf, 0xff, 0xff, 0xff, 1, 2, 3];
        let mut reader = Reader::new(&bytes, 100, "thing").unwrap();

        assert_eq!(reader.blob(usize::MAX, "vector"), Err(Malformed("vector")));
    }

    #[test]
    fn a_list_stops_at_its_bound() {
        let mut writer = Writer::default();
        writer.list(&[1_u8, 2, 3], |w, n| {
            w.u8(*n);
        });
        let bytes = writer.finish();

        let read = |max| Reader::new(&bytes, 100, "list").unwrap().list(max, "list", |r| r.u8("n"));
        assert_eq!(read(3), Ok(vec![1, 2, 3]));
        assert_eq!(read(2), Err(Malformed("list")));
    }

    #[test]
    fn what_follows_the_structure_is_refused() {
        let mut reader = Reader::new(&[1, 2], 100, "thing").unwrap();
        assert_eq!(reader.u8("thing"), Ok(1));

        assert_eq!(reader.end("thing"), Err(Malformed("thing")));
    }
}
