//! What a peer with the right keys, or somebody between without them, can send and must gain nothing by. The corpus of the
//! fuzzer (`fuzz/corpus/record`) is replayed here, with some programs by chance.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::indexing_slicing, reason = "tables of fewer entries than the index can name")]
mod probe;

use std::fs;
use std::path::Path;

use bytes::BytesMut;
use probe::peer::{ALERT, DATA, End, HANDSHAKE, Peer, pair};
use record::{Error, FRAGMENT_OCTETS_MAX, Incoming, Records};

/// Records in a row that say nothing.
const WORDLESS_MAX: usize = 32;

const USER_CANCELED: [u8; 2] = [1, 90];
const TICKET: [u8; 4] = [4, 0, 0, 0];

/// What comes of these records, behind a word that was opened before.
fn after_a_word(records: &mut Records, wire: &[u8]) -> (Result<Incoming, Error>, BytesMut) {
    let mut opened = BytesMut::from(&b"before"[..]);
    (records.open(wire, &mut opened), opened)
}

#[test]
fn what_does_not_open_or_may_not_come_leaves_nothing_behind() {
    type Make = fn(&mut Peer) -> Vec<u8>;
    let cases: [(Make, Error); 5] = [
        (
            |peer| {
                let mut wire = peer.seal(DATA, b"forged", 0);
                wire[9] ^= 1;
                wire
            },
            Error::Forged,
        ),
        (|peer| peer.seal(DATA, &[7; FRAGMENT_OCTETS_MAX + 1], 0), Error::TooLong),
        (|peer| peer.seal(22, &[99, 1, 1, 1], 0), Error::Unexpected),
        (|peer| peer.seal(20, b"\x01", 0), Error::Unexpected),
        (|peer| peer.seal(0, &[0; 10], 0), Error::Unexpected),
    ];
    for end in [End::Server, End::Client] {
        for (make, error) in cases {
            let (mut records, mut peer) = pair(end);
            let wire = make(&mut peer);
            let (result, opened) = after_a_word(&mut records, &wire);
            assert_eq!((result, &*opened), (Err(error), &b"before"[..]));
        }
    }
}

#[test]
fn s6_2_behind_an_error_nothing_is_opened_any_more() {
    let (mut records, mut peer) = pair(End::Server);
    let bad = peer.seal(HANDSHAKE, &[99], 0);
    let good = peer.seal(DATA, b"good", 0);
    let mut opened = BytesMut::new();
    assert_eq!(records.open(&bad, &mut opened), Err(Error::Unexpected));

    assert_eq!(records.open(&good, &mut opened), Err(Error::Unexpected));
    assert!(opened.is_empty());
}

#[test]
fn s5_4_padding_counts_towards_the_length_of_a_record() {
    for (octets, padding, wanted) in [
        (FRAGMENT_OCTETS_MAX, 0, Ok(Incoming::Open)),
        (1, FRAGMENT_OCTETS_MAX - 1, Ok(Incoming::Open)),
        (1, FRAGMENT_OCTETS_MAX, Err(Error::TooLong)),
        (FRAGMENT_OCTETS_MAX, 1, Err(Error::TooLong)),
    ] {
        let (mut records, mut peer) = pair(End::Server);
        let wire = peer.seal(DATA, &vec![7; octets], padding);
        let mut opened = BytesMut::new();
        assert_eq!(records.open(&wire, &mut opened), wanted, "{octets} and {padding}");
        assert_eq!(opened.len(), if wanted.is_ok() { octets } else { 0 });
    }
}

#[test]
fn records_that_say_nothing_end_the_connection_when_there_are_many_in_a_row() {
    type Make = fn(&mut Peer) -> Vec<u8>;
    let cases: [(End, Make); 5] = [
        (End::Server, |peer| peer.seal(DATA, b"", 0)),
        (End::Server, |peer| peer.seal(DATA, b"", 1000)),
        (End::Server, |peer| peer.seal(ALERT, &USER_CANCELED, 0)),
        (End::Server, |peer| peer.update(true)),
        (End::Client, |peer| peer.seal(HANDSHAKE, &TICKET, 0)),
    ];
    for (case, (end, make)) in cases.into_iter().enumerate() {
        let (mut records, mut peer) = pair(end);
        let mut opened = BytesMut::new();
        for _ in 0..2 {
            for _ in 0..WORDLESS_MAX {
                let wire = make(&mut peer);
                assert_eq!(records.open(&wire, &mut opened), Ok(Incoming::Open), "{case}");
            }
            let word = peer.seal(DATA, b"word", 0);
            assert_eq!(records.open(&word, &mut opened), Ok(Incoming::Open), "{case}");
        }
        let flood: Vec<u8> = (0..=WORDLESS_MAX).flat_map(|_| make(&mut peer)).collect();
        assert_eq!(records.open(&flood, &mut opened), Err(Error::Unexpected), "{case}");
        assert_eq!(opened, "wordword");
    }
}

