//! F12 for what is too large for a SIP request: a session with somebody who is away is answered by their mailbox, and what is
//! said in it comes to each of their devices by a session that the mailbox opens.
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use client::{Device, Error, Immediate, Leg, LegEvent, LegEvents, Limits, Taken};
use conclave::system::Directions;
use ids::Aor;
use sha2::{Digest as _, Sha256};

use crate::deferred::{message, noise, of};
use crate::servers::{Server, settle};
use crate::{House, soon};

pub(crate) async fn left_for(device: &Device, who: &Aor) -> (Leg, LegEvents) {
    let (leg, events) = soon(device.call(who)).await.unwrap();
    assert!(leg.with_mailbox(), "somebody is there");
    (leg, events)
}

/// Says something, and waits until it is kept.
pub(crate) async fn leave((leg, events): &mut (Leg, LegEvents), kind: &str, body: Bytes) {
    let id = soon(leg.send(kind, body)).await.unwrap();
    match soon(events.next()).await {
        Some(LegEvent::Delivered { id: told }) => assert_eq!(told, id),
        other => panic!("not reported: {other:?}"),
    }
}

fn digest(message: &Immediate) -> String {
    hex::encode(Sha256::digest(message.inside().1))
}

fn blobs(folder: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder.join("blobs")).unwrap();
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

/// S4-02, S4-03, S4-08, S4-09, S4-16, S4-18.
#[tokio::test]
async fn f12_large_messages_left_in_a_session_come_to_each_device_unchanged_in_order_and_late() {
    let house = House::open();
    let before = service::clock::wall() - Duration::from_secs(2);
    let mut sent = Vec::new();
    for chunk_octets in [2_048, 60_000] {
        let limits = Limits { chunk_octets, ..Limits::default() };
        let alice = house.guest_with("alice", limits).await;
        let mut left = left_for(&alice.device, &of("bob")).await;
        for (kind, octets) in [
            ("text/plain;charset=utf-8", 5),
            ("application/octet-stream", 2 << 10),
            ("image/png", 70 << 10),
            ("message/mls", 70 << 10),
            ("application/octet-stream", 5 << 20),
        ] {
            let body: Bytes = [&noise(octets)[..], &chunk_octets.to_be_bytes()].concat().into();
            leave(&mut left, kind, body.clone()).await;
            sent.push((kind, hex::encode(Sha256::digest(&body))));
        }
        // What comes by another way comes in the same order.
        let page = soon(alice.device.message(&of("bob"), "text/plain", "by hand".into())).await;
        assert_eq!(page.unwrap().0, Taken::Stored);
        sent.push(("text/plain", hex::encode(Sha256::digest(b"by hand"))));
        left.0.hang_up().await;
        alice.device.stop().await;
    }
    let lies = blobs(&house.folder.path().join("dev"));
    assert_eq!(lies.len(), 8, "what is small needs no blob");
    let begins = noise(70 << 10).slice(..64);
    let shows = |blob: &&Vec<u8>| blob.windows(64).take(1_000).any(|octets| octets == begins);
    assert_eq!(lies.iter().filter(shows).count(), 2, "what is sealed lies there as it was sent");

    for chunk_octets in [60_000, 2_048] {
        let limits = Limits { chunk_octets, ..Limits::default() };
        let bob = house.guest_with("bob", limits).await;
        let mut inbox = bob.device.inbox();
        for (kind, wanted) in &sent {
            let late = message(&mut inbox).await;
            assert_eq!((late.inside().0.as_str(), digest(&late)), (*kind, wanted.clone()));
            assert_eq!(late.from, of("alice"));
            let times = late.late.expect("it says that it is late");
            assert!(times.accepted >= before && times.sent.unwrap() >= before && !times.skewed);
        }
        // Each comes once: what is next is new.
        let carol = house.guest("carol").await;
        soon(carol.device.message(&bob.aor, "text/plain", "now".into())).await.unwrap();
        assert_eq!(message(&mut inbox).await.late, None);
        bob.device.stop().await;
        carol.device.stop().await;
    }
}

#[tokio::test]
async fn f12_what_is_left_for_somebody_who_comes_meanwhile_comes_at_once() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let mut left = left_for(&alice.device, &of("bob")).await;
    let bob = house.guest("bob").await;
    let mut inbox = bob.device.inbox();

    leave(&mut left, "application/octet-stream", noise(70 << 10)).await;

    assert_eq!(message(&mut inbox).await.inside().1, noise(70 << 10));
}

