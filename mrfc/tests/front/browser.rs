//! A browser: SIP over WebSocket (RFC 7118), spoken by a client that is not ours.
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bytes::BytesMut;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use service::tls::{self, Trust};
use sip::digest::Login;
use sip::header::Name;
use sip::{Decoder, Item, Limits, Message, Request, Response, Side, Status};
use tungstenite::WebSocket;
use tungstenite::client::ClientRequestBuilder;

use crate::messaging::{message, send};
use crate::phone::Phone;
use crate::relay::Manner;
use crate::world::{DOMAIN, World, password};

/// What a page puts where an address belongs (RFC 7118, 5.2).
const NOWHERE: &str = "df7jal23ls0d.invalid";

/// It blocks, so it is used on a thread of its own.
struct Browser(WebSocket<StreamOwned<ClientConnection, TcpStream>>);

impl Browser {
    fn connect(config: Arc<ClientConfig>, address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let name = ServerName::try_from(DOMAIN).unwrap();
        let tls = StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream);
        let uri = format!("wss://{DOMAIN}/").parse().unwrap();
        let request = ClientRequestBuilder::new(uri).with_sub_protocol("sip");
        Self(tungstenite::client(request, tls).unwrap().0)
    }

    fn say(&mut self, text: String) {
        self.0.send(tungstenite::Message::text(text)).unwrap();
    }

    fn hear(&mut self) -> Message {
        loop {
            let heard = self.0.read().unwrap();
            let mut octets = BytesMut::from(&*heard.into_data());
            let mut decoder = Decoder::new(Side::Dialled, Limits::default());
            if let Some(Item::Message(message)) = decoder.decode(&mut octets) {
                assert!(octets.is_empty(), "RFC 7118, 5: one SIP message a message");
                return message;
            }
        }
    }

    fn answer(&mut self) -> Response {
        loop {
            match self.hear() {
                Message::Response(response) if response.status.is_final() => return response,
                _ => {}
            }
        }
    }

    fn request(&mut self) -> Request {
        loop {
            if let Message::Request(request) = self.hear() {
                return request;
            }
        }
    }

    /// Registers a user of this page. No Content-Length, as browsers leave it out.
    fn register(&mut self, user: &str) -> Response {
        let register = |cseq: u8, proof: &str| {
            format!(
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/WSS {NOWHERE};branch=z9hG4bKreg{cseq}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=r\r\nTo: <sip:{user}@{DOMAIN}>\r\n\
                 Call-ID: page-of-{user}\r\nCSeq: {cseq} REGISTER\r\nSupported: path, outbound, gruu\r\n\
                 Contact: <sip:{user}@{NOWHERE};transport=ws>;reg-id=1;\
                 +sip.instance=\"<urn:uuid:00000000-0000-4000-8000-00000000beef>\"\r\n{proof}\r\n"
            )
        };
        self.say(register(1, ""));
        let challenge = self.answer();
        assert_eq!(challenge.status.code(), 401, "REG-5 holds for browsers too");
        let challenge = challenge.headers.text(&Name::WwwAuthenticate).unwrap().into_owned();
        let mut login = Login::new(user, &password(user));
        login.challenged([challenge.as_str()], None).unwrap();
        let mut rng = StdRng::seed_from_u64(11);
        let proof = login.authorize("REGISTER", &format!("sip:{DOMAIN}"), &mut rng).unwrap();
        self.say(register(2, &format!("Authorization: {proof}\r\n")));
        self.answer()
    }
}

#[tokio::test]
async fn s2_nr4_a_browser_registers_over_websocket_and_is_sent_messages_like_any_device() {
    let listen = |config: &mut mrfc::Config| {
        config.sip.websocket_listen = Some("127.0.0.1:0".parse().unwrap());
    };
    let world = World::with(Manner::Prompt, listen).await;
    let address = world.addresses.sip_websocket.unwrap();
    let config = tls::client_config(Trust::Roots(world.roots.clone()), None, &[]).unwrap();
    let page = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::connect(config, address);
        let registered = browser.register("bob");
        (browser, registered)
    });
    let (mut browser, registered) = page.await.unwrap();
    assert_eq!(registered.status, Status::OK);
    assert!(registered.headers.text(&Name::Contact).unwrap().contains("pub-gruu"));
    let mut alice = Phone::registered(&world, "alice", 1).await;

    let request = message(&mut alice, "bob", "text/plain", "grüezi".as_bytes());
    let asked = send(&alice, request);
    let page = tokio::task::spawn_blocking(move || {
        let request = browser.request();
        // Its own Via is the only thing that leads an answer back.
        browser.say(
            String::from_utf8(Response::to(&request, Status::OK).to_bytes().to_vec()).unwrap(),
        );
        request
    });
    let copy = page.await.unwrap();

    assert_eq!(copy.body, "grüezi");
    assert_eq!(copy.uri.to_string(), format!("sip:bob@{NOWHERE};transport=ws"));
    assert!(copy.headers.text(&Name::Via).unwrap().starts_with("SIP/2.0/WSS "));
    assert_eq!(asked.await.unwrap().status, Status::OK);
}
