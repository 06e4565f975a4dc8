//! Circles of this device: people it writes to outside of rooms, or in private inside of one, under a key that only they
//! have. Each circle has a task (`circle`, with `keys`, `reading`, `witnessing` and `writing`) that owns its keys;
//! [`Circles`] finds it. What travels is worded in
//! `session::parcel`, what the focus orders is asked for in `https`.
//!
//! There is no way from here to cleartext: whatever fails is an error, and nothing was sent.
mod circle;
mod https;
mod keys;
mod reading;
mod witnessing;
mod writing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ids::{Aor, ConferenceId};
use mls::circle::Circle;
use mls::member::Keyring;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::conference::Telling;
use crate::directory::Directory;
use crate::event::{Error, Event};
use crate::phone::{Arrived, Immediate, Late, Phone, Protection, Taken, name_of};
use crate::profile::{Limits, Profile};
use crate::session::kept::Kept;
use crate::session::parcel::Parcel;
use crate::session::seen::Seen;
use crate::session::{Pair, Pins, Whisper};
use crate::vault::Vault;
use circle::{Command, Task};
pub use writing::Writing;
use writing::{Asked, Order};

/// Circles with a task. A device that is told of more than this does not read them.
const TASKS_MAX: usize = 4096;
/// What waits for one circle's task.
const COMMANDS_MAX: usize = 64;
/// New devices, and splits, that wait for somebody to be told. Fewer than an inbox takes at once.
const UNTOLD_MAX: usize = 32;
/// How long a device that stops waits for its circles.
const REST: Duration = Duration::from_secs(2);
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
    /// What is known of others' devices.
    pins: Pins,
    /// How long a leaf may stay as it is.
    limits: Limits,
    /// What was to be told while nobody listened and must not be lost.
    untold: Mutex<Vec<Arrived>>,
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

    /// Tells it, or gives it back where nobody listens.
    async fn tell(&self, arrived: Arrived) -> Option<Arrived> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(inbox) = inbox.filter(|inbox| !inbox.is_closed()) else {
            if !matches!(arrived, Arrived::Device { .. } | Arrived::Split { .. }) {
                return Some(arrived);
            }
            // That is told once only, and whoever listens next is to hear of it.
            let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
            if untold.len() < UNTOLD_MAX {
                untold.push(arrived);
            }
            return None;
        };
        inbox.send(arrived).await.err().map(|closed| closed.0)
    }

    /// Has what is known of others' devices kept, without waiting for it.
    fn keep_pins(&self) {
        if self.pins.is_unkept() {
            tokio::task::spawn_blocking(crate::conference::keep(self.pins.clone()));
        }
    }
}

/// How a sealed message came.
#[derive(Debug, Default)]
pub(crate) struct Coming {
    /// It has waited in the mailbox.
    pub(crate) late: Option<Late>,
    /// It is kept until it is opened.
    pub(crate) kept: Option<Kept>,
    /// It came before the device was started, and nobody knows whether it was opened then.
    pub(crate) again: bool,
    /// How often it could not be opened for want of something that may come.
    pub(crate) tries: u32,
}

impl Coming {
    fn done(self) {
        if let Some(kept) = self.kept {
            kept.done();
        }
    }
}

/// The circles of a device. Clones share them; the tasks end with the last.
#[derive(Clone, Debug)]
pub(crate) struct Circles {
    tools: Arc<Tools>,
    tasks: Arc<Mutex<HashMap<ConferenceId, mpsc::Sender<Command>>>>,
    /// What has come in the clear.
    seen: Arc<Mutex<Seen>>,
}

impl Circles {
    pub(crate) fn new(
        keyring: Keyring,
        phone: Phone,
        directory: Arc<Directory>,
        vault: Option<Vault>,
        profile: &Profile,
    ) -> Self {
        let (departures, _nobody) = broadcast::channel(TAP_MAX);
        let (inbox, untold) = (Mutex::default(), Mutex::default());
        let (pins, limits) = (profile.pins.clone(), profile.limits);
        let tools =
            Tools { keyring, phone, directory, inbox, departures, pins, limits, untold, vault };
        let seen = Arc::new(Mutex::new(Seen::kept_immediate(tools.keyring.records())));
        Self { tools: Arc::new(tools), tasks: Arc::default(), seen }
    }

