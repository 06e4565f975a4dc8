//! What a hop owes, and when it is presumed or given up.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use msrp::{Decoder, Flag, Item};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use service::clock;

use super::*;

impl Origin for u32 {
    type Name = Self;

    fn name(&self) -> Self {
        *self
    }
}

const WAIT: Duration = Duration::from_secs(30);
const HERE: &str = "msrps://relay.example:2855/leg2;tcp";

fn limits() -> Limits {
    Limits { unanswered_max: 4, answer: WAIT }
}

fn read(text: &str) -> Arc<Head> {
    let mut input = BytesMut::from(text.as_bytes());
    match Decoder::default().next(&mut input).unwrap().unwrap() {
        Item::Request(chunk) => chunk.head,
        Item::Response(head) => head,
    }
}

fn source(origin: u32, message: &str, failure_report: &str) -> Arc<Source<u32>> {
    let head = read(&format!(
        "MSRP a1b2c3d4 SEND\r\nTo-Path: msrps://relay.example:2855/leg1;tcp\r\n\
         From-Path: msrps://hop.example:1/h;tcp msrps://ua.example:9/u1;tcp\r\n\
         Message-ID: {message}\r\nFailure-Report: {failure_report}\r\n\
         Content-Type: text/plain\r\n\r\nhi\r\n-------a1b2c3d4$\r\n"
    ));
    Arc::new(Source::of(&head, origin))
}

fn passed(source: &Arc<Source<u32>>, start: u64, octets: u64, flag: Flag) -> Passed<u32> {
    let range = ByteRange::piece(start, octets, None);
    Passed { source: Arc::clone(source), range, flag, via: HERE.parse().unwrap() }
}

fn tid(n: u64) -> TransactionId {
    TransactionId::parse(format!("tid{n:08}").as_bytes()).unwrap()
}

fn answer_to(n: u64, status: &str, to: &str) -> Arc<Head> {
    let tid = tid(n);
    read(&format!(
        "MSRP {tid} {status}\r\nTo-Path: {to}\r\nFrom-Path: msrps://b.example:1/b;tcp\r\n-------{tid}$\r\n"
    ))
}

fn failed(settled: Vec<Settled<u32>>) -> Vec<Failure<u32>> {
    let failure = |settled| match settled {
        Settled::Failed(failure) => Some(failure),
        Settled::Presumed(_) => None,
    };
    settled.into_iter().filter_map(failure).collect()
}

#[test]
fn s6_4_1_silence_for_30_s_after_the_last_octet_was_written_is_reported_as_408() {
    let (mut ledger, start) = (Ledger::new(limits()), clock::now());
    let source = source(1, "message1", "yes");
    ledger.pass(tid(1), passed(&source, 1, 100, Flag::End)).unwrap();

    assert!(ledger.expire(start + 9 * WAIT, start).is_empty(), "it has not left yet");
    ledger.written(start + WAIT);
    assert!(ledger.expire(start + 2 * WAIT - Duration::from_millis(1), start).is_empty());
    let settled = failed(ledger.expire(start + 2 * WAIT, start));

    let report = settled[0].report(&mut StdRng::seed_from_u64(1)).unwrap();
    let text = String::from_utf8(report.to_bytes().to_vec()).unwrap();
    assert!(text.contains(
        "To-Path: msrps://hop.example:1/h;tcp msrps://ua.example:9/u1;tcp\r\n\
         From-Path: msrps://relay.example:2855/leg1;tcp\r\nMessage-ID: message1\r\n\
         Byte-Range: 1-100/*\r\nStatus: 000 408 "
    ));
    assert!(ledger.is_empty());
}

#[test]
fn while_a_next_hop_cannot_be_heard_its_time_does_not_run() {
    let (mut ledger, start) = (Ledger::new(limits()), clock::now());
    ledger.pass(tid(1), passed(&source(1, "message1", "yes"), 1, 1, Flag::End)).unwrap();
    ledger.written(start);

    let heard = start + 5 * WAIT;

    assert!(ledger.expire(heard + WAIT / 2, heard).is_empty());
    assert_eq!(ledger.expire(heard + WAIT, heard).len(), 1);
}

#[test]
fn s6_4_1_each_failure_report_hears_what_it_asked_for() {
    let table = [("yes", true, true), ("partial", true, false), ("no", false, false)];
    for (failure_report, error, silence) in table {
        let (mut ledger, start) = (Ledger::new(limits()), clock::now());
        let source = source(1, "message1", failure_report);

        ledger.pass(tid(1), passed(&source, 1, 10, Flag::More)).unwrap();
        let answer = ledger.answered(&answer_to(1, "415 No", HERE));
        ledger.pass(tid(2), passed(&source, 11, 10, Flag::End)).unwrap();
        ledger.written(start);
        let late = failed(ledger.expire(start + WAIT, start));

        assert_eq!(matches!(answer, Answer::Refused(_)), error, "415 for {failure_report}");
        assert_eq!(late.len(), usize::from(silence), "silence for {failure_report}");
        assert!(ledger.is_empty());
    }
}

