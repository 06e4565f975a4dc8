//! The task behind a seat: reads, writes, times out and does what it is asked, one thing at a time, so that the session
//! needs no lock.
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ids::{Aor, ConferenceId};
use mls::wire::GroupState;
use msrp::Item;
use service::waiting::{sleep_until, write};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use zeroize::Zeroizing;

use crate::circles::Circles;
use crate::connection::Connection;
use crate::directory::Directory;
use crate::event::{Error, Event, Outgoing};
use crate::session::kept::Kept;
use crate::session::{Now, Numbers, Output, Pins, Session, Standing, Ticket};
use crate::vault::Vault;

/// Pieces taken together before the disk is waited for.
const RECEIVED_AT_ONCE: usize = 64;
/// Octets encoded ahead of the socket.
const WRITE_OCTETS: usize = 64 * 1024;
/// Events ahead of the person; beyond that nothing more is read from the relay.
const UNTOLD_MAX: usize = 256;
/// How long after a failed fetch of a group's state the next is tried, at first and at most.
const FETCH_AGAIN: Duration = Duration::from_millis(500);
const FETCH_AGAIN_MAX: Duration = Duration::from_secs(30);
/// How long the focus may take to say why it has ended the relay's connection.
const PARTING: Duration = Duration::from_secs(1);

/// What a person asks of their seat.
#[derive(Debug)]
pub(crate) enum Command {
    /// Say something, to everyone or to one person.
    Say {
        to: Option<Aor>,
        content_type: String,
        body: Bytes,
        reply: oneshot::Sender<Result<String, Error>>,
    },
    /// Say something that is sealed for one person alone.
    Whisper { to: Aor, id: String, sealed: Bytes, reply: oneshot::Sender<Result<String, Error>> },
    /// Share a file.
    Share { file: Outgoing, reply: oneshot::Sender<Result<(), Error>> },
    /// Be known by this name.
    Rename { nickname: String, reply: oneshot::Sender<Result<(), Error>> },
    /// The numbers to compare, also with this person.
    Numbers { other: Option<Aor>, reply: oneshot::Sender<Option<Numbers>> },
    /// Believe the devices a person has now.
    Accept { who: Aor, reply: oneshot::Sender<bool> },
    /// A key of the present epoch for something else.
    Export { label: String, octets: u16, reply: oneshot::Sender<Option<Zeroizing<Vec<u8>>>> },
    /// Numbers were compared with a person, or that is taken back.
    Verify { who: Aor, verified: bool, reply: oneshot::Sender<()> },
    /// Hold sealed octets up to the keys.
    TryOpen { sealed: Bytes, reply: oneshot::Sender<Option<String>> },
}

/// Who waits for tickets to be settled.
#[derive(Debug)]
enum Waiting {
    Said { id: String, reply: oneshot::Sender<Result<String, Error>> },
    Shared { left: Vec<Ticket>, reply: oneshot::Sender<Result<(), Error>> },
    Renamed { reply: oneshot::Sender<Result<(), Error>> },
}

type Fetch = Pin<Box<dyn Future<Output = Result<Option<GroupState>, Error>> + Send>>;

/// An event, and what keeps it until the person has it.
pub(crate) type Telling = (Event, Option<Kept>);

/// The task's state.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: ConferenceId,
    pub(super) session: Session,
    pub(super) connection: Connection,
    pub(super) directory: Arc<Directory>,
    pub(super) circles: Circles,
    /// Where private messages come back from their circle, opened.
    pub(super) whispers: (mpsc::Sender<Telling>, mpsc::Receiver<Telling>),
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<Telling>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) tap: broadcast::Sender<Bytes>,
    pub(super) unsettled_max: usize,
    pub(super) bound: Option<oneshot::Sender<Result<(), Error>>>,
    pub(super) vault: Option<Vault>,
}

/// What changes while the task runs.
#[derive(Default)]
struct Progress {
    waiting: HashMap<Ticket, Waiting>,
    untold: VecDeque<Telling>,
    unwritten: BytesMut,
    unflushed: bool,
    fetch: Option<Fetch>,
    over: Option<String>,
}

