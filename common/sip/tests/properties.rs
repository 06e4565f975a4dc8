//! What holds for any bytes: every split gives the same messages, what is written reads back, nothing panics.
#![expect(clippy::indexing_slicing, reason = "the index is made for the length")]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use sip::digest::{Challenge, Credentials};
use sip::sdp::{Offer, parse_answer};
use sip::{Decoder, Headers, Item, Limits, Message, Name, Request, Response, Side, Status, Uri};

const SEED: &[u8] = b"INVITE sip:room7@conf.example.net;x=y SIP/2.0\r\nVia: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK1, SIP/2.0/TCP b\r\n\
Max-Forwards: 70\r\nFrom: \"Al \\\" ice\" <sip:alice@example.net>;tag=a1\r\nt: sip:room7@conf.example.net ; tag = x\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\
Contact: <sip:a@b;gr=urn:uuid:1>;q=0.5;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"\r\nWarning: 399 a \"b\"\r\n\
Authorization: Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"x\", cnonce=\"c\", qop=auth, nc=00000001\r\n\
Reason: SIP;cause=200\r\nEvent: refer\r\nSubscription-State: active;expires=1\r\nContent-Type: a/b;c=d\r\nExpires: 1\r\nSubject: a\r\n b\r\nContent-Length: 4\r\n\r\nbody\r\n\r\n\
SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS a\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nl: 0\r\n\r\n\r\n\r\n";

const SDP: &[u8] = b"v=0\r\no=alice 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=message 9 TCP/TLS/MSRP *\r\n\
a=path:msrps://192.0.2.10:9/ab12;tcp\r\na=setup:active\r\na=accept-types:message/cpim\r\na=max-size:1\r\na=fingerprint:SHA-256 12:34\r\n";

fn limits() -> Limits {
    Limits { head_bytes_max: 2048, headers_max: 40, body_bytes_max: 600, skipped_bytes_max: 700 }
}

/// Everything that comes out when `bytes` arrives in pieces of these sizes, again and again.
fn decode(side: Side, bytes: &[u8], pieces: &[usize]) -> Vec<Item> {
    let mut decoder = Decoder::new(side, limits());
    let (mut buffer, mut items, mut rest) = (BytesMut::new(), Vec::new(), bytes);
    let mut sizes = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
        buffer.extend_from_slice(piece);
        items.extend(std::iter::from_fn(|| decoder.decode(&mut buffer)));
        rest = after;
    }
    items
}

/// Asks for everything that can be asked.
fn read_all(headers: &Headers) {
    drop((headers.vias(), headers.contacts(), headers.routes(), headers.record_routes()));
    drop((headers.refer_to(), headers.reasons(), headers.event(), headers.subscription_state()));
    drop((headers.warnings(), headers.content_type(), headers.expires(), headers.contact()));
    for contact in headers.addresses(Name::Contact).unwrap_or_default() {
        drop((
            contact.preference(),
            contact.expires(),
            contact.instance(),
            contact.uri.aor(),
            contact.to_string(),
        ));
    }
    drop(Credentials::find(headers, "r"));
}