#[test]
fn s6_4_3_an_answer_that_is_for_somebody_else_or_comes_twice_is_dropped() {
    let mut ledger = Ledger::new(limits());
    ledger.pass(tid(1), passed(&source(1, "message1", "yes"), 1, 1, Flag::End)).unwrap();

    let elsewhere = answer_to(1, "200 OK", "msrps://relay.example:2855/leg3;tcp");
    assert!(matches!(ledger.answered(&elsewhere), Answer::Unknown));
    assert!(matches!(ledger.answered(&answer_to(2, "200 OK", HERE)), Answer::Unknown));
    assert!(matches!(ledger.answered(&answer_to(1, "200 OK", HERE)), Answer::Taken(_)));
    assert!(matches!(ledger.answered(&answer_to(1, "200 OK", HERE)), Answer::Unknown));
}

#[test]
fn s10_a_message_that_the_next_hop_refuses_is_stopped_where_it_stands_and_others_are_not() {
    let mut ledger = Ledger::new(limits());
    let (one, other) = (source(1, "message1", "yes"), source(2, "message1", "yes"));
    ledger.pass(tid(1), passed(&one, 1, 10, Flag::More)).unwrap();
    ledger.pass(tid(2), passed(&one, 11, 10, Flag::More)).unwrap();

    let Answer::Refused(failure) = ledger.answered(&answer_to(1, "413 enough", HERE)) else {
        panic!("it was refused");
    };

    assert_eq!((failure.range, failure.open_at), (ByteRange::piece(1, 10, None), Some(21)));
    assert_eq!(failure.comment, "enough");
    assert!(ledger.is_stopped(&passed(&one, 21, 10, Flag::More)));
    assert!(!ledger.is_stopped(&passed(&other, 21, 10, Flag::More)));
    assert!(!ledger.is_stopped(&passed(&one, 1, 10, Flag::More)), "another attempt");
    let Answer::Refused(failure) = ledger.answered(&answer_to(2, "413 enough", HERE)) else {
        panic!("it was refused, too");
    };
    assert_eq!(failure.open_at, None, "the abort goes once");
}

#[test]
fn a_long_message_that_fails_in_many_pieces_is_reported_once_and_never_with_another() {
    let (mut ledger, start) = (Ledger::new(limits()), clock::now());
    let (one, other) = (source(1, "message1", "yes"), source(1, "message2", "yes"));
    ledger.pass(tid(1), passed(&one, 1, 10, Flag::More)).unwrap();
    ledger.pass(tid(2), passed(&one, 11, 10, Flag::More)).unwrap();
    ledger.pass(tid(3), passed(&other, 21, 10, Flag::End)).unwrap();

    ledger.written(start);
    let settled = failed(ledger.expire(start + WAIT, start));

    let told: Vec<_> = settled.iter().map(|f| (f.range, f.source.message_id)).collect();
    assert_eq!(
        told,
        [
            (ByteRange::piece(1, 20, None), one.message_id),
            (ByteRange::piece(21, 10, None), other.message_id)
        ]
    );
}

#[test]
fn a_next_hop_that_is_lost_fails_what_it_did_not_answer() {
    let mut ledger = Ledger::new(limits());
    for (n, failure_report) in [(1, "yes"), (2, "partial"), (3, "no")] {
        let source = source(1, &format!("message{n}"), failure_report);
        ledger.pass(tid(n), passed(&source, 1, 10, Flag::End)).unwrap();
    }

    let settled = failed(ledger.lose(Status::NO_SUCH_SESSION));

    assert_eq!(settled.len(), 2);
    assert!(settled.iter().all(|failure| failure.status == Status::NO_SUCH_SESSION));
    assert!(ledger.is_empty());
}

#[test]
fn a_crowded_ledger_says_so_and_a_full_one_takes_no_more() {
    let mut ledger = Ledger::new(limits());
    let loud = source(1, "message1", "yes");
    (1..=4).for_each(|n| ledger.pass(tid(n), passed(&loud, n, 1, Flag::More)).unwrap());

    assert!(ledger.is_crowded());
    (5..=8).for_each(|n| ledger.pass(tid(n), passed(&loud, n, 1, Flag::More)).unwrap());
    assert_eq!(ledger.pass(tid(9), passed(&loud, 9, 1, Flag::More)), Err(Full));

    // Those that are not answered in the usual case crowd nobody out: the oldest is presumed to have been taken.
    let quiet = source(1, "message2", "partial");
    (10..=14).for_each(|n| ledger.pass(tid(n), passed(&quiet, n, 1, Flag::More)).unwrap());
    assert_eq!(ledger.len(), 12);
    let now = clock::now();
    let presumed = ledger.expire(now, now);
    assert!(matches!(&presumed[..], [Settled::Presumed(p)] if p.range.start == 10));
}

