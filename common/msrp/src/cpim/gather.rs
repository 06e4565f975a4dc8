//! Holding back the start of a message until its CPIM headers are complete, over as many chunks as they take
//! (RFC 7701, section 6.1), so that a switch can decide before it forwards the first octet.

use crate::body::Body;

use super::HEAD_OCTETS_MAX;
use super::envelope::{BadCpim, Envelope, parse};

/// More slices than this are copied into one, so that octet-sized chunks cost no memory.
const SLICES_MAX: usize = 64;

/// The start of one message.
#[derive(Debug, Clone, Default)]
pub struct Gather {
    held: Body,
}

impl Gather {
    /// Adds the next octets of the message; the headers, as soon as they are complete.
    pub fn push(&mut self, piece: &Body) -> Result<Option<Envelope>, BadCpim> {
        self.held.append(piece);
        if self.held.slice_count() > SLICES_MAX && self.held.len() <= HEAD_OCTETS_MAX {
            self.held = Body::from(self.held.gather());
        }
        // Only a line that ends can end the headers.
        let ends = piece.slices().any(|slice| memchr::memchr(b'\n', slice).is_some());
        if !ends && self.held.len() < HEAD_OCTETS_MAX {
            return Ok(None);
        }
        let Some(first) = self.held.slices().next() else { return Ok(None) };
        if self.held.slice_count() > 1 && !matches!(parse(first), Ok(Some(_))) {
            return parse(&self.held.part(0, HEAD_OCTETS_MAX).gather());
        }
        parse(first)
    }

    /// Everything held back so far, headers and all, and nothing more is held.
    pub fn take(&mut self) -> Body {
        std::mem::take(&mut self.held)
    }
}
