//! Epochs that nobody but their author vouches for. The focus holds no secret, so it cannot tell a commit that members
//! can use from one they cannot; a second member can, and says so ([`mls::wire::EpochReport`]).
//!
//! ```text
//! commit accepted ─► on trial: the gate stays at the last epoch vouched for
//!     a second member is in it ─────────────► vouched: the gate opens
//!     time is up, nobody has complained ────► vouched: whoever is there may be asleep
//!     time is up, or all there are, and somebody cannot follow ─► the group is given up, its author stays out
//! ```
//!
//! With no second member online there is no trial. A trial ends at a fixed time, whatever its authors do, so that nobody
//! can keep a conference waiting.
use std::collections::{BTreeMap, BTreeSet};

use ids::Epoch;

use super::nouns::{At, Participant};

/// An epoch on trial, and how it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    epoch: Epoch,
    by: Participant,
    /// Somebody was removed: nothing of the epoch before may pass.
    hard: bool,
}

/// The epochs since the last one that somebody vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    /// The last epoch vouched for.
    from: Epoch,
    /// When it ends without a word.
    until: At,
    /// Oldest first.
    made: Vec<Made>,
    /// Who came in meanwhile: they saw nothing of the commit but a Welcome.
    newcomers: BTreeSet<Participant>,
    /// Who cannot follow, and from which epoch on.
    failed: BTreeMap<Participant, Epoch>,
    /// Who was asked.
    asked: BTreeSet<Participant>,
}

impl Trial {
    pub(super) fn new(from: Epoch, until: At) -> Self {
        Self {
            from,
            until,
            made: Vec::new(),
            newcomers: BTreeSet::new(),
            failed: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    /// One more epoch that has to be vouched for.
    pub(super) fn made(
        &mut self,
        epoch: Epoch,
        by: &Participant,
        added: &[Participant],
        hard: bool,
    ) {
        self.made.push(Made { epoch, by: by.clone(), hard });
        self.newcomers.extend(added.iter().cloned());
    }

    /// The epoch whose messages pass meanwhile.
    pub(super) const fn from(&self) -> Epoch {
        self.from
    }

    /// When it ends without a word.
    pub(super) const fn until(&self) -> At {
        self.until
    }

    /// Whether nothing of the epoch before may pass.
    pub(super) fn is_hard(&self) -> bool {
        self.made.iter().any(|made| made.hard)
    }

    /// Whether this member's word counts: it made none of the epochs, and was there before.
    pub(super) fn may_vouch(&self, who: &Participant) -> bool {
        !self.newcomers.contains(who) && !self.made.iter().any(|made| made.by == *who)
    }

    /// Somebody is in this epoch. Returns who could not follow up to it: the fault is on their side.
    pub(super) fn vouched(&mut self, epoch: Epoch) -> Vec<Participant> {
        self.made.retain(|made| made.epoch > epoch);
        self.from = self.from.max(epoch);
        let left = self.failed.extract_if(.., |_, failed| *failed <= epoch);
        left.map(|(who, _)| who).collect()
    }

    /// Whether nothing is left on trial.
    pub(super) fn is_over(&self) -> bool {
        self.made.is_empty()
    }

    /// Somebody cannot follow the commit that made this epoch.
    pub(super) fn failed(&mut self, who: &Participant, epoch: Epoch) {
        self.failed.insert(who.clone(), epoch);
    }

    /// Whether this member has said that it cannot follow.
    pub(super) fn has_failed(&self, who: &Participant) -> bool {
        self.failed.contains_key(who)
    }

    /// Whether this member was asked.
    pub(super) fn has_asked(&self, who: &Participant) -> bool {
        self.asked.contains(who)
    }

    /// Who made the first epoch that somebody cannot follow.
    pub(super) fn culprit(&self) -> Option<&Participant> {
        let first = self.failed.values().min()?;
        let made = self.made.iter().find(|made| made.epoch >= *first);
        made.or_else(|| self.made.last()).map(|made| &made.by)
    }

    /// Notes who is asked now, of those not asked yet.
    pub(super) fn ask(&mut self, whom: Vec<Participant>) -> Vec<Participant> {
        whom.into_iter().filter(|who| self.asked.insert(who.clone())).collect()
    }
}
