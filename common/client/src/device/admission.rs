//! Adding a device from another one of the same person: the new one shows a code and waits, and whoever holds an old one types
//! it there. Then the old one vouches for the new one's key, and the focus certifies it.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ids::DeviceId;
use mls::identity::{DeviceKey, VOUCHER_LIFE, device_code, request};
use mls::member::Keyring;
use mls::wire::DeviceName;
use service::tls::{Trust, client_config};

use super::Device;
use crate::directory::Directory;
use crate::event::Error;
use crate::own_device::OwnDevice;
use crate::profile::Profile;

/// How often the focus is asked whether somebody has confirmed.
const AGAIN: Duration = Duration::from_secs(2);
/// RFC 6585, 3: the focus wants another device's word first.
const UNCONFIRMED: u16 = 428;
/// Also what a device gets that was taken back.
const FORBIDDEN: u16 = 403;

impl Device {
    /// Vouches for a device of this user that shows this code, typed as it stands there. Says which it is.
    ///
    /// # Errors
    /// No device that waits shows such a code: it may have given up, or somebody else asks in this user's name. The server
    /// was not there.
    pub async fn confirm(&self, code: &str) -> Result<DeviceId, Error> {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let (directory, keyring) = (&self.shared.directory, &self.shared.keyring);
        let aor = &self.shared.profile.aor;
        let typed = digits(code);
        for (device, key) in directory.waiting().await? {
            let name = DeviceName { aor: aor.clone(), device };
            if digits(&device_code(&name, &key)) == typed {
                let voucher = vouched(keyring, &name, key);
                directory.vouch(&name.device, voucher).await?;
                // Whoever has typed the code believes the key.
                self.shared.profile.pins.confirm(&name, &key);
                return Ok(name.device);
            }
        }
        Err(Error::WrongCode)
    }
}

fn vouched(keyring: &Keyring, name: &DeviceName, key: [u8; 32]) -> Bytes {
    let until = service::clock::wall() + VOUCHER_LIFE / 2;
    keyring.vouch(name, key, until).to_bytes()
}

/// A device that is refused may be one that was taken back, whatever it was refused; the server knows by its list.
pub(super) async fn refused(profile: &Profile, error: Error) -> Error {
    if !matches!(error, Error::Refused { status: FORBIDDEN, .. }) {
        return error;
    }
    let trust = Trust::Roots(Arc::clone(&profile.system.roots));
    let Ok(tls) = client_config(trust, None, &[]) else { return error };
    let devices = Directory::new(profile, tls).devices().await;
    let devices = devices.map(|own| own.devices).unwrap_or_default();
    let is_lost = |known: &OwnDevice| known.revoked && known.device == profile.device;
    if devices.iter().any(is_lost) { Error::TakenBack(profile.device.clone()) } else { error }
}

/// A certificate for this key of this device. Where the focus wants another device to vouch for it, its code is told, and waited
/// for until somebody has typed it there.
pub(super) async fn certify(
    profile: &Profile,
    directory: &Directory,
    (name, key): (&DeviceName, &DeviceKey),
) -> Result<Vec<u8>, Error> {
    let asked = request(key, name).map_err(|error| Error::Group(error.to_string()))?;
    let late = service::clock::now() + profile.limits.confirm;
    let mut told = false;
    loop {
        match directory.certify(asked.clone()).await {
            Err(Error::Refused { status: UNCONFIRMED, .. }) => {}
            outcome => return outcome.map(|certificate| certificate.to_vec()),
        }
        if !told {
            profile.waits.tell(&device_code(name, &key.public()));
            told = true;
        }
        if service::clock::now() >= late {
            return Err(Error::Late("another device to confirm this one"));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// A new certificate for the device's own key. It vouches for that itself, if somebody has to.
pub(super) async fn renewed(keyring: &Keyring, directory: &Directory) -> Result<Bytes, Error> {
    let asked = keyring.request().map_err(|error| Error::Group(error.to_string()))?;
    match directory.certify(asked.clone()).await {
        Err(Error::Refused { status: UNCONFIRMED, .. }) => {}
        outcome => return outcome,
    }
    let name = keyring.device();
    directory.vouch(&name.device, vouched(keyring, name, keyring.public_key())).await?;
    directory.certify(asked).await
}
