//! The conference event package (RFC 4575, RFC 6665): who watches a conference is told who is in it, at once when they
//! begin and then at most once in a while, in one notification for all that has changed.
//!
//! ```text
//! SUBSCRIBE ─► Desks::scene ─► 200, NOTIFY full
//! SipEffect::Changed ─► Desks::scene (once a second at most) ─► each watcher: NOTIFY partial, when its pace allows
//! ```
mod document;
mod notify;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ids::{Aor, ConferenceId};
use service::clock;
use sip::conference_info::{EVENT, MEDIA_TYPE};
use sip::dialog::{Dialog, DialogId, random_tag};
use sip::endpoint::{FlowId, TransactionKey};
use sip::header::{Event, Name};
use sip::{Request, Response, Status};

use super::answers::overloaded;
use super::dispatch::Reply;
use super::target::Target;
use super::{Done, Front, WhatFor, refusal};
use crate::conference::Scene;
use crate::desk::Refusal;
use notify::Last;
pub(super) use table::Watchers;
use table::{Watched, Watcher};

/// How often a desk is asked for the scene of a conference that keeps changing.
const LOOK: Duration = Duration::from_secs(1);

/// The event packages served here.
pub(super) const ALLOW_EVENTS: &str = "conference, refer";

/// A SUBSCRIBE that waits for the desk.
#[derive(Debug)]
pub(super) struct Asked {
    conference: ConferenceId,
    person: Aor,
    flow: FlowId,
    event: Event,
    secs: u32,
    /// The subscription it refreshes or ends.
    known: Option<DialogId>,
}

/// What the desk showed.
#[derive(Debug)]
pub(super) struct Looked {
    conference: ConferenceId,
    scene: Result<Scene, Refusal>,
}

impl Front {
    /// SUBSCRIBE: begins, refreshes or ends a subscription, or only fetches (`Expires: 0`).
    pub(super) fn subscribe(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        person: Aor,
    ) -> Reply {
        let known = match request.headers.to().is_ok_and(|to| to.tag().is_some()) {
            true => Some(self.known_watcher(flow, request, &person)?),
            false => None,
        };
        let event = event_of(request)?;
        accepted(request)?;
        let secs = self.secs_of(request)?;
        let conference = match (&known, self.target(request)) {
            (Some(id), _) => self.watchers.find(id).map(|watcher| watcher.conference.clone()),
            (None, Target::Conference(conference)) => Some(conference),
            (None, _) => None,
        };
        let conference = conference.ok_or_else(|| Response::to(request, Status::NOT_FOUND))?;
        let limits = &self.config.limits;
        if known.is_none()
            && (self.watchers.len() >= limits.subscriptions_max
                || self.watchers.len_on(flow) >= limits.subscriptions_per_connection_max)
        {
            return Err(overloaded(request));
        }
        let asked = Asked { conference: conference.clone(), person, flow, event, secs, known };
        let desks = self.desks.clone();
        let work = async move {
            let scene = desks.scene(&conference).await;
            Done::Subscribed(key, Box::new((asked, scene)))
        };
        let begun = self.calls.begin(self.config.limits.call(), WhatFor::Request(key), work);
        begun.map(|()| None).map_err(|_| overloaded(request))
    }

    /// The subscription that a SUBSCRIBE in a dialog is about.
    fn known_watcher(
        &mut self,
        flow: FlowId,
        request: &Request,
        person: &Aor,
    ) -> Result<DialogId, Response> {
        let nothing = || Response::to(request, Status::NO_SUCH_DIALOG);
        let id = DialogId::of_request(request).ok_or_else(nothing)?;
        if self.dialogs.find(&id).is_some_and(|call| call.person == *person) {
            // RFC 5057, 5.1: sharing a dialog between usages is not worth its trouble.
            let refused = Response::to(request, Status::FORBIDDEN);
            return Err(refused.with_reason("Subscribe In A Dialog Of Its Own"));
        }
        let watcher = self.watchers.find(&id).filter(|watcher| watcher.person == *person);
        let watcher = watcher.ok_or_else(nothing)?;
        watcher.dialog.receive(request).map_err(|why| why.response(request, &mut self.rng))?;
        self.watchers.moved(&id, flow);
        Ok(id)
    }

