//! A sealed room over real sockets: two types, one gate, one order.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
mod common;
#[path = "sealed_room/log.rs"]
mod log;

use bytes::Bytes;
use common::{Got, ROOM, Stage, aor, cpim, gate, message, mls, sealed, seat, text};
use control::{Gate, Level, RoomNotice, RoomOrder};
use ids::{Key, Number, SeatId, Term};
use msrp::Flag;
use msrp::cpim::Builder;

async fn sealed_room(epoch: u64) -> Stage {
    let mut stage = Stage::new().await;
    stage.open(Level::Sealed, Some(gate(epoch))).await;
    stage
}

fn from_focus(text: &'static str) -> Bytes {
    Builder::new(ROOM, ROOM).content("message/mls", Bytes::from_static(text.as_bytes())).gather()
}

/// S3-15.
#[tokio::test]
async fn only_sealed_messages_and_sealed_files_pass() {
    let mut stage = sealed_room(4).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);

    assert_eq!(alice.ask(&message("plain", text(1, "in the clear"))).await.0, 415);
    assert_eq!(alice.ask(&message("mls11", sealed(1, 4, "hello"))).await.0, 200);
    let file = cpim(1, ROOM, mrfp::session::SEALED_FILE, vec![7; 200_000]);
    assert_eq!(alice.ask(&message("file1", file.clone())).await.0, 200);

    assert_eq!(bob.message().await, sealed(1, 4, "hello"));
    assert_eq!(bob.message().await, file);
}

#[tokio::test]
async fn r3264_8_4_who_is_on_hold_hears_the_focus_and_nobody_else() {
    let mut stage = sealed_room(4).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);

    stage.seat(control::Seat { held: true, ..seat(2) }).await;
    assert_eq!(alice.ask(&message("mls01", sealed(1, 4, "to nobody"))).await.0, 200);
    let file = cpim(1, ROOM, mrfp::session::SEALED_FILE, vec![7; 200_000]);
    assert_eq!(alice.ask(&message("file1", file)).await.0, 200);
    let commit = from_focus("commit");
    stage.order(RoomOrder::Broadcast { key: Key(1), cpim: commit.clone(), gate: None }).await;

    assert_eq!(bob.message().await.gather(), commit, "its key goes on");
}

#[tokio::test]
async fn a_sealed_message_in_many_chunks_is_answered_chunk_by_chunk_and_relayed_whole() {
    let mut stage = sealed_room(4).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let body = sealed(1, 4, &"x".repeat(48 * 1024));
    let send = message("many1", body.clone());
    let mut next = Some(0);
    while let Some(start) = next {
        let (chunk, following) = send.chunk(start, 4096);
        assert_eq!(alice.ask(&chunk).await.0, 200);
        next = following;
    }

    let Got::Chunk(chunk) = bob.next().await else { panic!() };

    assert!(chunk.is_whole_message(), "gathered, and sent in one chunk");
    assert_eq!(chunk.body, body);
}

#[tokio::test]
async fn a_stale_epoch_gets_413_with_the_epoch_of_the_group() {
    let mut stage = sealed_room(4).await;
    let mut alice = stage.join(1).await;

    let answer = alice.ask(&message("stale", sealed(1, 3, "late"))).await;

    assert_eq!(answer, (413, "stale-epoch 0/4".into()));
    assert_eq!(stage.metric("mrfp_refusals_total{reason=\"stale_epoch\"}").await, 1.0);
}

#[tokio::test]
async fn with_grace_the_epoch_before_passes_for_a_moment_and_after_a_remove_it_does_not() {
    let mut stage = sealed_room(4).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    stage.order(RoomOrder::Gate(Gate { grace: true, ..gate(5) })).await;
    stage.focus.settled().await;

    assert_eq!(alice.ask(&message("grace", sealed(1, 4, "just in time"))).await.0, 200);
    assert_eq!(alice.ask(&message("older", sealed(1, 3, "too old"))).await.0, 413);
    stage.order(RoomOrder::Gate(gate(6))).await;
    stage.focus.settled().await;
    assert_eq!(alice.ask(&message("after", sealed(1, 5, "removed"))).await.0, 413);

    assert_eq!(bob.message().await, sealed(1, 4, "just in time"));
}

