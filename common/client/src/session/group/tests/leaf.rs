//! A leaf that has been there for long enough is replaced, by a commit like every other.
use super::*;

/// The device looks after its leaf; what it sends if it is time.
fn looked(group: &mut Group, now: SystemTime) -> Option<Bundle> {
    let mut follows = group.refresh(&Limits::default(), now);
    match follows.pop() {
        None => None,
        Some(Follows::Send(bundle)) => Some(bundle),
        Some(other) => panic!("{other:?}"),
    }
}

fn key(group: &Group) -> [u8; 32] {
    group.member().unwrap().own_leaf().unwrap().id
}

#[test]
fn a_leaf_that_is_old_is_replaced_and_everybody_follows() {
    let (mut room, mut alice, mut bob, _) = three();
    assert_eq!(looked(&mut bob, room.now), None);
    let (before, secret) = (key(&bob), bob.standing().authenticator);

    room.now += 7 * DAY;
    let bundle = looked(&mut bob, room.now).unwrap();
    let commit = room.accept(&bob, &bundle).commit.unwrap();
    for group in [&mut alice, &mut bob] {
        group.process(&commit, room.now);
    }

    assert_ne!(key(&bob), before);
    assert_ne!(bob.standing().authenticator, secret, "who has the old key reads nothing more");
    assert_eq!(bob.standing().authenticator, alice.standing().authenticator);
    assert_eq!(looked(&mut bob, room.now + DAY), None, "once is enough");
}

#[test]
fn a_leaf_is_replaced_after_so_many_messages() {
    let (room, _, mut bob, _) = three();
    looked(&mut bob, room.now);
    let few = Limits { leaf_messages_max: 40, ..Limits::default() };
    for _ in 0..29 {
        bob.seal("m", b"hello").unwrap();
    }
    assert!(bob.refresh(&few, room.now).is_empty());

    for _ in 29..40 {
        bob.seal("m", b"hello").unwrap();
    }

    assert_eq!(bob.refresh(&few, room.now).len(), 1);
}

#[test]
fn a_replacement_that_lost_against_another_commit_is_made_again() {
    let (mut room, mut alice, mut bob, mut carol) = three();
    looked(&mut bob, room.now);
    let later = room.now + 7 * DAY;
    let lost = looked(&mut bob, later).unwrap();
    assert_eq!(looked(&mut bob, later), None, "one is under way");
    let winner = room.add(&mut alice, &mut carol);
    assert!(room.ledger.as_ref().unwrap().check(&lost, &room.policy(&bob)).is_err());

    bob.process(&winner, room.now);
    let again = looked(&mut bob, later).unwrap();
    let commit = room.accept(&bob, &again).commit.unwrap();

    for group in [&mut alice, &mut carol, &mut bob] {
        group.process(&commit, later);
    }
    assert_eq!(bob.standing().authenticator, carol.standing().authenticator);
}

#[test]
fn a_commit_that_brings_new_keys_anyway_counts() {
    let (mut room, mut alice, mut bob, _) = three();
    looked(&mut alice, room.now);
    let bob_name = bob.keyring.device().clone();
    let whom = Whom::Device(&bob_name);
    let ledger = room.ledger.as_mut().unwrap();
    let checked = ledger.check_removal(whom).unwrap();
    room.now += 5 * DAY;
    for remove in room.ledger.as_mut().unwrap().apply_removal(checked).unwrap() {
        alice.process(&remove, room.now);
        bob.process(&remove, room.now);
    }
    assert_eq!(looked(&mut alice, room.now + 9 * DAY), None, "first the removal");
    let bundle = sent(room.ask(&mut alice, Reason::Remove, Vec::new()));
    let commit = room.accept(&alice, &bundle).commit.unwrap();
    alice.process(&commit, room.now);

    assert_eq!(looked(&mut alice, room.now), None, "the path brought a new leaf");
    assert_eq!(looked(&mut alice, room.now + 5 * DAY), None);
    assert!(looked(&mut alice, room.now + 7 * DAY).is_some());
}

/// What was said before cannot be had; what is said from now on can.
#[test]
fn i22_who_missed_so_much_of_an_author_that_nothing_opens_any_more_begins_a_new_epoch_once_an_hour()
{
    let (mut room, mut alice, mut bob, _) = three();
    looked(&mut bob, room.now);
    let far = |alice: &mut Group| {
        (0..2002).map(|_| alice.seal("m", b"a word").unwrap().bytes).last().unwrap()
    };
    let opens = |bob: &mut Group, sealed: &Bytes, now| {
        matches!(&*bob.process(sealed, now), [Follows::Show(_)])
    };
    let sealed = far(&mut alice);

    assert!(!opens(&mut bob, &sealed, room.now));
    let bundle = looked(&mut bob, room.now).unwrap();
    let commit = room.accept(&bob, &bundle).commit.unwrap();
    for group in [&mut alice, &mut bob] {
        group.process(&commit, room.now);
    }

    let next = alice.seal("n", b"hello").unwrap().bytes;
    assert!(opens(&mut bob, &next, room.now));
    assert_eq!(looked(&mut bob, room.now), None, "nothing is missing now");
    // An insider can do that again and again.
    let sealed = far(&mut alice);
    assert!(!opens(&mut bob, &sealed, room.now));
    assert_eq!(looked(&mut bob, room.now + DAY / 48), None);
    assert!(looked(&mut bob, room.now + DAY / 24).is_some());
}
