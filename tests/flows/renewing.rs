//! What a device replaces of itself while it is in use: a certificate that is nearly over, and its leaf in a room.
use std::fs;
use std::time::Duration;

use base64::Engine as _;
use client::{Credential, Device, Event, Limits};
use ids::Epoch;
use mls::identity::{DeviceKey, Issuer, request};
use mls::wire::DeviceName;

use crate::begun::Gate;
use crate::circles::{letter, write};
use crate::{Guest, House, Seat, soon, two};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A certificate begins so much before it is issued, which is a third of that nearer to its time.
const DATED_BACK: Duration = Duration::from_secs(5 * 60);
/// Before the time of a certificate comes: more than a device takes to start.
const SHORTLY: Duration = Duration::from_secs(6);

/// The authority of this house, with its key.
fn issuer(house: &House) -> Issuer {
    let der = |name: &str| {
        let pem = fs::read_to_string(house.folder.path().join("dev").join(name)).unwrap();
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        base64::engine::general_purpose::STANDARD.decode(base64).unwrap()
    };
    Issuer::from_der(&der("issuer.pem"), &der("issuer.key")).unwrap()
}

/// The credential of this device as it would be, had its certificate of thirty days been issued so long ago.
fn dated_back(house: &House, guest: &Guest, ago: Duration) -> Credential {
    let Credential { key, .. } = guest.device.credential();
    let name = DeviceName { aor: guest.aor.clone(), device: guest.device.id().clone() };
    let asked = request(&DeviceKey::from_pkcs8(&key).unwrap(), &name).unwrap();
    let from = service::clock::wall() - ago;
    let certificate = issuer(house).issue(&asked, &name, from, 30 * DAY).unwrap();
    Credential { key, certificate }
}

async fn restarted(guest: Guest, credential: Credential) -> Guest {
    let Guest { aor, profile, device, .. } = guest;
    device.stop().await;
    let (device, invitations) = soon(Device::restart(profile.clone(), credential)).await.unwrap();
    Guest { aor, profile, device, invitations }
}

/// Waits until somebody has changed the keys of the group and nothing else.
async fn renewed(seat: &mut Seat) -> Epoch {
    seat.until(|event| match event {
        Event::Advanced { epoch, added, removed } if added.is_empty() && removed.is_empty() => {
            Some(epoch)
        }
        _ => None,
    })
    .await
}

async fn is_renewed_at_start(house: &House) {
    let guest = house.guest("carol").await;
    let fresh = dated_back(house, &guest, 10 * DAY);
    let guest = restarted(guest, fresh.clone()).await;
    assert_eq!(guest.device.credential().certificate, fresh.certificate, "it is good for long");

    let old = dated_back(house, &guest, 21 * DAY);
    let guest = restarted(guest, old.clone()).await;

    assert_ne!(guest.device.credential().certificate, old.certificate);
}

#[tokio::test]
async fn a_certificate_two_thirds_over_is_renewed_at_start() {
    is_renewed_at_start(&House::open()).await;
}

/// Nobody ends a device every twenty days so that it is looked after.
#[tokio::test]
async fn a_certificate_that_comes_to_its_time_is_renewed_while_the_device_runs() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let bob = house.guest_with("bob", Limits { key_packages: 11, ..Limits::default() }).await;
    let credential = dated_back(&house, &bob, 20 * DAY - DATED_BACK / 3 - SHORTLY);
    let due = service::clock::wall() + SHORTLY;
    let bob = restarted(bob, credential.clone()).await;
    let certificate = || bob.device.credential().certificate;
    assert_eq!(certificate(), credential.certificate, "it was renewed at the start");
    let mut room = alice.create().await;
    room.entered().await;
    tokio::time::sleep(due.duration_since(service::clock::wall()).unwrap_or_default()).await;

    // One KeyPackage goes with the Welcome; the server says that few are left, and the device looks after itself.
    let mut seat = bob.join(&room.conference).await;

    soon(async {
        while certificate() == credential.certificate {
            tokio::task::yield_now().await;
        }
    })
    .await;
    room.added(&bob.aor).await;
    room.say("are you still there?").await;
    seat.hears(&alice.aor, "are you still there?").await;
}

