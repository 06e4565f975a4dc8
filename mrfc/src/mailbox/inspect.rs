//! What waits for a person, as it lies on disk: for whoever has the focus's files and its key. It changes nothing.
use ids::Aor;
use sha2::{Digest as _, Sha256};
use store::{Location, Store};

use super::NoMailbox;
use super::lock::Keys;
use super::row::opened;
use crate::config::Mailbox;

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMessage {
    /// Who wrote it.
    pub sender: Aor,
    /// Octets of its body.
    pub octets: u64,
    /// SHA-256 of its body, in hexadecimal.
    pub sha256: String,
    /// Whether the body lies under the mailbox's key; otherwise it lies as it was sent.
    pub locked: bool,
}

/// What this database has for a person. What does not open, and what is large and lies elsewhere, is left out.
pub(crate) async fn kept(
    settings: &Mailbox,
    database: Location,
    owner: &Aor,
) -> Result<Vec<KeptMessage>, NoMailbox> {
    let keys = Keys::read(&settings.key_file)?;
    let store = Store::open(database).await?;
    let letters = store.letters(owner).await;
    store.close().await;
    let message = |kept: store::Letter| {
        let letter = opened(&keys, &kept.letter)?;
        Some(KeptMessage {
            sender: kept.letter.sender,
            octets: kept.letter.octets,
            sha256: hex::encode(Sha256::digest(&letter.body)),
            locked: kept.letter.locked,
        })
    };
    let here = letters?.into_iter().filter(|kept| kept.letter.blob.is_none());
    Ok(here.filter_map(message).collect())
}
