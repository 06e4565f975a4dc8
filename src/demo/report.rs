//! What the demo counted and whether every promise it exercised was kept. Pure: it counts what it is told and prints
//! nothing.
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Messages, counted over every sender and receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Messages {
    /// Messages whose sender got its 200.
    pub(crate) sent: u64,
    /// Arrivals, over all receivers.
    pub(crate) delivered: u64,
    /// Arrivals that should have happened and did not, or with other content than was sent.
    pub(crate) lost: u64,
    /// Messages shown a second time to the same receiver.
    pub(crate) duplicated: u64,
}

/// A file's way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FileWay {
    /// Octets of the content.
    pub(crate) bytes: u64,
    /// SHA-256 of what was sent, in hexadecimal.
    pub(crate) sha256_sent: String,
    /// SHA-256 of what each receiver got; one value when all agree.
    pub(crate) sha256_received: String,
    /// How many receivers got it.
    pub(crate) receivers: u64,
}

impl FileWay {
    fn arrived(&self) -> bool {
        self.bytes > 0 && self.receivers > 0 && self.sha256_sent == self.sha256_received
    }
}

/// The way of a message for somebody who was not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Deferred {
    /// Octets of the content.
    pub(crate) octets: u64,
    /// SHA-256 of what was sent, in hexadecimal.
    pub(crate) sent_sha256: String,
    /// SHA-256 of what lay in the mailbox.
    pub(crate) stored_sha256: String,
    /// SHA-256 of what was delivered.
    pub(crate) delivered_sha256: String,
    /// Whether the recipient could see that it was late.
    pub(crate) marked_late: bool,
}

impl Deferred {
    fn arrived(&self) -> bool {
        let (stored, delivered) = (&self.stored_sha256, &self.delivered_sha256);
        self.octets > 0 && self.marked_late && [stored, delivered] == [&self.sent_sha256; 2]
    }
}

/// The way of a sealed message for somebody who was not there, nor ever wrote back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SealedDeferred {
    /// Octets of what left the sender's device, with the keys of a first contact.
    pub(crate) octets: u64,
    /// SHA-256 of what left the sender's device, in hexadecimal.
    pub(crate) sent_sha256: String,
    /// SHA-256 of what lay in the mailbox, as it was sent and not under a key of the server.
    pub(crate) stored_sha256: String,
    /// Whether the recipient opened it and it was what was written.
    pub(crate) read: bool,
    /// Whether the recipient could see that it was late.
    pub(crate) marked_late: bool,
}

impl SealedDeferred {
    fn arrived(&self) -> bool {
        let same = self.stored_sha256 == self.sent_sha256;
        self.octets > 0 && same && self.read && self.marked_late
    }
}

/// What a member who was away was told when it was back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CaughtUp {
    /// Epochs that the group went through meanwhile.
    pub(crate) epochs: u64,
    /// Messages that were accepted meanwhile.
    pub(crate) messages: u64,
    /// Messages that it was not shown in the end, of those and of all before.
    pub(crate) missed: u64,
    /// SHA-256 of what others said meanwhile, one after the other as somebody was shown it who stayed.
    pub(crate) sha256_there: String,
    /// SHA-256 of the same, as it was shown to who had been away.
    pub(crate) sha256_back: String,
}

impl CaughtUp {
    fn all(&self) -> bool {
        let same = self.sha256_there == self.sha256_back;
        self.epochs > 0 && self.messages > 0 && self.missed == 0 && same
    }
}

/// One step of the story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// What happened.
    pub(crate) what: String,
    /// The epoch the group was in afterwards.
    pub(crate) epoch: u64,
    /// Milliseconds it took.
    pub(crate) ms: u64,
}

/// Everything the demo saw.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Devices in the group at the end.
    pub(crate) members: u64,
    /// Epochs the group went through.
    pub(crate) epochs: u64,
    /// Whether all members ended in the same epoch with the same authenticator.
    pub(crate) members_agree: bool,
    /// Counts over all messages.
    pub(crate) messages: Messages,
    /// Messages sent after the removal that the removed member could open, given every octet that was relayed.
    pub(crate) removed_member_read_after_removal: u64,
    /// Messages sent before a newcomer joined that it could open, given every octet that was relayed.
    pub(crate) newcomer_read_before_joining: u64,
    /// The image.
    pub(crate) image: FileWay,
    /// The large file.
    pub(crate) file: FileWay,
    /// The message for somebody who was not there.
    pub(crate) deferred: Deferred,
    /// A sealed one for the same person.
    pub(crate) deferred_sealed: SealedDeferred,
    /// What was kept in the conference for a member who was away.
    pub(crate) caught_up: CaughtUp,
    /// Whether a canary that was only ever sent sealed was found in a server's memory or files.
    pub(crate) server_saw_plaintext: bool,
    /// Octets of memory and files that were searched for it.
    pub(crate) searched_octets: u64,
    /// The story.
    pub(crate) steps: Vec<Step>,
    /// Milliseconds from the start of the servers to the end of the search.
    pub(crate) elapsed_ms: u64,
    /// Promises that were broken, in words. Empty when all is well.
    pub(crate) broken: Vec<String>,
}

