//! One device of one person: its keys, its dialog, and its session on a connection. What the session wants done is
//! handed to the world, which has the network.
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use client::session::{Output, Session, Setup, Ticket};
use client::{Event, Level, Limits, Pins};
use ids::SeatId;
use mls::identity::{DeviceKey, Issuer, request};
use mls::member::{Keyring, Member};
use mls::storage::{Octets, Records};
use mls::wire::{GroupState, KeyPackageUpload};
use mrfc::conference::Participant;
use msrp::{Decoder, Item};
use rand::rngs::StdRng;

use super::clock::Clock;
use super::faults::Fault;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// KeyPackages left at a start: few, so that the last resort has its turn.
const PACKAGES: usize = 2;
/// Messages after which a leaf is replaced: few, so that it happens.
const LEAF_MESSAGES: u64 = 4;
/// How long a call may ring.
const CALL: Duration = Duration::from_secs(15);

/// Where a device is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It has no power.
    Off,
    /// It is not in the conference.
    Out,
    /// It calls, until then.
    Calling(Duration),
    /// It has a seat.
    In(Box<Seat>),
}

/// A seat in use, from this end.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) seat: SeatId,
    pub(crate) conn: u64,
    pub(crate) session: Session,
    decoder: Decoder,
    octets: BytesMut,
    /// The state of the group that was asked for last.
    pub(crate) fetch: Option<u64>,
    /// Its entry into the group has come back: what it says of the group is so.
    pub(crate) inside: bool,
    said: Vec<(Ticket, String)>,
    /// When it gives up waiting for the relay's first answer.
    bound_until: Option<Duration>,
}

/// When a device dies, about a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dies {
    /// Nothing of it is on the disk, and nothing was said.
    Before,
    /// All of it is on the disk, and nothing was said.
    After,
}

/// What a device has to tell the world.
#[derive(Debug)]
pub(crate) enum Told {
    Event(Event),
    /// A message of its own is settled.
    Settled {
        body: String,
        accepted: bool,
    },
    /// It asks for the state of the group.
    Fetch,
    /// The relay does not answer it.
    Dead,
    /// The relay has refused the seat.
    NoSeat,
}

pub(crate) struct Person {
    pub(crate) who: Participant,
    pub(crate) keyring: Keyring,
    key: Vec<u8>,
    certificate: Vec<u8>,
    /// What it has written.
    disk: BTreeMap<Vec<u8>, Octets>,
    /// When it next changes what it has written, it dies.
    pub(crate) dies: Option<Dies>,
    /// Whose keys it has seen: on disk, and there after a start.
    pins: Pins,
    pub(crate) stage: Stage,
    /// It wants to be in the conference.
    pub(crate) wants: bool,
    pub(crate) calls: u64,
    /// The own end of the call that is under way.
    own: String,
    pub(crate) fetches: u64,
    /// How often it has started: what came before is lost.
    pub(crate) life: u64,
    /// Its last session, when it is in no more.
    pub(crate) former: Option<Session>,
    pub(crate) slow: bool,
}

impl Person {
    pub(crate) fn new(who: Participant, issuer: &Issuer, clock: &Clock, rng: &mut StdRng) -> Self {
        let key = DeviceKey::generate(rng);
        let asked = request(&key, &who.name()).unwrap();
        let from = clock.wall() - Duration::from_secs(60);
        let certificate = issuer.issue(&asked, &who.name(), from, 30 * DAY).unwrap();
        let kept = key.to_pkcs8().unwrap().to_vec();
        let (roots, now, records) = (issuer.roots(), clock.wall(), Records::kept([]));
        let keyring = Keyring::with_records(key, &certificate, roots, now, records).unwrap();
        Self {
            who,
            keyring,
            key: kept,
            certificate,
            disk: BTreeMap::new(),
            dies: None,
            pins: Pins::default(),
            stage: Stage::Out,
            wants: false,
            calls: 0,
            own: String::new(),
            fetches: 0,
            life: 1,
            former: None,
            slow: false,
        }
    }

