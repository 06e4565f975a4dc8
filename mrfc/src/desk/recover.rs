//! Bringing every conference back after a start: follow its journal, take it over with one more event, and tell its
//! relay what should be. What may not have reached the relay its desk repeats first of all.
use std::sync::Arc;

use ids::ConferenceId;
use tokio::task::JoinSet;
use tracing::warn;

use super::task::Desk;
use super::{OpenError, Shared};
use crate::conference::{Command, Conference};

/// Conferences recovered at once: they share the store's flushes.
const TOGETHER: usize = 64;

pub(super) async fn all(shared: &Arc<Shared>) -> Result<(), OpenError> {
    let mut names = shared.store.conferences().await?.into_iter();
    let mut recovering = JoinSet::new();
    loop {
        for id in names.by_ref().take(TOGETHER - recovering.len()) {
            recovering.spawn(one(Arc::clone(shared), id));
        }
        match recovering.join_next().await {
            Some(recovered) => recovered.expect("no recovery is cancelled, and none panics")?,
            None => return Ok(()),
        }
    }
}

async fn one(shared: Arc<Shared>, id: ConferenceId) -> Result<(), OpenError> {
    let journal = |why| OpenError::Journal { conference: id.clone(), why };
    let history = shared.store.read(&id).await?;
    let store::History { before, events, group } = history;
    let recovered = Conference::recover_after(before, shared.terms(&id), &events, group.as_ref());
    let recovered = recovered.map_err(journal)?;
    let made = recovered.conference.level().zip(recovered.conference.creator().cloned());
    let Some((level, creator)) = made else {
        if !events.is_empty() {
            shared.forget(&id, recovered.conference.seq()).await;
        }
        return Ok(());
    };
    let mut desk = Desk::recovered(Arc::clone(&shared), recovered);
    let adopt = |why| OpenError::Adopt { conference: id.clone(), why };
    if shared.store.is_restored(&id).await? {
        warn!(conference = %id, "it came back with a backup, and begins anew");
        desk.run(&Command::Restored).await.map_err(adopt)?;
        shared.store.note_begun_anew(&id).await?;
    }
    desk.run(&Command::Adopt).await.map_err(adopt)?;
    let relay = desk.relay();
    if !relay.is_empty() && !shared.relays.has(&relay) {
        // The configuration does not name it any more.
        let relay = shared.relays.place().ok_or_else(|| adopt(super::Refusal::NoRelay))?;
        desk.run(&Command::Move { relay }).await.map_err(adopt)?;
    }
    if desk.conference.keeps_log() && !desk.relay().is_empty() {
        // Its relay may have begun anew while nobody heard of it.
        desk.run(&Command::Reappoint).await.map_err(adopt)?;
    }
    desk.restate().await;
    shared.registry.desk(&id, &creator, |asks, notices| desk.spawn(asks, notices));
    shared.registry.opened(&id, level);
    Ok(())
}
