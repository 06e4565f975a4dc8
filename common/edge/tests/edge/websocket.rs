//! SIP over WebSocket (RFC 7118), spoken by a client that is not ours.
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use edge::{Closed, Edge, EdgeEvent, EdgeLimits, Listen, Refused, Security};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use service::tls::{ClientAuth, DevCa, server_config};
use sip::{Message as Sip, Response, Status};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use crate::world::{World, any, options, request, soon};

const PAGE: &str = "https://chat.example";

/// A browser's connection; it blocks, so it is used on a thread of its own.
struct Browser(WebSocket<StreamOwned<ClientConnection, TcpStream>>);

async fn world(limits: EdgeLimits) -> World {
    let ca = DevCa::new("test", service::clock::wall()).unwrap();
    let identity = ca.issue(&["sip.example.net"]).unwrap();
    let tls = server_config(&identity, ClientAuth::None, &[]).unwrap();
    let (edge, events) = Edge::new(limits);
    let listen = Listen::WebSocket { tls, origins: [PAGE.to_owned()].into() };
    let address = edge.listen(any(), listen).await.unwrap();
    World { ca, edge, events, address }
}

/// Does what blocks.
async fn apart<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    soon(tokio::task::spawn_blocking(what)).await.unwrap()
}

impl Browser {
    async fn connect(world: &World) -> Self {
        Self::page(world, PAGE, Some("sip")).await.unwrap()
    }

    /// As a page of this origin, offering this sub-protocol. The status if it is turned away.
    async fn page(
        world: &World,
        origin: &'static str,
        protocol: Option<&'static str>,
    ) -> Result<Self, u16> {
        let (config, address) = (world.client_tls(), world.address);
        let connected = move || Self::dial(config, address, origin, protocol);
        apart(connected).await
    }

    fn dial(
        config: Arc<ClientConfig>,
        address: std::net::SocketAddr,
        origin: &str,
        protocol: Option<&str>,
    ) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).unwrap();
        let name = ServerName::try_from("sip.example.net").unwrap();
        let tls = StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream);
        let request = ClientRequestBuilder::new("wss://sip.example.net/".parse().unwrap());
        let request = request.with_header("Origin", origin);
        let request = match protocol {
            Some(protocol) => request.with_sub_protocol(protocol),
            None => request,
        };
        let large = WebSocketConfig::default().max_message_size(Some(1 << 25));
        match tungstenite::client::client_with_config(request, tls, Some(large)) {
            Ok((socket, response)) => {
                let chosen = response.headers().get("sec-websocket-protocol");
                assert_eq!(chosen.unwrap(), "sip", "RFC 7118, 4.1");
                Ok(Self(socket))
            }
            Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(other) => panic!("{other}"),
        }
    }

    async fn say(mut self, messages: Vec<Message>) -> Self {
        apart(move || {
            for message in messages {
                self.0.send(message).unwrap();
            }
            self
        })
        .await
    }

    /// The next message that is no ping or pong, or how the connection was closed.
    async fn hear(mut self) -> (Self, Result<Bytes, Option<u16>>) {
        apart(move || {
            let heard = loop {
                match self.0.read() {
                    Ok(Message::Text(text)) => break Ok(text.into()),
                    Ok(Message::Binary(octets)) => break Ok(octets),
                    Ok(Message::Close(frame)) => break Err(frame.map(|frame| frame.code.into())),
                    Ok(_) => {}
                    Err(_) => break Err(None),
                }
            };
            (self, heard)
        })
        .await
    }
}

/// A request as browsers send it: without Content-Length.
fn lean(number: u32) -> String {
    let text = String::from_utf8(options(number).to_bytes().to_vec()).unwrap();
    text.replace("Content-Length: 0\r\n", "")
}

#[tokio::test]
async fn rfc7118_s5_each_message_is_one_sip_message_both_ways() {
    let mut world = world(EdgeLimits::default()).await;
    let browser = Browser::connect(&world).await;
    let EdgeEvent::Opened { flow, peer } = world.event().await else { panic!("not opened") };
    assert_eq!((peer.security.transport(), peer.security), ("WSS", Security::WebSocket));

    let mut browser = browser.say((1..=3).map(|n| Message::text(lean(n))).collect()).await;
    for number in 1..=3 {
        let (from, Sip::Request(asked)) = world.message().await else { panic!("no request") };
        assert_eq!((from, asked.headers.cseq().unwrap().number), (flow, number));
        world.edge.send(flow, Response::to(&asked, Status::OK).to_bytes());
    }

    for number in 1..=3 {
        let heard;
        (browser, heard) = browser.hear().await;
        let heard = String::from_utf8(heard.unwrap().to_vec()).unwrap();
        assert!(heard.starts_with("SIP/2.0 200 OK\r\n") && heard.ends_with("\r\n\r\n"), "{heard}");
        assert_eq!(heard.matches("SIP/2.0 200").count(), 1);
        assert!(heard.contains(&format!("CSeq: {number} OPTIONS\r\n")), "{heard}");
    }
    drop(browser);
    assert_eq!(world.closed().await, (flow, Closed::ByPeer));
}

