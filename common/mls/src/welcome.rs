//! A Welcome taken apart and split (RFC 9420, 12.4.3.1).
//!
//! openmls makes one Welcome for everybody a commit adds. A joiner needs only its own entry, so a Welcome for a
//! thousand becomes a thousand small ones. This works on the clear outer structure and opens nothing.
use bytes::Bytes;

use crate::codec::{Malformed, Reader, Writer};
use crate::wire::{ADDS_MAX, BUNDLE_OCTETS_MAX};

/// `mls10` and `mls_welcome`: how the `MLSMessage` around a Welcome starts.
const VERSION: u16 = 1;
const WIRE_FORMAT: u16 = 3;

pub(crate) struct Parts {
    suite: u16,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) group_info: Bytes,
}

/// One device's entry.
pub(crate) struct Secret {
    /// The reference of the KeyPackage it is sealed for.
    pub(crate) new_member: Bytes,
    kem_output: Bytes,
    ciphertext: Bytes,
}

impl Parts {
    pub(crate) fn parse(welcome: &[u8]) -> Result<Self, Malformed> {
        let (max, what) = (BUNDLE_OCTETS_MAX, "Welcome");
        let mut from = Reader::new(welcome, max, what)?;
        if (from.u16(what)?, from.u16(what)?) != (VERSION, WIRE_FORMAT) {
            return Err(Malformed(what));
        }
        let parts = Self {
            suite: from.u16(what)?,
            secrets: from.list(ADDS_MAX, what, |from| {
                Ok(Secret {
                    new_member: from.blob(max, what)?,
                    kem_output: from.blob(max, what)?,
                    ciphertext: from.blob(max, what)?,
                })
            })?,
            group_info: from.blob(max, what)?,
        };
        from.end(what)?;
        Ok(parts)
    }

    /// The Welcome with only the entry for this KeyPackage.
    pub(crate) fn only(&self, new_member: &[u8]) -> Option<Bytes> {
        let secret = self.secrets.iter().find(|s| s.new_member == new_member)?;
        let mut to = Writer::default();
        to.u16(VERSION).u16(WIRE_FORMAT).u16(self.suite);
        to.list(std::slice::from_ref(secret), |to, secret| {
            to.blob(&secret.new_member).blob(&secret.kem_output).blob(&secret.ciphertext);
        });
        Some(to.blob(&self.group_info).finish())
    }
}
