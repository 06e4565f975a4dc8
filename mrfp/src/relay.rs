//! The one door into a room's order. Each function locks the room, lets [`Room`] decide, and pushes what follows to the
//! shards before it unlocks: so every shard sees one order of messages, commits, comings and goings. No body is
//! touched here, and nothing is awaited; the locks are taken in the order room, then focus or door.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use control::{Cause, Gate, Level, Notice, Overfull, RoomNotice};
use ids::{ConferenceId, Key, Number, SeatId};
use msrp::{Body, Flag, MessageId, SendRequest};
use rand::RngCore;

use crate::config::Limits;
use crate::doors::{Doors, Errand, Parcel, Stream};
use crate::focus::Focus;
use crate::metrics::Metrics;
use crate::pair::legs::Legs;
use crate::pair::tab::Tab;
use crate::room::{Passage, Room, Roster, Shards};
use crate::session::{Audience, Message, Piece, Refusal, Seen};

/// Names a room within this process. A conference that is closed and opened again gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RoomId(u64);

impl RoomId {
    fn fresh() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// A room that all shards share.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) id: RoomId,
    room: Mutex<Room>,
    doors: Arc<Doors>,
    focus: Arc<Focus>,
    metrics: Arc<Metrics>,
    limits: Limits,
    tabs: Mutex<charge::Tabs>,
    unstored: Mutex<charge::Unstored>,
    /// Of a one-to-one session only.
    legs: Option<Mutex<Legs>>,
    /// Its room keeps a log: once so, always so.
    keeps_log: AtomicBool,
    /// Messages in its room are charged: once so, always so, for charges may wait.
    charges: AtomicBool,
}

/// What a session needs of its room.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) roster: Arc<Roster>,
}

impl Relay {
    pub(crate) fn new(
        room: Room,
        doors: &Arc<Doors>,
        focus: &Arc<Focus>,
        metrics: &Arc<Metrics>,
        limits: &Limits,
    ) -> Self {
        let (doors, focus, metrics) = (Arc::clone(doors), Arc::clone(focus), Arc::clone(metrics));
        let pair = room.roster().level == Level::Pair;
        let legs = pair.then(|| Mutex::new(Legs::new(limits.pair_marks())));
        let keeps_log = AtomicBool::new(room.keeps_log());
        let charges = AtomicBool::new(room.roster().charge && !pair);
        let (id, room) = (RoomId::fresh(), Mutex::new(room));
        let (tabs, unstored) = (Mutex::default(), Mutex::default());
        let limits = *limits;
        Self { id, room, doors, focus, metrics, limits, tabs, unstored, legs, keeps_log, charges }
    }

    /// The room, for one decision. Never held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A participant has come: the seat is this connection's, and gets everything from here on.
    pub(crate) fn bind(
        &self,
        seat: SeatId,
        shard: usize,
        connection: u64,
    ) -> Result<Binding, Refusal> {
        let mut room = self.lock();
        let seen = room.bind(seat, shard)?;
        let (roster, behind) = (Arc::clone(room.roster()), room.keeps_log());
        self.doors.push(shard, Errand::Bound { room: self.id, seat, connection, roster, behind });
        self.tell_roster(&room);
        self.focus.tell(&room, RoomNotice::Bound { seat });
        // A new device has its cursor before anything is said that it has to be given.
        self.tell_reached(&mut room);
        Ok(Binding { seen, roster: Arc::clone(room.roster()) })
    }

    fn tell_roster(&self, room: &Room) {
        self.doors.push_all(room.shards(), || Errand::Roster {
            room: self.id,
            roster: Arc::clone(room.roster()),
        });
    }

    /// A seat as it should be. True: it is new.
    pub(crate) fn seat(&self, seat: &control::Seat, until: Instant) -> bool {
        let mut room = self.lock();
        let new = room.seat(seat, until);
        self.hold(&mut room, seat);
        self.add_leg(seat.seat);
        if !new {
            self.tell_roster(&room);
        }
        new
    }

    /// The focus wants the seat ended.
    pub(crate) fn unseat(&self, seat: SeatId) {
        let mut room = self.lock();
        self.end_leg(seat);
        if let Some(shards) = room.unseat(seat) {
            self.doors.push_all(shards, || Errand::Unseated { room: self.id, seat });
        }
        self.tell_roster(&room);
    }

