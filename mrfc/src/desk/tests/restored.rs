//! A backup that was put back: the members are ahead of what the focus knows.
use control::RoomOrder;

use super::rig::{Delivered, Rig, room7};
use mls::wire::Reason;

#[tokio::test]
async fn after_an_old_database_came_back_no_term_era_or_seat_is_given_out_again() {
    let mut rig = Rig::new().await;
    rig.found().await;
    let backup = rig.backup().await;
    // What the backup does not know: a member, its seat, and an epoch.
    rig.add("bob").await;
    rig.all_safe().await;
    let (era, seat) = (rig.member("bob").era(), rig.seat("bob"));
    assert!(rig.member("bob").epoch().0 > 0);

    rig.put_back(&backup).await;

    assert!(rig.desks.exists(&room7()));
    rig.arrive("alice").await;
    assert!(rig.seat("alice").0 > seat.0 + 1_000_000);
    let term = rig.relay.order(|order| match order {
        RoomOrder::Open(room) if room.term.0 > 1 << 16 => Some(room.term),
        _ => None,
    });
    assert!(term.await.0 > 1 << 16);
    // The group that bob is in goes on nowhere: alice is asked for another one, of an era that nobody has seen.
    let Delivered::Request(asked) = rig.told("alice").await else { panic!("no request") };
    assert_eq!(asked.reason, Reason::Create);
    assert!(asked.era.0 > era.0 + 1_000, "{asked:?}");

    // It happens once: the next start goes on with what there is.
    rig.restart().await;
    assert!(!rig.store.is_restored(&room7()).await.unwrap());
}
