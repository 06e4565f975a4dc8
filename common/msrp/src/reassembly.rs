//! Putting messages together from chunks, for whoever is the final receiver (RFC 4975, section 7.3.1): any order,
//! overlaps, aborts. Memory follows what arrives, never what is announced. Duplicate messages are the caller's to see.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::body::Body;
use crate::decode::Chunk;
use crate::head::Head;
use crate::ident::MessageId;
use crate::start::Flag;
use crate::status::Status;

/// The bounds of a [`Reassembly`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Octets of one message. Default 4 MiB.
    pub message_octets_max: u64,
    /// Messages open at a time. Default 16.
    pub messages_max: usize,
    /// Separate runs of octets in one message, which only chunks out of order make. Default 2048, so that a message
    /// of 4 MiB may come backwards in chunks of 2048 octets.
    pub runs_max: usize,
    /// How long to wait for the next chunk of a message. Default 540 s (RFC 7701, section 6.1).
    pub chunk_wait: Duration,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            message_octets_max: 4 * 1024 * 1024,
            messages_max: 16,
            runs_max: 2048,
            chunk_wait: Duration::from_secs(540),
        }
    }
}

/// A message whose every octet has arrived.
#[derive(Debug, Clone)]
pub struct Whole {
    /// Its name.
    pub message_id: MessageId,
    /// The head of the first chunk of it that arrived.
    pub head: Arc<Head>,
    /// Its octets.
    pub body: Body,
}

/// What a chunk led to.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The message is complete.
    Whole(Whole),
    /// Octets are still missing.
    Open,
    /// The sender gave the message up; what had arrived is dropped.
    Aborted(MessageId),
}

/// Why a chunk was turned down. The message it belongs to is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The message is larger than is taken.
    #[error("the message is too large")]
    TooLarge,
    /// Too many messages are open.
    #[error("too many messages are open")]
    TooManyOpen,
    /// The message lies in too many separate parts.
    #[error("the message is in too many parts")]
    TooScattered,
    /// Two chunks say different sizes of the message, or one has octets behind its end.
    #[error("the chunks of the message contradict each other")]
    Contradiction,
    /// The chunk has no Message-ID.
    #[error("the chunk belongs to no message")]
    NoMessage,
}

impl Refusal {
    /// The code to answer the chunk with.
    pub fn status(self) -> Status {
        match self {
            Self::TooLarge | Self::TooManyOpen | Self::TooScattered => Status::STOP_SENDING,
            Self::Contradiction | Self::NoMessage => Status::BAD_REQUEST,
        }
    }
}

/// The open messages of one session.
#[derive(Debug, Default)]
pub struct Reassembly {
    quota: Quota,
    open: HashMap<MessageId, Open>,
}

#[derive(Debug)]
struct Open {
    head: Arc<Head>,
    /// Runs of octets that do not overlap, by the position (from 0) they start at.
    runs: BTreeMap<u64, Vec<u8>>,
    octets: u64,
    /// The size announced.
    announced: Option<u64>,
    /// The size that the chunk with `$` defined.
    total: Option<u64>,
    last_chunk: Instant,
}

impl Reassembly {
    /// An empty one.
    pub fn new(quota: Quota) -> Self {
        Self { quota, open: HashMap::new() }
    }

    /// How many messages are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// How many octets are held.
    pub fn octets(&self) -> u64 {
        self.open.values().map(|open| open.octets).sum()
    }

    /// Takes a chunk of a SEND that has a body.
    pub fn add(&mut self, now: Instant, chunk: &Chunk) -> Result<Outcome, Refusal> {
        let message_id = chunk.head.message_id().ok_or(Refusal::NoMessage)?;
        if chunk.end == Some(Flag::Abort) {
            self.open.remove(&message_id);
            return Ok(Outcome::Aborted(message_id));
        }
        let added = self.place(now, message_id, chunk);
        if added.is_err() {
            self.open.remove(&message_id);
        }
        added
    }

    fn place(&mut self, now: Instant, id: MessageId, chunk: &Chunk) -> Result<Outcome, Refusal> {
        let start = chunk.range.start - 1;
        let end = start.saturating_add(chunk.body.octets());
        if end > self.quota.message_octets_max {
            return Err(Refusal::TooLarge);
        }
        if !self.open.contains_key(&id) {
            if chunk.is_whole_message() {
                if chunk.range.total.is_some_and(|total| total < end) {
                    return Err(Refusal::Contradiction);
                }
                let (head, body) = (Arc::clone(&chunk.head), chunk.body.clone());
                return Ok(Outcome::Whole(Whole { message_id: id, head, body }));
            }
            if self.open.len() >= self.quota.messages_max {
                return Err(Refusal::TooManyOpen);
            }
        }
        let open = self.open.entry(id).or_insert_with(|| Open::new(now, &chunk.head));
        open.last_chunk = now;
        open.agree(chunk, end)?;
        open.write(start, &chunk.body);
        if open.runs.len() > self.quota.runs_max {
            return Err(Refusal::TooScattered);
        }
        if !open.is_complete() {
            return Ok(Outcome::Open);
        }
        let open = self.open.remove(&id).ok_or(Refusal::NoMessage)?;
        Ok(Outcome::Whole(open.finish(id)))
    }

