//! Rooms without sockets.
use control::{Level, Seat};
use ids::{Epoch, Era, Term};

use super::*;

const NOW_PLUS: Duration = Duration::from_secs(60);

fn order(gate: Option<Gate>) -> control::Room {
    control::Room {
        uri: "sip:room7@example.net".into(),
        term: Term(3),
        level: Level::Sealed,
        gate,
        message_octets_max: 1_000_000,
        charge: false,
        stored: None,
    }
}

fn seat(n: u64) -> Seat {
    let aor = format!("sip:user{n}@example.net").parse().unwrap();
    let device = "urn:uuid:00000000-0000-4000-8000-000000000000".parse().unwrap();
    Seat::new(SeatId(n), aor, device)
}

fn gate(epoch: u64) -> Gate {
    Gate { era: Era(0), epoch: Epoch(epoch), shut: false, grace: true }
}

fn room(now: Instant) -> Room {
    Room::new("room7".parse().unwrap(), &order(None), now)
}

#[test]
fn a_seat_is_taken_once_and_gone_after_that() {
    let now = service::clock::now();
    let mut room = room(now);
    assert!(room.seat(&seat(1), now + NOW_PLUS));
    assert!(!room.seat(&seat(1), now + NOW_PLUS));

    room.bind(SeatId(1), 2).unwrap();

    assert_eq!(room.bind(SeatId(1), 2).unwrap_err(), Refusal::BoundElsewhere);
    assert_eq!(room.unseat(SeatId(1)), Some(Shards::one(2)));
    assert_eq!(room.bind(SeatId(1), 2).unwrap_err(), Refusal::NoSession);
    assert_eq!(room.sender_stands(SeatId(1)), Err(Refusal::NoSession));
}

#[test]
fn a_chunk_goes_once_to_each_shard_that_has_somebody() {
    let now = service::clock::now();
    let mut room = room(now);
    for (n, shard) in [(1, 0), (2, 5), (3, 5), (4, 63)] {
        room.seat(&seat(n), now + NOW_PLUS);
        room.bind(SeatId(n), shard).unwrap();
    }
    room.seat(&seat(9), now + NOW_PLUS);

    assert_eq!(room.shards().iter().collect::<Vec<_>>(), [0, 5, 63]);
    let private = Audience::Seats(vec![SeatId(2), SeatId(3), SeatId(9)]);
    assert_eq!(room.reach(&private).iter().collect::<Vec<_>>(), [5]);
}

#[test]
fn a_shard_gets_no_chunk_once_the_last_of_its_seats_has_gone() {
    let now = service::clock::now();
    let mut room = room(now);
    for (n, shard) in [(1, 0), (2, 5), (3, 5)] {
        room.seat(&seat(n), now + NOW_PLUS);
        room.bind(SeatId(n), shard).unwrap();
    }

    room.unseat(SeatId(2));
    assert_eq!(room.shards().iter().collect::<Vec<_>>(), [0, 5]);
    room.unseat(SeatId(3));
    assert_eq!(room.shards().iter().collect::<Vec<_>>(), [0]);
    room.seat(&seat(3), now + NOW_PLUS);
    room.unseat(SeatId(3));
    assert_eq!(room.shards().iter().collect::<Vec<_>>(), [0]);
}

#[test]
fn what_a_device_completed_is_known_when_it_comes_back_on_another_seat() {
    let now = service::clock::now();
    let mut room = room(now);
    room.seat(&seat(1), now + NOW_PLUS);
    let seen = room.bind(SeatId(1), 0).unwrap();
    room.unseat(SeatId(1));
    room.seat(&seat(2), now + NOW_PLUS);

    assert!(Arc::ptr_eq(&seen, &room.bind(SeatId(2), 0).unwrap()));
}

