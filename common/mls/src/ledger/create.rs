//! The first state of a group.
use std::sync::Arc;

use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{LeafNodeIndex, ProposalStore, PublicGroup, RatchetTreeIn};
use openmls_rust_crypto::RustCrypto;
use sha2::{Digest as _, Sha256};

use super::state::State;
use super::{Accepted, CheckedCommit, Fixed, Policy, Refusal, group_info};
use crate::codec::Malformed;
use crate::group::{SUITE, context_extensions, group_id};
use crate::identity::leaf_identity;
use crate::roster::roster;
use crate::storage::Records;
use crate::wire::{Bundle, KEY_PACKAGE_OCTETS_MAX, Kind};

pub(super) fn check(
    fixed: Arc<Fixed>,
    bundle: &Bundle,
    policy: &Policy<'_>,
) -> Result<CheckedCommit, Refusal> {
    let alone =
        bundle.kind == Kind::Create && bundle.commit.is_empty() && bundle.welcomes.is_empty();
    if !alone {
        return Err(Refusal::Malformed(Malformed("bundle of a new group")));
    }
    if bundle.era != fixed.era {
        return Err(Refusal::WrongEra { era: fixed.era });
    }
    let storage = Records::default();
    let group = first_group(&fixed, bundle, &storage)?;
    check_creator(&fixed, &group, policy)?;
    group_info::check(&bundle.group_info, &group, LeafNodeIndex::new(0))?;

    let mut next = State {
        leaves: roster(group.members())?,
        group,
        storage,
        group_info: bundle.group_info.clone(),
        pending: Vec::new(),
        winners: Vec::new(),
        revision: 1,
        exported: std::sync::OnceLock::new(),
    };
    next.remember(Sha256::digest(&bundle.group_info).into());
    let accepted = Accepted {
        era: fixed.era,
        epoch: next.epoch(),
        by: policy.by.clone(),
        commit: None,
        welcomes: Vec::new(),
        added: vec![policy.by.clone()],
        removed: Vec::new(),
        proposals: Vec::new(),
    };
    Ok(CheckedCommit { fixed, base: 0, next, accepted })
}

fn first_group(fixed: &Fixed, bundle: &Bundle, storage: &Records) -> Result<PublicGroup, Refusal> {
    let info = group_info::parse(&bundle.group_info)?;
    let expected = context_extensions(&fixed.focus.public())
        .map_err(|_| Refusal::GroupInfo("its extensions"))?;
    let context = info.group_context();
    let as_agreed = info.ciphersuite() == SUITE
        && *info.group_id() == group_id(&fixed.conference, fixed.era)
        && info.epoch().as_u64() == 0
        && *context.extensions() == expected;
    if !as_agreed {
        return Err(Refusal::GroupInfo("another suite, group, epoch or extensions than agreed"));
    }
    let malformed = || Refusal::Malformed(Malformed("ratchet tree"));
    // One leaf, and no more. Of blank nodes, an octet each, a bundle holds millions, and openmls takes seconds over them.
    if bundle.tree.len() > KEY_PACKAGE_OCTETS_MAX {
        return Err(malformed());
    }
    let tree = RatchetTreeIn::tls_deserialize_exact(&bundle.tree).map_err(|_| malformed())?;
    let crypto = RustCrypto::default();
    let (group, _) = PublicGroup::from_external(&crypto, storage, tree, info, ProposalStore::new())
        .map_err(|_| Refusal::Invalid)?;
    Ok(group)
}

/// The creator is alone, is who brought the bundle, and is on the roster.
fn check_creator(fixed: &Fixed, group: &PublicGroup, policy: &Policy<'_>) -> Result<(), Refusal> {
    let mut members = group.members();
    let (Some(creator), None) = (members.next(), members.next()) else {
        return Err(Refusal::Invalid);
    };
    let identity =
        leaf_identity(&fixed.roots, &creator.credential, &creator.signature_key, policy.now)?;
    if identity.name != *policy.by {
        return Err(Refusal::NotTheSender);
    }
    if !(policy.on_roster)(&identity.name.aor) {
        return Err(Refusal::NotOnRoster(identity.name));
    }
    Ok(())
}
