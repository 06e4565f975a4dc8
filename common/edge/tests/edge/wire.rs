//! What goes over a flow and comes out unharmed, and what is answered without the owner.
use std::time::Duration;

use bytes::Bytes;
use edge::{Closed, EdgeLimits};
use sip::{Message, Name, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, options, read_all, read_some, request, soon};

#[tokio::test]
async fn s18_3_a_message_that_comes_in_single_bytes_is_one_message() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    world.opened().await;
    let sent = request("MESSAGE", 1).with_body("text/plain", "hello");

    for byte in sent.to_bytes() {
        client.write_u8(byte).await.unwrap();
        client.flush().await.unwrap();
    }

    assert_eq!(world.message().await.1, Message::Request(sent));
}

#[tokio::test]
async fn many_messages_in_one_write_come_in_order() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    world.opened().await;
    let all: Vec<u8> = (1..=50).flat_map(|number| options(number).to_bytes()).collect();

    client.write_all(&all).await.unwrap();

    for number in 1..=50 {
        assert_eq!(world.message().await.1.headers().cseq().unwrap().number, number);
    }
}

#[tokio::test]
async fn a_body_of_1_mib_of_any_bytes_passes_both_ways() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    let flow = world.opened().await;
    let body: Vec<u8> = (0..1u32 << 20).map(|at| (at * 31 % 251) as u8).collect();
    let sent = request("MESSAGE", 1).with_body("application/octet-stream", body);
    let bytes = sent.to_bytes();

    client.write_all(&bytes).await.unwrap();
    let (_, received) = world.message().await;
    assert!(received == Message::Request(sent));
    world.edge.send(flow, received.to_bytes());

    let mut back = vec![0; bytes.len()];
    soon(client.read_exact(&mut back)).await.unwrap();
    assert!(back == bytes);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_413_and_the_flow_goes_on() {
    let message_limits = sip::Limits { body_bytes_max: 1_000, ..sip::Limits::default() };
    let mut world = World::tls(EdgeLimits { message_limits, ..EdgeLimits::default() }).await;
    let mut client = world.dial().await;
    world.opened().await;
    let large = request("MESSAGE", 1).with_body("text/plain", vec![b'x'; 1_001]);

    client.write_all(&large.to_bytes()).await.unwrap();
    client.write_all(&options(2).to_bytes()).await.unwrap();

    assert!(read_some(&mut client).await.starts_with("SIP/2.0 413 "));
    assert_eq!(world.malformed().await, Status::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(world.message().await.1, Message::Request(options(2)));
}

#[tokio::test]
async fn rfc5626_s4_4_1_two_line_breaks_are_answered_with_one() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    world.opened().await;

    client.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read_some(&mut client).await, "\r\n");

    client.write_all(&options(1).to_bytes()).await.unwrap();
    assert_eq!(world.message().await.1, Message::Request(options(1)));
}

#[tokio::test]
async fn a_header_line_that_is_not_utf8_hides_nothing_behind_it() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    world.opened().await;
    let mut sent = request("MESSAGE", 1);
    sent.headers.push_front(Name::Subject, Bytes::from_static(b"caf\xe9"));
    let sent = sent.with_body("text/plain", "hello");

    client.write_all(&sent.to_bytes()).await.unwrap();

    let Message::Request(received) = world.message().await.1 else { panic!("no request") };
    assert_eq!(received.body, "hello");
    assert_eq!(received.headers.raw(&Name::Subject).next().unwrap(), &b"caf\xe9"[..]);
}

#[tokio::test]
async fn a_garbage_first_byte_closes_its_flow_and_no_other() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    let flow = world.opened().await;

    client.write_all(b"\x00\x01\x02 garbage").await.unwrap();

    world.malformed().await;
    assert_eq!(read_all(&mut client).await, "", "there is nothing to answer");
    assert_eq!(world.closed().await, (flow, Closed::Malformed));
    world.assert_serves().await;
}

#[tokio::test]
async fn a_request_with_a_broken_header_is_answered_400_and_the_flow_goes_on() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    world.opened().await;
    let mut broken = options(1);
    broken.headers.set(Name::From, "<<<");

    client.write_all(&broken.to_bytes()).await.unwrap();

    assert!(read_some(&mut client).await.starts_with("SIP/2.0 400 "));
    assert_eq!(world.malformed().await, Status::BAD_REQUEST);
    client.write_all(&options(2).to_bytes()).await.unwrap();
    assert_eq!(world.message().await.1, Message::Request(options(2)));
}

#[tokio::test]
async fn a_header_of_1_mib_is_answered_and_ends_the_flow() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let (mut reading, mut writing) = tokio::io::split(world.dial().await);
    let flow = world.opened().await;
    let huge = options(1).with(Name::Subject, "x".repeat(1 << 20));

    // The edge may stop reading before all of it is written.
    let writer = tokio::spawn(async move { drop(writing.write_all(&huge.to_bytes()).await) });
    let answer = read_some(&mut reading).await;

    assert!(answer.starts_with("SIP/2.0 513 "), "{answer}");
    assert_eq!(world.malformed().await, Status::MESSAGE_TOO_LARGE);
    assert_eq!(world.closed().await, (flow, Closed::Malformed));
    soon(writer).await.unwrap();
    world.assert_serves().await;
}

#[tokio::test]
async fn a_request_without_content_length_is_answered_400_and_ends_the_flow() {
    let mut world = World::protected(EdgeLimits::default()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let flow = world.opened().await;
    let bytes = options(1).to_bytes();
    let text = std::str::from_utf8(&bytes).unwrap().replace("Content-Length: 0\r\n", "");

    client.write_all(text.as_bytes()).await.unwrap();

    assert!(read_all(&mut client).await.starts_with("SIP/2.0 400 "));
    world.malformed().await;
    assert_eq!(world.closed().await, (flow, Closed::Malformed));
}

#[tokio::test]
async fn what_is_queued_is_written_before_a_flow_closes() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    let flow = world.opened().await;
    let bytes = request("MESSAGE", 1).with_body("text/plain", vec![b'x'; 3 << 20]).to_bytes();

    world.edge.send(flow, bytes.clone());
    world.edge.close(flow);

    assert!(read_all(&mut client).await.as_bytes() == bytes);
    drop(client);
    assert_eq!(world.closed().await, (flow, Closed::ByUs));
}

#[tokio::test]
async fn a_flow_we_dialled_pings_when_it_is_silent() {
    let limits = EdgeLimits { ping: Duration::from_millis(50), ..EdgeLimits::default() };
    let mut world = World::tls(limits).await;
    let server = tokio::net::TcpListener::bind(crate::world::any()).await.unwrap();
    let address = server.local_addr().unwrap();
    let flow = world.edge.connect(edge::Target { address, security: edge::Dial::Protected });
    let (mut peer, _) = soon(server.accept()).await.unwrap();
    assert_eq!(world.opened().await, flow);

    for _ in 0..3 {
        assert_eq!(read_some(&mut peer).await, "\r\n\r\n");
        peer.write_all(b"\r\n").await.unwrap();
    }

    assert_eq!(world.edge.flows(), 1);
}
