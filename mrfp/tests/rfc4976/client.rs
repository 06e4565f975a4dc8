//! A client of a relay, by hand: TLS and MSRP, and digest made with a library of its own.
#![expect(unreachable_pub, reason = "a module of one test")]
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::{Bytes, BytesMut};
use msrp::{
    Body, Challenge, Chunk, Credentials, Decoder, DigestAlgorithm, Head, Item, MessageId, Path,
    Reply, Request, SendRequest, Status, TransactionId,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls::pki_types::ServerName;
use service::tls::{DevCa, Identity, Trust, client_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::common::soon;

pub struct Client {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    input: BytesMut,
    /// Over WebSocket: what has come of the next frame.
    frames: Option<BytesMut>,
    pub rng: StdRng,
    /// Its own URI.
    pub own: String,
    last: u32,
}

impl Client {
    pub async fn connect(ca: &DevCa, relay: SocketAddr, name: &str) -> Self {
        Self::connect_as(ca, relay, name, None).await
    }

    pub async fn connect_as(
        ca: &DevCa,
        relay: SocketAddr,
        name: &str,
        identity: Option<&Identity>,
    ) -> Self {
        let config = client_config(Trust::Roots(ca.roots().unwrap()), identity, &[]).unwrap();
        let socket = TcpStream::connect(relay).await.unwrap();
        let server = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(config).connect(server, socket).await.unwrap();
        Self {
            stream,
            decoder: Decoder::default(),
            input: BytesMut::new(),
            frames: None,
            rng: StdRng::seed_from_u64(u64::from(relay.port())),
            own: format!("msrps://{name}.example:9/{name};tcp"),
            last: 0,
        }
    }

    /// The same over WebSocket, as a page of this origin (RFC 7977).
    pub async fn browser(ca: &DevCa, relay: SocketAddr, name: &str, origin: &str) -> Self {
        let mut client = Self::connect(ca, relay, name).await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: msrp\r\nOrigin: {origin}\r\n\r\n"
        );
        client.raw(request.as_bytes()).await;
        let (mut response, end) = (Vec::new(), b"\r\n\r\n");
        while !response.ends_with(end) {
            response.push(soon("the handshake", client.stream.read_u8()).await.unwrap());
        }
        assert!(response.starts_with(b"HTTP/1.1 101 "));
        client.frames = Some(BytesMut::new());
        client.own = format!("msrps://df7jal23ls0d.invalid:9/{name};ws");
        client
    }

    pub async fn raw(&mut self, octets: &[u8]) {
        if self.frames.is_some() {
            // RFC 6455, 5.2: one binary message in one frame, masked with zeros.
            let mut head = vec![0x82, 0xfe];
            head.extend(u16::try_from(octets.len()).unwrap().to_be_bytes());
            head.extend([0; 4]);
            self.stream.write_all(&head).await.unwrap();
        }
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next message; none when the relay has closed.
    pub async fn next(&mut self) -> Option<Item> {
        soon("the next message", self.read()).await
    }

    async fn read(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.decoder.next(&mut self.input).unwrap() {
                return Some(item);
            }
            if self.unframe() {
                continue;
            }
            let input = self.frames.as_mut().unwrap_or(&mut self.input);
            input.reserve(64 * 1024);
            match self.stream.read_buf(input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Takes the next frame of the server, which masks nothing.
    fn unframe(&mut self) -> bool {
        let Some(frames) = &mut self.frames else { return false };
        let (head, octets) = match frames.get(..4) {
            Some([_, length @ 0..=125, ..]) => (2, usize::from(*length)),
            Some([_, 126, high, low]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return false,
        };
        if frames.len() < head + octets {
            return false;
        }
        drop(frames.split_to(head));
        self.input.extend_from_slice(&frames.split_to(octets));
        true
    }

    /// The next message, which is a response.
    pub async fn response(&mut self) -> Arc<Head> {
        match self.next().await {
            Some(Item::Response(head)) => head,
            other => panic!("no response: {other:?}"),
        }
    }

    /// The next message, which is a request, or a piece of one.
    pub async fn request(&mut self) -> Chunk {
        match self.next().await {
            Some(Item::Request(chunk)) => chunk,
            other => panic!("no request: {other:?}"),
        }
    }

    fn id(&mut self) -> TransactionId {
        self.last += 1;
        TransactionId::parse(format!("tid{:05}", self.last).as_bytes()).unwrap()
    }

    /// Sends an AUTH.
    pub async fn ask(&mut self, to: &str, headers: &[(&str, String)]) {
        let (to, from): (Path, Path) = (to.parse().unwrap(), self.own.parse().unwrap());
        let request = Request::new(msrp::Method::Auth, &to, &from);
        let request = headers.iter().fold(request, |r, (name, value)| r.header(name, value));
        let frame = request.encode(self.id());
        self.raw(&frame.to_bytes()).await;
    }

    /// Sends a request along this path.
    pub async fn send(&mut self, to: &str, send: &SendRequest) -> TransactionId {
        let address = msrp::Address::new(&to.parse().unwrap(), &self.own.parse().unwrap());
        let frame = send.encode(&mut self.rng).to(&address);
        self.raw(&frame.to_bytes()).await;
        frame.payload.transaction()
    }

    /// Answers a request.
    pub async fn reply(&mut self, head: &Head, status: Status) {
        let reply = Reply::new(head, status).and_then(|reply| reply.encode());
        if let Some(frame) = reply {
            self.raw(&frame.to_bytes()).await;
        }
    }

    /// The next request is a whole message, and answered; what it holds.
    pub async fn message(&mut self) -> (Arc<Head>, Bytes) {
        let mut body = Body::new();
        loop {
            let chunk = self.request().await;
            body.append(&chunk.body);
            if chunk.end.is_some() {
                self.reply(&chunk.head, Status::OK).await;
            }
            if chunk.end == Some(msrp::Flag::End) {
                return (chunk.head, body.gather());
            }
        }
    }
}

/// A whole message of text.
pub fn text(id: &str, text: &str) -> SendRequest {
    let body = Body::from(Bytes::copy_from_slice(text.as_bytes()));
    SendRequest::whole(MessageId::parse(id.as_bytes()).unwrap(), "text/plain", body)
}

/// SHA-256 in hex.
pub fn hash(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// RFC 7616, 3.4.1, by hand: `uri` is what the client takes for the rightmost URI of To-Path.
pub fn prove(challenge: &Challenge, uri: &str, password: &str, nc: u32) -> Credentials {
    assert_eq!(challenge.algorithm, DigestAlgorithm::Sha256);
    let Challenge { realm, nonce, algorithm, .. } = challenge.clone();
    let ha1 = hash(&format!("alice:{realm}:{password}"));
    let ha2 = hash(&format!("AUTH:{uri}"));
    let response = hash(&format!("{ha1}:{nonce}:{nc:08x}:c1:auth:{ha2}"));
    let (username, cnonce) = ("alice".into(), "c1".into());
    Credentials { username, realm, nonce, algorithm, cnonce, nc, response }
}
