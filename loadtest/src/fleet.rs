//! Real devices on real sockets: they register, join and enter the group, then send what they are told at the time they
//! are told, and note everything that arrives. What it means is the book's business; those who come and go are in `guest`.
mod guest;
mod seat;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use client::{Conference, Device, Event};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use ids::{Aor, DeviceId};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, unconstrained};

use crate::book::{Change, Note};
use crate::pace::pace;
use crate::scenario::{Contents, Kind, Level, Place, Scenario, Shot};
use crate::stage::{Share, Stage};
use guest::Visit;
use seat::{Doors, Joined, in_time};

/// How many devices start at the same time: more only wait for one another.
const STARTING_MAX: usize = 8;
/// Messages of one sender that wait for an answer. A sender that has so many takes no more until one is answered.
const UNDER_WAY_MAX: usize = 4096;
/// Messages that wait for a sender that takes no more; beyond that they are dropped and the run is not valid.
const QUEUE_MAX: usize = 4096;
/// How long the clock is watched before a message is due: what a sleeping thread is late by, or a twentieth of the time
/// between two messages, so that it never takes more than 5 % of a CPU.
const WATCH_MAX: Duration = Duration::from_micros(200);
const WATCH_SHARE: u32 = 20;

/// How long those who leave at the end may take for it.
const LEAVING: Duration = Duration::from_secs(10);

/// Why a run that was stopped early has no result.
pub(crate) const STOPPED: &str = "interrupted before the load began";

/// All devices, everyone in their group.
#[derive(Debug)]
pub(crate) struct Fleet {
    stage: Arc<Stage>,
    scenario: Scenario,
    share: Share,
    joined: Vec<Joined>,
}

/// What every task of a run needs.
#[derive(Clone, Debug)]
struct Hub {
    start: Instant,
    notes: mpsc::Sender<Note>,
    contents: Arc<Contents>,
    people: Arc<HashMap<Aor, Place>>,
    kind: Kind,
    /// The run was ended: nothing more is sent.
    over: Arc<AtomicBool>,
}

/// A run that is going on. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Run {
    over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    visits: JoinSet<()>,
    /// Tells the guests to leave.
    leaving: watch::Sender<bool>,
    conferences: Vec<Arc<Conference>>,
    devices: Vec<Device>,
}

impl Run {
    /// Sends nothing more.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Ends it. Everybody leaves their rooms, guests who are away too, and their devices are taken back: nothing is sealed for
    /// them any more. What a server does not let go in time stays.
    pub(crate) async fn leave(mut self) {
        self.end();
        self.leaving.send_replace(true);
        let gone = async { while self.visits.join_next().await.is_some() {} };
        let _late = tokio::time::timeout(LEAVING, gone).await;
        self.visits.shutdown().await;
        self.tasks.shutdown().await;
        let rooms = std::mem::take(&mut self.conferences).into_iter().filter_map(Arc::into_inner);
        let devices = std::mem::take(&mut self.devices);
        let leaving = async {
            join_all(rooms.map(Conference::leave)).await;
            join_all(devices.into_iter().map(give_up)).await
        };
        let _late = tokio::time::timeout(LEAVING, leaving).await;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.end();
    }
}

impl Fleet {
    /// Starts every device of this share, joins its conference and waits until all members of each are in one epoch. If that
    /// fails, or is stopped, a system that goes on gets rid of those who were in.
    ///
    /// # Errors
    /// A server refused, somebody did not get the group key in time, or it was stopped.
    pub(crate) async fn join(
        stage: &Arc<Stage>,
        scenario: &Scenario,
        share: Share,
        stop: watch::Receiver<bool>,
        tell: impl FnMut(&str),
    ) -> anyhow::Result<Self> {
        let (doors, mut why) = Doors::open(STARTING_MAX);
        let (doors, mut filling) = (Arc::new(doors), JoinSet::new());
        let (progress, seated) = mpsc::unbounded_channel();
        let mut all = 0;
        for room in (0..scenario.rooms).filter(|room| share.has(*room)) {
            let (stage, doors, progress) =
                (Arc::clone(stage), Arc::clone(&doors), progress.clone());
            let places = inside(scenario, room);
            all += places.len();
            filling.spawn(async move { fill(&stage, &doors, &places, &progress).await });
        }
        drop(progress);
        let (stage, scenario) = (Arc::clone(stage), scenario.clone());
        let mut fleet = Self { stage, scenario, share, joined: Vec::new() };
        fleet.come_in((filling, &doors), stop.clone(), (seated, all), tell).await;
        let agreed = match why.try_recv() {
            Ok(why) => Err(why),
            Err(_nobody_failed) => tokio::select! {
                agreed = fleet.agree() => agreed,
                () = stopped(stop) => Err(anyhow!(STOPPED)),
            },
        };
        match agreed {
            Ok(()) => Ok(fleet),
            Err(error) => {
                fleet.leave().await;
                Err(error)
            }
        }
    }

