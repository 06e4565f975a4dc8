//! Which requests wait for an answer of the next hop, and what follows from the answer or from its absence. One for
//! each connection that requests are passed on to: transaction ids are a connection's own.
//!
//! A room's receivers have books of their own, `outbox/unanswered`: there nobody is told what became of a chunk, so 24
//! octets and no look at the clock are enough for each, where here a sender, a range and a way back are owed.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use msrp::{
    ByteRange, FailureReport, Flag, Head, MessageId, Method, Start, Status, TransactionId, Uri,
};

use super::{Failure, Origin, Source};

/// What a ledger may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests without an answer, above which no more should be passed on; twice as many are never held.
    pub unanswered_max: usize,
    /// How long an answer may take, from when the last octet was written (RFC 4975, 7.1.1: 30 s).
    pub answer: Duration,
}

/// One request that was passed on.
#[derive(Debug)]
pub struct Passed<O> {
    /// Whose it is.
    pub source: Arc<Source<O>>,
    /// The octets it carried, as they were sent.
    pub range: ByteRange,
    /// How its message stands behind it: `$` once all of it has been passed on.
    pub flag: Flag,
    /// The first URI of its From-Path, as it was sent: to whom the answer must be addressed.
    pub via: Uri,
}

impl<O> Clone for Passed<O> {
    fn clone(&self) -> Self {
        Self { source: Arc::clone(&self.source), via: self.via.clone(), ..*self }
    }
}

/// What an answer of the next hop leads to.
#[derive(Debug)]
pub enum Answer<O> {
    /// It answers nothing that waits, or is addressed to somebody else: it is dropped (RFC 4976, 6.4.3).
    Unknown,
    /// The next hop has it.
    Taken(Passed<O>),
    /// The next hop refuses it.
    Refused(Failure<O>),
    /// It answers a request that is no SEND: it goes back, whatever it says, under the transaction id of that hop.
    Back(Arc<Source<O>>),
}

/// What became of a request that got no answer.
#[derive(Debug)]
pub enum Settled<O> {
    /// Its sender is told.
    Failed(Failure<O>),
    /// Only errors are answered (`Failure-Report: partial`), and there was none.
    Presumed(Passed<O>),
}

/// More requests wait for answers than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Messages that the next hop refused and of which pieces may still come; the oldest is forgotten first.
const STOPPED_MAX: usize = 64;

/// Messages that have begun and not ended on this hop; a sender may have a few, and several senders share a hop.
const OPEN_MAX: usize = 1024;

/// The requests of one connection that wait for answers.
#[derive(Debug)]
pub struct Ledger<O: Origin> {
    limits: Limits,
    /// In the order they were passed on.
    waiting: BTreeMap<u64, Entry<O>>,
    /// Those of `waiting` that are answered only in case of an error, in the same order.
    quiet: VecDeque<u64>,
    numbers: HashMap<TransactionId, u64>,
    last: u64,
    /// What has a greater number has not left yet.
    written: u64,
    /// Where the rest of a message begins that has not ended.
    open: HashMap<(O::Name, MessageId), u64>,
    stopped: VecDeque<(O::Name, MessageId)>,
    presumed: Vec<Passed<O>>,
}

#[derive(Debug)]
struct Entry<O> {
    transaction: TransactionId,
    passed: Passed<O>,
    written: Option<Instant>,
}

