//! One way into the group, one kind of change, one refusal at a time.
use mls::ledger::Refusal;
use mls::member::{Member, Processed};
use mls_rs::client_builder::MlsConfig;
use mls_rs::extension::built_in::ExternalSendersExt;
use mls_rs::identity::CredentialType;

use super::guest::{Heard, guest};
use super::room::{DAY, Room, name, room7};

/// alice, a guest called bob whom she lets in, and carol, who is of our kind again.
fn alice_bob_and_carol(seed: u64) -> Room<impl MlsConfig> {
    let mut room = Room::new(seed, guest);
    let claims = [room.claim_of_a_guest("bob"), room.claim_of_ours("carol")];
    let bundle = room.members[0].add(&claims, room.realm.now).unwrap();
    room.submit(&name("alice"), &bundle);
    room
}

#[test]
fn a_guest_joins_by_welcome_and_talks_both_ways() {
    let mut room = alice_bob_and_carol(1);

    room.talk();

    assert_eq!(room.guests[0].group_id(), format!("{}#1", room7()));
    assert_eq!(room.ledger.members().count(), 3);
}

/// S3-17, RFC 9420, 8.5.
#[test]
fn s3_17_a_guest_exports_the_same_key_for_other_media_and_each_epoch_has_another() {
    let mut room = alice_bob_and_carol(17);
    let keys = |room: &Room<_>| {
        let exported = |label, context: &[u8], octets: u16| {
            let ours = room.members[0].export(label, context, octets).unwrap();
            assert_eq!(room.guests[0].export(label, context, octets.into()), *ours);
            assert_eq!(ours.len(), usize::from(octets));
            ours
        };
        let keys = [exported("audio", b"", 16), exported("audio", b"room", 16)];
        assert_ne!(keys[0], keys[1]);
        assert_ne!(keys[0], exported("video", b"", 16));
        assert_eq!(exported("audio", b"", 255).len(), 255);
        keys
    };
    let before = keys(&room);

    let dave = [room.claim_of_ours("dave")];
    let bundle = room.members[0].add(&dave, room.realm.now).unwrap();
    room.submit(&name("alice"), &bundle);

    assert_ne!(keys(&room), before);
}

#[test]
fn a_guest_enters_by_external_commit_and_talks_both_ways() {
    let mut room = Room::new(2, guest);
    let mut bob = room.guest("bob");
    let bundle = bob.enter(&room.ledger.group_state()).unwrap();
    room.guests.push(bob);

    let accepted = room.submit(&name("bob"), &bundle);

    assert_eq!((accepted.added, accepted.removed), (vec![name("bob")], vec![]));
    room.talk();
}

#[test]
fn a_guest_that_lost_its_state_takes_the_place_of_its_old_leaf() {
    let mut room = alice_bob_and_carol(3);
    let state = room.ledger.group_state();
    let bundle = room.guests[0].enter(&state).unwrap();

    let accepted = room.submit(&name("bob"), &bundle);

    assert_eq!((accepted.added, accepted.removed), (vec![name("bob")], vec![name("bob")]));
    room.talk();
}

#[test]
fn a_guest_follows_our_adds_updates_and_removes() {
    let mut room = alice_bob_and_carol(4);
    let dave = [room.claim_of_ours("dave")];
    let bundle = room.members[1].add(&dave, room.realm.now).unwrap();
    room.submit(&name("carol"), &bundle);
    room.talk();
    let bundle = room.members[0].refresh().unwrap();
    room.submit(&name("alice"), &bundle);
    room.talk();

    room.kick("carol");
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    let accepted = room.submit(&name("alice"), &bundle);

    assert_eq!(accepted.removed, [name("carol")]);
    room.talk();
}

#[test]
fn we_follow_a_guests_adds_updates_and_removes() {
    let mut room = alice_bob_and_carol(5);
    let claims = [room.claim_of_ours("dave"), room.claim_of_a_guest("erin")];
    let bundle = room.guests[0].commit(&claims, &[]).unwrap();
    room.submit(&name("bob"), &bundle);
    room.talk();
    let bundle = room.guests[1].commit(&[], &[]).unwrap();
    room.submit(&name("erin"), &bundle);
    room.talk();

    room.kick("dave");
    let bundle = room.guests[0].commit(&[], &[]).unwrap();
    let accepted = room.submit(&name("bob"), &bundle);

    assert_eq!(
        accepted.removed,
        [name("dave")],
        "the Remove of the focus was covered by reference"
    );
    room.talk();
}

