//! The first half of the path: what a command leads to. Nothing changes here.
use std::time::SystemTime;

use bytes::Bytes;
use ids::{Aor, Era, SeatId, Term};
use mls::key_packages::CheckedKeyPackage;
use mls::ledger::{CheckedCommit, CheckedRemoval, Ledger, Policy, Verdict, Whom};
use mls::wire::{Bundle, Kind};

use super::event::{Departed, Event, Task, What};
use super::life::Standing;
use super::nickname::Nickname;
use super::nouns::{At, Blob, Came, Level, Participant, Shown, Why};
use super::{About, Command, Conference, Due, Joining, Refusal, Work, policy};

/// An event that may be kept and followed. Only [`Conference::decide`] makes one.
#[derive(Debug)]
pub struct Decision {
    event: Event,
    change: Change,
}

/// What the event does to the ledger.
#[derive(Debug)]
pub(super) enum Change {
    None,
    Begin(Box<CheckedCommit>),
    Advance(Box<CheckedCommit>),
    Remove(Box<CheckedRemoval>),
}

/// Terms and eras that are left out when a backup came back: more than any conference goes through in its life.
pub(super) const RESTORED_JUMP: u32 = 1 << 16;

impl Decision {
    /// What will have happened.
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// The group as it will be, if this changes it: kept beside the event.
    pub fn group(&self) -> Option<Bytes> {
        match &self.change {
            Change::None => None,
            Change::Begin(checked) | Change::Advance(checked) => Some(checked.snapshot()),
            Change::Remove(checked) => Some(checked.snapshot()),
        }
    }

    pub(super) fn into_parts(self) -> (Event, Change) {
        (self.event, self.change)
    }
}

pub(super) type Decided = Result<(What, Change), Refusal>;

impl Conference {
    /// Says what a command leads to at this time, and changes nothing.
    ///
    /// # Errors
    /// Why it is turned down.
    pub fn decide(&self, now: SystemTime, command: &Command) -> Result<Decision, Refusal> {
        let (what, change) = match (command, &self.about) {
            (Command::Create { .. }, Some(_)) => return Err(Refusal::Exists),
            (Command::Create { creator, level, relay, standing }, None) => {
                let (creator, relay, term) = (creator.clone(), relay.clone(), self.term.next());
                let Standing { moderators, subject } = standing.clone().unwrap_or_default();
                let (level, standing) = (*level, standing.is_some());
                let era = self.group.era.max(Era::at(now));
                let what = What::Created {
                    creator,
                    level,
                    relay,
                    term,
                    standing,
                    moderators,
                    subject,
                    era,
                };
                (what, Change::None)
            }
            (_, None) => return Err(Refusal::NoSuchConference),
            (command, Some(about)) => self.decide_open(about, now, command)?,
        };
        Ok(Decision { event: Event { at: now.into(), what }, change })
    }

