//! Both ends of a link over a wire that breaks at any frame: what happens once happens once and in order, and the
//! relay ends with exactly the wanted state.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use control::{
    FocusLink, Gate, Heard, Hello, Limits, Misbehaved, Notice, Order, Overfull, RoomNotice,
    RoomOrder, ToFocus, ToRelay,
};
use ids::{ConferenceId, Key, SeatId};
use proptest::prelude::*;

mod charges;
mod skipped;
mod world;
use world::{Rooms, World, bound, broadcast, gate, open, relay_link, room, seat, unseat};

#[derive(Clone, Debug)]
enum Move {
    Open(u8),
    Close(u8),
    Seat(u8, u64),
    Unseat(u8, u64),
    Broadcast(u8, bool),
    Notice,
    RelayTakes,
    FocusTakes,
    CarriedOut(bool),
    Cut(bool),
    Connect,
}

fn a_move() -> impl Strategy<Value = Move> {
    let (name, number) = (0_u8..3, 0_u64..4);
    prop_oneof![
        2 => name.clone().prop_map(Move::Open),
        1 => name.clone().prop_map(Move::Close),
        3 => (name.clone(), number.clone()).prop_map(|(name, seat)| Move::Seat(name, seat)),
        2 => (name.clone(), number).prop_map(|(name, seat)| Move::Unseat(name, seat)),
        6 => (name, any::<bool>()).prop_map(|(name, gated)| Move::Broadcast(name, gated)),
        3 => Just(Move::Notice),
        12 => Just(Move::RelayTakes),
        12 => Just(Move::FocusTakes),
        6 => any::<bool>().prop_map(Move::CarriedOut),
        1 => any::<bool>().prop_map(Move::Cut),
        2 => Just(Move::Connect),
    ]
}

/// What should have come of the orders that were accepted.
#[derive(Default)]
struct Expected {
    rooms: BTreeMap<ConferenceId, (Option<Gate>, BTreeSet<SeatId>)>,
    broadcasts: Vec<(ConferenceId, Key)>,
    closed: BTreeSet<ConferenceId>,
    next_key: u64,
    notices: u64,
}

impl Expected {
    fn order(&mut self, name: u8, what: &Move) -> Option<Order> {
        let id = room(name);
        if let Move::Open(_) = what {
            self.rooms.entry(id).or_default().0 = Some(gate(0));
            return Some(open(name));
        }
        let known = self.rooms.get_mut(&id)?;
        Some(match *what {
            Move::Close(_) => {
                self.rooms.remove(&id);
                self.closed.insert(id.clone());
                Order::room(id, RoomOrder::Close { reason: "over".into() })
            }
            Move::Seat(_, number) => {
                known.1.insert(SeatId(number));
                seat(name, number)
            }
            Move::Unseat(_, number) => {
                known.1.remove(&SeatId(number));
                unseat(name, number)
            }
            Move::Broadcast(_, gated) => {
                self.next_key += 1;
                let gate = gated.then(|| gate(self.next_key));
                known.0 = gate.or(known.0);
                self.broadcasts.push((id, Key(self.next_key)));
                broadcast(name, self.next_key, gate)
            }
            _ => return None,
        })
    }
}

