//! AUTH: challenges, proofs, and the URIs they are worth.
use control::AuthAnswer;
use msrp::{Credentials, DigestAlgorithm};

use crate::client::{Client, hash, prove, text};
use crate::common::{PATIENCE, Stage, soon};
use crate::world::{RELAY, World};

#[tokio::test]
async fn m4976_02_an_auth_without_a_proof_is_asked_for_one_with_sha_256_and_md5() {
    let world = World::new().await;
    let mut alice = world.client("alice").await;

    alice.ask(RELAY, &[]).await;
    let head = alice.response().await;

    assert_eq!(head.status().unwrap().code(), 401);
    assert_eq!(head.to_path().to_wire(), alice.own);
    assert_eq!(head.from_path().to_wire(), RELAY);
    let challenges = head.challenges();
    let offered: Vec<_> = challenges.iter().map(|challenge| challenge.algorithm).collect();
    assert_eq!(offered, [DigestAlgorithm::Sha256, DigestAlgorithm::Md5]);
    assert!(challenges.iter().all(|c| c.realm == "example.net" && !c.stale));
    assert_ne!(challenges[0].nonce, challenges[1].nonce);
}

#[tokio::test]
async fn m4976_02_md5_is_not_offered_where_it_is_switched_off() {
    let world = World::with(|config| config.relay.md5 = false).await;
    let mut alice = world.client("alice").await;

    alice.ask(RELAY, &[]).await;

    let challenges = alice.response().await.challenges();
    assert_eq!(challenges.len(), 1);
    assert_eq!(challenges[0].algorithm, DigestAlgorithm::Sha256);
}

#[tokio::test]
async fn m4976_01_a_right_proof_gets_a_uri_with_a_name_a_port_and_128_random_bits() {
    let mut world = World::new().await;
    let mut alice = world.client("alice").await;

    let first = world.log_in(&mut alice, "secret", &[]).await;
    let second = world.log_in(&mut alice, "secret", &[]).await;

    assert_eq!(first.status().unwrap().code(), 200);
    let (first, second) = (first.use_path().unwrap().unwrap(), second.use_path().unwrap().unwrap());
    for path in [&first, &second] {
        assert_eq!((path.len(), path.first().host()), (1, "localhost"));
        assert_eq!(path.first().port(), Some(world.stage.msrp.port()));
        // 22 characters of 6 bits each, but for the first.
        assert_eq!(path.first().session_id().unwrap().len(), 22);
    }
    assert_ne!(first, second);
}

#[tokio::test]
async fn m4976_03_the_200_proves_that_our_side_knows_the_password_and_the_next_auth_needs_no_challenge()
 {
    let mut world = World::new().await;
    let mut alice = world.client("alice").await;
    alice.ask(RELAY, &[]).await;
    let challenge = alice.response().await.challenges().remove(0);
    alice.ask(RELAY, &[("Authorization", prove(&challenge, RELAY, "secret", 1).to_wire())]).await;
    world.judge().await;

    let info = alice.response().await.authentication_info().unwrap();

    let (ha1, ha2) = (hash("alice:example.net:secret"), hash(&format!(":{RELAY}")));
    let nonce = &challenge.nonce;
    assert_eq!(info.rspauth, hash(&format!("{ha1}:{nonce}:00000001:c1:auth:{ha2}")));
    assert_eq!((info.cnonce.as_str(), info.nc), ("c1", 1));
    let next = msrp::Challenge { nonce: info.nextnonce.unwrap(), ..challenge };
    alice.ask(RELAY, &[("Authorization", prove(&next, RELAY, "secret", 1).to_wire())]).await;
    world.judge().await;
    assert_eq!(alice.response().await.status().unwrap().code(), 200);
}

#[tokio::test]
async fn m4976_03_a_proof_made_for_another_uri_is_none_whatever_its_uri_parameter_says() {
    let mut world = World::new().await;
    let mut alice = world.client("alice").await;
    alice.ask(RELAY, &[]).await;
    let challenge = alice.response().await.challenges().remove(0);
    let other = "msrps://other.example;tcp";
    let proof = prove(&challenge, other, "secret", 1).to_wire();

    alice.ask(RELAY, &[("Authorization", format!("{proof}, uri=\"{other}\""))]).await;
    world.judge().await;

    assert_eq!(alice.response().await.status().unwrap().code(), 401);
}

#[tokio::test]
async fn m4976_04_a_wrong_password_is_asked_again_and_is_not_stale() {
    let mut world = World::new().await;
    let mut alice = world.client("alice").await;

    let head = world.log_in(&mut alice, "guess", &[]).await;

    assert_eq!(head.status().unwrap().code(), 401);
    assert!(head.challenges().iter().all(|challenge| !challenge.stale));
    assert!(head.use_path().is_none());
}

