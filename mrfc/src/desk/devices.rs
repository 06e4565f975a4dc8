//! What concerns devices beyond one conference: those that were taken back leave every one, and those whose KeyPackages
//! are nearly used up are told.
use std::collections::BTreeSet;
use std::sync::Arc;

use ids::Aor;
use mls::wire::DeviceName;
use store::Claimed;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::ask::Ask;
use super::task::Desk;
use super::{Desks, SipEffect};
use crate::conference::{Command, Participant, Refusal};

/// A device that has so many KeyPackages left is told: some seconds of a crowd that wants to write to it.
const KEY_PACKAGES_LOW: usize = 10;

impl Desks {
    /// Removes these devices from every conference, and from its group. It answers when the relays have carried that out,
    /// or have not said so in time; with the number of conferences that had one of them. In the circles of their people nobody
    /// writes until a commit removes them.
    pub async fn revoke(&self, devices: Arc<BTreeSet<DeviceName>>) -> usize {
        if devices.is_empty() {
            return 0;
        }
        let mut asked = JoinSet::new();
        for listed in self.0.registry.made() {
            let Some(desk) = self.0.registry.find(&listed.id) else { continue };
            let devices = Arc::clone(&devices);
            asked.spawn(async move {
                let (reply, answer) = oneshot::channel();
                desk.ask(Ask::Revoke { devices, reply }).await.is_ok()
                    && matches!(answer.await, Ok(Ok(()) | Err(Refusal::Unconfirmed)))
            });
        }
        for device in devices.iter() {
            if let Err(error) = self.circles().remove(device).await {
                tracing::warn!(%error, %device, "a device is still in circles of its person");
            }
        }
        asked.join_all().await.into_iter().filter(|had| *had).count()
    }

    /// KeyPackages were handed out: a device that gets low is told, and each time that it has nothing left but its last
    /// resort.
    pub(crate) fn handed_out<'a>(&self, claimed: impl IntoIterator<Item = (&'a Aor, &'a Claimed)>) {
        handed_out(&self.0.sip, claimed);
    }
}

pub(super) fn handed_out<'a>(
    front: &mpsc::Sender<SipEffect>,
    claimed: impl IntoIterator<Item = (&'a Aor, &'a Claimed)>,
) {
    for (of, claimed) in claimed {
        if claimed.left == KEY_PACKAGES_LOW || claimed.left == 0 {
            let (of, device, left) = (of.clone(), claimed.device.clone(), claimed.left);
            // Where it is not told, it sees it at its next look.
            front.try_send(SipEffect::KeyPackagesLow { of, device, left }).ok();
        }
    }
}

impl Desk {
    /// Removes those of these devices that are in; refused if none is.
    pub(super) async fn revoke(&mut self, devices: &BTreeSet<DeviceName>) -> Result<(), Refusal> {
        let devices = devices.iter().map(Participant::from);
        let here: Vec<Participant> =
            devices.flat_map(|device| self.conference.places_of(&device)).collect();
        if here.is_empty() {
            return Err(Refusal::NothingNew);
        }
        for device in here {
            self.run(&Command::Revoke(device)).await?;
        }
        Ok(())
    }
}