    /// For how long (RFC 6665, 4.2.1.1).
    fn secs_of(&self, request: &Request) -> Result<u32, Response> {
        let limits = &self.config.limits;
        let bad = |_| Response::to(request, Status::BAD_REQUEST);
        let asked = request.headers.expires().map_err(bad)?;
        match asked.unwrap_or(limits.subscribe_secs_default) {
            0 => Ok(0),
            secs if secs < limits.subscribe_secs_min => {
                Err(Response::to(request, Status::INTERVAL_TOO_BRIEF)
                    .with(Name::MinExpires, limits.subscribe_secs_min))
            }
            secs => Ok(secs.min(limits.subscribe_secs_max)),
        }
    }

    /// The desk has shown what a SUBSCRIBE is about.
    pub(super) fn subscribed(
        &mut self,
        key: TransactionKey,
        asked: Asked,
        scene: Result<Scene, Refusal>,
    ) {
        let Some(request) = self.request(key) else { return };
        let open = self.config.conferences.watchers == crate::config::Watchers::Everybody;
        let admitted = scene.and_then(|scene| {
            scene.admits(&asked.person, open)?;
            Ok(scene)
        });
        let scene = match admitted {
            Ok(scene) => scene,
            Err(refused) => {
                let response = refusal::response(&request, &refused, &self.domain);
                self.respond(key, response);
                if let Some(id) = asked.known {
                    self.end_watch(&id, "rejected");
                }
                return;
            }
        };
        let now = clock::now();
        let until = now + Duration::from_secs(u64::from(asked.secs));
        let tag = random_tag(&mut self.rng);
        let mut response = Response::to(&request, Status::OK)
            .with_to_tag(&tag)
            .with(Name::Expires, asked.secs)
            .with(Name::AllowEvents, ALLOW_EVENTS);
        if let Some(contact) = self.contact(&asked.conference, false) {
            response = response.with(Name::Contact, contact);
        }
        let id = match asked.known {
            Some(id) => {
                let Some(watcher) = self.watchers.find(&id) else {
                    return self.answer(key, Status::NO_SUCH_DIALOG);
                };
                watcher.until = until;
                watcher.dialog.responded(&request, &response);
                id
            }
            None => {
                let Ok(dialog) = Dialog::uas(&request, &response) else {
                    return self.answer(key, Status::BAD_REQUEST);
                };
                let id = dialog.id().clone();
                self.watchers.add(Watcher {
                    dialog,
                    conference: asked.conference.clone(),
                    person: asked.person,
                    flow: asked.flow,
                    event: asked.event,
                    until,
                    told: None,
                    last: now,
                    behind: false,
                    unanswered: None,
                });
                id
            }
        };
        self.respond(key, response);
        self.seen(asked.conference, scene, now);
        if asked.secs == 0 {
            // RFC 6665, 4.4.3: a fetch is answered by one notification, which is the last.
            self.tell_all(&id, Last::Yes("timeout"));
            self.watchers.remove(&id);
        } else {
            self.tell_all(&id, Last::No);
        }
        self.catch_up(now);
    }

    /// A conference as it is now.
    fn seen(&mut self, conference: ConferenceId, scene: Scene, looked: Instant) {
        let scene = Arc::new(scene);
        for id in self.watchers.of(&conference) {
            if let Some(watcher) = self.watchers.find(&id) {
                watcher.behind = true;
            }
        }
        match self.watchers.watched.get_mut(&conference) {
            Some(watched) => (watched.looked, watched.scene, watched.shown) = (looked, scene, None),
            None => {
                // Word of a change may have come before anybody was known to watch: it is looked at once more.
                let (changed, looking, shown) = (true, false, None);
                let watched = Watched { looked, changed, looking, shown, scene };
                self.watchers.watched.insert(conference, watched);
            }
        }
    }

    /// A conference that is watched has changed.
    pub(super) fn scene_changed(&mut self, conference: &ConferenceId) {
        if let Some(watched) = self.watchers.watched.get_mut(conference) {
            watched.changed = true;
            self.look(conference, clock::now());
        }
    }

