//! Which messages of a device have been completed, so that one sent again after a broken connection is acknowledged
//! and not relayed twice (RFC 4975, 5.4). It outlives sessions: the room keeps one for each device.
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use msrp::MessageId;

/// How many Message-IDs are remembered for a device. A sender repeats what was unanswered when its connection broke,
/// and nobody has this many unanswered messages; the cost is 2 KiB for each device.
const REMEMBERED_MAX: usize = 128;

/// The last Message-IDs of one device, as hashes, and how long the messages were.
#[derive(Debug, Default)]
pub struct Seen {
    completed: VecDeque<(u64, u64)>,
}

impl Seen {
    /// Remembers a completed message of `octets`.
    pub fn note(&mut self, id: MessageId, octets: u64) {
        if self.completed.len() == REMEMBERED_MAX {
            self.completed.pop_front();
        }
        self.completed.push_back((digest(id), octets));
    }

    /// The message was not completed after all.
    pub fn forget(&mut self, id: MessageId) {
        let gone = digest(id);
        self.completed.retain(|(seen, _)| *seen != gone);
    }

    /// How long the message was, if it was completed before.
    pub fn octets_of(&self, id: MessageId) -> Option<u64> {
        let wanted = digest(id);
        self.completed.iter().find(|(seen, _)| *seen == wanted).map(|(_, octets)| *octets)
    }
}

fn digest(id: MessageId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> MessageId {
        MessageId::parse(format!("message{n}").as_bytes()).unwrap()
    }

    #[test]
    fn a_completed_message_is_remembered_until_many_others_came() {
        let mut seen = Seen::default();
        seen.note(id(0), 10);
        assert_eq!((seen.octets_of(id(0)), seen.octets_of(id(1))), (Some(10), None));

        (1..=REMEMBERED_MAX).for_each(|n| seen.note(id(n), 1));

        assert_eq!((seen.octets_of(id(0)), seen.octets_of(id(1))), (None, Some(1)));
    }
}
