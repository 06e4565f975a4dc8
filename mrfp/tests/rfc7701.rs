//! RFC 7701 over real sockets: the switch of a chat room.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
mod common;
#[path = "rfc7701/hold.rs"]
mod hold;
#[path = "rfc7701/private.rs"]
mod private;
#[path = "rfc7701/types.rs"]
mod types;

use std::time::Duration;

use bytes::Bytes;
use common::{Got, ROOM, Stage, aor, cpim, message, seat, text};
use control::{Level, RoomNotice, RoomOrder};
use ids::SeatId;
use msrp::cpim::Builder;
use msrp::{Body, SendRequest, SuccessReport, TransactionId};

async fn open_room() -> Stage {
    let mut stage = Stage::new().await;
    stage.open(Level::Open, None).await;
    stage
}

#[tokio::test]
async fn s6_1_the_wrapper_is_checked() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut closed = seat(2);
    closed.private_messages = false;
    let _bob = stage.join_as(closed).await;
    let plain = SendRequest::whole(common::id("plain"), "text/plain", Body::from(Bytes::from("x")));
    let two = Builder::new(&aor(1), ROOM).header("To", &format!("<{}>", aor(2)));
    let table = [
        (plain, 415),
        (message("from1", text(2, "not mine")), 403),
        (message("two11", two.content("text/plain", Bytes::from("x"))), 403),
        (message("who11", cpim(1, "sip:nobody@example.net", "text/plain", "x")), 404),
        (message("priv1", cpim(1, &aor(2), "text/plain", "x")), 428),
        (message("junk1", Body::from(Bytes::from("no headers here\r\n\r\n\r\n"))), 400),
        (message("long1", Body::from(Bytes::from(vec![b'a'; 20_000]))), 413),
        (message("good1", text(1, "fine")), 200),
    ];

    for (send, code) in table {
        assert_eq!(alice.ask(&send).await.0, code, "{:?}", send.message_id);
    }
    assert_eq!(stage.metric("mrfp_refusals_total{reason=\"not_yours\"}").await, 1.0);
}

#[tokio::test]
async fn s6_1_wrapper_headers_may_come_in_several_chunks() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let body = text(1, "hello");
    let send = message("split", body.clone());
    let (first, next) = send.chunk(0, 20);
    let (second, next) = send.chunk(next.unwrap(), 20);
    let (third, _) = send.chunk(next.unwrap(), 1000);

    for chunk in [first, second, third] {
        assert_eq!(alice.ask(&chunk).await.0, 200);
    }

    assert_eq!(bob.message().await, body);
}

#[tokio::test]
async fn s6_1_receivers_are_those_who_were_there_at_the_first_chunk() {
    // So many shards that newcomers are on some where nobody was at the first chunk.
    let mut stage = Stage::with(|config| config.shards = 4).await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let send = message("tail1", cpim(1, ROOM, "text/plain", vec![b'x'; 9000]));
    let (first, next) = send.chunk(0, 3000);
    let (second, next) = send.chunk(next.unwrap(), 3000);
    let (third, _) = send.chunk(next.unwrap(), 9000);
    assert_eq!(alice.ask(&first).await.0, 200);
    let mut late = Vec::new();
    for n in 3..7 {
        late.push(stage.join(n).await);
    }

    assert_eq!(alice.ask(&second).await.0, 200);
    assert_eq!(alice.ask(&third).await.0, 200);
    assert_eq!(alice.ask(&message("next1", text(1, "next"))).await.0, 200);

    assert_eq!(bob.message().await.len(), send.content.unwrap().1.len());
    assert_eq!(bob.message().await, text(1, "next"));
    for newcomer in &mut late {
        assert_eq!(newcomer.message().await, text(1, "next"), "a newcomer gets no tail");
    }
}

#[tokio::test]
async fn s6_1_each_session_of_a_person_gets_a_copy_and_the_sending_one_gets_none() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut tablet = seat(11);
    tablet.aor = seat(1).aor;
    let mut tablet = stage.join_as(tablet).await;
    let mut bob = stage.join(2).await;

    assert_eq!(alice.ask(&message("hello", text(1, "hello"))).await.0, 200);
    assert_eq!(bob.ask(&message("marker", text(2, "marker"))).await.0, 200);

    assert_eq!(tablet.message().await, text(1, "hello"));
    assert_eq!(alice.message().await, text(2, "marker"));
}

