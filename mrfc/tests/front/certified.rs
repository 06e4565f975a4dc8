//! Devices that prove themselves by their certificate: no password is asked for, and no more is proven than it says.
use mls::identity::{DeviceKey, request};
use mls::wire::DeviceName;
use rand::SeedableRng as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use service::clock;
use service::tls::Identity;
use sip::Status;
use sip::header::Name;

use crate::phone::Phone;
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

/// A certificate of our issuer for this user's device number 1, as a TLS identity.
fn identity(world: &World, like: &Phone) -> Identity {
    let mut rng = rand::rngs::StdRng::seed_from_u64(3);
    let name = DeviceName { aor: like.aor.clone(), device: like.device.clone() };
    let key = DeviceKey::generate(&mut rng);
    let asked = request(&key, &name).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let certificate = world.issuer.issue(&asked, &name, clock::wall(), hour).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.to_pkcs8().unwrap().to_vec());
    Identity::new(vec![CertificateDer::from(certificate)], PrivateKeyDer::Pkcs8(key)).unwrap()
}

async fn world() -> World {
    World::with(Manner::Prompt, |config| config.registration.device_certificates = true).await
}

#[tokio::test]
async fn s2_nr5_a_device_certificate_registers_its_device_without_a_password() {
    let world = world().await;
    let alice = identity(&world, &Phone::connect(&world, "alice", 1).await);
    let mut phone = Phone::connect_as(&world, &alice, "alice").await;
    phone.forget_password();

    assert_eq!(phone.register(3_600).await.status, Status::OK);
    assert_eq!(world.metric("mrfc_registrations").await, 1);
    // Not for another device of the same person.
    let mut request = phone.request("REGISTER", &format!("sip:{DOMAIN}"));
    request.headers.set(Name::To, format!("<{}>", phone.aor));
    let other = phone
        .contact()
        .replace(phone.device.as_str(), "urn:uuid:00000000-0000-4000-8000-0000000000ff");
    request.headers.set(Name::Contact, other);
    assert_eq!(phone.send(request).await.status, Status::FORBIDDEN);
}

#[tokio::test]
async fn s2_nr5_a_device_certificate_speaks_for_nobody_else() {
    let world = world().await;
    let alice = identity(&world, &Phone::connect(&world, "alice", 1).await);
    let mut phone = Phone::connect_as(&world, &alice, "alice").await;
    let options = phone.request("OPTIONS", &format!("sip:{DOMAIN}"));
    let mut forged = options.clone();
    forged.headers.set(Name::From, format!("<sip:bob@{DOMAIN}>;tag=x"));
    forged.headers.set(Name::CallId, "forged");

    assert_eq!(phone.send(options).await.status, Status::OK);
    assert_eq!(phone.send(forged).await.status, Status::UNAUTHORIZED);
}

#[tokio::test]
async fn where_it_is_not_configured_a_device_certificate_proves_nothing() {
    let world = World::start().await;
    let alice = identity(&world, &Phone::connect(&world, "alice", 1).await);
    let mut phone = Phone::connect_as(&world, &alice, "alice").await;
    phone.forget_password();

    assert_eq!(phone.register(3_600).await.status, Status::UNAUTHORIZED);
}
