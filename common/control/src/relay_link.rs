//! The MRFP's end of its link to the MRFC: checks the order of orders, skips what it has done, says what is no
//! longer wanted after a resend, and keeps notices until they are safe. It opens no connection.
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ids::{ConferenceId, Key, SeatId};

use crate::bad::{Misbehaved, Overfull};
use crate::codec::FRAME_OCTETS_MAX;
use crate::log::Logged;
use crate::notice::{Notice, RoomNotice};
use crate::order::{Order, RoomOrder};
use crate::wanted::Limits;
use crate::wire::{Hello, ToFocus, ToRelay, Welcome};

/// What a relay says about itself in its greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayName {
    /// Its name.
    pub name: String,
    /// Random at each start.
    pub incarnation: String,
    /// The authority in the MSRP URIs it hands out, `host:port`.
    pub msrp: String,
    /// The fingerprint of its MSRP certificate, `SHA-256 AB:CD:…`.
    pub fingerprint: String,
}

/// What the relay must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Carry this out, in the order of the steps of one room. Then call [`RelayLink::carried_out`].
    Carry {
        /// What to call it with.
        ticket: u64,
        /// What to do.
        order: Order,
    },
    /// The focus no longer wants these.
    Forget(Forget),
}

/// Rooms and seats that a full resend did not name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forget {
    /// Rooms to close, with all their seats.
    pub rooms: Vec<ConferenceId>,
    /// Seats to end in rooms that stay.
    pub seats: Vec<(ConferenceId, SeatId)>,
}

/// The books of a relay about its MRFC. They outlive connections; when a new connection comes while an old one
/// still seems to stand, the new one counts: call [`connected`](Self::connected).
#[derive(Debug)]
pub struct RelayLink {
    name: RelayName,
    limits: Limits,
    state: State,
    focus_incarnation: String,
    rooms: BTreeMap<ConferenceId, KnownRoom>,
    /// Raised by each greeting: what carries an older mark at `Complete` is not wanted.
    mark: u64,
    last_received: u64,
    last_carried: u64,
    /// Carried out above `last_carried`, out of order.
    carried: BTreeSet<u64>,
    /// Added to the number of an order to name it for `carried_out`. Another run of the focus counts from zero
    /// again; what is still being carried out for the one before must not count for it.
    offset: u64,
    notices: VecDeque<(u64, Notice, usize)>,
    notice_octets: usize,
    /// Places taken for notices that are still to come.
    reserved: usize,
    /// How many of the notices are handshakes of a seat.
    handshakes: BTreeMap<(ConferenceId, SeatId), usize>,
    /// How many of them are charges of a message.
    charges: BTreeMap<Charged, usize>,
    /// Charges that became safe and were not asked for yet.
    charged: Vec<Charged>,
    last_notice: u64,
    outgoing: VecDeque<ToFocus>,
}

/// A conference, and the Message-ID of what was said in it.
type Charged = (ConferenceId, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Greeting,
    Up,
}

#[derive(Debug, Default)]
struct KnownRoom {
    mark: u64,
    last_key: Key,
    /// The greeting after which the focus was told of a key that was skipped.
    told: u64,
    seats: BTreeMap<SeatId, u64>,
}

impl RelayLink {
    /// The books of a relay that has just started.
    pub fn new(name: RelayName, limits: Limits) -> Self {
        Self {
            name,
            limits,
            state: State::Down,
            focus_incarnation: String::new(),
            rooms: BTreeMap::new(),
            mark: 0,
            last_received: 0,
            last_carried: 0,
            carried: BTreeSet::new(),
            offset: 0,
            notices: VecDeque::new(),
            notice_octets: 0,
            reserved: 0,
            handshakes: BTreeMap::new(),
            charges: BTreeMap::new(),
            charged: Vec::new(),
            last_notice: 0,
            outgoing: VecDeque::new(),
        }
    }

