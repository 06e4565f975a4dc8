//! Cuts frames out of a byte stream and puts them into one: a four-octet big-endian length, then protobuf.
//! It holds at most one incomplete frame. It knows no numbers: that is the links' business.
use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use crate::bad::BadFrame;
use crate::proto;
use crate::wire::{ToFocus, ToRelay};

/// The longest frame, without its length. An MLS bundle is at most 4 MiB; a frame holds one and some names.
pub const FRAME_OCTETS_MAX: usize = 8 * 1024 * 1024;

const LENGTH_OCTETS: usize = 4;

mod sealed {
    #[expect(unnameable_types, reason = "sealed: the two directions are a closed set")]
    pub trait Direction: Sized {
        type Proto: prost::Message + Default + From<Self> + TryInto<Self, Error = crate::BadFrame>;
    }
}

impl sealed::Direction for ToRelay {
    type Proto = proto::ToRelay;
}

impl sealed::Direction for ToFocus {
    type Proto = proto::ToFocus;
}

/// Reads frames of one direction: `Codec<ToRelay>` in the MRFP, `Codec<ToFocus>` in the MRFC.
///
/// ```
/// use control::{Codec, ToFocus};
/// let mut codec = Codec::<ToFocus>::new();
/// let bytes = Codec::encode(ToFocus::Acknowledge(7))?;
/// codec.feed(&bytes[..3]);
/// assert_eq!(codec.next_frame()?, None);
/// codec.feed(&bytes[3..]);
/// assert_eq!(codec.next_frame()?, Some(ToFocus::Acknowledge(7)));
/// # Ok::<(), control::BadFrame>(())
/// ```
#[derive(Debug)]
pub struct Codec<F> {
    pending: BytesMut,
    direction: PhantomData<fn() -> F>,
}

impl<F> Default for Codec<F> {
    fn default() -> Self {
        Self { pending: BytesMut::new(), direction: PhantomData }
    }
}

impl<F: sealed::Direction> Codec<F> {
    /// A codec at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they came. Call [`next_frame`](Self::next_frame) until it says `None` before the next ones.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there. After an error the stream is of no further use.
    pub fn next_frame(&mut self) -> Result<Option<F>, BadFrame> {
        let Some(length) = self.pending.first_chunk::<LENGTH_OCTETS>() else { return Ok(None) };
        let octets = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if octets > FRAME_OCTETS_MAX {
            return Err(BadFrame::TooLong { octets });
        }
        if self.pending.len() < LENGTH_OCTETS + octets {
            return Ok(None);
        }
        self.pending.advance(LENGTH_OCTETS);
        let frame = self.pending.split_to(octets).freeze();
        let frame = F::Proto::decode(frame).map_err(|e| BadFrame::NotProtobuf(e.to_string()))?;
        frame.try_into().map(Some)
    }

    /// One frame as bytes, its length in front.
    pub fn encode(frame: F) -> Result<Bytes, BadFrame> {
        let frame = F::Proto::from(frame);
        let octets = frame.encoded_len();
        let length = u32::try_from(octets).map_err(|_| BadFrame::TooLong { octets })?;
        if octets > FRAME_OCTETS_MAX {
            return Err(BadFrame::TooLong { octets });
        }
        let mut bytes = BytesMut::with_capacity(LENGTH_OCTETS + octets);
        bytes.put_u32(length);
        frame.encode(&mut bytes).map_err(|_| BadFrame::TooLong { octets })?;
        Ok(bytes.freeze())
    }
}
