//! One participant's connection: from the socket to requests, and its end. What a request leads to is in `requests`;
//! what leaves is queued by `push` and `reply` and written by `writer` when the shard says so.
mod answers;
mod attention;
mod goodbye;
mod kept;
mod login;
pub(crate) mod onward;
mod outgoing;
mod place;
#[cfg(test)]
mod probe;
mod proof;
mod requests;
mod rest;
mod seated;
mod through;
mod timeouts;
mod transit;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::BytesMut;
use control::{Cause, Transport};
use ids::SeatId;
use msrp::{Address, Decoder, Fault, Frame, Head, Item, TransactionId};
use service::clock;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use crate::brake::Brake;
use crate::doors::Newcomer;
use crate::forward::Ledger;
use crate::outbox::{Full, Lane, Part, Pushed};
use crate::pace::{Pace, Spent};
use crate::pair::Origin;
use crate::places::Place;
use crate::registry::AddressSlot;
use crate::relay::RoomId;
use crate::shard::Shard;
use crate::wire::{self, Incoming, Wire};
use crate::writer::{Flushed, Writer};

use attention::Attention;
#[cfg(test)]
pub(crate) use goodbye::say as say_goodbye;
pub(crate) use outgoing::{Held, serve as outgoing};
use seated::Seated;
use through::Through;
pub(crate) use through::{Passing, Returning};
pub(crate) use transit::undeliverable;

/// A connection and the sessions on it.
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) transport: Transport,
    wire: RefCell<Wire>,
    writer: Writer,
    stream: RefCell<Stream>,
    /// Some of what came in last waits for another turn.
    backlog: Cell<bool>,
    /// By session-id.
    sessions: RefCell<HashMap<String, Box<Seated>>>,
    last_lane: Cell<u32>,
    /// The request whose end has not come yet.
    arriving: RefCell<Option<Arc<Head>>>,
    /// The request that was turned down before its end came.
    answered: Cell<Option<TransactionId>>,
    /// Requests turned down since the last batch of input was charged.
    refused: Cell<u64>,
    /// Over its rate: not to be read before.
    rests: Cell<Option<Instant>>,
    /// What was passed on by this connection and has no answer yet.
    ledger: RefCell<Ledger<Origin>>,
    /// What waits here for a leg of a one-to-one session; none if there is no leg.
    brake: OnceCell<Arc<Brake>>,
    /// Who has too much to read of what came on this connection.
    held_up: RefCell<Vec<Arc<Brake>>>,
    /// Not read at the moment.
    unheard: Cell<bool>,
    /// Read without a break since.
    heard_since: Cell<Instant>,
    /// How often its socket had taken something at the last look, and since when it has not while it should.
    progress: Cell<(u64, Instant)>,
    /// What only passes through.
    through: RefCell<Through>,
    /// Queued for this round of writing.
    dirty: Cell<bool>,
    ending: Cell<Option<Cause>>,
    attention: Attention,
    opened: Instant,
    heard: Cell<Instant>,
    /// Given back when the first seat is taken.
    half_open: RefCell<Option<Place>>,
    /// Given back when the connection ends, though frozen lists of receivers may know it a while longer.
    slot: Cell<Option<AddressSlot>>,
    /// Uses of a connection that we opened.
    holds: Cell<usize>,
    /// Both ends may be agreed now.
    agreement: Notify,
}

/// What became of a chunk for a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It waits for the socket.
    Taken,
    /// Nobody wants it.
    Left,
    /// There is no room for it.
    Full,
}

/// The opened octets that are not decoded yet.
struct Stream {
    decoder: Decoder,
    input: BytesMut,
    /// Nothing but answers came last, and most likely nothing else comes next.
    answers: bool,
    /// The peer has said that nothing follows.
    closed: bool,
    pace: Pace,
}

/// Messages of one connection that are carried out before others have their turn: what came in one read may be hundreds.
const MESSAGES_PER_TURN: usize = 32;

/// Room for answers that a shard keeps: many of them, and little for a chunk to keep alive if one comes after all.
const SPARE_OCTETS_MAX: usize = 16 * 1024;

/// Starts to serve a newcomer, in a task of this shard.
pub(crate) fn serve(shard: &Rc<Shard>, newcomer: Newcomer, now: Instant) {
    match enter(shard, newcomer, now) {
        Ok((connection, socket)) => {
            tokio::task::spawn_local(run(connection, socket, Rc::clone(shard)));
        }
        Err(why) => {
            shard.plane.leave(shard.index);
            shard.plane.metrics.connections_refused.with_label_values(&[why]).inc();
        }
    }
}

