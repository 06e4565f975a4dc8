//! F10: a conference ends, for everybody in it and at the relay.
use client::{Error, Level};

use crate::{House, soon, two};

/// Waits until a figure of the relay is so; it is brought up to date once in a while.
async fn relayed(house: &House, name: &str, is: impl Fn(f64) -> bool) {
    while !is(house.relayed(name).await) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn f10_a_conference_ends_with_its_creator_for_everybody_and_leaves_nothing_at_the_relay() {
    let settings =
        [("MRFC_CONFERENCES__CREATOR_LEAVES", "end"), ("MRFC_CONFERENCES__NAMED", "false")];
    let house = House::with(&settings);
    let (_alice, chair, bob, mut seat) = two(&house).await;
    let name = seat.conference.id().clone();
    for figure in ["mrfp_rooms", "mrfp_seats"] {
        soon(relayed(&house, figure, |value| value > 0.0)).await;
    }

    soon(chair.conference.leave()).await.unwrap();

    seat.ended().await;
    let again = soon(bob.device.join(&name, Level::Sealed)).await;
    assert!(matches!(again, Err(Error::Refused { status: 410, .. })), "{again:?}");
    for figure in ["mrfp_rooms", "mrfp_seats"] {
        soon(relayed(&house, figure, |value| value < 1.0)).await;
    }
}
