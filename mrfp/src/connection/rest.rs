//! When a connection is not read for a while, and goes on being written to: it is over its rate, or sends to a leg that
//! has too much to read. How fast a peer may go is for `pace`, how much may be on its way for `brake`.
use std::future::{Future as _, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use control::Cause;
use service::clock;
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

/// A connection that is not read cannot be blamed for what it does not say.
struct Unheard<'a>(&'a Connection);

impl<'a> Unheard<'a> {
    fn new(connection: &'a Connection) -> Self {
        connection.unheard.set(true);
        Self(connection)
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        let now = clock::now();
        self.0.unheard.set(false);
        self.0.heard_since.set(now);
        self.0.heard.set(now);
    }
}

/// Waits until the connection may be read again; the cause of its end, if that comes first.
pub(super) async fn rest(
    connection: &Rc<Connection>,
    socket: &OwnedReadHalf,
    shard: &Rc<Shard>,
) -> Option<Cause> {
    let (until, held_up) = (connection.rests.take(), connection.held_up.take());
    let _unheard = Unheard::new(connection);
    let over = async {
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
        for brake in &held_up {
            brake.passable().await;
        }
    };
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
