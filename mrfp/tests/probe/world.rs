//! A room, four participants with a connection each, and what their receivers have got.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use control::{Gate, Level, Seat};
use ids::{ConferenceId, Epoch, Era, Number, SeatId, Term};
use mrfp::reports;
use mrfp::room::{Passage, Room};
use mrfp::session::{
    Admitted, Audience, Kind, Limits, Message, Piece, Refusal, Seen, Session, Surroundings,
};
use msrp::{Chunk, Decoder, Flag, Head, Item};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::receivers::Receivers;
use super::script::{Script, Source};

const LIMITS: Limits = Limits {
    sealed_octets_max: 20_000,
    handshake_octets_max: 40_000,
    held_max: 4,
    open_max: 8,
    chunk_timer: Duration::from_secs(540),
    wait: Duration::from_secs(10),
};
pub(super) const MESSAGE_OCTETS_MAX: u64 = 60_000;
const PEOPLE: usize = 4;
const SLOTS: usize = 6;
pub(super) const OWN: &str = "msrps://r.example:2855/s1;tcp";

/// One participant's connection.
struct Line {
    decoder: Decoder,
    input: BytesMut,
    /// None without a seat.
    taken: Option<(Session, Arc<Mutex<Seen>>)>,
    seats: u64,
    sources: Vec<Source>,
}

pub(crate) struct World {
    room: Room,
    now: Instant,
    rng: StdRng,
    lines: Vec<Line>,
    /// Every message there was, by name.
    sent: BTreeMap<String, Source>,
    receivers: Receivers,
    last: Option<Number>,
    transactions: u32,
    messages: u32,
}

fn order(level: Level, term: u32) -> control::Room {
    control::Room {
        uri: "sip:room7@example.net".into(),
        term: Term(term),
        level,
        gate: None,
        message_octets_max: MESSAGE_OCTETS_MAX,
        charge: false,
        stored: None,
    }
}

fn line() -> Line {
    let limits = msrp::Limits { piece_octets_max: 2048, ..msrp::Limits::default() };
    Line {
        decoder: Decoder::new(limits),
        input: BytesMut::new(),
        taken: None,
        seats: 0,
        sources: vec![Source::default(); SLOTS],
    }
}

impl World {
    pub(crate) fn new(kind: u8) -> Self {
        let level = if kind & 1 == 0 { Level::Sealed } else { Level::Open };
        let conference: ConferenceId = "room7".parse().unwrap();
        let now = instant();
        let mut world = Self {
            room: Room::new(conference, &order(level, 1), now),
            now,
            rng: StdRng::seed_from_u64(7),
            lines: (0..PEOPLE).map(|_| line()).collect(),
            sent: BTreeMap::new(),
            receivers: Receivers::default(),
            last: None,
            transactions: 0,
            messages: 0,
        };
        (0..PEOPLE).for_each(|n| world.sit(n, kind));
        world
    }

    pub(crate) fn step(&mut self, script: &mut Script<'_>) {
        let who = usize::from(script.below(4));
        match script.below(16) {
            0..=6 => self.send_chunk(who, script),
            7 | 8 => self.begin(who, script),
            9 => self.pass_time(script),
            10 => self.move_gate(script),
            11 => {
                let level = if script.octet() & 1 == 0 { Level::Sealed } else { Level::Open };
                let term = u32::from(script.below(4));
                self.room.open(&order(level, term), self.now);
            }
            12 => {
                self.leave(who);
                self.sit(who, script.octet());
            }
            13 => self.leave(who),
            14 => {
                let count = usize::from(script.octet());
                let octets = script.octets(count);
                self.feed(who, octets, 7);
            }
            _ => self.ask(who, script.octet()),
        }
        self.expire();
    }

    pub(crate) fn end(&mut self) {
        (0..PEOPLE).for_each(|who| self.leave(who));
        self.receivers.are_done();
    }

    fn line(&mut self, who: usize) -> &mut Line {
        self.lines.get_mut(who).unwrap()
    }

