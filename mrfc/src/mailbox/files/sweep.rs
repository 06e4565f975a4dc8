//! What goes by itself: blobs that no row names, and what came in part and was not gone on with. Files whose time is over are
//! ended with the messages of the mailbox ([`super::super::ending`]).
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use blobs::Blobs;
use service::clock;
use store::Store;

use super::Inner;

/// How often it is looked for what was not gone on with.
const PAUSE: Duration = Duration::from_secs(10);
/// Blobs without a row that are looked at, at a start.
const BLOBS_MAX: usize = 100_000;
/// How long what nobody names may stay: longer than a file needs from the blob store to its row.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Sweeps as long as anybody has the files.
pub(super) fn begin(inner: &Arc<Inner>) {
    let inner = Arc::downgrade(inner);
    tokio::spawn(async move {
        if let Some(inner) = inner.upgrade()
            && let Err(why) = orphans(&inner.store, &inner.blobs, clock::wall() - DAY).await
        {
            tracing::warn!(%why, "the blob store could not be swept");
        }
        while let Some(()) = sweep(&inner).await {
            tokio::time::sleep(PAUSE).await;
        }
    });
}

async fn sweep(inner: &Weak<Inner>) -> Option<()> {
    let inner = inner.upgrade()?;
    let folder = inner.settings.arriving.clone();
    let old = clock::wall() - DAY;
    let swept = tokio::task::spawn_blocking(move || unfinished(&folder, old)).await;
    if let Ok(Err(error)) = swept {
        tracing::warn!(%error, "mailbox.files.arriving could not be swept");
    }
    Some(())
}

/// A crash between blob and row leaves a blob.
async fn orphans(store: &Store, blobs: &Blobs, before: SystemTime) -> Result<(), String> {
    let old = blobs.names(before, BLOBS_MAX).await;
    for blob in old.map_err(|error| error.to_string())? {
        let known = store.knows_blob(&blob).await.map_err(|error| error.to_string())?;
        if !known {
            blobs.remove(&blob).await.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn unfinished(folder: &Path, before: SystemTime) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() && metadata.modified()? < before {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use store::{FileBounds, FileRow};

    use super::*;

    const BOUNDS: FileBounds = FileBounds { files_max: 9, sender_files_max: 9, octets_max: 1_000 };

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    async fn blob(blobs: &Blobs, name: &str) {
        let mut writing = blobs.write(name).await.unwrap();
        writing.push(Bytes::from_static(b"octets")).await.unwrap();
        writing.finish().await.unwrap();
    }

    async fn kept(store: &Store, blobs: &Blobs, name: &str) {
        blob(blobs, name).await;
        let row = FileRow {
            owner: "sip:bob@example.net".parse().unwrap(),
            sender: "sip:alice@example.net".parse().unwrap(),
            transfer_id: name.to_owned(),
            blob: name.to_owned(),
            octets: 6,
            sha256: format!("hash of {name}"),
            sha1: format!("old hash of {name}"),
            locked: false,
            head: Bytes::new(),
            accepted: at(1),
            expires: at(50),
        };
        assert_eq!(store.keep_file(row, BOUNDS).await.unwrap(), store::Filed::Kept);
    }

    /// What is in the blob store.
    async fn names(blobs: &Blobs) -> Vec<String> {
        let mut names = blobs.names(clock::wall() + DAY, 100).await.unwrap();
        names.sort();
        names
    }

    #[tokio::test]
    async fn octets_that_nobody_names_go_when_they_are_old_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("mrfc.sqlite")).await.unwrap();
        let blobs = Blobs::in_folder(&folder.path().join("blobs")).unwrap();
        kept(&store, &blobs, "named").await;
        blob(&blobs, "nameless").await;

        orphans(&store, &blobs, clock::wall() - DAY).await.unwrap();
        assert_eq!(names(&blobs).await, ["named", "nameless"], "it may still get its row");
        orphans(&store, &blobs, clock::wall() + DAY).await.unwrap();

        assert_eq!(names(&blobs).await, ["named"]);
    }

    #[test]
    fn what_came_in_part_goes_when_nobody_has_gone_on_with_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("part"), b"octets").unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();

        unfinished(folder.path(), clock::wall() - DAY).unwrap();
        assert!(folder.path().join("part").exists(), "it is new");
        unfinished(folder.path(), clock::wall() + DAY).unwrap();

        assert!(!folder.path().join("part").exists());
        assert!(folder.path().join("folder").exists());
    }
}