    fn decide_open(&self, about: &About, now: SystemTime, command: &Command) -> Decided {
        let what = match command {
            Command::Create { .. } => return Err(Refusal::Exists),
            Command::Join(joining) => self.join(joining)?,
            Command::Answered { seat, peer_path, end } => {
                self.known(*seat)?;
                let (peer_path, end) = (peer_path.clone(), Some(end.clone()));
                What::Answered { seat: *seat, peer_path, end }
            }
            Command::Rename { seat, nickname } => self.rename(*seat, nickname, now.into())?,
            Command::Alerting(seat) => self.alerting(*seat)?,
            Command::Bound(seat) => self.connected(*seat)?,
            Command::Gone { seat, why } => {
                self.known(*seat)?;
                What::Unseated { seat: *seat, why: *why }
            }
            Command::Leave(seat) => {
                let who = self.roster.was_at(*seat).ok_or(Refusal::NoSeat)?;
                return self.depart(Departed::Device(who.clone()), Why::Left);
            }
            Command::Invite { by, who } => {
                policy::may_invite(&self.roster, self.roster.seen_as(by))?;
                What::Invited { by: by.clone(), who: who.clone() }
            }
            Command::Call(who) => What::Invited { by: about.creator.clone(), who: who.clone() },
            Command::Kick { by, who } => return self.kick(about, by, who),
            Command::Unreached(who) => self.unreached(who)?,
            Command::Rule { by, ruling } => return self.settle(about, by.as_ref(), ruling),
            Command::Expel(who) => return self.expel(who),
            Command::Revoke(who) | Command::Unmask(who) if !self.has(who) => {
                return Err(Refusal::NotOnRoster(who.aor.clone()));
            }
            Command::Revoke(who) => {
                return self.depart(Departed::Device(who.clone()), Why::Revoked);
            }
            Command::Unmask(who) => {
                return self.depart(Departed::Device(who.clone()), Why::Away);
            }
            Command::Delete { by } => {
                policy::may_invite(&self.roster, self.roster.seen_as(by))?;
                self.over()
            }
            Command::Close => self.over(),
            Command::Bundle { seat, bundle } => return self.bundle(about, now, *seat, bundle),
            Command::Report { seat, report } => self.report(now.into(), *seat, report)?,
            Command::Overtaken { place } => self.overtaken(*place)?,
            Command::Claimed(packages) => self.claimed(now, packages)?,
            Command::Failed { whom, spoiled } => {
                if self.awaited() != Some(whom) {
                    return Err(Refusal::NothingNew);
                }
                What::GaveUp { spoiled: spoiled.clone() }
            }
            Command::Wake { .. } if about.relay.is_some() => return Err(Refusal::NothingNew),
            Command::Move { relay } if about.relay.as_ref().is_none_or(|known| known == relay) => {
                return Err(Refusal::NothingNew);
            }
            Command::Wake { relay } | Command::Move { relay } => {
                What::Moved { relay: relay.clone(), term: self.term.next() }
            }
            Command::Reappoint => match &about.relay {
                Some(relay) => What::Moved { relay: relay.clone(), term: self.term.next() },
                None => return Err(Refusal::NothingNew),
            },
            Command::Adopt => What::Adopted,
            Command::Restored => self.begun_anew(),
            Command::Tick => return self.tick(now),
        };
        Ok((what, Change::None))
    }

    /// Its counters jump over whatever was given out after the backup.
    const fn begun_anew(&self) -> What {
        let term = Term(self.term.0.saturating_add(RESTORED_JUMP));
        What::Restored { term, era: Era(self.group.era.0.saturating_add(RESTORED_JUMP)) }
    }

    const fn over(&self) -> What {
        What::Ended { term: self.term, era: self.group.era }
    }

    fn known(&self, seat: SeatId) -> Result<(), Refusal> {
        self.roster.at(seat).map(|_| ()).ok_or(Refusal::NoSeat)
    }

    fn connected(&self, seat: SeatId) -> Result<What, Refusal> {
        let (_, place) = self.roster.at(seat).ok_or(Refusal::NoSeat)?;
        if place.bound { Err(Refusal::NothingNew) } else { Ok(What::Bound { seat }) }
    }

    fn alerting(&self, seat: SeatId) -> Result<What, Refusal> {
        let (_, place) = self.roster.at(seat).ok_or(Refusal::NoSeat)?;
        if place.alerting || place.came != Came::DialedOut || place.peer_path.is_some() {
            return Err(Refusal::NothingNew);
        }
        Ok(What::Alerting { seat })
    }

    fn unreached(&self, who: &Aor) -> Result<What, Refusal> {
        let comes = self.roster.devices_of(who).next().is_some();
        if comes || !self.roster.is_invited(who) {
            return Err(Refusal::NothingNew);
        }
        Ok(What::Unreached { who: who.clone() })
    }

