//! What a stranger or a malicious focus can send, and who refuses it.
use bytes::Bytes;
use ids::Era;
use openmls::prelude::{
    ExternalProposal, LeafNodeIndex, LeafNodeParameters, OpenMlsProvider as _, SenderExtensionIndex,
};

use super::attacks::{add_anybody, ghost, openmls_package, refused_by_members};
use super::support::{Room, claim, name, now, room7};
use crate::change::Fault;
use crate::identity::{BadCredential, FocusKey};
use crate::key_packages::CheckedKeyPackage;
use crate::ledger::Refusal;
use crate::member::{Keyring, Member, MemberError};
use crate::wire::{Bundle, WelcomeDelivery};

#[test]
fn a_stranger_who_holds_the_group_info_cannot_enter() {
    let mut room = Room::with(5, &[("bob", 1)]);
    let zoe = room.realm.device("zoe", 1);
    room.banned.insert(zoe.device().aor.clone());
    let state = room.ledger.group_state();
    let (_, bundle) =
        Member::join_externally(&zoe, &room7(), &state, None, room.realm.now).unwrap();

    assert_eq!(room.refusal(zoe.device(), &bundle), Refusal::NotOnRoster(name("zoe", 1)));
    assert_eq!(room.refusal(&name("bob", 1), &bundle), Refusal::NotTheSender);
}

#[test]
fn a_stranger_with_a_foreign_certificate_cannot_enter() {
    let mut room = Room::with(6, &[("bob", 1)]);
    let ghost = ghost(&room);
    let bundle = enter_unchecked(&room, &ghost);

    let refusal = room.refusal(ghost.device(), &bundle);

    assert_eq!(refusal, Refusal::Credential(BadCredential::NotOurs));
    refused_by_members(&mut room, &bundle, &Fault::Credential(BadCredential::NotOurs));
}

/// An external commit by openmls alone, without our checks.
fn enter_unchecked(room: &Room, device: &Keyring) -> Bundle {
    use crate::group::{capabilities, settings};
    use openmls::prelude::tls_codec::Deserialize as _;
    use openmls::prelude::{MlsGroup, MlsMessageBodyIn, MlsMessageIn, RatchetTreeIn};
    let state = room.ledger.group_state();
    let MlsMessageBodyIn::GroupInfo(info) =
        MlsMessageIn::tls_deserialize_exact(&state.group_info).unwrap().extract()
    else {
        panic!("no GroupInfo")
    };
    let provider = device.openmls();
    let (_, messages) = MlsGroup::external_commit_builder()
        .with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact(&state.tree).unwrap())
        .with_config(settings(room.ledger.conference(), 0))
        .build_group(provider, info, device.credential_with_key())
        .unwrap()
        .leaf_node_parameters(
            LeafNodeParameters::builder().with_capabilities(capabilities()).build(),
        )
        .load_psks(provider.storage())
        .unwrap()
        .create_group_info(true)
        .build(provider.rand(), provider.crypto(), device.signer(), |_| true)
        .unwrap()
        .finalize(provider)
        .unwrap();
    let (commit, _, info) = messages.into_messages();
    Bundle {
        kind: crate::wire::Kind::External,
        era: Era(1),
        commit: commit.to_bytes().unwrap().into(),
        welcomes: vec![],
        group_info: info.unwrap().to_bytes().unwrap().into(),
        tree: Bytes::new(),
    }
}

#[test]
fn an_external_commit_cannot_remove_somebody_else() {
    let mut room = Room::with(7, &[("bob", 1), ("carol", 1)]);
    // openmls removes the leaf with the newcomer's key. Certificates for alice's key in two other names:
    let alice = room.members[0].keyring();
    for who in [name("mallory", 1), name("alice", 2)] {
        let certificate = room.realm.certificate(alice.signer(), &who);
        let roots = room.realm.issuer.roots();
        let newcomer = Keyring::unchecked(&who, alice.signer().clone(), &certificate, roots);
        let bundle = enter_unchecked(&room, &newcomer);

        let refusal = room.refusal(&who, &bundle);
        assert_eq!(refusal, Refusal::RemovesAnother(name("alice", 1)));
        let bob = room.members[1].process(&bundle.commit, now());
        assert_eq!(bob, Err(Fault::RemovesAnother(name("alice", 1)).into()));
    }
}

