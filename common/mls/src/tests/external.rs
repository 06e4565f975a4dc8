//! Devices whose certificates an authority of the operator's has issued: which of them are believed, and that they share a
//! group with those that the focus certified.
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType, SignatureAlgorithm,
};

use super::support::{DAY, Realm, Room, claim, name, room7};
use crate::identity::{BadCredential, DeviceKey, Issued, Roots};
use crate::key_packages::{BadKeyPackage, CheckedKeyPackage};
use crate::ledger::Whom;
use crate::member::{Keyring, Processed};
use crate::wire::DeviceName;

/// An operator's authority.
struct Ca {
    issuer: rcgen::Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
}

fn ca(algorithm: &'static SignatureAlgorithm, common_name: &str) -> Ca {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    Ca { issuer: rcgen::Issuer::new(params, key), certificate }
}

/// What an operator's authority certifies, beside the two names.
fn usual(realm: &Realm, who: &DeviceName) -> CertificateParams {
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let mut params = CertificateParams::new(vec![String::from("phone-7.example.net")]).unwrap();
    params.subject_alt_names.push(uri(who.device.as_str()));
    params.subject_alt_names.push(uri(who.aor.as_str()));
    params.distinguished_name.push(rcgen::DnType::CommonName, "a phone");
    params.use_authority_key_identifier_extension = true;
    params.not_before = (realm.now - Duration::from_secs(60)).into();
    params.not_after = (realm.now + 30 * DAY).into();
    params
}

fn key_pair(key: &DeviceKey) -> KeyPair {
    let der = rustls_pki_types::PrivatePkcs8KeyDer::from(key.to_pkcs8().unwrap().to_vec());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).unwrap()
}

impl Ca {
    fn certify(&self, params: CertificateParams, key: &KeyPair) -> Vec<u8> {
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }

    /// A device with a certificate of this authority, where its authority is believed.
    fn device(&self, realm: &mut Realm, person: &str, roots: &Roots) -> Keyring {
        let (key, who) = (realm.key(), name(person, 7));
        let certificate = self.certify(usual(realm, &who), &key_pair(&key));
        Keyring::new(key, &certificate, roots, realm.now).unwrap()
    }
}

#[test]
fn a_device_of_an_authority_that_is_believed_is_who_its_certificate_names() {
    let mut realm = Realm::new(40);
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256] {
        let ca = ca(algorithm, "the operator");
        let (key, who) = (realm.key(), name("alice", 7));
        let certificate = ca.certify(usual(&realm, &who), &key_pair(&key));
        let mut roots = realm.issuer.roots().clone();
        assert_eq!(roots.check(&certificate, realm.now), Err(BadCredential::NotOurs));

        roots.trust(&ca.certificate).unwrap();
        let identity = roots.check(&certificate, realm.now).unwrap();

        assert_eq!((&identity.name, identity.key), (&who, key.public()));
        assert_eq!(identity.issued, Issued::Elsewhere);
        assert_eq!(roots.check(&certificate, realm.now + 31 * DAY), Err(BadCredential::Expired));
        assert_eq!(roots.focus_key(), realm.issuer.roots().focus_key());
        for at in 0..certificate.len() {
            let mut changed = certificate.clone();
            changed[at] ^= 0x20;
            assert!(roots.check(&changed, realm.now).is_err(), "octet {at}");
        }
    }
}

#[test]
fn what_an_authority_of_the_operators_cannot_certify_is_refused() {
    let mut realm = Realm::new(41);
    let ca = ca(&PKCS_ED25519, "the operator");
    let mut roots = realm.issuer.roots().clone();
    roots.trust(&ca.certificate).unwrap();
    let (key, who) = (realm.key(), name("alice", 7));
    let pair = key_pair(&key);
    let certified = |params: CertificateParams| roots.check(&ca.certify(params, &pair), realm.now);
    assert!(certified(usual(&realm, &who)).is_ok());

    let mask = DeviceName { aor: ids::Aor::pseudonym(&room7(), 1), ..who.clone() };
    let mut authority = usual(&realm, &who);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut nameless = usual(&realm, &who);
    nameless.subject_alt_names.pop();
    let mut two = usual(&realm, &who);
    let bob = name("bob", 7);
    two.subject_alt_names.push(SanType::URI(bob.aor.as_str().try_into().unwrap()));
    let mut odd = usual(&realm, &who);
    odd.custom_extensions.push({
        let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9, 9], vec![5, 0]);
        unknown.set_criticality(true);
        unknown
    });
    let mut encrypts = usual(&realm, &who);
    encrypts.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    for params in [usual(&realm, &mask), authority, nameless, two, odd, encrypts] {
        assert_eq!(certified(params.clone()), Err(BadCredential::Malformed), "{params:?}");
    }
    let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = ca.certify(usual(&realm, &who), &other);
    assert_eq!(roots.check(&certificate, realm.now), Err(BadCredential::Malformed));
}

#[test]
fn another_authority_of_the_same_name_is_not_believed() {
    let mut realm = Realm::new(42);
    let (ours, other) = (ca(&PKCS_ED25519, "the operator"), ca(&PKCS_ED25519, "the operator"));
    let mut roots = realm.issuer.roots().clone();
    roots.trust(&ours.certificate).unwrap();
    let (key, who) = (realm.key(), name("alice", 7));
    let certificate = other.certify(usual(&realm, &who), &key_pair(&key));

    assert_eq!(roots.check(&certificate, realm.now), Err(BadCredential::NotOurs));
    // Nor is it an authority for the focus, whatever key it has.
    let device = ours.certify(usual(&realm, &who), &key_pair(&key));
    assert_eq!(roots.trust(&device), Err(BadCredential::Malformed));
    let weak = ca(&rcgen::PKCS_ECDSA_P384_SHA384, "another curve");
    assert_eq!(roots.trust(&weak.certificate), Err(BadCredential::Malformed));
}

#[test]
fn devices_of_both_authorities_share_a_group_and_each_can_be_removed() {
    let ca = ca(&PKCS_ECDSA_P256_SHA256, "the operator");
    let mut realm = Realm::new(43);
    realm.issuer.trust(&ca.certificate).unwrap();
    let mut room = Room::of(realm);
    let roots = room.realm.issuer.roots().clone();
    let bob = ca.device(&mut room.realm, "bob", &roots);
    let checked =
        CheckedKeyPackage::check(&claim(&bob).key_package, bob.device(), &roots, room.realm.now);
    assert!(checked.is_ok());
    let strangers = Realm::new(44).issuer.roots().clone();
    let stranger = CheckedKeyPackage::check(
        &claim(&bob).key_package,
        bob.device(),
        &strangers,
        room.realm.now,
    );
    assert_eq!(stranger.err(), Some(BadKeyPackage::Credential(BadCredential::NotOurs)));

    room.add(0, std::slice::from_ref(&bob));
    let sealed = room.members[1].seal("m1", b"hello").unwrap();
    let now = room.realm.now;
    let opened = room.members[0].process(&sealed, now).unwrap();
    let Processed::Message(opened) = opened else { panic!("{opened:?}") };
    assert_eq!((&opened.from, &opened.plaintext[..]), (bob.device(), &b"hello"[..]));
    assert!(room.ledger.check_removal(Whom::Device(bob.device())).is_ok());
    assert_eq!(room.ledger.expired(now), []);
    assert_eq!(room.ledger.expired(now + 31 * DAY).len(), 2);
}
