//! Frames survive any cut of the stream; what is not a frame of the contract is refused by the name of its field.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use control::{
    AuthAnswer, AuthAsked, BadFrame, Cause, Charge, Codec, Deposit, Dial, Ending, FRAME_OCTETS_MAX,
    Gate, Hello, Level, Logged, Match, Notice, Order, Page, Reach, ReplayAsked, Room, RoomNotice,
    RoomOrder, Seat, ToFocus, ToRelay, Transport, Welcome,
};
use ids::{Aor, ConferenceId, DeviceId, Epoch, Era, Key, Number, SeatId, Term};
use proptest::prelude::*;

fn conference() -> impl Strategy<Value = ConferenceId> {
    "[a-z0-9][a-z0-9._-]{0,20}".prop_map(|text| text.parse().unwrap())
}

fn gate() -> impl Strategy<Value = Gate> {
    (any::<u32>(), any::<u64>(), any::<bool>(), any::<bool>()).prop_map(
        |(era, epoch, shut, grace)| Gate { era: Era(era), epoch: Epoch(epoch), shut, grace },
    )
}

fn body() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn reach() -> impl Strategy<Value = Reach> {
    let transport =
        prop_oneof![Just(Transport::Tls), Just(Transport::WebSocket), Just(Transport::Tcp)];
    let to = prop::option::of("[a-z]{1,9}:2855");
    let dial = prop::option::of(to.prop_map(|to| Dial { to }));
    let fingerprints = prop::collection::vec("SHA-256 [0-9A-F]{2}", 0..3);
    (transport, fingerprints, dial).prop_map(|(transport, fingerprints, dial)| Reach {
        transport,
        fingerprints,
        dial,
    })
}

fn seat() -> impl Strategy<Value = Seat> {
    let path = prop::option::of("msrps://[a-z]{1,9}:2855/[a-z0-9]{1,20};tcp");
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let types = prop::collection::vec("[a-z]{1,9}/[a-z*]{1,9}", 0..4);
    (any::<u64>(), "[a-z]{1,9}", any::<u128>(), flags, path, types, reach()).prop_map(
        |(seat, user, device, flags, path, accept_wrapped_types, reach)| {
            let hex = format!("{device:032x}");
            let (a, rest) = hex.split_at(8);
            let (b, rest) = rest.split_at(4);
            let (c, rest) = rest.split_at(4);
            let (d, e) = rest.split_at(4);
            let device = format!("urn:uuid:{a}-{b}-{c}-{d}-{e}");
            let aor = format!("sip:{user}@example.net").parse::<Aor>().unwrap();
            let device = device.parse::<DeviceId>().unwrap();
            Seat {
                identities: vec![format!("sip:{user}@example.net")],
                muted: flags.0,
                private_messages: flags.1,
                peer_path: path,
                accept_wrapped_types,
                reach,
                matching: if flags.2 { Match::SessionId } else { Match::Strict },
                ..Seat::new(SeatId(seat), aor, device)
            }
        },
    )
}

fn number() -> impl Strategy<Value = Number> {
    (any::<u32>(), any::<u64>()).prop_map(|(term, n)| Number { term: Term(term), n })
}

fn page() -> impl Strategy<Value = Page> {
    let entries = prop::collection::btree_map(number(), body(), 1..5);
    (any::<u64>(), entries, any::<bool>()).prop_map(|(seat, entries, complete)| {
        let mut entries = entries.into_iter();
        let after = entries.next().map(|(first, _)| first).unwrap_or_default();
        Page { seat: SeatId(seat), after, entries: entries.collect(), complete }
    })
}

fn deposit() -> impl Strategy<Value = Deposit> {
    let device = "urn:uuid:00000000-0000-4000-8000-000000000001";
    let kinds = vec![Logged::Commit, Logged::Message(device.parse().unwrap())];
    (number(), prop::sample::select(kinds), any::<u64>(), body())
        .prop_map(|(number, kind, at_ms, cpim)| Deposit { number, kind, at_ms, cpim })
}

