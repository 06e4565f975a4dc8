//! What can be wrong with a vault, where, and how to mend it.
use std::path::{Path, PathBuf};

/// Why a vault cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Another process has it.
    #[error("{} is in use by another process: end that one, or name another folder", folder.display())]
    InUse {
        /// The vault's folder.
        folder: PathBuf,
    },
    /// The key is not the one it was made with.
    #[error("{} does not open with {}: give the passphrase or key file it was made with; \
             without it, move the vault away, and the device begins anew", vault.display(), key.display())]
    WrongKey {
        /// The vault.
        vault: PathBuf,
        /// The file the key is in.
        key: PathBuf,
    },
    /// It was made with a passphrase and a key file was given, or the other way round.
    #[error("{} was made with a {made_with}: give that", vault.display())]
    OtherKind {
        /// The vault.
        vault: PathBuf,
        /// What it was made with.
        made_with: &'static str,
    },
    /// Something in it is not as it was written.
    #[error("{} is damaged at octet {at} ({what}): move it away and the device begins anew, entering its conferences \
             as a new one; a backup must not be used, because keys would be used twice", vault.display())]
    Damaged {
        /// The vault.
        vault: PathBuf,
        /// Where the damage begins.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The file with the passphrase or the key is not one.
    #[error("{}: {why}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong, and how to mend it.
        why: &'static str,
    },
    /// The disk did not do it.
    #[error("{doing} {}: {why}; the folder and its files must be on a disk with room, and writable by this user", path.display())]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// A write failed before, so nothing more is written: the device has to be started again.
    #[error("the vault in {} is closed since a write failed: see to its disk and start again", folder.display())]
    Closed {
        /// The vault's folder.
        folder: PathBuf,
    },
}

impl VaultError {
    pub(super) fn io(doing: &'static str, path: &Path, why: std::io::Error) -> Self {
        Self::Disk { doing, path: path.to_owned(), why }
    }
}
