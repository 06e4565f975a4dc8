//! Starting again, and losing a conference to another owner.
use std::time::Duration;

use control::RoomOrder;

use super::relay::Habits;
use super::rig::{Rig, aor, room7};
use crate::config::Level;
use crate::desk::{DeskLimits, Gone, NewConference, Refusal, SipEffect};

#[tokio::test]
async fn a_restart_brings_back_rooms_seats_and_groups() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.add("bob").await;
    let seats = [rig.seat("alice"), rig.seat("bob")];
    rig.desks.kick(&room7(), &aor("alice"), aor("bob")).await.unwrap();
    // The kick's orders reach the relay before the end.
    rig.broadcast().await;

    rig.restart().await;

    let room = rig.relay.order(|order| match order {
        RoomOrder::Open(room) => Some(room.clone()),
        _ => None,
    });
    let room = room.await;
    let gate = room.gate.unwrap();
    assert!(gate.shut && gate.epoch.0 == 1, "the Remove is still pending: {gate:?}");
    let seat = rig.relay.order(|order| match order {
        RoomOrder::Seat(seat) => Some(seat.seat),
        _ => None,
    });
    assert_eq!(seat.await, seats[0]);
    let joiner = rig.joiner("bob");
    assert_eq!(rig.desks.join(&room7(), joiner).await, Err(Refusal::Barred));
    assert_eq!(rig.desks.len(), 1);
}

#[tokio::test]
async fn a_hundred_conferences_come_back_and_an_ended_one_does_not() {
    let mut rig = Rig::new().await;
    for n in 0..100 {
        let creator = aor(if n < 50 { "alice" } else { "bob" });
        let new = NewConference { id: None, creator, level: Level::Sealed, standing: None };
        rig.desks.create(new).await.unwrap();
    }
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;
    rig.desks.gone(&room7(), rig.seat("alice"), Gone::Left).await;
    rig.relay.order(|order| matches!(order, RoomOrder::Close { .. }).then_some(())).await;

    rig.restart().await;

    assert_eq!(rig.desks.len(), 100);
    assert!(!rig.desks.exists(&room7()));
}

#[tokio::test]
async fn s1_9_of_a_conference_that_is_over_nothing_is_left_but_the_end_and_a_new_one_goes_on() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.add("bob").await;
    rig.all_safe().await;
    let era = rig.member("alice").era();

    rig.desks.close(&room7()).await.unwrap();

    rig.relay.order(|order| matches!(order, RoomOrder::Close { .. }).then_some(())).await;
    let left = loop {
        let left = rig.store.read(&room7()).await.unwrap();
        if left.events.len() == 1 {
            break left;
        }
        tokio::task::yield_now().await;
    };
    assert!(left.before.0 > 0 && left.group.is_none());
    rig.restart().await;
    assert_eq!((rig.desks.len(), rig.desks.exists(&room7())), (0, false));
    // What has the same name has later terms, eras and keys: a relay that was away cannot mix them up.
    rig.found().await;
    assert!(rig.member("alice").era() > era);
    let again = rig.store.read(&room7()).await.unwrap();
    assert!(again.before == left.before && again.events.len() > 1);
    rig.restart().await;
    assert!(rig.desks.exists(&room7()));
}

#[tokio::test]
async fn a_start_says_the_last_commit_again_under_the_same_key() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.add("bob").await;
    // A relay that was not there when it was said.
    rig.all_safe().await;
    rig.relay.restart("second").await;

    rig.restart().await;

    let (commit, gate) = rig.broadcast().await;
    assert_eq!(gate, None, "an old gate must not hold again");
    rig.hear("alice", &commit);
}

#[tokio::test]
async fn of_two_owners_the_later_one_keeps_the_conference() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();

    let _later = rig.another().await;

    let joiner = rig.joiner("alice");
    assert_eq!(rig.desks.join(&room7(), joiner).await, Err(Refusal::NotOwner));
}

#[tokio::test]
async fn a_seat_that_nobody_claims_after_a_restart_is_given_up() {
    let limits = DeskLimits { orphaned: Duration::from_millis(300), ..DeskLimits::default() };
    let mut rig = Rig::with(limits, Habits::default()).await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;
    rig.arrive("bob").await;
    let alice = rig.seat("alice");
    rig.all_safe().await;

    rig.restart().await;
    rig.arrive("bob").await;

    let SipEffect::Bye { seat, reason, .. } = rig.effect().await else { panic!("no BYE") };
    assert_eq!((seat, reason.as_str()), (alice, "dialog lost"));
    let next = tokio::time::timeout(Duration::from_millis(300), rig.sip.recv()).await;
    assert!(next.is_err(), "bob came back and keeps the seat: {next:?}");
}

#[tokio::test]
async fn a_store_that_fails_refuses_and_the_relay_hears_nothing() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;
    rig.relay.order(|order| matches!(order, RoomOrder::Seat(_)).then_some(())).await;
    rig.all_safe().await;

    rig.store.close().await;

    let kicked = rig.desks.kick(&room7(), &aor("alice"), aor("alice")).await;
    assert_eq!(kicked, Err(Refusal::NotOwner));
    let joiner = rig.joiner("bob");
    assert!(rig.desks.join(&room7(), joiner).await.is_err());
    assert!(rig.relay.orders.try_recv().is_err());
}

#[tokio::test]
async fn stopping_ends_every_desk_and_keeps_every_conference() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;

    rig.desks.stop().await;
    assert!(!rig.desks.exists(&room7()));
    rig.restart().await;

    assert!(rig.desks.exists(&room7()));
}
