//! The MRFC's end of a link to one relay: numbers its orders, keeps what must happen once until it is carried out,
//! and computes the full resend after a break. It opens no connection; its user moves bytes.
use std::collections::VecDeque;

use crate::bad::{Misbehaved, Overfull};
use crate::codec::FRAME_OCTETS_MAX;
use crate::notice::Notice;
use crate::order::{Order, RoomOrder};
use crate::wanted::{Limits, Wanted};
use crate::wire::{Hello, ToFocus, ToRelay, Welcome};

/// The books of the MRFC about one relay. It outlives connections.
///
/// ```text
///   Down ── connected ──► Greeting ── receive(Hello) ──► Up
///     ▲                       │                           │
///     └─────── broken ────────┴────────── broken ─────────┘
/// ```
///
/// Orders may be given at any time. While the link is not up they are only folded into the wanted state
/// or, if they happen once, kept.
#[derive(Debug)]
pub struct FocusLink {
    focus: String,
    incarnation: String,
    limits: Limits,
    state: State,
    wanted: Wanted,
    /// What happens once and is not known to be carried out, oldest first.
    waiting: VecDeque<Waiting>,
    waiting_octets: usize,
    last_order: u64,
    /// The highest order that the relay said it has carried out.
    last_carried_out: u64,
    outgoing: VecDeque<ToRelay>,
    /// Frames that `outgoing` may hold before the link breaks: the full resend does not count.
    outgoing_max: usize,
    /// The run of the relay that the two numbers below belong to.
    relay_incarnation: String,
    last_heard: u64,
    last_safe: u64,
    /// This run of the relay has talked to an earlier run of this focus: its first notice may have any number.
    counts_on: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Greeting,
    Up,
    /// Fell too far behind: the connection is to be closed.
    Overrun,
}

#[derive(Debug)]
struct Waiting {
    /// Its number on the last link that was up; none while it was never sent.
    number: Option<u64>,
    order: Order,
    octets: usize,
}

/// What a frame from the relay meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The link is up; the full wanted state is on its way.
    Up {
        /// What the relay said about itself.
        hello: Hello,
        /// It is another run of the relay than before: every session it had is gone, and every seat gets
        /// a new path in a new `Seated`.
        restarted: bool,
    },
    /// A notice, for the first time in this run of the MRFC. When what it says is kept, call
    /// [`FocusLink::safe`] with its number.
    Notice {
        /// Its number.
        number: u64,
        /// What it says.
        notice: Notice,
    },
    /// Orders were carried out, so there may be room again for one that was refused.
    Acknowledged,
    /// The notice was known already.
    Nothing,
}

impl FocusLink {
    /// The books for one relay. `incarnation` is random at each start of the MRFC.
    pub fn new(focus: impl Into<String>, incarnation: impl Into<String>, limits: Limits) -> Self {
        Self {
            focus: focus.into(),
            incarnation: incarnation.into(),
            limits,
            state: State::Down,
            wanted: Wanted::default(),
            waiting: VecDeque::new(),
            waiting_octets: 0,
            last_order: 0,
            last_carried_out: 0,
            outgoing: VecDeque::new(),
            outgoing_max: 0,
            relay_incarnation: String::new(),
            last_heard: 0,
            last_safe: 0,
            counts_on: false,
        }
    }

    /// Takes an order. It is sent now if the link is up, and in any case part of the next full resend.
    /// A refused order changed nothing. Within a conference keys must come in growing order: a relay skips one
    /// below the last that it saw.
    pub fn order(&mut self, order: Order) -> Result<(), Overfull> {
        let once = happens_once(&order);
        if let Some(octets) = once {
            self.room_for(octets)?;
        }
        self.wanted.fold(&order)?;
        self.forget_pointless(&order);
        let number = (self.state == State::Up).then(|| self.send(order.clone()));
        if let Some(octets) = once {
            self.waiting_octets += octets;
            self.waiting.push_back(Waiting { number, order, octets });
        }
        Ok(())
    }

