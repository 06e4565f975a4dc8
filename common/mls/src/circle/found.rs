//! The beginning of a circle's group: made by one device, checked by the focus.
use std::time::SystemTime;

use ids::Era;

use super::{CLOCKS_APART, CircleMember};
use crate::circle::Circle;
use crate::identity::{FocusKey, Roots};
use crate::ledger::{Accepted, Ledger, Policy, Refusal, Verdict};
use crate::member::{Keyring, Member, MemberError, Processed};
use crate::wire::{ClaimedKeyPackage, Founding};

impl CircleMember {
    /// Makes the group with everybody these KeyPackages are of. It can seal at once: see [`circle`](crate::circle).
    ///
    /// # Errors
    /// A KeyPackage is no good, or of somebody whom the circle does not name; there is nobody to let in.
    pub fn found(
        keyring: &Keyring,
        circle: &Circle,
        claims: &[ClaimedKeyPackage],
        now: SystemTime,
    ) -> Result<(Self, Founding), MemberError> {
        // Its devices come back into it by external commit, so it needs no other era. But where the focus has lost
        // everything it is founded again, and who was in the first group must not take one for the other.
        let era = Era::at(now).next();
        let (mut member, create) = Member::create(keyring, circle.id(), era, now)?;
        let add = member.add(claims, now)?;
        let Processed::Commit(_) = member.process(&add.commit, now)? else {
            return Err(MemberError::Failed("founding a circle"));
        };
        let (people, by) = (circle.clone(), keyring.device().clone());
        let founding = Founding { people, by, create, add, tree: member.tree()? };
        Ok((Self::among_its_people(circle, member)?, founding))
    }
}

/// What the focus keeps of a founding that passed every check.
#[derive(Debug)]
pub struct Founded {
    /// The group after it.
    pub ledger: Ledger,
    /// What follows.
    pub accepted: Accepted,
}

impl Founding {
    /// Checks the founding as the beginning of a group, by the rules of every change: the circle's people are the roster.
    ///
    /// # Errors
    /// What it breaks.
    pub fn ledger(
        &self,
        focus: &FocusKey,
        roots: &Roots,
        now: SystemTime,
    ) -> Result<Founded, Refusal> {
        let on_roster = |person: &ids::Aor| self.people.has(person);
        let policy = Policy { by: &self.by, on_roster: &on_roster, now };
        let (id, era) = (self.people.id(), self.create.era);
        // One of a time to come would be later than that of any founding after it.
        if era > Era::at(now + CLOCKS_APART) {
            return Err(Refusal::WrongEra { era: Era::at(now).next() });
        }
        let created = Ledger::create(id, era, &self.create, focus, roots, &policy)?;
        let (mut ledger, _alone) = created.into_ledger();
        let accepted = match ledger.check(&self.add, &policy)? {
            Verdict::New(checked) => ledger.apply(*checked)?,
            Verdict::Repeat { .. } => return Err(Refusal::Invalid),
        };
        if ledger.group_state().tree != self.tree {
            return Err(Refusal::GroupInfo("another tree than the commit leads to"));
        }
        Ok(Founded { ledger, accepted })
    }

    /// Whether `ledger` has begun with this founding: whoever brings it again gets the answer of the first time.
    pub fn began(&self, ledger: &Ledger, now: SystemTime) -> bool {
        let on_roster = |person: &ids::Aor| self.people.has(person);
        let policy = Policy { by: &self.by, on_roster: &on_roster, now };
        [&self.create, &self.add]
            .into_iter()
            .all(|bundle| matches!(ledger.check(bundle, &policy), Ok(Verdict::Repeat { .. })))
    }
}
