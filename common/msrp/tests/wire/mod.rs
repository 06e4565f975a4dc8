//! What the tests of this crate share: sending octets through a decoder, in one go or cut, and what comes out as
//! plain values that can be compared.
#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::{Bytes, BytesMut};
use msrp::{Chunk, Decoder, Fault, Flag, Head, Item, Limits};

/// A request with its pieces put together, a response, or what was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Request { head: String, start: u64, body: Vec<u8>, flag: Flag },
    Response { head: String },
    Fault(Fault),
}

/// Everything the head says, as text.
pub(crate) fn describe(head: &Head) -> String {
    let headers: Vec<String> = head
        .headers()
        .iter()
        .map(|(n, v)| format!("{}={}", String::from_utf8_lossy(n), String::from_utf8_lossy(v)))
        .collect();
    format!(
        "{} {:?} {:?} to {} from {} id {:?} range {} {:?} {:?} {headers:?}",
        head.transaction(),
        head.start(),
        head.has_body(),
        head.to_path().to_wire(),
        head.from_path().to_wire(),
        head.message_id(),
        head.byte_range(),
        head.success_report(),
        head.failure_report(),
    )
}

/// Reads all of `parts`, each arriving on its own.
pub(crate) fn read_parts<'a>(
    limits: Limits,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Seen> {
    let (mut decoder, mut input, mut seen) = (Decoder::new(limits), BytesMut::new(), Vec::new());
    let mut open: Option<(String, u64, Vec<u8>)> = None;
    for part in parts {
        input.extend_from_slice(part);
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Item::Response(head))) => {
                    seen.push(Seen::Response { head: describe(&head) });
                }
                Ok(Some(Item::Request(chunk))) => {
                    let head = describe(&chunk.head);
                    let known = open.take();
                    assert_eq!(known.is_none(), chunk.first);
                    let (head, start, mut body) =
                        known.unwrap_or((head, chunk.range.start, Vec::new()));
                    assert_eq!(chunk.range.start, start + body.len() as u64);
                    assert_eq!(chunk.range.octets(), Some(chunk.body.octets()));
                    body.extend_from_slice(&chunk.body.gather());
                    match chunk.end {
                        Some(flag) => seen.push(Seen::Request { head, start, body, flag }),
                        None => open = Some((head, start, body)),
                    }
                }
                Err(fault) => {
                    let fatal = fault.is_fatal();
                    open = None;
                    seen.push(Seen::Fault(fault));
                    if fatal {
                        return seen;
                    }
                }
            }
        }
    }
    seen
}

/// Reads `wire` in one go.
pub(crate) fn read(wire: &[u8]) -> Vec<Seen> {
    read_parts(Limits::default(), [wire])
}

/// Reads `wire` octet by octet.
pub(crate) fn read_octets(wire: &[u8]) -> Vec<Seen> {
    read_parts(Limits::default(), wire.chunks(1))
}

/// The pieces that one chunk is handed out in.
pub(crate) fn pieces(limits: Limits, wire: &[u8]) -> Vec<Chunk> {
    let (mut decoder, mut input) = (Decoder::new(limits), BytesMut::from(wire));
    let mut pieces = Vec::new();
    while let Some(item) = decoder.next(&mut input).expect("the chunk is good") {
        match item {
            Item::Request(chunk) => pieces.push(chunk),
            Item::Response(head) => panic!("a response: {head:?}"),
        }
    }
    pieces
}

/// The one request that `wire` is.
pub(crate) fn request(wire: &[u8]) -> Chunk {
    let mut pieces = pieces(Limits::default(), wire);
    assert_eq!(pieces.len(), 1, "one piece");
    pieces.remove(0)
}

/// The one fault that `wire` leads to.
pub(crate) fn fault(wire: &[u8]) -> Fault {
    match read(wire).as_slice() {
        [Seen::Fault(fault)] => fault.clone(),
        other => panic!("no single fault: {other:?}"),
    }
}

/// A SEND with these headers behind the paths, and this body; `tid` is `abcd1234`.
pub(crate) fn send(headers: &str, body: Option<&[u8]>, flag: char) -> Vec<u8> {
    message("SEND", headers, body, flag)
}

/// The same for any start line word.
pub(crate) fn message(word: &str, headers: &str, body: Option<&[u8]>, flag: char) -> Vec<u8> {
    let mut wire = format!(
        "MSRP abcd1234 {word}\r\nTo-Path: msrps://bob.example:2855/b;tcp\r\n\
         From-Path: msrps://relay.example:2855/r;tcp msrps://alice.example:9/a;tcp\r\n{headers}"
    )
    .into_bytes();
    if let Some(body) = body {
        wire.extend_from_slice(b"Content-Type: text/plain\r\n\r\n");
        wire.extend_from_slice(body);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(format!("-------abcd1234{flag}\r\n").as_bytes());
    wire
}

/// The octets as text.
pub(crate) fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).expect("text")
}
