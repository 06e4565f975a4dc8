//! The file of a vault: appended to, and replaced as a whole. The trait is what a test puts a disk of its own behind.
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::VaultError;

/// What a vault needs of a disk.
pub(super) trait Disk {
    /// All that is there; nothing if there is no vault.
    fn read(&mut self) -> io::Result<Vec<u8>>;
    /// Drops everything from here on.
    fn cut(&mut self, octets: u64) -> io::Result<()>;
    /// Writes at the end, and returns when it is there for good.
    fn append(&mut self, octets: &[u8]) -> io::Result<()>;
    /// Puts this in the place of everything, at once and for good.
    fn replace(&mut self, octets: &[u8]) -> io::Result<()>;
}

/// A vault's folder.
pub(super) struct Folder {
    folder: PathBuf,
    path: PathBuf,
    file: Option<File>,
}

impl Folder {
    /// The folder, whose lock the caller has. What an interrupted replacement left is removed.
    pub(super) fn open(folder: &Path) -> Result<Self, VaultError> {
        let path = folder.join("vault");
        match fs::remove_file(folder.join(NEW)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => {
                return Err(VaultError::io("removing", &folder.join(NEW), why));
            }
            _ => {}
        }
        let file = match File::options().read(true).append(true).open(&path) {
            Ok(file) => Some(file),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(VaultError::io("opening", &path, why)),
        };
        Ok(Self { folder: folder.to_owned(), path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The name of a vault that is not whole yet.
const NEW: &str = "vault.new";

impl Disk for Folder {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut octets)?;
        }
        Ok(octets)
    }

    fn cut(&mut self, octets: u64) -> io::Result<()> {
        let file = self.file()?;
        file.set_len(octets)?;
        file.sync_all()
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let file = self.file()?;
        file.write_all(octets)?;
        file.sync_data()
    }

    fn replace(&mut self, octets: &[u8]) -> io::Result<()> {
        let new = self.folder.join(NEW);
        let options = File::options().create(true).truncate(true).write(true).mode(0o600).clone();
        let mut file = options.open(&new)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        // The name is for good when the folder is.
        File::open(&self.folder)?.sync_all()?;
        self.file = Some(File::options().read(true).append(true).open(&self.path)?);
        Ok(())
    }
}
