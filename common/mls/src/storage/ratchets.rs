//! How far the ratchets of a group may be ahead of the record of its secrets.
//!
//! ```text
//! epoch begins ─► secrets written, nothing reserved
//! seal         ─► beyond what is reserved: 1 more is, then 2, 4 ... 64, in one small record; the secrets are not written
//! open         ─► its author has one more opening; counted ahead, 16 at once, in one small record
//! crash        ─► secrets as at the beginning, then everything reserved is burnt
//! ```
//!
//! The same without a disk: a device that takes a new seat with what it has in memory comes back as after a crash.
//!
//! Written anew, the secrets say how far the ratchets are, and nothing is reserved any more. These records change in one
//! transaction, so that none of them is ever seen without the other.
//!
//! **No author gets out of reach.** A ratchet skips 2000 generations at once and no more, and a device that comes back
//! begins where the record is. So what an author burns is never much more than what it sealed: a life begins with a
//! window of one. And who reads counts for each author, across lives, what it has opened since the record knew how far
//! that author is. The record knows that of an author only if something of theirs was opened in the life that wrote it.
use std::collections::HashMap;

use super::{Octets, State, area};

/// Generations reserved at once, at most.
pub const WINDOW: u32 = 64;
/// After so many sealed messages the secrets of the group are written. It bounds how long coming back takes (each one
/// burnt costs as much as sealing a message), and how far back whoever has the disk and its key can read.
pub const SEALED_MAX: u32 = 1024;
/// After so many opened messages the secrets are written, in one life or of one author. Well below half of the 2000
/// generations a ratchet may skip: for each one opened its author may have burnt another.
pub const OPENED_MAX: u32 = 256;

/// Openings of an author that are counted at once.
const COUNTED: u32 = 16;

/// Where the ratchets are, counted from the record of the secrets.
#[derive(Clone, Default)]
pub(super) struct Position {
    sealed: u32,
    opened: u32,
    reserved: u32,
    /// How many were reserved last.
    window: u32,
    /// By the number of their leaf.
    authors: HashMap<u32, Author>,
    /// The next time openmls writes the secrets it is left out.
    skip: bool,
}

/// How far the record is behind one author.
#[derive(Clone, Copy, Default)]
struct Author {
    /// Messages opened, in this life and before.
    opened: u32,
    /// The same as the disk has it, which is never less.
    counted: u32,
    /// Something of theirs was opened in this life: what is in memory is how far they are.
    heard: bool,
}

/// The label of the record that says how many generations are reserved.
const RESERVED: &[u8] = b"R";
/// The label of the records that say how much of an author was opened.
const AUTHOR: &[u8] = b"A";

impl State {
    /// A message is about to be sealed: its generation is reserved.
    pub(super) fn sealing(&mut self, group: &[u8]) {
        let position = self.positions.entry(group.to_vec()).or_default();
        position.sealed += 1;
        position.skip = position.sealed < SEALED_MAX;
        if position.sealed > position.reserved {
            position.window = (position.window * 2).clamp(1, WINDOW);
            position.reserved += position.window;
            let reserved = position.reserved;
            self.put(reserved_key(group), reserved.to_be_bytes().to_vec().into());
        }
    }

    /// A message is about to be opened.
    pub(super) fn opening(&mut self, group: &[u8]) {
        let position = self.positions.entry(group.to_vec()).or_default();
        position.opened += 1;
        position.skip = position.opened < OPENED_MAX;
    }

    /// A message of this author was opened. True: the secrets are to be written.
    pub(super) fn opened_of(&mut self, group: &[u8], author: u32) -> bool {
        let position = self.positions.entry(group.to_vec()).or_default();
        let known = position.authors.entry(author).or_default();
        known.opened += 1;
        known.heard = true;
        let Author { opened, counted, .. } = *known;
        if opened > counted {
            known.counted += COUNTED;
            let counted = known.counted.to_be_bytes().to_vec();
            self.put(author_key(group, author), counted.into());
        }
        opened >= OPENED_MAX
    }

    /// A reserved generation is about to be burnt.
    pub(super) fn skipping(&mut self, group: &[u8]) {
        self.positions.entry(group.to_vec()).or_default().skip = true;
    }

    /// The message is sealed, or opened, or neither: from now on the secrets are written again.
    pub(super) fn done(&mut self, group: &[u8]) {
        if let Some(position) = self.positions.get_mut(group) {
            position.skip = false;
        }
    }

    /// Whether the secrets of a group are to be left out this time.
    pub(super) fn skips(&self, group: &[u8]) -> bool {
        self.positions.get(group).is_some_and(|position| position.skip)
    }

    /// The secrets are written: they say where the ratchets are of whom something was opened in this life.
    pub(super) fn written(&mut self, group: &[u8]) {
        let Some(position) = self.positions.get_mut(group) else { return };
        (position.sealed, position.opened, position.reserved) = (0, 0, 0);
        position.skip = false;
        let heard = position.authors.iter_mut().filter(|(_author, known)| known.heard);
        let counted = heard.filter_map(|(author, known)| {
            known.opened = 0;
            (std::mem::take(&mut known.counted) > 0).then_some(*author)
        });
        for author in counted.collect::<Vec<_>>() {
            self.remove(&author_key(group, author));
        }
        self.remove(&reserved_key(group));
    }

    /// How many generations were reserved when the device stopped. They count as sealed.
    pub(super) fn resume(&mut self, group: &[u8]) -> u32 {
        let number = |octets: &[u8]| octets.try_into().ok().map(u32::from_be_bytes);
        let octets = self.values.get(&reserved_key(group));
        let reserved = octets.and_then(|octets| number(octets)).unwrap_or_default();
        let prefix = authors_key(group);
        let author = |(key, octets): (&Vec<u8>, &Octets)| {
            let author = number(key.get(prefix.len()..)?)?;
            let counted = number(octets)?;
            Some((author, Author { opened: counted, counted, heard: false }))
        };
        let authors = self.under(&prefix).filter_map(author).collect();
        let position = Position { sealed: reserved, reserved, authors, ..Position::default() };
        self.positions.insert(group.to_vec(), position);
        reserved
    }
}

fn reserved_key(group: &[u8]) -> Vec<u8> {
    [&[area::GROUP], group, RESERVED].concat()
}

fn authors_key(group: &[u8]) -> Vec<u8> {
    [&[area::GROUP], group, AUTHOR].concat()
}

fn author_key(group: &[u8], author: u32) -> Vec<u8> {
    [&*authors_key(group), &author.to_be_bytes()].concat()
}
