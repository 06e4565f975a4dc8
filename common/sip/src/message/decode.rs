//! Cuts a byte stream into checked messages, however TCP split it, and says how to answer what is not one.
//! It holds no bytes itself but those of the head it is reading; every size has a limit.
use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

use super::check::check;
use super::head::{Fault, Head, Start, parse_head};
use super::{Message, Method, Request, Response, Status};
use crate::header::Name;
use crate::token::is_token_byte;

/// How large what comes may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in a head: start line, header fields and the empty line. More is answered 513, and the flow ends.
    pub head_bytes_max: usize,
    /// Header field lines in a head. More is answered 400.
    pub headers_max: usize,
    /// Bytes in a body. More is answered 413, and the body is skipped.
    pub body_bytes_max: usize,
    /// Bytes of a body that is skipped. For more, the flow ends.
    pub skipped_bytes_max: usize,
}

impl Default for Limits {
    /// 64 KiB of head in 256 lines, 4 MiB of body, 64 MiB skipped.
    fn default() -> Self {
        Self {
            head_bytes_max: 64 << 10,
            headers_max: 256,
            body_bytes_max: 4 << 20,
            skipped_bytes_max: 64 << 20,
        }
    }
}

/// Who opened the flow; only that side sends pings (RFC 5626, 3.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The peer did: two line breaks between messages are a ping.
    Accepted,
    /// We did: each line break between messages is a pong.
    Dialled,
}

/// What comes out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A message with legal Via, From, To, Call-ID and `CSeq`.
    Message(Message),
    /// Something else.
    Malformed(Malformed),
    /// A keep-alive to be answered with one line break (RFC 5626, 4.4.1).
    Ping,
    /// The answer to a keep-alive.
    Pong,
}

/// What came is no message we can take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The status it deserves.
    pub status: Status,
    /// What is wrong, for logs and metrics; never anything the peer wrote.
    pub why: &'static str,
    /// The answer to send back, if it was a request with enough in it to be answered, and no ACK.
    pub answer: Option<Response>,
    /// What becomes of the flow.
    pub then: Then,
}

/// What becomes of a flow after something malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next message can still be found.
    Continue,
    /// Nothing behind it can be trusted: close, once the answer is written.
    Close,
}

/// An incremental decoder for one flow.
#[derive(Debug)]
pub struct Decoder {
    side: Side,
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between messages or in a head; so many bytes hold no end of head.
    Head { searched: usize },
    /// Behind a head; so many bytes of body follow.
    Body { head: Box<Head>, length: usize },
    /// In a body nobody wants.
    Skip { left: usize },
    /// After [`Then::Close`].
    Closed,
}

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

impl Decoder {
    /// A decoder for one side of one flow.
    pub fn new(side: Side, limits: Limits) -> Self {
        Self { side, limits, state: State::Head { searched: 0 } }
    }

    /// Whether a head was taken from the buffer and its body is still to come.
    pub fn is_inside_message(&self) -> bool {
        matches!(self.state, State::Body { .. } | State::Skip { .. })
    }

