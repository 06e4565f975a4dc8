//! What one more receiver of a message costs before anything is sealed: `cargo bench -p mrfp`. A sealed message of 1 KiB
//! that was admitted gets its number, is encoded once, addressed to each receiver and queued in its outbox, as `relay`
//! and `shard` do it; no lock and no socket. Criterion times a message; its throughput is receivers.
use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use control::{Gate, Level};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ids::{Epoch, Era, SeatId, Term};
use mrfp::outbox::{Bounds, Lane, Outbox, Part};
use mrfp::room::{Passage, Room};
use mrfp::session::{Admitted, Limits, Message, SEALED, Session, Surroundings};
use msrp::{Address, Chunk, Decoder, Frame, Item, MessageId, Path, SendRequest, cpim};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Octets of a message's content.
const OCTETS: usize = 1024;

const SENDER: SeatId = SeatId(0);
const LANE: Lane = Lane(1);
const BOUNDS: Bounds = Bounds { octets_max: 1 << 20, unanswered_max: 64 };
const LIMITS: Limits = Limits {
    sealed_octets_max: 1 << 20,
    handshake_octets_max: 1 << 20,
    held_max: 8,
    open_max: 8,
    chunk_timer: Duration::from_secs(540),
    wait: Duration::from_secs(5),
};

/// A room of which one shard has everybody.
struct Hall {
    room: Room,
    message: Message,
    receivers: Vec<(Address, Outbox)>,
    taken: Vec<Frame>,
    rng: StdRng,
    now: Instant,
}

impl Hall {
    fn new(receivers: usize) -> Self {
        let (now, mut rng) = (service::clock::now(), StdRng::seed_from_u64(1));
        let mut room = room(now);
        let message = admitted(&mut room, now, &mut rng);
        let address = |n| Address::new(&path("192.0.2.10", n), &path("relay.example.net", n));
        let receivers = (1..=receivers).map(|n| (address(n), Outbox::new(BOUNDS))).collect();
        Self { room, message, receivers, taken: Vec::new(), rng, now }
    }

    /// The measured part.
    fn relay(&mut self) {
        let passage = self.room.pass(&self.message, self.now);
        assert!(matches!(passage, Ok(Passage::Pass(_, Some(_)))), "{passage:?}");
        let (id, body) = (MessageId::random(&mut self.rng), self.message.body().clone());
        let send = SendRequest::whole(id, Bytes::from_static(cpim::MEDIA_TYPE.as_bytes()), body);
        let payload = send.encode(&mut self.rng);
        for (address, outbox) in &mut self.receivers {
            let pushed = outbox.push(LANE, Part::Whole, payload.to(address));
            assert!(black_box(pushed).is_ok(), "an outbox is full");
        }
    }

    /// Everything leaves and is answered.
    fn drain(&mut self) {
        for (_, outbox) in &mut self.receivers {
            outbox.take(usize::MAX, &mut self.taken);
            for frame in self.taken.drain(..) {
                outbox.answered(frame.payload.transaction());
            }
        }
    }
}

fn path(host: &str, n: usize) -> Path {
    format!("msrps://{host}:2855/s{n:020};tcp").parse().expect("a path")
}

/// A sealed room whose sender has taken its seat.
fn room(now: Instant) -> Room {
    let order = control::Room {
        uri: "sip:room7@example.net".into(),
        term: Term(1),
        level: Level::Sealed,
        gate: Some(Gate { era: Era(0), epoch: Epoch(1), shut: false, grace: false }),
        message_octets_max: 1 << 20,
        charge: false,
        stored: None,
    };
    let mut room = Room::new("room7".parse().expect("an id"), &order, now);
    let device = "urn:uuid:00000000-0000-4000-8000-000000000000".parse().expect("a device");
    let aor = "sip:user0@example.net".parse().expect("an address");
    room.seat(&control::Seat::new(SENDER, aor, device), now + Duration::from_secs(60));
    room
}

/// The prefix of an MLS message (RFC 9420, 6) and as much behind it as makes up the size.
fn sealed() -> Bytes {
    let mut octets = vec![0, 1, 0, 2, 7];
    octets.extend_from_slice(b"room7#0");
    octets.extend_from_slice(&1u64.to_be_bytes());
    octets.push(1);
    octets.resize(OCTETS, 0xa5);
    octets.into()
}

/// What the sender sends, as it comes out of the decoder.
fn chunk(rng: &mut StdRng) -> Chunk {
    let body = cpim::Builder::new("sip:user0@example.net", "sip:room7@example.net")
        .content(SEALED, sealed());
    let send = SendRequest::whole(MessageId::random(rng), cpim::MEDIA_TYPE, body);
    let address = Address::new(&path("relay.example.net", 0), &path("192.0.2.10", 0));
    let mut wire = BytesMut::from(&send.encode(rng).to(&address).to_bytes()[..]);
    match Decoder::default().next(&mut wire) {
        Ok(Some(Item::Request(chunk))) => chunk,
        other => panic!("no chunk: {other:?}"),
    }
}

fn admitted(room: &mut Room, now: Instant, rng: &mut StdRng) -> Message {
    let seen = room.bind(SENDER, 0).expect("the seat is free");
    let seen = seen.lock().expect("nobody else has it");
    let around = Surroundings { seat: SENDER, roster: room.roster(), seen: &seen, limits: &LIMITS };
    match Session::new(SENDER).admit(now, &chunk(rng), &around, rng) {
        Ok(Admitted::Whole(message)) => message,
        other => panic!("not admitted: {other:?}"),
    }
}

fn fanout(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay and push");
    for receivers in [100, 1000] {
        let hall = RefCell::new(Hall::new(receivers));
        group.throughput(Throughput::Elements(u64::try_from(receivers).unwrap_or(u64::MAX)));
        group.bench_function(format!("1 KiB to {receivers}"), |b| {
            let (drain, relay) = (|| hall.borrow_mut().drain(), |()| hall.borrow_mut().relay());
            b.iter_batched(drain, relay, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, fanout);
criterion_main!(benches);
