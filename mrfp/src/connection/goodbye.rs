//! The end of a connection: its sessions end, receivers of unfinished messages are told, the last answers leave, and
//! the socket closes in a way that lets them arrive.
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use control::Cause;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::Connection;
use super::seated::Seated;
use crate::shard::Shard;

/// How long a peer may take to read our last answer.
const LINGER: Duration = Duration::from_secs(2);

/// Ends everything.
pub(crate) async fn say(
    connection: &Rc<Connection>,
    mut socket: OwnedReadHalf,
    shard: &Rc<Shard>,
    cause: Cause,
) {
    connection.ending.set(Some(cause));
    connection.agreement.notify_waiters();
    let sessions = connection.sessions.take();
    let seats: Vec<_> = sessions.values().map(|seated| (seated.relay.id, seated.seat())).collect();
    for (_, mut seated) in sessions {
        connection.note_reached_last(&seated);
        lose(&mut seated, shard, cause);
    }
    connection.lose_onward(shard);
    connection.leave_transit(shard);
    shard.leave(connection, &seats);
    tracing::debug!(connection.number, cause = label(cause), "closed");
    if cause != Cause::Slow {
        connection.flush(shard);
        // Nothing can follow this, so it comes behind the last answer.
        connection.wire.borrow_mut().close();
        connection.flush(shard);
    }
    connection.writer.end(&shard.plane);
    if cause == Cause::Misbehaved || cause == Cause::Silent {
        // A reset would overtake what the peer has not read yet. A peer that does not stop sending is cut off.
        drop(tokio::time::timeout(LINGER, discard(&mut socket, shard)).await);
    }
}

/// Reads what nobody needs any more, so that closing does not cut off our last answer.
async fn discard(socket: &mut OwnedReadHalf, shard: &Shard) -> io::Result<()> {
    loop {
        let octets = poll_fn(|context| {
            let mut scratch = shard.buffer.borrow_mut();
            let mut read = ReadBuf::new(&mut scratch);
            let polled = ready!(Pin::new(&mut *socket).poll_read(context, &mut read));
            Poll::Ready(polled.map(|()| read.filled().len()))
        });
        if octets.await? == 0 {
            return Ok(());
        }
        // Whoever sends on and on waits its turn here too.
        tokio::task::yield_now().await;
    }
}

/// A session has failed: its unfinished messages end, the room and the focus know, and its session-id is void.
pub(super) fn lose(seated: &mut Seated, shard: &Shard, cause: Cause) {
    seated.close(shard, label(cause));
    seated.relay.lose(seated.seat(), cause);
    shard.plane.registry.remove_ticket(&seated.relay, &seated.conference, seated.seat());
}

fn label(cause: Cause) -> &'static str {
    match cause {
        Cause::Disconnected => "disconnected",
        Cause::Slow => "slow",
        Cause::Silent => "silent",
        Cause::Misbehaved => "misbehaved",
    }
}
