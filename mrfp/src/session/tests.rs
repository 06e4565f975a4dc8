//! Sessions without sockets: chunks come from the real decoder, time and randomness from the test.
use bytes::{Bytes, BytesMut};
use control::{Level, Seat};
use msrp::cpim::Builder;
use msrp::{Address, Decoder, Item, Limits as CodecLimits, SendRequest, Status};
use rand::SeedableRng;
use rand::rngs::StdRng;

mod order;

use super::*;
use crate::room::Participant;

const ALICE: SeatId = SeatId(1);
const BOB: SeatId = SeatId(2);
const ROOM: &str = "sip:room7@example.net";
const ALICE_URI: &str = "sip:alice@example.net";

struct Scene {
    session: Session,
    roster: Roster,
    seen: Seen,
    limits: Limits,
    now: Instant,
    rng: StdRng,
}

fn participant(aor: &str, private_messages: bool) -> Arc<Participant> {
    let device = "urn:uuid:00000000-0000-4000-8000-000000000000".parse().unwrap();
    let seat = Seat { private_messages, ..Seat::new(SeatId(0), aor.parse().unwrap(), device) };
    Arc::new(Participant::new(&seat, true))
}

impl Scene {
    fn new(level: Level) -> Self {
        let mut roster = Roster::new(ROOM, level, 1_000_000);
        roster.people.insert(ALICE, participant(ALICE_URI, false));
        roster.people.insert(BOB, participant("sip:bob@example.net", true));
        roster.people.insert(SeatId(3), participant("sip:carol@example.net", false));
        Self {
            session: Session::new(ALICE),
            roster,
            seen: Seen::default(),
            limits: crate::config::Limits::default().session(),
            now: service::clock::now(),
            rng: StdRng::seed_from_u64(1),
        }
    }

    /// What the decoder makes of a request, with pieces of at most `piece` octets.
    fn decode(&self, send: &SendRequest, piece: usize) -> Vec<Chunk> {
        let paths: (Path, Path) = (
            "msrps://r.example:2855/s1;tcp".parse().unwrap(),
            "msrps://ua.example:9/u1;tcp".parse().unwrap(),
        );
        let frame =
            send.encode(&mut StdRng::seed_from_u64(9)).to(&Address::new(&paths.0, &paths.1));
        let mut input = BytesMut::from(&frame.to_bytes()[..]);
        let mut decoder =
            Decoder::new(CodecLimits { piece_octets_max: piece, ..CodecLimits::default() });
        let mut chunks = Vec::new();
        while let Some(item) = decoder.next(&mut input).unwrap() {
            match item {
                Item::Request(chunk) => chunks.push(chunk),
                Item::Response(_) => {}
            }
        }
        chunks
    }

    fn admit(&mut self, chunk: &Chunk) -> Result<Admitted, Refusal> {
        let Self { session, roster, seen, limits, now, rng } = self;
        let around = Surroundings { seat: ALICE, roster, seen, limits };
        session.admit(*now, chunk, &around, rng)
    }

    fn send(&mut self, send: &SendRequest) -> Result<Admitted, Refusal> {
        let chunks = self.decode(send, 64 * 1024);
        let mut last = Ok(Admitted::Nothing);
        for chunk in &chunks {
            last = self.admit(chunk);
        }
        last
    }
}

use msrp::Path;

fn id(text: &str) -> MessageId {
    MessageId::parse(text.as_bytes()).unwrap()
}

fn cpim(to: &str, content_type: &str, content: impl Into<Bytes>) -> Body {
    Builder::new(ALICE_URI, to).content(content_type, content.into())
}

fn whole(body: Body) -> SendRequest {
    SendRequest::whole(id("message1"), msrp::cpim::MEDIA_TYPE, body)
}

fn status(result: Result<Admitted, Refusal>) -> Status {
    result.unwrap_err().status()
}

