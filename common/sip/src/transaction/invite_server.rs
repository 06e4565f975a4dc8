//! The INVITE server transaction (RFC 3261, 17.2.1; RFC 6026, 8.7). It only says what follows; it sends nothing itself.
//!
//! ```text
//!                           |INVITE
//!                           |to user
//!                           V
//!                     +-----------+ CANCEL: tell user
//!           +---------|  Trying   |-----------------+
//!           |         +-----------+ 2xx from user   |
//!           |  300-699      | 200 ms: send 100      | send response
//!           |  from user    | 1xx from user: send   |
//!           |  send         V                       |
//!           |  response +-----------+ 1xx: send     |
//!           |           |Proceeding |--+ INVITE:    |
//!           |<----------|           |<-+ send again |
//!           |           +-----------+ CANCEL: tell  |
//!           |                 | 2xx from user       |
//!           |                 | send response       |
//!           |                 +-------------------->|
//!           V                                       V
//!     +-----------+ INVITE:                   +-----------+ 2xx from user: send
//!     | Completed |--+ send again             | Accepted  |--+ INVITE: -
//!     |           |<-+                        |           |<-+
//!     +-----------+                           +-----------+
//!           | ACK: -                                | ACK: to user
//!           | Timer H: tell user                    | Timer L: tell user
//!           |           +------------+              |
//!           +---------->| Terminated |<-------------+
//!                       +------------+
//! ```
//!
//! Trying is the part of the RFC's Proceeding before anything was sent. Confirmed lasts for timer I, which is zero
//! here. Accepted ends with the ACK: over a reliable transport no INVITE comes twice, so there is nothing to absorb. A
//! closed flow ends every state: an INVITE or ACK on another flow belongs to another transaction. A user who leaves an
//! INVITE without word for 180 seconds (timer C) gets it answered 408.
use super::ServerAction::{
    Abandon, DeliverAck, Nothing, Resend, Send, SendTimeout, SendTrying, TellCancelled,
};
use super::ServerInput::{
    Ack, Cancel, Failure, FlowClosed, Provisional, Request, Success, Timer as Fires,
};
use super::{Row, ServerAction, ServerInput, Timer, find, row};

/// Where the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent yet.
    Trying,
    /// A provisional answer was sent.
    Proceeding,
    /// A failure was sent; the ACK is awaited.
    Completed,
    /// A 2xx was sent; the ACK is awaited.
    Accepted,
    /// Gone.
    Terminated,
}
use State::{Accepted, Completed, Proceeding, Terminated, Trying};

/// The whole automaton.
pub const TABLE: &[Row<State, ServerInput, ServerAction>] = &[
    row(Trying, Fires, Proceeding, SendTrying, Some(Timer::C)),
    row(Trying, Provisional, Proceeding, Send, Some(Timer::C)),
    row(Trying, Success, Accepted, Send, Some(Timer::L)),
    row(Trying, Failure, Completed, Send, Some(Timer::H)),
    row(Trying, Cancel, Trying, TellCancelled, None),
    row(Trying, FlowClosed, Terminated, Abandon, None),
    row(Proceeding, Request, Proceeding, Resend, None),
    row(Proceeding, Provisional, Proceeding, Send, Some(Timer::C)),
    row(Proceeding, Success, Accepted, Send, Some(Timer::L)),
    row(Proceeding, Failure, Completed, Send, Some(Timer::H)),
    row(Proceeding, Cancel, Proceeding, TellCancelled, None),
    row(Proceeding, Fires, Completed, SendTimeout, Some(Timer::H)),
    row(Proceeding, FlowClosed, Terminated, Abandon, None),
    row(Completed, Request, Completed, Resend, None),
    row(Completed, Ack, Terminated, Nothing, None),
    row(Completed, Fires, Terminated, Abandon, None),
    row(Completed, FlowClosed, Terminated, Nothing, None),
    row(Accepted, Success, Accepted, Send, None),
    row(Accepted, Ack, Terminated, DeliverAck, None),
    row(Accepted, Fires, Terminated, Abandon, None),
    row(Accepted, FlowClosed, Terminated, Abandon, None),
];

/// The first state, and the timer that starts with it.
pub const START: (State, Timer) = (Trying, Timer::Trying);

/// What follows `input` in `state`; `None` if it means nothing there.
pub fn step(state: State, input: ServerInput) -> Option<Row<State, ServerInput, ServerAction>> {
    find(TABLE, state, input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        super::super::tests::assert_sound(TABLE, Trying, Terminated);
    }

    #[test]
    fn rfc6026_s7_1_accepted_absorbs_the_invite_and_passes_the_ack() {
        assert_eq!(step(Accepted, Request), None);
        assert_eq!(step(Accepted, Ack).unwrap().action, DeliverAck);
    }

    #[test]
    fn s9_2_a_cancel_after_the_final_answer_changes_nothing() {
        assert_eq!(step(Completed, Cancel), None);
        assert_eq!(step(Accepted, Cancel), None);
    }

    #[test]
    fn s17_2_1_a_second_final_answer_is_dropped() {
        for input in [Provisional, Failure, Success] {
            assert_eq!(step(Completed, input), None);
        }
        assert_eq!(step(Accepted, Failure), None);
    }
}
