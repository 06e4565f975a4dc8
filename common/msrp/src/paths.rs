//! The two path lines that open every head, and a decoder's memory of the latest ones. Whoever speaks on a connection
//! writes the same two lines again and again: octets that were read before are compared and not read again.

use std::sync::Arc;

use bytes::Bytes;

use crate::parse::Line;
use crate::path::Path;

/// To-Path and From-Path of a message.
#[derive(Debug, Clone)]
pub struct Paths {
    pub(crate) to: Path,
    pub(crate) from: Path,
}

/// Two lines and what they said.
#[derive(Debug)]
struct Entry {
    /// Both, with their CRLFs, in octets of their own: they keep no buffer alive.
    lines: Bytes,
    paths: Arc<Paths>,
}

/// The path lines of the latest messages that were accepted. As long as the limits stay the same, what was accepted
/// once is acceptable again.
#[derive(Debug, Default)]
pub(crate) struct Known {
    entries: Vec<Entry>,
    next: usize,
    /// Digests of the latest lines that were not known. A session is worth remembering when it speaks again.
    seen: [u64; ENTRIES_MAX],
    next_seen: usize,
}

/// More sessions than this that speak in turns on one connection are read anew each time.
const ENTRIES_MAX: usize = 4;

impl Known {
    /// The paths whose lines `input` starts with, and how many octets those have.
    pub(crate) fn find(&self, input: &[u8]) -> Option<(&Arc<Paths>, usize)> {
        let entry = self.entries.iter().find(|entry| input.starts_with(&entry.lines))?;
        Some((&entry.paths, entry.lines.len()))
    }

    /// Takes note of the paths of an accepted head, which lie in these lines of `block`, and remembers them when it
    /// sees them again.
    pub(crate) fn note(&mut self, paths: Paths, block: &Bytes, lines: [Line; 2]) -> Arc<Paths> {
        let [(start, _), (_, end)] = lines;
        // Each line is followed by its CRLF.
        let text = block.get(start as usize..end as usize + 2).unwrap_or_default();
        let digest = digest(text);
        if text.is_empty() || !self.seen.contains(&digest) {
            if let Some(oldest) = self.seen.get_mut(self.next_seen) {
                *oldest = digest;
                self.next_seen = (self.next_seen + 1) % ENTRIES_MAX;
            }
            return Arc::new(paths);
        }
        self.keep(&paths, text)
    }

    fn keep(&mut self, paths: &Paths, text: &[u8]) -> Arc<Paths> {
        let lines = Bytes::copy_from_slice(text);
        let moved =
            Paths { to: paths.to.moved(text, &lines), from: paths.from.moved(text, &lines) };
        let paths = Arc::new(moved);
        let entry = Entry { lines, paths: Arc::clone(&paths) };
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(entry);
        } else if let Some(oldest) = self.entries.get_mut(self.next) {
            *oldest = entry;
            self.next = (self.next + 1) % ENTRIES_MAX;
        }
        paths
    }
}

/// It only says what may be worth keeping, so whoever finds two texts of one digest gains nothing.
fn digest(text: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = text.as_chunks::<8>();
    let step = |sum: u64, word: u64| (sum.rotate_left(5) ^ word).wrapping_mul(ODD);
    let sum = words.iter().fold(ODD, |sum, word| step(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, &octet| step(sum, u64::from(octet)))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{Decoder, Head, Item};

    /// The heads of bodiless messages from these users, by one decoder.
    fn heads(users: &[&str]) -> Vec<Arc<Head>> {
        let mut decoder = Decoder::default();
        let text = |user: &&str| {
            format!(
                "MSRP abcd SEND\r\nTo-Path: msrp://r:1/s;tcp\r\nFrom-Path: msrp://u:1/{user};tcp\r\n\
                 Message-ID: mmmm\r\n-------abcd$\r\n"
            )
        };
        let mut wire = BytesMut::from(users.iter().map(text).collect::<String>().as_bytes());
        let next = |()| match decoder.next(&mut wire) {
            Ok(Some(Item::Request(chunk))) => Some(chunk.head),
            _ => None,
        };
        std::iter::repeat_n((), users.len()).map_while(next).collect()
    }

    fn users(heads: &[Arc<Head>]) -> Vec<&str> {
        heads.iter().filter_map(|head| head.from_path().first().session_id()).collect()
    }

    #[test]
    fn who_speaks_a_third_time_is_known() {
        let heads = heads(&["a", "a", "a"]);

        assert_eq!(users(&heads), ["a", "a", "a"]);
        assert!(!Arc::ptr_eq(heads[0].paths(), heads[1].paths()));
        assert!(Arc::ptr_eq(heads[1].paths(), heads[2].paths()));
    }

    #[test]
    fn nobody_is_taken_for_another_however_they_take_turns() {
        let spoken: Vec<&str> =
            (0..200).map(|n: usize| ["a", "ab", "b", "c", "d", "e"][n * n % 6]).collect();

        assert_eq!(users(&heads(&spoken)), spoken);
    }
}