    /// A seat for this participant, as its SDP said, and it comes at once.
    fn sit(&mut self, who: usize, bits: u8) {
        let line = self.line(who);
        line.seats += 1;
        let id = SeatId(line.seats * 10 + u64::try_from(who).unwrap());
        let aor = format!("sip:user{}@example.net", who + 1).parse().unwrap();
        let device = format!("urn:uuid:00000000-0000-4000-8000-{who:012}").parse().unwrap();
        let types = if bits & 4 == 0 { Vec::new() } else { vec!["text/*".to_owned()] };
        let seat = Seat {
            muted: bits & 2 != 0,
            private_messages: bits & 8 == 0,
            accept_wrapped_types: types,
            ..Seat::new(id, aor, device)
        };
        self.room.seat(&seat, self.now + Duration::from_secs(60));
        let seen = self.room.bind(id, who % 2).unwrap();
        self.line(who).taken = Some((Session::new(id), seen));
    }

    /// The seat ends, and with it what it has not finished.
    fn leave(&mut self, who: usize) {
        let Some((mut session, _)) = self.line(who).taken.take() else { return };
        self.room.unseat(session.seat());
        for piece in session.close() {
            self.pass_piece(&piece);
        }
        let fresh = line();
        let line = self.line(who);
        (line.decoder, line.input) = (fresh.decoder, fresh.input);
    }

    fn begin(&mut self, who: usize, script: &mut Script<'_>) {
        let slot = usize::from(script.below(6));
        self.messages += 1;
        let source = Source::new(who, slot, script, self.messages);
        self.sent.insert(source.name.clone(), source.clone());
        *self.line(who).sources.get_mut(slot).unwrap() = source;
    }

    /// A chunk of a message: the next, one that came before, or one that leaves a gap.
    fn send_chunk(&mut self, who: usize, script: &mut Script<'_>) {
        let (slot, how, options) = (usize::from(script.below(6)), script.octet(), script.octet());
        let length = usize::from(script.octet()) * [1, 16, 300][usize::from(how >> 6) % 3];
        self.transactions += 1;
        let transaction = format!("t{:07x}", self.transactions);
        let source = self.line(who).sources.get_mut(slot).unwrap();
        if source.name.is_empty() {
            return;
        }
        let start = match how & 7 {
            0..=4 => source.at,
            5 => 0,
            6 => source.at / 2,
            _ => source.at + 3,
        };
        let body = source.octets.get(start..).unwrap_or_default();
        let body = body.get(..length).unwrap_or(body).to_vec();
        source.at = start + body.len();
        let done = source.at >= source.octets.len();
        let flag = match (how >> 3) & 7 {
            0 => '#',
            1 => '$',
            _ if done => '$',
            _ => '+',
        };
        let total = match options & 3 {
            0 | 1 => source.octets.len().to_string(),
            2 => "*".to_owned(),
            _ => u64::MAX.to_string(),
        };
        let end = if options & 4 == 0 { "*".to_owned() } else { (start + body.len()).to_string() };
        let reports = ["", "Failure-Report: no\r\n", "Failure-Report: partial\r\n", ""];
        let reports = reports[usize::from(options >> 3) & 3];
        let success = if options & 32 == 0 { "" } else { "Success-Report: yes\r\n" };
        let mut wire = format!(
            "MSRP {transaction} SEND\r\nTo-Path: {OWN}\r\nFrom-Path: msrps://ua.example:9/u{who};tcp\r\n\
             Message-ID: {}\r\n{success}{reports}Byte-Range: {}-{end}/{total}\r\n\
             Content-Type: message/cpim\r\n\r\n",
            source.name,
            start + 1,
        )
        .into_bytes();
        wire.extend_from_slice(&body);
        wire.extend_from_slice(format!("\r\n-------{transaction}{flag}\r\n").as_bytes());
        self.feed(who, &wire, usize::from(options >> 6) * 700 + 64);
    }

    /// A request without a body.
    fn ask(&mut self, who: usize, kind: u8) {
        let (method, more) = match kind % 5 {
            0 => ("SEND", "Message-ID: alive\r\n"),
            1 => ("REPORT", "Message-ID: x123\r\nByte-Range: 1-2/2\r\nStatus: 000 200 OK\r\n"),
            2 => ("NICKNAME", "Use-Nickname: \"al\"\r\n"),
            3 => ("AUTH", ""),
            _ => ("FOO", "X-Foo: bar\r\n"),
        };
        let wire = format!(
            "MSRP a1b2c3d4 {method}\r\nTo-Path: {OWN}\r\nFrom-Path: msrps://ua.example:9/u;tcp\r\n\
             {more}-------a1b2c3d4$\r\n"
        );
        self.feed(who, wire.as_bytes(), 50);
    }