/// What the task was waiting for and has come.
enum Happened {
    HungUp(String),
    Listening(Result<mpsc::OwnedPermit<Telling>, mpsc::error::SendError<()>>),
    Written(io::Result<()>),
    Item(Option<Result<Item, String>>),
    Fetched(Result<Option<GroupState>, Error>),
    Command(Option<Command>),
    Whispered(Option<Telling>),
    TimedOut,
}

/// The time, for a session.
pub(crate) fn now() -> Now {
    Now { instant: service::clock::now(), wall: service::clock::wall() }
}

impl Seat {
    /// Runs until the person drops the handle; the keys are kept until then even if the seat is gone.
    pub(super) async fn run(mut self, mut hangup: oneshot::Receiver<String>) {
        let mut progress = Progress::default();
        loop {
            self.advance(&mut progress);
            self.keep(&mut progress).await;
            self.tell(&mut progress);
            match self.wait(&mut progress, &mut hangup).await {
                Happened::HungUp(reason) => self.end(&mut progress, reason),
                Happened::Listening(Ok(permit)) => {
                    if let Some(telling) = progress.untold.pop_front() {
                        drop(permit.send(telling));
                    }
                }
                // Nobody listens to events; the handle may still be used.
                Happened::Listening(Err(_closed)) => progress.untold.clear(),
                Happened::Written(Ok(())) => {}
                Happened::Written(Err(error)) => self.end(&mut progress, error.to_string()),
                Happened::Item(Some(item)) => {
                    if let Err(why) = self.receive(item) {
                        let why = parting(&mut hangup, why).await;
                        self.end(&mut progress, why);
                    }
                }
                Happened::Item(None) => {
                    let why = parting(&mut hangup, "the connection ended".to_owned()).await;
                    self.end(&mut progress, why);
                }
                Happened::Fetched(state) => {
                    progress.fetch = None;
                    self.enter(&mut progress, state);
                }
                Happened::Whispered(event) => progress.untold.extend(event),
                Happened::Command(Some(command)) => self.command(&mut progress, command),
                Happened::Command(None) => return self.rest().await,
                Happened::TimedOut => self.session.timeout(now(), &mut rand::rng()),
            }
        }
    }

    /// Takes what has come, and what else is there, so that a disk is waited for and a socket written once for all of it.
    /// What was opened and how far the keys are is one transaction. An error is the end of the connection.
    fn receive(&mut self, first: Result<Item, String>) -> Result<(), String> {
        let vault = self.vault.clone();
        let _unit = vault.as_ref().map(|vault| vault.records().unit());
        self.session.receive(now(), &first?);
        for _more in 1..RECEIVED_AT_ONCE {
            let Ok(item) = self.connection.items.try_recv() else { break };
            self.session.receive(now(), &item?);
        }
        Ok(())
    }

    /// What has changed is on the disk before anything that depends on it leaves the device.
    async fn keep(&mut self, progress: &mut Progress) {
        let Some(vault) = &self.vault else { return };
        if let Err(error) = vault.commit().await {
            progress.unwritten.clear();
            if progress.over.is_none() {
                tracing::warn!(%error, "the vault");
                self.end(progress, error.to_string());
            }
        }
    }

    /// Tells the person as much as they take without waiting.
    fn tell(&self, progress: &mut Progress) {
        while !progress.untold.is_empty() {
            let Ok(permit) = self.events.try_reserve() else { return };
            if let Some(telling) = progress.untold.pop_front() {
                permit.send(telling);
            }
        }
    }

