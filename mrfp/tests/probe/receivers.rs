//! What the receivers of streamed messages have got, decoded from what would be written to them.
use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use mrfp::session::Piece;
use msrp::{Address, Decoder, Flag, Item, MessageId, Path, SendRequest};
use rand::rngs::StdRng;

use super::world::{MESSAGE_OCTETS_MAX, OWN};

/// A streamed message as its receivers have it.
#[derive(Default)]
struct Stream {
    /// None where nothing has come yet.
    octets: Vec<Option<u8>>,
    over: bool,
}

#[derive(Default)]
pub(crate) struct Receivers {
    streams: BTreeMap<MessageId, Stream>,
    /// What its sender called a streamed message.
    names: BTreeMap<MessageId, String>,
}

impl Receivers {
    /// Takes note of what the sender of a stream calls it.
    pub(crate) fn name(&mut self, piece: &Piece, id: MessageId) {
        self.names.insert(piece.stream(), id.as_str().to_owned());
    }

    /// Nobody waits for an end.
    pub(crate) fn are_done(&self) {
        let open = self.streams.values().filter(|stream| !stream.over).count();
        assert_eq!(open, 0, "streams have no end: their receivers wait");
    }

    /// Encodes a piece as its receivers get it, and decodes it. What is whole now, and what its
    /// sender called it.
    pub(crate) fn take(&mut self, piece: &Piece, rng: &mut StdRng) -> Option<(String, Vec<u8>)> {
        let send = SendRequest {
            range: piece.range(),
            content: Some((Bytes::from_static(b"message/cpim"), piece.body().clone())),
            flag: piece.flag(),
            ..SendRequest::bodiless(piece.stream())
        };
        let path: Path = OWN.parse().unwrap();
        let frame = send.encode(rng).to(&Address::new(&path, &path)).to_bytes();
        let (mut octets, mut input) = (Vec::new(), BytesMut::from(&frame[..]));
        let mut decoder = Decoder::default();
        while let Some(Item::Request(chunk)) = decoder.next(&mut input).unwrap() {
            octets.extend_from_slice(&chunk.body.gather());
            assert_eq!(chunk.end.is_none(), !input.is_empty(), "it was cut");
        }
        assert_eq!(octets, piece.body().gather());

        let known = self.streams.contains_key(&piece.stream());
        assert_eq!(piece.is_first(), !known, "the receivers are chosen at the first piece");
        let stream = self.streams.entry(piece.stream()).or_default();
        assert!(!stream.over, "something came after the end");
        stream.over = piece.flag() != Flag::More;
        if piece.flag() == Flag::Abort {
            return None;
        }
        let start = usize::try_from(piece.range().start - 1).unwrap();
        let end = start + octets.len();
        assert!(u64::try_from(end).unwrap() <= MESSAGE_OCTETS_MAX, "{end} octets");
        let length = stream.octets.len().max(end);
        stream.octets.resize(length, None);
        stream.octets.splice(start..end, octets.into_iter().map(Some));
        if piece.flag() == Flag::End {
            let whole: Option<Vec<u8>> = stream.octets.iter().copied().collect();
            let whole = whole.expect("it ended and is not whole");
            return self.names.get(&piece.stream()).map(|name| (name.clone(), whole));
        }
        None
    }
}
