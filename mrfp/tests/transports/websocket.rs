//! MSRP over WebSocket over TLS (RFC 7977): a browser's way in, spoken by a client that is not ours.
use std::net::TcpStream;
use std::sync::Arc;

use bytes::BytesMut;
use control::{Level, Reach, RoomNotice, Seat, Transport};
use msrp::{Address, Decoder, Head, Item, Path, Reply, SendRequest, Status};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use crate::common::person::trusting;
use crate::common::{Stage, cpim, message, seat, text};

type Socket = WebSocket<StreamOwned<ClientConnection, TcpStream>>;

async fn stage() -> Stage {
    let listen = |config: &mut mrfp::Config| {
        config.msrp.websocket_listen = Some("127.0.0.1:0".parse().unwrap());
        config.msrp.websocket_origins = vec!["https://chat.example".into()];
    };
    let mut stage = Stage::with(listen).await;
    stage.open(Level::Open, None).await;
    stage
}

fn browser_seat(n: u64) -> Seat {
    Seat {
        reach: Reach { transport: Transport::WebSocket, ..Reach::default() },
        peer_path: Some(format!("msrps://df7jal23ls0d.invalid:9/u{n};ws")),
        ..seat(n)
    }
}

/// A browser's connection; it blocks, so it lives on a thread of its own.
struct Browser {
    socket: Socket,
    rng: StdRng,
    address: Address,
}

/// Connects like a page of this origin, offering this sub-protocol. The status if it is turned away.
fn connect(
    config: Arc<ClientConfig>,
    port: u16,
    origin: &str,
    protocol: Option<&str>,
) -> Result<Socket, u16> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream);
    let uri = format!("wss://localhost:{port}/").parse().unwrap();
    let request = ClientRequestBuilder::new(uri).with_header("Origin", origin);
    let request = match protocol {
        Some(protocol) => request.with_sub_protocol(protocol),
        None => request,
    };
    let large = WebSocketConfig::default().max_message_size(Some(1 << 20));
    match tungstenite::client::client_with_config(request, tls, Some(large)) {
        Ok((socket, response)) => {
            assert_eq!(response.headers().get("sec-websocket-protocol").unwrap(), "msrp");
            Ok(socket)
        }
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
            Err(response.status().as_u16())
        }
        Err(other) => panic!("{other}"),
    }
}

impl Browser {
    fn send(&mut self, send: &SendRequest) {
        let frame = send.encode(&mut self.rng).to(&self.address);
        self.socket.send(Message::Binary(frame.to_bytes())).unwrap();
    }

