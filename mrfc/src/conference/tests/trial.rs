//! Who vouches for a new epoch, and what becomes of one that nobody can follow.
use std::sync::Arc;
use std::time::Duration;

use control::Gate;
use ids::Era;
use mls::wire::{EpochReport, Finding, Reason};

use super::world::{World, aor, device, elsewhere, spoilt};
use crate::conference::*;

/// A bundle of this member's that adds somebody and that the focus, which has no keys, takes for good.
fn bad(world: &mut World, by: &str) {
    bad_for(world, by, "mallory");
}

fn bad_for(world: &mut World, by: &str, who: &str) {
    let bundle = invited(world, by, who);
    let bundle = mls::wire::Bundle { commit: spoilt(&bundle.commit), ..bundle };
    world.offer(&device(by, 1), &bundle).unwrap();
}

fn good(world: &mut World, by: &str, who: &str) {
    let bundle = invited(world, by, who);
    world.offer(&device(by, 1), &bundle).unwrap();
}

fn invited(world: &mut World, by: &str, who: &str) -> mls::wire::Bundle {
    world.run(&Command::Invite { by: aor("alice"), who: aor(who) }).unwrap();
    world.commit(by, 1, (who, 1))
}

/// How many groups were given up.
fn given_up(world: &World) -> usize {
    let event = |octets| Event::from_bytes(octets).unwrap().what;
    world.journal.iter().filter(|kept| matches!(event(kept), What::GivenUp { .. })).count()
}

fn gate(world: &World) -> Gate {
    world.conference.gate().unwrap()
}

#[test]
fn the_gate_opens_when_a_second_member_confirms_the_epoch() {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    world.silence("carol", 1);
    world.silence("bob", 1);
    let before = gate(&world);

    good(&mut world, "alice", "dave");

    // Whoever is in the old epoch may still talk; the new one waits.
    assert_eq!(gate(&world), Gate { grace: false, ..before });
    assert_eq!(world.asked(&device("bob", 1)), [Reason::Confirm]);
    assert_eq!(world.asked(&device("alice", 1)), [], "she made it");
    let report = world.member("bob", 1).report();
    let seat = world.seat(&device("bob", 1));
    world.run(&Command::Report { seat, report }).unwrap();
    assert_eq!(gate(&world), Gate { epoch: before.epoch.next(), grace: true, ..before });
    assert_eq!(world.seen.last(), Some(&Effect::Gate));
}

#[test]
fn the_gate_opens_at_once_when_nobody_else_is_online() {
    let mut world = World::room(&[("bob", 1)]);
    let seat = world.seat(&device("bob", 1));
    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    let before = gate(&world);

    good(&mut world, "alice", "dave");

    assert_eq!(gate(&world).epoch, before.epoch.next());
}

#[test]
fn i22_a_member_that_is_asleep_keeps_nobody_waiting_for_long_and_only_once() {
    let mut world = World::room(&[("bob", 1)]);
    world.silence("bob", 1);
    let before = gate(&world);

    good(&mut world, "alice", "carol");
    world.pass(Duration::from_millis(1999));
    assert_eq!(gate(&world).epoch, before.epoch);
    world.pass(Duration::from_millis(1));
    assert_eq!(gate(&world).epoch, before.epoch.next());

    good(&mut world, "alice", "dave");
    assert_eq!(gate(&world).epoch, before.epoch.next().next(), "bob is known to be asleep");
}

