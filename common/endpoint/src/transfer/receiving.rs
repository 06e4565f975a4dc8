//! The side that gets the file: each octet goes to its place as it comes, in any order. Nothing is whole before every
//! octet is there and everything that was said of the file is so; memory follows neither what is announced nor what comes.
use std::time::{Duration, Instant};

use msrp::cpim::{self, Gather};
use msrp::{
    Body, ByteRange, Chunk, Flag, MessageId, Path, Report, Status, SuccessReport, TransactionId,
};
use rand::CryptoRng;

use super::{Broken, Finished, Hashes, Hashing, Out, Part, Progress, Sink};
use crate::Limits;

/// Separate runs of octets, which only chunks out of order make.
const RUNS_MAX: usize = 2048;
/// Octets read back at a time.
const READ_OCTETS: usize = 256 * 1024;
/// How long we wait to tell the sender that we want no more.
const FAREWELL: Duration = Duration::from_secs(5);

/// A file that is whole, and of which the sender has not heard.
struct Held {
    to: Path,
    total: u64,
    /// The sender wants to hear of it.
    wanted: bool,
    finished: Finished,
}

/// What stands before the octets of the file.
enum Wrapper {
    /// Nothing is known: no chunk has come.
    Unknown,
    /// The head of a CPIM message, which is not complete.
    Opening(Gather, u64),
    /// So many octets.
    Octets(u64),
}

pub(super) struct Receiving {
    sink: Box<dyn Sink>,
    part: Part,
    message_id: Option<MessageId>,
    wrapper: Wrapper,
    /// Runs of octets that are here, in the message: first and behind the last, in order and apart from each other.
    runs: Vec<(u64, u64)>,
    /// Octets of the message, once they are known.
    total: Option<u64>,
    /// Of the octets from the beginning of the file, as long as they come in order.
    hashing: Option<Hashing>,
    patience: Duration,
    due: Option<Instant>,
    aborting: bool,
    /// What is whole is held.
    holds: bool,
    held: Option<Held>,
    media_type: Option<String>,
}

impl Receiving {
    pub(super) fn new(now: Instant, part: Part, sink: Box<dyn Sink>, limits: Limits) -> Self {
        Self {
            sink,
            hashing: (part.start == 0).then(Hashing::default),
            part,
            message_id: None,
            wrapper: Wrapper::Unknown,
            runs: Vec::new(),
            total: None,
            patience: limits.message,
            due: Some(now + limits.message),
            aborting: false,
            holds: false,
            held: None,
            media_type: None,
        }
    }

    pub(super) fn hold(&mut self) {
        self.holds = true;
    }

    pub(super) fn held(&self) -> Option<Finished> {
        self.held.as_ref().map(|held| held.finished)
    }

    pub(super) fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    pub(super) fn kept(
        &mut self,
        rng: &mut impl CryptoRng,
        own: &Path,
        kept: Result<(), String>,
        out: &mut Out,
    ) {
        let Some(held) = self.held.take() else { return };
        let finished = match kept {
            Ok(()) => Ok(held.finished),
            Err(why) => Err(Broken::Sink(why)),
        };
        self.tell(rng, own, &held, finished, out);
    }

    pub(super) fn progress(&self) -> Progress {
        let octets = self.runs.first().filter(|(start, _)| *start == 0).map_or(0, |(_, end)| *end);
        let wrapper = self.wrapper();
        let total = self.part.octets.or_else(|| self.total.map(|total| total - wrapper));
        Progress { octets: octets.saturating_sub(wrapper), total }
    }

    fn wrapper(&self) -> u64 {
        match &self.wrapper {
            Wrapper::Octets(octets) | Wrapper::Opening(_, octets) => *octets,
            Wrapper::Unknown => 0,
        }
    }

