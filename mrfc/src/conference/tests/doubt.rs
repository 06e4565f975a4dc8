//! Members that are ahead of the journal: an old copy of the database is noticed, and nobody can make one of a new one.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ids::{Epoch, Era, Seq};
use mls::wire::{EpochReport, Finding, Reason};

use super::world::{World, aor, device};
use crate::conference::*;

/// Alice, Bob and Carol; then a copy of the database, which Dave and two more epochs are not in.
fn lost() -> (World, (Vec<Bytes>, Option<Bytes>)) {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    let copy = world.copy();
    world.arrive("dave", 1);
    world.pass(Duration::from_secs(1));
    let seat = world.seat(&device("dave", 1));
    world.run(&Command::Leave(seat)).unwrap();
    world.pass(Duration::from_secs(1));
    world.arrive("dave", 1);
    world.pass(Duration::from_secs(1));
    world.assert_agreement();
    (world, copy)
}

fn count(world: &World, wanted: impl Fn(&What) -> bool) -> usize {
    let event = |octets| Event::from_bytes(octets).unwrap().what;
    world.journal.iter().filter(|kept| wanted(&event(kept))).count()
}

fn outdated(world: &World) -> usize {
    count(world, |what| matches!(what, What::Outdated { .. }))
}

/// What somebody says who would like to be ahead.
fn boast(world: &World, by: u64) -> EpochReport {
    let era = world.conference.gate().unwrap().era;
    let finding = Finding::Confirmed { fingerprint: [7; 32], entrance: [7; 32] };
    EpochReport { era, epoch: Epoch(by), finding }
}

fn say(world: &mut World, who: &str, report: EpochReport) -> Result<(), Refusal> {
    let seat = world.seat(&device(who, 1));
    world.run(&Command::Report { seat, report })
}

fn assert_recovers(world: &World) {
    let again = Conference::recover(Arc::clone(&world.terms), &world.journal, world.group.as_ref());
    assert_eq!(format!("{:?}", again.unwrap().conference), format!("{:?}", world.conference));
}

#[test]
fn i3_members_that_are_ahead_of_an_old_copy_get_a_group_that_nobody_can_have_seen() {
    let (mut world, copy) = lost();
    let before = world.conference.gate().unwrap();
    world.put_back(copy);
    let (term, place) = (world.conference.room().unwrap().term, world.conference.place());

    for who in ["alice", "bob", "carol", "dave"] {
        world.arrive(who, 1);
    }
    world.pass(Duration::from_secs(1));

    assert_eq!(outdated(&world), 1);
    let after = world.conference.gate().unwrap();
    assert!(after.era.0 > before.era.0 + 1_000, "{after:?}");
    assert!(world.conference.room().unwrap().term.0 > term.0 + 1_000);
    assert!(world.conference.place().0 > place.0 + 1_000);
    for who in ["alice", "bob", "carol", "dave"] {
        assert!(world.conference.is_member(&device(who, 1)), "{who}");
        assert_eq!(world.member(who, 1).era(), after.era, "{who}");
    }
    world.assert_agreement();
    assert_recovers(&world);
}

#[test]
fn one_who_is_alone_and_ahead_is_believed_at_once_and_the_others_find_the_new_group() {
    let (mut world, copy) = lost();
    world.put_back(copy);

    world.arrive("alice", 1);
    world.settle();

    assert_eq!(outdated(&world), 1);
    let era = world.conference.gate().unwrap().era;
    assert_eq!(world.member("alice", 1).era(), era);
    world.arrive("bob", 1);
    world.pass(Duration::from_secs(1));
    assert_eq!(outdated(&world), 1);
    world.assert_agreement();
}

#[test]
fn somebody_whom_the_old_copy_does_not_know_is_believed_where_no_member_is_there() {
    let (mut world, copy) = lost();
    world.put_back(copy);

    // Nobody can add her, so she is told to enter, and finds less than she has seen.
    world.arrive("dave", 1);
    world.pass(Duration::from_secs(1));

    assert_eq!(outdated(&world), 1);
    assert!(world.conference.is_member(&device("dave", 1)));
}

#[test]
fn where_nobody_answers_the_one_who_is_ahead_is_believed_when_the_patience_is_over() {
    let (mut world, copy) = lost();
    world.put_back(copy);
    for who in ["bob", "carol"] {
        world.silence(who, 1);
        world.arrive(who, 1);
    }

    world.arrive("alice", 1);
    assert_eq!(world.asked(&device("bob", 1)).last(), Some(&Reason::Confirm));
    world.pass(Duration::from_millis(1999));
    assert_eq!(outdated(&world), 0);
    world.pass(Duration::from_millis(1));

    assert_eq!(outdated(&world), 1);
}

