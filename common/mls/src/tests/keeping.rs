//! Devices that keep their state: they stop at any point, come back with what was on disk, and go on.
use std::collections::BTreeMap;

use ids::{ConferenceId, Era};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::support::{DAY, Realm, Room, claim, name, room7};
use crate::member::{Keyring, Member, MemberError, Processed};
use crate::storage::{OPENED_MAX, Octets, Records, SEALED_MAX, WINDOW};

/// What a disk has of a device's records.
#[derive(Clone, Default)]
pub(super) struct Disk(BTreeMap<Vec<u8>, Octets>);

impl Disk {
    /// Takes one transaction; says how many octets it had.
    pub(super) fn take(&mut self, records: &Records) -> usize {
        let mut octets = 0;
        for change in records.drain() {
            match change.value {
                Some(value) => {
                    octets += value.len();
                    self.0.insert(change.key, value);
                }
                None => drop(self.0.remove(&change.key)),
            }
        }
        octets
    }

    pub(super) fn restart(&self, device: &Keyring) -> Keyring {
        device.restarted(Records::kept(self.0.clone()))
    }

    /// Generations that are burnt when the device comes back.
    fn reserved(&self) -> u32 {
        let mut all = self.0.iter();
        let found = all.find(|(key, _)| key.first() == Some(&b'g') && key.last() == Some(&b'R'));
        found.map_or(0, |(_key, value)| u32::from_be_bytes(value.as_slice().try_into().unwrap()))
    }

    fn has(&self, needle: &[u8]) -> bool {
        self.0.iter().any(|(key, value)| {
            let found = |octets: &[u8]| octets.windows(needle.len()).any(|part| part == needle);
            found(key) || found(value)
        })
    }
}

pub(super) fn keeping(realm: &mut Realm, person: &str) -> Keyring {
    realm.device(person, 1).restarted(Records::kept([]))
}

fn back(device: &Keyring) -> Member {
    Member::load(device, &room7()).unwrap().unwrap()
}

/// alice and bob, of whom bob keeps his state; his place in the room and his disk.
fn room_with_bob(seed: u64) -> (Room, Keyring, Disk) {
    let mut room = Room::new(seed);
    let bob = keeping(&mut room.realm, "bob");
    room.add(0, std::slice::from_ref(&bob));
    let mut disk = Disk::default();
    disk.take(bob.records());
    (room, bob, disk)
}

/// The device stops, whatever it was doing, and comes back with what the disk has.
fn restart(room: &mut Room, at: usize, device: &Keyring, disk: &Disk) -> Keyring {
    let again = disk.restart(device);
    room.members[at] = back(&again);
    room.agree();
    again
}

fn opens(room: &mut Room, by: usize, sealed: &[u8]) -> bool {
    let now = room.realm.now;
    matches!(room.members[by].process(sealed, now), Ok(Processed::Message(_)))
}

#[test]
fn i19_a_member_that_comes_back_writes_and_reads_on_without_entering_anew() {
    let (mut room, bob, mut disk) = room_with_bob(70);
    assert_eq!(room.say(0, "m1", b"before").len(), 1);
    assert_eq!(room.say(1, "m2", b"before").len(), 1);
    disk.take(bob.records());

    restart(&mut room, 1, &bob, &disk);

    assert_eq!(room.say(0, "m3", b"after").len(), 1);
    assert_eq!(room.say(1, "m4", b"after").len(), 1);
    let carol = room.realm.device("carol", 1);
    room.add(1, &[carol]);
    assert_eq!(room.say(1, "m5", b"in the next epoch").len(), 2);
}

