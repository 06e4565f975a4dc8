//! Taking a device back: its person has lost it, or an operator says so. From then on it gets no certificate, no
//! registration and no seat; its KeyPackages are gone, and every conference removes it from its group.
//!
//! ```text
//! Store::revoke_device ─► Users ─► front (registration, connection) ─► every desk (seat, leaf)
//! ```
//!
//! What a crash cuts off after the first step is done at the next start ([`Devices::start`]).
use std::sync::Arc;

use ids::DeviceId;
use mls::wire::DeviceName;
use service::clock;
use store::Store;
use tokio::sync::{mpsc, oneshot};

use crate::admin::QUESTIONS_MAX;
use crate::desk::Desks;
use crate::front::Question;
use crate::users::Users;

/// Whoever takes devices back goes through here.
#[derive(Clone)]
pub(crate) struct Devices {
    pub(crate) store: Store,
    pub(crate) users: Arc<Users>,
    pub(crate) desks: Desks,
    pub(crate) questions: mpsc::Sender<Question>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Conferences it was in.
    pub(crate) conferences: usize,
    /// Registrations it had.
    pub(crate) registrations: usize,
}

impl Devices {
    /// Knows who was taken back, and removes what a crash has left in a group. What is asked of the front waits for it.
    pub(crate) async fn start(
        store: &Store,
        users: &Arc<Users>,
        desks: &Desks,
    ) -> Result<(Self, mpsc::Receiver<Question>), store::Error> {
        let revoked = store.revoked_devices().await?;
        users.revoke(revoked.iter().cloned());
        let names = revoked.into_iter().map(|(aor, device)| DeviceName { aor, device }).collect();
        desks.revoke(Arc::new(names)).await;
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let (store, users, desks) = (store.clone(), Arc::clone(users), desks.clone());
        Ok((Self { store, users, desks, questions }, asked))
    }

    /// Takes a device back; none if nothing is known of it. Doing it again finishes what was cut off.
    pub(crate) async fn revoke(&self, name: DeviceName) -> Result<Option<Taken>, store::Error> {
        let DeviceName { aor, device } = &name;
        let new = self.store.revoke_device(aor, device, clock::wall()).await?;
        if !new && !self.users.is_revoked(aor, device) {
            return Ok(None);
        }
        self.users.revoke([(aor.clone(), device.clone())]);
        let registrations = self.unregister(&name, device).await;
        let conferences = self.desks.revoke(Arc::new([name].into())).await;
        Ok(Some(Taken { conferences, registrations }))
    }

    async fn unregister(&self, name: &DeviceName, device: &DeviceId) -> usize {
        let (answer, answered) = oneshot::channel();
        let question =
            Question::Drop { of: name.aor.clone(), device: Some(device.clone()), answer };
        match self.questions.send(question).await {
            Ok(()) => answered.await.unwrap_or(0),
            // The front is stopping: its connections end anyway.
            Err(_) => 0,
        }
    }
}
