//! Bad input over real sockets: each gets its answer, is counted, and harms nobody else.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
mod common;

use bytes::Bytes;
use common::{Got, Person, ROOM, Stage, cpim, gate, id, message, seat, soon, text};
use control::{Cause, Level};
use msrp::SendRequest;
use service::quic;
use service::tls::{DevCa, Trust, client_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A room with two people who are well.
async fn innocents() -> (Stage, Person, Person) {
    let mut stage = Stage::with(|config| config.limits.outbox_octets_max = 1024 * 1024).await;
    stage.open(Level::Open, None).await;
    let (alice, bob) = (stage.join(1).await, stage.join(2).await);
    (stage, alice, bob)
}

async fn are_well(alice: &mut Person, bob: &mut Person) {
    assert_eq!(alice.ask(&message("well1", text(1, "are you well?"))).await.0, 200);
    assert_eq!(bob.message().await, text(1, "are you well?"));
}

#[tokio::test]
async fn a_garbage_first_byte_ends_in_tls_and_is_counted() {
    let (stage, mut alice, mut bob) = innocents().await;
    let mut socket = tokio::net::TcpStream::connect(stage.msrp).await.unwrap();
    socket.write_all(b"\xffGET / HTTP/1.1\r\n\r\n").await.unwrap();

    let mut answer = Vec::new();
    drop(soon("the end", socket.read_to_end(&mut answer)).await);

    // Record type 21 is an alert.
    assert_eq!(answer.first(), Some(&21));
    assert_eq!(stage.metric("mrfp_tls_failures_total").await, 1.0);
    are_well(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn garbage_inside_tls_ends_its_connection_only() {
    let (mut stage, mut alice, mut bob) = innocents().await;
    let mut mallory = stage.join(3).await;

    mallory.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;

    assert!(matches!(mallory.next().await, Got::End));
    assert_eq!(stage.lost(3).await, Cause::Misbehaved);
    assert_eq!(stage.metric("mrfp_parse_errors_total{kind=\"fatal\"}").await, 1.0);
    are_well(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn a_header_of_a_mebibyte_gets_400_and_the_end() {
    let (mut stage, mut alice, mut bob) = innocents().await;
    let mut mallory = stage.join(3).await;
    let (to, from) = mallory.paths().clone();
    let mut text = format!(
        "MSRP aaaa1111 SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: mmmm\r\nX-Long: ",
        to.to_wire(),
        from.to_wire()
    )
    .into_bytes();
    text.resize(1024 * 1024, b'a');

    mallory.raw_as_far_as_it_goes(&text).await;

    let got = mallory.next().await;
    let Got::Response(transaction, status, _) = got else { panic!("{got:?}") };
    assert_eq!((transaction.as_str(), status), ("aaaa1111", 400));
    assert!(matches!(mallory.next().await, Got::End));
    are_well(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn a_message_that_breaks_the_grammar_gets_400_and_the_next_one_its_200() {
    let (mut stage, _alice, _bob) = innocents().await;
    let mut person = stage.join(3).await;
    let (to, from) = person.paths().clone();
    let paths = format!("To-Path: {}\r\nFrom-Path: {}\r\n", to.to_wire(), from.to_wire());
    let bad = format!(
        "MSRP bbbb1111 SEND\r\n{paths}Message-ID: mmmm\r\nByte-Range: 0-5/5\r\n\
         Content-Type: message/cpim\r\n\r\nhello\r\n-------bbbb1111$\r\n"
    );

    person.raw(bad.as_bytes()).await;

    let Got::Response(transaction, status, _) = person.next().await else { panic!() };
    assert_eq!((transaction.as_str(), status), ("bbbb1111", 400));
    assert_eq!(person.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
    assert_eq!(stage.metric("mrfp_parse_errors_total{kind=\"answered\"}").await, 1.0);
}

#[tokio::test]
async fn a_byte_range_of_exabytes_allocates_nothing() {
    let (mut stage, mut alice, mut bob) = innocents().await;
    let mut person = stage.join(3).await;
    let mut send = message("huge1", text(3, "x"));
    send.range = msrp::ByteRange { start: 1, end: None, total: Some(9_999_999_999_999_999) };

    assert_eq!(person.ask(&send).await.0, 413);

    are_well(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn the_control_port_takes_nobody_without_a_certificate_of_ours() {
    let (mut stage, mut alice, mut bob) = innocents().await;
    let strangers = DevCa::new("strangers", service::clock::wall()).unwrap();
    let stranger = strangers.issue(&["focus"]).unwrap();
    let endpoint = quic::dialler(&stranger, stage.ca.roots().unwrap(), stage.control).unwrap();
    let dialled = quic::connect(&endpoint, stage.control, "localhost").await;
    // The client may think it is through until the server has looked at its certificate.
    let refused = match dialled {
        Ok(connection) => soon("the refusal", quic::accept(connection)).await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "another CA's certificate");

    let tls = client_config(Trust::Roots(stage.ca.roots().unwrap()), None, &[quic::ALPN]).unwrap();
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(std::sync::Arc::new(crypto)));
    let dialled = endpoint.connect(stage.control, "localhost").unwrap().await;
    let refused = match dialled {
        Ok(connection) => soon("the refusal", connection.accept_bi()).await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "no certificate");

    let path = stage.seat(seat(9)).await;
    assert!(path.starts_with("msrps://"), "the real focus is still obeyed");
    are_well(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn a_reader_that_sleeps_loses_its_seat_and_nobody_else_loses_anything() {
    let (mut stage, mut alice, mut bob) = innocents().await;
    let sleeper = stage.join(3).await;
    let octets = 40 * 1024;
    let mut sent = 0_usize;
    // More than the kernel's buffers and the outbox hold.
    for n in 0..400 {
        let body = cpim(1, ROOM, "application/octet-stream", vec![b'x'; octets]);
        assert_eq!(alice.ask(&message(&format!("flood{n}"), body)).await.0, 200);
        sent += 1;
        assert_eq!(bob.message().await.len(), bob_len(octets));
    }

    assert_eq!(stage.lost(3).await, Cause::Slow);
    assert_eq!(sent, 400);
    assert_eq!(stage.metric("mrfp_slow_consumer_disconnects_total").await, 1.0);
    assert_eq!(stage.metric("mrfp_write_queue_bytes").await, 0.0);
    are_well(&mut alice, &mut bob).await;
    drop(sleeper);
}

fn bob_len(octets: usize) -> usize {
    cpim(1, ROOM, "application/octet-stream", vec![b'x'; octets]).len()
}

#[tokio::test]
async fn connections_that_take_no_seat_are_closed_and_counted_against_a_cap() {
    let mut stage = Stage::with(|config| {
        config.limits.half_open_max = 2;
        config.limits.first_request_secs = 1;
    })
    .await;
    stage.open(Level::Sealed, Some(gate(0))).await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        idle.push(tokio::net::TcpStream::connect(stage.msrp).await.unwrap());
    }
    // Two shards serve them; when both are in, a third is turned away.
    let mut third = tokio::net::TcpStream::connect(stage.msrp).await.unwrap();
    let mut answer = Vec::new();
    drop(soon("the third's end", third.read_to_end(&mut answer)).await);
    for mut socket in idle {
        drop(soon("the end", socket.read_to_end(&mut answer)).await);
    }

    let mut alice = stage.join(1).await;
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
}

#[tokio::test]
async fn an_address_has_only_so_many_connections() {
    let mut stage = Stage::with(|config| config.limits.connections_per_address_max = 1).await;
    stage.open(Level::Open, None).await;
    let mut alice = stage.join(1).await;

    let mut second = tokio::net::TcpStream::connect(stage.msrp).await.unwrap();
    let mut answer = Vec::new();
    drop(soon("the end", second.read_to_end(&mut answer)).await);

    assert_eq!(stage.metric("mrfp_connections_refused_total{bound=\"address\"}").await, 1.0);
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
}

#[tokio::test]
async fn a_seat_that_nobody_takes_is_lost() {
    let mut stage = Stage::with(|config| config.limits.bind_secs = 1).await;
    stage.open(Level::Open, None).await;
    let path = stage.seat(seat(1)).await;

    assert_eq!(stage.lost(1).await, Cause::Silent);

    let mut late = Person::connect(&stage.ca, stage.msrp).await;
    late.aim(&path, &seat(1).peer_path.unwrap());
    assert_eq!(late.ask(&SendRequest::bodiless(id("bind1"))).await.0, 481);
}

/// S2-NS4, S2-OS13.
#[tokio::test]
async fn s14_2_plain_msrp_on_the_tls_port_is_refused() {
    let (stage, mut alice, mut bob) = innocents().await;
    let mut socket = tokio::net::TcpStream::connect(stage.msrp).await.unwrap();
    let plain = Bytes::from_static(b"MSRP aaaa1111 SEND\r\nTo-Path: msrp://x:1/y;tcp\r\n");
    socket.write_all(&plain).await.unwrap();

    let mut answer = Vec::new();
    drop(soon("the end", socket.read_to_end(&mut answer)).await);

    assert_eq!(answer.first(), Some(&21));
    are_well(&mut alice, &mut bob).await;
}