#[test]
fn a_sealed_message_in_one_chunk_is_whole_at_once() {
    let mut scene = Scene::new(Level::Sealed);
    let body = cpim(ROOM, SEALED, "ciphertext");

    let Ok(Admitted::Whole(message)) = scene.send(&whole(body.clone())) else { panic!() };

    assert_eq!((message.kind(), message.audience()), (Kind::Sealed, &Audience::Room));
    assert_eq!(message.body(), &body);
    assert_eq!(message.content().gather(), "ciphertext");
}

#[test]
fn a_message_that_came_in_one_piece_is_not_copied() {
    let mut scene = Scene::new(Level::Sealed);
    let chunks = scene.decode(&whole(cpim(ROOM, SEALED, vec![7; 48_000])), 64 * 1024);

    let Ok(Admitted::Whole(message)) = scene.admit(&chunks[0]) else { panic!() };

    let pointers = |body: &Body| body.slices().map(|slice| slice.as_ptr()).collect::<Vec<_>>();
    assert_eq!(pointers(message.body()), pointers(&chunks[0].body));
}

/// The chunks of a message, cut into bodies of `octets`, each with its own reading buffer.
fn cut(scene: &Scene, send: &SendRequest, octets: usize) -> Vec<Chunk> {
    let (mut next, mut chunks) = (Some(0), Vec::new());
    while let Some(start) = next {
        let (chunk, following) = send.chunk(start, octets);
        chunks.extend(scene.decode(&chunk, 64 * 1024));
        next = following;
    }
    chunks
}

#[test]
fn a_message_that_is_held_pins_no_buffer_it_was_read_into_however_small_its_chunks() {
    for octets in [1, 100, 4000] {
        let mut scene = Scene::new(Level::Sealed);
        let body = cpim(ROOM, SEALED, vec![7; 9000]);
        let mut chunks = cut(&scene, &whole(body.clone()), octets);
        let last = chunks.pop().unwrap();
        for chunk in chunks {
            assert_eq!(scene.admit(&chunk), Ok(Admitted::Kept));
            let slices: Vec<Bytes> = chunk.body.slices().cloned().collect();
            drop(chunk);
            assert!(slices.iter().all(Bytes::is_unique), "a buffer is pinned ({octets})");
        }

        let Ok(Admitted::Whole(message)) = scene.admit(&last) else { panic!() };

        assert_eq!(message.body(), &body);
        assert_eq!(message.body().slice_count(), 1);
    }
}

#[test]
fn s7_3_1_of_octets_that_come_twice_the_later_count() {
    let (first, second) = (vec![b'a'; 100], vec![b'b'; 100]);
    let earlier = whole(cpim(ROOM, SEALED, first.clone()));
    let later = whole(cpim(ROOM, SEALED, second));
    let front = earlier.content.as_ref().unwrap().1.len() - first.len();

    let mut scene = Scene::new(Level::Sealed);
    scene.send(&earlier.chunk(0, front + 60).0).unwrap();
    scene.send(&later.chunk(front + 20, 20).0).unwrap();
    scene.send(&later.chunk(front + 50, 20).0).unwrap();
    let rest = earlier.chunk(front + 70, 1000).0;
    let Ok(Admitted::Whole(message)) = scene.send(&rest) else { panic!() };

    let text = [(b'a', 20), (b'b', 20), (b'a', 10), (b'b', 20), (b'a', 30)];
    let wanted: Vec<u8> = text.iter().flat_map(|(letter, n)| vec![*letter; *n]).collect();
    assert_eq!(message.content().gather(), wanted);
}

