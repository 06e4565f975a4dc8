//! The budget of copies: between the opened octets of a sender and the outboxes of its receivers there is none.
use std::ops::Range;

use super::*;

/// Where an octet lies in memory.
fn place(slice: &[u8]) -> Range<usize> {
    let range = slice.as_ptr_range();
    range.start as usize..range.end as usize
}

impl Scene {
    /// Sends from seat 1, as it is opened from the wire. Where the opened octets lie.
    fn open(&mut self, connection: &Rc<Connection>, send: &SendRequest) -> Range<usize> {
        let from: msrp::Path = "msrps://ua.example:9/u1;tcp".parse().unwrap();
        let address = Address::new(&msrp::Path::from(own(1)), &from);
        let octets = send.encode(&mut self.rng).to(&address).to_bytes();
        let mut input = BytesMut::from(&octets[..]);
        let opened = place(&input);
        let mut decoder = Decoder::default();
        while let Some(item) = decoder.next(&mut input).unwrap() {
            let Item::Request(chunk) = item else { panic!() };
            connection.request(&self.shard, chunk, self.now);
        }
        self.shard.settle();
        opened
    }
}

#[tokio::test]
async fn no_octet_of_a_body_is_copied_between_its_sender_and_all_its_receivers() {
    for octets in [1024, 200_000] {
        let (mut scene, connections) = three();
        connections.iter().for_each(|connection| drop(connection.take_waiting_frames()));
        let text = bytes::Bytes::from(vec![7; octets]);
        let room = "sip:room7@example.net";
        let body =
            msrp::cpim::Builder::new("sip:user1@example.net", room).content("text/plain", text);
        let wanted = body.len();
        let id = MessageId::parse(b"copies1").unwrap();
        let send = SendRequest::whole(id, msrp::cpim::MEDIA_TYPE, body);

        let opened = scene.open(&connections[0], &send);

        let mut places = Vec::new();
        for receiver in &connections[1..] {
            let frames = receiver.take_waiting_frames();
            let slices: Vec<_> = frames.iter().flat_map(|f| f.payload.body().slices()).collect();
            let places_here: Vec<_> = slices.iter().map(|slice| place(slice)).collect();
            assert_eq!(places_here.iter().map(ExactSizeIterator::len).sum::<usize>(), wanted);
            for at in &places_here {
                assert!(opened.start <= at.start && at.end <= opened.end, "a copy of {octets}");
            }
            places.push(places_here);
        }
        assert_eq!(places[0], places[1], "the receivers share one memory");
    }
}
