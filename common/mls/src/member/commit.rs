//! Changing the group: adds and removes by value, and whatever Removes the focus has pending.
use std::collections::BTreeSet;
use std::time::SystemTime;

use bytes::Bytes;
use openmls::prelude::tls_codec::Serialize as _;
use openmls::prelude::{
    CommitMessageBundle, KeyPackage, LeafNodeIndex, LeafNodeParameters, OpenMlsProvider as _,
    Proposal,
};
use openmls_rust_crypto::RustCrypto;

use super::{Member, MemberError};
use crate::group::capabilities;
use crate::key_packages::CheckedKeyPackage;
use crate::welcome::Parts;
use crate::wire::{Bundle, ClaimedKeyPackage, CommitRequest, DeviceName, Invitation, Kind};

/// What becomes of the committer's own leaf.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaf {
    /// New keys where RFC 9420 asks for them.
    AsNeeded,
    /// New keys and the newest certificate.
    Fresh,
}

impl Member {
    /// Lets devices in. Those already in are passed over.
    pub fn add(
        &mut self,
        devices: &[ClaimedKeyPackage],
        now: SystemTime,
    ) -> Result<Bundle, MemberError> {
        self.commit(devices, &[], now)
    }

    /// Removes devices, and covers all pending Removes.
    pub fn remove(
        &mut self,
        devices: &[DeviceName],
        now: SystemTime,
    ) -> Result<Bundle, MemberError> {
        if let Some(stranger) = devices.iter().find(|name| self.leaf_of(name).is_none()) {
            return Err(MemberError::NotAMember(stranger.clone()));
        }
        self.commit(&[], devices, now)
    }

    /// Covers all pending Removes.
    pub fn commit_pending(&mut self, now: SystemTime) -> Result<Bundle, MemberError> {
        self.commit(&[], &[], now)
    }

    /// Does what the focus asks for, as far as it is still to be done.
    pub fn answer(
        &mut self,
        request: &CommitRequest,
        now: SystemTime,
    ) -> Result<Bundle, MemberError> {
        self.commit(&request.add, &request.remove, now)
    }

    /// Renews the leaf of this device: fresh keys, and the certificate the keyring has now. What a thief has copied of the
    /// old ones opens nothing that comes after.
    pub fn refresh(&mut self) -> Result<Bundle, MemberError> {
        self.may_act()?;
        if self.is_committing() {
            return Err(MemberError::Committing);
        }
        if self.pending_leaves().contains(&self.group.own_leaf_index().u32()) {
            return Err(MemberError::Removed);
        }
        let messages = self.stage(Vec::new(), &BTreeSet::new(), Leaf::Fresh)?;
        let bundle = self.bundle(messages, Vec::new(), &[]);
        if bundle.is_err() {
            self.abandon()?;
        }
        bundle
    }

    /// Drops the own commit that waits for its echo: the focus has refused it.
    pub fn abandon(&mut self) -> Result<(), MemberError> {
        self.group
            .clear_pending_commit(self.keyring.provider().storage())
            .map_err(|_| MemberError::Failed("abandoning a commit"))
    }

    /// The ratchet tree of the present epoch.
    pub(crate) fn tree(&self) -> Result<Bytes, MemberError> {
        let tree = self.group.export_ratchet_tree().tls_serialize_detached();
        Ok(tree.map_err(|_| MemberError::Failed("a tree"))?.into())
    }

    fn commit(
        &mut self,
        add: &[ClaimedKeyPackage],
        remove: &[DeviceName],
        now: SystemTime,
    ) -> Result<Bundle, MemberError> {
        self.may_act()?;
        if self.is_committing() {
            return Err(MemberError::Committing);
        }
        let pending = self.pending_leaves();
        let own = self.group.own_leaf_index().u32();
        let leaves = remove.iter().filter_map(|name| self.leaf_of(name));
        let removed: BTreeSet<u32> = leaves.filter(|leaf| !pending.contains(leaf)).collect();
        if pending.contains(&own) || removed.contains(&own) {
            return Err(MemberError::Removed);
        }
        let (names, packages) = self.newcomers(add, now)?;
        if packages.is_empty() && removed.is_empty() && pending.is_empty() {
            return Err(MemberError::NothingToDo);
        }
        let references = references(&packages)?;
        let leaf = if self.is_outdated() { Leaf::Fresh } else { Leaf::AsNeeded };
        let messages = self.stage(packages, &removed, leaf)?;
        let bundle = self.bundle(messages, names, &references);
        if bundle.is_err() {
            self.abandon()?;
        }
        bundle
    }

