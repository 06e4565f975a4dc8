//! The folder where received files go. A name is its author's, so it is only ever a name: no path, nothing that a terminal
//! or a shell takes for something else, and never the name of a file that is there. What is not whole lies beside under a
//! name of its own, from which a later transfer of the same file can go on.
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use endpoint::transfer::{Sink, Source};

/// Octets of a name: less than any file system takes, with room for a number.
const NAME_OCTETS_MAX: usize = 200;
/// Files of one name.
const SAME_MAX: u32 = 1_000;
/// Names that mean a device and no file on some systems.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Where received files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// A file that is not whole. It stays when it is dropped.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file: File,
    path: PathBuf,
}

impl Folder {
    /// A folder, which is made when the first file comes.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, and tries whether a received file could be kept in it: what comes when it cannot is lost.
    ///
    /// # Errors
    /// It cannot be made or written to, or knows no second name for a file.
    pub fn prepare(&self) -> io::Result<()> {
        let key = format!("trial-{}", std::process::id());
        fs::create_dir_all(&self.0)?;
        self.sync()?;
        let trial = self.go_on(&key, 0)?;
        let kept = self.finish(trial, &key);
        kept.and_then(fs::remove_file).inspect_err(|_| drop(fs::remove_file(self.part(&key))))
    }

    /// Saves a file under its name or one like it; where it is.
    ///
    /// # Errors
    /// The folder cannot be written to, or has a thousand files of this name.
    pub fn save(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.0)?;
        let path = self.named(name, |path| {
            // Made anew or not at all: a link that waits under the name is not followed.
            let options = &mut File::options();
            let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
            let written = file.write_all(content).and_then(|()| file.sync_all());
            written.inspect_err(|_| drop(fs::remove_file(path)))
        })?;
        self.sync()?;
        Ok(path)
    }

    /// The names in it are on the disk, and not only what is behind them.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    /// How many octets are here of a file that was not received to its end.
    pub(crate) fn begun(&self, key: &str) -> u64 {
        let there = fs::symlink_metadata(self.part(key)).ok().filter(fs::Metadata::is_file);
        there.map_or(0, |part| part.len())
    }

    /// Goes on with a file behind its first octets; from the beginning if that is 0.
    pub(crate) fn go_on(&self, key: &str, octets: u64) -> io::Result<Unfinished> {
        fs::create_dir_all(&self.0)?;
        let path = self.part(key);
        if octets > self.begun(key) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "so much of it is not here"));
        }
        if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file()) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something is in the way"));
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path)?;
        let busy = |_error| io::Error::new(io::ErrorKind::AlreadyExists, "it is being received");
        file.try_lock().map_err(busy)?;
        file.set_len(octets)?;
        Ok(Unfinished { file, path })
    }

    /// A whole file gets its name; where it is.
    pub(crate) fn finish(&self, part: Unfinished, name: &str) -> io::Result<PathBuf> {
        part.file.sync_all()?;
        // A second name for the same file, which there must not be yet; then the first one goes.
        let path = self.named(name, |path| fs::hard_link(&part.path, path))?;
        // Whoever is told where it is forgets how to get it again.
        self.sync()?;
        fs::remove_file(&part.path)?;
        Ok(path)
    }

    fn part(&self, key: &str) -> PathBuf {
        self.0.join(format!(".{key}.part"))
    }

    fn named(&self, name: &str, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
        let name = harmless(name);
        for n in 1..=SAME_MAX {
            let path = self.0.join(numbered(&name, n));
            match make(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of this name"))
    }
}

impl Unfinished {
    /// The same file, for writing to it while this one is kept.
    pub(crate) fn sink(&self) -> io::Result<Disk> {
        Ok(Disk(self.file.try_clone()?))
    }

    /// Cuts off what lies behind a gap.
    pub(crate) fn keep(&self, octets: u64) -> io::Result<()> {
        if self.file.metadata()?.len() > octets { self.file.set_len(octets) } else { Ok(()) }
    }

    /// It is not the file it should be: nothing of it is of use.
    pub(crate) fn discard(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "a part of a file could not be removed");
        }
    }
}

/// A file on a disk.
#[derive(Debug)]
pub(crate) struct Disk(pub(crate) File);

impl Source for Disk {
    fn read(&mut self, offset: u64, octets: usize) -> Result<Bytes, String> {
        let mut read = vec![0; octets];
        let mut filled = 0;
        while let Some(rest) = read.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(octets) => filled += octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        read.truncate(filled);
        Ok(Bytes::from(read))
    }
}

impl Sink for Disk {
    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), String> {
        self.0.write_all_at(octets, offset).map_err(|error| error.to_string())
    }
}

/// The name without what could lead elsewhere.
fn harmless(name: &str) -> String {
    // Marks that turn the direction of text round make an ending look like another one.
    let turns = |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() || turns(c) => '_',
        c => c,
    };
    let name: String = name.chars().map(plain).collect();
    // No hidden file, no option of a command, and neither `.` nor `..`.
    let name = name.trim().trim_start_matches(['.', '-', '~']).trim_end_matches(['.', ' ']);
    let name = shortened(name);
    if name.is_empty() {
        return String::from("file");
    }
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let port = ["com", "lpt"].iter().any(|port| {
        stem.strip_prefix(port).is_some_and(|rest| rest.chars().count() == 1 && rest != "0")
    });
    if port || RESERVED.contains(&stem.as_str()) { format!("_{name}") } else { name }
}

