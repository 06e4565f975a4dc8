//! The sending side of one leg, as a value: its open messages, and those that were turned down. Pure: time is an
//! argument and nothing is sent from here.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use msrp::{Chunk, Flag, MessageId, Status};

use crate::forward::{Origin, Source};
use crate::session::{Refusal, Runs, Seen};

/// A leg in use.
#[derive(Debug)]
pub struct Leg<O> {
    open: HashMap<MessageId, Open<O>>,
    /// Messages that were turned down and may still be coming: each further chunk gets the same answer.
    refused: VecDeque<(MessageId, Refusal)>,
    ended: Vec<Ended<O>>,
}

#[derive(Debug)]
struct Open<O> {
    source: Arc<Source<O>>,
    /// Which octets have come, in whatever order (RFC 4975, 7.3.1).
    runs: Runs,
    /// How many there are, once the chunk with `$` has come.
    total: Option<u64>,
    /// All octets that came, also those that came again.
    received: u64,
    touched: Instant,
    /// A part of it did not arrive.
    failed: bool,
}

/// What a chunk is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The sender may send nothing now.
    pub muted: bool,
    /// The longest message.
    pub message_octets_max: u64,
    /// Messages that come in at once.
    pub open_max: usize,
    /// What the sender's device has completed before.
    pub seen: &'a Seen,
}

/// A chunk that may pass. Only [`Leg::admit`] makes one.
#[derive(Debug)]
pub enum Admitted<O> {
    /// It carries nothing: it binds the session, keeps it alive, or ends what never began.
    Nothing,
    /// It was passed on before.
    Duplicate,
    /// It goes to the other leg.
    Pass(Arc<Source<O>>),
    /// The same, and with it every octet of the message has come: how many, unless some did not arrive.
    Last(Arc<Source<O>>, Option<u64>),
}

/// A message that ends here without its sender saying so. The other leg is told by a chunk that ends with `#`.
#[derive(Debug)]
pub struct Ended<O> {
    /// Whose it was.
    pub source: Arc<Source<O>>,
    /// Where its rest would have begun.
    pub at: u64,
    /// Why, unless its sender is gone.
    pub refusal: Option<Refusal>,
}

/// Refused messages that may still be coming; the oldest is forgotten first.
const REFUSED_MAX: usize = 16;

impl<O> Default for Leg<O> {
    /// A leg without messages.
    fn default() -> Self {
        Self { open: HashMap::new(), refused: VecDeque::new(), ended: Vec::new() }
    }
}

impl<O: Origin + Clone> Leg<O> {
    /// Checks a chunk of a SEND and takes note of it. `begin` is asked where a message begins.
    pub fn admit(
        &mut self,
        now: Instant,
        chunk: &Chunk,
        around: &Around<'_>,
        begin: impl FnOnce() -> Result<O, Refusal>,
    ) -> Result<Admitted<O>, Refusal> {
        let Some(id) = chunk.head.message_id() else { return Ok(Admitted::Nothing) };
        let known = self.open.contains_key(&id);
        if !known && (!chunk.head.has_body() || chunk.end == Some(Flag::Abort)) {
            return Ok(Admitted::Nothing);
        }
        if chunk.first && chunk.range.start == 1 {
            self.refused.retain(|(refused, _)| *refused != id);
        } else if let Some((_, refusal)) = self.refused.iter().find(|(refused, _)| *refused == id) {
            return Err(refusal.clone());
        }
        if !known && around.seen.octets_of(id).is_some() {
            return Ok(Admitted::Duplicate);
        }
        let admitted = self.take(now, id, chunk, around, begin);
        if let Err(refusal) = &admitted {
            self.refuse(id, refusal.clone());
        }
        admitted
    }

    fn take(
        &mut self,
        now: Instant,
        id: MessageId,
        chunk: &Chunk,
        around: &Around<'_>,
        begin: impl FnOnce() -> Result<O, Refusal>,
    ) -> Result<Admitted<O>, Refusal> {
        let octets = (chunk.range.start - 1).saturating_add(chunk.body.octets());
        if chunk.range.total.unwrap_or(0).max(octets) > around.message_octets_max {
            return Err(Refusal::TooLarge);
        }
        let origin = match self.open.get(&id) {
            Some(open) if !chunk.first => {
                let source = Arc::clone(&open.source);
                return self.go_on(now, (id, source), chunk, around.message_octets_max);
            }
            Some(open) => open.source.origin.clone(),
            None if around.muted => return Err(Refusal::Muted),
            None if self.open.len() >= around.open_max => return Err(Refusal::TooManyOpen),
            None => begin()?,
        };
        let source = Arc::new(Source::of(&chunk.head, origin));
        self.go_on(now, (id, source), chunk, around.message_octets_max)
    }

