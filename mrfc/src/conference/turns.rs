//! Whose turn it is to change the group. Each member in turn, so that nobody works for all others: whoever made a change
//! longest ago. If that one is silent, whoever made the last one: it is there, and joiners do not wait for everybody who
//! sleeps. Whoever was silent comes last until it says something.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::group::Distrusted;
use super::nouns::{At, Participant};

/// How long nothing is expected of somebody who was waited for in vain. Nobody has to wait for them meanwhile.
const DOZE: Duration = Duration::from_secs(60);

/// Who has had their turn, and who has let it pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Turns {
    /// Asked in vain since the last change of the group, each with its place in the order of asking.
    tried: BTreeMap<Participant, u64>,
    asks: u64,
    /// The last change that each member has made, by its place among all of them.
    made: BTreeMap<Participant, u64>,
    changes: u64,
    /// Who made the last one.
    last: Option<Participant>,
    /// Who was waited for in vain, and until when nothing is expected of them.
    silent: BTreeMap<Participant, At>,
}

impl Turns {
    /// A device is gone. What it has done counts when it comes back.
    pub(super) fn forget(&mut self, who: &Participant) {
        self.tried.remove(who);
        self.silent.remove(who);
        if self.last.as_ref() == Some(who) {
            self.last = None;
        }
    }

    /// Everybody may be asked again.
    pub(super) fn restart(&mut self) {
        self.tried.clear();
    }

    /// This one has changed the group, which has these members now.
    pub(super) fn made(&mut self, by: &Participant, members: &BTreeSet<Participant>) {
        self.changes += 1;
        self.made.insert(by.clone(), self.changes);
        self.made.retain(|who, _| members.contains(who));
        self.silent.retain(|who, _| who != by && members.contains(who));
        self.last = Some(by.clone());
        self.tried.clear();
    }

    /// This one was asked in vain.
    pub(super) fn passed(&mut self, whom: Participant, now: At) {
        self.note_silent(whom.clone(), now);
        self.asks += 1;
        self.tried.insert(whom, self.asks);
    }

    /// Nothing is expected of this one for a while.
    pub(super) fn note_silent(&mut self, who: Participant, now: At) {
        self.silent.insert(who, now.after(DOZE));
    }

    /// This one has said something.
    pub(super) fn awake(&mut self, who: &Participant) {
        self.silent.remove(who);
    }

    /// Whether nothing is expected of this one now.
    pub(super) fn is_dozing(&self, who: &Participant, now: At) -> bool {
        self.silent.get(who).is_some_and(|until| now < *until)
    }

    /// How many were asked in vain since the last change.
    pub(super) fn tried(&self) -> usize {
        self.tried.len()
    }

    /// Whether this one was.
    pub(super) fn has_tried(&self, who: &Participant) -> bool {
        self.tried.contains_key(who)
    }

    /// Who is asked to begin a group: in the order they are given in, each once and then again.
    pub(super) fn founder<'a>(&self, online: &[&'a Participant]) -> Option<&'a Participant> {
        let untried = online.iter().find(|who| !self.has_tried(who)).copied();
        untried.or_else(|| self.longest_ago(online))
    }

    /// Who is asked next, of those not asked yet.
    pub(super) fn next<'a>(
        &self,
        online: &[&'a Participant],
        distrusted: &Distrusted,
    ) -> Option<&'a Participant> {
        let untried = || online.iter().copied().filter(|who| !self.has_tried(who));
        let is_last = |who: &&Participant| self.last.as_ref() == Some(*who);
        let answers = untried().find(is_last).filter(|_| !self.tried.is_empty());
        let turn =
            |who: &&Participant| (distrusted.get(*who), self.silent.get(*who), self.made.get(*who));
        answers.or_else(|| untried().min_by_key(turn))
    }

    /// Whoever was silent may be back: all are asked in turn, and none for ever.
    pub(super) fn longest_ago<'a>(&self, online: &[&'a Participant]) -> Option<&'a Participant> {
        online.iter().min_by_key(|who| self.tried.get(**who)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u8) -> Participant {
        Participant {
            aor: format!("sip:p{number}@example.net").parse().unwrap(),
            device: format!("urn:uuid:00000000-0000-4000-8000-{number:012}").parse().unwrap(),
        }
    }

    fn members() -> Vec<Participant> {
        (0..4).map(member).collect()
    }

    fn next(turns: &Turns, members: &[Participant]) -> Participant {
        let online: Vec<&Participant> = members.iter().collect();
        turns.next(&online, &Distrusted::new()).unwrap().clone()
    }

    #[test]
    fn everybody_has_a_turn_before_anybody_has_a_second() {
        let (members, mut turns) = (members(), Turns::default());
        let all: BTreeSet<Participant> = members.iter().cloned().collect();

        let mut asked = Vec::new();
        for _change in 0..8 {
            let whom = next(&turns, &members);
            turns.made(&whom, &all);
            asked.push(whom);
        }

        assert_eq!(asked[..4], members[..]);
        assert_eq!(asked[4..], members[..]);
    }

    #[test]
    fn when_one_is_silent_the_last_who_answered_is_asked_and_the_silent_one_comes_last() {
        let (members, mut turns) = (members(), Turns::default());
        let all: BTreeSet<Participant> = members.iter().cloned().collect();
        turns.made(&members[0], &all);

        assert_eq!(next(&turns, &members), members[1]);
        turns.passed(members[1].clone(), At::default());
        assert_eq!(next(&turns, &members), members[0]);
        turns.made(&members[0], &all);

        for expected in [2, 3, 0, 2] {
            let whom = next(&turns, &members);
            assert_eq!(whom, members[expected]);
            turns.made(&whom, &all);
        }
        turns.awake(&members[1]);
        assert_eq!(next(&turns, &members), members[1]);
    }

    #[test]
    fn who_is_not_relied_on_is_asked_when_nobody_else_is_left() {
        let (members, mut turns) = (members(), Turns::default());
        let online: Vec<&Participant> = members.iter().collect();
        let distrusted = [(members[0].clone(), 2), (members[1].clone(), 1)].into();

        for expected in [2, 3, 1, 0] {
            let whom = turns.next(&online, &distrusted).unwrap();
            assert_eq!(*whom, members[expected]);
            turns.passed(whom.clone(), At::default());
        }
        assert_eq!(turns.next(&online, &distrusted), None);
        assert_eq!(turns.longest_ago(&online), Some(&members[2]));
    }
}
