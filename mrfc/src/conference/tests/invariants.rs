//! What must hold of a group whatever happens, with a relay that knows nothing but the gate and the seats.
use std::time::Duration;

use control::gate::{self, Verdict};
use mls::member::{MemberError, Processed};

use super::world::{World, aor, device};
use crate::conference::*;

/// A room, and what its relay let pass.
struct Room {
    world: World,
    /// What passed, with the seats it went to.
    relayed: Vec<(Bytes, Vec<Participant>)>,
    said: u32,
}

impl Room {
    fn of(people: &[(&str, u8)]) -> Self {
        Self { world: World::room(people), relayed: Vec::new(), said: 0 }
    }

    fn seal(&mut self, person: &str) -> Result<Bytes, MemberError> {
        self.said += 1;
        let id = format!("m{}", self.said);
        self.world.member(person, 1).seal(&id, id.as_bytes())
    }

    /// What a relay does with sealed octets from this device: its seat first, then the gate.
    fn carry(&mut self, from: &str, sealed: &Bytes) -> Result<(), Verdict> {
        let (from, conference) = (device(from, 1), &self.world.conference);
        if !conference.roster().is_bound(&from) {
            return Err(Verdict::Foreign);
        }
        let prefix = gate::read(sealed).unwrap();
        match gate::decide(conference.id(), conference.gate().unwrap(), &prefix) {
            Verdict::Pass => {
                let others = conference.roster().bound().filter(|who| **who != from);
                self.relayed.push((sealed.clone(), others.cloned().collect()));
                Ok(())
            }
            other => Err(other),
        }
    }

    fn kick(&mut self, who: &str) {
        self.world.run(&Command::Kick { by: aor("alice"), who: aor(who) }).unwrap();
    }

    /// Whether anything that passed since opens with the keys this device had, told every commit that was announced.
    fn reads(&mut self, who: &Participant) -> usize {
        let now = self.world.now;
        let announced = self.world.seen.iter().filter_map(|effect| match effect {
            Effect::Announce(Announced::Commit(commit)) => Some(commit.clone()),
            _ => None,
        });
        let commits: Vec<Bytes> = announced.collect();
        let member = self.world.devices.get_mut(who).unwrap().member.as_mut().unwrap();
        for commit in commits {
            member.process(&commit, now).ok();
        }
        let opens = |sealed: &Bytes, member: &mut mls::member::Member| {
            matches!(member.process(sealed, now), Ok(Processed::Message(_)))
        };
        self.relayed.iter().filter(|(sealed, _)| opens(sealed, member)).count()
    }
}

fn talks(room: &mut Room, person: &str) -> Result<(), Verdict> {
    let sealed = room.seal(person).unwrap();
    room.carry(person, &sealed)
}

#[test]
fn i3_of_all_who_commit_at_once_one_wins_and_everybody_agrees_with_it() {
    let people = ["bob", "carol", "dave", "erin"];
    for winner in 0..5 {
        let mut world = World::room(&people.map(|who| (who, 1)));
        let mut bundles = Vec::new();
        for (nth, by) in ["alice", "bob", "carol", "dave", "erin"].into_iter().enumerate() {
            let who = format!("guest{nth}");
            world.run(&Command::Invite { by: aor("alice"), who: aor(&who) }).unwrap();
            bundles.push((device(by, 1), world.commit(by, 1, (&who, 1))));
        }
        bundles.rotate_left(winner);
        let epoch = world.conference.gate().unwrap().epoch;

        let won: Vec<bool> =
            bundles.iter().map(|(by, bundle)| world.offer(by, bundle).is_ok()).collect();

        assert_eq!(won, [true, false, false, false, false], "the first one, and nobody else");
        assert_eq!(world.conference.gate().unwrap().epoch, epoch.next());
        world.assert_agreement();
    }
}

#[test]
fn i8_once_a_kick_is_accepted_nothing_passes_to_or_from_the_kicked() {
    let mut room = Room::of(&[("bob", 1), ("dave", 1)]);
    let of_dave = room.seal("dave").unwrap();
    let before = room.seal("bob").unwrap();
    room.carry("bob", &before).unwrap();

    room.kick("dave");

    assert!(room.carry("dave", &of_dave).is_err());
    room.world.settle();
    talks(&mut room, "bob").unwrap();
    let (_, last) = room.relayed.last().unwrap();
    assert!(!last.contains(&device("dave", 1)) && last.contains(&device("alice", 1)));
    assert_eq!(room.reads(&device("dave", 1)), 1, "what was said before the kick");
}