    fn go_on(
        &mut self,
        now: Instant,
        (id, source): (MessageId, Arc<Source<O>>),
        chunk: &Chunk,
        octets_max: u64,
    ) -> Result<Admitted<O>, Refusal> {
        let mut open = match self.open.remove(&id) {
            Some(open) => open,
            None => Open::new(&source, now),
        };
        if chunk.end == Some(Flag::Abort) {
            return Ok(Admitted::Pass(source));
        }
        let noted = open.note(chunk, octets_max);
        (open.source, open.touched) = (Arc::clone(&source), now);
        let Some(octets) = open.total.filter(|_| noted.is_ok() && open.is_complete()) else {
            // Also one that contradicts itself was open: its receiver is told that it ends.
            self.open.insert(id, open);
            return noted.map(|()| Admitted::Pass(source));
        };
        Ok(Admitted::Last(source, (!open.failed).then_some(octets)))
    }

    /// The next hop did not take a part of the message. One that it refused is refused from now on; one that it only
    /// did not answer goes on, for its sender decides.
    pub fn fail(&mut self, id: MessageId, status: Status) {
        if status == Status::TIMEOUT {
            if let Some(open) = self.open.get_mut(&id) {
                open.failed = true;
            }
            return;
        }
        // The next hop has been told by whoever heard its refusal.
        if self.open.remove(&id).is_some() {
            self.remember(id, Refusal::NextHop(status));
        }
    }

    /// What was admitted cannot be passed on after all.
    pub fn refuse(&mut self, id: MessageId, refusal: Refusal) {
        if let Some(open) = self.open.remove(&id) {
            self.ended.push(open.end(Some(refusal.clone())));
        }
        self.remember(id, refusal);
    }

    fn remember(&mut self, id: MessageId, refusal: Refusal) {
        if self.refused.len() == REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back((id, refusal));
    }

    /// Ends messages of which no chunk came for too long.
    pub fn expire(&mut self, now: Instant, chunk_timer: Duration) {
        let late = |open: &Open<O>| now.saturating_duration_since(open.touched) >= chunk_timer;
        let expired: Vec<MessageId> =
            self.open.iter().filter(|(_, open)| late(open)).map(|(id, _)| *id).collect();
        expired.into_iter().for_each(|id| self.refuse(id, Refusal::Expired));
    }

    /// Messages that ended without their sender saying so, each once.
    pub fn take_ended(&mut self) -> Vec<Ended<O>> {
        std::mem::take(&mut self.ended)
    }

    /// The leg ends, and with it every open message.
    pub fn close(&mut self) -> Vec<Ended<O>> {
        let mut ended = self.take_ended();
        let open = self.open.drain().map(|(_, open)| open);
        ended.extend(open.map(|open| open.end(None)));
        ended
    }
}

impl<O> Open<O> {
    fn new(source: &Arc<Source<O>>, now: Instant) -> Self {
        let (source, runs) = (Arc::clone(source), Runs::default());
        Self { source, runs, total: None, received: 0, touched: now, failed: false }
    }

    /// A chunk has come. A message has one length, and nothing behind it.
    fn note(&mut self, chunk: &Chunk, octets_max: u64) -> Result<(), Refusal> {
        let start = chunk.range.start.saturating_sub(1);
        let end = start.saturating_add(chunk.body.octets());
        self.received = self.received.saturating_add(chunk.body.octets());
        // Octets may come again, but not for ever.
        if self.received / 2 > octets_max {
            return Err(Refusal::TooLarge);
        }
        let total = if chunk.end == Some(Flag::End) { Some(end) } else { self.total };
        let reach = self.runs.reach().max(end);
        let moved = self.total.is_some() && self.total != total;
        if moved || total.is_some_and(|total| reach > total) {
            return Err(Refusal::Contradiction);
        }
        self.runs.add(start, end).map_err(|_scattered| Refusal::Contradiction)?;
        self.total = total;
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.total == Some(self.runs.front())
    }

