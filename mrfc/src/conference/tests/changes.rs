//! Races, removals, and what the journal brings back.
use std::sync::Arc;
use std::time::Duration;

use mls::wire::{CommitResult, Reason};

use super::world::{World, aor, device};
use crate::conference::*;
use crate::orders::{Keys, orders};

fn kick(world: &mut World, who: &str) {
    world.run(&Command::Kick { by: aor("alice"), who: aor(who) }).unwrap();
}

#[test]
fn i3_two_commits_in_one_epoch_and_the_first_one_wins() {
    let mut world = World::room(&[("bob", 1)]);
    for person in ["carol", "dave"] {
        world.run(&Command::Invite { by: aor("alice"), who: aor(person) }).unwrap();
    }
    let of_alice = world.commit("alice", 1, ("carol", 1));
    let of_bob = world.commit("bob", 1, ("dave", 1));
    let epoch = world.conference.gate().unwrap().epoch;

    world.offer(&device("bob", 1), &of_bob).unwrap();
    let lost = world.offer(&device("alice", 1), &of_alice);

    let Err(Refusal::Group(mls::ledger::Refusal::Lost { epoch: now, .. })) = lost else {
        panic!("{lost:?}");
    };
    assert_eq!(now, epoch.next());
    assert!(world.conference.is_member(&device("dave", 1)));
    assert!(!world.conference.is_member(&device("carol", 1)));
    world.assert_agreement();
}

#[test]
fn the_same_bundle_again_gets_the_same_answer_and_no_event() {
    let mut world = World::room(&[]);
    world.run(&Command::Invite { by: aor("alice"), who: aor("bob") }).unwrap();
    let bundle = world.commit("alice", 1, ("bob", 1));
    world.offer(&device("alice", 1), &bundle).unwrap();
    let events = world.journal.len();

    let again = world.offer(&device("alice", 1), &bundle);

    let gate = world.conference.gate().unwrap();
    assert_eq!(again, Err(Refusal::Repeated { era: gate.era, epoch: gate.epoch }));
    assert_eq!(world.journal.len(), events);
}

#[test]
fn a_commit_may_not_bring_in_somebody_who_is_not_on_the_roster() {
    let mut world = World::room(&[]);
    let bundle = world.commit("alice", 1, ("eve", 1));

    let refused = world.offer(&device("alice", 1), &bundle);

    let expected = mls::ledger::Refusal::NotOnRoster(device("eve", 1).name());
    assert_eq!(refused, Err(Refusal::Group(expected)));
}

#[test]
fn i9_a_kick_shuts_the_gate_until_a_commit_covers_it() {
    let mut world = World::room(&[("bob", 1), ("dave", 1), ("dave", 2)]);
    let before = world.conference.gate().unwrap();

    kick(&mut world, "dave");

    // The relay is told at once, before any member has done anything. The gate comes first: while one device of
    // dave's is unseated, nobody's message of the old epoch reaches the other.
    let gate = world.conference.gate().unwrap();
    assert!(gate.shut && gate.epoch == before.epoch, "{gate:?}");
    let step = |effect: &Effect| match effect {
        Effect::Gate => "gate",
        Effect::Unseat(_, Why::Kicked) => "unseat",
        Effect::Bye(_, Why::Kicked) => "bye",
        Effect::Announce(Announced::Proposals) => "proposals",
        _ => "other",
    };
    let steps: Vec<&str> = world.seen.iter().map(step).collect();
    assert_eq!(steps, ["gate", "unseat", "unseat", "bye", "bye", "proposals"]);
    assert_eq!(world.conference.proposals().len(), 2);

    world.settle();
    let gate = world.conference.gate().unwrap();
    assert!(!gate.shut && !gate.grace && gate.epoch == before.epoch.next(), "{gate:?}");
    assert!(!world.conference.is_member(&device("dave", 1)));
    world.assert_agreement();
}

#[test]
fn i10_a_commit_that_skips_a_pending_remove_is_refused() {
    let mut world = World::room(&[("bob", 1), ("dave", 1)]);
    world.run(&Command::Invite { by: aor("alice"), who: aor("carol") }).unwrap();
    // Made before the kick, arrives after it.
    let bundle = world.commit("bob", 1, ("carol", 1));
    kick(&mut world, "dave");

    let refused = world.offer(&device("bob", 1), &bundle);

    let expected = mls::ledger::Refusal::SkipsRemove(device("dave", 1).name());
    assert_eq!(refused, Err(Refusal::Group(expected)));
    assert!(world.conference.gate().unwrap().shut);
}