    /// Octets of a connection, so many at a time.
    fn feed(&mut self, who: usize, wire: &[u8], size: usize) {
        for part in wire.chunks(size) {
            if self.line(who).taken.is_none() {
                return;
            }
            self.line(who).input.extend_from_slice(part);
            loop {
                let line = self.line(who);
                match line.decoder.next(&mut line.input) {
                    Ok(None) => break,
                    Ok(Some(Item::Response(_))) => {}
                    Ok(Some(Item::Request(chunk))) => self.request(who, &chunk),
                    Err(fault) => {
                        fault.answer().iter().for_each(|frame| is_response(&frame.to_bytes()));
                        if fault.is_fatal() {
                            self.leave(who);
                            return;
                        }
                    }
                }
            }
        }
    }

    fn request(&mut self, who: usize, chunk: &Chunk) {
        if chunk.head.method() != Some(&msrp::Method::Send) {
            drop(chunk.head.use_nickname());
            let refused = reports::refused(&chunk.head, &Refusal::UnknownMethod);
            refused.iter().for_each(|frame| is_response(&frame.to_bytes()));
            return;
        }
        let admitted = self.admit(who, chunk);
        let outcome = admitted.and_then(|admitted| self.carry(who, chunk, admitted));
        match outcome {
            Ok(Some(octets)) => self.complete(who, &chunk.head, octets),
            Ok(None) => {}
            Err(refusal) => {
                let refused = reports::refused(&chunk.head, &refusal);
                refused.iter().for_each(|frame| is_response(&frame.to_bytes()));
            }
        }
    }

    fn admit(&mut self, who: usize, chunk: &Chunk) -> Result<Admitted, Refusal> {
        let roster = Arc::clone(self.room.roster());
        let line = self.lines.get_mut(who).unwrap();
        let (session, seen) = line.taken.as_mut().ok_or(Refusal::NoSession)?;
        let admitted = {
            let seen = seen.lock().unwrap();
            let seat = session.seat();
            let around = Surroundings { seat, roster: &roster, seen: &seen, limits: &LIMITS };
            session.admit(self.now, chunk, &around, &mut self.rng)
        };
        for piece in session.take_aborted() {
            self.pass_piece(&piece);
        }
        admitted
    }

    /// How many octets a message had that is complete now.
    fn carry(
        &mut self,
        who: usize,
        chunk: &Chunk,
        admitted: Admitted,
    ) -> Result<Option<u64>, Refusal> {
        if let (Admitted::Relay(piece) | Admitted::Last(piece), Some(id)) =
            (&admitted, chunk.head.message_id())
        {
            self.receivers.name(piece, id);
        }
        match admitted {
            Admitted::Nothing | Admitted::Kept | Admitted::Duplicate(_) => Ok(None),
            Admitted::Relay(piece) => {
                self.stands(&piece)?;
                self.pass_piece(&piece);
                let octets = piece.range().start - 1 + piece.body().octets();
                Ok((piece.flag() == Flag::End).then_some(octets))
            }
            Admitted::Last(piece) => {
                self.stands(&piece)?;
                self.pass_piece(&piece);
                let closing = piece.closing();
                self.pass_piece(&closing);
                Ok(Some(closing.range().start - 1))
            }
            Admitted::Whole(message) => self.whole(who, message, &chunk.head),
        }
    }

    fn stands(&self, piece: &Piece) -> Result<(), Refusal> {
        if piece.flag() == Flag::Abort { Ok(()) } else { self.room.sender_stands(piece.sender()) }
    }

    fn whole(
        &mut self,
        who: usize,
        message: Message,
        head: &Arc<Head>,
    ) -> Result<Option<u64>, Refusal> {
        let octets = message.body().octets();
        let max = match message.kind() {
            Kind::Sealed => LIMITS.sealed_octets_max,
            Kind::Handshake => LIMITS.handshake_octets_max,
        };
        assert!(octets <= max, "{octets} octets were held");
        let id = head.message_id().unwrap();
        self.is_as_sent(id.as_str(), &message.body().gather());
        if message.kind() == Kind::Handshake {
            return Ok(Some(octets));
        }
        let gate = self.room.gate(self.now);
        match self.room.pass(&message, self.now)? {
            Passage::Pass(_, number) => {
                self.in_order(number);
                let epoch = self.sent.get(id.as_str()).and_then(|source| source.epoch);
                if let Some(epoch) = epoch.filter(|_| *message.audience() == Audience::Room) {
                    let gate = gate.expect("something sealed passed without a gate");
                    let now = gate.epoch.0;
                    let before = gate.grace && epoch + 1 == now;
                    assert!(epoch == now && !gate.shut || before, "{epoch} passed {gate:?}");
                }
                Ok(Some(octets))
            }
            Passage::Wait => {
                let until = self.now + LIMITS.wait;
                let line = self.line(who);
                if let Some((session, _)) = &mut line.taken {
                    session.wait(message, Arc::clone(head), until);
                }
                Ok(None)
            }
        }
    }

