//! What moderators settle, as the front and the HTTPS resources ask for it; and what watchers are shown.
use ids::{Aor, ConferenceId};

use super::ask::Ask;
use super::{Desks, Refusal};
use crate::conference::{Ruling, Scene};

impl Desks {
    /// Settles something, for a moderator, or for the operator (`by` is none). What is so already is no failure. Banning
    /// somebody who is in puts them out, and answers as [`Desks::kick`] does.
    ///
    /// # Errors
    /// [`Refusal::NotModerator`], [`Refusal::NotOnRoster`], [`Refusal::Founder`], [`Refusal::LastModerator`], or there is
    /// no such conference: nothing has changed. [`Refusal::Unconfirmed`] as with a kick.
    pub async fn rule(
        &self,
        id: &ConferenceId,
        by: Option<Aor>,
        ruling: Ruling,
    ) -> Result<(), Refusal> {
        self.asked(id, |reply| Ask::Rule { by, ruling, reply }).await
    }

    /// The same for somebody who looks once, and is not told of changes.
    ///
    /// # Errors
    /// There is no such conference.
    pub async fn glance(&self, id: &ConferenceId) -> Result<Scene, Refusal> {
        self.asked(id, |reply| Ask::Glance { reply }).await
    }

    /// Ends a conference for everybody in it, for a moderator.
    ///
    /// # Errors
    /// [`Refusal::NotModerator`], or there is no such conference.
    pub async fn delete(&self, id: &ConferenceId, by: Aor) -> Result<(), Refusal> {
        self.asked(id, |reply| Ask::Delete { by, reply }).await
    }

    /// The conference as watchers see it. After the next change [`super::SipEffect::Changed`] follows, once.
    ///
    /// # Errors
    /// There is no such conference.
    pub async fn scene(&self, id: &ConferenceId) -> Result<Scene, Refusal> {
        self.asked(id, |reply| Ask::Scene { reply }).await
    }

    /// No device of somebody who was to be called could be reached.
    pub async fn unreached(&self, id: &ConferenceId, who: Aor) {
        if let Some(desk) = self.0.registry.find(id) {
            desk.ask(Ask::Unreached { who }).await.ok();
        }
    }
}
