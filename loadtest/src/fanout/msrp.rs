//! MSRP as a participant of a room speaks it (RFC 4975, RFC 7701), by needle: it knows the few forms a relay sends it and
//! calls everything else nonsense. It checks the paths of each chunk. Pure.
use memchr::memmem::Finder;

use super::content::{Content, digits};
use super::speech::{Item, Nonsense, Speech};

/// The conference URI of the room.
pub const ROOM: &str = "sip:room@example.net";
const END: &[u8] = b"-------";
const OK: &[u8] = b"200";

/// What a receiver does with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It says 200.
    Ok,
    /// It says nothing.
    Nothing,
}

/// One seat's end of its connection.
#[derive(Debug)]
pub struct Msrp {
    /// The path lines of what we send.
    out: Vec<u8>,
    /// The path lines of what we get.
    into: Vec<u8>,
    answer: Answer,
    /// Octets of the chunk that is coming in which hold no end-line.
    scanned: usize,
    blank: Finder<'static>,
    end: Finder<'static>,
}

/// The user of a seat; the sender's is 0.
#[must_use]
pub fn user(seat: usize) -> String {
    format!("sip:user{seat}@example.net")
}

/// The CPIM headers around each message (RFC 3862).
#[must_use]
pub fn wrapper() -> Vec<u8> {
    format!("From: <{}>\r\nTo: <{ROOM}>\r\n\r\nContent-Type: text/plain\r\n\r\n", user(0)).into()
}

impl Msrp {
    /// An end whose SDP said `own`, at the relay's `seat`.
    #[must_use]
    pub fn new(seat: &str, own: &str, answer: Answer) -> Self {
        Self {
            out: format!("To-Path: {seat}\r\nFrom-Path: {own}\r\n").into(),
            into: format!("To-Path: {own}\r\nFrom-Path: {seat}\r\n").into(),
            answer,
            scanned: 0,
            blank: Finder::new(b"\r\n\r\n"),
            end: Finder::new(b"\r\n-------"),
        }
    }

    fn reply(&self, transaction: &[u8], reply: &mut Vec<u8>) {
        if self.answer == Answer::Ok {
            let parts =
                [b"MSRP ", transaction, b" 200 OK\r\n", &self.out, END, transaction, b"$\r\n"];
            parts.iter().for_each(|part| reply.extend_from_slice(part));
        }
    }

    /// A response: it has no body, so the next end-line is its own.
    fn response(input: &[u8], status: &[u8]) -> Result<Option<(usize, Item<'static>)>, Nonsense> {
        let Some(at) = memchr::memmem::find(input, END) else { return Ok(None) };
        let Some(line) = input.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) else {
            return Ok(None);
        };
        if status != OK {
            return Err(Nonsense(format!("refused: {}", String::from_utf8_lossy(status))));
        }
        Ok(Some((at + line + 1, Item::Accepted)))
    }

    fn chunk<'a>(
        &mut self,
        input: &'a [u8],
        line: usize,
        transaction: &[u8],
    ) -> Result<Option<(usize, Item<'a>)>, Nonsense> {
        let headers = input.get(line..).unwrap_or_default();
        if headers.len() < self.into.len() {
            return Ok(None);
        }
        if !headers.starts_with(&self.into) {
            return Err(Nonsense("a chunk for somebody else, or from somebody else".into()));
        }
        let Some(blank) = self.blank.find(headers) else { return Ok(None) };
        let (start, total) = range(headers.get(self.into.len()..blank).unwrap_or_default())?;
        let body = line + blank + 4;
        let Some(length) =
            self.body(input.get(body..).unwrap_or_default(), start, total, transaction)
        else {
            return Ok(None);
        };
        let octets = input.get(body..body + length).unwrap_or_default();
        let after = body + length + 2 + END.len();
        let tail = input.get(after..after + transaction.len() + 3).unwrap_or_default();
        let (found, flag) = tail.split_at(transaction.len().min(tail.len()));
        let ends = match flag {
            b"$\r\n" => true,
            b"+\r\n" => false,
            _ => return Err(Nonsense("a chunk with another end than $ or +".into())),
        };
        if found != transaction {
            return Err(Nonsense("an end-line of another chunk".into()));
        }
        self.scanned = 0;
        Ok(Some((after + tail.len(), Item::Piece { offset: start - 1, octets, ends })))
    }

    /// The length of the body; `None` if its end-line is not there yet. What the Byte-Range promises is tried first.
    fn body(
        &mut self,
        rest: &[u8],
        start: usize,
        total: usize,
        transaction: &[u8],
    ) -> Option<usize> {
        let end_line = 2 + END.len() + transaction.len() + 3;
        let promised = (total + 1).checked_sub(start)?;
        let there = rest.get(promised..).is_some_and(|rest| rest.starts_with(b"\r\n-------"));
        let from = self.scanned.min(rest.len());
        let length = if there {
            promised
        } else if let Some(found) = self.end.find(rest.get(from..)?) {
            from + found
        } else {
            self.scanned = rest.len().saturating_sub(end_line);
            return None;
        };
        (rest.len() >= length + end_line).then_some(length)
    }
}

