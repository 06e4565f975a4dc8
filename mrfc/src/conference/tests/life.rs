//! How long a conference is: when nobody is left, when its creator leaves, when its time is over, and those that stay.
use std::sync::Arc;
use std::time::Duration;

use super::world::{World, aor, device};
use crate::conference::*;

const HOUR: Duration = Duration::from_secs(3600);
/// Certificates and KeyPackages are checked against the clock of the system: where there are keys, little time passes.
const MINUTE: Duration = Duration::from_secs(60);

fn with(creator_leaves: CreatorLeaves) -> World {
    let life = Life { creator_leaves, ..Life::default() };
    let mut world = World::with(Level::Open, Bounds { life, ..Bounds::default() });
    for person in ["alice", "bob", "carol"] {
        world.arrive(person, 1);
    }
    world
}

fn leave(world: &mut World, person: &str) {
    let seat = world.seat(&device(person, 1));
    world.run(&Command::Leave(seat)).unwrap();
    world.settle();
}

/// The state again, from the journal alone.
fn replayed(world: &World) -> Conference {
    let terms = Arc::clone(&world.terms);
    Conference::recover(terms, &world.journal, world.group.as_ref()).unwrap().conference
}

#[test]
fn s1_9_a_conference_whose_creator_leaves_goes_on_unless_the_policy_says_otherwise() {
    let mut world = with(CreatorLeaves::Stay);

    leave(&mut world, "alice");

    assert!(world.conference.is_open());
    assert_eq!(world.conference.creator(), Some(&aor("alice")));
    assert!(world.conference.roster().is_moderator(&aor("bob")));
}

#[test]
fn s1_9_it_ends_with_its_creator_where_that_is_the_policy_and_everybody_is_called_off() {
    let mut world = with(CreatorLeaves::End);
    let seats: Vec<_> = ["bob", "carol"].map(|who| world.seat(&device(who, 1))).to_vec();

    leave(&mut world, "alice");

    assert!(!world.conference.is_open());
    for seat in seats {
        assert!(world.seen.contains(&Effect::Bye(seat, Why::Ended)));
    }
    assert_eq!(world.seen.last(), Some(&Effect::Close(Why::Ended)));
}

#[test]
fn a_creator_who_was_never_there_has_not_left() {
    let life = Life { creator_leaves: CreatorLeaves::End, ..Life::default() };
    let mut world = World::with(Level::Open, Bounds { life, ..Bounds::default() });
    world.arrive("bob", 1);
    world.settle();

    assert!(world.conference.is_open());
}

#[test]
fn s1_9_it_is_handed_on_to_the_moderator_who_is_seated_longest_and_who_then_is_the_founder() {
    let mut world = with(CreatorLeaves::HandOn);
    let ruling = Ruling::Appoint(aor("carol"));
    world.run(&Command::Rule { by: Some(aor("alice")), ruling }).unwrap();

    leave(&mut world, "alice");

    assert_eq!(world.conference.creator(), Some(&aor("carol")));
    let ruling = Ruling::Appoint(aor("bob"));
    world.run(&Command::Rule { by: Some(aor("carol")), ruling }).unwrap();
    let kick = Command::Kick { by: aor("bob"), who: aor("carol") };
    assert_eq!(world.run(&kick), Err(Refusal::Founder));
    assert_eq!(replayed(&world).creator(), Some(&aor("carol")));
}

#[test]
fn s1_9_it_ends_when_its_time_is_over_whoever_is_in_it() {
    let life = Life { longest: Some(HOUR), ..Life::default() };
    let mut world = World::with(Level::Sealed, Bounds { life, ..Bounds::default() });
    world.arrive("alice", 1);

    world.pass(HOUR - Duration::from_secs(1));
    assert!(world.conference.is_open());
    world.pass(Duration::from_secs(1));

    assert!(!world.conference.is_open());
    assert_eq!((world.conference.members(), world.conference.roster().devices()), (0, 0));
    assert!(world.conference.proposals().is_empty() && world.conference.tree().is_empty());
}

#[test]
fn s1_9_it_ends_when_nobody_has_had_a_seat_for_long_and_not_while_somebody_has() {
    let life = Life { idle: Some(HOUR), ..Life::default() };
    let mut world = World::with(Level::Sealed, Bounds { life, ..Bounds::default() });
    let seat = world.arrive("alice", 1);
    world.pass(3 * HOUR);
    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    world.pass(HOUR / 2);
    // Somebody who comes back starts the time anew.
    let seat = world.arrive("alice", 1);
    world.pass(HOUR);
    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    world.pass(HOUR - Duration::from_secs(1));
    assert!(world.conference.is_open() && replayed(&world).due() == world.conference.due());

    world.pass(Duration::from_secs(1));

    assert!(!world.conference.is_open());
}

