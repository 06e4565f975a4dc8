//! Whole stories: people with two devices each, kicks, losses and returns.
use super::support::{Room, name};
use crate::member::{Member, Processed};

#[test]
fn three_people_with_two_devices_each_read_each_other() {
    let others = [("alice", 2), ("bob", 1), ("bob", 2), ("carol", 1), ("carol", 2)];
    let mut room = Room::with(1, &others);

    for from in 0..6 {
        assert_eq!(room.say(from, &format!("m{from}"), b"hello").len(), 5);
    }
}

/// S3-16.
#[test]
fn i2_a_newcomer_reads_nothing_sent_before_it_joined() {
    let mut room = Room::with(2, &[("bob", 1)]);
    let before = room.members[0].seal("before", b"a secret").unwrap();
    let erin = room.realm.device("erin", 1);
    room.add(1, &[erin]);

    let now = room.realm.now;
    let erin = room.members.last_mut().unwrap();
    let nothing = erin.process(&before, now);
    assert!(matches!(nothing, Ok(Processed::Stale { .. })), "{nothing:?}");
    assert_eq!(room.say(0, "after", b"hello erin").len(), 2);
}

/// S3-16.
#[test]
fn a_removed_person_reads_nothing_sent_after_with_any_device() {
    let mut room = Room::with(3, &[("bob", 1), ("dave", 1), ("dave", 2)]);
    room.kick("dave");
    let bundle = room.members[1].commit_pending(room.realm.now).unwrap();
    let accepted = room.submit(&name("bob", 1), &bundle, &[]);
    assert_eq!(accepted.removed, [name("dave", 1), name("dave", 2)]);

    let after = room.members[0].seal("after", b"dave is gone").unwrap();
    for number in [1, 2] {
        let index = room.index(&name("dave", number));
        let dave = &mut room.members[index];
        assert!(!dave.is_active());
        assert!(dave.process(&after, room.realm.now).is_err());
        assert!(dave.seal("x", b"x").is_err());
    }
    assert_eq!(room.say(1, "m", b"only us").len(), 1);
}

#[test]
fn a_removed_person_reads_nothing_also_if_it_ignores_its_removal() {
    let mut room = Room::with(4, &[("bob", 1), ("dave", 1)]);
    let dave = room.members.pop().unwrap();
    room.kick("dave");
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    room.submit(&name("alice", 1), &bundle, &[]);

    let mut stubborn: Member = dave;
    let after = room.members[0].seal("after", b"dave is gone").unwrap();
    let seen = stubborn.process(&after, room.realm.now).unwrap();

    assert!(matches!(seen, Processed::Future { .. }), "{seen:?}");
}

#[test]
fn after_a_kick_nobody_writes_until_a_commit_covers_it() {
    let mut room = Room::with(5, &[("bob", 1), ("dave", 1)]);

    let told = room.kick("dave");

    assert!(told.iter().all(|p| *p == Processed::Remove(name("dave", 1))));
    assert!(room.members.iter_mut().all(|m| m.seal("x", b"x").is_err()));
    let bundle = room.members[1].commit_pending(room.realm.now).unwrap();
    room.submit(&name("bob", 1), &bundle, &[]);
    assert_eq!(room.say(0, "m", b"go on").len(), 1);
}

#[test]
fn a_device_that_lost_its_state_enters_again_and_its_old_leaf_goes() {
    let mut room = Room::with(6, &[("bob", 1), ("carol", 1)]);
    let lost = room.members.pop().unwrap();
    let carol = lost.keyring();
    drop(lost);

    let accepted = room.enter(&carol);

    assert_eq!(
        (&accepted.added, &accepted.removed),
        (&vec![name("carol", 1)], &vec![name("carol", 1)])
    );
    assert_eq!(room.ledger.members().count(), 3);
    assert_eq!(room.say(2, "m", b"back").len(), 2);
    assert_eq!(room.say(0, "n", b"welcome back").len(), 2);
}

#[test]
fn a_stranger_to_the_group_enters_when_nobody_is_there_to_welcome_it() {
    let mut room = Room::with(7, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);

    let accepted = room.enter(&erin);

    assert_eq!(accepted.added, [name("erin", 1)]);
    assert!(accepted.removed.is_empty());
    assert_eq!(room.say(2, "m", b"hello").len(), 2);
}

#[test]
fn an_external_commit_during_a_removal_leaves_it_pending_and_the_entrant_completes_it() {
    let mut room = Room::with(8, &[("bob", 1), ("dave", 1), ("dave", 2)]);
    room.kick("dave");
    let erin = room.realm.device("erin", 1);

    let accepted = room.enter(&erin);

    assert_eq!(accepted.proposals.len(), 2, "the Removes are issued again in the new epoch");
    assert_eq!(room.ledger.pending().count(), 2);
    let index = room.index(&name("erin", 1));
    assert!(room.members[index].is_paused());
    let bundle = room.members[index].commit_pending(room.realm.now).unwrap();
    let accepted = room.submit(&name("erin", 1), &bundle, &[]);
    assert_eq!(accepted.removed, [name("dave", 1), name("dave", 2)]);
    assert_eq!(room.ledger.pending().count(), 0);
}

#[test]
fn who_enters_anew_in_the_place_of_a_leaf_that_has_to_go_stays() {
    let mut room = Room::with(8, &[("bob", 1), ("dave", 1), ("dave", 2)]);
    room.kick("dave");
    let index = room.index(&name("dave", 1));
    let dave = room.members.remove(index).keyring();
    // Let in again before anybody has removed the old leaves.
    room.banned.clear();

    let accepted = room.enter(&dave);

    assert_eq!(accepted.removed, [name("dave", 1)]);
    assert_eq!(room.ledger.pending().collect::<Vec<_>>(), [&name("dave", 2)]);
    assert_eq!(accepted.proposals.len(), 1);
    let bundle = room.members[1].commit_pending(room.realm.now).unwrap();
    let accepted = room.submit(&name("bob", 1), &bundle, &[]);
    assert_eq!(accepted.removed, [name("dave", 2)]);
    assert!(room.ledger.is_member(&name("dave", 1)));
}

#[test]
fn a_device_can_be_removed_and_come_back_under_a_new_key() {
    let mut room = Room::with(9, &[("bob", 1), ("carol", 1)]);
    let device = name("carol", 1);
    let checked = room.ledger.check_removal(crate::ledger::Whom::Device(&device)).unwrap();
    for proposal in room.ledger.apply_removal(checked).unwrap() {
        room.broadcast(&proposal);
    }
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    room.submit(&name("alice", 1), &bundle, &[]);

    let carol = room.realm.device("carol", 1);
    room.add(1, &[carol]);

    assert_eq!(room.say(3, "m", b"a new phone").len(), 2);
}

#[test]
fn a_kicked_person_who_is_let_in_again_reads_only_from_then_on() {
    let mut room = Room::with(10, &[("bob", 1), ("dave", 1)]);
    room.kick("dave");
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    room.submit(&name("alice", 1), &bundle, &[]);
    let between = room.members[0].seal("between", b"without dave").unwrap();
    room.banned.clear();
    let dave = room.realm.device("dave", 1);
    room.add(0, &[dave]);

    let now = room.realm.now;
    let nothing = room.members.last_mut().unwrap().process(&between, now);
    assert!(matches!(nothing, Ok(Processed::Stale { .. })), "{nothing:?}");
    assert_eq!(room.say(0, "m", b"dave again").len(), 2);
}
