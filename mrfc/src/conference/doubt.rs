//! Members that are ahead of the journal. A member takes a commit only from the focus, which has kept it before; so one that
//! holds a later epoch than the journal tells of, and does not lie, says that the database is an old copy. The relay says the
//! same with a key that was never given out, and is believed.
//!
//! ```text
//! somebody is ahead ─► doubted: the other members that are there are asked where they are
//!     more are ahead than are not ─► outdated: a new era, term and place; the members are in the next group
//!     else ────────────────────────► upheld: whoever is ahead cannot be relied on, and enters anew
//! ```
//!
//! A file can only be put back while no focus runs on it, so that one start has one such question at most: nobody can go on
//! asking.
use std::collections::BTreeSet;

use ids::{Epoch, Era, Seq, Term};
use mls::wire::{EpochReport, Finding, Reason};

use super::decide::RESTORED_JUMP;
use super::effect::Effect;
use super::event::What;
use super::nouns::{At, Participant};
use super::vouching::WITNESSES_MAX;
use super::{Conference, Due, Refusal};

/// Eras that a device may claim to be ahead: some databases put back one after the other.
const ERAS_MAX: u32 = RESTORED_JUMP * 16;
/// No conference gets this far, and keys are made of places: there are 48 bits for them.
const PLACE_MAX: u64 = 1 << 47;

/// What is said of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// When it ends without a word.
    until: At,
    /// The newest era that anybody has seen.
    era: Era,
    /// Who holds a later epoch.
    ahead: BTreeSet<Participant>,
    /// Who holds the epoch that the journal ends with.
    level: BTreeSet<Participant>,
    /// Who was asked.
    asked: BTreeSet<Participant>,
}

impl Doubt {
    /// This member is where the journal ends.
    pub(super) fn denied(&mut self, who: &Participant) {
        if !self.ahead.contains(who) {
            self.level.insert(who.clone());
        }
    }

    fn has_heard(&self, who: &Participant) -> bool {
        self.ahead.contains(who) || self.level.contains(who)
    }
}

/// What came of doubts, since the start if nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hearing {
    /// The journal was an old copy, and has begun anew: nobody can be ahead of it any more.
    closed: bool,
    /// Who was wrong.
    wrong: BTreeSet<Participant>,
    /// Places of events that no key was made of, since the conference was made.
    skipped: u64,
}

impl Conference {
    /// What the keys of its newest event are made of: a relay has seen none of a later place.
    pub const fn place(&self) -> Seq {
        Seq(self.seq.0.saturating_add(self.hearing.skipped))
    }

    /// Whether who says so holds what the journal does not know of. Of an era that was given up it knows everything.
    pub(super) fn is_ahead(&self, report: &EpochReport) -> bool {
        let now = self.group.facts.as_ref().map(|facts| facts.epoch);
        let later = now.is_some_and(|now| report.era == self.group.era && report.epoch > now);
        matches!(report.finding, Finding::Confirmed { .. })
            && (report.era > self.group.era || later)
    }

    /// What the word of a device that is ahead leads to. It counts once, if the device is a member, or was asked to come in.
    pub(super) fn doubts(
        &self,
        at: At,
        by: &Participant,
        report: &EpochReport,
    ) -> Result<What, Refusal> {
        let facts = self.group.facts.as_ref();
        let belongs = facts.is_none_or(|it| it.members.contains(by) && !it.pending.contains(by));
        let heard = self.group.doubt.as_ref().is_some_and(|doubt| doubt.has_heard(by));
        let counts = !self.hearing.closed && !heard && !self.hearing.wrong.contains(by);
        let possible = report.era.0.saturating_sub(self.group.era.0) <= ERAS_MAX;
        if !counts || !possible || !(belongs || self.awaited() == Some(by)) {
            return Err(Refusal::NothingNew);
        }
        let fresh = at.after(self.terms.bounds.patience.witness);
        let until = self.group.doubt.as_ref().map_or(fresh, |doubt| doubt.until);
        Ok(What::Doubted { by: by.clone(), era: report.era, epoch: report.epoch, until })
    }

    /// What the word of a member that is where the journal ends leads to, with a key that is not known to be another.
    pub(super) fn denies(&self, who: &Participant, epoch: Epoch) -> Result<What, Refusal> {
        let is_now = self.group.facts.as_ref().is_some_and(|facts| facts.epoch == epoch);
        let asks = self.group.doubt.as_ref().is_some_and(|doubt| !doubt.has_heard(who));
        if is_now && asks {
            return Ok(What::Denied { who: who.clone() });
        }
        Err(Refusal::NothingNew)
    }

