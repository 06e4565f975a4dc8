//! F6b: a message for one person in an open conference. In a sealed one: `sealed.rs`.
use bytes::Bytes;
use client::{Error, Level};

use crate::{House, Seat, soon};

fn words(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn f6b_a_private_message_reaches_every_device_of_its_person_and_nobody_else() {
    let house = House::with(&[("MRFC_CONFERENCES__LEVEL", "open")]);
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let (bobs_tablet, carol) = (house.guest("bob").await, house.guest("carol").await);
    let mut chair = Seat::of(soon(alice.device.create(Level::Open)).await.unwrap());
    let name = chair.conference.id().clone();
    let join = async |guest: &crate::Guest| {
        Seat::of(soon(guest.device.join(&name, Level::Open)).await.unwrap())
    };
    let (mut seat, mut tablet) = (join(&bob).await, join(&bobs_tablet).await);
    let mut third = join(&carol).await;

    let id = soon(chair.conference.send_to(&bob.aor, "text/plain", words("psst"))).await.unwrap();
    chair.say("for everybody").await;

    for device in [&mut seat, &mut tablet] {
        let heard = device.hears(&alice.aor, "psst").await;
        assert!(heard.private && heard.id == id, "{heard:?}");
        assert!(!device.hears(&alice.aor, "for everybody").await.private);
    }
    third.hears(&alice.aor, "for everybody").await;

    // Back, and to somebody who is not here.
    soon(seat.conference.send_to(&alice.aor, "text/plain", words("yes?"))).await.unwrap();
    assert!(chair.hears(&bob.aor, "yes?").await.private);
    let nobody = "sip:nobody@localhost".parse().unwrap();
    let lost = soon(seat.conference.send_to(&nobody, "text/plain", words("hello?"))).await;
    assert!(matches!(lost, Err(Error::Refused { status: 404, .. })), "{lost:?}");
}
