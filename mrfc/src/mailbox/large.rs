//! What sessions leave: large messages, whose octets are in the blob store, and go when their row says that nobody needs them
//! any more; and for whom there is something new.
use std::collections::HashSet;
use std::sync::PoisonError;

use ids::Aor;
use store::{NewLetter, Posted};

use super::ending::ENDED_AT_ONCE_MAX;
use super::{Mailbox, NotStored, failed};

/// The octets of a large message, in the blob store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Large {
    pub(crate) blob: String,
    /// How many, as they were sent.
    pub(crate) octets: u64,
    /// They lie under the mailbox's key.
    pub(crate) locked: bool,
}

/// What a message that came by a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Its owner has no device that is there, and gets it as soon as there is one.
    ForComing,
    /// Devices are there and were not to get it now.
    ForNextTime,
}

impl Large {
    pub(super) fn of(kept: &NewLetter) -> Option<Self> {
        let blob = kept.blob.clone()?;
        Some(Self { blob, octets: kept.octets, locked: kept.locked })
    }
}

impl Mailbox {
    /// Removes the octets of large messages whose time is over. After a crash the row still names what is to go.
    pub(super) async fn remove_blobs(&self) -> Result<(), store::Error> {
        let Some(files) = &self.0.files else { return Ok(()) };
        for (number, blob) in self.0.store.ended_blobs(ENDED_AT_ONCE_MAX).await? {
            match files.remove(&blob).await {
                Ok(()) => self.0.store.forget_blob(number).await?,
                Err(error) => {
                    tracing::warn!(%error, "a message that is over stays in the blob store");
                }
            }
        }
        Ok(())
    }

    /// Whether what is large is in the blob store.
    pub(super) async fn is_there(&self, large: Option<&Large>) -> Result<bool, blobs::Error> {
        match (large, &self.0.files) {
            (None, _) => Ok(true),
            (Some(large), Some(files)) => files.has(large).await,
            (Some(_), None) => Ok(false),
        }
    }

    /// Whether there is room for a message of this sender.
    pub(crate) async fn has_room(&self, (sender, owner): (&Aor, &Aor)) -> Result<(), NotStored> {
        let room = self.0.store.has_room((owner, sender), self.bounds()).await;
        match room.map_err(|error| failed(&error))? {
            Posted::Kept | Posted::Known => Ok(()),
            Posted::Full => Err(NotStored::Full),
            Posted::SenderFull => Err(NotStored::SenderFull),
        }
    }

    /// There is something for these people, of which the front does not know.
    pub(super) fn note_news(&self, people: impl IntoIterator<Item = Aor>) {
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner).extend(people);
    }

    /// For whom there is something new.
    pub(crate) fn news(&self) -> HashSet<Aor> {
        std::mem::take(&mut *self.0.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