    /// Letters go here from now on.
    pub(crate) fn listen(&self, inbox: mpsc::Sender<Arrived>) {
        let untold = &self.tools.untold;
        for arrived in untold.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // There is room for as many.
            let _told = inbox.try_send(arrived);
        }
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
        content: (&str, Bytes),
    ) -> Result<Writing, Error> {
        self.order(to, content, |reply| Asked::Write { manner, reply }).await
    }

    /// Seals something that is said to one person in a room, for the two alone: its id, and the sealed octets.
    pub(crate) async fn whisper(
        &self,
        room: &ConferenceId,
        to: &Aor,
        content: (&str, Bytes),
    ) -> Result<Writing<(String, Bytes)>, Error> {
        let (to, room) = (std::slice::from_ref(to), room.clone());
        self.order(to, content, |reply| Asked::Whisper { room, reply }).await
    }

    async fn order<T>(
        &self,
        to: &[Aor],
        (content_type, body): (&str, Bytes),
        asked: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Asked,
    ) -> Result<Writing<T>, Error> {
        let circle = self.circle_with(to)?;
        let (id, content) = (circle.id().clone(), (content_type.to_owned(), body));
        let ((tell, held), (reply, done)) = (oneshot::channel(), oneshot::channel());
        let order = Order { circle, content, asked: asked(reply), held: Some(tell) };
        self.send(&id, Command::Write(order)).await?;
        Ok(Writing { held: Some(held), done })
    }

    /// What is known of somebody's devices has changed: what is held may go out.
    pub(crate) async fn look(&self) {
        self.tools.keep_pins();
        self.ask_all(|| Command::Look).await;
    }

    /// Has the leaves replaced whose time is over.
    pub(crate) async fn tend(&self) {
        self.ask_all(|| Command::Tend).await;
    }

    /// Waits until what has come is told, so that it is not told again by the device that comes back; not for long, since
    /// nobody may listen any more.
    pub(crate) async fn rest(&self) {
        let tasks: Vec<_> = self.tasks().values().cloned().collect();
        let resting = async {
            for task in tasks {
                let (done, rests) = oneshot::channel();
                if task.send(Command::Rest(done)).await.is_ok() {
                    // A task that has ended rests, too.
                    let _rests = rests.await;
                }
            }
        };
        let _in_time = tokio::time::timeout(REST, resting).await;
    }

    async fn ask_all(&self, command: fn() -> Command) {
        let tasks: Vec<_> = self.tasks().values().cloned().collect();
        for task in tasks {
            // A task that has ended holds nothing.
            let _asked = task.send(command()).await;
        }
    }

    /// The number to compare with a person, outside of any room.
    pub(crate) async fn number(&self, with: &Aor) -> Result<Pair, Error> {
        let circle = self.circle_with(std::slice::from_ref(with))?;
        let (reply, answer) = oneshot::channel();
        let (id, with) = (circle.id().clone(), with.clone());
        self.send(&id, Command::Number { with, circle, reply }).await?;
        answer.await.map_err(|_dropped| over())?
    }

    /// Whether a message that came in the clear is not one that was here before, by its author and the name it has, if
    /// it has one: what a mailbox had taken, because our answer was late, comes once more.
    pub(crate) fn is_new(&self, message: &Immediate) -> bool {
        let Some(id) = name_of(message) else { return true };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.note(&message.from, &id)
    }

    /// A sealed message has come, outside of any room.
    pub(crate) async fn arrived(&self, from: Aor, parcel: Parcel, coming: Coming) {
        let (id, author) = (parcel.circle.clone(), from.clone());
        let arrived = Command::Arrived { from, parcel: Box::new(parcel), coming };
        if let Err(error) = self.send(&id, arrived).await {
            self.tools.tell(Arrived::Unreadable { from: author, why: error.to_string() }).await;
        }
    }

    /// Something was said to us in private, in a room.
    pub(crate) async fn overheard(
        &self,
        room: &ConferenceId,
        whisper: Whisper,
        events: mpsc::Sender<Telling>,
    ) {
        let Some((id, _era, _epoch)) = mls::circle::group_of(&whisper.sealed) else {
            return whisper.kept.done();
        };
        let (room, whisper) = (room.clone(), Box::new(whisper));
        let said = Command::Said { room, whisper, events: events.clone() };
        if let Err(error) = self.send(&id, said).await {
            let _told = events.send((Event::Unreadable { why: error.to_string() }, None)).await;
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
