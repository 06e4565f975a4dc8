//! The transactions of RFC 3261, 17, with the Accepted state of RFC 6026, as tables for reliable transports.
//!
//! Each table says for a state and an input what to do, what state comes next and which timer starts. A table does
//! nothing itself and keeps nothing: [`Endpoint`](crate::endpoint::Endpoint) owns the transactions, the timers and the
//! bytes. Because the transport is reliable nothing is sent twice (no timers A, E, G), and timers D, I, J and K last
//! zero seconds (17.1.1.2, 17.1.2.2, 17.2.1, 17.2.2): the states that only wait for them are not there.
pub mod client;
pub(crate) mod id;
pub mod invite_client;
pub mod invite_server;
pub mod server;

use std::time::Duration;

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<State, Input, Action> {
    /// The state the row starts from.
    pub state: State,
    /// What comes in.
    pub input: Input,
    /// The state that follows.
    pub next: State,
    /// What is to be done.
    pub action: Action,
    /// The timer that takes the place of the running one; `None` leaves the running one alone.
    pub arm: Option<Timer>,
}

pub(crate) const fn row<S, I, A>(
    state: S,
    input: I,
    next: S,
    action: A,
    arm: Option<Timer>,
) -> Row<S, I, A> {
    Row { state, input, next, action, arm }
}

/// The row for this state and input. None: the input means nothing in this state and is dropped.
pub(crate) fn find<S: Copy + PartialEq, I: Copy + PartialEq, A: Copy>(
    table: &[Row<S, I, A>],
    state: S,
    input: I,
) -> Option<Row<S, I, A>> {
    table.iter().find(|row| row.state == state && row.input == input).copied()
}

/// The timers of a transaction; at most one runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// 100 (Trying) must leave within 200 ms unless the user answered (17.2.1).
    Trying,
    /// No answer to an INVITE (timer B).
    B,
    /// No final answer to an INVITE after a provisional one (timer C, 16.6). RFC 3261 lets a client wait without end;
    /// a bound is safer, and whoever answers keeps it from running out by a provisional answer each minute (13.3.1.1).
    C,
    /// No final answer to another request (timer F).
    F,
    /// No ACK to a failure (timer H).
    H,
    /// No ACK to a 2xx (timer L, RFC 6026).
    L,
    /// More 2xx to one INVITE may come, from other branches (timer M, RFC 6026).
    M,
    /// No final answer to an INVITE after CANCEL (9.1).
    Cancelled,
    /// The user did not answer a request that is no INVITE. The client has given up by now, and an answer now would be
    /// worse than none (RFC 4320, 4.2).
    Useless,
}

/// The round-trip time estimate, T1.
pub const T1: Duration = Duration::from_millis(500);

impl Timer {
    /// How long it runs.
    pub fn duration(self) -> Duration {
        match self {
            Self::Trying => Duration::from_millis(200),
            Self::C => Duration::from_secs(180),
            Self::B | Self::F | Self::H | Self::L | Self::M | Self::Cancelled | Self::Useless => {
                T1 * 64
            }
        }
    }
}

/// What comes in to a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientInput {
    /// A 1xx.
    Provisional,
    /// A 2xx.
    Success,
    /// A 3xx to 6xx.
    Failure,
    /// The user wants no answer any more.
    Cancel,
    /// The timer ran out.
    Timer,
    /// The flow closed.
    FlowClosed,
}

/// What a client transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAction {
    /// Nothing.
    Nothing,
    /// Give the response to the user.
    Deliver,
    /// Send ACK and give the response to the user.
    AckAndDeliver,
    /// Send CANCEL.
    SendCancel,
    /// Send CANCEL and give the response to the user.
    CancelAndDeliver,
    /// Tell the user that no answer will come.
    Fail,
}

/// What comes in to a server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerInput {
    /// The same request again.
    Request,
    /// The user sends a 1xx.
    Provisional,
    /// The user sends a 2xx.
    Success,
    /// The user sends a 3xx to 6xx.
    Failure,
    /// The ACK to the answer.
    Ack,
    /// A CANCEL for this request.
    Cancel,
    /// The timer ran out.
    Timer,
    /// The flow closed.
    FlowClosed,
}

/// What a server transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAction {
    /// Nothing.
    Nothing,
    /// Send the user's response.
    Send,
    /// Send the last response again.
    Resend,
    /// Send 100 (Trying).
    SendTrying,
    /// Send 408 (Request Timeout) and tell the user that it was too slow.
    SendTimeout,
    /// Give the ACK to the user.
    DeliverAck,
    /// Tell the user that the client cancelled.
    TellCancelled,
    /// Tell the user that the transaction ended before its end.
    Abandon,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fmt::Debug;

    /// No two rows for one state and input; every state is reached; nothing follows `end`.
    pub(crate) fn assert_sound<S, I, A>(table: &[Row<S, I, A>], start: S, end: S)
    where
        S: Copy + PartialEq + Debug,
        I: Copy + PartialEq + Debug,
        A: Copy,
    {
        for (at, row) in table.iter().enumerate() {
            let same = |other: &Row<S, I, A>| other.state == row.state && other.input == row.input;
            assert!(!table[..at].iter().any(same), "two rows for {:?}, {:?}", row.state, row.input);
            assert_ne!(row.state, end, "a row leaves the end");
            let reached =
                |other: &Row<S, I, A>| other.next == row.state && other.state != row.state;
            assert!(row.state == start || table.iter().any(reached), "{:?} unreached", row.state);
            let leaves = |other: &Row<S, I, A>| other.state == row.state && other.next == end;
            assert!(table.iter().any(leaves), "{:?} never ends", row.state);
        }
    }

    #[test]
    fn s17_64_t1_is_32_seconds() {
        assert_eq!(Timer::B.duration(), Duration::from_secs(32));
        assert_eq!(Timer::Trying.duration(), Duration::from_millis(200));
    }
}
