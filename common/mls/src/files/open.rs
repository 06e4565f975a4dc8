//! Opening, in pieces of any size, from the start or from any segment.
use sha2::{Digest as _, Sha256};

use super::segment::{Cipher, segments};
use super::{FileDescription, FileFault, HEADER_OCTETS, SEGMENT_OCTETS, SealedFile, TAG_OCTETS};

/// Opens one file. Feed it with [`FileOpener::push`], end it with [`FileOpener::finish`].
pub struct FileOpener {
    file: SealedFile,
    /// None until the header has come.
    cipher: Option<Cipher>,
    /// Ciphertext not yet opened: the header, or at most one segment.
    held: Vec<u8>,
    index: u64,
    /// Hashes of the whole file; none after a resume, where the start was not seen.
    hashes: Option<(Sha256, Sha256)>,
}

impl FileOpener {
    /// Starts at the beginning.
    pub fn new(description: &FileDescription) -> Self {
        Self {
            file: description.file.clone(),
            cipher: None,
            held: Vec::new(),
            index: 0,
            hashes: Some((Sha256::new(), Sha256::new())),
        }
    }

    /// Goes on at a segment: the next piece starts at [`segment_offset`](super::segment_offset) of `index`. The segments before it have
    /// been proven one by one; the hash of the whole plaintext is then the caller's to compare.
    pub fn resume(
        description: &FileDescription,
        header: &[u8; HEADER_OCTETS],
        index: u64,
    ) -> Result<Self, FileFault> {
        if index >= segments(description.file.size) {
            return Err(FileFault::Length);
        }
        let cipher = Cipher::from_header(&description.file.key, header)?;
        let file = description.file.clone();
        Ok(Self { file, cipher: Some(cipher), held: Vec::new(), index, hashes: None })
    }

    /// Takes the next piece of the sealed file and appends what is proven to `out`.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), FileFault> {
        if let Some((ciphertext, _)) = &mut self.hashes {
            ciphertext.update(piece);
        }
        while !piece.is_empty() {
            let wanted = self.wanted().ok_or(FileFault::Length)?;
            let (now, later) = piece.split_at((wanted - self.held.len()).min(piece.len()));
            self.held.extend_from_slice(now);
            piece = later;
            if self.held.len() == wanted {
                self.take(out)?;
            }
        }
        Ok(())
    }

    /// Says whether the file is whole and the one described.
    pub fn finish(self) -> Result<(), FileFault> {
        let whole =
            self.cipher.is_some() && self.held.is_empty() && self.index == segments(self.file.size);
        if !whole {
            return Err(FileFault::Length);
        }
        if let Some((ciphertext, plaintext)) = self.hashes {
            let hashes = (ciphertext.finalize().into(), plaintext.finalize().into());
            if hashes != (self.file.ciphertext_sha256, self.file.plaintext_sha256) {
                return Err(FileFault::OtherFile);
            }
        }
        Ok(())
    }

    /// How many octets make the next part; none if nothing more may come.
    fn wanted(&self) -> Option<usize> {
        if self.cipher.is_none() {
            return Some(HEADER_OCTETS);
        }
        segment_octets(&self.file, self.index)
    }

    /// A part is complete: the header or a segment.
    fn take(&mut self, out: &mut Vec<u8>) -> Result<(), FileFault> {
        let Some(cipher) = &self.cipher else {
            let header = self.held.as_slice().try_into().map_err(|_| FileFault::Header)?;
            self.cipher = Some(Cipher::from_header(&self.file.key, header)?);
            self.held.clear();
            return Ok(());
        };
        let last = self.index + 1 == segments(self.file.size);
        let plaintext = cipher.open(self.index, last, &self.held)?;
        if let Some((_, hash)) = &mut self.hashes {
            hash.update(&plaintext);
        }
        out.extend_from_slice(&plaintext);
        self.held.clear();
        self.index += 1;
        Ok(())
    }
}

/// Opens one segment alone, for random access.
pub fn open_segment(
    description: &FileDescription,
    header: &[u8; HEADER_OCTETS],
    index: u64,
    sealed: &[u8],
) -> Result<Vec<u8>, FileFault> {
    let count = segments(description.file.size);
    if index >= count {
        return Err(FileFault::Length);
    }
    let cipher = Cipher::from_header(&description.file.key, header)?;
    cipher.open(index, index + 1 == count, sealed)
}

/// Octets of a sealed segment; none beyond the last.
fn segment_octets(file: &SealedFile, index: u64) -> Option<usize> {
    if index >= segments(file.size) {
        return None;
    }
    let rest = file.size.saturating_sub(index * SEGMENT_OCTETS as u64);
    Some(usize::try_from(rest).unwrap_or(usize::MAX).min(SEGMENT_OCTETS) + TAG_OCTETS)
}