    fn join(&self, joining: &Joining) -> Result<What, Refusal> {
        if self.is_resting() {
            return Err(Refusal::NoRelay);
        }
        let max = self.terms.bounds.participants_max;
        policy::may_join(&self.roster, &self.rules, &joining.who, max)?;
        self.may_hide(&joining.who, joining.shown)?;
        // Without a device to be seen in its place it would be seen itself.
        if self.hides(joining) && joining.mask.is_none() {
            return Err(Refusal::NotAnonymous);
        }
        let mask = self.mask(joining);
        Ok(What::Joined {
            behind: mask.as_ref().map(|_| joining.who.clone()),
            mask: joining.mask.clone().filter(|_| mask.is_none() && joining.shown == Shown::Hidden),
            who: mask.unwrap_or_else(|| joining.who.clone()),
            seat: joining.seat,
            identities: joining.identities.clone(),
            peer_path: joining.peer_path.clone(),
            end: joining.end.clone(),
            came: joining.came,
            shown: joining.shown,
        })
    }

    /// RFC 7701, 7.1: 403, 424, 425 or 200, in this order. An empty one removes what there is (7.3).
    fn rename(&self, seat: SeatId, wish: &str, now: At) -> Result<What, Refusal> {
        let (who, _) = self.roster.at(seat).ok_or(Refusal::NoSeat)?;
        let policy = &self.terms.nicknames;
        if !policy.allowed || !self.rules.nicknames {
            return Err(Refusal::NoNicknames);
        }
        let wish = if wish.is_empty() { None } else { Some(Nickname::parse(wish)?) };
        if let Some(wish) = &wish {
            self.nicknames.may_take(&who.aor, wish, policy, now)?;
            // RFC 7701, 7.1: what others here are known by is reserved for them. Of who hides it would tell the name.
            let others = self.roster.people().filter(|aor| **aor != who.aor);
            let mut names = others.filter(|aor| self.roster.hidden(aor).is_none()).map(Aor::user);
            if names.any(|name| wish.is_same(name)) {
                return Err(Refusal::NicknameTaken);
            }
        }
        if self.nicknames.of(seat) == wish.as_ref() {
            return Err(Refusal::NothingNew);
        }
        let nickname = wish.map(|wish| wish.to_string());
        Ok(What::Renamed { seat, nickname })
    }

    /// Someone goes for good: the focus proposes to remove every leaf of theirs.
    pub(super) fn depart(&self, who: Departed, why: Why) -> Decided {
        let named = |member: &Participant| match &who {
            Departed::Device(device) => member == device,
            Departed::Person(aor) => member.aor == *aor,
        };
        let facts = self.group.facts.as_ref();
        let has_leaf = facts.is_some_and(|facts| facts.members.iter().any(named));
        let checked = match (&self.group.ledger, &who) {
            (Some(ledger), Departed::Device(device)) if has_leaf => {
                Some(ledger.check_removal(Whom::Device(&device.name()))?)
            }
            (Some(ledger), Departed::Person(aor)) if has_leaf => {
                Some(ledger.check_removal(Whom::Person(aor))?)
            }
            _ => None,
        };
        let (pending, change) = match checked {
            Some(checked) => {
                let pending = checked.devices().map(Participant::from).collect();
                (pending, Change::Remove(Box::new(checked)))
            }
            None => {
                let pending = facts.map(|facts| facts.pending.iter().cloned().collect());
                (pending.unwrap_or_default(), Change::None)
            }
        };
        Ok((What::Departed { who, why, pending }, change))
    }

