//! Which notices of a relay are kept. Desks finish them in any order; the relay is told the number up to which
//! all are done.
use std::collections::BTreeSet;

use tokio::sync::mpsc;

/// Says, when dropped, that the notice it came with is kept, or of no further interest.
#[derive(Debug)]
pub struct Done {
    run: u64,
    number: u64,
    tell: mpsc::UnboundedSender<(u64, u64)>,
}

impl Drop for Done {
    fn drop(&mut self) {
        // Where the link's task is gone nobody wants to know.
        self.tell.send((self.run, self.number)).ok();
    }
}

/// The notices that are not done, of one run of the relay.
#[derive(Debug)]
pub(super) struct Open {
    run: u64,
    last: u64,
    open: BTreeSet<u64>,
    tell: mpsc::UnboundedSender<(u64, u64)>,
}

impl Open {
    pub(super) fn new(tell: mpsc::UnboundedSender<(u64, u64)>) -> Self {
        Self { run: 0, last: 0, open: BTreeSet::new(), tell }
    }

    /// The relay counts from one again.
    pub(super) fn another_run(&mut self) {
        self.run += 1;
        self.last = 0;
        self.open.clear();
    }

    pub(super) fn begin(&mut self, number: u64) -> Done {
        self.last = number;
        self.open.insert(number);
        Done { run: self.run, number, tell: self.tell.clone() }
    }

    /// The number up to which all are done, now that this one is.
    pub(super) fn done(&mut self, (run, number): (u64, u64)) -> Option<u64> {
        if run != self.run || !self.open.remove(&number) {
            return None;
        }
        Some(self.open.first().map_or(self.last, |first| first - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_safe_only_when_all_before_it_are() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut open = Open::new(tell);
        let (first, second, third) = (open.begin(1), open.begin(2), open.begin(3));

        drop(second);
        assert_eq!(open.done(told.try_recv().unwrap()), Some(0));
        drop(first);
        assert_eq!(open.done(told.try_recv().unwrap()), Some(2));
        drop(third);
        assert_eq!(open.done(told.try_recv().unwrap()), Some(3));
    }

    #[test]
    fn what_an_earlier_run_of_the_relay_said_does_not_count_in_this_one() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut open = Open::new(tell);
        let old = open.begin(1);
        open.another_run();
        let _new = open.begin(1);

        drop(old);

        assert_eq!(open.done(told.try_recv().unwrap()), None);
    }
}