#[test]
fn i22_a_commit_that_nobody_can_follow_leads_to_a_new_era_without_its_author() {
    let mut world = World::room(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    let (before, events) = (gate(&world), world.journal.len());
    let seat = world.seat(&device("dave", 1));

    bad(&mut world, "dave");
    world.pass(Duration::from_millis(500));

    let after = gate(&world);
    assert_eq!((after.era, after.shut), (Era(before.era.0 + 1), false));
    assert!(world.seen.contains(&Effect::Unseat(seat, Why::Unusable)));
    assert!(!world.conference.is_member(&device("dave", 1)));
    for who in ["alice", "bob", "carol"] {
        assert!(world.conference.is_member(&device(who, 1)), "{who}");
    }
    world.assert_agreement();
    // Nothing is rolled back: the journal has grown, and says all of it.
    let again = Conference::recover(Arc::clone(&world.terms), &world.journal, world.group.as_ref());
    assert!(world.journal.len() > events);
    assert_eq!(format!("{:?}", again.unwrap().conference), format!("{:?}", world.conference));
}

/// Everybody can follow the commit; what its author tells newcomers to enter by is no key of the group's.
#[test]
fn i22_a_false_external_key_costs_its_author_and_not_who_enters() {
    let mut world = World::room(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    let before = gate(&world);
    let bundle = invited(&mut world, "dave", "mallory");
    let group_info = elsewhere(&bundle.group_info, &world.devices[&device("dave", 1)].key);
    world.offer(&device("dave", 1), &mls::wire::Bundle { group_info, ..bundle }).unwrap();

    world.pass(Duration::from_millis(500));

    assert_eq!(gate(&world).era, Era(before.era.0 + 1), "nobody is shown that key");
    assert!(!world.conference.is_member(&device("dave", 1)));
    // Who has lost everything enters by itself, and the others follow.
    world.devices.get_mut(&device("bob", 1)).unwrap().member = None;
    let seat = world.seat(&device("bob", 1));
    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    world.arrive("bob", 1);
    world.pass(Duration::from_secs(5));
    for who in ["alice", "bob", "carol"] {
        assert!(world.conference.is_member(&device(who, 1)), "{who}");
    }
    assert_eq!(given_up(&world), 1);
    world.assert_agreement();
}

/// Who says of a good key that it is a false one is alone with it, and enters anew.
#[test]
fn i22_a_good_external_key_that_one_member_calls_false_is_vouched_for_by_another() {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    world.silence("bob", 1);
    world.silence("carol", 1);
    let before = gate(&world);
    good(&mut world, "alice", "dave");
    let honest = world.member("bob", 1).report();
    let Finding::Confirmed { fingerprint, .. } = honest.finding else { panic!("{honest:?}") };
    let finding = Finding::Confirmed { fingerprint, entrance: [9; 32] };

    let seat = world.seat(&device("carol", 1));
    let report = EpochReport { finding, ..honest };
    world.run(&Command::Report { seat, report }).unwrap();
    assert_eq!(gate(&world).epoch, before.epoch, "not vouched for");
    let seat = world.seat(&device("bob", 1));
    world.run(&Command::Report { seat, report: honest }).unwrap();

    assert_eq!((gate(&world).era, gate(&world).epoch), (before.era, before.epoch.next()));
    assert_eq!(given_up(&world), 0);
}

#[test]
fn i22_while_a_bad_epoch_is_on_trial_nothing_of_it_passes_and_its_author_gains_no_time() {
    let mut world = World::room(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    for who in ["bob", "carol", "alice"] {
        world.silence(who, 1);
    }
    let before = gate(&world);

    bad(&mut world, "dave");
    world.pass(Duration::from_millis(1500));
    assert_eq!((gate(&world).epoch, gate(&world).shut), (before.epoch, false));
    let seat = world.seat(&device("bob", 1));
    let report = world.member("bob", 1).report_unusable();
    world.run(&Command::Report { seat, report }).unwrap();
    // The others are asked once somebody complains, and are still silent.
    world.pass(Duration::from_millis(499));
    assert_eq!(gate(&world).era, before.era);
    world.pass(Duration::from_millis(1));
    assert!(gate(&world).shut, "the group is given up");
}

#[test]
fn i22_an_author_whom_nobody_could_follow_changes_nothing_unasked_and_is_asked_last() {
    let mut world = World::room(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    bad(&mut world, "dave");
    world.pass(Duration::from_millis(500));
    world.devices.get_mut(&device("dave", 1)).unwrap().member = None;
    world.arrive("dave", 1);
    world.pass(Duration::from_secs(2));
    assert!(world.conference.is_member(&device("dave", 1)), "as a newcomer");

    let bundle = invited(&mut world, "dave", "erin");
    assert_eq!(world.offer(&device("dave", 1), &bundle), Err(Refusal::Distrusted));
    world.seen.clear();
    world.arrive("frank", 1);
    world.pass(Duration::from_secs(2));
    assert_eq!(
        world.asked(&device("dave", 1)).iter().filter(|why| **why == Reason::Add).count(),
        0
    );
    assert!(world.conference.is_member(&device("frank", 1)));
}

#[test]
fn i22_who_cannot_follow_and_is_not_relied_on_comes_back_as_a_newcomer() {
    let mut world = World::room(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    let dave = device("dave", 1);
    bad(&mut world, "dave");
    world.pass(Duration::from_secs(1));
    world.arrive("dave", 1);
    world.pass(Duration::from_secs(1));
    let seat = world.seat(&dave);
    world.seen.clear();

    world.devices.get_mut(&dave).unwrap().garbled = true;
    good(&mut world, "alice", "erin");
    world.devices.get_mut(&dave).unwrap().garbled = false;
    world.pass(Duration::from_secs(1));

    assert!(!world.asked(&dave).contains(&Reason::Enter));
    assert!(world.seen.contains(&Effect::Unseat(seat, Why::Unusable)));
    assert!(!world.conference.is_member(&dave));
    world.arrive("dave", 1);
    world.pass(Duration::from_secs(1));
    assert!(world.conference.is_member(&dave));
    world.assert_agreement();
}

/// One fault each, by a version that all of them run, say; dave goes on.
#[test]
fn i22_where_everybody_was_at_fault_whoever_was_more_often_is_asked_last() {
    let mut world = World::room(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    for (by, who) in [("bob", "erin"), ("carol", "frank"), ("alice", "grace"), ("dave", "heidi")] {
        bad_for(&mut world, by, who);
        world.pass(Duration::from_secs(4));
        world.arrive(by, 1);
        world.pass(Duration::from_secs(4));
    }
    world.devices.get_mut(&device("dave", 1)).unwrap().spoils = true;
    let before = given_up(&world);

    for _change in 0..6 {
        let seat = world.seat(&device("bob", 1));
        world.run(&Command::Leave(seat)).unwrap();
        world.pass(Duration::from_secs(4));
        world.run(&Command::Invite { by: aor("alice"), who: aor("bob") }).unwrap();
        for back in ["bob", "dave"] {
            if !world.conference.roster().is_bound(&device(back, 1)) {
                world.arrive(back, 1);
            }
        }
        world.pass(Duration::from_secs(4));
        world.assert_agreement();
    }

    assert_eq!(given_up(&world) - before, 1, "his turn came once");
}

#[test]
fn i22_the_only_other_members_complaint_decides() {
    let mut world = World::room(&[("bob", 1)]);
    let before = gate(&world);

    bad(&mut world, "alice");
    world.pass(Duration::from_millis(200));

    assert_eq!(gate(&world).era, Era(before.era.0 + 1));
    assert!(world.conference.is_member(&device("bob", 1)));
    assert!(world.conference.roster().is_moderator(&aor("alice")), "a device is out, not a person");
}

#[test]
fn i22_one_that_cannot_follow_what_others_can_enters_anew_and_the_epoch_stands() {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    let before = gate(&world);
    let carol = device("carol", 1);
    world.devices.get_mut(&carol).unwrap().garbled = true;

    good(&mut world, "alice", "dave");
    world.devices.get_mut(&carol).unwrap().garbled = false;
    world.pass(Duration::from_millis(200));

    assert_eq!(gate(&world).era, before.era);
    assert_eq!(world.asked(&carol), [Reason::Confirm, Reason::Enter]);
    assert!(world.conference.is_member(&device("dave", 1)));
    world.assert_agreement();
}

#[test]
fn a_member_that_complains_without_a_reason_stops_nobody() {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    world.silence("carol", 1);
    let before = gate(&world);
    good(&mut world, "alice", "dave");
    let seat = world.seat(&device("carol", 1));
    let epoch = before.epoch.next();
    let report = EpochReport { era: before.era, epoch, finding: Finding::Unusable };
    let complaint = Command::Report { seat, report };

    world.run(&complaint).unwrap();
    assert_eq!(world.run(&complaint), Err(Refusal::NothingNew));
    world.arrive("erin", 1);
    world.pass(Duration::from_secs(20));

    assert_eq!(gate(&world).era, before.era);
    assert!(world.conference.is_member(&device("erin", 1)));
}

#[test]
fn a_report_of_a_past_era_of_a_later_commit_or_of_a_stranger_says_nothing() {
    let mut world = World::room(&[("bob", 1)]);
    world.silence("bob", 1);
    good(&mut world, "alice", "carol");
    let now = gate(&world);
    let confirmed = Finding::Confirmed { fingerprint: [0; 32], entrance: [0; 32] };
    let said = |era, epoch, finding| EpochReport { era, epoch, finding };
    let next = now.epoch.next();
    let stranger = world.arrive("erin", 1);
    let (alice, bob) = (world.seat(&device("alice", 1)), world.seat(&device("bob", 1)));

    for (seat, report) in [
        (bob, said(Era(now.era.0 - 1), next, confirmed)),
        (bob, said(now.era, next.next(), Finding::Unusable)),
        (bob, said(now.era, now.epoch, confirmed)),
        (alice, said(now.era, next, confirmed)),
        (stranger, said(now.era, next, confirmed)),
    ] {
        assert_eq!(world.run(&Command::Report { seat, report }), Err(Refusal::NothingNew));
    }
    assert_eq!(gate(&world).epoch, now.epoch);
}

#[test]
fn a_member_whose_epoch_has_another_key_than_the_others_enters_anew() {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    good(&mut world, "alice", "dave");
    let now = gate(&world);
    let finding = Finding::Confirmed { fingerprint: [7; 32], entrance: [7; 32] };
    let seat = world.seat(&device("carol", 1));
    let report = EpochReport { era: now.era, epoch: now.epoch, finding };

    world.run(&Command::Report { seat, report }).unwrap();
    world.seen.clear();
    world.settle();

    assert_eq!(world.asked(&device("carol", 1)), [Reason::Enter]);
}

#[test]
fn a_commit_of_somebody_else_vouches_for_the_epoch_it_is_made_in() {
    let mut world = World::room(&[("bob", 1), ("carol", 1)]);
    for who in ["bob", "carol"] {
        world.silence(who, 1);
    }
    let before = gate(&world);
    good(&mut world, "alice", "dave");
    world.silence("alice", 1);

    good(&mut world, "bob", "erin");

    assert_eq!(gate(&world).epoch, before.epoch.next(), "bob is in it; his own waits");
}

#[test]
fn a_kicked_person_reads_nothing_of_an_epoch_on_trial_or_of_the_one_before() {
    let mut world = World::room(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    for who in ["alice", "carol"] {
        world.silence(who, 1);
    }
    world.run(&Command::Kick { by: aor("alice"), who: aor("dave") }).unwrap();
    world.settle();

    assert!(!world.conference.is_member(&device("dave", 1)));
    let on_trial = gate(&world);
    assert!(on_trial.shut, "{on_trial:?}");
    world.pass(Duration::from_secs(2));
    let open = gate(&world);
    assert!(!open.shut && !open.grace && open.epoch == on_trial.epoch.next(), "{open:?}");
}

#[test]
fn who_was_away_when_the_group_was_given_up_is_in_the_new_one_too() {
    let mut world = World::room(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    let seat = world.seat(&device("carol", 1));
    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();

    bad(&mut world, "dave");
    world.pass(Duration::from_secs(1));

    assert!(world.conference.is_member(&device("carol", 1)), "added while away");
    world.arrive("carol", 1);
    world.settle();
    world.assert_agreement();
}
