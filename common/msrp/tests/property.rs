//! What must hold for any message, any cut of the stream and any octets at all. A failing case is printed, shrunk; turn
//! it into a named test or a seed of `fuzz/corpus`.

mod wire;

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use msrp::{
    Address, Body, ByteRange, Chunk, FailureReport, Flag, Limits, MessageId, Outcome, Path,
    Reassembly, Refusal, SendRequest, SuccessReport, TransactionId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::*;

/// Octets that look like the framing around them, so that every near miss is tried.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let near = prop_oneof![
        Just(b"\r\n-------".to_vec()),
        Just(b"-------abcd1234".to_vec()),
        Just(b"\r\n-------abcd1234".to_vec()),
        Just(b"\r\n-------abcd1234$\r".to_vec()),
        Just(b"\r\n-------abcd1234+\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"-".to_vec()),
        Just(b"MSRP abcd1234 SEND\r\n".to_vec()),
        vec(any::<u8>(), 0..40),
    ];
    vec(near, 0..12)
        .prop_map(|parts| parts.concat())
        // The real end-line must not be in it; a sender makes sure of that.
        .prop_filter("an end-line", |body| {
            let framed = [&b"\r\n"[..], body, b"\r\n-"].concat();
            let ends = |flag: char| format!("\r\n-------abcd1234{flag}\r\n").into_bytes();
            !['$', '+', '#']
                .iter()
                .any(|&flag| framed.windows(20).any(|window| window == ends(flag)))
        })
}

fn flag() -> impl Strategy<Value = char> {
    prop_oneof![Just('$'), Just('+'), Just('#')]
}

/// A message on the wire: good ones, answerable ones and responses.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => Just("SEND".to_owned()),
        1 => Just("REPORT".to_owned()),
        1 => Just("NICKNAME".to_owned()),
        1 => "[A-Z]{1,8}",
        1 => Just("200 OK".to_owned()),
        1 => "[0-9]{3}",
    ];
    let header = prop_oneof![
        4 => Just("Message-ID: m123\r\n".to_owned()),
        1 => Just("Byte-Range: 5-*/*\r\n".to_owned()),
        1 => Just("Status: 000 200 OK\r\n".to_owned()),
        1 => "[A-Za-z-]{1,9}: [ -~]{0,20}\r\n",
        1 => "[ -~]{1,12}\r\n".prop_filter("no end-line", |line| !line.starts_with("-------")),
    ];
    (word, vec(header, 0..6), proptest::option::weighted(0.8, octets()), flag()).prop_map(
        |(word, headers, body, flag)| message(&word, &headers.concat(), body.as_deref(), flag),
    )
}

/// `wire` cut at these places.
fn cut<'a>(wire: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(wire.len() + 1)).collect();
    places.extend([0, wire.len()]);
    places.sort_unstable();
    let pairs = places.iter().zip(places.iter().skip(1));
    pairs.map(|(start, end)| wire.get(*start..*end).unwrap_or_default()).collect()
}

