//! What goes by itself: blobs that no row names, and what came in part and was not gone on with. Files whose time is over are
//! ended with the messages of the mailbox ([`super::super::ending`]).
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use service::clock;

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
            && let Err(why) = orphans(&inner).await
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
async fn orphans(inner: &Inner) -> Result<(), String> {
    let old = inner.blobs.names(clock::wall() - DAY, BLOBS_MAX).await;
    for blob in old.map_err(|error| error.to_string())? {
        let known = inner.store.knows_blob(&blob).await.map_err(|error| error.to_string())?;
        if !known {
            inner.blobs.remove(&blob).await.map_err(|error| error.to_string())?;
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