fn play(moves: &[Move]) -> (World, Expected) {
    let (mut world, mut expected) = (World::new(Limits::default()), Expected::default());
    for what in moves {
        match what {
            Move::Open(name)
            | Move::Close(name)
            | Move::Seat(name, _)
            | Move::Unseat(name, _)
            | Move::Broadcast(name, _) => {
                if let Some(order) = expected.order(*name, what) {
                    world.focus.order(order).unwrap();
                }
            }
            Move::Notice => {
                expected.notices += 1;
                world.relay.notice(bound(expected.notices)).unwrap();
            }
            Move::RelayTakes => drop(world.relay_takes_one()),
            Move::FocusTakes => drop(world.focus_takes_one()),
            Move::CarriedOut(newest_first) => world.carried_out(*newest_first),
            Move::Cut(relay_notices) => world.cut(*relay_notices),
            Move::Connect if world.connected => {}
            Move::Connect => world.connect(),
        }
    }
    world.cut(false);
    world.connect();
    world.settle();
    (world, expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_breaks_each_broadcast_happens_once_in_order_and_the_relay_has_the_wanted_state(
        moves in prop::collection::vec(a_move(), 0..120),
    ) {
        let (world, expected) = play(&moves);

        prop_assert_eq!(&world.rooms.rooms, &expected.rooms);
        prop_assert_eq!(world.focus.waiting(), 0);
        for name in 0..3 {
            let of_room = |list: &[(ConferenceId, Key)]| -> Vec<Key> {
                list.iter().filter(|(id, _)| *id == room(name)).map(|(_, key)| *key).collect()
            };
            let (done, wanted) = (of_room(&world.rooms.broadcasts), of_room(&expected.broadcasts));
            prop_assert!(done.is_sorted_by(|a, b| a < b), "room{}: {:?}", name, done);
            // A room that was closed takes what waited for it along.
            if !expected.closed.contains(&room(name)) {
                prop_assert_eq!(done, wanted, "room{}", name);
            }
        }
    }

    #[test]
    fn whatever_breaks_the_focus_hears_each_notice_once_and_in_order(
        moves in prop::collection::vec(a_move(), 0..120),
    ) {
        let (world, expected) = play(&moves);

        let wanted: Vec<Notice> = (1..=expected.notices).map(bound).collect();
        prop_assert_eq!(&world.heard, &wanted);
        prop_assert!(world.relay.waiting() <= 1, "only the last may be unsafe");
    }
}

fn up(limits: Limits) -> World {
    let mut world = World::new(limits);
    world.connect();
    world.settle();
    world
}

#[test]
fn a_gate_shut_before_a_break_is_not_opened_again_by_a_broadcast_that_is_sent_once_more() {
    let mut world = up(Limits::default());
    world.focus.order(open(0)).unwrap();
    world.settle();
    let shut = Gate { shut: true, ..gate(5) };
    world.focus.order(broadcast(0, 1, Some(gate(5)))).unwrap();
    world.focus.order(Order::room(room(0), RoomOrder::Gate(shut))).unwrap();
    world.cut(true);

    world.connect();
    while world.relay_takes_one() | world.focus_takes_one() {
        let seen = world.rooms.rooms.get(&room(0)).unwrap().0.unwrap();
        assert!(seen == gate(0) || seen == shut, "{seen:?}");
    }

    assert_eq!(world.rooms.rooms.get(&room(0)).unwrap().0, Some(shut));
    assert_eq!(world.rooms.broadcasts, [(room(0), Key(1))]);
}

#[test]
fn a_relay_that_restarted_is_told_everything_and_said_to_have_restarted() {
    let mut world = up(Limits::default());
    for order in [open(0), seat(0, 1), broadcast(0, 1, None)] {
        world.focus.order(order).unwrap();
    }
    world.settle();
    world.relay.notice(bound(1)).unwrap();
    world.settle();

    world.cut(true);
    world.relay = relay_link("relay-run-2", Limits::default());
    world.rooms = Rooms::default();
    world.connect();
    world.pump();
    let hello = world.to_focus.pop_front().unwrap();
    let heard = world.focus.receive(hello).unwrap();
    world.relay.notice(bound(2)).unwrap();
    world.settle();

    assert!(matches!(heard, Heard::Up { restarted: true, .. }), "{heard:?}");
    assert_eq!(world.rooms.rooms.get(&room(0)).unwrap().1, [SeatId(1)].into());
    assert_eq!(world.rooms.broadcasts, [], "what was carried out is not repeated");
    assert_eq!(world.heard, [bound(1), bound(2)], "notice numbers start again");
}

#[test]
fn a_focus_that_restarted_ends_what_it_does_not_name_and_hears_unsafe_notices_again() {
    let mut world = up(Limits::default());
    for order in [open(0), seat(0, 1), seat(0, 2), open(1), broadcast(0, 7, None)] {
        world.focus.order(order).unwrap();
    }
    world.settle();
    world.relay.notice(bound(1)).unwrap();
    world.settle();

    world.cut(false);
    world.focus = FocusLink::new("focus-0", "focus-run-2", Limits::default());
    for order in [open(0), seat(0, 2), broadcast(0, 7, None), broadcast(0, 8, None)] {
        world.focus.order(order).unwrap();
    }
    world.connect();
    world.settle();

    let seats = &world.rooms.rooms.get(&room(0)).unwrap().1;
    assert_eq!((world.rooms.rooms.len(), seats), (1, &[SeatId(2)].into()));
    assert_eq!(world.rooms.broadcasts, [(room(0), Key(7)), (room(0), Key(8))]);
    assert_eq!(world.heard, [bound(1), bound(1)]);
    assert_eq!(world.focus.waiting(), 0);
}

#[test]
fn a_focus_that_restarted_hears_a_relay_that_counts_on() {
    let mut world = up(Limits::default());
    world.focus.order(open(0)).unwrap();
    world.settle();
    world.relay.notice(bound(1)).unwrap();
    world.settle();
    world.focus.safe(1);
    world.settle();

    world.cut(false);
    world.focus = FocusLink::new("focus-0", "focus-run-2", Limits::default());
    world.focus.order(open(0)).unwrap();
    world.connect();
    world.settle();
    world.relay.notice(bound(2)).unwrap();
    world.relay.notice(bound(3)).unwrap();
    world.settle();

    assert_eq!(world.heard, [bound(1), bound(2), bound(3)]);
}

#[test]
fn a_ticket_of_the_focus_before_does_not_acknowledge_an_order_of_the_new_one() {
    let mut world = up(Limits::default());
    for order in [open(0), broadcast(0, 1, None), broadcast(0, 2, None)] {
        world.focus.order(order).unwrap();
    }
    while world.relay_takes_one() {}
    let old = std::mem::take(&mut world.tickets);

    world.cut(true);
    world.focus = FocusLink::new("focus-0", "focus-run-2", Limits::default());
    for order in [open(0), broadcast(0, 3, None)] {
        world.focus.order(order).unwrap();
    }
    world.connect();
    while world.relay_takes_one() | world.focus_takes_one() {}
    for ticket in old {
        world.relay.carried_out(ticket);
    }
    while world.focus_takes_one() {}

    assert_eq!(world.focus.waiting(), 1, "nothing of the new run was carried out yet");
}

#[test]
fn orders_that_wait_are_bounded_in_number_and_octets_and_a_refusal_changes_nothing() {
    let limits = Limits { waiting_max: 2, waiting_octets_max: 30, ..Limits::default() };
    let mut focus = FocusLink::new("focus-0", "run", limits);
    focus.order(open(0)).unwrap();
    let large = RoomOrder::Broadcast { key: Key(1), cpim: Bytes::from(vec![0; 31]), gate: None };

    assert_eq!(focus.order(Order::room(room(0), large)), Err(Overfull::Orders));
    focus.order(broadcast(0, 1, None)).unwrap();
    focus.order(broadcast(0, 2, None)).unwrap();
    assert_eq!(focus.order(broadcast(0, 3, Some(gate(9)))), Err(Overfull::Orders));
    assert_eq!(focus.waiting(), 2);

    focus.order(seat(0, 1)).unwrap();
    focus.order(Order::room(room(0), RoomOrder::Close { reason: "over".into() })).unwrap();
    assert_eq!(focus.waiting(), 0, "what waited for a closed room is pointless");
}

#[test]
fn a_refused_broadcast_does_not_move_the_gate() {
    let mut world = up(Limits { waiting_max: 1, ..Limits::default() });
    world.focus.order(open(0)).unwrap();
    world.settle();
    world.focus.order(broadcast(0, 1, None)).unwrap();

    assert_eq!(world.focus.order(broadcast(0, 2, Some(gate(9)))), Err(Overfull::Orders));

    world.cut(true);
    world.connect();
    world.settle();
    assert_eq!(world.rooms.rooms.get(&room(0)).unwrap().0, Some(gate(0)));
}

#[test]
fn what_the_greeting_says_was_carried_out_is_not_sent_again_unless_it_speaks_of_another_focus() {
    let greet = |focus_incarnation: &str| {
        let mut focus = FocusLink::new("focus-0", "run-2", Limits::default());
        let hello = |focus_incarnation: &str, acknowledge| {
            ToFocus::Hello(Hello {
                relay: "relay-0".into(),
                incarnation: "relay-run".into(),
                focus_incarnation: focus_incarnation.into(),
                acknowledge,
                msrp: "127.0.0.1:2855".into(),
                fingerprint: "SHA-256 AB".into(),
            })
        };
        focus.connected();
        focus.receive(hello("", 0)).unwrap();
        focus.order(open(0)).unwrap();
        focus.order(broadcast(0, 1, None)).unwrap();
        focus.broken();
        focus.connected();
        focus.receive(hello(focus_incarnation, 2)).unwrap();
        focus.waiting()
    };

    assert_eq!(greet("run-2"), 0);
    assert_eq!(greet("run-1"), 1);
}

#[test]
fn an_order_for_a_room_that_is_not_open_is_refused_unless_it_ends_something() {
    let mut focus = FocusLink::new("focus-0", "run", Limits::default());

    assert_eq!(focus.order(seat(0, 1)), Err(Overfull::NoRoom));
    assert_eq!(focus.order(broadcast(0, 1, None)), Err(Overfull::NoRoom));
    assert_eq!(focus.order(unseat(0, 1)), Ok(()));
}

#[test]
fn notices_that_wait_are_bounded_and_what_is_known_about_seats_has_as_much_room_again() {
    let limits = Limits { waiting_max: 2, waiting_octets_max: 30, ..Limits::default() };
    let mut relay = relay_link("run", limits);
    let handshake = |octets: usize| {
        let body = Bytes::from(vec![0; octets]);
        let (message_id, content_type) = (String::new(), String::new());
        Notice::room(
            room(0),
            RoomNotice::Handshake { seat: SeatId(1), message_id, content_type, body },
        )
    };

    assert_eq!(relay.notice(handshake(31)), Err(Overfull::Notices));
    relay.notice(handshake(15)).unwrap();
    relay.notice(handshake(15)).unwrap();
    assert_eq!(relay.notice(handshake(0)), Err(Overfull::Notices));
    relay.notice(bound(1)).unwrap();
    relay.notice(bound(2)).unwrap();
    assert_eq!(relay.notice(bound(3)), Err(Overfull::Notices));
}

#[test]
fn a_link_that_falls_too_far_behind_breaks_and_the_next_one_catches_up() {
    let mut world = up(Limits { queue_max: 3, ..Limits::default() });
    world.focus.order(open(0)).unwrap();
    for number in 1..=9 {
        world.focus.order(seat(0, number)).unwrap();
    }
    assert!(world.focus.is_overrun());

    world.cut(true);
    world.connect();
    world.settle();

    assert_eq!(world.rooms.rooms.get(&room(0)).unwrap().1.len(), 9);
    assert!(world.focus.is_up());
}

#[test]
fn a_peer_that_skips_the_greeting_a_number_or_the_truth_is_refused() {
    let mut relay = relay_link("run", Limits::default());
    let order = |number| ToRelay::Order { number, order: open(0) };
    assert_eq!(relay.receive(order(1)), Err(Misbehaved::Greeting));

    let mut world = up(Limits::default());
    let skipped = world.relay.receive(order(5));
    assert_eq!(skipped, Err(Misbehaved::Number { got: 5, expected: 1 }));
    let untrue = world.relay.receive(ToRelay::Acknowledge(1));
    assert_eq!(untrue, Err(Misbehaved::Acknowledged { got: 1, sent: 0 }));

    let skipped = world.focus.receive(ToFocus::Notice { number: 2, notice: bound(1) });
    assert_eq!(skipped, Err(Misbehaved::Number { got: 2, expected: 1 }));
    let untrue = world.focus.receive(ToFocus::Acknowledge(9));
    assert_eq!(untrue, Err(Misbehaved::Acknowledged { got: 9, sent: 0 }));
}

#[test]
fn what_an_order_needs_to_be_carried_out_can_be_waited_for_over_a_break() {
    let mut world = up(Limits::default());
    world.focus.order(open(0)).unwrap();
    world.focus.order(seat(0, 1)).unwrap();
    let seated = world.focus.last_order();
    assert!(world.focus.carried_out_up_to() < seated, "nothing has left yet");
    world.settle();
    assert!(world.focus.carried_out_up_to() >= seated);

    // Given while the link is down: sent with the next full resend, and acknowledged after it.
    world.cut(true);
    world.focus.order(unseat(0, 1)).unwrap();
    let before = world.focus.carried_out_up_to();
    world.connect();
    world.settle();

    assert!(world.focus.last_order() > seated);
    assert_eq!(world.focus.carried_out_up_to(), world.focus.last_order());
    assert!(world.focus.carried_out_up_to() > before);
    assert_eq!(world.rooms.rooms[&room(0)].1.len(), 0);
}