    /// KeyPackages to leave in the directory.
    pub(crate) fn packages(&self, clock: &Clock) -> KeyPackageUpload {
        self.keyring.key_packages(PACKAGES, true, clock.wall(), 30 * DAY).unwrap().replacing()
    }

    /// It loses its power, and everything it had in memory.
    pub(crate) fn crash(&mut self) -> Option<u64> {
        let stage = std::mem::replace(&mut self.stage, Stage::Off);
        self.former = None;
        match stage {
            Stage::In(seat) => Some(seat.conn),
            _ => None,
        }
    }

    /// What has changed is on the disk before anything that depends on it leaves. False: it has died of it.
    pub(crate) fn keeps(&mut self, fault: Fault) -> bool {
        let records = self.keyring.records();
        let dies = self.dies.filter(|_| records.is_changed());
        if dies != Some(Dies::Before) {
            let changes = records.drain();
            let torn = fault == Fault::TearsWrites && dies.is_some();
            let until = if torn { changes.len() / 2 } else { changes.len() };
            // A disk may take what was written last first.
            for change in changes.into_iter().rev().take(until) {
                match change.value {
                    Some(value) => drop(self.disk.insert(change.key, value)),
                    None => drop(self.disk.remove(&change.key)),
                }
            }
        }
        dies.is_none()
    }

    /// Whether what it had written is whole: its keys are there, and the group it was in.
    pub(crate) fn is_whole(&self, clock: &Clock) -> bool {
        let key = DeviceKey::from_pkcs8(&self.key).unwrap();
        let (roots, records) = (self.keyring.roots(), Records::kept(self.disk.clone()));
        let keyring =
            Keyring::with_records(key, &self.certificate, roots, clock.wall(), records).unwrap();
        Member::load(&keyring, &"room7".parse().unwrap()).is_ok()
    }

    /// Its disk is lost, but for what proves who it is.
    pub(crate) fn wipe(&mut self) {
        self.disk.clear();
    }

    /// It starts again, with what it had written.
    pub(crate) fn restart(&mut self, clock: &Clock) {
        let key = DeviceKey::from_pkcs8(&self.key).unwrap();
        let (roots, now) = (self.keyring.roots().clone(), clock.wall());
        let records = Records::kept(self.disk.clone());
        let keyring = Keyring::with_records(key, &self.certificate, &roots, now, records);
        self.keyring = keyring.unwrap();
        self.dies = None;
        self.stage = Stage::Out;
        self.life += 1;
    }

    /// Calls the conference: the path of its end.
    pub(crate) fn call(&mut self, now: Duration, rng: &mut StdRng) -> String {
        self.calls += 1;
        self.stage = Stage::Calling(now + CALL);
        let id = msrp::random_session_id(rng);
        self.own = format!("msrps://device.invalid:9/{id};tcp");
        self.own.clone()
    }

    /// The conference has answered: takes the seat over this connection.
    pub(crate) fn seated(
        &mut self,
        (seat, path): (SeatId, &str),
        conn: u64,
        now: Duration,
        rng: &mut StdRng,
    ) {
        let setup = Setup {
            conference: "room7".parse().unwrap(),
            uri: "sip:room7@example.net".into(),
            level: Level::Sealed,
            to_path: path.parse().unwrap(),
            from_path: self.own.parse().unwrap(),
            limits: Limits { leaf_messages_max: LEAF_MESSAGES, ..Limits::default() },
            pins: self.pins.clone(),
            shown_as: None,
        };
        self.former = None;
        let session = Session::new(&setup, self.keyring.clone(), rng);
        let (decoder, octets) = (Decoder::default(), BytesMut::new());
        let (fetch, inside, said) = (None, false, Vec::new());
        let bound_until = Some(now + Limits::default().request);
        let seat = Seat { seat, conn, session, decoder, octets, fetch, inside, said, bound_until };
        self.stage = Stage::In(Box::new(seat));
    }

