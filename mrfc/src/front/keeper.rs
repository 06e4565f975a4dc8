//! Writes registrations, and attempts at them, down behind the front's back: the front never waits for a disk. What a
//! full queue did not take is offered again; an attempt that found no place is counted, and lost.
use std::collections::{HashMap, HashSet};

use ids::Aor;
use store::{Attempt, Deed, Registration, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Config;

/// What waits to be written. Some seconds of a large deployment.
const WAITING_MAX: usize = 4_096;
/// Lines of the audit that are kept where no operator says how many.
const DEEDS_MAX: u32 = 100_000;
/// What is written at once.
const BATCH_MAX: usize = 256;

/// Something to be written.
#[derive(Debug)]
enum Line {
    Person(Aor, Vec<Registration>),
    Attempt(Attempt),
    Deed(Deed),
}

/// How many lines of each kind are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    attempts_max: u32,
    deeds_max: u32,
}

impl Kept {
    pub(crate) fn of(config: &Config) -> Self {
        let deeds_max = config.admin.as_ref().map_or(DEEDS_MAX, |admin| admin.audit_max);
        Self { attempts_max: config.registration.audit_max, deeds_max }
    }
}

/// The front's end of it.
#[derive(Debug)]
pub(crate) struct Keeper {
    lines: mpsc::Sender<Line>,
    writing: JoinHandle<()>,
    /// Whose registrations found no place.
    missed: HashSet<Aor>,
}

impl Keeper {
    /// Writes to this store.
    pub(crate) fn start(store: Store, kept: Kept) -> Self {
        let (lines, waiting) = mpsc::channel(WAITING_MAX);
        let writing = tokio::spawn(write(store, waiting, kept));
        Self { lines, writing, missed: HashSet::new() }
    }

    /// What a person's registrations are now.
    pub(crate) fn person(&mut self, aor: Aor, registrations: Vec<Registration>) {
        if let Err(error) = self.lines.try_send(Line::Person(aor, registrations))
            && let Line::Person(aor, _) = error.into_inner()
        {
            self.missed.insert(aor);
        }
    }

    /// Somebody tried to register; whether that is going to be written.
    pub(crate) fn attempt(&self, attempt: Attempt) -> bool {
        self.lines.try_send(Line::Attempt(attempt)).is_ok()
    }

    /// Somebody did something that the audit holds; whether that is going to be written.
    pub(crate) fn deed(&self, deed: Deed) -> bool {
        self.lines.try_send(Line::Deed(deed)).is_ok()
    }

    /// Whose registrations must be offered again.
    pub(crate) fn missed(&mut self) -> HashSet<Aor> {
        std::mem::take(&mut self.missed)
    }

    /// Writes what waits, and ends.
    pub(crate) async fn finish(self) {
        drop(self.lines);
        if let Err(error) = self.writing.await {
            tracing::warn!(%error, "registrations were not kept");
        }
    }
}

async fn write(store: Store, mut waiting: mpsc::Receiver<Line>, kept: Kept) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        // The last word on a person counts.
        let (mut people, mut attempts, mut deeds) = (HashMap::new(), Vec::new(), Vec::new());
        for line in batch.drain(..) {
            match line {
                Line::Person(aor, registrations) => drop(people.insert(aor, registrations)),
                Line::Attempt(attempt) => attempts.push(attempt),
                Line::Deed(deed) => deeds.push(deed),
            }
        }
        if !people.is_empty()
            && let Err(error) = store.keep_registrations(people.into_iter().collect()).await
        {
            tracing::warn!(%error, "registrations were not kept");
        }
        if !attempts.is_empty()
            && let Err(error) = store.note_attempts(attempts, kept.attempts_max).await
        {
            tracing::warn!(%error, "attempts to register were not noted");
        }
        for deed in deeds {
            if let Err(error) = store.note_deed(deed, kept.deeds_max).await {
                tracing::warn!(%error, "the audit could not be kept");
            }
        }
    }
}
