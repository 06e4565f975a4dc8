//! A file on its way in, on a disk of this machine: octets go to their place as they come. What has not come to its end
//! stays for a day, so that its sender can go on; the hash tells in the end whether it was the same file.
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use endpoint::transfer::{Hashes, Sink, Source};

/// A file on its way.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    file: Arc<File>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSpool {
    /// Less of the file is here than was said.
    #[error("less of the file is here")]
    Shorter,
    /// The disk fails.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl Spool {
    /// Opens the file of this name; what is behind `start` is dropped.
    pub(super) fn open(folder: &Path, name: &str, start: u64) -> Result<Self, NoSpool> {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path)?;
        if file.metadata()?.len() < start {
            return Err(NoSpool::Shorter);
        }
        file.set_len(start)?;
        Ok(Self { path, file: Arc::new(file) })
    }

    /// Where octets are written and read again.
    pub(super) fn disk(&self) -> Disk {
        Disk(Arc::clone(&self.file))
    }

    /// So many octets of the beginning are good, and their sender may go on from there, if the file is known by a hash.
    pub(super) fn leave(&self, octets: u64, hashes: &Hashes) {
        if octets == 0 || hashes.is_empty() {
            return self.remove();
        }
        if let Err(error) = self.file.set_len(octets) {
            tracing::warn!(%error, "a part of a file cannot be kept");
            self.remove();
        }
    }

    /// It is not wanted any more.
    pub(super) fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "a file that came stays on the disk");
        }
    }
}

/// The octets.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<File>);

impl Disk {
    /// A file that has no name: it is gone with whoever has it.
    pub(super) fn unnamed(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self(Arc::new(file)))
    }

    /// The same octets, as long as somebody else has them.
    pub(super) fn watched(&self) -> Weak<File> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn of(file: &Weak<File>) -> Option<Self> {
        file.upgrade().map(Self)
    }
}

impl Source for Disk {
    fn read(&mut self, offset: u64, octets: usize) -> Result<Bytes, String> {
        let (mut read, mut filled) = (vec![0; octets], 0);
        while filled < octets {
            let rest = read.get_mut(filled..).unwrap_or_default();
            match self.0.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        read.truncate(filled);
        Ok(read.into())
    }
}

impl Sink for Disk {
    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), String> {
        self.0.write_all_at(octets, offset).map_err(|error| error.to_string())
    }
}