    fn room_for(&self, octets: usize) -> Result<(), Overfull> {
        // The rest of the frame is names and numbers, far below this.
        const ENVELOPE_OCTETS: usize = 4096;
        if octets + ENVELOPE_OCTETS > FRAME_OCTETS_MAX {
            return Err(Overfull::Frame);
        }
        let full = self.waiting.len() >= self.limits.waiting_max
            || self.waiting_octets + octets > self.limits.waiting_octets_max;
        if full { Err(Overfull::Orders) } else { Ok(()) }
    }

    /// Once a room is closed or a seat gone, nothing need be carried out there.
    fn forget_pointless(&mut self, order: &Order) {
        let Order::Room { order: RoomOrder::Close { .. } | RoomOrder::Unseat { .. }, .. } = order
        else {
            return;
        };
        let Self { waiting, wanted, waiting_octets, .. } = self;
        waiting.retain(|entry| {
            let keep = match &entry.order {
                Order::Drain { .. } => false,
                Order::Auth(_) => true,
                Order::Room { conference, order } => match order {
                    RoomOrder::Deliver { seat, .. } | RoomOrder::NicknameAnswer { seat, .. } => {
                        wanted.has_seat(conference, *seat)
                    }
                    _ => wanted.has_room(conference),
                },
            };
            if !keep {
                *waiting_octets -= entry.octets;
            }
            keep
        });
    }

    fn send(&mut self, order: Order) -> u64 {
        self.last_order += 1;
        self.outgoing.push_back(ToRelay::Order { number: self.last_order, order });
        if self.outgoing.len() > self.outgoing_max {
            // Nothing is lost: all of it is in the wanted state or waits.
            self.outgoing.clear();
            self.state = State::Overrun;
        }
        self.last_order
    }

    /// A connection to the relay stands. Call it only when every conference has been recovered: the relay ends
    /// what the full resend does not name.
    pub fn connected(&mut self) {
        self.broken();
        self.state = State::Greeting;
    }

    /// The connection ended.
    pub fn broken(&mut self) {
        self.state = State::Down;
        self.outgoing.clear();
    }

    /// Whether orders reach the relay now.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// The link fell too far behind and must be closed; the next one catches up by the full resend.
    pub fn is_overrun(&self) -> bool {
        self.state == State::Overrun
    }

    /// How many broadcasts, deliveries and answers wait to be carried out.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The number of the newest order that was sent. Numbers only grow; a full resend gives new ones to what it sends
    /// again.
    pub fn last_order(&self) -> u64 {
        self.last_order
    }

    /// The number up to which the relay has carried everything out, by what it said on this connection or an
    /// earlier one.
    pub fn carried_out_up_to(&self) -> u64 {
        self.last_carried_out
    }

    /// Takes a frame of the relay.
    pub fn receive(&mut self, frame: ToFocus) -> Result<Heard, Misbehaved> {
        match (self.state, frame) {
            (State::Greeting, ToFocus::Hello(hello)) => Ok(self.greeted(hello)),
            (State::Up | State::Overrun, ToFocus::Notice { number, notice }) => {
                self.heard(number, notice)
            }
            (State::Up | State::Overrun, ToFocus::Acknowledge(number)) => {
                self.carried_out(number)?;
                Ok(Heard::Acknowledged)
            }
            _ => Err(Misbehaved::Greeting),
        }
    }

