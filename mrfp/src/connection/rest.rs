//! What being over its rate means for a connection: it is not read for a while, and goes on being written to. How fast
//! a peer may go is for `pace`.
use std::rc::Rc;
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
) -> Option<Cause> {
    let until = connection.rests.take()?;
    let over = tokio::time::sleep_until(until.into());
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return None,
            () = connection.attention.notified() => {}
            ready = socket.as_ref().writable(), if connection.writer.is_behind() => match ready {
                Ok(()) => connection.flush(&shard.plane),
                Err(_broken) => return Some(Cause::Disconnected),
            },
        }
        if let Some(cause) = connection.ending.get() {
            return Some(cause);
        }
    }
}
