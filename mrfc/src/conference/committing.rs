//! Who is asked to change the group, and when: joiners are gathered, the member whose turn it is ([`super::turns`]) is
//! asked to add them all, another when that one stays silent, and a joiner enters by itself when nobody can add it.
//!
//! One thing is asked for at a time. This value holds what is going on; [`Committing::work`] says what is due next,
//! and the conference turns that into an event.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::Task;
use super::group::Distrusted;
use super::nouns::{At, Blob, Participant};
use super::turns::Turns;

/// How long is waited, and for how many.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Joiners are gathered this long before somebody is asked to add them. 100 ms: nobody notices, and a crowd
    /// that comes together costs one commit.
    pub gather: Duration,
    /// The same for each who came last time, but no longer than this. 1 s: where many come, what counts is how many
    /// commits everybody has to follow.
    pub gather_busy: Duration,
    /// Joiners added by one commit. 128: some 40 KiB without the certificates, and far below a second for its maker.
    pub gather_max: usize,
    /// A member asked for a commit has this long. 2 s: far above its CPU time and a mobile round trip.
    pub commit: Duration,
    /// A device asked to create the group or to enter has this long: it fetches the group first. 5 s.
    pub enter: Duration,
    /// The directory has this long. 2 s: it is our own.
    pub claim: Duration,
    /// Members asked in vain before a joiner is told to enter by itself. 3.
    pub committers_max: usize,
    /// Members other than the author have this long to vouch for a new epoch. 2 s: as for a commit.
    pub witness: Duration,
    /// Members asked to vouch for a new epoch. 3: one may be asleep, another on a slow link.
    pub witnesses: usize,
    /// Times a joiner is told to enter before it is left alone. 5.
    pub entries_max: u8,
}

/// Silences in a row before the waits grow.
const SILENT_MAX: u32 = 8;
/// Times a member that cannot follow is told to enter anew.
const ASTRAY_ENTRIES_MAX: u8 = 2;
/// The waits grow up to this power of two: 2 s become 8.5 minutes.
const SLACK_SHIFT_MAX: u32 = 8;

impl Default for Patience {
    fn default() -> Self {
        Self {
            gather: Duration::from_millis(100),
            gather_busy: Duration::from_secs(1),
            gather_max: 128,
            commit: Duration::from_secs(2),
            enter: Duration::from_secs(5),
            claim: Duration::from_secs(2),
            committers_max: 3,
            witness: Duration::from_secs(2),
            witnesses: 3,
            entries_max: 5,
        }
    }
}

/// Why a device is none of those that share the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// It has connected and has no leaf.
    Here,
    /// It is away and has no leaf: it was in the group that was given up.
    Away,
    /// It has a leaf and cannot use it.
    Astray,
}

/// A device that is no member yet, or none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Joiner {
    since: At,
    stands: Outside,
    package: Package,
    entries: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Package {
    Unasked,
    Ready(Blob),
    /// The directory has none that is any good.
    None,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Waiting {
    Directory,
    Device { whom: Participant, task: Task },
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Stop waiting.
    GiveUp,
    /// Ask the directory.
    Gather(Vec<Participant>),
    /// Ask a device.
    Ask(Participant, Task),
}

/// What the conference knows and this value does not.
pub(super) struct View<'a> {
    /// Bound devices, in the order they are asked in.
    pub(super) bound: Vec<&'a Participant>,
    /// The group, if there is one.
    pub(super) group: Option<Leaves<'a>>,
    /// Devices that made changes nobody could follow, and how many.
    pub(super) distrusted: &'a Distrusted,
}

/// Who has a leaf in the group.
#[derive(Clone, Copy)]
pub(super) struct Leaves<'a> {
    /// All of them.
    pub(super) members: &'a BTreeSet<Participant>,
    /// Those with a pending Remove.
    pub(super) pending: &'a BTreeSet<Participant>,
    /// Those who cannot follow the others.
    pub(super) astray: &'a BTreeSet<Participant>,
}

/// The state of adding and removing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Committing {
    joiners: BTreeMap<Participant, Joiner>,
    waiting: Option<(At, Waiting)>,
    pub(super) turns: Turns,
    /// How often in a row nothing came.
    silent: u32,
    /// When joiners were gathered last, and how many.
    gathered: Option<(At, u32)>,
}

