//! Draining: what is on its way arrives, nobody new comes in, and there is an end to it.
use std::net::SocketAddr;
use std::process::Child;
use std::time::Duration;

use control::{Cause, Level, Notice, RoomOrder};
use service::tls::DevCa;
use tempfile::TempDir;

use super::common::{Got, ROOM, Stage, cpim, message, seat, soon, text};
use super::{config_under, serve, terminate};

/// Time in which a drain that waits for nobody would be over.
const A_WHILE: Duration = Duration::from_millis(500);

fn sessions_left(notice: &Notice) -> Option<u64> {
    match notice {
        Notice::Draining { sessions } => Some(*sessions),
        Notice::Room { .. } | Notice::AuthAsked(_) => None,
    }
}

/// Where a program listens.
pub(super) fn ready_of(ready: &serde_json::Value) -> mrfp::Ready {
    let at = |key: &str| ready.get(key).unwrap().as_str().unwrap().parse::<SocketAddr>().unwrap();
    let (msrp, control, ops) = (at("msrp"), at("control"), at("ops"));
    mrfp::Ready { ready: "mrfp", msrp, websocket: None, protected: None, control, ops }
}

/// The program with a room of two, and this long to drain.
async fn program(timeout_secs: u32) -> (Child, Stage) {
    let (ca, folder) =
        (DevCa::new("test", service::clock::wall()).unwrap(), TempDir::new().unwrap());
    let drain = format!("[drain]\ntimeout_secs = {timeout_secs}\n");
    let config = config_under(&ca, folder.path(), &drain);
    let (child, ready) = serve(&config, &[]);
    let mut stage = Stage::around(ca, folder, ready_of(&ready)).await;
    stage.open(Level::Open, None).await;
    (child, stage)
}

#[tokio::test]
async fn a_half_sent_long_message_finishes_in_a_drain() {
    let mut stage = Stage::new().await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let body = cpim(1, ROOM, "application/octet-stream", vec![b'x'; 300_000]);
    let send = message("long1", body.clone());
    let frame = send.encode(&mut alice.rng).to(alice.address()).to_bytes();
    let (half, rest) = frame.split_at(150_000);
    alice.raw(half).await;
    let Got::Chunk(first) = bob.next().await else { panic!("no chunk came") };

    stage.shutdown.trigger();
    assert_eq!(soon("the notice", stage.focus.notice(sessions_left)).await, 2);
    assert_eq!(stage.metric("mrfp_drain_state").await, 1.0);
    assert_eq!(stage.metric("mrfp_drain_sessions_remaining").await, 2.0);
    tokio::time::sleep(A_WHILE).await;
    alice.raw(rest).await;

    assert_eq!(bob.gather(&first), None);
    assert_eq!(bob.message().await, body);
    while !matches!(alice.next().await, Got::Response(_, 200, _)) {}
    alice.hang_up();
    bob.hang_up();
    soon("the end", &mut stage.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_takes_no_connection_and_no_seat() {
    let mut stage = Stage::new().await;
    stage.open(Level::Open, None).await;
    let mut alice = stage.join(1).await;

    stage.shutdown.trigger();
    assert_eq!(soon("the notice", stage.focus.notice(sessions_left)).await, 1);

    stage.order(RoomOrder::Seat(seat(2))).await;
    assert_eq!(stage.lost(2).await, Cause::Disconnected);
    let refused = async { while tokio::net::TcpStream::connect(stage.msrp).await.is_ok() {} };
    soon("the closed door", refused).await;
    assert_eq!(alice.ask(&message("still1", text(1, "here"))).await.0, 200);
}

#[tokio::test]
async fn the_deadline_cuts_a_message_that_does_not_end() {
    let mut stage = Stage::with(|config| config.drain.timeout_secs = 1).await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let send = message("long1", cpim(1, ROOM, "text/plain", vec![b'x'; 300_000]));
    let frame = send.encode(&mut alice.rng).to(alice.address()).to_bytes();
    alice.raw(frame.split_at(150_000).0).await;
    let Got::Chunk(_) = bob.next().await else { panic!("no chunk came") };

    stage.shutdown.trigger();

    while !matches!(bob.next().await, Got::End) {}
    soon("the end", &mut stage.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_taken_before_the_deadline_arrives_and_what_comes_later_gets_413() {
    let mut stage = Stage::with(|config| {
        (config.drain.delay_secs, config.drain.timeout_secs) = (0, 1);
        // One who has let everything go does not wait for another one.
        config.shards = 1;
        config.limits.unanswered_max = 16;
    })
    .await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let mut taken = 0;
    let mut say = async |alice: &mut crate::common::Person| {
        taken += 1;
        let (id, words) = (format!("mess{taken}"), format!("number {taken}"));
        alice.ask(&message(&id, cpim(1, ROOM, "text/plain", words))).await.0
    };
    // Bob is 200 messages behind, and 16 of them at most are on their way.
    for _ in 0..200 {
        assert_eq!(say(&mut alice).await, 200);
    }

    stage.shutdown.trigger();
    let mut heard = 0;
    let status = loop {
        let status = say(&mut alice).await;
        if status != 200 {
            break status;
        }
        heard += 1;
        assert_eq!(bob.message().await, cpim(1, ROOM, "text/plain", format!("number {heard}")));
    };

    assert_eq!(status, 413);
    while heard < taken - 1 {
        heard += 1;
        assert_eq!(bob.message().await, cpim(1, ROOM, "text/plain", format!("number {heard}")));
    }
    soon("the end", &mut stage.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_program_that_drains_ends_with_nought_when_the_last_session_has_ended() {
    let (mut child, mut stage) = program(600).await;
    let alice = stage.join(1).await;

    terminate(&child);
    assert_eq!(soon("the notice", stage.focus.notice(sessions_left)).await, 1);
    tokio::time::sleep(A_WHILE).await;
    assert!(child.try_wait().unwrap().is_none(), "it did not wait for the session");
    alice.hang_up();

    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_program_whose_sessions_do_not_end_ends_with_nought_at_the_deadline() {
    let (mut child, mut stage) = program(1).await;
    let mut alice = stage.join(1).await;

    terminate(&child);

    while !matches!(alice.next().await, Got::End) {}
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_second_sigterm_ends_a_drain_at_once() {
    let (mut child, mut stage) = program(600).await;
    let mut alice = stage.join(1).await;

    terminate(&child);
    assert_eq!(soon("the notice", stage.focus.notice(sessions_left)).await, 1);
    terminate(&child);

    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(matches!(alice.next().await, Got::End));
}