/// Start and total of the Byte-Range.
fn range(headers: &[u8]) -> Result<(usize, usize), Nonsense> {
    let nonsense = || Nonsense("a chunk without a Byte-Range that says where it is".into());
    let text = std::str::from_utf8(headers).map_err(|_| nonsense())?;
    let value = text.split("\r\n").find_map(|line| line.strip_prefix("Byte-Range: "));
    let (start, rest) = value.and_then(|value| value.split_once('-')).ok_or_else(nonsense)?;
    let (_end, total) = rest.split_once('/').ok_or_else(nonsense)?;
    let start = start.parse().map_err(|_| nonsense())?;
    let total = total.parse().map_err(|_| nonsense())?;
    if start == 0 { Err(nonsense()) } else { Ok((start, total)) }
}

impl Speech for Msrp {
    fn greeting(&self) -> Vec<u8> {
        let mut out = b"MSRP bind0001 SEND\r\n".to_vec();
        out.extend_from_slice(&self.out);
        out.extend_from_slice(b"Message-ID: bind0001\r\n-------bind0001$\r\n");
        out
    }

    fn message(&self, number: u64, content: &Content, out: &mut Vec<u8>) {
        let (number_text, octets) = (digits(number), content.octets());
        // RFC 4975, 7.1.1: a chunk above 2048 octets must be interruptible, and says so with a star.
        let end = if octets > 2048 { "*".to_owned() } else { octets.to_string() };
        let range =
            format!("\r\nByte-Range: 1-{end}/{octets}\r\nContent-Type: message/cpim\r\n\r\n");
        let head: [&[u8]; 6] =
            [b"MSRP f", &number_text, b" SEND\r\n", &self.out, b"Message-ID: m", &number_text];
        head.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(range.as_bytes());
        content.write(number, out);
        let end: [&[u8]; 5] = [b"\r\n", END, b"f", &number_text, b"$\r\n"];
        end.iter().for_each(|part| out.extend_from_slice(part));
    }