    /// Takes a piece of a chunk; how it is answered.
    pub(super) fn take(
        &mut self,
        now: Instant,
        rng: &mut impl CryptoRng,
        chunk: &Chunk,
        own: &Path,
        out: &mut Out,
    ) -> Status {
        if self.aborting {
            out.end(Err(Broken::Aborted));
            return Status::STOP_SENDING;
        }
        if self.held.is_some() {
            return Status::OK;
        }
        if out.over.is_some() {
            // RFC 5547, 8.7: one file, and it is over.
            return Status::FORBIDDEN;
        }
        let Some(id) = chunk.head.message_id() else { return Status::BAD_REQUEST };
        if self.message_id.is_some_and(|ours| ours != id) {
            return Status::FORBIDDEN;
        }
        self.message_id = Some(id);
        self.due = Some(now + self.patience);
        if chunk.end == Some(Flag::Abort) {
            out.end(Err(Broken::GivenUp));
            return Status::OK;
        }
        let placed = self.place(chunk);
        let status = match &placed {
            Ok(_) => Status::OK,
            Err(Broken::Long | Broken::Sink(_)) => Status::STOP_SENDING,
            Err(Broken::Other("the type")) => Status::UNSUPPORTED_TYPE,
            Err(_) => Status::BAD_REQUEST,
        };
        match placed {
            Ok(false) => {}
            Ok(true) => self.conclude(rng, chunk, own, out),
            Err(broken) => out.end(Err(broken)),
        }
        status
    }

    /// Puts a piece in its place; whether now everything is there.
    fn place(&mut self, chunk: &Chunk) -> Result<bool, Broken> {
        let mut start = chunk.range.start.checked_sub(1).ok_or(Broken::Malformed("its range"))?;
        let end = start.checked_add(chunk.body.octets()).ok_or(Broken::Malformed("its range"))?;
        let mut body = chunk.body.clone();
        if matches!(self.wrapper, Wrapper::Unknown) {
            self.wrapper = self.opened(chunk)?;
        }
        if let Wrapper::Opening(gather, held) = &mut self.wrapper {
            // Where the file begins is known at the end of the wrapper's head, so that comes first and in order.
            if start != *held {
                return Err(Broken::Malformed("the wrapper does not come first"));
            }
            let envelope = gather.push(&body).map_err(|_| Broken::Malformed("its wrapper"))?;
            *held += body.octets();
            let Some(envelope) = envelope else {
                let cut = chunk.end == Some(Flag::End);
                return if cut { Err(Broken::Short) } else { Ok(false) };
            };
            let inner = envelope.content_type().unwrap_or(b"text/plain").to_vec();
            let octets = envelope.octets();
            (start, body) = (0, gather.take());
            self.wrapper = Wrapper::Octets(octets as u64);
            self.is_of_type(&inner)?;
        }
        self.measure(chunk, end)?;
        self.write(start, &body)?;
        self.cover(start, end)?;
        Ok(self.total.is_some_and(|total| total == 0 || self.runs == [(0, total)]))
    }

    fn opened(&mut self, chunk: &Chunk) -> Result<Wrapper, Broken> {
        let named = chunk.head.content_type().unwrap_or_default();
        self.media_type = Some(String::from_utf8_lossy(named).into_owned());
        if chunk.head.is_type(cpim::MEDIA_TYPE) && !self.part.as_sent {
            return Ok(Wrapper::Opening(Gather::default(), 0));
        }
        self.is_of_type(chunk.head.content_type().unwrap_or_default())?;
        Ok(Wrapper::Octets(0))
    }

    fn is_of_type(&self, content_type: &[u8]) -> Result<(), Broken> {
        let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
        let came = essence(&String::from_utf8_lossy(content_type));
        let said = self.part.media_type.as_deref().map(essence);
        let same = said.is_none_or(|said| said.eq_ignore_ascii_case(&came));
        if same { Ok(()) } else { Err(Broken::Other("the type")) }
    }

    /// Compares the sizes that the chunk says or shows with the one that was agreed on.
    fn measure(&mut self, chunk: &Chunk, end: u64) -> Result<(), Broken> {
        let wrapper = self.wrapper();
        let agreed = self.part.octets.map(|octets| octets.saturating_add(wrapper));
        let room = self.part.octets_max.saturating_sub(self.part.start).saturating_add(wrapper);
        let said = chunk.range.total;
        let most = agreed.or(said).unwrap_or(room).min(room);
        if end > most || said.is_some_and(|said| said > most) {
            return Err(Broken::Long);
        }
        if agreed.zip(said).is_some_and(|(agreed, said)| said < agreed) {
            return Err(Broken::Short);
        }
        // RFC 4975, 7.3.1: the chunk with `$` defines the size.
        if chunk.end == Some(Flag::End) {
            if agreed.or(said).is_some_and(|total| end < total) {
                return Err(Broken::Short);
            }
            self.total = Some(end);
        }
        let reached = self.runs.last().map_or(0, |(_, end)| *end);
        if self.total.is_some_and(|total| reached > total) { Err(Broken::Long) } else { Ok(()) }
    }

