//! What comes for a person, on its way to the inbox: what is sealed goes to its circle, what a mailbox brings is taken, and
//! everything else is passed on.
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Shared;
use crate::circles::{Circles, Coming};
use crate::phone::{Arrived, Immediate};
use crate::session::kept::Kept;
use crate::session::parcel::Parcel;

/// Where it goes.
pub(super) struct To {
    pub(super) circles: Circles,
    pub(super) shared: Arc<Shared>,
    pub(super) told: mpsc::Sender<Arrived>,
}

/// When something came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Before the device was started.
    Before,
    Now,
}

/// Sorts until nobody listens. What came before the device was started goes first.
pub(super) async fn sorted(
    to: To,
    before: Vec<(Immediate, Kept)>,
    mut came: mpsc::Receiver<Arrived>,
) {
    for (message, kept) in before {
        if to.sort(Arrived::Message(message, Some(kept)), Came::Before).await.is_err() {
            return;
        }
    }
    loop {
        let arrived = tokio::select! {
            () = to.told.closed() => return,
            arrived = came.recv() => arrived,
        };
        let Some(arrived) = arrived else { return };
        if to.sort(arrived, Came::Now).await.is_err() {
            return;
        }
    }
}

impl To {
    /// Fails if nobody listens.
    async fn sort(
        &self,
        arrived: Arrived,
        came: Came,
    ) -> Result<(), mpsc::error::SendError<Arrived>> {
        let (message, kept) = match arrived {
            Arrived::Message(message, kept) => (message, kept),
            Arrived::Call(ringing) if ringing.brings.is_some() => {
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move {
                    if let Err(error) = shared.take_brought(*ringing).await {
                        tracing::warn!(%error, "what waited in the mailbox was not taken");
                    }
                });
                return Ok(());
            }
            other => return self.told.send(other).await,
        };
        if let Some(parcel) = Parcel::read(&message.content_type, &message.body) {
            let again = came == Came::Before;
            let coming = Coming { late: message.late, kept, again, tries: 0 };
            self.circles.arrived(message.from, parcel, coming).await;
            return Ok(());
        }
        // That it was noted before says nothing of whether it was told.
        if !self.circles.is_new(&message) && came == Came::Now {
            tracing::debug!(from = %message.from, "a message that was here before");
            kept.into_iter().for_each(Kept::done);
            return Ok(());
        }
        self.told.send(Arrived::Message(message, kept)).await
    }
}