    fn leaf_of(&self, name: &DeviceName) -> Option<u32> {
        self.roster.iter().find(|(_, leaf)| leaf.name == *name).map(|(index, _)| *index)
    }

    /// Leaves with a pending Remove.
    pub(super) fn pending_leaves(&self) -> BTreeSet<u32> {
        let removes = self.group.pending_proposals().filter_map(|q| match q.proposal() {
            Proposal::Remove(remove) => Some(remove.removed().u32()),
            _ => None,
        });
        removes.collect()
    }

    /// The KeyPackages of those not in yet, each checked, at most one for a device.
    fn newcomers(
        &self,
        add: &[ClaimedKeyPackage],
        now: SystemTime,
    ) -> Result<(Vec<DeviceName>, Vec<KeyPackage>), MemberError> {
        let (mut names, mut packages) = (Vec::new(), Vec::new());
        for claim in add {
            let name = DeviceName { aor: claim.aor.clone(), device: claim.device.clone() };
            if self.leaf_of(&name).is_some() || names.contains(&name) {
                continue;
            }
            let roots = self.keyring.roots();
            let checked = CheckedKeyPackage::check(&claim.key_package, &name, roots, now)
                .map_err(|why| MemberError::KeyPackage { who: name.clone(), why })?;
            names.push(name);
            packages.push(checked.into_package());
        }
        Ok((names, packages))
    }

    /// A commit without a path if it only adds: smaller, and a Remove brings the path with it (RFC 9420, 12.4).
    fn stage(
        &mut self,
        packages: Vec<KeyPackage>,
        removed: &BTreeSet<u32>,
        leaf: Leaf,
    ) -> Result<CommitMessageBundle, MemberError> {
        let failed = MemberError::Failed("a commit");
        let provider = self.keyring.provider();
        let renewed = LeafNodeParameters::builder()
            .with_credential_with_key(self.keyring.credential())
            .with_capabilities(capabilities())
            .build();
        let builder = self.group.commit_builder();
        let builder = match leaf {
            Leaf::Fresh => builder.force_self_update(true).leaf_node_parameters(renewed),
            Leaf::AsNeeded => builder,
        };
        builder
            .propose_adds(packages)
            .propose_removals(removed.iter().copied().map(LeafNodeIndex::new))
            .load_psks(provider.storage())
            .map_err(|_| failed.clone())?
            .create_group_info(true)
            .build(provider.rand(), provider.crypto(), self.keyring.key(), |_| true)
            .map_err(|_| failed.clone())?
            .stage_commit(provider)
            .map_err(|_| failed)
    }

    pub(super) fn bundle(
        &self,
        messages: CommitMessageBundle,
        names: Vec<DeviceName>,
        references: &[Vec<u8>],
    ) -> Result<Bundle, MemberError> {
        let failed = MemberError::Failed("a commit");
        let (commit, welcome, group_info) = messages.into_messages();
        let bytes = |message: openmls::prelude::MlsMessageOut| {
            message.to_bytes().map(Bytes::from).map_err(|_| failed.clone())
        };
        let welcomes = match welcome {
            Some(welcome) => invitations(&bytes(welcome)?, names, references)?,
            None => Vec::new(),
        };
        let group_info = group_info.ok_or_else(|| failed.clone())?;
        Ok(Bundle {
            kind: Kind::Commit,
            era: self.era,
            commit: bytes(commit)?,
            welcomes,
            group_info: bytes(group_info)?,
            tree: Bytes::new(),
        })
    }
}

fn references(packages: &[KeyPackage]) -> Result<Vec<Vec<u8>>, MemberError> {
    let crypto = RustCrypto::default();
    let reference = |package: &KeyPackage| {
        let reference = package.hash_ref(&crypto).map_err(|_| MemberError::Failed("a commit"))?;
        Ok(reference.as_slice().to_vec())
    };
    packages.iter().map(reference).collect()
}

/// Splits openmls's one Welcome into one for each device.
fn invitations(
    welcome: &[u8],
    names: Vec<DeviceName>,
    references: &[Vec<u8>],
) -> Result<Vec<Invitation>, MemberError> {
    let parts = Parts::parse(welcome)?;
    let invitation = |(to, reference): (DeviceName, &Vec<u8>)| {
        let welcome = parts.only(reference).ok_or(MemberError::Failed("a Welcome"))?;
        Ok(Invitation { to, welcome })
    };
    names.into_iter().zip(references).map(invitation).collect()
}
