//! Which keys this device has seen of whose devices. Who is met for the first time is believed; after that every new
//! device and every other key is told, and where the person was verified nothing more is said to them until somebody
//! has accepted it: so a device that an authority has slipped in is seen before it can read.
//!
//! It writes nothing by itself: [`Keep`] does, outside of the session.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ids::{Aor, DeviceId};
use mls::wire::DeviceName;
use serde_json::{Value, json};

/// Devices remembered. Some 10 MiB; who would be one more is believed each time anew.
const PINS_MAX: usize = 65_536;
/// The form that is kept.
const VERSION: u64 = 1;

/// Where pins are kept between two starts.
pub trait Keep: fmt::Debug + Send + Sync {
    /// Puts them in the place of what was kept before.
    ///
    /// # Errors
    /// In words, why they could not be kept.
    fn keep(&self, pins: &str) -> Result<(), String>;
}

/// The pins of one device of one person. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Pins(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    book: Mutex<Book>,
    /// Held while the keeper writes, so that what is newest is written last.
    keeping: Mutex<()>,
    keeper: Option<Arc<dyn Keep>>,
    off: bool,
}

#[derive(Debug, Default)]
struct Book {
    people: BTreeMap<Aor, Known>,
    pins: usize,
    /// Grows with every change.
    version: u64,
    kept: u64,
}

#[derive(Clone, Debug, Default)]
struct Known {
    verified: bool,
    devices: BTreeMap<DeviceId, Pin>,
}

#[derive(Clone, Debug)]
struct Pin {
    key: Vec<u8>,
    accepted: bool,
}

/// Something about a device that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Whose device, and which.
    pub(crate) device: DeviceName,
    /// What is new about it.
    pub(crate) news: News,
    /// Nothing is said to them until this is accepted.
    pub(crate) held: bool,
}

/// What is new about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was never seen, and its person was.
    New,
    /// It signs with another key than before.
    OtherKey,
}

/// Kept pins that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these are no pins of devices")]
pub struct BadPins;

impl Pins {
    /// None, and none will be: for devices that nobody looks at.
    pub fn off() -> Self {
        Self(Arc::new(Inner { off: true, ..Inner::default() }))
    }

    /// Those that were kept, and will be by this keeper.
    ///
    /// # Errors
    /// What was kept is not understood.
    pub fn kept(text: Option<&str>, keeper: Arc<dyn Keep>) -> Result<Self, BadPins> {
        let book = text.map(read).transpose()?.unwrap_or_default();
        let book = Mutex::new(book);
        Ok(Self(Arc::new(Inner { book, keeper: Some(keeper), ..Inner::default() })))
    }

    /// Whether something has changed that is not kept yet.
    pub fn is_unkept(&self) -> bool {
        let book = self.book();
        self.0.keeper.is_some() && book.kept < book.version
    }

    /// Has them kept. It may wait for a disk.
    ///
    /// # Errors
    /// The keeper's.
    pub fn save(&self) -> Result<(), String> {
        let Some(keeper) = &self.0.keeper else { return Ok(()) };
        let _keeping = self.0.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let text = {
            let mut book = self.book();
            if book.kept == book.version {
                return Ok(());
            }
            // Also if it fails: what is not kept now is with the next change.
            book.kept = book.version;
            write(&book)
        };
        keeper.keep(&text)
    }

    /// Whether this person was verified.
    pub fn is_verified(&self, who: &Aor) -> bool {
        self.book().people.get(who).is_some_and(|known| known.verified)
    }

    /// The changes there have been.
    pub(super) fn version(&self) -> u64 {
        self.book().version
    }

