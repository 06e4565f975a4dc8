//! A guest: it comes and goes at its times and notes how long that takes, from the time it was meant to. Whatever it is
//! shown in between is noted like everybody's.
use std::sync::Arc;
use std::time::Duration;

use client::{Conference, Device, Event, Events};
use tokio::sync::watch;

use super::seat::{self, Joined, Known};
use super::{Hub, give_up};
use crate::acts::{Guest, Turn, What};
use crate::book::{Change, Measure, Note};
use crate::stage::Stage;

/// Where a guest is.
#[derive(Debug)]
enum Whereabouts {
    /// In its seat.
    In { device: Device, conference: Arc<Conference>, events: Events },
    /// In its seat and not reading.
    Deaf { device: Device, conference: Arc<Conference>, events: Events },
    /// Put out, and still listening to what it must not hear.
    Out { device: Device, events: Events },
    /// Not there, or not yet.
    Away(Option<Known>),
}

/// What a guest does in a run.
#[derive(Debug)]
pub(super) struct Visit {
    stage: Arc<Stage>,
    guest: Guest,
    moderator: Arc<Conference>,
    is: Whereabouts,
    hub: Hub,
}

impl Visit {
    pub(super) fn new(
        stage: Arc<Stage>,
        guest: Guest,
        moderator: Arc<Conference>,
        inside: Option<(Device, Arc<Conference>, Events)>,
        hub: Hub,
    ) -> Self {
        let is = match inside {
            Some((device, conference, events)) => Whereabouts::In { device, conference, events },
            None => Whereabouts::Away(None),
        };
        Self { stage, guest, moderator, is, hub }
    }

    /// Does everything at its time, then only listens, until it is told to leave for good.
    pub(super) async fn play(mut self, mut leaving: watch::Receiver<bool>) {
        for cue in self.guest.cues.clone() {
            let time = self.hub.start + cue.at;
            while let Some(event) = tokio::select! {
                biased;
                () = told(&mut leaving) => return self.depart().await,
                event = self.next(time) => event,
            } {
                self.heard(event).await;
            }
            match cue.turn {
                Turn::In => self.come(cue.at).await,
                Turn::Out => self.go(cue.at).await,
            }
        }
        loop {
            let Some(events) = self.events() else {
                told(&mut leaving).await;
                return self.depart().await;
            };
            let event = tokio::select! {
                biased;
                () = told(&mut leaving) => return self.depart().await,
                event = events.next() => event,
            };
            match event {
                Some(event) => self.heard(event).await,
                None => self.lose(),
            }
        }
    }

    /// Is a member no more, wherever it is. Who is away comes back for that.
    async fn depart(mut self) {
        let was_away = match &self.is {
            Whereabouts::Away(known) => known.is_some(),
            Whereabouts::In { .. } | Whereabouts::Deaf { .. } | Whereabouts::Out { .. } => false,
        };
        let is_member = matches!(self.guest.act.what, What::Away | What::Vanish | What::Pause);
        if was_away && is_member {
            let now = self.hub.now();
            self.come(now).await;
        }
        match self.is {
            Whereabouts::In { device, conference, .. }
            | Whereabouts::Deaf { device, conference, .. } => {
                if let Some(conference) = Arc::into_inner(conference) {
                    // The run is over; what is left behind is the system's.
                    let _left = conference.leave().await;
                }
                give_up(device).await;
            }
            Whereabouts::Out { device, .. } | Whereabouts::Away(Some(Known::Running(device))) => {
                give_up(device).await;
            }
            Whereabouts::Away(_) => {}
        }
    }

    fn events(&mut self) -> Option<&mut Events> {
        match &mut self.is {
            Whereabouts::In { events, .. } | Whereabouts::Out { events, .. } => Some(events),
            Whereabouts::Deaf { .. } | Whereabouts::Away(_) => None,
        }
    }

    /// The next event until then.
    async fn next(&mut self, until: std::time::Instant) -> Option<Event> {
        loop {
            let Some(events) = self.events() else {
                tokio::time::sleep_until(until.into()).await;
                return None;
            };
            let event = tokio::select! {
                biased;
                () = tokio::time::sleep_until(until.into()) => return None,
                event = events.next() => event,
            };
            match event {
                Some(event) => return Some(event),
                None => self.lose(),
            }
        }
    }

