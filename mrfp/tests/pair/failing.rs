//! What does not arrive, and who is told.
use bytes::Bytes;
use msrp::{Body, Chunk, FailureReport, Flag, Item, SendRequest, Status, SuccessReport};

use crate::common::{Stage, id, seat};
use crate::peer::{Peer, pair, session, told};

fn text(name: &str, failure_report: FailureReport, success_report: SuccessReport) -> SendRequest {
    let body = Body::from(Bytes::from_static(b"hello"));
    let send = SendRequest::whole(id(name), "text/plain", body);
    SendRequest { failure_report, success_report, ..send }
}

fn file(name: &str, octets: usize) -> SendRequest {
    SendRequest::whole(id(name), "a/b", Body::from(Bytes::from(vec![7; octets])))
}

/// A stage whose next hops have a second to answer.
async fn hasty() -> Stage {
    Stage::with(|config| {
        config.limits.answer_secs = 1;
        config.limits.pair_wait_secs = 1;
    })
    .await
}

const REPORTS: [FailureReport; 3] = [FailureReport::Yes, FailureReport::Partial, FailureReport::No];

fn reports(items: &[Item]) -> Vec<(String, u16, String)> {
    let report = |item: &Item| match item {
        Item::Request(chunk) => Some(told(chunk)),
        Item::Response(_) => None,
    };
    items.iter().filter_map(report).collect()
}

fn answers(items: &[Item]) -> Vec<u16> {
    let answer = |item: &Item| match item {
        Item::Response(head) => head.status().map(Status::code),
        Item::Request(_) => None,
    };
    items.iter().filter_map(answer).collect()
}

#[tokio::test]
async fn s6_4_1_and_7_1_4_the_matrix_of_failure_report_and_success_report_over_two_legs() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    for failure_report in REPORTS {
        for success_report in [SuccessReport::Yes, SuccessReport::No] {
            for status in [Status::OK, Status::UNSUPPORTED_TYPE] {
                let name = format!("m{failure_report:?}{success_report:?}{status}");
                let row = format!("{failure_report:?} {success_report:?} {status}");
                alice.send(&text(&name, failure_report, success_report)).await;

                let chunk = bob.request().await;
                // What is kept end to end (M4975-29).
                assert_eq!(chunk.head.failure_report(), failure_report, "{row}");
                assert_eq!(chunk.head.success_report(), success_report, "{row}");
                bob.answer(&chunk.head, status).await;
                if status == Status::OK && success_report == SuccessReport::Yes {
                    let report = format!(
                        "MSRP tid2report REPORT\r\nPATHS\r\nMessage-ID: {name}\r\n\
                         Byte-Range: 1-5/5\r\nStatus: 000 200 OK\r\n-------tid2report$\r\n"
                    );
                    bob.says.text(&report).await;
                }
                // What comes back has come back when the relay has answered both.
                bob.rest().await;
                let items = alice.rest().await;

                let acknowledged = failure_report == FailureReport::Yes;
                let expected = if acknowledged { vec![200] } else { vec![] };
                assert_eq!(answers(&items), expected, "responses stay on their hop: {row}");
                let failed = status != Status::OK && failure_report != FailureReport::No;
                let succeeded = status == Status::OK && success_report == SuccessReport::Yes;
                let expected = match (failed, succeeded) {
                    (true, _) => vec![(name, 415, "1-5/5".into())],
                    (_, true) => vec![(name, 200, "1-5/5".into())],
                    _ => vec![],
                };
                assert_eq!(reports(&items), expected, "{row}");
            }
        }
    }
}

#[tokio::test]
async fn m4976_10_a_next_hop_that_stays_silent_is_reported_as_408_where_it_should_have_answered() {
    let mut stage = hasty().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;

    for (n, failure_report) in REPORTS.into_iter().rev().enumerate() {
        alice.send(&text(&format!("message{n}"), failure_report, SuccessReport::No)).await;
        bob.request().await;
    }

    // The last one is the only one that is told, so nothing was told before it.
    assert_eq!(alice.report().await, ("message2".into(), 408, "1-5/5".into()));
    assert!(reports(&alice.rest().await).is_empty());
}

#[tokio::test]
async fn m4976_10_only_the_silent_part_is_reported_and_the_message_goes_on() {
    let mut stage = hasty().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let whole = file("file1", 9000);
    let (first, next) = whole.chunk(0, 3000);
    let (second, next) = whole.chunk(next.unwrap(), 3000);
    let (third, _) = whole.chunk(next.unwrap(), 3000);

    alice.send(&first).await;
    let chunk = bob.request().await;
    bob.answer(&chunk.head, Status::OK).await;
    alice.send(&second).await;
    bob.request().await;
    assert_eq!(alice.report().await, ("file1".into(), 408, "3001-6000/9000".into()));

    alice.send(&third).await;
    let chunk = bob.request().await;
    assert_eq!((chunk.range.start, chunk.end), (6001, Some(Flag::End)));
    // What did not arrive in full may be sent again.
    bob.answer(&chunk.head, Status::OK).await;
    alice.send(&whole).await;
    assert_eq!(bob.message().await.1.len(), 9000);
}

