//! What the relay does with each chunk, in nanoseconds: `cargo bench -p msrp`. Each figure is one message of a buffer
//! that holds many, as a busy connection delivers them.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Bencher, Criterion, Throughput, criterion_group, criterion_main};
use msrp::{
    Address, Decoder, Item, MessageId, Path, Reply, SendRequest, Status, random_session_id,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Messages in one buffer.
const BURST: u64 = 64;

fn path(host: &str, seed: u64) -> Path {
    let id = random_session_id(&mut StdRng::seed_from_u64(seed));
    format!("msrps://{host}:2855/{id};tcp").parse().expect("a path")
}

fn send(octets: usize) -> SendRequest {
    let mut rng = StdRng::seed_from_u64(2);
    let body: Vec<u8> = (0..=250).cycle().take(octets).collect();
    SendRequest::whole(MessageId::random(&mut rng), "message/cpim", Bytes::from(body).into())
}

/// Messages of one session, or each of a session of its own.
fn burst(octets: usize, sessions: u64) -> BytesMut {
    let (mut rng, mut wire) = (StdRng::seed_from_u64(3), BytesMut::new());
    for n in 0..BURST {
        let session = n % sessions;
        let address =
            Address::new(&path("relay.example.net", session), &path("192.0.2.10", session));
        wire.extend_from_slice(&send(octets).encode(&mut rng).to(&address).to_bytes());
    }
    wire
}

fn answers() -> BytesMut {
    let mut requests = burst(0, 1);
    let (mut decoder, mut wire) = (Decoder::default(), BytesMut::new());
    while let Ok(Some(Item::Request(chunk))) = decoder.next(&mut requests) {
        let reply = Reply::new(&chunk.head, Status::OK).and_then(|reply| reply.encode());
        wire.extend_from_slice(&reply.expect("a SEND is answered").to_bytes());
    }
    wire
}

/// Criterion times a burst; its throughput is then one message.
fn decode(bencher: &mut Bencher<'_>, wire: &BytesMut) {
    let mut decoder = Decoder::default();
    bencher.iter_batched_ref(
        || wire.clone(),
        |input| {
            while let Ok(Some(item)) = decoder.next(input) {
                black_box(item);
            }
        },
        BatchSize::SmallInput,
    );
}

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(BURST));
    for octets in [100, 1024, 16 * 1024] {
        let wire = burst(octets, 1);
        group.bench_function(format!("SEND of {octets}"), |b| decode(b, &wire));
    }
    let wire = burst(1024, BURST);
    group.bench_function("SEND of 1024, paths never seen", |b| decode(b, &wire));
    let wire = answers();
    group.bench_function("200", |b| decode(b, &wire));
    group.finish();
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let mut rng = StdRng::seed_from_u64(4);
    let send = send(1024);
    group.bench_function("SEND of 1024", |b| b.iter(|| send.encode(&mut rng)));
    let address = Address::new(&path("relay.example.net", 1), &path("192.0.2.10", 1));
    let payload = send.encode(&mut rng);
    group.bench_function("address to one receiver", |b| b.iter(|| payload.to(&address)));
    let mut wire = burst(0, 1);
    let Ok(Some(Item::Request(chunk))) = Decoder::default().next(&mut wire) else { return };
    let answer = || Reply::new(&chunk.head, Status::OK).and_then(|reply| reply.encode());
    group.bench_function("200", |b| b.iter(answer));
    group.finish();
}

criterion_group!(benches, decoding, encoding);
criterion_main!(benches);
