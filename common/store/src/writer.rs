//! The one writer: collects what is waiting, runs it in one transaction, and answers after the commit.
//!
//! A job that fails is rolled back alone, or with its transaction where that is cheaper; a transaction that cannot be committed fails all its jobs. It retries
//! nothing: the caller knows what a failure means.
use std::pin::Pin;

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::Error;

/// Jobs in one transaction. At some 20 µs each a full batch holds the first caller up for 10 ms.
const BATCH_MAX: usize = 512;
/// Jobs that may wait for the writer; further callers wait for a place.
const WAITING_MAX: usize = 4096;

pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// Tells the caller, once it is known whether the transaction was committed.
type Answer = Box<dyn FnOnce(Outcome) + Send>;
type Ran<'c> = Pin<Box<dyn Future<Output = Result<Answer, Undone>> + Send + 'c>>;
type Run = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> Ran<'c> + Send>;

struct Job {
    run: Run,
    statements: Statements,
}

/// How many statements a job has. SQLite undoes a statement that fails; several need a savepoint, which is two more
/// statements, and each costs a hand-over to SQLite's thread and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statements {
    One,
    Several,
}

/// Why a job has no answer to wait for. Its caller knows already.
enum Undone {
    /// By its own rules: it changed nothing, or is rolled back alone.
    Refused,
    /// By the database, which may have ended the transaction.
    Broken,
}

#[derive(Clone, Copy)]
enum Outcome {
    Committed,
    Lost,
}

enum Message {
    Job(Job),
    Close(oneshot::Sender<()>),
}

#[derive(Clone, Debug)]
pub(crate) struct Writer(mpsc::Sender<Message>);

impl Writer {
    pub(crate) fn spawn(connection: SqliteConnection) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        drop(tokio::spawn(run(connection, waiting)));
        Self(jobs)
    }

    /// Runs `work` inside the next transaction; answers when that is on disk.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        self.write_so(Statements::Several, work).await
    }

    /// The same for work that is known to have so many statements.
    pub(crate) async fn write_so<T, F>(&self, statements: Statements, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let run: Run = Box::new(move |connection| {
            Box::pin(async move {
                match work(connection).await {
                    Ok(done) => Ok(Box::new(move |outcome| {
                        let result = match outcome {
                            Outcome::Committed => Ok(done),
                            Outcome::Lost => Err(Error::NotCommitted),
                        };
                        drop(answer.send(result));
                    }) as Answer),
                    Err(refused) => {
                        let broken = matches!(refused, Error::Database(_));
                        // Nothing of it stays, so the caller may know at once.
                        drop(answer.send(Err(refused)));
                        Err(if broken { Undone::Broken } else { Undone::Refused })
                    }
                }
            })
        });
        let job = Job { run, statements };
        self.0.send(Message::Job(job)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    pub(crate) async fn close(&self) {
        let (closed, wait) = oneshot::channel();
        if self.0.send(Message::Close(closed)).await.is_ok() {
            wait.await.ok();
        }
    }
}

async fn run(mut connection: SqliteConnection, mut waiting: mpsc::Receiver<Message>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut close = None;
    while close.is_none() && waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut jobs = Vec::with_capacity(batch.len());
        for message in batch.drain(..) {
            match message {
                Message::Job(job) => jobs.push(job),
                Message::Close(closed) => close = Some(closed),
            }
        }
        if let Err(error) = transaction(&mut connection, jobs).await {
            warn!(%error, "the database refused a transaction");
        }
    }
    waiting.close();
    if let Err(error) = connection.close().await {
        warn!(%error, "the database could not be closed");
    }
    if let Some(closed) = close {
        closed.send(()).ok();
    }
}

async fn transaction(connection: &mut SqliteConnection, jobs: Vec<Job>) -> Result<(), sqlx::Error> {
    let mut answers = Vec::with_capacity(jobs.len());
    let committed = commit(connection, jobs, &mut answers).await;
    let outcome = if committed.is_ok() { Outcome::Committed } else { Outcome::Lost };
    for answer in answers {
        answer(outcome);
    }
    committed
}

async fn commit(
    connection: &mut SqliteConnection,
    jobs: Vec<Job>,
    answers: &mut Vec<Answer>,
) -> Result<(), sqlx::Error> {
    // Dropping the transaction rolls back, also when a disk error has ended it already.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for Job { run, statements } in jobs {
        if statements == Statements::One {
            match run(&mut transaction).await {
                Ok(answer) => answers.push(answer),
                Err(Undone::Refused) => {}
                Err(Undone::Broken) => {
                    return Err(sqlx::Error::Protocol("a statement failed".to_owned()));
                }
            }
            continue;
        }
        sqlx::query("SAVEPOINT job").execute(&mut *transaction).await?;
        match run(&mut transaction).await {
            Ok(answer) => answers.push(answer),
            Err(_) => {
                sqlx::query("ROLLBACK TO SAVEPOINT job").execute(&mut *transaction).await?;
            }
        }
        sqlx::query("RELEASE SAVEPOINT job").execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
