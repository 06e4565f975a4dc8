//! What a malicious member can send, and who refuses it. openmls alone accepts nearly all of it.
use ids::Era;
use openmls::prelude::{
    Extension, Extensions, ExternalSender, LeafNodeIndex, LeafNodeParameters, OpenMlsProvider as _,
    PreSharedKeyProposal, Proposal,
};
use openmls::schedule::{ExternalPsk, PreSharedKeyId, Psk};

use super::support::{DAY, Realm, Room, claim, name, room7};
use crate::change::Fault;
use crate::identity::{BadCredential, FocusKey};
use crate::ledger::{Refusal, Verdict};
use crate::member::{Keyring, Member, MemberError, Processed};
use crate::wire::{Bundle, DeviceName, WelcomeDelivery};

/// A bundle that adds this device, whatever its certificate: bob is the attacker.
pub(super) fn add_anybody(room: &mut Room, device: &Keyring) -> Bundle {
    let bytes = claim(device).key_package;
    let package = openmls_package(&bytes);
    let reference = package.hash_ref(device.openmls().crypto()).unwrap().as_slice().to_vec();
    room.members[1].forge(vec![(device.device().clone(), reference)], |b| b.propose_adds([package]))
}

pub(super) fn openmls_package(bytes: &[u8]) -> openmls::prelude::KeyPackage {
    use openmls::prelude::tls_codec::Deserialize as _;
    use openmls::prelude::{MlsMessageBodyIn, MlsMessageIn, ProtocolVersion};
    let MlsMessageBodyIn::KeyPackage(package) =
        MlsMessageIn::tls_deserialize_exact(bytes).unwrap().extract()
    else {
        panic!("no KeyPackage")
    };
    let crypto = openmls_rust_crypto::RustCrypto::default();
    package.validate(&crypto, ProtocolVersion::Mls10).unwrap()
}

/// Somebody who claims to be alice's second device, with a certificate of another authority.
pub(super) fn ghost(room: &Room) -> Keyring {
    let mut rogue = Realm::new(99);
    let (key, who) = (rogue.key(), name("alice", 2));
    let certificate = rogue.certificate(&key, &who);
    Keyring::unchecked(&who, key, &certificate, room.realm.issuer.roots())
}

pub(super) fn refused_by_members(room: &mut Room, bundle: &Bundle, fault: &Fault) {
    let now = room.realm.now;
    let epoch = room.members[0].epoch();
    let refused = room.members[0].process(&bundle.commit, now);
    assert_eq!(refused, Err(MemberError::Fault(fault.clone())));
    assert_eq!(room.members[0].epoch(), epoch, "a refused commit changed the member");
}

#[test]
fn an_insider_cannot_add_a_second_leaf_of_a_device() {
    let mut room = Room::with(1, &[("bob", 1)]);
    let double = room.realm.device("alice", 1);
    let bundle = add_anybody(&mut room, &double);

    let refusal = room.refusal(&name("bob", 1), &bundle);

    assert_eq!(refusal, Refusal::Duplicate(name("alice", 1)));
    refused_by_members(&mut room, &bundle, &Fault::Duplicate(name("alice", 1)));
}

#[test]
fn an_insider_cannot_add_a_ghost_device_with_a_foreign_certificate() {
    let mut room = Room::with(2, &[("bob", 1)]);
    let ghost = ghost(&room);
    let bundle = add_anybody(&mut room, &ghost);

    let refusal = room.refusal(&name("bob", 1), &bundle);

    assert_eq!(refusal, Refusal::Credential(BadCredential::NotOurs));
    refused_by_members(&mut room, &bundle, &Fault::Credential(BadCredential::NotOurs));
}

