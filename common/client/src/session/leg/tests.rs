//! Two sides of a session, without a network between them.
use bytes::BytesMut;
use endpoint::First;
use endpoint::ends::{Place, path};
use msrp::{Decoder, FailureReport, Path, Reply, SendRequest, Uri};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sip::sdp::{MsrpMedia, Setup as Side};

use super::*;

struct Two {
    rng: StdRng,
    now: Now,
    caller: Leg,
    callee: Leg,
}

/// What a side says of its end.
fn media(session: &str, side: Side) -> MsrpMedia {
    let fingerprint = format!("SHA-256 {}", ["AB"; 32].join(":"));
    let place = Place {
        address: "127.0.0.1",
        port: Some(7394),
        session,
        fingerprint: &fingerprint,
        message_octets_max: 1 << 20,
    };
    place.media(side, true).unwrap()
}

fn limits() -> Limits {
    Limits { chunk_octets: 2048, ..Limits::default() }
}

/// What a session is made of, between these two.
fn setup(names: [&str; 2], ours: MsrpMedia, theirs: MsrpMedia, first: First) -> Setup {
    let [me, peer] = names.map(|name| format!("sip:{name}@x").parse().unwrap());
    let limits = limits().of_an_end();
    let (own, to) = (path(&ours).unwrap(), path(&theirs).unwrap());
    Setup { me, peer, own, to, ours, theirs, first, by_session_id: false, limits }
}

impl Two {
    fn new() -> Self {
        Self::with(|_caller, _callee| {})
    }

    /// Two who say this of their ends.
    fn with(say: impl Fn(&mut MsrpMedia, &mut MsrpMedia)) -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let (mut alice, mut bob) = (media("alice1", Side::Passive), media("bob1", Side::Active));
        say(&mut alice, &mut bob);
        let caller = setup(["alice", "bob"], alice.clone(), bob.clone(), First::Peer);
        let callee = setup(["bob", "alice"], bob, alice, First::Us);
        let now = Now { instant: service::clock::now(), wall: service::clock::wall() };
        let (caller, callee) =
            (Leg::new(caller, &limits(), &mut rng), Leg::new(callee, &limits(), &mut rng));
        Self { rng, now, caller, callee }
    }

    /// Bound to its connection, and nothing more to tell.
    fn bound() -> Self {
        let mut two = Self::new();
        two.settle();
        for side in [&mut two.caller, &mut two.callee] {
            assert!(matches!(side.poll_output(), Some(Output::Bound(Ok(())))));
        }
        two
    }

    /// Everything passes until both are silent.
    fn settle(&mut self) {
        loop {
            let Self { rng, now, caller, callee } = self;
            let (one, other) = (caller.poll_frame(*now, rng), callee.poll_frame(*now, rng));
            if one.is_none() && other.is_none() {
                return;
            }
            one.into_iter().for_each(|frame| give(callee, *now, rng, &frame));
            other.into_iter().for_each(|frame| give(caller, *now, rng, &frame));
        }
    }
}

fn items(frame: &Frame) -> Vec<Item> {
    let mut input = BytesMut::from(&frame.to_bytes()[..]);
    let mut decoder = Decoder::new(msrp::Limits::default());
    std::iter::from_fn(|| decoder.next(&mut input).unwrap()).collect()
}

fn give(to: &mut Leg, now: Now, rng: &mut StdRng, frame: &Frame) {
    items(frame).iter().for_each(|item| to.receive(now, rng, item));
}

fn outputs(leg: &mut Leg) -> Vec<Output> {
    std::iter::from_fn(|| leg.poll_output()).collect()
}

fn heard(leg: &mut Leg) -> Vec<LegEvent> {
    let event = |output| if let Output::Event(event) = output { Some(event) } else { None };
    outputs(leg).into_iter().filter_map(event).collect()
}

#[test]
fn s5_4_who_waits_says_nothing_before_the_other_side_has_come() {
    let mut two = Two::new();
    let Two { rng, now, caller, callee } = &mut two;
    caller.say(*now, rng, "text/plain", Bytes::from_static(b"hello")).unwrap();

    assert!(caller.poll_frame(*now, rng).is_none());
    let bind = callee.poll_frame(*now, rng).unwrap();
    let [Item::Request(chunk)] = &items(&bind)[..] else { panic!("not a request") };
    assert!(!chunk.head.has_body());
    give(caller, *now, rng, &bind);

    assert!(matches!(caller.poll_output(), Some(Output::Bound(Ok(())))));
    assert!(caller.poll_frame(*now, rng).is_some());
}

