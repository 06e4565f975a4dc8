//! What became of every message at every receiver: arrived whole and in its turn, lost, doubled or changed; how many are
//! in flight; how long they took. Pure.
use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use super::content::Content;
use crate::latency::{Figures, Latencies};

/// What became of messages at receivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages sent.
    pub sent: u64,
    /// Arrived octet for octet and in their turn.
    pub delivered: u64,
    /// Overtaken by a later one, or not there in the end.
    pub lost: u64,
    /// Arrived again.
    pub duplicated: u64,
    /// Arrived with other octets than were sent, or not all of them.
    pub corrupt: u64,
}

impl Counts {
    /// Whether everything arrived as it should.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.corrupt == 0
    }
}

/// One receiver's place in the sequence.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The message it must get next.
    next: u64,
    /// Octets of it that are there.
    offset: usize,
    /// What is wrong with the message that is coming in.
    wrong: Option<Wrong>,
}

#[derive(Clone, Copy, Debug)]
enum Wrong {
    Changed,
    Again,
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    at: Duration,
    receivers_left: usize,
}

/// The book of a run.
#[derive(Debug)]
pub struct Ledger {
    content: Content,
    places: Vec<Place>,
    flights: VecDeque<Flight>,
    /// The number of the first flight.
    first: u64,
    counts: Counts,
    latencies: Latencies,
    measured_from: Duration,
}

impl Ledger {
    /// An empty book. Messages sent before `measured_from` do not count among the latencies.
    #[must_use]
    pub fn new(content: Content, receivers: usize, measured_from: Duration) -> Self {
        Self {
            content,
            places: vec![Place::default(); receivers],
            flights: VecDeque::new(),
            first: 0,
            counts: Counts::default(),
            latencies: Latencies::default(),
            measured_from,
        }
    }

    /// A message leaves; from `at` on its latency counts. Its number.
    pub fn send(&mut self, at: Duration) -> u64 {
        let number = self.counts.sent;
        self.counts.sent += 1;
        self.flights.push_back(Flight { at, receivers_left: self.places.len() });
        number
    }

    /// Messages that some receiver does not have yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// What was sent.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Octets of a message have arrived.
    pub fn piece(&mut self, receiver: usize, piece: (usize, &[u8]), ends: bool, at: Duration) {
        let (offset, octets) = piece;
        let Some(mut place) = self.places.get(receiver).copied() else { return };
        if offset == 0 {
            self.turn(&mut place, octets);
        }
        let fits = offset == place.offset && self.content.matches(place.next, offset, octets);
        if place.wrong.is_none() && !fits {
            place.wrong = Some(Wrong::Changed);
        }
        place.offset = offset + octets.len();
        if ends {
            self.end(&mut place, at);
        }
        if let Some(kept) = self.places.get_mut(receiver) {
            *kept = place;
        }
    }

    /// A message begins: is it the one whose turn it is?
    fn turn(&mut self, place: &mut Place, octets: &[u8]) {
        place.offset = 0;
        let Some(number) = self.content.number(octets) else { return };
        if number < place.next {
            place.wrong = Some(Wrong::Again);
        } else if number < self.counts.sent {
            while place.next < number {
                self.counts.lost += 1;
                self.settle(place.next);
                place.next += 1;
            }
        }
    }

    fn end(&mut self, place: &mut Place, at: Duration) {
        let whole = place.offset == self.content.octets();
        match place.wrong.take() {
            Some(Wrong::Again) => {
                self.counts.duplicated += 1;
                place.offset = 0;
                return;
            }
            None if whole && place.next < self.counts.sent => {
                self.counts.delivered += 1;
                let flight = self.flight(place.next).map(|flight| flight.at);
                if let Some(sent) = flight.filter(|sent| *sent >= self.measured_from) {
                    self.latencies.record(at.saturating_sub(sent));
                }
            }
            None | Some(Wrong::Changed) => self.counts.corrupt += 1,
        }
        self.settle(place.next);
        *place = Place { next: place.next + 1, ..Place::default() };
    }