    /// Looks at the devices of a group; what is new about them.
    pub(crate) fn see<'a>(
        &self,
        me: &DeviceName,
        leaves: impl Iterator<Item = (&'a DeviceName, &'a [u8])>,
    ) -> Vec<Sighting> {
        // A pseudonym is of one conference: there is nobody to be recognised.
        if self.0.off || me.aor.is_pseudonym() {
            return Vec::new();
        }
        let leaves = leaves.filter(|(name, _)| !name.aor.is_pseudonym());
        let mut book = self.book();
        let mut strangers: BTreeSet<Aor> = BTreeSet::new();
        if !book.people.contains_key(&me.aor) {
            strangers.insert(me.aor.clone());
            book.people.insert(me.aor.clone(), Known::default());
            book.version += 1;
        }
        let mut told = Vec::new();
        for (name, key) in leaves.filter(|(name, _)| *name != me) {
            if !book.people.contains_key(&name.aor) {
                strangers.insert(name.aor.clone());
            }
            let met = strangers.contains(&name.aor);
            told.extend(book.note(name, key, met));
        }
        told
    }

    /// The people with a device among these that is not accepted.
    pub(crate) fn held<'a>(
        &self,
        leaves: impl Iterator<Item = (&'a DeviceName, &'a [u8])>,
    ) -> Vec<Aor> {
        let book = self.book();
        let open = |name: &DeviceName| {
            let pin = book.people.get(&name.aor).and_then(|known| known.devices.get(&name.device));
            pin.is_some_and(|pin| !pin.accepted)
        };
        let mut held: Vec<Aor> =
            leaves.filter(|(name, _)| open(name)).map(|(name, _)| name.aor.clone()).collect();
        held.sort_unstable();
        held.dedup();
        held
    }

    /// Somebody has looked at what is new about this person's devices, and believes it. Says whether there was anything.
    pub fn accept(&self, who: &Aor) -> bool {
        let mut book = self.book();
        let Some(known) = book.people.get_mut(who) else { return false };
        let mut any = false;
        for pin in known.devices.values_mut().filter(|pin| !pin.accepted) {
            (pin.accepted, any) = (true, true);
        }
        book.version += u64::from(any);
        any
    }

    /// Somebody has typed the code that this device shows: its key is believed.
    pub fn confirm(&self, name: &DeviceName, key: &[u8]) {
        if self.0.off {
            return;
        }
        let mut book = self.book();
        let pin = Pin { key: key.to_vec(), accepted: true };
        let known = book.people.entry(name.aor.clone()).or_default();
        let new = known.devices.insert(name.device.clone(), pin).is_none();
        book.pins += usize::from(new);
        book.version += 1;
    }

    /// Somebody has compared numbers with this person, or takes that back.
    pub fn verify(&self, who: &Aor, verified: bool) {
        if self.0.off {
            return;
        }
        self.accept(who);
        let mut book = self.book();
        let known = book.people.entry(who.clone()).or_default();
        let changed = known.verified != verified;
        known.verified = verified;
        book.version += u64::from(changed);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Pins one key; what is new about it. Who is `met` for the first time is believed.
    fn note(&mut self, name: &DeviceName, key: &[u8], met: bool) -> Option<Sighting> {
        let known = self.people.get(&name.aor);
        let pin = known.and_then(|known| known.devices.get(&name.device));
        let news = match pin {
            Some(pin) if pin.key == key => return None,
            Some(_) => News::OtherKey,
            None if self.pins >= PINS_MAX => return None,
            None => News::New,
        };
        self.pins += usize::from(pin.is_none());
        let held = known.is_some_and(|known| known.verified);
        let pin = Pin { key: key.to_vec(), accepted: !held };
        self.people.entry(name.aor.clone()).or_default().devices.insert(name.device.clone(), pin);
        self.version += 1;
        let told = !met || news == News::OtherKey;
        told.then(|| Sighting { device: name.clone(), news, held })
    }
}

fn write(book: &Book) -> String {
    let device = |(device, pin): (&DeviceId, &Pin)| {
        (device.to_string(), json!({ "key": hex::encode(&pin.key), "accepted": pin.accepted }))
    };
    let person = |(aor, known): (&Aor, &Known)| {
        let devices: serde_json::Map<_, _> = known.devices.iter().map(device).collect();
        (aor.to_string(), json!({ "verified": known.verified, "devices": devices }))
    };
    let people: serde_json::Map<_, _> = book.people.iter().map(person).collect();
    json!({ "v": VERSION, "people": people }).to_string()
}

fn read(text: &str) -> Result<Book, BadPins> {
    let whole: Value = serde_json::from_str(text).map_err(|_| BadPins)?;
    if whole.get("v").and_then(Value::as_u64) != Some(VERSION) {
        return Err(BadPins);
    }
    let object = |of: &Value, key: &str| of.get(key).and_then(Value::as_object).cloned();
    let truth = |of: &Value, key: &str| of.get(key).and_then(Value::as_bool).ok_or(BadPins);
    let mut book = Book::default();
    for (aor, person) in object(&whole, "people").ok_or(BadPins)? {
        let mut known = Known { verified: truth(&person, "verified")?, ..Known::default() };
        for (device, pin) in object(&person, "devices").ok_or(BadPins)? {
            let key = pin.get("key").and_then(Value::as_str).ok_or(BadPins)?;
            let key = hex::decode(key).map_err(|_| BadPins)?;
            let pin = Pin { key, accepted: truth(&pin, "accepted")? };
            known.devices.insert(device.parse().map_err(|_| BadPins)?, pin);
            book.pins += 1;
        }
        book.people.insert(aor.parse().map_err(|_| BadPins)?, known);
    }
    Ok(book)
}

#[cfg(test)]
mod tests;
