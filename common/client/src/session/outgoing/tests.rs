//! Cutting, sealing again, and settling of outgoing messages.
use bytes::BytesMut;
use msrp::{Decoder, FailureReport, Item, Path, Reply, Status, Uri};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn path(session: &str) -> Path {
    let uri = format!("msrps://127.0.0.1:2855/{session};tcp");
    Path::new(Uri::parse(uri.into_bytes().into()).unwrap(), Vec::new())
}

fn outgoing() -> Outgoing {
    let limits = Limits { chunk_octets: 2048, ..Default::default() };
    Outgoing::new(Address::new(&path("relay"), &path("device")), &limits)
}

fn plain(id: &str) -> Content {
    Content::Plain { id: id.into(), inner: Bytes::from_static(b"inner") }
}

fn poll(outgoing: &mut Outgoing, epoch: u64, now: Instant) -> Option<Frame> {
    let mut rng = StdRng::from_os_rng();
    let generation = (Era(1), Epoch(epoch));
    let seal = |id: &str, _inner: &Bytes| {
        Ok((generation, Body::from(Bytes::from(format!("{id} in {epoch}")))))
    };
    outgoing.poll(now, &mut rng, seal, Some(generation), &mut Vec::new())
}

/// A frame as the other side decodes it.
pub(in crate::session) fn decode(frame: &Frame) -> Item {
    let mut input = BytesMut::from(&frame.to_bytes()[..]);
    Decoder::new(msrp::Limits::default()).next(&mut input).unwrap().unwrap()
}

/// What a relay answers to a chunk.
fn answer(outgoing: &mut Outgoing, frame: &Frame, status: Status, comment: &str) -> Vec<Settled> {
    let Item::Request(chunk) = decode(frame) else { panic!("not a request") };
    assert_eq!(chunk.head.failure_report(), FailureReport::Yes);
    let reply = Reply::new(&chunk.head, status).unwrap().comment(comment).encode().unwrap();
    let Item::Response(head) = decode(&reply) else { panic!("not a response") };
    let mut settled = Vec::new();
    outgoing.answered(service::clock::now(), &head, &mut settled);
    settled
}

fn body(frame: &Frame) -> String {
    let Item::Request(chunk) = decode(frame) else { panic!("not a request") };
    String::from_utf8(chunk.body.gather().to_vec()).unwrap()
}

#[test]
fn a_message_is_settled_by_the_answer_to_its_last_chunk() {
    let (mut outgoing, now) = (outgoing(), service::clock::now());
    let ticket = outgoing.push(now, Content::Ready(Body::from(Bytes::from(vec![b'x'; 5000]))));

    let chunks: Vec<Frame> = std::iter::from_fn(|| poll(&mut outgoing, 1, now)).collect();
    assert_eq!(chunks.len(), 3);
    assert!(answer(&mut outgoing, &chunks[2], Status::OK, "OK").is_empty());
    assert!(answer(&mut outgoing, &chunks[0], Status::OK, "OK").is_empty());
    let settled = answer(&mut outgoing, &chunks[1], Status::OK, "OK");

    assert!(matches!(settled[..], [(settled, Ok(()))] if settled == ticket));
    assert_eq!(outgoing.len(), 0);
}

#[test]
fn a_message_refused_for_its_epoch_waits_and_is_sealed_again_in_a_later_one() {
    let (mut outgoing, now) = (outgoing(), service::clock::now());
    outgoing.push(now, plain("m1"));
    let first = poll(&mut outgoing, 3, now).unwrap();

    assert!(answer(&mut outgoing, &first, Status::STOP_SENDING, "stale-epoch 1/4").is_empty());
    assert!(poll(&mut outgoing, 3, now).is_none(), "it was sent again in the same epoch");
    let second = poll(&mut outgoing, 4, now).unwrap();

    assert_eq!((body(&first), body(&second)), ("m1 in 3".into(), "m1 in 4".into()));
    assert_eq!(answer(&mut outgoing, &second, Status::OK, "OK").len(), 1);
}

