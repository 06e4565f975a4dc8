//! One generator's run: the fleet sends, the book is kept, until all has arrived, patience has ended, or the run is ended
//! from outside or because a step of its ramp is more than the system carries.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::{self, MissedTickBehavior};

use crate::book::{Book, Interval, Note, Part};
use crate::fleet::Fleet;
use crate::report::{Generation, Limit, strain};
use crate::scenario::{Scenario, Shot};
use crate::stage::{Share, Stage};
use crate::usage::{self, Machine, Usage};

/// Notes that wait for the book.
const NOTES_MAX: usize = 64 * 1024;
/// Notes taken at once.
const NOTES_AT_ONCE: usize = 256;
/// From being told to start to the start of the run, so that the first message is not late already.
pub(crate) const LEAD: Duration = Duration::from_millis(50);
/// How long late messages are waited for once a run has been ended.
pub(crate) const ENDED_PATIENCE: Duration = Duration::from_secs(3);

/// How a generator goes about a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// How long late messages are waited for when everything has been sent.
    pub(crate) patience: Duration,
    /// How often progress is told.
    pub(crate) interval: Duration,
    /// The most that the p99 of a step of a ramp may be.
    pub(crate) limit: Limit,
}

/// What one generator comes to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) part: Part,
    pub(crate) generation: Generation,
    pub(crate) interrupted: bool,
}

/// A generator with everybody in their seats.
pub(crate) struct Engine {
    scenario: Scenario,
    shots: Vec<Shot>,
    fleet: Fleet,
    /// The system is there when the run is over.
    goes_on: bool,
}

impl Engine {
    /// Seats everybody of this share.
    ///
    /// # Errors
    /// The scenario makes no sense, somebody cannot join, or it was stopped.
    pub(crate) async fn prepare(
        stage: &Arc<Stage>,
        scenario: &Scenario,
        share: Share,
        stop: watch::Receiver<bool>,
        tell: impl FnMut(&str),
    ) -> anyhow::Result<Self> {
        let mut shots = scenario.schedule()?;
        shots.retain(|shot| share.has(shot.sender.room));
        let fleet = Fleet::join(stage, scenario, share, stop, tell).await?;
        Ok(Self { scenario: scenario.clone(), shots, fleet, goes_on: stage.goes_on() })
    }

    /// Gives up before the run: nobody stays at a system that goes on.
    pub(crate) async fn leave(self) {
        self.fleet.leave().await;
    }

    /// Runs, from `start` on.
    ///
    /// # Errors
    /// Its own usage cannot be read.
    pub(crate) async fn run(
        self,
        manner: &Manner,
        start: Instant,
        mut stop: watch::Receiver<bool>,
        mut tell: impl FnMut(Duration, &Interval),
    ) -> anyhow::Result<Outcome> {
        let mut book = Book::new(self.scenario.clone(), self.shots.clone());
        let (to, mut notes) = mpsc::channel(NOTES_MAX);
        let run = self.fleet.run(self.shots, start, &to);
        drop(to);
        let mut course = Course::new(&self.scenario, manner, start);
        let mut ticks = time::interval_at((start + manner.interval).into(), manner.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut told = Duration::ZERO;
        let mut batch = Vec::with_capacity(NOTES_AT_ONCE);
        while !book.complete() || course.guests_act() {
            tokio::select! {
                biased;
                () = time::sleep_until(course.warm.into()), if course.before.is_none() => course.warmed()?,
                tick = ticks.tick() => {
                    let at = tick.into_std().saturating_duration_since(start);
                    let time = at.saturating_sub(std::mem::replace(&mut told, at));
                    tell(at, &Interval { time, ..book.interval() });
                    if course.is_strained(&book) {
                        course.end(&run, &mut book)?;
                    }
                }
                _count = notes.recv_many(&mut batch, NOTES_AT_ONCE) => {
                    batch.drain(..).for_each(|note: Note| book.note(note));
                }
                changed = stop.changed(), if !course.interrupted => {
                    course.interrupted = changed.is_ok() || *stop.borrow();
                    course.end(&run, &mut book)?;
                }
                () = time::sleep_until(course.end.into()) => break,
            }
        }
        let generation = course.generation();
        match self.goes_on {
            true => {
                // Nobody reads any more what those who leave would tell.
                drop(notes);
                run.leave().await;
            }
            false => drop(run),
        }
        Ok(Outcome { part: book.part(), generation: generation?, interrupted: course.interrupted })
    }
}

/// Where a run stands.
struct Course<'a> {
    scenario: &'a Scenario,
    limit: Limit,
    start: Instant,
    warm: Instant,
    end: Instant,
    /// Guests do what they do until then, also when every message has arrived.
    acts_end: Option<Instant>,
    before: Option<(Instant, Machine, Usage)>,
    /// Steps of the ramp that were looked at.
    judged: u32,
    interrupted: bool,
}

impl<'a> Course<'a> {
    fn new(scenario: &'a Scenario, manner: &Manner, start: Instant) -> Self {
        let warm = start + scenario.warmup;
        let sent = warm + scenario.measured();
        Self {
            scenario,
            limit: manner.limit,
            start,
            warm,
            end: sent + manner.patience,
            acts_end: (!scenario.acts.is_empty()).then_some(sent),
            before: None,
            judged: 0,
            interrupted: false,
        }
    }

    fn warmed(&mut self) -> anyhow::Result<()> {
        self.before =
            Some((service::clock::now(), Machine::now()?, usage::of(std::process::id())?));
        Ok(())
    }

    fn guests_act(&self) -> bool {
        self.acts_end.is_some_and(|end| service::clock::now() < end)
    }

    fn end(&mut self, run: &crate::fleet::Run, book: &mut Book) -> anyhow::Result<()> {
        let now = service::clock::now();
        run.end();
        book.cut(now.saturating_duration_since(self.start));
        self.acts_end = None;
        self.end = self.end.min(now + ENDED_PATIENCE);
        // What was only warming up has nothing measured, and faults that are told of.
        if self.before.is_none() { self.warmed() } else { Ok(()) }
    }

    /// Whether a step has shown, now that it is over, that a higher one has no sense.
    fn is_strained(&mut self, book: &Book) -> bool {
        let over = self.start + self.scenario.warmup + self.scenario.duration * (self.judged + 1);
        // What was sent last in it has had time to be answered.
        let settled = over + (self.scenario.duration / 5).min(Duration::from_secs(1));
        if self.scenario.ramp.is_none()
            || self.judged + 1 >= self.scenario.steps()
            || service::clock::now() < settled
        {
            return false;
        }
        let strained = strain(self.scenario, book.steps(), self.judged, self.limit).is_some();
        self.judged += 1;
        strained
    }

    fn generation(&self) -> anyhow::Result<Generation> {
        let ended = "the run ended before anything was measured";
        let (since, machine, before) = self.before.context(ended)?;
        let after = usage::of(std::process::id())?;
        Ok(Generation {
            cpu: after.cpu.saturating_sub(before.cpu),
            time: service::clock::now().saturating_duration_since(since),
            idle_percent: Machine::now()?.idle_percent_since(machine),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        })
    }
}
