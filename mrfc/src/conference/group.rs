//! What a conference knows of its MLS group: the facts that the journal tells, and beside them the ledger that
//! checks changes. The facts are enough to rebuild the conference; the ledger comes from its own snapshot.
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ids::{Epoch, Era};
use mls::ledger::Ledger;

use super::doubt::Doubt;
use super::nouns::{Blob, Participant};
use super::trial::Trial;

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
    /// Whether anybody but its author vouches for it; none: it needs nobody.
    pub(super) trial: Option<Trial>,
    /// What all who are in it have in common, once somebody has said so.
    pub(super) fingerprint: Option<[u8; 32]>,
    /// Members that could not follow a commit others could: each has to enter anew.
    pub(super) astray: BTreeSet<Participant>,
}

/// How many changes of each device nobody could follow. Where everybody has made one (a fault of a version that all of them
/// run) it still tells who makes them all the time.
pub(super) type Distrusted = BTreeMap<Participant, u32>;

/// The group of a conference.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The newest era there was.
    pub(super) era: Era,
    pub(super) facts: Option<Facts>,
    pub(super) ledger: Option<Ledger>,
    /// What was given up, until there is a new one.
    pub(super) remains: Option<Remains>,
    /// Devices that made a change nobody could follow, and how many. Whoever made fewer is asked first, and they change
    /// nothing unasked.
    pub(super) distrusted: Distrusted,
    /// Whether the journal is the newest one, while that is in question.
    pub(super) doubt: Option<Doubt>,
}

/// What is left of a group that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remains {
    /// Its gate, shut for good.
    pub(super) gate: control::Gate,
    /// Its members, who belong to the next one too.
    pub(super) heirs: BTreeSet<Participant>,
}

impl Group {
    /// What the newest epoch is, for the relay.
    pub(super) fn gate(&self) -> Option<control::Gate> {
        let Some(facts) = &self.facts else {
            return self.remains.as_ref().map(|remains| remains.gate);
        };
        let (era, shut) = (self.era, !facts.pending.is_empty());
        Some(match &facts.trial {
            None => control::Gate { era, epoch: facts.epoch, shut, grace: facts.grace },
            // Who is ahead waits at the gate. Whoever is behind may still talk, unless somebody was removed.
            Some(trial) => {
                let shut = shut || trial.is_hard();
                control::Gate { era, epoch: trial.from(), shut, grace: false }
            }
        })
    }

    /// Whether the device had a leaf in the group that was given up, and has none yet.
    pub(super) fn is_heir(&self, who: &Participant) -> bool {
        self.remains.as_ref().is_some_and(|remains| remains.heirs.contains(who))
    }

    /// Whether the device has said that it cannot follow the others.
    pub(super) fn is_astray(&self, who: &Participant) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.astray.contains(who))
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