#[test]
fn i9_nothing_of_the_old_epoch_passes_while_a_remove_is_pending_nor_after() {
    let mut room = Room::of(&[("bob", 1), ("carol", 1), ("dave", 1)]);
    let sealed_before = room.seal("bob").unwrap();
    for who in ["alice", "bob", "carol"] {
        room.world.silence(who, 1);
    }

    room.kick("dave");
    // alice, who is asked first, dies; bob is asked after two seconds, then carol.
    for _ in 0..5 {
        assert!(matches!(room.carry("bob", &sealed_before), Err(Verdict::Stale { .. })));
        assert_eq!(room.seal("carol"), Err(MemberError::Paused));
        room.world.pass(Duration::from_secs(1));
    }
    room.world.devices.get_mut(&device("carol", 1)).unwrap().silent = false;
    room.world.pass(Duration::from_secs(10));

    assert!(!room.world.conference.is_member(&device("dave", 1)));
    assert!(matches!(room.carry("bob", &sealed_before), Err(Verdict::Stale { .. })));
    talks(&mut room, "carol").unwrap();
    assert_eq!(room.reads(&device("dave", 1)), 0);
}

#[test]
fn i8_who_was_kicked_while_nobody_was_online_reads_nothing_of_what_is_said_afterwards() {
    let mut room = Room::of(&[("bob", 1), ("dave", 1)]);
    for who in ["alice", "bob"] {
        let seat = room.world.seat(&device(who, 1));
        room.world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    }
    room.kick("dave");
    room.world.pass(Duration::from_secs(600));

    // bob comes back without his keys: he enters, the Remove stays pending, and he has to commit it first.
    room.world.devices.get_mut(&device("bob", 1)).unwrap().member = None;
    room.world.arrive("bob", 1);
    room.world.settle();
    talks(&mut room, "bob").unwrap();

    assert_eq!(room.reads(&device("dave", 1)), 0);
}

#[test]
fn i12_who_lost_a_device_while_nobody_was_online_says_nothing_that_it_reads() {
    let mut room = Room::of(&[("bob", 1), ("bob", 2), ("bob", 3)]);
    let [phone, lost, at_home] = [1, 2, 3].map(|number| device("bob", number));
    for who in [&device("alice", 1), &phone, &lost] {
        let seat = room.world.seat(who);
        room.world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    }
    // The last one that is seated is the one that was stolen with the other.
    for stolen in [&lost, &at_home] {
        room.world.run(&Command::Revoke(stolen.clone())).unwrap();
    }
    room.world.pass(Duration::from_secs(600));
    assert!(room.world.conference.gate().unwrap().shut, "nobody was there to remove them");

    room.world.arrive("bob", 1);
    room.world.settle();
    talks(&mut room, "bob").unwrap();

    for stolen in [&lost, &at_home] {
        assert!(!room.world.conference.is_member(stolen));
        assert_eq!(room.reads(stolen), 0, "{stolen:?}");
    }
    assert!(room.world.conference.is_member(&phone));
}

#[test]
fn i8_a_kick_of_one_person_takes_every_device_of_theirs() {
    let mut room = Room::of(&[("bob", 1), ("dave", 1), ("dave", 2), ("dave", 3)]);

    room.kick("dave");
    room.world.settle();
    talks(&mut room, "bob").unwrap();

    for number in 1..=3 {
        assert!(!room.world.conference.is_member(&device("dave", number)));
        assert_eq!(room.reads(&device("dave", number)), 0, "device {number}");
    }
}

#[test]
fn i9_a_commit_of_the_kicked_that_arrives_after_the_kick_makes_no_epoch() {
    let mut room = Room::of(&[("bob", 1), ("dave", 1)]);
    room.world.run(&Command::Invite { by: aor("alice"), who: aor("carol") }).unwrap();
    let seat = room.world.seat(&device("dave", 1));
    let bundle = room.world.commit("dave", 1, ("carol", 1));
    let epoch = room.world.conference.gate().unwrap().epoch;

    room.kick("dave");

    let late = Command::Bundle { seat, bundle: bundle.to_bytes() };
    assert_eq!(room.world.run(&late), Err(Refusal::NoSeat));
    assert_eq!(room.world.conference.gate().unwrap().epoch, epoch);
}