fn room_order() -> impl Strategy<Value = RoomOrder> {
    let level = prop::sample::select(vec![Level::Sealed, Level::Open, Level::Pair]);
    let octets = (any::<u64>(), any::<bool>(), prop::option::of(number()));
    let room = (any::<u32>(), level, prop::option::of(gate()), octets).prop_map(
        |(term, level, gate, (message_octets_max, charge, stored))| Room {
            uri: "sip:room7@example.net".into(),
            term: Term(term),
            level,
            gate,
            message_octets_max,
            charge,
            stored,
        },
    );
    prop_oneof![
        room.prop_map(RoomOrder::Open),
        ".{0,20}".prop_map(|reason| RoomOrder::Close { reason }),
        seat().prop_map(RoomOrder::Seat),
        (any::<u64>(), ".{0,20}")
            .prop_map(|(seat, reason)| RoomOrder::Unseat { seat: SeatId(seat), reason }),
        gate().prop_map(RoomOrder::Gate),
        (any::<u64>(), body(), prop::option::of(gate()))
            .prop_map(|(key, cpim, gate)| RoomOrder::Broadcast { key: Key(key), cpim, gate }),
        (any::<u64>(), any::<u64>(), body()).prop_map(|(key, seat, cpim)| RoomOrder::Deliver {
            key: Key(key),
            seat: SeatId(seat),
            cpim
        }),
        (any::<u64>(), any::<u64>(), 100_u16..1000).prop_map(|(seat, request, status)| {
            RoomOrder::NicknameAnswer { seat: SeatId(seat), request, status }
        }),
        number().prop_map(RoomOrder::Stored),
        number().prop_map(RoomOrder::Unstored),
        page().prop_map(RoomOrder::Page),
    ]
}

fn to_relay() -> impl Strategy<Value = ToRelay> {
    let room = (conference(), room_order()).prop_map(|(name, order)| Order::room(name, order));
    let drain = any::<u64>().prop_map(|s| Order::Drain { deadline: Duration::from_secs(s) });
    let auth =
        (any::<u64>(), 100_u16..1000, "[0-9a-f]{0,64}").prop_map(|(request, status, rspauth)| {
            Order::Auth(AuthAnswer { request, status, rspauth })
        });
    let order = prop_oneof![9 => room, 1 => drain, 1 => auth];
    let welcome = (".{0,9}", "[a-z]{1,9}", any::<u64>(), any::<u64>());
    prop_oneof![
        8 => (any::<u64>(), order).prop_map(|(number, order)| ToRelay::Order { number, order }),
        1 => welcome.prop_map(|(focus, incarnation, acknowledge, last_order)| {
            ToRelay::Welcome(Welcome { focus, incarnation, acknowledge, last_order })
        }),
        1 => any::<u64>().prop_map(ToRelay::Acknowledge),
        1 => Just(ToRelay::Complete),
    ]
}

fn charge() -> impl Strategy<Value = Charge> {
    let ending = prop_oneof![
        Just(Ending::Complete),
        Just(Ending::Aborted),
        (300_u16..1000).prop_map(Ending::Refused)
    ];
    let numbers = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>());
    (numbers, "[a-z]{1,9}", ".{0,9}", ".{0,9}", ending).prop_map(
        |(numbers, message_id, content_type, wrapped_type, ending)| Charge {
            seat: SeatId(numbers.0),
            receivers: numbers.1,
            message_id,
            octets: numbers.2,
            content_type,
            wrapped_type,
            ending,
            started_ms: numbers.3,
            ended_ms: numbers.4,
        },
    )
}

fn room_notice() -> impl Strategy<Value = RoomNotice> {
    let seat = any::<u64>().prop_map(SeatId);
    let causes = [Cause::Disconnected, Cause::Slow, Cause::Silent, Cause::Misbehaved];
    prop_oneof![
        (seat.clone(), ".{1,30}").prop_map(|(seat, path)| RoomNotice::Seated { seat, path }),
        seat.clone().prop_map(|seat| RoomNotice::Bound { seat }),
        (seat.clone(), prop::sample::select(causes.to_vec()))
            .prop_map(|(seat, cause)| RoomNotice::Lost { seat, cause }),
        (seat.clone(), ".{0,9}", ".{0,9}", body()).prop_map(
            |(seat, message_id, content_type, body)| {
                RoomNotice::Handshake { seat, message_id, content_type, body }
            }
        ),
        (any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(key, term, n)| {
            RoomNotice::Broadcasted { key: Key(key), number: Number { term: Term(term), n } }
        }),
        (seat, any::<u64>(), ".{0,9}").prop_map(|(seat, request, nickname)| {
            RoomNotice::NicknameAsked { seat, request, nickname }
        }),
        charge().prop_map(RoomNotice::Charged),
        deposit().prop_map(RoomNotice::Deposit),
        number().prop_map(|number| {
            let device = "urn:uuid:00000000-0000-4000-8000-000000000002".parse().unwrap();
            RoomNotice::Reached(vec![(device, number)])
        }),
        (any::<u64>(), number()).prop_map(|(seat, after)| {
            let device = "urn:uuid:00000000-0000-4000-8000-000000000003".parse().unwrap();
            RoomNotice::ReplayAsked(ReplayAsked { seat: SeatId(seat), device, after })
        }),
        any::<u64>().prop_map(|known| RoomNotice::Skipped { known: Key(known) }),
    ]
}