#[tokio::test]
async fn f12_a_device_that_listens_a_moment_after_it_came_has_refused_no_large_message() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let mut left = left_for(&alice.device, &of("bob")).await;
    leave(&mut left, "application/octet-stream", noise(70 << 10)).await;

    let bob = house.guest("bob").await;
    // The mailbox calls meanwhile; it would have to be slow for this test to show nothing.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut inbox = bob.device.inbox();

    assert_eq!(message(&mut inbox).await.inside().1, noise(70 << 10));
}

/// S4-05.
#[tokio::test]
async fn f12_a_call_that_nobody_takes_is_answered_by_the_mailbox_and_one_that_is_declined_is_not() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut inbox = bob.device.inbox();
    let mut ring = async || match soon(inbox.next()).await.unwrap() {
        client::Arrival::Call(ring) => ring,
        other => panic!("no call: {other:?}"),
    };

    let (called, ()) =
        soon(async { tokio::join!(alice.device.call(&bob.aor), async { drop(ring().await) }) })
            .await;
    let mut left = called.unwrap();
    assert!(left.0.with_mailbox());
    leave(&mut left, "application/octet-stream", noise(2 << 10)).await;
    let declining = async { ring().await.decline().await };
    let (declined, ()) = soon(async { tokio::join!(alice.device.call(&bob.aor), declining) }).await;
    assert!(matches!(declined, Err(Error::Refused { status: 603, .. })), "{declined:?}");

    bob.device.stop().await;
    let bob = house.guest("bob").await;
    let mut inbox = bob.device.inbox();
    assert_eq!(message(&mut inbox).await.inside().1, noise(2 << 10));
}

#[tokio::test]
async fn f12_a_full_mailbox_says_so_and_keeps_nothing_more() {
    let house = House::with(&[
        ("MRFC_MAILBOX__FILES__MESSAGE_OCTETS_MAX", "4000"),
        ("MRFC_MAILBOX__FILES__OCTETS_MAX", "6000"),
        ("MRFC_MAILBOX__SENDER_LETTERS_MAX", "2"),
    ]);
    let alice = house.guest("alice").await;
    let mut left = left_for(&alice.device, &of("bob")).await;
    let kind = "application/octet-stream";

    let refused = soon(left.0.send(kind, noise(4001))).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    leave(&mut left, kind, noise(3000)).await;
    let refused = soon(left.0.send(kind, noise(3000))).await;
    assert!(matches!(refused, Err(Error::Refused { status: 413, .. })), "{refused:?}");
    leave(&mut left, kind, noise(2000)).await;
    let refused = soon(left.0.send(kind, noise(10))).await;
    assert!(matches!(refused, Err(Error::Refused { status: 413, .. })), "{refused:?}");
    let refused = soon(alice.device.call(&of("bob"))).await;
    assert!(matches!(refused, Err(Error::Refused { status: 480, .. })), "{refused:?}");

    assert_eq!(blobs(&house.folder.path().join("dev")).len(), 2);
    let bob = house.guest("bob").await;
    let mut inbox = bob.device.inbox();
    for octets in [3000, 2000] {
        assert_eq!(message(&mut inbox).await.inside().1, noise(octets));
    }
}

pub(crate) async fn device(folder: &Path, user: &str) -> Device {
    let profile = Directions::read(folder).unwrap().profile(user).unwrap();
    soon(Device::start(profile)).await.unwrap().0
}

/// Promise 8.
#[tokio::test]
async fn f12_a_large_message_is_delivered_once_though_the_focus_is_killed_when_it_is_kept() {
    service::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("dev");
    let [_relay, mut focus]: [Server; 2] = settle(&folder);
    focus.start();
    let alice = device(&folder, "alice").await;
    let mut left = left_for(&alice, &of("bob")).await;
    leave(&mut left, "application/octet-stream", noise(5 << 20)).await;
    focus.kill();
    drop(alice);
    focus.start();

    let bob = device(&folder, "bob").await;
    let mut inbox = bob.inbox();
    assert_eq!(message(&mut inbox).await.inside().1, noise(5 << 20));
    focus.kill();
    focus.start();

    // What comes next is new, so it did not come again.
    let carol = device(&folder, "carol").await;
    loop {
        let sent = soon(carol.message(&of("bob"), "text/plain", "now".into())).await.unwrap();
        let next = message(&mut inbox).await;
        assert_eq!(&next.body[..], b"now");
        if sent.0 == Taken::Delivered {
            break;
        }
    }
}