    /// A connection from the focus stands; the greeting is the next frame of [`poll`](Self::poll).
    pub fn connected(&mut self) {
        self.broken();
        self.state = State::Greeting;
        let RelayName { name, incarnation, msrp, fingerprint } = self.name.clone();
        self.outgoing.push_back(ToFocus::Hello(Hello {
            relay: name,
            incarnation,
            focus_incarnation: self.focus_incarnation.clone(),
            acknowledge: self.last_carried,
            msrp,
            fingerprint,
        }));
    }

    /// The connection ended. Rooms and seats go on.
    pub fn broken(&mut self) {
        self.state = State::Down;
        self.outgoing.clear();
    }

    /// Whether notices reach the focus now.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// The relay has another certificate; the next greeting says so.
    pub fn set_fingerprint(&mut self, fingerprint: String) {
        self.name.fingerprint = fingerprint;
    }

    /// How many notices wait to be safe with the focus.
    pub fn waiting(&self) -> usize {
        self.notices.len()
    }

    /// How many handshakes of a seat wait to be safe with the focus. All seats share one limit, so a relay that
    /// lets a seat have few keeps room for the others.
    pub fn handshakes_of(&self, conference: &ConferenceId, seat: SeatId) -> usize {
        self.handshakes.get(&(conference.clone(), seat)).copied().unwrap_or_default()
    }

    /// Whether the charge of a message waits to be safe with the focus.
    pub fn charge_waits(&self, conference: &ConferenceId, message_id: &str) -> bool {
        // Mostly nothing waits, and then nothing is copied.
        !self.charges.is_empty()
            && self.charges.contains_key(&(conference.clone(), message_id.to_owned()))
    }

    /// The messages whose charges became safe since the last call.
    pub fn take_charged(&mut self) -> Vec<(ConferenceId, String)> {
        std::mem::take(&mut self.charged)
    }

    /// Takes a frame of the focus and says what to do, if anything.
    pub fn receive(&mut self, frame: ToRelay) -> Result<Option<Step>, Misbehaved> {
        match (self.state, frame) {
            (State::Greeting, ToRelay::Welcome(welcome)) => {
                self.greeted(welcome)?;
                Ok(None)
            }
            (State::Up, ToRelay::Order { number, order }) => self.ordered(number, order),
            (State::Up, ToRelay::Acknowledge(number)) => {
                self.safe(number)?;
                Ok(None)
            }
            (State::Up, ToRelay::Complete) => Ok(self.unwanted().map(Step::Forget)),
            _ => Err(Misbehaved::Greeting),
        }
    }

    fn greeted(&mut self, welcome: Welcome) -> Result<(), Misbehaved> {
        self.safe(welcome.acknowledge)?;
        self.state = State::Up;
        if welcome.incarnation != self.focus_incarnation {
            let last_ticket = self.offset.saturating_add(self.last_received);
            self.offset = last_ticket.saturating_sub(welcome.last_order);
            self.focus_incarnation = welcome.incarnation;
        }
        self.mark += 1;
        self.last_received = welcome.last_order;
        self.last_carried = welcome.last_order;
        self.carried.clear();
        let again = self.notices.iter().map(|(number, notice, _)| {
            let (number, notice) = (*number, notice.clone());
            ToFocus::Notice { number, notice }
        });
        self.outgoing.extend(again);
        Ok(())
    }

    fn ordered(&mut self, number: u64, order: Order) -> Result<Option<Step>, Misbehaved> {
        let expected = self.last_received + 1;
        if number != expected {
            return Err(Misbehaved::Number { got: number, expected });
        }
        self.last_received = number;
        let ticket = self.offset.saturating_add(number);
        if self.note(&order) {
            return Ok(Some(Step::Carry { ticket, order }));
        }
        self.skipped(&order);
        self.carried_out(ticket);
        Ok(None)
    }

