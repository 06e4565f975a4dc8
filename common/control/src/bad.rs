//! What can be wrong with a frame, with the peer, and with our own buffers.

/// Bytes that are not a frame of this contract. The link they came over is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// A frame announced more octets than allowed.
    #[error("a frame of {octets} octets; the most is {max}", max = crate::FRAME_OCTETS_MAX)]
    TooLong {
        /// What its length said.
        octets: usize,
    },
    /// Not protobuf.
    #[error("not protobuf: {0}")]
    NotProtobuf(String),
    /// A field has a value that its type does not allow.
    #[error("{field}: {why}")]
    Field {
        /// The path of the field, as in `seat.aor`.
        field: &'static str,
        /// What is wrong with it, without secrets.
        why: String,
    },
}

impl BadFrame {
    pub(crate) fn field(field: &'static str, why: impl ToString) -> Self {
        Self::Field { field, why: why.to_string() }
    }

    pub(crate) fn missing(field: &'static str) -> Self {
        Self::field(field, "is missing")
    }
}

/// A frame that is well-formed and out of order. Close the link; the next one starts afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaved {
    /// The greeting came twice, late, or not first.
    #[error("a greeting in the wrong place")]
    Greeting,
    /// Numbers grow by one.
    #[error("number {got} where {expected} was due")]
    Number {
        /// What came.
        got: u64,
        /// What should have come.
        expected: u64,
    },
    /// An acknowledgement of something never sent.
    #[error("an acknowledgement of {got}; the last number sent is {sent}")]
    Acknowledged {
        /// What the peer acknowledged.
        got: u64,
        /// The last number it can know.
        sent: u64,
    },
}

/// A buffer of the link is full, or the order makes no sense now. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overfull {
    /// Too many orders that the relay has not carried out. Try again after its next acknowledgement.
    #[error("too many orders wait for the relay")]
    Orders,
    /// Too many notices that the focus has not acknowledged. Refuse the message that caused this one.
    #[error("too many notices wait for the focus")]
    Notices,
    /// The order would not fit into a frame.
    #[error("larger than a frame")]
    Frame,
    /// An order for a room that was never opened or is closed.
    #[error("the room is not open")]
    NoRoom,
}