#[test]
fn a_413_for_another_reason_fails_the_message() {
    let (mut outgoing, now) = (outgoing(), service::clock::now());
    outgoing.push(now, plain("m1"));
    let frame = poll(&mut outgoing, 1, now).unwrap();

    let settled = answer(&mut outgoing, &frame, Status::STOP_SENDING, "too large");

    assert!(matches!(&settled[..], [(_, Err(Error::Refused { status: 413, .. }))]));
}

#[test]
fn a_message_nobody_answers_fails_after_thirty_seconds() {
    let (mut outgoing, now) = (outgoing(), service::clock::now());
    outgoing.push(now, plain("m1"));
    poll(&mut outgoing, 1, now).unwrap();
    let mut settled = Vec::new();

    outgoing.timeout(now + PATIENCE - Duration::from_millis(1), &mut settled);
    assert!(settled.is_empty());
    assert_eq!(outgoing.next_timeout(), Some(now + PATIENCE));
    outgoing.timeout(now + PATIENCE, &mut settled);

    assert!(matches!(&settled[..], [(_, Err(Error::Late(_)))]));
}

#[test]
fn s7_1_1_a_short_message_does_not_wait_for_a_long_one() {
    let (mut outgoing, now) = (outgoing(), service::clock::now());
    outgoing.push(now, Content::Ready(Body::from(Bytes::from(vec![b'x'; 100_000]))));
    poll(&mut outgoing, 1, now).unwrap();
    outgoing.push(now, plain("m1"));

    let next = [poll(&mut outgoing, 1, now).unwrap(), poll(&mut outgoing, 1, now).unwrap()];

    assert!(next.iter().any(|frame| body(frame) == "m1 in 1"));
}

#[test]
fn everything_unsettled_fails_when_the_session_ends() {
    let (mut outgoing, now) = (outgoing(), service::clock::now());
    outgoing.push(now, plain("m1"));
    poll(&mut outgoing, 1, now).unwrap();
    outgoing.push(now, plain("m2"));
    let mut settled = Vec::new();

    outgoing.end("kicked", &mut settled);

    assert_eq!(settled.len(), 2);
    assert!(settled.iter().all(|(_, outcome)| matches!(outcome, Err(Error::Ended(_)))));
}

#[test]
fn a_message_the_relay_is_not_ready_for_goes_out_again_in_the_same_epoch() {
    let (mut outgoing, now) = (outgoing(), service::clock::now());
    outgoing.push(now, plain("m1"));
    let first = poll(&mut outgoing, 3, now).unwrap();

    assert!(answer(&mut outgoing, &first, Status::STOP_SENDING, "stale-epoch 1/2").is_empty());
    assert!(poll(&mut outgoing, 3, now).is_none(), "it was sent again at once");
    let later = now + Duration::from_secs(1);

    assert!(outgoing.next_timeout().is_some_and(|due| due < later));
    assert!(poll(&mut outgoing, 3, later).is_some());
}

#[test]
fn a_message_that_can_never_be_sealed_fails_at_its_deadline() {
    let (mut outgoing, now) = (outgoing(), service::clock::now());
    let ticket = outgoing.push(now, plain("m1"));
    let mut rng = StdRng::from_os_rng();
    let never = |_id: &str, _inner: &Bytes| Err(Sealing::Wait);
    let mut settled = Vec::new();
    assert!(outgoing.poll(now, &mut rng, never, None, &mut settled).is_none());

    let due = outgoing.next_timeout().unwrap();
    outgoing.timeout(due, &mut settled);

    assert!(matches!(&settled[..], [(late, Err(Error::Late(_)))] if *late == ticket));
}

#[test]
fn a_higher_era_ends_the_wait_of_a_message_whatever_its_epoch() {
    let refused = (Era(1), Epoch(9));
    let now = service::clock::now();

    assert!(!Hold::Later(refused).is_over(now, Some((Era(1), Epoch(9)))));
    assert!(Hold::Later(refused).is_over(now, Some((Era(2), Epoch(0)))));
}
