//! Which messages of a device have been completed, so that one sent again after a broken connection is acknowledged
//! and not relayed twice (RFC 4975, 5.4), and which of them their receiver has reported. It outlives sessions: the room
//! keeps one for each device.
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use ids::Number;
use msrp::{ByteRange, MessageId};

/// How many Message-IDs are remembered for a device. A sender repeats what was unanswered when its connection broke,
/// and nobody has this many unanswered messages; the cost is 3 KiB for each device.
const REMEMBERED_MAX: usize = 128;

/// The last Message-IDs of one device, as hashes, and how long the messages were.
#[derive(Debug, Default)]
pub struct Seen {
    completed: VecDeque<Completed>,
}

#[derive(Debug)]
struct Completed {
    digest: u64,
    octets: u64,
    /// Its receiver has said that all of it arrived.
    reported: bool,
    /// It counts only when the room's log holds everything up to there.
    place: Option<Number>,
}

impl Seen {
    /// Remembers a completed message of `octets`.
    pub fn note(&mut self, id: MessageId, octets: u64) {
        self.note_placed(id, octets, None);
    }

    /// The same for one that counts only when the room's log holds everything up to its place.
    pub fn note_placed(&mut self, id: MessageId, octets: u64, place: Option<Number>) {
        if self.completed.len() == REMEMBERED_MAX {
            self.completed.pop_front();
        }
        self.completed.push_back(Completed { digest: digest(id), octets, reported: false, place });
    }

    /// The message was not completed after all.
    pub fn forget(&mut self, id: MessageId) {
        let gone = digest(id);
        self.completed.retain(|seen| seen.digest != gone);
    }

    /// What took this place was not stored: it was not completed.
    pub fn fail(&mut self, place: Number) {
        self.completed.retain(|seen| seen.place != Some(place));
    }

    /// What the log has to hold before the message counts.
    pub fn place_of(&self, id: MessageId) -> Option<Number> {
        self.find(id).and_then(|seen| seen.place)
    }

    fn find(&self, id: MessageId) -> Option<&Completed> {
        let wanted = digest(id);
        self.completed.iter().find(|seen| seen.digest == wanted)
    }

    /// How long the message was, if it was completed before.
    pub fn octets_of(&self, id: MessageId) -> Option<u64> {
        self.find(id).map(|seen| seen.octets)
    }

    /// The receiver of a message reports these octets of it as arrived. Only a report of all of them counts.
    pub fn note_reported(&mut self, id: MessageId, range: ByteRange) {
        let wanted = digest(id);
        if let Some(seen) = self.completed.iter_mut().find(|seen| seen.digest == wanted)
            && range.start == 1
            && range.end == Some(seen.octets)
        {
            seen.reported = true;
        }
    }

    /// How long the message was, if its receiver has reported all of it.
    pub fn reported(&self, id: MessageId) -> Option<u64> {
        self.find(id).filter(|seen| seen.reported).map(|seen| seen.octets)
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

    #[test]
    fn s7_1_2_only_a_report_of_a_whole_message_says_that_it_arrived() {
        let mut seen = Seen::default();
        seen.note(id(0), 10);

        let whole = ByteRange::whole(10);
        let parts = [ByteRange::piece(1, 9, None), ByteRange::piece(2, 9, None)];
        parts.into_iter().for_each(|part| seen.note_reported(id(0), part));
        seen.note_reported(id(1), whole);
        assert_eq!((seen.reported(id(0)), seen.reported(id(1))), (None, None));

        seen.note_reported(id(0), whole);
        assert_eq!(seen.reported(id(0)), Some(10));
        seen.forget(id(0));
        assert_eq!(seen.reported(id(0)), None);
    }
}
