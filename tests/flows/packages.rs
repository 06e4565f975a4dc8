//! What a device does by itself about its KeyPackages.
use std::time::Duration;

use bytes::Bytes;
use client::{Arrival, Device, LastResort, Limits, Manner, Profile, Vault};
use ids::Aor;

use super::circles::{opened, vault_in, was_here};
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

#[tokio::test]
async fn i17_a_last_resort_that_somebody_has_got_is_replaced_at_once_and_both_open() {
    let house = House::open();
    let (alice, carol) = (house.guest("alice").await, house.guest("carol").await);
    // Nothing but a last resort.
    let bob = house.guest_with("bob", Limits { key_packages: 0, ..Limits::default() }).await;
    let mut inbox = bob.device.inbox();

    for from in [&alice, &carol] {
        let (to, text) = (std::slice::from_ref(&bob.aor), Bytes::from_static(b"hello"));
        soon(from.device.write(to, Manner::default(), "text/plain", text)).await.unwrap();
        let Arrival::Letter(letter) = soon(inbox.next()).await.unwrap() else {
            panic!("it was not read");
        };
        assert_eq!(letter.message.from, from.aor);
        // It has gone; the device hears of it and leaves another one.
        soon(async {
            while bob.device.devices().await.unwrap().remove(0).last_resort != LastResort::Fresh {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// It looks when it comes back, and not only hours later.
#[tokio::test]
async fn i17_what_went_while_a_device_was_away_is_replaced_when_it_comes_back() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let folder = tempfile::tempdir().unwrap();
    was_here(&house, &folder, "bob").await;
    let bob = "sip:bob@localhost".parse().unwrap();
    let (to, text) = (std::slice::from_ref(&bob), Bytes::from_static(b"hello"));
    soon(alice.device.write(to, Manner::default(), "text/plain", text)).await.unwrap();

    let (device, _vault) = opened(&house, &folder, "bob").await;

    let shelf = async || device.devices().await.unwrap().remove(0).key_packages;
    soon(async { while shelf().await < 50 {} }).await;
}

/// What waits in the mailbox for longer than a device would keep its old KeyPackages by itself has to open.
#[tokio::test]
async fn i17_a_private_half_stays_for_as_long_as_the_server_keeps_what_waits() {
    let house = House::open();
    let (alice, folder) = (house.guest("alice").await, tempfile::tempdir().unwrap());
    was_here(&house, &folder, "bob").await;
    let halves = |vault: &Vault| -> Vec<Vec<u8>> {
        let keys = vault.records().snapshot().into_iter().map(|record| record.key);
        keys.filter(|key| key.starts_with(b"kp")).collect()
    };
    let vault = vault_in(&folder).await;
    let before = halves(&vault);
    // It does not know what it has there, and leaves everything anew.
    vault.records().forget(b"device/published");
    let limits = Limits { key_packages: 11, welcome: Duration::ZERO, ..Limits::default() };
    let profile = Profile { limits, ..house.directions.profile("bob").unwrap() };
    let (device, _invitations) = soon(Device::open(profile, vault.clone())).await.unwrap();
    let bob: Aor = "sip:bob@localhost".parse().unwrap();

    // One goes, and it looks after its shelf: it has forgotten by then what it does not need.
    let text = Bytes::from_static(b"hello");
    soon(alice.device.write(std::slice::from_ref(&bob), Manner::default(), "text/plain", text))
        .await
        .unwrap();
    let shelf = async || device.devices().await.unwrap().remove(0).key_packages;
    soon(async { while shelf().await < 11 {} }).await;

    let now = halves(&vault);
    let left = before.iter().filter(|key| now.contains(key)).count();
    assert_eq!((before.len(), left), (51, 51));
}
