//! The server transaction of every request but INVITE and ACK (RFC 3261, 17.2.2). It only says what follows.
//!
//! ```text
//!                    |Request
//!                    |to user
//!                    V
//!              +-----------+
//!        +-----|  Trying   |-----------------+
//!        |     +-----------+  200-699 from   |
//!        |           |        user: send     |
//!        |           |1xx from user: send    |
//!        |           V                       |
//!        |     +------------+ 1xx: send      |
//!        |     | Proceeding |--+ Request:    |
//!        |     |            |<-+ send again  |
//!        |     +------------+                |
//!        |           | 200-699 from          |
//!        | Timer or  | user: send            |
//!        | closed:   V                       |
//!        | tell user +------------+          |
//!        +---------->| Terminated |<---------+
//!                    +------------+
//! ```
//!
//! Completed lasts for timer J, which is zero here. A user who does not answer within 32 seconds loses the transaction
//! (RFC 4320, 4.2).
use super::ServerAction::{Abandon, Resend, Send};
use super::ServerInput::{Failure, FlowClosed, Provisional, Request, Success, Timer as Fires};
use super::{Row, ServerAction, ServerInput, Timer, find, row};

/// Where the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent yet.
    Trying,
    /// A provisional answer was sent.
    Proceeding,
    /// Gone.
    Terminated,
}
use State::{Proceeding, Terminated, Trying};

/// The whole automaton.
pub const TABLE: &[Row<State, ServerInput, ServerAction>] = &[
    row(Trying, Provisional, Proceeding, Send, None),
    row(Trying, Success, Terminated, Send, None),
    row(Trying, Failure, Terminated, Send, None),
    row(Trying, Fires, Terminated, Abandon, None),
    row(Trying, FlowClosed, Terminated, Abandon, None),
    row(Proceeding, Request, Proceeding, Resend, None),
    row(Proceeding, Provisional, Proceeding, Send, None),
    row(Proceeding, Success, Terminated, Send, None),
    row(Proceeding, Failure, Terminated, Send, None),
    row(Proceeding, Fires, Terminated, Abandon, None),
    row(Proceeding, FlowClosed, Terminated, Abandon, None),
];

/// The first state, and the timer that starts with it.
pub const START: (State, Timer) = (Trying, Timer::Useless);

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
    fn s17_2_2_a_repeated_request_gets_what_was_last_sent_if_anything_was() {
        assert_eq!(step(Trying, Request), None);
        assert_eq!(step(Proceeding, Request).unwrap().action, Resend);
    }
}