impl<O: Origin> Ledger<O> {
    /// An empty ledger.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: BTreeMap::new(),
            quiet: VecDeque::new(),
            numbers: HashMap::new(),
            last: 0,
            written: 0,
            open: HashMap::new(),
            stopped: VecDeque::new(),
            presumed: Vec::new(),
        }
    }

    /// How many requests wait for an answer.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.presumed.is_empty()
    }

    /// Whether senders should pause until some are answered. What is answered only in case of an error pauses nobody.
    pub fn is_crowded(&self) -> bool {
        self.waiting.len() - self.quiet.len() >= self.limits.unanswered_max
    }

    /// Whether the next hop has refused this message, so that no more of it is passed on. A message that starts anew
    /// is another attempt.
    pub fn is_stopped(&mut self, passed: &Passed<O>) -> bool {
        let Some(key) = key(&passed.source) else { return false };
        if self.stopped.is_empty() {
            return false;
        }
        if passed.range.start == 1 {
            self.stopped.retain(|stopped| *stopped != key);
        }
        self.stopped.contains(&key)
    }

    /// A request leaves under this id. Full: it must not.
    pub fn pass(&mut self, transaction: TransactionId, passed: Passed<O>) -> Result<(), Full> {
        let quiet = passed.source.failure_report == FailureReport::Partial;
        if !quiet && self.waiting.len() - self.quiet.len() >= self.limits.unanswered_max * 2 {
            return Err(Full);
        }
        self.note_open(&passed);
        if passed.source.failure_report == FailureReport::No {
            return Ok(());
        }
        if quiet && self.quiet.len() >= self.limits.unanswered_max {
            self.presume_oldest();
        }
        self.last += 1;
        if quiet {
            self.quiet.push_back(self.last);
        }
        self.numbers.insert(transaction, self.last);
        self.waiting.insert(self.last, Entry { transaction, passed, written: None });
        Ok(())
    }

    fn note_open(&mut self, passed: &Passed<O>) {
        if passed.source.method != Method::Send {
            return;
        }
        if passed.flag != Flag::More && self.open.is_empty() {
            return;
        }
        let Some(key) = key(&passed.source) else { return };
        if passed.flag != Flag::More {
            self.open.remove(&key);
        } else if self.open.len() < OPEN_MAX || self.open.contains_key(&key) {
            self.open.insert(key, passed.range.end.map_or(passed.range.start, |end| end + 1));
        }
    }

    fn presume_oldest(&mut self) {
        if let Some(entry) = self.quiet.front().and_then(|number| self.waiting.remove(number)) {
            self.numbers.remove(&entry.transaction);
            self.presumed.push(entry.passed);
        }
        self.quiet.pop_front();
    }

    /// Whether something was passed on that has not left yet.
    pub fn has_unwritten(&self) -> bool {
        self.written < self.last
    }

    /// Everything that was passed on so far has left: the time for its answers begins.
    pub fn written(&mut self, now: Instant) {
        for entry in self.waiting.range_mut(self.written + 1..).map(|(_, entry)| entry) {
            entry.written = Some(now);
        }
        self.written = self.last;
    }

    /// The next hop has answered.
    pub fn answered(&mut self, head: &Head) -> Answer<O> {
        let Start::Response(status, comment) = head.start() else { return Answer::Unknown };
        let Some(number) = self.numbers.get(&head.transaction()).copied() else {
            return Answer::Unknown;
        };
        // RFC 4976, 6.4.3: the first URI of its To-Path must be us.
        let via = self.waiting.get(&number).map(|entry| &entry.passed.via);
        if via != Some(head.to_path().first()) {
            return Answer::Unknown;
        }
        let Some(passed) = self.take(number) else { return Answer::Unknown };
        if passed.source.method != Method::Send {
            return Answer::Back(passed.source);
        }
        if status.is_success() {
            return Answer::Taken(passed);
        }
        Answer::Refused(self.fail(passed, *status, Bytes::copy_from_slice(comment)))
    }

    fn take(&mut self, number: u64) -> Option<Passed<O>> {
        let entry = self.waiting.remove(&number)?;
        self.numbers.remove(&entry.transaction);
        if entry.passed.source.failure_report == FailureReport::Partial {
            match self.quiet.front() {
                Some(first) if *first == number => drop(self.quiet.pop_front()),
                _ => self.quiet.retain(|quiet| *quiet != number),
            }
        }
        Some(entry.passed)
    }

    /// No more of a message that the next hop refuses is passed on. One that only got no answer goes on: its sender
    /// decides.
    fn fail(&mut self, passed: Passed<O>, status: Status, comment: Bytes) -> Failure<O> {
        let mut open_at = None;
        if let Some(key) = key(&passed.source).filter(|_| status != Status::TIMEOUT) {
            open_at = self.open.remove(&key);
            if open_at.is_some() && !self.stopped.contains(&key) {
                if self.stopped.len() == STOPPED_MAX {
                    self.stopped.pop_front();
                }
                self.stopped.push_back(key);
            }
        }
        Failure { range: passed.range, source: passed.source, status, comment, open_at }
    }

    /// What has waited long enough by now. `heard` is since when the next hop could be heard: while its connection was
    /// not read, its answers may have come.
    pub fn expire(&mut self, now: Instant, heard: Instant) -> Vec<Settled<O>> {
        let mut settled: Vec<_> = self.presumed.drain(..).map(Settled::Presumed).collect();
        let wait = self.limits.answer;
        let late = |written: Instant| now.saturating_duration_since(written.max(heard)) >= wait;
        while let Some((number, entry)) = self.waiting.first_key_value()
            && entry.written.is_some_and(late)
        {
            let number = *number;
            let Some(passed) = self.take(number) else { break };
            match passed.source.failure_report {
                FailureReport::Yes => {
                    let failure = self.fail(passed, Status::TIMEOUT, Bytes::new());
                    add(&mut settled, failure);
                }
                _ => settled.push(Settled::Presumed(passed)),
            }
        }
        settled
    }

    /// The next hop is gone, and with it every answer that has not come.
    pub fn lose(&mut self, status: Status) -> Vec<Settled<O>> {
        let mut settled: Vec<_> = self.presumed.drain(..).map(Settled::Presumed).collect();
        for entry in std::mem::take(&mut self.waiting).into_values() {
            let failure = self.fail(entry.passed, status, Bytes::new());
            add(&mut settled, Failure { open_at: None, ..failure });
        }
        *self = Self::new(self.limits);
        settled
    }
}

fn key<O: Origin>(source: &Source<O>) -> Option<(O::Name, MessageId)> {
    Some((source.origin.name(), source.message_id?))
}

/// Adds a failure; one that goes on where the last one of the same request ended becomes part of it, so that a long
/// message has one REPORT and not one for each piece.
fn add<O>(settled: &mut Vec<Settled<O>>, failure: Failure<O>) {
    if let Some(Settled::Failed(last)) = settled.last_mut()
        && Arc::ptr_eq(&last.source, &failure.source)
        && last.range.end.is_some_and(|end| end + 1 == failure.range.start)
    {
        last.range = ByteRange { start: last.range.start, ..failure.range };
        return;
    }
    settled.push(Settled::Failed(failure));
}