    fn look(&mut self, conference: &ConferenceId, now: Instant) {
        let Some(watched) = self.watchers.watched.get_mut(conference) else { return };
        if !watched.changed || watched.looking || now < watched.looked + LOOK {
            return;
        }
        // What is said from now on is about what is not seen yet.
        (watched.changed, watched.looking) = (false, true);
        let (desks, conference) = (self.desks.clone(), conference.clone());
        self.calls.must(
            self.config.limits.call(),
            WhatFor::Scene(conference.clone()),
            async move {
                let scene = desks.scene(&conference).await;
                Done::Looked(Box::new(Looked { conference, scene }))
            },
        );
    }

    /// The desk has shown a conference that had changed.
    pub(super) fn looked(&mut self, looked: Looked) {
        let Looked { conference, scene } = looked;
        let now = clock::now();
        if let Some(watched) = self.watchers.watched.get_mut(&conference) {
            watched.looking = false;
        }
        match scene {
            Ok(scene) => {
                let open = self.config.conferences.watchers == crate::config::Watchers::Everybody;
                for id in self.watchers.of(&conference) {
                    let person = self.watchers.find(&id).map(|watcher| watcher.person.clone());
                    if person.is_some_and(|person| scene.admits(&person, open).is_err()) {
                        self.end_watch(&id, "rejected");
                    }
                }
                if !self.watchers.of(&conference).is_empty() {
                    self.seen(conference, scene, now);
                }
            }
            Err(Refusal::NoSuchConference) => self.scene_gone(&conference),
            Err(_) => self.not_looked(&conference),
        }
        self.catch_up(now);
    }

    /// Nobody has answered; it is asked again.
    pub(super) fn not_looked(&mut self, conference: &ConferenceId) {
        if let Some(watched) = self.watchers.watched.get_mut(conference) {
            (watched.looking, watched.changed) = (false, true);
            watched.looked = clock::now();
        }
    }

    /// Every second: what has run out, what has to be looked at again, who is behind.
    pub(super) fn watchers_due(&mut self, now: Instant) {
        for id in self.watchers.which(|watcher| watcher.until <= now) {
            self.end_watch(&id, "timeout");
        }
        let changed = self.watchers.watched.iter().filter(|(_, watched)| watched.changed);
        let changed: Vec<ConferenceId> =
            changed.map(|(conference, _)| conference.clone()).collect();
        for conference in changed {
            self.look(&conference, now);
        }
        self.catch_up(now);
    }

    /// The connection is gone, and nobody can be told on it.
    pub(super) fn lost_watchers(&mut self, flow: FlowId) {
        for id in self.watchers.which(|watcher| watcher.flow == flow) {
            self.watchers.remove(&id);
        }
    }

    /// Another connection of the same peer takes over.
    pub(super) fn move_watchers(&mut self, from: FlowId, to: FlowId) {
        for id in self.watchers.which(|watcher| watcher.flow == from) {
            self.watchers.moved(&id, to);
        }
    }
}

/// RFC 6665, 4.2.1.3: an event that nobody here tells of is 489, and the answer says which are.
fn event_of(request: &Request) -> Result<Event, Response> {
    match request.headers.event() {
        Ok(event) if event.package == EVENT => Ok(event),
        _ => {
            let refused = Response::to(request, Status::BAD_EVENT);
            Err(refused.with(Name::AllowEvents, ALLOW_EVENTS))
        }
    }
}

/// RFC 4575, 3.4: who says nothing takes the usual document; who takes other ones only is told 406.
fn accepted(request: &Request) -> Result<(), Response> {
    let takes = |element: String| {
        let essence = element.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(essence.as_str(), MEDIA_TYPE | "application/*" | "*/*")
    };
    let named = request.headers.has(&Name::Accept);
    if !named || request.headers.elements(&Name::Accept).any(takes) {
        return Ok(());
    }
    Err(Response::to(request, Status::NOT_ACCEPTABLE).with(Name::Accept, MEDIA_TYPE))
}
