//! Files of any size for a sealed conference: the room is told what a file is and its key, in a sealed message; its sealed
//! octets lie on a disk, and whoever wants them fetches them from who has them, in a session of its own (RFC 5547). Whose
//! disk or relay they pass does not matter: sizes and hashes in signalling are those of what is sealed, and so is its name.
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use ids::Aor;
use mls::files::{FileDescription, FileOpener, FileSealer, Picture};
use mls::wire;
use sip::sdp::{FileHash, FileSelector};

use crate::circles::{Manner, Writing};
use crate::device::{Device, FileToSend, Icon, readable};
use crate::event::{Announced, Error};
use crate::transfer::{FileTransfer, Folder};

/// Octets that are sealed or opened at a time.
const PIECE_OCTETS: usize = 256 << 10;
/// What a sealed file is called where others than members see it.
const NAME: &str = "sealed";
/// How the names of sealed octets begin on our disk.
const PREFIX: &str = ".sealed-";
/// How old they are when somebody else may take them for left over: whoever makes them has locked them long before.
const LEFT_OVER: Duration = Duration::from_secs(60);

/// A file of ours that is sealed, on a disk. Dropped, its sealed octets are removed; what a process that was killed has left
/// goes when the next file is sealed into the same folder.
#[derive(Debug)]
pub struct SealedFile {
    description: FileDescription,
    /// Locked as long as it is in use.
    sealed: tempfile::NamedTempFile,
}

impl SealedFile {
    /// Seals a file into this folder; it takes a while, and one segment of memory. An image gets a small picture of it, which
    /// goes with its key and nowhere else.
    ///
    /// # Errors
    /// It cannot be read, or its sealed octets cannot be written.
    pub async fn new(path: &Path, media_type: &str, into: &Path) -> Result<Self, Error> {
        let (path, into, media_type) = (path.to_owned(), into.to_owned(), media_type.to_owned());
        on_disk("sealing the file", move || seal(&path, &media_type, &into)).await
    }

    /// What it is called by those who have its key.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// Octets of the file, as it was before it was sealed.
    pub fn octets(&self) -> u64 {
        self.description.file.size
    }

    /// The SHA-256 of its sealed octets.
    pub(crate) fn hash(&self) -> &[u8] {
        &self.description.file.ciphertext_sha256
    }

    /// What the members of a conference are told, and nobody else.
    pub(crate) fn description(&self) -> Bytes {
        self.description.to_bytes()
    }

    /// Whether this is what is asked for.
    pub fn is(&self, asked: &FileSelector) -> bool {
        selector_of(&self.description).fits(asked)
    }

    /// What whoever is told of it has, when this person tells them.
    pub fn announced(&self, by: Aor) -> Announced {
        Announced::new(by, self.description.clone())
    }

    /// What is sent to who asks: the sealed octets.
    pub fn to_send(&self) -> FileToSend {
        let file = FileToSend::new(self.sealed.path(), wire::SEALED_FILE);
        FileToSend { name: NAME.to_owned(), ..file }
    }
}

impl Announced {
    /// How the sealed octets are asked for.
    pub fn selector(&self) -> FileSelector {
        selector_of(&self.description)
    }

    /// Opens the sealed octets that were fetched, and removes them; where the file is then. Nothing is there under its name
    /// before all of it is proven.
    ///
    /// # Errors
    /// They are not the file that was announced, or the folder cannot be written to.
    pub async fn open(&self, fetched: PathBuf, into: &Folder) -> Result<PathBuf, Error> {
        let (description, into) = (self.description.clone(), into.clone());
        on_disk("opening the file", move || open(&description, &fetched, &into)).await
    }
}

impl Device {
    /// Tells a person, sealed, of a file and its key: whoever holds that fetches its octets from us, or takes them when we
    /// send them. They may be away.
    ///
    /// # Errors
    /// As for [`Device::writing`].
    pub async fn announce_to(&self, who: &Aor, file: &SealedFile) -> Result<Writing, Error> {
        let (to, manner) = (std::slice::from_ref(who), Manner::default());
        self.writing(to, manner, wire::FILE_DESCRIPTION, file.description()).await
    }

