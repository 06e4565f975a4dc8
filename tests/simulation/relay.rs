//! The MRFP without sockets: the room, the sessions on its connections, and its link to the focus. It does what the
//! relay's connections do with one shard; every decision is the product's.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use control::{
    Cause, Forget, Level, Limits, Notice, Order, RelayLink, RelayName, RoomNotice, RoomOrder, Step,
    ToRelay,
};
use ids::{ConferenceId, SeatId};
use mrfc::conference::Why;
use mrfp::reports;
use mrfp::room::{Passage, Room};
use mrfp::session::{
    self, Admitted, Audience, Kind, Message, Refusal, Seen, Session, Surroundings, Waiting,
};
use msrp::{
    Address, Body, Chunk, Decoder, Frame, Head, Item, MessageId, Method, Path, SendRequest, Uri,
};
use rand::rngs::StdRng;

use super::clock::Clock;
use super::faults::Fault;
use super::watch::{Passed, Watch};

/// How long a seat waits for its participant.
const BIND: Duration = Duration::from_secs(60);
/// Octets of one piece of a message on the wire.
const PIECE: usize = 64 * 1024;
const CPIM: &str = msrp::cpim::MEDIA_TYPE;

const LIMITS: session::Limits = session::Limits {
    sealed_octets_max: 96 * 1024,
    handshake_octets_max: 5 << 20,
    held_max: 4,
    open_max: 8,
    chunk_timer: Duration::from_secs(540),
    wait: Duration::from_secs(10),
};

/// What surrounds the relay.
pub(crate) struct Around<'a> {
    pub(crate) clock: Clock,
    pub(crate) rng: &'a mut StdRng,
    pub(crate) watch: &'a mut Watch,
}

struct Ticket {
    seat: SeatId,
    own: Uri,
    peer: Path,
}

struct Seated {
    conn: u64,
    session: Session,
    seen: Arc<Mutex<Seen>>,
    address: Address,
}

#[derive(Default)]
struct Talk {
    decoder: Decoder,
    octets: BytesMut,
    seat: Option<SeatId>,
}

pub(crate) struct Relay {
    pub(crate) link: RelayLink,
    room: Option<Room>,
    tickets: BTreeMap<String, Ticket>,
    seated: BTreeMap<SeatId, Seated>,
    talks: BTreeMap<u64, Talk>,
    /// Seats that a faulty relay does not take away.
    kept: BTreeSet<SeatId>,
    /// What goes to a connection.
    pub(crate) written: Vec<(u64, Bytes)>,
    /// Connections to be closed behind what is written.
    pub(crate) closed: Vec<u64>,
}