#[tokio::test]
async fn s6_2_a_private_message_goes_to_that_persons_sessions_and_nobody_else() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut bob = stage.join(2).await;
    let mut bobs_tablet = seat(12);
    bobs_tablet.aor = seat(2).aor;
    let mut tablet = stage.join_as(bobs_tablet).await;
    let mut carol = stage.join(3).await;
    let secret = cpim(1, &aor(2), "text/plain", "psst");

    assert_eq!(alice.ask(&message("psst1", secret.clone())).await.0, 200);
    assert_eq!(alice.ask(&message("marker", text(1, "marker"))).await.0, 200);

    assert_eq!(bob.message().await, secret);
    assert_eq!(tablet.message().await, secret);
    assert_eq!(carol.message().await, text(1, "marker"));
}

#[tokio::test]
async fn s6_3_one_report_comes_from_the_switch_and_none_from_receivers() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let send =
        SendRequest { success_report: SuccessReport::Yes, ..message("report", text(1, "hello")) };
    let transaction = alice.send(&send).await;
    assert_eq!(alice.answer(transaction).await.0, 200);
    assert!(matches!(alice.next().await, Got::Report(_, 200, _)));
    let Got::Chunk(chunk) = bob.next().await else { panic!() };
    let report = msrp::Report {
        to_path: chunk.head.from_path(),
        from_path: chunk.head.to_path(),
        message_id: chunk.head.message_id().unwrap(),
        range: chunk.range,
        status: msrp::Status::OK,
        comment: "OK",
    };

    let frame = report.encode(TransactionId::random(&mut bob.rng));
    bob.frame(&frame).await;
    assert_eq!(bob.ask(&message("marker", text(2, "marker"))).await.0, 200);

    let Got::Chunk(next) = alice.next().await else { panic!("a report came through") };
    assert_eq!(next.body, text(2, "marker"));
}

#[tokio::test]
async fn s7_1_a_nickname_is_asked_of_the_focus_and_always_answered() {
    let mut stage = Stage::with(|config| config.limits.nickname_secs = 1).await;
    stage.open(Level::Open, None).await;
    let mut alice = stage.join(1).await;
    for (nickname, status) in [("Blue Jay", 200), ("admin", 425), ("", 200)] {
        let (to, from) = alice.paths().clone();
        let transaction = TransactionId::random(&mut alice.rng);
        let request = msrp::Request::nickname(&to, &from, nickname).encode(transaction);
        alice.frame(&request).await;

        let asked = |notice: &RoomNotice| matches!(notice, RoomNotice::NicknameAsked { .. });
        let RoomNotice::NicknameAsked { seat, request, nickname: wish } = stage.notice(asked).await
        else {
            panic!()
        };
        assert_eq!((seat, wish.as_str()), (SeatId(1), nickname));
        stage.order(RoomOrder::NicknameAnswer { seat, request, status }).await;

        assert_eq!(alice.answer(transaction).await.0, status);
    }
    let (to, from) = alice.paths().clone();
    let malformed = format!(
        "MSRP nick0001 NICKNAME\r\nTo-Path: {}\r\nFrom-Path: {}\r\nUse-Nickname: Blue\r\n-------nick0001$\r\n",
        to.to_wire(),
        from.to_wire()
    );
    alice.raw(malformed.as_bytes()).await;
    assert!(matches!(alice.next().await, Got::Response(_, 424, _)));

    let unanswered = TransactionId::random(&mut alice.rng);
    alice.frame(&msrp::Request::nickname(&to, &from, "Silence").encode(unanswered)).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), alice.answer(unanswered)).await;
    assert_eq!(answer.unwrap().0, 408);
}

#[tokio::test]
async fn s6_1_the_muted_get_403_from_the_moment_the_focus_says_so() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    assert_eq!(alice.ask(&message("before", text(1, "x"))).await.0, 200);

    let mut muted = seat(1);
    muted.muted = true;
    let path = stage.seat(muted).await;

    assert_eq!(path, alice.paths().0.to_wire(), "the seat stays");
    assert_eq!(alice.ask(&message("after1", text(1, "x"))).await.0, 403);
}
