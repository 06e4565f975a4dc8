//! Pins in a file of their owner alone. What is written is whole or not there: a new file takes the place of the old one.
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::session::{Keep, Pins};

#[derive(Debug)]
struct PinFile(PathBuf);

impl Keep for PinFile {
    fn keep(&self, pins: &str) -> Result<(), String> {
        let new = self.0.with_extension("new");
        let written = || -> io::Result<()> {
            let mut options = File::options();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&new)?;
            file.write_all(pins.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.0)
        };
        written().map_err(|error| format!("{}: {error}", self.0.display()))
    }
}

/// The pins kept in this file, and kept there from now on.
///
/// # Errors
/// There is such a file, and it cannot be read or holds no pins. Nothing is written over it.
pub fn pins_in(path: &Path) -> io::Result<Pins> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let keeper = Arc::new(PinFile(path.to_owned()));
    Pins::kept(text.as_deref(), keeper)
        .map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_verified_is_known_after_a_start_and_a_broken_file_stays() {
        let folder = std::env::temp_dir().join(format!("pins-{}", rand::random::<u64>()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("pins.json");
        let bob = "sip:bob@example.net".parse().unwrap();

        let pins = pins_in(&path).unwrap();
        pins.verify(&bob, true);
        pins.save().unwrap();
        assert!(pins_in(&path).unwrap().is_verified(&bob));

        fs::write(&path, "broken").unwrap();
        assert!(pins_in(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "broken");
        fs::remove_dir_all(&folder).unwrap();
    }
}
