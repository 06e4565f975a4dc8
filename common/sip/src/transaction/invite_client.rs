//! The INVITE client transaction (RFC 3261, 17.1.1; RFC 6026, 8.4). It only says what follows; it sends nothing itself.
//!
//! ```text
//!                                |INVITE from user
//!                                |INVITE sent            Timer B or
//!                                V                       flow closed
//!    300-699               +-----------+                 tell user
//!    ACK sent,      +------|  Calling  |-------------------------------+
//!    to user        |      +-----------+                               |
//!    +--------------+   Cancel |  |  | 2xx to user                     |
//!    |          +--------------+  |  +---------------+                 |
//!    |          V                 |1xx to user       |                 |
//!    |   +------------+           V            +--+  |                 |
//!    |   | CancelHeld |    +------------+  1xx |  |  |  Timer C or     |
//!    |   +------------+    | Proceeding |------+  |  |  flow closed    |
//!    |          |          |            |<--------+  |  tell user      |
//!    |          | 1xx      +------------+------------|---------------->|
//!    |          | send        |      |  2xx to user  |                 |
//!    |          | CANCEL      |Cancel+-------------->|                 |
//!    |          V             |CANCEL sent           V                 |
//!    |   +------------+       |                +-----------+  2xx      |
//!    |   | Cancelling |<------+       2xx      |  Accepted |--+to user |
//!    |<--|            |----------------------->|           |<-+        |
//!    |   +------------+  Timer, closed         +-----------+           |
//!    |          +-------------------------------------|--------------->|
//!    |                                                |Timer M         |
//!    |                +------------+                  |                |
//!    +--------------->| Terminated |<-----------------+----------------+
//!                     +------------+
//! ```
//!
//! Completed lasts for timer D, which is zero here, so a failure ends the transaction. CANCEL may leave only after a
//! provisional response (9.1); until then it is held. The two states for it are ours.
use super::ClientAction::{AckAndDeliver, CancelAndDeliver, Deliver, Fail, Nothing, SendCancel};
use super::ClientInput::{Cancel, Failure, FlowClosed, Provisional, Success, Timer as Fires};
use super::{ClientAction, ClientInput, Row, Timer, find, row};

/// Where the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No answer yet.
    Calling,
    /// No answer yet, and the user has cancelled.
    CancelHeld,
    /// A provisional answer came.
    Proceeding,
    /// CANCEL was sent.
    Cancelling,
    /// A 2xx came; others may follow.
    Accepted,
    /// Gone.
    Terminated,
}
use State::{Accepted, Calling, CancelHeld, Cancelling, Proceeding, Terminated};

/// The whole automaton.
pub const TABLE: &[Row<State, ClientInput, ClientAction>] = &[
    row(Calling, Provisional, Proceeding, Deliver, Some(Timer::C)),
    row(Calling, Success, Accepted, Deliver, Some(Timer::M)),
    row(Calling, Failure, Terminated, AckAndDeliver, None),
    row(Calling, Cancel, CancelHeld, Nothing, None),
    row(Calling, Fires, Terminated, Fail, None),
    row(Calling, FlowClosed, Terminated, Fail, None),
    row(CancelHeld, Provisional, Cancelling, CancelAndDeliver, Some(Timer::Cancelled)),
    row(CancelHeld, Success, Accepted, Deliver, Some(Timer::M)),
    row(CancelHeld, Failure, Terminated, AckAndDeliver, None),
    row(CancelHeld, Fires, Terminated, Fail, None),
    row(CancelHeld, FlowClosed, Terminated, Fail, None),
    row(Proceeding, Provisional, Proceeding, Deliver, Some(Timer::C)),
    row(Proceeding, Success, Accepted, Deliver, Some(Timer::M)),
    row(Proceeding, Failure, Terminated, AckAndDeliver, None),
    row(Proceeding, Cancel, Cancelling, SendCancel, Some(Timer::Cancelled)),
    row(Proceeding, Fires, Terminated, Fail, None),
    row(Proceeding, FlowClosed, Terminated, Fail, None),
    row(Cancelling, Provisional, Cancelling, Deliver, None),
    row(Cancelling, Success, Accepted, Deliver, Some(Timer::M)),
    row(Cancelling, Failure, Terminated, AckAndDeliver, None),
    row(Cancelling, Fires, Terminated, Fail, None),
    row(Cancelling, FlowClosed, Terminated, Fail, None),
    row(Accepted, Success, Accepted, Deliver, None),
    row(Accepted, Fires, Terminated, Nothing, None),
    row(Accepted, FlowClosed, Terminated, Nothing, None),
];

/// The first state, and the timer that starts with it.
pub const START: (State, Timer) = (Calling, Timer::B);

/// What follows `input` in `state`; `None` if it means nothing there.
pub fn step(state: State, input: ClientInput) -> Option<Row<State, ClientInput, ClientAction>> {
    find(TABLE, state, input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        super::super::tests::assert_sound(TABLE, Calling, Terminated);
    }

    #[test]
    fn s17_1_1_2_every_failure_is_acknowledged_and_ends_the_transaction() {
        for state in [Calling, CancelHeld, Proceeding, Cancelling] {
            let row = step(state, Failure).unwrap();
            assert_eq!((row.action, row.next), (AckAndDeliver, Terminated));
        }
    }

    #[test]
    fn rfc6026_s7_2_accepted_passes_every_2xx_and_drops_the_rest() {
        assert_eq!(step(Accepted, Success).unwrap().action, Deliver);
        for input in [Provisional, Failure, Cancel] {
            assert_eq!(step(Accepted, input), None);
        }
    }

    #[test]
    fn s9_1_cancel_leaves_only_after_a_provisional_answer() {
        assert_eq!(step(Calling, Cancel).unwrap().action, Nothing);
        assert_eq!(step(CancelHeld, Provisional).unwrap().action, CancelAndDeliver);
        assert_eq!(step(Proceeding, Cancel).unwrap().action, SendCancel);
    }
}
