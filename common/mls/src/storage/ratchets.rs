//! How far the ratchets of a group may be ahead of the record of its secrets.
//!
//! ```text
//! epoch begins ─► secrets written, nothing reserved
//! seal         ─► beyond what is reserved: 64 more are, in one small record; the secrets are not written
//! crash        ─► secrets as at the beginning, then everything reserved is burnt
//! ```
//!
//! The same without a disk: a device that takes a new seat with what it has in memory comes back as after a crash.
//!
//! Written anew, the secrets say how far the ratchets are, and nothing is reserved any more. The two records change in one
//! transaction, so that none of them is ever seen without the other.
use super::{State, area};

/// Generations reserved at once.
pub const WINDOW: u32 = 64;
/// After so many sealed messages the secrets of the group are written. It bounds how long coming back takes (each one
/// burnt costs as much as sealing a message), and how far back whoever has the disk and its key can read.
pub const SEALED_MAX: u32 = 1024;
/// After so many opened messages the secrets are written. Well below the 2000 generations a ratchet may skip.
pub const OPENED_MAX: u32 = 256;

/// Where the ratchets are, counted from the record of the secrets.
#[derive(Clone, Copy, Default)]
pub(super) struct Position {
    sealed: u32,
    opened: u32,
    reserved: u32,
    /// The next time openmls writes the secrets it is left out.
    skip: bool,
}

/// The label of the record that says how many generations are reserved.
const RESERVED: &[u8] = b"R";

impl State {
    /// A message is about to be sealed: its generation is reserved.
    pub(super) fn sealing(&mut self, group: &[u8]) {
        let position = self.positions.entry(group.to_vec()).or_default();
        position.sealed += 1;
        position.skip = position.sealed < SEALED_MAX;
        if position.sealed > position.reserved {
            position.reserved += WINDOW;
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

    /// The secrets are written: they say where the ratchets are.
    pub(super) fn written(&mut self, group: &[u8]) {
        self.positions.remove(group);
        self.remove(&reserved_key(group));
    }

    /// How many generations were reserved when the device stopped. They count as sealed.
    pub(super) fn resume(&mut self, group: &[u8]) -> u32 {
        let octets = self.values.get(&reserved_key(group));
        let octets = octets.and_then(|octets| octets.as_slice().try_into().ok());
        let reserved = octets.map(u32::from_be_bytes).unwrap_or_default();
        let position = Position { sealed: reserved, reserved, ..Position::default() };
        self.positions.insert(group.to_vec(), position);
        reserved
    }
}

fn reserved_key(group: &[u8]) -> Vec<u8> {
    [&[area::GROUP], group, RESERVED].concat()
}
