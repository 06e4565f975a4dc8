//! Numbers for people to compare, by voice or side by side: what two devices hold alike gives the same number.
//!
//! Thirty digits are some 100 bits: nobody makes keys that give the number of somebody else's. They prove that both look
//! at the same keys, not whose hands those are in.
use ids::Aor;
use sha2::{Digest as _, Sha256};

use crate::member::Member;
use crate::wire::DeviceName;

/// Groups of five digits.
const GROUPS: usize = 6;
/// Groups of a code that is typed.
const CODE_GROUPS: usize = 4;
/// Octets that make one group: 2^40 possibilities for 10^5, so that every group is as likely as any other.
const GROUP_OCTETS: usize = 5;

impl Member {
    /// The devices in the group with their public signature keys, in the order of the leaves.
    pub fn keys(&self) -> impl Iterator<Item = (&DeviceName, &[u8])> {
        self.leaves().map(|leaf| (&leaf.name, leaf.key.as_slice()))
    }

    /// The number of the present epoch: the same for all who are in it, and for nobody else (RFC 9420, 8.7).
    pub fn epoch_number(&self) -> String {
        digits(&[b"conclave epoch", &self.authenticator()])
    }

    /// The number of two people: this device's and another one, by the keys of all devices they have in the group. None
    /// if the other one has none.
    pub fn pair_number(&self, other: &Aor) -> Option<String> {
        let me = &self.me().aor;
        let mut keys: Vec<_> =
            self.keys().filter(|(name, _)| name.aor == *me || name.aor == *other).collect();
        if !keys.iter().any(|(name, _)| name.aor == *other) {
            return None;
        }
        keys.sort_unstable();
        Some(of_keys(&keys))
    }
}

/// The code of a device that is to be confirmed, as it shows it and another one of its person is told it: twenty digits, so that
/// nobody makes another key with the same one in the time that there is.
pub fn device_code(name: &DeviceName, key: &[u8; 32]) -> String {
    let (aor, device) = (name.aor.as_str(), name.device.as_str());
    let number = digits(&[b"conclave device", aor.as_bytes(), device.as_bytes(), key]);
    number.split(' ').take(CODE_GROUPS).collect::<Vec<_>>().join(" ")
}

/// The number of these keys, which are in order.
fn of_keys(keys: &[(&DeviceName, &[u8])]) -> String {
    let mut parts: Vec<&[u8]> = vec![b"conclave pair"];
    for (name, key) in keys {
        parts.extend([name.aor.as_str().as_bytes(), name.device.as_str().as_bytes(), key]);
    }
    digits(&parts)
}

/// Each part with its length, so that no two lists of parts look alike.
fn digits(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let group = |octets: &[u8]| {
        let number = octets.iter().fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
        format!("{:05}", number % 100_000)
    };
    let groups: Vec<String> = hash.chunks_exact(GROUP_OCTETS).take(GROUPS).map(group).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(aor: &str) -> DeviceName {
        let device = "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap();
        DeviceName { aor: aor.parse().unwrap(), device }
    }

    #[test]
    fn another_key_or_another_device_gives_another_number() {
        let (alice, bob) = (device("sip:alice@x"), device("sip:bob@x"));
        let number = of_keys(&[(&alice, &[1; 32]), (&bob, &[2; 32])]);

        assert_eq!(number.len(), GROUPS * 6 - 1);
        assert!(number.chars().all(|c| c.is_ascii_digit() || c == ' '), "{number}");
        assert_ne!(number, of_keys(&[(&alice, &[1; 32]), (&bob, &[3; 32])]));
        assert_ne!(number, of_keys(&[(&alice, &[1; 32])]));
        assert_ne!(number, of_keys(&[(&bob, &[1; 32]), (&alice, &[2; 32])]));
    }
}
