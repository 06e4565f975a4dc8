//! Rules of the outbox one by one, then all of them at once on random traffic.
use bytes::Bytes;
use msrp::{Address, Body, SendRequest};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const ROOMY: Bounds = Bounds { octets_max: 1 << 30, unanswered_max: 1 << 20 };
const A: Lane = Lane(1);
const B: Lane = Lane(2);
const WAIT: Duration = Duration::from_secs(30);

fn send(seed: u64, octets: usize) -> (SendRequest, StdRng) {
    let mut rng = StdRng::seed_from_u64(seed);
    let body = Body::from(Bytes::from(vec![7; octets]));
    (SendRequest::whole(MessageId::random(&mut rng), "text/plain", body), rng)
}

fn frame(seed: u64, octets: usize) -> Frame {
    let (send, mut rng) = send(seed, octets);
    send.encode(&mut rng).to(&Address::default())
}

fn stream_id(stream: u32) -> MessageId {
    MessageId::parse(format!("stream{stream}").as_bytes()).unwrap()
}

fn piece(stream: u32, flag: Flag) -> Part {
    Part::Piece { stream: Tag::of(stream_id(stream)), flag }
}

fn take(outbox: &mut Outbox, octets: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    let sum = outbox.take(octets, &mut frames);
    assert_eq!(sum, frames.iter().map(Frame::len).sum::<usize>());
    frames
}

fn take_all(outbox: &mut Outbox) -> Vec<TransactionId> {
    take(outbox, usize::MAX).iter().map(|frame| frame.payload.transaction()).collect()
}

fn ids(seeds: &[u64]) -> Vec<TransactionId> {
    seeds.iter().map(|seed| frame(*seed, 1).payload.transaction()).collect()
}

#[test]
fn a_full_outbox_takes_nothing_more_and_keeps_what_it_has() {
    let one = frame(1, 100);
    let mut outbox = Outbox::new(Bounds { octets_max: one.len() + 50, ..ROOMY });

    assert_eq!(outbox.push(A, Part::Whole, one.clone()), Ok(Pushed::Queued(one.len())));
    assert_eq!(outbox.push(A, Part::Whole, frame(2, 100)), Err(Full));
    assert_eq!(outbox.push_urgent(frame(2, 100)), Err(Full));

    assert_eq!(outbox.octets(), one.len());
    assert_eq!(take(&mut outbox, usize::MAX), [one]);
    assert_eq!(outbox.octets(), 0);
}

#[test]
fn m4975_03_a_response_overtakes_the_chunks_that_wait() {
    let mut outbox = Outbox::new(ROOMY);
    outbox.push(A, Part::Whole, frame(1, 100)).unwrap();
    outbox.push(A, piece(1, Flag::More), frame(2, 100)).unwrap();
    outbox.push_urgent(frame(3, 1)).unwrap();

    assert_eq!(take_all(&mut outbox), ids(&[3, 1, 2]));
}

#[test]
fn what_is_taken_ends_with_the_frame_that_reaches_the_mark() {
    let mut outbox = Outbox::new(ROOMY);
    (0..4).for_each(|n| assert!(outbox.push(A, Part::Whole, frame(n, 1000)).is_ok()));

    assert_eq!(take(&mut outbox, 1500).len(), 2);
    assert_eq!(take(&mut outbox, 1500).len(), 2);
    assert!(outbox.is_empty());
}

#[test]
fn m4975_05_two_sessions_with_big_transfers_share_a_connection_evenly() {
    let mut outbox = Outbox::new(ROOMY);
    for n in 0..100 {
        outbox.push(A, piece(1, Flag::More), frame(n, 60_000)).unwrap();
    }
    for n in 1000..1200 {
        outbox.push(B, piece(2, Flag::More), frame(n, 30_000)).unwrap();
    }

    // Half of all there is.
    let taken = take(&mut outbox, 6_000_000);

    let octets = |long: bool| -> usize {
        taken.iter().map(Frame::len).filter(|octets| (*octets > 50_000) == long).sum()
    };
    let (a, b) = (octets(true), octets(false));
    assert!(a.abs_diff(b) <= 60_500, "{a} and {b}");
}