#[test]
fn i8_a_removed_device_has_no_seat_to_send_a_bundle_from() {
    let mut world = World::room(&[("dave", 1)]);
    world.run(&Command::Invite { by: aor("alice"), who: aor("carol") }).unwrap();
    let bundle = world.commit("dave", 1, ("carol", 1));
    let seat = world.seat(&device("dave", 1));
    kick(&mut world, "dave");

    let command = Command::Bundle { seat, bundle: bundle.to_bytes() };

    assert_eq!(world.run(&command), Err(Refusal::NoSeat));
}

#[test]
fn i9_with_nobody_online_a_remove_stays_pending_and_the_next_one_back_is_asked() {
    let mut world = World::room(&[("bob", 1), ("dave", 1)]);
    for who in ["alice", "bob"] {
        let seat = world.seat(&device(who, 1));
        world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    }
    kick(&mut world, "dave");
    world.pass(Duration::from_secs(60));
    assert!(world.conference.gate().unwrap().shut);

    world.seen.clear();
    world.arrive("bob", 1);
    world.settle();

    assert_eq!(world.asked(&device("bob", 1)), [Reason::Enter, Reason::Remove]);
    assert!(!world.conference.gate().unwrap().shut);
    world.assert_agreement();
}

#[test]
fn i9_when_the_committer_of_a_remove_is_silent_the_next_is_asked_and_the_gate_stays_shut() {
    let mut world = World::room(&[("bob", 1), ("dave", 1)]);
    world.silence("bob", 1);
    kick(&mut world, "dave");

    world.pass(Duration::from_millis(1999));
    assert!(world.conference.gate().unwrap().shut);
    world.pass(Duration::from_millis(1));

    assert_eq!(world.asked(&device("bob", 1)), [Reason::Remove]);
    assert_eq!(world.asked(&device("alice", 1)), [Reason::Remove]);
    assert!(!world.conference.gate().unwrap().shut);
}

#[test]
fn a_remove_that_nobody_commits_is_asked_for_again_and_again_but_ever_less_often() {
    let mut world = World::room(&[("dave", 1)]);
    world.silence("alice", 1);
    kick(&mut world, "dave");
    let events = world.journal.len();

    world.pass(Duration::from_secs(24 * 3600));

    let events = world.journal.len() - events;
    assert!((100..1000).contains(&events), "{events}");
    assert!(world.conference.gate().unwrap().shut);
}

#[test]
fn an_external_commit_while_a_remove_is_pending_leaves_the_gate_shut_and_the_entrant_commits() {
    let mut world = World::room(&[("bob", 1), ("dave", 1)]);
    let seat = world.seat(&device("alice", 1));
    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    world.silence("bob", 1);
    kick(&mut world, "dave");
    world.settle();
    let epoch = world.conference.gate().unwrap().epoch;

    // bob is asked and silent; alice comes back without her keys.
    world.devices.get_mut(&device("alice", 1)).unwrap().member = None;
    world.seen.clear();
    world.arrive("alice", 1);
    let (by, bundle) = world.uplink.pop_front().unwrap();
    world.offer(&by, &bundle).unwrap();

    assert!(world.conference.gate().unwrap().shut);
    assert_eq!(world.conference.group_state(&aor("bob")).unwrap().unwrap().epoch, epoch.next());
    assert!(world.seen.contains(&Effect::Announce(Announced::Proposals)), "issued again");
    // bob could vouch for it, and is silent.
    world.pass(Duration::from_secs(2));
    assert_eq!(world.asked(&device("alice", 1)), [Reason::Enter, Reason::Remove]);
    assert!(!world.conference.gate().unwrap().shut);
    world.assert_agreement();
}

#[test]
fn a_leave_removes_one_device_and_keeps_the_others() {
    let mut world = World::room(&[("bob", 1), ("bob", 2)]);
    let seat = world.seat(&device("bob", 1));

    world.run(&Command::Leave(seat)).unwrap();
    world.settle();

    assert!(!world.conference.is_member(&device("bob", 1)));
    assert!(world.conference.is_member(&device("bob", 2)));
    assert!(world.conference.roster().has(&aor("bob")));
    world.assert_agreement();
}

/// The relay may tell of a connection that ended behind the goodbye before the front tells of the goodbye.
#[test]
fn a_leave_that_comes_behind_the_end_of_its_seat_counts_unless_the_device_is_back() {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    let [bob, carol] = ["bob", "carol"].map(|person| world.seat(&device(person, 1)));
    for seat in [bob, carol] {
        world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    }
    world.arrive("carol", 1);

    world.run(&Command::Leave(bob)).unwrap();
    assert_eq!(world.run(&Command::Leave(carol)), Err(Refusal::NoSeat));
    world.settle();

    assert!(!world.conference.is_member(&device("bob", 1)));
    assert!(!world.conference.roster().has(&aor("bob")));
    assert!(world.conference.is_member(&device("carol", 1)));
    assert_eq!(world.run(&Command::Leave(bob)), Err(Refusal::NoSeat), "it has left");
    world.assert_agreement();
}

