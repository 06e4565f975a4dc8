//! Devices of a person: what they have here, and what being taken back does to it.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod engines;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engines::Database;
use ids::{Aor, DeviceId};
use store::{Certificate, LastResort, NewKeyPackage, Store};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn at(secs: u64) -> SystemTime {
    NOW + Duration::from_secs(secs)
}

fn alice() -> Aor {
    "sip:alice@example.net".parse().unwrap()
}

fn device(number: u8) -> DeviceId {
    format!("urn:uuid:00000000-0000-4000-8000-0000000000{number:02x}").parse().unwrap()
}

fn package(name: &str, expires: SystemTime) -> NewKeyPackage {
    let octets = Bytes::copy_from_slice(name.as_bytes());
    NewKeyPackage { reference: octets.clone(), package: octets, expires }
}

async fn fill(store: &Store, number: u8) {
    let (one, last) = (format!("{number} one"), format!("{number} last"));
    let (packages, last) = (vec![package(&one, at(100))], Some(package(&last, at(1000))));
    store.put_key_packages(&alice(), &device(number), packages, last, (9, NOW)).await.unwrap();
    let certificate = Certificate {
        serial: number.to_string(),
        aor: alice(),
        device: device(number),
        issued: NOW,
        expires: at(5000),
    };
    store.note_certificate(certificate).await.unwrap();
}

async fn a_device_that_was_taken_back_hands_out_nothing_and_stays_taken_back(database: Database) {
    let store = database.open().await;
    fill(&store, 1).await;
    fill(&store, 2).await;
    assert!(!store.revoke_device(&alice(), &device(3), at(1)).await.unwrap());

    assert!(store.revoke_device(&alice(), &device(1), at(1)).await.unwrap());
    assert!(!store.revoke_device(&alice(), &device(1), at(2)).await.unwrap());

    let claimed = store.claim_key_packages(&alice(), (at(3), at(3))).await.unwrap();
    assert_eq!(claimed.iter().map(|it| &it.device).collect::<Vec<_>>(), [&device(2)]);
    assert_eq!(store.claim_key_package(&alice(), &device(1), at(3)).await.unwrap(), None);
    store.close().await;
    let store = database.open().await;
    assert_eq!(store.revoked_devices().await.unwrap(), [(alice(), device(1))]);
    assert_eq!(store.revoked_devices_of(&alice()).await.unwrap(), [device(1)]);
    // It has asked for room before it was taken back, and comes with its KeyPackages after.
    for last_resort in [None, Some(package("last", at(1000)))] {
        let filled = store
            .put_key_packages(
                &alice(),
                &device(1),
                vec![package("late", at(1000))],
                last_resort,
                (10, at(3)),
            )
            .await;
        assert!(matches!(filled, Err(store::Error::TakenBack)), "{filled:?}");
    }
    assert_eq!(store.claim_key_package(&alice(), &device(1), at(3)).await.unwrap(), None);
    let all = store.devices(&alice(), at(3)).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].revoked, all[0].key_packages), (Some(at(1)), 0));
    assert_eq!((all[1].revoked, all[1].certificate_ends), (None, Some(at(5000))));
}

async fn i17_how_many_are_left_is_told_with_each_one_and_a_last_resort_that_went_is_marked(
    database: Database,
) {
    let store = database.open().await;
    fill(&store, 1).await;
    let state = async || {
        let all = store.devices(&alice(), at(1)).await.unwrap();
        (all[0].key_packages, all[0].last_resort)
    };
    assert_eq!(state().await, (1, LastResort::Fresh));

    let first = store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap().unwrap();
    assert_eq!((first.left, first.last_resort), (0, false));
    assert_eq!(state().await, (0, LastResort::Fresh));

    let second = store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap().unwrap();
    assert_eq!((second.left, second.last_resort), (0, true));
    assert_eq!(state().await, (0, LastResort::Used));

    let new = Some(package("a new last one", at(1000)));
    store.put_key_packages(&alice(), &device(1), Vec::new(), new, (9, NOW)).await.unwrap();
    assert_eq!(state().await, (0, LastResort::Fresh));
}

async fn a_package_that_would_end_before_its_message_is_fetched_is_not_handed_out(
    database: Database,
) {
    let store = database.open().await;
    fill(&store, 1).await;

    let claim = async |until| {
        let claimed = store.claim_key_packages(&alice(), (at(1), until)).await.unwrap();
        claimed.first().map(|it| it.package.clone())
    };
    assert_eq!(claim(at(100)).await.unwrap(), "1 last");
    assert_eq!(claim(at(1000)).await, None);
    assert_eq!(claim(at(99)).await.unwrap(), "1 one");
}

on_both![
    a_device_that_was_taken_back_hands_out_nothing_and_stays_taken_back,
    i17_how_many_are_left_is_told_with_each_one_and_a_last_resort_that_went_is_marked,
    a_package_that_would_end_before_its_message_is_fetched_is_not_handed_out,
];
