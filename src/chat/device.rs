//! Which device a person chats on: the same one each time, so that coming back is coming back and not one more member.
//! Its key lies beside the directions of the system, readable by its owner only. Two chats of one person at the same
//! time are two devices; the second is not kept.
use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Credential, Device, Error, Invitations, Profile};
use ids::DeviceId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A device as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    device: DeviceId,
    key: Zeroizing<String>,
    certificate: String,
}

/// Starts the device kept for this person, or a new one. The file stays locked while the device is in use.
///
/// # Errors
/// The servers refused the device, or its file cannot be used.
pub(crate) async fn start(
    folder: &Path,
    name: &str,
    mut profile: Profile,
) -> anyhow::Result<(Device, Invitations, Option<File>)> {
    let path = folder.join(format!("device-{name}.json"));
    let Some(mut file) = lock(&path)? else {
        let (device, invitations) = Device::start(profile).await?;
        return Ok((device, invitations, None));
    };
    // Two at a time would write over each other; the second starts without.
    let pins = folder.join(format!("pins-{name}.json"));
    profile.pins = client::pins_in(&pins).with_context(|| format!("reading {}", pins.display()))?;
    let kept = read(&mut file).with_context(|| format!("reading {}", path.display()))?;
    let started = match kept {
        Some((device, credential)) => {
            profile.device = device;
            match Device::restart(profile.clone(), credential).await {
                // Its certificate has ended: it is the same device with a new one.
                Err(Error::Group(_)) => Device::start(profile.clone()).await,
                started => started,
            }
        }
        None => Device::start(profile.clone()).await,
    };
    let (device, invitations) = started?;
    let credential = device.credential();
    let kept = Kept {
        device: profile.device,
        key: STANDARD.encode(&*credential.key).into(),
        certificate: STANDARD.encode(&credential.certificate),
    };
    fs::write(&path, Zeroizing::new(serde_json::to_string(&kept)?).as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    Ok((device, invitations, Some(file)))
}

/// The file, if nobody else uses it.
fn lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file =
        File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

fn read(file: &mut File) -> anyhow::Result<Option<(DeviceId, Credential)>> {
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    let kept: Kept = serde_json::from_str(&text)?;
    let key = Zeroizing::new(STANDARD.decode(kept.key.as_bytes())?);
    let certificate = STANDARD.decode(&kept.certificate)?;
    Ok(Some((kept.device, Credential { key, certificate })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_in_use_is_not_used_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device-alice.json");

        let first = lock(&path).unwrap();
        assert!(first.is_some());
        assert!(lock(&path).unwrap().is_none());
        drop(first);

        assert!(lock(&path).unwrap().is_some());
    }

    #[test]
    fn what_was_kept_is_read_back_and_a_new_file_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device-alice.json");
        let mut file = lock(&path).unwrap().unwrap();
        assert!(read(&mut file).unwrap().is_none());
        let device = DeviceId::random(&mut rand::rng());
        let key = Zeroizing::new(STANDARD.encode([7; 32]));
        let kept = Kept { device: device.clone(), key, certificate: STANDARD.encode([8; 9]) };
        fs::write(&path, serde_json::to_string(&kept).unwrap()).unwrap();

        let (known, credential) = read(&mut file).unwrap().unwrap();

        assert_eq!((known, credential.certificate), (device, vec![8; 9]));
        assert_eq!(*credential.key, vec![7; 32]);
    }
}
