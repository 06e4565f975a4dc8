//! One bad or slow peer, and everybody else.
use std::time::Duration;

use edge::driver::{DriverSettings, SipEvent, spawn};
use edge::{Closed, EdgeEvent, EdgeLimits};
use sip::{Response, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, bare, options, request, soon};

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_slows_nobody() {
    let limits = EdgeLimits {
        queue_bytes_max: 256 << 10,
        write: Duration::from_millis(300),
        ..EdgeLimits::default()
    };
    let World { ca, edge, events, address } = World::tls(limits).await;
    let (unused_edge, unused) = edge::Edge::new(EdgeLimits::default());
    let world = World { ca, edge: unused_edge, events: unused, address };
    let (sip, mut events) = spawn(edge, events, DriverSettings::default()).unwrap();
    let (closed, mut closings) = tokio::sync::mpsc::unbounded_channel();
    let user = sip.clone();
    let answering = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                SipEvent::Request { key, request, .. } => {
                    let ok = Response::to(&request, Status::OK);
                    user.respond(key, ok.with_body("text/plain", vec![b'x'; 16 << 10])).await;
                }
                SipEvent::Closed { why, .. } => drop(closed.send(why)),
                _ => {}
            }
        }
    });

    // The same finished transaction again and again; the answers stay in the socket.
    let (_kept, mut writing) = tokio::io::split(world.dial().await);
    let pest = tokio::spawn(async move {
        let bytes = request("MESSAGE", 1).to_bytes();
        while writing.write_all(&bytes).await.is_ok() {}
    });
    let target = world.target();
    for _ in 0..50 {
        let (flow, _) = soon(sip.connect(target.clone())).await.unwrap();
        let response = soon(sip.request(flow, bare("OPTIONS"))).await.unwrap();
        assert_eq!(response.status, Status::OK);
        sip.close(flow);
    }

    soon(async {
        while !matches!(closings.recv().await, Some(Closed::WriteTimeout | Closed::QueueFull)) {}
    })
    .await;
    soon(pest).await.unwrap();
    answering.abort();
}

