//! Who watches which conference, and what each was told. Pure bookkeeping.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use ids::{Aor, ConferenceId};
use sip::conference_info::{ConferenceInfo, User};
use sip::dialog::{Dialog, DialogId};
use sip::endpoint::{FlowId, TransactionKey};
use sip::header::Event;

use super::document::Eyes;
use crate::conference::Scene;

/// A subscription (RFC 6665).
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) dialog: Dialog,
    pub(super) conference: ConferenceId,
    pub(super) person: Aor,
    pub(super) flow: FlowId,
    /// As it was asked for, with its `id`.
    pub(super) event: Event,
    pub(super) until: Instant,
    /// What it was told; none before the first notification.
    pub(super) told: Option<ConferenceInfo>,
    /// When.
    pub(super) last: Instant,
    /// It has to hear of something.
    pub(super) behind: bool,
    /// The notification that is not answered yet.
    pub(super) unanswered: Option<TransactionKey>,
}

/// The document of a conference, and who has just gone.
pub(super) type Shown = Arc<(ConferenceInfo, Vec<User>)>;

/// A conference that somebody watches.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) looked: Instant,
    /// It has changed since.
    pub(super) changed: bool,
    /// Somebody is asking the desk.
    pub(super) looking: bool,
    /// As it was then, for moderators and for others: the document, and who has just gone.
    pub(super) shown: Option<[Shown; 2]>,
    pub(super) scene: Arc<Scene>,
}

impl Watched {
    /// The document for these eyes.
    pub(super) fn shown(&mut self, eyes: Eyes) -> Shown {
        let scene = &self.scene;
        let [moderator, other] = self.shown.get_or_insert_with(|| {
            [Eyes::Moderator, Eyes::Other].map(|eyes| {
                let document = super::document::document(scene, eyes);
                Arc::new((document, super::document::departures(scene, eyes)))
            })
        });
        Arc::clone(if eyes == Eyes::Moderator { moderator } else { other })
    }
}

/// Everybody who watches.
#[derive(Debug, Default)]
pub(in crate::front) struct Watchers {
    watchers: HashMap<DialogId, Watcher>,
    of: HashMap<ConferenceId, HashSet<DialogId>>,
    on: HashMap<FlowId, usize>,
    notifies: HashMap<TransactionKey, DialogId>,
    pub(super) watched: HashMap<ConferenceId, Watched>,
}

impl Watchers {
    /// How many there are.
    pub(in crate::front) fn len(&self) -> usize {
        self.watchers.len()
    }

    /// How many there are on one connection.
    pub(super) fn len_on(&self, flow: FlowId) -> usize {
        self.on.get(&flow).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, watcher: Watcher) {
        let id = watcher.dialog.id().clone();
        self.remove(&id);
        self.of.entry(watcher.conference.clone()).or_default().insert(id.clone());
        *self.on.entry(watcher.flow).or_default() += 1;
        self.watchers.insert(id, watcher);
    }

    pub(super) fn find(&mut self, id: &DialogId) -> Option<&mut Watcher> {
        self.watchers.get_mut(id)
    }

    /// The connection of a watcher is another one now.
    pub(super) fn moved(&mut self, id: &DialogId, flow: FlowId) {
        let Some(watcher) = self.watchers.get_mut(id) else { return };
        let former = std::mem::replace(&mut watcher.flow, flow);
        self.left(former);
        *self.on.entry(flow).or_default() += 1;
    }

    pub(super) fn remove(&mut self, id: &DialogId) -> Option<Watcher> {
        let watcher = self.watchers.remove(id)?;
        self.left(watcher.flow);
        if let Some(key) = watcher.unanswered {
            self.notifies.remove(&key);
        }
        if let Some(of) = self.of.get_mut(&watcher.conference) {
            of.remove(id);
            if of.is_empty() {
                self.of.remove(&watcher.conference);
                self.watched.remove(&watcher.conference);
            }
        }
        Some(watcher)
    }

    fn left(&mut self, flow: FlowId) {
        if let Some(count) = self.on.get_mut(&flow) {
            *count -= 1;
            if *count == 0 {
                self.on.remove(&flow);
            }
        }
    }

    /// Those who watch this conference.
    pub(super) fn of(&self, conference: &ConferenceId) -> Vec<DialogId> {
        self.of.get(conference).into_iter().flatten().cloned().collect()
    }

    /// Those this is true of.
    pub(super) fn which(&self, is: impl Fn(&Watcher) -> bool) -> Vec<DialogId> {
        self.watchers.iter().filter(|(_, it)| is(it)).map(|(id, _)| id.clone()).collect()
    }

    /// A notification is on its way.
    pub(super) fn sent(&mut self, id: &DialogId, key: TransactionKey) {
        if let Some(watcher) = self.watchers.get_mut(id) {
            watcher.unanswered = Some(key);
            self.notifies.insert(key, id.clone());
        }
    }

    /// Whose notification this was.
    pub(super) fn answered(&mut self, key: TransactionKey) -> Option<DialogId> {
        let id = self.notifies.remove(&key)?;
        if let Some(watcher) = self.watchers.get_mut(&id) {
            watcher.unanswered = None;
        }
        Some(id)
    }
}
