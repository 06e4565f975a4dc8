//! The client transaction of every request but INVITE and ACK (RFC 3261, 17.1.2). It only says what follows.
//!
//! ```text
//!                  |Request from user
//!                  |send request
//!                  V
//!            +-----------+  Timer F or flow closed
//!      +-----|  Trying   |----------------+
//!      |     +-----------+  tell user     |
//!      |           | 1xx to user          |
//!      |           V                      |
//!      |     +------------+ Timer F or    |
//!      |  +->| Proceeding | flow closed   |
//!      |  |  |            |-------------->|
//!      |  +--+------------+ tell user     |
//!      |  1xx      | 200-699 to user      |
//!      |           V                      |
//!      |     +------------+               |
//!      +---->| Terminated |<--------------+
//!  200-699   +------------+
//!  to user
//! ```
//!
//! Completed lasts for timer K, which is zero here.
use super::ClientAction::{Deliver, Fail};
use super::ClientInput::{Failure, FlowClosed, Provisional, Success, Timer as Fires};
use super::{ClientAction, ClientInput, Row, Timer, find, row};

/// Where the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No answer yet.
    Trying,
    /// A provisional answer came.
    Proceeding,
    /// Gone.
    Terminated,
}
use State::{Proceeding, Terminated, Trying};

/// The whole automaton.
pub const TABLE: &[Row<State, ClientInput, ClientAction>] = &[
    row(Trying, Provisional, Proceeding, Deliver, None),
    row(Trying, Success, Terminated, Deliver, None),
    row(Trying, Failure, Terminated, Deliver, None),
    row(Trying, Fires, Terminated, Fail, None),
    row(Trying, FlowClosed, Terminated, Fail, None),
    row(Proceeding, Provisional, Proceeding, Deliver, None),
    row(Proceeding, Success, Terminated, Deliver, None),
    row(Proceeding, Failure, Terminated, Deliver, None),
    row(Proceeding, Fires, Terminated, Fail, None),
    row(Proceeding, FlowClosed, Terminated, Fail, None),
];

/// The first state, and the timer that starts with it.
pub const START: (State, Timer) = (Trying, Timer::F);

/// What follows `input` in `state`; `None` if it means nothing there.
pub fn step(state: State, input: ClientInput) -> Option<Row<State, ClientInput, ClientAction>> {
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
    fn s17_1_2_2_timer_f_runs_on_through_a_provisional_answer() {
        assert!(TABLE.iter().all(|row| row.arm.is_none()));
        assert_eq!(step(Proceeding, Fires).unwrap().action, Fail);
    }

    #[test]
    fn s9_1_only_an_invite_is_cancelled() {
        assert_eq!(step(Trying, ClientInput::Cancel), None);
        assert_eq!(step(Proceeding, ClientInput::Cancel), None);
    }
}
