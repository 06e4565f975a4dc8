//! Conferences that were here a while ago: whoever asks for one is told that it is over, and not that it never was. It
//! reads no clock. A start forgets them.
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use ids::ConferenceId;

/// The last ones to end, the oldest first.
#[derive(Debug)]
pub(super) struct Ended {
    until: HashMap<ConferenceId, SystemTime>,
    order: VecDeque<(SystemTime, ConferenceId)>,
    remembered: Duration,
    max: usize,
}

impl Ended {
    /// None yet; each is remembered for so long, and at most so many.
    pub(super) fn new(remembered: Duration, max: usize) -> Self {
        Self { until: HashMap::new(), order: VecDeque::new(), remembered, max }
    }

    pub(super) fn add(&mut self, id: &ConferenceId, now: SystemTime) {
        let until = now + self.remembered;
        self.until.insert(id.clone(), until);
        self.order.push_back((until, id.clone()));
        while self.order.len() > self.max
            || self.order.front().is_some_and(|(until, _)| *until <= now)
        {
            let Some((until, oldest)) = self.order.pop_front() else { return };
            // It may have ended again since.
            if self.until.get(&oldest) == Some(&until) {
                self.until.remove(&oldest);
            }
        }
    }

    /// It is here again.
    pub(super) fn remove(&mut self, id: &ConferenceId) {
        self.until.remove(id);
    }

    pub(super) fn has(&self, id: &ConferenceId, now: SystemTime) -> bool {
        self.until.get(id).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(n: u32) -> ConferenceId {
        format!("room{n}").parse().unwrap()
    }

    #[test]
    fn f10_a_conference_that_was_here_is_remembered_for_a_while_and_within_bounds() {
        let (now, hour) = (SystemTime::UNIX_EPOCH, Duration::from_secs(3600));
        let mut ended = Ended::new(hour, 3);
        for n in 0..5 {
            ended.add(&room(n), now);
        }

        assert!(!ended.has(&room(1), now) && ended.has(&room(2), now));
        assert!(!ended.has(&room(4), now + hour));
        ended.add(&room(9), now + hour);
        assert_eq!((ended.order.len(), ended.until.len()), (1, 1));
        ended.remove(&room(9));
        assert!(!ended.has(&room(9), now + hour));
    }
}