    /// Says how far the keys of a room have come, once after each greeting: a focus whose journal is an old copy learns
    /// from it that it is.
    fn skipped(&mut self, order: &Order) {
        let Order::Room { conference, order } = order else { return };
        if !matches!(order, RoomOrder::Broadcast { .. } | RoomOrder::Deliver { .. }) {
            return;
        }
        let mark = self.mark;
        let Some(room) = self.rooms.get_mut(conference).filter(|room| room.told != mark) else {
            return;
        };
        room.told = mark;
        let skipped = RoomNotice::Skipped { known: room.last_key };
        // Where there is no place for it, the next greeting is another occasion.
        self.notice(Notice::room(conference.clone(), skipped)).ok();
    }

    /// Keeps the books about rooms, seats and keys. False: done before, or there is no such room.
    fn note(&mut self, order: &Order) -> bool {
        let Order::Room { conference, order } = order else { return true };
        if let RoomOrder::Open(_) = order {
            self.rooms.entry(conference.clone()).or_default().mark = self.mark;
            return true;
        }
        let mark = self.mark;
        let Some(room) = self.rooms.get_mut(conference) else { return false };
        match order {
            RoomOrder::Close { .. } => {
                self.rooms.remove(conference);
                true
            }
            RoomOrder::Seat(seat) => {
                room.seats.insert(seat.seat, mark);
                true
            }
            RoomOrder::Unseat { seat, .. } => room.seats.remove(seat).is_some(),
            RoomOrder::Broadcast { key, .. } | RoomOrder::Deliver { key, .. } => {
                let new = *key > room.last_key;
                room.last_key = room.last_key.max(*key);
                new
            }
            RoomOrder::Open(_)
            | RoomOrder::Gate(_)
            | RoomOrder::Stored(_)
            | RoomOrder::Unstored(_)
            | RoomOrder::Purge
            | RoomOrder::Page(_)
            | RoomOrder::NicknameAnswer { .. } => true,
        }
    }

    fn unwanted(&mut self) -> Option<Forget> {
        let mut forget = Forget::default();
        let mark = self.mark;
        self.rooms.retain(|conference, room| {
            if room.mark != mark {
                forget.rooms.push(conference.clone());
                return false;
            }
            room.seats.retain(|seat, seen| {
                if *seen != mark {
                    forget.seats.push((conference.clone(), *seat));
                }
                *seen == mark
            });
            true
        });
        (forget != Forget::default()).then_some(forget)
    }

    /// The order with this ticket has been carried out. Orders of different rooms may finish in any order;
    /// one of an earlier connection is ignored.
    pub fn carried_out(&mut self, ticket: u64) {
        let number = ticket.saturating_sub(self.offset);
        if number <= self.last_carried || number > self.last_received {
            return;
        }
        self.carried.insert(number);
        let before = self.last_carried;
        while self.carried.remove(&(self.last_carried + 1)) {
            self.last_carried += 1;
        }
        if self.state != State::Up || self.last_carried == before {
            return;
        }
        if let Some(ToFocus::Acknowledge(number)) = self.outgoing.back_mut() {
            *number = self.last_carried;
            return;
        }
        self.outgoing.push_back(ToFocus::Acknowledge(self.last_carried));
    }

    /// Takes a notice; it is sent now if the link is up, and again after each break until it is safe.
    ///
    /// Handshakes, nickname requests and logins are refused at the limit: answer their sender with a failure. What the
    /// focus must know about seats has as much room again. If that is refused too, the focus has been away too
    /// long: end all sessions and [`renew`](Self::renew) the books, as after a restart. A charge is taken in any case
    /// and uses up a place that was [`reserve`](Self::reserve)d for it.
    pub fn notice(&mut self, notice: Notice) -> Result<(), Overfull> {
        let (octets, share) = match &notice {
            Notice::Room { notice: RoomNotice::Charged(_), .. } => {
                self.release();
                (0, usize::MAX)
            }
            Notice::Room { notice: RoomNotice::Handshake { body, .. }, .. } => (body.len(), 1),
            Notice::Room { notice: RoomNotice::Deposit(deposit), .. } => {
                // A broadcast has its place already, and nobody could be told that it failed.
                let share = if deposit.kind == Logged::Commit { 2 } else { 1 };
                (deposit.cpim.len(), share)
            }
            Notice::Room { notice: RoomNotice::NicknameAsked { nickname, .. }, .. } => {
                (nickname.len(), 1)
            }
            Notice::AuthAsked(asked) => (asked.octets(), 1),
            _ => (0, 2),
        };
        if octets > FRAME_OCTETS_MAX / 2 {
            return Err(Overfull::Frame);
        }
        let full = self.notices.len() >= self.limits.waiting_max.saturating_mul(share)
            || self.notice_octets + octets
                > self.limits.waiting_octets_max.saturating_mul(share.min(2));
        if full {
            return Err(Overfull::Notices);
        }
        self.last_notice += 1;
        self.notice_octets += octets;
        if let Some(seat) = handshaker(&notice) {
            *self.handshakes.entry(seat).or_default() += 1;
        }
        if let Some(charged) = charged(&notice) {
            *self.charges.entry(charged).or_default() += 1;
        }
        if self.state == State::Up {
            let (number, notice) = (self.last_notice, notice.clone());
            self.outgoing.push_back(ToFocus::Notice { number, notice });
        }
        self.notices.push_back((self.last_notice, notice, octets));
        Ok(())
    }

