//! What a device keeps: the keys of its groups and KeyPackages, and what it notes beside them, as records of octets.
//!
//! [`Records`] is memory with a journal. Whoever has a disk takes what has changed ([`Records::drain`]) and writes it as
//! one transaction; whoever has none pays for no journal. The rule that makes it safe: **nothing that was sealed, and no
//! acknowledgement of what was opened, leaves the device before what has changed until then is on disk.**
//!
//! openmls rewrites the secrets of all retained epochs at each message, megabytes in a large group. Here that happens
//! once for each epoch and then every [`SEALED_MAX`] or [`OPENED_MAX`] messages (see `ratchets`); in between a device that
//! crashes comes back with an older position of its ratchets. For what it sends it therefore reserves a window of
//! generations beforehand, and burns what it had reserved. What it received it may open a second time, and knows it by
//! its message id, which is kept in the same transaction as what was said.
//!
//! **Not here:** files, encryption at rest, passphrases. Those are a vault's.
mod halves;
mod openmls;
mod ratchets;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use zeroize::Zeroizing;

pub use self::openmls::BadRecord;
pub(crate) use self::openmls::Provider;
use self::ratchets::Position;
pub use self::ratchets::{OPENED_MAX, SEALED_MAX, WINDOW};

/// The octets of a record. Wiped when dropped.
pub type Octets = Zeroizing<Vec<u8>>;

/// The first octet of a record's key: whose it is.
mod area {
    /// What openmls keeps of one group.
    pub(super) const GROUP: u8 = b'g';
    /// What openmls keeps beside any group.
    pub(super) const KEYS: u8 = b'k';
    /// What this crate keeps: members, used Welcomes.
    pub(super) const OWN: u8 = b'o';
    /// What others note.
    pub(super) const NOTES: u8 = b'n';
}

/// A record that is written, or removed.
#[derive(Clone)]
pub struct Change {
    /// Its key.
    pub key: Vec<u8>,
    /// What it is from now on; `None` if it is gone.
    pub value: Option<Octets>,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let octets = self.value.as_ref().map(|value| value.len());
        write!(f, "Change({} octets of key, {octets:?} of value)", self.key.len())
    }
}

/// The records of a device. A cheap handle: clones are the same records.
#[derive(Clone, Default)]
pub struct Records {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Held, shared, while something changes that belongs together.
    unit: RwLock<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    values: BTreeMap<Vec<u8>, Octets>,
    /// Keys of records that have changed and are not on disk; `None` if there is no disk.
    changed: Option<BTreeSet<Vec<u8>>>,
    /// Keys of records that have changed and may wait for others.
    lazily: BTreeSet<Vec<u8>>,
    /// Where the ratchets are, for each group, as far as the record of its secrets does not say.
    positions: HashMap<Vec<u8>, Position>,
}

/// While it is held, nothing that changes is taken to the disk: what belongs together is one transaction.
#[derive(Debug)]
pub struct Unit<'a>(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'a, ()>);

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({})", self.state().values.len())
    }
}

impl Records {
    /// The records a disk has; from now on whatever changes waits to be taken there.
    pub fn kept(values: impl IntoIterator<Item = (Vec<u8>, Octets)>) -> Self {
        Self::of(values, Some(BTreeSet::new()))
    }

    fn of(
        values: impl IntoIterator<Item = (Vec<u8>, Octets)>,
        changed: Option<BTreeSet<Vec<u8>>>,
    ) -> Self {
        let values = values.into_iter().collect();
        let state = State { values, changed, lazily: BTreeSet::new(), positions: HashMap::new() };
        Self { inner: Arc::new(Inner { unit: RwLock::default(), state: Mutex::new(state) }) }
    }