#[test]
fn s7_1_2_a_message_is_accepted_by_its_200_and_delivered_by_its_report() {
    let mut two = Two::bound();
    let text = Bytes::from(vec![b'x'; 5000]);
    let (id, ticket) =
        two.caller.say(two.now, &mut two.rng, "text/plain;charset=utf-8", text.clone()).unwrap();

    two.settle();

    let told = outputs(&mut two.caller);
    assert!(
        matches!(&told[..], [Output::Settled(settled, Ok(())), Output::Event(LegEvent::Delivered { id: name })]
            if *settled == ticket && *name == id),
        "{told:?}"
    );
    let content_type = "text/plain;charset=utf-8".to_owned();
    let message = Received { id, content_type, body: text };
    assert_eq!(heard(&mut two.callee), [LegEvent::Message(message)]);
}

#[test]
fn s8_6_what_the_other_side_does_not_take_is_not_sent() {
    let mut two = Two::with(|_caller, callee| {
        callee.accept_types = vec!["text/*".to_owned(), "message/cpim".to_owned()];
        callee.accept_wrapped_types = vec!["image/png".to_owned()];
        callee.max_size = Some(300);
    });
    two.settle();
    let Two { rng, now, caller, .. } = &mut two;

    let refused = caller.say(*now, rng, "application/pdf", Bytes::from_static(b"x"));
    assert!(matches!(refused, Err(Error::Refused { status: 415, .. })), "{refused:?}");
    let large = caller.say(*now, rng, "text/plain", Bytes::from(vec![b'x'; 301]));
    assert!(matches!(large, Err(Error::TooLarge { max: 300, .. })), "{large:?}");
    caller.say(*now, rng, "text/html", Bytes::from(vec![b'x'; 300])).unwrap();
    // What is taken only inside of CPIM goes so, and comes out as it was.
    caller.say(*now, rng, "image/png", Bytes::from_static(b"picture")).unwrap();
    two.settle();

    let kinds = |event: &LegEvent| match event {
        LegEvent::Message(message) => (message.content_type.clone(), message.body.len()),
        other => panic!("{other:?}"),
    };
    let heard: Vec<_> = heard(&mut two.callee).iter().map(kinds).collect();
    assert_eq!(heard, [("text/html".to_owned(), 300), ("image/png".to_owned(), 7)]);
}

#[test]
fn s7_3_a_request_for_another_session_or_from_somebody_else_gets_481() {
    let mut two = Two::bound();
    let stranger = path(&media("mallory", Side::Active)).unwrap();
    let ours = path(&media("alice1", Side::Passive)).unwrap();
    let bobs = path(&media("bob1", Side::Active)).unwrap();
    let Two { rng, now, caller, .. } = &mut two;

    for (to, from) in [(&ours, &stranger), (&stranger, &bobs)] {
        let text = Body::from(Bytes::from_static(b"psst"));
        let send = SendRequest::whole(MessageId::random(rng), "text/plain", text);
        let frame = send.encode(rng).to(&Address::new(to, from));
        give(caller, *now, rng, &frame);
        let answer = caller.poll_frame(*now, rng).unwrap();
        let [Item::Response(head)] = &items(&answer)[..] else { panic!("not a response") };
        assert_eq!(head.status(), Some(Status::NO_SUCH_SESSION));
    }

    assert!(outputs(caller).is_empty());
}

#[test]
fn s7_1_4_a_type_we_did_not_name_gets_415_unless_nobody_wants_to_know() {
    let mut two = Two::with(|caller, _callee| caller.accept_types = vec!["text/plain".to_owned()]);
    two.settle();
    let Two { rng, now, caller, .. } = &mut two;
    let (to, from) = (caller.setup.own.clone(), caller.setup.to.clone());
    let address = Address::new(&to, &from);
    let mut statuses = Vec::new();
    for (kind, wanted) in [
        ("image/png", FailureReport::Yes),
        ("image/png", FailureReport::No),
        ("text/plain", FailureReport::Partial),
    ] {
        let content = Body::from(Bytes::from_static(b"x"));
        let send = SendRequest::whole(MessageId::random(rng), kind, content);
        let send = SendRequest { failure_report: wanted, ..send };
        let frame = send.encode(rng).to(&address);
        give(caller, *now, rng, &frame);
        statuses.push(caller.poll_frame(*now, rng).map(|frame| match &items(&frame)[..] {
            [Item::Response(head)] => head.status().unwrap().code(),
            other => panic!("{other:?}"),
        }));
    }

    assert_eq!(statuses, [Some(415), None, None]);
}

#[test]
fn s5_4_a_message_that_comes_again_is_acknowledged_and_reported_and_shown_once() {
    let mut two = Two::bound();
    let Two { rng, now, caller, callee } = &mut two;
    callee.say(*now, rng, "text/plain", Bytes::from_static(b"once")).unwrap();
    let frame = callee.poll_frame(*now, rng).unwrap();

    give(caller, *now, rng, &frame);
    give(caller, *now, rng, &frame);

    assert_eq!(heard(caller).len(), 1);
    let replies = std::iter::from_fn(|| caller.poll_frame(*now, rng)).count();
    assert_eq!(replies, 4, "an answer and a report each time");
}

