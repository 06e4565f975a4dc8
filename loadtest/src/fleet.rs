//! Real devices on real sockets: they register, join and enter the group, then send what they are told at the time they
//! are told, and note everything that arrives. What it means is the book's business.
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use client::{Conference, Device, Event, Events, Level};
use conclave::system::Directions;
use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use ids::{Aor, ConferenceId};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, unconstrained};

use crate::book::Note;
use crate::live::Live;
use crate::pace::pace;
use crate::scenario::{Contents, Place, Scenario, Shot};

/// How many devices start at the same time: more only wait for one another.
const STARTING_MAX: usize = 8;
/// KeyPackages of a device: it is added to one group, once.
const KEY_PACKAGES: usize = 2;
/// The longest a device may take to start, to join, or to get the group key.
const JOIN_SECS_MAX: u64 = 60;
/// Messages of one sender that wait for an answer. A sender that has so many takes no more until one is answered.
const UNDER_WAY_MAX: usize = 4096;
/// Messages that wait for a sender that takes no more; beyond that they are dropped and the run is not valid.
const QUEUE_MAX: usize = 4096;
/// How long the clock is watched before a message is due: what a sleeping thread is late by, or a twentieth of the time
/// between two messages, so that it never takes more than 5 % of a CPU.
const WATCH_MAX: Duration = Duration::from_micros(200);
const WATCH_SHARE: u32 = 20;

/// All devices, everyone in their group.
#[derive(Debug)]
pub(crate) struct Fleet(Vec<Joined>);

/// A device in its conference.
#[derive(Debug)]
struct Joined {
    place: Place,
    aor: Aor,
    conference: Conference,
    events: Events,
    /// Kept: a device that is dropped is deaf.
    device: Device,
}

/// What every task of a run needs.
#[derive(Clone, Debug)]
struct Hub {
    start: Instant,
    notes: mpsc::Sender<Note>,
    contents: Arc<Contents>,
    people: Arc<HashMap<Aor, Place>>,
}

/// A run that is going on. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Run {
    _tasks: JoinSet<()>,
    _devices: Vec<Device>,
}

impl Fleet {
    /// Starts every device, joins its conference and waits until all members of each are in one epoch.
    ///
    /// # Errors
    /// A server refused, or somebody did not get the group key in time.
    pub(crate) async fn join(
        directions: &Directions,
        scenario: &Scenario,
        live: &Live,
    ) -> anyhow::Result<Self> {
        let permits = Arc::new(Semaphore::new(STARTING_MAX));
        let mut filling = JoinSet::new();
        for room in 0..scenario.rooms {
            let (directions, permits) = (directions.clone(), Arc::clone(&permits));
            let members = scenario.members;
            filling.spawn(async move { fill(&directions, &permits, room, members).await });
        }
        let mut joined = Vec::new();
        while let Some(room) = filling.join_next().await {
            joined.extend(room.context("filling a room")??);
            live.say(&format!("{} of {} devices are in", joined.len(), scenario.places().count()));
        }
        joined.sort_by_key(|joined| joined.place);
        for seat in &mut joined {
            agree(seat, scenario.members).await?;
        }
        Ok(Self(joined))
    }

    /// Starts sending, now: `start`. Everything that happens is noted. The book must be read, or the fleet waits.
    pub(crate) fn run(
        self,
        scenario: &Scenario,
        shots: Vec<Shot>,
        start: Instant,
        notes: &mpsc::Sender<Note>,
    ) -> Run {
        let people = self.0.iter().map(|joined| (joined.aor.clone(), joined.place)).collect();
        let hub = Hub {
            start,
            notes: notes.clone(),
            contents: Arc::new(Contents::new(scenario)),
            people: Arc::new(people),
        };
        let (mut tasks, mut devices, mut queues) = (JoinSet::new(), Vec::new(), HashMap::new());
        for joined in self.0 {
            let (queue, queued) = mpsc::channel(QUEUE_MAX);
            queues.insert(joined.place, queue);
            devices.push(joined.device);
            tasks.spawn(listen(joined.place, joined.events, hub.clone()));
            tasks.spawn(speak(joined.conference, queued, hub.clone()));
        }
        let watch = WATCH_MAX.min(Duration::from_secs(1) / scenario.rate.get() / WATCH_SHARE);
        tasks.spawn_blocking(move || fire(&shots, &queues, watch, &hub));
        Run { _tasks: tasks, _devices: devices }
    }
}

/// Seats everyone in one room. The first makes the group, the others are let in.
async fn fill(
    directions: &Directions,
    permits: &Semaphore,
    room: usize,
    members: usize,
) -> anyhow::Result<Vec<Joined>> {
    let mut joined = vec![sit(directions, permits, Place { room, member: 0 }).await?];
    let others = (1..members).map(|member| sit(directions, permits, Place { room, member }));
    joined.extend(try_join_all(others).await?);
    Ok(joined)
}

async fn sit(directions: &Directions, permits: &Semaphore, place: Place) -> anyhow::Result<Joined> {
    let permit = permits.acquire().await.context("the fleet is gone")?;
    let user = place.user();
    let mut profile = directions.profile(&user)?;
    // Nobody looks at it, and thousands would remember thousands.
    profile.pins = client::Pins::off();
    profile.limits.key_packages = KEY_PACKAGES;
    let aor = profile.aor.clone();
    let room: ConferenceId = format!("load-{}", place.room).parse().context("naming a room")?;
    let started = in_time(Device::start(profile)).await.and_then(|result| Ok(result?));
    let (device, _invitations) = started.with_context(|| format!("{user} starts"))?;
    let joining =
        in_time(Box::pin(device.join(&room, Level::Sealed))).await.and_then(|result| Ok(result?));
    let (conference, mut events) = joining.with_context(|| format!("{user} joins {room}"))?;
    // Those who wait for the key together are let in together.
    drop(permit);
    let entering = in_time(entered(&mut events)).await.and_then(|result| result);
    entering.with_context(|| format!("{user} waits for the group key of {room}"))?;
    Ok(Joined { place, aor, conference, events, device })
}