#[test]
fn an_insider_cannot_add_somebody_under_a_borrowed_certificate() {
    let mut room = Room::with(3, &[("bob", 1)]);
    let (owner, thief) = (room.realm.key(), room.realm.key());
    let who = name("erin", 1);
    let certificate = room.realm.certificate(&owner, &who);
    let thief = Keyring::unchecked(&who, thief, &certificate, room.realm.issuer.roots());
    let bundle = add_anybody(&mut room, &thief);

    let refusal = room.refusal(&name("bob", 1), &bundle);

    assert_eq!(refusal, Refusal::Credential(BadCredential::WrongKey));
    refused_by_members(&mut room, &bundle, &Fault::Credential(BadCredential::WrongKey));
}

#[test]
fn two_key_packages_of_one_device_in_one_commit_are_refused() {
    let mut room = Room::with(4, &[("bob", 1)]);
    let (one, two) = (room.realm.device("erin", 1), room.realm.device("erin", 1));
    let packages: Vec<_> =
        [&one, &two].iter().map(|d| openmls_package(&claim(d).key_package)).collect();
    let bundle = room.members[1].forge(vec![], |b| b.propose_adds(packages));

    let refusal = room.refusal(&name("bob", 1), &bundle);

    assert_eq!(refusal, Refusal::Duplicate(name("erin", 1)));
}

#[test]
fn a_commit_that_skips_a_pending_remove_is_refused() {
    let mut room = Room::with(9, &[("bob", 1), ("dave", 1), ("dave", 2)]);
    let erin = room.realm.device("erin", 1);
    let before = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    room.kick("dave");
    let alice = name("alice", 1);
    assert_eq!(room.refusal(&alice, &before), Refusal::SkipsRemove(name("dave", 1)));

    let dave = room.members[2].group().own_leaf_index();
    let half =
        room.members[1].forge(vec![], |b| b.consume_proposal_store(false).propose_removals([dave]));
    assert_eq!(room.refusal(&name("bob", 1), &half), Refusal::SkipsRemove(name("dave", 2)));
}

#[test]
fn the_person_to_be_removed_cannot_commit() {
    let mut room = Room::with(10, &[("bob", 1), ("dave", 1)]);
    let erin = room.realm.device("erin", 1);
    let escape = room.members[2].add(&[claim(&erin)], room.realm.now).unwrap();
    room.kick("dave");

    let refusal = room.refusal(&name("dave", 1), &escape);

    assert_eq!(refusal, Refusal::NotOnRoster(name("dave", 1)));
    room.members[2].abandon().unwrap();
    let own = room.members[2].commit_pending(room.realm.now);
    assert_eq!(own, Err(MemberError::Removed));
}

#[test]
fn a_commit_that_changes_who_the_committer_is_is_refused() {
    let mut room = Room::with(12, &[("bob", 1)]);
    let bob = room.members[1].keyring();
    for who in [name("bob", 2), name("mallory", 1)] {
        let certificate = room.realm.certificate(bob.signer(), &who);
        let roots = room.realm.issuer.roots();
        let new = Keyring::unchecked(&who, bob.signer().clone(), &certificate, roots);
        let leaf = LeafNodeParameters::builder()
            .with_credential_with_key(new.credential_with_key())
            .build();
        let bundle =
            room.members[1].forge(vec![], |b| b.force_self_update(true).leaf_node_parameters(leaf));

        assert_eq!(room.refusal(&name("bob", 1), &bundle), Refusal::ChangesIdentity);
        refused_by_members(&mut room, &bundle, &Fault::ChangesIdentity);
        room.members[1].abandon().unwrap();
    }
}

#[test]
fn a_commit_that_renews_its_author_by_a_foreign_certificate_is_refused() {
    let mut room = Room::with(26, &[("bob", 1)]);
    let bob = room.members[1].keyring();
    let foreign = Realm::new(98).certificate(bob.signer(), bob.device());
    let roots = room.realm.issuer.roots();
    let new = Keyring::unchecked(bob.device(), bob.signer().clone(), &foreign, roots);
    let leaf =
        LeafNodeParameters::builder().with_credential_with_key(new.credential_with_key()).build();
    let bundle =
        room.members[1].forge(vec![], |b| b.force_self_update(true).leaf_node_parameters(leaf));

    let refusal = room.refusal(&name("bob", 1), &bundle);

    assert_eq!(refusal, Refusal::Credential(BadCredential::NotOurs));
    refused_by_members(&mut room, &bundle, &Fault::Credential(BadCredential::NotOurs));
}

