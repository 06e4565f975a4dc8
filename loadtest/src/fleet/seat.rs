//! A device on its way to its seat, and how long each part of it takes.
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use client::{Conference, Credential, Device, Event, Events};
use tokio::sync::Semaphore;

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

/// Starts a device, unless it runs, and takes its seat.
pub(super) async fn sit(
    stage: &Stage,
    permits: Option<&Semaphore>,
    place: Place,
    known: Option<Known>,
) -> anyhow::Result<Joined> {
    let permit = match permits {
        Some(permits) => Some(permits.acquire().await.context("the fleet is gone")?),
        None => None,
    };
    let mut took = Vec::new();
    let mut lap = Lap(service::clock::now());
    let mut profile = stage.profile(place)?;
    let user = profile.aor.to_string();
    // Nobody looks at it, and thousands would remember thousands.
    profile.pins = client::Pins::off();
    profile.limits.key_packages = KEY_PACKAGES;
    let device = match known {
        Some(Known::Running(device)) => device,
        Some(Known::Stopped(credential)) => {
            let restarted = in_time(Device::restart(profile, credential)).await;
            restarted
                .and_then(|result| Ok(result?))
                .with_context(|| format!("{user} starts again"))?
                .0
        }
        None => {
            let started = in_time(Device::start(profile)).await.and_then(|result| Ok(result?));
            let (device, _invitations) = started.with_context(|| format!("{user} starts"))?;
            took.push(lap.took(Measure::Start));
            device
        }
    };
    lap.took(Measure::Start);
    let room = stage.conference(place.room)?;
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
    Ok(Joined { place, conference, events, early, device, took })
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
