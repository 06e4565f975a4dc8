//! Stopping in good order: no new seats, and sessions go on until they are gone or the deadline has passed. What passes
//! through for clients that have logged in holds a drain as long as something of it is on its way: who is logged in and
//! idle waits for nothing, and the focus could not call it away. SIGTERM, `GET /drain` and an order of the focus lead here
//! alike.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use control::Notice;
use service::ops::Health;
use service::shutdown::Shutdown;

use crate::config;
use crate::plane::Plane;

/// How often the sessions are counted.
const LOOK: Duration = Duration::from_millis(100);

/// The wish to drain, and how long it may take.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    health: Health,
    config: config::Drain,
    /// The focus's deadline, if it ordered the drain.
    ordered: Arc<Mutex<Option<Duration>>>,
}

impl Drain {
    pub(crate) fn new(health: Health, config: config::Drain) -> Self {
        Self { health, config, ordered: Arc::default() }
    }

    /// The focus wants the relay empty.
    pub(crate) fn order(&self, deadline: Duration) {
        *self.ordered.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.health.drain();
    }

    /// Waits until somebody wants a drain, and carries it out. When it returns the relay may end.
    pub(crate) async fn carry_out(&self, plane: &Plane, accepting: &Shutdown, shutdown: &Shutdown) {
        tokio::select! {
            () = shutdown.triggered() => {}
            () = self.health.draining() => {}
        }
        self.health.drain();
        plane.drain();
        let sessions = || {
            let passing = plane.transit.as_ref().map_or(0, |it| it.in_flight());
            let sessions = u64::try_from(plane.metrics.sessions.sum()).unwrap_or(0);
            sessions.saturating_add(u64::try_from(passing).unwrap_or(0))
        };
        tracing::info!(sessions = sessions(), "draining");
        let anybody = plane.transit.as_ref().is_some_and(|it| it.len() > 0);
        if sessions() > 0 || anybody {
            tokio::time::sleep(Duration::from_secs(self.config.delay_secs)).await;
        }
        accepting.trigger();
        let ordered = *self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = ordered.unwrap_or_else(|| Duration::from_secs(self.config.timeout_secs));
        let tell = |left| {
            let told = plane.focus.notice(Notice::Draining { sessions: left }).is_ok();
            if told {
                plane.metrics.drain_sessions.set(i64::try_from(left).unwrap_or(i64::MAX));
            }
            told
        };
        // Also what waits for a socket, and for no answer, is on its way.
        let empty = emptied(sessions, || plane.metrics.queued_octets.get() > 0, tell);
        if tokio::time::timeout(deadline, empty).await.is_err() {
            tracing::warn!(sessions = sessions(), "the drain's time is over");
        }
    }
}

/// Waits until nothing is left and whoever is told of it knows.
async fn emptied(
    left: impl Fn() -> u64,
    is_writing: impl Fn() -> bool,
    mut tell: impl FnMut(u64) -> bool,
) {
    let mut told = None;
    loop {
        let left = left();
        if told != Some(left) && tell(left) {
            told = Some(left);
        }
        if told == Some(0) && !is_writing() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_deadline_ends_a_drain_of_which_nobody_can_be_told() {
        let waited = tokio::time::timeout(LOOK, emptied(|| 0, || false, |_| false)).await;

        assert!(waited.is_err());
    }

    #[tokio::test]
    async fn each_change_is_told_once_and_the_last_octet_is_waited_for() {
        let (looks, mut told) = (Cell::new(0), Vec::new());
        let left = || {
            looks.set(looks.get() + 1);
            u64::from(looks.get() < 3)
        };

        let tell = |left| {
            told.push(left);
            true
        };
        let waited = tokio::time::timeout(PATIENCE, emptied(left, || looks.get() < 5, tell)).await;

        assert!(waited.is_ok());
        assert_eq!((told, looks.get()), (vec![1, 0], 5));
    }
}
