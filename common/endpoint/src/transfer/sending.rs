//! The side that has the file: one message in chunks, no more of them unanswered than a window holds, so that memory is
//! the window whatever the size of the file. It ends when the receiver reports that it has compared the hashes.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use msrp::cpim;
use msrp::{
    Address, Body, ByteRange, Flag, Frame, Head, MessageId, SendRequest, SuccessReport,
    TransactionId,
};
use rand::CryptoRng;

use super::{Broken, Finished, Out, Part, Progress, Proof, Source};
use crate::{Deliveries, Setup};

/// Octets that may be unanswered.
const WINDOW_OCTETS: u64 = 1 << 20;
/// How long the other side may take to answer that it has been told of the end.
const FAREWELL: Duration = Duration::from_secs(5);

enum Phase {
    Flowing,
    /// Everything is answered; the receiver may still be comparing.
    Reporting {
        until: Instant,
    },
    /// The message was ended unfinished, by this transaction.
    Aborting {
        until: Instant,
        transaction: TransactionId,
    },
}

struct Flight {
    start: u64,
    octets: u64,
    deadline: Instant,
}

pub(super) struct Sending {
    source: Box<dyn Source>,
    part: Part,
    address: Address,
    message_id: MessageId,
    /// What stands around every chunk.
    content_type: String,
    /// The head of the wrapper, if the receiver wants one.
    wrapper: Bytes,
    /// Octets of the message: wrapper and part.
    total: u64,
    chunk_octets: u64,
    patience: Duration,
    /// Where in the message the next chunk begins; `None` when the last has left.
    next: Option<u64>,
    flights: HashMap<TransactionId, Flight>,
    deliveries: Deliveries,
    phase: Phase,
}

impl Sending {
    pub(super) fn new(
        setup: &Setup,
        part: Part,
        source: Box<dyn Source>,
        message_id: MessageId,
    ) -> Self {
        let media_type = part.media_type.as_deref().unwrap_or("application/octet-stream");
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let (content_type, wrapper) = if setup.theirs.accepts(essence) {
            (media_type.to_owned(), Bytes::new())
        } else {
            let letter = cpim::Builder::new(setup.me.as_str(), setup.peer.as_str());
            (cpim::MEDIA_TYPE.to_owned(), letter.content(media_type, Bytes::new()).gather())
        };
        let total = part.octets.unwrap_or_default() + wrapper.len() as u64;
        let mut deliveries = Deliveries::default();
        deliveries.wait_for(message_id, total);
        Self {
            source,
            part,
            address: Address::new(&setup.to, &setup.own),
            message_id,
            content_type,
            wrapper,
            total,
            chunk_octets: setup.limits.chunk_octets.max(1) as u64,
            patience: setup.limits.transaction,
            next: Some(0),
            flights: HashMap::new(),
            deliveries,
            phase: Phase::Flowing,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let unanswered = self.flights.values().map(|flight| flight.start).min();
        let octets = unanswered.or(self.next).unwrap_or(self.total);
        let wrapper = self.wrapper.len() as u64;
        Progress { octets: octets.saturating_sub(wrapper), total: Some(self.total - wrapper) }
    }

    /// Whether everything was sent and answered.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.phase, Phase::Reporting { .. })
    }

    /// The next chunk, if another one may be unanswered.
    pub(super) fn poll(&mut self, now: Instant, rng: &mut impl CryptoRng, out: &mut Out) {
        let Phase::Flowing = self.phase else { return };
        let Some(start) = self.next else { return };
        let unanswered: u64 = self.flights.values().map(|flight| flight.octets).sum();
        if unanswered >= WINDOW_OCTETS {
            return;
        }
        let octets = self.chunk_octets.min(self.total - start);
        let body = match self.read(start, octets) {
            Ok(body) => body,
            Err(why) => {
                out.replies.extend(self.ending(start, rng).map(|(frame, _)| frame));
                return out.end(Err(Broken::Source(why)));
            }
        };
        let last = start + octets == self.total;
        self.next = (!last).then_some(start + octets);
        let flag = if last { Flag::End } else { Flag::More };
        let payload = self.chunk(start, body, flag).encode(rng);
        let deadline = now + self.patience;
        self.flights.insert(payload.transaction(), Flight { start, octets, deadline });
        out.replies.push_back(payload.to(&self.address));
    }

    fn chunk(&self, start: u64, body: Body, flag: Flag) -> SendRequest {
        let range = ByteRange::piece(start + 1, body.octets(), Some(self.total));
        let disposition = self.part.disposition.iter();
        SendRequest {
            range,
            flag,
            success_report: match self.part.proof {
                Proof::Report => SuccessReport::Yes,
                Proof::Answer => SuccessReport::No,
            },
            headers: disposition
                .map(|value| ("Content-Disposition".into(), value.clone()))
                .collect(),
            ..SendRequest::whole(self.message_id, self.content_type.clone(), body)
        }
    }

