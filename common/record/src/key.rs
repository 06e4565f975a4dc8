//! The key of one direction: it seals or opens records, each under the next number (RFC 8446, 5.3). Which key comes
//! after it is rustls's to say.
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305};
use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use rustls::ConnectionTrafficSecrets;

use crate::{Error, HEADER_OCTETS, Secrets};

/// Octets of a tag; of all three ciphers the same.
pub(crate) const TAG_OCTETS: usize = 16;

/// Records that one key of AES-GCM may seal (RFC 8446, 5.5).
const AES_GCM_RECORDS_MAX: u64 = 1 << 24;

/// Kept of them for KeyUpdate and the last alert.
const RECORDS_SPARE: u64 = 16;

pub(crate) struct Key {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    /// Of the next record.
    number: u64,
    /// From this number on it seals nothing any more.
    end: u64,
}

impl Key {
    pub(crate) fn new((number, secrets): &Secrets) -> Result<Self, Error> {
        let (algorithm, key, iv, records_max) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
                (&AES_128_GCM, key, iv, AES_GCM_RECORDS_MAX)
            }
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
                (&AES_256_GCM, key, iv, AES_GCM_RECORDS_MAX)
            }
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&CHACHA20_POLY1305, key, iv, u64::MAX)
            }
            _ => return Err(Error::Suite),
        };
        let aead = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| Error::Suite)?;
        let iv = iv.as_ref().try_into().map_err(|_| Error::Suite)?;
        Ok(Self { aead: LessSafeKey::new(aead), iv, number: *number, end: records_max })
    }

    /// Whether it should seal little more.
    pub(crate) fn is_worn(&self) -> bool {
        self.number.saturating_add(RECORDS_SPARE) >= self.end
    }

    /// The nonce of the next record: no number is used twice.
    fn next(&mut self) -> Result<Nonce, Error> {
        let number = self.number.to_be_bytes();
        self.number = self.number.checked_add(1).ok_or(Error::Exhausted)?;
        let mut nonce = self.iv;
        let (_, low) = nonce.split_at_mut(NONCE_LEN - number.len());
        low.iter_mut().zip(number).for_each(|(octet, other)| *octet ^= other);
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Seals a record in its place. Its tag.
    pub(crate) fn seal(
        &mut self,
        header: &[u8; HEADER_OCTETS],
        plain: &mut [u8],
    ) -> Result<Tag, Error> {
        if self.number >= self.end {
            return Err(Error::Exhausted);
        }
        let nonce = self.next()?;
        let sealed = self.aead.seal_in_place_separate_tag(nonce, Aad::from(header), plain);
        sealed.map_err(|_| Error::Exhausted)
    }

    /// Opens a record into `plain`, which is as long as what is sealed.
    pub(crate) fn open(
        &mut self,
        header: &[u8; HEADER_OCTETS],
        (sealed, tag): (&[u8], &[u8]),
        plain: &mut [u8],
    ) -> Result<(), Error> {
        let nonce = self.next()?;
        let opened = self.aead.open_separate_gather(nonce, Aad::from(header), sealed, tag, plain);
        opened.map_err(|_| Error::Forged)
    }

    #[cfg(test)]
    pub(crate) fn wear(&mut self, left: u64) {
        self.end = self.number + left + RECORDS_SPARE;
    }

    #[cfg(test)]
    pub(crate) fn wear_out(&mut self) {
        self.end = self.number;
    }
}
