//! The private halves of KeyPackages: each is kept for as long as somebody may have sealed a Welcome for it, and no longer.
//! A half that stays opens every Welcome ever sealed for it to whoever copies the device.
//!
//! openmls deletes a half when its Welcome has come, but for a last resort's. The others are this module's: those that have
//! ended, and those whose KeyPackage the directory has not any more, once what it gave away before has come.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openmls::prelude::{KeyPackage, KeyPackageBundle, MlsMessageOut};

use super::openmls::decode;
use super::{Octets, Records, State, area, key};
use crate::wire::{Filling, KeyPackageUpload};

/// openmls's records of them begin so.
const HALVES: &[u8] = &[area::KEYS, b'p'];
/// The names of our notes on them begin so; the rest is the key of the record meant.
const REPLACED: &[u8] = b"replaced/";

/// The private half of one KeyPackage.
struct Half {
    key: Vec<u8>,
    package: KeyPackage,
    /// When the directory got another one in its place.
    replaced: Option<SystemTime>,
}

impl Half {
    fn ends(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.package.life_time().not_after())
    }

    fn is_in(&self, upload: &KeyPackageUpload) -> bool {
        let Ok(bytes) = MlsMessageOut::from(self.package.clone()).to_bytes() else { return false };
        upload.packages.iter().chain(&upload.last_resort).any(|package| **package == *bytes)
    }
}

impl Records {
    /// How many KeyPackages there are private halves of that somebody could still be given.
    pub fn key_packages(&self, now: SystemTime) -> usize {
        let halves = self.state().halves();
        halves.iter().filter(|half| half.replaced.is_none() && now < half.ends()).count()
    }

    /// The directory has got this from us: what it had in its place is given to nobody from now on.
    pub fn replaced_by(&self, upload: &KeyPackageUpload, now: SystemTime) {
        let state = &mut *self.state();
        let at = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        for half in state.halves() {
            let goes = match upload.filling {
                Filling::Replace => true,
                Filling::Add => upload.last_resort.is_some() && half.package.last_resort(),
            };
            if goes && half.replaced.is_none() && !half.is_in(upload) {
                state.put(note(&half.key), at.to_be_bytes().to_vec().into());
            }
        }
    }

    /// Forgets the halves of KeyPackages that have ended, and of those replaced so long ago. How many went.
    pub fn forget_halves(&self, now: SystemTime, replaced_since: Duration) -> usize {
        let state = &mut *self.state();
        let over = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age >= replaced_since);
        let halves = state.halves().into_iter();
        let gone: Vec<_> =
            halves.filter(|half| now >= half.ends() || half.replaced.is_some_and(over)).collect();
        for half in &gone {
            state.remove(&half.key);
        }
        // Also of those whose Welcome has come.
        let notes: Vec<Vec<u8>> =
            state.under(&key(area::OWN, REPLACED)).map(|(name, _at)| name.clone()).collect();
        for name in notes {
            let half = name.get(1 + REPLACED.len()..).unwrap_or_default();
            if !state.values.contains_key(half) {
                state.remove(&name);
            }
        }
        gone.len()
    }
}

impl State {
    /// One that cannot be read is left alone: it opens nothing.
    fn halves(&self) -> Vec<Half> {
        let read = |(key, octets): (&Vec<u8>, &Octets)| {
            let bundle: KeyPackageBundle = decode(octets).ok()?;
            let at = self.values.get(&note(key)).and_then(|at| at.as_slice().try_into().ok());
            let replaced = at.map(|at| UNIX_EPOCH + Duration::from_secs(u64::from_be_bytes(at)));
            Some(Half { key: key.clone(), package: bundle.key_package().clone(), replaced })
        };
        self.under(HALVES).filter_map(read).collect()
    }
}

fn note(half: &[u8]) -> Vec<u8> {
    key(area::OWN, &[REPLACED, half].concat())
}
