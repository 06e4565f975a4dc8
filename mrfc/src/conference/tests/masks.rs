//! Those who hide in a sealed conference: members and relay see a certified pseudonym of this conference, and the focus
//! alone knows whose it is, for what a kick, a ban or a revocation has to reach.
use std::sync::Arc;
use std::time::Duration;

use ids::{Aor, DeviceId, SeatId};

use super::world::{World, aor, device};
use crate::conference::*;
use crate::orders::{Keys, orders};

fn mask(number: u32) -> Aor {
    Aor::pseudonym(&"room7".parse().unwrap(), number)
}

fn fresh(world: &World) -> DeviceId {
    let number = world.journal.len();
    format!("urn:uuid:00000000-0000-4000-8000-aaaa{number:08x}").parse().unwrap()
}

/// Takes a seat without a name. Says what the device is known by.
fn sit(world: &mut World, person: &str, number: u8) -> Result<(SeatId, Participant), Refusal> {
    sit_as(world, (person, number), Shown::Hidden)
}

fn sit_as(
    world: &mut World,
    (person, number): (&str, u8),
    shown: Shown,
) -> Result<(SeatId, Participant), Refusal> {
    let (who, fresh) = (device(person, number), fresh(world));
    let seat = SeatId(500 + u64::try_from(world.journal.len()).unwrap());
    world.run(&Command::Join(Joining {
        who: who.clone(),
        seat,
        identities: vec![format!("sip:{person}@example.net")],
        peer_path: None,
        end: End { private_messages: true, ..End::default() },
        came: Came::DialedIn,
        shown,
        mask: Some(fresh.clone()),
    }))?;
    for former in world.conference.former_masks(&who, Some(&fresh)) {
        world.run(&Command::Unmask(former))?;
    }
    let (mask, _) = world.conference.roster().at(seat).unwrap();
    let mask = mask.clone();
    world.own_as(mask.clone());
    Ok((seat, mask))
}

/// Comes in without a name, up to the leaf in the group.
fn come(world: &mut World, person: &str, number: u8) -> Participant {
    let (seat, mask) = sit(world, person, number).unwrap();
    world.run(&Command::Bound(seat)).unwrap();
    world.pass(Duration::from_millis(200));
    assert!(world.conference.is_member(&mask), "{mask} is not in");
    mask
}

/// Everything that the relay is told, and through it the members.
fn relayed(world: &World) -> Vec<u8> {
    let mut keys = Keys::of_event(world.conference.place());
    let seats = world.conference.roster().seats().map(Effect::Seat);
    let effects = world.seen.iter().cloned().chain(seats);
    let mut octets = Vec::new();
    for effect in effects {
        for order in orders(&world.conference, &mut keys, effect) {
            octets.extend_from_slice(format!("{order:?}").as_bytes());
            if let control::RoomOrder::Broadcast { cpim, .. }
            | control::RoomOrder::Deliver { cpim, .. } = order
            {
                octets.extend_from_slice(&cpim);
            }
        }
    }
    octets
}

fn contains(octets: &[u8], what: &[u8]) -> bool {
    octets.windows(what.len()).any(|window| window == what)
}

#[test]
fn i21_members_and_relay_receive_nothing_that_names_who_hides_in_a_sealed_conference() {
    let mut world = World::room(&[("bob", 1)]);

    let carol = come(&mut world, "carol", 9);
    // Others come and go: commits, Welcomes with the tree, requests with KeyPackages.
    world.arrive("dave", 1);
    world.pass(Duration::from_millis(200));
    world.run(&Command::Kick { by: aor("dave"), who: aor("dave") }).unwrap();
    world.pass(Duration::from_secs(5));

    assert_eq!(carol.aor, mask(1));
    let told = relayed(&world);
    assert!(contains(&told, carol.aor.as_str().as_bytes()), "she is seen as a pseudonym");
    let own = device("carol", 9).device;
    for secret in [&b"carol"[..], own.as_str().as_bytes()] {
        assert!(!contains(&told, secret), "{}", String::from_utf8_lossy(secret));
    }
    let group = world.conference.group_state(&aor("alice")).unwrap().unwrap().to_bytes();
    assert!(contains(&group, carol.aor.as_str().as_bytes()), "the tree has her certificate");
    assert!(!contains(&group, b"carol") && !contains(&group, own.as_str().as_bytes()));
    world.assert_agreement();
}

