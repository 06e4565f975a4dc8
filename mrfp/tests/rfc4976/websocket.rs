//! A browser logs in and has its messages relayed (RFC 7977).
use msrp::Status;

use crate::client::{Client, prove, text};
use crate::world::World;

const ORIGIN: &str = "https://chat.example";
/// As RFC 7977, 8.1.2 has it: the name and the transport of the WebSocket.
const RELAY: &str = "msrps://alice@localhost:443;ws";

async fn world() -> World {
    World::with(|config| {
        config.msrp.websocket_listen = Some("127.0.0.1:0".parse().unwrap());
        config.msrp.websocket_origins = vec![ORIGIN.into()];
    })
    .await
}

#[tokio::test]
async fn m7977_06_a_browser_proves_its_password_by_auth_and_is_reached_over_the_uri_it_gets() {
    let mut world = world().await;
    let there = world.stage.ready.websocket.unwrap();
    let mut alice = Client::browser(&world.stage.ca, there, "alice", ORIGIN).await;

    alice.ask(RELAY, &[]).await;
    let challenge = alice.response().await.challenges().remove(0);
    let wrong = prove(&challenge, RELAY, "guessed", 1).to_wire();
    alice.ask(RELAY, &[("Authorization", wrong)]).await;
    world.judge().await;
    let again = alice.response().await;
    assert_eq!(again.status(), Some(Status::UNAUTHORIZED));
    let right = prove(&again.challenges().remove(0), RELAY, "secret", 1).to_wire();
    alice.ask(RELAY, &[("Authorization", right)]).await;
    world.judge().await;
    let head = alice.response().await;
    assert_eq!(head.status(), Some(Status::OK));
    let uri = head.use_path().unwrap().unwrap().to_wire();
    assert!(uri.ends_with(";tcp"), "others come over TLS: {uri}");

    let mut bob = world.client("bob").await;
    bob.send(&format!("{uri} {}", alice.own), &text("msg1", "to a page")).await;
    let (head, body) = alice.message().await;
    assert_eq!(body, "to a page");
    assert_eq!(head.from_path().to_wire(), format!("{uri} {}", bob.own));
    assert_eq!(bob.response().await.status(), Some(Status::OK));
    alice.send(&format!("{uri} {}", bob.own), &text("msg2", "from a page")).await;
    assert_eq!(bob.message().await.1, "from a page");
}

#[tokio::test]
async fn m7977_06_a_browser_without_a_password_passes_nothing_on() {
    let mut world = world().await;
    let there = world.stage.ready.websocket.unwrap();
    let (_alice, uri) = world.member("alice").await;
    let mut mallory = Client::browser(&world.stage.ca, there, "mallory", ORIGIN).await;

    // Alice's URI leads to alice only, and a URI of its own it has none.
    let guessed = uri.replace(";tcp", "x;tcp");
    mallory.send(&format!("{guessed} msrps://b.example:9/b;tcp"), &text("msg1", "x")).await;

    assert_eq!(mallory.response().await.status(), Some(Status::NO_SUCH_SESSION));
}
