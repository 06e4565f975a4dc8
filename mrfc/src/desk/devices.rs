//! Devices that were taken back leave every conference, whoever is in it.
use std::collections::BTreeSet;
use std::sync::Arc;

use mls::wire::DeviceName;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Desks;
use super::ask::Ask;
use super::task::Desk;
use crate::conference::{Command, Participant, Refusal};

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
}

impl Desk {
    /// Removes those of these devices that are in; refused if none is.
    pub(super) async fn revoke(&mut self, devices: &BTreeSet<DeviceName>) -> Result<(), Refusal> {
        let here: Vec<Participant> =
            devices.iter().map(Participant::from).filter(|it| self.conference.has(it)).collect();
        if here.is_empty() {
            return Err(Refusal::NothingNew);
        }
        for device in here {
            self.run(&Command::Revoke(device)).await?;
        }
        Ok(())
    }
}