#[test]
fn m4975_05_a_session_that_was_quiet_gets_its_share_and_no_more() {
    let mut outbox = Outbox::new(ROOMY);
    for n in 0..200 {
        outbox.push(A, Part::Whole, frame(n, 10_000)).unwrap();
    }
    take(&mut outbox, 1_000_000);
    for n in 1000..1200 {
        outbox.push(B, Part::Whole, frame(n, 20_000)).unwrap();
    }

    let taken = take(&mut outbox, 400_000);

    let b: usize = taken.iter().map(Frame::len).filter(|octets| *octets > 15_000).sum();
    assert!((175_000..=225_000).contains(&b), "{b}");
}

#[test]
fn p28_whole_messages_overtake_a_stream_until_its_last_piece_is_queued() {
    let mut outbox = Outbox::new(ROOMY);
    for n in 1..=3 {
        outbox.push(A, piece(1, Flag::More), frame(n, 60_000)).unwrap();
    }
    outbox.push(A, Part::Whole, frame(10, 100)).unwrap();
    outbox.push(A, Part::Whole, frame(11, 100)).unwrap();
    outbox.push(A, piece(1, Flag::End), frame(4, 100)).unwrap();
    outbox.push(A, Part::Whole, frame(12, 100)).unwrap();

    // What was queued before the last piece is completed before it, and what came behind it, after.
    assert_eq!(take_all(&mut outbox), ids(&[10, 11, 1, 2, 3, 4, 12]));
}

#[test]
fn p28_a_busy_chat_does_not_starve_a_stream() {
    let mut outbox = Outbox::new(ROOMY);
    for n in 0..1000 {
        outbox.push(A, Part::Whole, frame(n, 1000)).unwrap();
    }
    take(&mut outbox, 300_000);
    for n in 2000..2010 {
        outbox.push(A, piece(1, Flag::More), frame(n, 60_000)).unwrap();
    }

    let taken = take(&mut outbox, 400_000);

    let stream: usize = taken.iter().map(Frame::len).filter(|octets| *octets > 50_000).sum();
    assert!((120_000..=240_500).contains(&stream), "{stream}");
}

#[test]
fn m4975_53_of_a_stream_that_is_not_wanted_one_abort_leaves_and_nothing_else() {
    let mut outbox = Outbox::new(ROOMY);
    for n in 1..=3 {
        outbox.push(A, piece(1, Flag::More), frame(n, 5000)).unwrap();
    }
    let first = take(&mut outbox, 1).remove(0);
    let answered = outbox.answered(first.payload.transaction()).unwrap();
    assert_eq!(answered, Answered { lane: A, stream: Some(Tag::of(stream_id(1))) });

    outbox.stop(A, Tag::of(stream_id(1)));
    assert_eq!(outbox.push(A, piece(1, Flag::More), frame(4, 5000)), Ok(Pushed::Unwanted));
    assert_eq!(outbox.push(A, piece(1, Flag::End), frame(5, 5000)), Ok(Pushed::Unwanted));
    outbox.push(A, piece(2, Flag::End), frame(6, 1)).unwrap();

    let [other, abort] = &take(&mut outbox, usize::MAX)[..] else { panic!() };
    assert_eq!(other.payload.transaction(), ids(&[6])[0]);
    let text = String::from_utf8(abort.to_bytes().to_vec()).unwrap();
    assert!(text.ends_with(&format!("\r\n\r\n\r\n-------{}#\r\n", ids(&[2])[0])), "{text}");
    assert!(outbox.is_empty());
}

#[test]
fn m4975_53_the_abort_is_sent_with_the_next_piece_where_none_waits() {
    let mut outbox = Outbox::new(ROOMY);
    outbox.push(A, piece(1, Flag::More), frame(1, 5000)).unwrap();
    take_all(&mut outbox);

    outbox.stop(A, Tag::of(stream_id(1)));
    assert!(outbox.is_empty());
    let Ok(Pushed::Queued(octets)) = outbox.push(A, piece(1, Flag::More), frame(2, 5000)) else {
        panic!()
    };
    assert_eq!(outbox.push(A, piece(1, Flag::End), frame(3, 5000)), Ok(Pushed::Unwanted));

    assert!(octets < 300);
    assert_eq!(outbox.octets(), octets);
    assert_eq!(take_all(&mut outbox), ids(&[2]));
}

