//! Relays with AUTH, focuses that know alice, and clients that have logged in.
#![expect(unreachable_pub, reason = "a module of one test")]
use std::sync::Arc;

use control::{AuthAnswer, AuthAsked, Notice, Order};
use mrfp::Config;
use msrp::Head;

use crate::client::{self, Client, hash, prove};
use crate::common::{Stage, soon};

/// What a client writes to log in: the relay's name, and no port (RFC 4976, 8).
pub const RELAY: &str = "msrps://alice@localhost;tcp";

fn switch_on(config: &mut Config) {
    config.relay.enabled = true;
    config.relay.realm = "example.net".into();
    config.relay.host = Some("localhost".into());
}

/// A relay with AUTH, and a focus that knows alice.
pub struct World {
    pub stage: Stage,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let stage = Stage::with(|config| {
            switch_on(config);
            change(config);
        });
        Self { stage: stage.await }
    }

    /// A relay that may dial others of its authority: that of `other`, if there is one.
    pub async fn linked(other: Option<&Self>) -> Self {
        Self::linked_with(other, |_| {}).await
    }

    pub async fn linked_with(other: Option<&Self>, more: impl FnOnce(&mut Config)) -> Self {
        let change = |config: &mut Config| {
            switch_on(config);
            config.msrp.peer_ca_file = Some(config.control.ca_file.clone());
            config.relay.next_hops = vec!["localhost".into()];
            config.relay.private_next_hops = true;
            more(config);
        };
        match other {
            Some(other) => Self { stage: Stage::under(Arc::clone(&other.stage.ca), change).await },
            None => Self { stage: Stage::with(change).await },
        }
    }

    pub async fn client(&self, name: &str) -> Client {
        Client::connect(&self.stage.ca, self.stage.msrp, name).await
    }

    /// The question the relay asks next.
    pub async fn asked(&mut self) -> AuthAsked {
        let asked = self.stage.focus.notice(|notice| match notice {
            Notice::AuthAsked(asked) => Some(asked.clone()),
            _ => None,
        });
        soon("the question", asked).await
    }

    /// Answers the next question as the focus does: alice's password is `secret`.
    pub async fn judge(&mut self) {
        let asked = self.asked().await;
        let AuthAsked { request, username, realm, nonce, nc, cnonce, uri, method, .. } = &asked;
        let ha1 = hash(&format!("{username}:{realm}:secret"));
        let proof = |method: &str| {
            let ha2 = hash(&format!("{method}:{uri}"));
            hash(&format!("{ha1}:{nonce}:{nc:08x}:{cnonce}:auth:{ha2}"))
        };
        let right = username == "alice" && asked.response == proof(method);
        let status = if right { 200 } else { 401 };
        let rspauth = if right { proof("") } else { String::new() };
        self.answer(AuthAnswer { request: *request, status, rspauth }).await;
    }

    pub async fn answer(&mut self, answer: AuthAnswer) {
        self.stage.focus.tell(Order::Auth(answer)).await;
    }

    /// Logs a client in with this password; what it is answered.
    pub async fn log_in(
        &mut self,
        client: &mut Client,
        password: &str,
        more: &[(&str, String)],
    ) -> Arc<Head> {
        client.ask(RELAY, &[]).await;
        let challenge = client.response().await.challenges().remove(0);
        let proof = prove(&challenge, RELAY, password, 1);
        let mut headers = vec![("Authorization", proof.to_wire())];
        headers.extend_from_slice(more);
        client.ask(RELAY, &headers).await;
        self.judge().await;
        client.response().await
    }

    /// A client that has logged in, and its Use-Path.
    pub async fn member(&mut self, name: &str) -> (Client, String) {
        let mut client = self.client(name).await;
        let head = self.log_in(&mut client, "secret", &[]).await;
        let use_path = head.use_path().unwrap().unwrap().to_wire();
        (client, use_path)
    }

    /// A client that has logged in, and somebody who knows its URI and has shown up: the path of each to the other.
    pub async fn pair(&mut self) -> (Client, Client, Paths) {
        let (mut alice, uri) = self.member("alice").await;
        let mut bob = self.client("bob").await;
        let paths = Paths {
            to_bob: format!("{uri} {}", bob.own),
            to_alice: format!("{uri} {}", alice.own),
            relay: uri,
        };
        let hello = client::text("hello0", "");
        bob.send(&paths.to_alice, &hello).await;
        alice.message().await;
        assert_eq!(bob.response().await.status().unwrap().code(), 200);
        (alice, bob, paths)
    }
}

/// How two reach each other over one relay.
pub struct Paths {
    pub to_bob: String,
    pub to_alice: String,
    /// Alice's URI at the relay.
    pub relay: String,
}