    fn flight(&mut self, number: u64) -> Option<&mut Flight> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.flights.get_mut(index)
    }

    /// One receiver less waits for a message.
    fn settle(&mut self, number: u64) {
        if let Some(flight) = self.flight(number) {
            flight.receivers_left = flight.receivers_left.saturating_sub(1);
        }
        while self.flights.front().is_some_and(|flight| flight.receivers_left == 0) {
            self.flights.pop_front();
            self.first += 1;
        }
    }

    /// Messages sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.counts.sent
    }

    /// What has arrived so far.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.counts.delivered
    }

    /// The counts when nothing more is waited for: what is still in flight is lost.
    #[must_use]
    pub fn close(&self) -> Counts {
        let missing = self.places.iter().map(|place| self.counts.sent.saturating_sub(place.next));
        Counts { lost: self.counts.lost + missing.sum::<u64>(), ..self.counts }
    }

    /// From the start of a message to each receiver having all of it.
    #[must_use]
    pub fn latency(&self) -> Figures {
        self.latencies.figures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    struct Run {
        ledger: Ledger,
        content: Content,
    }

    fn run(receivers: usize, messages: u64) -> Run {
        let content = Content::new(b"To: all\r\n\r\n", 64);
        let mut ledger = Ledger::new(content.clone(), receivers, Duration::ZERO);
        for _ in 0..messages {
            ledger.send(MS);
        }
        Run { ledger, content }
    }

    impl Run {
        fn message(&self, number: u64) -> Vec<u8> {
            let mut out = Vec::new();
            self.content.write(number, &mut out);
            out
        }

        fn hear(&mut self, receiver: usize, number: u64) {
            let message = self.message(number);
            self.ledger.piece(receiver, (0, &message), true, 3 * MS);
        }

        fn counts(&self) -> [u64; 4] {
            let counts = self.ledger.close();
            [counts.delivered, counts.lost, counts.duplicated, counts.corrupt]
        }
    }

    #[test]
    fn a_message_is_in_flight_until_every_receiver_has_it() {
        let mut run = run(2, 2);
        run.hear(0, 0);
        run.hear(0, 1);
        run.hear(1, 0);
        assert_eq!((run.ledger.in_flight(), run.counts()), (1, [3, 1, 0, 0]));

        run.hear(1, 1);

        assert_eq!((run.ledger.in_flight(), run.counts()), (0, [4, 0, 0, 0]));
        assert!(run.ledger.close().is_clean());
        assert_eq!((run.ledger.latency().count, run.ledger.latency().p50), (4, 2000));
    }

    #[test]
    fn a_message_that_was_left_out_is_lost_and_the_next_one_counts() {
        let mut run = run(1, 3);
        run.hear(0, 0);
        run.hear(0, 2);

        assert_eq!((run.ledger.in_flight(), run.counts()), (0, [2, 1, 0, 0]));
    }

    #[test]
    fn a_message_that_comes_again_or_late_is_a_duplicate() {
        let mut run = run(1, 2);
        [0, 0, 1, 0].into_iter().for_each(|number| run.hear(0, number));

        assert_eq!(run.counts(), [2, 0, 2, 0]);
    }

    #[test]
    fn a_changed_octet_a_missing_one_and_one_too_many_are_corrupt() {
        for at in 0..75 {
            let mut run = run(1, 1);
            let mut message = run.message(0);
            message[at] ^= 1;
            run.ledger.piece(0, (0, &message), true, 3 * MS);
            assert!(!run.ledger.close().is_clean(), "{at}");
            assert_eq!(run.counts()[0], 0, "{at}");
        }
        let mut run = run(1, 2);
        let message = run.message(0);
        run.ledger.piece(0, (0, &message[..70]), true, 3 * MS);
        run.ledger.piece(0, (0, &[run.message(1), b"x".to_vec()].concat()), true, 3 * MS);
        assert_eq!(run.counts(), [0, 0, 0, 2]);
    }

    #[test]
    fn pieces_must_come_in_order_and_without_a_gap() {
        let mut run = run(1, 3);
        let message = run.message(0);
        run.ledger.piece(0, (0, &message[..40]), false, 3 * MS);
        run.ledger.piece(0, (40, &message[40..]), true, 3 * MS);
        assert_eq!(run.counts(), [1, 2, 0, 0]);

        let message = run.message(1);
        run.ledger.piece(0, (0, &message[..40]), false, 3 * MS);
        run.ledger.piece(0, (41, &message[41..]), true, 3 * MS);
        assert_eq!(run.counts(), [1, 1, 0, 1]);
    }

    #[test]
    fn what_nobody_sent_is_corrupt() {
        let mut run = run(1, 0);
        run.hear(0, 0);

        assert_eq!(run.counts(), [0, 0, 0, 1]);
    }

    #[test]
    fn the_warm_up_is_delivered_and_not_measured() {
        let content = Content::new(b"", 64);
        let mut ledger = Ledger::new(content.clone(), 1, 2 * MS);
        for at in [MS, 2 * MS] {
            let number = ledger.send(at);
            let mut message = Vec::new();
            content.write(number, &mut message);
            ledger.piece(0, (0, &message), true, 5 * MS);
        }

        assert_eq!((ledger.delivered(), ledger.latency().count), (2, 1));
    }
}