#[test]
fn a_commit_may_renew_the_certificate_of_its_author() {
    let mut room = Room::with(13, &[("bob", 1)]);
    let bob = room.members[1].keyring();
    let renewed = room.realm.issuer.issue(
        &crate::identity::request(bob.signer(), bob.device()).unwrap(),
        bob.device(),
        room.realm.now - DAY,
        60 * DAY,
    );
    let roots = room.realm.issuer.roots();
    let new = Keyring::unchecked(bob.device(), bob.signer().clone(), &renewed.unwrap(), roots);
    let leaf =
        LeafNodeParameters::builder().with_credential_with_key(new.credential_with_key()).build();
    let bundle =
        room.members[1].forge(vec![], |b| b.force_self_update(true).leaf_node_parameters(leaf));

    room.submit(&name("bob", 1), &bundle, &[]);

    assert_eq!(room.ledger.expired(room.realm.now + 40 * DAY), [name("alice", 1)]);
}

#[test]
fn a_commit_that_changes_the_groups_extensions_is_refused() {
    let mut room = Room::with(14, &[("bob", 1)]);
    let stranger = FocusKey::generate(&mut room.realm.rng).public().to_vec();
    let credential = openmls::prelude::BasicCredential::new(b"focus".to_vec());
    let sender = ExternalSender::new(stranger.into(), credential.into());
    let extensions = Extensions::from_vec(vec![Extension::ExternalSenders(vec![sender])]).unwrap();
    let bundle =
        room.members[1].forge(vec![], |b| b.propose_group_context_extensions(extensions).unwrap());

    assert!(matches!(room.refusal(&name("bob", 1), &bundle), Refusal::Forbidden(_)));
    refused_by_members(&mut room, &bundle, &Fault::Forbidden("change the extensions"));
}

#[test]
fn a_commit_that_brings_in_a_pre_shared_key_is_refused() {
    let mut room = Room::with(15, &[("bob", 1)]);
    let bob = room.members[1].keyring();
    let psk = Psk::External(ExternalPsk::new(vec![1, 2, 3]));
    let id = PreSharedKeyId::new(crate::group::SUITE, bob.openmls().rand(), psk).unwrap();
    id.store(bob.openmls(), b"a secret of bob and the focus").unwrap();
    let proposal = Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(id)));
    let bundle = room.members[1].forge(vec![], |b| b.add_proposal(proposal));

    let refusal = room.refusal(&name("bob", 1), &bundle);

    assert_eq!(refusal, Refusal::Forbidden("bring in a pre-shared key"));
}

#[test]
fn a_proposal_of_a_member_is_not_taken_in_and_cannot_mute_the_group() {
    let mut room = Room::with(16, &[("bob", 1), ("carol", 1)]);
    let bob = room.members[1].keyring();
    let alice = LeafNodeIndex::new(0);
    let (proposal, _) =
        room.members[1].group().propose_remove_member(bob.openmls(), bob.signer(), alice).unwrap();
    let proposal = proposal.to_bytes().unwrap();

    let refused = room.members[2].process(&proposal, room.realm.now);

    assert_eq!(refused, Err(MemberError::ForbiddenProposal));
    assert!(!room.members[2].is_paused());
    // A commit that covers it cannot be resolved by the ledger, which never took it in either.
    let bundle = room.members[1].forge(vec![], |b| b);
    assert_eq!(room.refusal(&name("bob", 1), &bundle), Refusal::Invalid);
}

