//! What receivers answer, and do not answer, over real sockets: each rule by its number.
use control::Cause;
use msrp::{Flag, SendRequest};

use super::common::{Got, Person, ROOM, Stage, cpim, id, message, text};
use super::{Level, open_room};

fn file(name: &str, octets: usize) -> SendRequest {
    message(name, cpim(1, ROOM, "application/octet-stream", vec![b'x'; octets]))
}

async fn three(stage: &mut Stage) -> (Person, Person, Person) {
    (stage.join(1).await, stage.join(2).await, stage.join(3).await)
}

#[tokio::test]
async fn m4975_33_a_receiver_that_answers_nothing_loses_its_seat_and_others_do_not() {
    let mut stage = Stage::with(|config| config.limits.answer_secs = 1).await;
    stage.open(Level::Open, None).await;
    let (mut alice, _silent, mut carol) = three(&mut stage).await;

    assert_eq!(alice.ask(&message("hello1", text(1, "hello"))).await.0, 200);
    assert_eq!(carol.message().await, text(1, "hello"));

    assert_eq!(stage.lost(2).await, Cause::Silent);
    assert_eq!(stage.metric("mrfp_silent_sessions_total").await, 1.0);
    assert_eq!(alice.ask(&message("hello2", text(1, "again"))).await.0, 200);
    assert_eq!(carol.message().await, text(1, "again"));
}

#[tokio::test]
async fn m4975_53_a_receiver_that_knows_no_such_session_loses_its_seat() {
    for (status, cause) in
        [(481, Cause::Disconnected), (506, Cause::Disconnected), (408, Cause::Silent)]
    {
        let mut stage = open_room().await;
        let (mut alice, mut bob, mut carol) = three(&mut stage).await;
        bob.answers = status;

        alice.send(&message("hello1", text(1, "hello"))).await;
        assert!(matches!(bob.next().await, Got::Chunk(_)));

        assert_eq!(stage.lost(2).await, cause, "{status}");
        assert_eq!(carol.message().await, text(1, "hello"));
    }
}

#[tokio::test]
async fn m4975_53_after_413_one_abort_comes_and_nothing_more_of_that_message() {
    let mut stage = open_room().await;
    let (mut alice, mut bob, mut carol) = three(&mut stage).await;
    let send = file("file1", 9000);
    let (first, next) = send.chunk(0, 3000);
    let (second, next) = send.chunk(next.unwrap(), 3000);
    let (third, _) = send.chunk(next.unwrap(), 9000);
    bob.answers = 413;
    assert_eq!(alice.ask(&first).await.0, 200);
    let Got::Chunk(begun) = bob.next().await else { panic!() };
    // The relay has read the 413 when it answers what came behind it.
    bob.answers = 200;
    assert_eq!(bob.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);

    assert_eq!(alice.ask(&second).await.0, 200);
    assert_eq!(alice.ask(&third).await.0, 200);
    assert_eq!(alice.ask(&message("after1", text(1, "after"))).await.0, 200);

    let Got::Chunk(abort) = bob.next().await else { panic!() };
    assert_eq!((abort.end, abort.body.len()), (Some(Flag::Abort), 0));
    assert_eq!(abort.head.message_id(), begun.head.message_id());
    let Got::Chunk(after) = bob.next().await else { panic!() };
    assert_eq!(after.body, text(1, "after"));
    assert_eq!(carol.message().await, send.content.unwrap().1, "others get all of it");
    assert_eq!(carol.message().await, text(1, "after"));
}

#[tokio::test]
async fn m4975_53_a_415_costs_the_receiver_that_message_only() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    bob.answers = 415;
    assert_eq!(alice.ask(&message("hello1", text(1, "hello"))).await.0, 200);
    assert!(matches!(bob.next().await, Got::Chunk(_)));
    bob.answers = 200;

    assert_eq!(alice.ask(&message("hello2", text(1, "again"))).await.0, 200);

    assert_eq!(bob.message().await, text(1, "again"));
    assert_eq!(stage.metric("mrfp_receiver_failures_total{class=\"4xx\"}").await, 1.0);
}

#[tokio::test]
async fn s7_2_a_response_to_nothing_is_ignored_and_counted() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let (to, from) = alice.paths().clone();
    let stray = format!(
        "MSRP stray001 481 Gone\r\nTo-Path: {}\r\nFrom-Path: {}\r\n-------stray001$\r\n",
        to.to_wire(),
        from.to_wire()
    );

    alice.raw(stray.as_bytes()).await;

    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
    assert_eq!(stage.metric("mrfp_stray_answers_total").await, 1.0);
}

#[tokio::test]
async fn m4975_02_and_04_long_chunks_can_be_interrupted_and_only_the_last_is_short() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let send = file("file1", 200 * 1024);
    alice.send(&send).await;

    let mut lengths = Vec::new();
    loop {
        let Got::Chunk(chunk) = bob.next().await else { panic!() };
        lengths.push(chunk.body.len());
        let end = chunk.head.byte_range().end;
        assert_eq!(end.is_none(), chunk.body.len() > 2048, "{end:?}");
        if chunk.end == Some(Flag::End) {
            break;
        }
        assert_eq!(chunk.body.len(), 64 * 1024, "nothing else waits, so pieces are full");
    }

    assert_eq!(lengths.len(), 4, "{lengths:?}");
    assert_eq!(lengths.iter().sum::<usize>(), send.content.unwrap().1.len());
}

#[tokio::test]
async fn m7701_12_when_the_chunk_timer_ends_receivers_of_earlier_chunks_get_an_abort() {
    let mut stage = Stage::with(|config| config.limits.chunk_timer_secs = 1).await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    assert_eq!(alice.ask(&file("file1", 9000).chunk(0, 3000).0).await.0, 200);
    let Got::Chunk(begun) = bob.next().await else { panic!() };

    let Got::Chunk(abort) = bob.next().await else { panic!() };

    assert_eq!((begun.end, abort.end), (Some(Flag::More), Some(Flag::Abort)));
    assert_eq!(abort.head.message_id(), begun.head.message_id());
}

#[tokio::test]
async fn m7701_17_an_idle_receiver_costs_no_more_than_the_bound_and_others_lose_nothing() {
    idle_receiver(64, 4 * 1024 * 1024).await;
}

#[tokio::test]
#[ignore = "a gibibyte; make soak runs it"]
async fn m7701_17_soak_a_gibibyte_past_an_idle_receiver() {
    idle_receiver(1024, 12 * 1024 * 1024).await;
}

/// So many files of a mebibyte are sent to a room in which one of three does not read.
async fn idle_receiver(files: usize, queued_octets_max: usize) {
    let mut stage = Stage::with(|config| {
        // The bound of the process is what is met.
        config.limits.outbox_octets_max = usize::MAX / 2;
        config.limits.queued_octets_max = queued_octets_max;
    })
    .await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob, _idle) = three(&mut stage).await;

    for n in 0..files {
        let send = file(&format!("file{n}"), 1024 * 1024);
        alice.send(&send).await;
        assert_eq!(bob.message().await, send.content.unwrap().1);
        let queued = stage.metric("mrfp_write_queue_bytes").await;
        assert!(queued <= f64::from(u32::try_from(queued_octets_max).unwrap()), "{queued}");
    }

    assert_eq!(stage.lost(3).await, Cause::Slow);
    assert_eq!(stage.metric("mrfp_slow_consumer_disconnects_total").await, 1.0);
    assert_eq!(stage.metric("mrfp_write_queue_bytes").await, 0.0);
}