#[tokio::test]
async fn m4975_53_a_next_hop_that_wants_no_more_gets_no_more_and_the_sender_is_stopped() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let whole = file("file1", 1024 * 1024);
    let frame = whole.encode(&mut alice.says.rng).to(&alice.says.address).to_bytes();
    let (front, rest) = frame.split_at(200_000);

    // In the middle of one long chunk.
    alice.says.raw(front).await;
    let chunk = bob.request().await;
    bob.answer(&chunk.head, Status::STOP_SENDING).await;
    let end: Chunk = loop {
        let chunk = bob.request().await;
        if chunk.end == Some(Flag::Abort) {
            break chunk;
        }
    };

    assert_eq!(end.head.message_id(), Some(id("file1")));
    let (name, status, range) = alice.report().await;
    assert_eq!((name.as_str(), status, &range[..2]), ("file1", 413, "1-"));
    // Its chunk has its answer before it ends.
    let Some(Item::Response(answer)) = alice.hears.item().await else { panic!("no answer") };
    assert_eq!(answer.status(), Some(Status::STOP_SENDING));
    alice.says.raw(rest).await;
    alice.send(&text("message1", FailureReport::Yes, SuccessReport::No)).await;
    let next = bob.request().await;
    assert_eq!(next.head.message_id(), Some(id("message1")), "nothing of the file follows");
}

#[tokio::test]
async fn m4975_53_later_chunks_of_a_message_that_was_stopped_get_413() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let whole = file("file1", 9000);
    let (first, next) = whole.chunk(0, 3000);
    let (second, _) = whole.chunk(next.unwrap(), 3000);

    alice.send(&first).await;
    let chunk = bob.request().await;
    bob.answer(&chunk.head, Status::STOP_SENDING).await;
    assert_eq!(alice.report().await, ("file1".into(), 413, "1-*/9000".replace('*', "3000")));

    assert_eq!(alice.ask(&second).await, 413);
}

#[tokio::test]
async fn m4975_38_a_report_for_a_byte_range_passes_as_it_is() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    alice.send(&file("file1", 9000)).await;
    bob.message().await;

    bob.says
        .text(
            "MSRP tid2report REPORT\r\nPATHS\r\nMessage-ID: file1\r\nByte-Range: 101-200/9000\r\n\
             Status: 000 408 a relay behind\r\n-------tid2report$\r\n",
        )
        .await;

    assert_eq!(alice.report().await, ("file1".into(), 408, "101-200/9000".into()));
    assert!(bob.rest().await.is_empty(), "nobody answers a REPORT");
}

#[tokio::test]
async fn m4975_71_a_message_longer_than_max_size_gets_413() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let claims = SendRequest {
        range: msrp::ByteRange { start: 1, end: None, total: Some(200 * 1024 * 1024) },
        flag: Flag::More,
        ..file("file1", 4096)
    };

    assert_eq!(alice.ask(&claims).await, 413);
    alice.send(&text("message1", FailureReport::Yes, SuccessReport::No)).await;

    assert_eq!(bob.request().await.head.message_id(), Some(id("message1")));
}

#[tokio::test]
async fn m4976_11_a_leg_that_is_lost_fails_what_it_did_not_answer_and_ends_the_session() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    for (n, failure_report) in REPORTS.into_iter().enumerate() {
        alice.send(&text(&format!("message{n}"), failure_report, SuccessReport::No)).await;
        bob.request().await;
    }

    drop(bob);

    assert_eq!(alice.report().await, ("message0".into(), 481, "1-5/5".into()));
    assert_eq!(alice.report().await, ("message1".into(), 481, "1-5/5".into()));
    assert_eq!(stage.lost(2).await, control::Cause::Disconnected);
    let late = text("message3", FailureReport::Yes, SuccessReport::No);
    assert_eq!(alice.ask(&late).await, 481);
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await, 200);
}

#[tokio::test]
async fn p13_a_leg_that_does_not_come_in_time_fails_what_was_held_for_it() {
    let mut stage = hasty().await;
    stage.order(pair(false)).await;
    let mut alice = Peer::join(&mut stage, 1).await;
    let path = stage.seat(seat(2)).await;

    let held = text("message1", FailureReport::Yes, SuccessReport::No);
    assert_eq!(alice.ask(&held).await, 200);
    assert_eq!(alice.report().await, ("message1".into(), 408, "1-5/5".into()));

    let mut bob = Peer::take(&mut stage, 2, &path).await;
    alice.send(&text("message2", FailureReport::Yes, SuccessReport::No)).await;
    assert_eq!(bob.request().await.head.message_id(), Some(id("message2")));
}

#[tokio::test]
async fn a_leg_that_is_muted_may_not_send_and_still_hears() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let mut muted = seat(1);
    muted.muted = true;
    stage.order(control::RoomOrder::Seat(muted)).await;
    stage.focus.settled().await;

    let send = text("message1", FailureReport::Yes, SuccessReport::No);
    assert_eq!(alice.ask(&send).await, 403);
    bob.send(&send).await;

    assert_eq!(alice.message().await.1, b"hello"[..]);
}