impl Report {
    /// Fills `broken` from the counts.
    pub(crate) fn judge(&mut self) {
        let mut broken = Vec::new();
        let mut promise = |kept: bool, words: &str| {
            if !kept {
                broken.push(words.to_owned());
            }
        };
        promise(!self.server_saw_plaintext, "a server saw plaintext");
        promise(self.searched_octets > 0, "no memory was searched");
        promise(
            self.removed_member_read_after_removal == 0,
            "a removed member read a later message",
        );
        promise(self.newcomer_read_before_joining == 0, "a newcomer read an earlier message");
        promise(self.messages.sent > 0, "nothing was sent");
        promise(self.messages.lost == 0, "a message was lost");
        promise(self.messages.duplicated == 0, "a message was shown twice");
        promise(self.members_agree, "the members disagree on the epoch");
        promise(self.image.arrived(), "the image did not arrive as it was sent");
        promise(self.file.arrived(), "the file did not arrive as it was sent");
        promise(self.deferred.arrived(), "a message that waited did not arrive as it was sent");
        promise(
            self.deferred_sealed.arrived(),
            "a sealed message that waited was not kept or not read as it was written",
        );
        promise(
            self.caught_up.all(),
            "a member who was away was not shown what was said, as it was said",
        );
        self.broken = broken;
    }
}

/// Who should get what, and who got it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    expected: BTreeMap<String, (Vec<u8>, BTreeSet<String>)>,
    arrived: BTreeMap<(String, String), (u64, bool)>,
}

impl Tally {
    /// A message was accepted: these receivers must get exactly this content.
    pub(crate) fn sent(&mut self, id: &str, digest: Vec<u8>, receivers: BTreeSet<String>) {
        self.expected.insert(id.to_owned(), (digest, receivers));
    }

    /// A message was shown to a receiver.
    pub(crate) fn arrived(&mut self, id: &str, receiver: &str, digest: &[u8]) {
        let intact = self.expected.get(id).is_none_or(|(sent, _)| sent == digest);
        let entry = self.arrived.entry((id.to_owned(), receiver.to_owned())).or_insert((0, true));
        entry.0 += 1;
        entry.1 &= intact;
    }

    /// The messages that `receiver` must get.
    pub(crate) fn awaited(&self, receiver: &str) -> Vec<String> {
        let expected = self.expected.iter().filter(|(_id, (_digest, to))| to.contains(receiver));
        expected.map(|(id, _)| id.clone()).collect()
    }

    /// The counts.
    pub(crate) fn messages(&self) -> Messages {
        let mut messages = Messages { sent: self.expected.len() as u64, ..Messages::default() };
        for (times, _intact) in self.arrived.values() {
            messages.delivered += 1;
            messages.duplicated += times - 1;
        }
        for (id, (_digest, receivers)) in &self.expected {
            let missing = |receiver: &&String| {
                let arrival = self.arrived.get(&(id.clone(), (*receiver).clone()));
                !arrival.is_some_and(|(_times, intact)| *intact)
            };
            messages.lost += receivers.iter().filter(missing).count() as u64;
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receivers(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn good() -> Report {
        let way = FileWay {
            bytes: 1,
            sha256_sent: "a".into(),
            sha256_received: "a".into(),
            receivers: 1,
        };
        Report {
            members_agree: true,
            messages: Messages { sent: 1, delivered: 1, ..Messages::default() },
            image: way.clone(),
            file: way,
            deferred: Deferred { octets: 1, marked_late: true, ..Deferred::default() },
            deferred_sealed: SealedDeferred {
                octets: 1,
                read: true,
                marked_late: true,
                ..SealedDeferred::default()
            },
            caught_up: CaughtUp { epochs: 1, messages: 1, ..CaughtUp::default() },
            searched_octets: 1,
            ..Report::default()
        }
    }

    #[test]
    fn a_message_that_reached_one_of_two_is_lost_once() {
        let mut tally = Tally::default();
        tally.sent("m1", vec![1], receivers(&["bob", "carol"]));

        tally.arrived("m1", "bob", &[1]);

        let expected = Messages { sent: 1, delivered: 1, lost: 1, duplicated: 0 };
        assert_eq!(tally.messages(), expected);
    }

    #[test]
    fn a_message_that_arrived_changed_is_lost_and_one_shown_twice_is_duplicated() {
        let mut tally = Tally::default();
        tally.sent("m1", vec![1], receivers(&["bob"]));
        tally.sent("m2", vec![2], receivers(&["bob"]));

        tally.arrived("m1", "bob", &[9]);
        tally.arrived("m2", "bob", &[2]);
        tally.arrived("m2", "bob", &[2]);

        let expected = Messages { sent: 2, delivered: 2, lost: 1, duplicated: 1 };
        assert_eq!(tally.messages(), expected);
    }

    #[test]
    fn every_broken_promise_is_named() {
        let breaches: [fn(&mut Report); 17] = [
            |report| report.server_saw_plaintext = true,
            |report| report.searched_octets = 0,
            |report| report.removed_member_read_after_removal = 1,
            |report| report.newcomer_read_before_joining = 1,
            |report| report.messages.sent = 0,
            |report| report.messages.lost = 1,
            |report| report.messages.duplicated = 1,
            |report| report.members_agree = false,
            |report| report.image.sha256_received = "b".into(),
            |report| report.file.receivers = 0,
            |report| report.deferred.stored_sha256 = "b".into(),
            |report| report.deferred.delivered_sha256 = "b".into(),
            |report| report.deferred_sealed.stored_sha256 = "b".into(),
            |report| report.deferred_sealed.read = false,
            |report| report.caught_up.missed = 1,
            |report| report.caught_up.epochs = 0,
            |report| report.caught_up.sha256_back = "b".into(),
        ];
        let mut report = good();
        report.judge();
        assert_eq!(report.broken, Vec::<String>::new());

        for breach in breaches {
            let mut report = good();
            breach(&mut report);
            report.judge();
            assert_eq!(report.broken.len(), 1, "{report:?}");
        }
    }
}