impl Committing {
    /// These devices are no members; whoever else was a joiner is none any more.
    pub(super) fn joiners_are(&mut self, outside: Vec<(Participant, Outside)>, now: At) {
        let mut former = std::mem::take(&mut self.joiners);
        for (who, stands) in outside {
            let joiner = former.remove(&who);
            let package = match stands {
                // It has a leaf: nobody can add it.
                Outside::Astray => Package::None,
                Outside::Here | Outside::Away => Package::Unasked,
            };
            let fresh = || Joiner { since: now, stands, package, entries: 0 };
            let known = joiner
                .filter(|joiner| (joiner.stands == Outside::Astray) == (stands == Outside::Astray));
            let joiner = known.map_or_else(fresh, |joiner| Joiner { stands, ..joiner });
            self.joiners.insert(who, joiner);
        }
    }

    /// A device is gone: nothing is expected of it.
    pub(super) fn forget(&mut self, who: &Participant) {
        self.joiners.remove(who);
        self.turns.forget(who);
        if self.awaited() == Some(who) {
            self.waiting = None;
        }
    }

    /// Who must leave has changed: what was asked for is not enough any more.
    pub(super) fn restart(&mut self) {
        self.waiting = None;
        self.turns.restart();
        self.silent = 0;
    }

    /// A device has connected. Where nobody has answered for a while, it may be the one that does.
    pub(super) fn somebody_came(&mut self) {
        if self.silent > SILENT_MAX {
            self.waiting = None;
        }
        self.silent = 0;
    }

    /// How many times longer than usual an answer is waited for: where nobody has answered many times, asking
    /// every two seconds for ever would only fill the journal.
    pub(super) fn slack(&self) -> u32 {
        1 << self.silent.saturating_sub(SILENT_MAX).min(SLACK_SHIFT_MAX)
    }

    /// The group has changed, and has these members now.
    pub(super) fn advanced(&mut self, by: &Participant, members: &BTreeSet<Participant>) {
        self.restart();
        self.turns.made(by, members);
    }

    pub(super) fn gathering(&mut self, now: At, of: usize, until: At) {
        self.gathered = Some((now, u32::try_from(of).unwrap_or(u32::MAX)));
        self.waiting = Some((until, Waiting::Directory));
    }

    pub(super) fn claimed(&mut self, packages: &[(Participant, Option<Blob>)]) {
        for (who, package) in packages {
            if let Some(joiner) = self.joiners.get_mut(who) {
                joiner.package = package.clone().map_or(Package::None, Package::Ready);
            }
        }
        if matches!(self.waiting, Some((_, Waiting::Directory))) {
            self.waiting = None;
        }
    }

    pub(super) fn asked(&mut self, whom: &Participant, task: &Task, until: At) {
        if *task == Task::Enter
            && let Some(joiner) = self.joiners.get_mut(whom)
        {
            joiner.entries = joiner.entries.saturating_add(1);
        }
        let waiting = Waiting::Device { whom: whom.clone(), task: task.clone() };
        self.waiting = Some((until, waiting));
    }

    pub(super) fn gave_up(&mut self, now: At, spoiled: Option<&Participant>) {
        if let Some(joiner) = spoiled.and_then(|who| self.joiners.get_mut(who)) {
            joiner.package = Package::None;
        }
        self.silent = self.silent.saturating_add(1);
        if let Some((_, Waiting::Device { whom, task })) = self.waiting.take()
            && task != Task::Enter
            && spoiled.is_none()
        {
            self.turns.passed(whom, now);
        }
    }

    /// Who is waited for.
    pub(super) fn awaited(&self) -> Option<&Participant> {
        match &self.waiting {
            Some((_, Waiting::Device { whom, .. })) => Some(whom),
            _ => None,
        }
    }

    /// Whether the directory is waited for.
    pub(super) fn awaits_directory(&self) -> bool {
        matches!(self.waiting, Some((_, Waiting::Directory)))
    }

    /// The KeyPackage at hand for a joiner.
    pub(super) fn package(&self, who: &Participant) -> Option<&Blob> {
        match &self.joiners.get(who)?.package {
            Package::Ready(package) => Some(package),
            _ => None,
        }
    }

