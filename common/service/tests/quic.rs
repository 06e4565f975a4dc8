//! The control connection over loopback: who gets through, and that bytes arrive whole, in order and bounded.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::Endpoint;
use service::quic::{self, Pipe};
use service::tls::{DevCa, Trust, client_config};

fn ca(name: &str) -> DevCa {
    DevCa::new(name, service::clock::wall()).unwrap()
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn relay(ca: &DevCa) -> Endpoint {
    let identity = ca.issue(&["relay-0"]).unwrap();
    quic::listen(loopback(), &identity, ca.roots().unwrap()).unwrap()
}

fn focus(ca: &DevCa, roots_of: &DevCa) -> Endpoint {
    let identity = ca.issue(&["focus-0"]).unwrap();
    quic::dialler(&identity, roots_of.roots().unwrap(), loopback()).unwrap()
}

/// The relay's end and the focus's end of one connection, and the endpoints that keep it alive. The relay
/// has said "hello", as it must for the focus to see the stream.
async fn pair() -> (Pipe, Pipe, [Endpoint; 2]) {
    let ca = ca("dev");
    let (relay, focus) = (relay(&ca), focus(&ca, &ca));
    let address = relay.local_addr().unwrap();
    let serve = async {
        let connection = relay.accept().await.unwrap().await.unwrap();
        let pipe = quic::open(connection).await.unwrap();
        pipe.send(Bytes::from_static(b"hello")).await.unwrap();
        pipe
    };
    let dial = async {
        let connection = quic::connect(&focus, address, "relay-0").await.unwrap();
        quic::accept(connection).await.unwrap()
    };
    let (at_relay, mut at_focus) = tokio::join!(serve, dial);
    assert_eq!(at_focus.recv().await.unwrap(), "hello");
    (at_relay, at_focus, [relay, focus])
}

#[tokio::test]
async fn bytes_arrive_whole_and_in_order_both_ways() {
    let (mut at_relay, mut at_focus, _endpoints) = pair().await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let pieces = sent.clone();

    let send = async {
        for piece in pieces.chunks(70_001) {
            at_focus.send(Bytes::copy_from_slice(piece)).await.unwrap();
        }
    };
    let mut received = Vec::new();
    let receive = async {
        while received.len() < sent.len() {
            received.extend_from_slice(&at_relay.recv().await.unwrap());
        }
    };
    tokio::join!(send, receive);
    at_relay.send(Bytes::from_static(b"thanks")).await.unwrap();

    assert!(received == sent, "the bytes differ");
    assert_eq!(at_focus.recv().await.unwrap(), "thanks");
}

#[tokio::test]
async fn what_was_sent_before_a_pipe_is_dropped_still_arrives_and_then_it_ends() {
    let (at_relay, mut at_focus, _endpoints) = pair().await;
    for _ in 0..20 {
        at_relay.send(Bytes::from(vec![7; 10_000])).await.unwrap();
    }

    drop(at_relay);

    let mut octets = 0;
    while let Some(piece) = at_focus.recv().await {
        octets += piece.len();
    }
    assert_eq!(octets, 200_000);
}

#[tokio::test]
async fn a_reader_that_stops_holds_up_the_writer_instead_of_filling_memory() {
    let (mut at_relay, at_focus, _endpoints) = pair().await;
    let piece = Bytes::from(vec![0; 256 * 1024]);
    let sender = at_focus.sender();
    let mut flood = tokio::spawn(async move {
        let mut sent = 0_usize;
        while sent < 400 {
            sender.send(piece.clone()).await.unwrap();
            sent += 1;
        }
    });

    // Loopback carries 100 MiB in much less. On a slower machine the test is weaker, never wrong.
    let in_time = tokio::time::timeout(Duration::from_secs(1), &mut flood).await;
    assert!(in_time.is_err(), "100 MiB were taken though nobody read");

    let mut octets = 0;
    while octets < 400 * 256 * 1024 {
        octets += at_relay.recv().await.unwrap().len();
    }
    flood.await.unwrap();
}

#[tokio::test]
async fn a_closed_connection_is_noticed_by_both_directions_and_says_why() {
    let (at_relay, mut at_focus, _endpoints) = pair().await;

    at_relay.close("another focus came");

    assert_eq!(at_focus.recv().await, None);
    assert!(at_focus.why_gone().unwrap().contains("another focus came"));
    while at_focus.send(Bytes::from_static(b"x")).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// Dials with a TLS configuration of its own and says whether a stream can be had.
async fn dial_with(tls: Arc<rustls::ClientConfig>, address: SocketAddr) -> Result<(), String> {
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = Endpoint::client(loopback()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    let connection =
        endpoint.connect(address, "relay-0").unwrap().await.map_err(|e| e.to_string())?;
    // In TLS 1.3 a client is done before the server has seen its certificate.
    Err(connection.closed().await.to_string())
}

#[tokio::test]
async fn a_client_with_no_certificate_on_the_control_port_is_refused_and_the_next_one_is_not() {
    let ca = ca("dev");
    let relay = relay(&ca);
    let address = relay.local_addr().unwrap();
    let nobody = client_config(Trust::Roots(ca.roots().unwrap()), None, &[quic::ALPN]).unwrap();

    let accept = async { relay.accept().await.unwrap().await.map(drop) };
    let (accepted, dialled) = tokio::join!(accept, dial_with(nobody, address));

    assert!(accepted.is_err());
    assert!(dialled.unwrap_err().contains("certificate"));
    let focus = focus(&ca, &ca);
    let accept = async { relay.accept().await.unwrap().await };
    let (accepted, dialled) = tokio::join!(accept, quic::connect(&focus, address, "relay-0"));
    assert!(accepted.is_ok() && dialled.is_ok());
}

#[tokio::test]
async fn a_client_of_another_ca_or_another_protocol_is_refused() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let relay = relay(&ours);
    let address = relay.local_addr().unwrap();
    let (stranger, friend) = (theirs.issue(&["x"]).unwrap(), ours.issue(&["x"]).unwrap());
    let trust = || Trust::Roots(ours.roots().unwrap());
    let cases = [
        client_config(trust(), Some(&stranger), &[quic::ALPN]).unwrap(),
        client_config(trust(), Some(&friend), &[b"h3"]).unwrap(),
        client_config(trust(), Some(&friend), &[]).unwrap(),
    ];
    for tls in cases {
        let accept = async { relay.accept().await.unwrap().await.map(drop) };
        let (accepted, dialled) = tokio::join!(accept, dial_with(tls, address));
        assert!(accepted.is_err() && dialled.is_err());
    }
}

#[tokio::test]
async fn a_focus_refuses_a_relay_of_another_ca_or_name() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let relay = relay(&ours);
    let address = relay.local_addr().unwrap();
    let accept = async { while relay.accept().await.unwrap().await.is_err() {} };

    let dial = async {
        let distrustful = focus(&ours, &theirs);
        assert!(quic::connect(&distrustful, address, "relay-0").await.is_err());
        let focus = focus(&ours, &ours);
        assert!(quic::connect(&focus, address, "relay-1").await.is_err());
        quic::connect(&focus, address, "relay-0").await.unwrap()
    };

    tokio::join!(accept, dial);
}
