//! A TLS connection to the MRFC that says any octets at all, right or wrong, and reads what comes back.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use service::tls::{self, Trust};
use sip::digest::Login;
use sip::header::Name;
use sip::{Decoder, Item, Limits, Message, Response, Side};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{DOMAIN, World, password};

/// Longer than any answer takes, shorter than any test may.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Raw {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    buffer: BytesMut,
}

impl Raw {
    pub(crate) async fn connect(world: &World) -> Self {
        Self::to(world.addresses.sip, world.roots.clone()).await
    }

    /// A connection to an MRFC of another process.
    pub(crate) async fn to(address: SocketAddr, roots: Arc<RootCertStore>) -> Self {
        let trust = Trust::Roots(roots);
        let connector = TlsConnector::from(tls::client_config(trust, None, &[]).unwrap());
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(DOMAIN).unwrap();
        let stream = connector.connect(name, tcp).await.unwrap();
        let decoder = Decoder::new(Side::Dialled, Limits::default());
        Self { stream, decoder, buffer: BytesMut::new() }
    }

    /// A connection whose requests need no further proof: this user has registered on it.
    pub(crate) async fn registered(world: &World, user: &str) -> Self {
        let mut raw = Self::connect(world).await;
        let register = |cseq: u8, proof: &str| {
            format!(
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS raw.invalid;branch=z9hG4bKreg{cseq}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=r\r\nTo: <sip:{user}@{DOMAIN}>\r\n\
                 Call-ID: registration of {user}\r\nCSeq: {cseq} REGISTER\r\n\
                 Contact: <sip:{user}@raw.invalid>\r\n{proof}Content-Length: 0\r\n\r\n"
            )
            .replace("registration of ", "registration-")
        };
        raw.say(register(1, "").as_bytes()).await;
        let challenge = raw.hear().await.unwrap();
        let challenge = challenge.headers.text(&Name::WwwAuthenticate).unwrap().into_owned();
        let mut login = Login::new(user, &password(user));
        login.challenged([challenge.as_str()], None).unwrap();
        let mut rng = StdRng::seed_from_u64(11);
        let proof = login.authorize("REGISTER", &format!("sip:{DOMAIN}"), &mut rng).unwrap();
        raw.say(register(2, &format!("Authorization: {proof}\r\n")).as_bytes()).await;
        assert_eq!(raw.hear().await.unwrap().status.code(), 200);
        raw
    }

    pub(crate) async fn say(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next final response; `None` once the connection is closed.
    pub(crate) async fn hear(&mut self) -> Option<Response> {
        let response = tokio::time::timeout(PATIENCE, self.final_response()).await;
        response.expect("an answer in time")
    }

    /// The code of the next final response, also of one that repeats what is wrong in its request.
    pub(crate) async fn code(&mut self, what: &str) -> Option<u16> {
        let code = tokio::time::timeout(PATIENCE, self.final_code()).await;
        code.unwrap_or_else(|_| panic!("no answer to {what} in time"))
    }

    async fn final_code(&mut self) -> Option<u16> {
        loop {
            let end = self.buffer.windows(4).position(|octets| octets == b"\r\n\r\n");
            if let Some(end) = end {
                // None of these answers has a body.
                let head = self.buffer.split_to(end + 4);
                let code = std::str::from_utf8(&head[8..11]).unwrap().parse().unwrap();
                if code >= 200 {
                    return Some(code);
                }
            } else if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return None;
            }
        }
    }

    async fn final_response(&mut self) -> Option<Response> {
        loop {
            while let Some(item) = self.decoder.decode(&mut self.buffer) {
                if let Item::Message(Message::Response(response)) = item
                    && response.status.is_final()
                {
                    return Some(response);
                }
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(octets) if octets > 0 => {}
                _ => return None,
            }
        }
    }
}
