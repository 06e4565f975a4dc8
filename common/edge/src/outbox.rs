//! What waits to be written to one flow: bounded in bytes, filled without waiting, emptied by the flow's writer.
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::event::Closed;

/// The queue of one flow.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes_max: usize,
    /// Bytes written together.
    batch_bytes_max: usize,
    inner: Mutex<Inner>,
    /// Something was queued, or the outbox was closed.
    filled: Notify,
    /// Something was written.
    drained: Notify,
    /// The flow must end without writing what is queued.
    killed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Bytes>,
    /// Queued or being written, with [`ENTRY_BYTES`] for each entry.
    bytes: usize,
    closing: bool,
    killed: Option<Closed>,
}

/// What is written at once, and what it counts in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) bytes: Bytes,
    pub(crate) cost: usize,
}

/// What an entry of the queue takes besides its bytes, so that many tiny ones count too.
const ENTRY_BYTES: usize = 64;

/// Written together, so that many small messages leave in one write.
const BATCH_BYTES_MAX: usize = 64 << 10;

impl Outbox {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            batch_bytes_max: BATCH_BYTES_MAX,
            inner: Mutex::default(),
            filled: Notify::new(),
            drained: Notify::new(),
            killed: Notify::new(),
        }
    }

    /// One in which each message is written by itself.
    pub(crate) fn of_single_messages(bytes_max: usize) -> Self {
        Self { batch_bytes_max: 0, ..Self::new(bytes_max) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues `bytes`. If they do not fit the flow is killed: its peer does not read.
    pub(crate) fn push(&self, bytes: Bytes) {
        let mut inner = self.lock();
        if inner.closing || inner.killed.is_some() {
            return;
        }
        let cost = bytes.len() + ENTRY_BYTES;
        if inner.bytes + cost > self.bytes_max {
            drop(inner);
            self.kill(Closed::QueueFull);
            return;
        }
        inner.bytes += cost;
        inner.queue.push_back(bytes);
        drop(inner);
        self.filled.notify_one();
    }

    /// Nothing more is queued; the flow ends when everything is written.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.filled.notify_one();
    }

    /// The flow ends now.
    pub(crate) fn kill(&self, why: Closed) {
        self.lock().killed.get_or_insert(why);
        self.killed.notify_one();
    }

    /// Waits until the flow must end now.
    pub(crate) async fn killed(&self) -> Closed {
        loop {
            let killed = self.lock().killed;
            if let Some(why) = killed {
                return why;
            }
            self.killed.notified().await;
        }
    }

    /// The next bytes to write; `None` when the outbox is closed and empty.
    pub(crate) async fn next(&self) -> Option<Batch> {
        loop {
            {
                let mut inner = self.lock();
                if let Some(batch) = inner.batch(self.batch_bytes_max) {
                    return Some(batch);
                }
                if inner.closing {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// A batch of this cost is written.
    pub(crate) fn written(&self, cost: usize) {
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_sub(cost);
        drop(inner);
        self.drained.notify_one();
    }

    /// Waits until at most half of what may be queued is queued.
    pub(crate) async fn half_empty(&self) {
        loop {
            let bytes = self.lock().bytes;
            if bytes <= self.bytes_max / 2 {
                return;
            }
            self.drained.notified().await;
        }
    }
}

impl Inner {
    fn batch(&mut self, bytes_max: usize) -> Option<Batch> {
        let first = self.queue.pop_front()?;
        let fits = |size: usize, next: &Bytes| size + next.len() <= bytes_max;
        let mut cost = first.len() + ENTRY_BYTES;
        if self.queue.front().is_none_or(|next| !fits(first.len(), next)) {
            return Some(Batch { bytes: first, cost });
        }
        let mut bytes = BytesMut::from(first);
        while let Some(next) = self.queue.pop_front_if(|next| fits(bytes.len(), next)) {
            bytes.extend_from_slice(&next);
            cost += next.len() + ENTRY_BYTES;
        }
        Some(Batch { bytes: bytes.freeze(), cost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_messages_leave_together_and_in_order() {
        let outbox = Outbox::new(1000);
        for text in ["a", "b", "c"] {
            outbox.push(Bytes::from_static(text.as_bytes()));
        }

        assert_eq!(outbox.next().await.unwrap().bytes, "abc");
    }

    #[tokio::test]
    async fn rfc7118_s5_two_messages_do_not_leave_as_one() {
        let outbox = Outbox::of_single_messages(1000);
        for text in ["a", "b"] {
            outbox.push(Bytes::from_static(text.as_bytes()));
        }

        assert_eq!(outbox.next().await.unwrap().bytes, "a");
        assert_eq!(outbox.next().await.unwrap().bytes, "b");
    }

    #[tokio::test]
    async fn a_full_outbox_kills_its_flow_and_counts_what_is_being_written() {
        let outbox = Outbox::new(128);
        outbox.push(Bytes::from_static(b"abc"));
        assert_eq!(outbox.next().await.unwrap().bytes, "abc");

        outbox.push(Bytes::from_static(b"de"));

        assert_eq!(outbox.killed().await, Closed::QueueFull);
    }

    #[tokio::test]
    async fn a_closed_outbox_is_written_to_its_end() {
        let outbox = Outbox::new(1000);
        outbox.push(Bytes::from_static(b"last"));
        outbox.close();
        outbox.push(Bytes::from_static(b"too late"));

        assert_eq!(outbox.next().await.unwrap().bytes, "last");
        assert_eq!(outbox.next().await, None);
    }
}
