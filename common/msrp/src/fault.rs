//! What is wrong with what a peer sent, and whether the stream can still be followed. It never holds a body.

use crate::encode::Frame;
use crate::ident::TransactionId;
use crate::path::Path;
use crate::reply::Reply;
use crate::start::{FailureReport, Method};
use crate::status::Status;

/// A rule of RFC 4975 that a message breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Defect {
    /// The first octets are not `MSRP `.
    #[error("this is not MSRP")]
    NotMsrp,
    /// The start line is malformed, so nobody knows where the message ends.
    #[error("the start line is malformed")]
    StartLine,
    /// Start line and headers are longer than allowed.
    #[error("start line and headers are too long")]
    HeadTooLong,
    /// One line is longer than allowed.
    #[error("a line is too long")]
    LineTooLong,
    /// There are more headers than allowed.
    #[error("too many headers")]
    TooManyHeaders,
    /// A line ends in LF without CR, or the end-line has an unknown flag.
    #[error("a line is not ended as it must be")]
    LineEnd,
    /// A line is no `name: value`.
    #[error("a header line has no name")]
    HeaderLine,
    /// The paths are not the first two headers.
    #[error("To-Path and From-Path are not the first two headers")]
    PathOrder,
    /// A header that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A header is there twice.
    #[error("{0} is there twice")]
    Repeated(&'static str),
    /// The value of a header does not follow its grammar.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A body that is no SEND's is longer than allowed.
    #[error("the body of a message that is no SEND is too long")]
    BodyTooLong,
}

/// A message that cannot be used, with as much of its address as could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its transaction id.
    pub transaction: TransactionId,
    /// Its method; `None` for a response, which is never answered.
    pub method: Option<Method>,
    /// Where it was going, if that could be read.
    pub to_path: Option<Path>,
    /// Where it came from, if that could be read.
    pub from_path: Option<Path>,
    /// Which answers its sender wants.
    pub failure_report: FailureReport,
    /// What is wrong with it.
    pub defect: Defect,
}

impl Rejected {
    /// The code to answer with.
    pub fn status(&self) -> Status {
        Status::BAD_REQUEST
    }

    /// The answer to send; `None` if there must be none (a response, a REPORT, `Failure-Report: no`) or nobody can
    /// be addressed.
    pub fn answer(&self) -> Option<Frame> {
        let comment = self.defect.to_string();
        let reply = Reply {
            transaction: self.transaction,
            method: self.method.as_ref()?,
            failure_report: self.failure_report,
            from_path: self.from_path.as_ref()?,
            own: self.to_path.as_ref()?.first(),
            status: self.status(),
            comment: &comment,
            headers: &[],
        };
        reply.encode()
    }
}

/// What [`crate::Decoder::next`] returns instead of an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// One message is bad, and the decoder has stepped over it or does so from now on: answer, and go on.
    #[error("a message was refused: {}", .0.defect)]
    Answerable(Box<Rejected>),
    /// Where the next message starts is unknown: answer if there is somebody to answer, then close. The decoder
    /// returns this from now on and takes no more octets.
    #[error("the stream cannot be followed: {why}")]
    Fatal {
        /// What is wrong.
        why: Defect,
        /// The message it was found in, as far as it was read.
        rejected: Option<Box<Rejected>>,
    },
}

impl Fault {
    /// The answer to send, if any.
    pub fn answer(&self) -> Option<Frame> {
        match self {
            Self::Answerable(rejected) => rejected.answer(),
            Self::Fatal { rejected, .. } => rejected.as_ref()?.answer(),
        }
    }

    /// Whether the connection must be closed.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal { .. })
    }
}