    pub(crate) fn seat(&mut self) -> Option<&mut Seat> {
        match &mut self.stage {
            Stage::In(seat) => Some(seat),
            _ => None,
        }
    }

    pub(crate) fn seat_ref(&self) -> Option<&Seat> {
        match &self.stage {
            Stage::In(seat) => Some(seat),
            _ => None,
        }
    }

    /// The seat is over. What was not settled is, now; its keys are kept.
    pub(crate) fn end(&mut self, why: &str) -> Vec<Told> {
        let stage = std::mem::replace(&mut self.stage, Stage::Out);
        let Stage::In(mut seat) = stage else {
            self.stage = if matches!(stage, Stage::Off) { Stage::Off } else { Stage::Out };
            return Vec::new();
        };
        seat.session.end(why);
        let told = seat.told();
        self.former = Some(seat.session);
        told
    }
}

impl Seat {
    /// When time asks for something.
    pub(crate) fn due(&self, clock: &Clock) -> Option<Duration> {
        let session = self.session.next_timeout().map(|at| clock.of_instant(at));
        session.into_iter().chain(self.bound_until).min()
    }

    /// Time asks for something. False: the relay has never answered.
    pub(crate) fn time_out(&mut self, clock: &Clock, rng: &mut StdRng) -> bool {
        self.session.timeout(clock.now(), rng);
        self.bound_until.is_none_or(|until| clock.elapsed < until)
    }

    pub(crate) fn say(&mut self, clock: &Clock, rng: &mut StdRng, body: &str) -> String {
        let content = Bytes::copy_from_slice(body.as_bytes());
        let said = self.session.say(clock.now(), rng, "text/plain", content);
        let (id, ticket) = said.unwrap();
        self.said.push((ticket, body.to_owned()));
        id
    }

    pub(crate) fn reads(&mut self, clock: &Clock, octets: &Bytes) {
        self.octets.extend_from_slice(octets);
        while let Some(item) = self.decoder.next(&mut self.octets).unwrap() {
            self.session.receive(clock.now(), &item);
            if let Item::Request(chunk) = &item {
                debug_assert!(chunk.first);
            }
        }
    }

    pub(crate) fn writes(&mut self, clock: &Clock, rng: &mut StdRng) -> Option<Bytes> {
        let mut octets = BytesMut::new();
        while let Some(frame) = self.session.poll_frame(clock.now(), rng) {
            frame.slices().for_each(|slice| octets.extend_from_slice(slice));
        }
        (!octets.is_empty()).then(|| octets.freeze())
    }

    /// The state of the group has come.
    pub(crate) fn entered(&mut self, clock: &Clock, state: Option<&GroupState>) {
        self.fetch = None;
        let before = self.session.standing();
        self.session.enter(clock.now(), state);
        // Its entry counts when it comes back.
        self.inside &= before == self.session.standing();
    }

    /// What the session has to tell.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(output) = self.session.poll_output() {
            told.extend(match output {
                Output::Event(event) => {
                    match event {
                        Event::Entered { .. } => self.inside = true,
                        Event::Removed => self.inside = false,
                        _ => {}
                    }
                    Some(Told::Event(event))
                }
                Output::Settled(ticket, outcome) => {
                    let at = self.said.iter().position(|(known, _)| *known == ticket);
                    at.map(|at| {
                        let (_, body) = self.said.remove(at);
                        Told::Settled { body, accepted: outcome.is_ok() }
                    })
                }
                Output::FetchGroup => Some(Told::Fetch),
                Output::Dead => Some(Told::Dead),
                Output::Bound(Err(_)) => Some(Told::NoSeat),
                Output::Bound(Ok(())) => {
                    self.bound_until = None;
                    None
                }
                // Nobody here says anything in private.
                Output::Tapped(_) | Output::Whispered(..) => None,
            });
        }
        if self.session.standing().members == 0 {
            self.inside = false;
        }
        told
    }
}
