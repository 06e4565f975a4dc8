//! A device that was lost and is taken back: it is out of everything that its person is in.
use std::time::Duration;

use bytes::Bytes;
use client::{Arrival, Error, Inbox, Letter, Level, Manner};

use super::{Guest, House, Seat, soon};

async fn letter(inbox: &mut Inbox) -> Letter {
    match soon(inbox.next()).await.unwrap() {
        Arrival::Letter(letter) => letter,
        other => panic!("no letter: {other:?}"),
    }
}

async fn write(from: &Guest, to: &Guest, text: &'static str) {
    let (to, text) = (std::slice::from_ref(&to.aor), Bytes::from_static(text.as_bytes()));
    soon(from.device.write(to, Manner::default(), "text/plain", text)).await.unwrap();
}

/// I12, and that what is said afterwards in any of them opens with nothing the lost device has.
#[tokio::test]
async fn i12_a_device_that_is_taken_back_is_out_of_two_rooms_and_a_circle() {
    let house = House::open();
    let (alice, bob, lost) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("bob").await);
    let lost_id = lost.device.id().clone();
    let mut rooms: Vec<(Seat, Seat, Seat)> = Vec::new();
    for _ in 0..2 {
        let mut chair = alice.create().await;
        chair.entered().await;
        let phone = bob.join(&chair.conference).await;
        chair.added(&bob.aor).await;
        let theirs = lost.join(&chair.conference).await;
        chair.added(&bob.aor).await;
        rooms.push((chair, phone, theirs));
    }
    let (mut inbox, mut theirs) = (bob.device.inbox(), lost.device.inbox());
    write(&alice, &bob, "before").await;
    assert_eq!(&letter(&mut inbox).await.message.body[..], b"before");
    assert_eq!(&letter(&mut theirs).await.message.body[..], b"before");
    let mut departures = alice.device.departures();

    let conferences = soon(bob.device.take_back(&lost_id)).await.unwrap();

    assert_eq!(conferences, 2);
    for (chair, phone, theirs) in &mut rooms {
        chair.removed(&bob.aor).await;
        phone.removed(&bob.aor).await;
        assert!(chair.conference.status().roster.iter().all(|name| name.device != lost_id));
        theirs.ended().await;
        let mut tap = phone.conference.tap();
        chair.say("after").await;
        phone.hears(&alice.aor, "after").await;
        let sealed = tap.drain();
        assert!(!sealed.is_empty());
        for sealed in sealed {
            assert_eq!(theirs.conference.try_open(sealed).await, None);
        }
        let again = soon(lost.device.join(chair.conference.id(), Level::Sealed)).await;
        assert!(again.is_err(), "{again:?}");
    }
    write(&alice, &bob, "after").await;
    assert_eq!(&letter(&mut inbox).await.message.body[..], b"after");
    // Whoever brings the lost device the bytes brings it nothing. What the focus has turned down, since its author had not
    // heard of it, went nowhere else: the last one is what it passed on.
    let mut sealed = soon(departures.next()).await.unwrap();
    while let Ok(next) = tokio::time::timeout(Duration::ZERO, departures.next()).await {
        sealed = next.unwrap();
    }
    lost.device.take(sealed).await;
    let came = soon(theirs.next()).await;
    assert!(matches!(came, Some(Arrival::Unreadable { .. })), "{came:?}");
    let listed = soon(bob.device.devices()).await.unwrap();
    assert!(listed.iter().any(|it| it.device == lost_id && it.revoked));
    let anew = soon(lost.device.take_back(&lost_id)).await;
    assert!(matches!(anew, Ok(0) | Err(Error::Refused { .. })), "{anew:?}");
}

/// I12, for who has no other device: nothing is sealed that nobody reads.
#[tokio::test]
async fn i12_who_writes_to_somebody_whose_only_device_was_taken_back_is_told_and_the_next_one_reads()
 {
    let house = House::open();
    let (alice, lost) = (house.guest("alice").await, house.guest("bob").await);
    let mut theirs = lost.device.inbox();
    write(&alice, &lost, "before").await;
    assert_eq!(&super::circles::letter(&mut theirs).await.message.body[..], b"before");
    soon(lost.device.take_back(lost.device.id())).await.unwrap();

    let (to, text) = (std::slice::from_ref(&lost.aor), Bytes::from_static(b"into nothing"));
    let sent = soon(alice.device.write(to, Manner::default(), "text/plain", text)).await;
    assert!(matches!(&sent, Err(Error::NoKeys(who)) if *who == lost.aor), "{sent:?}");

    let bob = house.guest("bob").await;
    let mut inbox = bob.device.inbox();
    write(&alice, &bob, "and now").await;
    assert_eq!(&super::circles::letter(&mut inbox).await.message.body[..], b"and now");
    let mut hers = alice.device.inbox();
    write(&bob, &alice, "here I am").await;
    assert_eq!(&super::circles::letter(&mut hers).await.message.body[..], b"here I am");
}

/// I12, I22: whoever comes first removes it, before anything is said.
#[tokio::test]
async fn i12_a_device_that_is_taken_back_while_nobody_is_there_hears_nothing_of_what_is_said_later()
{
    let house = House::open();
    let (alice, bob, lost) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("bob").await);
    let lost_id = lost.device.id().clone();
    let mut chair = alice.create().await;
    chair.entered().await;
    let id = chair.conference.id().clone();
    let phone = bob.join(&chair.conference).await;
    chair.are(2).await;
    let mut theirs = lost.join(&chair.conference).await;
    chair.are(3).await;
    soon(phone.conference.away()).await;
    soon(chair.conference.away()).await;

    assert_eq!(soon(bob.device.take_back(&lost_id)).await.unwrap(), 1);
    theirs.ended().await;

    let again = async |guest: &Guest| {
        let mut seat = Seat::of(soon(guest.device.join(&id, Level::Sealed)).await.unwrap());
        seat.entered().await;
        seat
    };
    let mut phone = again(&bob).await;
    let mut chair = again(&alice).await;
    for seat in [&mut phone, &mut chair] {
        seat.are(2).await;
        assert!(seat.conference.status().roster.iter().all(|name| name.device != lost_id));
    }
    let mut tap = phone.conference.tap();
    chair.say("who has found it?").await;
    phone.hears(&alice.aor, "who has found it?").await;
    let sealed = tap.drain();
    assert!(!sealed.is_empty());
    for sealed in sealed {
        assert_eq!(theirs.conference.try_open(sealed).await, None);
    }
}