    fn hear<'a>(
        &mut self,
        input: &'a [u8],
        reply: &mut Vec<u8>,
    ) -> Result<Option<(usize, Item<'a>)>, Nonsense> {
        let Some(line) = memchr::memchr(b'\n', input) else { return Ok(None) };
        let nonsense = || Nonsense("a start line that is none".into());
        let text = input.get(..line).and_then(|line| line.strip_suffix(b"\r"));
        let text = text.and_then(|text| text.strip_prefix(b"MSRP ")).ok_or_else(nonsense)?;
        let space = memchr::memchr(b' ', text).ok_or_else(nonsense)?;
        let (transaction, word) = text.split_at(space);
        let word = word.get(1..).unwrap_or_default();
        match word {
            b"SEND" => {
                let heard = self.chunk(input, line + 1, transaction)?;
                if heard.is_some() {
                    self.reply(transaction, reply);
                }
                Ok(heard)
            }
            b"REPORT" => Err(Nonsense("a REPORT that nobody asked for".into())),
            status => Self::response(input, status.get(..3).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAT: &str = "msrps://relay.example:9/s1;tcp";
    const OWN: &str = "msrps://ua.example:9/u1;tcp";

    fn receiver() -> Msrp {
        Msrp::new(SEAT, OWN, Answer::Ok)
    }

    fn relay() -> Msrp {
        Msrp::new(OWN, SEAT, Answer::Ok)
    }

    fn sent(octets: usize) -> (Content, Vec<u8>) {
        let content = Content::new(&wrapper(), octets);
        let mut out = Vec::new();
        relay().message(3, &content, &mut out);
        (content, out)
    }

    #[test]
    fn a_chunk_is_found_wherever_the_stream_is_cut_and_answered_once() {
        for octets in [64, 5000] {
            let (content, stream) = sent(octets);
            let (mut receiver, mut reply) = (receiver(), Vec::new());
            for cut in 0..stream.len() {
                assert_eq!(receiver.hear(&stream[..cut], &mut reply), Ok(None), "{cut}");
            }
            assert!(reply.is_empty());

            let (taken, item) = receiver.hear(&stream, &mut reply).unwrap().unwrap();

            let Item::Piece { offset: 0, octets, ends: true } = item else { panic!("{item:?}") };
            assert!(content.matches(3, 0, octets));
            assert_eq!(taken, stream.len());
            let answer = format!(
                "MSRP f0000000000000003 200 OK\r\nTo-Path: {SEAT}\r\nFrom-Path: {OWN}\r\n-------f0000000000000003$\r\n"
            );
            assert_eq!(String::from_utf8(reply).unwrap(), answer);
        }
    }

    #[test]
    fn a_message_in_several_chunks_keeps_its_place() {
        let text = format!(
            "MSRP aa11 SEND\r\nTo-Path: {OWN}\r\nFrom-Path: {SEAT}\r\nMessage-ID: m1\r\nByte-Range: 3-*/9\r\n\
             Content-Type: message/cpim\r\n\r\ncde\r\n-------aa11+\r\nMSRP next"
        );

        let heard = receiver().hear(text.as_bytes(), &mut Vec::new()).unwrap().unwrap();

        assert_eq!(heard.1, Item::Piece { offset: 2, octets: b"cde", ends: false });
        assert_eq!(&text[heard.0..], "MSRP next");
    }

    #[test]
    fn a_refusal_a_report_and_a_strangers_chunk_are_nonsense() {
        let refused = "MSRP aa11 413 Too much\r\nTo-Path: a\r\nFrom-Path: b\r\n-------aa11$\r\n";
        let report = format!("MSRP aa11 REPORT\r\nTo-Path: {OWN}\r\n");
        let (_, stream) = sent(64);
        let stranger = String::from_utf8(stream.clone()).unwrap().replace("/u1;", "/u2;");
        let aborted = String::from_utf8(stream).unwrap().replace("$\r\n", "#\r\n");
        for text in [refused, &report, &stranger, &aborted, "HTTP/1.1 200 OK\r\n"] {
            assert!(receiver().hear(text.as_bytes(), &mut Vec::new()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_success_response_is_heard_when_it_is_complete() {
        let text = "MSRP aa11 200 OK\r\nTo-Path: a\r\nFrom-Path: b\r\n-------aa11$\r\n";

        assert_eq!(receiver().hear(&text.as_bytes()[..text.len() - 1], &mut Vec::new()), Ok(None));
        let heard = receiver().hear(text.as_bytes(), &mut Vec::new());
        assert_eq!(heard, Ok(Some((text.len(), Item::Accepted))));
    }

    #[test]
    fn who_is_told_to_say_nothing_says_nothing() {
        let (mut silent, mut reply) = (Msrp::new(SEAT, OWN, Answer::Nothing), Vec::new());

        assert!(silent.hear(&sent(64).1, &mut reply).unwrap().is_some());
        assert!(reply.is_empty());
    }
}
