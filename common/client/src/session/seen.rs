//! Which messages were shown already. Bounded: the oldest are forgotten first.
use std::collections::{HashSet, VecDeque};

use ids::{Aor, ConferenceId};
use mls::storage::Records;

/// How many messages are remembered. A message is resent within seconds, so this is hours of talk.
const SEEN_MAX: usize = 4096;

/// The messages shown, by their proven author and `imdn.Message-ID`. Kept with the device, if it keeps anything.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    known: HashSet<(Aor, String)>,
    order: VecDeque<(Aor, String)>,
    /// How many were noted ever: the names of the notes grow with it.
    count: u64,
    notes: Option<(Records, Vec<u8>)>,
}

impl Seen {
    /// What this device has seen in a conference before.
    pub(crate) fn kept(records: &Records, conference: &ConferenceId) -> Self {
        Self::kept_as(records, format!("seen/{conference}/").into_bytes())
    }

    /// What this device has seen before of what came outside of any conference and could be read by servers.
    pub(crate) fn kept_immediate(records: &Records) -> Self {
        Self::kept_as(records, b"immediate/".to_vec())
    }

    fn kept_as(records: &Records, prefix: Vec<u8>) -> Self {
        let mut seen = Self::default();
        // In the order of their names, which is the order they came in.
        for (name, value) in records.noted_under(&prefix) {
            let number = name.get(prefix.len()..).and_then(|end| end.try_into().ok());
            seen.count = number.map_or(seen.count, |number| u64::from_be_bytes(number) + 1);
            let known = std::str::from_utf8(&value).ok().and_then(|text| text.split_once('\n'));
            if let Some((author, id)) = known
                && let Ok(author) = author.parse::<Aor>()
            {
                seen.known.insert((author.clone(), id.to_owned()));
                seen.order.push_back((author, id.to_owned()));
            }
        }
        seen.notes = Some((records.clone(), prefix));
        seen
    }

    /// Whether a message was noted.
    pub(crate) fn has(&self, author: &Aor, id: &str) -> bool {
        self.known.contains(&(author.clone(), id.to_owned()))
    }

    /// Notes a message; says whether it is new.
    pub(crate) fn note(&mut self, author: &Aor, id: &str) -> bool {
        let key = (author.clone(), id.to_owned());
        if !self.known.insert(key.clone()) {
            return false;
        }
        if let Some((records, prefix)) = &self.notes {
            records.note(&name(prefix, self.count), format!("{author}\n{id}"));
        }
        self.count += 1;
        self.order.push_back(key);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
            if let Some((records, prefix)) = &self.notes {
                let number = self.count.saturating_sub(self.order.len() as u64 + 1);
                records.forget_lazily(&name(prefix, number));
            }
        }
        true
    }
}

fn name(prefix: &[u8], number: u64) -> Vec<u8> {
    [prefix, &number.to_be_bytes()].concat()
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

    #[test]
    fn what_was_seen_before_a_restart_is_not_new_and_the_oldest_are_forgotten_on_disk_too() {
        let room: ConferenceId = "room".parse().unwrap();
        let alice: Aor = "sip:alice@x".parse().unwrap();
        let records = Records::kept([]);
        let mut seen = Seen::kept(&records, &room);
        for n in 0..SEEN_MAX + 10 {
            seen.note(&alice, &n.to_string());
        }

        let mut again = Seen::kept(&records, &room);

        assert_eq!(again.order.len(), SEEN_MAX);
        assert!(!again.note(&alice, &(SEEN_MAX + 9).to_string()));
        assert!(again.note(&alice, "9") && again.note(&alice, "after"));
        assert!(Seen::kept(&records, &"other".parse().unwrap()).note(&alice, "after"));
    }
}
