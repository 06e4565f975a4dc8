//! What was sent and is not known to have arrived: success is reported in any number of parts (RFC 4975, 7.1.2), and a
//! message has arrived when they cover it. Bounded: of a peer that reports nothing the oldest are forgotten.
use std::collections::{HashMap, VecDeque};

use msrp::{ByteRange, MessageId};

/// Messages that may wait to be reported.
const WAITING_MAX: usize = 4096;
/// Separate parts of one message that may be reported; more is no report that anybody sends.
const PARTS_MAX: usize = 4096;

/// Messages that are not known to have arrived.
#[derive(Debug, Default)]
pub struct Deliveries {
    waiting: HashMap<MessageId, Waiting>,
    order: VecDeque<MessageId>,
}

#[derive(Debug)]
struct Waiting {
    octets: u64,
    /// Reported parts, first and last octet, in order and apart from each other.
    parts: Vec<(u64, u64)>,
}

impl Deliveries {
    /// A message of so many octets has left.
    pub fn wait_for(&mut self, id: MessageId, octets: u64) {
        self.waiting.insert(id, Waiting { octets, parts: Vec::new() });
        self.order.push_back(id);
        while self.order.len() > WAITING_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.waiting.remove(&oldest);
            }
        }
    }

    /// A part has arrived; whether now all of it has.
    pub fn confirmed(&mut self, id: MessageId, range: ByteRange) -> bool {
        let Some(waiting) = self.waiting.get_mut(&id) else { return false };
        let last = range.end.unwrap_or(waiting.octets).min(waiting.octets);
        waiting.cover(range.start, last);
        let whole = waiting.octets == 0 || waiting.parts == [(1, waiting.octets)];
        if whole {
            self.failed(id);
        }
        whole
    }

    /// Nothing more is to be reported of it; whether anything was.
    pub fn failed(&mut self, id: MessageId) -> bool {
        if self.waiting.remove(&id).is_none() {
            return false;
        }
        self.order.retain(|other| *other != id);
        true
    }
}

impl Waiting {
    fn cover(&mut self, first: u64, last: u64) {
        if first > last || self.parts.len() >= PARTS_MAX {
            return;
        }
        self.parts.push((first, last));
        self.parts.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.parts.len());
        for (first, last) in self.parts.drain(..) {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        self.parts = joined;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end: Some(end), total: Some(100) }
    }

    #[test]
    fn s7_1_2_a_message_has_arrived_when_its_reports_cover_it_in_whatever_order() {
        let id = MessageId::random(&mut rand::rng());
        let mut deliveries = Deliveries::default();
        deliveries.wait_for(id, 100);

        assert!(!deliveries.confirmed(id, part(51, 100)));
        assert!(!deliveries.confirmed(id, part(1, 20)));
        assert!(!deliveries.confirmed(id, part(1, 20)));
        assert!(deliveries.confirmed(id, part(15, 50)));
        assert!(!deliveries.confirmed(id, part(1, 100)), "it was told twice");
    }

    #[test]
    fn a_message_without_content_arrives_with_its_first_report() {
        let id = MessageId::random(&mut rand::rng());
        let mut deliveries = Deliveries::default();
        deliveries.wait_for(id, 0);

        assert!(deliveries.confirmed(id, ByteRange { start: 1, end: Some(0), total: Some(0) }));
    }

    #[test]
    fn a_peer_that_reports_nothing_costs_a_bounded_number_of_entries() {
        let mut deliveries = Deliveries::default();
        for _message in 0..WAITING_MAX + 10 {
            deliveries.wait_for(MessageId::random(&mut rand::rng()), 1);
        }

        assert_eq!((deliveries.waiting.len(), deliveries.order.len()), (WAITING_MAX, WAITING_MAX));
    }
}