    fn greeted(&mut self, hello: Hello) -> Heard {
        let same_run = hello.incarnation == self.relay_incarnation;
        let restarted = !same_run && !self.relay_incarnation.is_empty();
        if !same_run {
            self.relay_incarnation.clone_from(&hello.incarnation);
            self.last_heard = 0;
            self.last_safe = 0;
            self.counts_on = !hello.focus_incarnation.is_empty();
        } else if hello.focus_incarnation == self.incarnation {
            // Carried out, and the acknowledgement was lost with the link.
            self.drop_carried_out(hello.acknowledge);
        }
        self.state = State::Up;
        self.outgoing_max = usize::MAX;
        self.outgoing.push_back(ToRelay::Welcome(Welcome {
            focus: self.focus.clone(),
            incarnation: self.incarnation.clone(),
            acknowledge: self.last_safe,
            last_order: self.last_order,
        }));
        self.resend();
        self.outgoing_max = self.outgoing.len().saturating_add(self.limits.queue_max);
        Heard::Up { hello, restarted }
    }

    /// State first, so that what is no longer wanted is gone before anything happens again.
    fn resend(&mut self) {
        let orders: Vec<Order> = self.wanted.orders().collect();
        for order in orders {
            self.send(order);
        }
        self.outgoing.push_back(ToRelay::Complete);
        let mut waiting = std::mem::take(&mut self.waiting);
        for entry in &mut waiting {
            entry.number = Some(self.send(without_gate(entry.order.clone())));
        }
        self.waiting = waiting;
    }

    fn heard(&mut self, number: u64, notice: Notice) -> Result<Heard, Misbehaved> {
        if number <= self.last_heard {
            if number <= self.last_safe {
                self.acknowledge();
            }
            return Ok(Heard::Nothing);
        }
        let expected = self.last_heard + 1;
        if number != expected && !(self.counts_on && self.last_heard == 0) {
            return Err(Misbehaved::Number { got: number, expected });
        }
        self.last_heard = number;
        Ok(Heard::Notice { number, notice })
    }

    /// Everything up to this notice is kept, or of no further interest.
    pub fn safe(&mut self, number: u64) {
        let number = number.min(self.last_heard);
        if number > self.last_safe {
            self.last_safe = number;
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        if self.state != State::Up {
            return;
        }
        // Acknowledgements are cumulative, so one that has not left yet can be replaced.
        if let Some(ToRelay::Acknowledge(number)) = self.outgoing.back_mut() {
            *number = self.last_safe;
            return;
        }
        self.outgoing.push_back(ToRelay::Acknowledge(self.last_safe));
    }

    fn carried_out(&mut self, number: u64) -> Result<(), Misbehaved> {
        if number > self.last_order {
            return Err(Misbehaved::Acknowledged { got: number, sent: self.last_order });
        }
        self.last_carried_out = self.last_carried_out.max(number);
        self.drop_carried_out(number);
        Ok(())
    }

    fn drop_carried_out(&mut self, number: u64) {
        while let Some(entry) = self.waiting.front() {
            if entry.number.is_none_or(|sent| sent > number) {
                break;
            }
            self.waiting_octets -= entry.octets;
            self.waiting.pop_front();
        }
    }

    /// The next frame for the relay, in order; `None` until something changes.
    pub fn poll(&mut self) -> Option<ToRelay> {
        self.outgoing.pop_front()
    }
}

/// The octets of an order that happens once; `None` for one that says what should be.
fn happens_once(order: &Order) -> Option<usize> {
    match order {
        Order::Room { order, .. } => match order {
            RoomOrder::Broadcast { cpim, .. } | RoomOrder::Deliver { cpim, .. } => Some(cpim.len()),
            RoomOrder::NicknameAnswer { .. } | RoomOrder::Unstored(_) | RoomOrder::Purge => Some(0),
            _ => None,
        },
        Order::Auth(_) => Some(0),
        Order::Drain { .. } => None,
    }
}

/// In a resend the room's `Open` already carried the newest gate. An older one in a broadcast that is sent again
/// would take the room back, or open it again while a Remove is pending.
fn without_gate(order: Order) -> Order {
    match order {
        Order::Room { conference, order: RoomOrder::Broadcast { key, cpim, .. } } => {
            Order::Room { conference, order: RoomOrder::Broadcast { key, cpim, gate: None } }
        }
        other => other,
    }
}