#[tokio::test]
async fn a_flood_waits_on_its_own_socket_and_others_have_their_turn() {
    const FLOOD: usize = 20_000;
    let limits = EdgeLimits { events_max: 8, ..EdgeLimits::default() };
    let mut world = World::protected(limits).await;
    let mut pest = TcpStream::connect(world.address).await.unwrap();
    let pest_flow = world.opened().await;
    let flood: Vec<u8> = (0..FLOOD).flat_map(|_| options(1).to_bytes()).collect();
    let flooding = tokio::spawn(async move {
        drop(pest.write_all(&flood).await);
        pest
    });
    // The flood has filled the events before anybody else comes.
    while world.events.len() < 8 {
        tokio::task::yield_now().await;
    }

    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(&options(7).to_bytes()).await.unwrap();
    let mut before = 0;
    loop {
        match world.event().await {
            EdgeEvent::Message { flow, .. } if flow == pest_flow => before += 1,
            EdgeEvent::Message { .. } => break,
            EdgeEvent::Opened { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    assert!(before < FLOOD / 4, "{before} of {FLOOD} came first");
    for _ in before..FLOOD {
        assert_eq!(world.message().await.0, pest_flow, "and nothing of the flood is lost");
    }
    drop(flooding.await.unwrap());
}

#[tokio::test]
async fn while_nobody_takes_events_a_flood_is_not_read() {
    let limits = EdgeLimits { events_max: 4, ..EdgeLimits::default() };
    let mut world = World::protected(limits).await;
    let mut pest = TcpStream::connect(world.address).await.unwrap();
    world.opened().await;
    let bytes = options(1).to_bytes().repeat(1_000);
    let mut written = 0;

    // The sockets between hold some MiB; the edge holds one read. 256 MiB would all go if it read on.
    while let Ok(result) =
        tokio::time::timeout(Duration::from_millis(500), pest.write(&bytes)).await
    {
        written += result.unwrap();
        assert!(written < 256 << 20, "the edge takes everything");
    }

    assert_eq!(world.events.len(), 4);
}

#[tokio::test]
async fn a_queue_that_is_full_closes_its_flow_and_send_never_waits() {
    let limits = EdgeLimits { queue_bytes_max: 64 << 10, ..EdgeLimits::default() };
    let mut world = World::tls(limits).await;
    let mut client = world.dial().await;
    let flow = world.opened().await;
    let bytes = options(1).with_body("text/plain", vec![b'x'; 8 << 10]).to_bytes();

    for _ in 0..1_000 {
        world.edge.send(flow, bytes.clone());
    }

    assert_eq!(world.closed().await, (flow, Closed::QueueFull));
    while matches!(soon(client.read(&mut [0; 1024])).await, Ok(read) if read > 0) {}
    world.assert_serves().await;
}

#[tokio::test]
async fn a_client_that_asks_much_and_reads_late_gets_all_its_answers() {
    const ASKED: u32 = 8_000;
    let limits = EdgeLimits { queue_bytes_max: 1 << 20, events_max: 16, ..EdgeLimits::default() };
    let mut world = World::protected(limits).await;
    let client = TcpStream::connect(world.address).await.unwrap();
    let (mut reading, mut writing) = client.into_split();
    let flow = world.opened().await;
    let asking = tokio::spawn(async move {
        for number in 1..=ASKED {
            writing.write_all(&options(number).to_bytes()).await.unwrap();
        }
        writing
    });

    // 8 MiB of answers go through a queue of 1 MiB; reading begins when half of the queue is full.
    let mut length = 0;
    let mut answered = 0;
    while let Ok(event) =
        tokio::time::timeout(Duration::from_millis(300), world.events.recv()).await
    {
        let Some(EdgeEvent::Message { message: sip::Message::Request(request), .. }) = event else {
            panic!("{event:?}")
        };
        let answer = Response::to(&request, Status::OK).with_body("text/plain", vec![b'x'; 1024]);
        length += answer.to_bytes().len();
        answered += 1;
        world.edge.send(flow, answer.to_bytes());
    }
    assert!(answered < ASKED, "it was not asked for more while it did not read");
    let mut bytes = vec![0; length];
    soon(reading.read_exact(&mut bytes)).await.unwrap();
    for _ in answered..ASKED {
        let (_, message) = world.message().await;
        assert!(matches!(message, sip::Message::Request(_)));
    }
    drop(soon(asking).await.unwrap());
}

#[tokio::test]
async fn a_driver_whose_events_nobody_takes_stops_reading() {
    const SENT: usize = 5_000;
    let limits = EdgeLimits { events_max: 16, ..EdgeLimits::default() };
    let World { edge, events, address, .. } = World::protected(limits).await;
    let (_sip, mut untaken) = spawn(edge, events, DriverSettings::default()).unwrap();
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    let mut broken = options(1);
    broken.headers.set(sip::Name::From, "<<<");
    let bytes = broken.to_bytes().repeat(SENT);
    let sending = tokio::spawn(async move { drop(writing.write_all(&bytes).await) });

    // Each is answered 400 and told; 256 events wait in the channel, as many in the driver, 16 at the edge.
    let (mut answers, mut buffer) = (0, vec![0; 64 << 10]);
    let patience = Duration::from_millis(500);
    while let Ok(read) = tokio::time::timeout(patience, reading.read(&mut buffer)).await {
        let text = &buffer[..read.unwrap()];
        answers += text.windows(12).filter(|window| window == b"SIP/2.0 400 ").count();
    }

    assert!(answers < 1_000, "{answers} of {SENT}");
    let taken = soon(untaken.recv()).await;
    assert!(matches!(taken, Some(SipEvent::Opened { .. })), "{taken:?}");
    sending.abort();
}
