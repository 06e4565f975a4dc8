//! The bundle that creates a group.
use ids::{Aor, Era};
use openmls::prelude::{
    BasicCredential, Extension, Extensions, ExternalSender, GroupContext, GroupId, MlsGroup,
    OpenMlsProvider as _, tls_codec::Serialize as _,
};

use super::support::{Realm, Room, claim, name, room7};
use crate::group::{SUITE, capabilities, context_extensions, group_id};
use crate::identity::{BadCredential, FocusKey};
use crate::ledger::{Ledger, Policy, Refusal, Verdict};
use crate::member::{Keyring, Member};
use crate::wire::{Bundle, DeviceName, Kind};

fn create(realm: &Realm, by: &DeviceName, bundle: &Bundle) -> Result<Ledger, Refusal> {
    let policy = Policy { by, on_roster: &|_: &Aor| true, now: realm.now };
    let (focus, roots) = (realm.issuer.focus_key(), realm.issuer.roots());
    Ledger::create(&room7(), Era(1), bundle, &focus, roots, &policy).map(|c| c.into_ledger().0)
}

/// A group of any name and with any extensions.
fn odd(
    creator: &Keyring,
    id: &GroupId,
    extensions: Extensions<GroupContext>,
) -> (MlsGroup, Bundle) {
    let group = MlsGroup::builder()
        .with_group_id(id.clone())
        .ciphersuite(SUITE)
        .with_capabilities(capabilities())
        .with_group_context_extensions(extensions)
        .build(creator.openmls(), creator.signer(), creator.credential_with_key())
        .unwrap();
    let bundle = bundle_of(&group, creator);
    (group, bundle)
}

fn bundle_of(group: &MlsGroup, creator: &Keyring) -> Bundle {
    let info =
        group.export_group_info(creator.openmls().crypto(), creator.signer(), false).unwrap();
    Bundle {
        kind: Kind::Create,
        era: Era(1),
        commit: bytes::Bytes::new(),
        welcomes: Vec::new(),
        group_info: info.to_bytes().unwrap().into(),
        tree: group.export_ratchet_tree().tls_serialize_detached().unwrap().into(),
    }
}

fn agreed(realm: &Realm) -> Extensions<GroupContext> {
    context_extensions(&realm.issuer.roots().focus_key()).unwrap()
}

#[test]
fn a_group_begins_with_its_creator_alone() {
    let room = Room::new(1);

    assert_eq!(room.ledger.members().collect::<Vec<_>>(), [&name("alice", 1)]);
    assert_eq!((room.ledger.era(), room.ledger.epoch().0), (Era(1), 0));
}

#[test]
fn the_same_creation_again_has_the_same_answer_and_another_one_has_lost() {
    let mut room = Room::new(2);
    let alice = room.members[0].keyring();
    let state = room.ledger.group_state();
    let again = Bundle {
        kind: Kind::Create,
        era: Era(1),
        commit: bytes::Bytes::new(),
        welcomes: Vec::new(),
        group_info: state.group_info,
        tree: state.tree,
    };
    assert!(
        matches!(room.check(alice.device(), &again), Ok(Verdict::Repeat { epoch }) if epoch.0 == 0)
    );

    let bob = room.realm.device("bob", 1);
    let (_, other) = Member::create(&bob, &room7(), Era(1), room.realm.now).unwrap();
    assert!(matches!(room.refusal(bob.device(), &other), Refusal::Lost { .. }));
}

#[test]
fn a_group_created_in_another_name_is_refused() {
    let mut realm = Realm::new(3);
    let alice = realm.device("alice", 1);
    let (_, bundle) = Member::create(&alice, &room7(), Era(1), realm.now).unwrap();

    assert_eq!(create(&realm, &name("bob", 1), &bundle).unwrap_err(), Refusal::NotTheSender);
}

#[test]
fn a_creator_who_is_not_on_the_roster_is_refused() {
    let mut realm = Realm::new(4);
    let alice = realm.device("alice", 1);
    let (_, bundle) = Member::create(&alice, &room7(), Era(1), realm.now).unwrap();
    let policy = Policy { by: alice.device(), on_roster: &|_: &Aor| false, now: realm.now };
    let (focus, roots) = (realm.issuer.focus_key(), realm.issuer.roots());

    let refused = Ledger::create(&room7(), Era(1), &bundle, &focus, roots, &policy);

    assert_eq!(refused.unwrap_err(), Refusal::NotOnRoster(name("alice", 1)));
}