#[test]
fn a_kick_of_a_pseudonym_removes_every_leaf_of_that_person() {
    let mut world = World::room(&[("bob", 1)]);
    let phone = come(&mut world, "carol", 1);
    let tablet = come(&mut world, "carol", 2);
    assert_eq!(phone.aor, tablet.aor);
    assert_ne!(phone.device, tablet.device);

    world.run(&Command::Kick { by: aor("alice"), who: mask(1) }).unwrap();

    assert_eq!(world.conference.proposals().len(), 2);
    assert!(world.conference.gate().unwrap().shut);
    world.pass(Duration::from_secs(3));
    assert!(!world.conference.is_member(&phone) && !world.conference.is_member(&tablet));
    assert_eq!(world.conference.members(), 2);
    for shown in [Shown::Named, Shown::Hidden] {
        let again = sit_as(&mut world, ("carol", 1), shown);
        assert_eq!(again.err(), Some(Refusal::Barred));
    }
    let scene = world.conference.scene().unwrap();
    let (who, number) = &scene.barred[0];
    assert_eq!(scene.shown(who, *number), mask(1).as_str());
    let unban = Ruling::Unban(mask(1));
    world.run(&Command::Rule { by: Some(aor("alice")), ruling: unban }).unwrap();
    assert_eq!(come(&mut world, "carol", 1).aor, mask(2), "nobody can tell that it is her again");
}

#[test]
fn a_device_that_is_taken_back_leaves_under_its_pseudonym() {
    let mut world = World::room(&[]);
    let phone = come(&mut world, "carol", 1);
    let tablet = come(&mut world, "carol", 2);

    let places = world.conference.places_of(&device("carol", 1));
    assert_eq!(places, std::slice::from_ref(&phone));
    world.run(&Command::Revoke(phone.clone())).unwrap();
    world.pass(Duration::from_secs(3));

    assert!(!world.conference.is_member(&phone) && world.conference.is_member(&tablet));
    assert_eq!(world.conference.places_of(&device("carol", 1)), []);
}

#[test]
fn whoever_comes_anew_has_another_device_and_the_former_leaf_goes() {
    let mut world = World::room(&[]);
    let before = come(&mut world, "carol", 1);

    let after = come(&mut world, "carol", 1);

    assert_eq!(before.aor, after.aor);
    assert_ne!(before.device, after.device);
    world.pass(Duration::from_secs(3));
    assert!(!world.conference.is_member(&before) && world.conference.is_member(&after));
    assert!(world.conference.is_mask_of(&after, &aor("carol")));
    assert!(!world.conference.is_mask_of(&before, &aor("carol")));
    assert!(!world.conference.is_mask_of(&after, &aor("bob")));
}

#[test]
fn naming_somebody_who_hides_behind_a_pseudonym_is_naming_nobody() {
    type Say = fn(Aor) -> Ruling;
    let cases: [Say; 4] = [Ruling::Mute, Ruling::Unmute, Ruling::Appoint, Ruling::Dismiss];
    let mut world = World::room(&[("bob", 1)]);
    come(&mut world, "carol", 1);

    for say in cases {
        let named = Command::Rule { by: Some(aor("alice")), ruling: say(aor("carol")) };
        let absent = Command::Rule { by: Some(aor("alice")), ruling: say(aor("erin")) };
        let (named, absent) = (world.run(&named).err(), world.run(&absent).err());
        let (named, absent) = (format!("{named:?}"), format!("{absent:?}"));
        assert_eq!(named, absent.replace("erin", "carol"));
    }
    let kick = Command::Kick { by: aor("alice"), who: aor("carol") };
    assert_eq!(world.run(&kick), Err(Refusal::NotOnRoster(aor("carol"))));
    assert!(world.conference.roster().has(&mask(1)));
}

