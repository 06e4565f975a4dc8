//! What being over its rate means for a connection: it is not read for a while, and goes on being written to. How fast
//! a peer may go is for `pace`.
use std::future::{Future as _, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use control::Cause;
use tokio::net::tcp::OwnedReadHalf;

use super::Connection;
use crate::pace::Verdict;
use crate::shard::Shard;

impl Connection {
    /// Takes note of what a batch of input came to.
    pub(super) fn mind(&self, verdict: Verdict, shard: &Shard, now: Instant) -> Result<(), Cause> {
        let count = |bound| shard.plane.metrics.rate_limited.with_label_values(&[bound]).inc();
        match verdict {
            Verdict::Go => Ok(()),
            Verdict::Rest(pause, bound) => {
                count(bound.label());
                self.rests.set(Some(now + pause));
                Ok(())
            }
            Verdict::Close => {
                count("refused");
                tracing::debug!(self.number, "a flood of bad requests");
                Err(Cause::Misbehaved)
            }
        }
    }
}

/// Waits until the connection may be read again; the cause of its end, if that comes first.
pub(super) async fn rest(
    connection: &Rc<Connection>,
    socket: &OwnedReadHalf,
    shard: &Rc<Shard>,
    until: Instant,
) -> Option<Cause> {
    let over = tokio::time::sleep_until(until.into());
    tokio::pin!(over);
    poll_fn(|context| {
        connection.attention.note(context.waker());
        while connection.ending.get().is_none()
            && connection.writer.is_behind()
            && socket.as_ref().poll_write_ready(context).is_ready()
        {
            connection.flush(shard);
        }
        match connection.ending.get() {
            Some(cause) => Poll::Ready(Some(cause)),
            None => over.as_mut().poll(context).map(|()| None),
        }
    })
    .await
}
