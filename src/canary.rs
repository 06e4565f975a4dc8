//! Looks for a plaintext where it must never be: in the memory and in the files of a server. It reads what the
//! kernel shows of a process of ours (`/proc/PID/maps`, `/proc/PID/mem`) and changes nothing.
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::Context;
use memchr::memmem::Finder;

/// How much of a region is read at a time.
const READ_OCTETS: usize = 1 << 20;

/// What a scan saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Octets looked at.
    pub(crate) octets: u64,
    /// Places where the canary was found.
    pub(crate) found: u64,
}

impl Scan {
    /// Both scans together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { octets: self.octets + other.octets, found: self.found + other.found }
    }
}

/// Scans the readable memory of the process `id`.
///
/// # Errors
/// The process is gone or its memory may not be read (another user's, or ptrace is restricted).
pub(crate) fn memory(id: u32, canary: &[u8]) -> anyhow::Result<Scan> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).context("reading the memory map")?;
    let mut memory = File::open(format!("/proc/{id}/mem")).context("opening the memory")?;
    let finder = Finder::new(canary);
    let mut scan = Scan::default();
    for line in maps.lines() {
        let Some((start, end)) = readable_region(line) else { continue };
        // Regions such as [vvar] are listed as readable and are not: what cannot be read holds nothing of ours.
        if memory.seek(SeekFrom::Start(start)).is_ok() {
            scan = scan.and(stream((&mut memory).take(end - start), &finder));
        }
    }
    Ok(scan)
}

/// Scans every file below `folder`.
///
/// # Errors
/// The folder cannot be listed or a file cannot be opened.
pub(crate) fn files(folder: &Path, canary: &[u8]) -> anyhow::Result<Scan> {
    let finder = Finder::new(canary);
    let mut scan = Scan::default();
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
        if path.is_dir() {
            scan = scan.and(files(&path, canary)?);
        } else if path.is_file() {
            let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
            scan = scan.and(stream(file, &finder));
        }
    }
    Ok(scan)
}

/// Start and end of a line of `/proc/PID/maps` that may be read.
fn readable_region(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    if !fields.next()?.starts_with('r') {
        return None;
    }
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

/// Searches a stream piece by piece; the end of each piece is kept, so that a canary across two pieces is found.
fn stream(mut from: impl Read, finder: &Finder<'_>) -> Scan {
    let mut scan = Scan::default();
    let keep = finder.needle().len().saturating_sub(1);
    let mut window: Vec<u8> = Vec::with_capacity(READ_OCTETS + keep);
    let mut piece = vec![0_u8; READ_OCTETS];
    while let Ok(read) = from.read(&mut piece) {
        let Some(fresh) = piece.get(..read).filter(|fresh| !fresh.is_empty()) else { break };
        window.extend_from_slice(fresh);
        scan.octets += fresh.len() as u64;
        scan.found += finder.find_iter(&window).count() as u64;
        window.drain(..window.len().saturating_sub(keep));
    }
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_in_our_own_memory_is_found() {
        let canary = format!("canary {}", std::process::id()).repeat(3);

        let scan = memory(std::process::id(), canary.as_bytes()).unwrap();

        assert!(scan.found > 0, "{scan:?}");
    }

    #[test]
    fn a_canary_across_two_reads_is_found_once() {
        let mut bytes = vec![b'.'; READ_OCTETS - 3];
        bytes.extend_from_slice(b"canary");
        bytes.resize(READ_OCTETS * 2, b'.');

        let scan = stream(bytes.as_slice(), &Finder::new(b"canary"));

        assert_eq!(scan, Scan { octets: bytes.len() as u64, found: 1 });
    }

    #[test]
    fn a_canary_in_a_nested_file_is_found_and_a_clean_folder_is_clean() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("nested")).unwrap();
        fs::write(folder.path().join("nested/file"), "the canary sings").unwrap();

        assert_eq!(files(folder.path(), b"canary").unwrap().found, 1);
        assert_eq!(files(folder.path(), b"robin").unwrap().found, 0);
    }
}
