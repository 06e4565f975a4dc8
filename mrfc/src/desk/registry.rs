//! Finds the desk of a conference. The map is touched only here, and only for a moment: what leaves is a clone.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use dashmap::mapref::multiple::RefMulti;
use ids::{Aor, ConferenceId};
use tokio::sync::mpsc;
use tracing::debug;

use super::ask::{Ask, FromRelay};
use super::ended::Ended;
use super::overview::Listed;
use super::{ASKS_MAX, Shared};
use crate::conference::{Level, Refusal};
use crate::relays::Heard;

/// The ways to one desk.
#[derive(Clone)]
pub(super) struct DeskHandle {
    asks: mpsc::Sender<Ask>,
    /// Unbounded here, because bounded at its source: a relay holds its notices back until earlier ones are done.
    notices: mpsc::UnboundedSender<(Arc<str>, FromRelay)>,
    creator: Aor,
    level: Option<Level>,
}

impl DeskHandle {
    pub(super) async fn ask(&self, ask: Ask) -> Result<(), Refusal> {
        self.asks.send(ask).await.map_err(|_| Refusal::NoSuchConference)
    }
}

/// The receiving ends, for the desk.
pub(super) type Asks = mpsc::Receiver<Ask>;
pub(super) type Notices = mpsc::UnboundedReceiver<(Arc<str>, FromRelay)>;

/// Every desk by its conference, and the conferences that were here a while ago.
pub(super) struct Registry {
    desks: DashMap<ConferenceId, DeskHandle>,
    ended: Mutex<Ended>,
}

impl Registry {
    pub(super) fn new(remembered: Duration, remembered_max: usize) -> Self {
        let ended = Mutex::new(Ended::new(remembered, remembered_max));
        Self { desks: DashMap::new(), ended }
    }

    fn ended_ones(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conference is over. Later asks find no desk.
    pub(super) fn ended(&self, id: &ConferenceId, now: SystemTime) {
        self.ended_ones().add(id, now);
        self.remove(id);
    }

    /// Whether there was such a conference, not long ago.
    pub(super) fn was_here(&self, id: &ConferenceId, now: SystemTime) -> bool {
        self.ended_ones().has(id, now)
    }

    /// The conference counts as this person's.
    pub(super) fn inherited(&self, id: &ConferenceId, creator: &Aor) {
        if let Some(mut desk) = self.desks.get_mut(id) {
            desk.creator.clone_from(creator);
        }
    }

    /// The desk of this conference; a new one if there is none.
    pub(super) fn desk(
        &self,
        id: &ConferenceId,
        creator: &Aor,
        start: impl FnOnce(Asks, Notices),
    ) -> DeskHandle {
        match self.desks.entry(id.clone()) {
            Entry::Occupied(there) => there.get().clone(),
            Entry::Vacant(place) => {
                let (asks, asked) = mpsc::channel(ASKS_MAX);
                let (notices, noticed) = mpsc::unbounded_channel();
                let handle = DeskHandle { asks, notices, creator: creator.clone(), level: None };
                place.insert(handle.clone());
                start(asked, noticed);
                handle
            }
        }
    }

    pub(super) fn find(&self, id: &ConferenceId) -> Option<DeskHandle> {
        self.desks.get(id).map(|desk| desk.clone())
    }

    /// The conference is made: others may see it.
    pub(super) fn opened(&self, id: &ConferenceId, level: Level) {
        self.ended_ones().remove(id);
        if let Some(mut desk) = self.desks.get_mut(id) {
            desk.level = Some(level);
        }
    }

    /// The level of a conference that is made.
    pub(super) fn level(&self, id: &ConferenceId) -> Option<Level> {
        self.desks.get(id).and_then(|desk| desk.level)
    }

    /// Every conference that is made; how many are in it is not known here.
    pub(super) fn made(&self) -> Vec<Listed> {
        let listed = |desk: RefMulti<'_, ConferenceId, DeskHandle>| {
            let (id, creator, level) = (desk.key().clone(), desk.creator.clone(), desk.level?);
            Some(Listed { id, creator, level, participants: 0, members: 0 })
        };
        self.desks.iter().filter_map(listed).collect()
    }

    /// The desk ends. Later asks find none.
    pub(super) fn remove(&self, id: &ConferenceId) {
        self.desks.remove(id);
    }

    pub(super) fn clear(&self) {
        self.desks.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.desks.len()
    }

    /// How many of them this person has made.
    pub(super) fn made_by(&self, creator: &Aor) -> usize {
        self.desks.iter().filter(|desk| desk.creator == *creator).count()
    }

    fn all(&self) -> Vec<DeskHandle> {
        self.desks.iter().map(|desk| desk.clone()).collect()
    }
}

/// Brings what the relays say to the desks, until the links end or the desks are stopped.
pub(super) async fn route(shared: Arc<Shared>, mut heard: mpsc::UnboundedReceiver<Heard>) {
    while let Some(heard) = tokio::select! {
        heard = heard.recv() => heard,
        () = shared.stopping.cancelled() => None,
    } {
        match heard {
            Heard::Notice { relay, conference, notice, done } => {
                let Some(desk) = shared.registry.find(&conference) else {
                    debug!(%conference, ?notice, "a notice about no conference of ours");
                    continue;
                };
                desk.notices.send((relay, FromRelay::Notice { notice, done })).ok();
            }
            Heard::Restarted { relay } => {
                for desk in shared.registry.all() {
                    desk.notices.send((Arc::clone(&relay), FromRelay::Restarted)).ok();
                }
            }
        }
    }
}
