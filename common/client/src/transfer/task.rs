//! The task behind a file on its way: reads, writes, times out, and puts the file in its place at the end. It runs on a
//! thread of its own, since it reads and writes a disk.
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use msrp::Item;
use service::waiting::{sleep_until, write};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Arrived, Broken, Finished, Incomplete, Landing};
use crate::conference::now;
use crate::connection::Connection;
use crate::phone::{Call, Hangup};
use endpoint::transfer::{Output, Progress, Transfer};

/// Octets encoded ahead of the socket.
const WRITE_OCTETS: usize = 256 * 1024;
/// How long the other side may take to hang up once everything is said.
const FAREWELL: Duration = Duration::from_secs(5);

/// The task's state.
pub(super) struct Task {
    pub(super) session: Transfer,
    pub(super) connection: Connection,
    pub(super) call: Arc<Call>,
    pub(super) aborted: mpsc::Receiver<()>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) bound: Option<oneshot::Sender<Result<(), endpoint::NotBound>>>,
    pub(super) done: Option<oneshot::Sender<Result<Arrived, Incomplete>>>,
    /// What has become of the file, until everything is written that the other side is told of it.
    pub(super) outcome: Option<Result<Arrived, Incomplete>>,
    pub(super) start: u64,
    pub(super) landing: Option<Landing>,
    pub(super) closing: Bytes,
}

/// What the task was waiting for and has come.
enum Happened {
    HungUp(String),
    GivenUp,
    Written(io::Result<()>),
    Item(Option<Result<Item, String>>),
    TimedOut,
    WaitedLongEnough,
}

impl Task {
    /// Runs until the file is over and the other side knows.
    pub(super) async fn run(mut self, mut hangup: oneshot::Receiver<String>) {
        let (mut unwritten, mut unflushed) = (BytesMut::new(), false);
        let (mut asked, mut over) = (false, None);
        loop {
            while unwritten.len() < WRITE_OCTETS {
                let Some(frame) = self.session.poll_frame(now(), &mut rand::rng()) else { break };
                self.connection.writer.put(&frame, &mut unwritten);
            }
            self.tell(&mut over);
            let said = unwritten.is_empty() && !unflushed;
            if said {
                self.finish();
            }
            if said && over.as_ref().is_some_and(|(outcome, _)| self.hangs_up(outcome)) {
                break;
            }
            let until = over.as_ref().map(|(_, until)| *until);
            let due = self.session.next_timeout();
            let Connection { items, writer } = &mut self.connection;
            let happened = tokio::select! {
                biased;
                reason = &mut hangup => {
                    Happened::HungUp(reason.unwrap_or_else(|_gone| "the call ended".to_owned()))
                }
                // Dropped is given up, too.
                _ = self.aborted.recv(), if !asked => Happened::GivenUp,
                written = write(writer, &mut unwritten, &mut unflushed), if unflushed || unwritten.has_remaining() => {
                    Happened::Written(written)
                }
                item = items.recv() => Happened::Item(item),
                () = sleep_until(until), if until.is_some() => Happened::WaitedLongEnough,
                () = sleep_until(due), if until.is_none() => Happened::TimedOut,
            };
            match happened {
                Happened::GivenUp => {
                    asked = true;
                    self.session.abort(now(), &mut rand::rng());
                }
                Happened::Item(Some(Ok(item))) => {
                    self.session.receive(now(), &mut rand::rng(), &item);
                }
                Happened::TimedOut => self.session.timeout(now(), &mut rand::rng()),
                Happened::Written(Ok(())) => {}
                Happened::WaitedLongEnough => break,
                Happened::HungUp(why) | Happened::Item(Some(Err(why))) => {
                    self.session.end(&why);
                    self.tell(&mut over);
                    break;
                }
                Happened::Item(None) => {
                    self.session.end("the connection ended");
                    self.tell(&mut over);
                    break;
                }
                Happened::Written(Err(error)) => {
                    self.session.end(&error.to_string());
                    self.tell(&mut over);
                    break;
                }
            }
        }
        self.finish();
        let aborted = matches!(over, Some((Err(Broken::Aborted), _)));
        self.farewell(aborted).await;
    }

    /// Whoever sent the file hangs up (RFC 5547, 8.7), and whoever gave it up; the other one waits for that.
    fn hangs_up(&self, outcome: &Result<Finished, Broken>) -> bool {
        !self.session.receives() || matches!(outcome, Err(Broken::Aborted))
    }

    /// Passes on how far it has come, and what became of it.
    fn tell(&mut self, over: &mut Option<(Result<Finished, Broken>, std::time::Instant)>) {
        let progress = self.session.progress();
        self.progress.send_if_modified(|known| {
            let changed = *known != progress;
            *known = progress;
            changed
        });
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Bound(outcome) => {
                    let told = self.bound.take().map(|bound| bound.send(outcome));
                    drop(told);
                }
                Output::Over(outcome) => {
                    *over = Some((outcome.clone(), service::clock::now() + FAREWELL));
                    self.outcome = Some(self.land(outcome, progress));
                }
            }
        }
    }

    /// Says what has become of it. Whoever hears that may end the process: what the other side waits for must have left.
    fn finish(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            // Who asked may have gone.
            let told = self.done.take().map(|done| done.send(outcome));
            drop(told);
        }
    }

    /// A whole file gets its name, and one that is not what it should be is removed; a part of one waits for the rest.
    fn land(
        &mut self,
        outcome: Result<Finished, Broken>,
        progress: Progress,
    ) -> Result<Arrived, Incomplete> {
        let here = self.start + progress.octets;
        let Some(Landing { folder, part, name }) = self.landing.take() else {
            let finished = outcome.map_err(|why| Incomplete { why, go_on_from: here })?;
            return Ok(Arrived {
                octets: finished.octets,
                verified: finished.verified,
                path: None,
            });
        };
        let disk = |error: io::Error| Broken::Sink(error.to_string());
        match outcome {
            Ok(Finished { octets, verified }) => {
                let landed = folder.finish(part, &name).map_err(disk);
                let path = landed.map_err(|why| Incomplete { why, go_on_from: here })?;
                Ok(Arrived { octets, verified, path: Some(path) })
            }
            Err(why @ (Broken::Other(_) | Broken::Long | Broken::Short | Broken::Malformed(_))) => {
                part.discard();
                Err(Incomplete { why, go_on_from: 0 })
            }
            Err(why) => {
                let kept = part.keep(here);
                let go_on_from = if kept.is_ok() { here } else { 0 };
                Err(Incomplete { why, go_on_from })
            }
        }
    }

    /// RFC 5547, 8.4: who gives a file up closes its media line. Then the call is over, which has nothing else.
    async fn farewell(self, aborted: bool) {
        let Self { call, closing, connection, .. } = self;
        if aborted && let Err(error) = call.describe_again(closing).await {
            tracing::debug!(%error, "the media line was not closed");
        }
        call.hang_up(Hangup::Away).await;
        drop(connection);
    }
}
