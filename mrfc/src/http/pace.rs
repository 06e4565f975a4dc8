//! How often somebody may do something in a minute. It knows neither who nor what, and reads no clock.
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is counted over.
const MINUTE: Duration = Duration::from_secs(60);
/// Keys remembered. 100 000: some 10 MB. When there are more within one minute all are forgotten, so that the
/// table never keeps anybody out by being full.
const KEYS_MAX: usize = 100_000;

/// Counts by key.
#[derive(Debug)]
pub(crate) struct Pace<K> {
    per_minute_max: u32,
    counts: Mutex<HashMap<K, (Instant, u32)>>,
}

impl<K: Eq + Hash> Pace<K> {
    pub(crate) fn new(per_minute_max: u32) -> Self {
        Self { per_minute_max, counts: Mutex::default() }
    }

    /// Whether this key has had as many as it may in this minute.
    pub(crate) fn is_spent(&self, now: Instant, key: &K) -> bool {
        self.counts()
            .get(key)
            .is_some_and(|(since, count)| now < *since + MINUTE && *count >= self.per_minute_max)
    }

    /// Counts one, unless there were as many as there may be. Says whether it counted.
    pub(crate) fn take(&self, now: Instant, key: K) -> bool {
        let mut counts = self.counts();
        if counts.len() >= KEYS_MAX && !counts.contains_key(&key) {
            counts.retain(|_, (since, _)| now < *since + MINUTE);
            if counts.len() >= KEYS_MAX {
                counts.clear();
            }
        }
        let (since, count) = counts.entry(key).or_insert((now, 0));
        if now >= *since + MINUTE {
            (*since, *count) = (now, 0);
        }
        let free = *count < self.per_minute_max;
        *count += u32::from(free);
        free
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<K, (Instant, u32)>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::clock;

    #[test]
    fn each_key_has_its_own_share_of_each_minute() {
        let (pace, now) = (Pace::new(2), clock::now());

        assert!(pace.take(now, 'a') && !pace.is_spent(now, &'a'));
        assert!(pace.take(now, 'a') && pace.is_spent(now, &'a'));
        assert!(!pace.take(now, 'a') && pace.take(now, 'b'));

        let later = now + MINUTE;
        assert!(!pace.is_spent(later, &'a') && pace.take(later, 'a'));
    }

    #[test]
    fn a_full_table_forgets_and_keeps_nobody_out() {
        let (pace, now) = (Pace::new(1), clock::now());
        for key in 0..=KEYS_MAX {
            assert!(pace.take(now, key));
        }

        assert!(pace.counts().len() <= KEYS_MAX);
        assert!(pace.take(now, KEYS_MAX + 1));
    }
}
