//! The place of a connection that has no seat yet, and what becomes of it when another gets the place. Who that is, is
//! decided in `places`.
use control::Cause;

use super::Connection;
use crate::pair::Spot;
use crate::shard::Shard;

impl Connection {
    /// It is served here, so this is where it is to be ended if it must make room.
    pub(super) fn place_at(&self, shard: &Shard) {
        let spot = Spot { shard: shard.index, connection: self.number };
        let kept = self.half_open.borrow().as_ref().is_none_or(|place| place.serve_at(spot));
        if !kept {
            self.displaced();
        }
    }

    /// Another has its place. If it has taken a seat meanwhile, it needs none.
    pub(crate) fn displaced(&self) {
        if self.half_open.borrow().is_some() {
            // Nothing is owed to a peer that has no session, so nobody waits for it to read a last answer.
            self.end(Cause::Slow);
        }
    }
}
