//! Certificates and KeyPackages over HTTPS: whose they are, and what is refused.
use std::time::Duration;

use ids::DeviceId;
use mls::identity::{DeviceKey, request};
use mls::member::Keyring;
use mls::wire::{DeviceName, Filling, KeyPackageUpload, claims_from_bytes};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use service::clock;
use sip::digest::Login;

use crate::phone::{Phone, good_offer};
use crate::relay::Manner;
use crate::web::{ask, ask_with, exchange};
use crate::world::{DOMAIN, World};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn device(user: &str) -> DeviceName {
    let device: DeviceId = "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap();
    DeviceName { aor: format!("sip:{user}@{DOMAIN}").parse().unwrap(), device }
}

/// A device's keys, with a certificate that the API issued.
async fn keys(world: &World, user: &str) -> Keyring {
    let key = DeviceKey::generate(&mut StdRng::seed_from_u64(user.len() as u64));
    let csr = request(&key, &device(user)).unwrap();
    let answer = ask(world, user, "POST", "/v1/certificates", &csr).await;
    assert_eq!(answer.status, 201);
    Keyring::new(key, &answer.body, world.issuer.roots(), clock::wall()).unwrap()
}

fn upload(keys: &Keyring, count: usize) -> KeyPackageUpload {
    keys.key_packages(count, true, clock::wall(), 20 * DAY).unwrap()
}

#[tokio::test]
async fn a_device_gets_its_certificate_and_its_packages_are_claimed_once_each() {
    let world = World::start().await;
    let keys = keys(&world, "alice").await;
    let upload = upload(&keys, 2);

    let put = ask(&world, "alice", "PUT", "/v1/key-packages", &upload.to_bytes()).await;
    assert_eq!(put.status, 204);

    let mut claimed = Vec::new();
    for _ in 0..4 {
        let path = format!("/v1/key-packages/sip:alice@{DOMAIN}");
        let answer = ask(&world, "bob", "GET", &path, b"").await;
        assert_eq!(answer.status, 200);
        let claims = claims_from_bytes(&answer.body).unwrap();
        assert_eq!((claims.len(), &claims[0].device), (1, &device("alice").device));
        claimed.push(claims[0].key_package.clone());
    }
    assert_eq!(claimed[..2], upload.packages[..]);
    assert_eq!(claimed[2], claimed[3]);
    assert_eq!(Some(&claimed[2]), upload.last_resort.as_ref());
    let ca = exchange(&world, "GET", "/v1/ca", "", b"").await;
    assert_eq!(ca.body, world.issuer.certificate());
}

#[tokio::test]
async fn a_device_that_starts_again_and_again_replaces_its_packages() {
    let world = World::start().await;
    let mut newest = None;
    for _ in 0..3 {
        // Each start has keys of its own: what an earlier one left in the directory nobody can open.
        let upload = upload(&keys(&world, "alice").await, 50).replacing();
        let put = ask(&world, "alice", "PUT", "/v1/key-packages", &upload.to_bytes()).await;
        assert_eq!(put.status, 204, "{}", put.what());
        newest = Some(upload);
    }

    let path = format!("/v1/key-packages/sip:alice@{DOMAIN}");
    let answer = ask(&world, "bob", "GET", &path, b"").await;
    let claims = claims_from_bytes(&answer.body).unwrap();
    assert_eq!(claims[0].key_package, newest.unwrap().packages[0]);
}

#[tokio::test]
async fn a_certificate_for_somebody_else_is_refused() {
    let world = World::start().await;
    let key = DeviceKey::generate(&mut StdRng::seed_from_u64(1));
    let csr = request(&key, &device("alice")).unwrap();

    let stolen = ask(&world, "mallory", "POST", "/v1/certificates", &csr).await;
    let broken = ask(&world, "alice", "POST", "/v1/certificates", b"no PKCS#10").await;

    assert_eq!(stolen.status, 403);
    assert!(stolen.what().contains("another person"), "{}", stolen.what());
    assert_eq!(broken.status, 400);
    assert_eq!(world.metric("mrfc_device_certificates_total").await, 0);
}

#[tokio::test]
async fn a_key_package_that_expired_or_names_somebody_else_or_is_none_is_refused() {
    let world = World::start().await;
    let keys = keys(&world, "alice").await;
    let good = upload(&keys, 1);
    let old = keys.key_packages(1, false, clock::wall() - 3 * DAY, DAY).unwrap();
    let filling = Filling::Add;
    let twice = KeyPackageUpload {
        filling,
        packages: vec![good.packages[0].clone(), good.packages[0].clone()],
        last_resort: None,
    };
    let swapped = KeyPackageUpload {
        filling,
        packages: Vec::new(),
        last_resort: Some(good.packages[0].clone()),
    };
    let nothing = KeyPackageUpload { filling, packages: Vec::new(), last_resort: None };
    let garbage = KeyPackageUpload {
        filling,
        packages: vec![bytes::Bytes::from_static(b"garbage")],
        last_resort: None,
    };
    let cases = [
        ("alice", old.to_bytes(), 400, "expired"),
        ("mallory", good.to_bytes(), 403, "another person"),
        ("alice", twice.to_bytes(), 400, "twice"),
        ("alice", swapped.to_bytes(), 400, "last resort"),
        ("alice", nothing.to_bytes(), 400, "no KeyPackage"),
        ("alice", garbage.to_bytes(), 400, "not a KeyPackage"),
        ("alice", bytes::Bytes::from_static(b"\xff\xff\xff\xff"), 400, ""),
    ];
    for (user, body, status, word) in cases {
        let answer = ask(&world, user, "PUT", "/v1/key-packages", &body).await;

        assert_eq!(answer.status, status, "{word}: {}", answer.what());
        assert!(answer.what().contains(word), "{word}: {}", answer.what());
    }
    let refused = "mrfc_mls_key_packages_total{result=\"refused\"}";
    assert_eq!(world.metric(refused).await, 7);

    // Nothing of it was kept, and the good one still is good.
    let path = format!("/v1/key-packages/sip:alice@{DOMAIN}");
    assert_eq!(ask(&world, "bob", "GET", &path, b"").await.status, 404);
    assert_eq!(ask(&world, "alice", "PUT", "/v1/key-packages", &good.to_bytes()).await.status, 204);
    let again = ask(&world, "alice", "PUT", "/v1/key-packages", &good.to_bytes()).await;
    assert_eq!(again.status, 400);
}

