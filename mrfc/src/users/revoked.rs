//! Devices that were taken back: whatever they prove, they get nothing here any more.
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use ids::{Aor, DeviceId};

/// All of them, in memory; [`store::Store`] keeps them.
#[derive(Debug, Default)]
pub(super) struct Revoked(RwLock<HashSet<(Aor, DeviceId)>>);

impl Revoked {
    pub(super) fn add(&self, devices: impl IntoIterator<Item = (Aor, DeviceId)>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(devices);
    }

    pub(super) fn has(&self, aor: &Aor, device: &DeviceId) -> bool {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !all.is_empty() && all.contains(&(aor.clone(), device.clone()))
    }
}
