//! Bad input over real sockets: each peer gets its proper answer, and nobody else notices.
use sip::header::Name;
use sip::{Method, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::phone::Phone;
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

#[tokio::test]
async fn an_unknown_method_is_501_and_a_known_one_405_and_the_connection_goes_on() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;

    for (method, code) in [("FROBNICATE", 501), ("INFO", 405), ("PUBLISH", 405)] {
        let request = alice.request(method, &format!("sip:room7@{DOMAIN}"));
        let response = alice.send(request).await;

        assert_eq!(response.status.code(), code, "{method}");
        assert!(response.headers.lists(&Name::Allow, "INVITE"));
    }
    let options = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(alice.send(options).await.status, Status::OK);
    assert_eq!(world.metric("mrfc_sip_requests_total{method=\"other\"}").await, 1);
}

/// S0-03, S0-04, S0-05, S0-06, S1-03.
#[tokio::test]
async fn every_method_is_asked_who_it_is_from() {
    let world = World::start().await;
    let mut nobody = Phone::connect(&world, "alice", 1).await;

    for method in ["INVITE", "REGISTER", "OPTIONS", "REFER", "BYE", "MESSAGE", "FROBNICATE"] {
        let request = nobody.request(method, &format!("sip:room7@{DOMAIN}"));

        assert_eq!(nobody.send(request).await.status, Status::UNAUTHORIZED, "{method}");
    }
}

#[tokio::test]
async fn what_a_request_requires_and_nobody_knows_is_420() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let request =
        alice.request("INVITE", &format!("sip:room7@{DOMAIN}")).with(Name::Require, "teleport");

    let response = alice.send(request).await;

    assert_eq!(response.status, Status::BAD_EXTENSION);
    assert_eq!(response.headers.text(&Name::Unsupported).unwrap(), "teleport");
}

#[tokio::test]
async fn no_hops_left_is_483() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let request =
        alice.request("INVITE", &format!("sip:room7@{DOMAIN}")).with(Name::MaxForwards, 0);

    assert_eq!(alice.send(request).await.status, Status::TOO_MANY_HOPS);
}

#[tokio::test]
async fn a_used_proof_is_not_good_again() {
    let world = World::start().await;
    let mut alice = Phone::connect(&world, "alice", 1).await;
    let request = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    let challenge = alice.send(request.clone()).await;
    let proven = alice.proven(request, &challenge);
    assert_eq!(alice.send(proven.clone()).await.status, Status::OK);

    let mut replayed = proven;
    replayed.headers.set(Name::CallId, "another-call");
    let response = alice.send(replayed).await;

    assert_eq!(response.status, Status::UNAUTHORIZED);
    let again = response.headers.text(&Name::WwwAuthenticate).unwrap();
    assert!(again.contains("stale=true"), "{again}");
}

#[tokio::test]
async fn silent_and_babbling_clients_harm_nobody() {
    let world = World::start().await;
    let address = world.addresses.sip;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut babbling = TcpStream::connect(address).await.unwrap();
    babbling.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // Whatever TLS says to this, the connection ends.
    babbling.read_to_end(&mut answer).await.ok();

    let mut alice = Phone::registered(&world, "alice", 1).await;

    let options = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(alice.send(options).await.status, Status::OK);
    drop(silent);
}

#[tokio::test]
async fn a_flood_on_one_connection_gets_503_and_another_connection_is_served() {
    let world = World::with(Manner::Silent, |config| {
        config.limits.calls_per_connection_max = 4;
    })
    .await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;

    let mut exchanges = Vec::new();
    for _ in 0..8 {
        let request = mallory
            .request("INVITE", &format!("sip:conference-factory@{DOMAIN}"))
            .with_body("application/sdp", crate::phone::good_offer());
        exchanges.push(mallory.sip.begin(mallory.flow, request).await.unwrap());
    }
    let mut turned_away = 0;
    for exchange in &mut exchanges {
        let first = exchange.next().await.unwrap();
        if first.status == Status::SERVICE_UNAVAILABLE {
            assert!(first.headers.has(&Name::RetryAfter));
            turned_away += 1;
        }
    }

    assert_eq!(turned_away, 4);
    let options = bob.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(bob.send(options).await.status, Status::OK);
}

#[tokio::test]
async fn a_request_right_behind_the_ack_is_served() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    for _ in 0..20 {
        let factory = format!("sip:conference-factory@{DOMAIN}");
        let mut talk = alice.invite(&factory, &crate::phone::good_offer()).await.ok().unwrap();
        let bye = talk.dialog.request(Method::Bye).unwrap();

        assert_eq!(alice.send(bye).await.status, Status::OK);
    }
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

#[tokio::test]
async fn a_header_of_1_mib_is_513_and_ends_its_own_connection_only() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let large = mallory
        .request("OPTIONS", &format!("sip:{DOMAIN}"))
        .with(Name::Subject, "x".repeat(1 << 20));

    assert_eq!(mallory.send(large).await.status, Status::MESSAGE_TOO_LARGE);

    mallory.closed().await;
    let options = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(alice.send(options).await.status, Status::OK);
    assert_eq!(world.metric("mrfc_sip_malformed_total{code=\"513\"}").await, 1);
}

/// S0-09, S1-07, S2-NR1, S2-OR1.
#[tokio::test]
async fn a_listener_marked_protected_speaks_plain_tcp_and_asks_for_the_same_proof() {
    let world = World::with(Manner::Prompt, |config| {
        config.sip.protected_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let mut stream = TcpStream::connect(world.addresses.sip_protected.unwrap()).await.unwrap();
    let request = format!(
        "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TCP ua.example.net;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@{DOMAIN}>;tag=a\r\nTo: <sip:{DOMAIN}>\r\n\
         Call-ID: c1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();

    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();

    assert_eq!(&start, b"SIP/2.0 401 ");
}
