//! What members say of the newest epoch, and what follows: both halves of the path. What a trial is stands in
//! [`super::trial`].
use ids::{Epoch, SeatId};
use mls::wire::{Bundle, EpochReport, Finding, Kind, Reason};

use super::effect::Effect;
use super::event::{Departed, What};
use super::group::{Facts, Remains};
use super::nouns::{At, Participant, Why};
use super::{Conference, Due, Refusal};

/// Members asked once somebody has said that they cannot follow. 64: that many small answers are nothing, and an author
/// who shuts some out on purpose cannot know which are asked.
pub(super) const WITNESSES_MAX: usize = 64;

impl Conference {
    /// Says what a report leads to.
    pub(super) fn report(
        &self,
        at: At,
        seat: SeatId,
        report: &EpochReport,
    ) -> Result<What, Refusal> {
        let (who, _) = self.roster.at(seat).ok_or(Refusal::NoSeat)?;
        if self.is_ahead(report) {
            return self.doubts(at, who, report);
        }
        let facts = self.group.facts.as_ref().ok_or(Refusal::NothingNew)?;
        let (epoch, now) = (report.epoch, facts.epoch);
        if report.era != self.group.era || epoch > now || !facts.members.contains(who) {
            return Err(Refusal::NothingNew);
        }
        let astray = || match facts.astray.contains(who) || is_known(facts, who) {
            true => Err(Refusal::NothingNew),
            false => Ok(What::Astray { who: who.clone(), epoch }),
        };
        match report.finding {
            Finding::Unusable => astray(),
            // The same epoch with another key: somebody has led it elsewhere.
            Finding::Confirmed { fingerprint, .. }
                if epoch == now && facts.fingerprint.is_some_and(|known| known != fingerprint) =>
            {
                astray()
            }
            Finding::Confirmed { fingerprint, entrance } => {
                let vouches = facts.trial.as_ref().is_some_and(|trial| {
                    epoch > trial.from() && trial.may_vouch(who) && !facts.pending.contains(who)
                });
                // Nobody could follow who enters by such a key: it is as if nobody could follow its author.
                if vouches && epoch == now && self.leads_elsewhere(entrance) {
                    return astray();
                }
                let fingerprint = (epoch == now).then_some(fingerprint);
                match vouches {
                    true => Ok(What::Vouched { by: Some(who.clone()), epoch, fingerprint }),
                    false => self.denies(who, epoch),
                }
            }
        }
    }

    /// Whether newcomers are shown another key to enter by than this one.
    fn leads_elsewhere(&self, entrance: [u8; 32]) -> bool {
        let shown = self.group.ledger.as_ref().and_then(mls::ledger::Ledger::entrance);
        shown.is_some_and(|shown| shown != entrance)
    }

    /// Until when somebody is to vouch for the epoch that this change makes. None: nobody is there who could.
    pub(super) fn trial_until(
        &self,
        now: At,
        by: &Participant,
        bundle: &Bundle,
        removed: &[Participant],
    ) -> Option<At> {
        let facts = self.group.facts.as_ref()?;
        let goes_on = facts
            .trial
            .as_ref()
            .filter(|trial| bundle.kind != Kind::Commit || !trial.may_vouch(by));
        let could = |who: &&Participant| {
            *who != by
                && facts.members.contains(*who)
                && !facts.pending.contains(*who)
                && !facts.astray.contains(*who)
                && !removed.contains(who)
                && !self.committing.turns.is_dozing(who, now)
                && goes_on.is_none_or(|trial| trial.may_vouch(who))
        };
        self.roster.bound().find(could)?;
        let fresh = now.after(self.terms.bounds.patience.witness);
        Some(goes_on.map_or(fresh, |trial| trial.until()))
    }

    /// Members that are there and whose word counts.
    fn witnesses(&self) -> Vec<&Participant> {
        let Some((facts, trial)) = self.group.facts.as_ref().and_then(on_trial) else {
            return Vec::new();
        };
        let counts = |who: &&Participant| {
            facts.members.contains(*who)
                && !facts.pending.contains(*who)
                && !facts.astray.contains(*who)
                && trial.may_vouch(who)
        };
        self.roster.bound().filter(counts).collect()
    }

    /// Those of them who were asked.
    fn asked_in_vain(&self) -> Vec<&Participant> {
        let trial = self.group.facts.as_ref().and_then(on_trial).map(|(_, trial)| trial);
        let asked = |who: &&Participant| trial.is_some_and(|trial| trial.has_asked(who));
        self.witnesses().into_iter().filter(asked).collect()
    }

    /// When the trial ends by itself.
    pub(super) fn trial_due(&self) -> Option<(At, Due)> {
        let (_, trial) = self.group.facts.as_ref().and_then(on_trial)?;
        let nobody_left = self.witnesses().iter().all(|who| trial.has_failed(who));
        Some((if nobody_left { At::default() } else { trial.until() }, Due::Trial))
    }

