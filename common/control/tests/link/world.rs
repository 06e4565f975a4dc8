//! Two ends of a link, a wire that can be cut between any two frames, and the simplest relay behind it.
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use control::{
    FocusLink, Gate, Heard, Level, Limits, Notice, Order, RelayLink, RelayName, Room, RoomNotice,
    RoomOrder, Seat, Step, ToFocus, ToRelay,
};
use ids::{ConferenceId, Epoch, Era, Key, SeatId, Term};

pub(crate) fn room(name: u8) -> ConferenceId {
    format!("room{name}").parse().unwrap()
}

pub(crate) fn gate(epoch: u64) -> Gate {
    Gate { era: Era(0), epoch: Epoch(epoch), shut: false, grace: false }
}

pub(crate) fn open(name: u8) -> Order {
    let open = Room {
        uri: format!("sip:room{name}@example.net"),
        term: Term(1),
        level: Level::Sealed,
        gate: Some(gate(0)),
        message_octets_max: 65_536,
        charge: false,
        stored: None,
    };
    Order::room(room(name), RoomOrder::Open(open))
}

pub(crate) fn seat(name: u8, seat: u64) -> Order {
    let aor = "sip:alice@example.net".parse().unwrap();
    let device = "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap();
    let seat = Seat::new(SeatId(seat), aor, device);
    Order::room(room(name), RoomOrder::Seat(seat))
}

pub(crate) fn unseat(name: u8, seat: u64) -> Order {
    Order::room(room(name), RoomOrder::Unseat { seat: SeatId(seat), reason: "kick".into() })
}

pub(crate) fn broadcast(name: u8, key: u64, gate: Option<Gate>) -> Order {
    let cpim = Bytes::from(key.to_be_bytes().to_vec());
    Order::room(room(name), RoomOrder::Broadcast { key: Key(key), cpim, gate })
}

pub(crate) fn bound(seat: u64) -> Notice {
    Notice::room(room(0), RoomNotice::Bound { seat: SeatId(seat) })
}

pub(crate) fn relay_link(incarnation: &str, limits: Limits) -> RelayLink {
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
pub(crate) struct Rooms {
    pub(crate) rooms: BTreeMap<ConferenceId, (Option<Gate>, BTreeSet<SeatId>)>,
    pub(crate) broadcasts: Vec<(ConferenceId, Key)>,
}

impl Rooms {
    pub(crate) fn carry(&mut self, order: Order) {
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
            RoomOrder::Open(_)
            | RoomOrder::Deliver { .. }
            | RoomOrder::NicknameAnswer { .. }
            | RoomOrder::Stored(_)
            | RoomOrder::Unstored(_)
            | RoomOrder::Purge
            | RoomOrder::Page(_) => {}
        }
    }
}

/// Two ends and a wire with frames under way in both directions.
pub(crate) struct World {
    pub(crate) focus: FocusLink,
    pub(crate) relay: RelayLink,
    pub(crate) to_relay: VecDeque<ToRelay>,
    pub(crate) to_focus: VecDeque<ToFocus>,
    pub(crate) connected: bool,
    pub(crate) rooms: Rooms,
    pub(crate) tickets: Vec<u64>,
    pub(crate) heard: Vec<Notice>,
    /// The keys that the relay had come to when it skipped something.
    pub(crate) skipped: Vec<Key>,
}

impl World {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            focus: FocusLink::new("focus-0", "focus-run-1", limits),
            relay: relay_link("relay-run-1", limits),
            to_relay: VecDeque::new(),
            to_focus: VecDeque::new(),
            connected: false,
            rooms: Rooms::default(),
            tickets: Vec::new(),
            heard: Vec::new(),
            skipped: Vec::new(),
        }
    }

    pub(crate) fn connect(&mut self) {
        self.to_relay.clear();
        self.to_focus.clear();
        self.relay.connected();
        self.focus.connected();
        self.connected = true;
    }

    /// Frames under way are lost. The ends notice, one of them perhaps only at the next connection.
    pub(crate) fn cut(&mut self, relay_notices: bool) {
        self.to_relay.clear();
        self.to_focus.clear();
        self.focus.broken();
        if relay_notices {
            self.relay.broken();
        }
        self.connected = false;
    }

    pub(crate) fn pump(&mut self) {
        self.to_relay.extend(std::iter::from_fn(|| self.focus.poll()));
        self.to_focus.extend(std::iter::from_fn(|| self.relay.poll()));
    }

    pub(crate) fn relay_takes_one(&mut self) -> bool {
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

    pub(crate) fn focus_takes_one(&mut self) -> bool {
        self.pump();
        if !self.connected {
            return false;
        }
        let Some(frame) = self.to_focus.pop_front() else { return false };
        if let Heard::Notice { number, notice } =
            self.focus.receive(frame).expect("the relay behaves")
        {
            match notice {
                Notice::Room { notice: RoomNotice::Skipped { known }, .. } => {
                    self.skipped.push(known);
                }
                other => self.heard.push(other),
            }
            // Half of them are kept at once, the others together with a later one.
            if number % 2 == 0 {
                self.focus.safe(number);
            }
        }
        true
    }

    pub(crate) fn carried_out(&mut self, newest_first: bool) {
        let ticket = if newest_first { self.tickets.pop() } else { self.tickets.first().copied() };
        if let Some(ticket) = ticket {
            self.tickets.retain(|other| *other != ticket);
            self.relay.carried_out(ticket);
        }
    }

    pub(crate) fn settle(&mut self) {
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
