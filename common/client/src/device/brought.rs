//! A message that waited in the mailbox and is too large for a SIP request: the mailbox calls and gives it in a session. It
//! is taken without asking anybody, like every other message, and answered when it is kept.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes, BytesMut};
use endpoint::transfer::{Came, Messages, Sink, Sinks, Source};
use ids::Aor;
use msrp::{MessageId, Status};
use service::waiting::{sleep_until, write};
use sip::sdp::{Direction, MsrpMedia};

use super::Shared;
use crate::conference::now;
use crate::connection::Connection;
use crate::event::Error;
use crate::phone::{Brings, Hangup, Immediate, NotKept, Ringing};

/// A message on its way, in memory.
#[derive(Clone, Default)]
struct Heap(Arc<Mutex<Vec<u8>>>);

impl Source for Heap {
    fn read(&mut self, offset: u64, octets: usize) -> Result<Bytes, String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
        let rest = all.get(from..).unwrap_or_default();
        Ok(Bytes::copy_from_slice(rest.get(..octets.min(rest.len())).unwrap_or_default()))
    }
}

impl Sink for Heap {
    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).map_err(|error| error.to_string())?;
        let end = from + octets.len();
        if all.len() < end {
            all.resize(end, 0);
        }
        if let Some(place) = all.get_mut(from..end) {
            place.copy_from_slice(octets);
        }
        Ok(())
    }
}

/// Messages on their way, by their names.
#[derive(Clone, Default)]
struct Coming(Arc<Mutex<HashMap<MessageId, Heap>>>);

impl Coming {
    fn sinks(&self) -> Sinks {
        let coming = Arc::clone(&self.0);
        Box::new(move |id| {
            let heap = Heap::default();
            let mut coming = coming.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever has the only one left has none that anything comes to.
            coming.retain(|_, heap| Arc::strong_count(&heap.0) > 1);
            coming.insert(id, heap.clone());
            Ok(Box::new(heap) as Box<dyn Sink>)
        })
    }

    fn take(&self, id: MessageId) -> Bytes {
        let heap = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let octets = heap.map(|heap| {
            std::mem::take(&mut *heap.0.lock().unwrap_or_else(PoisonError::into_inner))
        });
        octets.unwrap_or_default().into()
    }
}

impl Shared {
    /// Takes what a mailbox brings.
    ///
    /// # Errors
    /// No session that is safe came about.
    pub(super) async fn take_brought(&self, ringing: Ringing) -> Result<(), Error> {
        let Some(brings) = ringing.brings else { return Ok(()) };
        let from = ringing.from.clone();
        let end = |port, terms: &sip::sdp::Terms| {
            let ours = self.end(port, terms.setup, terms.cema)?;
            Ok(MsrpMedia { direction: Direction::RecvOnly, ..ours })
        };
        let agreed = self.agree(ringing, end).await?;
        let (mut call, ends, mut connection) = self.connected(agreed).await?;
        let mut hangup = call.hangup();
        let coming = Coming::default();
        let octets_max = self.profile.limits.message_octets_max as u64;
        let mut messages = Messages::new(ends, octets_max, coming.sinks(), &mut rand::rng());
        let (mut unwritten, mut unflushed) = (BytesMut::new(), false);
        while !messages.is_over() {
            while let Some(came) = messages.whole() {
                let id = came.id;
                let kept = self.keep_brought((&from, brings), came, coming.take(id)).await;
                messages.kept(&mut rand::rng(), id, kept);
            }
            while let Some(frame) = messages.poll_frame() {
                frame.slices().for_each(|slice| unwritten.extend_from_slice(slice));
            }
            let due = messages.next_timeout();
            let Connection { items, writer } = &mut connection;
            tokio::select! {
                biased;
                written = write(writer, &mut unwritten, &mut unflushed), if unflushed || unwritten.has_remaining() => {
                    if written.is_err() {
                        break;
                    }
                }
                item = items.recv() => match item {
                    Some(Ok(item)) => messages.receive(now(), &mut rand::rng(), &item),
                    Some(Err(_)) | None => break,
                },
                // It has heard that its message is here, and hangs up.
                _ = &mut hangup => break,
                () = sleep_until(due) => messages.timeout(now(), &mut rand::rng()),
            }
        }
        call.hang_up(Hangup::Away).await;
        Ok(())
    }

    async fn keep_brought(
        &self,
        (from, brings): (&Aor, Brings),
        came: Came,
        body: Bytes,
    ) -> Result<(), Status> {
        let message = Immediate::brought(from, brings, came.content_type, body);
        self.phone.keep(message).await.map_err(|why| {
            tracing::warn!(%why, "a message was not taken");
            match why {
                NotKept::Required(_) => Status::UNSUPPORTED_TYPE,
                // It is brought again.
                NotKept::Nobody | NotKept::Busy | NotKept::Disk(_) => Status::TIMEOUT,
            }
        })
    }
}