    /// The seat is gone.
    fn lose(&mut self) {
        self.is = match std::mem::replace(&mut self.is, Whereabouts::Away(None)) {
            Whereabouts::In { device, .. }
            | Whereabouts::Deaf { device, .. }
            | Whereabouts::Out { device, .. } => Whereabouts::Away(Some(Known::Running(device))),
            away @ Whereabouts::Away(_) => away,
        };
    }

    async fn heard(&mut self, event: Event) {
        let ended = matches!(event, Event::Ended { .. } | Event::Removed);
        if !ended {
            if let Some(note) = self.hub.noted(self.guest.place, event) {
                // A run that is over takes no more notes.
                let _over = self.hub.note(note).await;
            }
            return;
        }
        let was_in = matches!(self.is, Whereabouts::In { .. });
        self.lose();
        if was_in {
            self.hub.change(Change::Lost { who: self.guest.place }).await;
            // Who was cut off for not reading wants to go on.
            if self.guest.act.what == What::Pause {
                let now = self.hub.now();
                self.come(now).await;
            }
        }
    }

    async fn go(&mut self, meant: Duration) {
        let who = self.guest.place;
        let is = std::mem::replace(&mut self.is, Whereabouts::Away(None));
        let Whereabouts::In { device, conference, events } = is else {
            self.is = is;
            return;
        };
        let what = self.guest.act.what;
        if what == What::Pause {
            self.is = Whereabouts::Deaf { device, conference, events };
            return;
        }
        let changes = matches!(what, What::Join | What::Leave | What::Kick);
        self.hub.change(Change::Going { who, meant: changes.then_some(meant) }).await;
        self.is = match what {
            What::Kick => self.kicked(meant, device, events).await,
            What::Vanish => {
                let credential = device.credential().clone();
                drop((conference, events));
                device.vanish().await;
                Whereabouts::Away(Some(Known::Stopped(credential)))
            }
            _ => {
                // The handle is ours alone: nobody else holds a guest's.
                if let Some(conference) = Arc::into_inner(conference) {
                    self.hang_up(conference, what).await;
                }
                Whereabouts::Away(Some(Known::Running(device)))
            }
        };
    }

    async fn hang_up(&self, conference: Conference, what: What) {
        if what == What::Away {
            conference.away().await;
        } else if let Err(error) = conference.leave().await {
            self.hub.change(Change::Failed { what: "leaving", why: error.to_string() }).await;
        }
    }

    async fn kicked(&self, meant: Duration, device: Device, events: Events) -> Whereabouts {
        let who = self.guest.place;
        let removed = match self.stage.aor(who) {
            Ok(aor) => self.moderator.kick(&aor).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match removed {
            Ok(()) => {
                let at = self.hub.now();
                self.hub.change(Change::Kicked { who, at }).await;
                let time = at.saturating_sub(meant);
                let _over = self.hub.note(Note::Took { what: Measure::Kick, time }).await;
            }
            Err(why) => self.hub.change(Change::Failed { what: "removing", why }).await,
        }
        Whereabouts::Out { device, events }
    }

    async fn come(&mut self, meant: Duration) {
        let who = self.guest.place;
        let known = match std::mem::replace(&mut self.is, Whereabouts::Away(None)) {
            Whereabouts::In { device, conference, events }
            | Whereabouts::Deaf { device, conference, events } => {
                self.is = Whereabouts::In { device, conference, events };
                return;
            }
            Whereabouts::Out { device, events } => {
                drop(events);
                Some(Known::Running(device))
            }
            Whereabouts::Away(known) => known,
        };
        self.hub.change(Change::Coming { who, meant }).await;
        match seat::sit(&self.stage, None, who, known).await {
            Ok(Joined { conference, events, early, device, took, .. }) => {
                let entered =
                    Note::Took { what: Measure::Enter, time: self.hub.now().saturating_sub(meant) };
                self.is = Whereabouts::In { device, conference: Arc::new(conference), events };
                self.hub.change(Change::In { who }).await;
                let early = early.into_iter().filter_map(|event| self.hub.noted(who, event));
                let early: Vec<Note> = early.collect();
                for note in took.into_iter().chain([entered]).chain(early) {
                    if self.hub.note(note).await.is_break() {
                        return;
                    }
                }
            }
            Err(error) => {
                self.hub
                    .change(Change::Failed { what: "coming in", why: format!("{error:#}") })
                    .await;
            }
        }
    }
}

/// Waits until everybody is to leave, also if whoever would say so is gone.
async fn told(leaving: &mut watch::Receiver<bool>) {
    drop(leaving.wait_for(|told| *told).await);
}
