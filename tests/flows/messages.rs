//! F11 and F13: immediate messages to a person and to many, as the clients see them.
use std::future::Future as _;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use client::{Arrival, Error, Fate, Immediate, Inbox, Protection, Taken};
use ids::Aor;
use msrp::cpim::Builder;

use crate::large::{leave, left_for};
use crate::{House, soon};

async fn message(inbox: &mut Inbox) -> Immediate {
    match soon(inbox.next()).await.unwrap() {
        Arrival::Message(message) => message,
        other => panic!("no message: {other:?}"),
    }
}

fn status(outcome: Result<(Taken, Option<Protection>), Error>) -> u16 {
    match outcome {
        Err(Error::Refused { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

fn of(user: &str) -> Aor {
    format!("sip:{user}@localhost").parse().unwrap()
}

/// S3-24, MSG-01.
#[tokio::test]
async fn f11_a_message_reaches_every_device_of_a_person_and_its_sender_knows_how_well_protected() {
    let house = House::open();
    let (alice, bob, tablet) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("bob").await);
    let (mut inbox, mut other) = (bob.device.inbox(), tablet.device.inbox());
    let noise: Bytes = (0..=255_u8).collect();

    for (kind, protection) in
        [("application/octet-stream", Protection::FirstHop), ("message/mls", Protection::EndToEnd)]
    {
        let sent = soon(alice.device.message(&bob.aor, kind, noise.clone())).await.unwrap();

        assert_eq!(sent, (Taken::Delivered, Some(protection)));
        for inbox in [&mut inbox, &mut other] {
            let message = message(inbox).await;
            assert_eq!((&message.from, &message.content_type[..]), (&alice.aor, kind));
            assert_eq!((message.body, message.protection), (noise.clone(), Some(protection)));
        }
    }
}

#[tokio::test]
async fn f11_who_is_nobody_is_not_known_and_whose_program_takes_no_messages_has_a_mailbox() {
    let house = House::with(&[("MRFC_CONFERENCES__NAMED", "false")]);
    let alice = house.guest("alice").await;
    let text = || Bytes::from_static(b"are you there?");

    assert_eq!(status(soon(alice.device.message(&of("nobody"), "text/plain", text())).await), 404);
    // His program takes no messages.
    let bob = house.guest("bob").await;
    let sent = soon(alice.device.message(&bob.aor, "text/plain", text())).await.unwrap();
    assert_eq!(sent.0, Taken::Stored);
    let large = Bytes::from(vec![b'x'; 100_000]);
    assert_eq!(status(soon(alice.device.message(&bob.aor, "text/plain", large)).await), 413);
}

#[tokio::test]
async fn f13_a_message_for_many_reaches_each_and_one_who_cannot_agree_keeps_it_from_all() {
    let house = House::open();
    let (alice, bob, carol) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("carol").await);
    let (mut to_bob, mut to_carol) = (bob.device.inbox(), carol.device.inbox());
    let text = Bytes::from_static(b"we meet at eight");

    let stranger = [bob.aor.clone(), "sip:eve@example.org".parse().unwrap()];
    let refused = soon(alice.device.message_all(&stranger, "text/plain", text.clone())).await;
    assert_eq!(status(refused), 470);
    let both = [bob.aor.clone(), carol.aor.clone()];
    let sent = soon(alice.device.message_all(&both, "text/plain", text.clone())).await.unwrap();

    assert_eq!(sent.0, Taken::Accepted);
    for inbox in [&mut to_bob, &mut to_carol] {
        let message = message(inbox).await;
        assert_eq!(message.from, alice.aor);
        // The names of both come along.
        let body = String::from_utf8(message.body.to_vec()).unwrap();
        assert!(message.content_type.starts_with("multipart/mixed"), "{}", message.content_type);
        assert!(body.contains("we meet at eight"), "{body}");
        assert!(body.contains(bob.aor.as_str()) && body.contains(carol.aor.as_str()), "{body}");
    }
}

/// RFC 3862, 4.7: also one that has waited, and one that is too large for a MESSAGE; their sender is told.
#[tokio::test]
async fn cpim_06_a_message_that_requires_what_its_reader_does_not_understand_is_refused() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let mut told = alice.device.inbox();
    let letter = |id: &str, octets: usize, required: &str| {
        let letter = Builder::new(alice.aor.as_str(), of("bob").as_str());
        let letter = letter.imdn(id, &["negative-delivery"]).header("Require", required);
        letter.content("text/plain", Bytes::from(vec![b'x'; octets])).gather()
    };
    let send =
        async |body: Bytes| soon(alice.device.message(&of("bob"), "message/cpim", body)).await;
    assert_eq!(send(letter("small", 10, "Subject")).await.unwrap().0, Taken::Stored);
    let mut left = left_for(&alice.device, &of("bob")).await;
    leave(&mut left, "message/cpim", letter("large", 100_000, "Subject")).await;
    drop(left);

    let bob = house.guest("bob").await;
    let mut inbox = bob.device.inbox();
    let mut refused = Vec::new();
    while refused.len() < 2 {
        let notice = crate::deferred::message(&mut told).await.notice().unwrap();
        assert_eq!((notice.fate, notice.whom), (Fate::Failed, of("bob")));
        refused.push(notice.of);
    }
    refused.sort();
    assert_eq!(refused, ["large", "small"]);
    let now = send(letter("now", 10, "Subject")).await;
    let Err(Error::Refused { status: 488, reason, .. }) = now else { panic!("{now:?}") };
    assert!(reason.contains("it requires \"Subject\""), "{reason}");

    send(letter("plain", 10, "From")).await.unwrap();
    assert_eq!(message(&mut inbox).await.body, letter("plain", 10, "From"));
}

/// RFC 3428, 8.
#[tokio::test]
async fn msg_07_a_second_message_to_somebody_is_not_sent_before_the_first_is_answered() {
    let house = House::open();
    let (alice, bob, carol) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("carol").await);
    let mut inbox = bob.device.inbox();
    let device = Arc::new(alice.device);
    let say = |text: &'static str| {
        let (device, to) = (Arc::clone(&device), bob.aor.clone());
        async move { device.message(&to, "text/plain", text.into()).await.unwrap().0 }
    };

    // It is on its way, and whether it is answered nobody has looked yet.
    let mut first = Box::pin(say("first"));
    assert!(std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await.is_pending());
    let second = tokio::spawn(say("second"));
    let _listens = carol.device.inbox();
    soon(device.message(&carol.aor, "text/plain", "to another".into())).await.unwrap();
    soon(carol.device.message(&bob.aor, "text/plain", "meanwhile".into())).await.unwrap();
    let mut before = Vec::new();
    while before.last().is_none_or(|text| text != "meanwhile") {
        before.push(message(&mut inbox).await.body);
    }

    assert!(!before.contains(&Bytes::from("second")), "{before:?}");
    assert_eq!(soon(first).await, Taken::Delivered);
    assert_eq!(soon(second).await.unwrap(), Taken::Delivered);
    while message(&mut inbox).await.body != "second" {}
}