fn asked() -> impl Strategy<Value = AuthAsked> {
    let texts = (".{0,9}", ".{0,9}", ".{0,9}", ".{0,9}", ".{0,9}", ".{0,9}");
    (any::<u64>(), any::<u32>(), texts).prop_map(|(request, nc, texts)| {
        let (username, realm, nonce, cnonce, uri, response) = texts;
        let (algorithm, method) = ("SHA-256".into(), "AUTH".into());
        AuthAsked { request, username, realm, algorithm, nonce, nc, cnonce, uri, method, response }
    })
}

fn to_focus() -> impl Strategy<Value = ToFocus> {
    let room = (conference(), room_notice()).prop_map(|(name, notice)| Notice::room(name, notice));
    let draining = any::<u64>().prop_map(|sessions| Notice::Draining { sessions });
    let notice = prop_oneof![9 => room, 1 => draining, 1 => asked().prop_map(Notice::AuthAsked)];
    let hello = (".{0,9}", "[a-z]{1,9}", ".{0,9}", any::<u64>(), ".{0,9}", ".{0,9}");
    prop_oneof![
        8 => (any::<u64>(), notice).prop_map(|(number, notice)| ToFocus::Notice { number, notice }),
        1 => hello.prop_map(|(relay, incarnation, focus_incarnation, acknowledge, msrp, fingerprint)| {
            ToFocus::Hello(Hello { relay, incarnation, focus_incarnation, acknowledge, msrp, fingerprint })
        }),
        1 => any::<u64>().prop_map(ToFocus::Acknowledge),
    ]
}

/// Feeds pieces of the given sizes, over and over, and gathers the frames.
macro_rules! through {
    ($frames:expr, $cuts:expr, $direction:ty) => {{
        let stream: Vec<u8> =
            $frames.iter().cloned().flat_map(|frame| Codec::encode(frame).unwrap()).collect();
        let (mut codec, mut found, mut rest) =
            (Codec::<$direction>::new(), Vec::new(), &stream[..]);
        for cut in $cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            codec.feed(piece);
            rest = tail;
            while let Some(frame) = codec.next_frame().unwrap() {
                found.push(frame);
            }
        }
        found
    }};
}

proptest! {
    #[test]
    fn any_frames_to_a_relay_come_out_the_same_however_the_stream_is_cut(
        frames in prop::collection::vec(to_relay(), 0..12),
        cuts in prop::collection::vec(1_usize..60, 1..9),
    ) {
        prop_assert_eq!(through!(frames, cuts, ToRelay), frames);
    }

    #[test]
    fn any_frames_to_a_focus_come_out_the_same_however_the_stream_is_cut(
        frames in prop::collection::vec(to_focus(), 0..12),
        cuts in prop::collection::vec(1_usize..60, 1..9),
    ) {
        prop_assert_eq!(through!(frames, cuts, ToFocus), frames);
    }

    #[test]
    fn any_bytes_give_a_frame_or_an_error_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut codec = Codec::<ToRelay>::new();
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        codec.feed(&length);
        codec.feed(&bytes);
        let whole = !matches!(codec.next_frame(), Ok(None));
        prop_assert!(whole);
    }
}

#[test]
fn a_frame_longer_than_the_limit_is_refused_before_its_body_came() {
    let mut codec = Codec::<ToRelay>::new();
    let octets = FRAME_OCTETS_MAX + 1;

    codec.feed(&u32::try_from(octets).unwrap().to_be_bytes());

    assert_eq!(codec.next_frame(), Err(BadFrame::TooLong { octets }));
}

