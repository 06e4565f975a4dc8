//! The one writer: collects what is waiting, runs it in one transaction, and answers after the commit.
//!
//! A job that fails is rolled back alone; a transaction that cannot be committed fails all its jobs. It retries nothing:
//! the caller knows what a failure means.
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ids::{ConferenceId, Seq};
use sqlx::Connection as _;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::appends::{self, Append};
use crate::engine::{Connection, Engine, Location};
use crate::forgets::{self, Forget};
use crate::leases::Fence;
use crate::{Entry, Error};

/// Jobs in one transaction. At some 20 µs each a full batch holds the first caller up for 10 ms.
const BATCH_MAX: usize = 512;
/// Jobs that may wait for the writer; further callers wait for a place.
const WAITING_MAX: usize = 4096;

pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// Tells the caller, once it is known whether the transaction was committed.
pub(crate) type Answer = Box<dyn FnOnce(Outcome) + Send>;
/// `None`: it is refused, and its caller knows already.
type Ran<'c> = Pin<Box<dyn Future<Output = Option<Answer>> + Send + 'c>>;
type Run = Box<dyn for<'c> FnOnce(&'c mut Connection) -> Ran<'c> + Send>;

#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Committed,
    Lost,
}

enum Message {
    Append(Append),
    Forget(Forget),
    Job(Run),
    Fence(Fence, oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

#[derive(Clone, Debug)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Message>,
    /// Somebody else has taken the lease.
    fenced: Arc<AtomicBool>,
}

impl Writer {
    pub(crate) fn spawn(location: Location, connection: Connection) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let fenced = Arc::new(AtomicBool::new(false));
        let out = Arc::clone(&fenced);
        let database =
            Database { location, connection: Some(connection), fence: None, fenced: out };
        drop(tokio::spawn(run(database, waiting)));
        Self { jobs, fenced }
    }

    /// Runs `work` inside the next transaction; answers when that is on disk.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Work<'c, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let run: Run = Box::new(move |connection| {
            Box::pin(async move {
                match work(connection).await {
                    Ok(done) => Some(Box::new(move |outcome| {
                        let result = match outcome {
                            Outcome::Committed => Ok(done),
                            Outcome::Lost => Err(Error::NotCommitted),
                        };
                        drop(answer.send(result));
                    }) as Answer),
                    Err(refused) => {
                        // Nothing of it stays, so the caller may know at once.
                        drop(answer.send(Err(refused)));
                        None
                    }
                }
            })
        });
        self.jobs.send(Message::Job(run)).await.map_err(|_| Error::Closed)?;
        answered.await.unwrap_or_else(|_| Err(self.not_run()))
    }

    /// Appends inside the next transaction; answers when that is on disk.
    pub(crate) async fn append(
        &self,
        conference: ConferenceId,
        expected: Seq,
        entry: Entry,
    ) -> Result<Seq, Error> {
        let (answer, answered) = oneshot::channel();
        let append = Append { conference, expected, entry, answer };
        self.jobs.send(Message::Append(append)).await.map_err(|_| Error::Closed)?;
        answered.await.unwrap_or_else(|_| Err(self.not_run()))
    }

    /// Forgets a conference inside the next transaction; answers when that is on disk.
    pub(crate) async fn forget(&self, conference: ConferenceId, over: i64) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let forget = Forget { conference, over, answer };
        self.jobs.send(Message::Forget(forget)).await.map_err(|_| Error::Closed)?;
        answered.await.unwrap_or_else(|_| Err(self.not_run()))
    }

    /// From here on each transaction looks whether this still holds.
    pub(crate) async fn fence(&self, fence: Fence) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Message::Fence(fence, answer)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)
    }

    /// Why a job was dropped without an answer of its own.
    fn not_run(&self) -> Error {
        if self.fenced.load(Ordering::Acquire) { Error::Fenced } else { Error::NotCommitted }
    }

    pub(crate) async fn close(&self) {
        let (closed, wait) = oneshot::channel();
        if self.jobs.send(Message::Close(closed)).await.is_ok() {
            wait.await.ok();
        }
    }
}

