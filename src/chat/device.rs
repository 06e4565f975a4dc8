//! Which device a person chats on: the same one each time, so that coming back is coming back and not one more member. It
//! lives in a vault of its own. Two chats of one person at the same time are two devices; the second is not kept.
use std::path::{Path, PathBuf};

use anyhow::Context;
use client::{Device, Invitations, Profile, Vault, VaultError, VaultKey};

/// Starts the device kept for this person in the folder of the system, or a new one. Nobody else uses its vault as long as
/// that is open.
///
/// # Errors
/// The servers refused the device, or its vault cannot be used.
pub(crate) async fn start(
    folder: &Path,
    name: &str,
    profile: Profile,
) -> anyhow::Result<(Device, Invitations, Option<Vault>)> {
    start_in(folder, name, &State::default(), profile).await
}

/// Where a device is kept, if not where it usually is, and under which passphrase.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) folder: Option<PathBuf>,
    pub(super) passphrase_file: Option<PathBuf>,
}

/// The same for a device that is kept there.
///
/// # Errors
/// As for [`start`]; also if it is in use.
pub(super) async fn start_in(
    folder: &Path,
    name: &str,
    kept: &State,
    mut profile: Profile,
) -> anyhow::Result<(Device, Invitations, Option<Vault>)> {
    profile.waits = client::Waits::new(waits);
    let state = kept.folder.clone().unwrap_or_else(|| folder.join(format!("state-{name}")));
    let key = match &kept.passphrase_file {
        Some(file) => VaultKey::Passphrase(file.clone()),
        None => VaultKey::KeyFile(beside(&state)),
    };
    // A passphrase takes a while.
    let opened = tokio::task::spawn_blocking(move || Vault::open(&state, &key)).await?;
    let vault = match opened {
        Err(VaultError::InUse { .. }) if kept.folder.is_none() => {
            let (device, invitations) = Device::start(profile).await?;
            return Ok((device, invitations, None));
        }
        opened => opened?,
    };
    // Two at a time would write over each other; the second starts without.
    let pins = folder.join(format!("pins-{name}.json"));
    profile.pins = client::pins_in(&pins).with_context(|| format!("reading {}", pins.display()))?;
    let (device, invitations) = Device::open(profile, vault.clone()).await?;
    Ok((device, invitations, Some(vault)))
}

/// A new device of somebody who has one already, where a password is not enough.
#[expect(clippy::print_stderr, reason = "the screen is not there yet")]
fn waits(code: &str) {
    eprintln!("! this device waits for another one of yours; type there: /confirm {code}");
}

/// The key's file: beside the folder, not in it.
fn beside(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".key");
    name.into()
}