    /// The one item of the next message; a request is acknowledged, by a text message.
    fn next(&mut self) -> (Arc<Head>, Vec<u8>) {
        let octets = loop {
            match self.socket.read().unwrap() {
                Message::Binary(octets) => break octets,
                Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(octets.len() < 70_000, "a message is at most one piece");
        let mut input = BytesMut::from(&octets[..]);
        let item = Decoder::default().next(&mut input).unwrap().unwrap();
        assert!(input.is_empty(), "one chunk a message");
        match item {
            Item::Request(chunk) => {
                assert!(chunk.end.is_some());
                let reply = Reply::new(&chunk.head, Status::OK).unwrap().encode().unwrap();
                let text = String::from_utf8(reply.to_bytes().to_vec()).unwrap();
                self.socket.send(Message::text(text)).unwrap();
                (chunk.head, chunk.body.gather().to_vec())
            }
            Item::Response(head) => (head, Vec::new()),
        }
    }

    fn asked(&mut self, send: &SendRequest) -> u16 {
        self.send(send);
        self.next().0.status().unwrap().code()
    }
}

/// What a browser on seat `n` does, off this runtime.
async fn browse<T: Send + 'static>(
    stage: &mut Stage,
    n: u64,
    act: impl FnOnce(Browser) -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    let path = stage.seat(browser_seat(n)).await;
    assert!(path.starts_with("msrps://") && path.ends_with(";ws"), "{path}");
    let to: Path = path.parse().unwrap();
    let from: Path = browser_seat(n).peer_path.unwrap().parse().unwrap();
    let (config, port) = (trusting(&stage.ca), stage.ready.websocket.unwrap().port());
    tokio::task::spawn_blocking(move || {
        let socket = connect(config, port, "https://chat.example", Some("msrp")).unwrap();
        let rng = StdRng::seed_from_u64(n);
        act(Browser { socket, rng, address: Address::new(&to, &from) })
    })
}

/// S0-11.
#[tokio::test]
async fn m7977_02_and_05_a_browser_talks_with_somebody_behind_tls() {
    let mut stage = stage().await;
    let mut alice = stage.join(1).await;
    let bound = |notice: &RoomNotice| matches!(notice, RoomNotice::Bound { .. });

    let browser = browse(&mut stage, 2, move |mut browser| {
        let id = crate::common::id("bind");
        assert_eq!(browser.asked(&SendRequest::bodiless(id)), 200);
        let heard = browser.next().1;
        browser.socket.send(Message::Ping(bytes::Bytes::from_static(b"still there?"))).unwrap();
        assert_eq!(browser.asked(&message("m2aa", text(2, "from a page"))), 200);
        heard
    })
    .await;
    stage.notice(bound).await;
    assert_eq!(alice.ask(&message("m1aa", text(1, "to a page"))).await.0, 200);

    assert_eq!(alice.message().await, text(2, "from a page"));
    let heard = browser.await.unwrap();
    assert_eq!(heard, text(1, "to a page").gather());
    assert_eq!(stage.metric("mrfp_sessions{transport=\"tls\"}").await, 1.0);
}

#[tokio::test]
async fn m7977_04_what_is_long_comes_in_messages_of_one_chunk_each() {
    let mut stage = stage().await;
    let mut alice = stage.join(1).await;
    let long = cpim(1, "sip:room7@example.net", "text/plain", vec![b'x'; 500_000]);
    let octets = long.len();

    let browser = browse(&mut stage, 2, move |mut browser| {
        assert_eq!(browser.asked(&SendRequest::bodiless(crate::common::id("bind"))), 200);
        let (mut got, mut pieces) = (Vec::new(), 0);
        while got.len() < octets {
            got.extend(browser.next().1);
            pieces += 1;
        }
        (got, pieces)
    })
    .await;
    stage.notice(|notice| matches!(notice, RoomNotice::Bound { .. })).await;
    assert_eq!(alice.ask(&message("m1aa", long.clone())).await.0, 200);

    let (got, pieces) = browser.await.unwrap();
    assert_eq!(got, long.gather());
    assert!(pieces > 1, "500 000 octets in one message");
}

#[tokio::test]
async fn m7977_03_two_chunks_in_a_message_end_the_connection() {
    let mut stage = stage().await;
    let browser = browse(&mut stage, 2, |mut browser| {
        let id = crate::common::id("bind");
        let frame = SendRequest::bodiless(id).encode(&mut browser.rng).to(&browser.address);
        let twice = [frame.to_bytes(), frame.to_bytes()].concat();
        browser.socket.send(Message::Binary(twice.into())).unwrap();
        match browser.socket.read().unwrap() {
            Message::Close(Some(frame)) => u16::from(frame.code),
            other => panic!("{other:?}"),
        }
    })
    .await;

    assert_eq!(browser.await.unwrap(), 1002);
}

#[tokio::test]
async fn m7977_01_and_08_without_the_sub_protocol_or_from_another_origin_nobody_gets_in() {
    let stage = stage().await;
    let (config, port) = (trusting(&stage.ca), stage.ready.websocket.unwrap().port());
    let turned_away = tokio::task::spawn_blocking(move || {
        let other = Arc::clone(&config);
        (
            connect(config, port, "https://chat.example", None).unwrap_err(),
            connect(other, port, "https://evil.example", Some("msrp")).unwrap_err(),
        )
    });

    assert_eq!(turned_away.await.unwrap(), (400, 403));
}
