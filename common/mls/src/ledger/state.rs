//! The state of a group between two changes, and the copy a change is tried on.
use std::sync::OnceLock;

use bytes::Bytes;
use ids::Epoch;
use openmls::prelude::tls_codec::Serialize as _;
use openmls::prelude::{GroupId, PublicGroup, StagedCommit};

use super::Refusal;
use crate::codec::Malformed;
use crate::roster::{Roster, roster_after};
use crate::storage::Records;
use crate::wire::DeviceName;

/// How many epochs back the winner is remembered.
const WINNERS_MAX: usize = 64;

pub(super) struct State {
    pub(super) group: PublicGroup,
    /// What openmls has written of `group`: the only way to copy it.
    pub(super) storage: Records,
    pub(super) group_info: Bytes,
    pub(super) leaves: Roster,
    pub(super) pending: Vec<Pending>,
    pub(super) winners: Vec<Winner>,
    /// Grows with every change, pending Removes included.
    pub(super) revision: u64,
    /// The ratchet tree of this epoch, once somebody has asked for it: it goes with every Welcome.
    pub(super) exported: OnceLock<Bytes>,
}

/// A Remove of the focus that no commit has covered yet.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) leaf: u32,
    /// The key of the leaf meant, so that a device that entered anew is not taken for its old self.
    pub(super) key: Vec<u8>,
    pub(super) name: DeviceName,
    pub(super) proposal: Bytes,
}

/// The change that ended an epoch.
#[derive(Clone)]
pub(super) struct Winner {
    /// The epoch it made.
    pub(super) made: Epoch,
    /// SHA-256 of the commit; of the GroupInfo when the group was created.
    pub(super) hash: [u8; 32],
}

impl State {
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.group.group_context().epoch().as_u64())
    }

    /// A copy, to try a change on.
    pub(super) fn copy(&self) -> Result<Self, Refusal> {
        let storage = Records::loose(self.storage.all());
        let group = load(&storage, self.group.group_id())?;
        Ok(Self {
            group,
            storage,
            group_info: self.group_info.clone(),
            leaves: self.leaves.clone(),
            pending: self.pending.clone(),
            winners: self.winners.clone(),
            revision: self.revision + 1,
            exported: self.exported.clone(),
        })
    }

    /// Moves the copy into the next epoch. Pending Removes end with the epoch they were proposed in.
    pub(super) fn merge(
        &mut self,
        staged: StagedCommit,
        hash: [u8; 32],
        group_info: Bytes,
    ) -> Result<(), Refusal> {
        self.group.merge_commit(&self.storage, staged).map_err(|_| Refusal::Invalid)?;
        self.leaves = roster_after(&self.leaves, self.group.members())?;
        self.pending.clear();
        self.exported = OnceLock::new();
        self.group_info = group_info;
        self.remember(hash);
        Ok(())
    }

    pub(super) fn remember(&mut self, hash: [u8; 32]) {
        let made = self.epoch();
        self.winners.push(Winner { made, hash });
        let excess = self.winners.len().saturating_sub(WINNERS_MAX);
        self.winners.drain(..excess);
    }

    /// The commit that made this epoch.
    pub(super) fn winner(&self, made: Epoch) -> Option<[u8; 32]> {
        self.winners.iter().find(|w| w.made == made).map(|w| w.hash)
    }

    pub(super) fn tree(&self) -> Bytes {
        let export = || self.group.export_ratchet_tree().tls_serialize_detached();
        self.exported.get_or_init(|| export().unwrap_or_default().into()).clone()
    }
}

pub(super) fn load(storage: &Records, id: &GroupId) -> Result<PublicGroup, Refusal> {
    let malformed = Refusal::Malformed(Malformed("stored group"));
    PublicGroup::load(storage, id).ok().flatten().ok_or(malformed)
}