pub(crate) fn enter(
    shard: &Rc<Shard>,
    newcomer: Newcomer,
    now: Instant,
) -> Result<(Rc<Connection>, OwnedReadHalf), &'static str> {
    let plane = &shard.plane;
    let socket = tokio::net::TcpStream::from_std(newcomer.socket).map_err(|_| "socket")?;
    let transport = newcomer.transport;
    let wire = Wire::accepted(transport, &plane.ways).map_err(|_| "tls")?;
    let (read, write) = socket.into_split();
    let places = (Some(newcomer.half_open), Some(newcomer.slot));
    let connection = Connection::add(shard, (transport, wire), write, places, now);
    tracing::debug!(connection.number, address = %newcomer.address, "accepted");
    connection.place_at(shard);
    Ok((connection, read))
}

/// Why a connection's task does something else than to serve its socket.
enum Pause {
    Ended(Cause),
    /// There was more input than one turn takes, so others come first.
    Turn,
    /// It is over its rate, and not to be read before.
    Rest,
    /// The machine as a whole cannot keep up.
    Congested,
}

async fn run(connection: Rc<Connection>, mut socket: OwnedReadHalf, shard: Rc<Shard>) {
    let cause = loop {
        match poll_fn(|context| connection.poll(context, &mut socket, &shard)).await {
            Pause::Ended(cause) => break cause,
            Pause::Turn => tokio::task::yield_now().await,
            Pause::Rest => {
                // What is seldom is boxed here, so that a task is no larger than the usual needs.
                let rest = Box::pin(rest::rest(&connection, &socket, &shard));
                if let Some(cause) = rest.await {
                    break cause;
                }
            }
            Pause::Congested => shard.plane.doors.passable().await,
        }
    };
    Box::pin(goodbye::say(&connection, socket, &shard, cause)).await;
}

impl Connection {
    /// Enters a connection, whichever end opened it.
    fn add(
        shard: &Shard,
        (transport, wire): (Transport, Wire),
        write: OwnedWriteHalf,
        (half_open, slot): (Option<Place>, Option<AddressSlot>),
        now: Instant,
    ) -> Rc<Self> {
        let plane = &shard.plane;
        let connection = shard.enter(|number| Self {
            number,
            transport,
            wire: RefCell::new(wire),
            writer: Writer::new(write, plane.limits.outbox()),
            stream: RefCell::new(Stream {
                decoder: Decoder::new(plane.limits.codec()),
                input: BytesMut::new(),
                answers: false,
                closed: false,
                pace: Pace::new(now),
            }),
            backlog: Cell::new(false),
            sessions: RefCell::default(),
            last_lane: Cell::new(0),
            arriving: RefCell::default(),
            answered: Cell::new(None),
            refused: Cell::new(0),
            rests: Cell::new(None),
            ledger: RefCell::new(Ledger::new(plane.limits.ledger())),
            brake: OnceCell::new(),
            held_up: RefCell::default(),
            unheard: Cell::new(false),
            heard_since: Cell::new(now),
            progress: Cell::new((0, now)),
            through: RefCell::default(),
            dirty: Cell::new(false),
            ending: Cell::new(None),
            attention: Attention::default(),
            opened: now,
            heard: Cell::new(now),
            half_open: RefCell::new(half_open),
            slot: Cell::new(slot),
            holds: Cell::new(0),
            agreement: Notify::new(),
        });
        plane.metrics.connections.of(transport).inc();
        let transport = wire::label(transport);
        tracing::debug!(shard = shard.index, connection.number, transport, "opened");
        connection
    }

    /// Serves the socket as long as it has anything.
    fn poll(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        socket: &mut OwnedReadHalf,
        shard: &Rc<Shard>,
    ) -> Poll<Pause> {
        self.attention.note(context.waker());
        loop {
            if let Some(cause) = self.ending.get() {
                return Poll::Ready(Pause::Ended(cause));
            }
            if self.rests.get().is_some() || !self.held_up.borrow().is_empty() {
                return Poll::Ready(Pause::Rest);
            }
            if shard.plane.doors.is_congested() {
                return Poll::Ready(Pause::Congested);
            }
            if self.writer.is_behind() && socket.as_ref().poll_write_ready(context).is_ready() {
                self.flush(shard);
                continue;
            }
            if self.backlog.get() {
                let resumed = self.resume(shard);
                return Poll::Ready(resumed.err().map_or(Pause::Turn, Pause::Ended));
            }
            match ready!(self.read(context, socket, shard)) {
                Err(cause) => return Poll::Ready(Pause::Ended(cause)),
                Ok(Read::Full) => return Poll::Ready(Pause::Turn),
                Ok(Read::Rest) => {}
            }
        }
    }

