//! Empties an outbox into a socket: gather, seal, write, until it is empty or the socket blocks. It runs once for each
//! connection and input batch, so that all that was queued meanwhile leaves together. When to run it is for `shard`.
use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};

use control::Transport;
use msrp::{Frame, TransactionId};
use tokio::net::tcp::OwnedWriteHalf;

use crate::outbox::{Answered, Bounds, Full, Lane, Outbox, Part, Place, Pushed, Tag, Way};
use crate::plane::Plane;
use crate::shard::Tally;
use crate::wire::{Wire, Written};

/// Octets sealed at once: four full records, which is one vectored write. What is not sealed yet can be overtaken.
const SEAL_OCTETS: usize = 64 * 1024;

/// Octets that are not left to wait for the end of a batch: some full writes. A receiver that reads is never full.
const LADEN_OCTETS: usize = 4 * SEAL_OCTETS;

/// The way out of one connection.
#[derive(Debug)]
pub(crate) struct Writer {
    outbox: RefCell<Outbox>,
    /// None once the connection has ended.
    socket: RefCell<Option<OwnedWriteHalf>>,
    /// The socket blocked at the last attempt.
    behind: Cell<bool>,
    /// Octets of this connection in the process's sum.
    counted: Cell<usize>,
    /// Times that the socket has taken something.
    writes: Cell<u64>,
    /// Somebody wants to know when all is answered.
    awaits_done: Cell<bool>,
}

/// Room that all connections of a shard use in turn.
#[derive(Debug, Default)]
pub(crate) struct Room {
    frames: Vec<Frame>,
    sealed: Vec<u8>,
}

/// What a flush came to.
#[derive(Debug)]
pub(crate) enum Flushed {
    /// Nothing waits.
    All,
    /// The rest leaves when the socket takes it.
    Behind,
    /// The rest is more than the process may hold.
    Overfull,
    /// The socket is broken.
    Broken(io::Error),
}

impl Writer {
    pub(crate) fn new(socket: OwnedWriteHalf, bounds: Bounds) -> Self {
        Self {
            outbox: RefCell::new(Outbox::new(bounds)),
            socket: RefCell::new(Some(socket)),
            behind: Cell::new(false),
            counted: Cell::new(0),
            writes: Cell::new(0),
            awaits_done: Cell::new(false),
        }
    }

