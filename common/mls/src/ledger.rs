//! The server's view of one group: it decides which commit makes the next epoch, and holds no secret.
//!
//! openmls's `PublicGroup` follows the public tree, but accepts far too much for a server: a second leaf of the
//! same device, anybody's external commit, an external commit that removes somebody else, a commit that skips a
//! pending Remove. The checks against these are here:
//!
//! ```text
//! Bundle ─► check(&self) ─► CheckedCommit ─► (journal) ─► apply(&mut self) ─► Accepted
//!               └─► Refusal: nothing has changed
//! ```
//!
//! [`Ledger::check`] works on a copy of the state and changes nothing; only it can make a [`CheckedCommit`].
//! [`Ledger::apply`] puts the copy in place, if the ledger is still in the state that was checked.
//!
//! **Rebuilding.** A ledger comes back from [`CheckedCommit::snapshot`] (or [`Ledger::to_bytes`]), not from replaying
//! bundles: openmls compares the lifetimes of added KeyPackages with the system clock, so an old bundle is no
//! longer accepted. A snapshot is some 3 KiB for each member (openmls writes JSON).
//!
//! **Not here:** who may be on the roster, when to ask whom for a commit, when the gate opens: the conference
//! decides that. A server cannot check confirmation and membership tags (it would need the group's secrets), so a
//! malicious member can make an epoch nobody can enter; the remedy is a new era, and the conference's too.
mod accept;
mod create;
mod group_info;
mod refusal;
mod removal;
mod rules;
mod snapshot;
mod state;
mod welcomes;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use ids::{Aor, ConferenceId, Epoch, Era};

pub(crate) use group_info::entrance;
pub use refusal::Refusal;
pub use removal::{CheckedRemoval, Whom};
use state::State;

use crate::identity::{FocusKey, Roots, leaf_identity};
use crate::wire::{Bundle, DeviceName, GroupState, WelcomeDelivery};

/// One group as the focus knows it.
pub struct Ledger {
    fixed: Arc<Fixed>,
    state: State,
}

/// What a group never changes.
struct Fixed {
    conference: ConferenceId,
    era: Era,
    roots: Roots,
    focus: FocusKey,
}

/// Whose change it is, and by which people the group may be used.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// The device whose authenticated session brought the bundle.
    pub by: &'a DeviceName,
    /// Whether a person may have leaves in this group.
    pub on_roster: &'a dyn Fn(&Aor) -> bool,
    /// The time certificates must be valid at.
    pub now: SystemTime,
}

/// What [`Ledger::check`] found.
#[derive(Debug)]
pub enum Verdict {
    /// A change that may be applied.
    New(Box<CheckedCommit>),
    /// The very commit that made this epoch: the answer of the first time stands.
    Repeat {
        /// The epoch it made.
        epoch: Epoch,
    },
}

/// A change that passed every check. Only the ledger makes one.
pub struct CheckedCommit {
    fixed: Arc<Fixed>,
    /// The state it was checked against.
    base: u64,
    next: State,
    accepted: Accepted,
}

/// What follows from a change of the group. Each effect may be repeated without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The group.
    pub era: Era,
    /// The epoch it is in now.
    pub epoch: Epoch,
    /// Who made the change.
    pub by: DeviceName,
    /// The commit, to be broadcast; none when the group was created.
    pub commit: Option<Bytes>,
    /// To be delivered before the commit is broadcast.
    pub welcomes: Vec<(DeviceName, WelcomeDelivery)>,
    /// Devices that are members now and were not before. One that entered again by external commit is in both lists.
    pub added: Vec<DeviceName>,
    /// Devices whose leaf is gone. If there are any, the old epoch has no grace.
    pub removed: Vec<DeviceName>,
    /// Removes that an external commit could not cover, issued again in this epoch: to be broadcast after the
    /// commit. While there are any, the gate stays shut.
    pub proposals: Vec<Bytes>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("conference", &self.fixed.conference)
            .field("era", &self.fixed.era)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CheckedCommit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CheckedCommit").field(&self.accepted).finish()
    }
}

impl CheckedCommit {
    /// What will follow when it is applied.
    pub const fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// The ledger as it will be, for the journal: [`Ledger::from_bytes`] reads it.
    pub fn snapshot(&self) -> Bytes {
        snapshot::write(&self.fixed, &self.next)
    }

    /// The ledger this creates. Used for the first commit of a group, which has no ledger to be applied to.
    #[must_use]
    pub fn into_ledger(self) -> (Ledger, Accepted) {
        (Ledger { fixed: self.fixed, state: self.next }, self.accepted)
    }
}

impl Ledger {
    /// Checks the bundle that creates a group: its creator alone, at epoch 0, with our suite and extensions.
    /// Journal the result's snapshot, then take [`CheckedCommit::into_ledger`].
    pub fn create(
        conference: &ConferenceId,
        era: Era,
        bundle: &Bundle,
        focus: &FocusKey,
        roots: &Roots,
        policy: &Policy<'_>,
    ) -> Result<CheckedCommit, Refusal> {
        let fixed = Arc::new(Fixed {
            conference: conference.clone(),
            era,
            roots: roots.clone(),
            focus: focus.clone(),
        });
        create::check(fixed, bundle, policy)
    }

