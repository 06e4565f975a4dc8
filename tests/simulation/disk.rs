//! What outlives the focus: journal, the group beside it, KeyPackages, and the counters that must never go back. It is
//! the store without its files; crashes between two writes are the store's own tests.
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use ids::SeatId;
use mls::wire::KeyPackageUpload;
use mrfc::conference::Participant;

use super::faults::Fault;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) journal: Vec<Bytes>,
    pub(crate) group: Option<Bytes>,
    /// The group beside each event, for a journal that forgets.
    groups: Vec<Option<Bytes>>,
    directory: BTreeMap<Participant, Shelf>,
    seats: u64,
    starts: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    packages: VecDeque<Bytes>,
    last_resort: Option<Bytes>,
}

/// A KeyPackage that was handed out, and whether it may be again.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) package: Bytes,
    pub(crate) last_resort: bool,
}

impl Disk {
    /// Keeps an event, and the group beside it if it changed.
    pub(crate) fn append(&mut self, event: Bytes, group: Option<Bytes>) {
        self.journal.push(event);
        self.group = group.or_else(|| self.group.take());
        self.groups.push(self.group.clone());
    }

    /// Forgets everything from the last commit on, if that is not long ago. No store does this.
    pub(crate) fn forget_commit(&mut self) {
        let is_commit = |entry: &Bytes| {
            let event = mrfc::conference::Event::from_bytes(entry).unwrap();
            matches!(event.what, mrfc::conference::What::Advanced { added, .. } if !added.is_empty())
        };
        let Some(at) = self.journal.iter().rposition(is_commit).filter(|at| *at > 0) else {
            return;
        };
        if self.journal.len() - at <= 8 && self.groups.get(at - 1).is_some_and(Option::is_some) {
            self.journal.truncate(at);
            self.groups.truncate(at);
            self.group = self.groups.last().cloned().flatten();
        }
    }

    pub(crate) fn seat(&mut self) -> SeatId {
        self.seats += 1;
        SeatId(self.seats)
    }

    pub(crate) fn start(&mut self) -> u64 {
        self.starts += 1;
        self.starts
    }

    /// What a device leaves when it starts takes the place of what it left before.
    pub(crate) fn publish(&mut self, who: &Participant, upload: KeyPackageUpload) {
        let shelf = Shelf { packages: upload.packages.into(), last_resort: upload.last_resort };
        self.directory.insert(who.clone(), shelf);
    }

    pub(crate) fn claim(&mut self, who: &Participant, fault: Fault) -> Option<Claim> {
        let shelf = self.directory.get_mut(who)?;
        let once = match fault {
            Fault::HandsOutTwice => shelf.packages.front().cloned(),
            _ => shelf.packages.pop_front(),
        };
        let last_resort = once.is_none();
        let package = once.or_else(|| shelf.last_resort.clone())?;
        Some(Claim { package, last_resort })
    }
}
