//! A certificate that is renewed before it ends, and the leaf that follows it.
use super::support::{DAY, Room, name};
use crate::identity::request;
use crate::member::{Member, Processed};
use crate::wire::DeviceName;

/// A new certificate for the key of this member, issued some days later.
fn renewed(room: &Room, member: &Member, who: &DeviceName, days: u32) -> Vec<u8> {
    let csr = request(member.keyring().signer(), who).unwrap();
    let now = room.realm.now + days * DAY;
    room.realm.issuer.issue(&csr, who, now, 30 * DAY).unwrap()
}

#[test]
fn a_certificate_is_due_for_renewal_when_two_thirds_of_it_are_over() {
    let mut realm = super::support::Realm::new(81);
    let keys = realm.device("alice", 1);

    let due = keys.renew_at().duration_since(realm.now).unwrap();

    assert!(due < 20 * DAY && due > 19 * DAY, "{due:?}");
}

#[test]
fn a_renewed_certificate_reaches_the_group_and_the_old_end_removes_nobody() {
    let mut room = Room::with(82, &[("bob", 2)]);
    let bob = name("bob", 2);
    let certificate = renewed(&room, &room.members[1], &bob, 20);
    let later = room.realm.now + 20 * DAY;
    let keys = room.members[1].keyring().clone();
    keys.renew(&certificate, later).unwrap();
    assert!(room.members[1].is_outdated());

    let bundle = room.members[1].refresh().unwrap();
    let checked = room.check_at(&bob, &bundle, later).unwrap();
    let crate::ledger::Verdict::New(checked) = checked else { panic!("seen before") };
    let accepted = room.ledger.apply(*checked).unwrap();
    let commit = accepted.commit.unwrap();
    for member in &mut room.members {
        let Processed::Commit(committed) = member.process(&commit, later).unwrap() else {
            panic!("no commit")
        };
        assert!(committed.added.is_empty() && committed.removed.is_empty());
    }

    assert!(!room.members[1].is_outdated());
    assert_eq!(room.members[0].authenticator(), room.members[1].authenticator());
    // alice's old certificate ends next, and bob's ten days after it would have.
    let (_, next) = room.ledger.next_expiry().unwrap();
    assert_eq!(*next, name("alice", 1));
    let sealed = room.members[1].seal("m1", b"still here").unwrap();
    assert!(matches!(room.members[0].process(&sealed, later), Ok(Processed::Message(_))));
}

#[test]
fn a_certificate_of_another_device_or_key_is_not_taken() {
    let mut room = Room::with(83, &[("bob", 2)]);
    let (alice, bob) = (room.members[0].keyring().clone(), room.members[1].keyring().clone());
    let later = room.realm.now + DAY;

    let of_alice = renewed(&room, &room.members[0], &name("alice", 1), 1);
    assert!(bob.renew(&of_alice, later).is_err());
    let key = room.realm.key();
    let of_another_key = room.realm.certificate(&key, &name("alice", 1));
    assert!(alice.renew(&of_another_key, later).is_err());

    assert!(!room.members[0].is_outdated());
}

#[test]
fn i12_a_leaf_is_not_refreshed_into_another_identity() {
    let mut room = Room::with(84, &[("bob", 2)]);
    let bundle = room.members[1].refresh().unwrap();

    let refused = room.check(&name("alice", 1), &bundle);

    assert!(refused.is_err(), "bob's commit in alice's name");
    assert!(room.check(&name("bob", 2), &bundle).is_ok());
}