#[test]
fn a_standing_conference_rests_until_somebody_comes_and_again_when_nobody_is_left() {
    let mut world = World::standing(Level::Sealed);
    world.pass(2 * MINUTE);
    assert!(world.conference.is_open() && world.conference.is_resting());
    assert_eq!((world.seen.len(), world.conference.room()), (0, None));
    assert_eq!(world.sit("carol", 1), Err(Refusal::NoRelay));

    world.run(&Command::Wake { relay: "relay-1".into() }).unwrap();
    let seat = world.arrive("carol", 1);
    world.settle();
    let first = world.conference.gate().unwrap().era;
    assert_eq!(world.conference.members(), 1);
    world.run(&Command::Leave(seat)).unwrap();
    world.pass(2 * MINUTE);

    assert!(world.conference.is_resting());
    assert_eq!(world.seen.last(), Some(&Effect::Close(Why::Ended)));
    assert_eq!((world.conference.members(), world.conference.roster().devices()), (0, 0));
    let again = replayed(&world);
    assert!(again.is_resting() && again.wanted().is_empty());
    world.run(&Command::Wake { relay: "relay-1".into() }).unwrap();
    world.arrive("carol", 1);
    world.settle();
    assert!(world.conference.gate().unwrap().era > first, "an era is never used twice");
}

#[test]
fn what_was_settled_in_a_standing_conference_outlives_those_who_come_and_go() {
    let mut world = World::standing(Level::Open);
    let by = |who: &str, ruling| Command::Rule { by: Some(aor(who)), ruling };
    world.run(&by("alice", Ruling::Ban(aor("mallory")))).unwrap();
    world.run(&by("bob", Ruling::PrivateMessages(false))).unwrap();
    world.run(&Command::Wake { relay: "relay-1".into() }).unwrap();
    world.arrive("bob", 1);
    world.arrive("carol", 1);

    leave(&mut world, "bob");
    // Carol is alone, and does not become a moderator of what is alice's and bob's.
    assert!(!world.conference.roster().is_moderator(&aor("carol")));
    leave(&mut world, "carol");
    world.pass(HOUR);

    assert!(world.conference.is_resting());
    let moderators: Vec<_> = world.conference.roster().moderators().cloned().collect();
    assert_eq!(moderators, [aor("alice"), aor("bob")]);
    assert_eq!(world.conference.rules().subject.as_deref(), Some("Tea"));
    assert!(!world.conference.rules().private_messages);
    world.run(&Command::Wake { relay: "relay-1".into() }).unwrap();
    assert_eq!(world.sit("mallory", 1), Err(Refusal::Barred));
}

#[test]
fn cevt_10_how_a_call_went_is_known_until_they_come() {
    let mut world = with(CreatorLeaves::Stay);
    world.run(&Command::Invite { by: aor("alice"), who: aor("dave") }).unwrap();
    let ways = |world: &World| {
        let scene = world.conference.scene().unwrap();
        let seen = scene.people.into_iter().chain(scene.gone).find(|it| it.aor == aor("dave"));
        seen.map(|seen| seen.devices)
    };
    assert!(ways(&world).unwrap().is_empty());

    let seat = world.call("dave", 1);
    let place = |world: &World| ways(world).unwrap()[0].place.clone();
    assert!(matches!(place(&world), Place::Here { alerting: false, arrived: false, .. }));
    world.run(&Command::Alerting(seat)).unwrap();
    assert!(matches!(place(&world), Place::Here { alerting: true, arrived: false, .. }));
    assert_eq!(world.run(&Command::Alerting(seat)), Err(Refusal::NothingNew));
    world.run(&Command::Gone { seat, why: Why::Busy }).unwrap();

    assert!(matches!(place(&world), Place::Gone { how: Some((Why::Busy, _)) }));
    assert!(!world.conference.roster().has(&aor("dave")));
    world.arrive("dave", 1);
    assert!(matches!(place(&world), Place::Here { arrived: true, .. }));
}

#[test]
fn one_that_came_back_with_a_backup_waits_for_its_people_as_if_just_made() {
    let mut world = with(CreatorLeaves::End);
    let empty = Bounds::default().empty;

    world.run(&Command::Restored).unwrap();
    world.settle();

    assert!(world.conference.is_open() && world.conference.is_resting());
    assert!(replayed(&world).is_resting());
    // Its creator was there, and has not left: nobody was asked.
    world.run(&Command::Wake { relay: "relay-1".into() }).unwrap();
    world.arrive("bob", 1);
    world.settle();
    assert!(world.conference.is_open());
    leave(&mut world, "bob");
    assert!(!world.conference.is_open());

    let mut world = with(CreatorLeaves::Stay);
    world.run(&Command::Restored).unwrap();
    world.settle();
    world.pass(empty);
    assert!(!world.conference.is_open());
}