    fn write(&mut self, start: u64, body: &Body) -> Result<(), Broken> {
        let wrapper = self.wrapper();
        let mut at = start;
        for slice in body.slices() {
            let skipped = usize::try_from(wrapper.saturating_sub(at)).unwrap_or(usize::MAX);
            let file = slice.get(skipped.min(slice.len())..).unwrap_or_default();
            if !file.is_empty() {
                let place = self.part.start + at.max(wrapper) - wrapper;
                self.sink.write(place, file).map_err(Broken::Sink)?;
                self.hash(place, file);
            }
            at += slice.len() as u64;
        }
        Ok(())
    }

    fn hash(&mut self, place: u64, octets: &[u8]) {
        match &mut self.hashing {
            Some(hashing) if hashing.octets() == place => hashing.update(octets),
            // Later octets are read back in the end; earlier ones have changed what was hashed.
            Some(hashing) if hashing.octets() < place => {}
            _ => self.hashing = None,
        }
    }

    fn cover(&mut self, start: u64, end: u64) -> Result<(), Broken> {
        if start == end {
            return Ok(());
        }
        let at = self.runs.partition_point(|(first, _)| *first < start);
        self.runs.insert(at, (start, end));
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.runs.len());
        for (start, end) in self.runs.drain(..) {
            match joined.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => joined.push((start, end)),
            }
        }
        self.runs = joined;
        if self.runs.len() > RUNS_MAX { Err(Broken::Malformed("too many parts")) } else { Ok(()) }
    }

    /// Everything is there: is it what was described?
    fn conclude(&mut self, rng: &mut impl CryptoRng, chunk: &Chunk, own: &Path, out: &mut Out) {
        self.due = None;
        let total = self.total.unwrap_or_default();
        let octets = total - self.wrapper();
        let verified = self.verify(octets);
        let finished = Finished { octets, verified: matches!(verified, Ok(true)) };
        let wanted = chunk.head.success_report() == SuccessReport::Yes;
        let held = Held { to: chunk.head.from_path().clone(), total, wanted, finished };
        match verified {
            Ok(_) if self.holds => self.held = Some(held),
            verified => self.tell(rng, own, &held, verified.map(|_| finished), out),
        }
    }

    /// The sender is told either way.
    fn tell(
        &self,
        rng: &mut impl CryptoRng,
        own: &Path,
        held: &Held,
        finished: Result<Finished, Broken>,
        out: &mut Out,
    ) {
        let (status, comment) = match &finished {
            Ok(_) => (Status::OK, Status::OK.comment()),
            Err(Broken::Sink(_)) => (Status::STOP_SENDING, "the file cannot be kept"),
            Err(_) => (Status::BAD_REQUEST, "the file is not the one that was described"),
        };
        let wanted = held.wanted || finished.is_err();
        if let Some(message_id) = self.message_id.filter(|_| wanted) {
            let report = Report {
                to_path: &held.to,
                from_path: own,
                message_id,
                range: ByteRange::whole(held.total),
                status,
                comment,
            };
            out.replies.push_back(report.encode(TransactionId::random(rng)));
        }
        out.end(finished);
    }

    fn verify(&mut self, octets: u64) -> Result<bool, Broken> {
        let said = self.part.hashes;
        if said.is_empty() {
            return Ok(false);
        }
        let size = self.part.start + octets;
        let mut hashing = self.hashing.take().unwrap_or_default();
        while hashing.octets() < size {
            let left = usize::try_from(size - hashing.octets()).unwrap_or(usize::MAX);
            let read = self.sink.read(hashing.octets(), left.min(READ_OCTETS));
            let read = read.map_err(Broken::Sink)?;
            if read.is_empty() {
                return Err(Broken::Sink("it is not as long as it was".to_owned()));
            }
            hashing.update(&read);
        }
        let Hashes { sha1, sha256 } = hashing.finish();
        let differs = |said: bool, same: bool| said && !same;
        let wrong = differs(said.sha1.is_some(), said.sha1 == sha1)
            || differs(said.sha256.is_some(), said.sha256 == sha256);
        if wrong { Err(Broken::Other("its hash")) } else { Ok(true) }
    }

    pub(super) fn abort(&mut self, now: Instant) {
        self.aborting = true;
        self.due = Some(now + FAREWELL);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn timeout(&mut self, now: Instant, out: &mut Out) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        out.end(Err(if self.aborting { Broken::Aborted } else { Broken::Late }));
    }
}
