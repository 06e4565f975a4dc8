//! A removal is answered when the relay has carried it out, and not before.
use std::time::Duration;

use control::RoomOrder;
use ids::SeatId;

use super::relay::Habits;
use super::rig::{Rig, aor, room7};
use crate::config::Level;
use crate::desk::{DeskLimits, Refusal};

fn unseat(order: &RoomOrder) -> Option<SeatId> {
    match order {
        RoomOrder::Unseat { seat, .. } => Some(*seat),
        _ => None,
    }
}

/// alice and bob in an open room.
async fn pair(limits: DeskLimits) -> Rig {
    let mut rig = Rig::with(limits, Habits::default()).await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;
    rig.arrive("bob").await;
    rig.all_safe().await;
    rig
}

#[tokio::test]
async fn a_kick_is_answered_when_the_relay_has_carried_it_out() {
    let mut rig = pair(DeskLimits::default()).await;
    rig.relay.stall();

    let desks = rig.desks.clone();
    let kick = tokio::spawn(async move { desks.kick(&room7(), &aor("alice"), aor("bob")).await });
    let seat = rig.relay.order(unseat).await;
    assert_eq!(seat, rig.seat("bob"));
    // The desk itself goes on: it takes a whole new joiner's ask meanwhile.
    rig.desks.invite(&room7(), &aor("alice"), aor("carol")).await.unwrap();
    assert!(!kick.is_finished(), "the relay has not carried it out");

    rig.relay.work();
    assert_eq!(kick.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_kick_that_the_relay_does_not_confirm_is_said_to_be_so_and_stands() {
    let limits = DeskLimits { confirmed: Duration::from_millis(100), ..DeskLimits::default() };
    let mut rig = pair(limits).await;
    rig.relay.stall();

    let kicked = rig.desks.kick(&room7(), &aor("alice"), aor("bob")).await;

    assert_eq!(kicked, Err(Refusal::Unconfirmed));
    let joiner = rig.joiner("bob");
    assert_eq!(rig.desks.join(&room7(), joiner).await, Err(Refusal::Barred));
}

#[tokio::test]
async fn a_kick_while_the_link_is_down_is_answered_after_the_full_resend() {
    let mut rig = pair(DeskLimits::default()).await;
    rig.relay.cut().await;

    rig.desks.kick(&room7(), &aor("alice"), aor("bob")).await.unwrap();

    // At this time, and not only later, the relay has ended the seat.
    let orders = std::iter::from_fn(|| rig.relay.orders.try_recv().ok());
    let ended: Vec<SeatId> = orders.filter_map(|(_, order)| unseat(&order)).collect();
    assert_eq!(ended.first(), Some(&rig.seat("bob")));
}