#[test]
fn s6_4_2_the_answer_to_an_unknown_method_goes_back() {
    let mut ledger = Ledger::new(limits());
    let head = read(
        "MSRP a1b2c3d4 PING\r\nTo-Path: msrps://relay.example:2855/leg1;tcp\r\n\
         From-Path: msrps://ua.example:9/u1;tcp\r\n-------a1b2c3d4$\r\n",
    );
    let source = Arc::new(Source::of(&head, 1));
    ledger.pass(tid(1), passed(&source, 1, 0, Flag::End)).unwrap();

    let Answer::Back(back) = ledger.answered(&answer_to(1, "501 No", HERE)) else {
        panic!("it goes back");
    };

    assert_eq!(back.transaction, head.transaction());
}

#[test]
fn s6_4_1_a_relay_goes_from_the_front_of_one_path_to_the_front_of_the_other() {
    let head = |to: &str| {
        read(&format!(
            "MSRP a1b2c3d4 SEND\r\nTo-Path: {to}\r\nFrom-Path: msrps://ua.example:9/u1;tcp\r\n\
             Message-ID: message1\r\n-------a1b2c3d4$\r\n"
        ))
    };

    let (to, from) = behind_relay(&head("msrps://r:1/r;tcp msrps://b:2/b;tcp")).unwrap();

    assert_eq!(to.to_wire(), "msrps://b:2/b;tcp");
    assert_eq!(from.to_wire(), "msrps://r:1/r;tcp msrps://ua.example:9/u1;tcp");
    assert_eq!(behind_relay(&head("msrps://r:1/r;tcp")), None);
}

/// Whether a decoder like ours takes a head with this many URIs of this length and other headers.
fn reads(uris: usize, uri_octets: usize, headers: usize, header_octets: usize) -> (bool, bool) {
    let uri = format!("msrps://a.example:9/{};tcp", "x".repeat(uri_octets - 24));
    let path = |uris: usize| vec![uri.as_str(); uris].join(" ");
    let more = format!("X: {}\r\n", "y".repeat(header_octets.saturating_sub(5))).repeat(headers);
    let text = |to: usize, from: usize| {
        format!(
            "MSRP a1b2c3d4e5f6a7b8 SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: message1\r\n\
             Byte-Range: 1-2/2\r\n{more}-------a1b2c3d4e5f6a7b8$\r\n",
            path(to),
            path(from)
        )
    };
    let parse = |text: &str| Decoder::default().next(&mut BytesMut::from(text));
    let Ok(Some(Item::Request(chunk))) = parse(&text(2, uris)) else { panic!("it must come") };
    let (to, from) = behind_relay(&chunk.head).unwrap();
    let next = parse(&text(1, uris + 1));
    (is_head_readable(&chunk.head, (&to, &from)), matches!(next, Ok(Some(Item::Request(_)))))
}

#[test]
fn s6_4_1_what_the_next_hop_would_not_read_is_known_before_it_leaves() {
    // Many URIs, long ones, and a head that is nearly full.
    let heads = [(15, 40, 0, 0), (16, 40, 0, 0), (7, 1010, 0, 0), (8, 1015, 0, 0), (1, 40, 59, 40)];
    let expected = [true, false, true, false, true];

    for ((uris, octets, headers, header), good) in heads.into_iter().zip(expected) {
        assert_eq!(reads(uris, octets, headers, header), (good, good), "{uris} of {octets}");
    }
    // A bound of which nobody knows on which side the next hop's start line falls is kept away from.
    assert!(!reads(1, 40, 2, 8000).0);
    assert!(!reads(1, 40, 60, 40).0);
}

#[test]
fn s7_2_the_comment_of_a_next_hop_can_neither_end_its_line_nor_outgrow_it() {
    let source = source(1, "message1", "yes");
    let report = |comment: &[u8]| {
        let failure = Failure {
            source: Arc::clone(&source),
            range: ByteRange::whole(2),
            status: Status::STOP_SENDING,
            comment: Bytes::copy_from_slice(comment),
            open_at: None,
        };
        let frame = failure.report(&mut StdRng::seed_from_u64(1)).unwrap();
        String::from_utf8(frame.to_bytes().to_vec()).unwrap()
    };

    let injected = report(b"no\r\nTo-Path: msrps://x.example:1/x;tcp\r\n-------a1b2c3d4$\r\nMSRP");
    assert!(injected.contains("Status: 000 413 no  To-Path: "), "{injected}");
    assert_eq!(read(&injected).report_status().unwrap().status, Status::STOP_SENDING);
    let long = report("\u{e9}".repeat(4000).as_bytes());
    assert!(long.len() < 700 && long.contains("413 \u{e9}\u{e9}"), "{}", long.len());
    assert!(report(b"\xff\xfe").contains("Status: 000 413 "));
}

