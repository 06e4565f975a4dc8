//! What is in the messages of a run: each octet follows from the number of the message, so that every octet that arrives
//! can be checked. Pure.

/// Digits of the number that each content begins with.
pub const NUMBER_OCTETS: usize = 16;
/// Contents repeat after so many messages, but for their numbers.
const PERIOD: u16 = 251;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";

/// The contents of a run, all of one length.
#[derive(Clone, Debug)]
pub struct Content {
    wrapper: Vec<u8>,
    pattern: Vec<u8>,
    octets: usize,
}

impl Content {
    /// Contents of so many octets, at least [`NUMBER_OCTETS`], each behind the same wrapper.
    #[must_use]
    pub fn new(wrapper: &[u8], octets: usize) -> Self {
        let octets = octets.max(NUMBER_OCTETS);
        let length = octets - NUMBER_OCTETS + usize::from(PERIOD);
        let letters = std::iter::successors(Some(0x2545_f491_u32), |state| {
            Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
        });
        let pattern = letters.filter_map(|state| ALPHABET.get((state >> 27) as usize).copied());
        Self { wrapper: wrapper.to_vec(), pattern: pattern.take(length).collect(), octets }
    }

    /// Octets of a message, its wrapper included.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.wrapper.len() + self.octets
    }

    /// Appends a message.
    pub fn write(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.wrapper);
        out.extend_from_slice(&digits(number));
        out.extend_from_slice(self.tail(number));
    }

    /// Whether this is the message from the octet `offset` on, as far as it goes.
    #[must_use]
    pub fn matches(&self, number: u64, mut offset: usize, mut octets: &[u8]) -> bool {
        let digits = digits(number);
        for part in [&self.wrapper, &digits[..], self.tail(number)] {
            let Some(part) = part.get(offset..) else {
                offset -= part.len();
                continue;
            };
            offset = 0;
            let (here, rest) = octets.split_at(part.len().min(octets.len()));
            if !part.starts_with(here) {
                return false;
            }
            octets = rest;
        }
        octets.is_empty()
    }

    /// The number that the first octets of a message give.
    #[must_use]
    pub fn number(&self, message: &[u8]) -> Option<u64> {
        let digits = message.get(self.wrapper.len()..)?.get(..NUMBER_OCTETS)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    fn tail(&self, number: u64) -> &[u8] {
        let shift = usize::try_from(number % u64::from(PERIOD)).unwrap_or_default();
        let tail = self.pattern.get(shift..).unwrap_or_default();
        tail.get(..self.octets - NUMBER_OCTETS).unwrap_or_default()
    }
}

/// A number in hexadecimal digits.
#[must_use]
pub fn digits(number: u64) -> [u8; NUMBER_OCTETS] {
    let mut digits = [0; NUMBER_OCTETS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        let value = u8::try_from(rest & 15).unwrap_or_default();
        *digit = if value < 10 { b'0' + value } else { b'a' - 10 + value };
        rest >>= 4;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: &Content, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        content.write(number, &mut out);
        out
    }

    #[test]
    fn a_message_is_recognised_whole_and_in_pieces() {
        let content = Content::new(b"To: all\r\n\r\n", 300);
        let sent = message(&content, 77);

        assert_eq!((sent.len(), content.octets()), (311, 311));
        assert_eq!(content.number(&sent), Some(77));
        assert!(content.matches(77, 0, &sent));
        for cut in 0..sent.len() {
            let (head, tail) = sent.split_at(cut);
            assert!(content.matches(77, 0, head) && content.matches(77, cut, tail), "{cut}");
        }
    }

    #[test]
    fn a_changed_octet_is_seen_wherever_it_is() {
        let content = Content::new(b"To: all\r\n\r\n", 64);
        let sent = message(&content, 5);
        for at in 0..sent.len() {
            let mut changed = sent.clone();
            changed[at] ^= 1;
            assert!(!content.matches(5, 0, &changed), "{at}");
        }
        assert!(!content.matches(5, 0, &[sent.clone(), vec![b'x']].concat()), "one too many");
        assert!(!content.matches(5, sent.len(), b"x"), "behind the end");
    }

    #[test]
    fn two_messages_differ_in_more_than_their_numbers() {
        let content = Content::new(b"", 1024);
        let (one, two) = (message(&content, 1), message(&content, 2));

        assert!(!content.matches(1, 0, &two));
        assert_ne!(one[NUMBER_OCTETS..], two[NUMBER_OCTETS..]);
    }

    #[test]
    fn no_octet_could_end_a_line() {
        let sent = message(&Content::new(b"", 4096), 9);

        assert!(sent.iter().all(u8::is_ascii_alphanumeric));
        assert_eq!(&digits(0xff), b"00000000000000ff");
    }
}