async fn entered(events: &mut Events) -> anyhow::Result<()> {
    let mut unreadable = None;
    loop {
        match events.next().await {
            Some(Event::Entered { .. }) => return Ok(()),
            Some(Event::Unreadable { why }) => unreadable = Some(why),
            Some(Event::Ended { reason }) => bail!("its seat ended: {reason} ({unreadable:?})"),
            Some(_) => {}
            None => bail!("its seat ended ({unreadable:?})"),
        }
    }
}

/// Follows the group until all members are in it.
async fn agree(seat: &mut Joined, members: usize) -> anyhow::Result<()> {
    let agreed = async {
        while seat.conference.status().members != members {
            match seat.events.next().await {
                Some(Event::Ended { reason }) => bail!("its seat ended: {reason}"),
                Some(_) => {}
                None => bail!("its seat ended"),
            }
        }
        Ok(())
    };
    let agreed = in_time(agreed).await.and_then(|result| result);
    agreed.with_context(|| {
        let seen = seat.conference.status();
        format!(
            "{} waits for {members} members, sees {} in epoch {}",
            seat.place.user(),
            seen.members,
            seen.epoch.0
        )
    })
}

async fn in_time<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let done = tokio::time::timeout(Duration::from_secs(JOIN_SECS_MAX), work).await;
    done.with_context(|| format!("not done within {JOIN_SECS_MAX} s"))
}

impl Hub {
    /// How much of the run has passed.
    fn now(&self) -> Duration {
        service::clock::now().saturating_duration_since(self.start)
    }

    /// Takes a note. When nobody reads them any more the run is over.
    async fn note(&self, note: Note) -> ControlFlow<()> {
        match self.notes.send(note).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(_closed) => ControlFlow::Break(()),
        }
    }
}

/// Hands every message to its sender at its time. It has a thread of its own: timers of the runtime are a millisecond
/// coarse. A sleeping thread wakes late too, so it sleeps a little less and watches the clock for the rest.
fn fire(shots: &[Shot], queues: &HashMap<Place, mpsc::Sender<Shot>>, watch: Duration, hub: &Hub) {
    let wait = |early: Duration| match early.checked_sub(watch) {
        Some(early) if !early.is_zero() => std::thread::sleep(early),
        _ => std::thread::yield_now(),
    };
    pace(
        shots,
        || hub.now(),
        wait,
        |shot| {
            let queue = queues.get(&shot.sender).expect("the schedule names seated members only");
            match queue.try_send(*shot) {
                Ok(()) => ControlFlow::Continue(()),
                Err(mpsc::error::TrySendError::Full(_shot)) => {
                    match hub.notes.blocking_send(Note::Dropped { number: shot.number }) {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(_closed) => ControlFlow::Break(()),
                    }
                }
                Err(mpsc::error::TrySendError::Closed(_shot)) => ControlFlow::Break(()),
            }
        },
    );
}

/// Sends what it is told, without waiting for answers, and notes them as they come. It holds the seat until it is ended.
async fn speak(conference: Conference, mut queued: mpsc::Receiver<Shot>, hub: Hub) {
    let mut under_way = FuturesUnordered::new();
    let mut more = true;
    loop {
        let note = tokio::select! {
            biased;
            shot = queued.recv(), if more && under_way.len() < UNDER_WAY_MAX => match shot {
                Some(shot) => {
                    // A message whose turn comes while the task has used up its budget would be polled after a later
                    // one: without a budget they reach the device in their order.
                    under_way.push(unconstrained(say(&conference, &hub, shot.number)));
                    Note::Handed { number: shot.number, at: hub.now() }
                }
                None => {
                    more = false;
                    continue;
                }
            },
            Some(note) = under_way.next() => note,
            () = std::future::pending() => return,
        };
        if hub.note(note).await.is_break() {
            return;
        }
    }
}

async fn say(conference: &Conference, hub: &Hub, number: u64) -> Note {
    match conference.send("application/octet-stream", hub.contents.write(number)).await {
        Ok(_id) => Note::Accepted { number, at: hub.now() },
        Err(error) => Note::Failed { number, why: error.to_string() },
    }
}

/// Notes what a device is shown.
async fn listen(receiver: Place, mut events: Events, hub: Hub) {
    while let Some(event) = events.next().await {
        let note = match event {
            Event::Message(message) => {
                let at = hub.now();
                let from = hub.people.get(&message.from).copied();
                Note::Heard { receiver, from, content: hub.contents.read(&message.body), at }
            }
            Event::Unreadable { why } => Note::Unreadable { receiver, why },
            Event::Removed => {
                Note::Ended { receiver, why: "it was removed from the group".to_owned() }
            }
            Event::Ended { reason } => Note::Ended { receiver, why: reason },
            Event::File(_)
            | Event::Entered { .. }
            | Event::Advanced { .. }
            | Event::Device { .. }
            | Event::Held { .. } => continue,
        };
        if hub.note(note).await.is_break() {
            return;
        }
    }
}
