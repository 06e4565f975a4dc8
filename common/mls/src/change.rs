//! What a staged commit does, and the rules about it that ledger and members enforce alike.
//!
//! openmls has checked the commit against RFC 9420. What it leaves to the application is here: which
//! proposals are allowed at all, whose credentials are good, that a device has one leaf, that an external commit
//! removes nobody else, and that nobody changes who they are.
use std::collections::BTreeSet;
use std::time::SystemTime;

use openmls::prelude::tls_codec::Size;
use openmls::prelude::{
    KeyPackage, LeafNode, Proposal, ProposalOrRefType, QueuedProposal, Sender, StagedCommit,
};

use crate::identity::{BadCredential, Roots, leaf_identity};
use crate::key_packages::check_lifetime;
use crate::roster::Roster;
use crate::wire::{DeviceName, KEY_PACKAGE_OCTETS_MAX};

/// Why a change of the group is not acceptable to anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A credential in it is no good.
    #[error("a leaf's credential: {0}")]
    Credential(#[from] BadCredential),
    /// A KeyPackage in it has expired or lives too long.
    #[error("the KeyPackage of {0} may not be used now")]
    KeyPackage(DeviceName),
    /// A device would have two leaves.
    #[error("{0} would have two leaves")]
    Duplicate(DeviceName),
    /// It proposes what nobody may propose here.
    #[error("a commit may add and remove, not {0}")]
    Forbidden(&'static str),
    /// A newcomer removes somebody else than its old self.
    #[error("the committer may not remove {0}")]
    RemovesAnother(DeviceName),
    /// The committer's leaf would get another identity.
    #[error("the committer's identity would change")]
    ChangesIdentity,
    /// RFC 9420 forbids it (a bad signature, a missing path, a wrong tree ...).
    #[error("not a valid change of the group (RFC 9420, 12)")]
    Invalid,
}

/// A commit that breaks none of the common rules.
#[derive(Debug)]
pub(crate) struct Change {
    /// The committer's leaf before the commit; none for a newcomer.
    pub(crate) from: Option<u32>,
    /// The committer.
    pub(crate) by: DeviceName,
    pub(crate) added: Vec<DeviceName>,
    /// Leaves that go, by index.
    pub(crate) removed: BTreeSet<u32>,
    /// The committer has a new leaf from now on, whose certificate is valid.
    pub(crate) renews_leaf: bool,
}

impl Change {
    /// What `staged` does to a group with these leaves.
    pub(crate) fn of(
        staged: &StagedCommit,
        sender: &Sender,
        leaves: &Roster,
        roots: &Roots,
        now: SystemTime,
    ) -> Result<Self, Fault> {
        staged.queued_proposals().try_for_each(allowed)?;
        let path =
            staged.update_path_leaf_node().map(|leaf| name_of(leaf, roots, now)).transpose()?;
        let renews_leaf = path.is_some();
        let (from, by) = committer(sender, path, leaves)?;
        let removed = staged.remove_proposals().map(|r| r.remove_proposal().removed().u32());
        let (added, removed) = (Vec::new(), removed.collect());
        let mut change = Self { from, by, added, removed, renews_leaf };
        for add in staged.add_proposals() {
            change.added.push(newcomer(add.add_proposal().key_package(), roots, now)?);
        }
        if from.is_none() {
            change.removes_only_itself(leaves)?;
            change.added.push(change.by.clone());
        }
        change.leaves_are_unique(leaves)?;
        Ok(change)
    }

    /// The devices whose leaves go.
    pub(crate) fn removed_names(&self, leaves: &Roster) -> Vec<DeviceName> {
        self.removed.iter().filter_map(|i| leaves.get(i)).map(|leaf| leaf.name.clone()).collect()
    }

    fn removes_only_itself(&self, leaves: &Roster) -> Result<(), Fault> {
        match self.removed_names(leaves).into_iter().find(|name| *name != self.by) {
            Some(other) => Err(Fault::RemovesAnother(other)),
            None => Ok(()),
        }
    }

    fn leaves_are_unique(&self, leaves: &Roster) -> Result<(), Fault> {
        let stay = leaves.iter().filter(|(index, _)| !self.removed.contains(index));
        let mut names: BTreeSet<&DeviceName> = stay.map(|(_, leaf)| &leaf.name).collect();
        match self.added.iter().find(|name| !names.insert(name)) {
            Some(twice) => Err(Fault::Duplicate((*twice).clone())),
            None => Ok(()),
        }
    }
}

/// Adds and Removes by value, and the focus's Removes by reference. openmls has checked that an ExternalInit comes
/// only in an external commit.
fn allowed(queued: &QueuedProposal) -> Result<(), Fault> {
    let by_reference = queued.proposal_or_ref_type() == ProposalOrRefType::Reference;
    match queued.proposal() {
        Proposal::Remove(_) if by_reference => match queued.sender() {
            Sender::External(_) => Ok(()),
            _ => Err(Fault::Forbidden("cover another member's proposal")),
        },
        Proposal::Add(_) | Proposal::Remove(_) | Proposal::ExternalInit(_) if !by_reference => {
            Ok(())
        }
        Proposal::Update(_) => Err(Fault::Forbidden("update by proposal")),
        Proposal::GroupContextExtensions(_) => Err(Fault::Forbidden("change the extensions")),
        Proposal::PreSharedKey(_) => Err(Fault::Forbidden("bring in a pre-shared key")),
        Proposal::ReInit(_) => Err(Fault::Forbidden("re-create the group")),
        Proposal::SelfRemove => Err(Fault::Forbidden("let a member leave by itself")),
        _ => Err(Fault::Forbidden("anything else")),
    }
}

/// A leaf stays in the tree, which goes to everybody who comes later: a few that are as large as a bundle may be, and nobody
/// could read the tree any more. Whoever uploads a KeyPackage is held to the same bound.
fn bounded(brought: &impl Size) -> Result<(), Fault> {
    if brought.tls_serialized_len() > KEY_PACKAGE_OCTETS_MAX {
        return Err(Fault::Forbidden("bring in a leaf that large"));
    }
    Ok(())
}

fn name_of(leaf: &LeafNode, roots: &Roots, now: SystemTime) -> Result<DeviceName, Fault> {
    bounded(leaf)?;
    let key = leaf.signature_key().as_slice();
    Ok(leaf_identity(roots, leaf.credential(), key, now)?.name)
}

/// Who commits. A member's leaf keeps its identity; a newcomer brings its own.
fn committer(
    sender: &Sender,
    path: Option<DeviceName>,
    leaves: &Roster,
) -> Result<(Option<u32>, DeviceName), Fault> {
    match sender {
        Sender::Member(index) => {
            let leaf = leaves.get(&index.u32()).ok_or(Fault::Invalid)?;
            if path.is_some_and(|name| name != leaf.name) {
                return Err(Fault::ChangesIdentity);
            }
            Ok((Some(index.u32()), leaf.name.clone()))
        }
        Sender::NewMemberCommit => Ok((None, path.ok_or(Fault::Invalid)?)),
        Sender::External(_) | Sender::NewMemberProposal => Err(Fault::Invalid),
    }
}

/// The device an Add brings in: a good credential, and a KeyPackage whose time it is.
fn newcomer(package: &KeyPackage, roots: &Roots, now: SystemTime) -> Result<DeviceName, Fault> {
    bounded(package)?;
    let name = name_of(package.leaf_node(), roots, now)?;
    check_lifetime(package.life_time(), now).map_err(|_| Fault::KeyPackage(name.clone()))?;
    Ok(name)
}
