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
}

/// More sessions than this that speak in turns on one connection are read anew each time.
const ENTRIES_MAX: usize = 4;

impl Known {
    /// The paths whose lines `input` starts with, and how many octets those have.
    pub(crate) fn find(&self, input: &[u8]) -> Option<(&Arc<Paths>, usize)> {
        let entry = self.entries.iter().find(|entry| input.starts_with(&entry.lines))?;
        Some((&entry.paths, entry.lines.len()))
    }

    /// Remembers the paths of an accepted head, which lie in these lines of `block`. What it returns equals `paths`
    /// and shares nothing with the block.
    pub(crate) fn keep(&mut self, paths: &Paths, block: &Bytes, lines: [Line; 2]) -> Arc<Paths> {
        let [(start, _), (_, end)] = lines;
        // Each line is followed by its CRLF.
        let own = block.get(start as usize..end as usize + 2).map(Bytes::copy_from_slice);
        let Some(own) = own else { return Arc::new(paths.clone()) };
        let from = block.get(start as usize..).unwrap_or_default();
        let moved = Paths { to: paths.to.moved(from, &own), from: paths.from.moved(from, &own) };
        let paths = Arc::new(moved);
        let entry = Entry { lines: own, paths: Arc::clone(&paths) };
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(entry);
        } else if let Some(oldest) = self.entries.get_mut(self.next) {
            *oldest = entry;
            self.next = (self.next + 1) % ENTRIES_MAX;
        }
        paths
    }
}