#[test]
fn i19_no_generation_is_used_twice_wherever_the_device_stops() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut room, mut bob, mut disk) = room_with_bob(100 + seed);
        for life in 0..6 {
            for n in 0..rng.random_range(0..2 * WINDOW) {
                let id = format!("{life}-{n}");
                let sealed = room.members[1].seal(&id, b"a generation of its own").unwrap();
                if rng.random_ratio(1, 200) {
                    break; // It stops before the message has left.
                }
                disk.take(bob.records());
                assert!(opens(&mut room, 0, &sealed), "SEED={seed}: {id} is of a used generation");
            }
            bob = restart(&mut room, 1, &bob, &disk);
        }
    }
}

#[test]
fn i19_no_generation_is_used_twice_by_a_device_that_has_no_disk_and_takes_another_seat() {
    let mut room = Room::new(72);
    let bob = room.realm.device("bob", 1);
    room.add(0, std::slice::from_ref(&bob));

    for life in 0..3 {
        for n in 0..3 {
            let id = format!("{life}-{n}");
            let sealed = room.members[1].seal(&id, b"a generation of its own").unwrap();
            assert!(opens(&mut room, 0, &sealed), "{id} is of a used generation");
        }
        room.members[1] = back(&bob);
        room.agree();
    }
}

#[test]
fn i19_a_device_that_stops_around_a_commit_has_the_old_epoch_or_the_new_one_whole() {
    for written in [false, true] {
        let (mut room, bob, mut disk) = room_with_bob(71);
        let carol = room.realm.device("carol", 1);
        let bundle = room.members[0].add(&[claim(&carol)], room.realm.now).unwrap();
        let accepted = room.accept(&name("alice", 1), &bundle);
        let commit = accepted.commit.unwrap();
        let before = room.members[1].epoch();
        room.broadcast(&commit);
        if written {
            disk.take(bob.records());
        }

        room.members[1] = back(&disk.restart(&bob));

        assert_eq!(room.members[1].epoch() > before, written);
        if !written {
            let now = room.realm.now;
            assert!(matches!(room.members[1].process(&commit, now), Ok(Processed::Commit(_))));
        }
        room.agree();
        assert_eq!(room.say(1, "m", b"on").len(), 1);
        assert_eq!(room.say(0, "n", b"on").len(), 1);
    }
}

#[test]
fn an_own_commit_on_its_way_survives_and_so_does_a_removal_that_waits() {
    let (mut room, bob, mut disk) = room_with_bob(72);
    let dave = room.realm.device("dave", 1);
    room.add(0, &[dave]);
    room.kick("dave");
    disk.take(bob.records());
    let bob = restart(&mut room, 1, &bob, &disk);
    assert_eq!(room.members[1].pending().collect::<Vec<_>>(), [&name("dave", 1)]);
    assert_eq!(room.members[1].seal("m", b"x"), Err(MemberError::Paused));

    let bundle = room.members[1].commit_pending(room.realm.now).unwrap();
    disk.take(bob.records());
    let bob = restart(&mut room, 1, &bob, &disk);
    room.submit(&name("bob", 1), &bundle, &[]);

    assert_eq!(room.say(1, "m", b"without dave").len(), 1);
    disk.take(bob.records());
    restart(&mut room, 1, &bob, &disk);
    assert_eq!(room.say(1, "n", b"without dave").len(), 1);
}

#[test]
fn i14_a_device_that_was_away_and_follows_the_log_in_order_is_where_those_are_who_were_there() {
    const EPOCHS: usize = 200;
    let (mut room, bob, disk) = room_with_bob(76);
    let away_from = room.stream.len();
    let mut lived = Vec::new();
    for nth in 0..EPOCHS {
        let sealed = room.members[0].seal(&format!("m{nth}"), b"to all").unwrap();
        assert!(opens(&mut room, 1, &sealed));
        room.stream.push(sealed);
        let renewed = room.members[0].refresh().unwrap();
        room.submit(&name("alice", 1), &renewed, &[]);
        lived.push((room.members[1].epoch(), room.members[1].authenticator()));
    }

    let mut late = back(&disk.restart(&bob));
    let (mut opened, mut followed) = (0, Vec::new());
    for bytes in &room.stream[away_from..] {
        match late.process(bytes, room.realm.now).unwrap() {
            Processed::Message(_) => opened += 1,
            Processed::Commit(_) => followed.push((late.epoch(), late.authenticator())),
            other => panic!("{other:?}"),
        }
    }

    assert_eq!(opened, EPOCHS);
    assert_eq!(followed, lived);
}

