//! Both ends of a link over a wire that breaks at any frame: what happens once happens once and in order, and the
//! relay ends with exactly the wanted state.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use control::{
    FocusLink, Gate, Heard, Level, Limits, Misbehaved, Notice, Order, Overfull, RelayLink,
    RelayName, Room, RoomNotice, RoomOrder, Seat, Step, ToFocus, ToRelay,
};
use ids::{ConferenceId, Epoch, Era, Key, SeatId, Term};
use proptest::prelude::*;

fn room(name: u8) -> ConferenceId {
    format!("room{name}").parse().unwrap()
}

fn gate(epoch: u64) -> Gate {
    Gate { era: Era(0), epoch: Epoch(epoch), shut: false, grace: false }
}

fn open(name: u8) -> Order {
    let open = Room {
        uri: format!("sip:room{name}@example.net"),
        term: Term(1),
        level: Level::Sealed,
        gate: Some(gate(0)),
        message_octets_max: 65_536,
    };
    Order::room(room(name), RoomOrder::Open(open))
}

fn seat(name: u8, seat: u64) -> Order {
    let seat = Seat {
        seat: SeatId(seat),
        aor: "sip:alice@example.net".parse().unwrap(),
        device: "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap(),
        identities: Vec::new(),
        muted: false,
        private_messages: false,
        peer_path: None,
    };
    Order::room(room(name), RoomOrder::Seat(seat))
}

fn unseat(name: u8, seat: u64) -> Order {
    Order::room(room(name), RoomOrder::Unseat { seat: SeatId(seat), reason: "kick".into() })
}

fn broadcast(name: u8, key: u64, gate: Option<Gate>) -> Order {
    let cpim = Bytes::from(key.to_be_bytes().to_vec());
    Order::room(room(name), RoomOrder::Broadcast { key: Key(key), cpim, gate })
}

fn bound(seat: u64) -> Notice {
    Notice::room(room(0), RoomNotice::Bound { seat: SeatId(seat) })
}

fn relay_link(incarnation: &str, limits: Limits) -> RelayLink {
    let name = RelayName {
        name: "relay-0".into(),
        incarnation: incarnation.into(),
        msrp: "127.0.0.1:2855".into(),
        fingerprint: "SHA-256 AB".into(),
    };
    RelayLink::new(name, limits)
}

/// What a relay does with its steps, as simply as can be.
#[derive(Debug, Default, PartialEq)]
struct Rooms {
    rooms: BTreeMap<ConferenceId, (Option<Gate>, BTreeSet<SeatId>)>,
    broadcasts: Vec<(ConferenceId, Key)>,
}

impl Rooms {
    fn carry(&mut self, order: Order) {
        let Order::Room { conference, order } = order else { return };
        if let RoomOrder::Open(open) = order {
            self.rooms.entry(conference).or_default().0 = open.gate;
            return;
        }
        let known = self.rooms.get_mut(&conference).expect("orders are for open rooms");
        match order {
            RoomOrder::Close { .. } => drop(self.rooms.remove(&conference)),
            RoomOrder::Seat(seat) => drop(known.1.insert(seat.seat)),
            RoomOrder::Unseat { seat, .. } => drop(known.1.remove(&seat)),
            RoomOrder::Gate(gate) => known.0 = Some(gate),
            RoomOrder::Broadcast { key, gate, .. } => {
                known.0 = gate.or(known.0);
                self.broadcasts.push((conference, key));
            }
            RoomOrder::Open(_) | RoomOrder::Deliver { .. } | RoomOrder::NicknameAnswer { .. } => {}
        }
    }
}

/// Two ends and a wire with frames under way in both directions.
struct World {
    focus: FocusLink,
    relay: RelayLink,
    to_relay: VecDeque<ToRelay>,
    to_focus: VecDeque<ToFocus>,
    connected: bool,
    rooms: Rooms,
    tickets: Vec<u64>,
    heard: Vec<Notice>,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self {
            focus: FocusLink::new("focus-0", "focus-run-1", limits),
            relay: relay_link("relay-run-1", limits),
            to_relay: VecDeque::new(),
            to_focus: VecDeque::new(),
            connected: false,
            rooms: Rooms::default(),
            tickets: Vec::new(),
            heard: Vec::new(),
        }
    }

    fn connect(&mut self) {
        self.to_relay.clear();
        self.to_focus.clear();
        self.relay.connected();
        self.focus.connected();
        self.connected = true;
    }

    /// Frames under way are lost. The ends notice, one of them perhaps only at the next connection.
    fn cut(&mut self, relay_notices: bool) {
        self.to_relay.clear();
        self.to_focus.clear();
        self.focus.broken();
        if relay_notices {
            self.relay.broken();
        }
        self.connected = false;
    }

    fn pump(&mut self) {
        self.to_relay.extend(std::iter::from_fn(|| self.focus.poll()));
        self.to_focus.extend(std::iter::from_fn(|| self.relay.poll()));
    }

    fn relay_takes_one(&mut self) -> bool {
        self.pump();
        if !self.connected {
            return false;
        }
        let Some(frame) = self.to_relay.pop_front() else { return false };
        match self.relay.receive(frame).expect("the focus behaves") {
            Some(Step::Carry { ticket, order }) => {
                self.rooms.carry(order);
                self.tickets.push(ticket);
            }
            Some(Step::Forget(forget)) => {
                for name in forget.rooms {
                    self.rooms.rooms.remove(&name);
                }
                for (name, seat) in forget.seats {
                    self.rooms.rooms.get_mut(&name).unwrap().1.remove(&seat);
                }
            }
            None => {}
        }
        true
    }

    fn focus_takes_one(&mut self) -> bool {
        self.pump();
        if !self.connected {
            return false;
        }
        let Some(frame) = self.to_focus.pop_front() else { return false };
        if let Heard::Notice { number, notice } =
            self.focus.receive(frame).expect("the relay behaves")
        {
            self.heard.push(notice);
            // Half of them are kept at once, the others together with a later one.
            if number % 2 == 0 {
                self.focus.safe(number);
            }
        }
        true
    }

    fn carried_out(&mut self, newest_first: bool) {
        let ticket = if newest_first { self.tickets.pop() } else { self.tickets.first().copied() };
        if let Some(ticket) = ticket {
            self.tickets.retain(|other| *other != ticket);
            self.relay.carried_out(ticket);
        }
    }

    fn settle(&mut self) {
        loop {
            let moved = self.relay_takes_one() | self.focus_takes_one();
            let carried = !self.tickets.is_empty();
            self.carried_out(false);
            if !moved && !carried {
                return;
            }
        }
    }
}

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
