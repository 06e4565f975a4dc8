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
    let records = keyring.records();
    let published = records.noted(PUBLISHED).and_then(|at| at.as_slice().try_into().ok());
    let published = published.map(|at| UNIX_EPOCH + Duration::from_secs(u64::from_be_bytes(at)));
    let is_fresh = published.is_some_and(|at| now.duration_since(at).is_ok_and(|age| age < OLD));
    // One more than wanted: the last resort.
    let held = records.key_packages();
    if !is_fresh || held == 0 {
        // Whatever this device left before, its keys are gone, or will soon be.
        return Ok(Some(keyring.key_packages(wanted, true, now, LIVE)?.replacing()));
    }
    let used = (wanted + 1).saturating_sub(held);
    if used == 0 {
        return Ok(None);
    }
    keyring.key_packages(used, false, now, LIVE).map(Some)
}

/// The directory has them.
pub(super) fn published(records: &Records, upload: &KeyPackageUpload, now: SystemTime) {
    if upload.filling == Filling::Replace {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        records.note(PUBLISHED, since.as_secs().to_be_bytes());
    }
}
