//! Globally routable URIs of one device (RFC 5627): the public one names person and device, a temporary one names
//! neither. Temporary ones are not remembered: each holds a number that only their maker can read (A.2). Whom the number
//! stands for, and how long, the registrar knows.
use ids::{Aor, DeviceId};
use rand::RngCore;

use crate::digest::{hmac_sha256, same_secret};
use crate::uri::SipUri;

/// What the user part of a temporary GRUU begins with.
const PREFIX: &str = "tgruu.";
/// Octets of what makes it unique, of the number, and of the proof that it is ours.
const PART: usize = 8;

/// What a URI with a `gr` parameter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gruu {
    /// This device of this person.
    Public(Aor, DeviceId),
    /// Whoever the registrar gave this user part to.
    Temporary(String),
}

impl Gruu {
    /// Reads a URI; `None` without a `gr` parameter, or if its value is no device of anybody.
    pub fn of(uri: &SipUri) -> Option<Self> {
        let device = uri.param("gr")?;
        if device.is_empty() {
            return uri.user().map(|user| Self::Temporary(user.into_owned()));
        }
        Some(Self::Public(uri.aor().ok()?, device.parse().ok()?))
    }

    /// The public GRUU of a device (RFC 5627, 3.1.1).
    pub fn public(aor: &Aor, device: &DeviceId) -> SipUri {
        SipUri::from(aor).with_param("gr", Some(device.as_str()))
    }
}

/// Makes temporary GRUUs, and reads its own.
pub struct Temporary {
    key: [u8; 32],
}

impl Temporary {
    /// With a key of its own: nobody else can read or make them.
    pub fn new(rng: &mut impl RngCore) -> Self {
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        Self { key }
    }

    /// A user part that stands for `number`; each one is another.
    pub fn user(&self, number: u64, rng: &mut impl RngCore) -> String {
        let mut unique = [0; PART];
        rng.fill_bytes(&mut unique);
        let hidden = self.mask(unique, number.to_be_bytes());
        let mac = self.mac(unique, hidden);
        format!("{PREFIX}{}", hex::encode([unique, hidden, mac].concat()))
    }

    /// The number that a user part stands for, if it is one of ours.
    pub fn number(&self, user: &str) -> Option<u64> {
        let octets = hex::decode(user.strip_prefix(PREFIX)?).ok()?;
        let (unique, rest) = octets.split_first_chunk::<PART>()?;
        let (hidden, mac) = rest.split_first_chunk::<PART>()?;
        let ours = same_secret(&self.mac(*unique, *hidden), mac);
        ours.then(|| u64::from_be_bytes(self.mask(*unique, *hidden)))
    }

    fn mask(&self, unique: [u8; PART], number: [u8; PART]) -> [u8; PART] {
        let mask = hmac_sha256(&self.key, &[b"mask", &unique[..]].concat());
        let mut masked = number;
        masked.iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
        masked
    }

    fn mac(&self, unique: [u8; PART], hidden: [u8; PART]) -> [u8; PART] {
        let mac = hmac_sha256(&self.key, &[b"mac.", &unique[..], &hidden[..]].concat());
        let mut short = [0; PART];
        short.iter_mut().zip(mac).for_each(|(octet, mac)| *octet = mac);
        short
    }
}

impl std::fmt::Debug for Temporary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Temporary(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    const DEVICE: &str = "urn:uuid:00000000-0000-4000-8000-000000000001";

    #[test]
    fn r5627_3_1_1_a_public_gruu_is_the_address_with_the_device() {
        let (aor, device): (Aor, DeviceId) =
            ("sip:alice@example.net".parse().unwrap(), DEVICE.parse().unwrap());

        let uri = Gruu::public(&aor, &device);

        assert_eq!(uri.to_string(), format!("sip:alice@example.net;gr={DEVICE}"));
        assert_eq!(Gruu::of(&uri), Some(Gruu::Public(aor, device)));
        assert_eq!(Gruu::of(&"sip:alice@example.net".parse().unwrap()), None);
        assert_eq!(Gruu::of(&"sip:alice@example.net;gr=nothing".parse().unwrap()), None);
    }

    #[test]
    fn r5627_3_1_2_a_temporary_gruu_is_new_each_time_and_names_nobody() {
        let mut rng = StdRng::seed_from_u64(1);
        let maker = Temporary::new(&mut rng);

        let (one, two) = (maker.user(7, &mut rng), maker.user(7, &mut rng));

        assert_ne!(one, two);
        assert_eq!((maker.number(&one), maker.number(&two)), (Some(7), Some(7)));
        let uri: SipUri = format!("sip:{one}@example.net;gr").parse().unwrap();
        assert_eq!(Gruu::of(&uri), Some(Gruu::Temporary(one)));
    }

    #[test]
    fn what_somebody_else_made_or_changed_stands_for_nobody() {
        let mut rng = StdRng::seed_from_u64(1);
        let (maker, other) = (Temporary::new(&mut rng), Temporary::new(&mut rng));
        let user = maker.user(7, &mut rng);

        assert_eq!(other.number(&user), None);
        let changed = match user.strip_suffix('0') {
            Some(start) => format!("{start}1"),
            None => format!("{}0", &user[..user.len() - 1]),
        };
        for wrong in [changed.as_str(), "alice", "tgruu.", "tgruu.00ff", "tgruu.zz"] {
            assert_eq!(maker.number(wrong), None, "{wrong}");
        }
    }
}