    fn in_order(&mut self, number: Option<Number>) {
        if let (Some(last), Some(number)) = (self.last, number) {
            assert!(number > last, "{number:?} after {last:?}");
        }
        self.last = number.or(self.last);
    }

    fn complete(&mut self, who: usize, head: &Head, octets: u64) {
        let Some(id) = head.message_id() else { return };
        let line = self.lines.get_mut(who).unwrap();
        if let Some((_, seen)) = &line.taken {
            seen.lock().unwrap().note(id, octets);
        }
        reports::accepted(head).iter().for_each(|frame| is_response(&frame.to_bytes()));
        let own = head.to_path().first().clone();
        let report = reports::success(head, octets, &own, None, &mut self.rng);
        report.iter().for_each(|frame| drop(decoded(&frame.to_bytes())));
    }

    fn pass_piece(&mut self, piece: &Piece) {
        if let Some((name, whole)) = self.receivers.take(piece, &mut self.rng) {
            self.is_as_sent(&name, &whole);
        }
    }

    /// What was gathered is the front of what its sender has sent.
    fn is_as_sent(&self, name: &str, octets: &[u8]) {
        if let Some(source) = self.sent.get(name) {
            assert!(source.octets.starts_with(octets), "{name} was altered");
        }
    }

    fn pass_time(&mut self, script: &mut Script<'_>) {
        let unit = [1, 100, 5000][usize::from(script.below(3))];
        self.now += Duration::from_millis(u64::from(script.octet()) * unit);
    }

    fn move_gate(&mut self, script: &mut Script<'_>) {
        let bits = script.octet();
        let epoch = Epoch(u64::from(bits & 3));
        let era = Era(u32::from(bits >> 7));
        let gate = Gate { era, epoch, shut: bits & 16 != 0, grace: bits & 32 != 0 };
        if !self.room.move_gate(gate, self.now) {
            return;
        }
        for who in 0..PEOPLE {
            let Some((mut session, seen)) = self.line(who).taken.take() else { continue };
            session.end_epoch(|message| self.room.stale(message, self.now));
            let (aborted, waiting) = (session.take_aborted(), session.take_waiting());
            self.line(who).taken = Some((session, seen));
            aborted.iter().for_each(|piece| self.pass_piece(piece));
            for again in waiting {
                if let Ok(Some(octets)) = self.whole(who, again.message, &again.head) {
                    self.complete(who, &again.head, octets);
                }
            }
        }
    }

    fn expire(&mut self) {
        for who in 0..PEOPLE {
            let Some((mut session, seen)) = self.line(who).taken.take() else { continue };
            for late in session.expire(self.now, &LIMITS) {
                let refused = reports::refused(&late.head, &self.room.late(self.now));
                refused.iter().for_each(|frame| is_response(&frame.to_bytes()));
            }
            let aborted = session.take_aborted();
            self.line(who).taken = Some((session, seen));
            aborted.iter().for_each(|piece| self.pass_piece(piece));
        }
        let seats: BTreeSet<SeatId> = self.room.seats().collect();
        let sitting = self.lines.iter().filter_map(|line| line.taken.as_ref());
        assert_eq!(seats, sitting.map(|(session, _)| session.seat()).collect());
    }
}

fn decoded(wire: &[u8]) -> Item {
    Decoder::default().next(&mut BytesMut::from(wire)).unwrap().unwrap()
}

fn is_response(wire: &[u8]) {
    assert!(matches!(decoded(wire), Item::Response(_)), "{wire:?}");
}

#[allow(clippy::disallowed_methods, reason = "only differences of it matter")]
fn instant() -> Instant {
    Instant::now()
}
