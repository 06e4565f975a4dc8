//! Joining, going away, leaving and being put out, as far as it needs no keys.
use std::time::Duration;

use ids::SeatId;

use super::world::{World, aor, device};
use crate::conference::*;

#[test]
fn only_what_was_made_can_be_joined_and_only_once_made() {
    let mut world = World::new(Level::Open);
    let nowhere = Conference::new(Arc::clone(&world.terms));

    let again = Command::Create {
        creator: aor("bob"),
        level: Level::Open,
        relay: Some("x".into()),
        standing: None,
    };
    assert_eq!(world.run(&again), Err(Refusal::Exists));
    let tick = nowhere.decide(world.now, &Command::Bound(SeatId(1)));
    assert_eq!(tick.unwrap_err(), Refusal::NoSuchConference);
}

#[test]
fn a_second_seat_of_one_device_replaces_the_first() {
    let mut world = World::new(Level::Open);
    let first = world.arrive("bob", 1);
    let second = world.arrive("bob", 1);

    assert!(world.seen.contains(&Effect::Unseat(first, Why::Away)));
    assert!(!world.seen.iter().any(|effect| matches!(effect, Effect::Bye(..))));
    assert_eq!(world.run(&Command::Bound(first)), Err(Refusal::NoSeat));
    assert_eq!(world.conference.roster().seats().collect::<Vec<_>>(), [second]);
}

#[test]
fn a_bye_in_an_open_room_is_a_leave_and_the_last_one_ends_it() {
    let mut world = World::new(Level::Open);
    let seat = world.arrive("alice", 1);

    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();
    world.settle();

    assert!(!world.conference.is_open());
    assert_eq!(world.seen.last(), Some(&Effect::Close(Why::Ended)));
}

#[test]
fn a_conference_nobody_joins_is_not_kept() {
    let mut world = World::new(Level::Sealed);

    world.pass(Duration::from_secs(59));
    assert!(world.conference.is_open());
    world.pass(Duration::from_secs(2));
    assert!(!world.conference.is_open());
}

#[test]
fn a_conference_made_again_has_a_higher_term() {
    let mut world = World::new(Level::Open);
    let former = world.conference.room().unwrap().term;
    world.pass(Duration::from_secs(61));

    let again = Command::Create {
        creator: aor("bob"),
        level: Level::Open,
        relay: Some("x".into()),
        standing: None,
    };
    world.run(&again).unwrap();

    assert!(world.conference.room().unwrap().term > former);
}

#[test]
fn only_a_moderator_invites_and_puts_out() {
    let mut world = World::new(Level::Open);
    world.arrive("alice", 1);
    world.arrive("bob", 1);

    let invite = |by, who| Command::Invite { by: aor(by), who: aor(who) };
    let kick = |by, who| Command::Kick { by: aor(by), who: aor(who) };
    assert_eq!(world.run(&invite("bob", "carol")), Err(Refusal::NotModerator));
    assert_eq!(world.run(&kick("bob", "alice")), Err(Refusal::NotModerator));
    assert_eq!(world.run(&kick("alice", "eve")), Err(Refusal::NotOnRoster(aor("eve"))));

    world.run(&invite("alice", "carol")).unwrap();
    let call = Effect::DialOut { who: aor("carol"), by: aor("alice"), by_shown_as: None };
    assert_eq!(world.seen.last(), Some(&call));
}

#[test]
fn who_was_put_out_stays_out_until_invited_again() {
    let mut world = World::new(Level::Open);
    world.arrive("alice", 1);
    let seats = [world.arrive("dave", 1), world.arrive("dave", 2)];

    world.run(&Command::Kick { by: aor("alice"), who: aor("dave") }).unwrap();

    for seat in seats {
        assert!(world.seen.contains(&Effect::Unseat(seat, Why::Kicked)));
        assert!(world.seen.contains(&Effect::Bye(seat, Why::Kicked)));
    }
    assert_eq!(world.sit("dave", 1), Err(Refusal::Barred));
    world.run(&Command::Invite { by: aor("alice"), who: aor("dave") }).unwrap();
    assert!(world.sit("dave", 1).is_ok());
}

