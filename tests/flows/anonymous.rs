//! Taking part without a name: what the others, and the memory of the relay, have of who it is.
use bytes::Bytes;
use client::{Conference, Error, Level};
use ids::Aor;
use mls::identity::DeviceKey;

use super::{Guest, House, Seat, canary, soon};

impl Guest {
    /// Joins without a name, and holds the group key.
    async fn hide(&self, conference: &Conference) -> Seat {
        let joined = soon(self.device.join_anonymously(conference.id(), Level::Sealed)).await;
        let mut seat = Seat::of(joined.unwrap());
        seat.entered().await;
        seat
    }
}

fn known_as(seat: &Seat) -> Aor {
    seat.conference.shown_as().unwrap().clone()
}

/// I21 from end to end: neither the members nor the relay, in all its memory, have the name, the device or the key.
#[tokio::test]
async fn i21_neither_members_nor_relay_have_anything_that_names_who_hides() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut chair = alice.create().await;
    chair.entered().await;
    let mut watch = soon(chair.conference.watch()).await.unwrap();
    let mut tap = chair.conference.tap();

    let seat = bob.hide(&chair.conference).await;
    let mask = known_as(&seat);
    chair.added(&mask).await;
    let carol = house.guest("carol").await;
    let mut third = carol.join(&chair.conference).await;
    chair.added(&carol.aor).await;
    seat.say("who am I?").await;
    let message = chair.hears(&mask, "who am I?").await;
    third.hears(&mask, "who am I?").await;
    soon(seat.conference.nickname("Shade")).await.unwrap();

    let own = bob.device.id().to_string();
    let roster = format!("{:?}", third.conference.status().roster);
    let seen = soon(async {
        loop {
            let seen = format!("{:?}", watch.next().await.unwrap());
            if seen.contains("Shade") {
                return seen;
            }
        }
    })
    .await;
    for what in [format!("{message:?}"), roster, seen] {
        assert!(what.contains(mask.as_str()), "{what}");
        assert!(!what.contains("bob") && !what.contains(&own), "{what}");
    }
    let key = DeviceKey::from_pkcs8(&bob.device.credential().key).unwrap().public();
    let secrets = [b"sip:bob@".to_vec(), own.into_bytes(), key.to_vec()];
    for sealed in tap.drain() {
        for secret in &secrets {
            assert!(!sealed.windows(secret.len()).any(|octets| octets == secret));
        }
    }
    let relay = house.process("mrfp");
    let found = |what: &[u8]| canary::memory(relay, what).unwrap().found;
    assert!(found(mask.as_str().as_bytes()) > 0, "what the relay knows is found");
    assert!(found(carol.device.id().as_str().as_bytes()) > 0, "and whom it knows by name");
    for secret in secrets {
        assert_eq!(found(&secret), 0, "{}", String::from_utf8_lossy(&secret));
    }
}

#[tokio::test]
async fn a_kick_of_a_pseudonym_puts_every_device_of_that_person_out() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let tablet = house.guest("bob").await;
    let mut chair = alice.create().await;
    chair.entered().await;
    let mut one = bob.hide(&chair.conference).await;
    let mut two = tablet.hide(&chair.conference).await;
    let mask = known_as(&one);
    assert_eq!(mask, known_as(&two));
    soon(async {
        while chair.conference.status().members != 3 {
            chair.added(&mask).await;
        }
    })
    .await;

    soon(chair.conference.kick(&mask)).await.unwrap();

    one.ended().await;
    two.ended().await;
    chair.removed(&mask).await;
    assert_eq!(chair.conference.status().members, 1);
    let again = soon(bob.device.join(chair.conference.id(), Level::Sealed)).await;
    assert!(matches!(again, Err(Error::Refused { status: 403, .. })), "{again:?}");
}

#[tokio::test]
async fn i21_a_person_has_another_name_and_device_in_each_conference_and_at_each_coming() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut first = alice.create().await;
    first.entered().await;
    let mut second = alice.create().await;
    second.entered().await;

    let here = bob.hide(&first.conference).await;
    let there = bob.hide(&second.conference).await;

    let device_in = |seat: &Seat| {
        let mask = known_as(seat);
        let roster = seat.conference.status().roster;
        roster.into_iter().find(|name| name.aor == mask).unwrap().device
    };
    assert_ne!(known_as(&here), known_as(&there));
    assert_ne!(device_in(&here), device_in(&there));
    assert!(![device_in(&here), device_in(&there)].contains(bob.device.id()));
    let numbers = async |seat: &Seat, room: &Seat| {
        let mask = known_as(seat);
        room.added_number(&mask).await
    };
    // The number of two people is made of names and keys: the same two are others here and there.
    first.added(&known_as(&here)).await;
    second.added(&known_as(&there)).await;
    assert_ne!(numbers(&here, &first).await, numbers(&there, &second).await);

    let before = device_in(&here);
    soon(here.conference.away()).await;
    let again = bob.hide(&first.conference).await;
    assert_ne!(device_in(&again), before, "the former one is gone");
    first.removed(&known_as(&again)).await;
}

#[tokio::test]
async fn who_hides_says_nothing_that_would_be_sealed_with_their_own_keys() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut chair = alice.create().await;
    chair.entered().await;
    let seat = bob.hide(&chair.conference).await;
    let mask = known_as(&seat);
    chair.added(&mask).await;

    let text = || Bytes::from_static(b"psst");
    let out = soon(seat.conference.send_to(&alice.aor, "text/plain", text())).await;
    let back = soon(chair.conference.send_to(&mask, "text/plain", text())).await;

    for refused in [out, back] {
        assert!(matches!(refused, Err(Error::Group(_))), "{refused:?}");
    }
}

impl Seat {
    async fn added_number(&self, who: &Aor) -> String {
        soon(self.conference.numbers(Some(who))).await.unwrap().pair.unwrap().number
    }
}
