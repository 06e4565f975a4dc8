//! Certificates end: the device goes, and everybody else stays.
use std::time::Duration;

use super::world::{World, device};
use crate::conference::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// alice and bob since the beginning, carol for twenty days less.
fn aged() -> World {
    let mut world = World::room(&[("bob", 1)]);
    world.pass(20 * DAY);
    enter(&mut world, "carol");
    world
}

/// Her KeyPackages would be from a future that openmls's clock has not seen.
fn enter(world: &mut World, person: &str) {
    let who = world.own(person, 1);
    world.devices.get_mut(&who).unwrap().packages = false;
    world.arrive(person, 1);
    world.pass(Duration::from_secs(1));
    assert!(world.conference.is_member(&who), "{person} is not in");
}

#[test]
fn a_device_whose_certificate_has_ended_is_removed_and_the_others_go_on() {
    let mut world = aged();
    let seats = [world.seat(&device("alice", 1)), world.seat(&device("bob", 1))];
    world.seen.clear();

    world.pass(11 * DAY);

    for seat in seats {
        assert!(world.seen.contains(&Effect::Bye(seat, Why::Expired)), "{:?}", world.seen);
    }
    assert_eq!(world.conference.members(), 1);
    assert!(!world.conference.gate().unwrap().shut);
    enter(&mut world, "dave");
    world.assert_agreement();
}

#[test]
fn a_conference_of_nothing_but_ended_certificates_ends() {
    let mut world = World::room(&[("bob", 1)]);
    for person in ["alice", "bob"] {
        let seat = world.seat(&device(person, 1));
        world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    }

    world.pass(29 * DAY);
    assert!(world.conference.is_open());
    world.pass(2 * DAY);

    assert!(!world.conference.is_open());
}
