//! The messages of a session: a sender by hand, and a receiver that is told when each is kept.
use std::collections::HashMap;

use msrp::{Flag, SendRequest, SuccessReport};

use super::*;

struct Session {
    rng: StdRng,
    now: Now,
    address: Address,
    messages: Messages,
    sinks: Arc<Mutex<HashMap<MessageId, Memory>>>,
}

/// What is answered: statuses, and reports with theirs.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Answer(u16),
    Report(u16),
}
use Said::{Answer, Report as Reported};

impl Session {
    fn new(octets_max: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(11);
        let now = Now { instant: service::clock::now(), wall: service::clock::wall() };
        let (alice, bob) = ends(|_bob| {});
        let address = Address::new(&alice.to, &alice.own);
        let sinks = Arc::new(Mutex::new(HashMap::new()));
        let made = Arc::clone(&sinks);
        let to: Sinks = Box::new(move |id| {
            let sink = Memory::default();
            made.lock().unwrap().insert(id, sink.clone());
            Ok(Box::new(sink))
        });
        let messages = Messages::new(bob, octets_max, to, &mut rng);
        Self { rng, now, address, messages, sinks }
    }

    fn id(&mut self) -> MessageId {
        MessageId::random(&mut self.rng)
    }

    fn send(&mut self, id: MessageId, first: u64, octets: &[u8], flag: Flag) -> Vec<Said> {
        let body = msrp::Body::from(Bytes::copy_from_slice(octets));
        let range = ByteRange::piece(first, body.octets(), None);
        let whole = SendRequest::whole(id, "text/plain;charset=utf-8".to_owned(), body);
        let send = SendRequest { range, flag, success_report: SuccessReport::Yes, ..whole };
        let frame = send.encode(&mut self.rng).to(&self.address).to_bytes();
        let (mut decoder, mut input) = (Decoder::default(), BytesMut::from(&frame[..]));
        while let Some(item) = decoder.next(&mut input).unwrap() {
            self.messages.receive(self.now, &mut self.rng, &item);
        }
        self.said()
    }

    fn kept(&mut self, id: MessageId, kept: Result<(), Status>) -> Vec<Said> {
        self.messages.kept(&mut self.rng, id, kept);
        self.said()
    }

    fn said(&mut self) -> Vec<Said> {
        let frames = std::iter::from_fn(|| self.messages.poll_frame());
        let said = frames.map(|frame| {
            let item = Decoder::default().next(&mut BytesMut::from(&frame.to_bytes()[..]));
            match item.unwrap().unwrap() {
                Item::Response(head) => Answer(head.status().unwrap().code()),
                Item::Request(chunk) => Reported(chunk.head.report_status().unwrap().status.code()),
            }
        });
        said.collect()
    }

    fn octets(&self, id: MessageId) -> Vec<u8> {
        self.sinks.lock().unwrap()[&id].octets()
    }
}

#[test]
fn s7_1_2_the_last_chunk_is_answered_and_reported_when_the_message_is_kept_and_not_before() {
    let mut session = Session::new(1_000);
    let id = session.id();

    assert_eq!(session.send(id, 1, b"hel", Flag::More), [Answer(200)]);
    assert_eq!(session.messages.whole(), None);
    assert_eq!(session.send(id, 4, b"lo", Flag::End), []);
    let came = session.messages.whole().unwrap();
    assert_eq!((came.id, came.octets), (id, 5));
    assert_eq!(came.content_type, "text/plain;charset=utf-8");
    assert_eq!(session.octets(id), b"hello");
    // Sent again meanwhile, it waits too.
    assert_eq!(session.send(id, 4, b"lo", Flag::End), []);

    assert_eq!(session.kept(id, Ok(())), [Answer(200), Answer(200), Reported(200)]);
    assert!(session.messages.is_idle() && session.messages.whole().is_none());
    assert_eq!(session.send(id, 4, b"lo", Flag::End), [Answer(200)], "kept twice");
    assert!(session.messages.is_idle());
}

#[test]
fn s7_3_1_several_messages_come_at_once_and_each_stands_alone() {
    let mut session = Session::new(1_000);
    let (one, two, three) = (session.id(), session.id(), session.id());
    session.send(one, 1, b"a", Flag::More);
    session.send(two, 2, b"d", Flag::End);
    session.send(three, 1, b"e", Flag::More);
    session.send(one, 2, b"b", Flag::End);
    session.send(two, 1, b"c", Flag::More);
    // Given up, it is gone.
    assert_eq!(session.send(three, 2, b"", Flag::Abort), [Answer(200)]);

    assert_eq!((session.octets(one), session.octets(two)), (b"ab".to_vec(), b"cd".to_vec()));
    assert_eq!(session.messages.whole().map(|came| came.id), Some(one));
    assert_eq!(session.kept(one, Err(Status::STOP_SENDING)), [Answer(413)]);
    assert_eq!(session.messages.whole().map(|came| came.id), Some(two));
    // Both of its chunks: the first one completed it.
    assert_eq!(session.kept(two, Ok(())), [Answer(200), Reported(200)]);
    // What could not be kept may be tried again.
    assert_eq!(session.send(one, 1, b"ab", Flag::End), []);
    assert_eq!(session.kept(one, Ok(())), [Answer(200), Reported(200)]);
}

#[test]
fn s7_3_1_what_is_too_large_or_too_many_is_refused_and_what_does_not_come_is_forgotten() {
    let mut session = Session::new(4);
    let id = session.id();
    session.send(id, 1, b"abcd", Flag::More);
    assert_eq!(session.send(id, 5, b"e", Flag::End), [Answer(413)]);
    assert_eq!(session.send(id, 1, b"a", Flag::End), [Answer(413)]);
    assert!(session.messages.is_idle());

    for _message in 0..16 {
        let id = session.id();
        assert_eq!(session.send(id, 1, b"a", Flag::More), [Answer(200)]);
    }
    let id = session.id();
    assert_eq!(session.send(id, 1, b"a", Flag::End), [Answer(413)]);

    session.now.instant = session.messages.next_timeout().unwrap();
    session.messages.timeout(session.now, &mut session.rng);
    assert!(session.messages.is_idle() && session.messages.whole().is_none());
}
