//! A device on its way to its seat, and how long each part of it takes.
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use client::{Conference, Credential, Device, Event, Events};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};

use super::give_up;
use crate::book::{Measure, Note};
use crate::scenario::{Level, Place};
use crate::stage::Stage;

/// KeyPackages of a device: it is added to one group, once.
const KEY_PACKAGES: usize = 2;
/// The longest a device may take to start, to join, or to get the group key.
const JOIN_SECS_MAX: u64 = 120;

/// A device in its conference.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) place: Place,
    pub(super) conference: Conference,
    pub(super) events: Events,
    /// What it was told before it had the group key.
    pub(super) early: Vec<Event>,
    /// Kept: a device that is dropped is deaf.
    pub(super) device: Device,
    /// How long it took.
    pub(super) took: Vec<Note>,
}

/// A device that is already there, or what proves it.
#[derive(Debug)]
pub(super) enum Known {
    Running(Device),
    Stopped(Credential),
}

/// Where those who come before the run come in: a few at a time, and none any more once one of them could not.
#[derive(Debug)]
pub(super) struct Doors {
    permits: Semaphore,
    shut: watch::Sender<bool>,
    why: mpsc::Sender<anyhow::Error>,
}

impl Doors {
    /// Open doors, and the first reason for which they are shut.
    pub(super) fn open(at_once: usize) -> (Self, mpsc::Receiver<anyhow::Error>) {
        let (why, first) = mpsc::channel(1);
        (Self { permits: Semaphore::new(at_once), shut: watch::Sender::new(false), why }, first)
    }

    pub(super) fn shut(&self, why: anyhow::Error) {
        // Those who are turned away because of it say less.
        let _later = self.why.try_send(why);
        self.shut.send_replace(true);
    }

    pub(super) async fn are_shut(&self) {
        let mut shut = self.shut.subscribe();
        // The sender is here.
        let _shut = shut.wait_for(|shut| *shut).await;
    }

    async fn enter(&self) -> anyhow::Result<SemaphorePermit<'_>> {
        tokio::select! {
            biased;
            () = self.are_shut() => bail!("turned away"),
            permit = self.permits.acquire() => Ok(permit?),
        }
    }
}

/// Starts a device, unless it runs, and takes its seat. If it gets none, a system that goes on takes the device back.
pub(super) async fn sit(
    stage: &Stage,
    doors: Option<&Doors>,
    place: Place,
    known: Option<Known>,
) -> anyhow::Result<Joined> {
    let permit = match doors {
        Some(doors) => Some(doors.enter().await?),
        None => None,
    };
    let mut lap = Lap(service::clock::now());
    let mut took = Vec::new();
    let device = match known {
        Some(Known::Running(device)) => device,
        known => start(stage, place, known, (&mut lap, &mut took)).await?,
    };
    lap.took(Measure::Start);
    let shut = async {
        match doors {
            Some(doors) => doors.are_shut().await,
            None => std::future::pending().await,
        }
    };
    let seated = tokio::select! {
        seated = enter(stage, place, &device, permit, (&mut lap, &mut took)) => seated,
        () = shut => Err(anyhow!("turned away")),
    };
    match seated {
        Ok((conference, events, early)) => {
            Ok(Joined { place, conference, events, early, device, took })
        }
        Err(error) => {
            if stage.goes_on() {
                give_up(device).await;
            }
            Err(error)
        }
    }
}

async fn start(
    stage: &Stage,
    place: Place,
    known: Option<Known>,
    (lap, took): (&mut Lap, &mut Vec<Note>),
) -> anyhow::Result<Device> {
    let mut profile = stage.profile(place)?;
    let user = profile.aor.to_string();
    // Nobody looks at it, and thousands would remember thousands.
    profile.pins = client::Pins::off();
    profile.limits.key_packages = KEY_PACKAGES;
    if let Some(Known::Stopped(credential)) = known {
        let restarted = in_time(Device::restart(profile, credential)).await;
        let restarted = restarted.and_then(|result| Ok(result?));
        return Ok(restarted.with_context(|| format!("{user} starts again"))?.0);
    }
    let started = in_time(Device::start(profile)).await.and_then(|result| Ok(result?));
    let (device, _invitations) = started.with_context(|| format!("{user} starts"))?;
    took.push(lap.took(Measure::Start));
    Ok(device)
}

async fn enter(
    stage: &Stage,
    place: Place,
    device: &Device,
    permit: Option<SemaphorePermit<'_>>,
    (lap, took): (&mut Lap, &mut Vec<Note>),
) -> anyhow::Result<(Conference, Events, Vec<Event>)> {
    let (user, room) = (stage.aor(place)?, stage.conference(place.room)?);
    let level = match stage.level {
        Level::Sealed => client::Level::Sealed,
        Level::Open => client::Level::Open,
    };
    let joining = in_time(Box::pin(device.join(&room, level))).await.and_then(|result| Ok(result?));
    let (conference, mut events) = joining.with_context(|| format!("{user} joins {room}"))?;
    took.push(lap.took(Measure::Seat));
    // Those who wait for the key together are let in together.
    drop(permit);
    let mut early = Vec::new();
    if stage.level == Level::Sealed {
        let entering = in_time(entered(&mut events, &mut early)).await.and_then(|result| result);
        entering.with_context(|| format!("{user} waits for the group key of {room}"))?;
        took.push(lap.took(Measure::Key));
    }
    Ok((conference, events, early))
}

struct Lap(Instant);

impl Lap {
    fn took(&mut self, what: Measure) -> Note {
        let now = service::clock::now();
        let time = now.saturating_duration_since(std::mem::replace(&mut self.0, now));
        Note::Took { what, time }
    }
}

async fn entered(events: &mut Events, early: &mut Vec<Event>) -> anyhow::Result<()> {
    let mut unreadable = None;
    loop {
        match events.next().await {
            Some(Event::Entered { .. }) => return Ok(()),
            Some(Event::Ended { reason }) => bail!("its seat ended: {reason} ({unreadable:?})"),
            Some(event) => {
                if let Event::Unreadable { why } | Event::Refused { why } = &event {
                    unreadable = Some(why.clone());
                }
                early.push(event);
            }
            None => bail!("its seat ended ({unreadable:?})"),
        }
    }
}

pub(super) async fn in_time<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let done = tokio::time::timeout(Duration::from_secs(JOIN_SECS_MAX), work).await;
    done.with_context(|| format!("not done within {JOIN_SECS_MAX} s"))
}