#[test]
fn a_device_that_stops_while_it_enters_is_in_when_its_commit_comes_back() {
    let mut room = Room::with(73, &[("bob", 1)]);
    let erin = keeping(&mut room.realm, "erin");
    let state = room.ledger.group_state();
    let now = room.realm.now;
    let (_entering, bundle) = Member::join_externally(&erin, &room7(), &state, None, now).unwrap();
    let mut disk = Disk::default();
    disk.take(erin.records());

    let erin = disk.restart(&erin);
    room.members.push(back(&erin));
    assert!(room.members[2].is_entering());
    room.submit(&name("erin", 1), &bundle, &[]);

    assert_eq!(room.say(2, "m", b"here I am").len(), 2);
}

/// alice and bob, of whom both keep their state, and their disks.
fn room_of_two_disks(seed: u64) -> (Room, [(Keyring, Disk); 2]) {
    let mut realm = Realm::new(seed);
    let alice = keeping(&mut realm, "alice");
    let mut room = Room::founded(realm, &alice);
    let bob = keeping(&mut room.realm, "bob");
    room.add(0, std::slice::from_ref(&bob));
    let on_disk = |device: Keyring| {
        let mut disk = Disk::default();
        disk.take(device.records());
        (device, disk)
    };
    room.members[0].keep();
    (room, [on_disk(alice), on_disk(bob)])
}

/// In each life both stop without a word: alice has said a little, bob has read it, and perhaps written before that.
fn lives(seed: u64, lives: u32, bob_writes_first: impl Fn(u32) -> bool) {
    let (mut room, [(mut alice, mut hers), (mut bob, mut his)]) = room_of_two_disks(seed);
    for life in 0..lives {
        if bob_writes_first(life) {
            room.say(1, &format!("bob-{life}"), b"hello");
        }
        for n in 0..2 {
            let sealed = room.members[0].seal(&format!("{life}-{n}"), b"a word").unwrap();
            hers.take(alice.records());
            let opened = room.members[1].process(&sealed, room.realm.now);
            assert!(matches!(opened, Ok(Processed::Message(_))), "life {life}: {opened:?}");
            his.take(bob.records());
        }
        alice = restart(&mut room, 0, &alice, &hers);
        bob = restart(&mut room, 1, &bob, &his);
    }
}

#[test]
fn i19_who_only_reads_and_dies_often_keeps_every_author_in_reach() {
    lives(83, 80, |_life| false);
}

#[test]
fn i19_a_record_written_before_an_author_was_heard_of_does_not_lose_that_author() {
    lives(84, 80, |_life| true);
    lives(85, 80, |life| life % 3 == 0);
}

#[test]
fn i19_what_a_life_burns_is_no_more_than_what_it_sealed() {
    let (mut room, mut bob, mut disk) = room_with_bob(86);
    let mut last = 0;
    for life in 0..50 {
        room.say(1, &format!("{life}"), b"one word");
        disk.take(bob.records());
        bob = restart(&mut room, 1, &bob, &disk);
        let reserved = disk.reserved();
        assert!(reserved - last <= 1, "life {life}: {reserved} after {last}");
        last = reserved;
    }
}