#[test]
fn i1_a_guest_that_was_kicked_reads_nothing_after() {
    let mut room = alice_bob_and_carol(6);
    room.kick("bob");
    let muted = room.guests[0].say("m", b"still here");
    assert!(muted.is_err(), "with a Remove pending nobody writes: {muted:?}");
    let mut bob = room.guests.pop().unwrap();

    let bundle = room.members[1].commit_pending(room.realm.now).unwrap();
    let commit = room.submit(&name("carol"), &bundle).commit.unwrap();
    let before_it_knows = room.members[0].seal("m1", b"bob is gone").unwrap();
    assert!(bob.hear(&before_it_knows).is_err(), "with the keys of the old epoch");
    assert_eq!(bob.hear(&commit).unwrap(), Heard::Removed);

    let after = room.members[0].seal("m2", b"bob is gone").unwrap();
    for sealed in [&before_it_knows, &after] {
        assert!(bob.hear(sealed).is_err());
    }
}

#[test]
fn i1_what_a_kicked_guest_says_in_its_old_epoch_is_refused() {
    let mut room = alice_bob_and_carol(7);
    let late = room.guests[0].say("late", b"from the grave").unwrap();
    room.kick("bob");
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    room.submit(&name("alice"), &bundle);

    for member in &mut room.members {
        assert!(member.process(&late, room.realm.now).is_err());
    }
}

#[test]
fn i3_of_a_guests_commit_and_ours_one_wins_and_both_go_on() {
    let mut room = alice_bob_and_carol(8);
    let theirs = room.guests[0].commit(&[], &[]).unwrap();
    let ours = room.members[0].refresh().unwrap();

    room.submit(&name("alice"), &ours);
    let refused = room.judge(&name("bob"), &theirs).unwrap_err();

    assert!(matches!(refused, Refusal::Lost { .. }), "{refused:?}");
    room.talk();
    let again = room.guests[0].commit(&[], &[]).unwrap();
    let lost = room.members[0].refresh().unwrap();
    room.submit(&name("bob"), &again);
    assert!(room.judge(&name("alice"), &lost).is_err());
    room.talk();
}

#[test]
fn a_guest_is_held_to_the_rules_of_the_ledger() {
    let mut room = alice_bob_and_carol(9);
    let bundle = room.guests[0].commit(&[], &[name("carol")]).unwrap();

    let refusal = room.judge(&name("bob"), &bundle).unwrap_err();

    assert_eq!(refusal, Refusal::RemovesAnother(name("carol")));
    room.guests[0].abandon();
    assert_eq!(room.judge(&name("alice"), &bundle).unwrap_err(), Refusal::NotTheSender);
    room.talk();
}

#[test]
fn i15_a_message_is_opened_once_whoever_seals_it() {
    let mut room = alice_bob_and_carol(10);
    let theirs = room.guests[0].say("m1", b"once").unwrap();
    let ours = room.members[0].seal("m2", b"once").unwrap();

    let now = room.realm.now;
    let opened = room.members[0].process(&theirs, now).unwrap();
    assert!(matches!(opened, Processed::Message(_)));
    assert!(room.members[0].process(&theirs, now).is_err());
    assert!(room.guests[0].hear(&ours).is_ok());
    assert!(room.guests[0].hear(&ours).is_err());
}

#[test]
fn a_certificate_that_was_renewed_reaches_a_guest() {
    let mut room = alice_bob_and_carol(11);
    let (carol, now) = (name("carol"), room.realm.now);
    let before = room.guests[0].certificate_of(&carol);
    let keys = room.keyring(&carol);
    let csr = keys.request().unwrap();
    let renewed = room.realm.issuer.issue(&csr, &carol, now, 60 * DAY).unwrap();
    keys.renew(&renewed, now).unwrap();

    let bundle = room.members[1].refresh().unwrap();
    room.submit(&carol, &bundle);

    assert_ne!(before, renewed);
    assert_eq!(room.guests[0].certificate_of(&carol), renewed);
    // It follows what carol says under it.
    assert!(room.members.iter().all(Member::is_active));
    room.talk();
}

/// A member that goes by the letter refuses a group in which a leaf does not support the type of credential that the
/// external sender has.
#[test]
fn s13_3_every_leaf_supports_the_types_of_all_credentials_in_its_group() {
    let room = alice_bob_and_carol(12);

    let group = room.guests[0].group.as_ref().unwrap();
    let senders: ExternalSendersExt = group.context().extensions.get_as().unwrap().unwrap();
    let mut types: Vec<_> =
        senders.allowed_senders.iter().map(|sender| sender.credential.credential_type()).collect();
    types.push(CredentialType::X509);

    for member in group.roster().members() {
        assert!(types.iter().all(|it| member.capabilities.credentials().contains(it)), "{types:?}");
        assert_eq!(member.signing_identity.credential.credential_type(), CredentialType::X509);
    }
}
