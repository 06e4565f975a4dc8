//! The word of a device for another one of its person.
use std::time::Duration;

use super::support::{Realm, name};
use crate::identity::{BadCredential, BadVoucher, VOUCHER_LIFE, Voucher, device_code};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_device_vouches_for_another_one_of_its_person() {
    let mut realm = Realm::new(50);
    let (phone, key) = (realm.device("alice", 1), realm.key().public());
    let voucher = phone.vouch(&name("alice", 2), key, realm.now + MINUTE);

    let read = Voucher::from_bytes(&voucher.to_bytes()).unwrap();

    assert_eq!(read, voucher);
    let by = read.check(&name("alice", 1).aor, realm.issuer.roots(), realm.now).unwrap();
    assert_eq!(by, name("alice", 1));
    assert_eq!((&read.device, read.key), (&name("alice", 2), key));
}

#[test]
fn a_word_for_somebody_else_or_of_somebody_else_or_at_another_time_is_none() {
    let mut realm = Realm::new(51);
    let (phone, key) = (realm.device("alice", 1), realm.key().public());
    let (alice, roots) = (name("alice", 1).aor, realm.issuer.roots().clone());
    let until = realm.now + MINUTE;
    let check = |voucher: &Voucher| voucher.check(&alice, &roots, realm.now).err();

    let for_bob = phone.vouch(&name("bob", 1), key, until);
    assert_eq!(check(&for_bob), Some(BadVoucher::SomebodyElse));
    // A certified device gives its word for no other key of its own.
    let other_key = phone.vouch(&name("alice", 1), key, until);
    assert_eq!(check(&other_key), Some(BadVoucher::SomebodyElse));
    assert_eq!(check(&phone.vouch(&name("alice", 1), phone.public_key(), until)), None);
    assert_eq!(check(&phone.vouch(&name("alice", 2), key, realm.now)), Some(BadVoucher::Late));
    let forever = phone.vouch(&name("alice", 2), key, until + VOUCHER_LIFE);
    assert_eq!(check(&forever), Some(BadVoucher::Late));
    let strangers = Realm::new(52).issuer.roots().clone();
    let good = phone.vouch(&name("alice", 2), key, until);
    let foreign = good.check(&alice, &strangers, realm.now).err();
    assert_eq!(foreign, Some(BadVoucher::Credential(BadCredential::NotOurs)));
    let bob = name("bob", 1).aor;
    assert_eq!(good.check(&bob, &roots, realm.now).err(), Some(BadVoucher::SomebodyElse));
}

#[test]
fn a_word_with_a_changed_octet_is_none_or_says_the_same() {
    let mut realm = Realm::new(53);
    let (phone, key) = (realm.device("alice", 1), realm.key().public());
    let voucher = phone.vouch(&name("alice", 2), key, realm.now + MINUTE);
    let (octets, alice, roots) = (voucher.to_bytes(), name("alice", 1).aor, realm.issuer.roots());

    let mut refused = 0;
    for at in 0..octets.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut changed = octets.to_vec();
            changed[at] ^= bit;
            // A name in other letters is the same name.
            let read = Voucher::from_bytes(&changed).ok().filter(|read| *read != voucher);
            let good = read.is_some_and(|read| read.check(&alice, roots, realm.now).is_ok());
            assert!(!good, "octet {at} with {bit:#x}");
            refused += usize::from(Voucher::from_bytes(&changed).as_ref() != Ok(&voucher));
        }
    }
    assert!(refused > octets.len() * 3 - 60, "{refused} of {}", octets.len() * 3);
}

#[test]
fn a_code_is_twenty_digits_of_person_device_and_key() {
    let code = device_code(&name("alice", 1), &[1; 32]);

    assert_eq!(code.len(), 23);
    assert!(code.split(' ').all(|group| group.len() == 5 && group.parse::<u32>().is_ok()));
    assert_ne!(code, device_code(&name("alice", 2), &[1; 32]));
    assert_ne!(code, device_code(&name("bob", 1), &[1; 32]));
    assert_ne!(code, device_code(&name("alice", 1), &[2; 32]));
}