fn small_pieces() -> Limits {
    Limits { piece_octets_max: 16, ..Limits::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_the_stream_gives_the_same(
        messages in vec(any_message(), 1..5),
        places in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let wire = messages.concat();
        let whole = read(&wire);
        prop_assert!(!whole.is_empty());
        prop_assert_eq!(&read_parts(Limits::default(), cut(&wire, &places)), &whole);
        prop_assert_eq!(&read_octets(&wire), &whole);
        prop_assert_eq!(&read_parts(small_pieces(), cut(&wire, &places)), &whole);
    }

    #[test]
    fn what_is_written_is_read_back(
        body in octets(),
        start in 1u64..1 << 40,
        total in proptest::option::of(1u64 << 41..1 << 42),
        seed in any::<u64>(),
        flag in prop_oneof![Just(Flag::End), Just(Flag::More), Just(Flag::Abort)],
        failure_report in prop_oneof![
            Just(FailureReport::Yes), Just(FailureReport::Partial), Just(FailureReport::No)
        ],
        success_report in prop_oneof![Just(SuccessReport::Yes), Just(SuccessReport::No)],
        header in ("[A-Z][a-z]{2,8}-[a-z]{1,4}", "[!-~]{1,20}"),
    ) {
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
        let range = ByteRange::piece(start, body.len() as u64, total);
        let send = SendRequest {
            message_id: MessageId::random(&mut rng),
            range,
            success_report,
            failure_report,
            headers: vec![header.clone()],
            content: Some((Bytes::from_static(b"a/b"), Bytes::from(body.clone()).into())),
            flag,
        };
        let path: Path = "msrp://b:1/b;tcp msrp://a:2/a;tcp".parse().unwrap();
        let address = Address::new(&path, &path.reversed());

        let payload = send.encode(&mut rng);
        let other = payload.under(TransactionId::random(&mut rng));

        for payload in [payload, other] {
            let frame = payload.to(&address);
            let wire = frame.to_bytes();
            prop_assert_eq!(frame.len(), wire.len());
            let chunk = request(&wire);
            prop_assert_eq!(chunk.head.transaction(), payload.transaction());
            prop_assert_eq!(chunk.head.message_id(), Some(send.message_id));
            prop_assert_eq!(chunk.head.from_path(), &path.reversed());
            prop_assert_eq!(chunk.head.failure_report(), failure_report);
            prop_assert_eq!(chunk.head.success_report(), success_report);
            prop_assert_eq!(chunk.head.headers().get(&header.0), Some(header.1.as_bytes()));
            prop_assert_eq!(chunk.range, range);
            prop_assert_eq!(chunk.end, Some(flag));
            prop_assert_eq!(chunk.body.gather(), &body[..]);
        }
    }

    #[test]
    fn arbitrary_octets_never_panic_and_leave_little_behind(
        octets in vec(any::<u8>(), 0..400),
        wire in any_message(),
        place in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        read(&octets);
        read_octets(&octets);
        let mut spoiled = wire;
        let place = place.index(spoiled.len());
        spoiled[place] = octet;
        prop_assert_eq!(read_octets(&spoiled), read(&spoiled));
    }

    #[test]
    fn chunks_in_any_order_make_what_was_written_last(
        length in 1usize..60,
        writes in vec((any::<prop::sample::Index>(), 1usize..20, any::<u8>()), 1..20),
    ) {
        // The model: an array that each chunk overwrites, and which octets have come.
        let (mut model, mut come) = (vec![0u8; length], vec![false; length]);
        let (mut reassembly, now) = (Reassembly::default(), instant());
        let mut open = None;
        for (start, size, octet) in &writes {
            let start = start.index(length);
            let end = (start + size).min(length);
            model[start..end].fill(*octet);
            come[start..end].fill(true);
            let last = end == length;
            let outcome = reassembly.add(now, &piece(start, &model[start..end], last));
            let complete = come.iter().all(|come| *come);
            match outcome.unwrap() {
                Outcome::Whole(whole) => {
                    prop_assert!(complete);
                    prop_assert_eq!(whole.body.gather(), &model[..]);
                    come.fill(false);
                    open = None;
                }
                Outcome::Open => {
                    // The octets may all be there while the chunk with `$` is not: it always reaches the end.
                    prop_assert!(!complete);
                    open = Some(come.iter().filter(|come| **come).count() as u64);
                }
                Outcome::Aborted(_) => prop_assert!(false, "nobody aborts"),
            }
            prop_assert_eq!(reassembly.octets(), open.unwrap_or(0));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "only differences of it matter")]
fn instant() -> Instant {
    Instant::now()
}

/// The octets from `start` (from 0) of message `m123`.
fn piece(start: usize, octets: &[u8], last: bool) -> Chunk {
    let range = format!("Message-ID: m123\r\nByte-Range: {}-*/*\r\n", start + 1);
    request(&send(&range, Some(octets), if last { '$' } else { '+' }))
}

#[test]
fn an_aborted_message_leaves_nothing() {
    let (mut reassembly, now) = (Reassembly::default(), instant());
    assert!(matches!(reassembly.add(now, &piece(0, b"abc", false)), Ok(Outcome::Open)));

    let abort = request(&send("Message-ID: m123\r\nByte-Range: 4-*/*\r\n", Some(b""), '#'));

    assert!(matches!(reassembly.add(now, &abort), Ok(Outcome::Aborted(_))));
    assert_eq!((reassembly.open(), reassembly.octets()), (0, 0));
    assert!(matches!(reassembly.add(now, &piece(3, b"d", true)), Ok(Outcome::Open)));
}

#[test]
fn more_open_messages_than_the_quota_allows_are_refused_and_the_others_stay() {
    let (mut reassembly, now) = (Reassembly::default(), instant());
    let add = |reassembly: &mut Reassembly, n: usize| {
        let chunk = request(&send(&format!("Message-ID: m{n:03}\r\n"), Some(b"x"), '+'));
        reassembly.add(now, &chunk).map(drop)
    };
    for n in 0..16 {
        assert_eq!(add(&mut reassembly, n), Ok(()));
    }

    assert_eq!(add(&mut reassembly, 16), Err(Refusal::TooManyOpen));
    assert_eq!(reassembly.open(), 16);
    let whole = request(&send("Message-ID: whole\r\n", Some(b"x"), '$'));
    assert!(matches!(reassembly.add(now, &whole), Ok(Outcome::Whole(_))));
}

#[test]
fn octets_that_trickle_in_from_many_buffers_are_bounded_and_not_lost() {
    let body: Vec<u8> = (0..=250).cycle().take(40_000).collect();
    let wire = send("Message-ID: m123\r\n", Some(&body), '$');
    let mut decoder = msrp::Decoder::default();
    let (mut seen, mut input) = (Body::new(), BytesMut::new());
    for part in wire.chunks(20) {
        // A buffer of its own for each read, so that no slice can join its neighbour.
        let mut fresh = BytesMut::from(&input[..]);
        fresh.extend_from_slice(part);
        input = fresh;
        while let Some(msrp::Item::Request(chunk)) = decoder.next(&mut input).unwrap() {
            assert!(chunk.body.slice_count() <= 2048 / 20 + 2);
            assert!(chunk.end.is_some() || chunk.body.len() >= 2048);
            seen.append(&chunk.body);
        }
    }

    assert_eq!(seen.gather(), body);
}