#[test]
fn m4975_53_a_stream_whose_last_piece_waits_is_cut_short_in_its_place() {
    let mut outbox = Outbox::new(ROOMY);
    outbox.push(A, piece(1, Flag::More), frame(1, 5000)).unwrap();
    outbox.push(A, piece(1, Flag::End), frame(2, 5000)).unwrap();
    outbox.push(A, Part::Whole, frame(3, 1)).unwrap();

    outbox.stop(A, Tag::of(stream_id(1)));

    assert_eq!(take_all(&mut outbox), ids(&[1, 3]));
    assert!(outbox.is_empty());
}

#[test]
fn the_end_of_a_session_takes_what_waits_for_it_and_nothing_else() {
    let mut outbox = Outbox::new(ROOMY);
    outbox.push(A, Part::Whole, frame(1, 500)).unwrap();
    outbox.push(A, piece(1, Flag::More), frame(2, 500)).unwrap();
    outbox.push(B, Part::Whole, frame(3, 500)).unwrap();

    outbox.end(A);

    assert_eq!(outbox.octets(), frame(3, 500).len());
    assert_eq!(take_all(&mut outbox), ids(&[3]));
}

#[test]
fn chunks_that_are_not_answered_hold_back_their_own_session_only() {
    let mut outbox = Outbox::new(Bounds { unanswered_max: 2, ..ROOMY });
    for n in 1..=3 {
        outbox.push(A, Part::Whole, frame(n, 1)).unwrap();
    }
    outbox.push(B, Part::Whole, frame(4, 1)).unwrap();
    assert_eq!(take_all(&mut outbox), ids(&[1, 4, 2]));

    assert!(outbox.answered(ids(&[1])[0]).is_some());

    assert_eq!(take_all(&mut outbox), ids(&[3]));
}

#[test]
fn m4975_33_a_receiver_has_30_seconds_from_when_the_octets_were_with_the_system() {
    let mut outbox = Outbox::new(ROOMY);
    let start = service::clock::now();
    let at = |secs| start + Duration::from_secs(secs);
    outbox.push(A, Part::Whole, frame(1, 1)).unwrap();
    outbox.push(B, Part::Whole, frame(2, 1)).unwrap();
    // Not sent yet, so nobody owes an answer.
    assert_eq!(outbox.silent(at(0), Way::Clear, WAIT), []);
    assert_eq!(outbox.silent(at(100), Way::Clear, WAIT), []);
    take_all(&mut outbox);

    // P22: while the socket is blocked no timer runs.
    assert_eq!(outbox.silent(at(200), Way::Blocked, WAIT), []);
    assert_eq!(outbox.silent(at(300), Way::Clear, WAIT), []);
    assert_eq!(outbox.silent(at(329), Way::Clear, WAIT), []);
    assert!(outbox.answered(ids(&[2])[0]).is_some());

    assert_eq!(outbox.silent(at(330), Way::Clear, WAIT), [A]);
    outbox.end(A);
    assert_eq!(outbox.silent(at(999), Way::Clear, WAIT), []);
}

#[test]
fn m4975_33_an_answer_starts_the_timer_anew_and_only_for_the_oldest() {
    let mut outbox = Outbox::new(ROOMY);
    let start = service::clock::now();
    let at = |secs| start + Duration::from_secs(secs);
    (1..=4).for_each(|n| assert!(outbox.push(A, Part::Whole, frame(n, 1)).is_ok()));
    take_all(&mut outbox);
    assert_eq!(outbox.silent(at(0), Way::Clear, WAIT), []);

    assert!(outbox.answered(ids(&[1])[0]).is_some());
    assert_eq!(outbox.silent(at(29), Way::Clear, WAIT), []);
    // A later one that is answered does not make up for the oldest that is not.
    assert!(outbox.answered(ids(&[3])[0]).is_some());
    assert_eq!(outbox.silent(at(58), Way::Clear, WAIT), []);

    assert_eq!(outbox.silent(at(59), Way::Clear, WAIT), [A]);
}

#[test]
fn a_receiver_that_does_not_answer_an_abort_is_let_off() {
    let mut outbox = Outbox::new(ROOMY);
    let start = service::clock::now();
    outbox.push(A, piece(1, Flag::Abort), frame(1, 0)).unwrap();
    take_all(&mut outbox);
    assert_eq!(outbox.silent(start, Way::Clear, WAIT), []);

    assert_eq!(outbox.silent(start + WAIT, Way::Clear, WAIT), []);

    assert_eq!(outbox.answered(ids(&[1])[0]), None);
}

