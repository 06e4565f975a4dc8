//! A device that was lost: its person, or an operator, takes it back, and it is nothing here any more.
use mls::identity::{DeviceKey, request};
use mls::member::Keyring;
use mls::wire::DeviceName;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use service::clock;
use service::tls::Identity;
use sip::Status;

use crate::operator::{call, get, world};
use crate::phone::{Phone, good_offer};
use crate::web::{ask, exchange_at};
use crate::world::{DOMAIN, World};

/// The device has a certificate and KeyPackages, and proves itself with the first.
async fn enrolled(world: &World, phone: &Phone) -> (Identity, Keyring) {
    let name = DeviceName { aor: phone.aor.clone(), device: phone.device.clone() };
    let key = DeviceKey::generate(&mut StdRng::seed_from_u64(7));
    let csr = request(&key, &name).unwrap();
    let user = name.aor.user();
    let issued = ask(world, user, "POST", "/v1/certificates", &csr).await;
    assert_eq!(issued.status, 201);
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.to_pkcs8().unwrap().to_vec());
    let identity = Identity::new(vec![issued.body.clone().into()], private.into()).unwrap();
    let keys = Keyring::new(key, &issued.body, world.issuer.roots(), clock::wall()).unwrap();
    let month = std::time::Duration::from_secs(28 * 24 * 3600);
    let upload = keys.key_packages(2, true, clock::wall(), month).unwrap();
    let put = ask(world, user, "PUT", "/v1/key-packages", &upload.to_bytes()).await;
    assert_eq!(put.status, 204);
    (identity, keys)
}

#[tokio::test]
async fn i12_a_device_that_was_taken_back_proves_nothing_any_more_and_gets_nothing() {
    let mut world = world().await;
    let mut alice = Phone::connect(&world, "alice", 1).await;
    alice.register(3_600).await;
    let (identity, keys) = enrolled(&world, &alice).await;
    let factory = format!("sip:conference-factory@{DOMAIN}");
    alice.invite(&factory, &good_offer()).await.ok().unwrap();
    world.relay.seat().await;
    let listed = ask(&world, "alice", "GET", "/v1/devices", b"").await.json();
    let device = alice.device.to_string();
    assert_eq!(listed["devices"][0]["device"], device.as_str());
    assert_eq!(listed["devices"][0]["key_packages"], 2);
    let by_certificate = async |method: &str, path: &str| {
        let (api, path) = (world.addresses.https, path.to_owned());
        exchange_at(&world, api, Some(&identity), method, &path, "", b"").await.status
    };
    assert_eq!(by_certificate("GET", "/v1/devices").await, 200);
    // A stolen device takes nobody back.
    let path = format!("/v1/devices/{device}");
    assert_eq!(by_certificate("DELETE", &path).await, 401);
    assert_eq!(ask(&world, "bob", "DELETE", &path, b"").await.status, 404);

    let taken = ask(&world, "alice", "DELETE", &path, b"").await;
    assert_eq!(taken.status, 200, "{taken:?}");
    assert_eq!(taken.json()["conferences"], 1);
    assert_eq!(taken.json()["registrations"], 1);

    assert_eq!(by_certificate("GET", "/v1/devices").await, 401);
    let claimed =
        ask(&world, "bob", "GET", &format!("/v1/key-packages/sip:alice@{DOMAIN}"), b"").await;
    assert_eq!(claimed.status, 404);
    let name = keys.device().clone();
    let csr = request(&DeviceKey::generate(&mut StdRng::seed_from_u64(8)), &name).unwrap();
    let again = ask(&world, "alice", "POST", "/v1/certificates", &csr).await;
    assert_eq!((again.status, again.what().as_str()), (403, "this device was taken back"));
    let mut back = Phone::connect(&world, "alice", 1).await;
    assert_eq!(back.register(3_600).await.status, Status::FORBIDDEN);
    let refused = back.invite(&factory, &good_offer()).await;
    assert_eq!(refused.err().unwrap().status, Status::FORBIDDEN);
    // Another device of hers is welcome.
    let mut other = Phone::connect(&world, "alice", 2).await;
    assert_eq!(other.register(3_600).await.status, Status::OK);
}

#[tokio::test]
async fn an_operator_takes_a_device_back_for_good_and_it_stands_in_the_audit() {
    let mut world = world().await;
    let mut alice = Phone::connect(&world, "alice", 1).await;
    alice.register(3_600).await;
    enrolled(&world, &alice).await;
    let of_alice = format!("/v1/people/sip:alice@{DOMAIN}/devices");
    assert_eq!(get(&world, &of_alice).await["devices"][0]["revoked"], Value::Null);
    let path = format!("{of_alice}/{}", alice.device);

    let taken = call(&world, "DELETE", &path, &Value::Null).await;
    assert_eq!((taken.status, &taken.json()["registrations"]), (200, &Value::from(1)));
    let unknown = format!("{of_alice}/urn:uuid:00000000-0000-4000-8000-0000000000ff");
    assert_eq!(call(&world, "DELETE", &unknown, &Value::Null).await.status, 404);
    let audit = get(&world, "/v1/audit").await.to_string();
    assert!(audit.contains(&path), "{audit}");

    world.restart().await;
    assert!(get(&world, &of_alice).await["devices"][0]["revoked"].is_string());
    let mut back = Phone::connect(&world, "alice", 1).await;
    assert_eq!(back.register(3_600).await.status, Status::FORBIDDEN);
}
