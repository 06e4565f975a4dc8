//! The people and devices of a group that is measured.
use std::time::{Duration, SystemTime};

use ids::{ConferenceId, DeviceId};
use mls::identity::{DeviceKey, Issuer, request};
use mls::member::Keyring;
use mls::storage::Records;
use mls::wire::{ClaimedKeyPackage, DeviceName};
use rand::rngs::StdRng;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn room() -> ConferenceId {
    "room".parse().unwrap()
}

pub(crate) fn device(issuer: &Issuer, rng: &mut StdRng, person: &str, now: SystemTime) -> Keyring {
    let aor = format!("sip:{person}@example.net").parse().unwrap();
    let name = DeviceName { aor, device: DeviceId::random(rng) };
    let key = DeviceKey::generate(rng);
    let minute = Duration::from_secs(60);
    let certificate =
        issuer.issue(&request(&key, &name).unwrap(), &name, now - minute, 30 * DAY).unwrap();
    Keyring::with_records(key, &certificate, issuer.roots(), now, Records::kept([])).unwrap()
}

pub(crate) fn claim(device: &Keyring, now: SystemTime) -> ClaimedKeyPackage {
    let key_package = device.key_packages(1, false, now, 30 * DAY).unwrap().packages.remove(0);
    let DeviceName { aor, device } = device.device().clone();
    ClaimedKeyPackage { aor, device, key_package }
}