#[derive(Clone, Debug)]
enum Move {
    /// A piece of one of four messages, with `Failure-Report` as the message has it.
    Pass(usize, u64, bool),
    Answer(u64, bool),
    Written,
    Wait(u64),
    Lose,
}

fn a_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (0_usize..4, 1_u64..100, any::<bool>()).prop_map(|(m, n, end)| Move::Pass(m, n, end)),
        4 => (1_u64..40, any::<bool>()).prop_map(|(n, ok)| Move::Answer(n, ok)),
        2 => Just(Move::Written),
        2 => (1_u64..40).prop_map(Move::Wait),
        1 => Just(Move::Lose),
    ]
}

/// What may still be said about an octet that was passed on: (message, octet) of those that are answered.
type Owed = BTreeMap<(usize, u64), Instant>;

fn settle(owed: &mut Owed, sources: &[Arc<Source<u32>>], settled: Vec<Settled<u32>>, lost: bool) {
    for settled in settled {
        let (source, range, silent) = match &settled {
            Settled::Failed(failure) => (&failure.source, failure.range, true),
            Settled::Presumed(passed) => (&passed.source, passed.range, false),
        };
        let message = sources.iter().position(|s| Arc::ptr_eq(s, source)).unwrap();
        let partial = source.failure_report == FailureReport::Partial;
        assert!(source.failure_report != FailureReport::No, "nobody wants to hear of it");
        assert!(!silent || !partial || lost, "silence is no failure for `partial`");
        for octet in range.start..=range.end.unwrap() {
            assert!(owed.remove(&(message, octet)).is_some(), "{octet} was settled twice");
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_octet_that_is_answered_for_is_settled_exactly_once(
        moves in prop::collection::vec(a_move(), 1..120),
    ) {
        let reports = ["yes", "partial", "no", "yes"];
        let names = (0..4).map(|n| format!("message{n}"));
        let sources: Vec<_> = names.zip(reports).map(|(m, r)| source(1, &m, r)).collect();
        let start = clock::now();
        let (mut ledger, mut now) = (Ledger::new(limits()), start);
        let (mut next, mut at, mut owed) = (0, [1_u64; 4], Owed::new());
        for a_move in moves {
            match a_move {
                Move::Pass(message, octets, end) => {
                    next += 1;
                    let flag = if end { Flag::End } else { Flag::More };
                    let passed = passed(&sources[message], at[message], octets, flag);
                    let range = passed.range;
                    let loud = sources[message].failure_report != FailureReport::No;
                    if ledger.pass(tid(next), passed).is_ok() && loud {
                        let octets = range.start..=range.end.unwrap();
                        owed.extend(octets.map(|octet| ((message, octet), now)));
                    }
                    at[message] += octets;
                }
                Move::Answer(n, ok) => {
                    let status = if ok { "200 OK" } else { "403 No" };
                    let gone = match ledger.answered(&answer_to(n, status, HERE)) {
                        Answer::Taken(passed) if ok => Some((passed.source, passed.range)),
                        Answer::Refused(failure) if !ok => Some((failure.source, failure.range)),
                        Answer::Unknown => None,
                        other => panic!("{other:?}"),
                    };
                    if let Some((source, range)) = gone {
                        let message = sources.iter().position(|s| Arc::ptr_eq(s, &source)).unwrap();
                        for octet in range.start..=range.end.unwrap() {
                            prop_assert!(owed.remove(&(message, octet)).is_some());
                        }
                    }
                }
                Move::Written => ledger.written(now),
                Move::Wait(secs) => {
                    now += Duration::from_secs(secs);
                    settle(&mut owed, &sources, ledger.expire(now, start), false);
                }
                Move::Lose => {
                    settle(&mut owed, &sources, ledger.lose(Status::NO_SUCH_SESSION), true);
                    prop_assert!(owed.is_empty());
                }
            }
            prop_assert!(ledger.len() <= 3 * limits().unanswered_max);
        }
        ledger.written(now);
        settle(&mut owed, &sources, ledger.expire(now + WAIT, start), false);
        prop_assert!(owed.is_empty(), "{owed:?} got no outcome");
    }
}