    /// What is due next, and from when on.
    pub(super) fn work(&self, view: &View<'_>, patience: &Patience) -> Option<(At, Work)> {
        if let Some((until, _)) = &self.waiting {
            return Some((*until, Work::GiveUp));
        }
        let Some(group) = view.group else {
            let whom = self.turns.founder(&view.bound)?;
            return Some((At::default(), Work::Ask(whom.clone(), Task::Create)));
        };
        let pending = group.pending;
        let able = |who: &&Participant| {
            group.members.contains(*who) && !pending.contains(*who) && !group.astray.contains(*who)
        };
        let online: Vec<&Participant> = view.bound.iter().copied().filter(able).collect();
        let add = self.ready(pending, patience.gather_max);
        let exhausted = self.turns.tried() >= patience.committers_max;
        let commit = |whom: &Participant, add| {
            Some((At::default(), Work::Ask(whom.clone(), Task::Commit { add })))
        };
        if !pending.is_empty() || (!add.is_empty() && !exhausted) {
            if let Some(whom) = self.turns.next(&online, view.distrusted) {
                return commit(whom, add);
            }
            // None of the members has done it. Whoever enters can.
            if !pending.is_empty() {
                let again = || commit(self.turns.longest_ago(&online)?, add);
                return self.entrant(view, patience, |_| true).or_else(again);
            }
        }
        let alone = online.iter().all(|who| self.turns.has_tried(who));
        if alone || exhausted {
            return self.entrant(view, patience, |_| true);
        }
        self.gather(pending, patience)
            .or_else(|| self.entrant(view, patience, |joiner| joiner.package == Package::None))
    }

    /// Joiners that can be added now. One whose old leaf has to go first waits for the next commit.
    fn ready(&self, pending: &BTreeSet<Participant>, max: usize) -> Vec<Participant> {
        let ready = self.joiners.iter().filter(|(who, joiner)| {
            matches!(joiner.package, Package::Ready(_)) && !pending.contains(*who)
        });
        ready.map(|(who, _)| who.clone()).take(max).collect()
    }

    fn gather(&self, pending: &BTreeSet<Participant>, patience: &Patience) -> Option<(At, Work)> {
        let fresh = || {
            self.joiners.iter().filter(|(who, joiner)| {
                joiner.package == Package::Unasked && !pending.contains(*who)
            })
        };
        let first = fresh().map(|(_, joiner)| joiner.since).min()?;
        let of: Vec<Participant> =
            fresh().map(|(who, _)| who.clone()).take(patience.gather_max).collect();
        let full = of.len() >= patience.gather_max;
        let pause = |(at, came): (At, u32)| {
            at.after(patience.gather.saturating_mul(came).min(patience.gather_busy))
        };
        let busy = self.gathered.map(pause).unwrap_or_default();
        let from = if full { At::default() } else { busy.max(first.after(patience.gather)) };
        Some((from, Work::Gather(of)))
    }

    /// The next joiner to enter by itself: one at a time, or they would only race each other. Who is not relied on has to
    /// be added by somebody.
    fn entrant(
        &self,
        view: &View<'_>,
        patience: &Patience,
        may: impl Fn(&Joiner) -> bool,
    ) -> Option<(At, Work)> {
        let faults = |who: &Participant| view.distrusted.get(who).copied();
        let fewest = view.bound.iter().map(|who| faults(who)).min().flatten();
        let relied_on = |who: &Participant| faults(who) <= fewest;
        let entries_max = |joiner: &Joiner| match joiner.stands {
            Outside::Here => patience.entries_max,
            // Saying so is free, and while it is waited for nobody else comes in.
            Outside::Astray => ASTRAY_ENTRIES_MAX,
            Outside::Away => 0,
        };
        let willing = self.joiners.iter().filter(|(who, joiner)| {
            joiner.entries < entries_max(joiner) && may(joiner) && relied_on(who)
        });
        let (whom, _) = willing.min_by_key(|(_, joiner)| (joiner.entries, joiner.since))?;
        Some((At::default(), Work::Ask(whom.clone(), Task::Enter)))
    }
}
