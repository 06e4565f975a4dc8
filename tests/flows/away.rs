//! F12 in a conference: who is away misses nothing of what counts, and hears it in the order it was said.
use bytes::Bytes;
use client::{Event, Level};

use crate::{Guest, House, Seat, soon, two};

/// A message counts when it is stored.
const STORED: (&str, &str) = ("MRFC_CONFERENCES__ACKNOWLEDGE", "stored");

async fn say(seat: &Seat, text: &str) {
    soon(seat.conference.send("text/plain", Bytes::copy_from_slice(text.as_bytes())))
        .await
        .unwrap();
}

/// Two who have heard of each other, and the second has gone away: both, the seat of who stays, and who was away.
async fn one_is_away(house: &House) -> (Guest, Seat, Guest) {
    let (alice, chair, bob, mut seat) = two(house).await;
    say(&chair, "before").await;
    seat.hears(&alice.aor, "before").await;
    soon(seat.conference.away()).await;
    (alice, chair, bob)
}

async fn back(guest: &Guest, seat: &Seat) -> Seat {
    Seat::of(soon(guest.device.join(seat.conference.id(), Level::Sealed)).await.unwrap())
}

#[tokio::test]
async fn f12_who_was_away_for_fifty_messages_hears_them_all_once_while_others_talk_on() {
    let house = House::with(&[STORED]);
    let (alice, mut chair, bob) = one_is_away(&house).await;
    let carol = house.guest("carol").await;

    let said = |n: usize| format!("said while he is away: {n}");
    for n in 0..25 {
        say(&chair, &said(n)).await;
    }
    // The key changes in between.
    let mut third = carol.join(&chair.conference).await;
    chair.added(&carol.aor).await;
    for n in 25..50 {
        say(&chair, &said(n)).await;
    }
    let mut seat = back(&bob, &chair).await;
    for n in 50..60 {
        say(&chair, &said(n)).await;
    }

    for n in 0..60 {
        seat.hears(&alice.aor, &said(n)).await;
    }
    say(&seat, "I have it all").await;
    chair.hears(&bob.aor, "I have it all").await;
    for n in 25..60 {
        third.hears(&alice.aor, &said(n)).await;
    }
    third.hears(&bob.aor, "I have it all").await;
}

#[tokio::test]
async fn f12_who_was_away_when_everybody_changed_their_keys_follows_them_in_order() {
    let house = House::with(&[STORED]);
    let (_alice, mut chair, bob) = one_is_away(&house).await;

    for n in 0..4 {
        say(&chair, &format!("in epoch {n}")).await;
        let guest = house.guest("carol").await;
        let third = guest.join(&chair.conference).await;
        chair.added(&guest.aor).await;
        soon(third.conference.leave()).await.unwrap();
        chair.removed(&guest.aor).await;
        guest.device.stop().await;
    }
    let mut seat = back(&bob, &chair).await;

    let mut heard = 0;
    while heard < 4 {
        match soon(seat.events.next()).await.unwrap() {
            Event::Message(message) => {
                assert_eq!(&message.body[..], format!("in epoch {heard}").as_bytes());
                heard += 1;
            }
            Event::Unreadable { why } => panic!("unreadable: {why}"),
            Event::Missed { .. } => panic!("nothing is missing"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn f12_who_comes_back_to_a_log_that_was_purged_hears_of_the_gap_and_enters_anew() {
    let house = House::with(&[STORED]);
    let (alice, mut chair, bob) = one_is_away(&house).await;
    let carol = house.guest("carol").await;
    say(&chair, "of this nothing is left").await;
    // The key changes, and nothing is left of how.
    let mut third = carol.join(&chair.conference).await;
    chair.added(&carol.aor).await;
    say(&chair, "nor of this").await;
    third.hears(&alice.aor, "nor of this").await;
    let before = chair.conference.status().epoch;
    house.operate(&["room", "purge", chair.conference.id().as_str()]);

    let mut seat = back(&bob, &chair).await;

    let missed = seat.until(|event| match event {
        Event::Missed { until, .. } => Some(until),
        Event::Message(message) => panic!("it was purged: {:?}", message.body),
        _ => None,
    });
    assert_eq!(missed.await.1, before.next(), "its own commit is the next one");
    say(&chair, "after").await;
    seat.hears(&alice.aor, "after").await;
    say(&seat, "I am back").await;
    third.hears(&alice.aor, "after").await;
    third.hears(&bob.aor, "I am back").await;
}