    /// The seat's connection ended. Whoever had it ended by order before is not lost.
    pub(crate) fn lose(&self, seat: SeatId, cause: Cause) {
        let mut room = self.lock();
        self.end_leg(seat);
        if room.unseat(seat).is_some() {
            self.tell_roster(&room);
            self.focus.tell(&room, RoomNotice::Lost { seat, cause });
        }
    }

    /// A seat that nobody has taken ends: whoever should be on it cannot be reached.
    pub(crate) fn unreached(&self, seat: SeatId, cause: Cause) {
        self.unseat(seat);
        self.focus.tell(&self.lock(), RoomNotice::Lost { seat, cause });
    }

    /// Ends the seats nobody came for, and says which they were.
    pub(crate) fn end_overdue(&self, now: Instant) -> Vec<SeatId> {
        let mut room = self.lock();
        let overdue = room.overdue(now);
        for seat in &overdue {
            self.end_leg(*seat);
            self.focus.tell(&room, RoomNotice::Lost { seat: *seat, cause: Cause::Silent });
        }
        overdue
    }

    /// The room as it should be.
    pub(crate) fn open(&self, order: &control::Room, now: Instant) {
        let mut room = self.lock();
        if (order.level == Level::Pair) != self.is_pair() {
            tracing::warn!(conference = %room.conference(), "a pair is no conference, nor does it become one");
            return;
        }
        let before = room.gate(now);
        room.open(order, now);
        self.keeps_log.store(room.keeps_log(), Ordering::Relaxed);
        self.charges.fetch_or(room.roster().charge && !self.is_pair(), Ordering::Relaxed);
        self.tell_roster(&room);
        if room.gate(now) != before {
            self.tell_gate(&room);
        }
    }

    /// The room ends.
    pub(crate) fn close(&self) -> Vec<SeatId> {
        let mut room = self.lock();
        let seats: Vec<SeatId> = room.seats().collect();
        self.doors.push_all(room.shards(), || Errand::Closed { room: self.id });
        for seat in &seats {
            self.end_leg(*seat);
            room.unseat(*seat);
        }
        seats
    }

    /// Another epoch may pass.
    pub(crate) fn move_gate(&self, gate: Gate, now: Instant) {
        let mut room = self.lock();
        if room.move_gate(gate, now) {
            self.tell_gate(&room);
        }
    }

    fn tell_gate(&self, room: &Room) {
        self.doors.push_all(room.shards(), || Errand::GateMoved { room: self.id });
    }