#[test]
fn who_leaves_and_comes_back_at_once_is_a_newcomer() {
    let mut world = World::room(&[("bob", 1)]);
    let seat = world.seat(&device("bob", 1));
    world.run(&Command::Leave(seat)).unwrap();
    world.devices.get_mut(&device("bob", 1)).unwrap().member = None;

    world.arrive("bob", 1);
    world.pass(Duration::from_millis(200));

    assert!(world.conference.is_member(&device("bob", 1)));
    assert!(!world.conference.gate().unwrap().shut);
    world.assert_agreement();
}

#[test]
fn who_leaves_and_comes_back_when_nobody_else_is_there_enters_in_place_of_the_old_leaf() {
    let mut world = World::room(&[("bob", 1)]);
    let (alice, bob) = (world.seat(&device("alice", 1)), world.seat(&device("bob", 1)));
    world.run(&Command::Gone { seat: bob, why: Why::Away }).unwrap();
    world.run(&Command::Leave(alice)).unwrap();
    world.settle();
    assert!(world.conference.gate().unwrap().shut);

    world.devices.get_mut(&device("alice", 1)).unwrap().member = None;
    world.seen.clear();
    world.arrive("alice", 1);
    world.settle();

    assert_eq!(world.asked(&device("alice", 1)), [Reason::Enter]);
    assert!(!world.conference.gate().unwrap().shut);
    world.assert_agreement();
}

#[test]
fn the_outstanding_add_is_asked_for_anew_together_with_the_remove() {
    let mut world = World::room(&[("dave", 1)]);
    world.silence("dave", 1);
    world.arrive("bob", 1);
    world.pass(Duration::from_millis(150));
    assert_eq!(world.asked(&device("dave", 1)), [Reason::Add]);

    kick(&mut world, "dave");
    world.settle();

    assert_eq!(world.asked(&device("alice", 1)), [Reason::Remove]);
    assert!(world.conference.is_member(&device("bob", 1)));
    assert!(!world.conference.is_member(&device("dave", 1)));
    world.assert_agreement();
}

#[test]
fn an_open_room_has_no_group() {
    let mut world = World::new(Level::Open);
    let seat = world.arrive("alice", 1);

    let bundle = Command::Bundle { seat, bundle: Bytes::from_static(b"x") };

    assert_eq!(world.run(&bundle), Err(Refusal::NoGroup));
    assert_eq!(world.conference.due(), None);
    assert_eq!(world.conference.group_state(&aor("alice")), Ok(None));
}

#[test]
fn only_who_is_on_the_roster_may_have_the_state_of_the_group() {
    let world = World::room(&[("bob", 1)]);

    assert!(world.conference.group_state(&aor("bob")).unwrap().is_some());
    let refused = world.conference.group_state(&aor("eve"));
    assert_eq!(refused, Err(Refusal::NotOnRoster(aor("eve"))));
}

#[test]
fn replaying_the_journal_rebuilds_exactly() {
    let mut world = World::room(&[("bob", 1), ("bob", 2), ("dave", 1)]);
    kick(&mut world, "dave");
    world.settle();
    world.arrive("carol", 1);
    world.pass(Duration::from_millis(150));
    let seat = world.seat(&device("bob", 2));
    world.run(&Command::Leave(seat)).unwrap();

    let recovered =
        Conference::recover(Arc::clone(&world.terms), &world.journal, world.group.as_ref());
    let again = recovered.unwrap().conference;

    // The pending Remove, the roster, the seats, the joiners, the next key: all of it.
    assert_eq!(format!("{again:?}"), format!("{:?}", world.conference));
    assert_eq!(again.proposals(), world.conference.proposals());
    assert_eq!(again.group_state(&aor("bob")), world.conference.group_state(&aor("bob")));
    assert_eq!(again.due(), world.conference.due());
}

#[test]
fn a_conference_that_was_replayed_goes_on_with_its_members() {
    let mut world = World::room(&[("bob", 1), ("dave", 1)]);
    let recovered =
        Conference::recover(Arc::clone(&world.terms), &world.journal, world.group.as_ref());
    world.conference = recovered.unwrap().conference;
    world.run(&Command::Adopt).unwrap();

    kick(&mut world, "dave");
    world.settle();

    assert!(!world.conference.gate().unwrap().shut);
    world.assert_agreement();
}