impl Relay {
    pub(crate) fn start(incarnation: u64) -> Self {
        let name = RelayName {
            name: "relay-0".into(),
            incarnation: format!("relay-0-{incarnation}"),
            msrp: "relay.example.net:2855".into(),
            fingerprint: "SHA-256 00".into(),
        };
        Self {
            link: RelayLink::new(name, Limits::default()),
            room: None,
            tickets: BTreeMap::new(),
            seated: BTreeMap::new(),
            kept: BTreeSet::new(),
            talks: BTreeMap::new(),
            written: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Takes a frame of the focus and carries it out.
    pub(crate) fn hears(&mut self, frame: ToRelay, around: &mut Around<'_>) {
        match self.link.receive(frame).unwrap() {
            None => {}
            Some(Step::Forget(Forget { rooms, seats })) => {
                if !rooms.is_empty() {
                    self.close();
                }
                seats.into_iter().for_each(|(_, seat)| self.unseat(seat));
            }
            Some(Step::Carry { ticket, order }) => {
                if let Order::Room { conference, order } = order {
                    self.carry(&conference, order, around);
                }
                self.link.carried_out(ticket);
            }
        }
    }

    fn carry(&mut self, conference: &ConferenceId, order: RoomOrder, around: &mut Around<'_>) {
        let now = around.clock.instant();
        if let RoomOrder::Open(order) = &order {
            assert_eq!(order.level, Level::Sealed);
            match self.room.as_mut() {
                None => self.room = Some(Room::new(conference.clone(), order, now)),
                Some(room) => {
                    let before = room.gate(now);
                    room.open(order, now);
                    if room.gate(now) != before {
                        self.gate_moved(around);
                    }
                }
            }
            return;
        }
        let Some(room) = self.room.as_mut() else { return };
        match order {
            RoomOrder::Open(_)
            | RoomOrder::NicknameAnswer { .. }
            | RoomOrder::Stored(_)
            | RoomOrder::Unstored(_)
            | RoomOrder::Purge
            | RoomOrder::Page(_) => {}
            RoomOrder::Close { .. } => self.close(),
            RoomOrder::Seat(seat) => self.seat(&seat, around),
            RoomOrder::Unseat { seat, reason } => {
                let kicked = reason == Why::Kicked.as_str();
                if kicked && around.watch.fault == Fault::KeepsKickedSeats {
                    self.kept.insert(seat);
                } else {
                    self.unseat(seat);
                }
            }
            RoomOrder::Gate(gate) => {
                if room.move_gate(gate, now) {
                    self.gate_moved(around);
                }
            }
            RoomOrder::Broadcast { key, cpim, gate } => {
                let number = room.number();
                let loses = usize::from(around.watch.fault == Fault::LosesCommits);
                let seats: Vec<SeatId> = self.seated.keys().copied().skip(loses).collect();
                self.send(&seats, &Body::from(cpim), around.rng);
                let moved = self.room.as_mut().zip(gate).map(|(room, g)| room.move_gate(g, now));
                if moved == Some(true) {
                    self.gate_moved(around);
                }
                self.tell(RoomNotice::Broadcasted { key, number });
            }
            RoomOrder::Deliver { seat, cpim, .. } => {
                self.send(&[seat], &Body::from(cpim), around.rng);
            }
        }
    }

    fn seat(&mut self, seat: &control::Seat, around: &mut Around<'_>) {
        let Some(room) = self.room.as_mut() else { return };
        let peer: Path = seat.peer_path.as_deref().unwrap_or_default().parse().unwrap();
        room.seat(seat, around.clock.instant() + BIND);
        let known = self.tickets.values().find(|ticket| ticket.seat == seat.seat);
        let own = match known {
            Some(ticket) => ticket.own.clone(),
            None => {
                let id = msrp::random_session_id(around.rng);
                let own: Uri = format!("msrps://relay.example.net:2855/{id};tcp").parse().unwrap();
                let ticket = Ticket { seat: seat.seat, own: own.clone(), peer };
                self.tickets.insert(id, ticket);
                own
            }
        };
        self.tell(RoomNotice::Seated { seat: seat.seat, path: own.as_str().to_owned() });
    }

    fn unseat(&mut self, seat: SeatId) {
        if let Some(room) = self.room.as_mut() {
            room.unseat(seat);
        }
        self.tickets.retain(|_, ticket| ticket.seat != seat);
        if let Some(seated) = self.seated.remove(&seat) {
            self.talks.remove(&seated.conn);
            self.closed.push(seated.conn);
        }
    }

    fn close(&mut self) {
        let seats: Vec<SeatId> = self.room.iter().flat_map(|room| room.seats()).collect();
        seats.into_iter().for_each(|seat| self.unseat(seat));
        self.room = None;
    }

    fn tell(&mut self, notice: RoomNotice) {
        let Some(room) = self.room.as_ref() else { return };
        self.link.notice(Notice::room(room.conference().clone(), notice)).unwrap();
    }

    /// A connection of somebody has ended, or must end.
    pub(crate) fn lost(&mut self, conn: u64, cause: Cause) {
        let Some(talk) = self.talks.remove(&conn) else { return };
        let Some(seat) = talk.seat.filter(|seat| !self.kept.contains(seat)) else { return };
        self.seated.remove(&seat);
        self.tickets.retain(|_, ticket| ticket.seat != seat);
        if self.room.as_mut().is_some_and(|room| {
            let known = room.seats().any(|known| known == seat);
            room.unseat(seat);
            known
        }) {
            self.tell(RoomNotice::Lost { seat, cause });
        }
    }

    /// Takes what a connection brings.
    pub(crate) fn reads(&mut self, conn: u64, octets: &Bytes, around: &mut Around<'_>) {
        self.talks.entry(conn).or_default().octets.extend_from_slice(octets);
        while let Some(talk) = self.talks.get_mut(&conn) {
            match talk.decoder.next(&mut talk.octets).unwrap() {
                Some(Item::Request(chunk)) => self.request(conn, &chunk, around),
                Some(Item::Response(_)) => {}
                None => return,
            }
        }
    }

    fn request(&mut self, conn: u64, chunk: &Chunk, around: &mut Around<'_>) {
        assert_eq!(chunk.head.method(), Some(&Method::Send));
        let answer = match self.carried(conn, chunk, around) {
            Ok(true) => reports::accepted(&chunk.head),
            Ok(false) => None,
            Err(refusal) => {
                around.watch.refused(&refusal);
                reports::refused(&chunk.head, &refusal)
            }
        };
        self.reply(conn, answer);
    }

    fn reply(&mut self, conn: u64, frame: Option<Frame>) {
        self.written.extend(frame.map(|frame| (conn, frame.to_bytes())));
    }

    /// Carries out a request. True: it is answered now.
    fn carried(
        &mut self,
        conn: u64,
        chunk: &Chunk,
        around: &mut Around<'_>,
    ) -> Result<bool, Refusal> {
        let seat = self.seat_of(conn, &chunk.head)?;
        let room = self.room.as_ref().ok_or(Refusal::NoSession)?;
        let seated = self.seated.get_mut(&seat).ok_or(Refusal::NoSession)?;
        let admitted = {
            let seen = seated.seen.lock().unwrap();
            let around_chunk =
                Surroundings { seat, roster: room.roster(), seen: &seen, limits: &LIMITS };
            seated.session.admit(around.clock.instant(), chunk, &around_chunk, around.rng)
        };
        match admitted? {
            Admitted::Nothing | Admitted::Kept | Admitted::Duplicate(_) => Ok(true),
            Admitted::Relay(_) | Admitted::Last(_) => Ok(true),
            Admitted::Whole(message) => self.whole(seat, message, &chunk.head, around),
        }
    }

    fn seat_of(&mut self, conn: u64, head: &Head) -> Result<SeatId, Refusal> {
        if let Some(seat) = self.talks.get(&conn).and_then(|talk| talk.seat) {
            return Ok(seat);
        }
        let id = head.to_path().first().session_id().ok_or(Refusal::NoSession)?;
        let ticket = self.tickets.get(id).ok_or(Refusal::NoSession)?;
        if ticket.peer.last() != head.from_path().last() {
            return Err(Refusal::NoSession);
        }
        let (seat, address) = (ticket.seat, Address::new(&ticket.peer, &ticket.own.clone().into()));
        let seen = self.room.as_mut().ok_or(Refusal::NoSession)?.bind(seat, 0)?;
        self.seated.insert(seat, Seated { conn, session: Session::new(seat), seen, address });
        if let Some(talk) = self.talks.get_mut(&conn) {
            talk.seat = Some(seat);
        }
        self.tell(RoomNotice::Bound { seat });
        Ok(seat)
    }

    fn whole(
        &mut self,
        seat: SeatId,
        message: Message,
        head: &Arc<Head>,
        around: &mut Around<'_>,
    ) -> Result<bool, Refusal> {
        let id = head.message_id().ok_or(Refusal::NoSession)?;
        if message.kind() == Kind::Handshake {
            self.room.as_ref().ok_or(Refusal::NoSession)?.sender_stands(seat)?;
            around.watch.counts.handshakes += 1;
            let spoils = around.watch.spoils(seat);
            let notice = RoomNotice::Handshake {
                seat,
                message_id: id.as_str().to_owned(),
                content_type: String::from_utf8_lossy(message.content_type()).into_owned(),
                body: around.watch.fault.spoil(message.content().gather(), spoils),
            };
            self.tell(notice);
            self.note(seat, id, &message);
            return Ok(true);
        }
        let now = around.clock.instant();
        match self.pass(&message, around)? {
            Passage::Pass(..) => {
                self.note(seat, id, &message);
                Ok(true)
            }
            Passage::Wait => {
                if let Some(seated) = self.seated.get_mut(&seat) {
                    seated.session.wait(message, Arc::clone(head), now + LIMITS.wait);
                }
                Ok(false)
            }
        }
    }

    fn note(&self, seat: SeatId, id: MessageId, message: &Message) {
        if let Some(seated) = self.seated.get(&seat) {
            seated.seen.lock().unwrap().note(id, message.body().octets());
        }
    }

    fn pass(&mut self, message: &Message, around: &mut Around<'_>) -> Result<Passage, Refusal> {
        let room = self.room.as_mut().ok_or(Refusal::NoSession)?;
        let passage = match room.pass(message, around.clock.instant()) {
            Err(Refusal::StaleEpoch(..)) if around.watch.fault == Fault::GateStaysOpen => {
                Passage::Pass(room.shards(), Some(room.number()))
            }
            passage => passage?,
        };
        let Passage::Pass(..) = passage else { return Ok(passage) };
        assert_eq!(*message.audience(), Audience::Room);
        let others = self.seated.iter().filter(|(seat, _)| **seat != message.sender());
        let receivers: Vec<(SeatId, u64)> =
            others.map(|(seat, seated)| (*seat, seated.conn)).collect();
        let seats: Vec<SeatId> = receivers.iter().map(|(seat, _)| *seat).collect();
        let first = around.watch.passed(Passed::new(message, receivers, around.clock.elapsed));
        let loses = around.watch.fault == Fault::LosesCopies
            && around.watch.counts.passed.is_multiple_of(4);
        let seats = if loses { seats.get(1..).unwrap_or_default() } else { &seats };
        self.send(seats, message.body(), around.rng);
        if around.watch.fault == Fault::RefusesAndPasses && first {
            return Err(Refusal::StaleEpoch(ids::Era(0), ids::Epoch(0)));
        }
        Ok(passage)
    }

    /// Hands a message to these seats, in pieces.
    pub(crate) fn send(&mut self, seats: &[SeatId], body: &Body, rng: &mut StdRng) {
        let send = SendRequest::whole(MessageId::random(rng), CPIM, body.clone());
        let mut next = Some(0);
        while let Some(start) = next {
            let (chunk, following) = send.chunk(start, PIECE);
            let payload = chunk.encode(rng);
            for seated in seats.iter().filter_map(|seat| self.seated.get(seat)) {
                self.written.push((seated.conn, payload.to(&seated.address).to_bytes()));
            }
            next = following;
        }
    }

    /// Who has a seat in use now.
    pub(crate) fn seats(&self) -> Vec<SeatId> {
        self.seated.keys().copied().collect()
    }

    fn gate_moved(&mut self, around: &mut Around<'_>) {
        let now = around.clock.instant();
        for seat in self.seats() {
            let (Some(room), Some(seated)) = (self.room.as_ref(), self.seated.get_mut(&seat))
            else {
                continue;
            };
            seated.session.end_epoch(|message| room.stale(message, now));
            let conn = seated.conn;
            for Waiting { message, head, until } in seated.session.take_waiting() {
                let answer = match self.pass(&message, around) {
                    Ok(Passage::Pass(..)) => {
                        if let Some(id) = head.message_id() {
                            self.note(seat, id, &message);
                        }
                        reports::accepted(&head)
                    }
                    Ok(Passage::Wait) => {
                        if let Some(seated) = self.seated.get_mut(&seat) {
                            seated.session.wait(message, head, until);
                        }
                        continue;
                    }
                    Err(refusal) => reports::refused(&head, &refusal),
                };
                self.reply(conn, answer);
            }
        }
    }

    /// Ends what took too long.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let Some(room) = self.room.as_mut() else { return };
        let mut late = Vec::new();
        for seated in self.seated.values_mut() {
            let waiting = seated.session.expire(now, &LIMITS);
            late.extend(waiting.into_iter().map(|waiting| (seated.conn, waiting.head)));
        }
        let refusal = room.late(now);
        let overdue = room.overdue(now);
        for (conn, head) in late {
            let answer = reports::refused(&head, &refusal);
            self.reply(conn, answer);
        }
        for seat in overdue {
            self.tickets.retain(|_, ticket| ticket.seat != seat);
            self.tell(RoomNotice::Lost { seat, cause: Cause::Silent });
        }
    }
}
