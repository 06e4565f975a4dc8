//! Messages that were opened and not told yet, kept so that a device that is stopped in between tells them when it comes
//! back: the key that opened them is gone. A message may be told twice, around a crash; its id is the same.
use std::collections::VecDeque;

use bytes::Bytes;
use ids::{ConferenceId, Epoch};
use mls::storage::{Octets, Records};

use super::kept::{Kept, Row};
use crate::event::Message;

/// The untold messages of one conference.
#[derive(Debug)]
pub(crate) struct Untold(Row);

/// Messages with what keeps them.
pub(crate) type Messages = VecDeque<(Message, Kept)>;

impl Untold {
    /// Those of a conference, and what they are, in their order.
    pub(crate) fn kept(records: &Records, conference: &ConferenceId) -> (Self, Messages) {
        Self::of(records, format!("untold/{conference}/"))
    }

    /// Those that were said to us in private in a conference.
    pub(crate) fn whispers(records: &Records, room: &ConferenceId) -> (Self, Messages) {
        Self::of(records, format!("untold whispers/{room}/"))
    }

    fn of(records: &Records, prefix: String) -> (Self, Messages) {
        let (row, all) = Row::open(records, prefix.into_bytes());
        let message = |(kept, value): (Kept, Octets)| Some((read(&value)?, kept));
        (Self(row), all.into_iter().filter_map(message).collect())
    }

    /// Keeps a message until it is told.
    pub(crate) fn keep(&mut self, message: &Message) -> Kept {
        self.0.keep(write(message))
    }
}

/// Lines of names, then the content.
fn write(message: &Message) -> Vec<u8> {
    let device = message.device.as_ref().map(ToString::to_string).unwrap_or_default();
    let epoch = message.epoch.map(|epoch| epoch.0.to_string()).unwrap_or_default();
    let names = [message.from.as_str(), &device, &epoch, &message.id, &message.content_type];
    let private = if message.private { "private" } else { "" };
    let written = message.written.map(crate::date_time).unwrap_or_default();
    let mut octets = format!("{}\n{private}\n{written}\n", names.join("\n")).into_bytes();
    octets.extend_from_slice(&message.body);
    octets
}

fn read(octets: &[u8]) -> Option<Message> {
    let mut parts = octets.splitn(8, |octet| *octet == b'\n');
    let mut line = || std::str::from_utf8(parts.next()?).ok();
    let (from, device, epoch) = (line()?.parse().ok()?, line()?, line()?);
    let (id, content_type, private) = (line()?.to_owned(), line()?.to_owned(), line()?);
    Some(Message {
        from,
        device: if device.is_empty() { None } else { Some(device.parse().ok()?) },
        epoch: epoch.parse().ok().map(Epoch),
        id,
        content_type,
        private: !private.is_empty(),
        written: crate::time_of(line()?),
        body: Bytes::copy_from_slice(parts.next()?),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_message_that_was_not_told_is_there_again_with_every_octet_and_one_that_was_is_not() {
        let room: ConferenceId = "room".parse().unwrap();
        let records = Records::kept([]);
        let message = |body: &'static [u8], device: Option<&str>| Message {
            from: "sip:alice@x".parse().unwrap(),
            device: device.map(|device| device.parse().unwrap()),
            id: "m1".to_owned(),
            content_type: "text/plain;charset=utf-8".to_owned(),
            body: Bytes::from_static(body),
            epoch: device.map(|_| Epoch(7)),
            private: device.is_none(),
            written: device.map(|_| UNIX_EPOCH + Duration::from_nanos(1_800_000_000_123_456_789)),
        };
        let device = "urn:uuid:00000000-0000-4000-8000-000000000001";
        let sealed = message(b"two\nlines\n\nand \xff", Some(device));
        let open = message(b"", None);
        let (mut untold, before) = Untold::kept(&records, &room);
        assert!(before.is_empty());
        let first = untold.keep(&sealed);
        drop(untold.keep(&sealed));
        drop(untold.keep(&open));

        first.done();

        let (mut again, messages) = Untold::kept(&records, &room);
        let (messages, kept): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
        assert_eq!(messages, [sealed, open.clone()]);
        let last = again.keep(&open);
        kept.into_iter().chain([last]).for_each(Kept::done);
        assert!(Untold::kept(&records, &room).1.is_empty());
    }
}
