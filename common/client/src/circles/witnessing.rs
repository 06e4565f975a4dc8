//! Whether everybody in a circle has seen the same group: what this device saw of its epochs goes along, sealed, with what
//! it writes, and what others say they saw is compared with it.
//!
//! A founding that another one has beaten is a group that nobody was in, so an epoch counts as seen once others are known
//! to be in it: the focus has ordered what led to it, or something of it has come.
use ids::{Aor, Epoch};

use super::circle::Task;
use crate::phone::Arrived;

/// Somebody was in another group than this device, from this epoch on.
pub(super) type Split = (Aor, Epoch);

impl Task {
    /// This device is where others are.
    pub(super) fn witness(&mut self) {
        if let Some(member) = self.member.as_ref().filter(|it| !it.group().is_entering()) {
            self.witness.note(member.generation(), &member.group().authenticator());
        }
    }

    /// Tells that somebody was in another group, if that was found.
    pub(super) async fn tell_split(&mut self) {
        if let Some((who, epoch)) = self.split.take() {
            self.tools.tell(Arrived::Split { who, epoch }).await;
        }
    }
}