/// The server cannot check this tag: it is made with a secret of the group. Members do, and stay where they are.
#[test]
fn a_commit_with_a_broken_membership_tag_is_refused_by_members() {
    let mut room = Room::with(19, &[("bob", 1), ("carol", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = room.members[1].add(&[claim(&erin)], room.realm.now).unwrap();
    let mut commit = bundle.commit.to_vec();
    *commit.last_mut().unwrap() ^= 1;
    let broken = Bundle { commit: commit.into(), ..bundle };
    assert!(matches!(room.check(&name("bob", 1), &broken), Ok(Verdict::New(_))));
    let before = room.members[2].authenticator();

    let refused = room.members[2].process(&broken.commit, room.realm.now);

    assert_eq!(refused, Err(MemberError::Unreadable));
    assert_eq!(room.members[2].authenticator(), before);
}

#[test]
fn an_old_epoch_message_of_a_removed_device_is_refused() {
    let mut room = Room::with(22, &[("bob", 1), ("dave", 1)]);
    let late = room.members[2].seal("late", b"from the grave").unwrap();
    room.kick("dave");
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    room.submit(&name("alice", 1), &bundle, &[]);

    let refused = room.members[1].process(&late, room.realm.now);

    assert_eq!(refused, Err(MemberError::RemovedSender(name("dave", 1))));
}

#[test]
fn an_old_epoch_message_of_a_removed_device_stays_refused_when_it_is_let_in_again() {
    let mut room = Room::with(23, &[("bob", 1), ("dave", 1)]);
    let late = room.members[2].seal("late", b"from the grave").unwrap();
    room.kick("dave");
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    room.submit(&name("alice", 1), &bundle, &[]);
    room.banned.clear();
    let dave = room.realm.device("dave", 1);
    room.add(0, &[dave]);

    let refused = room.members[1].process(&late, room.realm.now);

    assert_eq!(refused, Err(MemberError::RemovedSender(name("dave", 1))));
}

#[test]
fn any_octets_are_refused_by_a_member_without_panic() {
    let mut room = Room::with(24, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let sealed = room.members[0].seal("m", b"hello").unwrap();
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    let welcome = bundle.welcomes[0].welcome.clone();
    let state = room.ledger.group_state();
    let now = room.realm.now;

    let bob = &mut room.members[1];
    for message in [&sealed, &bundle.commit] {
        for at in 0..message.len() {
            assert!(bob.process(&message[..at], now).is_err(), "cut at {at}");
            let mut changed = message.to_vec();
            changed[at] ^= 0x11;
            let seen = bob.process(&changed, now);
            let harmless = matches!(
                seen,
                Err(_) | Ok(Processed::Future { .. } | Processed::Stale { .. } | Processed::Own)
            );
            assert!(harmless, "octet {at}: {seen:?}");
        }
    }
    for cut in (0..welcome.len()).step_by(3) {
        let (welcome, tree) = (welcome.slice(..cut), state.tree.clone());
        let delivery = WelcomeDelivery { era: Era(1), welcome, tree };
        assert!(Member::join(&erin, &room7(), &delivery, now).is_err());
    }
    for cut in (0..state.tree.len()).step_by(3) {
        let cut = crate::wire::GroupState { tree: state.tree.slice(..cut), ..state.clone() };
        assert!(Member::join_externally(&erin, &room7(), &cut, None, now).is_err());
    }
    let seen = bob.process(&sealed, now).unwrap();
    assert!(matches!(seen, Processed::Message(_)), "the genuine one is still readable");
}

#[test]
fn a_device_cannot_be_named_twice_by_a_second_certificate_for_its_key() {
    let mut room = Room::with(25, &[("bob", 1)]);
    let bob = room.members[1].keyring();
    let who: DeviceName = name("bob", 2);
    let certificate = room.realm.certificate(bob.signer(), &who);
    let roots = room.realm.issuer.roots();
    let twin = Keyring::unchecked(&who, bob.signer().clone(), &certificate, roots);
    let package = claim(&twin);

    let refused = room.members[0].add(&[package], room.realm.now);

    assert_eq!(refused, Err(MemberError::Failed("a commit")), "keys are unique in a tree");
}
