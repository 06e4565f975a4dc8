//! What waits for one connection, bounded in octets. Pure: it neither seals nor writes, and it does not know why a
//! receiver is slow; it only says when there is no more room.
use std::collections::VecDeque;

use msrp::Frame;

/// Frames on their way to one connection. Responses and reports overtake chunks, between two frames (RFC 4975, 7.1.1).
#[derive(Debug)]
pub struct Outbox {
    urgent: VecDeque<Frame>,
    chunks: VecDeque<Frame>,
    octets: usize,
    octets_max: usize,
}

/// The outbox has no room: this receiver reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Outbox {
    /// An empty outbox that holds at most `octets_max`.
    pub fn new(octets_max: usize) -> Self {
        Self { urgent: VecDeque::new(), chunks: VecDeque::new(), octets: 0, octets_max }
    }

    /// Queues a chunk, or says at once that there is no room for it.
    pub fn push(&mut self, frame: Frame) -> Result<(), Full> {
        self.charge(&frame)?;
        self.chunks.push_back(frame);
        Ok(())
    }

    /// Queues a response or a report, which overtakes every chunk.
    pub fn push_urgent(&mut self, frame: Frame) -> Result<(), Full> {
        self.charge(&frame)?;
        self.urgent.push_back(frame);
        Ok(())
    }

    fn charge(&mut self, frame: &Frame) -> Result<(), Full> {
        let octets = self.octets.saturating_add(frame.len());
        if octets > self.octets_max {
            return Err(Full);
        }
        self.octets = octets;
        Ok(())
    }

    /// Takes frames from the front until they hold `octets` or none is left. A frame is never cut.
    pub fn take(&mut self, octets: usize) -> Vec<Frame> {
        let mut taken = Vec::with_capacity(self.urgent.len() + self.chunks.len().min(64));
        let mut sum = 0;
        while sum < octets {
            let Some(frame) = self.urgent.pop_front().or_else(|| self.chunks.pop_front()) else {
                break;
            };
            sum += frame.len();
            taken.push(frame);
        }
        self.octets -= sum;
        // A burst must not keep its memory while the connection is idle.
        if self.is_empty() && self.chunks.capacity() > IDLE_FRAMES_MAX {
            self.chunks = VecDeque::new();
        }
        taken
    }

    /// Octets that wait.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.chunks.is_empty()
    }
}

const IDLE_FRAMES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use msrp::{Address, Body, MessageId, SendRequest};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn frame(seed: u64, octets: usize) -> Frame {
        let mut rng = StdRng::seed_from_u64(seed);
        let body = Body::from(Bytes::from(vec![7; octets]));
        let send = SendRequest::whole(MessageId::random(&mut rng), "text/plain", body);
        send.encode(&mut rng).to(&Address::default())
    }

    #[test]
    fn a_full_outbox_takes_nothing_more_and_keeps_what_it_has() {
        let one = frame(1, 100);
        let mut outbox = Outbox::new(one.len() + 50);

        assert_eq!(outbox.push(one.clone()), Ok(()));
        assert_eq!(outbox.push(frame(2, 100)), Err(Full));

        assert_eq!(outbox.octets(), one.len());
        assert_eq!(outbox.take(usize::MAX), [one]);
        assert_eq!(outbox.octets(), 0);
    }

    #[test]
    fn a_response_overtakes_the_chunks_that_wait() {
        let mut outbox = Outbox::new(10_000);
        outbox.push(frame(1, 100)).unwrap();
        outbox.push(frame(2, 100)).unwrap();
        outbox.push_urgent(frame(3, 1)).unwrap();

        assert_eq!(outbox.take(usize::MAX), [frame(3, 1), frame(1, 100), frame(2, 100)]);
    }

    #[test]
    fn what_is_taken_ends_with_the_frame_that_reaches_the_mark() {
        let mut outbox = Outbox::new(10_000);
        (0..4).for_each(|n| outbox.push(frame(n, 1000)).unwrap());

        assert_eq!(outbox.take(1500).len(), 2);
        assert_eq!(outbox.take(1500).len(), 2);
        assert!(outbox.is_empty());
    }
}
