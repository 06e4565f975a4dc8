//! What messages say: content that nobody else could have written, and that is known again octet by octet. Pure.
use bytes::{BufMut, Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::Scenario;

/// Octets of a message's own number, with which its content begins.
pub(super) const NUMBER_OCTETS: usize = 8;
/// Octets of noise that contents are cut from, beyond the size of one.
const NOISE_OCTETS: usize = 64 * 1024;

/// The content of every message: its number, then noise that follows from the number. An arrival is compared with it
/// octet by octet.
#[derive(Debug)]
pub struct Contents {
    noise: Vec<u8>,
    size: usize,
}

impl Contents {
    /// The contents of a run.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let mut noise = vec![0; NOISE_OCTETS + scenario.size];
        StdRng::seed_from_u64(!scenario.seed).fill_bytes(&mut noise);
        Self { noise, size: scenario.size }
    }

    /// The content of a message.
    #[must_use]
    pub fn write(&self, number: u64) -> Bytes {
        let mut content = BytesMut::with_capacity(self.size);
        content.put_u64(number);
        content.put_slice(self.noise(number));
        content.freeze()
    }

    /// The number of the message that has this content; `None` if none has.
    #[must_use]
    pub fn read(&self, content: &[u8]) -> Option<u64> {
        let (number, noise) = content.split_first_chunk::<NUMBER_OCTETS>()?;
        let number = u64::from_be_bytes(*number);
        (noise == self.noise(number)).then_some(number)
    }

    fn noise(&self, number: u64) -> &[u8] {
        // Any odd factor spreads neighbouring numbers over the noise.
        let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        let start = usize::try_from(spread).unwrap_or(0) % NOISE_OCTETS;
        self.noise.get(start..start + self.size - NUMBER_OCTETS).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::scenario;

    #[test]
    fn content_is_known_again_and_no_other() {
        let contents = Contents::new(&scenario());
        let content = contents.write(41);

        assert_eq!((content.len(), contents.read(&content)), (64, Some(41)));
        assert_ne!(contents.write(42)[8..], content[8..]);
        for at in [0, 7, 8, 63] {
            let mut changed = content.to_vec();
            changed[at] ^= 1;
            assert_eq!(contents.read(&changed), None, "octet {at} changed");
        }
        assert_eq!(contents.read(&content[..63]), None);
        assert_eq!(contents.read(&[content.as_ref(), b"x"].concat()), None);
        assert_eq!(contents.read(b""), None);
    }
}
