//! What is kept of registrations: the audit of attempts, and what a restarted MRFC still knows.
use sip::Status;
use sip::header::Name;

use crate::phone::Phone;
use crate::relay::Manner;
use crate::world::{DOMAIN, World, password};

/// S2-OS6.
#[tokio::test]
async fn s2_ns1_each_attempt_is_noted_with_its_result_and_without_a_credential() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut mallory = Phone::connect(&world, "mallory", 1).await;
    mallory.forget_password();
    assert_eq!(mallory.register(3_600).await.status.code(), 401);
    assert_eq!(alice.register(0).await.status.code(), 200);

    let attempts = world.attempts(3).await;

    let lines: Vec<(String, &str, u16)> =
        attempts.iter().map(|a| (a.aor.clone(), a.result.as_str(), a.status)).collect();
    let expected = [
        (format!("sip:alice@{DOMAIN}"), "removed", 200),
        (format!("sip:mallory@{DOMAIN}"), "wrong", 401),
        (format!("sip:alice@{DOMAIN}"), "registered", 200),
    ];
    assert_eq!(lines, expected);
    assert!(attempts.iter().all(|a| a.source.starts_with("127.0.0.1:") && a.access == "tls"));
    assert_eq!(attempts[0].device.as_deref(), Some(alice.device.as_str()));
    let disk = world.octets_on_disk();
    let holds = |text: &str| disk.windows(text.len()).any(|octets| octets == text.as_bytes());
    assert!(holds("sip:mallory@example.net") && !holds("nonce=") && !holds(&password("alice")));
}

#[tokio::test]
async fn s2_ns1_switched_off_nothing_is_noted() {
    let mut world = World::with(Manner::Prompt, |config| config.registration.audit = false).await;
    Phone::registered(&world, "alice", 1).await;
    // A stop writes everything that waits.
    world.restart().await;

    assert_eq!(world.attempts(0).await, []);
}

#[tokio::test]
async fn what_came_through_the_core_is_reached_through_it_after_a_restart() {
    let mut world = World::with_core("core.example.net").await;
    let core = world.ca.issue(&["core.example.net"]).unwrap();
    let mut through = Phone::connect_as(&world, &core, "bob").await;
    assert_eq!(through.register(3_600).await.status, Status::OK);
    Phone::registered(&world, "carol", 1).await;

    world.restart().await;
    assert_eq!(world.metric("mrfc_registrations").await, 0);
    assert_eq!(world.metric("mrfc_registrations_parked").await, 2);
    let mut through = Phone::connect_as(&world, &core, "bob").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;

    let mut request = alice.request("MESSAGE", &format!("sip:bob@{DOMAIN}"));
    request.headers.remove(&Name::Contact);
    let (sip, flow) = (alice.sip.clone(), alice.flow);
    let asked = tokio::spawn(async move { sip.request(flow, request).await.unwrap() });
    let (key, copy) = through.incoming().await;
    through.answer(key, &copy, 200).await;
    assert_eq!(asked.await.unwrap().status, Status::OK);
    // To where he registered, and not to the core because nobody knows where he is.
    assert_eq!(copy.uri.sip().unwrap().host(), "127.0.0.1");
    // Carol's own connection is gone, and nobody's word brings it back.
    assert_eq!(world.metric("mrfc_registrations_parked").await, 1);
}

#[tokio::test]
async fn ob_04_a_flow_that_ends_takes_its_binding_along_and_the_device_comes_back() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    alice.sip.close(alice.flow);
    alice.closed().await;
    assert_eq!(world.metric("mrfc_registrations").await, 0);

    let mut again = Phone::registered(&world, "alice", 1).await;

    assert_eq!(world.metric("mrfc_registrations").await, 1);
    assert_eq!(world.metric("mrfc_registrations_parked").await, 0);
    let options = again.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(again.send(options).await.status, Status::OK);
}
