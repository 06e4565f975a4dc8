//! Where a device keeps its state: its key, its groups, what it has seen and not yet told, the keys of files that wait to be
//! fetched; encrypted, in one folder.
//!
//! ```text
//! FOLDER/lock    taken by the process that uses it
//! FOLDER/vault   a header, then one sealed transaction after the other; written anew when it has grown
//! ```
//!
//! Everything is in memory while the device runs ([`mls::storage::Records`]). [`Vault::commit`] takes what has changed to
//! the disk as one transaction, and what depends on it (a sealed message, an acknowledgement) leaves the device after
//! that. A device that is killed at any moment comes back with everything that had left it.
//!
//! **An interrupted write** is the beginning of a transaction at the end of the file. Nothing depended on it, and it is cut
//! off. If the last transaction is there as a whole and does not open, what depended on it may have left: then the groups
//! are forgotten too, and the device enters them anew. Damage anywhere else is told and never mended silently.
//!
//! **Never copy a vault and use both**: two devices with one key use the same generations of it, as does one that goes
//! back to a backup. Its messages are then refused by others, and in the worst case readable.
//!
//! **Not here:** what the records mean, and the keyring of the operating system: the key comes from a passphrase or a key
//! file.
mod disk;
mod error;
mod key;
mod log;
#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mls::storage::Records;

use disk::Folder;
pub use error::VaultError;
pub use key::VaultKey;
use log::{Fault, Log};

/// A device's vault. A cheap handle: clones are the same vault, which is open until the last one is dropped.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    records: Records,
    log: Mutex<Log<Folder>>,
    /// Locked as long as the vault is open.
    _lock: File,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.inner.folder.display())
    }
}

impl Vault {
    /// Opens the vault in a folder; makes both if there is none. Deriving a key from a passphrase takes a good part of a
    /// second.
    ///
    /// # Errors
    /// It is in use, the key is not the one it was made with, it is damaged, or the folder cannot be used.
    pub fn open(folder: &Path, key: &VaultKey) -> Result<Self, VaultError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|why| VaultError::io("making the folder", folder, why))?;
        let lock = lock(folder)?;
        let disk = Folder::open(folder)?;
        let path = disk.path().to_owned();
        let mut opened =
            Log::open(disk, key, &mut rand::rng()).map_err(|fault| error(fault, &path, key))?;
        let records = Records::kept(std::mem::take(&mut opened.values));
        if opened.in_doubt {
            tracing::warn!(vault = %path.display(), "the last write was damaged: groups are entered anew");
            records.forget_groups();
        } else if opened.cut > 0 {
            tracing::info!(vault = %path.display(), octets = opened.cut, "cut off an interrupted write");
        }
        let inner =
            Inner { folder: folder.to_owned(), records, log: Mutex::new(opened.log), _lock: lock };
        let vault = Self { inner: Arc::new(inner) };
        vault.commit_now()?;
        Ok(vault)
    }

    /// What is kept.
    pub fn records(&self) -> &Records {
        &self.inner.records
    }

    /// Takes what has changed to the disk. What depends on it may leave the device after this, and not if it fails: then
    /// the vault is closed for good, as nobody knows how much of it was written.
    ///
    /// # Errors
    /// The disk took it not, now or before.
    pub async fn commit(&self) -> Result<(), VaultError> {
        if self.is_settled() {
            return Ok(());
        }
        let vault = self.clone();
        let written = tokio::task::spawn_blocking(move || vault.commit_now()).await;
        written.unwrap_or_else(|_| Err(VaultError::Closed { folder: self.inner.folder.clone() }))
    }

    /// The same, waiting for the disk here.
    ///
    /// # Errors
    /// As for [`Vault::commit`].
    pub fn commit_now(&self) -> Result<(), VaultError> {
        let mut log = self.inner.log.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waited here may find that it was written together with somebody else's.
        let written = log.commit(&self.inner.records, &mut rand::rng());
        written.map_err(|fault| match fault {
            Fault::Disk(doing, why) => VaultError::io(doing, &self.inner.folder, why),
            _ => VaultError::Closed { folder: self.inner.folder.clone() },
        })
    }

    /// Takes also to the disk what would have waited for a change that matters: before a device stops.
    pub(crate) async fn settle(&self) {
        let vault = self.clone();
        let written = tokio::task::spawn_blocking(move || vault.commit_now()).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "what this device did last is not kept");
        }
    }

    /// Whether everything is on the disk. While somebody writes it is not: what we changed may be on its way with theirs.
    fn is_settled(&self) -> bool {
        let Ok(log) = self.inner.log.try_lock() else { return false };
        !log.is_broken() && !self.records().is_changed()
    }
}

fn lock(folder: &Path) -> Result<File, VaultError> {
    let path = folder.join("lock");
    let file =
        File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|why| VaultError::io("opening", &path, why))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(VaultError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(why)) => Err(VaultError::io("locking", &path, why)),
    }
}

fn error(fault: Fault, path: &Path, key: &VaultKey) -> VaultError {
    let vault = path.to_owned();
    match fault {
        Fault::Disk(doing, why) => VaultError::io(doing, path, why),
        Fault::Damaged { at, what } => VaultError::Damaged { vault, at, what },
        Fault::WrongKey => VaultError::WrongKey { vault, key: key.path().to_owned() },
        Fault::OtherKind { made_with } => VaultError::OtherKind { vault, made_with },
        Fault::Key(error) => *error,
        Fault::Closed => VaultError::Closed { folder: path.to_owned() },
    }
}
