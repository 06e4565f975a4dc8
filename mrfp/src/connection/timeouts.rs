//! How long a connection may keep others waiting: for its first request, for its answers, for its socket to take something.
//! The shard asks now and then; what becomes of a connection that is over a time-out is for `goodbye`.
use std::rc::Rc;
use std::time::{Duration, Instant};

use control::Cause;

use super::Connection;
use crate::shard::Shard;

impl Connection {
    /// Looks at the time-outs.
    pub(crate) fn tick(self: &Rc<Self>, shard: &Shard, now: Instant) {
        let limits = &shard.plane.limits;
        let since = |then: Instant| now.saturating_duration_since(then);
        self.note_transit(shard, now);
        let seatless = self.is_idle();
        let unbound =
            seatless && since(self.opened) > Duration::from_secs(limits.first_request_secs);
        // RFC 4975, 5.4: a session lives as long as its connection, and to be silent is no fault.
        let silent = limits.idle_secs > 0
            && !self.unheard.get()
            && since(self.heard.get()) > Duration::from_secs(limits.idle_secs);
        if unbound || silent {
            self.end(Cause::Silent);
            return;
        }
        self.note_reached();
        self.look_if_drained(shard, now);
        self.end_silent(shard, now);
        self.expire(shard, now);
        self.expire_onward(shard, now);
        self.transit_tick(shard, now);
        self.end_blocked(shard, now);
    }

    /// A socket that takes nothing of what waits for it: its peer does not read, or is not there any more. It keeps
    /// memory, and perhaps others waiting. One that takes a little goes on.
    fn end_blocked(&self, shard: &Shard, now: Instant) {
        let (writes, (known, since)) = (self.writer.writes(), self.progress.get());
        if !self.writer.is_behind() || writes != known {
            self.progress.set((writes, now));
            return;
        }
        let blocked_secs = shard.plane.limits.blocked_secs;
        let blocked = now.saturating_duration_since(since);
        if blocked_secs > 0 && blocked >= Duration::from_secs(blocked_secs) {
            self.too_slow(shard, "blocked");
        }
    }
}