    /// Reads once, and does what is asked.
    fn read(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        socket: &mut OwnedReadHalf,
        shard: &Rc<Shard>,
    ) -> Poll<Result<Read, Cause>> {
        let mut buffer = shard.buffer.borrow_mut();
        let mut sealed = ReadBuf::new(&mut buffer);
        Poll::Ready(match ready!(Pin::new(socket).poll_read(context, &mut sealed)) {
            Err(error) => {
                tracing::debug!(%error, self.number, "read");
                Err(Cause::Disconnected)
            }
            Ok(()) if sealed.filled().is_empty() => Err(Cause::Disconnected),
            Ok(()) => self.take_in(sealed.filled(), shard).map(|()| match sealed.remaining() {
                0 => Read::Full,
                _ if self.backlog.get() => Read::Full,
                _ => Read::Rest,
            }),
        })
    }

    /// Opens what came in and carries out the requests in it.
    fn take_in(self: &Rc<Self>, sealed: &[u8], shard: &Rc<Shard>) -> Result<(), Cause> {
        let now = clock::now();
        self.heard.set(now);
        let stream = &mut *self.stream.borrow_mut();
        let before = stream.input.len();
        if before == 0 && stream.answers {
            stream.input = shard.spare.take();
        }
        let was_handshaking = self.wire.borrow().is_handshaking();
        let opened = self.wire.borrow_mut().open(sealed, &mut stream.input);
        if was_handshaking {
            self.agreement.notify_waiters();
        }
        let octets = stream.input.len() - before;
        let octets = u64::try_from(octets).unwrap_or_default();
        shard.tally.traffic.of(self.transport).octets_in.update(|sum| sum + octets);
        // What waited for the handshake may leave when that is done.
        let settled = was_handshaking && !self.wire.borrow().is_handshaking();
        if settled || self.wire.borrow().wants_write() {
            self.mark_dirty(shard);
        }
        let incoming = opened.map_err(|error| {
            tracing::debug!(%error, self.number, "wire");
            shard.plane.metrics.tls_failures.inc();
            Cause::Misbehaved
        })?;
        stream.closed |= incoming == Incoming::Closed;
        self.work(stream, octets, shard, now)
    }

    /// Carries out more of what came in last.
    fn resume(self: &Rc<Self>, shard: &Rc<Shard>) -> Result<(), Cause> {
        self.work(&mut self.stream.borrow_mut(), 0, shard, clock::now())
    }

    /// Carries out what has been opened, as much as one turn takes.
    fn work(
        self: &Rc<Self>,
        stream: &mut Stream,
        octets: u64,
        shard: &Rc<Shard>,
        now: Instant,
    ) -> Result<(), Cause> {
        let (mut chunks, mut messages) = (0, 0);
        self.backlog.set(false);
        loop {
            if messages == MESSAGES_PER_TURN {
                self.backlog.set(!stream.input.is_empty());
                break;
            }
            messages += 1;
            match stream.decoder.next(&mut stream.input) {
                Ok(Some(Item::Request(chunk))) => {
                    chunks += 1;
                    self.request(shard, chunk, now);
                }
                Ok(Some(Item::Response(head))) => self.response(shard, &head),
                Ok(None) => break,
                Err(fault) => self.fault(shard, &fault)?,
            }
        }
        // An idle connection keeps no buffer. Where nothing but answers came nobody else does, and the next may use it.
        if stream.input.is_empty() {
            let input = std::mem::take(&mut stream.input);
            if chunks == 0 && input.capacity() <= SPARE_OCTETS_MAX {
                shard.spare.replace(input);
            }
        }
        stream.answers = chunks == 0;
        let spent = Spent { chunks, octets, refused: self.refused.take() };
        let seats = self.sessions.borrow().len();
        let verdict = stream.pace.spend(&shard.plane.rates, spent, seats, now);
        self.mind(verdict, shard, now)?;
        if stream.closed && !self.backlog.get() { Err(Cause::Disconnected) } else { Ok(()) }
    }

