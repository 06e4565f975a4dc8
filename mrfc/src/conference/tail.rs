//! What the last events of a journal said to devices: whether it reached the relay before the end nobody knows, so it
//! is said again after a start, under the same keys. It holds as much as may be missing, within bounds.
use std::collections::VecDeque;

use ids::{SeatId, Seq};
use mls::wire::{BUNDLE_OCTETS_MAX, Bundle, Kind};

use super::effect::{Announced, Effect};
use super::event::What;

/// Events that told single devices something in the present epoch. 64: far more than can have been under way.
const TOLD_MAX: usize = 64;
/// Octets of commits: as much as the largest bundle, or thousands of usual ones. The last commit stays in any case.
const COMMITS_OCTETS_MAX: usize = BUNDLE_OCTETS_MAX;

/// The end of a journal, as effects.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Each with the place that its keys are made of.
    entries: VecDeque<(Seq, Vec<Effect>)>,
}

impl Tail {
    /// One more event was followed.
    pub(super) fn follow(&mut self, seq: Seq, what: &What, mut effects: Vec<Effect>) {
        match what {
            What::Advanced { bundle, .. } => {
                // What was said to one device in an earlier epoch helps nobody any more.
                self.keep(is_commit);
                if Bundle::from_bytes(&bundle.0).is_ok_and(|bundle| bundle.kind == Kind::Commit) {
                    // Its author was in the epoch before: it has heard the commit that made it, by the relay, or was
                    // welcomed by that one and heard the one before. So all before that have arrived.
                    let arrived = self.entries.len().saturating_sub(1);
                    self.entries.drain(..arrived);
                }
            }
            What::Ended { .. } | What::Outdated { .. } => self.entries.clear(),
            _ => {}
        }
        effects.retain(repeatable);
        if !effects.is_empty() {
            self.entries.push_back((seq, effects));
        }
        self.bound();
    }

    fn keep(&mut self, wanted: impl Fn(&Effect) -> bool) {
        self.entries.retain_mut(|(_, effects)| {
            effects.retain(&wanted);
            !effects.is_empty()
        });
    }

    /// Forgets the oldest of what there is too much of. Commits are never crowded out by anything else.
    fn bound(&mut self) {
        let told = |(_, effects): &(Seq, Vec<Effect>)| !effects.iter().any(is_commit);
        if self.entries.iter().filter(|entry| told(entry)).count() > TOLD_MAX
            && let Some(oldest) = self.entries.iter().position(told)
        {
            self.entries.remove(oldest);
        }
        while self.entries.iter().map(|(_, effects)| octets(effects)).sum::<usize>()
            > COMMITS_OCTETS_MAX
            && self.entries.iter().filter(|entry| !told(entry)).count() > 1
            && let Some(oldest) = self.entries.iter().position(|entry| !told(entry))
        {
            self.entries.remove(oldest);
        }
    }

    pub(super) fn into_entries(self) -> Vec<(Seq, Vec<Effect>)> {
        self.entries.into()
    }
}

impl super::Conference {
    /// Whether the device at a seat is to be given what it missed: it has been a member, and stays one.
    pub fn is_returning(&self, seat: SeatId) -> bool {
        let facts = self.group.facts.as_ref();
        self.roster.at(seat).is_some_and(|(who, _)| {
            facts.is_some_and(|it| it.members.contains(who) && !it.pending.contains(who))
        })
    }
}

/// Only messages are said again: what should be is restated as a whole, and no dialog has survived.
fn repeatable(effect: &Effect) -> bool {
    matches!(effect, Effect::Tell(..) | Effect::Announce(_))
}

fn is_commit(effect: &Effect) -> bool {
    matches!(effect, Effect::Announce(Announced::Commit(_)))
}

fn octets(effects: &[Effect]) -> usize {
    let octets = |effect: &Effect| match effect {
        Effect::Announce(Announced::Commit(commit)) => commit.len(),
        _ => 0,
    };
    effects.iter().map(octets).sum()
}
