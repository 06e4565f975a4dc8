//! Who is at the far end of a connection: certificates that signalling named by their fingerprints (RFC 8122).
use control::{Cause, Level, Reach, RoomNotice, RoomOrder, Seat};
use ids::SeatId;
use service::tls::{Identity, Trust, client_config};
use tokio::net::TcpStream;

use crate::common::{Got, Person, Stage, id, message, seat, text};

async fn open_room() -> Stage {
    let mut stage = Stage::new().await;
    stage.open(Level::Open, None).await;
    stage
}

fn named(n: u64, fingerprints: &[String]) -> Seat {
    Seat { reach: Reach { fingerprints: fingerprints.to_vec(), ..Reach::default() }, ..seat(n) }
}

async fn showing(stage: &Stage, identity: Option<&Identity>) -> Person {
    let trust = Trust::Roots(stage.ca.roots().unwrap());
    let config = client_config(trust, identity, &[]).unwrap();
    Person::over(TcpStream::connect(stage.msrp).await.unwrap(), config).await.unwrap()
}

/// Of another authority than the relay's: nobody's word but that of signalling counts.
fn issue() -> Identity {
    let ca = service::tls::DevCa::new("theirs", service::clock::wall()).unwrap();
    ca.issue(&["ue.example"]).unwrap()
}

#[tokio::test]
async fn m4975_17_only_the_certificate_that_signalling_named_takes_the_seat_and_nobody_else_hears_a_word()
 {
    let mut stage = open_room().await;
    let mut bob = stage.join(2).await;
    let own = issue();
    let order = named(1, &[own.fingerprint().to_string()]);
    let path = stage.seat(order.clone()).await;

    let mut gone = 0.0;
    for identity in [Some(issue()), None] {
        let mut mallory = showing(&stage, identity.as_ref()).await;
        mallory.aim(&path, &order.peer_path.clone().unwrap());
        mallory.send(&message("m1aa", text(1, "not mine"))).await;
        assert!(matches!(mallory.next().await, Got::End), "an answer");
        gone += 1.0;
        assert_eq!(stage.metric("mrfp_identity_failures_total").await, gone);
    }

    let mut alice = showing(&stage, Some(&own)).await;
    alice.aim(&path, &order.peer_path.unwrap());
    alice.bind().await;
    assert_eq!(alice.ask(&message("m2aa", text(1, "mine"))).await.0, 200);
    assert_eq!(bob.message().await, text(1, "mine"));
}

#[tokio::test]
async fn tlssdp_02_who_came_before_its_certificate_was_named_is_looked_at_again() {
    let mut stage = open_room().await;
    let (own, path) = (issue(), stage.seat(seat(1)).await);
    let mut early = showing(&stage, Some(&own)).await;
    early.aim(&path, &seat(1).peer_path.unwrap());
    early.bind().await;
    stage.notice(|notice| *notice == RoomNotice::Bound { seat: SeatId(1) }).await;

    stage.order(RoomOrder::Seat(named(1, &[own.fingerprint().to_string()]))).await;
    stage.focus.settled().await;
    assert_eq!(early.ask(&msrp::SendRequest::bodiless(id("alive"))).await.0, 200);

    stage.order(RoomOrder::Seat(named(1, &[issue().fingerprint().to_string()]))).await;
    assert_eq!(stage.lost(1).await, Cause::Misbehaved);
    while !matches!(early.next().await, Got::End) {}
}

#[tokio::test]
async fn tlssdp_01_a_seat_for_whom_only_weak_hashes_are_named_is_lost() {
    let mut stage = open_room().await;
    let weak = String::from("sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33");

    stage.order(RoomOrder::Seat(named(1, &[weak]))).await;

    assert_eq!(stage.lost(1).await, Cause::Misbehaved);
}