#[test]
fn one_who_lies_about_being_ahead_changes_nothing_and_comes_back_as_a_newcomer() {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    world.run(&Command::Adopt).unwrap();
    let (era, seat) = (world.conference.gate().unwrap().era, world.seat(&device("carol", 1)));
    let report = boast(&world, 99);

    say(&mut world, "carol", report).unwrap();
    assert_eq!(say(&mut world, "carol", report), Err(Refusal::NothingNew));
    world.pass(Duration::from_secs(5));

    assert_eq!((outdated(&world), world.conference.gate().unwrap().era), (0, era));
    assert!(world.seen.contains(&Effect::Unseat(seat, Why::Unusable)));
    world.arrive("carol", 1);
    world.pass(Duration::from_secs(1));
    assert!(world.conference.is_member(&device("carol", 1)));
    let report = boast(&world, 199);
    assert_eq!(say(&mut world, "carol", report), Err(Refusal::NothingNew), "once for each start");
    world.assert_agreement();
    assert_recovers(&world);
}

#[test]
fn one_who_is_alone_and_lies_gets_one_new_group_for_each_start_and_no_more() {
    let mut world = World::room(&[]);
    let report = boast(&world, 99);
    say(&mut world, "alice", report).unwrap();
    world.pass(Duration::from_secs(1));
    assert_eq!(outdated(&world), 1);

    let report = boast(&world, 99);
    assert_eq!(say(&mut world, "alice", report), Err(Refusal::NothingNew));

    world.run(&Command::Adopt).unwrap();
    let report = boast(&world, 99);
    say(&mut world, "alice", report).unwrap();
    world.pass(Duration::from_secs(1));
    assert_eq!(outdated(&world), 2);
    world.assert_agreement();
}

#[test]
fn two_who_are_ahead_are_believed_against_one_who_has_slept_since_the_copy() {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    let seat = world.seat(&device("carol", 1));
    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    let copy = world.copy();
    world.arrive("dave", 1);
    world.pass(Duration::from_secs(1));
    world.put_back(copy);
    world.arrive("carol", 1);

    world.arrive("alice", 1);
    // She was asked, and is where the journal ends; the question goes on until the patience is over or all have spoken.
    world.arrive("bob", 1);
    world.pass(Duration::from_secs(3));

    let believed = outdated(&world);
    assert!(believed <= 1);
    for who in ["alice", "bob", "carol"] {
        if world.conference.roster().seat_of(&device(who, 1)).is_none() {
            world.arrive(who, 1);
        }
    }
    world.pass(Duration::from_secs(3));
    for who in ["alice", "bob", "carol"] {
        assert!(world.conference.is_member(&device(who, 1)), "{who}");
    }
    world.assert_agreement();
}

#[test]
fn a_device_that_has_seen_a_later_era_is_ahead_too_and_none_claims_one_out_of_reach() {
    let mut world = World::room(&[("bob", 1)]);
    world.silence("bob", 1);
    let now = world.conference.gate().unwrap();
    let finding = Finding::Confirmed { fingerprint: [0; 32], entrance: [0; 32] };
    let claim = |era| EpochReport { era: Era(era), epoch: Epoch(1), finding };

    assert_eq!(say(&mut world, "alice", claim(u32::MAX)), Err(Refusal::NothingNew));
    say(&mut world, "alice", claim(now.era.0 + 70_000)).unwrap();
    world.pass(Duration::from_secs(3));

    assert!(world.conference.gate().unwrap().era.0 > now.era.0 + 70_000);
}

#[test]
fn a_relay_that_has_carried_out_what_the_journal_does_not_tell_is_believed_at_once() {
    let mut world = World::room(&[("bob", 1)]);
    let (before, place) = (world.conference.gate().unwrap(), world.conference.place());
    let overtaken = |place: u64| Command::Overtaken { place: Seq(place) };
    assert_eq!(world.run(&overtaken(place.0)), Err(Refusal::NothingNew), "what it repeats");
    assert_eq!(world.run(&overtaken(u64::MAX >> 16)), Err(Refusal::NothingNew), "no such place");

    world.run(&overtaken(place.0 + 5)).unwrap();
    world.pass(Duration::from_secs(1));

    assert!(world.conference.place().0 > place.0 + 5 + 1_000);
    assert!(world.conference.gate().unwrap().era.0 > before.era.0 + 1_000);
    assert!(world.seen.contains(&Effect::Open));
    for who in ["alice", "bob"] {
        assert!(world.conference.is_member(&device(who, 1)), "{who}");
    }
    assert!(world.conference.roster().is_moderator(&aor("alice")));
    world.assert_agreement();
    assert_recovers(&world);
}