#[test]
fn what_cannot_be_opened_says_whether_its_key_is_used_or_out_of_reach() {
    let (mut room, _bob, _disk) = room_with_bob(87);
    let (epoch, now) = (room.members[0].epoch(), room.realm.now);
    let sealed: Vec<_> =
        (0..2102).map(|n| room.members[0].seal(&n.to_string(), b"a word").unwrap()).collect();
    let mut bob = |at: usize| room.members[1].process(&sealed[at], now);

    assert_eq!(bob(2101), Err(MemberError::OutOfReach { epoch }));
    assert!(matches!(bob(1500), Ok(Processed::Message(_))));
    assert_eq!(bob(1500), Err(MemberError::Used { epoch }));
    assert_eq!(bob(1000), Err(MemberError::Used { epoch }));
    assert!(matches!(bob(2101), Ok(Processed::Message(_))));
}

#[test]
fn a_message_takes_no_secrets_to_the_disk_and_nothing_at_all_within_the_window() {
    let (mut room, bob, mut disk) = room_with_bob(74);
    let octets = |room: &mut Room, disk: &mut Disk, from: usize, n: u32| {
        assert_eq!(room.say(from, &n.to_string(), b"hello").len(), 1);
        disk.take(bob.records())
    };

    let sealed: Vec<_> = (0..SEALED_MAX).map(|n| octets(&mut room, &mut disk, 1, n)).collect();
    let opened: Vec<_> = (0..OPENED_MAX).map(|n| octets(&mut room, &mut disk, 0, n)).collect();

    let [first, .., last] = &*sealed else { panic!("nothing sealed") };
    assert_eq!(*first, 4, "the number of reserved generations");
    assert!(*last > 200, "the secrets");
    let between = sealed.iter().filter(|octets| **octets == 4).count();
    // 1, 2, 4 ... 64 at first, which are 127, and 64 from then on.
    let doubling = WINDOW.ilog2() + 1;
    assert_eq!(between, (doubling + (SEALED_MAX - 2 * WINDOW) / WINDOW) as usize);
    assert_eq!(sealed.iter().filter(|octets| **octets == 0).count() + between + 1, sealed.len());
    let counted = opened.iter().filter(|octets| **octets == 4).count();
    assert_eq!((opened.iter().filter(|octets| **octets > 200).count(), counted), (1, 16));
}

#[test]
fn a_device_that_settles_burns_nothing() {
    let (mut room, bob, mut disk) = room_with_bob(75);
    room.say(1, "m", b"hello");
    room.members[1].settle().unwrap();
    disk.take(bob.records());
    let bob = restart(&mut room, 1, &bob, &disk);

    let sealed = room.members[1].seal("n", b"hello").unwrap();

    assert_eq!(disk.take(bob.records()), 4, "nothing was reserved, so a window is now");
    assert!(opens(&mut room, 0, &sealed));
}

#[test]
fn what_a_device_opened_before_a_crash_it_may_open_again_and_knows_by_its_id() {
    let (mut room, bob, disk) = room_with_bob(76);
    let now = room.realm.now;
    let sealed = room.members[0].seal("m", b"once").unwrap();
    let Processed::Message(first) = room.members[1].process(&sealed, now).unwrap() else {
        panic!("not opened")
    };

    restart(&mut room, 1, &bob, &disk);

    assert_eq!(room.members[1].process(&sealed, now), Ok(Processed::Message(first)));
}

#[test]
fn who_was_removed_while_it_read_keeps_nothing_of_the_group() {
    let (mut room, bob, mut disk) = room_with_bob(77);
    let id = format!("{}#1", room7());
    assert!(disk.has(id.as_bytes()));
    room.kick("bob");
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    room.submit(&name("alice", 1), &bundle, &[]);

    disk.take(bob.records());

    assert!(!disk.has(id.as_bytes()));
    assert!(Member::load(&disk.restart(&bob), &room7()).unwrap().is_none());
}