#[test]
fn s7_1_1_a_message_given_up_halfway_is_ended_for_its_receiver_and_one_not_begun_is_not_sent() {
    let mut two = Two::bound();
    let Two { rng, now, caller, callee } = &mut two;
    let (_, long) = caller.say(*now, rng, "text/plain", Bytes::from(vec![b'x'; 9000])).unwrap();
    let first = caller.poll_frame(*now, rng).unwrap();
    let (_, unsent) = caller.say(*now, rng, "text/plain", Bytes::from_static(b"no")).unwrap();
    give(callee, *now, rng, &first);
    assert_eq!(callee.incoming.open(), 1);

    caller.cancel(long, rng);
    caller.cancel(unsent, rng);
    two.settle();

    assert_eq!(two.callee.incoming.open(), 0);
    assert_eq!(two.caller.unsettled(), 0);
    assert!(heard(&mut two.callee).is_empty());
    assert!(outputs(&mut two.caller).is_empty());
}

#[test]
fn s7_1_2_a_failure_on_the_way_fails_what_is_being_sent_and_tells_of_what_was_accepted() {
    let mut two = Two::bound();
    let Two { rng, now, caller, callee } = &mut two;
    let (accepted, _) = caller.say(*now, rng, "text/plain", Bytes::from_static(b"x")).unwrap();
    let frame = caller.poll_frame(*now, rng).unwrap();
    let [Item::Request(chunk)] = &items(&frame)[..] else { panic!("not a request") };
    let ok = Reply::new(&chunk.head, Status::OK).unwrap().encode().unwrap();
    give(caller, *now, rng, &ok);
    let (sending, ticket) =
        caller.say(*now, rng, "text/plain", Bytes::from(vec![b'y'; 9000])).unwrap();
    caller.poll_frame(*now, rng).unwrap();
    let told: Vec<Output> = outputs(caller);
    assert!(matches!(&told[..], [Output::Settled(_, Ok(()))]), "{told:?}");

    for (id, status) in [(&accepted, Status::TIMEOUT), (&sending, Status::STOP_SENDING)] {
        let report = Report {
            to_path: &callee.setup.to,
            from_path: &callee.setup.own,
            message_id: MessageId::parse(id.as_bytes()).unwrap(),
            range: ByteRange::whole(1),
            status,
            comment: "so it is",
        };
        let frame = report.encode(TransactionId::random(rng));
        give(caller, *now, rng, &frame);
    }

    let told = outputs(caller);
    let undelivered =
        LegEvent::Undelivered { id: accepted, status: 408, reason: "so it is".to_owned() };
    assert!(
        matches!(&told[..], [Output::Event(event), Output::Settled(failed, Err(Error::Refused { status: 413, .. }))]
            if *event == undelivered && *failed == ticket),
        "{told:?}"
    );
    assert!(caller.poll_frame(*now, rng).is_none(), "it was sent on");
}

#[test]
fn s4_4_rfc6714_behind_a_middlebox_only_session_ids_are_compared() {
    let mut two = Two::bound();
    two.caller.setup.by_session_id = true;
    let moved = "msrps://198.51.100.7:1/bob1;tcp".as_bytes();
    let from = Path::new(Uri::parse(Bytes::from_static(moved)).unwrap(), Vec::new());
    let Two { rng, now, caller, .. } = &mut two;
    let send = SendRequest::bodiless(MessageId::random(rng));
    let frame = send.encode(rng).to(&Address::new(&caller.setup.own.clone(), &from));

    give(caller, *now, rng, &frame);

    let answer = caller.poll_frame(*now, rng).unwrap();
    let [Item::Response(head)] = &items(&answer)[..] else { panic!("not a response") };
    assert_eq!(head.status(), Some(Status::OK));
}

/// RFC 3862, 4.7.
#[test]
fn cpim_06_what_requires_more_than_is_understood_here_gets_415_and_is_not_shown() {
    let mut two = Two::bound();
    let builder = || cpim::Builder::new("sip:alice@x", "sip:bob@x");
    let letter = |required: &str| {
        let letter = builder().namespace("my", "urn:my").header("Require", required);
        letter.content("text/plain", Bytes::from_static(b"yes")).gather()
    };
    let Two { rng, now, caller, .. } = &mut two;
    caller.say(*now, rng, cpim::MEDIA_TYPE, letter("my.Irony")).unwrap();
    caller.say(*now, rng, cpim::MEDIA_TYPE, letter("DateTime, From")).unwrap();

    two.settle();

    let told = heard(&mut two.callee);
    let [LegEvent::Unreadable { why }, LegEvent::Message(shown)] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(why.contains("my.Irony"), "{why}");
    assert_eq!(shown.body, "yes");
    let answers: Vec<_> = outputs(&mut two.caller)
        .into_iter()
        .filter_map(|output| if let Output::Settled(_, how) = output { Some(how) } else { None })
        .collect();
    assert!(
        matches!(&answers[..], [Err(Error::Refused { status: 415, .. }), Ok(())]),
        "{answers:?}"
    );
}
