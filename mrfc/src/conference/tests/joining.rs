//! How joiners become members.
use std::time::Duration;

use mls::wire::Reason;

use super::world::{World, device};
use crate::conference::*;

#[test]
fn the_first_one_in_is_asked_to_create_the_group() {
    let mut world = World::new(Level::Sealed);
    let era = ids::Era::at(world.now).next();
    world.arrive("alice", 1);
    assert_eq!(world.conference.gate(), None);

    world.settle();

    let gate = world.conference.gate().unwrap();
    assert_eq!((gate.era, gate.epoch.0, gate.shut, gate.grace), (era, 0, false, false));
    assert!(world.conference.is_member(&device("alice", 1)));
    world.assert_agreement();
}

#[test]
fn the_founder_is_asked_before_others_and_others_when_the_founder_is_silent() {
    let mut world = World::new(Level::Sealed);
    world.arrive("bob", 1);
    world.silence("bob", 1);
    world.settle();
    world.arrive("alice", 1);
    world.silence("alice", 1);
    world.arrive("carol", 1);

    world.pass(Duration::from_secs(4));
    assert_eq!(world.asked(&device("alice", 1)), []);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.asked(&device("alice", 1)), [Reason::Create]);
    world.pass(Duration::from_secs(5));

    assert!(world.conference.is_member(&device("carol", 1)));
}

#[test]
fn joiners_that_come_together_cost_one_commit() {
    let mut world = World::room(&[]);
    for number in 1..=5 {
        world.arrive("bob", number);
    }
    world.pass(Duration::from_millis(200));

    assert_eq!(world.asked(&device("alice", 1)), [Reason::Add]);
    let gate = world.conference.gate().unwrap();
    assert_eq!((gate.epoch.0, gate.grace), (1, true));
    world.assert_agreement();
}

#[test]
fn joiners_are_not_added_before_the_gathering_is_over() {
    let mut world = World::room(&[]);
    world.arrive("bob", 1);

    world.pass(Duration::from_millis(99));
    assert_eq!(world.asked(&device("alice", 1)), []);
    world.pass(Duration::from_millis(1));

    assert!(world.conference.is_member(&device("bob", 1)));
}

#[test]
fn one_commit_adds_no_more_than_the_bound_and_a_full_batch_does_not_wait() {
    let patience = Patience { gather_max: 2, ..Patience::default() };
    let mut world = World::with(Level::Sealed, Bounds { patience, ..Bounds::default() });
    world.arrive("alice", 1);
    world.settle();
    for number in 1..=5 {
        world.arrive("bob", number);
    }

    world.settle();
    let in_at_once = (1..=5).filter(|n| world.conference.is_member(&device("bob", *n))).count();
    assert_eq!(in_at_once, 4);
    world.pass(Duration::from_millis(200));

    assert_eq!(world.conference.gate().unwrap().epoch.0, 3);
    world.assert_agreement();
}

#[test]
fn a_silent_committer_is_passed_over_for_the_next() {
    let mut world = World::room(&[("bob", 1)]);
    world.silence("bob", 1);
    world.arrive("carol", 1);

    world.pass(Duration::from_millis(2000));
    assert!(!world.conference.is_member(&device("carol", 1)));
    world.pass(Duration::from_millis(200));

    assert_eq!(world.asked(&device("alice", 1)), [Reason::Add]);
    assert_eq!(world.asked(&device("bob", 1)), [Reason::Add]);
    assert!(world.conference.is_member(&device("carol", 1)));
}

#[test]
fn with_nobody_online_the_joiner_enters_by_itself() {
    let mut world = World::room(&[]);
    let seat = world.seat(&device("alice", 1));
    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    assert!(world.conference.roster().has_device(&device("alice", 1)), "away is not gone");

    world.arrive("bob", 1);
    world.settle();

    assert_eq!(world.asked(&device("bob", 1)), [Reason::Enter]);
    assert!(world.conference.is_member(&device("bob", 1)));
    world.assert_agreement();
}

#[test]
fn with_only_silent_members_the_joiner_enters_by_itself() {
    let mut world = World::room(&[("bob", 1)]);
    world.silence("alice", 1);
    world.silence("bob", 1);

    world.arrive("carol", 1);
    world.pass(Duration::from_secs(5));

    assert_eq!(world.asked(&device("carol", 1)), [Reason::Enter]);
    assert!(world.conference.is_member(&device("carol", 1)));
}

#[test]
fn a_device_without_key_packages_enters_by_itself() {
    let mut world = World::room(&[]);
    world.sit("bob", 1).unwrap();
    world.devices.get_mut(&device("bob", 1)).unwrap().packages = false;
    let seat = world.seat(&device("bob", 1));
    world.run(&Command::Bound(seat)).unwrap();

    world.pass(Duration::from_millis(200));

    assert_eq!(world.asked(&device("bob", 1)), [Reason::Enter]);
    assert!(world.conference.is_member(&device("bob", 1)));
    world.assert_agreement();
}

