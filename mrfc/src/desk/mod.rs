//! The desks: one task owns each conference and is the only one that changes it.
//!
//! ```text
//!  front ── ask ──►┐
//!  relays ─ notice ─► Desk: decide ─► Store::append ─► take ─► perform ─► relays, front, directory
//!  time ── tick ──►┘          └─► Refusal
//! ```
//!
//! This file is the handle that others hold; `task` is the desk itself, `asked` what it does with each ask; `registry` finds the desk of a conference;
//! `recover` brings every conference back after a start. A desk knows no SIP and no MSRP.
mod ask;
mod asked;
mod devices;
mod ended;
mod figures;
mod govern;
mod nickname;
mod nouns;
mod overview;
mod recover;
mod registry;
mod seating;
mod task;
#[cfg(test)]
mod tests;
mod watched;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Aor, ConferenceId, SeatId, Seq};
use mls::identity::{FocusKey, Roots};
use mls::wire::DeviceName;
use store::Store;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::charging::Ledger;
use crate::circles::Circles;
use crate::conference::{self, Bounds, NicknamePolicy, Participant, Terms};
use crate::config::Level;
use crate::log::Logs;
use crate::relays::{Heard, Relays};
use ask::{Ask, Made};
use registry::{DeskHandle, Registry};

pub use crate::circles::Bounds as CircleBounds;
pub use crate::conference::{
    Came, CreatorLeaves, Dial, End, Flow, Life, Refusal, Ruling, Shown, Standing, Transport,
};
pub use figures::Figures;
pub use nouns::{Gone, Joiner, NewConference, SeatGiven, SipEffect};
pub use overview::Listed;

/// Seat numbers taken from the store at once. A start wastes fewer than this many.
const SEATS_RESERVED: u32 = 1024;
/// How often making a conference is tried while one of its name is ending.
const CREATE_TRIES: usize = 100;
/// Asks that may wait for one desk; further ones wait for a place.
const ASKS_MAX: usize = 256;

/// What the desks need.
pub struct DeskParts {
    /// Where journals and KeyPackages are kept.
    pub store: Store,
    /// The links to the relays. They are dialled once every conference is recovered.
    pub relays: Relays,
    /// What the relays say.
    pub heard: mpsc::UnboundedReceiver<Heard>,
    /// What device certificates are checked against.
    pub roots: Roots,
    /// What Remove proposals are signed with.
    pub focus: FocusKey,
    /// The domain of conference URIs.
    pub domain: String,
    /// Where SIP effects go.
    pub sip: mpsc::Sender<SipEffect>,
    /// The wall clock: [`service::clock::wall`].
    pub wall: fn() -> SystemTime,
    /// Bounds.
    pub limits: DeskLimits,
    /// The nicknames of every conference.
    pub nicknames: NicknamePolicy,
    /// Where each message of every conference is charged, if it is.
    pub(crate) charging: Option<Ledger>,
    /// Where it is kept what is said, for those who are away.
    pub(crate) logs: Option<Logs>,
}

impl fmt::Debug for DeskParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeskParts").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// The bounds of the desks.
#[derive(Clone, Copy, Debug)]
pub struct DeskLimits {
    /// Conferences at once. 10 000.
    pub conferences_max: usize,
    /// Conferences at once that one person has made. 100: what is never ended ends with its members' certificates, and
    /// until then one person cannot take every place.
    pub conferences_per_person_max: usize,
    /// How long a joiner waits for the relay's seat. 5 s: below the 10 s a front waits.
    pub seated: Duration,
    /// How long whoever removes somebody waits for the relay to have carried it out. 5 s, as above.
    pub confirmed: Duration,
    /// How long whoever asks for a conference that has ended is told so; after that there never was one. 1 h. As many are
    /// remembered as there may be at once.
    pub remembered: Duration,
    /// How long a seat outlives a restart of this focus, which forgets its dialog. 10 minutes.
    pub orphaned: Duration,
    /// The bounds of circles.
    pub circles: CircleBounds,
    /// The bounds of each conference.
    pub conference: Bounds,
}

