//! A file on its way: the handle a person holds. The task behind it is in `task`, the folder for what comes in `folder`;
//! what is sent and taken is decided by the pure `endpoint::transfer`.
mod folder;
mod task;

use std::path::PathBuf;
use std::sync::Arc;

use ids::Aor;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::connection::Connection;
use crate::event::Error;
use crate::phone::Call;
pub(crate) use endpoint::transfer::Finished;
pub use endpoint::transfer::{Broken, Progress};
pub use folder::Folder;
pub(crate) use folder::{Disk, Unfinished};
use task::Task;

/// A file on its way to somebody, or from somebody. Dropping it gives the file up.
#[derive(Debug)]
pub struct FileTransfer {
    peer: Aor,
    with_mailbox: bool,
    abort: mpsc::Sender<()>,
    progress: watch::Receiver<Progress>,
    over: oneshot::Receiver<Result<Arrived, Incomplete>>,
    task: JoinHandle<()>,
}

/// A file that went its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Octets that were transferred.
    pub octets: u64,
    /// Whether the receiver has compared it with what was said of it.
    pub verified: bool,
    /// Where it is now, if we are the receiver.
    pub path: Option<PathBuf>,
}

/// A file that did not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Incomplete {
    /// Why.
    pub why: Broken,
    /// From where a later transfer can go on, in octets of the file; 0 if nothing of it is of use.
    pub go_on_from: u64,
}

impl Incomplete {
    /// Whether the other side has lost us, rather than said no.
    pub fn is_worth_another_try(&self) -> bool {
        self.go_on_from > 0 && matches!(self.why, Broken::Ended(_) | Broken::Late)
    }
}

/// Where a received file goes once it is whole.
#[derive(Debug)]
pub(crate) struct Landing {
    pub(crate) folder: Folder,
    pub(crate) part: Unfinished,
    pub(crate) name: String,
}

/// What a transfer is made of.
pub(crate) struct Parts {
    pub(crate) peer: Aor,
    pub(crate) call: Call,
    pub(crate) connection: Connection,
    pub(crate) session: endpoint::transfer::Transfer,
    /// Where the part begins.
    pub(crate) start: u64,
    /// None where we are the sender.
    pub(crate) landing: Option<Landing>,
    /// What closes the media line (RFC 5547, 8.4).
    pub(crate) closing: bytes::Bytes,
    /// How long the other side may take to know the session.
    pub(crate) patience: std::time::Duration,
}

impl FileTransfer {
    /// Starts the task of a transfer, and waits until both sides know that its connection is for it (RFC 4975, 5.4).
    pub(crate) async fn start(mut parts: Parts) -> Result<Self, Error> {
        let (bound, is_bound) = oneshot::channel();
        let (abort, aborted) = mpsc::channel(1);
        let (done, over) = oneshot::channel();
        let (to_progress, progress) = watch::channel(parts.session.progress());
        let hangup = parts.call.hangup();
        let (peer, with_mailbox) = (parts.peer, parts.call.is_machine());
        let task = Task {
            session: parts.session,
            connection: parts.connection,
            call: Arc::new(parts.call),
            aborted,
            progress: to_progress,
            bound: Some(bound),
            done: Some(done),
            outcome: None,
            start: parts.start,
            landing: parts.landing,
            closing: parts.closing,
        };
        let runtime = tokio::runtime::Handle::current();
        // Disks may be slow: a file has a thread of its own, and nobody else waits for it.
        let task = tokio::task::spawn_blocking(move || runtime.block_on(task.run(hangup)));
        let answered = tokio::time::timeout(parts.patience, is_bound).await;
        let answered = answered.map_err(|_elapsed| Error::Late("the session"))?;
        answered.map_err(|_gone| Error::Ended("its task is over".to_owned()))??;
        Ok(Self { peer, with_mailbox, abort, progress, over, task })
    }

    /// Whom it is with.
    pub fn peer(&self) -> &Aor {
        &self.peer
    }

    /// Whether a mailbox has answered in that person's place: what is sent is kept there for them.
    pub fn with_mailbox(&self) -> bool {
        self.with_mailbox
    }

    /// How far it has come, now and whenever that changes.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Gives it up. What became of it, [`FileTransfer::finished`] says.
    pub fn abort(&self) {
        // Full: it is being given up. Closed: it is over.
        let _asked = self.abort.try_send(());
    }

    /// Waits until it is over.
    ///
    /// # Errors
    /// The file has not come to its end, or is not what was said.
    pub async fn finished(&mut self) -> Result<Arrived, Incomplete> {
        let gone =
            || Incomplete { why: Broken::Ended("its task is over".to_owned()), go_on_from: 0 };
        (&mut self.over).await.unwrap_or_else(|_gone| Err(gone()))
    }

    /// Waits until the other side knows what became of it, too: until whoever sent the file has hung up, at most some seconds. A
    /// device that stops before that takes its call with it, and the end of a call may be heard before the last octets of MSRP.
    pub async fn parted(self) {
        // The task has no other end than its own.
        let _ended = self.task.await;
    }
}
