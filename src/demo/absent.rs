//! The scene of a message for somebody who is not there: it is accepted, lies in the mailbox, and reaches the first device
//! that comes. What lies there is read from the focus's files, not asked of anybody.
use anyhow::{Context, bail};
use bytes::Bytes;
use client::{Arrival, Device, Taken};
use rand::RngCore;
use sha2::{Digest, Sha256};

use super::Stage;
use super::cast::{Actor, wait};
use super::report::Deferred;

/// Who is not there.
pub(super) const ABSENT: &str = "frank";
const OCTETS: usize = 1300;

/// Sends it, looks at it where it waits, and lets the absent one come.
pub(super) async fn play(stage: &Stage, sender: &Actor) -> anyhow::Result<Deferred> {
    let profile = stage.system.directions().profile(ABSENT)?;
    let mut body = vec![0_u8; OCTETS];
    rand::rng().fill_bytes(&mut body);
    let sent_sha256 = hex::encode(Sha256::digest(&body));
    let sent = sender.device.message(&profile.aor, "application/octet-stream", Bytes::from(body));
    let (taken, _protection) = sent.await.with_context(|| format!("a message to {ABSENT}"))?;
    if taken != Taken::Stored {
        bail!("nobody says that a mailbox has the message to {ABSENT}");
    }
    let config = stage.system.folder().join("mrfc.toml");
    let kept = mrfc::kept_messages(&config, &profile.aor).await.context("looking at what waits")?;
    let stored_sha256 = kept.iter().map(|message| message.sha256.clone()).collect::<Vec<_>>();
    let (device, _invitations) =
        Device::start(profile).await.with_context(|| format!("{ABSENT} comes"))?;
    let mut inbox = device.inbox();
    let arrived = tokio::time::timeout(wait(), inbox.next()).await;
    let Some(Arrival::Message(message)) = arrived.context("the message that waited")? else {
        bail!("{ABSENT} got something else than a message");
    };
    device.stop().await;
    Ok(Deferred {
        octets: message.body.len() as u64,
        sent_sha256,
        stored_sha256: stored_sha256.join(" "),
        delivered_sha256: hex::encode(Sha256::digest(&message.body)),
        marked_late: message.late.is_some(),
    })
}
