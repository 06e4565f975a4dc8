//! The rules only a server can enforce: it knows who sent the bundle, who is on the roster and who has to go.
use openmls::prelude::LeafNodeIndex;

use super::{Ledger, Policy, Refusal};
use crate::change::{Change, Fault};
use crate::identity::leaf_identity;
use crate::wire::DeviceName;

pub(super) fn check(ledger: &Ledger, change: &Change, policy: &Policy<'_>) -> Result<(), Refusal> {
    if change.by != *policy.by {
        return Err(Refusal::NotTheSender);
    }
    committer_is_valid(ledger, change, policy)?;
    let mut entitled = std::iter::once(&change.by).chain(&change.added);
    if let Some(stranger) = entitled.find(|name| !(policy.on_roster)(&name.aor)) {
        return Err(Refusal::NotOnRoster(stranger.clone()));
    }
    may_remove(ledger, change, policy)?;
    covers_removes(ledger, change)
}

/// A member commits under a certificate that is valid now: that of the leaf it brings, which was checked with the change, or of
/// the leaf it keeps. So whoever was away past the end of its certificate comes back by a commit of its own.
fn committer_is_valid(
    ledger: &Ledger,
    change: &Change,
    policy: &Policy<'_>,
) -> Result<(), Refusal> {
    let Some(index) = change.from.filter(|_| !change.renews_leaf) else {
        return Ok(());
    };
    let leaf = ledger.state.group.leaf(LeafNodeIndex::new(index)).ok_or(Refusal::NotAMember)?;
    let key = leaf.signature_key().as_slice();
    leaf_identity(&ledger.fixed.roots, leaf.credential(), key, policy.now)?;
    Ok(())
}

/// A member removes its own other devices, those who have to go, those no longer on the roster, and those whose
/// certificate has ended; nobody else.
fn may_remove(ledger: &Ledger, change: &Change, policy: &Policy<'_>) -> Result<(), Refusal> {
    let may = |index: u32, name: &DeviceName| {
        name.aor == change.by.aor
            || ledger.pending().any(|pending| pending == name)
            || !(policy.on_roster)(&name.aor)
            || !ledger.is_valid(index, policy.now)
    };
    let leaves = change.removed.iter().filter_map(|index| ledger.state.leaves.get_key_value(index));
    match leaves.into_iter().find(|(index, leaf)| !may(**index, &leaf.name)) {
        Some((_, other)) => Err(Refusal::RemovesAnother(other.name.clone())),
        None => Ok(()),
    }
}

/// A member's commit covers every pending Remove. An external commit cannot (RFC 9420, 12.4.3.2).
fn covers_removes(ledger: &Ledger, change: &Change) -> Result<(), Refusal> {
    if change.from.is_none() {
        return Ok(());
    }
    let mut pending = ledger.state.pending.iter();
    match pending.find(|p| !change.removed.contains(&p.leaf)) {
        Some(left) => Err(Refusal::SkipsRemove(left.name.clone())),
        None => Ok(()),
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Credential(bad) => Self::Credential(bad),
            Fault::KeyPackage(name) => Self::KeyPackage(name),
            Fault::Duplicate(name) => Self::Duplicate(name),
            Fault::Forbidden(what) => Self::Forbidden(what),
            Fault::RemovesAnother(name) => Self::RemovesAnother(name),
            Fault::ChangesIdentity => Self::ChangesIdentity,
            Fault::Invalid => Self::Invalid,
        }
    }
}