#[tokio::test]
async fn a_shut_gate_stops_application_messages_and_lets_handshakes_through() {
    let mut stage = sealed_room(4).await;
    let mut alice = stage.join(1).await;
    stage.order(RoomOrder::Gate(Gate { shut: true, ..gate(4) })).await;
    stage.focus.settled().await;

    let answer = alice.ask(&message("shut1", sealed(1, 4, "hello"))).await;
    assert_eq!(answer, (413, "stale-epoch 0/4".into()));
    let bundle = cpim(1, ROOM, mrfp::session::BUNDLE, "a commit");
    assert_eq!(alice.ask(&message("bundle", bundle)).await.0, 200);

    let handshake = |notice: &RoomNotice| matches!(notice, RoomNotice::Handshake { .. });
    let RoomNotice::Handshake { seat, message_id, content_type, body } =
        stage.notice(handshake).await
    else {
        panic!()
    };
    assert_eq!((seat, message_id.as_str()), (SeatId(1), "bundle"));
    assert_eq!(content_type, mrfp::session::BUNDLE);
    assert_eq!(body, "a commit");
}

#[tokio::test]
async fn a_message_of_an_epoch_to_come_waits_and_follows_its_commit() {
    let mut stage = sealed_room(4).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let early = alice.send(&message("early", sealed(1, 5, "early"))).await;
    let private = cpim(1, &aor(2), "message/mls", mls(9, "private"));
    // The relay has seen the early one when it answers the one behind it.
    assert_eq!(alice.ask(&message("behind", private.clone())).await.0, 200);

    let broadcast =
        RoomOrder::Broadcast { key: Key(1), cpim: from_focus("commit"), gate: Some(gate(5)) };
    stage.order(broadcast).await;

    assert_eq!(bob.message().await, private, "a private message skips the gate");
    assert_eq!(bob.message().await.gather(), from_focus("commit"));
    assert_eq!(bob.message().await, sealed(1, 5, "early"));
    assert_eq!(alice.answer(early).await.0, 200);
}

#[tokio::test]
async fn a_message_whose_epoch_never_comes_gets_413() {
    let mut stage = Stage::with(|config| config.limits.epoch_wait_secs = 1).await;
    stage.open(Level::Sealed, Some(gate(4))).await;
    let mut alice = stage.join(1).await;

    let answer = alice.ask(&message("never", sealed(1, 7, "early"))).await;

    assert_eq!(answer, (413, "stale-epoch 0/4".into()));
}

#[tokio::test]
async fn a_kick_takes_effect_at_once_and_ends_the_unfinished_messages_of_the_old_epoch() {
    let mut stage = sealed_room(4).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let mut dave = stage.join(3).await;
    let send = message("half1", sealed(1, 4, &"x".repeat(9000)));
    let (first, next) = send.chunk(0, 4096);
    assert_eq!(alice.ask(&first).await.0, 200);

    stage.order(RoomOrder::Unseat { seat: SeatId(3), reason: "kicked".into() }).await;
    stage.order(RoomOrder::Gate(Gate { shut: true, ..gate(4) })).await;
    stage.focus.settled().await;

    let (second, _) = send.chunk(next.unwrap(), 9000);
    assert_eq!(alice.ask(&second).await, (413, "stale-epoch 0/4".into()));
    assert!(matches!(dave.next().await, Got::End), "the kicked are cut off");
    let broadcast =
        RoomOrder::Broadcast { key: Key(1), cpim: from_focus("remove"), gate: Some(gate(5)) };
    stage.order(broadcast).await;
    assert_eq!(bob.message().await.gather(), from_focus("remove"));
    assert_eq!(alice.message().await.gather(), from_focus("remove"));
    assert_eq!(alice.ask(&message("again", sealed(1, 5, "sealed anew"))).await.0, 200);
    assert_eq!(bob.message().await, sealed(1, 5, "sealed anew"));
}

#[tokio::test]
async fn a_kicked_senders_file_ends_for_its_receivers() {
    let mut stage = sealed_room(4).await;
    let (mut alice, mut dave) = (stage.join(1).await, stage.join(3).await);
    let file = message("file1", cpim(3, ROOM, mrfp::session::SEALED_FILE, vec![7; 9000]));
    assert_eq!(dave.ask(&file.chunk(0, 5000).0).await.0, 200);
    let Got::Chunk(first) = alice.next().await else { panic!() };

    stage.order(RoomOrder::Unseat { seat: SeatId(3), reason: "kicked".into() }).await;

    let Got::Chunk(last) = alice.next().await else { panic!() };
    assert_eq!((first.end, last.end), (Some(Flag::More), Some(Flag::Abort)));
    assert_eq!(first.head.message_id(), last.head.message_id());
}

