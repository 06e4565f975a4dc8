//! F12: messages for somebody who is not there wait in the mailbox, and are delivered as they were sent.
use std::time::Duration;

use bytes::Bytes;
use client::{Arrival, Immediate, Inbox, Protection, Taken};
use ids::Aor;
use sha2::{Digest as _, Sha256};

use crate::{House, soon};

pub(super) async fn message(inbox: &mut Inbox) -> Immediate {
    match soon(inbox.next()).await.unwrap() {
        Arrival::Message(message) => message,
        other => panic!("no message: {other:?}"),
    }
}

pub(super) fn of(user: &str) -> Aor {
    format!("sip:{user}@localhost").parse().unwrap()
}

pub(super) fn noise(octets: usize) -> Bytes {
    (0..=255_u8).cycle().skip(octets % 7).take(octets).collect()
}

/// S3-07, S3-30, S4-03, S4-08, S4-09, S4-12, S4-15, S4-16, MSG-03.
#[tokio::test]
async fn f12_a_message_to_an_unregistered_user_is_accepted_and_later_delivered_octet_for_octet() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let before = service::clock::wall() - Duration::from_secs(2);
    let mut sent = Vec::new();
    for (kind, octets, protection) in [
        ("application/octet-stream", 0, Protection::FirstHop),
        ("application/octet-stream", 256, Protection::FirstHop),
        ("application/octet-stream", 1_300, Protection::FirstHop),
        ("image/png", 60_000, Protection::FirstHop),
        ("message/mls", 1_300, Protection::EndToEnd),
    ] {
        let body = noise(octets);
        let taken = soon(alice.device.message(&of("bob"), kind, body.clone())).await.unwrap();
        assert_eq!(taken, (Taken::Stored, Some(protection)), "{kind} {octets}");
        sent.push((kind, Sha256::digest(&body)));
    }

    // Bob comes with one device, and another day with a device that nobody knew when the messages were sent.
    for _ in 0..2 {
        let bob = house.guest("bob").await;
        let mut inbox = bob.device.inbox();
        for (kind, digest) in &sent {
            let late = message(&mut inbox).await;
            assert_eq!((&late.from, late.content_type.as_str()), (&alice.aor, *kind));
            assert_eq!(Sha256::digest(&late.body), *digest, "{kind}");
            let times = late.late.expect("it says that it is late");
            assert!(times.accepted >= before && times.sent.is_some() && !times.skewed);
        }
        // Each comes once: what is next is new.
        soon(alice.device.message(&bob.aor, "text/plain", "now".into())).await.unwrap();
        let live = message(&mut inbox).await;
        assert_eq!((&live.body[..], live.late), (&b"now"[..], None));
        bob.device.stop().await;
    }
}

/// IMDN-02, MSG-08.
#[tokio::test]
async fn f12_the_sender_is_told_that_it_waits_and_nothing_more_than_was_asked_for() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let mut inbox = alice.device.inbox();
    let envelope = |id: &str, wanted: &str| {
        Bytes::from(format!(
            "From: <sip:alice@localhost>\r\nTo: <sip:bob@localhost>\r\n\
             NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {id}\r\n{wanted}\r\n\
             Content-Type: text/plain\r\n\r\nhi"
        ))
    };

    for (id, wanted) in [
        ("quiet", ""),
        ("told", "imdn.Disposition-Notification: processing, positive-delivery\r\n"),
    ] {
        let (bob, body) = (of("bob"), envelope(id, wanted));
        let sent = soon(alice.device.message(&bob, "message/cpim", body)).await;
        assert_eq!(sent.unwrap().0, Taken::Stored);
    }

    let told = message(&mut inbox).await;
    let text = String::from_utf8(told.body.to_vec()).unwrap();
    assert_eq!(told.from.user(), "mailbox");
    assert!(text.contains("<message-id>told</message-id>") && text.contains("<stored/>"), "{text}");
    // That it was delivered is what Bob's device says, and it reaches Alice where she is by then.
    let bob = house.guest("bob").await;
    let mut his = bob.device.inbox();
    for _ in 0..2 {
        message(&mut his).await;
    }
    let delivered = message(&mut inbox).await;
    let text = String::from_utf8(delivered.body.to_vec()).unwrap();
    assert_eq!(delivered.from, bob.aor);
    assert!(text.contains(">told<") && text.contains("<delivered/>"), "{text}");
}
