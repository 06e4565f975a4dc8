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
    let (access_key_id, secret_access_key, session_token) =
        credentials(bucket, |name| std::env::var(name).ok())?;
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

/// Who asks: the lines of the file that is named, or else three variables.
fn credentials(
    bucket: &config::Bucket,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(String, String, Option<String>), NoFiles> {
    let mut told = match &bucket.credentials_file {
        Some(path) => {
            let wrong =
                |error: service::config::ConfigError| NoFiles::Credentials(error.to_string());
            let text = Secret::read(path).map_err(wrong)?;
            text.expose().lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        }
        None => ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
            .iter()
            .map_while(|name| variable(name))
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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    const TOKEN: &str = "AWS_SESSION_TOKEN";

    fn told(
        file: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(String, String, Option<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let mut text = String::from("endpoint = 'https://s3.example.net'\nbucket = 'b'\n");
        if let Some(file) = file {
            std::fs::write(&path, file).unwrap();
            text += &format!("credentials_file = {path:?}");
        }
        let bucket: config::Bucket = toml::from_str(&text).unwrap();
        credentials(&bucket, variable).map_err(|why| why.to_string())
    }

    #[test]
    fn credentials_are_the_lines_of_a_file_or_three_variables() {
        let of = |token: Option<&str>| {
            Ok(("the-id".to_owned(), "the-secret".to_owned(), token.map(str::to_owned)))
        };
        let none = |_: &str| None;
        let is = |name: &str| match name {
            ID => Some("the-id".to_owned()),
            SECRET => Some("the-secret".to_owned()),
            _ => None,
        };

        assert_eq!(told(Some("the-id\nthe-secret\n"), none), of(None));
        assert_eq!(
            told(Some("\n the-id \r\n\nthe-secret\r\nthe-token\n"), none),
            of(Some("the-token"))
        );
        // A file that is named is all there is.
        let other = |name: &str| Some(format!("other {name}"));
        assert_eq!(told(Some("the-id\nthe-secret"), other), of(None));
        assert_eq!(told(None, is), of(None));
        let all = |name: &str| is(name).or_else(|| Some("the-token".to_owned()));
        assert_eq!(told(None, all), of(Some("the-token")));
        let only = |known: &'static [&str]| {
            move |name: &str| known.contains(&name).then(|| name.to_owned())
        };
        for missing in [&[][..], &[ID], &[SECRET, TOKEN]] {
            assert!(told(None, only(missing)).is_err(), "{missing:?}");
        }
    }

    #[test]
    fn credentials_that_are_half_there_are_named_and_not_shown() {
        for half in ["the-id", "\n\nthe-id\n", ""] {
            let why = told(Some(half), |_| None).unwrap_err();
            assert!(why.contains("blobs.s3") && !why.contains("the-id"), "{why}");
        }
        let text = "endpoint = 'https://x'\nbucket = 'b'\ncredentials_file = '/nowhere/at/all'";
        let bucket: config::Bucket = toml::from_str(text).unwrap();
        let why = credentials(&bucket, |_| Some("x".to_owned())).unwrap_err().to_string();
        assert!(why.contains("/nowhere/at/all"), "{why}");
    }
}
