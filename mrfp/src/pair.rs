//! A one-to-one session: two legs, back to back. What one leg sends goes to the other as it is, piece by piece; nobody
//! looks at it, whatever its type.
//!
//! ```text
//!        leg a's connection              leg b's connection
//! SEND ─► Leg::admit ─► Legs::pass ══► ledger, outbox ─► SEND, its own transaction id
//!  200 ◄─┘ at once       │ b has not come: held for some seconds, then REPORT 408
//! REPORT ◄══════════════════════════ ledger ◄─ an answer that is no 200, 30 s of silence, or b is lost
//! REPORT ◄══════════════════════════ REPORT of b's user, and requests of unknown methods
//! ```
//!
//! - `leg` is pure: which messages of a leg are open, which are turned down, and with what.
//! - `legs` knows where both legs are, and holds what comes for a leg that has not come yet.
//! - [`crate::forward`] is pure: what is owed for each chunk on its way to the next hop.
//! - `connection/onward` does what they say: it passes on, answers, reports, and pauses the sender while the receiver has
//!   more than a bound to read (`brake`).
//! - `tab` tells the focus of each message, where the session is charged.
//!
//! The 200 to the sender says that the relay has the chunk. Headers keep what RFC 4975 wants kept end to end: Message-ID,
//! Success-Report, Failure-Report, Content-Type, and everything unknown; the paths, the transaction id and the Byte-Range
//! are each hop's own. A Message-ID is passed on once: what a device sends again after its connection broke is
//! acknowledged and goes no further.
pub mod leg;
pub(crate) mod legs;
pub(crate) mod tab;

use std::sync::Arc;

use ids::SeatId;

use crate::forward;
use crate::relay::RoomId;
use tab::Tab;

/// Where the sender of a request sits.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) spot: Spot,
    /// Its seat, where it has one.
    pub(crate) seat: Option<(RoomId, SeatId)>,
    /// Where its message is charged.
    pub(crate) tab: Option<Arc<Tab>>,
}

/// A connection, for every thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) shard: usize,
    pub(crate) connection: u64,
}

impl forward::Origin for Origin {
    type Name = (Spot, Option<(RoomId, SeatId)>);

    fn name(&self) -> Self::Name {
        (self.spot, self.seat)
    }
}
