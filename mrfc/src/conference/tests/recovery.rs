//! What is said again after a start.
use std::sync::Arc;
use std::time::Duration;

use super::world::{World, aor, device};
use crate::conference::*;

/// The commits that would be announced again.
fn repeated(world: &World) -> Vec<Bytes> {
    let recovered =
        Conference::recover(Arc::clone(&world.terms), &world.journal, world.group.as_ref());
    let effects = recovered.unwrap().tail.into_iter().flat_map(|(_, effects)| effects);
    let commit = |effect| match effect {
        Effect::Announce(Announced::Commit(commit)) => Some(commit),
        _ => None,
    };
    effects.filter_map(commit).collect()
}

/// A commit of alice's that adds nobody who is there.
fn commit(world: &mut World, person: &str) -> Bytes {
    world.run(&Command::Invite { by: aor("alice"), who: aor(person) }).unwrap();
    let bundle = world.commit("alice", 1, (person, 1));
    world.offer(&device("alice", 1), &bundle).unwrap();
    bundle.commit
}

#[test]
fn a_commit_is_said_again_however_much_happens_after_it() {
    let mut world = World::room(&[("bob", 1)]);
    let last = commit(&mut world, "carol");
    for _ in 0..100 {
        world.run(&Command::Invite { by: aor("alice"), who: aor("dave") }).unwrap();
    }
    world.arrive("erin", 1);
    world.silence("alice", 1);
    world.silence("bob", 1);
    world.silence("erin", 1);
    world.pass(Duration::from_secs(3600));

    assert!(repeated(&world).contains(&last));
}

#[test]
fn no_commit_of_a_crowd_that_enters_is_left_out() {
    let mut world = World::room(&[("bob", 1)]);
    let before = world.seen.len();
    for entry in 0..70 {
        if entry == 35 {
            // One device may enter so many times only on another day.
            world.now += Duration::from_secs(24 * 3600);
        }
        world.devices.get_mut(&device("bob", 1)).unwrap().member = None;
        world.arrive("bob", 1);
        world.settle();
    }
    let made = world.seen[before..].iter().filter_map(|effect| match effect {
        Effect::Announce(Announced::Commit(commit)) => Some(commit.clone()),
        _ => None,
    });
    let made: Vec<Bytes> = made.collect();
    assert_eq!(made.len(), 70);

    let again = repeated(&world);

    assert!(again.ends_with(&made), "{} of {}", again.len(), made.len());
}

#[test]
fn a_commit_of_a_member_shows_that_the_earlier_ones_have_arrived() {
    let mut world = World::room(&[("bob", 1)]);
    let made: Vec<Bytes> =
        ["carol", "dave", "erin", "frank"].iter().map(|who| commit(&mut world, who)).collect();

    assert_eq!(repeated(&world), made[2..]);
}
