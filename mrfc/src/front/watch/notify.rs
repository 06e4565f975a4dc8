//! NOTIFY: what a watcher is told, and what becomes of it. A watcher that has not answered is told nothing more until it
//! has, or is forgotten (RFC 6665, 4.2.2).
use std::sync::Arc;
use std::time::{Duration, Instant};

use ids::{Aor, ConferenceId};
use service::clock;
use sip::conference_info::{ConferenceInfo, MEDIA_TYPE, State};
use sip::dialog::DialogId;
use sip::endpoint::TransactionKey;
use sip::header::{Name, SubscriptionState};
use sip::{Method, Response};

use super::super::Front;
use super::document::{Eyes, change};
use crate::conference::Scene;

/// Whether a subscription ends with a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    No,
    /// It does, and this is why.
    Yes(&'static str),
}

/// A change that names more than this part of the people is told as the whole.
const PARTIAL_PART: usize = 2;

impl Front {
    /// Tells a watcher all there is.
    pub(super) fn tell_all(&mut self, id: &DialogId, last: Last) {
        let Some((person, conference)) = self.whom(id) else { return };
        let Some(watched) = self.watchers.watched.get_mut(&conference) else { return };
        let shown = watched.shown(eyes(&watched.scene, &person));
        let Some(watcher) = self.watchers.find(id) else { return };
        let version = watcher.told.as_ref().map_or(1, |told| told.version.wrapping_add(1));
        let document = ConferenceInfo { version, ..shown.0.clone() };
        watcher.told = Some(document.clone());
        watcher.behind = false;
        self.notify_watcher(id, Some(&document), last);
    }

    /// Tells those who are behind what has changed, as far as their pace allows.
    pub(super) fn catch_up(&mut self, now: Instant) {
        let pace = Duration::from_secs(self.config.conferences.notify_secs);
        let due = self.watchers.which(|watcher| {
            watcher.behind && watcher.unanswered.is_none() && now >= watcher.last + pace
        });
        for id in due {
            self.tell_change(&id);
        }
    }

    fn tell_change(&mut self, id: &DialogId) {
        let Some((person, conference)) = self.whom(id) else { return };
        let Some(watched) = self.watchers.watched.get_mut(&conference) else { return };
        let shown = watched.shown(eyes(&watched.scene, &person));
        let Some(watcher) = self.watchers.find(id) else { return };
        let Some(told) = watcher.told.as_mut() else { return self.tell_all(id, Last::No) };
        let Some(partial) = change(told, &shown.0, &shown.1) else {
            watcher.behind = false;
            return;
        };
        if partial.users.len() > shown.0.users.len() / PARTIAL_PART
            && partial.users.iter().all(|user| user.state == State::Full && !user.is_gone())
            && partial.users.len() > 1
        {
            return self.tell_all(id, Last::No);
        }
        if told.follow(partial.clone()).is_err() {
            return self.tell_all(id, Last::No);
        }
        // Whoever was told as disconnected is told as deleted the next time.
        watcher.behind = change(told, &shown.0, &shown.1).is_some();
        self.notify_watcher(id, Some(&partial), Last::No);
    }

    /// The conference is no more: everybody who watches it is told so, once.
    pub(in crate::front) fn scene_gone(&mut self, conference: &ConferenceId) {
        for id in self.watchers.of(conference) {
            let Some(watcher) = self.watchers.find(&id) else { continue };
            let told = watcher.told.as_ref();
            let version = told.map_or(1, |told| told.version.wrapping_add(1));
            let uri = told.map_or_else(String::new, |told| told.entity.clone());
            let document = ConferenceInfo::deleted(&uri, version);
            self.notify_watcher(&id, Some(&document), Last::Yes("noresource"));
            self.watchers.remove(&id);
        }
    }

    /// Ends a subscription, and says why.
    pub(super) fn end_watch(&mut self, id: &DialogId, why: &'static str) {
        self.notify_watcher(id, None, Last::Yes(why));
        self.watchers.remove(id);
    }

    fn notify_watcher(&mut self, id: &DialogId, document: Option<&ConferenceInfo>, last: Last) {
        let now = clock::now();
        let Some(watcher) = self.watchers.find(id) else { return };
        let Ok(notify) = watcher.dialog.request(Method::Notify) else { return };
        let left = watcher.until.saturating_duration_since(now).as_secs();
        let state = match last {
            Last::No => SubscriptionState::active(u32::try_from(left).unwrap_or(u32::MAX)),
            Last::Yes(why) => SubscriptionState::terminated(why),
        };
        watcher.last = now;
        let notify = notify
            .with(Name::Event, &watcher.event)
            .with(Name::SubscriptionState, state)
            .with(Name::AllowEvents, super::ALLOW_EVENTS);
        let notify = match document {
            Some(document) => notify.with_body(MEDIA_TYPE, document.to_xml()),
            None => notify,
        };
        let flow = watcher.flow;
        let key = self.endpoint.request(now, flow, notify);
        self.watchers.sent(id, key);
    }

    /// The answer to a notification: whether it was one.
    pub(in crate::front) fn watcher_answered(
        &mut self,
        key: TransactionKey,
        response: &Response,
    ) -> bool {
        if response.status.is_provisional() {
            return false;
        }
        let Some(id) = self.watchers.answered(key) else { return false };
        if response.status.is_success() {
            if let Some(watcher) = self.watchers.find(&id) {
                watcher.dialog.answered(response);
            }
            self.catch_up(clock::now());
        } else {
            // RFC 6665, 4.2.2: whoever does not take it has no subscription.
            self.watchers.remove(&id);
        }
        true
    }

    /// A notification gets no answer: whether it was one.
    pub(in crate::front) fn watcher_lost(&mut self, key: TransactionKey) -> bool {
        let Some(id) = self.watchers.answered(key) else { return false };
        self.watchers.remove(&id);
        true
    }

    fn whom(&mut self, id: &DialogId) -> Option<(Aor, ConferenceId)> {
        let watcher = self.watchers.find(id)?;
        Some((watcher.person.clone(), watcher.conference.clone()))
    }
}

fn eyes(scene: &Arc<Scene>, person: &Aor) -> Eyes {
    if scene.is_moderator(person) { Eyes::Moderator } else { Eyes::Other }
}
