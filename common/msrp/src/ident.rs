//! The names a message carries: transaction id and Message-ID, and the random part of a session URI. They are
//! values of fixed size, so that reading one allocates nothing. Uniqueness beyond randomness is the caller's.

use std::fmt;

use rand::RngCore;

use crate::token;

/// `ident` of RFC 4975, section 9: 4 to 32 characters, kept in place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Ident {
    length: u8,
    text: [u8; 32],
}

impl Ident {
    fn parse(text: &[u8]) -> Option<Self> {
        if !token::is_ident(text) {
            return None;
        }
        let mut ident = Self { length: u8::try_from(text.len()).ok()?, text: [0; 32] };
        ident.text.get_mut(..text.len())?.copy_from_slice(text);
        Some(ident)
    }

    fn random(rng: &mut impl RngCore) -> Self {
        let mut text = [0; 32];
        let (length, written) = (22, random_text(rng, *b"+."));
        for (to, from) in text.iter_mut().zip(written) {
            *to = from;
        }
        Self { length, text }
    }

    fn as_bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn as_str(&self) -> &str {
        // Only ASCII passes `is_ident`.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// 128 random bits in 22 characters: the first carries two, each other six. `last_two` completes the alphabet.
fn random_text(rng: &mut impl RngCore, last_two: [u8; 2]) -> [u8; 22] {
    let mut bits = (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64());
    let mut text = [0; 22];
    for (i, c) in text.iter_mut().enumerate() {
        let take = if i == 0 { 2 } else { 6 };
        let low = u8::try_from(bits & ((1 << take) - 1)).unwrap_or_default();
        bits >>= take;
        *c = match low {
            0..=25 => b'A' + low,
            26..=51 => b'a' + (low - 26),
            52..=61 => b'0' + (low - 52),
            62 => last_two[0],
            _ => last_two[1],
        };
    }
    text
}

/// 128 random bits as the session-id of a URI (RFC 4975, section 14.1 asks for 80 at least).
pub fn random_session_id(rng: &mut impl RngCore) -> String {
    random_text(rng, *b"-_").iter().map(|&c| char::from(c)).collect()
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ident);

        impl $name {
            /// The id in `text`, if it follows the grammar of `ident`.
            pub fn parse(text: &[u8]) -> Option<Self> {
                Ident::parse(text).map(Self)
            }

            /// A new one of 128 random bits.
            pub fn random(rng: &mut impl RngCore) -> Self {
                Self(Ident::random(rng))
            }

            /// The octets on the wire.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// The same as text; an id is always ASCII.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.as_str())
            }
        }
    };
}

named! {
    /// Names one transaction on one connection and closes its message: the end-line repeats it.
    TransactionId
}
named! {
    /// Names one message; every chunk of it and every report about it carries the same.
    MessageId
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn random_ids_follow_the_grammar_and_do_not_repeat() {
        let mut rng = StdRng::seed_from_u64(1);

        let ids: HashSet<_> = (0..10_000).map(|_| TransactionId::random(&mut rng)).collect();

        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert_eq!(TransactionId::parse(id.as_bytes()), Some(id), "{id}");
        }
    }

    #[test]
    fn a_random_session_id_is_22_characters_a_uri_may_hold() {
        let mut rng = StdRng::seed_from_u64(2);
        for _ in 0..1000 {
            let id = random_session_id(&mut rng);
            assert_eq!(id.len(), 22);
            assert!(token::is_session_id(id.as_bytes()), "{id}");
        }
    }

    #[test]
    fn ids_are_compared_octet_by_octet() {
        assert_ne!(MessageId::parse(b"abcd"), MessageId::parse(b"ABCD"));
        assert_eq!(MessageId::parse(b"ab_d"), None);
    }
}