    /// The end, in order.
    async fn rest(&mut self) {
        let Some(vault) = &self.vault else { return };
        self.session.rest();
        if let Err(error) = vault.commit().await {
            tracing::warn!(%error, "the vault");
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
        tokio::select! {
            biased;
            reason = hangup, if live => {
                Happened::HungUp(reason.unwrap_or_else(|_gone| "the call ended".to_owned()))
            }
            permit = listening.reserve_owned(), if !progress.untold.is_empty() => Happened::Listening(permit),
            written = write(&mut self.connection.writer, &mut progress.unwritten, &mut progress.unflushed), if writing => {
                Happened::Written(written)
            }
            item = self.connection.items.recv(), if reading => Happened::Item(item),
            state = fetched(&mut progress.fetch) => Happened::Fetched(state),
            command = self.commands.recv(), if self.session.unsettled() < self.unsettled_max => {
                Happened::Command(command)
            }
            event = self.whispers.1.recv(), if progress.untold.len() < UNTOLD_MAX => {
                Happened::Whispered(event)
            }
            () = sleep_until(due), if live => Happened::TimedOut,
        }
    }

    /// Carries out everything the session wants, as far as it can be done without waiting.
    fn advance(&mut self, progress: &mut Progress) {
        while progress.over.is_none() && progress.unwritten.len() < WRITE_OCTETS {
            let Some(frame) = self.session.poll_frame(now(), &mut rand::rng()) else { break };
            self.connection.writer.put(&frame, &mut progress.unwritten);
        }
        // Where we stand is known before the event that it follows from.
        self.standing.send_if_modified(|known| {
            let changed = !self.session.is_at(known);
            if changed {
                *known = self.session.standing();
            }
            changed
        });
        let mut dead = false;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Event(event) => {
                    let kept = self.session.telling(&event);
                    progress.untold.push_back((event, kept));
                }
                Output::Bound(outcome) => {
                    let told = self.bound.take().map(|bound| bound.send(outcome));
                    drop(told);
                }
                Output::Settled(ticket, outcome) => settle(&mut progress.waiting, ticket, outcome),
                // Nobody may be listening on the wire.
                Output::Tapped(sealed) => drop(self.tap.send(sealed)),
                Output::Whispered(whisper) => {
                    let (circles, id) = (self.circles.clone(), self.id.clone());
                    let to = self.whispers.0.clone();
                    tokio::spawn(async move { circles.overheard(&id, *whisper, to).await });
                }
                Output::Dead => dead = true,
                Output::FetchGroup => {
                    let (directory, id) = (Arc::clone(&self.directory), self.id.clone());
                    progress.fetch = Some(Box::pin(fetch(directory, id)));
                }
            }
        }
        if self.session.pins().is_unkept() {
            tokio::task::spawn_blocking(keep(self.session.pins().clone()));
        }
        if dead && progress.over.is_none() {
            self.end(progress, "the relay does not answer".to_owned());
        }
    }

    fn enter(&mut self, progress: &mut Progress, state: Result<Option<GroupState>, Error>) {
        match state {
            Ok(state) => self.session.enter(now(), state.as_ref()),
            Err(error) => {
                let event = Event::Unreadable { why: error.to_string() };
                progress.untold.push_back((event, None));
            }
        }
    }

    fn command(&mut self, progress: &mut Progress, command: Command) {
        match command {
            Command::TryOpen { sealed, reply } => {
                // The asker may have gone; then nobody needs the answer.
                let _asked = reply.send(self.session.opens(now(), &sealed));
            }
            // Askers may have gone here too.
            Command::Numbers { other, reply } => {
                let _asked = reply.send(self.session.numbers(other.as_ref()));
            }
            Command::Export { label, octets, reply } => {
                let _asked = reply.send(self.session.export(&label, octets));
            }
            Command::Accept { who, reply } => {
                let _asked = reply.send(self.session.accept(&who));
            }
            Command::Verify { who, verified, reply } => {
                self.session.verify(&who, verified);
                let _asked = reply.send(());
            }
            Command::Say { reply, .. } | Command::Whisper { reply, .. }
                if progress.over.is_some() =>
            {
                let _asked = reply.send(Err(over(progress)));
            }
            Command::Share { reply, .. } | Command::Rename { reply, .. }
                if progress.over.is_some() =>
            {
                let _asked = reply.send(Err(over(progress)));
            }
            Command::Say { to, content_type, body, reply } => {
                let rng = &mut rand::rng();
                let said = match to {
                    None => self.session.say(now(), rng, &content_type, body),
                    Some(to) => self.session.whisper(now(), rng, &to, (&content_type, body)),
                };
                match said {
                    Ok((id, ticket)) => {
                        progress.waiting.insert(ticket, Waiting::Said { id, reply });
                    }
                    Err(error) => {
                        let _asked = reply.send(Err(error));
                    }
                }
            }
            Command::Whisper { to, id, sealed, reply } => {
                let ticket = self.session.whisper_sealed(now(), &to, &id, sealed);
                progress.waiting.insert(ticket, Waiting::Said { id, reply });
            }
            Command::Rename { nickname, reply } => {
                let ticket = self.session.rename(now(), &mut rand::rng(), &nickname);
                progress.waiting.insert(ticket, Waiting::Renamed { reply });
            }
            Command::Share { file, reply } => {
                match self.session.share(now(), &mut rand::rng(), &file) {
                    Ok([first, second]) => {
                        let left = vec![first, second];
                        progress.waiting.insert(second, Waiting::Shared { left, reply });
                    }
                    Err(error) => {
                        let _asked = reply.send(Err(error));
                    }
                }
            }
        }
    }

    fn end(&mut self, progress: &mut Progress, reason: String) {
        let told = self.bound.take().map(|bound| bound.send(Err(Error::Ended(reason.clone()))));
        drop(told);
        self.session.end(&reason);
        progress.over = Some(reason);
        progress.unwritten.clear();
    }
}

