//! The scene of messages for somebody who is not there: one that servers may read and one that is sealed. Both are accepted,
//! lie in the mailbox, and reach the person who comes back. What lies there is read from the focus's files, not asked of
//! anybody.
use std::slice;

use anyhow::{Context, bail};
use bytes::Bytes;
use client::{Arrival, Device, Manner, Profile, Protection, Taken, Vault, VaultError, VaultKey};
use rand::RngCore;
use sha2::{Digest, Sha256};

use super::Stage;
use super::cast::{Actor, wait};
use super::report::{Deferred, SealedDeferred};

/// Who is not there.
pub(super) const ABSENT: &str = "frank";
const OCTETS: usize = 1300;

/// Lets him leave his keys and go; sends both, looks at them where they wait, and lets him come back.
pub(super) async fn play(
    stage: &Stage,
    sender: &Actor,
) -> anyhow::Result<(Deferred, SealedDeferred)> {
    let profile = stage.system.directions().profile(ABSENT)?;
    let aor = profile.aor.clone();
    let (device, vault) = enter(stage, &profile).await?;
    device.stop().await;
    drop(vault);

    let mut body = vec![0_u8; OCTETS];
    rand::rng().fill_bytes(&mut body);
    let sent_sha256 = hex::encode(Sha256::digest(&body));
    let sent = sender.device.message(&aor, "application/octet-stream", Bytes::from(body));
    let (taken, _protection) = sent.await.with_context(|| format!("a message to {ABSENT}"))?;
    let words = Bytes::from(format!("for {ABSENT} alone: {}", stage.canary));
    let mut departures = sender.device.departures();
    let (to, manner) = (slice::from_ref(&aor), Manner::default());
    let written = sender.device.write(to, manner, "text/plain", words.clone()).await;
    let written = written.with_context(|| format!("a sealed message to {ABSENT}"))?;
    if [taken, written.taken] != [Taken::Stored; 2] || written.protection != Protection::EndToEnd {
        bail!("nobody says that a mailbox has the messages to {ABSENT}");
    }
    let left = departures.next().await.context("what left sealed")?;

    let config = stage.system.folder().join("mrfc.toml");
    let kept = mrfc::kept_messages(&config, &aor).await.context("looking at what waits")?;
    let hashes = |locked| {
        let these = kept.iter().filter(|message| message.locked == locked);
        these.map(|message| message.sha256.clone()).collect::<Vec<_>>().join(" ")
    };
    let mut deferred = Deferred { sent_sha256, stored_sha256: hashes(true), ..Deferred::default() };
    let mut sealed = SealedDeferred {
        octets: left.body.len() as u64,
        sent_sha256: hex::encode(Sha256::digest(&left.body)),
        stored_sha256: hashes(false),
        ..SealedDeferred::default()
    };

    let (device, _vault) = enter(stage, &profile).await?;
    let mut inbox = device.inbox();
    for _message in 0..2 {
        let arrived = tokio::time::timeout(wait(), inbox.next()).await;
        match arrived.context("the messages that waited")? {
            Some(Arrival::Message(message)) => {
                deferred.octets = message.body.len() as u64;
                deferred.delivered_sha256 = hex::encode(Sha256::digest(&message.body));
                deferred.marked_late = message.late.is_some();
            }
            Some(Arrival::Letter(letter)) => {
                sealed.read = letter.message.body == words;
                sealed.marked_late = letter.late.is_some();
            }
            _other => bail!("{ABSENT} got something else than a message"),
        }
    }
    device.stop().await;
    Ok((deferred, sealed))
}

/// The device of who is not there, the same one each time.
async fn enter(stage: &Stage, profile: &Profile) -> anyhow::Result<(Device, Vault)> {
    let folder = stage.system.folder();
    let (state, key) = (folder.join("state-absent"), folder.join("state-absent.key"));
    let open = async {
        loop {
            match Vault::open(&state, &VaultKey::KeyFile(key.clone())) {
                // What the device did before it went ends soon after it.
                Err(VaultError::InUse { .. }) => tokio::task::yield_now().await,
                opened => return opened,
            }
        }
    };
    let opened = tokio::time::timeout(wait(), open).await.context("the vault is in use")?;
    let vault = opened.with_context(|| format!("the vault of {ABSENT}"))?;
    let started = Device::open(profile.clone(), vault.clone()).await;
    let (device, _invitations) = started.with_context(|| format!("{ABSENT} comes"))?;
    Ok((device, vault))
}
