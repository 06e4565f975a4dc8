//! Certificates: who gets one, and which are believed.
use std::time::Duration;

use ids::Era;

use super::support::{DAY, Realm, name, room7};
use crate::identity::{
    BadCredential, BadRequest, CERTIFICATE_OCTETS_MAX, DeviceKey, Issuer, Roots, request,
    requested_device,
};
use crate::member::{Keyring, Member};
use crate::wire::DeviceName;

#[test]
fn a_certificate_says_which_device_holds_the_key() {
    let mut realm = Realm::new(1);
    let (key, alice) = (realm.key(), name("alice", 1));

    let certificate = realm.certificate(&key, &alice);
    let identity = realm.issuer.roots().check(&certificate, realm.now).unwrap();

    assert_eq!((identity.name, identity.key), (alice, key.public()));
    assert!(certificate.len() < 400, "{} octets", certificate.len());
}

#[test]
fn the_longest_names_fit_into_a_leaf_certificate() {
    let mut realm = Realm::new(2);
    let aor = format!("sip:{}@example.net", "a".repeat(255 - 16));
    let long = DeviceName { aor: aor.parse().unwrap(), device: name("x", 1).device };
    let key = realm.key();

    let certificate = realm.certificate(&key, &long);

    assert!(certificate.len() <= CERTIFICATE_OCTETS_MAX, "{} octets", certificate.len());
    assert_eq!(realm.issuer.roots().check(&certificate, realm.now).unwrap().name, long);
}

#[test]
fn a_request_not_signed_by_the_key_it_names_is_refused() {
    let mut realm = Realm::new(3);
    let (key, alice) = (realm.key(), name("alice", 1));
    let mut csr = request(&key, &alice).unwrap();

    *csr.last_mut().unwrap() ^= 1;

    let issued = realm.issuer.issue(&csr, &alice, realm.now, DAY);
    assert_eq!(issued, Err(BadRequest::NoPossession));
    assert_eq!(requested_device(&csr), Err(BadRequest::NoPossession));
}

#[test]
fn a_request_that_names_another_person_or_device_is_refused() {
    let mut realm = Realm::new(4);
    let key = realm.key();
    let csr = request(&key, &name("alice", 1)).unwrap();
    assert_eq!(requested_device(&csr), Ok(name("alice", 1)));

    for other in [name("bob", 1), name("alice", 2)] {
        let issued = realm.issuer.issue(&csr, &other, realm.now, DAY);
        assert_eq!(issued, Err(BadRequest::SomebodyElse));
    }
}

#[test]
fn any_changed_octet_of_a_request_spoils_it() {
    let mut realm = Realm::new(5);
    let (key, alice) = (realm.key(), name("alice", 1));
    let csr = request(&key, &alice).unwrap();

    for at in 0..csr.len() {
        let mut changed = csr.clone();
        changed[at] ^= 0x20;
        assert!(realm.issuer.issue(&changed, &alice, realm.now, DAY).is_err(), "octet {at}");
    }
    assert!(realm.issuer.issue(&[], &alice, realm.now, DAY).is_err());
    assert!(realm.issuer.issue(&vec![0x30; 1 << 20], &alice, realm.now, DAY).is_err());
}

#[test]
fn any_changed_octet_of_a_certificate_spoils_it() {
    let mut realm = Realm::new(6);
    let key = realm.key();
    let certificate = realm.certificate(&key, &name("alice", 1));

    for at in 0..certificate.len() {
        let mut changed = certificate.clone();
        changed[at] ^= 0x20;
        assert!(realm.issuer.roots().check(&changed, realm.now).is_err(), "octet {at}");
    }
}

#[test]
fn a_certificate_is_believed_only_within_its_time() {
    let mut realm = Realm::new(7);
    let key = realm.key();
    let certificate = realm.certificate(&key, &name("alice", 1));
    let check = |at| realm.issuer.roots().check(&certificate, at).map(|_| ());

    // Issued a minute ago, and dated back by five.
    assert_eq!(check(realm.now - Duration::from_secs(362)), Err(BadCredential::NotYetValid));
    assert_eq!(check(realm.now - Duration::from_secs(358)), Ok(()));
    assert_eq!(check(realm.now + 29 * DAY), Ok(()));
    assert_eq!(check(realm.now + 30 * DAY), Err(BadCredential::Expired));
}