/// S0-11.
#[tokio::test]
async fn nobody_gets_in_without_the_password() {
    let world = World::start().await;
    let mut guess = Login::new("alice", "guess");

    let path = format!("/v1/key-packages/sip:alice@{DOMAIN}");
    let answer = ask_with(&world, &mut guess, "GET", &path, b"").await;

    assert_eq!(answer.status, 401);
    assert!(answer.headers.contains("www-authenticate"));
    assert_eq!(world.metric("mrfc_logins_total{protocol=\"https\",result=\"wrong\"}").await, 1);
}

#[tokio::test]
async fn guessing_passwords_over_https_ends_with_429() {
    let limit = |config: &mut mrfc::Config| config.limits.http_failures_per_minute_max = 3;
    let world = World::with(Manner::Prompt, limit).await;
    let path = format!("/v1/key-packages/sip:alice@{DOMAIN}");
    for _ in 0..3 {
        let mut guess = Login::new("alice", "guess");
        assert_eq!(ask_with(&world, &mut guess, "GET", &path, b"").await.status, 401);
    }

    // From here on also the right one would tell nothing.
    let answer = ask(&world, "alice", "GET", &path, b"").await;

    assert_eq!(answer.status, 429, "{}", answer.what());
    assert!(answer.headers.contains("retry-after: 60"), "{}", answer.headers);
    assert_eq!(world.metric("mrfc_logins_total{protocol=\"https\",result=\"limited\"}").await, 1);
    assert_eq!(exchange(&world, "GET", "/v1/ca", "", b"").await.status, 200);
}

#[tokio::test]
async fn one_person_claims_the_packages_of_another_only_so_often() {
    let limit = |config: &mut mrfc::Config| config.limits.key_package_claims_per_minute_max = 2;
    let world = World::with(Manner::Prompt, limit).await;
    let upload = upload(&keys(&world, "alice").await, 5);
    ask(&world, "alice", "PUT", "/v1/key-packages", &upload.to_bytes()).await;
    let path = format!("/v1/key-packages/sip:alice@{DOMAIN}");

    let mut statuses = Vec::new();
    for user in ["bob", "bob", "bob", "carol"] {
        statuses.push(ask(&world, user, "GET", &path, b"").await.status);
    }

    assert_eq!(statuses, [200, 200, 429, 200]);
    assert_eq!(world.metric("mrfc_mls_key_packages_total{result=\"claimed\"}").await, 3);
}

#[tokio::test]
async fn a_body_above_the_bound_is_413_and_no_resource_is_404() {
    let world = World::start().await;

    let large = ask(&world, "alice", "PUT", "/v1/key-packages", &vec![0; 2 << 20]).await;
    let nowhere = exchange(&world, "GET", "/v1/nothing", "", b"").await;
    let not_so = exchange(&world, "DELETE", "/v1/ca", "", b"").await;

    assert_eq!((large.status, nowhere.status, not_so.status), (413, 404, 405));
    assert!(nowhere.what().contains("nothing here"));
}

#[tokio::test]
async fn the_state_of_a_group_is_for_those_on_the_roster() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let talk = alice.invite(&factory, &good_offer()).await.ok().unwrap();
    let path = format!("/v1/conferences/{}/group", crate::phone::conference(&talk.response));

    // The group has not begun: its creator has sent no bundle.
    assert_eq!(ask(&world, "alice", "GET", &path, b"").await.status, 404);
    assert_eq!(ask(&world, "mallory", "GET", &path, b"").await.status, 403);
    assert_eq!(ask(&world, "alice", "GET", "/v1/conferences/room7/group", b"").await.status, 404);
}

#[tokio::test]
async fn i17_a_device_is_told_when_few_packages_are_left_and_when_its_last_resort_goes() {
    let world = World::start().await;
    let keys = keys(&world, "alice").await;
    let mut alice = Phone::connect(&world, "alice", 1).await;
    alice.device = keys.device().device.clone();
    alice.register(3_600).await;
    let put = ask(&world, "alice", "PUT", "/v1/key-packages", &upload(&keys, 11).to_bytes()).await;
    assert_eq!(put.status, 204);
    let path = format!("/v1/key-packages/sip:alice@{DOMAIN}");

    let mut told = Vec::new();
    for claims in [1, 10, 1] {
        for _ in 0..claims {
            assert_eq!(ask(&world, "bob", "GET", &path, b"").await.status, 200);
        }
        let (key, request) = alice.incoming().await;
        assert_eq!(
            request.headers.text(&sip::header::Name::ContentType).unwrap(),
            "application/vnd.conclave.key-packages+json"
        );
        told.push(String::from_utf8(request.body.to_vec()).unwrap());
        alice.answer(key, &request, 200).await;
    }

    assert_eq!(told, ["{\"left\":10}", "{\"left\":0}", "{\"left\":0}"]);
    let listed = ask(&world, "alice", "GET", "/v1/devices", b"").await.json();
    assert_eq!(listed["devices"][0]["last_resort"], "used");
}
