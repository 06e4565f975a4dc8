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
        let empty = async {
            let mut told = None;
            // Also what waits for a socket, and for no answer, is on its way.
            while told != Some(0) || plane.metrics.queued_octets.get() > 0 {
                let left = sessions();
                if told != Some(left)
                    && plane.focus.notice(Notice::Draining { sessions: left }).is_ok()
                {
                    plane.metrics.drain_sessions.set(i64::try_from(left).unwrap_or(i64::MAX));
                    told = Some(left);
                }
                if left > 0 || told == Some(0) {
                    tokio::time::sleep(LOOK).await;
                }
            }
        };
        if tokio::time::timeout(deadline, empty).await.is_err() {
            tracing::warn!(sessions = sessions(), "the drain's time is over");
        }
    }
}