    /// Whether the socket must become writable before anything else leaves.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.get()
    }

    /// Queues a chunk. At the bound of the process only those are full for whom something waits already.
    pub(crate) fn push(
        &self,
        lane: Lane,
        part: Part,
        frame: Frame,
        plane: &Plane,
    ) -> Result<Pushed, Full> {
        if self.counted.get() == 0 {
            return self.outbox.borrow_mut().push(lane, part, frame);
        }
        if plane.would_overfill(0, frame.len()) {
            return Err(Full);
        }
        let pushed = self.outbox.borrow_mut().push(lane, part, frame)?;
        if let Pushed::Queued(octets) = pushed {
            self.count(plane, self.counted.get() + octets);
        }
        Ok(pushed)
    }

    /// Queues a chunk whose sender is paused in time.
    pub(crate) fn push_paced(&self, frame: Frame, plane: &Plane) -> Result<(), Full> {
        let octets = frame.len();
        self.outbox.borrow_mut().push_paced(frame)?;
        if self.counted.get() > 0 {
            self.count(plane, self.counted.get() + octets);
        }
        Ok(())
    }

    /// Whether somebody wants to know when a session has answered everything.
    pub(crate) fn awaits_done(&self) -> bool {
        self.awaits_done.get()
    }

    /// Somebody does, or nobody any more.
    pub(crate) fn await_done(&self, awaits: bool) {
        self.awaits_done.set(awaits);
    }

    /// Octets that wait.
    pub(crate) fn queued(&self) -> usize {
        self.outbox.borrow().octets()
    }

    /// How often the socket has taken something so far.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.get()
    }

    /// Queues a response or report.
    pub(crate) fn push_urgent(&self, frame: Frame) -> Result<(), Full> {
        self.outbox.borrow_mut().push_urgent(frame)
    }

    /// Whether so much waits that it should leave before more is queued.
    pub(crate) fn is_laden(&self) -> bool {
        !self.is_behind() && self.outbox.borrow().octets() >= LADEN_OCTETS
    }

    /// A response came: to which chunk.
    pub(crate) fn answered(&self, transaction: TransactionId) -> Option<Answered> {
        self.outbox.borrow_mut().answered(transaction)
    }

    /// Whether nothing waits for the socket or for an answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.outbox.borrow().is_empty()
    }

    /// The last place up to which a session has answered everything.
    pub(crate) fn reached(&self, lane: Lane) -> Option<Place> {
        self.outbox.borrow().reached(lane)
    }

    /// Whether nothing waits for a session, and it has answered everything.
    pub(crate) fn is_done(&self, lane: Lane) -> bool {
        self.outbox.borrow().is_done(lane)
    }

    /// Sessions that have not answered for `wait`.
    pub(crate) fn silent(&self, now: Instant, wait: Duration) -> Vec<Lane> {
        let way = if self.is_behind() { Way::Blocked } else { Way::Clear };
        self.outbox.borrow_mut().silent(now, way, wait)
    }

    /// The receiver wants no more of a stream.
    pub(crate) fn stop(&self, lane: Lane, stream: Tag) {
        self.outbox.borrow_mut().stop(lane, stream);
    }

    /// A session has ended while others go on.
    pub(crate) fn end_session(&self, lane: Lane) {
        self.outbox.borrow_mut().end(lane);
    }

    /// Writes as much as the socket takes.
    pub(crate) fn flush(
        &self,
        wire: &mut Wire,
        plane: &Plane,
        (tally, transport, room): (&Tally, Transport, &RefCell<Room>),
    ) -> Flushed {
        // What nobody will ever take is not waiting.
        if self.socket.borrow().is_none() {
            return Flushed::All;
        }
        let (mut writes, mut octets) = (0, 0);
        let room = &mut *room.borrow_mut();
        wire.lend(&mut room.sealed);
        let flushed = self.pump(wire, &mut room.frames, &mut writes, &mut octets);
        wire.give_back(&mut room.sealed);
        tally.writes.update(|sum| sum + writes);
        tally.traffic.of(transport).octets_out.update(|sum| sum + octets);
        self.writes.update(|sum| sum + writes);
        let behind = matches!(flushed, Flushed::Behind);
        let waits = self.outbox.borrow().octets() + if behind { SEAL_OCTETS } else { 0 };
        if waits > self.counted.get() && plane.would_overfill(self.counted.get(), waits) {
            return Flushed::Overfull;
        }
        self.recount(plane, behind, waits);
        flushed
    }

    fn pump(
        &self,
        wire: &mut Wire,
        frames: &mut Vec<Frame>,
        writes: &mut u64,
        octets: &mut u64,
    ) -> Flushed {
        let socket = self.socket.borrow();
        let Some(socket) = &*socket else { return Flushed::All };
        loop {
            match wire.write(socket, writes) {
                Ok(Written::All) => {}
                Ok(Written::Blocked) => return Flushed::Behind,
                Err(error) => return Flushed::Broken(error),
            }
            if wire.is_handshaking() {
                return Flushed::All;
            }
            if self.outbox.borrow().is_empty() {
                return Flushed::All;
            }
            let sum = self.outbox.borrow_mut().take(SEAL_OCTETS, frames);
            if frames.is_empty() {
                return Flushed::All;
            }
            *octets += u64::try_from(sum).unwrap_or_default();
            wire.seal(frames);
        }
    }

    /// Keeps the process's sum. In the usual case nothing waits after a flush, and that costs nothing.
    fn recount(&self, plane: &Plane, behind: bool, waits: usize) {
        self.count(plane, waits);
        if self.behind.replace(behind) != behind {
            plane.metrics.slow_consumers.add(if behind { 1 } else { -1 });
        }
    }

    fn count(&self, plane: &Plane, waits: usize) {
        plane.requeue(self.counted.replace(waits), waits);
    }

    #[cfg(test)]
    pub(crate) fn take_waiting_frames(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.outbox.borrow_mut().take(usize::MAX, &mut frames);
        frames
    }

    /// Ends the way out. What waits is dropped; the peer reads an end of file.
    pub(crate) fn end(&self, plane: &Plane) {
        drop(self.socket.take());
        self.outbox.borrow_mut().clear();
        self.recount(plane, false, 0);
    }
}
