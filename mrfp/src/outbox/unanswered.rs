//! The chunks one receiver was sent and has not answered yet (RFC 4975, 7.1.1). Pure: it is told what left, what was
//! answered and what time it is, and says when the receiver has been silent for too long. What follows is for
//! `connection/answers`. What is owed to a sender for a chunk that was passed on is kept in `forward/ledger`, which costs ten
//! times as much for each; a room answers for itself, so here only silence counts.
//!
//! The timer belongs to the oldest chunk alone: it starts at the first look at which everything that was taken is with
//! the operating system, and starts anew when that chunk is answered. So a link that is slow and moves is never taken
//! for a silent one, and neither a chunk nor an answer costs a look at the clock.
//!
//! Who answers anything but the oldest must not make us search what may be thousands of chunks for each answer: with the
//! first such answer an index is made, and it is kept until nothing is unanswered any more. So each chunk enters it once.
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use msrp::TransactionId;

use super::{Place, Tag};

/// A ring, in the order of the wire. Answers usually come in that order, too.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    ring: VecDeque<Sent>,
    /// How many have left the front of the ring: the number of the oldest, counted from the first ever.
    left: u64,
    /// The numbers of those that are not answered, by their digests. None: every answer so far came in turn.
    #[expect(
        clippy::box_collection,
        reason = "a session at rest pays for a word and not for a table"
    )]
    index: Option<Box<HashMap<u64, u64>>>,
    /// Entries that were looked at or made on behalf of answers out of turn.
    #[cfg(test)]
    steps: usize,
    /// The newest place of those that left the front: everything before it is answered, too.
    reached: Option<Place>,
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
        let digest = digest(transaction);
        if let Some(index) = &mut self.index {
            index.insert(digest, self.left + count(self.ring.len()));
        }
        self.ring.push_back(Sent { digest, of });
    }

    /// An answer came for the oldest chunk: of which stream it was.
    pub(super) fn answered_in_turn(&mut self, transaction: TransactionId) -> Option<Tag> {
        let of = self.pop_if(|oldest| oldest.digest == digest(transaction))?;
        self.drop_answered();
        Some(of)
    }

    /// An answer came for any chunk but the oldest.
    pub(super) fn answered_out_of_turn(&mut self, transaction: TransactionId) -> Option<Tag> {
        if self.ring.is_empty() {
            return None;
        }
        #[cfg(test)]
        {
            self.steps += 1 + if self.index.is_none() { self.ring.len() } else { 0 };
        }
        let (ring, left) = (&self.ring, self.left);
        let numbers = || (left..).zip(ring).map(|(number, sent)| (sent.digest, number)).collect();
        let index = self.index.get_or_insert_with(|| Box::new(numbers()));
        let number = index.remove(&digest(transaction))?;
        let at = usize::try_from(number.checked_sub(left)?).ok()?;
        let sent = self.ring.get_mut(at)?;
        sent.digest = ANSWERED;
        Some(sent.of)
    }

    /// Takes the oldest, if it is like that: of which stream it was.
    fn pop_if(&mut self, fits: impl Fn(&Sent) -> bool) -> Option<Tag> {
        let sent = self.ring.pop_front_if(|oldest| fits(oldest))?;
        self.left += 1;
        if let Some(index) = &mut self.index {
            index.remove(&sent.digest);
        }
        self.reached = sent.of.place().or(self.reached);
        Some(sent.of)
    }

    /// The last place up to which everything is answered.
    pub(super) fn reached(&self) -> Option<Place> {
        self.reached
    }

    /// Another chunk is the oldest now.
    fn drop_answered(&mut self) {
        while self.pop_if(|oldest| oldest.digest == ANSWERED).is_some() {}
        self.since = None;
        if self.ring.is_empty() {
            self.index = None;
            if self.ring.capacity() > super::IDLE_FRAMES_MAX {
                self.ring = VecDeque::new();
            }
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
        if self.pop_if(|oldest| oldest.of == Tag::ABORT).is_some() {
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

fn count(places: usize) -> u64 {
    u64::try_from(places).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use msrp::MessageId;
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};

    use super::*;

    const CHUNKS: usize = 16 * 1024;

    fn sent(rng: &mut StdRng) -> (Unanswered, Vec<TransactionId>) {
        let ids: Vec<_> = (0..CHUNKS).map(|_| TransactionId::random(rng)).collect();
        let mut unanswered = Unanswered::default();
        ids.iter().for_each(|id| unanswered.sent(*id, Tag::NONE));
        (unanswered, ids)
    }

    #[test]
    fn who_never_answers_the_oldest_makes_no_answer_dearer_than_some_steps() {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut unanswered, ids) = sent(&mut rng);

        // From the youngest on, and twice as many that are made up.
        for id in ids.iter().skip(1).rev() {
            assert_eq!(unanswered.answered_out_of_turn(*id), Some(Tag::NONE));
            assert_eq!(unanswered.answered_out_of_turn(*id), None, "once");
            assert_eq!(unanswered.answered_out_of_turn(TransactionId::random(&mut rng)), None);
        }

        assert!(unanswered.steps < 5 * CHUNKS, "{} steps", unanswered.steps);
        assert_eq!(unanswered.answered_in_turn(ids[0]), Some(Tag::NONE));
        assert_eq!((unanswered.len(), unanswered.index.is_some()), (0, false), "nothing is kept");
    }

    #[test]
    fn answers_in_turn_need_no_index() {
        let mut rng = StdRng::seed_from_u64(2);
        let (mut unanswered, ids) = sent(&mut rng);

        ids.iter().for_each(|id| assert!(unanswered.answered_in_turn(*id).is_some()));

        assert_eq!((unanswered.steps, unanswered.index), (0, None));
    }

    /// What it should do, said in the dearest way.
    #[derive(Default)]
    struct Model(Vec<(TransactionId, Tag, bool)>);

    impl Model {
        fn answered(&mut self, id: TransactionId) -> Option<Tag> {
            let sent = self.0.iter_mut().find(|sent| sent.0 == id && !sent.2)?;
            sent.2 = true;
            let of = sent.1;
            let answered = self.0.iter().take_while(|sent| sent.2).count();
            self.0.drain(..answered);
            Some(of)
        }
    }

    #[test]
    fn in_whatever_order_answers_come_each_finds_its_chunk_once() {
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut unanswered, mut model) = (Unanswered::default(), Model::default());
            let mut open = Vec::new();
            for _ in 0..400 {
                if rng.random_range(0..5) > 1 {
                    let id = TransactionId::random(&mut rng);
                    let of = Tag::of(MessageId::random(&mut rng));
                    unanswered.sent(id, of);
                    model.0.push((id, of, false));
                    open.push(id);
                }
                if rng.random_range(0..10) == 0 {
                    open.shuffle(&mut rng);
                }
                // Some are answered twice, and mostly in turn.
                let answers = rng.random_range(0..3).min(open.len());
                for id in open.drain(..answers).collect::<Vec<_>>() {
                    for _ in 0..rng.random_range(1..3) {
                        let in_turn = unanswered.answered_in_turn(id);
                        let got = in_turn.or_else(|| unanswered.answered_out_of_turn(id));
                        assert_eq!(got, model.answered(id), "seed {seed}");
                    }
                }
                assert_eq!(unanswered.len(), model.0.len(), "seed {seed}");
            }
        }
    }
}