    /// Offers a sealed file to a person, and returns once its octets are on their way: sizes, hashes and the name that
    /// servers see are those of what is sealed. Its key goes before it, sealed for the two.
    ///
    /// # Errors
    /// As for [`Device::write`] and [`Device::send_file`].
    pub async fn send_sealed(&self, who: &Aor, file: &SealedFile) -> Result<FileTransfer, Error> {
        self.announce_to(who, file).await?.done().await?;
        self.send_file(who, &file.to_send()).await
    }

    /// Fetches the sealed octets of a file: from our mailbox if they were left there, or from who announced it, or from
    /// their mailbox. What is there from an earlier time is not fetched again.
    ///
    /// # Errors
    /// As for [`Device::fetch_file`].
    pub async fn fetch_announced(
        &self,
        announced: &Announced,
        into: &Folder,
    ) -> Result<FileTransfer, Error> {
        let (from, selector) = (&announced.from, announced.selector());
        let no = |error: &Error| matches!(error, Error::Refused { .. });
        match self.fetch_left(self.own_aor(), &selector, into).await {
            Err(error) if no(&error) => {}
            found => return found,
        }
        match self.fetch_file(from, &selector, into).await {
            // Their device may be there, and have forgotten it.
            Err(error) if no(&error) => {
                let left = self.fetch_left(from, &selector, into).await;
                left.map_err(|other| if no(&other) { error } else { other })
            }
            found => found,
        }
    }

    /// Leaves the sealed octets of a file in a person's mailbox, so that they can be fetched when we are away; in our own
    /// for a conference.
    ///
    /// # Errors
    /// As for [`Device::leave_file`].
    pub fn leave_sealed(
        &self,
        who: &Aor,
        file: &SealedFile,
    ) -> impl Future<Output = Result<FileTransfer, Error>> + Send + use<> {
        self.leave_file(who, &file.to_send())
    }
}

fn selector_of(description: &FileDescription) -> FileSelector {
    let sealed = &description.file;
    FileSelector {
        media_type: Some(wire::SEALED_FILE.to_owned()),
        size: Some(sealed.ciphertext_size),
        hashes: vec![FileHash::new("sha-256", &sealed.ciphertext_sha256)],
        ..FileSelector::default()
    }
}

async fn on_disk<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten();
    done.map_err(|error| Error::Network { what, why: error.to_string() })
}

fn seal(path: &Path, media_type: &str, into: &Path) -> io::Result<SealedFile> {
    std::fs::create_dir_all(into)?;
    let mut file = readable(path)?;
    if let Err(error) = sweep(into) {
        tracing::debug!(%error, "what was left over stays");
    }
    let mut sealed = tempfile::Builder::new().prefix(PREFIX).tempfile_in(into)?;
    // Where there are no locks nobody takes it for left over either.
    drop(sealed.as_file().try_lock());
    let mut sealer = FileSealer::new(&mut rand::rng()).map_err(io::Error::other)?;
    let (mut piece, mut out) = (vec![0; PIECE_OCTETS], Vec::new());
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        sealer.push(piece.get(..read).unwrap_or_default(), &mut out).map_err(io::Error::other)?;
        sealed.write_all(&out)?;
        out.clear();
    }
    let described = sealer.finish(&mut out).map_err(io::Error::other)?;
    sealed.write_all(&out)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut description = described.describe(&name, media_type);
    if media_type.starts_with("image/") {
        let picture = Icon::of_file(path);
        description.picture =
            picture.map(|Icon { media_type, content }| Picture { media_type, content });
    }
    Ok(SealedFile { description, sealed })
}

/// Removes what nobody uses any more: whoever made it was killed.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Somebody else may have removed it meanwhile.
        let Ok(file) = std::fs::File::open(entry.path()) else { continue };
        let age = service::clock::wall().duration_since(file.metadata()?.modified()?);
        if age.is_ok_and(|age| age >= LEFT_OVER) && file.try_lock().is_ok() {
            std::fs::remove_file(entry.path()).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
    }
    Ok(())
}

fn open(description: &FileDescription, fetched: &Path, into: &Folder) -> io::Result<PathBuf> {
    let mut sealed = std::fs::File::open(fetched)?;
    let hash = &description.file.ciphertext_sha256;
    let part = into.go_on(&format!("{}-opened", hex::encode(hash)), 0)?;
    let opened = unsealed(description, &mut sealed, &part);
    match opened {
        Ok(()) => {
            let path = into.finish(part, &description.name)?;
            std::fs::remove_file(fetched)?;
            Ok(path)
        }
        Err(error) => {
            part.discard();
            Err(error)
        }
    }
}

