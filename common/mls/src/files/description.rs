//! What the group is told of a file, inside a sealed message.
use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{SealedFile, ciphertext_octets};
use crate::codec::{Malformed, Reader, Writer};

const VERSION: u8 = 1;
/// With a picture behind it.
const PICTURED: u8 = 2;
const OCTETS_MAX: usize = 4096 + PICTURE_OCTETS_MAX;
/// Octets of a picture: it goes with a message.
pub const PICTURE_OCTETS_MAX: usize = 16 << 10;
/// Longest file name.
const NAME_OCTETS_MAX: usize = 255;
/// Longest media type.
const MEDIA_TYPE_OCTETS_MAX: usize = 127;

/// A file's own key. Whoever has it reads the file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKey(Zeroizing<[u8; 32]>);

impl FileKey {
    pub(super) fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        Self(key)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// A sealed file: what it is, how to know it, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDescription {
    /// Its name, chosen by the sender: not a path. Sanitize it before it meets a file system.
    pub name: String,
    /// Its media type, as claimed by the sender.
    pub media_type: String,
    /// A small picture of it.
    pub picture: Option<Picture>,
    /// Sizes, hashes and key.
    pub file: SealedFile,
}

/// A small picture of an image. It is its author's: decode it with bounds.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its media type.
    pub media_type: String,
    /// The picture itself.
    pub content: Bytes,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({} octets)", self.content.len())
    }
}

impl FileDescription {
    /// The encoding. Names too long for it are cut, a picture too large for it is left out.
    pub fn to_bytes(&self) -> Bytes {
        let file = &self.file;
        let mut to = Writer::default();
        let small = |picture: &&Picture| picture.content.len() <= PICTURE_OCTETS_MAX;
        let picture = self.picture.as_ref().filter(small);
        to.u8(if picture.is_some() { PICTURED } else { VERSION });
        to.text(&clip(&self.name, NAME_OCTETS_MAX));
        to.text(&clip(&self.media_type, MEDIA_TYPE_OCTETS_MAX));
        to.u64(file.size).u64(file.ciphertext_size);
        to.raw(&file.plaintext_sha256).raw(&file.ciphertext_sha256).raw(file.key.as_bytes());
        if let Some(picture) = picture {
            to.text(&clip(&picture.media_type, MEDIA_TYPE_OCTETS_MAX)).blob(&picture.content);
        }
        to.finish()
    }

    /// Reads one whole description. The two sizes have to fit each other.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let what = "file description";
        let mut from = Reader::new(bytes, OCTETS_MAX, what)?;
        let version = from.u8(what)?;
        if ![VERSION, PICTURED].contains(&version) {
            return Err(Malformed(what));
        }
        let (name, media_type) = (from.text(what)?, from.text(what)?);
        let file = SealedFile {
            size: from.u64(what)?,
            ciphertext_size: from.u64(what)?,
            plaintext_sha256: from.array(what)?,
            ciphertext_sha256: from.array(what)?,
            key: FileKey(Zeroizing::new(from.array(what)?)),
        };
        let picture = match version {
            PICTURED => {
                let media_type = from.text(what)?;
                Some(Picture { media_type, content: from.blob(PICTURE_OCTETS_MAX, what)? })
            }
            _ => None,
        };
        from.end(what)?;
        let fits = name.len() <= NAME_OCTETS_MAX
            && media_type.len() <= MEDIA_TYPE_OCTETS_MAX
            && file.size <= u64::MAX / 2
            && ciphertext_octets(file.size) == file.ciphertext_size;
        if fits { Ok(Self { name, media_type, picture, file }) } else { Err(Malformed(what)) }
    }
}

/// The longest start of a text with at most so many octets.
fn clip(text: &str, octets_max: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=octets_max.min(text.len())).rev().find(fits).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}