    /// Takes the next item from the front of `buffer`, or nothing until more has come. After [`Then::Close`] it
    /// throws everything away.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Option<Item> {
        loop {
            match std::mem::replace(&mut self.state, State::Closed) {
                State::Head { searched } => {
                    if let Some(item) = self.keep_alive(searched, buffer)? {
                        return Some(item);
                    }
                    if let Some(malformed) = self.head(searched, buffer)? {
                        return Some(Item::Malformed(malformed));
                    }
                }
                State::Body { head, length } if buffer.len() < length => {
                    self.state = State::Body { head, length };
                    return None;
                }
                State::Body { head, length } => {
                    self.state = State::Head { searched: 0 };
                    return Some(message(*head, body(buffer, length)));
                }
                State::Skip { left } => {
                    let skipped = left.min(buffer.len());
                    buffer.advance(skipped);
                    if skipped < left {
                        self.state = State::Skip { left: left - skipped };
                        return None;
                    }
                    self.state = State::Head { searched: 0 };
                }
                State::Closed => {
                    buffer.clear();
                    return None;
                }
            }
        }
    }

    /// Line breaks in front of a message. `None`: more must come. `Some(None)`: a head begins here.
    fn keep_alive(&mut self, searched: usize, buffer: &mut BytesMut) -> Option<Option<Item>> {
        self.state = State::Head { searched };
        if searched > 0 {
            return Some(None);
        }
        loop {
            let item = match (self.side, buffer.get(..4).unwrap_or(buffer)) {
                (Side::Dialled, [b'\r', b'\n', ..]) => {
                    buffer.advance(2);
                    Item::Pong
                }
                (Side::Accepted, b"\r\n\r\n") => {
                    buffer.advance(4);
                    Item::Ping
                }
                (_, [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r']) => return None,
                // RFC 3261, 7.5: line breaks in front of a message are ignored.
                (_, [b'\r', b'\n', ..]) => {
                    buffer.advance(2);
                    continue;
                }
                _ => return Some(None),
            };
            return Some(Some(item));
        }
    }

    /// Reads a head. `None`: more must come. `Some(None)`: it was good, its body follows.
    fn head(&mut self, searched: usize, buffer: &mut BytesMut) -> Option<Option<Malformed>> {
        if !buffer.first().copied().is_some_and(is_token_byte) {
            return Some(Some(self.fail(None, &Fault::fatal("not SIP"))));
        }
        let unread = buffer.get(searched..).unwrap_or_default();
        let end = memmem::find(unread, END_OF_HEAD).map(|at| searched + at + END_OF_HEAD.len());
        let length = end.unwrap_or(buffer.len());
        if length > self.limits.head_bytes_max {
            let (head, _) = buffer.split_at_checked(self.limits.head_bytes_max)?;
            let (head, _) = parse_head(Bytes::copy_from_slice(head), self.limits.headers_max);
            let fault =
                Fault { status: Status::MESSAGE_TOO_LARGE, ..Fault::fatal("head too large") };
            return Some(Some(self.fail(head.as_ref(), &fault)));
        }
        let Some(end) = end else {
            self.state = State::Head { searched: length.saturating_sub(END_OF_HEAD.len() - 1) };
            return None;
        };
        // A copy, so that a header field kept for long does not keep the whole read buffer.
        let bytes = Bytes::copy_from_slice(buffer.get(..end)?);
        buffer.advance(end);
        let (head, fault) = parse_head(bytes, self.limits.headers_max);
        Some(self.frame(head, fault))
    }

    /// Decides by Content-Length where the next message begins, and whether this one is worth its body.
    fn frame(&mut self, head: Option<Head>, fault: Option<Fault>) -> Option<Malformed> {
        let Some(mut head) = head else {
            return Some(self.fail(None, &fault.unwrap_or(Fault::fatal("not SIP"))));
        };
        if let Some(fault) = fault.filter(|fault| fault.then == Then::Close) {
            return Some(self.fail(Some(&head), &fault));
        }
        // RFC 3261, 18.3 and 20.14: on a stream nothing else says where a message ends.
        let length = match head.headers.content_length() {
            Ok(Some(length)) => length,
            Ok(None) => return Some(self.fail(Some(&head), &Fault::fatal("no Content-Length"))),
            Err(_) => return Some(self.fail(Some(&head), &Fault::fatal("bad Content-Length"))),
        };
        head.headers.remove(&Name::ContentLength);
        let too_large =
            Fault { status: Status::REQUEST_ENTITY_TOO_LARGE, ..Fault::new("body too large") };
        let fault = fault
            .or_else(|| check(&head).err())
            .or_else(|| (length > self.limits.body_bytes_max).then_some(too_large));
        let Some(mut fault) = fault else {
            self.state = State::Body { head: Box::new(head), length };
            return None;
        };
        if length > self.limits.skipped_bytes_max {
            fault.then = Then::Close;
        }
        let malformed = self.fail(Some(&head), &fault);
        if malformed.then == Then::Continue {
            self.state = State::Skip { left: length };
        }
        Some(malformed)
    }

    fn fail(&mut self, head: Option<&Head>, fault: &Fault) -> Malformed {
        self.state = State::Closed;
        let &Fault { status, why, then } = fault;
        Malformed { status, why, answer: head.and_then(|head| answer(head, status)), then }
    }
}

/// The answer to a request that is no good: possible if it says by Via and `CSeq` which request it is.
fn answer(head: &Head, status: Status) -> Option<Response> {
    let is_ack = matches!(head.start, Start::Request { method: Some(Method::Ack), .. });
    let is_response = matches!(head.start, Start::Response { .. });
    if is_ack || is_response || !head.headers.has(&Name::Via) || !head.headers.has(&Name::CSeq) {
        return None;
    }
    Some(Response::copy_of(&head.headers, status).with_stateless_to_tag())
}

/// Bodies up to this size are copied, so that a small one does not keep a large read buffer alive.
const COPIED_BYTES_MAX: usize = 4 << 10;

fn body(buffer: &mut BytesMut, length: usize) -> Bytes {
    let body = buffer.split_to(length);
    if length <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&body) } else { body.freeze() }
}

fn message(head: Head, body: Bytes) -> Item {
    let headers = head.headers;
    Item::Message(match head.start {
        Start::Request { method: Some(method), uri: Some(uri) } => {
            Message::Request(Request { method, uri, headers, body })
        }
        Start::Response { status, reason } => {
            Message::Response(Response { status, reason, headers, body })
        }
        Start::Request { .. } => unreachable!("a head without method or URI comes with a fault"),
    })
}
