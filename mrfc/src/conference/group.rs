//! What a conference knows of its MLS group: the facts that the journal tells, and beside them the ledger that
//! checks changes. The facts are enough to rebuild the conference; the ledger comes from its own snapshot.
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ids::{Epoch, Era};
use mls::ledger::Ledger;

use super::nouns::{Blob, Participant};

/// The facts about the present epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) epoch: Epoch,
    pub(super) members: BTreeSet<Participant>,
    /// Devices whose Remove no commit has covered yet.
    pub(super) pending: BTreeSet<Participant>,
    /// Whether the epoch before is still accepted for a moment.
    pub(super) grace: bool,
    /// Welcomes of this epoch for members that were not seated when it began.
    pub(super) held: BTreeMap<Participant, Blob>,
}

/// The group of a conference.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The newest era there was.
    pub(super) era: Era,
    pub(super) facts: Option<Facts>,
    pub(super) ledger: Option<Ledger>,
}

impl Group {
    /// What the newest epoch is, for the relay.
    pub(super) fn gate(&self) -> Option<control::Gate> {
        let facts = self.facts.as_ref()?;
        Some(control::Gate {
            era: self.era,
            epoch: facts.epoch,
            shut: !facts.pending.is_empty(),
            grace: facts.grace,
        })
    }

    pub(super) fn is_member(&self, who: &Participant) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.members.contains(who))
    }

    pub(super) fn is_pending(&self, who: &Participant) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.pending.contains(who))
    }

    /// Whether anybody must leave before somebody may write.
    pub(super) fn is_shut(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| !facts.pending.is_empty())
    }

    /// The tree of the present epoch.
    pub(super) fn tree(&self) -> Bytes {
        self.ledger.as_ref().map(|ledger| ledger.group_state().tree).unwrap_or_default()
    }
}