#[tokio::test]
async fn m4976_04_a_proof_is_good_once_also_on_another_connection() {
    let mut world = World::new().await;
    let (mut alice, mut mallory) = (world.client("alice").await, world.client("mallory").await);
    alice.ask(RELAY, &[]).await;
    let challenge = alice.response().await.challenges().remove(0);
    let proof = prove(&challenge, RELAY, "secret", 1).to_wire();
    alice.ask(RELAY, &[("Authorization", proof.clone())]).await;
    world.judge().await;
    assert_eq!(alice.response().await.status().unwrap().code(), 200);

    mallory.ask(RELAY, &[("Authorization", proof)]).await;
    world.judge().await;
    let head = mallory.response().await;

    assert_eq!(head.status().unwrap().code(), 401);
    assert!(head.challenges().iter().all(|challenge| challenge.stale));
}

#[tokio::test]
async fn m4976_04_who_the_focus_does_not_let_in_gets_403() {
    let mut world = World::new().await;
    let mut alice = world.client("alice").await;
    alice.ask(RELAY, &[]).await;
    let challenge = alice.response().await.challenges().remove(0);
    alice.ask(RELAY, &[("Authorization", prove(&challenge, RELAY, "secret", 1).to_wire())]).await;

    let request = world.asked().await.request;
    world.answer(AuthAnswer { request, status: 403, rspauth: String::new() }).await;

    assert_eq!(alice.response().await.status().unwrap().code(), 403);
}

#[tokio::test]
async fn m4976_05_the_life_of_a_uri_is_told_and_one_out_of_bounds_gets_423() {
    let mut world = World::new().await;
    let mut alice = world.client("alice").await;

    let granted = world.log_in(&mut alice, "secret", &[("Expires", "900".into())]).await;
    let short = world.log_in(&mut alice, "secret", &[("Expires", "1".into())]).await;
    let long = world.log_in(&mut alice, "secret", &[("Expires", "86401".into())]).await;

    assert_eq!((granted.status().unwrap().code(), granted.expires()), (200, Some(900)));
    assert_eq!((short.status().unwrap().code(), short.min_expires()), (423, Some(60)));
    assert_eq!((long.status().unwrap().code(), long.max_expires()), (423, Some(86_400)));
}

#[tokio::test]
async fn m4976_05_a_uri_dies_when_its_time_is_over_and_another_lives_on() {
    let mut world = World::with(|config| config.relay.expires_secs_min = 1).await;
    let mut alice = world.client("alice").await;
    let path = |head: &msrp::Head| head.use_path().unwrap().unwrap().to_wire();
    let short = path(&*world.log_in(&mut alice, "secret", &[("Expires", "1".into())]).await);
    let long = path(&*world.log_in(&mut alice, "secret", &[]).await);
    let mut bob = world.client("bob").await;

    let began = service::clock::now();
    for n in 0.. {
        bob.send(&format!("{short} {}", alice.own), &text(&format!("short{n}"), "x")).await;
        if bob.response().await.status().unwrap().code() == 481 {
            break;
        }
        alice.message().await;
        assert!(began.elapsed() < PATIENCE, "it lives too long");
    }

    assert!(began.elapsed().as_millis() < 3000);
    bob.send(&format!("{long} {}", alice.own), &text("long1", "x")).await;
    assert_eq!(bob.response().await.status().unwrap().code(), 200);
    assert_eq!(alice.message().await.1, "x");
}

#[tokio::test]
async fn m4976_06_a_uri_dies_with_the_connection_it_was_given_on() {
    let mut world = World::new().await;
    let (alice, uri) = world.member("alice").await;
    let own = alice.own.clone();
    drop(alice);
    let mut again = world.client("alice").await;
    let mut bob = world.client("bob").await;

    // The relay learns of the end when it reads it.
    let began = service::clock::now();
    let mut status = 0;
    while status != 481 && began.elapsed() < PATIENCE {
        bob.send(&format!("{uri} {own}"), &text("first1", "x")).await;
        let head = bob.next().await;
        if let Some(msrp::Item::Response(head)) = head {
            status = head.status().unwrap().code();
        }
    }
    again.send(&format!("{uri} {}", bob.own), &text("mine1", "x")).await;

    assert_eq!(status, 481);
    assert_eq!(again.response().await.status().unwrap().code(), 481);
}

#[tokio::test]
async fn m4976_07_who_guesses_five_times_is_cut_off() {
    // Nothing else ends the connection.
    let mut world = World::with(|config| config.limits.first_request_secs = 3600).await;
    let mut mallory = world.client("mallory").await;

    for guess in ["a", "b", "c", "d", "e"] {
        let head = world.log_in(&mut mallory, guess, &[]).await;
        assert_eq!(head.status().unwrap().code(), 401);
    }

    assert!(mallory.next().await.is_none());
    assert_eq!(world.stage.metric("mrfp_auth_requests_total{result=\"wrong\"}").await, 5.0);
    assert_eq!(world.stage.metric("mrfp_auth_requests_total{result=\"challenged\"}").await, 5.0);
}