    /// When the next message is given up if no chunk arrives.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.open.values().map(|open| open.last_chunk + self.quota.chunk_wait).min()
    }

    /// Drops the messages whose next chunk did not come in time, and names them.
    pub fn expire(&mut self, now: Instant) -> Vec<MessageId> {
        let wait = self.quota.chunk_wait;
        let late = |open: &Open| open.last_chunk + wait <= now;
        let names: Vec<_> =
            self.open.iter().filter(|(_, open)| late(open)).map(|(id, _)| *id).collect();
        self.open.retain(|_, open| !late(open));
        names
    }
}

impl Open {
    fn new(now: Instant, head: &Arc<Head>) -> Self {
        let head = Arc::clone(head);
        Self {
            head,
            runs: BTreeMap::new(),
            octets: 0,
            announced: None,
            total: None,
            last_chunk: now,
        }
    }

    /// The sizes that chunks announce and define must agree, and no octet may lie behind them.
    fn agree(&mut self, chunk: &Chunk, end: u64) -> Result<(), Refusal> {
        if let Some(total) = chunk.range.total {
            if self.announced.is_some_and(|announced| announced != total) {
                return Err(Refusal::Contradiction);
            }
            self.announced = Some(total);
        }
        // RFC 4975, section 7.3.1: the chunk with `$` defines the size.
        if chunk.end == Some(Flag::End) {
            if self.total.is_some_and(|total| total != end) {
                return Err(Refusal::Contradiction);
            }
            self.total = Some(end);
        }
        let reach = self.runs.last_key_value().map_or(0, |(at, run)| at + octets(run)).max(end);
        let beyond = |size: Option<u64>| size.is_some_and(|size| reach > size);
        if beyond(self.total) || beyond(self.announced) {
            return Err(Refusal::Contradiction);
        }
        Ok(())
    }

    /// Section 7.3.1: where chunks overlap, the last one received counts.
    fn write(&mut self, start: u64, body: &Body) {
        let mut at = start;
        for slice in body.slices() {
            self.write_slice(at, slice);
            at += octets(slice);
        }
    }

    fn write_slice(&mut self, start: u64, slice: &Bytes) {
        let end = start + octets(slice);
        self.cut(start, end);
        let before = self.runs.range_mut(..=start).next_back();
        match before.filter(|(at, run)| **at + octets(run) == start) {
            Some((_, run)) => run.extend_from_slice(slice),
            None => {
                self.runs.insert(start, slice.to_vec());
            }
        }
        self.octets += octets(slice);
    }

