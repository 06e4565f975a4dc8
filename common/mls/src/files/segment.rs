//! The cipher of one file: what is derived from its key, and how one segment is sealed and opened.
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead as _, AeadInPlace as _};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{FileFault, FileKey, HEADER_OCTETS, SEGMENT_OCTETS, TAG_OCTETS};

const VERSION: u8 = 1;
/// 2^16 is [`SEGMENT_OCTETS`].
const SEGMENT_LOG2: u8 = 16;
const INFO: &[u8] = b"conclave sealed file 1";

/// A sealed segment: its plaintext and the tag.
pub(super) const SEALED_OCTETS: usize = SEGMENT_OCTETS + TAG_OCTETS;

pub(super) struct Cipher {
    aead: Aes256Gcm,
    prefix: [u8; 7],
    commitment: [u8; 32],
    id: [u8; 16],
}

impl Cipher {
    pub(super) fn new(key: &FileKey, id: [u8; 16]) -> Result<Self, FileFault> {
        let mut derived = Zeroizing::new([0_u8; 32 + 7 + 32]);
        Hkdf::<Sha256>::new(Some(&id), key.as_bytes())
            .expand(INFO, derived.as_mut_slice())
            .map_err(|_| FileFault::Header)?;
        let (secret, rest) = derived.split_at(32);
        let (prefix, commitment) = rest.split_at(7);
        Ok(Self {
            aead: Aes256Gcm::new_from_slice(secret).map_err(|_| FileFault::Header)?,
            prefix: prefix.try_into().map_err(|_| FileFault::Header)?,
            commitment: commitment.try_into().map_err(|_| FileFault::Header)?,
            id,
        })
    }

    /// The cipher a header asks for, if the header was made with this key.
    pub(super) fn from_header(
        key: &FileKey,
        header: &[u8; HEADER_OCTETS],
    ) -> Result<Self, FileFault> {
        let [version, log2, rest @ ..] = header;
        if (*version, *log2) != (VERSION, SEGMENT_LOG2) {
            return Err(FileFault::Header);
        }
        let (id, commitment) = rest.split_at(16);
        let cipher = Self::new(key, id.try_into().map_err(|_| FileFault::Header)?)?;
        if bool::from(cipher.commitment.ct_eq(commitment)) {
            Ok(cipher)
        } else {
            Err(FileFault::OtherKey)
        }
    }

    pub(super) fn header(&self) -> [u8; HEADER_OCTETS] {
        let mut header = [0; HEADER_OCTETS];
        let parts = [VERSION, SEGMENT_LOG2].iter().chain(&self.id).chain(&self.commitment);
        for (octet, part) in header.iter_mut().zip(parts) {
            *octet = *part;
        }
        header
    }

    /// Appends one sealed segment to `out`.
    pub(super) fn seal(
        &self,
        index: u64,
        last: bool,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), FileFault> {
        let nonce = self.nonce(index, last)?;
        let start = out.len();
        out.extend_from_slice(plaintext);
        let segment = out.get_mut(start..).unwrap_or_default();
        let tag: Tag = self
            .aead
            .encrypt_in_place_detached(&nonce, &[], segment)
            .map_err(|_| FileFault::TooLarge)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens one segment.
    pub(super) fn open(&self, index: u64, last: bool, sealed: &[u8]) -> Result<Vec<u8>, FileFault> {
        let nonce = self.nonce(index, last)?;
        self.aead.decrypt(&nonce, sealed).map_err(|_| FileFault::Segment(index))
    }

    /// RFC 5116 nonce of 12 octets: prefix, index, and whether it is the last segment.
    fn nonce(&self, index: u64, last: bool) -> Result<Nonce<U12>, FileFault> {
        let index = u32::try_from(index).map_err(|_| FileFault::TooLarge)?;
        let mut nonce = Nonce::default();
        let parts = self.prefix.into_iter().chain(index.to_be_bytes()).chain([u8::from(last)]);
        for (octet, part) in nonce.iter_mut().zip(parts) {
            *octet = part;
        }
        Ok(nonce)
    }
}

/// Octets of the sealed file for a plaintext of this size.
#[must_use]
pub const fn ciphertext_octets(plaintext: u64) -> u64 {
    let segments = segments(plaintext);
    HEADER_OCTETS as u64 + plaintext + segments * TAG_OCTETS as u64
}

/// Segments of a plaintext of this size. An empty file has one, empty.
pub(super) const fn segments(plaintext: u64) -> u64 {
    let full = plaintext.div_ceil(SEGMENT_OCTETS as u64);
    if full == 0 { 1 } else { full }
}

/// Where a segment starts in the sealed file.
#[must_use]
pub const fn segment_offset(index: u64) -> u64 {
    HEADER_OCTETS as u64 + index * SEALED_OCTETS as u64
}
