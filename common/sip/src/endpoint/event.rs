//! What an [`Endpoint`](super::Endpoint) is told and what it says.
use std::fmt;

use bytes::Bytes;

use crate::message::{Request, Response};

/// A connection, named by whoever owns the sockets. A number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

/// A transaction of an endpoint, of either side. A number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionKey(pub(crate) u64);

/// What an endpoint must know of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowAddresses {
    /// The transport in our Via: `TLS`, `TCP`, `WSS`.
    pub transport: String,
    /// Our host in Via's sent-by.
    pub sent_by_host: String,
    /// Our port in Via's sent-by, if responses could come to it.
    pub sent_by_port: Option<u16>,
    /// The peer's address, for `received` (18.2.1). Brackets around IPv6 do not matter.
    pub peer_host: String,
    /// The peer's port, for `rport` (RFC 3581).
    pub peer_port: u16,
}

/// What an endpoint wants done or has to tell. `Debug` does not show the message.
#[derive(Clone)]
pub enum Output {
    /// Write this to this flow.
    Send {
        /// Where.
        flow: FlowId,
        /// One whole message.
        bytes: Bytes,
    },
    /// Tell the user.
    Event(Event),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { flow, bytes } => write!(f, "Send({} bytes on {flow:?})", bytes.len()),
            Self::Event(event) => event.fmt(f),
        }
    }
}

/// What the user of an endpoint is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A new request: never an ACK, never a CANCEL, never one that is being answered already. It wants exactly one
    /// final response.
    Request {
        /// What to respond to.
        key: TransactionKey,
        /// Where it came from.
        flow: FlowId,
        /// What is asked.
        request: Request,
    },
    /// The ACK to a 2xx the user gave.
    Ack {
        /// The INVITE it belongs to.
        key: TransactionKey,
        /// Where it came from; not always where the INVITE came from.
        flow: FlowId,
        /// The ACK; it may carry the answer to an offer.
        request: Request,
    },
    /// The client gave this INVITE up; the user responds 487 (Request Terminated) unless it has responded already.
    Cancelled {
        /// The INVITE.
        key: TransactionKey,
    },
    /// This request, not finally answered or not acknowledged, has lost its transaction: a response to it goes nowhere.
    Abandoned {
        /// The request.
        key: TransactionKey,
        /// Why.
        why: Abandoned,
    },
    /// A response to a request of the user. A final one is the last, except that an INVITE may have several 2xx.
    Response {
        /// The request.
        key: TransactionKey,
        /// What was answered.
        response: Response,
    },
    /// No final response to a request of the user will come.
    Failed {
        /// The request.
        key: TransactionKey,
        /// Why.
        why: Failure,
    },
}

/// Why a request of the user gets no final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing came in time; to be treated as 408 (8.1.3.1).
    #[error("no answer in time")]
    Timeout,
    /// The flow is closed or was never open; to be treated as 503 (8.1.3.1).
    #[error("the flow is closed")]
    FlowClosed,
    /// There are too many transactions; nothing was sent.
    #[error("too many transactions")]
    Busy,
}

/// Why a request to the user lost its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Abandoned {
    /// The flow closed.
    #[error("the flow closed")]
    FlowClosed,
    /// The user did not answer in time.
    #[error("not answered in time")]
    NotAnswered,
    /// The final response was not acknowledged; after a 2xx the dialog is confirmed and wants a BYE (13.3.1.4).
    #[error("not acknowledged")]
    NotAcknowledged,
}

/// How many transactions an endpoint keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Transactions of both sides, all flows together. More requests are answered 503.
    pub transactions_max: usize,
    /// Transactions of both sides on one flow. More requests are answered 503.
    pub flow_transactions_max: usize,
    /// What `Retry-After` of that 503 says.
    pub retry_after_secs: u32,
}

impl Default for EndpointLimits {
    /// 65,536 transactions, 4,096 of them on one flow (a SIP core brings everybody on one flow), 5 seconds.
    fn default() -> Self {
        Self { transactions_max: 65_536, flow_transactions_max: 4_096, retry_after_secs: 5 }
    }
}