#[test]
fn a_group_for_another_conference_or_era_is_refused() {
    let mut realm = Realm::new(5);
    let alice = realm.device("alice", 1);
    let other = "room8".parse().unwrap();
    let (_, bundle) = Member::create(&alice, &other, Era(1), realm.now).unwrap();
    assert!(matches!(create(&realm, alice.device(), &bundle), Err(Refusal::GroupInfo(_))));

    let (_, bundle) = Member::create(&alice, &room7(), Era(2), realm.now).unwrap();
    let refused = create(&realm, alice.device(), &bundle);
    assert_eq!(refused.unwrap_err(), Refusal::WrongEra { era: Era(1) });
}

#[test]
fn a_group_whose_external_sender_is_not_the_focus_is_refused() {
    let mut realm = Realm::new(6);
    let alice = realm.device("alice", 1);
    let stranger = FocusKey::generate(&mut realm.rng).public();
    let none: Extensions<GroupContext> = Extensions::empty();
    let sender = ExternalSender::new(
        stranger.to_vec().into(),
        BasicCredential::new(b"focus".to_vec()).into(),
    );
    let two: Vec<Extension> = agreed(&realm)
        .iter()
        .map(|e| match e {
            Extension::ExternalSenders(senders) => Extension::ExternalSenders(
                [senders.as_slice(), std::slice::from_ref(&sender)].concat(),
            ),
            other => other.clone(),
        })
        .collect();

    for extensions in
        [context_extensions(&stranger).unwrap(), none, Extensions::from_vec(two).unwrap()]
    {
        let (_, bundle) = odd(&alice, &group_id(&room7(), Era(1)), extensions);
        assert!(matches!(create(&realm, alice.device(), &bundle), Err(Refusal::GroupInfo(_))));
        alice.records().forget_groups();
    }
}

#[test]
fn a_group_that_begins_with_two_leaves_is_refused() {
    let mut realm = Realm::new(7);
    let (alice, bob) = (realm.device("alice", 1), realm.device("bob", 1));
    let (mut group, _) = odd(&alice, &group_id(&room7(), Era(1)), agreed(&realm));
    let package = crate::key_packages::CheckedKeyPackage::check(
        &claim(&bob).key_package,
        bob.device(),
        realm.issuer.roots(),
        realm.now,
    )
    .unwrap();
    group.add_members(alice.openmls(), alice.signer(), &[package.into_package()]).unwrap();
    group.merge_pending_commit(alice.openmls()).unwrap();

    let refused = create(&realm, alice.device(), &bundle_of(&group, &alice));

    assert!(matches!(refused, Err(Refusal::GroupInfo(_))), "{refused:?}");
}

#[test]
fn a_creator_with_a_foreign_certificate_is_refused() {
    let realm = Realm::new(8);
    let mut rogue = Realm::new(9);
    let (key, alice) = (rogue.key(), name("alice", 1));
    let certificate = rogue.certificate(&key, &alice);
    let thief = Keyring::unchecked(&alice, key, &certificate, realm.issuer.roots());
    let (_, bundle) = Member::create(&thief, &room7(), Era(1), realm.now).unwrap();

    let refused = create(&realm, &alice, &bundle);

    assert_eq!(refused.unwrap_err(), Refusal::Credential(BadCredential::NotOurs));
}

#[test]
fn a_creation_that_is_not_whole_is_refused_without_panic() {
    let mut realm = Realm::new(10);
    let alice = realm.device("alice", 1);
    let (_, bundle) = Member::create(&alice, &room7(), Era(1), realm.now).unwrap();
    for cut in 0..bundle.tree.len() {
        let cut = Bundle { tree: bundle.tree.slice(..cut), ..bundle.clone() };
        assert!(create(&realm, alice.device(), &cut).is_err());
    }
    for cut in 0..bundle.group_info.len() {
        let cut = Bundle { group_info: bundle.group_info.slice(..cut), ..bundle.clone() };
        assert!(create(&realm, alice.device(), &cut).is_err());
    }
    assert!(create(&realm, alice.device(), &bundle).is_ok());
}