fn unsealed(
    description: &FileDescription,
    sealed: &mut std::fs::File,
    part: &crate::transfer::Unfinished,
) -> io::Result<()> {
    use endpoint::transfer::Sink as _;
    let (mut opener, mut sink) = (FileOpener::new(description), part.sink()?);
    let (mut piece, mut out, mut at) = (vec![0; PIECE_OCTETS], Vec::new(), 0);
    loop {
        let read = sealed.read(&mut piece)?;
        if read == 0 {
            return opener.finish().map_err(io::Error::other);
        }
        out.clear();
        opener.push(piece.get(..read).unwrap_or_default(), &mut out).map_err(io::Error::other)?;
        sink.write(at, &out).map_err(io::Error::other)?;
        at += out.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(sealed: &SealedFile) -> Announced {
        sealed.announced("sip:alice@x".parse().unwrap())
    }

    #[tokio::test]
    async fn what_a_process_that_was_killed_has_left_goes_and_what_is_in_use_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let into = temporary.path().join("sealed");
        let path = temporary.path().join("a.txt");
        std::fs::write(&path, "what is sealed").unwrap();
        let used = SealedFile::new(&path, "a/b", &into).await.unwrap();
        let [left, fresh, other] = [".sealed-1", ".sealed-2", "other"].map(|name| into.join(name));
        let old = service::clock::wall() - 2 * LEFT_OVER;
        for path in [&left, &fresh, &other] {
            std::fs::write(path, "left over").unwrap();
        }
        for path in [&left, &other, &used.to_send().path] {
            std::fs::File::open(path).unwrap().set_modified(old).unwrap();
        }

        let _next = SealedFile::new(&path, "a/b", &into).await.unwrap();

        assert!(!left.exists() && fresh.exists() && other.exists());
        assert!(used.to_send().path.exists());
    }

    #[tokio::test]
    async fn a_pipe_that_nobody_writes_into_and_a_folder_are_no_files_and_are_not_waited_for() {
        let temporary = tempfile::tempdir().unwrap();
        let pipe = temporary.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());

        for path in [pipe.as_path(), temporary.path()] {
            let sealing = SealedFile::new(path, "text/plain", temporary.path());
            let patience = Duration::from_secs(10);
            let sealed = tokio::time::timeout(patience, sealing).await.expect("it waits");
            assert!(sealed.unwrap_err().to_string().contains("it is no file"));
        }
    }

    #[tokio::test]
    async fn a_file_that_was_sealed_opens_to_what_it_was_and_nothing_else_is_left() {
        let temporary = tempfile::tempdir().unwrap();
        let (path, into) =
            (temporary.path().join("a.bin"), Folder::new(temporary.path().join("in")));
        for octets in [0, 1, 65_536, 1_000_000] {
            let content = vec![7; octets];
            std::fs::write(&path, &content).unwrap();
            let sealed = SealedFile::new(&path, "a/b", into.path()).await.unwrap();
            let fetched =
                into.save("sealed", &std::fs::read(&sealed.to_send().path).unwrap()).unwrap();

            let opened = announced(&sealed).open(fetched, &into).await.unwrap();

            assert!(std::fs::read(&opened).unwrap() == content, "{octets}");
            std::fs::remove_file(opened).unwrap();
            drop(sealed);
            assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), 0, "{octets}");
        }
    }

    #[tokio::test]
    async fn what_is_not_the_file_is_never_there_under_its_name() {
        let temporary = tempfile::tempdir().unwrap();
        let (path, into) =
            (temporary.path().join("a.bin"), Folder::new(temporary.path().join("in")));
        std::fs::write(&path, vec![7; 200_000]).unwrap();
        let sealed = SealedFile::new(&path, "a/b", temporary.path()).await.unwrap();
        let whole = std::fs::read(&sealed.to_send().path).unwrap();
        let mut changed = whole.clone();
        changed[150_000] ^= 1;

        for wrong in [&whole[..150_000], &whole[..0], &changed] {
            let fetched = into.save("sealed", wrong).unwrap();
            assert!(announced(&sealed).open(fetched.clone(), &into).await.is_err());
            std::fs::remove_file(fetched).unwrap();
            assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), 0);
        }
    }
}