    /// The check of a commit happens here; the ledger's answer goes along with the event.
    fn bundle(&self, about: &About, now: SystemTime, seat: SeatId, octets: &Bytes) -> Decided {
        let (by, _) = self.roster.at(seat).ok_or(Refusal::NoSeat)?;
        if about.level == Level::Open {
            return Err(Refusal::NoGroup);
        }
        let bundle = Bundle::from_bytes(octets).map_err(mls::ledger::Refusal::from)?;
        let name = by.name();
        let on_roster = |who: &Aor| self.roster.has(who);
        let policy = Policy { by: &name, on_roster: &on_roster, now };
        let (checked, begins) = match &self.group.ledger {
            None => {
                let (era, terms) = (self.group.era.next(), &*self.terms);
                let checked =
                    Ledger::create(&terms.id, era, &bundle, &terms.focus, &terms.roots, &policy)?;
                (Box::new(checked), true)
            }
            Some(ledger) => match ledger.check(&bundle, &policy)? {
                Verdict::New(checked) => (checked, false),
                Verdict::Repeat { epoch } => {
                    return Err(Refusal::Repeated { era: ledger.era(), epoch });
                }
            },
        };
        if bundle.kind == Kind::Commit
            && self.group.distrusted.contains_key(by)
            && self.awaited() != Some(by)
        {
            return Err(Refusal::Distrusted);
        }
        if bundle.kind == Kind::External {
            self.entries.may(by, now.into(), self.terms.bounds.entries_per_day_max)?;
        }
        let accepted = checked.accepted();
        let removed: Vec<Participant> = accepted.removed.iter().map(Participant::from).collect();
        let what = What::Advanced {
            by: by.clone(),
            bundle: Blob(octets.clone()),
            era: accepted.era,
            epoch: accepted.epoch,
            added: accepted.added.iter().map(Participant::from).collect(),
            pending: self.left_over(&removed, accepted.proposals.is_empty()),
            trial: self.trial_until(now.into(), by, &bundle, &removed),
            removed,
        };
        Ok((what, if begins { Change::Begin(checked) } else { Change::Advance(checked) }))
    }

    /// RFC 9420, 12.4.3.2: an external commit cannot cover the focus's Removes, so they are issued again.
    fn left_over(&self, removed: &[Participant], covered: bool) -> Vec<Participant> {
        let Some(facts) = self.group.facts.as_ref().filter(|_| !covered) else {
            return Vec::new();
        };
        facts.pending.iter().filter(|who| !removed.contains(*who)).cloned().collect()
    }

    /// A KeyPackage that is no good is as good as none.
    fn claimed(
        &self,
        now: SystemTime,
        packages: &[(Participant, Option<Bytes>)],
    ) -> Result<What, Refusal> {
        if !self.committing.awaits_directory() {
            return Err(Refusal::NothingNew);
        }
        let check = |(who, package): &(Participant, Option<Bytes>)| {
            let good = package.as_ref().filter(|package| {
                CheckedKeyPackage::check(package, &who.name(), &self.terms.roots, now).is_ok()
            });
            (who.clone(), good.cloned().map(Blob))
        };
        Ok(What::Claimed { packages: packages.iter().map(check).collect() })
    }

    fn tick(&self, now: SystemTime) -> Decided {
        let patience = &self.terms.bounds.patience;
        let now = At::from(now);
        let what = match self.work() {
            Some((due, work)) if due <= now => match work {
                Due::End => self.over(),
                Due::Rest => What::Rested,
                Due::Inherit(creator) => What::Inherited { creator },
                Due::Expired(who) => return self.depart(Departed::Device(who), Why::Expired),
                Due::Outcast(who) => return self.depart(Departed::Device(who), Why::Unusable),
                Due::Trial => self.verdict()?,
                Due::Doubt => self.settled()?,
                Due::Committing(Work::GiveUp) => What::GaveUp { spoiled: None },
                Due::Committing(Work::Gather(of)) => {
                    What::Gathered { of, until: now.after(patience.claim) }
                }
                Due::Committing(Work::Ask(whom, task)) => {
                    let wait = match task {
                        Task::Commit { .. } => patience.commit,
                        Task::Create | Task::Enter => patience.enter,
                    };
                    let until = now.after(wait * self.committing.slack());
                    What::Asked { whom, task, until }
                }
            },
            _ => return Err(Refusal::NotYet),
        };
        Ok((what, Change::None))
    }
}
