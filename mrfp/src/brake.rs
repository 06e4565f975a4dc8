//! Back-pressure between two connections: how much is under way to a receiver, and who must wait because of it. A slow
//! receiver so pauses its own senders, by their sockets, and nobody else.
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Marks in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Above this, senders pause.
    pub(crate) high: usize,
    /// At this, they go on.
    pub(crate) low: usize,
}

/// What waits for one receiver.
#[derive(Debug)]
pub(crate) struct Brake {
    marks: Marks,
    /// Handed over, and not in the outbox yet.
    under_way: AtomicUsize,
    /// In the outbox.
    queued: AtomicUsize,
    /// More requests wait for answers than should.
    crowded: AtomicBool,
    waiting: AtomicUsize,
    relieved: Notify,
}

impl Brake {
    pub(crate) fn new(marks: Marks) -> Self {
        Self {
            marks,
            under_way: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            relieved: Notify::new(),
        }
    }

    fn octets(&self) -> usize {
        self.under_way.load(Ordering::SeqCst) + self.queued.load(Ordering::SeqCst)
    }

    /// A sender has handed over so much.
    pub(crate) fn add(&self, octets: usize) {
        self.under_way.fetch_add(octets, Ordering::SeqCst);
    }

    /// So much of it has arrived, or is dropped.
    pub(crate) fn arrived(&self, octets: usize) {
        self.under_way.fetch_sub(octets, Ordering::SeqCst);
        self.look();
    }

    /// The outbox holds so much now.
    pub(crate) fn settle(&self, queued: usize, crowded: bool) {
        self.queued.store(queued, Ordering::SeqCst);
        self.crowded.store(crowded, Ordering::SeqCst);
        self.look();
    }

    fn look(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 && self.is_low() {
            self.relieved.notify_waiters();
        }
    }

    /// Whether a sender must pause now. Where the whole process has too much waiting, half as much is too much.
    pub(crate) fn is_high(&self, overfull: bool) -> bool {
        let high = if overfull { self.marks.low } else { self.marks.high };
        self.octets() > high || self.crowded.load(Ordering::SeqCst)
    }

    fn is_low(&self) -> bool {
        self.octets() <= self.marks.low && !self.crowded.load(Ordering::SeqCst)
    }

    /// Waits until the receiver has caught up.
    pub(crate) async fn passable(&self) {
        let _counted = Counted::new(&self.waiting);
        while !self.is_low() {
            let relieved = self.relieved.notified();
            tokio::pin!(relieved);
            relieved.as_mut().enable();
            if self.is_low() {
                return;
            }
            relieved.await;
        }
    }
}

/// One who waits, until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
