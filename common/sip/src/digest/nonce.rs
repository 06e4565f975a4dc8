//! Nonces: made without being remembered, remembered (in bounds) only once somebody used one rightly.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;

use super::hash::{hmac_sha256, same_secret};

/// How long a nonce is good, and how many are watched for replays.
#[derive(Clone, Copy, Debug)]
pub struct NonceLimits {
    /// After this a client is asked again, with `stale=true`.
    pub lifetime: Duration,
    /// Nonces in use at one time; when there are more, the oldest becomes stale.
    pub used_max: usize,
}

impl Default for NonceLimits {
    /// Half an hour, 65536 nonces.
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(1800), used_max: 1 << 16 }
    }
}

/// Makes nonces and knows its own. Nobody who does not log in can make it remember anything.
pub(super) struct Nonces {
    limits: NonceLimits,
    key: [u8; 32],
    begun: Instant,
    /// The counts seen with each nonce, oldest nonce first.
    used: BTreeMap<Stamp, Counts>,
    /// Nonces up to this time are forgotten, and so cannot be told from used ones.
    forgotten: u64,
}

/// When a nonce was made, in nanoseconds since the beginning, and what makes it unique.
type Stamp = (u64, [u8; 12]);

/// The last 64 counts, so that requests on two flows may overtake each other.
#[derive(Clone, Copy, Default)]
struct Counts {
    highest: u32,
    seen: u64,
}

const MAC_BYTES: usize = 16;

impl Nonces {
    pub(super) fn new(limits: NonceLimits, now: Instant, rng: &mut impl RngCore) -> Self {
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        Self { limits, key, begun: now, used: BTreeMap::new(), forgotten: 0 }
    }

    pub(super) fn make(&self, now: Instant, rng: &mut impl RngCore) -> String {
        let mut unique = [0; 12];
        rng.fill_bytes(&mut unique);
        let stamp = [&self.age(now).to_be_bytes()[..], &unique].concat();
        let mac = hmac_sha256(&self.key, &stamp);
        let mac = mac.get(..MAC_BYTES).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([&stamp, mac].concat())
    }

    /// Whether this nonce is ours, still good, and was not yet used with this count; from now on it was.
    pub(super) fn spend(&mut self, now: Instant, nonce: &str, count: u32) -> bool {
        let now = self.age(now);
        let lifetime = u64::try_from(self.limits.lifetime.as_nanos()).unwrap_or(u64::MAX);
        let oldest = now.saturating_sub(lifetime);
        self.forget_before(oldest);
        let Some(stamp) = self.open(nonce).filter(|stamp| stamp.0 >= oldest) else {
            return false;
        };
        if !self.used.contains_key(&stamp) {
            // Made at or before a forgotten one: it may have been used.
            if stamp.0 <= self.forgotten && self.forgotten > 0 {
                return false;
            }
            if self.used.len() >= self.limits.used_max {
                self.forget_oldest();
            }
        }
        self.used.entry(stamp).or_default().spend(count)
    }

    fn forget_oldest(&mut self) {
        if let Some(((made, _), _)) = self.used.pop_first() {
            self.forgotten = self.forgotten.max(made);
        }
    }

    fn forget_before(&mut self, oldest: u64) {
        while self.used.first_key_value().is_some_and(|((made, _), _)| *made < oldest) {
            self.forget_oldest();
        }
    }

    fn open(&self, nonce: &str) -> Option<Stamp> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (stamp, mac) = bytes.split_at_checked(8 + 12)?;
        let expected = hmac_sha256(&self.key, stamp);
        if !same_secret(mac, expected.get(..MAC_BYTES)?) {
            return None;
        }
        let (made, unique) = stamp.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*made), unique.try_into().ok()?))
    }

    /// Never zero, so that zero can mean "nothing forgotten".
    fn age(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.begun).as_nanos();
        u64::try_from(age).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl Counts {
    fn spend(&mut self, count: u32) -> bool {
        if count == 0 {
            return false;
        }
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let Some(bit) = 1_u64.checked_shl(self.highest - count) else { return false };
        let fresh = self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_good_once_in_any_order_within_the_window() {
        let mut counts = Counts::default();
        assert!(!counts.spend(0));
        for count in [2, 1, 70, 7, 69] {
            assert!(counts.spend(count), "{count}");
            assert!(!counts.spend(count), "{count} again");
        }
        assert!(!counts.spend(6), "64 below the highest");
        assert!(!counts.spend(2));
        assert!(counts.spend(u32::MAX));
    }
}