    /// Waits until everybody is in, or nobody comes any more.
    async fn come_in(
        &mut self,
        (mut filling, doors): (JoinSet<Vec<Joined>>, &Doors),
        stop: watch::Receiver<bool>,
        (mut seated, all): (mpsc::UnboundedReceiver<()>, usize),
        mut tell: impl FnMut(&str),
    ) {
        let turned_away = async {
            doors.are_shut().await;
            // Who is on the way out of a system that goes on may end that.
            if self.stage.goes_on() {
                tokio::time::sleep(LEAVING).await;
            }
        };
        let stopping = async {
            stopped(stop).await;
            doors.shut(anyhow!(STOPPED));
            std::future::pending::<()>().await;
        };
        tokio::pin!(turned_away, stopping);
        let mut count = 0;
        loop {
            tokio::select! {
                Some(()) = seated.recv() => {
                    count += 1;
                    if count % all.div_ceil(20).max(1) == 0 {
                        tell(&format!("{count} of {all} devices are in"));
                    }
                }
                room = filling.join_next() => match room {
                    Some(Ok(room)) => self.joined.extend(room),
                    Some(Err(error)) => doors.shut(anyhow!(error).context("filling a room")),
                    None => break,
                },
                () = &mut turned_away => break,
                () = &mut stopping => {}
            }
        }
        self.joined.sort_by_key(|joined| joined.place);
    }

    async fn agree(&mut self) -> anyhow::Result<()> {
        if self.scenario.level == Level::Sealed {
            for seat in &mut self.joined {
                let members = inside(&self.scenario, seat.place.room).len();
                agree(seat, members).await?;
            }
        }
        Ok(())
    }

    /// Gives up before anything was sent: nobody stays at a system that goes on.
    pub(crate) async fn leave(self) {
        if !self.stage.goes_on() {
            return;
        }
        let leave = |joined: Joined| async move {
            // The run is over; what is left behind is the system's.
            let _left = joined.conference.leave().await;
            give_up(joined.device).await;
        };
        let leaving = join_all(self.joined.into_iter().map(leave));
        let _late = tokio::time::timeout(LEAVING, leaving).await;
    }

    /// Starts sending, now: `start`. Everything that happens is noted. The book must be read, or the fleet waits.
    pub(crate) fn run(self, shots: Vec<Shot>, start: Instant, notes: &mpsc::Sender<Note>) -> Run {
        let scenario = self.scenario;
        let everybody = scenario.everybody();
        let people =
            everybody.filter_map(|place| Some((self.stage.aor(place).ok()?, place))).collect();
        let hub = Hub {
            start,
            notes: notes.clone(),
            contents: Arc::new(Contents::new(&scenario)),
            people: Arc::new(people),
            kind: scenario.kind,
            over: Arc::new(AtomicBool::new(false)),
        };
        let (mut tasks, mut devices, mut queues) = (JoinSet::new(), Vec::new(), HashMap::new());
        let (mut visits, (leaving, told)) = (JoinSet::new(), watch::channel(false));
        let mut conferences = Vec::new();
        let (mut moderators, mut visiting) = (HashMap::new(), HashMap::new());
        let under_way_max = if scenario.closed { 1 } else { UNDER_WAY_MAX };
        for joined in self.joined {
            let Joined { place, conference, events, device, took, .. } = joined;
            tasks.spawn(report_setup(took, hub.clone()));
            let conference = Arc::new(conference);
            if place.member >= scenario.members {
                visiting.insert(place, (device, conference, events));
                continue;
            }
            if place.member == 0 {
                moderators.insert(place.room, Arc::clone(&conference));
            }
            conferences.push(Arc::clone(&conference));
            devices.push(device);
            tasks.spawn(listen(place, events, hub.clone()));
            let (queue, queued) = mpsc::channel(QUEUE_MAX);
            queues.insert(place, queue);
            tasks.spawn(speak(conference, queued, under_way_max, hub.clone()));
        }
        for room in (0..scenario.rooms).filter(|room| self.share.has(*room)) {
            let Some(moderator) = moderators.get(&room) else { continue };
            for guest in scenario.guests_of(room) {
                let inside = visiting.remove(&guest.place);
                let (stage, moderator) = (Arc::clone(&self.stage), Arc::clone(moderator));
                let visit = Visit::new(stage, guest, moderator, inside, hub.clone());
                visits.spawn(visit.play(told.clone()));
            }
        }
        let rate = scenario.rate_of(scenario.steps() - 1).get();
        let watch = WATCH_MAX.min(Duration::from_secs(1) / rate / WATCH_SHARE);
        let over = Arc::clone(&hub.over);
        tasks.spawn_blocking(move || fire(&shots, &queues, watch, &hub));
        Run { over, tasks, visits, leaving, conferences, devices }
    }
}