#[tokio::test]
async fn an_auth_waits_for_a_focus_only_so_long() {
    let mut world = World::with(|config| config.relay.focus_secs = 1).await;
    let mut alice = world.client("alice").await;
    alice.ask(RELAY, &[]).await;
    let challenge = alice.response().await.challenges().remove(0);
    let proof = |nc| [("Authorization", prove(&challenge, RELAY, "secret", nc).to_wire())];

    alice.ask(RELAY, &proof(1)).await;
    let late = world.asked().await.request;
    assert_eq!(alice.response().await.status().unwrap().code(), 408);

    // What comes now is nobody's.
    world.answer(AuthAnswer { request: late, status: 200, rspauth: "f00d".into() }).await;
    alice.ask(RELAY, &proof(2)).await;
    world.judge().await;
    assert_eq!(alice.response().await.status().unwrap().code(), 200);
}

#[tokio::test]
async fn an_auth_for_somebody_else_or_of_another_scheme_gets_nothing() {
    let world = World::new().await;
    let mut alice = world.client("alice").await;

    alice.ask("msrps://alice@other.example;tcp", &[]).await;
    assert_eq!(alice.response().await.status().unwrap().code(), 481);
    alice.ask(RELAY, &[("Authorization", "Basic YWxpY2U6c2VjcmV0".into())]).await;
    assert_eq!(alice.response().await.status().unwrap().code(), 401);
}

#[tokio::test]
async fn a_relay_that_is_not_switched_on_knows_no_auth_and_passes_nothing_on() {
    let stage = Stage::new().await;
    let mut alice = Client::connect(&stage.ca, stage.msrp, "alice").await;

    alice.ask(RELAY, &[]).await;
    assert_eq!(alice.response().await.status().unwrap().code(), 501);
    alice.send("msrps://localhost:1/x;tcp msrps://bob.example:9/b;tcp", &text("msg1", "x")).await;
    assert_eq!(alice.response().await.status().unwrap().code(), 481);
}

#[tokio::test]
async fn m4976_04_credentials_of_another_realm_are_none() {
    let world = World::new().await;
    let mut alice = world.client("alice").await;
    alice.ask(RELAY, &[]).await;
    let challenge = alice.response().await.challenges().remove(0);
    let proof = prove(&challenge, RELAY, "secret", 1);
    let elsewhere = Credentials { realm: "example.org".into(), ..proof };

    alice.ask(RELAY, &[("Authorization", elsewhere.to_wire())]).await;

    assert_eq!(alice.response().await.status().unwrap().code(), 401);
}

#[tokio::test]
async fn a_drain_waits_for_the_answer_to_what_has_passed_and_not_for_who_is_logged_in() {
    let mut world = World::with(|config| config.drain.timeout_secs = 600).await;
    let (mut alice, mut bob, paths) = world.pair().await;
    alice.send(&paths.to_bob, &text("msg1", "Hi")).await;
    let chunk = bob.request().await;
    assert_eq!(alice.response().await.status().unwrap().code(), 200);

    world.stage.shutdown.trigger();
    assert_eq!(soon("the notice", world.stage.focus.notice(left)).await, 1);
    assert!(!world.stage.served.is_finished(), "bob has not answered");
    bob.reply(&chunk.head, msrp::Status::OK).await;

    assert_eq!(soon("the notice", world.stage.focus.notice(left)).await, 0);
    soon("the end", &mut world.stage.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_waits_for_the_rest_of_a_message_that_passes_through() {
    let mut world = World::with(|config| config.drain.timeout_secs = 600).await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let whole = text("msg1", &"x".repeat(6000));
    let (first, next) = whole.chunk(0, 3000);
    let (rest, _) = whole.chunk(next.unwrap(), 3000);
    alice.send(&paths.to_bob, &first).await;
    let chunk = bob.request().await;
    bob.reply(&chunk.head, msrp::Status::OK).await;

    world.stage.shutdown.trigger();
    assert_eq!(soon("the notice", world.stage.focus.notice(left)).await, 1);
    alice.send(&paths.to_bob, &rest).await;
    assert_eq!(bob.message().await.1.len(), 3000);

    assert_eq!(soon("the notice", world.stage.focus.notice(left)).await, 0);
    soon("the end", &mut world.stage.served).await.unwrap().unwrap();
}

fn left(notice: &control::Notice) -> Option<u64> {
    match notice {
        control::Notice::Draining { sessions } => Some(*sessions),
        _ => None,
    }
}