#[test]
fn a_frame_that_would_be_too_long_is_not_made() {
    let cpim = Bytes::from(vec![0; FRAME_OCTETS_MAX]);
    let order = RoomOrder::Broadcast { key: Key(1), cpim, gate: None };
    let frame = ToRelay::Order { number: 1, order: Order::room("room7".parse().unwrap(), order) };

    assert!(matches!(Codec::encode(frame), Err(BadFrame::TooLong { .. })));
}

/// Protobuf by hand: one field with its body.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(body.len()).unwrap()], body].concat()
}

fn refused_field(order: &[u8]) -> &'static str {
    let frame = field(2, &[&[0x08, 1][..], &field(2, order)].concat());
    let mut codec = Codec::<ToRelay>::new();
    codec.feed(&u32::try_from(frame.len()).unwrap().to_be_bytes());
    codec.feed(&frame);
    match codec.next_frame() {
        Err(BadFrame::Field { field, .. }) => field,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_bad_value_is_refused_by_the_name_of_its_field() {
    let room = field(1, b"room7");
    let in_room = |kind: u8, body: &[u8]| [room.clone(), field(kind, body)].concat();

    assert_eq!(refused_field(&room), "order.kind");
    assert_eq!(
        refused_field(&[field(1, b"Not A Room"), field(3, b"")].concat()),
        "order.conference"
    );
    assert_eq!(refused_field(&field(3, b"")), "order.conference");
    assert_eq!(refused_field(&in_room(2, &field(1, b"sip:x@y"))), "open.level");
    assert_eq!(refused_field(&in_room(2, &[0x18, 1])), "open.uri");
    assert_eq!(refused_field(&in_room(4, &field(2, b"tel:1"))), "seat.aor");
    assert_eq!(refused_field(&in_room(4, &field(2, b"sip:a@b"))), "seat.device");
    assert_eq!(refused_field(&in_room(4, &[0x50, 9])), "seat.match");
    assert_eq!(refused_field(&in_room(9, &[0x18, 42])), "nickname_answer.status");
    // Field 20 has a tag of two octets.
    let auth = |body: &[u8]| [&[0xa2, 0x01, u8::try_from(body.len()).unwrap()], body].concat();
    assert_eq!(refused_field(&auth(&[0x10, 42])), "auth_answer.status");
}

#[test]
fn debug_output_shows_no_session_id_and_no_body() {
    let path = "msrps://relay.example.net:2855/s3cr3t;tcp";
    let mut seat = sample_seat();
    seat.peer_path = Some(path.into());
    let cpim = Bytes::from_static(b"s3cr3t");
    let seated = RoomNotice::Seated { seat: SeatId(1), path: path.into() };
    let handshake = RoomNotice::Handshake {
        seat: SeatId(1),
        message_id: "m".into(),
        content_type: "t".into(),
        body: cpim.clone(),
    };

    let shown = format!(
        "{:?} {:?} {:?} {:?} {seated:?} {handshake:?}",
        RoomOrder::Seat(seat.clone()),
        seat,
        RoomOrder::Broadcast { key: Key(1), cpim: cpim.clone(), gate: None },
        RoomOrder::Deliver { key: Key(1), seat: SeatId(1), cpim },
    );

    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[test]
fn debug_output_of_a_login_shows_nothing_that_came_from_the_client() {
    let secret = || String::from("s3cr3t");
    let asked = AuthAsked {
        request: 7,
        username: secret(),
        realm: secret(),
        algorithm: "MD5".into(),
        nonce: secret(),
        nc: 1,
        cnonce: secret(),
        uri: secret(),
        method: secret(),
        response: secret(),
    };
    let answer = AuthAnswer { request: 7, status: 200, rspauth: secret() };

    let shown = format!("{:?} {:?}", Notice::AuthAsked(asked), Order::Auth(answer));

    assert_eq!(shown, "AuthAsked(AuthAsked(7, MD5)) Auth(AuthAnswer(7, 200))");
}

fn sample_seat() -> Seat {
    let aor = "sip:alice@example.net".parse().unwrap();
    let device = "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap();
    Seat::new(SeatId(1), aor, device)
}
