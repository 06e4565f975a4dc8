//! Files sealed for a group: a random key for each file, told in a sealed message, and segments that open one by one.
//!
//! ```text
//! header (50)                                   segment 0 .. n-1, each ≤ 65536 + 16 octets
//! version 1 | log2 of the segment 1 | id 16 | commitment 32 ‖ AES-256-GCM(key, prefix 7 | index 4 | last 1)
//! ```
//!
//! This is the STREAM construction: a segment opens only at its own index, only in its own file, and only as the
//! last one if it is. Key, nonce prefix and commitment come from the file's key and id by HKDF-SHA256, so a
//! ciphertext opens under one key only: nobody can make a file that reads differently for different members.
//! Offsets are fixed, so that a transfer can go on anywhere ([`FileOpener::resume`]).
//!
//! No octet of a segment is handed out before the segment is proven. That a file is whole is known at its end:
//! keep what was opened aside until [`FileOpener::finish`] has returned. Memory is one segment, whatever the size.
//!
//! The key is not derived from the group's epoch: late devices and resumed transfers would need old epochs.
mod description;
mod open;
mod seal;
mod segment;

pub use description::{FileDescription, FileKey, PICTURE_OCTETS_MAX, Picture};
pub use open::{FileOpener, open_segment};
pub use seal::{FileSealer, SealedFile};
pub use segment::{ciphertext_octets, segment_offset};

/// Octets before the first segment.
pub const HEADER_OCTETS: usize = 50;
/// Plaintext of a full segment.
pub const SEGMENT_OCTETS: usize = 64 << 10;
/// What sealing adds to a segment.
pub const TAG_OCTETS: usize = 16;

/// Why a file does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// Not a sealed file, or of another version.
    #[error("not a sealed file of a known version")]
    Header,
    /// It was sealed with another key than the description's.
    #[error("the file is sealed with another key")]
    OtherKey,
    /// A segment was changed, moved, taken from another file or cut.
    #[error("segment {0} is not genuine")]
    Segment(u64),
    /// It ends early, or goes on after its end.
    #[error("the file is not as long as its description says")]
    Length,
    /// It is genuine but not the one described.
    #[error("the file is not the one described")]
    OtherFile,
    /// More segments than there are indices.
    #[error("too large to be sealed")]
    TooLarge,
}
