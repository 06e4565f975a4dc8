//! Circles of this device: people it writes to outside of rooms, or in private inside of one, under a key that only they
//! have. Each circle has a task (`circle`, with `keys` and `reading`) that owns its keys;
//! [`Circles`] finds it. What travels is worded in
//! `session::parcel`, what the focus orders is asked for in `https`.
//!
//! There is no way from here to cleartext: whatever fails is an error, and nothing was sent.
mod circle;
mod https;
mod keys;
mod reading;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ids::{Aor, ConferenceId};
use mls::circle::Circle;
use mls::member::Keyring;
use msrp::cpim::Envelope;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::directory::Directory;
use crate::event::{Error, Event};
use crate::phone::{Arrived, Immediate, Phone, Protection, Taken};
use crate::session::parcel::Parcel;
use crate::vault::Vault;
use circle::{Command, Task};

/// Circles with a task. A device that is told of more than this does not read them.
const TASKS_MAX: usize = 4096;
/// What waits for one circle's task.
const COMMANDS_MAX: usize = 64;
/// Sealed messages that wait for a listener on what leaves.
const TAP_MAX: usize = 256;

/// How something is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Whether its author wants to know that it has arrived.
    pub receipt: bool,
    /// What becomes of it where somebody has no keys.
    pub unsealed: Unsealed,
}

/// Whether a message may leave without a seal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsealed {
    /// Never. It fails instead.
    #[default]
    Never,
    /// Where somebody it is for has no keys at all: then the servers can read it. Never for any other reason.
    WithoutKeys,
}

/// What became of something written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its `imdn.Message-ID`; none if it left without a seal.
    pub id: Option<String>,
    /// How far it has come.
    pub taken: Taken,
    /// How far it is protected: the seal's word, not a server's.
    pub protection: Protection,
}

/// A listener on sealed messages that leave this device, as the servers have them.
#[derive(Debug)]
pub struct Departures(broadcast::Receiver<Immediate>);

