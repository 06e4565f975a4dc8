//! The hashes that RFC 5547 files are known by: SHA-1, because the document asks for it, and SHA-256, because SHA-1 proves
//! nothing against somebody who means harm.
use sha1::Sha1;
use sha2::{Digest, Sha256};
use sip::sdp::{FileHash, FileSelector};

/// Hashes of a file, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-1.
    pub sha1: Option<[u8; 20]>,
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
}

impl Hashes {
    /// Those of a selector that have the right length; hashes that we do not know say nothing.
    pub fn of(selector: &FileSelector) -> Self {
        Self {
            sha1: selector.hash("sha-1").and_then(|hash| hash.try_into().ok()),
            sha256: selector.hash("sha-256").and_then(|hash| hash.try_into().ok()),
        }
    }

    /// As a selector has them; RFC 5547, 6: where there is any, SHA-1 is one of them.
    pub fn listed(&self) -> Vec<FileHash> {
        let sha1 = self.sha1.iter().map(|hash| FileHash::new("sha-1", hash));
        sha1.chain(self.sha256.iter().map(|hash| FileHash::new("sha-256", hash))).collect()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The hashes of octets that come in order.
#[derive(Clone, Default)]
pub struct Hashing {
    sha1: Sha1,
    sha256: Sha256,
    octets: u64,
}

impl Hashing {
    /// The next octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.sha1.update(octets);
        self.sha256.update(octets);
        self.octets += octets.len() as u64;
    }

    /// How many there were.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The hashes of all of them.
    pub fn finish(self) -> Hashes {
        Hashes {
            sha1: Some(self.sha1.finalize().into()),
            sha256: Some(self.sha256.finalize().into()),
        }
    }
}
