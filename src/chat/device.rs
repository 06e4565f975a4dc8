//! Which device a person chats on: the same one each time, so that coming back is coming back and not one more member. It
//! lives in a vault of its own. Two chats of one person at the same time are two devices; the second is not kept.
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
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
    let state = kept.place(folder, name);
    let key = match &kept.passphrase_file {
        Some(file) => VaultKey::Passphrase(file.clone()),
        None => VaultKey::KeyFile(beside(&state)),
    };
    // A passphrase takes a while.
    let place = state.clone();
    let opened = tokio::task::spawn_blocking(move || Vault::open(&place, &key)).await?;
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
    let opened = Device::open(profile, vault.clone()).await;
    let (device, invitations) = opened.map_err(|error| refused(error, &state))?;
    Ok((device, invitations, Some(vault)))
}

impl State {
    /// The folder.
    pub(super) fn place(&self, folder: &Path, name: &str) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| folder.join(format!("state-{name}")))
    }
}

/// What is said of a device that is kept nowhere.
pub(super) fn not_kept(folder: &Path, name: &str) -> String {
    let taken = State::default().place(folder, name);
    format!(
        "! {name} chats somewhere else already ({} is in use): here you are one more device of {name}, whose keys are \
         gone when you quit, and which leaves everything then. With --state DIR it is kept in a folder of its own",
        taken.display()
    )
}

/// A device that is kept nowhere is nobody's once it ends: nothing is sealed for it any more, in rooms and outside of them, and
/// it is handed out to nobody. If the servers do not hear of it, its certificate ends by itself.
pub(crate) async fn give_up(device: &Device) {
    if let Err(error) = device.take_back(device.id()).await {
        tracing::debug!(%error, "a device that is kept nowhere stays a member until its certificate ends");
    }
}

/// Why a device that is kept here cannot start, and how to go on.
fn refused(error: client::Error, state: &Path) -> anyhow::Error {
    match error {
        client::Error::TakenBack(_) => anyhow!("{error}. {}", begin_anew(state)),
        client::Error::Network { .. } => {
            anyhow!("{error}: no server is there; is the system running (conclave dev)?")
        }
        other => other.into(),
    }
}

/// How a person goes on whose device was taken back.
pub(super) fn begin_anew(state: &Path) -> String {
    let state = state.display();
    format!(
        "To go on as a new device put its folder away (mv {state} {state}.taken-back) and start again"
    )
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