#[test]
fn an_external_commit_of_a_device_that_has_a_leaf_under_another_key_is_refused() {
    let mut room = Room::with(8, &[("bob", 1)]);
    let renewed = room.realm.device("bob", 1);
    let bundle = enter_unchecked(&room, &renewed);

    assert_eq!(room.refusal(&name("bob", 1), &bundle), Refusal::Duplicate(name("bob", 1)));
    let state = room.ledger.group_state();
    let own = Member::join_externally(&renewed, &room7(), &state, None, room.realm.now);
    assert_eq!(own.unwrap_err(), MemberError::Fault(Fault::Duplicate(name("bob", 1))));
}

#[test]
fn a_kicked_person_cannot_enter_again_by_external_commit() {
    let mut room = Room::with(11, &[("bob", 1), ("dave", 1)]);
    let dave = room.members[2].keyring();
    room.kick("dave");
    let bundle = enter_unchecked(&room, &dave);

    assert_eq!(room.refusal(&name("dave", 1), &bundle), Refusal::NotOnRoster(name("dave", 1)));
}

#[test]
fn a_remove_signed_by_somebody_else_than_the_focus_is_not_taken_in() {
    let mut room = Room::with(17, &[("bob", 1)]);
    let stranger = FocusKey::generate(&mut room.realm.rng);
    let forged = ExternalProposal::new_remove::<openmls_rust_crypto::OpenMlsRustCrypto>(
        LeafNodeIndex::new(0),
        room.members[1].group().group_id().clone(),
        room.members[1].group().epoch(),
        &stranger,
        SenderExtensionIndex::new(0),
    )
    .unwrap();

    let refused = room.members[1].process(&forged.to_bytes().unwrap(), room.realm.now);

    assert_eq!(refused, Err(MemberError::Unreadable));
}

#[test]
fn an_add_proposed_by_the_focus_is_not_taken_in() {
    let mut room = Room::with(18, &[("bob", 1)]);
    let ghost = ghost(&room);
    let proposal = ExternalProposal::new_add::<openmls_rust_crypto::OpenMlsRustCrypto>(
        openmls_package(&claim(&ghost).key_package),
        room.members[1].group().group_id().clone(),
        room.members[1].group().epoch(),
        &room.realm.issuer.focus_key(),
        SenderExtensionIndex::new(0),
    )
    .unwrap();

    let refused = room.members[1].process(&proposal.to_bytes().unwrap(), room.realm.now);

    assert_eq!(refused, Err(MemberError::ForbiddenProposal));
}

#[test]
fn a_newcomer_refuses_a_group_with_a_ghost_in_it() {
    let mut room = Room::with(21, &[("bob", 1)]);
    let ghost = ghost(&room);
    add_anybody(&mut room, &ghost);
    // A focus that lets it pass: bob's own group goes on, with the ghost inside.
    let bob = room.members[1].keyring();
    room.members[1].group().merge_pending_commit(bob.openmls()).unwrap();
    let erin = room.realm.device("erin", 1);
    let (delivery, state) = welcome_by(&mut room, &erin);

    let joined = Member::join(&erin, &room7(), &delivery, room.realm.now);
    assert_eq!(joined.unwrap_err(), Fault::Credential(BadCredential::NotOurs).into());
    let entered = Member::join_externally(&erin, &room7(), &state, None, room.realm.now);
    assert_eq!(entered.unwrap_err(), Fault::Credential(BadCredential::NotOurs).into());
}

/// bob's group as it is, without a ledger: a Welcome to it, and its public state.
fn welcome_by(room: &mut Room, device: &Keyring) -> (WelcomeDelivery, crate::wire::GroupState) {
    use openmls::prelude::tls_codec::Serialize as _;
    let bob = room.members[1].keyring();
    let package = CheckedKeyPackage::check(
        &claim(device).key_package,
        device.device(),
        room.realm.issuer.roots(),
        room.realm.now,
    )
    .unwrap();
    let group = room.members[1].group();
    let (_, welcome, info) =
        group.add_members(bob.openmls(), bob.signer(), &[package.into_package()]).unwrap();
    assert!(info.is_none());
    let tree_before: Bytes = group.export_ratchet_tree().tls_serialize_detached().unwrap().into();
    let info_before = group.export_group_info(bob.openmls().crypto(), bob.signer(), false).unwrap();
    let state = crate::wire::GroupState {
        era: Era(1),
        epoch: ids::Epoch(group.epoch().as_u64()),
        group_info: info_before.to_bytes().unwrap().into(),
        tree: tree_before,
    };
    group.merge_pending_commit(bob.openmls()).unwrap();
    let tree = group.export_ratchet_tree().tls_serialize_detached().unwrap().into();
    let welcome = welcome.to_bytes().unwrap().into();
    (WelcomeDelivery { era: Era(1), welcome, tree }, state)
}