    /// Octets of the message: of the wrapper first, then of the file.
    fn read(&mut self, start: u64, octets: u64) -> Result<Body, String> {
        let wrapper = self.wrapper.len() as u64;
        let end = start + octets;
        let position = |at: u64| usize::try_from(at.min(wrapper)).unwrap_or(usize::MAX);
        let mut body = Body::from(self.wrapper.slice(position(start)..position(end)));
        let from = start.max(wrapper) - wrapper;
        let wanted = end.max(wrapper) - wrapper - from;
        if wanted > 0 {
            let wanted = usize::try_from(wanted).map_err(|_| "too much at once".to_owned())?;
            let read = self.source.read(self.part.start + from, wanted)?;
            if read.len() != wanted {
                return Err("it is not as long as it was".to_owned());
            }
            body.push(read);
        }
        Ok(body)
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        rng: &mut impl CryptoRng,
        head: &Head,
        out: &mut Out,
    ) {
        if let Phase::Aborting { transaction, .. } = self.phase {
            if transaction == head.transaction() {
                out.end(Err(Broken::Aborted));
            }
            return;
        }
        let Some(flight) = self.flights.remove(&head.transaction()) else { return };
        let Some(status) = head.status() else { return };
        if !status.is_success() {
            // RFC 5547, 8.4, Figure 5: what the receiver does not want is ended.
            let ended = self.next.and_then(|_| self.ending(flight.start, rng));
            out.replies.extend(ended.map(|(frame, _)| frame));
            let reason = head.comment().unwrap_or_default().to_owned();
            return out.end(Err(Broken::Refused { status: status.code(), reason }));
        }
        if self.next.is_none() && self.flights.is_empty() {
            self.phase = Phase::Reporting { until: now + self.patience };
            if self.part.proof == Proof::Answer {
                let octets = self.progress().octets;
                out.end(Ok(Finished { octets, verified: false }));
            }
        }
    }

    /// RFC 4975, 7.1.2. Reports of other namespaces are ignored.
    pub(super) fn reported(&mut self, head: &Head, out: &mut Out) {
        let told = head.message_id().zip(head.report_status().filter(|told| told.namespace == 0));
        let Some((id, told)) = told.filter(|(id, _)| *id == self.message_id) else { return };
        if !told.status.is_success() {
            let reason = String::from_utf8_lossy(&told.comment).into_owned();
            return out.end(Err(Broken::Refused { status: told.status.code(), reason }));
        }
        if self.deliveries.confirmed(id, head.byte_range()) {
            let octets = self.total - self.wrapper.len() as u64;
            out.end(Ok(Finished { octets, verified: true }));
        }
    }

    pub(super) fn abort(&mut self, now: Instant, rng: &mut impl CryptoRng, out: &mut Out) {
        let Phase::Flowing = self.phase else {
            return out.end(Err(Broken::Aborted));
        };
        match self.next.filter(|start| *start > 0).and_then(|start| self.ending(start, rng)) {
            Some((frame, transaction)) => {
                out.replies.push_back(frame);
                self.phase = Phase::Aborting { until: now + FAREWELL, transaction };
            }
            None => out.end(Err(Broken::Aborted)),
        }
    }

    /// RFC 4975, 7.1.1: how a message ends that has begun and is not finished.
    fn ending(&self, start: u64, rng: &mut impl CryptoRng) -> Option<(Frame, TransactionId)> {
        let begun = self.next != Some(0);
        let payload = self.chunk(start, Body::new(), Flag::Abort).encode(rng);
        begun.then(|| (payload.to(&self.address).aborted(), payload.transaction()))
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Flowing => self.flights.values().map(|flight| flight.deadline).min(),
            Phase::Reporting { until } | Phase::Aborting { until, .. } => Some(until),
        }
    }

    pub(super) fn timeout(&self, now: Instant, rng: &mut impl CryptoRng, out: &mut Out) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        match self.phase {
            Phase::Flowing => {
                let start = self.progress().octets;
                out.replies.extend(self.ending(start, rng).map(|(frame, _)| frame));
                out.end(Err(Broken::Late));
            }
            // Not everybody reports.
            Phase::Reporting { .. } => {
                let octets = self.progress().octets;
                out.end(Ok(Finished { octets, verified: false }));
            }
            Phase::Aborting { .. } => out.end(Err(Broken::Aborted)),
        }
    }
}