#[test]
fn a_device_whose_clock_is_a_minute_behind_uses_what_was_issued_this_moment() {
    let mut realm = Realm::new(71);
    let (now, year) = (realm.now, 365 * DAY);
    let behind = now - Duration::from_secs(60);
    // The authority is as young.
    let issuer = Issuer::generate(&mut realm.rng, "young devices", now, 2 * year).unwrap();
    let (key, alice) = (realm.key(), name("alice", 1));
    let csr = request(&key, &alice).unwrap();
    let certificate = issuer.issue(&csr, &alice, now, year).unwrap();

    let identity = issuer.roots().check(&certificate, behind).unwrap();
    let keys = Keyring::new(key, &certificate, issuer.roots(), behind).unwrap();

    let whole = Duration::from_secs(1);
    assert!(identity.not_after <= now + year && identity.not_after + whole > now + year);
    assert!(keys.key_packages(1, true, behind, DAY).is_ok());
    assert!(Member::create(&keys, &room7(), Era(1), behind).is_ok());
    // One that lives for less than the five minutes is not due before it is used.
    let brief = Duration::from_secs(60);
    let short = issuer.issue(&csr, &alice, now, brief).unwrap();
    keys.renew(&short, now).unwrap();
    assert!(keys.renew_at() > now);
}

#[test]
fn no_certificate_outlives_its_authority() {
    let mut realm = Realm::new(8);
    let (key, alice) = (realm.key(), name("alice", 1));
    let csr = request(&key, &alice).unwrap();
    let certificate = realm.issuer.issue(&csr, &alice, realm.now, 1000 * DAY).unwrap();

    let end = realm.issuer.roots().check(&certificate, realm.now).unwrap().not_after;

    assert!(end <= realm.now + 400 * DAY);
}

#[test]
fn another_authority_of_the_same_name_is_not_believed() {
    let mut realm = Realm::new(9);
    let mut rogue = Realm::new(10);
    let key = rogue.key();
    let certificate = rogue.certificate(&key, &name("alice", 1));

    let refused = realm.issuer.roots().check(&certificate, realm.now);

    assert_eq!(refused, Err(BadCredential::NotOurs));
    assert!(Keyring::new(realm.key(), &certificate, realm.issuer.roots(), realm.now).is_err());
}

#[test]
fn the_authoritys_own_certificate_is_no_device() {
    let realm = Realm::new(11);
    let authority = realm.issuer.certificate();

    assert!(realm.issuer.roots().check(authority, realm.now).is_err());
}

#[test]
fn a_device_certificate_is_no_authority() {
    let mut realm = Realm::new(12);
    let key = realm.key();

    assert!(Roots::from_der(&realm.certificate(&key, &name("alice", 1))).is_err());
}

#[test]
fn an_authority_comes_back_from_its_files_only_with_its_own_key() {
    let mut realm = Realm::new(13);
    let (certificate, key) = (realm.issuer.certificate(), realm.issuer.to_pkcs8().unwrap());
    let stored = Issuer::from_der(certificate, &key).unwrap();
    assert_eq!(stored.focus_key().public(), realm.issuer.roots().focus_key());

    let other = DeviceKey::generate(&mut realm.rng).to_pkcs8().unwrap();
    assert_eq!(
        Issuer::from_der(realm.issuer.certificate(), &other).unwrap_err(),
        BadCredential::WrongKey
    );
}

#[test]
fn a_keyring_wants_the_key_its_certificate_is_for() {
    let mut realm = Realm::new(14);
    let key = realm.key();
    let certificate = realm.certificate(&key, &name("alice", 1));

    let other = realm.key();
    assert!(Keyring::new(other, &certificate, realm.issuer.roots(), realm.now).is_err());
    assert!(Keyring::new(key, &certificate, realm.issuer.roots(), realm.now).is_ok());
}

#[test]
fn a_device_key_is_stored_and_read_back_but_never_printed() {
    let mut realm = Realm::new(15);
    let key = realm.key();

    let stored = DeviceKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();

    assert_eq!(stored.public(), key.public());
    assert_eq!(format!("{key:?} {:?}", realm.issuer.focus_key()), "DeviceKey(..) FocusKey(..)");
    assert!(DeviceKey::from_pkcs8(b"no key").is_err());
}
