//! Nicknames (RFC 7701, 7), in virtual time.
use std::sync::Arc;
use std::time::Duration;

use ids::SeatId;

use super::world::{World, aor};
use crate::conference::*;

fn ask(world: &mut World, seat: SeatId, nickname: &str) -> Result<(), Refusal> {
    world.run(&Command::Rename { seat, nickname: nickname.to_owned() })
}

fn known_as(world: &World, seat: SeatId) -> Option<&str> {
    world.conference.nickname(seat).map(Nickname::as_str)
}

/// A room with these people, each on a first device.
fn room(people: &[&str]) -> (World, Vec<SeatId>) {
    let mut world = World::new(Level::Open);
    let seats = people.iter().map(|person| world.arrive(person, 1)).collect();
    (world, seats)
}

#[test]
fn m7701_19_reserved_taken_and_malformed_names_are_refused_each_in_its_way() {
    let (mut world, seats) = room(&["alice", "bob"]);

    assert_eq!(ask(&mut world, seats[0], "Blue Jay"), Ok(()));
    assert_eq!(ask(&mut world, seats[1], "blue  jay"), Err(Refusal::NicknameTaken));
    assert_eq!(ask(&mut world, seats[1], "ＡＤＭＩＮ"), Err(Refusal::NicknameTaken));
    assert_eq!(ask(&mut world, seats[1], "a\u{7}b"), Err(Refusal::Nickname(BadNickname)));
    assert_eq!(ask(&mut world, SeatId(99), "Crow"), Err(Refusal::NoSeat));

    assert_eq!(known_as(&world, seats[0]), Some("Blue Jay"));
    assert_eq!(known_as(&world, seats[1]), None);
}

#[test]
fn m7701_19_a_policy_without_nicknames_comes_before_everything_else() {
    let (mut world, seats) = room(&["alice"]);
    let mut terms = (*world.terms).clone();
    terms.nicknames.allowed = false;
    let journal = world.journal.clone();
    let strict = Conference::recover(Arc::new(terms), &journal, None).unwrap().conference;

    for wish in ["Blue Jay", "a\u{7}b", "admin", ""] {
        let command = Command::Rename { seat: seats[0], nickname: wish.to_owned() };
        let refused = strict.decide(world.now, &command).unwrap_err();
        assert_eq!(refused, Refusal::NoNicknames, "{wish}");
    }
    assert_eq!(ask(&mut world, seats[0], "Blue Jay"), Ok(()));
}

#[test]
fn m7701_21_another_device_of_the_same_person_has_the_name_only_by_asking() {
    let (mut world, seats) = room(&["alice"]);
    ask(&mut world, seats[0], "Blue Jay").unwrap();

    let tablet = world.arrive("alice", 2);
    assert_eq!(known_as(&world, tablet), None);
    ask(&mut world, tablet, "blue jay").unwrap();

    assert_eq!(known_as(&world, tablet), Some("blue jay"));
    world.run(&Command::Gone { seat: seats[0], why: Why::Away }).unwrap();
    let bob = world.arrive("bob", 1);
    world.pass(Duration::from_secs(3600));
    assert_eq!(ask(&mut world, bob, "Blue Jay"), Err(Refusal::NicknameTaken), "one still has it");
}

#[test]
fn m7701_22_a_wish_that_is_refused_leaves_the_old_name_and_one_that_is_granted_frees_it() {
    let (mut world, seats) = room(&["alice", "bob"]);
    ask(&mut world, seats[0], "Blue Jay").unwrap();
    ask(&mut world, seats[1], "Crow").unwrap();

    assert_eq!(ask(&mut world, seats[1], "Blue Jay"), Err(Refusal::NicknameTaken));
    assert_eq!(known_as(&world, seats[1]), Some("Crow"));
    ask(&mut world, seats[0], "Magpie").unwrap();

    assert_eq!(ask(&mut world, seats[1], "Blue Jay"), Ok(()));
    assert_eq!(ask(&mut world, seats[0], "Crow"), Ok(()));
    assert_eq!(known_as(&world, seats[0]), Some("Crow"));
}

#[test]
fn m7701_23_an_empty_wish_removes_the_name_for_anybody_to_take() {
    let (mut world, seats) = room(&["alice", "bob"]);
    ask(&mut world, seats[0], "Blue Jay").unwrap();

    ask(&mut world, seats[0], "").unwrap();

    assert_eq!(known_as(&world, seats[0]), None);
    assert_eq!(ask(&mut world, seats[0], ""), Err(Refusal::NothingNew));
    assert_eq!(ask(&mut world, seats[1], "Blue Jay"), Ok(()));
}

#[test]
fn m7701_27_after_a_leave_the_name_is_kept_for_its_person_for_a_while() {
    let (mut world, seats) = room(&["alice", "bob", "carol"]);
    ask(&mut world, seats[1], "Blue Jay").unwrap();
    world.run(&Command::Gone { seat: seats[1], why: Why::Disconnected }).unwrap();

    world.pass(Duration::from_secs(599));
    assert_eq!(ask(&mut world, seats[2], "Blue Jay"), Err(Refusal::NicknameTaken));
    let back = world.arrive("bob", 1);
    assert_eq!(known_as(&world, back), None, "a name is asked for");
    ask(&mut world, back, "Blue Jay").unwrap();
    world.run(&Command::Kick { by: aor("alice"), who: aor("bob") }).unwrap();
    world.pass(Duration::from_secs(599));
    assert_eq!(ask(&mut world, seats[2], "Blue Jay"), Err(Refusal::NicknameTaken));

    world.pass(Duration::from_secs(1));
    assert_eq!(ask(&mut world, seats[2], "Blue Jay"), Ok(()));
}

#[test]
fn m7701_27_nobody_keeps_more_than_a_few_names_by_coming_and_going() {
    let (mut world, seats) = room(&["alice"]);
    for n in 0..6 {
        let seat = world.arrive("bob", 1);
        ask(&mut world, seat, &format!("bird {n}")).unwrap();
    }
    world.run(&Command::Kick { by: aor("bob"), who: aor("bob") }).unwrap();

    let free = (0..6).filter(|n| ask(&mut world, seats[0], &format!("bird {n}")).is_ok());

    assert_eq!(free.collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn nicknames_are_rebuilt_from_the_journal() {
    let (mut world, seats) = room(&["alice", "bob"]);
    ask(&mut world, seats[0], "Blue Jay").unwrap();
    world.run(&Command::Gone { seat: seats[1], why: Why::Away }).unwrap();

    let terms = Arc::clone(&world.terms);
    let again = Conference::recover(terms, &world.journal, None).unwrap().conference;

    assert_eq!(again.nickname(seats[0]), world.conference.nickname(seats[0]));
}

#[test]
fn a_journal_from_before_nicknames_is_read() {
    let joined = r#"{"v":1,"at":5,"event":"joined","who":{"aor":"sip:a@b.c","device":"urn:uuid:00000000-0000-4000-8000-000000000001"},"seat":1,"identities":[],"peer_path":null,"private_messages":true}"#;
    let What::Joined { end, .. } = Event::from_bytes(joined.as_bytes()).unwrap().what else {
        panic!()
    };

    assert_eq!(end, End { private_messages: true, ..End::default() });
    let answered = r#"{"v":1,"at":5,"event":"answered","seat":1,"peer_path":"msrps://a:1/s;tcp"}"#;
    let What::Answered { end, .. } = Event::from_bytes(answered.as_bytes()).unwrap().what else {
        panic!()
    };
    assert_eq!(end, None);
}
