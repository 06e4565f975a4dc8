//! What a session notes for the next time the device is started, beside its keys: what was opened and is not told, and what
//! came for this person alone and is not opened.
use std::collections::VecDeque;

use ids::{Aor, ConferenceId};
use mls::storage::{Octets, Records};
use msrp::Body;

use super::kept::{Kept, Row};
use super::untold::Untold;
use super::whisper::Whisper;
use super::{Output, Session};
use crate::event::{Event, Message};

/// The notes of a session.
#[derive(Debug)]
pub(super) struct Keeping {
    untold: Untold,
    /// Those under way to the person, by author and id, in their order.
    telling: VecDeque<(Aor, String, Kept)>,
    /// Files under way to the person, in their order.
    files: VecDeque<Kept>,
    whispers: Row,
}

impl Keeping {
    /// Those of a conference, and what follows from what is there.
    pub(super) fn open(records: &Records, room: &ConferenceId) -> (Self, VecDeque<Output>) {
        let (untold, messages) = Untold::kept(records, room);
        let (_kept_by_its_circle, opened) = Untold::whispers(records, room);
        let (whispers, came) = Row::open(records, format!("whispers/{room}/").into_bytes());
        let (telling, files) = (VecDeque::new(), VecDeque::new());
        let mut keeping = Self { untold, telling, files, whispers };
        let mut outputs = VecDeque::new();
        for (message, kept) in messages.into_iter().chain(opened) {
            keeping.telling.push_back((message.from.clone(), message.id.clone(), kept));
            outputs.push_back(Output::Event(Event::Message(message)));
        }
        let whisper = |(kept, whole): (Kept, Octets)| {
            Whisper::read(&Body::from(bytes::Bytes::copy_from_slice(&whole)), kept)
        };
        let whispers = came.into_iter().filter_map(whisper);
        outputs.extend(whispers.map(|whisper| Output::Whispered(Box::new(whisper))));
        (keeping, outputs)
    }

    /// A message that is to be told.
    pub(super) fn tells(&mut self, message: &Message) {
        let kept = self.untold.keep(message);
        self.telling.push_back((message.from.clone(), message.id.clone(), kept));
    }

    /// A file is to be told, or told of.
    pub(super) fn tells_file(&mut self, kept: Kept) {
        self.files.push_back(kept);
    }

    /// What keeps a message that is about to be told. Nothing here if it came out of a circle.
    fn telling(&mut self, message: &Message) -> Option<Kept> {
        let is_it =
            |(from, id, _kept): &(Aor, String, Kept)| *from == message.from && *id == message.id;
        let at = self.telling.iter().position(is_it)?;
        self.telling.remove(at).map(|(_from, _id, kept)| kept)
    }

    /// Something that came for this person alone, as it came.
    pub(super) fn came(&mut self, whole: &Body) -> Kept {
        self.whispers.keep(whole.gather().to_vec())
    }
}

impl Session {
    /// What keeps an event that is about to be told, until the person has it.
    pub(crate) fn telling(&mut self, event: &Event) -> Option<Kept> {
        match event {
            Event::Message(message) => self.keeping.telling(message),
            Event::File(_) | Event::Announced(_) => self.keeping.files.pop_front(),
            _ => None,
        }
    }

    /// The person has been told of an event.
    pub fn told(&mut self, event: &Event) {
        if let Some(kept) = self.telling(event) {
            kept.done();
        }
    }

    /// The session is over in order: what was reserved and not used is given back.
    pub fn rest(&mut self) {
        self.group.rest();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use msrp::cpim::Builder;

    use super::*;

    fn message(id: &str, private: bool) -> Message {
        Message {
            from: "sip:alice@example.net".parse().unwrap(),
            device: None,
            id: id.to_owned(),
            content_type: "text/plain".to_owned(),
            body: Bytes::from_static(b"hello"),
            epoch: None,
            private,
            written: None,
        }
    }

    fn told(outputs: VecDeque<Output>) -> (Vec<String>, Vec<Whisper>) {
        let (mut ids, mut whispers) = (Vec::new(), Vec::new());
        for output in outputs {
            match output {
                Output::Event(Event::Message(message)) => ids.push(message.id),
                Output::Whispered(whisper) => whispers.push(*whisper),
                other => panic!("{other:?}"),
            }
        }
        (ids, whispers)
    }

    /// The relay has heard 200 for both: nobody sends them again.
    #[test]
    fn i19_what_came_for_one_person_alone_is_there_again_until_its_circle_has_it() {
        let (room, records) = ("room7".parse().unwrap(), Records::kept([]));
        let (mut keeping, _nothing) = Keeping::open(&records, &room);
        let letter = Builder::new("sip:alice@example.net", "sip:bob@example.net");
        let whole = letter.content(mls::wire::MLS, Bytes::from_static(b"\n\nsealed \xff"));
        drop(keeping.came(&whole));

        let (_keeping, outputs) = Keeping::open(&records, &room);

        let (_none, mut whispers) = told(outputs);
        let whisper = whispers.pop().unwrap();
        assert_eq!(&whisper.sealed[..], b"\n\nsealed \xff");
        assert!(whisper.outer.is_type(mls::wire::MLS));
        // Opened, and kept by its circle as what it was.
        drop(Untold::whispers(&records, &room).0.keep(&message("w", true)));
        whisper.kept.done();
        let (ids, whispers) = told(Keeping::open(&records, &room).1);
        assert_eq!((ids, whispers.len()), (vec!["w".to_owned()], 0));
    }

    #[test]
    fn i19_what_comes_from_a_circle_is_not_taken_for_what_was_said_to_all() {
        let (room, records) = ("room7".parse().unwrap(), Records::kept([]));
        let (mut keeping, _nothing) = Keeping::open(&records, &room);
        keeping.tells(&message("first", false));
        keeping.tells(&message("second", false));

        assert!(keeping.telling(&message("whispered", true)).is_none());
        keeping.telling(&message("second", false)).unwrap().done();

        assert_eq!(told(Keeping::open(&records, &room).1).0, ["first"]);
    }
}