#[test]
fn a_message_in_many_pieces_is_a_flood_too() {
    let (mut records, mut peer) = pair(End::Client);
    let mut wire = peer.seal(HANDSHAKE, &[4, 0, 255, 255], 0);
    for _ in 0..WORDLESS_MAX {
        wire.extend(peer.seal(HANDSHAKE, b"x", 0));
    }
    assert_eq!(records.open(&wire, &mut BytesMut::new()), Err(Error::Unexpected));
}

#[test]
fn s5_1_nothing_comes_between_the_pieces_of_a_message() {
    for (kind, content) in [(DATA, &b"data"[..]), (DATA, b""), (ALERT, &USER_CANCELED)] {
        let (mut records, mut peer) = pair(End::Server);
        let wire = [peer.seal(HANDSHAKE, &[24, 0], 0), peer.seal(kind, content, 0)].concat();
        assert_eq!(records.open(&wire, &mut BytesMut::new()), Err(Error::Unexpected), "{kind}");
    }
}

#[test]
fn s6_2_the_peer_is_told_what_was_wrong() {
    let illegal_parameter = 47;
    let (decode_error, unexpected_message, record_overflow) = (50, 10, 22);
    for (kind, content, wanted) in [
        (HANDSHAKE, &[24, 0, 0, 1, 2][..], illegal_parameter),
        (HANDSHAKE, &[24, 0, 0, 2, 0, 0], decode_error),
        (HANDSHAKE, &[24, 0, 0, 0], decode_error),
        (HANDSHAKE, &[24, 0, 0, 1, 0, 24], unexpected_message),
        (HANDSHAKE, &[1, 0, 0, 0], unexpected_message),
        // 5.4: no empty ones.
        (HANDSHAKE, &[], unexpected_message),
        (ALERT, &[], unexpected_message),
        (ALERT, &[1], decode_error),
        (ALERT, &[1, 0, 1, 0], decode_error),
        (DATA, &[7; FRAGMENT_OCTETS_MAX + 1], record_overflow),
    ] {
        let (mut records, mut peer) = pair(End::Server);
        let wire = peer.seal(kind, content, 0);
        let error = records.open(&wire, &mut BytesMut::new()).unwrap_err();
        let mut out = Vec::new();
        records.alert(error, &mut out).unwrap();
        let short = &content[..content.len().min(8)];
        assert_eq!(peer.open(&out), [(ALERT, vec![2, wanted])], "{kind} {short:?}");
    }
}

#[test]
fn s6_2_no_alert_but_two_is_survived_whatever_its_level_says() {
    for description in 0..=255 {
        let (mut records, mut peer) = pair(End::Server);
        let wire = peer.seal(ALERT, &[1, description], 0);
        let wanted = match description {
            0 => Ok(Incoming::Closed),
            90 => Ok(Incoming::Open),
            other => Err(Error::Alert(other)),
        };
        assert_eq!(records.open(&wire, &mut BytesMut::new()), wanted);
    }
}

#[test]
fn s4_6_3_a_key_that_changes_without_a_word_opens_nothing() {
    let (mut records, mut peer) = pair(End::Server);
    peer.change_key();
    let wire = peer.seal(DATA, b"under the next key", 0);
    assert_eq!(records.open(&wire, &mut BytesMut::new()), Err(Error::Forged));
}

#[test]
fn every_program_of_the_corpus_stands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/record");
    let mut programs = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        // A failing test names the program: what it printed last.
        println!("{}", path.display());
        probe::probe(&fs::read(&path).unwrap());
        programs += 1;
    }

    assert!(programs >= 10, "{programs} programs");
}

#[test]
fn programs_by_chance_stand() {
    for seed in 0..150_u32 {
        println!("seed {seed}");
        // A generator of random octets that needs no crate (Marsaglia's xorshift).
        let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
        let program: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_be_bytes()[1]
        })
        .take(300)
        .collect();
        probe::probe(&program);
    }
}
