//! A sender that does not keep to the rules: what it says of a file and what it sends are two things.
use msrp::{Flag, SendRequest, SuccessReport};

use super::*;

/// A sender that writes its chunks by hand.
struct ByHand {
    rng: StdRng,
    now: Now,
    ends: (Setup, Setup),
    receiver: Transfer,
    sink: Memory,
    id: MessageId,
}

impl ByHand {
    fn of(wanted: Part) -> Self {
        Self::into(wanted, Memory::default())
    }

    fn into(wanted: Part, sink: Memory) -> Self {
        let mut rng = StdRng::seed_from_u64(9);
        let now = Now { instant: service::clock::now(), wall: service::clock::wall() };
        let ends = ends(|_bob| {});
        let to: Box<dyn Sink> = Box::new(sink.clone());
        let receiver = Transfer::receive_into(now, ends.1.clone(), wanted, to, &mut rng);
        let id = MessageId::random(&mut rng);
        Self { rng, now, ends, receiver, sink, id }
    }

    fn chunk(&mut self, first: u64, octets: &[u8], total: Option<u64>, flag: Flag) -> u16 {
        let content_type = "image/jpeg";
        self.chunk_of(content_type, first, octets, total, flag)
    }

    /// The status that a chunk is answered with.
    fn chunk_of(
        &mut self,
        content_type: &str,
        first: u64,
        octets: &[u8],
        total: Option<u64>,
        flag: Flag,
    ) -> u16 {
        let body = msrp::Body::from(Bytes::copy_from_slice(octets));
        let range = ByteRange::piece(first, body.octets(), total);
        let whole = SendRequest::whole(self.id, content_type.to_owned(), body);
        let send = SendRequest { range, flag, success_report: SuccessReport::Yes, ..whole };
        let address = Address::new(&self.ends.0.to, &self.ends.0.own);
        let frame = send.encode(&mut self.rng).to(&address).to_bytes();
        deliver(&frame, &mut self.receiver, self.now, &mut self.rng);
        let mut statuses = Vec::new();
        while let Some(frame) = self.receiver.poll_frame(self.now, &mut self.rng) {
            let item = Decoder::default().next(&mut BytesMut::from(&frame.to_bytes()[..]));
            if let Item::Response(head) = item.unwrap().unwrap() {
                statuses.push(head.status().unwrap().code());
            }
        }
        let [status] = statuses[..] else { panic!("{statuses:?}") };
        status
    }

    fn over(&mut self) -> Option<Result<Finished, Broken>> {
        over(&mut self.receiver)
    }
}

/// 10 GiB announced and 1 KiB sent: nothing is set aside for what was announced, and it is not called whole.
#[test]
fn s8_7_a_file_that_ends_before_its_end_is_short_and_never_whole() {
    let announced = Some(10 << 30);
    let part = Part { octets: announced, ..whole(&content(1024)) };

    let mut hand = ByHand::of(part.clone());
    assert_eq!(hand.chunk(1, &content(1024), announced, Flag::End), 400);
    assert_eq!(hand.over(), Some(Err(Broken::Short)));

    let mut hand = ByHand::of(part.clone());
    assert_eq!(hand.chunk(1, &content(1024), Some(1024), Flag::End), 400);
    assert_eq!(hand.over(), Some(Err(Broken::Short)));

    let mut hand = ByHand::of(part);
    assert_eq!(hand.chunk(1, &content(1024), announced, Flag::More), 200);
    assert!(hand.sink.octets.lock().unwrap().capacity() < 1 << 20, "it set space aside");
    hand.receiver.end("the connection ended");
    assert!(matches!(hand.over(), Some(Err(Broken::Ended(_)))));
}

#[test]
fn s8_7_a_file_that_goes_on_behind_its_end_is_refused_with_413() {
    for (first, octets, total, flag) in [
        (1, 101, Some(101), Flag::More),
        (1, 101, None, Flag::End),
        (100, 2, Some(100), Flag::More),
        (1 << 62, 1, None, Flag::More),
        (1, 10, Some(10 << 30), Flag::More),
    ] {
        let mut hand = ByHand::of(whole(&content(100)));
        assert_eq!(hand.chunk(first, &content(octets), total, flag), 413, "{first} {octets}");
        assert_eq!(hand.over(), Some(Err(Broken::Long)));
        assert_eq!(hand.sink.octets().len(), 0, "it was written");
    }
    // A size that nobody has said is bounded all the same.
    let unknown = Part { octets: None, octets_max: 99, ..whole(&content(100)) };
    let mut hand = ByHand::of(unknown);
    assert_eq!(hand.chunk(1, &content(100), None, Flag::End), 413);
}

/// FT-09.
#[test]
fn s8_7_a_second_file_in_the_session_is_refused_and_harms_the_first_one_not() {
    let file = content(100);
    let mut hand = ByHand::of(whole(&file));
    assert_eq!(hand.chunk(1, &file[..50], Some(100), Flag::More), 200);
    let first = hand.id;
    hand.id = MessageId::random(&mut hand.rng);
    assert_eq!(hand.chunk(1, &content(100), Some(100), Flag::End), 403);
    hand.id = first;
    assert_eq!(hand.chunk(51, &file[50..], Some(100), Flag::End), 200);

    assert_eq!(hand.over(), done(&file));
    assert_eq!(hand.chunk(1, &file, Some(100), Flag::End), 403);
    assert!(hand.sink.octets() == file);
}

#[test]
fn s8_7_chunks_in_any_order_and_twice_make_the_file() {
    let file = content(10_000);
    let mut hand = ByHand::of(whole(&file));
    let pieces: Vec<&[u8]> = file.chunks(1_000).collect();
    for at in [9_usize, 3, 0, 1, 3, 8, 7, 2, 6, 5] {
        let flag = if at == 9 { Flag::End } else { Flag::More };
        let first = at as u64 * 1_000 + 1;
        assert_eq!(hand.chunk(first, pieces[at], Some(10_000), flag), 200);
        assert_eq!(hand.over(), None, "it is not whole");
    }
    // What was hashed is written over, and put right again.
    assert_eq!(hand.chunk(1, pieces[1], Some(10_000), Flag::More), 200);
    assert_eq!(hand.chunk(1, pieces[0], Some(10_000), Flag::More), 200);

    assert_eq!(hand.chunk(4_001, pieces[4], Some(10_000), Flag::More), 200);
    assert_eq!(hand.over(), done(&file));
}

#[test]
fn s8_3_1_a_file_of_another_type_is_refused_with_415() {
    let mut hand = ByHand::of(whole(&content(10)));
    assert_eq!(hand.chunk_of("text/html", 1, &content(10), Some(10), Flag::End), 415);
    assert_eq!(hand.over(), Some(Err(Broken::Other("the type"))));

    let mut hand = ByHand::of(whole(&content(10)));
    let letter = msrp::cpim::Builder::new("sip:a@x", "sip:b@x");
    let letter = letter.content("text/html", Bytes::from(content(10))).gather();
    let total = Some(letter.len() as u64);
    assert_eq!(hand.chunk_of("message/cpim", 1, &letter, total, Flag::End), 415);
}