#[tokio::test]
async fn broadcasts_reach_everybody_in_one_order_with_messages_and_are_numbered() {
    let mut stage = sealed_room(4).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    assert_eq!(alice.ask(&message("one11", sealed(1, 4, "one"))).await.0, 200);
    stage.order(RoomOrder::Broadcast { key: Key(1), cpim: from_focus("c"), gate: None }).await;

    let done = |notice: &RoomNotice| matches!(notice, RoomNotice::Broadcasted { .. });
    let number = Number { term: Term(1), n: 2 };
    assert_eq!(stage.notice(done).await, RoomNotice::Broadcasted { key: Key(1), number });
    assert_eq!(bob.message().await, sealed(1, 4, "one"));
    assert_eq!(bob.message().await.gather(), from_focus("c"));
    assert_eq!(alice.message().await.gather(), from_focus("c"), "the committer gets its echo");
}

#[tokio::test]
async fn a_delivery_goes_to_one_seat_in_as_many_chunks_as_it_takes() {
    let mut stage = sealed_room(4).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let welcome = Builder::new(ROOM, &aor(2)).content("message/mls", Bytes::from(vec![1; 300_000]));
    let order = RoomOrder::Deliver { key: Key(1), seat: SeatId(2), cpim: welcome.gather() };
    stage.order(order).await;
    stage.order(RoomOrder::Broadcast { key: Key(2), cpim: from_focus("c"), gate: None }).await;

    assert_eq!(bob.message().await, welcome);
    assert_eq!(bob.message().await.gather(), from_focus("c"));
    assert_eq!(alice.message().await.gather(), from_focus("c"));
}

#[tokio::test]
async fn a_room_without_a_group_takes_handshakes_only_and_foreign_content_never_passes() {
    let mut stage = Stage::new().await;
    stage.open(Level::Sealed, None).await;
    let mut alice = stage.join(1).await;

    assert_eq!(alice.ask(&message("first", sealed(1, 0, "hello"))).await.0, 413);
    let bundle = cpim(1, ROOM, mrfp::session::BUNDLE, vec![7; 3 * 1024 * 1024]);
    assert_eq!(alice.ask(&message("bundle", bundle)).await.0, 200);
    stage.order(RoomOrder::Gate(gate(0))).await;
    stage.focus.settled().await;
    assert_eq!(alice.ask(&message("second", sealed(1, 0, "hello"))).await.0, 200);

    let mut foreign = mls(0, "x").to_vec();
    foreign[9] = b'8';
    let junk = [Bytes::from(foreign), Bytes::from("not MLS")];
    for (n, content) in junk.into_iter().enumerate() {
        let body = cpim(1, ROOM, mrfp::session::SEALED, content);
        assert_eq!(alice.ask(&message(&format!("junk{n}"), body)).await.0, 415);
    }
    let handshake = |notice: &RoomNotice| matches!(notice, RoomNotice::Handshake { .. });
    let RoomNotice::Handshake { body, .. } = stage.notice(handshake).await else { panic!() };
    assert_eq!(body.len(), 3 * 1024 * 1024);
}

#[tokio::test]
async fn a_sealed_message_that_is_too_long_gets_413() {
    let mut stage = sealed_room(4).await;
    let mut alice = stage.join(1).await;

    let answer = alice.ask(&message("long1", sealed(1, 4, &"x".repeat(200 * 1024)))).await;

    assert_eq!(answer.0, 413);
    assert_eq!(alice.ask(&message("short", sealed(1, 4, "x"))).await.0, 200);
}

#[tokio::test]
async fn a_seat_that_is_wanted_again_keeps_its_path() {
    let mut stage = sealed_room(4).await;
    let first = stage.seat(seat(1)).await;

    assert_eq!(stage.seat(seat(1)).await, first);
    assert_ne!(stage.seat(seat(2)).await, first);
    assert!(first.starts_with(&format!("msrps://{}/", stage.msrp)), "{first}");
}
