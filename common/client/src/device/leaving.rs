//! Files that this device is about to leave for somebody, noted until they are there: whoever is stopped in between hears of it
//! at the next start. Nothing of the file is here but its name and whom it is for.
use ids::Aor;
use mls::storage::Records;

use super::Device;
use crate::sealed_file::SealedFile;

/// The names of the notes begin so; then comes the hash of the sealed octets.
const PREFIX: &[u8] = b"leaving/";
/// Files that are noted. Nobody leaves so many at once.
const FILES_MAX: usize = 64;

/// The files that a device leaves. Clones are the same.
#[derive(Clone, Debug)]
pub struct Leaving(Records);

impl Device {
    /// Files that this device leaves for others.
    pub fn leaving(&self) -> Leaving {
        Leaving(self.shared.keyring.records().clone())
    }
}

impl Leaving {
    /// This file is about to leave. What tells its recipient of it keeps the note as well.
    pub fn begin(&self, who: &Aor, file: &SealedFile) {
        if self.0.noted_under(PREFIX).len() < FILES_MAX {
            self.0.note(&name(file), format!("{who}\n{}", file.name()).into_bytes());
        }
    }

    /// It is there, or its person knows that it is not.
    pub fn end(&self, file: &SealedFile) {
        self.0.forget(&name(file));
    }

    /// Whom a file was for that did not leave, and its name: the device was stopped before. Each is told once.
    pub fn cut_off(&self) -> Vec<(Aor, String)> {
        let noted = self.0.noted_under(PREFIX).into_iter();
        let told = noted.filter_map(|(note, value)| {
            self.0.forget(&note);
            read(&value)
        });
        told.collect()
    }
}

fn name(file: &SealedFile) -> Vec<u8> {
    [PREFIX, file.hash()].concat()
}

fn read(octets: &[u8]) -> Option<(Aor, String)> {
    let (who, name) = std::str::from_utf8(octets).ok()?.split_once('\n')?;
    Some((who.parse().ok()?, name.to_owned()))
}