#[test]
fn a_sealed_file_is_passed_on_piece_by_piece_to_receivers_chosen_at_the_first() {
    let mut scene = Scene::new(Level::Sealed);
    let body = cpim(ROOM, SEALED_FILE, vec![7; 10_000]);

    let chunks = scene.decode(&whole(body.clone()), 4096);
    let pieces: Vec<Piece> = chunks
        .iter()
        .map(|chunk| match scene.admit(chunk) {
            Ok(Admitted::Relay(piece)) => piece,
            other => panic!("{other:?}"),
        })
        .collect();

    assert_eq!(pieces.iter().map(Piece::is_first).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(pieces[2].flag(), Flag::End);
    assert_eq!(pieces[2].range().total, Some(body.octets()));
    let passed: Body = pieces.iter().flat_map(|piece| piece.body().slices().cloned()).collect();
    assert_eq!(passed, body);
    assert!(pieces.iter().all(|piece| piece.stream() == pieces[0].stream()));
    assert_ne!(pieces[0].stream(), id("message1"), "the switch is a new sender");
}

#[test]
fn cpim_headers_over_several_chunks_are_read_before_anything_is_passed_on() {
    let mut scene = Scene::new(Level::Open);
    let body = cpim(ROOM, "text/plain", "hello");
    let send = whole(body.clone());

    let (first, next) = send.chunk(0, 30);
    let (second, next) = send.chunk(next.unwrap(), 30);
    let (third, _) = send.chunk(next.unwrap(), 1000);

    assert_eq!(scene.send(&first), Ok(Admitted::Kept));
    assert_eq!(scene.send(&second), Ok(Admitted::Kept));
    let Ok(Admitted::Relay(piece)) = scene.send(&third) else { panic!() };
    assert_eq!((piece.body(), piece.is_first(), piece.flag()), (&body, true, Flag::End));
}

#[test]
fn s7701_6_1_the_checks_on_the_wrapper() {
    let from_bob =
        Builder::new("sip:bob@example.net", ROOM).content("text/plain", Bytes::from("x"));
    let two = Builder::new(ALICE_URI, ROOM).header("To", "<sip:bob@example.net>");
    let plain = SendRequest::whole(id("message1"), "text/plain", Body::from(Bytes::from("x")));
    let table = [
        (plain, 415),
        (whole(from_bob), 403),
        (whole(two.content("text/plain", Bytes::from("x"))), 403),
        (whole(cpim("sip:eve@example.net", "text/plain", "x")), 404),
        (whole(cpim("sip:carol@example.net", "text/plain", "x")), 428),
        (whole(Body::from(Bytes::from("From: alice\r\n\r\n"))), 400),
        (whole(Body::from(Bytes::from(vec![b'a'; 20_000]))), 413),
    ];
    for (send, code) in table {
        assert_eq!(status(Scene::new(Level::Open).send(&send)).code(), code, "{send:?}");
    }
}

#[test]
fn s7701_6_2_a_private_message_has_its_seats_as_audience() {
    let mut scene = Scene::new(Level::Sealed);

    let admitted = scene.send(&whole(cpim("sip:bob@example.net", SEALED, "secret")));

    let Ok(Admitted::Whole(message)) = admitted else { panic!() };
    assert_eq!(message.audience(), &Audience::Seats(vec![BOB]));
}

#[test]
fn a_sealed_room_takes_two_types_and_bundles_for_the_focus_and_nothing_else() {
    let send =
        |to, content_type| Scene::new(Level::Sealed).send(&whole(cpim(to, content_type, "x")));
    for content_type in ["text/plain", "application/im-iscomposing+xml", "message/mlsx"] {
        assert_eq!(status(send(ROOM, content_type)), Status::UNSUPPORTED_TYPE, "{content_type}");
    }
    assert_eq!(status(send("sip:bob@example.net", BUNDLE)), Status::UNSUPPORTED_TYPE);
    let Ok(Admitted::Whole(message)) = send(ROOM, BUNDLE) else { panic!() };
    assert_eq!(message.kind(), Kind::Handshake);
    assert_eq!(message.content_type(), BUNDLE);
}

#[test]
fn the_muted_may_not_talk_to_the_room_but_may_commit_and_whisper() {
    let send = |to, content_type| {
        let mut scene = Scene::new(Level::Sealed);
        let alice = scene.roster.people.get_mut(&ALICE).unwrap();
        Arc::make_mut(alice).muted = true;
        scene.send(&whole(cpim(to, content_type, "x")))
    };

    assert_eq!(send(ROOM, SEALED), Err(Refusal::Muted));
    assert!(matches!(send(ROOM, BUNDLE), Ok(Admitted::Whole(_))));
    assert!(matches!(send(ROOM, EPOCH_REPORT), Ok(Admitted::Whole(_))));
    assert!(matches!(send("sip:bob@example.net", SEALED), Ok(Admitted::Whole(_))));
}

#[test]
fn a_bodiless_send_carries_nothing() {
    let mut scene = Scene::new(Level::Sealed);

    assert_eq!(scene.send(&SendRequest::bodiless(id("alive1"))), Ok(Admitted::Nothing));
}

#[test]
fn what_is_too_long_is_refused_when_it_says_so_and_not_when_it_has_arrived() {
    let mut scene = Scene::new(Level::Sealed);
    let mut send = whole(cpim(ROOM, SEALED, "x"));
    send.range.total = Some(9_999_999_999);
    send.range.end = None;

    assert_eq!(scene.send(&send), Err(Refusal::TooLarge));
}

#[test]
fn a_stream_that_grows_too_long_ends_for_its_receivers_too() {
    let mut scene = Scene::new(Level::Open);
    scene.roster.message_octets_max = 5000;
    let mut send = whole(cpim(ROOM, "text/plain", vec![7; 8000]));
    send.range.total = None;
    let chunks = scene.decode(&send, 4096);

    assert!(matches!(scene.admit(&chunks[0]), Ok(Admitted::Relay(_))));
    assert_eq!(scene.admit(&chunks[1]), Err(Refusal::TooLarge));

    let aborted = scene.session.take_aborted();
    assert_eq!(aborted.iter().map(Piece::flag).collect::<Vec<_>>(), [Flag::Abort]);
}

#[test]
fn s10_after_413_every_further_chunk_gets_the_same_until_the_message_starts_again() {
    let mut scene = Scene::new(Level::Sealed);
    let send = whole(cpim(ROOM, "text/plain", vec![7; 100]));
    let (first, next) = send.chunk(0, 120);
    let (second, _) = send.chunk(next.unwrap(), 1000);
    assert_eq!(scene.send(&first), Err(Refusal::ContentType));
    assert_eq!(scene.send(&second), Err(Refusal::ContentType));

    let again = whole(cpim(ROOM, SEALED, "x"));

    assert!(matches!(scene.send(&again), Ok(Admitted::Whole(_))));
}

#[test]
fn m4975_42_held_chunks_come_in_any_order_and_octets_that_come_twice_count_once() {
    let body = cpim(ROOM, SEALED, vec![7; 100]);
    let send = whole(body.clone());
    let (first, _) = send.chunk(0, 120);
    let (overlap, _) = send.chunk(110, 1000);
    let (behind_a_gap, _) = send.chunk(130, 1000);

    let mut scene = Scene::new(Level::Sealed);
    scene.send(&first).unwrap();
    let Ok(Admitted::Whole(message)) = scene.send(&overlap) else { panic!() };
    assert_eq!(message.body(), &body);

    let mut scene = Scene::new(Level::Sealed);
    scene.send(&first).unwrap();
    assert_eq!(scene.send(&behind_a_gap), Ok(Admitted::Kept));
    let Ok(Admitted::Whole(message)) = scene.send(&send.chunk(118, 20).0) else { panic!() };
    assert_eq!(message.body(), &body);
}

#[test]
fn s5_4_a_message_that_was_completed_before_is_a_duplicate() {
    let mut scene = Scene::new(Level::Sealed);
    let send = whole(cpim(ROOM, SEALED, "x"));
    scene.seen.note(send.message_id, 150);

    assert_eq!(scene.send(&send), Ok(Admitted::Duplicate(Some(150))));
}

#[test]
fn an_abort_reaches_those_who_have_had_a_piece_and_nobody_else() {
    let mut scene = Scene::new(Level::Open);
    let send = whole(cpim(ROOM, "text/plain", vec![7; 5000]));
    let (mut first, _) = send.chunk(0, 4000);
    first.flag = Flag::More;
    scene.send(&first).unwrap();
    let abort = SendRequest { flag: Flag::Abort, ..SendRequest::bodiless(send.message_id) };

    let Ok(Admitted::Relay(piece)) = scene.send(&abort) else { panic!() };
    assert_eq!((piece.flag(), piece.body().len()), (Flag::Abort, 0));

    let mut scene = Scene::new(Level::Sealed);
    scene.send(&whole(cpim(ROOM, SEALED, vec![7; 5000])).chunk(0, 4000).0).unwrap();
    assert_eq!(scene.send(&abort), Ok(Admitted::Kept));
}

#[test]
fn no_more_than_four_messages_are_held_at_once() {
    let mut scene = Scene::new(Level::Sealed);
    for n in 0..4 {
        let mut send = whole(cpim(ROOM, SEALED, vec![7; 5000]));
        send.message_id = id(&format!("held{n}"));
        assert_eq!(scene.send(&send.chunk(0, 4000).0), Ok(Admitted::Kept));
    }

    let fifth = whole(cpim(ROOM, SEALED, vec![7; 5000])).chunk(0, 4000).0;

    assert_eq!(scene.send(&fifth), Err(Refusal::TooManyOpen));
}

#[test]
fn s7701_6_1_a_message_that_pauses_too_long_is_given_up() {
    let mut scene = Scene::new(Level::Open);
    let send = whole(cpim(ROOM, "text/plain", vec![7; 5000]));
    let (first, next) = send.chunk(0, 4000);
    scene.send(&first).unwrap();

    scene
        .session
        .expire(scene.now + scene.limits.chunk_timer - Duration::from_secs(1), &scene.limits);
    assert!(scene.session.take_aborted().is_empty());
    scene.session.expire(scene.now + scene.limits.chunk_timer, &scene.limits);

    assert_eq!(scene.session.take_aborted().len(), 1);
    assert_eq!(scene.send(&send.chunk(next.unwrap(), 2000).0), Err(Refusal::Expired));
}

#[test]
fn a_kick_ends_the_unfinished_messages_of_the_old_epoch_and_no_others() {
    let mut scene = Scene::new(Level::Sealed);
    let mut old = whole(cpim(ROOM, SEALED, vec![7; 5000]));
    old.message_id = id("old1");
    scene.send(&old.chunk(0, 4000).0).unwrap();
    let mut private = whole(cpim("sip:bob@example.net", SEALED, vec![7; 5000]));
    private.message_id = id("private1");
    scene.send(&private.chunk(0, 4000).0).unwrap();
    let stale = Refusal::StaleEpoch(ids::Era(0), ids::Epoch(4));

    let ended = scene.session.end_epoch(|_| Some(stale.clone()));

    assert_eq!(ended, [(id("old1"), stale.clone())]);
    let rest = |send: &SendRequest| send.chunk(4000, 5000).0;
    assert_eq!(scene.send(&rest(&old)), Err(stale));
    assert!(matches!(scene.send(&rest(&private)), Ok(Admitted::Whole(_))));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn however_a_message_is_cut_the_room_gets_the_same(
        octets in 0_usize..6000,
        cuts in proptest::collection::vec(1_usize..3000, 0..8),
        level in proptest::prop_oneof![
            proptest::strategy::Just(Level::Open),
            proptest::strategy::Just(Level::Sealed)
        ],
    ) {
        let mut scene = Scene::new(level);
        let body = cpim(ROOM, SEALED, vec![b'-'; octets]);
        let send = whole(body.clone());
        let (mut next, mut got) = (Some(0), Body::new());
        let mut cuts = cuts.into_iter();
        while let Some(start) = next {
            let (chunk, following) = send.chunk(start, cuts.next().unwrap_or(usize::MAX));
            match scene.send(&chunk) {
                Ok(Admitted::Kept) => {}
                Ok(Admitted::Relay(piece) | Admitted::Last(piece)) => got.append(piece.body()),
                Ok(Admitted::Whole(message)) => got.append(message.body()),
                other => panic!("{other:?}"),
            }
            next = following;
        }
        proptest::prop_assert_eq!(got, body);
    }
}
