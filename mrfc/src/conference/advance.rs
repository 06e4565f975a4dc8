//! Following what changes the group: a commit that was accepted, and whom the focus asks for the next.
use std::collections::{BTreeMap, BTreeSet};

use mls::wire::{Bundle, ClaimedKeyPackage, CommitRequest, CommitResult, Invitation, Kind, Reason};

use super::Conference;
use super::committing::Outside;
use super::effect::{Announced, Effect, Told};
use super::event::{Event, Task, What};
use super::group::Facts;
use super::nouns::{At, Blob, Participant};
use super::trial::Trial;

impl Conference {
    pub(super) fn advanced(&mut self, event: &Event) -> Vec<Effect> {
        let What::Advanced { by, bundle, era, epoch, added, removed, pending, trial } = &event.what
        else {
            return Vec::new();
        };
        let bundle = Bundle::from_bytes(&bundle.0).expect("it was read before it was kept");
        let mut before = self.group.facts.take();
        let trial = self.on_trial(before.as_mut(), &bundle, (event, *trial));
        let (mut members, mut astray) = match before {
            Some(before) => (before.members, before.astray),
            None => Default::default(),
        };
        members.retain(|who| !removed.contains(who));
        members.extend(added.iter().cloned());
        astray.retain(|who| members.contains(who) && !added.contains(who));
        // Nothing of the old epoch passes once somebody was removed in the new one.
        let grace = removed.is_empty() && bundle.kind != Kind::Create;
        let (mut effects, held) = self.let_in(bundle.welcomes);
        let pending = pending.iter().cloned().collect();
        let (epoch, fingerprint) = (*epoch, None);
        self.group.era = *era;
        self.group.facts =
            Some(Facts { epoch, members, pending, grace, held, trial, fingerprint, astray });
        // Its seat may have gone while it was being added.
        added.iter().for_each(|who| self.roster.belongs(who));
        if bundle.kind == Kind::External {
            self.entries.entered(by, event.at, self.terms.bounds.participants_max);
        }
        if let Some(doubt) = &mut self.group.doubt {
            // Whoever changes the epoch is in it.
            doubt.denied(by);
        }
        self.inherit();
        let members = self.group.facts.as_ref().map(|facts| &facts.members);
        self.committing.advanced(by, members.unwrap_or(&BTreeSet::new()));
        self.find_joiners(event.at);
        if bundle.kind == Kind::Create {
            effects.push(Effect::Gate);
            let accepted = CommitResult::Accepted { era: *era, epoch };
            let seat = self.roster.seat_of(by).map(|seat| seat.id);
            effects.extend(seat.map(|seat| Effect::Tell(seat, Told::Result(accepted))));
        } else {
            effects.push(Effect::Announce(Announced::Commit(bundle.commit)));
        }
        if self.group.is_shut() {
            effects.push(Effect::Announce(Announced::Proposals));
        }
        effects.extend(self.call_witnesses(self.terms.bounds.patience.witnesses));
        effects
    }

    /// The Welcomes, each to its device; those that are not there have them when they come.
    fn let_in(&self, welcomes: Vec<Invitation>) -> (Vec<Effect>, BTreeMap<Participant, Blob>) {
        let (mut effects, mut held) = (Vec::new(), BTreeMap::new());
        for Invitation { to, welcome } in welcomes {
            let to = Participant::from(&to);
            match self.roster.seat_of(&to).filter(|seat| seat.bound) {
                Some(seat) => effects.push(Effect::Tell(seat.id, Told::Welcome(welcome))),
                None => drop(held.insert(to, Blob(welcome))),
            }
        }
        (effects, held)
    }

    /// The trial of the epoch that this commit makes.
    fn on_trial(
        &self,
        before: Option<&mut Facts>,
        bundle: &Bundle,
        (event, until): (&Event, Option<At>),
    ) -> Option<Trial> {
        let What::Advanced { by, epoch, added, removed, .. } = &event.what else { return None };
        let before = before?;
        let former = before.trial.take();
        let (mut trial, left) = match former {
            // Whoever changes an epoch is in it.
            Some(mut trial) if bundle.kind == Kind::Commit && trial.may_vouch(by) => {
                let left = trial.vouched(before.epoch);
                (Trial::new(before.epoch, until.unwrap_or_default()), left)
            }
            Some(trial) => (trial, Vec::new()),
            None => (Trial::new(before.epoch, until.unwrap_or_default()), Vec::new()),
        };
        before.astray.extend(left);
        trial.made(*epoch, by, added, !removed.is_empty());
        until.map(|_| trial)
    }

    /// Those of the group that was given up who are in the new one need not be looked for any more.
    fn inherit(&mut self) {
        let (Some(remains), Some(facts)) = (&mut self.group.remains, &self.group.facts) else {
            return;
        };
        remains.heirs.retain(|who| !facts.members.contains(who) && self.roster.has_device(who));
        if remains.heirs.is_empty() {
            self.group.remains = None;
        }
    }

    pub(super) fn asked(&mut self, whom: &Participant, task: &Task, until: At) -> Vec<Effect> {
        let mut again = false;
        let request = match task {
            Task::Create => self.request(Reason::Create, Vec::new()),
            Task::Enter => self.request(Reason::Enter, Vec::new()),
            Task::Commit { add } => {
                again = self.committing.turns.tried() > 0 && self.group.is_shut();
                let reason = if self.group.is_shut() { Reason::Remove } else { Reason::Add };
                let claimed = |who: &Participant| {
                    let key_package = self.committing.package(who)?.0.clone();
                    let Participant { aor, device } = who.clone();
                    Some(ClaimedKeyPackage { aor, device, key_package })
                };
                self.request(reason, add.iter().filter_map(claimed).collect())
            }
        };
        self.committing.asked(whom, task, until);
        let Some(seat) = self.roster.seat_of(whom).map(|seat| seat.id) else { return Vec::new() };
        // Somebody was asked in vain: perhaps it has missed what it was to cover.
        let removes = again.then_some(Told::Proposals);
        removes.into_iter().chain([request]).map(|told| Effect::Tell(seat, told)).collect()
    }

    pub(super) fn request(&self, reason: Reason, add: Vec<ClaimedKeyPackage>) -> Told {
        let era = if reason == Reason::Create { self.group.era.next() } else { self.group.era };
        Told::Request(CommitRequest { reason, era, add, remove: Vec::new() })
    }

    /// A joiner is a bound device without a leaf, with one that has to go first, or with one it cannot use; and a device
    /// that is away, if it was in the group that was given up.
    pub(super) fn find_joiners(&mut self, at: At) {
        let stands = |who: &Participant| match () {
            () if self.group.is_astray(who) => Some(Outside::Astray),
            () if !self.group.is_member(who) || self.group.is_pending(who) => Some(Outside::Here),
            () => None,
        };
        let mut joiners: Vec<(Participant, Outside)> = Vec::new();
        if let Some(facts) = &self.group.facts {
            let bound = self.roster.bound();
            joiners.extend(bound.filter_map(|who| Some((who.clone(), stands(who)?))));
            let heirs = self.group.remains.iter().flat_map(|remains| &remains.heirs);
            let away = heirs.filter(|who| {
                !facts.members.contains(*who)
                    && self.roster.has_device(who)
                    && !self.roster.is_bound(who)
            });
            joiners.extend(away.map(|who| (who.clone(), Outside::Away)));
        }
        self.committing.joiners_are(joiners, at);
    }
}