/// A long name without its middle: the ending says what it is.
fn shortened(name: &str) -> String {
    if name.len() <= NAME_OCTETS_MAX {
        return name.to_owned();
    }
    let ending = name.rfind('.').filter(|at| name.len() - at <= NAME_OCTETS_MAX / 4);
    let ending = ending.and_then(|at| name.get(at..)).unwrap_or_default();
    let fits = |end: &usize| name.is_char_boundary(*end);
    let end = (0..=NAME_OCTETS_MAX - ending.len()).rev().find(fits).unwrap_or_default();
    format!("{}{ending}", name.get(..end).unwrap_or_default())
}

fn numbered(name: &str, n: u32) -> String {
    match (n, name.rsplit_once('.')) {
        (1, _) => name.to_owned(),
        (n, Some((stem, ending))) if !stem.is_empty() => format!("{stem}-{n}.{ending}"),
        (n, _) => format!("{name}-{n}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FT-11.
    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        let cases = [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("..\\..\\boot.ini", "_.._boot.ini"),
            (".bashrc", "bashrc"),
            ("..", "file"),
            ("-rf", "rf"),
            ("a\nb\u{1b}[2Jc", "a_b_[2Jc"),
            ("a\0b", "a_b"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("", "file"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("Com1.log", "_Com1.log"),
            ("lpt\u{b9}", "_lpt\u{b9}"),
            ("console.log", "console.log"),
            ("com0", "com0"),
        ];
        for (name, expected) in cases {
            assert_eq!(harmless(name), expected, "{name:?}");
        }
        for long in ["x".repeat(500) + ".jpg", "\u{20ac}".repeat(300) + ".jpg"] {
            let name = harmless(&long);
            assert!(name.len() <= NAME_OCTETS_MAX && name.ends_with(".jpg"), "{name}");
        }
    }

    #[test]
    fn nothing_that_is_there_is_written_over_and_no_link_is_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let into = Folder::new(temporary.path().join("downloads"));
        let outside = temporary.path().join("outside");

        let first = into.save("a.txt", b"one").unwrap();
        let second = into.save("a.txt", b"two").unwrap();
        std::os::unix::fs::symlink(&outside, into.path().join("b.txt")).unwrap();
        let third = into.save("b.txt", b"three").unwrap();
        let part = into.go_on("key", 0).unwrap();
        part.sink().unwrap().write(0, b"four").unwrap();
        let fourth = into.finish(part, "../a.txt").unwrap();
        let part = into.go_on("key", 0).unwrap();
        let fifth = into.finish(part, "b.txt").unwrap();

        assert_eq!(fs::read(first).unwrap(), b"one");
        assert_eq!((second, third), (into.path().join("a-2.txt"), into.path().join("b-2.txt")));
        assert_eq!(fourth, into.path().join("_a.txt"));
        assert_eq!(fs::read(fourth).unwrap(), b"four");
        assert_eq!(fifth, into.path().join("b-3.txt"));
        assert!(!outside.exists());
    }

    #[test]
    fn a_folder_that_can_keep_files_is_made_and_left_empty_and_another_one_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let into = Folder::new(temporary.path().join("new/downloads"));
        let file = temporary.path().join("file");
        fs::write(&file, b"mine").unwrap();

        into.prepare().unwrap();

        assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0);
        for bad in [file.clone(), file.join("downloads"), PathBuf::new(), "/proc".into()] {
            assert!(Folder::new(&bad).prepare().is_err(), "{}", bad.display());
        }
        assert_eq!(fs::read(file).unwrap(), b"mine");
    }

    #[test]
    fn a_part_is_no_file_until_it_is_whole_and_is_gone_then() {
        let temporary = tempfile::tempdir().unwrap();
        let into = Folder::new(temporary.path());
        let names = || -> Vec<String> {
            let files = fs::read_dir(temporary.path()).unwrap();
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
        };
        let part = into.go_on("key", 0).unwrap();
        part.sink().unwrap().write(0, b"half and more").unwrap();
        assert!(into.go_on("key", 0).is_err(), "two write to one file");
        part.keep(4).unwrap();
        drop(part);
        assert_eq!((names(), into.begun("key")), (vec![".key.part".to_owned()], 4));

        assert!(into.go_on("key", 5).is_err(), "there is a gap");
        let part = into.go_on("key", 2).unwrap();
        part.sink().unwrap().write(2, b"nd").unwrap();
        let whole = into.finish(part, "x").unwrap();

        assert_eq!(fs::read(whole).unwrap(), b"hand");
        assert_eq!(names(), ["x"]);
    }

    #[test]
    fn a_link_in_the_place_of_a_part_is_not_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let into = Folder::new(temporary.path());
        let outside = temporary.path().join("outside");
        fs::write(&outside, b"mine").unwrap();
        std::os::unix::fs::symlink(&outside, temporary.path().join(".key.part")).unwrap();

        assert!(into.go_on("key", 0).is_err());
        assert_eq!(fs::read(outside).unwrap(), b"mine");
    }
}
