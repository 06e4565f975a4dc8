//! The chunks one receiver was sent and has not answered yet (RFC 4975, 7.1.1). Pure: it is told what left, what was
//! answered and what time it is, and says when the receiver has been silent for too long. What follows is for
//! `connection/answers`. What is owed to a sender for a chunk that was passed on is kept in `forward/ledger`, which costs ten
//! times as much for each; a room answers for itself, so here only silence counts.
//!
//! The timer belongs to the oldest chunk alone: it starts at the first look at which everything that was taken is with
//! the operating system, and starts anew when that chunk is answered. So a link that is slow and moves is never taken
//! for a silent one, and neither a chunk nor an answer costs a look at the clock.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use msrp::TransactionId;

use super::Tag;

/// A ring, in the order of the wire. Answers usually come in that order, too.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    ring: VecDeque<Sent>,
    /// Since when the oldest has been with the operating system, as far as anybody has looked.
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    /// Of the transaction id; `ANSWERED` for one that was answered before an older one.
    digest: u64,
    /// Of which stream more may follow.
    of: Tag,
}

const ANSWERED: u64 = 0;

/// What a chunk costs while it is not answered.
pub(super) const OCTETS: usize = size_of::<Sent>();

impl Unanswered {
    /// A chunk is about to be sealed.
    pub(super) fn sent(&mut self, transaction: TransactionId, of: Tag) {
        self.ring.push_back(Sent { digest: digest(transaction), of });
    }

    /// An answer came for the oldest chunk: of which stream it was.
    pub(super) fn answered_in_turn(&mut self, transaction: TransactionId) -> Option<Tag> {
        let of = self.ring.pop_front_if(|oldest| oldest.digest == digest(transaction))?.of;
        self.drop_answered();
        Some(of)
    }

    /// An answer came for any chunk but the oldest.
    pub(super) fn answered_out_of_turn(&mut self, transaction: TransactionId) -> Option<Tag> {
        let wanted = digest(transaction);
        let sent = self.ring.iter_mut().find(|sent| sent.digest == wanted)?;
        sent.digest = ANSWERED;
        Some(sent.of)
    }

    /// Another chunk is the oldest now.
    fn drop_answered(&mut self) {
        while self.ring.pop_front_if(|oldest| oldest.digest == ANSWERED).is_some() {}
        self.since = None;
        if self.ring.is_empty() && self.ring.capacity() > super::IDLE_FRAMES_MAX {
            self.ring = VecDeque::new();
        }
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Looks at the time. True: the oldest chunk has been with the operating system for `wait`, and no answer came.
    /// While octets wait for the socket no timer runs.
    pub(super) fn is_overdue(&mut self, now: Instant, way: Way, wait: Duration) -> bool {
        if self.ring.is_empty() || way == Way::Blocked {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < wait {
            return false;
        }
        // With an abort nothing is lost, so a receiver that does not answer one is let off.
        if self.ring.pop_front_if(|oldest| oldest.of == Tag::ABORT).is_some() {
            self.drop_answered();
            return false;
        }
        true
    }
}

/// Whether the socket takes what is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Everything that was taken from the outbox is with the operating system.
    Clear,
    /// Some of it waits until the socket takes more.
    Blocked,
}

/// Our ids are 128 random bits, so a digest of 63 is as good as the id; a peer that makes up a matching one has
/// answered its own chunk.
fn digest(transaction: TransactionId) -> u64 {
    super::fold(transaction.as_bytes())
}