/// The seed with some bytes overwritten, some cut out, some put in.
fn mutated(seed: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let place = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n \t:;,=\"<>@\\%0".to_vec())];
    let change = (any::<prop::sample::Index>(), 0..3_u8, place);
    prop::collection::vec(change, 0..6).prop_map(move |changes| {
        let mut bytes = seed.to_vec();
        for (at, kind, byte) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("line breaks end a line", |b| !matches!(b, b'\r' | b'\n'));
    prop::collection::vec(byte, 0..40).prop_map(|value| value.trim_ascii().to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_any_bytes_gives_the_same_items(
        bytes in prop_oneof![mutated(SEED), prop::collection::vec(any::<u8>(), 0..300), "[\r\nA:/ .S]{0,200}".prop_map(Into::into)],
        pieces in prop::collection::vec(1..60_usize, 1..8),
    ) {
        for side in [Side::Accepted, Side::Dialled] {
            let whole = decode(side, &bytes, &[usize::MAX]);
            prop_assert_eq!(&decode(side, &bytes, &pieces), &whole);
            prop_assert_eq!(&decode(side, &bytes, &[1]), &whole);
        }
    }

    #[test]
    fn any_bytes_can_be_read_and_answered_without_a_panic(bytes in mutated(SEED)) {
        for item in decode(Side::Accepted, &bytes, &[usize::MAX]) {
            match item {
                Item::Message(message) => read_all(message.headers()),
                Item::Malformed(bad) => drop(bad.answer.map(|answer| answer.to_bytes())),
                Item::Ping | Item::Pong => {}
            }
        }
    }

    #[test]
    fn what_is_written_reads_back(
        names in prop::collection::vec("[A-Za-z-]{2,12}", 0..10),
        values in prop::collection::vec(value(), 10),
        body in prop::collection::vec(any::<u8>(), 0..500),
        method in "[A-Z!%_]{1,12}", user in ".{1,20}", code in 100..700_u16,
    ) {
        let uri = sip::SipUri::new(Some(&user), "example.net").unwrap();
        let mut request = Request::new(method.parse().unwrap(), uri)
            .with(Name::Via, "SIP/2.0/TLS a;branch=z9hG4bK1").with(Name::From, "<sip:a@b>;tag=1").with(Name::To, "<sip:a@b>")
            .with(Name::CallId, "c").with(Name::CSeq, format!("1 {method}"));
        for (name, value) in names.iter().zip(values) {
            let name = Name::parse(format!("x-{name}").as_bytes()).unwrap();
            request.headers.push(name, Bytes::from(value));
        }
        request.body = body.into();
        let items = decode(Side::Accepted, &request.to_bytes(), &[7]);
        prop_assert_eq!(items, vec![Item::Message(Message::Request(request.clone()))]);

        let response = Response::to(&request, Status::new(code).unwrap()).with_reason(user.trim().replace(|c: char| c.is_control(), " "));
        let items = decode(Side::Dialled, &response.to_bytes(), &[7]);
        prop_assert_eq!(items, vec![Item::Message(Message::Response(response))]);
    }

    #[test]
    fn a_uri_that_is_read_is_written_as_it_was(text in "sips?:[ -~]{1,40}|[ -~]{0,40}") {
        if let Ok(uri) = text.parse::<Uri>() {
            let written = uri.to_string();
            prop_assert!(written.eq_ignore_ascii_case(&text), "{written} {text}");
            prop_assert_eq!(written.parse::<Uri>(), Ok(uri.clone()));
            prop_assert!(uri.is_equivalent(&uri));
        }
    }

    #[test]
    fn any_authentication_field_is_read_without_a_panic(text in "(Digest )?([a-z]{1,8}=?(\"?[ -~]{0,8}\"?),? ?){0,8}") {
        for challenge in Challenge::parse_all(&text) {
            prop_assert_eq!(Challenge::parse_all(&challenge.to_string()), vec![challenge]);
        }
        if let Ok(Some(credentials)) = Credentials::parse(&text) {
            prop_assert_eq!(Credentials::parse(&credentials.to_string()), Ok(Some(credentials)));
        }
    }

    #[test]
    fn any_sdp_is_read_without_a_panic(bytes in prop_oneof![mutated(SDP), prop::collection::vec(any::<u8>(), 0..200)]) {
        if let Ok(offer) = Offer::parse(&bytes) {
            let origin = sip::sdp::Origin { username: String::new(), session: 1, version: 1, address: "a.example".into() };
            let answer = offer.answer(&origin, offer.media());
            prop_assert!(Offer::parse(&answer).is_ok(), "{:?}", answer);
        }
        drop(parse_answer(&bytes));
    }
}
