//! One request that went to several devices of a person: the first success is the answer, or the best refusal once
//! nobody is left (RFC 3261, 16.7). Pure.
use sip::Status;

/// The devices that have not answered yet, and the best answer so far.
#[derive(Debug, Default)]
pub(super) struct Fork {
    left: usize,
    told: bool,
    best: Option<Status>,
}

impl Fork {
    /// So many more devices were asked.
    pub(super) fn add(&mut self, devices: usize) {
        self.left += devices;
    }

    /// One device's answer: what there is to tell whoever asked, if anything.
    pub(super) fn ended(&mut self, status: Status) -> Option<Status> {
        self.left = self.left.saturating_sub(1);
        self.best = self.best.into_iter().chain([status]).min_by_key(|status| rank(*status));
        let tell = (status.is_success() || self.is_over()) && !self.told;
        self.told |= tell;
        self.best.filter(|_| tell)
    }

    /// Whether the person has declined for all devices (RFC 3261, 21.6).
    pub(super) fn is_refused(&self) -> bool {
        self.best.is_some_and(|best| (600..=699).contains(&best.code()))
    }

    /// Whether every device has answered.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// A success, then a decision of the person, then anything else.
fn rank(status: Status) -> u16 {
    match status.code() {
        200..=299 => 0,
        600..=699 => 1,
        400..=499 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fork(devices: usize) -> Fork {
        let mut fork = Fork::default();
        fork.add(devices);
        fork
    }

    #[test]
    fn the_first_success_is_told_and_nothing_after_it() {
        let mut fork = fork(3);

        assert_eq!(fork.ended(Status::BUSY_HERE), None);
        assert_eq!(fork.ended(Status::OK), Some(Status::OK));
        assert_eq!(fork.ended(Status::OK), None);
        assert!(fork.is_over());
    }

    #[test]
    fn when_nobody_takes_it_the_best_refusal_is_told() {
        let mut fork = fork(2);

        assert_eq!(fork.ended(Status::DECLINE), None);
        assert_eq!(fork.ended(Status::REQUEST_TIMEOUT), Some(Status::DECLINE));
    }
}