    /// A member that cannot follow has a leaf, so nobody can add it; and if it cannot be relied on, its entry might be
    /// one more change that nobody can follow. So its leaf goes, and it comes back as a newcomer.
    pub(super) fn outcast(&self) -> Option<(At, Due)> {
        let facts = self.group.facts.as_ref()?;
        let faults = |who: &Participant| self.group.distrusted.get(who).copied();
        let fewest = self.roster.bound().map(faults).min()?;
        let is_outcast = |who: &&Participant| faults(who) > fewest && !facts.pending.contains(*who);
        let who = facts.astray.iter().find(is_outcast)?;
        Some((At::default(), Due::Outcast(who.clone())))
    }

    /// How it ends by itself. Silence is no complaint: whoever was asked may be asleep.
    pub(super) fn verdict(&self) -> Result<What, Refusal> {
        let (facts, trial) = self.group.facts.as_ref().and_then(on_trial).ok_or(Refusal::NotYet)?;
        Ok(match trial.culprit() {
            Some(author) => What::GivenUp { author: author.clone() },
            None => What::Vouched { by: None, epoch: facts.epoch, fingerprint: None },
        })
    }

    /// Asks this many of those who can vouch, spread over the room: not always the same ones, and not neighbours.
    pub(super) fn call_witnesses(&mut self, max: usize) -> Vec<Effect> {
        let witnesses: Vec<Participant> = self.witnesses().into_iter().cloned().collect();
        let step = (witnesses.len() / max.max(1)).max(1);
        let first = self.group.facts.as_ref().map_or(0, |facts| facts.epoch.0);
        let first = usize::try_from(first).unwrap_or(0) % step;
        let spread = witnesses.into_iter().skip(first).step_by(step).take(max).collect();
        let trial = self.group.facts.as_mut().and_then(|facts| facts.trial.as_mut());
        let whom = trial.map(|trial| trial.ask(spread)).unwrap_or_default();
        let request = self.request(Reason::Confirm, Vec::new());
        let seats = whom.iter().filter_map(|who| Some(self.roster.seat_of(who)?.id));
        seats.map(|seat| Effect::Tell(seat, request.clone())).collect()
    }

    /// Somebody is in the epoch: its gate opens. Who was not able to follow is led in anew.
    pub(super) fn vouched(
        &mut self,
        at: At,
        by: Option<&Participant>,
        (epoch, fingerprint): (Epoch, Option<[u8; 32]>),
    ) -> Vec<Effect> {
        match by {
            Some(by) => {
                self.committing.turns.awake(by);
                self.group.doubt.iter_mut().for_each(|doubt| doubt.denied(by));
            }
            None => {
                let silent: Vec<Participant> = self.asked_in_vain().into_iter().cloned().collect();
                silent.into_iter().for_each(|who| self.committing.turns.note_silent(who, at));
            }
        }
        let Some(facts) = self.group.facts.as_mut() else { return Vec::new() };
        let Some(trial) = facts.trial.as_mut() else { return Vec::new() };
        let left = trial.vouched(epoch);
        if trial.is_over() {
            facts.trial = None;
            facts.fingerprint = fingerprint;
        }
        facts.astray.extend(left.into_iter().filter(|who| facts.members.contains(who)));
        self.find_joiners(at);
        vec![Effect::Gate]
    }

    /// A member cannot follow. While the epoch is on trial others are asked; else it is led in anew.
    pub(super) fn went_astray(&mut self, at: At, who: &Participant, epoch: Epoch) -> Vec<Effect> {
        let Some(facts) = self.group.facts.as_mut() else { return Vec::new() };
        match facts.trial.as_mut().filter(|trial| epoch > trial.from() && trial.may_vouch(who)) {
            Some(trial) => {
                trial.failed(who, epoch);
                self.call_witnesses(WITNESSES_MAX)
            }
            None => {
                facts.astray.insert(who.clone());
                self.find_joiners(at);
                Vec::new()
            }
        }
    }

    /// The group is given up. What was said in it stays said; its members are in the next one, but for the author.
    pub(super) fn given_up(&mut self, at: At, author: &Participant) -> Vec<Effect> {
        self.leave_behind(Some(author));
        *self.group.distrusted.entry(author.clone()).or_default() += 1;
        self.committing.forget(author);
        self.committing.restart();
        let mut effects = vec![Effect::Gate];
        if self.roster.has_device(author) {
            let device = Departed::Device(author.clone());
            effects.extend(self.departed(at, &device, Why::Unusable, &[]));
        }
        self.find_joiners(at);
        effects
    }

    /// What is left of the group: a gate that is shut for good, and its members but this one.
    pub(super) fn leave_behind(&mut self, author: Option<&Participant>) {
        let gate = self.group.gate().map(|gate| control::Gate { shut: true, grace: false, ..gate });
        let Some((gate, facts)) = gate.zip(self.group.facts.take()) else { return };
        let belongs = |who: &&Participant| Some(*who) != author && !facts.pending.contains(*who);
        let heirs = facts.members.iter().filter(belongs).cloned().collect();
        self.group.ledger = None;
        self.group.remains = Some(Remains { gate, heirs });
    }
}

fn on_trial(facts: &Facts) -> Option<(&Facts, &super::trial::Trial)> {
    facts.trial.as_ref().map(|trial| (facts, trial))
}

/// Whether this member has said that it cannot follow.
fn is_known(facts: &Facts, who: &Participant) -> bool {
    facts.trial.as_ref().is_some_and(|trial| trial.has_failed(who))
}