#[test]
fn a_group_of_an_older_era_is_forgotten_and_one_that_was_never_accepted_does_not_count() {
    let mut realm = Realm::new(78);
    let alice = keeping(&mut realm, "alice");
    let mut disk = Disk::default();
    let (first, _bundle) = Member::create(&alice, &room7(), Era(1), realm.now).unwrap();
    disk.take(alice.records());
    assert!(Member::load(&disk.restart(&alice), &room7()).unwrap().is_none());
    first.keep();

    let (second, _bundle) = Member::create(&alice, &room7(), Era(2), realm.now).unwrap();
    disk.take(alice.records());
    assert_eq!(back(&disk.restart(&alice)).era(), Era(1));
    second.keep();

    disk.take(alice.records());
    assert_eq!(back(&disk.restart(&alice)).era(), Era(2));
    assert!(!disk.has(format!("{}#1", room7()).as_bytes()));
}

/// A Welcome to a last-resort KeyPackage can be used again; whoever has used it knows that also later.
#[test]
fn i15_a_used_welcome_is_known_after_a_restart() {
    let mut room = Room::new(79);
    let bob = keeping(&mut room.realm, "bob");
    let now = room.realm.now;
    let mut claim = claim(&bob);
    let upload = bob.key_packages(0, true, now, 20 * DAY).unwrap();
    claim.key_package = upload.last_resort.unwrap();
    let bundle = room.members[0].add(&[claim], now).unwrap();
    let accepted = room.accept(&name("alice", 1), &bundle);
    let welcome = &accepted.welcomes[0].1;
    Member::join(&bob, &room7(), welcome, now).unwrap();
    let mut disk = Disk::default();
    disk.take(bob.records());

    let again = Member::join(&disk.restart(&bob), &room7(), welcome, now);

    assert_eq!(again.unwrap_err(), MemberError::NotForUs);
}

#[test]
fn key_packages_outlive_a_restart() {
    let mut room = Room::new(80);
    let bob = keeping(&mut room.realm, "bob");
    let claim = claim(&bob);
    let mut disk = Disk::default();
    disk.take(bob.records());
    let now = room.realm.now;
    let bundle = room.members[0].add(&[claim], now).unwrap();

    let bob = disk.restart(&bob);
    room.submit(&name("alice", 1), &bundle, &[bob]);

    assert_eq!(room.say(1, "m", b"welcomed").len(), 1);
}

/// I17: what is taken from the device later opens no Welcome that was sealed for them.
#[test]
fn i17_private_halves_go_when_their_package_has_ended() {
    let mut realm = Realm::new(82);
    let (bob, now) = (keeping(&mut realm, "bob"), realm.now);
    let mut disk = Disk::default();
    let lives = |days| bob.key_packages(1, false, now, DAY * days).unwrap();
    let _publics = (lives(10), lives(20));
    let halves = |disk: &Disk| disk.0.keys().filter(|key| key.starts_with(b"kp")).count();
    disk.take(bob.records());
    assert_eq!((halves(&disk), bob.records().key_packages(now)), (2, 2));

    let later = now + DAY * 15;
    assert_eq!(bob.records().key_packages(later), 1, "one is dead, though it is kept still");
    assert_eq!(bob.records().forget_halves(later, DAY * 7), 1);

    disk.take(bob.records());
    assert_eq!(halves(&disk), 1);
    assert_eq!(bob.records().forget_halves(later, DAY * 7), 0);
    assert_eq!(bob.records().forget_halves(now + DAY * 20, DAY * 7), 1);
}

#[test]
fn a_state_that_does_not_fit_together_is_forgotten() {
    let (_room, bob, mut disk) = room_with_bob(81);
    let key =
        disk.0.iter().find(|(key, _)| key.first() == Some(&b'g') && key.last() == Some(&b'y'));
    let tree = key.unwrap().0.clone();
    disk.0.remove(&tree);
    let device = disk.restart(&bob);

    assert!(Member::load(&device, &room7()).unwrap().is_none());

    disk.take(device.records());
    assert!(!disk.has(format!("{}#1", room7()).as_bytes()));
    let other: ConferenceId = "elsewhere".parse().unwrap();
    assert!(Member::load(&device, &other).unwrap().is_none());
}
