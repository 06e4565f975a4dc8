//! The people of the demo: real devices on real sockets, each with a log of what it was shown. Waiting is for
//! something to be in a log, with an end; never for time to pass.
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use client::{Conference, Credential, Device, Event, Events, Profile};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::report::Tally;

/// The longest the demo waits for anything to show up.
const WAIT_SECS_MAX: u64 = 60;

/// A person's device in the demo.
#[derive(Debug)]
pub(crate) struct Actor {
    /// What the story calls it: `bob/2` is Bob's second device.
    pub(crate) name: String,
    /// Who it is.
    pub(crate) profile: Profile,
    /// The device, registered.
    pub(crate) device: Device,
    /// The conference it is in.
    pub(crate) conference: Option<Conference>,
    /// What it was shown.
    pub(crate) log: Log,
    invitations: client::Invitations,
}

impl Actor {
    /// Registers a device, gets its credential and fills its directory entry.
    ///
    /// # Errors
    /// The servers refuse it or cannot be reached.
    pub(crate) async fn enter(
        name: &str,
        profile: Profile,
        bell: &Arc<Notify>,
    ) -> anyhow::Result<Self> {
        let started = Device::start(profile.clone()).await;
        Self::started(name, profile, started, bell)
    }

    /// The same for a device that has its credential and has lost everything else.
    ///
    /// # Errors
    /// As for [`Actor::enter`].
    pub(crate) async fn enter_again(
        name: &str,
        profile: Profile,
        credential: Credential,
        bell: &Arc<Notify>,
    ) -> anyhow::Result<Self> {
        let started = Device::restart(profile.clone(), credential).await;
        Self::started(name, profile, started, bell)
    }

    fn started(
        name: &str,
        profile: Profile,
        started: Result<(Device, client::Invitations), client::Error>,
        bell: &Arc<Notify>,
    ) -> anyhow::Result<Self> {
        let (device, invitations) = started.with_context(|| format!("{name} registers"))?;
        let (name, conference) = (name.to_owned(), None);
        let log = Log::new(Arc::clone(bell));
        Ok(Self { name, profile, device, conference, log, invitations })
    }

    /// Takes a seat: what the conference tells is logged from now on.
    pub(crate) fn seat(&mut self, conference: Conference, events: Events) {
        self.log.follow(events);
        self.conference = Some(conference);
    }

    /// Takes the seat it is invited to.
    ///
    /// # Errors
    /// No invitation came in time.
    pub(crate) async fn answer(&mut self) -> anyhow::Result<()> {
        let invitation = tokio::time::timeout(wait(), self.invitations.next()).await;
        let invitation =
            invitation.with_context(|| format!("{} waits for an invitation", self.name))?;
        let (conference, events) = invitation.with_context(|| format!("{} is deaf", self.name))?;
        self.seat(conference, events);
        Ok(())
    }

    /// The conference it is in.
    ///
    /// # Errors
    /// It is in none.
    pub(crate) fn conference(&self) -> anyhow::Result<&Conference> {
        self.conference.as_ref().with_context(|| format!("{} is in no conference", self.name))
    }

    /// Sends a message and notes who must get it; its id.
    ///
    /// # Errors
    /// The message was not accepted.
    pub(crate) async fn say(
        &self,
        content_type: &str,
        body: Bytes,
        to: &BTreeSet<String>,
        tally: &Mutex<Tally>,
    ) -> anyhow::Result<String> {
        let digest = Sha256::digest(&body).to_vec();
        let sent = self.conference()?.send(content_type, body).await;
        let id = sent.with_context(|| format!("{} sends a message", self.name))?;
        let receivers = to.iter().filter(|name| **name != self.name).cloned().collect();
        tally.lock().unwrap_or_else(PoisonError::into_inner).sent(&id, digest, receivers);
        Ok(id)
    }
}

/// What a device was shown, in order. Clones share one log; all logs of a stage share one bell, because what one
/// device waits for may become true by what another is shown.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    events: Arc<Mutex<Vec<Event>>>,
    bell: Arc<Notify>,
}

impl Log {
    /// An empty log that rings `bell` when it grows.
    fn new(bell: Arc<Notify>) -> Self {
        Self { events: Arc::default(), bell }
    }

    /// Logs everything `events` says until it ends.
    fn follow(&self, mut events: Events) {
        let log = self.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                log.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                log.bell.notify_waiters();
            }
        });
    }

    /// Everything shown so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the log satisfies `condition`.
    ///
    /// # Errors
    /// It did not within a minute; the message says what was waited for and what was seen last.
    pub(crate) async fn until(
        &self,
        what: &str,
        condition: impl Fn(&[Event]) -> bool,
    ) -> anyhow::Result<()> {
        let held = async {
            loop {
                let grown = self.bell.notified();
                tokio::pin!(grown);
                grown.as_mut().enable();
                if condition(&self.events()) {
                    return;
                }
                grown.await;
            }
        };
        if tokio::time::timeout(wait(), held).await.is_err() {
            bail!(
                "{what} did not happen within {WAIT_SECS_MAX} s; seen last: {:?}",
                last(&self.events())
            );
        }
        Ok(())
    }

    /// Waits until this device holds the group key.
    ///
    /// # Errors
    /// As [`Log::until`].
    pub(crate) async fn entered(&self) -> anyhow::Result<()> {
        let entered =
            |events: &[Event]| events.iter().any(|event| matches!(event, Event::Entered { .. }));
        self.until("getting the group key", entered).await
    }
}

/// The kinds of the last events, without their content.
fn last(events: &[Event]) -> Vec<String> {
    let kind = |event: &Event| match event {
        Event::Message(message) => format!("message {} from {}", message.id, message.from),
        Event::File(file) => format!("file {} from {}", file.name, file.from),
        other => format!("{other:?}"),
    };
    events.iter().rev().take(5).map(kind).collect()
}

/// The longest wait of the demo.
pub(crate) const fn wait() -> Duration {
    Duration::from_secs(WAIT_SECS_MAX)
}
