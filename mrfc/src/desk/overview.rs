//! What an operator asks the desks: which conferences there are, who is in one, and that it ends.
use ids::{Aor, ConferenceId};

use super::ask::Ask;
use super::{Desks, Refusal};
use crate::conference::{Level, Overview};

/// A conference in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub id: ConferenceId,
    /// Who made it.
    pub creator: Aor,
    /// What the relay may see.
    pub level: Level,
    /// Devices on its roster.
    pub participants: usize,
    /// Leaves of its group.
    pub members: usize,
}

impl Desks {
    /// Every conference there is, by name.
    pub fn list(&self) -> Vec<Listed> {
        let mut all = self.0.registry.made();
        for one in &mut all {
            (one.participants, one.members) = self.0.counting.of(&one.id);
        }
        all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// A conference as it is now.
    ///
    /// # Errors
    /// There is no such conference.
    pub async fn overview(&self, id: &ConferenceId) -> Result<Overview, Refusal> {
        self.asked(id, |reply| Ask::Overview { reply }).await
    }

    /// Ends a conference for everybody in it.
    ///
    /// # Errors
    /// There is no such conference, or the store failed.
    pub async fn close(&self, id: &ConferenceId) -> Result<(), Refusal> {
        self.asked(id, |reply| Ask::Close { reply }).await
    }

    /// Calls somebody into a conference, as the operator: nobody on the roster asks for it.
    ///
    /// # Errors
    /// There is no such conference, or the store failed.
    pub async fn call(&self, id: &ConferenceId, who: Aor) -> Result<(), Refusal> {
        self.asked(id, |reply| Ask::Call { who, reply }).await
    }

    /// Puts somebody out with all devices, as the operator: nobody on the roster asks for it, and the founder is not
    /// spared. It answers as [`Desks::kick`] does.
    ///
    /// # Errors
    /// [`Refusal::NotOnRoster`], or there is no such conference: nothing has changed. [`Refusal::Unconfirmed`] as there.
    pub async fn expel(&self, id: &ConferenceId, who: Aor) -> Result<(), Refusal> {
        self.asked(id, |reply| Ask::Expel { who, reply }).await
    }
}
