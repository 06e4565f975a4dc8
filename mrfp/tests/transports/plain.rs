//! Plain TCP, on the listener that an operator has marked as protected.
use control::{Cause, Level, Reach, RoomNotice, Seat, Transport};
use msrp::SendRequest;
use tokio::net::TcpStream;

use crate::common::{Got, Person, Stage, id, message, seat, text};

async fn protected() -> Stage {
    let listen = |config: &mut mrfp::Config| {
        config.msrp.protected_listen = Some("127.0.0.1:0".parse().unwrap());
    };
    let mut stage = Stage::with(listen).await;
    stage.open(Level::Open, None).await;
    stage
}

fn plain(n: u64) -> Seat {
    Seat {
        reach: Reach { transport: Transport::Tcp, ..Reach::default() },
        peer_path: Some(format!("msrp://ua{n}.example:9/u{n};tcp")),
        ..seat(n)
    }
}

async fn connect(stage: &Stage) -> Person {
    Person::on(TcpStream::connect(stage.ready.protected.unwrap()).await.unwrap())
}

async fn join(stage: &mut Stage, n: u64) -> Person {
    let path = stage.seat(plain(n)).await;
    let mut person = connect(stage).await;
    person.aim(&path, &plain(n).peer_path.unwrap());
    person.bind().await;
    person
}

#[tokio::test]
async fn m4975_47_a_seat_ordered_for_plain_tcp_talks_to_one_behind_tls() {
    let mut stage = protected().await;
    let mut alice = stage.join(1).await;

    let mut bob = join(&mut stage, 2).await;
    let port = stage.ready.protected.unwrap().port();
    let own = bob.paths().0.first().as_str().to_owned();
    assert!(own.starts_with(&format!("msrp://127.0.0.1:{port}/")) && own.ends_with(";tcp"));
    assert_eq!(stage.metric("mrfp_sessions{transport=\"tcp\"}").await, 1.0);
    assert_eq!(stage.metric("mrfp_connections{transport=\"tcp\"}").await, 1.0);
    assert_eq!(stage.metric("mrfp_connections{transport=\"tls\"}").await, 1.0);

    assert_eq!(alice.ask(&message("m1aa", text(1, "over"))).await.0, 200);
    assert_eq!(bob.message().await, text(1, "over"));
    let long = "x".repeat(1_000_000);
    assert_eq!(bob.ask(&message("m2aa", text(2, &long))).await.0, 200);
    assert_eq!(alice.message().await, text(2, &long));
    assert_eq!(alice.ask(&message("m3aa", text(1, &long))).await.0, 200);
    assert_eq!(bob.message().await, text(1, &long));
}

#[tokio::test]
async fn m4975_15_a_seat_behind_tls_is_not_there_for_plain_tcp_nor_the_other_way_round() {
    let mut stage = protected().await;
    let behind_tls = stage.seat(seat(1)).await;
    let in_the_open = stage.seat(plain(2)).await;

    let mut person = connect(&stage).await;
    person.aim(&behind_tls, &seat(1).peer_path.unwrap());
    assert_eq!(person.ask(&SendRequest::bodiless(id("bind1"))).await.0, 481);
    person.aim(&behind_tls.replace("msrps:", "msrp:"), &seat(1).peer_path.unwrap());
    assert_eq!(person.ask(&SendRequest::bodiless(id("bind2"))).await.0, 481);

    let mut person = Person::connect(&stage.ca, stage.msrp).await;
    person.aim(&in_the_open, &plain(2).peer_path.unwrap());
    assert_eq!(person.ask(&SendRequest::bodiless(id("bind3"))).await.0, 481);
    person.aim(&behind_tls, &seat(1).peer_path.unwrap());
    assert_eq!(person.ask(&SendRequest::bodiless(id("bind4"))).await.0, 200);
}

#[tokio::test]
async fn without_a_protected_listener_no_seat_is_given_for_plain_tcp() {
    let mut stage = Stage::new().await;
    stage.open(Level::Open, None).await;
    assert_eq!(stage.ready.protected, None);

    stage.order(control::RoomOrder::Seat(plain(1))).await;

    assert_eq!(stage.lost(1).await, Cause::Misbehaved);
    let seated = |notice: &RoomNotice| matches!(notice, RoomNotice::Seated { .. });
    let told = stage
        .focus
        .left()
        .any(|notice| matches!(notice, control::Notice::Room { notice, .. } if seated(notice)));
    assert!(!told);
}

#[tokio::test]
async fn tls_at_the_plain_listener_ends_its_connection_only() {
    let mut stage = protected().await;
    let mut bob = join(&mut stage, 2).await;
    let mut mallory = connect(&stage).await;
    mallory.raw(b"\x16\x03\x01\x00\x05hello\r\n\r\n").await;

    assert!(matches!(mallory.next().await, Got::End));
    assert_eq!(bob.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
}