impl Default for DeskLimits {
    fn default() -> Self {
        Self {
            conferences_max: 10_000,
            conferences_per_person_max: 100,
            seated: Duration::from_secs(5),
            confirmed: Duration::from_secs(5),
            remembered: Duration::from_secs(3600),
            orphaned: Duration::from_secs(600),
            circles: CircleBounds::default(),
            conference: Bounds::default(),
        }
    }
}

/// Why the desks could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed.
    #[error("the store: {0}")]
    Store(#[from] store::Error),
    /// A journal cannot be followed.
    #[error("the journal of {conference}: {why}")]
    Journal {
        /// Whose.
        conference: ConferenceId,
        /// Why.
        why: conference::BadJournal,
    },
    /// A conference that was recovered refused what every start asks.
    #[error("{conference} could not be taken over: {why}")]
    Adopt {
        /// Which.
        conference: ConferenceId,
        /// Why.
        why: Refusal,
    },
}

/// A handle to all desks. Clones share them.
#[derive(Clone)]
pub struct Desks(Arc<Shared>);

impl fmt::Debug for Desks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desks").field("conferences", &self.0.registry.len()).finish()
    }
}

/// What all desks share.
struct Shared {
    store: Store,
    relays: Relays,
    roots: Roots,
    focus: FocusKey,
    domain: String,
    sip: mpsc::Sender<SipEffect>,
    wall: fn() -> SystemTime,
    limits: DeskLimits,
    nicknames: NicknamePolicy,
    charging: Option<Ledger>,
    logs: Option<Logs>,
    circles: Circles,
    registry: Registry,
    counting: figures::Counting,
    seats: Mutex<Range<u64>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Desks {
    /// Recovers every conference from its journal, tells the relays what they should have, and starts the desks.
    ///
    /// # Errors
    /// The store failed, or holds a journal that this program cannot follow.
    pub async fn open(parts: DeskParts) -> Result<Self, OpenError> {
        let DeskParts { store, relays, heard, roots, focus, domain, sip, wall, .. } = parts;
        let (limits, nicknames, charging) = (parts.limits, parts.nicknames, parts.charging);
        let logs = parts.logs;
        let keys = (roots.clone(), focus.clone());
        let shared = Shared {
            circles: Circles::new(store.clone(), keys, wall, limits.circles),
            store,
            relays,
            roots,
            focus,
            domain,
            sip,
            wall,
            limits,
            nicknames,
            charging,
            logs,
            registry: Registry::new(limits.remembered, limits.conferences_max),
            counting: figures::Counting::default(),
            seats: Mutex::new(0..0),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        let desks = Self(Arc::new(shared));
        recover::all(&desks.0).await?;
        desks.0.tasks.spawn(registry::route(Arc::clone(&desks.0), heard));
        desks.0.relays.go();
        Ok(desks)
    }

    /// Makes a conference.
    ///
    /// # Errors
    /// [`Refusal::Exists`], [`Refusal::Full`], [`Refusal::TooManyOwn`], [`Refusal::NoRelay`], or the store failed.
    pub async fn create(&self, new: NewConference) -> Result<ConferenceId, Refusal> {
        let NewConference { id, creator, level, standing } = new;
        let id = id.unwrap_or_else(|| random_name(&mut rand::rng()));
        if self.0.registry.len() >= self.0.limits.conferences_max {
            return Err(Refusal::Full);
        }
        if self.0.registry.made_by(&creator) >= self.0.limits.conferences_per_person_max {
            return Err(Refusal::TooManyOwn);
        }
        // A standing one needs a relay when somebody comes.
        let relay = match &standing {
            Some(_) => None,
            None => Some(self.0.relays.place().ok_or(Refusal::NoRelay)?),
        };
        for _ in 0..CREATE_TRIES {
            let desk = self.0.registry.desk(&id, &creator, |asks, notices| {
                task::spawn_new(&self.0, id.clone(), asks, notices);
            });
            let (reply, answer) = oneshot::channel();
            let (creator, level) = (creator.clone(), level.into());
            let (relay, standing) = (relay.clone(), standing.clone());
            let ask = Ask::Create { new: Made { creator, level, relay, standing }, reply };
            if desk.ask(ask).await.is_ok()
                && let Ok(made) = answer.await
            {
                return made.map(|()| id);
            }
            // The desk of a conference that is just ending; the next one is there in a moment.
            tokio::task::yield_now().await;
        }
        Err(Refusal::NotOwner)
    }

    /// Gives a device a seat, and answers when the relay has it ready.
    ///
    /// # Errors
    /// Why not; [`Refusal::RelaySilent`] if the relay did not answer in time.
    pub async fn join(&self, id: &ConferenceId, joiner: Joiner) -> Result<SeatGiven, Refusal> {
        self.find(id)?;
        let seat = self.0.next_seat().await?;
        self.asked(id, |reply| Ask::Join { seat, joiner, reply }).await
    }

    /// The device that is called for this seat rings.
    pub async fn alerting(&self, id: &ConferenceId, seat: SeatId) {
        if let Some(desk) = self.0.registry.find(id) {
            desk.ask(Ask::Alerting { seat }).await.ok();
        }
    }

    /// The SDP of a seated device came.
    pub async fn answered(&self, id: &ConferenceId, seat: SeatId, peer_path: String, end: End) {
        if let Some(desk) = self.0.registry.find(id) {
            desk.ask(Ask::Answered { seat, peer_path, end }).await.ok();
        }
    }

    /// The dialog of a seat is over. Whoever says this has ended it already, so it waits for nobody.
    pub async fn gone(&self, id: &ConferenceId, seat: SeatId, how: Gone) {
        if let Some(desk) = self.0.registry.find(id) {
            desk.ask(Ask::Gone { seat, how }).await.ok();
        }
    }

    /// Calls somebody into the conference: [`SipEffect::DialOut`] follows.
    ///
    /// # Errors
    /// [`Refusal::NotModerator`], or there is no such conference.
    pub async fn invite(&self, id: &ConferenceId, by: &Aor, who: Aor) -> Result<(), Refusal> {
        let by = by.clone();
        self.asked(id, |reply| Ask::Invite { by, who, reply }).await
    }

    /// Puts somebody out with all devices, or lets somebody leave (`by` is `who`). It answers when the relay has
    /// carried that out: from then on nothing is relayed to them.
    ///
    /// # Errors
    /// [`Refusal::NotModerator`], [`Refusal::NotOnRoster`], [`Refusal::Founder`], or there is no such conference:
    /// nothing has changed. [`Refusal::Unconfirmed`]: they are out for good, and the relay will learn it, but has not
    /// said so in time.
    pub async fn kick(&self, id: &ConferenceId, by: &Aor, who: Aor) -> Result<(), Refusal> {
        let by = by.clone();
        self.asked(id, |reply| Ask::Kick { by, who, reply }).await
    }

    /// The public state of the group ([`mls::wire::GroupState`]), for somebody on the roster; none if there is
    /// no group yet.
    ///
    /// # Errors
    /// There is no such conference, or this person is not on its roster.
    pub async fn group_state(
        &self,
        id: &ConferenceId,
        who: &Aor,
    ) -> Result<Option<Bytes>, Refusal> {
        let who = who.clone();
        self.asked(id, |reply| Ask::GroupState { who, reply }).await
    }

    /// Whether this is a pseudonym that a device of this person has in this conference.
    ///
    /// # Errors
    /// There is no such conference, or it is not.
    pub async fn is_mask(
        &self,
        id: &ConferenceId,
        mask: DeviceName,
        of: &Aor,
    ) -> Result<(), Refusal> {
        let (mask, of) = (Participant::from(&mask), of.clone());
        self.asked(id, |reply| Ask::IsMask { mask, of, reply }).await
    }

    async fn asked<T>(
        &self,
        id: &ConferenceId,
        ask: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Ask,
    ) -> Result<T, Refusal> {
        let desk = self.find(id)?;
        let (reply, answer) = oneshot::channel();
        let answer = match desk.ask(ask(reply)).await {
            Ok(()) => answer.await.map_err(|_| Refusal::NotOwner)?,
            Err(refusal) => Err(refusal),
        };
        // It may have ended while this waited.
        answer.map_err(|refusal| match refusal {
            Refusal::NoSuchConference => self.missing(id),
            other => other,
        })
    }

    /// The groups of people outside of conferences.
    pub(crate) fn circles(&self) -> &Circles {
        &self.0.circles
    }

    fn find(&self, id: &ConferenceId) -> Result<DeskHandle, Refusal> {
        self.0.registry.find(id).ok_or_else(|| self.missing(id))
    }

    /// Why there is no such conference.
    fn missing(&self, id: &ConferenceId) -> Refusal {
        match self.was_here(id) {
            true => Refusal::Over,
            false => Refusal::NoSuchConference,
        }
    }

    /// Whether there was such a conference, not long ago.
    pub fn was_here(&self, id: &ConferenceId) -> bool {
        self.0.registry.was_here(id, self.0.now())
    }

    /// Whether there is such a conference now.
    pub fn exists(&self, id: &ConferenceId) -> bool {
        self.level(id).is_some()
    }

    /// What the relay of this conference may see, if there is such a conference.
    pub fn level(&self, id: &ConferenceId) -> Option<Level> {
        self.0.registry.level(id).map(Level::from)
    }

    /// How many conferences there are.
    pub fn len(&self) -> usize {
        self.0.registry.len()
    }

    /// What the desks have counted.
    pub fn figures(&self) -> Figures {
        self.0.counting.figures()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the desks after what they are doing. Conferences go on at the next start.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.registry.clear();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Shared {
    fn now(&self) -> SystemTime {
        (self.wall)()
    }

    fn terms(&self, id: &ConferenceId) -> Arc<Terms> {
        Arc::new(Terms {
            id: id.clone(),
            domain: self.domain.clone(),
            roots: self.roots.clone(),
            focus: self.focus.clone(),
            bounds: self.limits.conference,
            nicknames: self.nicknames.clone(),
        })
    }

    /// What is left of a conference that is over: that it is. What cannot be forgotten now is at the next start.
    async fn forget(&self, id: &ConferenceId, over: Seq) {
        if let Err(error) = self.store.forget(id, over).await {
            tracing::warn!(conference = %id, %error, "a journal that is over stays");
        }
        if self.logs.is_some()
            && let Err(error) = self.store.forget_log(id).await
        {
            tracing::warn!(conference = %id, %error, "a log that is over stays for now");
        }
    }

    /// A seat number that was never used.
    async fn next_seat(&self) -> Result<SeatId, Refusal> {
        let mut seats = self.seats.lock().await;
        if seats.is_empty() {
            // Where the database is an old copy, a relay may have people at the seats that would come next: so the numbers
            // run with the milliseconds, and a start gives out none of an earlier time.
            let least = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let least = u64::try_from(least.as_millis()).unwrap_or_default();
            let reserved = self.store.reserve_after("seats", least, SEATS_RESERVED).await;
            *seats = reserved.map_err(|error| {
                tracing::warn!(%error, "no seat number");
                Refusal::StoreFailed
            })?;
        }
        seats.next().map(SeatId).ok_or(Refusal::StoreFailed)
    }
}

/// 128 random bits, so that nobody guesses a conference.
fn random_name(rng: &mut impl rand::RngCore) -> ConferenceId {
    let mut octets = [0_u8; 16];
    rng.fill_bytes(&mut octets);
    let name = format!("c{}", hex::encode(octets));
    name.parse().expect("a letter and hexadecimal digits are a name")
}

impl From<Level> for conference::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Sealed => Self::Sealed,
            Level::Open => Self::Open,
        }
    }
}

impl From<conference::Level> for Level {
    fn from(level: conference::Level) -> Self {
        match level {
            conference::Level::Sealed => Self::Sealed,
            conference::Level::Open => Self::Open,
        }
    }
}