#[test]
fn i10_neither_a_member_nor_a_newcomer_makes_an_epoch_in_which_a_pending_remove_is_forgotten() {
    let mut room = Room::of(&[("bob", 1), ("dave", 1)]);
    room.world.run(&Command::Invite { by: aor("alice"), who: aor("carol") }).unwrap();
    let skips = room.world.commit("bob", 1, ("carol", 1));
    room.world.silence("alice", 1);
    room.world.silence("bob", 1);
    room.kick("dave");

    assert!(room.world.offer(&device("bob", 1), &skips).is_err());
    let bob = room.world.devices.get_mut(&device("bob", 1)).unwrap();
    (bob.member, bob.silent) = (None, false);
    room.world.arrive("bob", 1);
    let (by, entry) = room.world.uplink.pop_front().unwrap();
    room.world.offer(&by, &entry).unwrap();

    // RFC 9420, 12.4.3.2: an entry cannot remove others, so it is issued again, and the gate stays shut.
    assert!(room.world.conference.is_member(&device("dave", 1)));
    assert_eq!(room.world.conference.proposals().len(), 1);
    assert!(room.world.conference.gate().unwrap().shut);
    room.world.pass(Duration::from_secs(10));
    assert!(!room.world.conference.is_member(&device("dave", 1)));
    assert_eq!(room.reads(&device("dave", 1)), 0);
}

#[test]
fn i18_a_welcome_is_delivered_if_its_commit_won_and_not_otherwise() {
    let mut world = World::room(&[("bob", 1)]);
    for who in ["carol", "dave"] {
        world.run(&Command::Invite { by: aor("alice"), who: aor(who) }).unwrap();
        world.sit(who, 1).unwrap();
    }
    let (of_alice, of_bob) =
        (world.commit("alice", 1, ("carol", 1)), world.commit("bob", 1, ("dave", 1)));
    for who in ["carol", "dave"] {
        let seat = world.seat(&device(who, 1));
        world.run(&Command::Bound(seat)).unwrap();
    }

    world.offer(&device("bob", 1), &of_bob).unwrap();
    world.offer(&device("alice", 1), &of_alice).unwrap_err();

    let welcomed = |world: &World, who: &str| {
        let to = world.seat(&device(who, 1));
        let welcome = |effect: &&Effect| matches!(effect, Effect::Tell(seat, Told::Welcome(_)) if *seat == to);
        world.seen.iter().filter(welcome).count()
    };
    assert_eq!((welcomed(&world, "carol"), welcomed(&world, "dave")), (0, 1));
    // Nobody is left outside for it.
    world.pass(Duration::from_secs(1));
    assert_eq!(welcomed(&world, "carol"), 1);
    world.assert_agreement();
}

#[test]
fn a_message_under_way_when_the_epoch_changes_passes_after_an_add_and_is_sealed_again_after_a_remove()
 {
    let mut room = Room::of(&[("bob", 1), ("dave", 1)]);
    let under_way = room.seal("bob").unwrap();
    room.world.arrive("carol", 1);
    room.world.pass(Duration::from_millis(500));
    assert!(room.world.conference.is_member(&device("carol", 1)));

    room.carry("bob", &under_way).unwrap();
    let now = room.world.now;
    let opened = room.world.member("alice", 1).process(&under_way, now).unwrap();
    assert!(matches!(opened, Processed::Message(_)));
    // It was sealed before carol came: to her it is nothing, and no fault.
    let opened = room.world.member("carol", 1).process(&under_way, now).unwrap();
    assert!(matches!(opened, Processed::Stale { .. }));

    let under_way = room.seal("bob").unwrap();
    room.kick("dave");
    room.world.settle();
    assert!(matches!(room.carry("bob", &under_way), Err(Verdict::Stale { .. })));
    talks(&mut room, "bob").unwrap();
}

#[test]
fn a_message_of_an_epoch_on_trial_waits_and_is_not_refused() {
    let mut room = Room::of(&[("bob", 1)]);
    room.world.silence("bob", 1);
    room.world.run(&Command::Invite { by: aor("alice"), who: aor("carol") }).unwrap();
    let bundle = room.world.commit("alice", 1, ("carol", 1));
    room.world.offer(&device("alice", 1), &bundle).unwrap();

    let ahead = room.seal("alice").unwrap();
    assert!(matches!(room.carry("alice", &ahead), Err(Verdict::Wait { .. })));
    room.world.pass(Duration::from_secs(2));
    room.carry("alice", &ahead).unwrap();
}
