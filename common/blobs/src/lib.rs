//! What is too large for a database, under names of its own: in a folder of this machine, or in a bucket of a server that
//! speaks S3. It knows octets and nothing of what they are: who may read them, how long they stay, and what is to be
//! encrypted is its user's business.
//!
//! A blob is there whole or not at all, and what [`Writing::finish`] has answered is on disk, or wherever the server keeps
//! what it has acknowledged. It is written and read in pieces, so memory is a few MiB whatever its size.
//!
//! ```
//! # async fn example(folder: &std::path::Path) -> Result<(), blobs::Error> {
//! let blobs = blobs::Blobs::in_folder(folder)?;
//! let mut writing = blobs.write("a1").await?;
//! writing.push(bytes::Bytes::from_static(b"hello")).await?;
//! writing.finish().await?;
//! assert_eq!(&blobs.read("a1", 1..3).await?[..], b"el");
//! # Ok(()) }
//! ```
mod s3;

use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};

pub use s3::S3;

/// Octets that are sent to the store at once. S3 takes parts of 5 MiB and more, and 10 000 of them: 78 GiB.
const PART_OCTETS: usize = 8 << 20;

/// Blobs by their names. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Blobs(Arc<dyn ObjectStore>);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such blob, or it does not have these octets.
    #[error("no such blob")]
    Nothing,
    /// A name is one path segment of letters, digits, `-` and `_`.
    #[error("not a name for a blob")]
    Name,
    /// The folder or the server does not do it.
    #[error("the blob store: {0}")]
    Failed(String),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Nothing,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl Blobs {
    /// Blobs in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be.
    pub fn in_folder(folder: &FilePath) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|error| Error::Failed(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self(Arc::new(store)))
    }

    /// Blobs in a bucket. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// The description of the bucket makes no sense.
    pub fn in_bucket(bucket: &S3) -> Result<Self, Error> {
        Ok(Self(bucket.open()?))
    }

    /// Writes, reads and removes something, so that a wrong configuration is known at the start.
    ///
    /// # Errors
    /// It does not work.
    pub async fn check(&self, name: &str) -> Result<(), Error> {
        let mut writing = self.write(name).await?;
        writing.push(Bytes::from_static(b"check")).await?;
        writing.finish().await?;
        let read = self.read(name, 0..5).await?;
        self.remove(name).await?;
        if read == "check" {
            Ok(())
        } else {
            Err(Error::Failed("it gives back other octets".into()))
        }
    }

    /// Begins a blob. Nobody sees it before it is finished.
    ///
    /// # Errors
    /// The name is none, or the store does not take it.
    pub async fn write(&self, name: &str) -> Result<Writing, Error> {
        let place = place(name)?;
        Ok(Writing { store: Arc::clone(&self.0), place, held: Vec::new(), octets: 0, upload: None })
    }

    /// Octets of a blob. Where it ends earlier there are fewer of them.
    ///
    /// # Errors
    /// There is no such blob, or the range begins behind its end.
    pub async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Error> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        Ok(self.0.get_range(&place(name)?, range).await?)
    }

    /// Removes a blob. One that is not there is removed already.
    ///
    /// # Errors
    /// The store does not do it.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        match self.0.delete(&place(name)?).await.map_err(Error::from) {
            Err(Error::Nothing) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The names of blobs that were finished before this time, at most so many.
    ///
    /// # Errors
    /// The store does not tell.
    pub async fn names(&self, before: SystemTime, names_max: usize) -> Result<Vec<String>, Error> {
        let (mut listed, mut names) = (self.0.list(None), Vec::new());
        while names.len() < names_max
            && let Some(meta) = listed.try_next().await?
        {
            if SystemTime::from(meta.last_modified) < before {
                names.push(meta.location.to_string());
            }
        }
        Ok(names)
    }
}

fn place(name: &str) -> Result<Path, Error> {
    let legal = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    if name.is_empty() || name.len() > 128 || !name.bytes().all(legal) {
        return Err(Error::Name);
    }
    Ok(Path::from(name))
}

/// A blob on its way in. Dropped, it was never there; what a server has of it is given up.
#[derive(Debug)]
pub struct Writing {
    store: Arc<dyn ObjectStore>,
    place: Path,
    held: Vec<Bytes>,
    /// Octets that are held.
    octets: usize,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Writing {
    /// The next octets. It returns when there is room for more.
    ///
    /// # Errors
    /// The store does not take them.
    pub async fn push(&mut self, mut octets: Bytes) -> Result<(), Error> {
        while self.octets + octets.len() >= PART_OCTETS {
            let fits = octets.split_to(PART_OCTETS - self.octets);
            self.hold(fits);
            let part = self.take();
            if self.upload.is_none() {
                self.upload = Some(self.store.put_multipart(&self.place).await?);
            }
            if let Some(upload) = &mut self.upload {
                upload.put_part(part).await?;
            }
        }
        self.hold(octets);
        Ok(())
    }

    fn hold(&mut self, octets: Bytes) {
        if !octets.is_empty() {
            self.octets += octets.len();
            self.held.push(octets);
        }
    }

    fn take(&mut self) -> PutPayload {
        self.octets = 0;
        PutPayload::from_iter(std::mem::take(&mut self.held))
    }

    /// The blob is whole. It is there, and stays, when this has returned.
    ///
    /// # Errors
    /// It is not there.
    pub async fn finish(mut self) -> Result<(), Error> {
        let last = self.take();
        match self.upload.take() {
            None => drop(self.store.put(&self.place, last).await?),
            Some(mut upload) => {
                if last.content_length() > 0 {
                    upload.put_part(last).await?;
                }
                if let Err(error) = upload.complete().await {
                    self.upload = Some(upload);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else { return };
        // Without a runtime the program ends, and a server has to forget by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::debug!(%error, "an unfinished blob was not given up");
                }
            });
        }
    }
}