    /// The relay knows a later place than the journal tells of.
    pub(super) fn overtaken(&self, place: Seq) -> Result<What, Refusal> {
        let behind = place.0.saturating_sub(self.place().0);
        if behind == 0 || place.0 > PLACE_MAX {
            return Err(Refusal::NothingNew);
        }
        Ok(self.begins_anew(self.group.era, behind))
    }

    /// How a doubt ends.
    pub(super) fn settled(&self) -> Result<What, Refusal> {
        let doubt = self.group.doubt.as_ref().ok_or(Refusal::NotYet)?;
        let old = doubt.ahead.len() > doubt.level.len();
        Ok(if old { self.begins_anew(doubt.era, 0) } else { What::Upheld })
    }

    /// Its counters jump over whatever was given out in the time that is lost.
    fn begins_anew(&self, era: Era, behind: u64) -> What {
        let era = era.max(self.group.era);
        What::Outdated {
            term: Term(self.term.0.saturating_add(RESTORED_JUMP)),
            era: Era(era.0.saturating_add(RESTORED_JUMP)),
            skipped: behind.saturating_add(u64::from(RESTORED_JUMP)),
        }
    }

    /// When the doubt ends by itself: once all who were asked and are still there have spoken.
    pub(super) fn doubt_due(&self) -> Option<(At, Due)> {
        let doubt = self.group.doubt.as_ref()?;
        let waits = |who: &&Participant| doubt.asked.contains(*who) && !doubt.has_heard(who);
        let waits = self.roster.bound().any(|who| waits(&who));
        Some((if waits { doubt.until } else { At::default() }, Due::Doubt))
    }

    /// Somebody is ahead: those who can tell are asked where they are.
    pub(super) fn doubted(&mut self, by: &Participant, era: Era, until: At) -> Vec<Effect> {
        let (ahead, level, asked) = Default::default();
        let fresh = Doubt { until, era, ahead, level, asked };
        let first = self.group.doubt.is_none();
        let doubt = self.group.doubt.get_or_insert(fresh);
        doubt.era = doubt.era.max(era);
        doubt.level.remove(by);
        doubt.ahead.insert(by.clone());
        let Some(facts) = self.group.facts.as_ref().filter(|_| first) else { return Vec::new() };
        let can_tell = |who: &&Participant| {
            *who != by && facts.members.contains(*who) && !facts.pending.contains(*who)
        };
        doubt.asked = self.roster.bound().filter(can_tell).take(WITNESSES_MAX).cloned().collect();
        let seats = doubt.asked.iter().filter_map(|who| Some(self.roster.seat_of(who)?.id));
        let seats: Vec<_> = seats.collect();
        let request = self.request(Reason::Confirm, Vec::new());
        seats.into_iter().map(|seat| Effect::Tell(seat, request.clone())).collect()
    }

    /// Somebody is where the journal ends.
    pub(super) fn denied(&mut self, who: &Participant) -> Vec<Effect> {
        self.group.doubt.iter_mut().for_each(|doubt| doubt.denied(who));
        Vec::new()
    }

    /// The journal is the newest one. Who was ahead of it is nowhere.
    pub(super) fn upheld(&mut self, at: At) -> Vec<Effect> {
        let Some(doubt) = self.group.doubt.take() else { return Vec::new() };
        if let Some(facts) = &mut self.group.facts {
            let members = doubt.ahead.iter().filter(|who| facts.members.contains(*who));
            facts.astray.extend(members.cloned());
        }
        for who in &doubt.ahead {
            *self.group.distrusted.entry(who.clone()).or_default() += 1;
        }
        self.hearing.wrong.extend(doubt.ahead);
        self.find_joiners(at);
        Vec::new()
    }

    /// The journal was an old copy.
    pub(super) fn outdated(
        &mut self,
        at: At,
        (term, era): (Term, Era),
        skipped: u64,
    ) -> Vec<Effect> {
        self.leave_behind(None);
        self.group.doubt = None;
        (self.term, self.group.era) = (term, era);
        self.hearing.skipped = self.hearing.skipped.saturating_add(skipped);
        self.hearing.closed = true;
        if let Some(about) = &mut self.about {
            about.term = term;
        }
        self.committing.restart();
        self.find_joiners(at);
        if self.is_resting() { Vec::new() } else { vec![Effect::Open] }
    }

    /// A focus has started: the file that it found may be any.
    pub(super) fn adopted(&mut self) -> Vec<Effect> {
        self.hearing = Hearing { skipped: self.hearing.skipped, ..Hearing::default() };
        Vec::new()
    }
}