    /// Removes what the runs hold between `start` and `end`.
    fn cut(&mut self, start: u64, end: u64) {
        while let Some((&at, _)) =
            self.runs.range(..end).next_back().filter(|(at, run)| **at + octets(run) > start)
        {
            let Some(mut run) = self.runs.remove(&at) else { return };
            self.octets -= octets(&run);
            let run_end = at + octets(&run);
            if run_end > end {
                let behind = run.split_off(position(end - at));
                self.octets += octets(&behind);
                self.runs.insert(end, behind);
            }
            if at < start {
                run.truncate(position(start - at));
                self.octets += octets(&run);
                self.runs.insert(at, run);
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.octets == total)
    }

    fn finish(self, message_id: MessageId) -> Whole {
        let body = self.runs.into_values().map(Bytes::from).collect();
        Whole { message_id, head: self.head, body }
    }
}

fn octets(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap_or(u64::MAX)
}

/// A position within memory that is allocated already.
fn position(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{Decoder, Item};

    #[expect(
        clippy::disallowed_methods,
        reason = "only differences of it matter, and there is no other way"
    )]
    fn instant() -> Instant {
        Instant::now()
    }

    fn chunk(range: &str, octets: &str, flag: char) -> Chunk {
        let text = format!(
            "MSRP tid1 SEND\r\nTo-Path: msrp://b:1/b;tcp\r\nFrom-Path: msrp://a:1/a;tcp\r\n\
             Message-ID: mid1\r\nByte-Range: {range}\r\nContent-Type: a/b\r\n\r\n{octets}\r\n\
             -------tid1{flag}\r\n"
        );
        match Decoder::default().next(&mut BytesMut::from(text.as_bytes())) {
            Ok(Some(Item::Request(chunk))) => chunk,
            other => panic!("{other:?}"),
        }
    }

    /// What comes out after the last of the chunks.
    fn put(chunks: &[(&str, &str, char)]) -> Result<Option<String>, Refusal> {
        let (mut reassembly, now) = (Reassembly::default(), instant());
        let mut last = None;
        for (range, octets, flag) in chunks {
            last = match reassembly.add(now, &chunk(range, octets, *flag))? {
                Outcome::Whole(whole) => {
                    Some(String::from_utf8(whole.body.gather().to_vec()).unwrap())
                }
                Outcome::Open | Outcome::Aborted(_) => None,
            };
        }
        Ok(last)
    }

    fn whole(text: &str) -> Result<Option<String>, Refusal> {
        Ok(Some(text.to_owned()))
    }

    #[test]
    fn the_last_octets_received_win_where_chunks_overlap() {
        assert_eq!(
            put(&[("1-*/*", "abcdef", '+'), ("3-*/*", "XY", '+'), ("7-*/*", "g", '$')]),
            whole("abXYefg")
        );
        assert_eq!(put(&[("5-*/*", "ef", '$'), ("1-*/*", "ABCDE", '+')]), whole("ABCDEf"));
        assert_eq!(
            put(&[("2-*/*", "b", '+'), ("4-*/*", "d", '$'), ("1-*/*", "1234", '+')]),
            whole("1234")
        );
    }

    #[test]
    fn the_size_is_what_the_last_chunk_defines_whatever_was_announced() {
        assert_eq!(put(&[("1-*/*", "abc", '+'), ("4-*/*", "", '$')]), whole("abc"));
        assert_eq!(put(&[("1-*/99", "abc", '+'), ("4-*/99", "d", '$')]), whole("abcd"));
        assert_eq!(put(&[("1-0/0", "", '$')]), whole(""));
    }

    #[test]
    fn chunks_that_contradict_each_other_are_refused() {
        let contradiction = Err(Refusal::Contradiction);
        assert_eq!(put(&[("1-*/9", "abc", '+'), ("4-*/8", "d", '+')]), contradiction);
        assert_eq!(put(&[("4-*/*", "d", '$'), ("5-*/*", "e", '+')]), contradiction);
        assert_eq!(put(&[("5-*/*", "e", '+'), ("4-*/*", "d", '$')]), contradiction);
        assert_eq!(put(&[("4-*/*", "d", '$'), ("6-*/*", "f", '$')]), contradiction);
        assert_eq!(put(&[("1-*/2", "abc", '$')]), contradiction);
        assert_eq!(put(&[("1-*/2", "abc", '+')]), contradiction);
    }

    #[test]
    fn a_bound_drops_the_message_and_frees_its_octets() {
        let quota =
            Quota { message_octets_max: 8, messages_max: 1, runs_max: 2, ..Quota::default() };
        let (mut reassembly, now) = (Reassembly::new(quota), instant());

        for (range, octets) in [("1-*/*", "a"), ("3-*/*", "c")] {
            reassembly.add(now, &chunk(range, octets, '+')).unwrap();
        }
        assert_eq!(reassembly.octets(), 2);
        let scattered = reassembly.add(now, &chunk("5-*/*", "e", '+'));

        assert_eq!(scattered.unwrap_err(), Refusal::TooScattered);
        assert_eq!((reassembly.open(), reassembly.octets()), (0, 0));
        let large = reassembly.add(now, &chunk("8-*/*", "hi", '+'));
        assert_eq!(large.unwrap_err().status(), Status::STOP_SENDING);
    }

    #[test]
    fn a_message_whose_next_chunk_is_late_is_dropped() {
        let (mut reassembly, start) = (Reassembly::default(), instant());
        reassembly.add(start, &chunk("1-*/*", "a", '+')).unwrap();
        let second = start + Duration::from_secs(500);
        reassembly.add(second, &chunk("2-*/*", "b", '+')).unwrap();

        let expiry = reassembly.next_expiry().unwrap();
        assert_eq!(expiry, second + Duration::from_secs(540));
        assert!(reassembly.expire(expiry - Duration::from_nanos(1)).is_empty());
        assert_eq!(reassembly.expire(expiry).len(), 1);
        assert_eq!(reassembly.next_expiry(), None);
    }
}
