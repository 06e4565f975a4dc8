//! What the operator sees of conferences, and may do to them.
use std::time::Duration;

use super::relay::Habits;
use super::rig::{Rig, aor, room7};
use crate::conference::{self, Presence};
use crate::config::Level;
use crate::desk::{DeskLimits, Listed, Refusal, SipEffect};

#[tokio::test]
async fn the_list_counts_devices_and_leaves_and_an_overview_says_where_each_device_is() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.join("bob").await.unwrap();
    rig.all_safe().await;

    let listed = Listed {
        id: room7(),
        creator: aor("alice"),
        level: conference::Level::Sealed,
        participants: 2,
        members: 1,
    };
    assert_eq!(rig.desks.list(), [listed]);

    let overview = rig.desks.overview(&room7()).await.unwrap();
    let seen: Vec<_> = overview.people.iter().map(|person| person.aor.clone()).collect();
    assert_eq!(seen, [aor("alice"), aor("bob")]);
    let [alice, bob] = &overview.people[..] else { panic!("{overview:?}") };
    assert!(alice.moderator && !bob.moderator);
    let device = &alice.devices[0];
    assert_eq!((device.presence, device.member), (Presence::Connected, true));
    let device = &bob.devices[0];
    assert_eq!((device.presence, device.member), (Presence::Seated, false));
    assert_eq!(overview.group.map(|(_, epoch)| epoch.0), Some(0));
    assert_eq!(overview.uri, "sip:room7@example.net");
}

#[tokio::test]
async fn a_closed_conference_is_over_for_everybody_and_may_be_made_again() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;
    rig.all_safe().await;

    rig.desks.close(&room7()).await.unwrap();

    let SipEffect::Bye { seat, .. } = rig.effect().await else { panic!("no BYE") };
    assert_eq!(seat, rig.seat("alice"));
    let after = rig.desks.overview(&room7()).await;
    assert_eq!(after, Err(Refusal::Over));
    assert_eq!(rig.desks.close(&room7()).await, Err(Refusal::Over));
    rig.make(Level::Open).await.unwrap();
    assert_eq!(rig.desks.list().len(), 1);
}

#[tokio::test]
async fn the_operator_puts_out_even_the_founder_and_nobody_who_is_not_there() {
    let limits = DeskLimits { confirmed: Duration::from_secs(5), ..DeskLimits::default() };
    let mut rig = Rig::with(limits, Habits::default()).await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;
    rig.arrive("bob").await;
    rig.all_safe().await;

    assert_eq!(rig.desks.expel(&room7(), aor("alice")).await, Ok(()));

    let joiner = rig.joiner("alice");
    assert_eq!(rig.desks.join(&room7(), joiner).await, Err(Refusal::Barred));
    let overview = rig.desks.overview(&room7()).await.unwrap();
    assert_eq!(overview.barred, [aor("alice")]);
    let nobody = rig.desks.expel(&room7(), aor("eve")).await;
    assert_eq!(nobody, Err(Refusal::NotOnRoster(aor("eve"))));
}
