//! One side of a one-to-one session: the handle a person holds, and the task behind it that moves bytes between the
//! connection and the pure session. Everything that waits here has an end or a bound.
mod task;

use std::sync::Arc;

use bytes::Bytes;
use ids::Aor;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::connection::Connection;
use crate::event::Error;
use crate::phone::{Call, Hangup};
pub use crate::session::leg::{LegEvent, Received};
use task::{Command, Task};

/// Events that wait for the person.
const EVENTS_MAX: usize = 1024;
/// Commands that wait for the task.
const COMMANDS_MAX: usize = 64;

/// One side of a one-to-one session. Dropping it hangs up.
#[derive(Debug)]
pub struct Leg {
    peer: Aor,
    with_mailbox: bool,
    call: Arc<Call>,
    commands: mpsc::Sender<Command>,
    given_up: Arc<Notify>,
}

/// What happens in a one-to-one session, in order. It ends when the session's task does.
#[derive(Debug)]
pub struct LegEvents(mpsc::Receiver<LegEvent>);

impl LegEvents {
    /// The next event.
    pub async fn next(&mut self) -> Option<LegEvent> {
        self.0.recv().await
    }
}

/// What a session is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) peer: Aor,
    pub(crate) call: Call,
    pub(crate) session: crate::session::leg::Leg,
    pub(crate) connection: Connection,
    pub(crate) unsettled_max: usize,
    /// How long the other side may take to know the session.
    pub(crate) patience: std::time::Duration,
}

/// Tells the task that somebody waits no more.
struct Waking<'a>(&'a Notify);

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Leg {
    /// Starts the task of a session, and waits until both sides know that its connection is for it (RFC 4975, 5.4).
    ///
    /// # Errors
    /// The other side refused, or did not answer.
    pub(crate) async fn start(mut parts: Parts) -> Result<(Self, LegEvents), Error> {
        let (bound, is_bound) = oneshot::channel();
        let (to_events, events) = mpsc::channel(EVENTS_MAX);
        let (commands, from_commands) = mpsc::channel(COMMANDS_MAX);
        let hangup = parts.call.hangup();
        let with_mailbox = parts.call.is_machine();
        let call = Arc::new(parts.call);
        let given_up = Arc::new(Notify::new());
        let task = Task {
            session: parts.session,
            connection: Some(parts.connection),
            call: Arc::downgrade(&call),
            commands: from_commands,
            events: to_events,
            given_up: Arc::clone(&given_up),
            unsettled_max: parts.unsettled_max,
            bound: Some(bound),
        };
        tokio::spawn(task.run(hangup));
        let leg = Self { peer: parts.peer, with_mailbox, call, commands, given_up };
        let answered = tokio::time::timeout(parts.patience, is_bound).await;
        let answered = answered.map_err(|_elapsed| Error::Late("the session"))?;
        answered.map_err(|_gone| Error::Ended("its task is over".to_owned()))??;
        Ok((leg, LegEvents(events)))
    }

    /// Whom it is with.
    pub fn peer(&self) -> &Aor {
        &self.peer
    }

    /// Whether a mailbox has answered in that person's place. What is said is left there for them once it is accepted, and
    /// nothing is answered; a device of theirs has it as a message from outside of any session, with the time.
    pub fn with_mailbox(&self) -> bool {
        self.with_mailbox
    }

    /// Says something, and returns once the next hop has accepted its last octet: its Message-ID, under which
    /// [`LegEvent::Delivered`] says that it has arrived. Dropped before, the message is given up, and a peer that has a
    /// part of it is told so.
    ///
    /// # Errors
    /// The peer does not take it, it was refused or not answered, or the session is over.
    pub async fn send(&self, content_type: &str, body: Bytes) -> Result<String, Error> {
        let over = || Error::Ended("the session is over".to_owned());
        let content_type = content_type.to_owned();
        // Dropped last, when the answer is dropped already.
        let _waking = Waking(&self.given_up);
        let (reply, answer) = oneshot::channel();
        let command = Command { content_type, body, reply };
        self.commands.send(command).await.map_err(|_closed| over())?;
        answer.await.map_err(|_dropped| over())?
    }

    /// Ends the session.
    pub async fn hang_up(self) {
        self.call.hang_up(Hangup::Away).await;
    }
}
