//! Sealing, in pieces of any size.
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::segment::Cipher;
use super::{FileDescription, FileFault, FileKey, HEADER_OCTETS, SEGMENT_OCTETS};

/// Seals one file. Feed it with [`FileSealer::push`], end it with [`FileSealer::finish`].
pub struct FileSealer {
    key: FileKey,
    cipher: Cipher,
    /// Plaintext not yet sealed: at most one segment, because the last one has to be known as the last.
    held: Zeroizing<Vec<u8>>,
    index: u64,
    size: u64,
    ciphertext_size: u64,
    plaintext_hash: Sha256,
    ciphertext_hash: Sha256,
    /// The header was written.
    started: bool,
}

/// What is known of a file once it is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedFile {
    /// Its key.
    pub key: FileKey,
    /// Octets of the plaintext.
    pub size: u64,
    /// Octets of the sealed file.
    pub ciphertext_size: u64,
    /// SHA-256 of the plaintext.
    pub plaintext_sha256: [u8; 32],
    /// SHA-256 of the sealed file.
    pub ciphertext_sha256: [u8; 32],
}

impl SealedFile {
    /// With a name and a media type, what the group is told.
    #[must_use]
    pub fn describe(self, name: &str, media_type: &str) -> FileDescription {
        let (name, media_type) = (name.to_owned(), media_type.to_owned());
        FileDescription { name, media_type, picture: None, file: self }
    }
}

impl FileSealer {
    /// Starts a file with a new key.
    pub fn new(rng: &mut impl rand::CryptoRng) -> Result<Self, FileFault> {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let key = FileKey::generate(rng);
        Ok(Self {
            cipher: Cipher::new(&key, id)?,
            key,
            held: Zeroizing::new(Vec::with_capacity(SEGMENT_OCTETS)),
            index: 0,
            size: 0,
            ciphertext_size: 0,
            plaintext_hash: Sha256::new(),
            ciphertext_hash: Sha256::new(),
            started: false,
        })
    }

    /// Takes the next piece of the file and appends what is sealed so far to `out`.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), FileFault> {
        let start = out.len();
        self.start(out);
        self.size += piece.len() as u64;
        self.plaintext_hash.update(piece);
        while !piece.is_empty() {
            if self.held.len() == SEGMENT_OCTETS {
                self.seal(false, out)?;
            }
            let room = SEGMENT_OCTETS - self.held.len();
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.held.extend_from_slice(now);
            piece = later;
        }
        self.account(start, out);
        Ok(())
    }

    /// Seals the end of the file.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<SealedFile, FileFault> {
        let start = out.len();
        self.start(out);
        self.seal(true, out)?;
        self.account(start, out);
        Ok(SealedFile {
            key: self.key,
            size: self.size,
            ciphertext_size: self.ciphertext_size,
            plaintext_sha256: self.plaintext_hash.finalize().into(),
            ciphertext_sha256: self.ciphertext_hash.finalize().into(),
        })
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !self.started {
            let header: [u8; HEADER_OCTETS] = self.cipher.header();
            out.extend_from_slice(&header);
            self.started = true;
        }
    }

    fn seal(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), FileFault> {
        self.cipher.seal(self.index, last, &self.held, out)?;
        self.held.clear();
        self.index += 1;
        Ok(())
    }

    fn account(&mut self, start: usize, out: &[u8]) {
        let new = out.get(start..).unwrap_or_default();
        self.ciphertext_size += new.len() as u64;
        self.ciphertext_hash.update(new);
    }
}