impl Departures {
    /// The next one.
    pub async fn next(&mut self) -> Option<Immediate> {
        loop {
            match self.0.recv().await {
                Ok(message) => return Some(message),
                Err(broadcast::error::RecvError::Lagged(_missed)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// What every circle's task works with.
#[derive(Debug)]
struct Tools {
    keyring: Keyring,
    phone: Phone,
    directory: Arc<Directory>,
    /// Who is told of letters, if anybody is.
    inbox: Mutex<Option<mpsc::Sender<Arrived>>>,
    departures: broadcast::Sender<Immediate>,
    /// Where the keys are kept, if anywhere.
    vault: Option<Vault>,
}

impl Tools {
    fn me(&self) -> &Aor {
        &self.keyring.device().aor
    }

    /// Keeps what has changed, before anything leaves or is told that depends on it.
    async fn keep(&self) -> Result<(), Error> {
        match &self.vault {
            Some(vault) => Ok(vault.commit().await?),
            None => Ok(()),
        }
    }

    async fn tell(&self, arrived: Arrived) {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(inbox) = inbox {
            // Nobody may listen any more.
            let _told = inbox.send(arrived).await;
        }
    }
}

/// The circles of a device. Clones share them; the tasks end with the last.
#[derive(Clone, Debug)]
pub(crate) struct Circles {
    tools: Arc<Tools>,
    tasks: Arc<Mutex<HashMap<ConferenceId, mpsc::Sender<Command>>>>,
}

impl Circles {
    pub(crate) fn new(
        keyring: Keyring,
        phone: Phone,
        directory: Arc<Directory>,
        vault: Option<Vault>,
    ) -> Self {
        let (departures, _nobody) = broadcast::channel(TAP_MAX);
        let tools = Tools { keyring, phone, directory, inbox: Mutex::default(), departures, vault };
        Self { tools: Arc::new(tools), tasks: Arc::default() }
    }

    /// Letters go here from now on.
    pub(crate) fn listen(&self, inbox: mpsc::Sender<Arrived>) {
        *self.tools.inbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(inbox);
    }

    pub(crate) fn departures(&self) -> Departures {
        Departures(self.tools.departures.subscribe())
    }

    /// Enters the circles of this person that this device has no keys of.
    pub(crate) async fn enter_all(&self) -> Result<(), Error> {
        for circle in self.tools.directory.circles().await? {
            let id = circle.id().clone();
            self.send(&id, Command::Enter(circle)).await?;
        }
        Ok(())
    }

    /// Writes to these people, sealed.
    pub(crate) async fn write(
        &self,
        to: &[Aor],
        manner: Manner,
        (content_type, body): (&str, Bytes),
    ) -> Result<Sent, Error> {
        let circle = self.circle_with(to)?;
        let (id, content) = (circle.id().clone(), (content_type.to_owned(), body));
        let (reply, answer) = oneshot::channel();
        self.send(&id, Command::Write { circle, manner, content, reply }).await?;
        answer.await.map_err(|_dropped| over())?
    }

    /// Seals something that is said to one person in a room, for the two alone: its id, and the sealed octets.
    pub(crate) async fn whisper(
        &self,
        room: &ConferenceId,
        to: &Aor,
        (content_type, body): (&str, Bytes),
    ) -> Result<(String, Bytes), Error> {
        let circle = self.circle_with(std::slice::from_ref(to))?;
        let (id, content) = (circle.id().clone(), (content_type.to_owned(), body));
        let (reply, answer) = oneshot::channel();
        let room = room.clone();
        self.send(&id, Command::Whisper { circle, room, content, reply }).await?;
        answer.await.map_err(|_dropped| over())?
    }

    /// A sealed message has come, outside of any room.
    pub(crate) async fn arrived(&self, from: Aor, parcel: Parcel) {
        let (id, author) = (parcel.circle.clone(), from.clone());
        if let Err(error) =
            self.send(&id, Command::Arrived { from, parcel: Box::new(parcel) }).await
        {
            self.tools.tell(Arrived::Unreadable { from: author, why: error.to_string() }).await;
        }
    }

    /// Something was said to us in private, in a room.
    pub(crate) async fn overheard(
        &self,
        room: &ConferenceId,
        (outer, sealed): (Envelope, Bytes),
        events: mpsc::Sender<Event>,
    ) {
        let Some((id, _era, _epoch)) = mls::circle::group_of(&sealed) else { return };
        let room = room.clone();
        let said = Command::Said { room, outer, sealed, events: events.clone() };
        if let Err(error) = self.send(&id, said).await {
            let _told = events.send(Event::Unreadable { why: error.to_string() }).await;
        }
    }

    fn circle_with(&self, others: &[Aor]) -> Result<Circle, Error> {
        let people = others.iter().cloned().chain([self.tools.me().clone()]);
        Circle::of(people).map_err(|error| Error::Group(error.to_string()))
    }

    async fn send(&self, id: &ConferenceId, command: Command) -> Result<(), Error> {
        self.task(id)?.send(command).await.map_err(|_closed| over())
    }

    /// The task of a circle, started if there is none.
    fn task(&self, id: &ConferenceId) -> Result<mpsc::Sender<Command>, Error> {
        let mut tasks = self.tasks();
        if let Some(task) = tasks.get(id) {
            return Ok(task.clone());
        }
        if tasks.len() >= TASKS_MAX {
            return Err(Error::Group("too many circles for one device".to_owned()));
        }
        let (to, commands) = mpsc::channel(COMMANDS_MAX);
        let task = Task::new(Arc::clone(&self.tools), id.clone(), to.downgrade());
        tokio::spawn(task.run(commands));
        tasks.insert(id.clone(), to.clone());
        Ok(to)
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<ConferenceId, mpsc::Sender<Command>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn over() -> Error {
    Error::Ended("the device has ended".to_owned())
}
