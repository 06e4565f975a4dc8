//! A session on a connection: the pure [`Session`] and what it needs of the world to act.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use control::{Match, Transport};
use ids::{ConferenceId, DeviceId, SeatId};
use msrp::{Address, Chunk, Head, TransactionId, Uri};
use service::clock;

use super::kept::Unanswered;
use crate::outbox::{Lane, Place};
use crate::pair::Origin;
use crate::pair::leg::Leg;
use crate::relay::{Relay, RoomId};
use crate::session::{Refusal, Seen, Session};
use crate::shard::Shard;

/// A seat in use on this connection.
pub(super) struct Seated {
    pub(super) relay: Arc<Relay>,
    pub(super) conference: ConferenceId,
    pub(super) transport: Transport,
    pub(super) session: Session,
    /// Of a one-to-one session: what it sends is passed on, and `session` stays empty.
    pub(super) leg: Option<Leg<Origin>>,
    pub(super) seen: Arc<Mutex<Seen>>,
    /// Whose cursor its answers move, in a room that keeps a log.
    pub(super) device: Option<DeviceId>,
    /// Up to where that is told.
    pub(super) reached: Option<Place>,
    /// The room waits until it has answered all that it was given.
    pub(super) drains: bool,
    /// Its messages that are answered when they are stored, and their charges are kept.
    pub(super) unanswered: VecDeque<Unanswered>,
    /// The URI we handed out.
    pub(super) own: Uri,
    /// The last URI of the participant's path: who it is.
    pub(super) peer: Uri,
    /// How much of the paths in a request must be these.
    pub(super) matching: Match,
    /// To the participant.
    pub(super) address: Address,
    /// Its place in the outbox.
    pub(super) lane: Lane,
    /// NICKNAME requests that the focus has not answered.
    pub(super) nicknames: VecDeque<Asked>,
    pub(super) asked: u64,
    /// The request of ours that binds the session, where we are the active side.
    pub(super) binding: Option<TransactionId>,
}

/// A NICKNAME without an answer yet.
pub(super) struct Asked {
    pub(super) request: u64,
    pub(super) head: Arc<Head>,
    pub(super) until: Instant,
}

impl Seated {
    pub(super) fn seat(&self) -> SeatId {
        self.session.seat()
    }

    /// Whether a request with the session-id of this session is for it, and from its peer.
    pub(super) fn is_meant_by(&self, head: &Head) -> bool {
        let same = || self.own == *head.to_path().first() && self.peer == *head.from_path().last();
        self.matching == Match::SessionId || same()
    }

    /// Whether this is the seat of that room.
    pub(super) fn is(&self, room: RoomId, seat: SeatId) -> bool {
        self.relay.id == room && self.seat() == seat
    }

    /// What the device has completed, for one look.
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece was passed on, or could not be: then the rest of its message gets the same answer.
    pub(super) fn heed(
        &mut self,
        chunk: &Chunk,
        passed: Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        passed.inspect_err(|refusal| {
            if let Some(id) = chunk.head.message_id() {
                self.session.turn_down(id, refusal.clone());
            }
        })
    }

    /// Tells the receivers of streams that ended without their sender saying so.
    pub(super) fn pass_aborted(&mut self, shard: &Shard, now: Instant) {
        for piece in self.session.take_aborted() {
            // An abort is never refused.
            _ = self.relay.piece(&piece, now, &mut *shard.rng.borrow_mut());
        }
    }

    /// The session ends, and with it its unfinished messages.
    pub(super) fn close(&mut self, shard: &Shard, reason: &str) {
        let now = clock::now();
        shard.plane.metrics.sessions.of(self.transport).dec();
        shard.plane.metrics.sessions_closed.with_label_values(&[reason]).inc();
        let ended = self.leg.as_mut().map(Leg::close).unwrap_or_default();
        self.pass_ended(ended, shard, now);
        for piece in self.session.close() {
            _ = self.relay.piece(&piece, now, &mut *shard.rng.borrow_mut());
        }
    }
}
