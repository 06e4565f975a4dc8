//! A new device of somebody who has one already: where the configuration says so, a password does not suffice for its
//! certificate, and one of the others has to vouch for it. Who waits and whose word was given is in memory: after a start, and
//! after a quarter of an hour, a device asks anew.
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use ids::{Aor, DeviceId};
use mls::identity::{VOUCHER_LIFE, Voucher};
use mls::wire::DeviceName;
use serde::Serialize;
use service::clock;

use super::Api;
use super::identity::{Body, whole};
use super::json::named;
use super::login::Person;
use super::problem::Problem;
use crate::config::NewDevices;

/// Devices of one person that wait: the newest.
const WAITING_MAX: usize = 4;
/// People with devices that wait, or were vouched for. 100 000: some 50 MB. Beyond that the oldest ask anew.
const PEOPLE_MAX: usize = 100_000;

/// A key that a device wants certified.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    device: DeviceId,
    key: [u8; 32],
    since: SystemTime,
    vouched: bool,
}

/// Who waits for the word of another device, and who has it.
#[derive(Debug, Default)]
pub(crate) struct Admission(Mutex<HashMap<Aor, Vec<Wanted>>>);

impl Admission {
    /// Whether this device has the word of another one for this key. If not it is known to wait.
    fn is_vouched(&self, name: &DeviceName, key: [u8; 32], now: SystemTime) -> bool {
        let mut people = self.people();
        if people.len() >= PEOPLE_MAX && !people.contains_key(&name.aor) {
            people.retain(|_, wanted| wanted.iter().any(|it| lives(it, now)));
            if people.len() >= PEOPLE_MAX {
                people.clear();
            }
        }
        let wanted = of(&mut people, &name.aor, now);
        if let Some(known) = find(wanted, &name.device, &key) {
            return known.vouched;
        }
        note(wanted, Wanted { device: name.device.clone(), key, since: now, vouched: false });
        false
    }

    /// Another device has given its word.
    fn vouch(&self, name: &DeviceName, key: [u8; 32], now: SystemTime) {
        let mut people = self.people();
        let wanted = of(&mut people, &name.aor, now);
        wanted.retain(|it| it.device != name.device || it.key != key);
        note(wanted, Wanted { device: name.device.clone(), key, since: now, vouched: true });
    }

    fn waiting(&self, who: &Aor, now: SystemTime) -> Vec<Wanted> {
        let mut people = self.people();
        let Some(wanted) = people.get_mut(who) else { return Vec::new() };
        wanted.retain(|it| lives(it, now));
        wanted.iter().filter(|it| !it.vouched).cloned().collect()
    }

    fn people(&self) -> MutexGuard<'_, HashMap<Aor, Vec<Wanted>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lives(wanted: &Wanted, now: SystemTime) -> bool {
    now.duration_since(wanted.since).is_ok_and(|age| age < VOUCHER_LIFE)
}

fn of<'a>(
    people: &'a mut HashMap<Aor, Vec<Wanted>>,
    who: &Aor,
    now: SystemTime,
) -> &'a mut Vec<Wanted> {
    let wanted = people.entry(who.clone()).or_default();
    wanted.retain(|it| lives(it, now));
    wanted
}

fn find<'a>(wanted: &'a [Wanted], device: &DeviceId, key: &[u8; 32]) -> Option<&'a Wanted> {
    wanted.iter().find(|it| it.device == *device && it.key == *key)
}

/// Whose word was given stays rather than who asks, or asking often would take it away.
fn note(wanted: &mut Vec<Wanted>, new: Wanted) {
    if wanted.len() >= WAITING_MAX {
        let oldest = wanted.iter().position(|it| !it.vouched).unwrap_or(0);
        wanted.remove(oldest);
    }
    wanted.push(new);
}

