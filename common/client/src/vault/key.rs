//! What a vault is opened with: a passphrase in a file (through argon2id), or a file with a key.
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::RngCore;
use zeroize::Zeroizing;

use super::VaultError;

/// Octets of a key.
pub(super) const KEY_OCTETS: usize = 32;
/// Octets of the salt.
pub(super) const SALT_OCTETS: usize = 16;

/// A key of a vault.
pub(super) type Key = Zeroizing<[u8; KEY_OCTETS]>;

/// How a passphrase becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Memory, in KiB.
    pub(super) memory_kib: u32,
    /// Passes.
    pub(super) passes: u32,
}

impl Cost {
    /// 64 MiB and three passes (RFC 9106, 4: the second recommended option), in one lane.
    const NEW: Self = Self { memory_kib: 64 * 1024, passes: 3 };
    /// The most that a vault may ask for: who can write the file could otherwise take all memory.
    const MAX: Self = Self { memory_kib: 1024 * 1024, passes: 64 };

    pub(super) fn is_bearable(self) -> bool {
        self.memory_kib <= Self::MAX.memory_kib && self.passes <= Self::MAX.passes
    }
}

/// What opens a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultKey {
    /// A passphrase: the first line of this file.
    Passphrase(PathBuf),
    /// The key itself: 64 hexadecimal digits in this file. Made for a new vault if there is none.
    KeyFile(PathBuf),
}

impl VaultKey {
    /// The file that has it.
    pub fn path(&self) -> &Path {
        match self {
            Self::Passphrase(path) | Self::KeyFile(path) => path,
        }
    }

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Passphrase(_) => 1,
            Self::KeyFile(_) => 2,
        }
    }

    pub(super) const fn kind_in_words(kind: u8) -> &'static str {
        if kind == 1 { "passphrase" } else { "key file" }
    }

    pub(super) const fn cost(&self) -> Cost {
        match self {
            Self::Passphrase(_) => Cost::NEW,
            Self::KeyFile(_) => Cost { memory_kib: 0, passes: 0 },
        }
    }

    /// The key. A key file is made if there is none and the vault is new.
    pub(super) fn derive(
        &self,
        salt: &[u8; SALT_OCTETS],
        cost: Cost,
        new: Option<&mut dyn RngCore>,
    ) -> Result<Key, VaultError> {
        match self {
            Self::Passphrase(path) => {
                let text = fs::read_to_string(path).map(Zeroizing::new);
                let text = text.map_err(|why| match why.kind() {
                    io::ErrorKind::NotFound => {
                        self.bad("there is no such file: write the passphrase on its first line, or name another file")
                    }
                    io::ErrorKind::PermissionDenied => {
                        self.bad("the passphrase cannot be read: let this user read the file, or name another one")
                    }
                    _ => self.bad("no passphrase can be read from it: name a file with one on its first line"),
                })?;
                let passphrase = text.lines().next().unwrap_or_default();
                if passphrase.is_empty() {
                    return Err(self.bad("its first line is empty: write the passphrase there"));
                }
                stretch(passphrase, salt, cost).ok_or_else(|| self.bad("no key can be made of it"))
            }
            Self::KeyFile(path) => {
                if let Some(rng) = new
                    && !path.exists()
                {
                    make(path, rng).map_err(|why| VaultError::io("making the key", path, why))?;
                }
                let text = read(path)?;
                let mut key = Key::default();
                let decoded = hex::decode_to_slice(text.trim(), &mut *key);
                decoded.map_err(|_| self.bad("not 64 hexadecimal digits, which a key is"))?;
                Ok(key)
            }
        }
    }

    fn bad(&self, why: &'static str) -> VaultError {
        VaultError::Key { file: self.path().to_owned(), why }
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, VaultError> {
    let text = fs::read_to_string(path);
    text.map(Zeroizing::new).map_err(|why| VaultError::io("reading the key", path, why))
}

fn stretch(passphrase: &str, salt: &[u8], cost: Cost) -> Option<Key> {
    let params = argon2::Params::new(cost.memory_kib, cost.passes, 1, Some(KEY_OCTETS)).ok()?;
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = Key::default();
    argon2.hash_password_into(passphrase.as_bytes(), salt, &mut *key).ok()?;
    Some(key)
}

fn make(path: &Path, rng: &mut dyn RngCore) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut key = Key::default();
    rng.fill_bytes(&mut *key);
    let text = Zeroizing::new(hex::encode(*key) + "\n");
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