    fn end(self, refusal: Option<Refusal>) -> Ended<O> {
        Ended { source: self.source, at: self.runs.front() + 1, refusal }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use msrp::{Decoder, Item};
    use service::clock;

    use super::*;

    const AROUND_OCTETS: u64 = 100;

    fn chunk(id: &str, range: &str, body: &str, flag: char) -> Chunk {
        let text = format!(
            "MSRP a1b2c3d4 SEND\r\nTo-Path: msrps://r.example:2855/s1;tcp\r\n\
             From-Path: msrps://ua.example:9/u1;tcp\r\nMessage-ID: {id}\r\nByte-Range: {range}\r\n\
             Content-Type: a/b\r\n\r\n{body}\r\n-------a1b2c3d4{flag}\r\n"
        );
        match Decoder::default().next(&mut BytesMut::from(text.as_bytes())).unwrap().unwrap() {
            Item::Request(chunk) => chunk,
            Item::Response(_) => panic!("a request"),
        }
    }

    fn admit(leg: &mut Leg<u32>, chunk: &Chunk, seen: &Seen) -> Result<Admitted<u32>, Refusal> {
        let around = Around { muted: false, message_octets_max: AROUND_OCTETS, open_max: 2, seen };
        leg.admit(clock::now(), chunk, &around, || Ok(1))
    }

    #[test]
    fn a_message_that_is_complete_says_how_long_it_was() {
        let (mut leg, seen) = (Leg::default(), Seen::default());

        let first = admit(&mut leg, &chunk("m111", "1-5/*", "hello", '+'), &seen);
        let last = admit(&mut leg, &chunk("m111", "6-10/*", "world", '$'), &seen);

        assert!(matches!(first, Ok(Admitted::Pass(_))));
        assert!(matches!(last, Ok(Admitted::Last(_, Some(10)))));
        assert!(leg.close().is_empty(), "nothing is open any more");
    }

    #[test]
    fn a_message_that_grows_too_long_is_refused_and_its_receiver_told_where_it_ends() {
        let (mut leg, seen) = (Leg::default(), Seen::default());
        let piece = "x".repeat(60);
        admit(&mut leg, &chunk("m111", "1-60/*", &piece, '+'), &seen).unwrap();

        let refused = admit(&mut leg, &chunk("m111", "61-120/*", &piece, '+'), &seen);

        assert_eq!(refused.unwrap_err(), Refusal::TooLarge);
        let ended = leg.take_ended();
        assert_eq!((ended.len(), ended[0].at), (1, 61));
        let later = admit(&mut leg, &chunk("m111", "121-122/*", "xx", '$'), &seen);
        assert_eq!(later.unwrap_err(), Refusal::TooLarge, "the same answer for the rest");
        assert!(admit(&mut leg, &chunk("m111", "1-5/5", "again", '$'), &seen).is_ok());
    }

    #[test]
    fn what_was_only_not_answered_goes_on_but_is_not_complete() {
        let (mut leg, seen) = (Leg::default(), Seen::default());
        let id = MessageId::parse(b"m111").unwrap();
        admit(&mut leg, &chunk("m111", "1-5/*", "hello", '+'), &seen).unwrap();

        leg.fail(id, Status::TIMEOUT);

        let last = admit(&mut leg, &chunk("m111", "6-10/*", "world", '$'), &seen);
        assert!(matches!(last, Ok(Admitted::Last(_, None))));
    }

    #[test]
    fn m4975_42_a_message_is_complete_when_its_last_gap_is_closed_and_not_with_the_chunk_that_ends_it()
     {
        let (mut leg, seen) = (Leg::default(), Seen::default());
        let mut pass =
            |range, body, flag| admit(&mut leg, &chunk("m111", range, body, flag), &seen);

        assert!(matches!(pass("1-5/15", "hello", '+'), Ok(Admitted::Pass(_))));
        assert!(matches!(pass("11-15/15", "world", '$'), Ok(Admitted::Pass(_))));
        assert!(matches!(pass("6-10/15", ", my ", '+'), Ok(Admitted::Last(_, Some(15)))));
        assert!(leg.close().is_empty(), "nothing is open any more");
    }

    #[test]
    fn m4975_42_a_message_with_two_lengths_or_that_comes_for_ever_is_refused_and_ended() {
        let contradicting = [("11-15/15", "world", '$'), ("1-20/*", "beyond the end of it", '+')];
        let long = "x".repeat(99);
        let for_ever = [("2-100/*", long.as_str(), '+'); 4];
        for (chunks, why) in [
            (&contradicting[..], Refusal::Contradiction),
            (&[("3-5/5", "abc", '$'), ("3-4/4", "ab", '$')], Refusal::Contradiction),
            (&[("3-5/5", "abc", '$'), ("3-7/7", "abcde", '$')], Refusal::Contradiction),
            (&for_ever, Refusal::TooLarge),
        ] {
            let (mut leg, seen) = (Leg::default(), Seen::default());
            let mut admitted = Vec::new();
            for (range, body, flag) in chunks {
                admitted.push(admit(&mut leg, &chunk("m111", range, body, *flag), &seen));
            }

            assert_eq!(admitted.pop().unwrap().unwrap_err(), why);
            let ended = leg.take_ended();
            assert_eq!((ended.len(), ended[0].at), (1, 1), "where the gap begins");
        }
    }

    #[test]
    fn a_leg_has_so_many_open_messages_and_one_that_pauses_too_long_ends() {
        let (mut leg, seen, now) = (Leg::default(), Seen::default(), clock::now());
        admit(&mut leg, &chunk("m111", "1-1/*", "x", '+'), &seen).unwrap();
        admit(&mut leg, &chunk("m222", "1-1/*", "x", '+'), &seen).unwrap();
        let third = admit(&mut leg, &chunk("m333", "1-1/*", "x", '+'), &seen);
        assert_eq!(third.unwrap_err(), Refusal::TooManyOpen);

        leg.expire(now + Duration::from_secs(3600), Duration::from_secs(540));

        assert_eq!(leg.take_ended().len(), 2);
    }
}
