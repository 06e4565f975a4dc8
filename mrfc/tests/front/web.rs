//! An HTTPS client that does one request per connection, with or without a proof of who asks.
use std::net::SocketAddr;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustls::pki_types::ServerName;
use service::tls::{self, Identity, Trust};
use sip::digest::Login;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::{DOMAIN, World, password};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `what` of an error.
    pub(crate) fn what(&self) -> String {
        let words: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        for key in ["title", "what", "where", "mend"] {
            assert!(words[key].is_string(), "an error without {key}: {words}");
        }
        assert_eq!(words["status"], self.status);
        assert!(
            self.headers.contains("content-type: application/problem+json"),
            "{}",
            self.headers
        );
        words["what"].as_str().unwrap().to_owned()
    }
}

/// Asks as this user: once without, once with a proof.
pub(crate) async fn ask(
    world: &World,
    user: &str,
    method: &str,
    path: &str,
    body: &[u8],
) -> Answer {
    let mut login = Login::new(user, &password(user));
    ask_with(world, &mut login, method, path, body).await
}

/// The same with a body that says it is JSON.
pub(crate) async fn ask_json(
    world: &World,
    user: &str,
    method: &str,
    path: &str,
    body: &[u8],
) -> Answer {
    const JSON: &str = "Content-Type: application/json\r\n";
    let first = exchange(world, method, path, JSON, body).await;
    let challenges = first.headers.lines();
    let challenges: Vec<&str> =
        challenges.filter_map(|line| line.strip_prefix("www-authenticate: ")).collect();
    let mut login = Login::new(user, &password(user));
    login.challenged(challenges, None).unwrap();
    let proof = login.authorize(method, path, &mut StdRng::seed_from_u64(3)).unwrap();
    exchange(world, method, path, &format!("{JSON}Authorization: {proof}\r\n"), body).await
}

pub(crate) async fn ask_with(
    world: &World,
    login: &mut Login,
    method: &str,
    path: &str,
    body: &[u8],
) -> Answer {
    let first = exchange(world, method, path, "", body).await;
    if first.status != 401 {
        return first;
    }
    let challenges: Vec<&str> =
        first.headers.lines().filter_map(|line| line.strip_prefix("www-authenticate: ")).collect();
    assert!(!challenges.is_empty(), "a 401 without a challenge");
    login.challenged(challenges, None).unwrap();
    let proof = login.authorize(method, path, &mut StdRng::seed_from_u64(3)).unwrap();
    exchange(world, method, path, &format!("Authorization: {proof}\r\n"), body).await
}

/// One request as it is.
pub(crate) async fn exchange(
    world: &World,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Answer {
    exchange_at(world, world.addresses.https, None, method, path, headers, body).await
}

/// One request as it is, to one of the HTTPS listeners, from somebody who may show a certificate.
pub(crate) async fn exchange_at(
    world: &World,
    address: SocketAddr,
    identity: Option<&Identity>,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Answer {
    let config = tls::client_config(Trust::Roots(world.roots.clone()), identity, &[]).unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(DOMAIN).unwrap();
    let mut stream = TlsConnector::from(config).connect(name, socket).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that has read enough to refuse may close before it has everything.
    stream.write_all(body).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let headers = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers, body: answer[end + 4..].to_vec() }
}