impl Jobs {
    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.forgets.is_empty() && self.others.is_empty()
    }
}

async fn run(mut database: Database, mut waiting: mpsc::Receiver<Message>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut close = None;
    while close.is_none() && waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut jobs = Jobs::default();
        for message in batch.drain(..) {
            match message {
                Message::Append(append) => jobs.appends.push(append),
                Message::Forget(forget) => jobs.forgets.push(forget),
                Message::Job(job) => jobs.others.push(job),
                Message::Fence(fence, done) => {
                    database.fence = Some(fence);
                    done.send(()).ok();
                }
                Message::Close(closed) => close = Some(closed),
            }
        }
        if jobs.is_empty() {
            continue;
        }
        if let Err(error) = database.transaction(jobs).await {
            warn!(%error, "the database refused a transaction");
        }
    }
    waiting.close();
    database.close().await;
    if let Some(closed) = close {
        closed.send(()).ok();
    }
}

/// What is done in one transaction. Nobody has two jobs waiting whose order matters: each waits for its answer.
#[derive(Default)]
struct Jobs {
    appends: Vec<Append>,
    forgets: Vec<Forget>,
    others: Vec<Run>,
}

/// Where the writer writes.
struct Database {
    location: Location,
    /// `None`: a transaction failed on the last one.
    connection: Option<Connection>,
    /// What must hold for anything to be written.
    fence: Option<Fence>,
    /// It does not hold any more, and never will again.
    fenced: Arc<AtomicBool>,
}

impl Database {
    /// Runs the jobs. One that is not answered here is dropped, and its caller hears that nothing was committed.
    async fn transaction(&mut self, jobs: Jobs) -> Result<(), sqlx::Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.location.writer().await?,
        };
        let engine = self.location.engine();
        let mut answers = Vec::with_capacity(jobs.appends.len() + jobs.others.len());
        let guard = (engine, self.fence.as_ref(), &*self.fenced);
        let committed = commit(&mut connection, guard, jobs, &mut answers).await;
        let outcome = if committed.is_ok() { Outcome::Committed } else { Outcome::Lost };
        for answer in answers {
            answer(outcome);
        }
        match committed {
            Ok(()) => self.connection = Some(connection),
            // Whatever state it is in: the next transaction has a connection of its own.
            Err(_) => drop(connection.close_hard().await),
        }
        committed
    }

    async fn close(self) {
        let Some(connection) = self.connection else { return };
        if let Err(error) = connection.close().await {
            warn!(%error, "the database could not be closed");
        }
    }
}

async fn commit(
    connection: &mut Connection,
    (engine, fence, fenced): (Engine, Option<&Fence>, &AtomicBool),
    jobs: Jobs,
    answers: &mut Vec<Answer>,
) -> Result<(), sqlx::Error> {
    // Dropping the transaction rolls back, also when a disk error has ended it already.
    let mut transaction = connection.begin_with(engine.begin()).await?;
    if let Some(fence) = fence
        && !fence.holds(&mut transaction).await?
    {
        if !fenced.swap(true, Ordering::AcqRel) {
            warn!("somebody else has taken the lease: nothing more is written here");
        }
        return transaction.rollback().await;
    }
    appends::run(&mut transaction, jobs.appends, answers).await?;
    forgets::run(&mut transaction, jobs.forgets, answers).await?;
    for run in jobs.others {
        sqlx::query("SAVEPOINT job").execute(&mut *transaction).await?;
        match run(&mut transaction).await {
            Some(answer) => answers.push(answer),
            None => {
                sqlx::query("ROLLBACK TO SAVEPOINT job").execute(&mut *transaction).await?;
            }
        }
        sqlx::query("RELEASE SAVEPOINT job").execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