    fn fault(self: &Rc<Self>, shard: &Shard, fault: &Fault) -> Result<(), Cause> {
        let kind = if fault.is_fatal() { "fatal" } else { "answered" };
        shard.plane.metrics.parse_errors.with_label_values(&[kind]).inc();
        self.refused.update(|refused| refused + 1);
        tracing::debug!(self.number, %fault, "bad MSRP");
        self.reply(fault.answer(), shard);
        if fault.is_fatal() { Err(Cause::Misbehaved) } else { Ok(()) }
    }

    /// Queues a chunk. False: the receiver does not want it, or is too slow and its connection ends.
    pub(crate) fn offer(
        self: &Rc<Self>,
        (lane, part): (Lane, Part),
        frame: Frame,
        shard: &Shard,
    ) -> Offered {
        if self.ending.get().is_some() {
            return Offered::Left;
        }
        match self.writer.push(lane, part, frame, &shard.plane) {
            Ok(Pushed::Queued(_)) => {}
            Ok(Pushed::Unwanted) => {
                shard.plane.metrics.dropped_chunks.with_label_values(&["unwanted"]).inc();
                return Offered::Left;
            }
            Err(Full) => return Offered::Full,
        }
        if self.writer.is_laden() {
            self.flush(shard);
        }
        self.mark_dirty(shard);
        Offered::Taken
    }

    /// A name for another session of this connection.
    fn next_lane(&self) -> Lane {
        let lane = self.last_lane.get() + 1;
        self.last_lane.set(lane);
        Lane(lane)
    }

    /// Queues a response or report, if there is one.
    fn reply(self: &Rc<Self>, frame: Option<Frame>, shard: &Shard) {
        let Some(frame) = frame else { return };
        match self.writer.push_urgent(frame) {
            Ok(()) => self.mark_dirty(shard),
            Err(_full) => self.too_slow(shard, "full"),
        }
    }

    /// Ends a connection that reads too slowly: its outbox or the process is full, or its socket blocked.
    pub(crate) fn too_slow(&self, shard: &Shard, reason: &str) {
        tracing::debug!(self.number, reason, "it reads too slowly");
        shard.plane.metrics.slow_disconnects.with_label_values(&[reason]).inc();
        shard.plane.metrics.dropped_chunks.with_label_values(&["slow"]).inc();
        self.end(Cause::Slow);
    }

    fn mark_dirty(self: &Rc<Self>, shard: &Shard) {
        if !self.dirty.replace(true) {
            shard.mark_dirty(Rc::clone(self));
        }
    }

    /// Writes what waits.
    pub(crate) fn flush(&self, shard: &Shard) {
        self.dirty.set(false);
        let was_behind = self.writer.is_behind();
        let shared = (&shard.tally, self.transport, &shard.room);
        match self.writer.flush(&mut self.wire.borrow_mut(), &shard.plane, shared) {
            Flushed::All => {
                self.note_written();
                self.transit_written(clock::now);
            }
            // The task must now wait for the socket to become writable, too.
            Flushed::Behind if !was_behind => self.attention.call(),
            Flushed::Behind => {}
            Flushed::Overfull => self.too_slow(shard, "process"),
            Flushed::Broken(error) => {
                tracing::debug!(%error, self.number, "write");
                self.end(Cause::Disconnected);
            }
        }
        self.settle_brake();
    }

    /// Ends the connection; its task does the rest.
    pub(crate) fn end(&self, cause: Cause) {
        if self.ending.get().is_none() {
            self.ending.set(Some(cause));
            self.attention.call();
            self.agreement.notify_waiters();
        }
    }

    /// Gives back its places: among the connections of its address, and among those without a seat.
    pub(crate) fn give_back(&self) {
        drop(self.slot.take());
        drop(self.half_open.take());
    }

    /// The paths of a seat of this connection, and its place in the outbox.
    pub(crate) fn way_to(&self, room: RoomId, seat: SeatId) -> Option<(Address, Lane)> {
        let sessions = self.sessions.borrow();
        let seated = sessions.values().find(|seated| seated.is(room, seat))?;
        Some((seated.address.clone(), seated.lane))
    }
}

/// What a call to the socket gave.
enum Read {
    /// As much as the buffer or one turn takes: there may be more.
    Full,
    /// Less: all there was.
    Rest,
}
