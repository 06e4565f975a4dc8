//! Nonces: made without being remembered, remembered (in bounds) only once somebody has proved a password with one. So
//! nobody who cannot log in can make the relay remember anything.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use rand::RngCore;

/// How long a nonce is good, and how many are watched for replays.
#[derive(Clone, Copy, Debug)]
pub struct NonceLimits {
    /// After this a client is asked again, with `stale=true`.
    pub lifetime: Duration,
    /// Nonces in use at one time; when there are more, the oldest is stale.
    pub used_max: usize,
}

/// Makes nonces and knows its own.
pub(super) struct Nonces {
    limits: NonceLimits,
    key: hmac::Key,
    begun: Instant,
    /// The highest count seen with each nonce, oldest nonce first.
    used: BTreeMap<Stamp, u32>,
    /// Nonces up to this one are forgotten, and so cannot be told from used ones.
    forgotten: Option<Stamp>,
}

/// When a nonce was made, in nanoseconds since the beginning, and what makes it unique.
type Stamp = (u64, [u8; 8]);

const STAMP_OCTETS: usize = 16;
/// 128 bits of the hash: more than anybody can try in a nonce's life.
const MAC_OCTETS: usize = 16;

impl Nonces {
    pub(super) fn new(limits: NonceLimits, now: Instant, rng: &mut impl RngCore) -> Self {
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Self { limits, key, begun: now, used: BTreeMap::new(), forgotten: None }
    }

    pub(super) fn make(&self, now: Instant, rng: &mut impl RngCore) -> String {
        let mut stamp = [0; STAMP_OCTETS];
        let (made, unique) = stamp.split_at_mut(8);
        made.copy_from_slice(&self.age(now).to_be_bytes());
        rng.fill_bytes(unique);
        let mac = hmac::sign(&self.key, &stamp);
        let octets = stamp.iter().chain(mac.as_ref().iter().take(MAC_OCTETS));
        octets.fold(String::with_capacity(64), |mut text, octet| {
            // Writing to memory cannot fail.
            _ = write!(text, "{octet:02x}");
            text
        })
    }

    /// Whether this nonce is ours, still good, and was never used with this count or a later one; from now on it was.
    /// AUTH requests are not sent before the last is answered (RFC 4976, 9.1), so counts only grow.
    pub(super) fn spend(&mut self, now: Instant, nonce: &str, count: u32) -> bool {
        let lifetime = u64::try_from(self.limits.lifetime.as_nanos()).unwrap_or(u64::MAX);
        let oldest = self.age(now).saturating_sub(lifetime);
        while self.used.first_key_value().is_some_and(|((made, _), _)| *made < oldest) {
            self.forget_oldest();
        }
        let Some(stamp) = self.open(nonce).filter(|(made, _)| *made >= oldest) else {
            return false;
        };
        if let Some(highest) = self.used.get_mut(&stamp) {
            let fresh = count > *highest;
            *highest = (*highest).max(count);
            return fresh;
        }
        // Made before a forgotten one: it may have been used.
        if count == 0 || self.forgotten.is_some_and(|forgotten| stamp <= forgotten) {
            return false;
        }
        self.used.insert(stamp, count);
        if self.used.len() > self.limits.used_max {
            self.forget_oldest();
        }
        true
    }

    fn forget_oldest(&mut self) {
        if let Some((stamp, _)) = self.used.pop_first() {
            self.forgotten = self.forgotten.max(Some(stamp));
        }
    }

    fn open(&self, nonce: &str) -> Option<Stamp> {
        let octets = from_hex(nonce)?;
        let (stamp, mac) = octets.split_first_chunk::<STAMP_OCTETS>()?;
        let expected = hmac::sign(&self.key, stamp);
        let expected = expected.as_ref().get(..MAC_OCTETS)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(mac, expected).ok()?;
        let (made, unique) = stamp.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*made), unique.try_into().ok()?))
    }

    fn age(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.begun).as_nanos();
        u64::try_from(age).unwrap_or(u64::MAX)
    }
}

/// Lower-case hex; nothing else, so that a nonce has one way to be written.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn nonces(used_max: usize) -> (Nonces, Instant, StdRng) {
        let (now, mut rng) = (service::clock::now(), StdRng::seed_from_u64(1));
        let limits = NonceLimits { lifetime: Duration::from_secs(300), used_max };
        (Nonces::new(limits, now, &mut rng), now, rng)
    }

    #[test]
    fn m4976_04_a_count_is_good_once_and_only_above_the_last() {
        let (mut nonces, now, mut rng) = nonces(10);
        let nonce = nonces.make(now, &mut rng);

        let spent = [0, 1, 1, 2, 7, 6, 2, u32::MAX, u32::MAX].map(|n| nonces.spend(now, &nonce, n));

        assert_eq!(spent, [false, true, false, true, true, false, false, true, false]);
    }

    #[test]
    fn what_we_did_not_make_or_made_too_long_ago_is_no_good() {
        let (mut nonces, now, mut rng) = nonces(10);
        let (nonce, later) = (nonces.make(now, &mut rng), now + Duration::from_secs(300));
        let mut forged = nonce.clone();
        forged.replace_range(..1, "1");

        for bad in [forged.as_str(), &nonce.to_uppercase(), &nonce[1..], &nonce[..62], "", "ü"] {
            assert!(!nonces.spend(now, bad, 1), "{bad}");
        }
        let (mut others, _, _) = self::nonces(10);
        others.key = hmac::Key::new(hmac::HMAC_SHA256, b"another");
        assert!(!others.spend(now, &nonce, 1));
        assert!(!nonces.spend(later + Duration::from_nanos(1), &nonce, 1));
        assert!(nonces.spend(later, &nonce, 1));
    }

    #[test]
    fn what_is_forgotten_cannot_be_replayed_and_memory_is_bounded() {
        let (mut nonces, now, mut rng) = nonces(2);
        let made: Vec<String> =
            (0..5).map(|n| nonces.make(now + Duration::from_secs(n), &mut rng)).collect();
        let now = now + Duration::from_secs(10);

        for nonce in &made[1..] {
            assert!(nonces.spend(now, nonce, 1));
        }

        assert_eq!(nonces.used.len(), 2);
        assert!(!nonces.spend(now, &made[2], 2), "forgotten, so perhaps used");
        assert!(!nonces.spend(now, &made[0], 1), "older than a forgotten one");
        assert!(nonces.spend(now, &made[4], 2));
        let much_later = now + Duration::from_secs(1000);
        assert!(!nonces.spend(much_later, &made[4], 3));
        assert!(nonces.used.is_empty());
    }
}