    /// Begins something that belongs together. Do not wait for anything while holding it, and take it only once.
    pub fn unit(&self) -> Unit<'_> {
        Unit(self.inner.unit.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether anything waits to be taken to the disk.
    pub fn is_changed(&self) -> bool {
        self.state().changed.as_ref().is_some_and(|changed| !changed.is_empty())
    }

    /// Everything that has changed since the last call: one transaction. Waits for units that are under way.
    pub fn drain(&self) -> Vec<Change> {
        let _alone = self.inner.unit.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *self.state();
        let Some(changed) = &mut state.changed else { return Vec::new() };
        changed.append(&mut state.lazily);
        let changed = std::mem::take(changed).into_iter();
        changed.map(|key| Change { value: state.values.get(&key).cloned(), key }).collect()
    }

    /// All records, as a transaction in the place of everything before. Waits for units that are under way.
    pub fn snapshot(&self) -> Vec<Change> {
        let _alone = self.inner.unit.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *self.state();
        state.changed.iter_mut().for_each(BTreeSet::clear);
        state.lazily.clear();
        let all = state.values.iter();
        all.map(|(key, value)| Change { key: key.clone(), value: Some(value.clone()) }).collect()
    }

    /// Notes something under a name.
    pub fn note(&self, name: &[u8], value: impl Into<Vec<u8>>) {
        self.state().put(key(area::NOTES, name), value.into().into());
    }

    /// What was noted under a name.
    pub fn noted(&self, name: &[u8]) -> Option<Octets> {
        self.state().values.get(&key(area::NOTES, name)).cloned()
    }

    /// Everything noted under names that begin so, in the order of their names.
    pub fn noted_under(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Octets)> {
        let prefix = key(area::NOTES, prefix);
        let state = self.state();
        let under = state.under(&prefix);
        under
            .map(|(key, value)| (key.get(1..).unwrap_or_default().to_vec(), value.clone()))
            .collect()
    }

    /// Forgets what was noted under a name.
    pub fn forget(&self, name: &[u8]) {
        self.state().remove(&key(area::NOTES, name));
    }

    /// The same, with the next transaction: nothing depends on it.
    pub fn forget_lazily(&self, name: &[u8]) {
        let key = key(area::NOTES, name);
        let state = &mut *self.state();
        if state.values.remove(&key).is_some() && state.changed.is_some() {
            state.lazily.insert(key);
        }
    }

    /// Forgets the groups and how the device was in them, as after damage: it enters them anew. Its notes, its
    /// KeyPackages and which Welcomes it has used stay.
    pub fn forget_groups(&self) {
        let state = &mut *self.state();
        state.remove_under(&[area::GROUP]);
        state.remove_under(&key(area::OWN, MEMBER));
        state.positions.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What this crate keeps for itself.
impl Records {
    /// Records without a disk.
    pub(crate) fn loose(values: impl IntoIterator<Item = (Vec<u8>, Octets)>) -> Self {
        Self::of(values, None)
    }

    /// All of them, in the order of their keys.
    pub(crate) fn all(&self) -> Vec<(Vec<u8>, Octets)> {
        let state = self.state();
        state.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn own(&self, name: &[u8]) -> Option<Octets> {
        self.state().values.get(&key(area::OWN, name)).cloned()
    }

    pub(crate) fn put_own(&self, name: &[u8], value: &[u8]) {
        self.state().put(key(area::OWN, name), value.to_vec().into());
    }

    pub(crate) fn remove_own(&self, name: &[u8]) {
        self.state().remove(&key(area::OWN, name));
    }
}

/// The names of the members' records begin so.
pub(crate) const MEMBER: &[u8] = b"member/";

impl State {
    fn put(&mut self, key: Vec<u8>, value: Octets) {
        if let Some(changed) = &mut self.changed {
            changed.insert(key.clone());
        }
        self.values.insert(key, value);
    }

    fn remove(&mut self, key: &[u8]) {
        if self.values.remove(key).is_some()
            && let Some(changed) = &mut self.changed
        {
            changed.insert(key.to_vec());
        }
    }

    fn under<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Vec<u8>, &'a Octets)> {
        let from = self
            .values
            .range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.take_while(move |(key, _value)| key.starts_with(prefix))
    }

    fn remove_under(&mut self, prefix: &[u8]) {
        let keys: Vec<_> = self.under(prefix).map(|(key, _value)| key.clone()).collect();
        keys.iter().for_each(|key| self.remove(key));
    }
}

fn key(area: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1);
    key.push(area);
    key.extend_from_slice(name);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(changes: &[Change]) -> Vec<(&[u8], bool)> {
        changes.iter().map(|change| (&*change.key, change.value.is_some())).collect()
    }

    #[test]
    fn what_changes_twice_is_taken_once_and_what_goes_is_taken_as_gone() {
        let records = Records::kept([(b"na".to_vec(), vec![1].into())]);

        records.note(b"b", [1]);
        records.note(b"b", [2]);
        records.forget(b"a");

        assert!(records.is_changed());
        let changes = records.drain();
        assert_eq!(names(&changes), [(&b"na"[..], false), (&b"nb"[..], true)]);
        assert_eq!(changes[1].value.as_deref(), Some(&vec![2]));
        assert!(!records.is_changed() && records.drain().is_empty());
    }

    #[test]
    fn what_may_wait_goes_with_the_next_transaction() {
        let records = Records::kept([(b"na".to_vec(), vec![1].into())]);

        records.forget_lazily(b"a");

        assert!(!records.is_changed() && records.noted(b"a").is_none());
        assert_eq!(names(&records.drain()), [(&b"na"[..], false)]);
    }

    #[test]
    fn without_a_disk_nothing_waits() {
        let records = Records::default();
        records.note(b"a", [1]);

        assert!(!records.is_changed() && records.drain().is_empty());
        assert_eq!(records.noted(b"a").as_deref(), Some(&vec![1]));
    }

    #[test]
    fn notes_are_found_by_the_beginning_of_their_names() {
        let records = Records::default();
        for name in ["m/2", "m/1", "n/1"] {
            records.note(name.as_bytes(), name);
        }

        let found: Vec<_> = records.noted_under(b"m/").into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, [b"m/1".to_vec(), b"m/2".to_vec()]);
    }
}
