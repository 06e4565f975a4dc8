//! Nanoseconds per operation of what the relay does for each chunk: `cargo bench -p msrp`. The median and the 1st
//! percentile of many rounds; the latter is what a quiet machine shows.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures and prints")]

use std::hint::black_box;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use msrp::{
    Address, Decoder, Item, MessageId, Path, Reply, SendRequest, Status, random_session_id,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

const PER_ROUND: usize = 64;
const ROUNDS: usize = 2001;

/// Prints the median time of one of the `PER_ROUND` operations that `round` does on what `prepare` made.
fn measure<T>(name: &str, mut prepare: impl FnMut() -> T, mut round: impl FnMut(&mut T)) {
    let mut times: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let mut input = prepare();
            let start = Instant::now();
            round(&mut input);
            start.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
    let quiet = times.get(ROUNDS / 100).copied().unwrap_or_default();
    let per_operation = |round: u128| round / PER_ROUND as u128;
    println!("{name:<40} {:>7} ns {:>7} ns", per_operation(median), per_operation(quiet));
}

fn decode(input: &mut BytesMut) {
    let mut decoder = Decoder::default();
    while let Ok(Some(item)) = decoder.next(input) {
        black_box(item);
    }
}

fn main() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut path = |host: &str| -> Option<Path> {
        format!("msrps://{host}:2855/{};tcp", random_session_id(&mut rng)).parse().ok()
    };
    let (Some(to), Some(from)) = (path("relay.example.net"), path("192.0.2.10")) else { return };
    let address = Address::new(&to, &from);
    let mut rng = StdRng::seed_from_u64(2);

    for octets in [100, 1024, 16 * 1024] {
        let body: Vec<u8> = (0..=250).cycle().take(octets).collect();
        let send = SendRequest::whole(
            MessageId::random(&mut rng),
            "message/cpim",
            Bytes::from(body).into(),
        );
        let frame = send.encode(&mut rng).to(&address).to_bytes();
        let wire = BytesMut::from(&frame[..].repeat(PER_ROUND)[..]);
        measure(&format!("decode a SEND of {octets} octets"), || wire.clone(), decode);
        measure(
            &format!("encode a SEND of {octets} octets"),
            || StdRng::seed_from_u64(3),
            |rng| (0..PER_ROUND).for_each(|_| drop(black_box(send.encode(rng)))),
        );
    }

    let payload = SendRequest::bodiless(MessageId::random(&mut rng)).encode(&mut rng);
    let wire = payload.to(&address).to_bytes();
    let item = Decoder::default().next(&mut BytesMut::from(&wire[..]));
    let Ok(Some(Item::Request(chunk))) = item else { return };
    let reply = || Reply::new(&chunk.head, Status::OK).and_then(|reply| reply.encode());
    measure("encode a 200", || (), |()| (0..PER_ROUND).for_each(|_| drop(black_box(reply()))));
    measure(
        "address a frame to one receiver",
        || (),
        |()| (0..PER_ROUND).for_each(|_| drop(black_box(payload.to(&address)))),
    );
    let Some(reply) = reply() else { return };
    let wire = BytesMut::from(&reply.to_bytes()[..].repeat(PER_ROUND)[..]);
    measure("decode a 200", || wire.clone(), decode);
}