/// Why the seat ends. The relay's connection often ends before the focus has said why.
async fn parting(hangup: &mut oneshot::Receiver<String>, why: String) -> String {
    match tokio::time::timeout(PARTING, hangup).await {
        Ok(Ok(reason)) => reason,
        _ => why,
    }
}

/// Has what is known of others' devices kept. Where it is not, it is told again after the next start.
pub(crate) fn keep(pins: Pins) -> impl FnOnce() {
    move || {
        if let Err(why) = pins.save() {
            tracing::warn!(why, "what is known of others' devices could not be kept");
        }
    }
}

fn over(progress: &Progress) -> Error {
    Error::Ended(progress.over.clone().unwrap_or_default())
}

/// Tells whoever waits for a ticket. A file is accepted when both its halves are.
fn settle(waiting: &mut HashMap<Ticket, Waiting>, ticket: Ticket, outcome: Result<(), Error>) {
    // A file waits under the ticket of its second half; nothing else has two.
    let first_half = |waiting: &HashMap<Ticket, Waiting>| {
        let has =
            |it: &Waiting| matches!(it, Waiting::Shared { left, .. } if left.contains(&ticket));
        waiting.iter().find_map(|(key, it)| has(it).then_some(*key))
    };
    let key = if waiting.contains_key(&ticket) { Some(ticket) } else { first_half(waiting) };
    let Some(key) = key else { return };
    match waiting.remove(&key) {
        Some(Waiting::Said { id, reply }) => {
            // The asker may have gone; then nobody needs the answer.
            let _asked = reply.send(outcome.map(|()| id));
        }
        Some(Waiting::Renamed { reply }) => {
            let _asked = reply.send(outcome);
        }
        Some(Waiting::Shared { mut left, reply }) => {
            left.retain(|other| *other != ticket);
            if outcome.is_err() || left.is_empty() {
                let _asked = reply.send(outcome);
            } else {
                waiting.insert(key, Waiting::Shared { left, reply });
            }
        }
        None => {}
    }
}

/// Fetches a group's state, again and again while the focus is away.
async fn fetch(directory: Arc<Directory>, id: ConferenceId) -> Result<Option<GroupState>, Error> {
    let mut wait = FETCH_AGAIN;
    loop {
        match directory.group(&id).await {
            Err(Error::Network { .. } | Error::Late(_) | Error::Refused { status: 500.., .. }) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(FETCH_AGAIN_MAX);
            }
            fetched => return fetched,
        }
    }
}

async fn fetched(fetch: &mut Option<Fetch>) -> Result<Option<GroupState>, Error> {
    match fetch {
        Some(fetch) => fetch.await,
        None => std::future::pending().await,
    }
}
