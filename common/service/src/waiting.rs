//! What a task that holds a socket waits for beside what it reads: that there is room to write, and that something is due.
//! What is written, and what then follows, is the task's business.
use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// How long nothing is waited for when nothing is due. Then the task looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// Writes what there is to write, and flushes it. Dropped halfway, it has lost nothing.
///
/// # Errors
/// The socket's.
pub async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    unwritten: &mut BytesMut,
    unflushed: &mut bool,
) -> io::Result<()> {
    while unwritten.has_remaining() {
        *unflushed = true;
        writer.write_buf(unwritten).await?;
    }
    writer.flush().await?;
    *unflushed = false;
    Ok(())
}

/// Waits until something is due; an hour if nothing is.
pub async fn sleep_until(due: Option<Instant>) {
    let due = due.unwrap_or_else(|| crate::clock::now() + LOOK_AGAIN);
    tokio::time::sleep_until(due.into()).await;
}