#[test]
fn a_moderator_behind_a_pseudonym_decides_and_is_muted_under_every_later_one() {
    let mut world = World::room(&[("bob", 1)]);
    come(&mut world, "carol", 1);
    let by_alice = |ruling| Command::Rule { by: Some(aor("alice")), ruling };
    world.run(&by_alice(Ruling::Appoint(mask(1)))).unwrap();

    world.run(&Command::Kick { by: aor("carol"), who: aor("bob") }).unwrap();
    world.run(&by_alice(Ruling::Mute(mask(1)))).unwrap();
    world.run(&Command::Kick { by: aor("carol"), who: aor("carol") }).unwrap();
    world.pass(Duration::from_secs(3));
    let (seat, again) = sit(&mut world, "carol", 1).unwrap();

    assert_eq!(again.aor, mask(2));
    assert!(world.conference.seat(seat).unwrap().muted);
    assert!(!world.conference.roster().is_moderator(&again.aor), "she had left for good");
}

#[test]
fn the_operator_sees_who_is_behind_a_pseudonym_and_names_them() {
    let mut world = World::room(&[]);
    come(&mut world, "carol", 1);

    let overview = world.conference.overview().unwrap();
    let carol = overview.people.iter().find(|person| person.aor == aor("carol")).unwrap();

    assert_eq!(carol.shown_as.as_deref(), Some(mask(1).as_str()));
    assert_eq!(carol.devices[0].id, device("carol", 1).device);
    assert!(carol.devices[0].member);
    world.run(&Command::Expel(aor("carol"))).unwrap();
    assert!(!world.conference.roster().has(&mask(1)));
}

#[test]
fn who_is_here_by_name_cannot_hide_and_who_hides_hides_on_every_device() {
    let mut world = World::room(&[("bob", 1)]);
    assert_eq!(sit(&mut world, "bob", 2).err(), Some(Refusal::KnownByName));
    let carol = come(&mut world, "carol", 1);

    let (_, second) = sit_as(&mut world, ("carol", 2), Shown::Named).unwrap();

    assert_eq!(second.aor, carol.aor);
    let scene = world.conference.scene().unwrap();
    assert!(scene.people.iter().all(|seen| seen.aor != aor("carol")));
    assert!(scene.admits(&aor("carol"), false).is_ok(), "she may watch");
}

#[test]
fn a_locked_conference_lets_the_second_device_of_somebody_who_hides_in() {
    let mut world = World::room(&[]);
    come(&mut world, "carol", 1);
    world.run(&Command::Rule { by: Some(aor("alice")), ruling: Ruling::Lock(true) }).unwrap();

    assert!(sit(&mut world, "carol", 2).is_ok());
    assert_eq!(sit(&mut world, "dave", 1).err(), Some(Refusal::Locked));
}

#[test]
fn who_hides_is_the_same_over_a_restart_of_the_focus() {
    let mut world = World::room(&[]);
    let carol = come(&mut world, "carol", 1);
    let (terms, group) = (Arc::clone(&world.terms), world.group.clone());

    let recovered = Conference::recover(terms, &world.journal, group.as_ref()).unwrap().conference;

    assert_eq!(recovered.scene(), world.conference.scene());
    assert!(recovered.is_mask_of(&carol, &aor("carol")));
    assert_eq!(recovered.places_of(&device("carol", 1)), [carol]);
}

#[test]
fn a_person_is_not_recognised_in_another_conference() {
    let mut here = World::room(&[]);
    let one = come(&mut here, "carol", 1);
    let elsewhere: ConferenceId = "room8".parse().unwrap();

    assert_eq!(one.aor.number_in(&elsewhere), None);
    assert_ne!(one.aor, Aor::pseudonym(&elsewhere, 1));
    assert_ne!(one.device, device("carol", 1).device);
}
