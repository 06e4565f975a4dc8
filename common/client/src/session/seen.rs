//! Which messages were shown already. Bounded: the oldest are forgotten first.
use std::collections::{HashSet, VecDeque};

use ids::Aor;

/// How many messages are remembered. A message is resent within seconds, so this is hours of talk.
const SEEN_MAX: usize = 4096;

/// The messages shown, by their proven author and `imdn.Message-ID`.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashSet<(Aor, String)>,
    order: VecDeque<(Aor, String)>,
}

impl Seen {
    /// Notes a message; says whether it is new.
    pub(super) fn note(&mut self, author: &Aor, id: &str) -> bool {
        let key = (author.clone(), id.to_owned());
        if !self.known.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_new_once_for_each_author() {
        let (alice, bob) = ("sip:alice@x".parse().unwrap(), "sip:bob@x".parse().unwrap());
        let mut seen = Seen::default();

        assert!(seen.note(&alice, "m1"));
        assert!(!seen.note(&alice, "m1"));
        assert!(seen.note(&bob, "m1"));
    }

    #[test]
    fn memory_does_not_grow_past_the_bound() {
        let alice: Aor = "sip:alice@x".parse().unwrap();
        let mut seen = Seen::default();
        for n in 0..SEEN_MAX + 10 {
            seen.note(&alice, &n.to_string());
        }

        assert_eq!((seen.known.len(), seen.order.len()), (SEEN_MAX, SEEN_MAX));
        assert!(seen.note(&alice, "0"));
    }
}
