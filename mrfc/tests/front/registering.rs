//! REGISTER and who may: digest, several devices, expiry.
use sip::header::{Contacts, Name};

use crate::phone::Phone;
use crate::world::{DOMAIN, World};

/// S2-NR3, S2-OR5, S2-NR4, S2-OR6.
#[tokio::test]
async fn two_devices_of_one_person_are_both_registered() {
    let world = World::start().await;
    let mut first = Phone::connect(&world, "alice", 1).await;
    let mut second = Phone::connect(&world, "alice", 2).await;

    let one = first.register(3_600).await;
    let both = second.register(600).await;

    let contacts = |response: &sip::Response| match response.headers.contacts().unwrap() {
        Contacts::Some(contacts) => contacts,
        Contacts::All => Vec::new(),
    };
    assert_eq!(contacts(&one).len(), 1);
    let bound = contacts(&both);
    assert_eq!(bound.len(), 2);
    assert!(bound.iter().any(|c| c.instance() == Some(first.device.clone())));
    assert!(bound.iter().any(|c| c.expires().is_some_and(|secs| secs <= 600)));
    assert!(both.headers.has(&Name::Date) && both.headers.has(&Name::ServiceRoute));
    assert_eq!(world.metric("mrfc_registrations").await, 2);
}

/// S2-NR5, S2-OR7.
#[tokio::test]
async fn a_wrong_password_is_never_accepted_and_counted() {
    let world = World::start().await;
    let mut phone = Phone::connect(&world, "alice", 1).await;
    phone.forget_password();

    let response = phone.register(3_600).await;

    assert_eq!(response.status.code(), 401);
    assert!(response.headers.has(&Name::WwwAuthenticate));
    assert_eq!(world.metric("mrfc_logins_total{protocol=\"sip\",result=\"wrong\"}").await, 1);
    assert_eq!(world.metric("mrfc_registrations").await, 0);
}

#[tokio::test]
async fn who_guesses_on_is_cut_off() {
    let world = World::with(crate::relay::Manner::Prompt, |config| {
        config.limits.failures_per_connection_max = 3;
    })
    .await;
    let mut phone = Phone::connect(&world, "alice", 1).await;
    phone.forget_password();

    for _ in 0..3 {
        assert_eq!(phone.register(3_600).await.status.code(), 401);
    }

    phone.closed().await;
}

#[tokio::test]
async fn a_connection_speaks_for_whom_it_registered_and_for_nobody_else() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;

    let own = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    let mut forged = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    forged.headers.set(Name::From, format!("<sip:bob@{DOMAIN}>;tag=x"));
    let asserted = forged.clone().with(Name::PAssertedIdentity, format!("<sip:bob@{DOMAIN}>"));

    assert_eq!(alice.send(own).await.status.code(), 200);
    assert_eq!(alice.send(forged.clone()).await.status.code(), 401);
    assert_eq!(alice.send(asserted).await.status.code(), 401);
    // With alice's right password, bob is still not alice.
    let challenge = alice.send(forged.clone()).await;
    let proven = alice.proven(forged, &challenge);
    assert_eq!(alice.send(proven).await.status.code(), 403);
}

#[tokio::test]
async fn too_brief_is_423_and_unregistering_ends_the_trust() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;

    let brief = alice.register(10).await;
    assert_eq!(brief.status.code(), 423);
    assert_eq!(brief.headers.min_expires(), Ok(Some(60)));

    assert_eq!(alice.register(0).await.status.code(), 200);
    let options = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(alice.send(options).await.status.code(), 401);
}

/// S2-NR5, S2-OR7.
#[tokio::test]
async fn nobody_registers_for_somebody_else() {
    let world = World::start().await;
    let mut mallory = Phone::connect(&world, "mallory", 1).await;
    let mut request = mallory.request("REGISTER", &format!("sip:{DOMAIN}"));
    request.headers.set(Name::To, format!("<sip:alice@{DOMAIN}>"));

    let response = mallory.ask(request).await;

    assert_eq!(response.status.code(), 403);
    assert_eq!(world.metric("mrfc_registrations").await, 0);
}

#[tokio::test]
async fn a_closed_connection_is_a_lost_registration() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let talk = alice
        .invite(&format!("sip:conference-factory@{DOMAIN}"), &crate::phone::good_offer())
        .await;
    assert!(talk.is_ok());
    let seat = world.relay.seat().await.seat;
    // Behind its answer everybody knows that the ACK has arrived.
    let options = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(alice.send(options).await.status.code(), 200);

    alice.sip.close(alice.flow);
    alice.closed().await;

    // Away is not gone, but the seat is free and the binding is not reachable any more.
    assert_eq!(world.relay.unseated(seat).await, "away");
    assert_eq!(world.metric("mrfc_registrations").await, 0);
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}
