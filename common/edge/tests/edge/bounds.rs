//! Every wait ends and every number has a bound.
use std::time::Duration;

use edge::{Closed, EdgeLimits, Refused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, any, options, read_all, soon};

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_flow_that_says_nothing_is_closed() {
    let mut world = World::tls(EdgeLimits { idle: SHORT, ..EdgeLimits::default() }).await;
    let mut client = world.dial().await;
    let flow = world.opened().await;

    assert_eq!(read_all(&mut client).await, "");
    assert_eq!(world.closed().await, (flow, Closed::Idle));
}

#[tokio::test]
async fn a_message_that_is_never_finished_closes_its_flow() {
    let mut world = World::tls(EdgeLimits { message: SHORT, ..EdgeLimits::default() }).await;
    for begun in [&b"OPTIONS sip:room7"[..], &begun_body()] {
        let mut client = world.dial().await;
        let flow = world.opened().await;
        client.write_all(begun).await.unwrap();

        assert_eq!(read_all(&mut client).await, "");
        assert_eq!(world.closed().await, (flow, Closed::MessageTimeout));
    }
}

#[tokio::test]
async fn a_write_that_makes_no_progress_closes_its_flow() {
    let limits = EdgeLimits { write: SHORT, queue_bytes_max: 64 << 20, ..EdgeLimits::default() };
    let mut world = World::protected(limits).await;
    let _silent = TcpStream::connect(world.address).await.unwrap();
    let flow = world.opened().await;
    let bytes = options(1).with_body("text/plain", vec![b'x'; 1 << 20]).to_bytes();

    // More than the sockets between hold, less than the queue.
    for _ in 0..32 {
        world.edge.send(flow, bytes.clone());
    }

    assert_eq!(world.closed().await, (flow, Closed::WriteTimeout));
}

fn begun_body() -> Vec<u8> {
    let mut bytes = options(1).with_body("text/plain", vec![b'x'; 1_000]).to_bytes().to_vec();
    bytes.truncate(bytes.len() - 1_000);
    bytes
}

#[tokio::test]
async fn a_peer_that_does_not_pong_is_gone() {
    let limits = EdgeLimits { ping: SHORT, pong: SHORT, ..EdgeLimits::default() };
    let mut world = World::tls(limits).await;
    let server = tokio::net::TcpListener::bind(any()).await.unwrap();
    let address = server.local_addr().unwrap();
    let flow = world.edge.connect(edge::Target { address, security: edge::Dial::Protected });
    let (mut peer, _) = soon(server.accept()).await.unwrap();
    assert_eq!(world.opened().await, flow);

    assert_eq!(read_all(&mut peer).await, "\r\n\r\n");
    drop(peer);
    assert_eq!(world.closed().await, (flow, Closed::Idle));
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_a_place_that_is_left_is_free() {
    let mut world = World::tls(EdgeLimits { connections_max: 2, ..EdgeLimits::default() }).await;
    let first = world.dial().await;
    let flow = world.opened().await;
    let _second = world.dial().await;
    world.opened().await;

    let mut third = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(soon(third.read(&mut [0; 8])).await.unwrap_or_default(), 0);
    assert_eq!(world.refused().await, Refused::Full);

    // A place is given back before its flow is said to be closed.
    drop(first);
    assert_eq!(world.closed().await, (flow, Closed::ByPeer));
    world.assert_serves().await;
}

#[tokio::test]
async fn a_shut_down_edge_closes_its_flows_and_its_listeners() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    let flow = world.opened().await;

    world.edge.shutdown();

    assert_eq!(read_all(&mut client).await, "");
    drop(client);
    assert_eq!(world.closed().await, (flow, Closed::ByUs));
    soon(async {
        while TcpStream::connect(world.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_edge_whose_events_nobody_takes_any_more_closes() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = world.dial().await;
    world.opened().await;

    let (_, unused) = tokio::sync::mpsc::channel(1);
    drop(std::mem::replace(&mut world.events, unused));

    assert_eq!(read_all(&mut client).await, "");
}
