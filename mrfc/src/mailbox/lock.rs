//! The keys of the mailbox: what lies on disk is under the first one, and any of them opens it. AES-256-GCM-SIV (RFC 8452),
//! so that a random nonce that comes twice gives nothing away but that two texts are the same.
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use service::secret::Secret;

/// Octets of a key.
const KEY_BYTES: usize = 32;

/// Octets that locking adds: nonce and tag.
pub(crate) const OVERHEAD: usize = NONCE_LEN + 16;

/// Why the mailbox has no keys.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// The file cannot be read.
    #[error("mailbox.key_file: {0}")]
    File(#[from] service::config::ConfigError),
    /// A line is no key.
    #[error(
        "mailbox.key_file: line {line} of {path} is not 64 hexadecimal digits; make one with openssl rand -hex 32"
    )]
    Line {
        /// Which line.
        line: usize,
        /// Which file.
        path: PathBuf,
    },
}

/// The keys. They do not show themselves.
pub(crate) struct Keys(Vec<LessSafeKey>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// The system gave no randomness, so nothing is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be locked")]
pub(crate) struct NotLocked;

impl Keys {
    /// Reads the file of the setting.
    pub(crate) fn read(path: &Path) -> Result<Self, BadKeys> {
        let text = Secret::read(path)?;
        let keys = text.expose().lines().enumerate().map(|(at, line)| {
            let wrong = || BadKeys::Line { line: at + 1, path: path.to_owned() };
            let mut octets = zeroize::Zeroizing::new([0_u8; KEY_BYTES]);
            hex::decode_to_slice(line.trim(), &mut *octets).map_err(|_| wrong())?;
            let key = UnboundKey::new(&AES_256_GCM_SIV, &*octets).map_err(|_| wrong())?;
            Ok(LessSafeKey::new(key))
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Locks a text for this place: nonce, ciphertext, tag.
    pub(crate) fn lock(&self, place: &[u8], text: &[u8]) -> Result<Bytes, NotLocked> {
        let key = self.0.first().ok_or(NotLocked)?;
        let mut nonce = [0_u8; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| NotLocked)?;
        let mut sealed = text.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place),
            &mut sealed,
        )
        .map_err(|_| NotLocked)?;
        Ok([&nonce[..], &sealed].concat().into())
    }

    /// Opens what was locked for this place, unless it was changed, moved or locked by somebody else.
    pub(crate) fn open(&self, place: &[u8], locked: &[u8]) -> Option<Bytes> {
        let (nonce, sealed) = locked.split_first_chunk::<NONCE_LEN>()?;
        self.0.iter().find_map(|key| {
            let mut text = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = key.open_in_place(nonce, Aad::from(place), &mut text).ok()?.len();
            text.truncate(opened);
            Some(text.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(lines: &str) -> Result<Keys, BadKeys> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, lines).unwrap();
        Keys::read(&path)
    }

    #[test]
    fn s4_08_what_is_locked_opens_at_its_place_only_and_unchanged_only() {
        let keys = keys(&"5a".repeat(32)).unwrap();

        let locked = keys.lock(b"bob 1", b"are you there?").unwrap();

        assert_eq!(keys.open(b"bob 1", &locked).unwrap(), &b"are you there?"[..]);
        assert!(keys.open(b"bob 2", &locked).is_none());
        assert!(!locked.windows(5).any(|octets| octets == b"there"));
        for at in 0..locked.len() {
            let mut changed = locked.to_vec();
            changed[at] ^= 1;
            assert!(keys.open(b"bob 1", &changed).is_none(), "{at}");
        }
        assert!(keys.open(b"bob 1", b"short").is_none());
        assert_ne!(keys.lock(b"bob 1", b"are you there?").unwrap(), locked);
    }

    #[test]
    fn a_new_key_locks_and_the_old_one_still_opens() {
        let old = keys(&"11".repeat(32)).unwrap();
        let both = keys(&format!("{}\n{}\n", "22".repeat(32), "11".repeat(32))).unwrap();

        let before = old.lock(b"", b"kept before").unwrap();
        let after = both.lock(b"", b"kept after").unwrap();

        assert_eq!(both.open(b"", &before).unwrap(), &b"kept before"[..]);
        assert!(old.open(b"", &after).is_none());
    }

    #[test]
    fn a_file_that_holds_no_keys_is_refused_with_its_line() {
        let short = format!("{}\n{}", "11".repeat(32), "22".repeat(31));

        assert!(matches!(keys(&short), Err(BadKeys::Line { line: 2, .. })));
        assert!(matches!(keys("not a key"), Err(BadKeys::Line { line: 1, .. })));
        assert!(matches!(keys(" \n"), Err(BadKeys::File(_))));
    }
}
