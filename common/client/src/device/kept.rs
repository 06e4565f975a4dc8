//! What a device keeps of itself beside its groups: who it is, and what it has in the directory.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ids::DeviceId;
use mls::member::{Keyring, MemberError};
use mls::storage::Records;
use mls::wire::{Filling, KeyPackageUpload};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Credential;
use crate::profile::Profile;

/// How long KeyPackages are good for.
pub(super) const LIVE: Duration = Duration::from_secs(60 * 24 * 3600);
/// How old they get before all are replaced.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

const NAMES: &[u8] = b"device/names";
const KEY: &[u8] = b"device/key";
const CERTIFICATE: &[u8] = b"device/certificate";
const PUBLISHED: &[u8] = b"device/published";

/// The device of this person that is kept here.
pub(super) fn read(records: &Records, profile: &Profile) -> Option<(DeviceId, Credential)> {
    let names = records.noted(NAMES)?;
    let (device, of) = std::str::from_utf8(&names).ok()?.split_once('\n')?;
    let key = records.noted(KEY)?;
    let certificate = records.noted(CERTIFICATE)?.to_vec();
    let device = device.parse().ok().filter(|_| of == system_of(profile))?;
    Some((device, Credential { key: Zeroizing::new(key.to_vec()), certificate }))
}

/// The person whose device is kept here, if that is another one.
pub(super) fn somebody_else(records: &Records, profile: &Profile) -> Option<String> {
    let names = records.noted(NAMES)?;
    let owner = std::str::from_utf8(&names).ok()?.split('\n').nth(1)?;
    (owner != profile.aor.as_str()).then(|| owner.to_owned())
}

/// Whose device it is, and of which system: another authority knows nothing of its groups.
fn system_of(profile: &Profile) -> String {
    format!("{}\n{}", profile.aor, hex::encode(Sha256::digest(&profile.system.issuer)))
}

/// There is none: what another one had is of no use.
pub(super) fn begin_anew(records: &Records) {
    records.forget_groups();
    records.forget(PUBLISHED);
}

/// Keeps it.
pub(super) fn write(records: &Records, profile: &Profile, credential: &Credential) {
    let names = format!("{}\n{}", profile.device, system_of(profile)).into_bytes();
    let note = |name: &[u8], value: &[u8]| {
        if records.noted(name).is_none_or(|known| *known != value) {
            records.note(name, value);
        }
    };
    note(NAMES, &names);
    note(KEY, &credential.key);
    note(CERTIFICATE, &credential.certificate);
}

/// KeyPackages to be published: all anew if the device holds none, or old ones; as many as were used; or none.
pub(super) fn key_packages(
    keyring: &Keyring,
    wanted: usize,
    now: SystemTime,
) -> Result<Option<KeyPackageUpload>, MemberError> {
    // One more than wanted: the last resort.
    let held = keyring.records().key_packages(now);
    if held == 0 || !is_fresh(keyring, now) {
        // Whatever this device left before, its keys are gone, or will soon be.
        return Ok(Some(keyring.key_packages(wanted, true, now, LIVE)?.replacing()));
    }
    let used = (wanted + 1).saturating_sub(held);
    if used == 0 {
        return Ok(None);
    }
    keyring.key_packages(used, false, now, LIVE).map(Some)
}

/// Whether what the directory has is not old, and of the present certificate: with that of an older one it ends.
pub(super) fn is_fresh(keyring: &Keyring, now: SystemTime) -> bool {
    let Some(published) = keyring.records().noted(PUBLISHED) else { return false };
    let Some((at, under)) = published.split_first_chunk() else { return false };
    let at = UNIX_EPOCH + Duration::from_secs(u64::from_be_bytes(*at));
    under == &*Sha256::digest(keyring.certificate())
        && now.duration_since(at).is_ok_and(|age| age < OLD)
}

/// The directory has them.
pub(super) fn published(keyring: &Keyring, upload: &KeyPackageUpload, now: SystemTime) {
    keyring.records().replaced_by(upload, now);
    if upload.filling == Filling::Replace {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let under = Sha256::digest(keyring.certificate());
        keyring.records().note(PUBLISHED, [&since.to_be_bytes()[..], &under].concat());
    }
}

#[cfg(test)]
mod tests {
    use mls::identity::{DeviceKey, Issuer, request};
    use mls::wire::DeviceName;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn i17_a_new_certificate_replaces_every_key_package_of_the_old_one_also_after_a_restart() {
        let (mut rng, now) = (StdRng::seed_from_u64(7), service::clock::wall());
        let issuer = Issuer::generate(&mut rng, "devices", now - OLD, 12 * OLD).unwrap();
        let aor = "sip:bob@example.net".parse().unwrap();
        let name = DeviceName { aor, device: DeviceId::random(&mut rng) };
        let key = DeviceKey::generate(&mut rng);
        let csr = request(&key, &name).unwrap();
        let issued = |lives| issuer.issue(&csr, &name, now - Duration::from_secs(60), lives);
        let first = issued(2 * OLD).unwrap();
        let keyring = Keyring::new(key, &first, issuer.roots(), now).unwrap();
        let upload = key_packages(&keyring, 3, now).unwrap().unwrap();
        published(&keyring, &upload, now);
        assert!(is_fresh(&keyring, now) && key_packages(&keyring, 3, now).unwrap().is_none());

        keyring.renew(&issued(3 * OLD).unwrap(), now).unwrap();

        assert!(!is_fresh(&keyring, now));
        let again = key_packages(&keyring, 3, now).unwrap().unwrap();
        assert_eq!((again.filling, again.packages.len()), (Filling::Replace, 3));
        published(&keyring, &again, now);
        assert!(is_fresh(&keyring, now) && !is_fresh(&keyring, now + OLD));
        // What it keeps of the first ones is for what is on its way.
        assert_eq!(keyring.records().key_packages(now), 4);
        assert_eq!(keyring.records().forget_halves(now + OLD, OLD), 4);
    }
}