    /// Takes a place for a charge that is still to come, so that it cannot be lost. Give it back with
    /// [`release`](Self::release) or a [`notice`](Self::notice) of the charge.
    pub fn reserve(&mut self) -> Result<(), Overfull> {
        if self.notices.len() + self.reserved >= self.limits.waiting_max {
            return Err(Overfull::Notices);
        }
        self.reserved += 1;
        Ok(())
    }

    /// Gives back a place: its charge will not come.
    pub fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Starts anew, as a relay that has just started, under this incarnation. Charges are kept: they tell of what has
    /// happened, and nothing that the focus orders brings them back.
    pub fn renew(&mut self, incarnation: String) {
        let name = RelayName { incarnation, ..self.name.clone() };
        let old = std::mem::replace(self, Self::new(name, self.limits));
        for (_, notice, octets) in old.notices {
            if let Notice::Room { notice: RoomNotice::Charged(_), .. } = &notice {
                self.last_notice += 1;
                self.notices.push_back((self.last_notice, notice, octets));
            }
        }
        (self.charges, self.charged) = (old.charges, old.charged);
    }

    fn safe(&mut self, number: u64) -> Result<(), Misbehaved> {
        if number > self.last_notice {
            return Err(Misbehaved::Acknowledged { got: number, sent: self.last_notice });
        }
        while let Some((first, notice, octets)) = self.notices.front() {
            if *first > number {
                break;
            }
            self.notice_octets -= octets;
            if let Some(seat) = handshaker(notice) {
                one_less(&mut self.handshakes, seat);
            }
            if let Some(charged) = charged(notice) {
                self.charged.extend(one_less(&mut self.charges, charged));
            }
            self.notices.pop_front();
        }
        Ok(())
    }

    /// The next frame for the focus, in order; `None` until something changes.
    pub fn poll(&mut self) -> Option<ToFocus> {
        self.outgoing.pop_front()
    }
}

/// Whose handshake it is, if it is one.
fn handshaker(notice: &Notice) -> Option<(ConferenceId, SeatId)> {
    match notice {
        Notice::Room { conference, notice: RoomNotice::Handshake { seat, .. } } => {
            Some((conference.clone(), *seat))
        }
        _ => None,
    }
}

/// One notice less waits of this kind; the kind if that was the last one.
fn one_less<K: Ord>(waiting: &mut BTreeMap<K, usize>, kind: K) -> Option<K> {
    let Entry::Occupied(mut waiting) = waiting.entry(kind) else { return None };
    *waiting.get_mut() -= 1;
    (*waiting.get() == 0).then(|| waiting.remove_entry().0)
}

/// Whose charge it is, if it is one.
fn charged(notice: &Notice) -> Option<Charged> {
    match notice {
        Notice::Room { conference, notice: RoomNotice::Charged(charge) } => {
            Some((conference.clone(), charge.message_id.clone()))
        }
        _ => None,
    }
}
