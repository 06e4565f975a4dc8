//! Files in the blob store: as they were sent, or locked in segments of one size, so that any octet can be read without
//! those before it.
use std::sync::{Arc, mpsc};
use std::time::Duration;

use blobs::{Blobs, S3};
use bytes::{Bytes, BytesMut};
use endpoint::transfer::{Hashes, Hashing, Source};
use service::secret::Secret;
use tokio::runtime::Handle;

use super::super::lock::{Keys, OVERHEAD};
use super::NoFiles;
use crate::config;

/// Octets that are locked together.
const SEGMENT: u64 = 256 << 10;
/// Octets that are read ahead of what is not locked.
const AHEAD: u64 = 1 << 20;
/// How long the blob store may take to give a piece.
const PATIENCE: Duration = Duration::from_secs(60);

/// The store of a configuration.
pub(super) fn open(settings: &config::Blobs) -> Result<Blobs, NoFiles> {
    if let Some(folder) = &settings.folder {
        return Ok(Blobs::in_folder(folder)?);
    }
    let nowhere = || NoFiles::Credentials("neither a folder nor a bucket".to_owned());
    let bucket = settings.s3.as_ref().ok_or_else(nowhere)?;
    let (access_key_id, secret_access_key, session_token) = credentials(bucket)?;
    Ok(Blobs::in_bucket(&S3 {
        endpoint: bucket.endpoint.clone(),
        bucket: bucket.bucket.clone(),
        region: bucket.region.clone(),
        prefix: bucket.prefix.clone(),
        allow_http: bucket.allow_http,
        access_key_id,
        secret_access_key,
        session_token,
    })?)
}

fn credentials(bucket: &config::Bucket) -> Result<(String, String, Option<String>), NoFiles> {
    let mut told = match &bucket.credentials_file {
        Some(path) => {
            let wrong =
                |error: service::config::ConfigError| NoFiles::Credentials(error.to_string());
            let text = Secret::read(path).map_err(wrong)?;
            text.expose().lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        }
        None => ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
            .iter()
            .map_while(|name| std::env::var(name).ok())
            .collect(),
    }
    .into_iter()
    .filter(|line| !line.is_empty());
    match (told.next(), told.next()) {
        (Some(id), Some(secret)) => Ok((id, secret, told.next())),
        _ => Err(NoFiles::Credentials(
            "an access key and its secret are needed, in credentials_file or the environment"
                .into(),
        )),
    }
}

/// Puts all octets of a source into a blob; their hashes and how many there were.
pub(super) async fn put(
    blobs: &Blobs,
    (name, keys): (&str, Option<&Keys>),
    source: &mut impl Source,
) -> Result<(Hashes, u64), String> {
    let wrong = |error: blobs::Error| error.to_string();
    let mut writing = blobs.write(name).await.map_err(wrong)?;
    let (mut hashing, mut segment) = (Hashing::default(), 0);
    loop {
        let read = source.read(hashing.octets(), usize::try_from(SEGMENT).unwrap_or(usize::MAX))?;
        if read.is_empty() {
            break;
        }
        hashing.update(&read);
        let piece = match keys {
            Some(keys) => keys.lock(&place(name, segment), &read).map_err(|why| why.to_string())?,
            None => read,
        };
        segment += 1;
        writing.push(piece).await.map_err(wrong)?;
    }
    writing.finish().await.map_err(wrong)?;
    let octets = hashing.octets();
    Ok((hashing.finish(), octets))
}

/// Where a segment belongs: moved elsewhere it does not open.
fn place(blob: &str, segment: u64) -> Vec<u8> {
    format!("file\n{blob}\n{segment}").into_bytes()
}

/// The octets of a file in the blob store, as they were sent.
pub(super) struct Kept {
    pub(super) blobs: Blobs,
    pub(super) name: String,
    /// Octets of the file, as they were sent.
    pub(super) octets: u64,
    /// Where the blob is locked.
    pub(super) keys: Option<Arc<Keys>>,
    pub(super) runtime: Handle,
    /// The last piece that was read, and where it begins.
    pub(super) piece: (u64, Bytes),
}

impl Kept {
    /// Reads the piece that this octet is in.
    fn piece_at(&self, offset: u64) -> Result<(u64, Bytes), String> {
        let Some(keys) = &self.keys else {
            let end = self.octets.min(offset.saturating_add(AHEAD));
            return Ok((offset, self.fetch(offset..end)?));
        };
        let (segment, size) = (offset / SEGMENT, SEGMENT + OVERHEAD as u64);
        let locked = self.fetch(segment * size..(segment + 1) * size)?;
        let opened = keys.open(&place(&self.name, segment), &locked);
        let opened = opened.ok_or("what is kept does not open: is its key in mailbox.key_file?")?;
        Ok((segment * SEGMENT, opened))
    }

    /// The thread of this file waits; nobody else does.
    fn fetch(&self, range: std::ops::Range<u64>) -> Result<Bytes, String> {
        let (told, answer) = mpsc::sync_channel(1);
        let (blobs, name) = (self.blobs.clone(), self.name.clone());
        self.runtime.spawn(async move {
            // Who asked may have waited long enough.
            drop(told.send(blobs.read(&name, range).await));
        });
        let late = |_| "the blob store does not answer".to_owned();
        answer.recv_timeout(PATIENCE).map_err(late)?.map_err(|error| error.to_string())
    }
}

impl Source for Kept {
    fn read(&mut self, offset: u64, octets: usize) -> Result<Bytes, String> {
        let mut read = BytesMut::new();
        while read.len() < octets {
            let at = offset + read.len() as u64;
            if at >= self.octets {
                break;
            }
            let (begins, piece) = &self.piece;
            let skipped = at.checked_sub(*begins).and_then(|skip| usize::try_from(skip).ok());
            let rest = skipped.and_then(|skip| piece.get(skip..)).unwrap_or_default();
            if rest.is_empty() {
                self.piece = self.piece_at(at)?;
                if self.piece.0 + self.piece.1.len() as u64 <= at {
                    return Err("the blob is shorter than the file".to_owned());
                }
                continue;
            }
            let wanted = rest.len().min(octets - read.len());
            read.extend_from_slice(rest.get(..wanted).unwrap_or_default());
        }
        Ok(read.freeze())
    }
}
