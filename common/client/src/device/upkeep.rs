//! What a device does by itself as long as it runs: it leaves new KeyPackages when few are left, replaces a last resort
//! that somebody has got, forgets the private halves of those that nobody can use any more, has its certificate renewed before
//! it ends, and replaces its leaves in circles when their time is over.
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use mls::member::Keyring;
use mls::wire::KeyPackageUpload;

use super::{Credential, Shared, admission, group, kept};
use crate::event::Error;
use crate::own_device::LastResort;

/// How often a device looks by itself. The server says when it is urgent.
const EVERY: Duration = Duration::from_secs(6 * 3600);
/// The least between two looks: whoever says that few are left is not believed more often.
const PAUSE: Duration = Duration::from_secs(1);
/// When a device first looks at its circles. What has waited for it has come by then, and is read in the epoch it is of.
const SETTLED: Duration = Duration::from_secs(60);
/// How often it looks at them then. A leaf lives for days.
const EVERY_LEAF: Duration = Duration::from_secs(3600);
/// When what failed is tried again.
const AGAIN: Duration = Duration::from_secs(300);

/// Looks after a device until it is put away.
pub(super) async fn look_after(device: Weak<Shared>) {
    // Of what went while it was away it knows nothing.
    let mut wait = Duration::ZERO;
    loop {
        let Some(shared) = device.upgrade() else { return };
        let due = shared.keyring.renew_at().duration_since(service::clock::wall());
        // A renewal that is due and was refused is not tried at every turn.
        wait = wait.min(due.unwrap_or_default().max(AGAIN));
        let phone = shared.phone.clone();
        drop(shared);
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            () = phone.low() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let Some(shared) = device.upgrade() else { return };
        wait = match shared.upkeep().await {
            Ok(()) => EVERY,
            Err(error) => {
                tracing::warn!(%error, "KeyPackages or certificate could not be renewed");
                AGAIN
            }
        };
    }
}

/// Looks at the leaves in the circles of a device until it is put away. Whoever writes to a circle looks by itself.
pub(super) async fn tend_circles(device: Weak<Shared>) {
    let mut wait = SETTLED;
    loop {
        tokio::time::sleep(wait).await;
        let Some(shared) = device.upgrade() else { return };
        shared.circles.tend().await;
        wait = EVERY_LEAF;
    }
}

/// A new certificate for the same key.
pub(super) async fn renew(
    keyring: &Keyring,
    directory: &crate::directory::Directory,
) -> Result<(), Error> {
    let certificate = admission::renewed(keyring, directory).await?;
    keyring.renew(&certificate, service::clock::wall()).map_err(group)
}

impl Shared {
    async fn upkeep(&self) -> Result<(), Error> {
        let now = service::clock::wall();
        let count = self.profile.limits.key_packages;
        self.renew_masks(now).await;
        if now >= self.keyring.renew_at() {
            renew(&self.keyring, &self.directory).await?;
        }
        let shelf = self.directory.devices().await?;
        // What waits at the server for longer than we thought has to open, too.
        let waits = shelf.waits.unwrap_or_default().max(self.profile.limits.welcome);
        let forgotten = self.keyring.records().forget_halves(now, waits);
        if let Some(vault) = self.vault.as_ref().filter(|_| forgotten > 0) {
            vault.commit().await?;
        }
        // Also where that failed the last time.
        if !kept::is_fresh(&self.keyring, now) {
            let upload = self.keyring.key_packages(count, true, now, kept::LIVE);
            return self.publish(upload.map_err(group)?.replacing(), now).await;
        }
        let own = shelf.devices.iter().find(|it| it.device == self.profile.device);
        let left = own.map_or(0, |own| usize::try_from(own.key_packages).unwrap_or(count));
        let missing = count.saturating_sub(left);
        let last_resort = own.is_none_or(|own| own.last_resort != LastResort::Fresh);
        if missing == 0 && !last_resort {
            return Ok(());
        }
        let upload = self.keyring.key_packages(missing, last_resort, now, kept::LIVE);
        self.publish(upload.map_err(group)?, now).await
    }

    /// What is published is kept before anybody can get it.
    async fn publish(&self, upload: KeyPackageUpload, now: SystemTime) -> Result<(), Error> {
        if let Some(vault) = &self.vault {
            let credential = Credential {
                key: self.credential.key.clone(),
                certificate: self.keyring.certificate(),
            };
            kept::write(vault.records(), &self.profile, &credential);
            vault.commit().await?;
        }
        self.directory.publish(&upload).await?;
        kept::published(&self.keyring, &upload, now);
        Ok(())
    }
}
