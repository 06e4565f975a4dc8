//! What a device does by itself about its KeyPackages.
use client::{LastResort, Limits};

use super::{House, soon};

#[tokio::test]
async fn i17_a_device_whose_packages_get_few_leaves_new_ones_by_itself() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let bob = house.guest_with("bob", Limits { key_packages: 11, ..Limits::default() }).await;
    let mut room = alice.create().await;
    room.entered().await;

    // One goes with the Welcome; the server tells bob that ten are left.
    bob.join(&room.conference).await;

    soon(async {
        loop {
            let own = bob.device.devices().await.unwrap().remove(0);
            if own.key_packages == 11 {
                assert_eq!(own.last_resort, LastResort::Fresh);
                return;
            }
        }
    })
    .await;
}
