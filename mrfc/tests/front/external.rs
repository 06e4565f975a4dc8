//! Devices that an authority of the operator's has certified: what their certificate opens here, and that they are taken back
//! like others.
use mls::identity::{DeviceKey, Roots};
use mls::member::Keyring;
use mls::wire::{DeviceName, claims_from_bytes};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use service::clock;
use service::tls::Identity;
use sip::Status;

use crate::phone::{Phone, good_offer};
use crate::relay::Manner;
use crate::web::{ask, exchange_at};
use crate::world::{DOMAIN, World};

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

struct Ca {
    issuer: rcgen::Issuer<'static, KeyPair>,
    pem: String,
    der: Vec<u8>,
}

fn ca() -> Ca {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "the operator's devices");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&key).unwrap();
    let (pem, der) = (certificate.pem(), certificate.der().to_vec());
    Ca { issuer: rcgen::Issuer::new(params, key), pem, der }
}

impl Ca {
    fn certify(&self, name: &DeviceName, key: &DeviceKey) -> (Identity, Vec<u8>) {
        let private = PrivatePkcs8KeyDer::from(key.to_pkcs8().unwrap().to_vec());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&private, &PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        for uri in [name.aor.as_str(), name.device.as_str()] {
            params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        }
        params.not_before = (clock::wall() - DAY).into();
        params.not_after = (clock::wall() + 30 * DAY).into();
        let certificate = params.signed_by(&pair, &self.issuer).unwrap().der().to_vec();
        let identity = Identity::new(vec![certificate.clone().into()], private.into()).unwrap();
        (identity, certificate)
    }
}

async fn world(ca: &Ca) -> World {
    World::with(Manner::Prompt, |config| {
        let path = config.https.certificate_file.with_file_name("operators-ca.pem");
        std::fs::write(&path, &ca.pem).unwrap();
        config.issuer.external_ca_file = Some(path);
    })
    .await
}

#[tokio::test]
async fn a_device_of_the_operators_authority_is_its_persons_until_it_is_taken_back() {
    let ca = ca();
    let world = world(&ca).await;
    let phone = Phone::registered(&world, "alice", 1).await;
    let name = DeviceName { aor: phone.aor.clone(), device: phone.device.clone() };
    let key = DeviceKey::generate(&mut StdRng::seed_from_u64(21));
    let (identity, certificate) = ca.certify(&name, &key);
    let mut roots = Roots::from_der(world.issuer.certificate()).unwrap();
    roots.trust(&ca.der).unwrap();
    let keys = Keyring::new(key, &certificate, &roots, clock::wall()).unwrap();
    let by_certificate = async |method: &str, path: &str, body: &[u8]| {
        let api = world.addresses.https;
        exchange_at(&world, api, Some(&identity), method, path, "", body).await
    };

    let upload = keys.key_packages(2, true, clock::wall(), 28 * DAY).unwrap().to_bytes();
    assert_eq!(by_certificate("PUT", "/v1/key-packages", &upload).await.status, 204);
    let claim = format!("/v1/key-packages/sip:alice@{DOMAIN}");
    let claimed = ask(&world, "bob", "GET", &claim, b"").await;
    assert_eq!(claims_from_bytes(&claimed.body).unwrap()[0].device, name.device);

    let path = format!("/v1/devices/{}", name.device);
    assert_eq!(ask(&world, "alice", "DELETE", &path, b"").await.status, 200);
    assert_eq!(by_certificate("GET", "/v1/devices", b"").await.status, 401);
    let upload = keys.key_packages(2, true, clock::wall(), 28 * DAY).unwrap().to_bytes();
    let refused = ask(&world, "alice", "PUT", "/v1/key-packages", &upload).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let mut phone = Phone::connect(&world, "alice", 1).await;
    let refused = phone.invite(&factory, &good_offer()).await.err().unwrap();
    assert_eq!(refused.status, Status::FORBIDDEN);
}

#[tokio::test]
async fn a_device_of_an_authority_that_is_not_configured_is_nobody() {
    let (ours, other) = (ca(), ca());
    let world = world(&ours).await;
    let phone = Phone::registered(&world, "alice", 1).await;
    let name = DeviceName { aor: phone.aor.clone(), device: phone.device.clone() };
    let key = DeviceKey::generate(&mut StdRng::seed_from_u64(22));
    let (_, certificate) = other.certify(&name, &key);
    let mut roots = Roots::from_der(world.issuer.certificate()).unwrap();
    roots.trust(&other.der).unwrap();
    let keys = Keyring::new(key, &certificate, &roots, clock::wall()).unwrap();

    let upload = keys.key_packages(2, true, clock::wall(), 28 * DAY).unwrap().to_bytes();
    let refused = ask(&world, "alice", "PUT", "/v1/key-packages", &upload).await;

    assert_eq!(refused.status, 400);
    assert!(refused.what().contains("not issued by the authority"), "{}", refused.what());
}
