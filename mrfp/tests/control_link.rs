//! The link to the focus over real QUIC: what survives a break, what happens once, and how the relay stops.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Got, ROOM, Stage, gate, id, message, sealed, seat, soon};
use control::{Level, Notice, RoomNotice, RoomOrder};
use ids::{Key, SeatId};
use msrp::SendRequest;
use msrp::cpim::Builder;
use service::quic;

fn broadcast(key: u64, text: &'static str) -> RoomOrder {
    let cpim = Builder::new(ROOM, ROOM).content("message/mls", Bytes::from_static(text.as_bytes()));
    RoomOrder::Broadcast { key: Key(key), cpim: cpim.gather(), gate: None }
}

fn is(text: &'static str) -> Bytes {
    match broadcast(0, text) {
        RoomOrder::Broadcast { cpim, .. } => cpim,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sessions_outlive_a_break_of_the_link_and_rooms_go_on_meanwhile() {
    let mut stage = Stage::new().await;
    stage.open(Level::Sealed, Some(gate(1))).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);

    stage.focus.break_link();
    assert_eq!(alice.ask(&message("away1", sealed(1, 1, "while away"))).await.0, 200);
    assert_eq!(bob.message().await, sealed(1, 1, "while away"));
    stage.focus.connect().await;
    stage.focus.settled().await;

    assert_eq!(alice.ask(&message("back1", sealed(1, 1, "back"))).await.0, 200);
    assert_eq!(bob.message().await, sealed(1, 1, "back"));
    assert_eq!(stage.metric("mrfp_sessions{transport=\"tls\"}").await, 2.0);
}

#[tokio::test]
async fn a_broadcast_happens_exactly_once_across_a_break() {
    let mut stage = Stage::new().await;
    stage.open(Level::Sealed, Some(gate(1))).await;
    let mut alice = stage.join(1).await;
    stage.order(broadcast(1, "first")).await;
    // It has been carried out, and the focus has not heard so yet.
    assert_eq!(alice.message().await.gather(), is("first"));

    stage.focus.break_link();
    stage.order(broadcast(2, "second")).await;
    stage.focus.connect().await;

    assert_eq!(alice.message().await.gather(), is("second"));
    stage.order(broadcast(3, "third")).await;
    assert_eq!(alice.message().await.gather(), is("third"));
}

#[tokio::test]
async fn a_seat_has_two_handshakes_on_their_way_and_others_are_not_harmed() {
    let mut stage = Stage::new().await;
    stage.open(Level::Sealed, Some(gate(1))).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let bundle =
        |n, name| message(name, common::cpim(n, ROOM, mrfp::session::BUNDLE, vec![7; 1024 * 1024]));

    stage.focus.acknowledges = false;
    assert_eq!(alice.ask(&bundle(1, "first")).await.0, 200);
    assert_eq!(alice.ask(&bundle(1, "second")).await.0, 200);
    let answer = alice.ask(&bundle(1, "third")).await;
    assert_eq!(answer, (413, "The focus is still busy with your handshakes".into()));
    assert_eq!(bob.ask(&bundle(2, "other")).await.0, 200);

    stage.focus.acknowledges = true;
    let _carol = stage.join(3).await;
    // Carried out after the acknowledgement that went before it.
    stage.order(RoomOrder::Gate(gate(2))).await;
    stage.focus.settled().await;
    assert_eq!(alice.ask(&bundle(1, "fourth")).await.0, 200);
}

#[tokio::test]
async fn notices_wait_for_the_focus_and_are_told_after_a_break() {
    let mut stage = Stage::new().await;
    stage.open(Level::Sealed, Some(gate(1))).await;
    let (mut alice, bob) = (stage.join(1).await, stage.join(2).await);

    stage.focus.break_link();
    bob.hang_up();
    let bundle = common::cpim(1, ROOM, mrfp::session::BUNDLE, "commit");
    assert_eq!(alice.ask(&message("bundle", bundle)).await.0, 200);
    stage.focus.connect().await;

    stage.lost(2).await;
    let handshake = |notice: &RoomNotice| matches!(notice, RoomNotice::Handshake { .. });
    assert!(
        matches!(stage.notice(handshake).await, RoomNotice::Handshake { seat, .. } if seat == SeatId(1))
    );
}

#[tokio::test]
async fn what_a_resend_does_not_name_ends() {
    let mut stage = Stage::new().await;
    stage.open(Level::Sealed, Some(gate(1))).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);

    stage.focus.break_link();
    stage.order(RoomOrder::Unseat { seat: SeatId(2), reason: "left".into() }).await;
    stage.focus.connect().await;

    assert!(matches!(bob.next().await, Got::End));
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
    stage.order(RoomOrder::Close { reason: "over".into() }).await;
    assert!(matches!(alice.next().await, Got::End));
}

#[tokio::test]
async fn a_drain_takes_no_new_seat_lets_sessions_finish_and_ends() {
    let mut stage = Stage::new().await;
    stage.open(Level::Sealed, Some(gate(1))).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);

    stage.focus.drain(Duration::from_secs(20)).await;
    let draining = |notice: &Notice| match notice {
        Notice::Draining { sessions } => Some(*sessions),
        Notice::Room { .. } | Notice::AuthAsked(_) => None,
    };
    assert_eq!(soon("the notice", stage.focus.notice(draining)).await, 2);
    stage.order(RoomOrder::Seat(seat(3))).await;
    stage.lost(3).await;
    assert_eq!(alice.ask(&message("last1", sealed(1, 1, "last"))).await.0, 200);
    assert_eq!(bob.message().await, sealed(1, 1, "last"));
    alice.hang_up();
    bob.hang_up();

    soon("the end", &mut stage.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline_with_a_goodbye() {
    let mut stage = Stage::with(|config| config.drain.timeout_secs = 1).await;
    stage.open(Level::Sealed, Some(gate(1))).await;
    let mut alice = stage.join(1).await;

    stage.shutdown.trigger();

    assert!(matches!(alice.next().await, Got::End));
    soon("the end", &mut stage.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn only_who_proves_a_focuss_name_takes_the_link_over() {
    let mut stage = Stage::with(|config| {
        config.control.focus_names = vec!["other.example".into(), "focus".into()];
    })
    .await;
    let identity = stage.ca.issue(&["relay-1", "focus.example"]).unwrap();
    let roots = stage.ca.roots().unwrap();
    let endpoint = quic::dialler(&identity, roots, stage.control).unwrap();

    let taken = soon("the end of the handshake", async {
        let connection = quic::connect(&endpoint, stage.control, "localhost").await?;
        quic::accept(connection).await
    })
    .await;

    assert!(taken.is_err(), "another relay became the focus");
    stage.open(Level::Sealed, Some(gate(1))).await;
    let mut alice = stage.join(1).await;
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
}
