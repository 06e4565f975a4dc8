//! KeyPackages at the door of the directory.
use std::time::Duration;

use openmls::prelude::{KeyPackage, Lifetime, MlsMessageOut};
use openmls_traits::signatures::Signer as _;

use super::keeping::{Disk, keeping};
use super::support::{DAY, Realm, Room, name, room7};
use crate::group::{SUITE, capabilities};
use crate::identity::BadCredential;
use crate::key_packages::{BadKeyPackage, CheckedKeyPackage, LIFETIME_MAX, named_device};
use crate::member::{Keyring, Member};
use crate::wire::{ClaimedKeyPackage, DeviceName, KeyPackageUpload};

fn one(device: &Keyring, realm: &Realm) -> bytes::Bytes {
    device.key_packages(1, false, realm.now, 10 * DAY).unwrap().packages[0].clone()
}

/// A KeyPackage with any lifetime and any credential the keyring claims.
fn odd(device: &Keyring, lifetime: Lifetime) -> Vec<u8> {
    let bundle = KeyPackage::builder()
        .leaf_node_capabilities(capabilities())
        .key_package_lifetime(lifetime)
        .build(SUITE, device.openmls(), device.signer(), device.credential_with_key())
        .unwrap();
    MlsMessageOut::from(bundle.key_package().clone()).to_bytes().unwrap()
}