/// The device is its own voucher: it has nobody else to ask.
#[tokio::test]
async fn a_certificate_is_renewed_where_new_devices_have_to_be_confirmed_too() {
    let house = House::with(&[("MRFC_ISSUER__NEW_DEVICES", "confirmed")]);

    is_renewed_at_start(&house).await;

    // The focus has asked for that word.
    let asked = house.decided("mrfc_http_requests_total", "code=\"428\"").await;
    assert_eq!(asked, 1.0);
}

#[tokio::test]
async fn the_leaf_of_a_renewed_certificate_follows_in_room_and_circle() {
    let house = House::open();
    let (alice, mut chair, bob, _seat) = two(&house).await;
    let (mut departures, mut his) = (alice.device.departures(), bob.device.inbox());
    write(&alice.device, &bob.aor, "before").await;
    letter(&mut his).await;
    let before = crate::circles::epoch_of(&soon(departures.next()).await.unwrap());
    let certificate = dated_back(&house, &alice, DAY).certificate;

    alice.device.take_certificate(&certificate).unwrap();

    // Whoever writes to a circle looks at the leaf behind it; in a room a new epoch is an occasion.
    write(&alice.device, &bob.aor, "with the old leaf").await;
    write(&alice.device, &bob.aor, "with the new leaf").await;
    letter(&mut his).await;
    letter(&mut his).await;
    soon(departures.next()).await.unwrap();
    let after = crate::circles::epoch_of(&soon(departures.next()).await.unwrap());
    assert_eq!(after, Epoch(before.0 + 1));
    let carol = house.guest("carol").await;
    carol.join(&chair.conference).await;
    renewed(&mut chair).await;
}

#[tokio::test]
async fn a_leaf_in_a_room_is_replaced_after_so_many_messages() {
    let house = House::open();
    let few = Limits { leaf_messages_max: 4, ..Limits::default() };
    let (alice, bob) = (house.guest_with("alice", few).await, house.guest("bob").await);
    let mut chair = alice.create().await;
    chair.entered().await;
    let mut seat = bob.join(&chair.conference).await;
    chair.added(&bob.aor).await;
    let before = chair.conference.status();

    for text in ["one", "two", "three", "four"] {
        chair.say(text).await;
        seat.hears(&alice.aor, text).await;
    }

    let epoch = renewed(&mut chair).await;
    assert_eq!(epoch, Epoch(before.epoch.0 + 1));
    chair.say("with the new keys").await;
    seat.hears(&alice.aor, "with the new keys").await;
    assert_ne!(chair.conference.status().authenticator, before.authenticator);
}

/// Whoever writes looks at the leaf behind each message; a server that does not take a new one is not asked each time.
#[tokio::test]
async fn a_leaf_that_a_circle_does_not_take_is_not_offered_again_with_each_message() {
    let house = House::open();
    let mut gate = Gate::before(house.directions.https).await;
    let mut profile = house.directions.profile("alice").unwrap();
    profile.system.https = gate.address;
    let aor = profile.aor.clone();
    let (device, invitations) = soon(Device::start(profile.clone())).await.unwrap();
    let (alice, bob) = (Guest { aor, profile, device, invitations }, house.guest("bob").await);
    let (mut departures, mut his) = (alice.device.departures(), bob.device.inbox());
    let mut sent = async |text: &'static str| {
        write(&alice.device, &bob.aor, text).await;
        letter(&mut his).await;
        crate::circles::epoch_of(&soon(departures.next()).await.unwrap())
    };
    let before = sent("before").await;
    let certificate = dated_back(&house, &alice, DAY).certificate;
    alice.device.take_certificate(&certificate).unwrap();

    // Messages pass, and changes of the group do not.
    gate.shut.send_replace(true);
    assert_eq!(sent("the leaf is looked at behind this").await, before);
    soon(gate.held.recv()).await.unwrap();
    gate.shut.send_replace(false);

    // The new leaf would be taken now, and it is too early to try.
    for text in ["one", "two", "three"] {
        assert_eq!(sent(text).await, before);
    }
}
