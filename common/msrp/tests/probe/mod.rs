//! What any octets at all must stand: used by the fuzz target and by the replay of its corpus. The first octet chooses
//! how the rest is cut; what comes out must not depend on it.

use bytes::BytesMut;
use msrp::cpim;
use msrp::{Decoder, Fault, Item, Limits, Quota, Reassembly, Reply, Status};

/// Sends `data` through the decoder and everything behind it, in one go and cut, and compares.
pub(crate) fn probe(data: &[u8]) {
    let Some((&size, wire)) = data.split_first() else { return };
    let whole = outcome(wire, wire.len().max(1));
    let cut = outcome(wire, usize::from(size) + 1);
    assert_eq!(whole, cut, "cut into {} octets", usize::from(size) + 1);
}

/// What comes out when the octets arrive `size` at a time, as text.
fn outcome(wire: &[u8], size: usize) -> Vec<String> {
    let limits = Limits { piece_octets_max: 64, ..Limits::default() };
    let (mut decoder, mut input) = (Decoder::new(limits), BytesMut::new());
    let mut seen = Vec::new();
    let mut body = Vec::new();
    for part in wire.chunks(size) {
        input.extend_from_slice(part);
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Item::Response(head))) => seen.push(format!("{head:?}")),
                Ok(Some(Item::Request(chunk))) => {
                    if chunk.first {
                        body.clear();
                    }
                    body.extend_from_slice(&chunk.body.gather());
                    if let Some(flag) = chunk.end {
                        seen.push(format!("{:?} {flag:?} {body:?}", chunk.head));
                        answer(&chunk);
                    }
                }
                Err(fault) => {
                    if let Some(frame) = fault.answer() {
                        reads_as_response(&frame.to_bytes());
                    }
                    seen.push(format!("{fault:?}"));
                    if matches!(fault, Fault::Fatal { .. }) {
                        return seen;
                    }
                }
            }
        }
        assert!(input.len() <= limits.head_octets_max, "{} octets stay behind", input.len());
    }
    seen
}

/// Everything a receiver does with a chunk, for its panics.
fn answer(chunk: &msrp::Chunk) {
    if let Some(frame) = Reply::new(&chunk.head, Status::OK).and_then(|reply| reply.encode()) {
        reads_as_response(&frame.to_bytes());
    }
    drop(chunk.head.use_nickname());
    drop(chunk.head.use_path());
    if let Ok(message) = cpim::Message::read(&chunk.body) {
        let envelope = message.envelope;
        drop((envelope.from(), envelope.to(), envelope.imdn_message_id()));
    }
    let mut reassembly = Reassembly::new(Quota { message_octets_max: 4096, ..Quota::default() });
    drop(reassembly.add(instant(), chunk));
}

/// Whatever is answered must itself be a good response.
fn reads_as_response(wire: &[u8]) {
    let item = Decoder::default().next(&mut BytesMut::from(wire));
    assert!(matches!(item, Ok(Some(Item::Response(_)))), "{item:?}");
}

#[allow(clippy::disallowed_methods, reason = "only differences of it matter")]
fn instant() -> std::time::Instant {
    std::time::Instant::now()
}
