//! One open flow: its reader cuts messages from the stream, its writer empties the outbox. Neither ever waits for
//! another flow, except for a place among the events of the owner, where each flow has one turn.
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use service::clock;
use sip::endpoint::FlowId;
use sip::{Decoder, Item, Malformed, Side, Then};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

use crate::event::{Closed, EdgeEvent, OpenedBy};
use crate::limits::EdgeLimits;
use crate::outbox::Outbox;

/// A keep-alive, and its answer (RFC 5626, 4.4.1).
const PING: Bytes = Bytes::from_static(b"\r\n\r\n");
const PONG: Bytes = Bytes::from_static(b"\r\n");

/// Read at once; doubled for a peer that fills it, up to the maximum.
const READ_BYTES: usize = 4 << 10;
const READ_BYTES_MAX: usize = 64 << 10;

/// How long a peer may still send after we closed.
const LINGER: Duration = Duration::from_secs(1);

/// What a flow works with.
pub(crate) struct Flow {
    pub(crate) id: FlowId,
    pub(crate) opened_by: OpenedBy,
    pub(crate) limits: EdgeLimits,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) events: mpsc::Sender<EdgeEvent>,
}

impl Flow {
    /// Runs the flow to its end. What is left of the stream, if anything is, wants [`linger`].
    pub(crate) async fn run<S: AsyncRead + AsyncWrite>(
        self,
        stream: S,
    ) -> (Closed, Option<ReadHalf<S>>) {
        let (mut reading, mut writing) = tokio::io::split(stream);
        let ended = {
            let mut write = pin!(self.write(&mut writing));
            let (ended, is_writing) = tokio::select! {
                why = self.read(&mut reading) => (why, true),
                why = &mut write => (why, false),
                why = self.outbox.killed() => (why, true),
                () = self.events.closed() => (Closed::ByUs, true),
            };
            if is_writing && ended.is_orderly() {
                // The writer goes on where it is, in the middle of a message perhaps.
                self.outbox.close();
                drop(timeout(self.limits.write, write).await);
            }
            ended
        };
        let is_shut = ended.is_orderly()
            && matches!(timeout(self.limits.write, writing.shutdown()).await, Ok(Ok(())));
        (ended, is_shut.then_some(reading))
    }

    async fn read<S: AsyncRead>(&self, stream: &mut ReadHalf<S>) -> Closed {
        let side = match self.opened_by {
            OpenedBy::Them => Side::Accepted,
            OpenedBy::Us => Side::Dialled,
        };
        let mut decoder = Decoder::new(side, self.limits.message_limits);
        let mut buffer = BytesMut::new();
        let mut size = READ_BYTES;
        let mut begun = None;
        loop {
            buffer.reserve(size);
            let read = match begun {
                Some(begun) => self.read_on(stream, &mut buffer, begun).await,
                None => self.read_first(stream, &mut buffer).await,
            };
            match read {
                Ok(read) => size = next_size(size, read),
                Err(why) => return why,
            }
            while let Some(item) = decoder.decode(&mut buffer) {
                begun = None;
                // A peer that does not read its answers is not served further.
                self.outbox.half_empty().await;
                if let Err(why) = self.take(item).await {
                    return why;
                }
            }
            if !buffer.is_empty() || decoder.is_inside_message() {
                begun = begun.or_else(|| Some(clock::now()));
            } else if buffer.capacity() > READ_BYTES {
                buffer = BytesMut::new();
            }
        }
    }

    /// Reads more of a message.
    async fn read_on<S: AsyncRead>(
        &self,
        stream: &mut ReadHalf<S>,
        buffer: &mut BytesMut,
        begun: Instant,
    ) -> Result<usize, Closed> {
        let deadline = begun + self.limits.message;
        match timeout_at(deadline.into(), stream.read_buf(buffer)).await {
            Ok(read) => received(read),
            Err(_) => Err(Closed::MessageTimeout),
        }
    }

    /// Waits for the next message to begin. On a flow of ours a silence is broken by a ping.
    async fn read_first<S: AsyncRead>(
        &self,
        stream: &mut ReadHalf<S>,
        buffer: &mut BytesMut,
    ) -> Result<usize, Closed> {
        if self.opened_by == OpenedBy::Us {
            if let Ok(read) = timeout(self.limits.ping, stream.read_buf(buffer)).await {
                return received(read);
            }
            self.outbox.push(PING);
        }
        let patience = match self.opened_by {
            OpenedBy::Us => self.limits.pong,
            OpenedBy::Them => self.limits.idle,
        };
        match timeout(patience, stream.read_buf(buffer)).await {
            Ok(read) => received(read),
            Err(_) => Err(Closed::Idle),
        }
    }

    async fn take(&self, item: Item) -> Result<(), Closed> {
        match item {
            Item::Message(message) => {
                self.tell(EdgeEvent::Message { flow: self.id, message }).await
            }
            Item::Ping => {
                self.outbox.push(PONG);
                Ok(())
            }
            Item::Pong => Ok(()),
            Item::Malformed(Malformed { status, why, answer, then }) => {
                tracing::debug!(flow = self.id.0, %status, why, "malformed");
                if let Some(answer) = answer {
                    self.outbox.push(answer.to_bytes());
                }
                self.tell(EdgeEvent::Malformed { flow: self.id, status, why }).await?;
                match then {
                    Then::Continue => Ok(()),
                    Then::Close => Err(Closed::Malformed),
                }
            }
        }
    }

    async fn tell(&self, event: EdgeEvent) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed::ByUs)
    }

    /// Writes until the outbox is closed and empty.
    async fn write<S: AsyncWrite>(&self, stream: &mut WriteHalf<S>) -> Closed {
        while let Some(batch) = self.outbox.next().await {
            let mut bytes = batch.bytes;
            while !bytes.is_empty() {
                match timeout(self.limits.write, stream.write_buf(&mut bytes)).await {
                    Ok(Ok(written)) if written > 0 => {}
                    Ok(_) => return Closed::ByPeer,
                    Err(_) => return Closed::WriteTimeout,
                }
            }
            match timeout(self.limits.write, stream.flush()).await {
                Ok(Ok(())) => self.outbox.written(batch.cost),
                Ok(Err(_)) => return Closed::ByPeer,
                Err(_) => return Closed::WriteTimeout,
            }
        }
        Closed::ByUs
    }
}

impl Closed {
    /// Whether what is queued may still be written.
    fn is_orderly(self) -> bool {
        matches!(self, Self::ByUs | Self::Malformed | Self::Idle | Self::MessageTimeout)
    }
}

fn received(read: std::io::Result<usize>) -> Result<usize, Closed> {
    match read {
        Ok(read) if read > 0 => Ok(read),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(Closed::Malformed),
        _ => Err(Closed::ByPeer),
    }
}

fn next_size(size: usize, read: usize) -> usize {
    if read >= size { (size * 2).min(READ_BYTES_MAX) } else { READ_BYTES }
}

/// Throws away what still comes for a while: closing a socket that holds unread bytes sends a reset, which may overtake
/// our last answer.
pub(crate) async fn linger<S: AsyncRead>(mut stream: ReadHalf<S>) {
    let drained = async {
        let mut waste = [0; 1024];
        while matches!(stream.read(&mut waste).await, Ok(read) if read > 0) {}
    };
    drop(timeout(LINGER, drained).await);
}
