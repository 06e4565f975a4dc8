//! Taking part without a name (RFC 3323). In an open conference the servers replace it. In a sealed one members see the
//! certificate of each leaf, so there the device has another one: of a pseudonym, for this conference, with a key of its own.
//! Nothing of it is kept: a device that comes anew is another one to the others.
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ids::{Aor, ConferenceId};
use mls::identity::{DeviceKey, request};
use mls::member::Keyring;
use mls::wire::DeviceName;

use super::{Device, Shared, group};
use crate::conference::{Conference, Events};
use crate::event::{Error, Level, Shown};
use crate::phone::ShownAs;

/// KeyPackages under a pseudonym: one to come in, one for when the group begins anew.
const KEY_PACKAGES: usize = 2;
/// They are for coming in now.
const LIVE: Duration = Duration::from_secs(24 * 3600);
/// Pseudonyms whose certificates are looked after; the oldest is left to end.
const MASKS_MAX: usize = 256;

/// Who this device is in one conference.
pub(super) struct Face {
    /// Its keys there.
    pub(super) keyring: Keyring,
    /// What it is known by, if not by its name.
    pub(super) shown_as: Option<Aor>,
}

impl Device {
    /// Joins a conference under a pseudonym, which neither the other members nor the relay can trace to this user. The focus
    /// and its operator know.
    ///
    /// # Errors
    /// As for [`Device::join`]; also if nobody may be anonymous there, or this user is there by name.
    pub async fn join_anonymously(
        &self,
        id: &ConferenceId,
        level: Level,
    ) -> Result<(Conference, Events), Error> {
        self.shared.join(id.as_str(), level, (&[], Shown::Hidden)).await
    }
}

impl Shared {
    /// Who this device is in a conference that knows it so. Who wanted to hide and is not hidden stays out.
    pub(super) async fn face(
        &self,
        id: &ConferenceId,
        (level, wanted): (Level, Shown),
        shown: Option<&ShownAs>,
    ) -> Result<Face, Error> {
        let own = || self.keyring.clone();
        let unmet = || Error::Answer {
            what: "joining without a name",
            why: "the server does not say what others see in place of it".to_owned(),
        };
        match (shown, level) {
            (None, _) if wanted == Shown::Hidden => Err(unmet()),
            (None, _) => Ok(Face { keyring: own(), shown_as: None }),
            (Some(shown), Level::Open) => {
                Ok(Face { keyring: own(), shown_as: Some(shown.aor.clone()) })
            }
            (Some(ShownAs { aor, device: Some(device) }), Level::Sealed)
                if aor.number_in(id).is_some() =>
            {
                let name = DeviceName { aor: aor.clone(), device: device.clone() };
                let keyring = self.certified_as(id, &name).await?;
                Ok(Face { keyring, shown_as: Some(name.aor) })
            }
            (Some(_), Level::Sealed) => Err(unmet()),
        }
    }

    /// The keys of a pseudonym: nothing in them is of this device.
    async fn certified_as(&self, id: &ConferenceId, name: &DeviceName) -> Result<Keyring, Error> {
        let bad = |error: &dyn std::fmt::Display| Error::Group(error.to_string());
        let key = DeviceKey::generate(&mut rand::rng());
        let asked = request(&key, name).map_err(|error| bad(&error))?;
        let certificate = self.directory.certify_in(id, asked).await?;
        let now = service::clock::wall();
        let keyring = Keyring::new(key, &certificate, self.keyring.roots(), now).map_err(group)?;
        if keyring.device() != name {
            return Err(bad(&"the certificate is of another pseudonym"));
        }
        let upload = keyring.key_packages(KEY_PACKAGES, false, now, LIVE).map_err(group)?;
        self.directory.publish_in(id, &upload).await?;
        let mut masks = self.masks();
        masks.retain(|(known, _)| known != id);
        if masks.len() >= MASKS_MAX {
            masks.remove(0);
        }
        masks.push((id.clone(), keyring.clone()));
        Ok(keyring)
    }

    fn masks(&self) -> MutexGuard<'_, Vec<(ConferenceId, Keyring)>> {
        self.masks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the certificates of pseudonyms renewed that end soon. One that the focus knows no more is left to end.
    pub(super) async fn renew_masks(&self, now: SystemTime) {
        let due: Vec<(ConferenceId, Keyring)> =
            self.masks().iter().filter(|(_, keyring)| keyring.renew_at() <= now).cloned().collect();
        for (id, keyring) in due {
            let Ok(asked) = keyring.request() else { continue };
            let renewed = match self.directory.certify_in(&id, asked).await {
                Ok(certificate) => keyring.renew(&certificate, now).map_err(group),
                Err(error) => Err(error),
            };
            if let Err(error) = renewed {
                tracing::debug!(%id, %error, "the certificate of a pseudonym was not renewed");
                if matches!(error, Error::Refused { .. }) {
                    self.masks().retain(|(known, _)| *known != id);
                }
            }
        }
    }
}
