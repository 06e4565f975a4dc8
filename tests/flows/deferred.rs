//! F12: messages for somebody who is not there wait in the mailbox, and are delivered as they were sent.
use std::time::Duration;

use bytes::Bytes;
use client::{Arrival, Fate, Immediate, Inbox, Manner, Protection, SealedFile, Taken};
use ids::Aor;
use sha2::{Digest as _, Sha256};

use crate::circles::was_here;
use crate::files::Desk;
use crate::left::arrived;
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
        ("text/plain", 12, Protection::FirstHop),
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
    // In the mailbox lie the same octets, and under its key whatever was not sealed.
    let config = house.folder.path().join("dev/mrfc.toml");
    let kept = soon(mrfc::kept_messages(&config, &of("bob"))).await.unwrap();
    let kept: Vec<_> = kept.into_iter().map(|kept| (kept.sha256, kept.locked)).collect();
    let expected = |(kind, digest): &(&str, _)| (hex::encode(digest), *kind != "message/mls");
    assert_eq!(kept, sent.iter().map(expected).collect::<Vec<_>>());

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

/// IMDN-06. What is said in the clear, what is sealed, and a file: of each its sender hears that it is over.
#[tokio::test]
async fn f12_f14_the_sender_is_told_of_a_message_and_a_file_that_nobody_came_for_in_time() {
    let house = House::with(&[("MRFC_MAILBOX__KEEP_SECS", "6")]);
    let (alice, desk) = (house.guest("alice").await, Desk::new());
    let folder = tempfile::tempdir().unwrap();
    was_here(&house, &folder, "bob").await;
    let (bob, mut inbox) = (of("bob"), alice.device.inbox());
    let mut owed = Vec::new();

    let page = soon(alice.device.page(&bob, "text/plain", "in the clear".into())).await.unwrap();
    assert_eq!(page.taken, Taken::Stored);
    owed.push((Fate::Expired, page.id.unwrap()));
    // The first founds their circle, and the second finds it founded.
    for text in ["first", "second"] {
        let to = std::slice::from_ref(&bob);
        let written = alice.device.write(to, Manner::default(), "text/plain", text.into());
        let written = soon(written).await.unwrap();
        assert_eq!(written.taken, Taken::Stored);
        owed.push((Fate::Expired, written.id.unwrap()));
    }
    let file = desk.file("plan.txt", b"the heron lands at nine");
    let file = SealedFile::new(&file.path, "text/plain", desk.into.path()).await.unwrap();
    arrived(soon(alice.device.send_sealed(&bob, &file)).await).await;

    let mut unfetched = 0;
    while !owed.is_empty() || unfetched == 0 {
        let notice = message(&mut inbox).await.notice().expect("it is told by the mailbox");
        assert_eq!(notice.whom, bob);
        assert!(notice.written.is_some());
        match notice.fate {
            Fate::Unfetched => unfetched += 1,
            fate => {
                let told = (fate, notice.of);
                // What was sealed with the key of the file is a letter of its own.
                owed.retain(|one| *one != told);
            }
        }
    }
    assert_eq!(unfetched, 1);
    assert!(crate::left::blobs(&house).is_empty());
}
