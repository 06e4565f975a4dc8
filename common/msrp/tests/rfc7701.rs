//! The rules of RFC 7701 (chat rooms) that fall to the codec, by section.

mod wire;

use bytes::Bytes;
use msrp::cpim::{self, BadCpim, Builder, Gather};
use msrp::{BadNickname, Body, Path, Request, TransactionId};
use wire::*;

#[test]
fn s6_1_a_room_message_has_exactly_one_from_and_one_to() {
    let read = |headers: &str| {
        let text = format!("{headers}\r\nContent-Type: a/b\r\n\r\n");
        cpim::parse(&Bytes::from(text)).unwrap().unwrap()
    };
    let (from, to) = ("From: <sip:alice@example.net>\r\n", "To: <sip:room7@example.net>\r\n");

    let good = read(&format!("{from}{to}"));
    assert_eq!(good.from().unwrap().uri, "sip:alice@example.net");
    assert_eq!(good.only_to().unwrap().uri, "sip:room7@example.net");
    assert_eq!(read(to).from().unwrap_err(), BadCpim::Missing("From"));
    assert_eq!(read(from).only_to().unwrap_err(), BadCpim::Missing("To"));
    let two = read(&format!("{from}{to}To: <sip:bob@example.net>\r\n"));
    assert_eq!(two.only_to().unwrap_err(), BadCpim::Repeated("To"));
    assert_eq!(two.to().unwrap().len(), 2);
    assert_eq!(read(&format!("{from}{from}{to}")).from().unwrap_err(), BadCpim::Repeated("From"));
    assert_eq!(read("From: alice\r\n").from().unwrap_err(), BadCpim::Malformed("From"));
}

#[test]
fn s6_1_headers_are_gathered_over_as_many_chunks_as_they_take() {
    let whole = Builder::new("sip:alice@example.net", "sip:room7@example.net")
        .content("text/plain", Bytes::from_static(b"Hello"));
    let octets = whole.gather();

    for size in [1, 2, 7, 50, 1000] {
        let (mut gather, mut found) = (Gather::default(), None);
        for piece in octets.chunks(size) {
            let piece = Body::from(Bytes::copy_from_slice(piece));
            match &found {
                None => found = gather.push(&piece).unwrap(),
                Some(_) => break,
            }
        }
        let envelope = found.unwrap();
        assert_eq!(envelope.from().unwrap().uri, "sip:alice@example.net", "{size}");
        assert!(envelope.is_type("text/plain"));
        assert_eq!(envelope.octets(), octets.len() - 5);
        let held = gather.take().gather();
        assert!(octets.starts_with(&held) && held.len() >= envelope.octets());
    }
}

#[test]
fn s6_1_headers_longer_than_16_kib_are_refused_and_not_kept_waiting_for() {
    let line = Bytes::from(format!("X: {}\r\n", "y".repeat(1019)));
    let mut gather = Gather::default();
    let mut results = Vec::new();
    for _ in 0..16 {
        results.push(gather.push(&line.clone().into()).map(|found| found.is_some()));
    }

    assert_eq!(results.pop(), Some(Err(BadCpim::TooLong)));
    assert!(results.iter().all(|result| *result == Ok(false)));
    let endless = Bytes::from(vec![b'x'; 1 << 20]);
    assert_eq!(Gather::default().push(&endless.into()).unwrap_err(), BadCpim::TooLong);
}

#[test]
fn s7_1_a_nickname_request_is_written_and_read() {
    let to: Path = "msrps://mrfp1.example.net:2855/s1;tcp".parse().unwrap();
    let from: Path = "msrps://ua.example.net:9/u1;tcp".parse().unwrap();
    let tid = TransactionId::parse(b"k93s8a2f").unwrap();

    let wire = Request::nickname(&to, &from, "Blue Jay").encode(tid).to_bytes();

    assert_eq!(
        text(&wire),
        "MSRP k93s8a2f NICKNAME\r\nTo-Path: msrps://mrfp1.example.net:2855/s1;tcp\r\n\
         From-Path: msrps://ua.example.net:9/u1;tcp\r\nUse-Nickname: \"Blue Jay\"\r\n\
         -------k93s8a2f$\r\n"
    );
    assert_eq!(request(&wire).head.use_nickname().unwrap(), "Blue Jay");
}

#[test]
fn s7_1_a_nickname_that_is_not_quoted_or_not_utf8_is_malformed() {
    let ask = |value: &[u8]| {
        let headers = [b"Use-Nickname: ".as_slice(), value, b"\r\n"].concat();
        let wire = message("NICKNAME", "HERE", None, '$');
        let at = wire.windows(4).position(|w| w == b"HERE").unwrap();
        let wire = [&wire[..at], &headers, &wire[at + 4..]].concat();
        request(&wire).head.use_nickname()
    };

    assert_eq!(ask(b"\"Alice \\\"the\\\" great\"").unwrap(), "Alice \"the\" great");
    assert_eq!(ask(b"Alice").unwrap_err(), BadNickname);
    assert_eq!(ask(b"\"\xc3\x28\"").unwrap_err(), BadNickname);
    assert_eq!(ask(format!("\"{}\"", "a".repeat(1024)).as_bytes()).unwrap_err(), BadNickname);
    assert!(request(&message("NICKNAME", "", None, '$')).head.use_nickname().is_err());
}

#[test]
fn s7_3_an_empty_nickname_asks_to_remove_the_one_there_is() {
    let wire = message("NICKNAME", "Use-Nickname: \"\"\r\n", None, '$');

    assert_eq!(request(&wire).head.use_nickname().unwrap(), "");
}
