//! The Welcomes of a bundle: one for each added device, and none for anybody else.
//!
//! A Welcome's secrets are sealed for its reader, so the ledger checks whom each is for, not what is inside.
use std::collections::BTreeMap;

use openmls::prelude::StagedCommit;
use openmls_rust_crypto::RustCrypto;

use super::Refusal;
use crate::identity::leaf_name;
use crate::welcome::Parts;
use crate::wire::{DeviceName, Invitation};

pub(super) fn check(staged: &StagedCommit, welcomes: &[Invitation]) -> Result<(), Refusal> {
    let mut added = added(staged)?;
    let mut group_info = None;
    for invitation in welcomes {
        let parts =
            Parts::parse(&invitation.welcome).map_err(|_| Refusal::Welcomes("unreadable"))?;
        let [secret] = parts.secrets.as_slice() else {
            return Err(Refusal::Welcomes("one holds several devices' secrets"));
        };
        if added.remove(&invitation.to).as_deref() != Some(&*secret.new_member) {
            return Err(Refusal::Welcomes("one is for a device the commit does not add"));
        }
        if *group_info.get_or_insert_with(|| parts.group_info.clone()) != parts.group_info {
            return Err(Refusal::Welcomes("they lead to different groups"));
        }
    }
    if added.is_empty() { Ok(()) } else { Err(Refusal::Welcomes("one is missing")) }
}

/// The added devices and the references of their KeyPackages.
fn added(staged: &StagedCommit) -> Result<BTreeMap<DeviceName, Vec<u8>>, Refusal> {
    let crypto = RustCrypto::default();
    let reference = |add: openmls::prelude::QueuedAddProposal<'_>| {
        let package = add.add_proposal().key_package();
        let reference = package.hash_ref(&crypto).map_err(|_| Refusal::Invalid)?;
        let name = leaf_name(package.leaf_node().credential())?;
        Ok((name, reference.as_slice().to_vec()))
    };
    staged.add_proposals().map(reference).collect()
}
