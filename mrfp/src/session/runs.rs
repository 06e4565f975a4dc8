//! Which octets of a message have come. Chunks may come in any order and more than once (RFC 4975, 7.3.1); only a map of
//! what is there follows from that, and nothing is ever allocated by a number in a range.
use std::collections::BTreeMap;

/// What has come: from the first octet without a gap, and behind gaps, where runs do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    front: u64,
    /// From their start to behind their end.
    beyond: BTreeMap<u64, u64>,
}

/// More runs than an honest sender makes, whose chunks are hardly ever out of order.
const RUNS_MAX: usize = 64;

/// The message is in too many separate pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scattered;

impl Runs {
    /// These octets have come.
    pub(crate) fn add(&mut self, start: u64, end: u64) -> Result<(), Scattered> {
        if start <= self.front {
            self.front = self.front.max(end);
            while let Some(run) = self.beyond.first_entry().filter(|run| *run.key() <= self.front) {
                self.front = self.front.max(run.remove());
            }
            return Ok(());
        }
        let (mut from, mut to) = (start, end);
        // Of the runs that start up to our end the last ones may reach us.
        while let Some((&at, &until)) = self.beyond.range(..=to).next_back() {
            if until < from {
                break;
            }
            (from, to) = (from.min(at), to.max(until));
            self.beyond.remove(&at);
        }
        if from < to {
            self.beyond.insert(from, to);
        }
        if self.beyond.len() > RUNS_MAX { Err(Scattered) } else { Ok(()) }
    }

    /// How many octets have come from the first without a gap.
    pub(crate) fn front(&self) -> u64 {
        self.front
    }

    /// Behind the last octet that has come.
    pub(crate) fn reach(&self) -> u64 {
        self.beyond.last_key_value().map_or(self.front, |(_, end)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m4975_42_octets_count_once_in_whatever_order_they_come() {
        let mut runs = Runs::default();
        for (start, end, front, reach) in [
            (10, 20, 0, 20),
            (30, 40, 0, 40),
            (0, 5, 5, 40),
            (15, 31, 5, 40),
            (5, 5, 5, 40),
            (4, 10, 40, 40),
            (0, 40, 40, 40),
        ] {
            runs.add(start, end).unwrap();
            assert_eq!((runs.front(), runs.reach()), (front, reach), "{start}-{end}");
        }
        assert!(runs.beyond.is_empty());
    }

    #[test]
    fn a_message_in_more_pieces_than_anybody_makes_is_given_up() {
        let mut runs = Runs::default();
        let added = (1..=100).map(|n| runs.add(n * 2, n * 2 + 1));

        assert_eq!(added.filter(Result::is_ok).count(), RUNS_MAX);
    }
}