    /// A gathered message is complete. Where it counts only when it is stored, its charge is kept until then.
    fn message(
        &self,
        (message, tab): (&Message, Option<&Arc<Tab>>),
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Result<Passage, Refusal> {
        let mut room = self.lock();
        let passage = room.pass(message, now)?;
        if let Passage::Pass(_, Some(number)) = passage {
            self.deposit_message(&mut room, number, message)?;
            if room.keeps_log() {
                self.charge_when_stored(number, tab);
            }
        }
        if let Passage::Pass(shards, number) = passage {
            let except = except(message.audience(), message.sender());
            // In a room that keeps a log those on hold are behind, and it waits for them there.
            let held = if room.keeps_log() { None } else { room.held() };
            let deaf = held.filter(|_| except.is_some());
            let number = number.filter(|_| room.keeps_log());
            let to =
                To { audience: message.audience(), except, deaf, shards, number, fall: None, now };
            self.send(&to, message.body(), rng);
            self.metrics.messages_in.inc();
        }
        Ok(passage)
    }

    /// A message for the focus is complete. It is never fanned out.
    pub(crate) fn handshake(&self, message: &Message, id: MessageId) -> Result<(), Refusal> {
        let room = self.lock();
        room.sender_stands(message.sender())?;
        let waiting = self.focus.handshakes_of(room.conference(), message.sender());
        if waiting >= self.limits.handshakes_waiting_max {
            return Err(Refusal::HandshakesWait);
        }
        let notice = RoomNotice::Handshake {
            seat: message.sender(),
            message_id: id.as_str().to_owned(),
            content_type: String::from_utf8_lossy(message.content_type()).into_owned(),
            body: message.content().gather(),
        };
        let told = self.focus.notice(Notice::room(room.conference().clone(), notice));
        told.map_err(|why| match why {
            Overfull::Frame => Refusal::TooLarge,
            Overfull::Notices | Overfull::Orders | Overfull::NoRoom => Refusal::FocusAway,
        })
    }

    /// A participant wants another name. The answer comes as an errand.
    pub(crate) fn nickname(
        &self,
        seat: SeatId,
        request: u64,
        nickname: String,
    ) -> Result<(), Refusal> {
        let room = self.lock();
        let notice = RoomNotice::NicknameAsked { seat, request, nickname };
        let told = self.focus.notice(Notice::room(room.conference().clone(), notice));
        told.map_err(|_overfull| Refusal::FocusAway)
    }

    /// A piece of a streamed message. Its first piece chooses the receivers; its last takes the number. An abort is
    /// passed on whoever's seat ended: its receivers wait for the rest of the message.
    pub(crate) fn piece(
        &self,
        piece: &Piece,
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Result<(), Refusal> {
        let passed = self.pass_piece(piece, now, rng);
        self.note_piece(piece, &passed);
        passed
    }

    fn pass_piece(
        &self,
        piece: &Piece,
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Result<(), Refusal> {
        let mut room = self.lock();
        if piece.flag() != Flag::Abort
            && let Err(refusal) = room.may_go_on(piece)
        {
            // The session has forgotten a message that ends, so only we can tell those who wait for this end.
            if piece.flag() == Flag::End && !piece.is_first() {
                self.pass_on(&room, (&piece.aborted(), None), now, rng);
            }
            return Err(refusal);
        }
        if piece.flag() == Flag::End {
            if *piece.audience() == Audience::Room {
                room.number();
            }
            self.metrics.messages_in.inc();
        }
        let deaf = self.deaf(&mut room, piece);
        self.pass_on(&room, (piece, deaf), now, rng);
        Ok(())
    }

    /// Who must not get this message, which begins. A sealed room has one kind of content, and its level says so; who is
    /// on hold gets none.
    fn deaf(&self, room: &mut Room, piece: &Piece) -> Option<Arc<[SeatId]>> {
        let begins = piece.is_first() && *piece.audience() == Audience::Room;
        if !begins {
            return None;
        }
        if room.roster().level != Level::Open {
            return room.held();
        }
        let deaf = room.deaf_to(piece.content_type())?;
        let held = room.held();
        let is_held = |seat: &SeatId| held.iter().any(|held| held.binary_search(seat).is_ok());
        let others = deaf.iter().filter(|seat| **seat != piece.sender() && !is_held(seat)).count();
        let counter = self.metrics.dropped_chunks.with_label_values(&["content_type"]);
        counter.inc_by(u64::try_from(others).unwrap_or_default());
        Some(deaf)
    }

    fn pass_on(
        &self,
        room: &Room,
        (piece, deaf): (&Piece, Option<Arc<[SeatId]>>),
        now: Instant,
        rng: &mut impl RngCore,
    ) {
        let last = piece.flag() != Flag::More;
        let content = (Bytes::from_static(CPIM), piece.body().clone());
        let send = SendRequest {
            range: piece.range(),
            content: Some(content),
            flag: piece.flag(),
            ..SendRequest::bodiless(piece.stream())
        };
        let parcel = Arc::new(Parcel {
            room: self.id,
            audience: piece.audience().clone(),
            except: except(piece.audience(), piece.sender()),
            deaf,
            payload: send.encode(rng),
            number: None,
            fall: None,
            stream: Some(Stream {
                id: piece.stream(),
                first: piece.is_first(),
                flag: piece.flag(),
            }),
            ready: now,
        });
        // The shard of a receiver that has left keeps the list of receivers until it sees the last piece.
        let shards = if last { room.shards() } else { room.reach(piece.audience()) };
        self.doors.push_all(shards, || Errand::Relay(Arc::clone(&parcel)));
    }

    /// A message of the focus for everybody, at its place in the order.
    pub(crate) fn broadcast(
        &self,
        (key, cpim, gate): (Key, Bytes, Option<Gate>),
        now: Instant,
        rng: &mut impl RngCore,
    ) {
        let mut room = self.lock();
        let number = room.number();
        self.deposit_broadcast(&mut room, number, &cpim);
        let place = room.keeps_log().then_some(number);
        let to = To { number: place, ..To::everybody(&Audience::Room, room.shards(), now) };
        self.send(&to, &Body::from(cpim), rng);
        if gate.is_some_and(|gate| room.move_gate(gate, now)) {
            self.tell_gate(&room);
        }
        self.focus.tell(&room, RoomNotice::Broadcasted { key, number });
    }

    /// A message of the focus for one seat.
    pub(crate) fn deliver(&self, seat: SeatId, cpim: Bytes, now: Instant, rng: &mut impl RngCore) {
        let mut room = self.lock();
        let last = room.last();
        let cpim = match room.log() {
            Some(log) => log.aside(seat, last, cpim),
            None => Some(cpim),
        };
        let Some(cpim) = cpim else { return };
        let audience = Audience::Seats(vec![seat]);
        let to = To::everybody(&audience, room.reach(&audience), now);
        self.send(&to, &Body::from(cpim), rng);
    }

    /// The focus answered a NICKNAME.
    pub(crate) fn nickname_answered(&self, seat: SeatId, request: u64, status: u16) {
        let room = self.lock();
        let shards = room.reach(&Audience::Seats(vec![seat]));
        let id = self.id;
        self.doors.push_all(shards, || Errand::Nickname { room: id, seat, request, status });
    }

    /// Hands a whole message to the shards, in pieces between which a response can cut in.
    fn send(&self, to: &To<'_>, body: &Body, rng: &mut impl RngCore) {
        let send =
            SendRequest::whole(MessageId::random(rng), Bytes::from_static(CPIM), body.clone());
        let mut next = Some(0);
        while let Some(start) = next {
            let (chunk, following) = send.chunk(start, self.limits.piece_octets_max);
            let whole = start == 0 && following.is_none();
            let stream = Stream { id: send.message_id, first: start == 0, flag: chunk.flag };
            let parcel = Arc::new(Parcel {
                room: self.id,
                audience: to.audience.clone(),
                except: to.except,
                deaf: to.deaf.clone(),
                payload: chunk.encode(rng),
                stream: (!whole).then_some(stream),
                number: to.number,
                fall: to.fall,
                ready: to.now,
            });
            self.doors.push_all(to.shards, || Errand::Relay(Arc::clone(&parcel)));
            next = following;
        }
    }

    /// Why an unfinished message can no longer pass, if it cannot.
    pub(crate) fn stale(&self, message: &Message, now: Instant) -> Option<Refusal> {
        self.lock().stale(message, now)
    }

    /// Why a message that waited for its epoch is given up.
    pub(crate) fn late(&self, now: Instant) -> Refusal {
        self.lock().late(now)
    }

    /// Which conference it belongs to.
    pub(crate) fn conference(&self) -> ConferenceId {
        self.lock().conference().clone()
    }
}

mod charge;
mod legs;
mod log;

#[derive(Clone)]
struct To<'a> {
    audience: &'a Audience,
    except: Option<SeatId>,
    deaf: Option<Arc<[SeatId]>>,
    shards: Shards,
    /// Its place, in a room that keeps a log.
    number: Option<Number>,
    /// It is given again, to a seat that has fallen behind this often.
    fall: Option<u32>,
    now: Instant,
}

impl<'a> To<'a> {
    fn everybody(audience: &'a Audience, shards: Shards, now: Instant) -> Self {
        Self { audience, except: None, deaf: None, shards, number: None, fall: None, now }
    }
}

/// Who gets no copy of a message to the room: the session it came from. A private message goes to every session of the
/// person it names (RFC 7701, 6.2), be it the sender.
fn except(audience: &Audience, sender: SeatId) -> Option<SeatId> {
    (*audience == Audience::Room).then_some(sender)
}

const CPIM: &[u8] = msrp::cpim::MEDIA_TYPE.as_bytes();

#[cfg(test)]
mod tests;