/// Waits until it is to stop.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A device of a run is nobody's when it is over.
async fn give_up(device: Device) {
    // The run is over; what a server does not take back ends with its certificate.
    let _stays = device.take_back(device.id()).await;
    device.stop().await;
}

/// Who is in a room before the run begins.
fn inside(scenario: &Scenario, room: usize) -> Vec<Place> {
    let members = (0..scenario.members).map(|member| Place { room, member });
    let guests = scenario.guests_of(room).into_iter();
    members
        .chain(guests.filter(|guest| guest.act.starts_inside()).map(|guest| guest.place))
        .collect()
}

/// Seats everyone in one room, unless somebody cannot. The first makes the group, the others are let in.
async fn fill(
    stage: &Arc<Stage>,
    doors: &Doors,
    places: &[Place],
    progress: &mpsc::UnboundedSender<()>,
) -> Vec<Joined> {
    let Some((first, others)) = places.split_first() else { return Vec::new() };
    let sit = |place: Place| async move {
        let joined = seat::sit(stage, Some(doors), place, None).await;
        // Whoever counts may have gone; that is told elsewhere.
        let _gone = progress.send(());
        joined.map_err(|error| doors.shut(error)).ok()
    };
    let Some(first) = sit(*first).await else { return Vec::new() };
    let mut joined = vec![first];
    joined.extend(join_all(others.iter().map(|place| sit(*place))).await.into_iter().flatten());
    joined
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

    async fn change(&self, change: Change) {
        // A run that is over takes no more notes.
        let _over = self.note(Note::Guest(change)).await;
    }

    fn places(&self, people: &[(Aor, DeviceId)]) -> Vec<Place> {
        people.iter().filter_map(|(aor, _)| self.people.get(aor).copied()).collect()
    }

    /// What an event means for the book.
    fn noted(&self, receiver: Place, event: Event) -> Option<Note> {
        let at = self.now();
        Some(match event {
            Event::Message(message) => {
                let from = self.people.get(&message.from).copied();
                Note::Heard { receiver, from, content: self.contents.read(&message.body), at }
            }
            Event::File(file) => {
                let from = self.people.get(&file.from).copied();
                Note::Heard { receiver, from, content: self.contents.read(&file.content), at }
            }
            Event::Advanced { added, removed, .. } => Note::Advanced {
                receiver,
                added: self.places(&added),
                removed: self.places(&removed),
                at,
            },
            Event::Refused { .. } => Note::Refused,
            Event::Unreadable { why } => Note::Unreadable { receiver, why },
            Event::Missed { until: (_, until), .. } => {
                let why = format!("it missed what came before epoch {until}");
                Note::Unreadable { receiver, why }
            }
            Event::Removed => {
                Note::Ended { receiver, why: "it was removed from the group".to_owned() }
            }
            Event::Ended { reason } => Note::Ended { receiver, why: reason },
            Event::Announced(_)
            | Event::Entered { .. }
            | Event::Device { .. }
            | Event::Held { .. }
            | Event::Split { .. } => return None,
        })
    }
}

async fn report_setup(took: Vec<Note>, hub: Hub) {
    for note in took {
        if hub.note(note).await.is_break() {
            return;
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
            if hub.over.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
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

/// Sends what it is told, and notes the answers as they come. It holds the seat until it is ended.
async fn speak(
    conference: Arc<Conference>,
    mut queued: mpsc::Receiver<Shot>,
    under_way_max: usize,
    hub: Hub,
) {
    let mut under_way = FuturesUnordered::new();
    let mut more = true;
    loop {
        let note = tokio::select! {
            biased;
            shot = queued.recv(), if more && under_way.len() < under_way_max => match shot {
                Some(_late) if hub.over.load(Ordering::Relaxed) => continue,
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
    let (kind, content) = ("application/octet-stream", hub.contents.write(number));
    let said = match hub.kind {
        Kind::Messages => conference.send(kind, content).await.map(drop),
        Kind::Files => {
            conference.send_file(&format!("load-{number}"), kind, content).await.map(drop)
        }
    };
    match said {
        Ok(()) => Note::Accepted { number, at: hub.now() },
        Err(error) => Note::Failed { number, why: error.to_string() },
    }
}

/// Notes what a device is shown.
async fn listen(receiver: Place, mut events: client::Events, hub: Hub) {
    while let Some(event) = events.next().await {
        let Some(note) = hub.noted(receiver, event) else { continue };
        if hub.note(note).await.is_break() {
            return;
        }
    }
}