#[test]
fn the_memory_of_devices_that_left_is_bounded_and_the_latest_stay() {
    let now = service::clock::now();
    let mut room = room(now);
    let of = |n: u64| Seat {
        device: format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().unwrap(),
        ..seat(n)
    };
    room.seat(&of(0), now + NOW_PLUS);
    let here = room.bind(SeatId(0), 0).unwrap();
    let count = u64::try_from(DEPARTED_MAX).unwrap() + 10;
    let mut memories = Vec::new();
    for n in 1..=count {
        room.seat(&of(n), now + NOW_PLUS);
        memories.push(room.bind(SeatId(n), 0).unwrap());
        room.unseat(SeatId(n));
    }

    assert_eq!(room.seen.len(), DEPARTED_MAX + 1);
    room.seat(&Seat { seat: SeatId(count + 1), ..of(count) }, now + NOW_PLUS);
    let again = room.bind(SeatId(count + 1), 0).unwrap();
    assert!(Arc::ptr_eq(&again, memories.last().unwrap()), "the last to leave is remembered");
    room.seat(&Seat { seat: SeatId(count + 2), ..of(0) }, now + NOW_PLUS);
    let second = room.bind(SeatId(count + 2), 0).unwrap();
    assert!(Arc::ptr_eq(&second, &here), "who is here is remembered");
}

#[test]
fn who_comes_and_goes_is_remembered_from_its_last_leave() {
    let now = service::clock::now();
    let mut room = room(now);
    let of = |n: u64, device: u64| Seat {
        device: format!("urn:uuid:00000000-0000-4000-8000-{device:012}").parse().unwrap(),
        ..seat(n)
    };
    let count = u64::try_from(DEPARTED_MAX).unwrap();
    let mut visit = |n, device| {
        room.seat(&of(n, device), now + NOW_PLUS);
        let seen = room.bind(SeatId(n), 0).unwrap();
        room.unseat(SeatId(n));
        seen
    };
    visit(1, 1);
    (2..count).for_each(|n| drop(visit(n, n)));
    let again = visit(count, 1);
    (2..count).for_each(|n| drop(visit(count + n, count + n)));

    assert!(Arc::ptr_eq(&visit(3 * count, 1), &again));
}

#[test]
fn seats_that_nobody_took_in_time_are_gone() {
    let now = service::clock::now();
    let mut room = room(now);
    room.seat(&seat(1), now + NOW_PLUS);
    room.seat(&seat(2), now + NOW_PLUS);
    room.bind(SeatId(2), 0).unwrap();

    assert_eq!(room.overdue(now), []);
    assert_eq!(room.overdue(now + NOW_PLUS), [SeatId(1)]);
    assert_eq!(room.seats().collect::<Vec<_>>(), [SeatId(2)]);
}

#[test]
fn a_new_term_counts_from_one_and_an_old_one_changes_nothing() {
    let now = service::clock::now();
    let mut room = room(now);
    room.number();
    room.open(&control::Room { term: Term(2), ..order(None) }, now);
    assert_eq!(room.number(), Number { term: Term(3), n: 2 });

    room.open(&control::Room { term: Term(4), ..order(None) }, now);

    assert_eq!(room.number(), Number { term: Term(4), n: 1 });
}

#[test]
fn the_grace_of_a_gate_ends_after_three_seconds_however_often_the_order_is_repeated() {
    let now = service::clock::now();
    let mut room = room(now);
    assert!(room.move_gate(gate(5), now));
    let later = now + Duration::from_secs(2);

    assert!(!room.move_gate(gate(5), later));

    assert_eq!(room.gate(later).map(|gate| gate.grace), Some(true));
    let end = now + Duration::from_secs(3);
    assert_eq!(room.gate(end).map(|gate| gate.grace), Some(false));
}

#[test]
fn a_gate_never_goes_back_and_may_shut_and_open_in_one_epoch() {
    let now = service::clock::now();
    let mut room = room(now);
    room.move_gate(gate(5), now);

    assert!(!room.move_gate(gate(4), now));
    assert!(room.move_gate(Gate { shut: true, ..gate(5) }, now));
    assert!(room.move_gate(gate(5), now));
    assert_eq!(room.gate(now).map(|gate| (gate.epoch, gate.shut)), Some((Epoch(5), false)));
}