#[test]
fn s7_2_a_response_to_nothing_matches_nothing_and_neither_does_a_second_one() {
    let mut outbox = Outbox::new(ROOMY);
    (1..=2).for_each(|n| assert!(outbox.push(A, Part::Whole, frame(n, 1)).is_ok()));
    take_all(&mut outbox);

    assert_eq!(outbox.answered(ids(&[9])[0]), None);
    for n in [2, 1] {
        let answered = outbox.answered(ids(&[n])[0]);
        assert_eq!(answered, Some(Answered { lane: A, stream: None }));
        assert_eq!(outbox.answered(ids(&[n])[0]), None);
    }
}

/// One event of random traffic.
#[derive(Clone, Debug)]
enum Step {
    Whole {
        lane: u32,
        octets: usize,
    },
    Piece {
        lane: u32,
        stream: u32,
        octets: usize,
        flag: Flag,
    },
    Urgent,
    Take {
        octets: usize,
    },
    /// Answers one of those that are not answered, not always the oldest.
    Answer {
        nth: usize,
    },
    Stop {
        lane: u32,
        stream: u32,
    },
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::*;
    let flag = prop_oneof![6 => Just(Flag::More), 2 => Just(Flag::End), 1 => Just(Flag::Abort)];
    prop_oneof![
        4 => (0..3_u32, 1..5000_usize).prop_map(|(lane, octets)| Step::Whole { lane, octets }),
        8 => (0..3_u32, 0..3_u32, 1..70_000_usize, flag)
            .prop_map(|(lane, stream, octets, flag)| Step::Piece { lane, stream, octets, flag }),
        1 => Just(Step::Urgent),
        4 => (1..200_000_usize).prop_map(|octets| Step::Take { octets }),
        4 => (0..8_usize).prop_map(|nth| Step::Answer { nth }),
        1 => (0..3_u32, 0..3_u32).prop_map(|(lane, stream)| Step::Stop { lane, stream }),
    ]
}

/// What is known of each frame by the order in which it was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pushing {
    id: TransactionId,
    lane: u32,
    /// None: urgent or whole.
    stream: Option<u32>,
    flag: Flag,
}

#[derive(Default)]
struct Model {
    pushed: Vec<Pushing>,
    left: Vec<Pushing>,
    open: Vec<TransactionId>,
    /// Streams that were stopped at some time, by lane.
    stopped: Vec<(u32, u32)>,
    /// How many streams have ended; after its end a stream does not go on.
    ended: std::collections::HashMap<(u32, u32), u32>,
}

impl Model {
    fn run(&mut self, outbox: &mut Outbox, seed: u64, step: &Step) {
        match *step {
            Step::Whole { lane, octets } => {
                self.push(outbox, (seed, octets), (lane, None, Flag::End));
            }
            Step::Piece { lane, stream, octets, flag } => {
                let ended = self.ended.entry((lane, stream)).or_default();
                let stream = stream + 3 * *ended;
                *ended += u32::from(flag != Flag::More);
                self.push(outbox, (seed, octets), (lane, Some(stream), flag));
            }
            Step::Urgent => outbox.push_urgent(frame(seed, 10)).unwrap(),
            Step::Take { octets } => self.take(outbox, octets),
            Step::Answer { nth } if !self.open.is_empty() => {
                let id = self.open.remove(nth % self.open.len());
                let pushing = self.left.iter().find(|pushing| pushing.id == id).unwrap();
                let answered = outbox.answered(id).unwrap();
                assert_eq!(answered.lane, Lane(pushing.lane));
                let stream = pushing.stream.filter(|_| pushing.flag == Flag::More);
                if !self.stopped.contains(&(pushing.lane, pushing.stream.unwrap_or(u32::MAX))) {
                    assert_eq!(answered.stream, stream.map(|stream| Tag::of(stream_id(stream))));
                }
                assert_eq!(outbox.answered(id), None);
            }
            Step::Answer { .. } => {
                assert_eq!(outbox.answered(frame(seed, 1).payload.transaction()), None);
            }
            Step::Stop { lane, stream } => {
                let stream = stream + 3 * self.ended.get(&(lane, stream)).copied().unwrap_or(0);
                self.stopped.push((lane, stream));
                outbox.stop(Lane(lane), Tag::of(stream_id(stream)));
            }
        }
    }

