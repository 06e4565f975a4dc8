//! Empties an outbox into a socket: gather, seal, write, until it is empty or the socket blocks. It runs once for each
//! connection and input batch, so that all that was queued meanwhile leaves together. When to run it is for `shard`.
use std::cell::{Cell, RefCell};
use std::io;

use msrp::Frame;
use tokio::net::tcp::OwnedWriteHalf;

use crate::outbox::{Full, Outbox};
use crate::plane::Plane;
use crate::wire::{Wire, Written};

/// Octets sealed at once: four full records, which is one vectored write. What is not sealed yet can be overtaken.
const SEAL_OCTETS: usize = 64 * 1024;

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
}

/// What a flush came to.
#[derive(Debug)]
pub(crate) enum Flushed {
    /// Nothing waits.
    All,
    /// The rest leaves when the socket takes it.
    Behind,
    /// The socket is broken.
    Broken(io::Error),
}

impl Writer {
    pub(crate) fn new(socket: OwnedWriteHalf, octets_max: usize) -> Self {
        Self {
            outbox: RefCell::new(Outbox::new(octets_max)),
            socket: RefCell::new(Some(socket)),
            behind: Cell::new(false),
            counted: Cell::new(0),
        }
    }

    /// Whether the socket must become writable before anything else leaves.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.get()
    }

    /// Queues a chunk. At the bound of the process only those who are behind are full.
    pub(crate) fn push(&self, frame: Frame, plane: &Plane) -> Result<(), Full> {
        if self.is_behind() && plane.is_overfull() {
            return Err(Full);
        }
        self.outbox.borrow_mut().push(frame)
    }

    /// Queues a response or report.
    pub(crate) fn push_urgent(&self, frame: Frame) -> Result<(), Full> {
        self.outbox.borrow_mut().push_urgent(frame)
    }

    /// Writes as much as the socket takes.
    pub(crate) fn flush(&self, wire: &mut Wire, plane: &Plane) -> Flushed {
        let (mut writes, mut octets) = (0, 0);
        let flushed = self.pump(wire, &mut writes, &mut octets);
        plane.metrics.writes.inc_by(writes);
        plane.metrics.octets_out.inc_by(octets);
        let behind = matches!(flushed, Flushed::Behind);
        self.recount(plane, behind);
        flushed
    }

    fn pump(&self, wire: &mut Wire, writes: &mut u64, octets: &mut u64) -> Flushed {
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
            let mut frames = self.outbox.borrow_mut().take(SEAL_OCTETS);
            if frames.is_empty() {
                return Flushed::All;
            }
            let sum: usize = frames.iter().map(Frame::len).sum();
            *octets += u64::try_from(sum).unwrap_or_default();
            wire.seal(&mut frames);
        }
    }

    /// Keeps the process's sum. A connection that is not behind has nothing in it, so the usual case costs nothing.
    fn recount(&self, plane: &Plane, behind: bool) {
        let waits = if behind { self.outbox.borrow().octets() + SEAL_OCTETS } else { 0 };
        plane.requeue(self.counted.replace(waits), waits);
        if self.behind.replace(behind) != behind {
            plane.metrics.slow_consumers.add(if behind { 1 } else { -1 });
        }
    }

    /// Ends the way out. What waits is dropped; the peer reads an end of file.
    pub(crate) fn end(&self, plane: &Plane) {
        drop(self.socket.take());
        self.recount(plane, false);
    }
}
