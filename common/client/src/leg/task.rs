//! The task behind one side of a one-to-one session: reads, writes, times out and does what it is asked, one thing at a
//! time, so that the session needs no lock.
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Weak};

use bytes::{Buf, Bytes, BytesMut};
use msrp::Item;
use service::waiting::{sleep_until, write};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::conference::now;
use crate::connection::Connection;
use crate::event::Error;
use crate::phone::{Call, Hangup};
use crate::session::Ticket;
use crate::session::leg::{Leg, LegEvent, Output};

/// Octets encoded ahead of the socket.
const WRITE_OCTETS: usize = 64 * 1024;
/// Events ahead of the person; beyond that nothing more is read from the peer.
const UNTOLD_MAX: usize = 256;

/// Say something.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) content_type: String,
    pub(super) body: Bytes,
    pub(super) reply: oneshot::Sender<Result<String, Error>>,
}

/// The task's state.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) session: Leg,
    pub(super) connection: Option<Connection>,
    pub(super) call: Weak<Call>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<LegEvent>,
    pub(super) given_up: Arc<Notify>,
    pub(super) unsettled_max: usize,
    pub(super) bound: Option<oneshot::Sender<Result<(), Error>>>,
}

/// What changes while the task runs.
#[derive(Debug, Default)]
struct Progress {
    waiting: HashMap<Ticket, (String, oneshot::Sender<Result<String, Error>>)>,
    untold: VecDeque<LegEvent>,
    unwritten: BytesMut,
    unflushed: bool,
    over: Option<String>,
}

/// What the task was waiting for and has come.
enum Happened {
    HungUp(String),
    Listening(Result<mpsc::OwnedPermit<LegEvent>, mpsc::error::SendError<()>>),
    Written(io::Result<()>),
    Item(Option<Result<Item, String>>),
    Command(Option<Command>),
    GivenUp,
    TimedOut,
}

impl Task {
    /// Runs until the person drops the handle.
    pub(super) async fn run(mut self, mut hangup: oneshot::Receiver<String>) {
        let mut progress = Progress::default();
        loop {
            self.advance(&mut progress);
            match self.wait(&mut progress, &mut hangup).await {
                Happened::HungUp(reason) => self.end(&mut progress, reason),
                Happened::Listening(Ok(permit)) => {
                    if let Some(event) = progress.untold.pop_front() {
                        drop(permit.send(event));
                    }
                }
                // Nobody listens to events; the handle may still be used.
                Happened::Listening(Err(_closed)) => progress.untold.clear(),
                Happened::Written(Ok(())) => {}
                Happened::Written(Err(error)) => self.end(&mut progress, error.to_string()),
                Happened::Item(Some(Ok(item))) => {
                    self.session.receive(now(), &mut rand::rng(), &item);
                }
                Happened::Item(Some(Err(why))) => self.end(&mut progress, why),
                Happened::Item(None) => self.end(&mut progress, "the connection ended".to_owned()),
                Happened::Command(Some(command)) => self.say(&mut progress, command),
                Happened::Command(None) => return,
                Happened::GivenUp => self.give_up(&mut progress),
                Happened::TimedOut => self.session.timeout(now(), &mut rand::rng()),
            }
        }
    }

    /// Waits for the next thing to happen. Whatever loses the race is waited for again: nothing is lost by that.
    async fn wait(
        &mut self,
        progress: &mut Progress,
        hangup: &mut oneshot::Receiver<String>,
    ) -> Happened {
        let due = self.session.next_timeout();
        let live = progress.over.is_none();
        let writing = live && (progress.unflushed || progress.unwritten.has_remaining());
        let reading = live && progress.untold.len() < UNTOLD_MAX;
        let listening = self.events.clone();
        let Progress { unwritten, unflushed, untold, .. } = progress;
        let (items, writer) = match &mut self.connection {
            Some(Connection { items, writer }) => (Some(items), Some(writer)),
            None => (None, None),
        };
        let written = async move {
            match writer {
                Some(writer) => write(writer, unwritten, unflushed).await,
                None => std::future::pending().await,
            }
        };
        let item = async move {
            match items {
                Some(items) => items.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = hangup, if live => {
                Happened::HungUp(reason.unwrap_or_else(|_gone| "the call ended".to_owned()))
            }
            permit = listening.reserve_owned(), if !untold.is_empty() => Happened::Listening(permit),
            () = self.given_up.notified() => Happened::GivenUp,
            written = written, if writing => Happened::Written(written),
            item = item, if reading => Happened::Item(item),
            command = self.commands.recv(), if self.session.unsettled() < self.unsettled_max => {
                Happened::Command(command)
            }
            () = sleep_until(due), if live => Happened::TimedOut,
        }
    }

    /// Carries out everything the session wants, as far as it can be done without waiting.
    fn advance(&mut self, progress: &mut Progress) {
        while let Some(Connection { writer, .. }) = &self.connection
            && progress.over.is_none()
            && progress.unwritten.len() < WRITE_OCTETS
        {
            let Some(frame) = self.session.poll_frame(now(), &mut rand::rng()) else { break };
            writer.put(&frame, &mut progress.unwritten);
        }
        let mut dead = false;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Event(event) => progress.untold.push_back(event),
                Output::Bound(outcome) => {
                    let told = self.bound.take().map(|bound| bound.send(outcome));
                    drop(told);
                }
                Output::Settled(ticket, outcome) => {
                    if let Some((id, reply)) = progress.waiting.remove(&ticket) {
                        // The asker may have gone; then nobody needs the answer.
                        let _asked = reply.send(outcome.map(|()| id));
                    }
                }
                Output::Dead => dead = true,
            }
        }
        if dead && progress.over.is_none() {
            self.end(progress, "the other side does not answer".to_owned());
        }
    }

    fn say(&mut self, progress: &mut Progress, command: Command) {
        let Command { content_type, body, reply } = command;
        if let Some(over) = &progress.over {
            let _asked = reply.send(Err(Error::Ended(over.clone())));
            return;
        }
        match self.session.say(now(), &mut rand::rng(), &content_type, body) {
            Ok((id, ticket)) => {
                progress.waiting.insert(ticket, (id, reply));
                // Whoever asked may have gone before we looked.
                self.give_up(progress);
            }
            Err(error) => {
                let _asked = reply.send(Err(error));
            }
        }
    }

    /// Gives up what nobody waits for any more.
    fn give_up(&mut self, progress: &mut Progress) {
        let gone = progress.waiting.iter().filter(|(_, (_, reply))| reply.is_closed());
        let gone: Vec<Ticket> = gone.map(|(ticket, _)| *ticket).collect();
        for ticket in gone {
            progress.waiting.remove(&ticket);
            self.session.cancel(ticket, &mut rand::rng());
        }
    }

    /// The session is over, whoever ended it: no connection and no dialog outlives it.
    fn end(&mut self, progress: &mut Progress, reason: String) {
        if progress.over.is_some() {
            return;
        }
        self.session.end(&reason);
        progress.over = Some(reason);
        progress.unwritten.clear();
        self.connection = None;
        if let Some(call) = self.call.upgrade() {
            tokio::spawn(async move { call.hang_up(Hangup::Away).await });
        }
    }
}