fn seconds(at: std::time::SystemTime) -> u64 {
    at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_key_package_of_the_right_device_is_accepted_with_its_expiry() {
    let mut realm = Realm::new(1);
    let alice = realm.device("alice", 1);
    let upload = alice.key_packages(3, true, realm.now, 10 * DAY).unwrap();

    for package in &upload.packages {
        let roots = realm.issuer.roots();
        let checked = CheckedKeyPackage::check(package, alice.device(), roots, realm.now).unwrap();
        assert!(!checked.is_last_resort());
        assert_eq!(seconds(checked.expiry()), seconds(realm.now + 10 * DAY));
        assert_eq!(checked.bytes(), package);
    }
    let last = upload.last_resort.unwrap();
    let roots = realm.issuer.roots();
    let last = CheckedKeyPackage::check(&last, alice.device(), roots, realm.now).unwrap();
    assert!(last.is_last_resort());
}

#[test]
fn a_key_package_of_somebody_else_is_refused() {
    let mut realm = Realm::new(2);
    let bob = realm.device("bob", 1);
    let package = one(&bob, &realm);

    for other in [name("alice", 1), name("bob", 2)] {
        let refused = CheckedKeyPackage::check(&package, &other, realm.issuer.roots(), realm.now);
        assert_eq!(refused.unwrap_err(), BadKeyPackage::SomebodyElse);
    }
    assert_eq!(named_device(&package), Ok(name("bob", 1)));
    assert_eq!(named_device(b"no KeyPackage"), Err(BadKeyPackage::Malformed));
}

#[test]
fn a_key_package_is_refused_outside_its_time() {
    let mut realm = Realm::new(3);
    let alice = realm.device("alice", 1);
    let package = one(&alice, &realm);
    let check = |at| {
        CheckedKeyPackage::check(&package, alice.device(), realm.issuer.roots(), at).map(|_| ())
    };

    assert_eq!(check(realm.now + 9 * DAY), Ok(()));
    assert_eq!(check(realm.now + 10 * DAY), Err(BadKeyPackage::Expired));
    assert_eq!(check(realm.now - 2 * DAY), Err(BadKeyPackage::NotYetValid));
}

#[test]
fn a_key_package_ends_with_its_certificate_and_never_lives_longer_than_84_days() {
    let mut realm = Realm::new(4);
    let alice = realm.device("alice", 1);
    let long = alice.key_packages(1, false, realm.now, 300 * DAY).unwrap();

    let roots = realm.issuer.roots();
    let checked =
        CheckedKeyPackage::check(&long.packages[0], alice.device(), roots, realm.now).unwrap();

    assert!(checked.expiry() <= alice.not_after());
    assert!(checked.expiry() <= realm.now + LIFETIME_MAX);
}

#[test]
fn a_key_package_that_claims_a_longer_life_is_refused() {
    let mut realm = Realm::new(5);
    let alice = realm.device("alice", 1);
    let start = seconds(realm.now - DAY);
    let too_long = Lifetime::init(start, start + 90 * 24 * 3600);

    let refused = CheckedKeyPackage::check(
        &odd(&alice, too_long),
        alice.device(),
        realm.issuer.roots(),
        realm.now,
    );

    assert_eq!(refused.unwrap_err(), BadKeyPackage::LivesTooLong);
}

#[test]
fn a_key_package_with_a_foreign_or_borrowed_certificate_is_refused() {
    let mut realm = Realm::new(6);
    let mut rogue = Realm::new(7);
    let lifetime = Lifetime::init(seconds(realm.now - DAY), seconds(realm.now + DAY));
    let alice = name("alice", 1);
    let key = realm.key();
    let genuine = realm.certificate(&key, &alice);

    let forged_key = rogue.key();
    let forged = rogue.certificate(&forged_key, &alice);
    let roots = realm.issuer.roots().clone();
    for (key, certificate, why) in [
        (forged_key, forged, BadCredential::NotOurs),
        (realm.key(), genuine, BadCredential::WrongKey),
    ] {
        let thief = Keyring::unchecked(&alice, key, &certificate, &roots);
        let refused = CheckedKeyPackage::check(&odd(&thief, lifetime), &alice, &roots, realm.now);
        assert_eq!(refused.unwrap_err(), BadKeyPackage::Credential(why));
    }
}

/// The same KeyPackage once more, as a last resort: with the same key for its Welcome, signed by its device.
fn twin(device: &Keyring, package: &[u8]) -> Vec<u8> {
    const LABEL: &[u8] = b"MLS 1.0 KeyPackageTBS";
    // RFC 9420, 10: behind an empty list of extensions comes the signature, and its length.
    let (body, tail) = package[4..].split_at(package.len() - 4 - 67);
    assert_eq!(tail[..3], [0, 0x40, 64]);
    let signed = [body, &[3, 0, 0x0a, 0]].concat();
    let octets = u16::try_from(signed.len()).unwrap() | 0x4000;
    let length = [u8::try_from(LABEL.len()).unwrap()];
    let content = [&length, LABEL, &octets.to_be_bytes(), &signed].concat();
    let signature = device.signer().sign(&content).unwrap();
    [&package[..4], &signed, &[0x40, 64], &signature].concat()
}

/// What names it is that key: a directory that takes each name once takes no key twice.
#[test]
fn i17_two_key_packages_with_one_key_have_one_name() {
    let mut realm = Realm::new(10);
    let alice = realm.device("alice", 1);
    let package = one(&alice, &realm);
    let again = twin(&alice, &package);
    let checked = |package: &[u8]| {
        let roots = realm.issuer.roots();
        CheckedKeyPackage::check(package, alice.device(), roots, realm.now).unwrap()
    };

    let (first, second) = (checked(&package), checked(&again));

    assert!(!first.is_last_resort() && second.is_last_resort() && again != package);
    assert_eq!(first.reference(), second.reference());
    assert_ne!(first.reference(), checked(&one(&alice, &realm)).reference());
}

#[test]
fn a_changed_octet_spoils_a_key_package() {
    let mut realm = Realm::new(8);
    let alice = realm.device("alice", 1);
    let package = one(&alice, &realm);

    for at in (0..package.len()).step_by(7) {
        let mut changed = package.to_vec();
        changed[at] ^= 1;
        let roots = realm.issuer.roots();
        let refused = CheckedKeyPackage::check(&changed, alice.device(), roots, realm.now);
        assert!(refused.is_err(), "octet {at} of {}", package.len());
    }
    for cut in 0..package.len() {
        let roots = realm.issuer.roots();
        let refused = CheckedKeyPackage::check(&package[..cut], alice.device(), roots, realm.now);
        assert!(refused.is_err(), "cut at {cut}");
    }
}

#[test]
fn a_device_with_an_ended_certificate_makes_no_key_packages() {
    let mut realm = Realm::new(9);
    let alice = realm.device("alice", 1);

    let late = alice.not_after() + Duration::from_secs(1);

    assert!(alice.key_packages(1, false, late, DAY).is_err());
}

/// I17: a last resort that was handed out and replaced still opens what was on its way, and then nothing.
#[test]
fn i17_what_was_replaced_opens_what_was_on_its_way_and_goes() {
    for too_late in [false, true] {
        let mut room = Room::new(83);
        let bob = keeping(&mut room.realm, "bob");
        let (now, records) = (room.realm.now, bob.records().clone());
        let publish = |filling: fn(KeyPackageUpload) -> KeyPackageUpload, packages| {
            let upload = filling(bob.key_packages(packages, true, now, DAY * 30).unwrap());
            records.replaced_by(&upload, now);
            upload
        };
        let first = publish(KeyPackageUpload::replacing, 2);
        let second = publish(|adding| adding, 0);
        assert_eq!(records.key_packages(now), 3, "two, and the second last resort");
        publish(KeyPackageUpload::replacing, 0);
        assert_eq!(records.key_packages(now), 1, "the third");
        let mut disk = Disk::default();
        disk.take(&records);

        // Known after a restart, too.
        let bob = disk.restart(&bob);
        let age = if too_late { DAY * 7 } else { DAY * 6 };
        let gone = bob.records().forget_halves(now + age, DAY * 7);
        assert_eq!(gone, if too_late { 4 } else { 0 });
        for old in [first.last_resort, second.last_resort] {
            let DeviceName { aor, device } = bob.device().clone();
            let claim = ClaimedKeyPackage { aor, device, key_package: old.unwrap() };
            let bundle = room.members[0].add(&[claim], now).unwrap();
            let accepted = room.accept(&name("alice", 1), &bundle);
            room.members[0].process(&accepted.commit.unwrap(), now).unwrap();
            let joined = Member::join(&bob, &room7(), &accepted.welcomes[0].1, now);
            assert_eq!(joined.is_ok(), !too_late);
            room.banned.insert(bob.device().aor.clone());
            let bundle = room.members[0].remove(&[bob.device().clone()], now);
            let accepted = room.accept(&name("alice", 1), &bundle.unwrap());
            room.members[0].process(&accepted.commit.unwrap(), now).unwrap();
            room.banned.clear();
        }
        assert_eq!(bob.records().key_packages(now), 1);
    }
}
