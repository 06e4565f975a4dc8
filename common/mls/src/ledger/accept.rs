//! The way of a bundle through the checks, cheapest first. Everything happens on a copy.
use std::sync::Arc;

use ids::Epoch;
use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{
    ContentType, LeafNodeIndex, MlsMessageBodyIn, MlsMessageIn, ProcessedMessageContent,
    PublicMessageIn, Sender, StagedCommit,
};
use openmls_rust_crypto::RustCrypto;
use sha2::{Digest as _, Sha256};

use super::state::State;
use super::{
    Accepted, CheckedCommit, Ledger, Policy, Refusal, Verdict, group_info, removal, rules, welcomes,
};
use crate::change::Change;
use crate::codec::Malformed;
use crate::group::group_id;
use crate::wire::{BUNDLE_OCTETS_MAX, Bundle, Kind, WelcomeDelivery};

pub(super) fn check(
    ledger: &Ledger,
    bundle: &Bundle,
    policy: &Policy<'_>,
) -> Result<Verdict, Refusal> {
    if octets(bundle) > BUNDLE_OCTETS_MAX {
        return Err(Refusal::Malformed(Malformed("bundle")));
    }
    if bundle.era != ledger.era() {
        return Err(Refusal::WrongEra { era: ledger.era() });
    }
    if bundle.kind == Kind::Create {
        return created_before(ledger, bundle);
    }
    let commit = parse(ledger, bundle)?;
    if let Some(epoch) = in_time(ledger, &commit, bundle)? {
        return Ok(Verdict::Repeat { epoch });
    }
    let (staged, sender) = stage(ledger, commit)?;
    let change =
        Change::of(&staged, &sender, &ledger.state.leaves, &ledger.fixed.roots, policy.now)?;
    rules::check(ledger, &change, policy)?;
    welcomes::check(&staged, &bundle.welcomes)?;
    let accepted = |next: &State| effects(ledger, bundle, &change, next);
    let signer = signer(ledger, &change, &staged)?;
    let next = next_state(ledger, bundle, &change, (staged, signer))?;
    let accepted = accepted(&next);
    let fixed = Arc::clone(&ledger.fixed);
    let base = ledger.state.revision;
    Ok(Verdict::New(Box::new(CheckedCommit { fixed, base, next, accepted })))
}

fn octets(bundle: &Bundle) -> usize {
    let welcomes: usize = bundle.welcomes.iter().map(|w| w.welcome.len()).sum();
    bundle.commit.len() + welcomes + bundle.group_info.len() + bundle.tree.len()
}

/// A second creation: the same one again, or too late.
fn created_before(ledger: &Ledger, bundle: &Bundle) -> Result<Verdict, Refusal> {
    let hash: [u8; 32] = Sha256::digest(&bundle.group_info).into();
    let first = ledger.state.winner(Epoch(0));
    if first == Some(hash) {
        return Ok(Verdict::Repeat { epoch: Epoch(0) });
    }
    Err(ledger.lost(first))
}

fn parse(ledger: &Ledger, bundle: &Bundle) -> Result<PublicMessageIn, Refusal> {
    let malformed = || Refusal::Malformed(Malformed("commit"));
    if !bundle.tree.is_empty() {
        return Err(Refusal::Malformed(Malformed("bundle: only a creation brings a tree")));
    }
    let message = MlsMessageIn::tls_deserialize_exact(&bundle.commit).map_err(|_| malformed())?;
    let MlsMessageBodyIn::PublicMessage(commit) = message.extract() else {
        return Err(malformed());
    };
    let external = *commit.sender() == Sender::NewMemberCommit;
    let fits = commit.content_type() == ContentType::Commit
        && *commit.group_id() == group_id(ledger.conference(), ledger.era())
        && external == (bundle.kind == Kind::External);
    if fits { Ok(commit) } else { Err(malformed()) }
}

/// Compare and swap on the epoch. A commit that already made its epoch is answered with that epoch.
fn in_time(
    ledger: &Ledger,
    commit: &PublicMessageIn,
    bundle: &Bundle,
) -> Result<Option<Epoch>, Refusal> {
    let made_in = Epoch(commit.epoch().as_u64());
    if made_in == ledger.epoch() {
        return Ok(None);
    }
    if made_in > ledger.epoch() {
        return Err(Refusal::Future { epoch: ledger.epoch() });
    }
    let winner = ledger.state.winner(made_in.next());
    if winner == Some(Sha256::digest(&bundle.commit).into()) {
        return Ok(Some(made_in.next()));
    }
    Err(ledger.lost(winner))
}

/// RFC 9420's own rules, by openmls. Changes nothing: the commit is staged, not merged.
fn stage(ledger: &Ledger, commit: PublicMessageIn) -> Result<(StagedCommit, Sender), Refusal> {
    let processed = ledger
        .state
        .group
        .process_message(&RustCrypto::default(), commit)
        .map_err(|_| Refusal::Invalid)?;
    let sender = processed.sender().clone();
    match processed.into_content() {
        ProcessedMessageContent::StagedCommitMessage(staged) => Ok((*staged, sender)),
        _ => Err(Refusal::Invalid),
    }
}

/// The leaf that signs the GroupInfo: the committer's, after the commit.
fn signer(
    ledger: &Ledger,
    change: &Change,
    staged: &StagedCommit,
) -> Result<LeafNodeIndex, Refusal> {
    match change.from {
        Some(index) => Ok(LeafNodeIndex::new(index)),
        None => ledger.state.group.ext_commit_sender_index(staged).map_err(|_| Refusal::Invalid),
    }
}

fn next_state(
    ledger: &Ledger,
    bundle: &Bundle,
    change: &Change,
    (staged, signer): (StagedCommit, LeafNodeIndex),
) -> Result<State, Refusal> {
    let mut next = ledger.state.copy()?;
    let hash = Sha256::digest(&bundle.commit).into();
    next.merge(staged, hash, bundle.group_info.clone())?;
    group_info::check(&bundle.group_info, &next.group, signer)?;
    // Only an external commit leaves Removes over (RFC 9420, 12.4.3.2): issue them again, in the new epoch.
    // Whoever entered has left its old leaf: the new one is often in the same place and has the same key, and nobody has
    // asked for it to go.
    let removed = change.removed_names(&ledger.state.leaves);
    for pending in ledger.state.pending.iter().filter(|pending| !removed.contains(&pending.name)) {
        if let Some(leaf) = next.leaves.get(&pending.leaf).cloned().filter(|l| l.key == pending.key)
        {
            removal::propose(&mut next, &ledger.fixed.focus, pending.leaf, leaf)?;
        }
    }
    Ok(next)
}

fn effects(ledger: &Ledger, bundle: &Bundle, change: &Change, next: &State) -> Accepted {
    let tree = if bundle.welcomes.is_empty() { bytes::Bytes::new() } else { next.tree() };
    let welcome = |invitation: &crate::wire::Invitation| {
        let delivery = WelcomeDelivery {
            era: ledger.era(),
            welcome: invitation.welcome.clone(),
            tree: tree.clone(),
        };
        (invitation.to.clone(), delivery)
    };
    Accepted {
        era: ledger.era(),
        epoch: next.epoch(),
        by: change.by.clone(),
        commit: Some(bundle.commit.clone()),
        welcomes: bundle.welcomes.iter().map(welcome).collect(),
        added: change.added.clone(),
        removed: change.removed_names(&ledger.state.leaves),
        proposals: next.pending.iter().map(|p| p.proposal.clone()).collect(),
    }
}
