//! A certificate that is renewed before it ends, and the leaf that follows it.
use super::support::{DAY, Room, name};
use crate::identity::{BadCredential, request};
use crate::ledger::{Refusal, Verdict};
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
    let Verdict::New(checked) = checked else { panic!("seen before") };
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
    room.kick("alice");
    let (ends, next) = room.ledger.next_expiry().unwrap();
    assert_eq!((next, ends > later + 29 * DAY), (&bob, true), "{ends:?}");
}

#[test]
fn a_member_may_remove_whoever_has_a_certificate_that_has_ended_and_nobody_before() {
    let mut room = Room::with(86, &[("bob", 2)]);
    let (bob, alice) = (name("bob", 2), name("alice", 1));
    let renewed = renewed(&room, &room.members[1], &bob, 20);
    let soon = room.realm.now + 20 * DAY;
    room.members[1].keyring().renew(&renewed, soon).unwrap();
    let bundle = room.members[1].refresh().unwrap();
    let Verdict::New(checked) = room.check_at(&bob, &bundle, soon).unwrap() else {
        panic!("seen before")
    };
    let commit = room.ledger.apply(*checked).unwrap().commit.unwrap();
    room.members[1].process(&commit, soon).unwrap();
    let ends = room.realm.now + 30 * DAY;

    let bundle = room.members[1].remove(std::slice::from_ref(&alice), ends).unwrap();

    let early = room.check_at(&bob, &bundle, ends - DAY).unwrap_err();
    assert_eq!(early, Refusal::RemovesAnother(alice));
    assert!(matches!(room.check_at(&bob, &bundle, ends + DAY), Ok(Verdict::New(_))));
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

    assert_eq!(refused.unwrap_err(), Refusal::NotTheSender, "bob's commit in alice's name");
    assert!(room.check(&name("bob", 2), &bundle).is_ok());
}

/// A device that was off past the end of its certificate, in a group where nobody was there to remove it.
#[test]
fn a_leaf_whose_certificate_has_ended_is_renewed_by_its_own_commit() {
    for removing in [false, true] {
        let mut room = Room::with(85, &[("bob", 2), ("carol", 3)]);
        let (bob, later) = (name("bob", 2), room.realm.now + 31 * DAY);
        if removing {
            room.kick("carol");
        }
        let commit = |room: &mut Room| match removing {
            false => room.members[1].refresh().unwrap(),
            true => room.members[1].commit_pending(later).unwrap(),
        };
        let ended = Refusal::Credential(BadCredential::Expired);
        let bundle = commit(&mut room);
        assert_eq!(room.check_at(&bob, &bundle, later).unwrap_err(), ended);
        room.members[1].abandon().unwrap();

        let certificate = renewed(&room, &room.members[1], &bob, 31);
        room.members[1].keyring().renew(&certificate, later).unwrap();
        let bundle = commit(&mut room);
        let Verdict::New(checked) = room.check_at(&bob, &bundle, later).unwrap() else {
            panic!("seen before")
        };
        let commit = room.ledger.apply(*checked).unwrap().commit.unwrap();
        for member in &mut room.members {
            assert!(matches!(member.process(&commit, later), Ok(Processed::Commit(_))));
        }

        assert!(!room.ledger.expired(later).contains(&bob));
        assert_eq!(room.members[0].authenticator(), room.members[1].authenticator());
        assert_eq!(room.ledger.is_member(&name("carol", 3)), !removing);
    }
}