    /// Checks a bundle against the present state. Changes nothing.
    pub fn check(&self, bundle: &Bundle, policy: &Policy<'_>) -> Result<Verdict, Refusal> {
        accept::check(self, bundle, policy)
    }

    /// Makes the change. Refused if the ledger has changed since the check.
    pub fn apply(&mut self, checked: CheckedCommit) -> Result<Accepted, Refusal> {
        if !Arc::ptr_eq(&self.fixed, &checked.fixed) || self.state.revision != checked.base {
            return Err(self.lost(None));
        }
        self.state = checked.next;
        Ok(checked.accepted)
    }

    /// Checks that these people or devices are members, and signs a Remove proposal for each of their leaves
    /// that has none yet. Changes nothing.
    pub fn check_removal(&self, whom: Whom<'_>) -> Result<CheckedRemoval, Refusal> {
        removal::check(self, whom)
    }

    /// Makes the Removes pending. Returns all that are pending now, to be broadcast.
    pub fn apply_removal(&mut self, checked: CheckedRemoval) -> Result<Vec<Bytes>, Refusal> {
        if !Arc::ptr_eq(&self.fixed, &checked.fixed) || self.state.revision != checked.base {
            return Err(self.lost(None));
        }
        self.state = checked.next;
        Ok(self.pending_proposals())
    }

    /// The Remove proposals the next commit has to cover. A seat that missed them needs them to process it.
    pub fn pending_proposals(&self) -> Vec<Bytes> {
        self.state.pending.iter().map(|p| p.proposal.clone()).collect()
    }

    /// The devices the next commit has to remove.
    pub fn pending(&self) -> impl Iterator<Item = &DeviceName> {
        self.state.pending.iter().map(|p| &p.name)
    }

    /// The devices with a leaf, in the order of the leaves.
    pub fn members(&self) -> impl Iterator<Item = &DeviceName> {
        self.state.leaves.values().map(|leaf| &leaf.name)
    }

    /// Whether this device has a leaf.
    pub fn is_member(&self, name: &DeviceName) -> bool {
        self.members().any(|member| member == name)
    }

    /// Members whose certificate is not valid at `now`. They have to be removed: they cannot commit, and nobody vouches
    /// for them any more. Until they are, others join beside them (see [`crate::member`]).
    pub fn expired(&self, now: SystemTime) -> Vec<DeviceName> {
        let expired = self.state.leaves.iter().filter(|(index, _)| !self.is_valid(**index, now));
        expired.map(|(_, leaf)| leaf.name.clone()).collect()
    }

    /// Whether the certificate of this leaf is ours and valid at `now`: a signature to be checked, some 40 us.
    fn is_valid(&self, index: u32, now: SystemTime) -> bool {
        let leaf = self.state.group.leaf(openmls::prelude::LeafNodeIndex::new(index));
        leaf.is_some_and(|leaf| {
            let key = leaf.signature_key().as_slice();
            leaf_identity(&self.fixed.roots, leaf.credential(), key, now).is_ok()
        })
    }

    /// The member whose certificate ends next, and when, of those whose Remove is not pending yet.
    pub fn next_expiry(&self) -> Option<(SystemTime, &DeviceName)> {
        let pending = |index| self.state.pending.iter().any(|p| p.leaf == index);
        let leaves = self.state.leaves.iter().filter(|(index, _)| !pending(**index));
        let ends = |leaf: &crate::roster::Leaf| leaf.not_after.min(self.fixed.roots.not_after());
        leaves.map(|(_, leaf)| (ends(leaf), &leaf.name)).min()
    }

    /// The public state, for a device that enters by external commit.
    pub fn group_state(&self) -> GroupState {
        GroupState {
            era: self.era(),
            epoch: self.epoch(),
            group_info: self.state.group_info.clone(),
            tree: self.state.tree(),
        }
    }

    /// What stands for the key that [`Ledger::group_state`] shows to newcomers. A member that derives another one says that its
    /// author lies ([`crate::wire::Finding`]).
    pub fn entrance(&self) -> Option<[u8; 32]> {
        entrance(&self.state.group_info).ok()
    }

    /// The conference.
    pub fn conference(&self) -> &ConferenceId {
        &self.fixed.conference
    }

    /// The group.
    pub fn era(&self) -> Era {
        self.fixed.era
    }

    /// The epoch the group is in.
    pub fn epoch(&self) -> Epoch {
        self.state.epoch()
    }

    /// The whole state, for the journal.
    pub fn to_bytes(&self) -> Bytes {
        snapshot::write(&self.fixed, &self.state)
    }

    /// A ledger from the journal. The journal is trusted: nothing is checked again.
    pub fn from_bytes(bytes: &[u8], focus: &FocusKey, roots: &Roots) -> Result<Self, Refusal> {
        snapshot::read(bytes, focus, roots)
    }

    /// The commit was made in an epoch that another one has ended.
    fn lost(&self, winner: Option<[u8; 32]>) -> Refusal {
        Refusal::Lost { era: self.era(), epoch: self.epoch(), winner: winner.unwrap_or_default() }
    }
}
