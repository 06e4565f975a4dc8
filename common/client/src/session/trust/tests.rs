//! Two sessions that were led into two groups and are in one again, as they tell it.
use bytes::BytesMut;
use ids::{ConferenceId, Epoch, Era};
use mls::member::Keyring;
use msrp::Decoder;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::group::tests::Room;
use super::super::{Now, Session, Setup};
use super::*;
use crate::event::Level;
use crate::profile::Limits;

struct Two {
    room: Room,
    rng: StdRng,
    alice: Session,
    bob: Session,
}

/// What a device does at its start, on a seat of its own.
pub(in crate::session) fn seat(keyring: Keyring, rng: &mut StdRng) -> Session {
    let path = |end: &str| format!("msrps://{end}.invalid:9/{end};tcp").parse().unwrap();
    let setup = Setup {
        conference: "room7".parse::<ConferenceId>().unwrap(),
        uri: "sip:room7@example.net".into(),
        level: Level::Sealed,
        to_path: path("relay"),
        from_path: path("device"),
        limits: Limits::default(),
        pins: Pins::default(),
        shown_as: None,
    };
    let mut session = Session::new(&setup, keyring, rng);
    session.recognise();
    session
}

impl Two {
    /// In epoch 2 a focus shows alice one commit and bob another.
    fn led_apart() -> Self {
        let (mut room, mut rng) = (Room::new(), StdRng::seed_from_u64(7));
        let [mut alice, mut bob] = ["alice", "bob"].map(|name| seat(room.keyring(name), &mut rng));
        room.found(&mut alice.group, Era(1));
        room.add(&mut alice.group, &mut bob.group);
        [&mut alice, &mut bob].into_iter().for_each(Session::recognise);

        let other = bob.group.refreshed();
        let mut carol = room.device("carol");
        room.add(&mut alice.group, &mut carol);
        bob.group.process(&other, room.now);
        [&mut alice, &mut bob].into_iter().for_each(Session::recognise);
        assert_eq!(alice.group.generation(), bob.group.generation());
        Self { room, rng, alice, bob }
    }

    /// The focus leads bob back to where alice is.
    fn led_together(&mut self) {
        let mut dave = self.room.device("dave");
        self.room.add(&mut self.alice.group, &mut dave);
        self.alice.recognise();
        let (entry, _follows) = self.room.enter(&mut self.bob.group);
        self.alice.group.process(&entry, self.room.now);
        [&mut self.alice, &mut self.bob].into_iter().for_each(Session::recognise);
        assert_eq!(self.alice.standing().authenticator, self.bob.standing().authenticator);
    }

    /// Alice says something: what bob is told.
    fn alice_says(&mut self, words: &'static str) -> Vec<Event> {
        let now = Now { instant: service::clock::now(), wall: self.room.now };
        let words = bytes::Bytes::from_static(words.as_bytes());
        self.alice.say(now, &mut self.rng, "text/plain", words).unwrap();
        let (mut octets, mut decoder) = (BytesMut::new(), Decoder::default());
        while let Some(frame) = self.alice.poll_frame(now, &mut self.rng) {
            frame.slices().for_each(|slice| octets.extend_from_slice(slice));
        }
        while let Some(item) = decoder.next(&mut octets).unwrap() {
            self.bob.receive(now, &item);
        }
        let outputs = std::iter::from_fn(|| self.bob.poll_output());
        let event = |output| match output {
            Output::Event(event @ (Event::Split { .. } | Event::Message(_))) => Some(event),
            _ => None,
        };
        outputs.filter_map(event).collect()
    }
}

fn is_told_of_the_split(events: &[Event]) {
    let [Event::Split { who, epoch }, Event::Message(message)] = events else {
        panic!("{events:?}")
    };
    assert_eq!((who.as_str(), *epoch), ("sip:alice@example.net", Epoch(2)));
    assert_eq!(message.from, *who);
}

#[test]
fn i4_a_session_tells_once_of_a_group_it_was_led_into() {
    let mut two = Two::led_apart();
    two.led_together();

    is_told_of_the_split(&two.alice_says("where were you?"));
    assert!(matches!(two.alice_says("and now?")[..], [Event::Message(_)]));
}

#[test]
fn i4_a_session_tells_of_a_group_it_was_led_into_also_after_a_new_seat_and_a_restart() {
    let mut seated = Two::led_apart();
    seated.led_together();
    let keyrings = [&seated.alice, &seated.bob].map(|session| session.group.keyring().clone());
    [seated.alice, seated.bob] = keyrings.map(|keyring| seat(keyring, &mut seated.rng));
    is_told_of_the_split(&seated.alice_says("where were you?"));

    let mut restarted = Two::led_apart();
    restarted.led_together();
    let sessions = [&restarted.alice, &restarted.bob];
    let keyrings = sessions.map(|session| restarted.room.restarted(session.group.keyring()));
    [restarted.alice, restarted.bob] = keyrings.map(|keyring| seat(keyring, &mut restarted.rng));
    is_told_of_the_split(&restarted.alice_says("where were you?"));
}

#[test]
fn members_who_were_never_apart_are_told_nothing() {
    let (mut room, mut rng) = (Room::new(), StdRng::seed_from_u64(7));
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| seat(room.keyring(name), &mut rng));
    room.found(&mut alice.group, Era(1));
    room.add(&mut alice.group, &mut bob.group);
    let mut two = Two { room, rng, alice, bob };

    two.led_together();

    assert!(matches!(two.alice_says("all well?")[..], [Event::Message(_)]));
}