#[test]
fn the_last_commit_is_said_again_after_a_start_and_old_requests_are_not() {
    let mut world = World::room(&[("bob", 1)]);
    world.run(&Command::Invite { by: aor("alice"), who: aor("carol") }).unwrap();
    let bundle = world.commit("alice", 1, ("carol", 1));
    world.offer(&device("alice", 1), &bundle).unwrap();

    let recovered =
        Conference::recover(Arc::clone(&world.terms), &world.journal, world.group.as_ref());
    let tail = recovered.unwrap().tail;

    let commit = Effect::Announce(Announced::Commit(bundle.commit.clone()));
    let is_old = |effect: &&Effect| match effect {
        Effect::Tell(_, Told::Request(request)) => request.reason != Reason::Confirm,
        Effect::Tell(..) => true,
        _ => false,
    };
    assert_eq!(tail.iter().flat_map(|(_, e)| e).filter(|effect| **effect == commit).count(), 1);
    let told = tail.iter().flat_map(|(_, e)| e).any(|e| is_old(&e));
    assert!(!told, "{tail:?}");
}

#[test]
fn a_group_of_another_epoch_beside_the_journal_is_noticed() {
    let mut world = World::room(&[]);
    let old = world.group.clone();
    world.arrive("bob", 1);
    world.pass(Duration::from_millis(200));

    let torn = Conference::recover(Arc::clone(&world.terms), &world.journal, old.as_ref());

    assert!(matches!(torn, Err(BadJournal::Torn)));
}

#[test]
fn i22_a_removal_that_one_device_is_told_of_alone_is_still_addressed_to_the_room() {
    let mut world = World::room(&[("bob", 1), ("dave", 1)]);
    world.silence("alice", 1);
    world.silence("bob", 1);
    kick(&mut world, "dave");
    let (bob, mut keys) = (world.seat(&device("bob", 1)), Keys::of_event(Seq(99)));
    let mut to = |told| {
        let orders = orders(&world.conference, &mut keys, Effect::Tell(bob, told));
        let to = orders.into_iter().map(|order| {
            let control::RoomOrder::Deliver { cpim, .. } = order else { panic!("{order:?}") };
            let letter = msrp::cpim::Message::read(&msrp::Body::from(cpim)).unwrap();
            letter.envelope.only_to().unwrap().uri.to_owned()
        });
        to.collect::<Vec<String>>()
    };

    // Addressed to bob it would be a private message, and he would look for its key elsewhere.
    assert_eq!(to(Told::Proposals), ["sip:room7@example.net"]);
    let result = CommitResult::Refused { why: "no".into() };
    assert_eq!(to(Told::Result(result)), ["sip:bob@example.net"]);
}

#[test]
fn i22_when_no_member_covers_a_remove_whoever_enters_is_asked_to() {
    let mut world = World::room(&[("bob", 1), ("dave", 1)]);
    world.silence("alice", 1);
    world.silence("bob", 1);
    kick(&mut world, "dave");
    world.arrive("carol", 1);

    world.pass(Duration::from_secs(10));

    assert_eq!(world.asked(&device("carol", 1)), [Reason::Enter, Reason::Remove]);
    assert!(!world.conference.gate().unwrap().shut);
    assert!(!world.conference.is_member(&device("dave", 1)));
}

#[test]
fn i22_who_is_asked_after_somebody_was_silent_is_told_the_removes_once_more() {
    let mut world = World::room(&[("bob", 1), ("dave", 1)]);
    world.silence("bob", 1);
    kick(&mut world, "dave");
    let proposals = Effect::Tell(world.seat(&device("alice", 1)), Told::Proposals);
    world.settle();
    assert!(!world.seen.contains(&proposals));

    world.pass(Duration::from_secs(2));

    assert!(world.seen.contains(&proposals));
    assert!(!world.conference.gate().unwrap().shut);
}

#[test]
fn members_change_the_group_in_turn_and_a_silent_one_costs_one_wait() {
    let mut world = World::room(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    world.silence("carol", 1);

    for nth in 0..9 {
        world.arrive(&format!("p{nth}"), 1);
        world.silence(&format!("p{nth}"), 1);
        world.pass(Duration::from_secs(if nth == 1 { 3 } else { 1 }));
        assert!(world.conference.is_member(&device(&format!("p{nth}"), 1)), "{nth}");
        // They have taken their turns as well.
        world.run(&Command::Leave(world.seat(&device(&format!("p{nth}"), 1)))).unwrap();
        world.pass(Duration::from_secs(1));
    }

    let changes = |reason: &Reason| !matches!(reason, Reason::Confirm);
    let made = ["alice", "bob", "dave"]
        .map(|who| world.asked(&device(who, 1)).iter().filter(|reason| changes(reason)).count());
    assert!(made.iter().all(|made| (5..=7).contains(made)), "{made:?}");
    let silent = world.asked(&device("carol", 1));
    assert_eq!(silent.iter().filter(|reason| changes(reason)).count(), 1, "{silent:?}");
}