#[test]
fn a_key_package_that_is_no_good_is_as_good_as_none() {
    let mut world = World::room(&[]);
    world.arrive("bob", 1);
    let bob = device("bob", 1);
    world.own("eve", 1);
    let of_eve = world.package(&device("eve", 1));

    // Somebody else's package, as if the directory were confused.
    world.now += Duration::from_millis(100);
    let gather = world.conference.decide(world.now, &Command::Tick).unwrap();
    world.journal.push(gather.event().to_bytes());
    world.conference.take(gather);
    world.run(&Command::Claimed(vec![(bob.clone(), Some(of_eve))])).unwrap();
    world.settle();

    assert_eq!(world.asked(&bob), [Reason::Enter]);
    assert!(world.conference.is_member(&bob));
}

#[test]
fn a_joiner_that_never_enters_is_left_alone_in_the_end() {
    let mut world = World::room(&[]);
    world.silence("alice", 1);
    world.arrive("bob", 1);
    world.silence("bob", 1);

    world.pass(Duration::from_secs(3600));

    assert_eq!(world.asked(&device("bob", 1)).len(), 5);
    // Nothing but the end of the certificates is waited for.
    let idle = world.now + Duration::from_secs(20 * 24 * 3600);
    assert!(world.conference.due().is_some_and(|due| due > idle));
}

#[test]
fn a_welcome_for_a_device_that_is_not_seated_waits_for_it() {
    let mut world = World::room(&[]);
    world
        .run(&Command::Invite { by: super::world::aor("alice"), who: super::world::aor("bob") })
        .unwrap();
    let bundle = world.commit("alice", 1, ("bob", 1));
    world.offer(&device("alice", 1), &bundle).unwrap();

    let seat = world.arrive("bob", 1);

    assert!(matches!(world.seen.last(), Some(Effect::Tell(to, Told::Welcome(_))) if *to == seat));
    world.assert_agreement();
}

#[test]
fn a_member_that_lost_its_keys_enters_again_in_its_own_place() {
    let mut world = World::room(&[("carol", 1)]);
    let carol = device("carol", 1);
    world.devices.get_mut(&carol).unwrap().member = None;

    world.arrive("carol", 1);
    world.settle();

    assert_eq!(world.asked(&carol), [Reason::Enter]);
    world.assert_agreement();
    let gate = world.conference.gate().unwrap();
    assert!(!gate.grace && !gate.shut, "{gate:?}");
}

#[test]
fn a_member_that_comes_back_up_to_date_changes_nothing() {
    let mut world = World::room(&[("carol", 1)]);
    let before = world.conference.gate();

    world.arrive("carol", 1);
    world.settle();

    assert_eq!(world.conference.gate(), before);
    world.assert_agreement();
}

#[test]
fn i11_a_device_that_is_added_after_its_seat_has_gone_takes_part_and_goes_with_its_person() {
    let mut world = World::room(&[]);
    let (alice, bob) = (super::world::aor("alice"), super::world::aor("bob"));
    world.run(&Command::Invite { by: alice, who: bob.clone() }).unwrap();
    let seat = world.arrive("bob", 1);
    let bundle = world.commit("alice", 1, ("bob", 1));
    world.run(&Command::Gone { seat, why: Why::Disconnected }).unwrap();

    world.offer(&device("alice", 1), &bundle).unwrap();
    let seat = world.arrive("bob", 2);
    world.run(&Command::Leave(seat)).unwrap();

    // His other device has a leaf: he is still on the roster, and that leaf can be removed.
    assert!(world.conference.roster().has_device(&device("bob", 1)));
    world.run(&Command::Expel(bob)).unwrap();
    world.pass(Duration::from_secs(1));
    assert!(!world.conference.is_member(&device("bob", 1)));
}

#[test]
fn a_device_that_enters_too_often_in_a_day_is_refused_until_the_next_and_no_replay_forgets_it() {
    let bounds = Bounds { entries_per_day_max: 2, ..Bounds::default() };
    let mut world = World::with(Level::Sealed, bounds);
    world.arrive("alice", 1);
    world.settle();
    world.arrive("bob", 1);
    world.pass(Duration::from_millis(200));
    let bob = device("bob", 1);
    let loses_its_keys = |world: &mut World| {
        world.devices.get_mut(&bob).unwrap().member = None;
        world.arrive("bob", 1);
        let (_, bundle) = world.uplink.pop_front().unwrap();
        let entered = world.offer(&bob, &bundle);
        world.pass(Duration::from_secs(3));
        entered
    };

    assert_eq!(loses_its_keys(&mut world), Ok(()));
    assert_eq!(loses_its_keys(&mut world), Ok(()));
    let (terms, journal) = (Arc::clone(&world.terms), world.journal.clone());
    let recovered = Conference::recover(terms, &journal, world.group.as_ref()).unwrap();
    world.conference = recovered.conference;
    assert_eq!(loses_its_keys(&mut world), Err(Refusal::EntersTooOften));

    world.now += Duration::from_secs(24 * 3600);
    assert_eq!(loses_its_keys(&mut world), Ok(()));
}
