//! Charges on the way to the focus: none is refused or lost, and who waits for one hears when it is safe.
use control::{Charge, Ending, Limits, Notice, Overfull, RoomNotice};
use ids::SeatId;

use crate::up;
use crate::world::{bound, relay_link, room};

fn charged(octets: u64) -> Notice {
    let charge = Charge {
        seat: SeatId(1),
        receivers: 1,
        message_id: "m1".into(),
        octets,
        content_type: "text/plain".into(),
        wrapped_type: String::new(),
        ending: Ending::Complete,
        started_ms: 1,
        ended_ms: 2,
    };
    Notice::room(room(0), RoomNotice::Charged(charge))
}

#[test]
fn a_charge_whose_place_was_reserved_is_never_refused_and_without_a_place_none_begins() {
    let limits = Limits { waiting_max: 2, ..Limits::default() };
    let mut relay = relay_link("run", limits);

    relay.reserve().unwrap();
    relay.reserve().unwrap();
    assert_eq!(relay.reserve(), Err(Overfull::Notices));
    (1..=4).for_each(|seat| relay.notice(bound(seat)).unwrap());
    assert_eq!(relay.notice(bound(5)), Err(Overfull::Notices));

    relay.notice(charged(1)).unwrap();
    relay.release();
    assert_eq!((relay.waiting(), relay.reserve()), (5, Err(Overfull::Notices)));
}

#[test]
fn a_place_that_was_given_back_can_be_taken_again() {
    let limits = Limits { waiting_max: 1, ..Limits::default() };
    let mut relay = relay_link("run", limits);

    relay.reserve().unwrap();
    relay.release();

    assert_eq!(relay.reserve(), Ok(()));
}

#[test]
fn charges_outlive_a_relay_that_starts_its_books_anew_and_so_does_who_waits_for_them() {
    let mut world = up(Limits::default());
    world.cut(true);
    world.relay.notice(bound(1)).unwrap();
    for octets in [7, 8] {
        world.relay.reserve().unwrap();
        world.relay.notice(charged(octets)).unwrap();
    }
    let whose = || (room(0), "m1".to_owned());

    world.relay.renew("another".into());

    assert_eq!(world.relay.waiting(), 2);
    assert!(world.relay.charge_waits(&room(0), "m1"));
    assert_eq!(world.relay.take_charged(), []);
    world.connect();
    world.settle();
    assert_eq!(world.heard, [charged(7), charged(8)]);
    assert_eq!(world.relay.take_charged(), [whose()]);
    assert!(!world.relay.charge_waits(&room(0), "m1"));
}

#[test]
fn a_charge_that_was_safe_before_the_books_began_anew_is_still_told_to_who_waits_for_it() {
    let mut world = up(Limits::default());
    for octets in [7, 8] {
        world.relay.reserve().unwrap();
        world.relay.notice(charged(octets)).unwrap();
    }
    world.settle();

    world.relay.renew("another".into());

    assert_eq!(world.relay.take_charged(), [(room(0), "m1".to_owned())]);
}
