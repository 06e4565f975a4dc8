//! What every protocol of this generator can do: greet, send a numbered message, and find what arrived in a stream of
//! octets. Pure.
use super::content::Content;

/// One thing that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Octets of a message, from `offset` on; with `ends` they are its last.
    Piece {
        /// Where they begin.
        offset: usize,
        /// The octets.
        octets: &'a [u8],
        /// Whether the message is complete with them.
        ends: bool,
    },
    /// A success response: to the greeting, or to a message.
    Accepted,
    /// Something that means nothing here.
    Other,
}

/// What no run may see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(pub String);

/// One end of one connection in one protocol.
pub trait Speech {
    /// What to say first; the answer to it is [`Item::Accepted`].
    fn greeting(&self) -> Vec<u8>;

    /// Appends a message.
    fn message(&self, number: u64, content: &Content, out: &mut Vec<u8>);

    /// The first thing in `input` and how many octets it takes; `None` if it is not complete. What must be answered is
    /// answered into `reply`.
    ///
    /// # Errors
    /// A refusal, or octets that the protocol does not allow here.
    fn hear<'a>(
        &mut self,
        input: &'a [u8],
        reply: &mut Vec<u8>,
    ) -> Result<Option<(usize, Item<'a>)>, Nonsense>;
}