    fn push(
        &mut self,
        outbox: &mut Outbox,
        (seed, octets): (u64, usize),
        (lane, stream, flag): (u32, Option<u32>, Flag),
    ) {
        let frame = frame(seed, octets);
        let id = frame.payload.transaction();
        let part = stream.map_or(Part::Whole, |stream| piece(stream, flag));
        match outbox.push(Lane(lane), part, frame).unwrap() {
            Pushed::Queued(_) => self.pushed.push(Pushing { id, lane, stream, flag }),
            Pushed::Unwanted => assert!(self.stopped.contains(&(lane, stream.unwrap()))),
        }
    }

    fn take(&mut self, outbox: &mut Outbox, octets: usize) {
        let before = outbox.octets();
        let frames = take(outbox, octets);
        assert_eq!(outbox.octets(), before - frames.iter().map(Frame::len).sum::<usize>());
        for id in frames.iter().map(|frame| frame.payload.transaction()) {
            if let Some(pushing) = self.pushed.iter().find(|pushing| pushing.id == id) {
                self.left.push(*pushing);
                self.open.push(id);
            }
        }
    }

    /// The ends of messages of a session that was never told to stop a stream, in their order.
    fn ends(pushings: &[Pushing], lane: u32) -> Vec<TransactionId> {
        let end = |it: &&Pushing| it.lane == lane && it.flag == Flag::End;
        pushings.iter().filter(end).map(|it| it.id).collect()
    }

    fn of_stream(pushings: &[Pushing], lane: u32, stream: u32) -> Vec<TransactionId> {
        let same = |it: &&Pushing| it.lane == lane && it.stream == Some(stream);
        pushings.iter().filter(same).map(|it| it.id).collect()
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_lost_or_doubled_and_both_orders_are_kept(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut outbox = Outbox::new(ROOMY);
        let mut model = Model::default();
        for (seed, step) in (0..).zip(&steps) {
            model.run(&mut outbox, seed, step);
        }
        model.take(&mut outbox, usize::MAX);

        proptest::prop_assert!(outbox.is_empty());
        for lane in 0..3 {
            let innocent = !model.stopped.iter().any(|(stopped, _)| *stopped == lane);
            if innocent {
                proptest::prop_assert_eq!(Model::ends(&model.left, lane), Model::ends(&model.pushed, lane));
            }
            for stream in 0..400 {
                let (left, pushed) = (
                    Model::of_stream(&model.left, lane, stream),
                    Model::of_stream(&model.pushed, lane, stream),
                );
                if innocent {
                    proptest::prop_assert_eq!(left, pushed);
                } else {
                    // Some were cut, but none came twice or out of order.
                    let mut rest = pushed.iter();
                    proptest::prop_assert!(left.iter().all(|id| rest.any(|other| other == id)));
                }
            }
        }
    }

    #[test]
    fn m4975_05_sessions_that_have_enough_to_say_never_differ_by_more_than_two_frames(
        sizes in proptest::collection::vec((0..3_u32, 1..65_000_usize), 60..200),
        mark in 1..1_000_000_usize,
    ) {
        let mut outbox = Outbox::new(ROOMY);
        let mut waits = [0_usize; 3];
        let mut lane_of = std::collections::HashMap::new();
        for (seed, (lane, octets)) in (0..).zip(&sizes) {
            let frame = frame(seed, *octets);
            lane_of.insert(frame.payload.transaction(), *lane as usize);
            waits[*lane as usize] += frame.len();
            outbox.push(Lane(*lane), Part::Whole, frame).unwrap();
        }

        let mut left = [0_usize; 3];
        for frame in take(&mut outbox, mark) {
            left[lane_of[&frame.payload.transaction()]] += frame.len();
        }

        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            if left[a] < waits[a] && left[b] < waits[b] {
                proptest::prop_assert!(left[a].abs_diff(left[b]) <= 2 * 65_500, "{left:?}");
            }
        }
    }
}