/// Whether this device gets a certificate for this key: where a password suffices, where it is its person's first, and where
/// another one, or itself under the certificate it has, has given its word.
pub(super) async fn admit(api: &Api, name: &DeviceName, key: [u8; 32]) -> Result<(), Problem> {
    if api.new_devices == NewDevices::Password {
        return Ok(());
    }
    let now = clock::wall();
    let devices = api.store.devices(&name.aor, now).await.map_err(Problem::unavailable)?;
    let lives = |it: &store::Device| {
        let certified = it.certificate_ends.is_some_and(|ends| ends > now);
        let known = it.key_packages > 0 || it.last_resort != store::LastResort::None;
        it.revoked.is_none() && (certified || known)
    };
    if !devices.iter().any(lives) || api.admission.is_vouched(name, key, now) {
        return Ok(());
    }
    let what = "one of your other devices has to confirm this one";
    let mend =
        "compare the code that this device shows with what is confirmed there, and ask again";
    Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, what, "the device", mend))
}

/// Devices that wait to be confirmed.
#[derive(Debug, Serialize)]
pub(super) struct Waiting {
    waiting: Vec<Waits>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct Waits {
    device: DeviceId,
    /// Its public key, in hexadecimal.
    key: String,
}

/// `GET /v1/devices/waiting`: the person's devices that wait to be confirmed.
pub(super) async fn waiting(State(api): State<Api>, Person(person): Person) -> axum::Json<Waiting> {
    let waiting = api.admission.waiting(&person, clock::wall()).into_iter();
    let waits = |it: Wanted| Waits { device: it.device, key: hex::encode(it.key) };
    axum::Json(Waiting { waiting: waiting.map(waits).collect() })
}

/// `PUT /v1/devices/{device}/voucher`: the word of a device for this one.
pub(super) async fn vouch(
    State(api): State<Api>,
    Person(person): Person,
    Path(device): Path<String>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (device, body): (DeviceId, _) = (named(&device)?, whole(body)?);
    let mend = "have it signed by a device with a certificate, for this device and its key";
    let bad =
        |why: &dyn ToString, status| Problem::new(status, why.to_string(), "the voucher", mend);
    let voucher = Voucher::from_bytes(&body);
    let voucher = voucher.map_err(|why| bad(&why, StatusCode::BAD_REQUEST))?;
    let now = clock::wall();
    let by = voucher.check(&person, api.issuer.roots(), now);
    let by = by.map_err(|why| bad(&why, StatusCode::FORBIDDEN))?;
    if voucher.device.device != device || api.users.is_revoked(&by.aor, &by.device) {
        return Err(bad(&"it is of or for another device", StatusCode::FORBIDDEN));
    }
    api.admission.vouch(&voucher.device, voucher.key, now);
    tracing::info!(aor = %person, %device, by = %by.device, "a device was confirmed");
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u8) -> DeviceName {
        let device = format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().unwrap();
        DeviceName { aor: "sip:alice@example.net".parse().unwrap(), device }
    }

    #[test]
    fn a_word_is_for_one_key_of_one_device_and_for_a_quarter_of_an_hour() {
        let (admission, now) = (Admission::default(), clock::wall());
        assert!(!admission.is_vouched(&name(1), [1; 32], now));
        assert_eq!(admission.waiting(&name(1).aor, now).len(), 1);

        admission.vouch(&name(1), [1; 32], now);

        assert!(admission.is_vouched(&name(1), [1; 32], now));
        assert!(!admission.is_vouched(&name(1), [2; 32], now));
        assert!(!admission.is_vouched(&name(2), [1; 32], now));
        assert!(!admission.is_vouched(&name(1), [1; 32], now + VOUCHER_LIFE));
    }

    #[test]
    fn asking_often_takes_nobodys_word_away_and_keeps_few() {
        let (admission, now) = (Admission::default(), clock::wall());
        admission.vouch(&name(1), [1; 32], now);

        for key in 0..100 {
            assert!(!admission.is_vouched(&name(2), [key; 32], now));
        }

        assert!(admission.is_vouched(&name(1), [1; 32], now));
        assert!(admission.waiting(&name(1).aor, now).len() < WAITING_MAX + 1);
    }
}