#[tokio::test]
async fn rfc7118_s5_a_body_of_1_mib_of_any_bytes_passes_both_ways() {
    let mut world = world(EdgeLimits::default()).await;
    let browser = Browser::connect(&world).await;
    let flow = world.opened().await;
    let body: Vec<u8> = (0..1u32 << 20).map(|at| (at * 31 % 251) as u8).collect();
    let sent = request("MESSAGE", 1).with_body("application/octet-stream", body);

    let browser = browser.say(vec![Message::binary(sent.to_bytes())]).await;
    let (_, received) = world.message().await;
    assert!(received == Sip::Request(sent.clone()));
    world.edge.send(flow, received.to_bytes());

    let (_, heard) = browser.hear().await;
    assert!(heard.unwrap() == sent.to_bytes());
}

#[tokio::test]
async fn rfc7118_s6_keep_alives_of_either_kind_are_answered_and_are_no_messages() {
    let mut world = world(EdgeLimits::default()).await;
    let browser = Browser::connect(&world).await;
    let flow = world.opened().await;

    let quiet = [Message::text(""), Message::text("\r\n"), Message::Ping(Bytes::from_static(b"x"))];
    let browser = browser.say(quiet.into()).await;
    let (browser, heard) = browser.say(vec![Message::text("\r\n\r\n")]).await.hear().await;
    assert_eq!(heard.unwrap(), "\r\n");

    let _browser = browser.say(vec![Message::text(lean(9))]).await;
    let (from, message) = world.message().await;
    assert_eq!((from, message.headers().cseq().unwrap().number), (flow, 9));
}

#[tokio::test]
async fn rfc7118_s5_two_messages_in_one_or_a_half_end_the_connection_and_harm_nobody() {
    let mut world = world(EdgeLimits::default()).await;
    let whole = String::from_utf8(options(1).to_bytes().to_vec()).unwrap();
    let neighbour = Browser::connect(&world).await;
    let beside = world.opened().await;
    for wrong in [whole.repeat(2), whole.replace("\r\n\r\n", "\r\n"), lean(1) + &whole] {
        let browser = Browser::connect(&world).await;
        let flow = world.opened().await;

        // A message without Content-Length ends where the WebSocket's does: what follows its head is its body.
        let is_body = wrong.starts_with(&lean(1));
        let browser = browser.say(vec![Message::text(wrong)]).await;
        if is_body {
            let (_, Sip::Request(asked)) = world.message().await else { panic!("no request") };
            assert_eq!(asked.body, whole);
            drop(browser);
            assert_eq!(world.closed().await, (flow, Closed::ByPeer));
        } else {
            assert_eq!(browser.hear().await.1, Err(Some(1002)));
            assert_eq!(world.closed().await, (flow, Closed::Malformed));
        }
    }
    let _neighbour = neighbour.say(vec![Message::text(lean(2))]).await;
    assert_eq!(world.message().await.0, beside);
}

#[tokio::test]
async fn rfc7118_s4_1_who_does_not_offer_sip_or_comes_from_another_page_is_turned_away() {
    let mut world = world(EdgeLimits::default()).await;
    for (origin, protocol, status) in
        [(PAGE, None, 400), (PAGE, Some("msrp"), 400), ("https://evil.example", Some("sip"), 403)]
    {
        let refused = Browser::page(&world, origin, protocol).await;

        assert_eq!(refused.err(), Some(status));
        assert_eq!(world.refused().await, Refused::Handshake);
    }
    assert_eq!(world.edge.flows(), 0);
}

#[tokio::test]
async fn a_message_larger_than_any_sip_message_ends_the_connection_with_1009() {
    let mut limits = EdgeLimits::default();
    limits.message_limits.body_bytes_max = 1 << 16;
    let mut world = world(limits).await;
    let browser = Browser::connect(&world).await;
    let flow = world.opened().await;
    let large = request("MESSAGE", 1).with_body("text/plain", vec![b'x'; 1 << 18]);

    let browser = browser.say(vec![Message::binary(large.to_bytes())]).await;

    assert_eq!(browser.hear().await.1, Err(Some(1009)));
    assert_eq!(world.closed().await, (flow, Closed::Malformed));
}