#[test]
fn everybody_may_put_themselves_out_and_come_back() {
    let mut world = World::new(Level::Open);
    world.arrive("alice", 1);
    world.arrive("bob", 1);

    world.run(&Command::Kick { by: aor("bob"), who: aor("bob") }).unwrap();

    assert!(!world.conference.roster().has(&aor("bob")));
    assert!(world.sit("bob", 1).is_ok());
}

#[test]
fn a_lost_seat_hangs_up_and_an_ended_dialog_does_not() {
    let mut world = World::new(Level::Open);
    world.arrive("alice", 1);
    let (bob, carol) = (world.arrive("bob", 1), world.arrive("carol", 1));

    world.run(&Command::Gone { seat: bob, why: Why::Disconnected }).unwrap();
    world.run(&Command::Gone { seat: carol, why: Why::Away }).unwrap();

    assert!(world.seen.contains(&Effect::Bye(bob, Why::Disconnected)));
    assert!(
        !world.seen.iter().any(|effect| matches!(effect, Effect::Bye(seat, _) if *seat == carol))
    );
}

#[test]
fn a_full_conference_takes_no_new_device_but_one_that_comes_back() {
    let bounds = Bounds { participants_max: 2, ..Bounds::default() };
    let mut world = World::with(Level::Open, bounds);
    world.arrive("alice", 1);
    world.arrive("bob", 1);

    assert_eq!(world.sit("carol", 1), Err(Refusal::Full));
    assert!(world.sit("bob", 1).is_ok());
}

#[test]
fn the_answers_path_reaches_the_relay() {
    let mut world = World::new(Level::Open);
    let seat = world.sit("alice", 1).unwrap();

    let peer_path = PeerPath(String::from("msrps://alice.example.net:1/s;tcp"));
    let end = End { by_session_id: true, ..End::default() };
    world.run(&Command::Answered { seat, peer_path: peer_path.clone(), end }).unwrap();

    assert_eq!(world.seen.last(), Some(&Effect::Seat(seat)));
    let seat = world.conference.seat(seat).unwrap();
    assert_eq!(seat.peer_path, Some(peer_path.0));
    assert_eq!(seat.matching, control::Match::SessionId);
}

#[test]
fn moving_the_room_ends_every_seat_and_raises_the_term() {
    let mut world = World::new(Level::Open);
    let seat = world.arrive("alice", 1);
    let before = world.conference.room().unwrap().term;

    world.run(&Command::Move { relay: "relay-1".into() }).unwrap();

    assert!(world.seen.contains(&Effect::Bye(seat, Why::RelayLost)));
    assert_eq!(world.conference.relay(), Some("relay-1"));
    assert!(world.conference.room().unwrap().term > before);
}

#[test]
fn an_event_of_a_later_version_is_not_misread() {
    let world = World::new(Level::Open);
    let kept = String::from_utf8(world.journal[0].to_vec()).unwrap();
    assert!(kept.starts_with("{\"v\":1,"), "{kept}");

    let later = kept.replace("\"v\":1", "\"v\":2");

    assert!(matches!(Event::from_bytes(later.as_bytes()), Err(BadEvent::Later(2))));
}

#[test]
fn a_path_is_never_printed() {
    let mut world = World::new(Level::Open);
    let seat = world.sit("alice", 1).unwrap();
    let peer_path = PeerPath(String::from("msrps://h:1/secret;tcp"));
    let command = Command::Answered { seat, peer_path, end: End::default() };
    world.run(&command).unwrap();

    assert!(!format!("{command:?} {:?}", world.conference).contains("secret"));
    assert!(world.conference.roster().has_device(&device("alice", 1)));
}
