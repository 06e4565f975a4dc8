//! What is known of a run and what must hold in it. Each check is named after its invariant; the first that fails ends
//! the run. It looks at what the product did, never at how.
//!
//! | invariant | in words |
//! |---|---|
//! | i1 | whoever was removed opens nothing of a later epoch |
//! | i3 | of concurrent commits one wins, everywhere the same |
//! | i4 | all members of an epoch have the same authenticator, and none is told of another who had not |
//! | i7 | an accepted message reaches each member of its epoch once, or its sender is told |
//! | i8 | nothing goes to or comes from a person once the kick is acknowledged |
//! | i9 | nothing of an epoch passes once a Remove is pending there, and that is acknowledged |
//! | i10 | a commit covers the pending Removes, unless it is an entry |
//! | i11 | the members are those on the roster |
//! | i12 | a device has one leaf |
//! | i13 | an entry removes nobody but the device that enters |
//! | i15 | a message that comes again is not shown again |
//! | i16 | a message that was refused for its epoch and sealed again is shown once |
//! | i17 | a KeyPackage is used once, but for the last resort |
//! | i18 | a Welcome goes out if and only if its commit won |
//! | i19 | a device that dies about a write uses no generation of its keys again, and what it kept is whole |
//! | i22 | the conference is never stuck |
//! | i25 | nothing that is said goes over a wire in the clear, whatever goes wrong |
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use ids::{Aor, Epoch, Era, SeatId};
use mls::wire::{Bundle, Kind};
use mrfc::conference::{Announced, Conference, Effect, Event, Participant, Told, What};
use sha2::{Digest as _, Sha256};

use super::disk::Claim;
use super::faults::Fault;
use super::letters::Letters;
pub(crate) use super::letters::Passed;
use super::trace::Trace;

/// How the name of the device ends that spoils its commits where that is the fault.
const INSIDER: &str = "5";

pub(crate) type Generation = (Era, Epoch);
type Hash = [u8; 32];

/// How often something happened that a run should see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) commits: usize,
    pub(crate) entries: usize,
    pub(crate) lost_races: usize,
    pub(crate) stale: usize,
    pub(crate) passed: usize,
    pub(crate) shown: usize,
    pub(crate) failed: usize,
    pub(crate) kicks: usize,
    pub(crate) last_resorts: usize,
    pub(crate) focus_deaths: usize,
    pub(crate) relay_deaths: usize,
    pub(crate) device_deaths: usize,
    pub(crate) excused: usize,
    pub(crate) owed: usize,
    pub(crate) held_up: usize,
    pub(crate) replayed: usize,
    pub(crate) handshakes: usize,
    pub(crate) refreshes: usize,
    pub(crate) outboxes_full: usize,
    pub(crate) given_up: usize,
    /// After everything else was well.
    pub(crate) given_up_healed: usize,
}

/// Something that holds once the relay has carried out what was ordered.
#[derive(Debug)]
struct Pending<T> {
    what: T,
    /// The order it takes; none while the link is down.
    number: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) fault: Fault,
    /// Who makes the conference when there is none.
    pub(crate) founder: Option<Aor>,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    /// Nothing breaks any more, but for whoever breaks it on purpose.
    pub(crate) healing: bool,
    /// That has lasted for a while.
    pub(crate) healed: bool,
    pub(crate) violation: Option<String>,
    pub(crate) letters: Letters,
    /// The members of each epoch, by the journal.
    members: BTreeMap<Generation, BTreeSet<Participant>>,
    pub(crate) newest: Generation,
    eras_since: Era,
    commits: BTreeMap<Generation, Hash>,
    /// What was announced, for who was removed and listens.
    pub(crate) announced: Vec<(Generation, Bytes)>,
    welcomes: BTreeSet<Hash>,
    authenticators: BTreeMap<Generation, Vec<u8>>,
    shutting: Vec<Pending<Generation>>,
    shut: BTreeSet<Generation>,
    kicking: Vec<Pending<Aor>>,
    kicked: BTreeSet<Aor>,
    /// The first epoch without a device that was in before.
    pub(crate) departed: BTreeMap<Participant, Generation>,
    seats: BTreeMap<SeatId, Participant>,
    packages: Packages,
}

#[derive(Debug, Default)]
struct Packages {
    last_resort: BTreeSet<Hash>,
    claimed: BTreeSet<Hash>,
    offered: BTreeMap<Participant, BTreeSet<Hash>>,
    used: BTreeSet<Hash>,
}

fn hash(octets: &[u8]) -> Hash {
    Sha256::digest(octets).into()
}

impl Watch {
    pub(crate) fn new(fault: Fault, founder: Aor) -> Self {
        Self { fault, founder: Some(founder), ..Self::default() }
    }

    /// Holds it, or the run is over.
    pub(crate) fn check(&mut self, invariant: &str, holds: bool, why: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(format!("{invariant}: {}", why()));
        }
    }

    pub(crate) fn who(&self, seat: SeatId) -> Option<&Participant> {
        self.seats.get(&seat)
    }

    pub(crate) fn members(&self, generation: Generation) -> Option<&BTreeSet<Participant>> {
        self.members.get(&generation)
    }

    /// An event is in the journal, and followed.
    pub(crate) fn kept(&mut self, event: &Event, conference: &Conference) {
        let members: Vec<Participant> =
            self.members.get(&self.newest).into_iter().flatten().cloned().collect();
        let event = self.fault.bend(event, &members);
        if let What::Created { era, .. } = &event.what {
            self.eras_since = *era;
        }
        self.trace.line(&word(&event.what, self.eras_since));
        match &event.what {
            What::Created { .. } => {
                self.kicked.clear();
                self.kicking.clear();
            }
            What::Unseated { seat, .. } if self.fault == Fault::AwayCountsAsGone => {
                if let Some(who) = self.seats.get(seat) {
                    self.departed.insert(who.clone(), self.newest);
                }
            }
            What::Joined { who, seat, .. } => drop(self.seats.insert(*seat, who.clone())),
            What::Invited { who, .. } => {
                self.kicked.remove(who);
                self.kicking.retain(|kick| kick.what != *who);
            }
            What::Advanced { .. } => self.advanced(&event.what, conference),
            What::GivenUp { author } => self.given_up(author),
            _ => {}
        }
    }

    /// Whether the handshake that is coming from this seat is to be spoilt, if it is a commit.
    pub(crate) fn spoils(&self, seat: SeatId) -> bool {
        let insider = self.who(seat).is_some_and(|who| who.device.as_str().ends_with(INSIDER));
        insider || (!self.healing && self.counts.handshakes.is_multiple_of(4))
    }

    /// Whether the focus leads the author of the commit that has come into a group of its own.
    pub(crate) fn leads_apart(&self) -> bool {
        let one = self.counts.handshakes.is_multiple_of(4);
        self.fault == Fault::LeadsApart && !self.healing && one
    }

    fn given_up(&mut self, author: &Participant) {
        self.counts.given_up += 1;
        if self.healed {
            self.counts.given_up_healed += 1;
            let insider = author.device.as_str().ends_with(INSIDER);
            self.check("i22", insider, || {
                format!("a group is given up for a good commit of {author}")
            });
        }
    }

    fn advanced(&mut self, what: &What, conference: &Conference) {
        let What::Advanced { by, bundle, era, epoch, added, removed, pending, .. } = what else {
            return;
        };
        let bundle = Bundle::from_bytes(&bundle.0).unwrap();
        let (generation, former) = ((*era, *epoch), self.newest);
        self.newest = generation;
        self.counts.commits += 1;
        self.i3_one_commit_wins(generation, &bundle);
        let mut members = self.members.get(&former).cloned().unwrap_or_default();
        if bundle.kind == Kind::Create {
            // A new era: whoever was in the former one has to come in anew.
            let former = std::mem::take(&mut members).into_iter();
            self.departed.extend(former.map(|gone| (gone, generation)));
        }
        let enters = bundle.kind == Kind::External;
        self.counts.entries += usize::from(enters);
        let changes_nobody = added.is_empty() && removed.is_empty();
        self.counts.refreshes += usize::from(bundle.kind == Kind::Commit && changes_nobody);
        let (by, before) = (by.clone(), members.clone());
        for gone in removed {
            members.remove(gone);
            self.departed.insert(gone.clone(), generation);
        }
        self.i12_one_leaf_each(added, &members);
        members.extend(added.iter().cloned());
        for who in added {
            self.departed.remove(who);
            let offered = self.packages.offered.remove(who).unwrap_or_default();
            self.packages.used.extend(offered);
        }
        if enters {
            self.i13_an_entry_removes_nobody_else(&by, removed);
        }
        let left = pending.iter().find(|left| !enters || !before.contains(*left));
        self.i10_pending_removes_are_covered(&by, left);
        self.welcomes.extend(bundle.welcomes.iter().map(|one| hash(&one.welcome)));
        self.i11_members_are_on_the_roster(&members, pending, conference);
        self.members.insert(generation, members);
    }

    fn i10_pending_removes_are_covered(&mut self, by: &Participant, left: Option<&Participant>) {
        self.check("i10", left.is_none(), || format!("{by} leaves {left:?} in"));
    }

    fn i11_members_are_on_the_roster(
        &mut self,
        members: &BTreeSet<Participant>,
        pending: &[Participant],
        conference: &Conference,
    ) {
        let strangers = |who: &&Participant| {
            !conference.is_member(who)
                || (!conference.roster().has(&who.aor) && !pending.contains(*who))
        };
        let stranger = members.iter().find(strangers);
        self.check("i11", stranger.is_none(), || format!("{stranger:?} is a member"));
        let fits = members.len() == conference.members();
        self.check("i11", fits, || format!("{} leaves", conference.members()));
    }

    fn i12_one_leaf_each(&mut self, added: &[Participant], members: &BTreeSet<Participant>) {
        let twice = added.iter().find(|who| members.contains(*who));
        self.check("i12", twice.is_none(), || format!("{twice:?} has two leaves"));
    }

    fn i13_an_entry_removes_nobody_else(&mut self, by: &Participant, removed: &[Participant]) {
        let alone = removed.iter().all(|gone| gone == by);
        self.check("i13", alone, || format!("{by} enters and removes another"));
    }

    fn i3_one_commit_wins(&mut self, generation: Generation, bundle: &Bundle) {
        let winner = hash(&bundle.commit);
        let known = *self.commits.entry(generation).or_insert(winner);
        let first = known == winner && !self.members.contains_key(&generation);
        self.check("i3", first, || format!("two commits made {generation:?}"));
    }

    /// The focus is about to tell devices something.
    pub(crate) fn told(&mut self, effect: &Effect) {
        match effect {
            Effect::Tell(_, Told::Welcome(welcome)) => {
                self.i18_a_welcome_follows_its_commit(welcome);
            }
            Effect::Tell(_, Told::Request(request)) => {
                for claim in &request.add {
                    let (aor, device) = (claim.aor.clone(), claim.device.clone());
                    self.i17_used_once(Participant { aor, device }, &claim.key_package);
                }
            }
            Effect::Announce(Announced::Commit(commit)) => {
                // Its own gate may open later.
                let won = self.commits.iter().find(|(_, known)| **known == hash(commit));
                let made = won.map(|(made, _)| *made);
                self.announced.extend(made.map(|made| (made, commit.clone())));
                self.check("i3", made.is_some(), || {
                    "a commit that has not won is announced".into()
                });
            }
            _ => {}
        }
    }

    fn i18_a_welcome_follows_its_commit(&mut self, welcome: &[u8]) {
        let won = self.welcomes.contains(&hash(welcome));
        self.check("i18", won, || "a Welcome of a commit that did not win".into());
    }

    fn i17_used_once(&mut self, who: Participant, package: &[u8]) {
        let package = hash(package);
        let used = self.packages.used.contains(&package);
        let again = used && !self.packages.last_resort.contains(&package);
        self.check("i17", !again, || format!("a KeyPackage of {who} is used again"));
        self.packages.offered.entry(who).or_default().insert(package);
    }

    /// The directory has handed one out.
    pub(crate) fn claimed(&mut self, who: &Participant, claim: &Claim) {
        let package = hash(&claim.package);
        if claim.last_resort {
            self.counts.last_resorts += 1;
            self.packages.last_resort.insert(package);
        } else {
            let first = self.packages.claimed.insert(package);
            self.check("i17", first, || format!("a KeyPackage of {who} is handed out twice"));
        }
    }

    pub(crate) fn turned_down(&mut self, refusal: &mrfc::conference::Refusal) {
        use mls::ledger::Refusal as Group;
        use mrfc::conference::Refusal;
        let why = match refusal {
            Refusal::Group(Group::Lost { epoch, .. }) => format!("another commit won {epoch}"),
            Refusal::Group(Group::WrongEra { .. }) => "another era".to_owned(),
            other => other.to_string(),
        };
        self.trace.line(&format!("turned down: {why}"));
        if let Refusal::Group(Group::Lost { .. } | Group::Future { .. }) = refusal {
            self.counts.lost_races += 1;
        }
    }

    pub(crate) fn refused(&mut self, refusal: &mrfp::session::Refusal) {
        self.trace.line(&format!("refused: {}", refusal.label()));
        if let mrfp::session::Refusal::StaleEpoch(..) = refusal {
            self.counts.stale += 1;
        }
    }

    /// A Remove is pending in this epoch.
    pub(crate) fn shutting(&mut self, generation: Generation, number: Option<u64>) {
        let known = self.shutting.iter().any(|pending| pending.what == generation);
        if !known && !self.shut.contains(&generation) {
            self.shutting.push(Pending { what: generation, number });
        }
    }

    /// Somebody was kicked; the relay does not know it yet.
    pub(crate) fn kicking(&mut self, who: &Aor, number: Option<u64>) {
        self.counts.kicks += 1;
        self.kicking.push(Pending { what: who.clone(), number });
    }

    /// All that was ordered so far is on its way again, up to this order.
    pub(crate) fn resent(&mut self, last: u64) {
        self.shutting.iter_mut().for_each(|pending| pending.number = Some(last));
        self.kicking.iter_mut().for_each(|pending| pending.number = Some(last));
    }

    /// The link is gone, and with it what was on its way.
    pub(crate) fn broken(&mut self) {
        self.shutting.iter_mut().for_each(|pending| pending.number = None);
        self.kicking.iter_mut().for_each(|pending| pending.number = None);
    }

    /// The relay has carried out everything up to this order.
    pub(crate) fn acknowledged(&mut self, number: u64) {
        let shut = done(&mut self.shutting, number);
        let kicked = done(&mut self.kicking, number);
        self.shut.extend(shut);
        self.kicked.extend(kicked);
    }

    /// Octets leave a device, or come to it. What people say has a type, which is sealed with it.
    pub(crate) fn i25_nothing_is_said_in_the_clear(&mut self, octets: &[u8]) {
        let said = b"text/plain";
        let clear = octets.windows(said.len()).any(|part| part == said);
        self.check("i25", !clear, || "something is said in the clear".into());
    }

    /// The relay passes a message on. True: for the first time.
    pub(crate) fn passed(&mut self, passed: Passed) -> bool {
        self.counts.passed += 1;
        let Passed { generation, sender, .. } = passed;
        let (era, epoch) = (timeless(generation.0, self.eras_since), generation.1);
        self.trace.line(&format!("passed {} in {era}/{epoch}", passed.id));
        self.i9_no_message_passes_while_a_remove_is_pending(generation);
        let seats = passed.receivers.iter().map(|(seat, _)| *seat).chain([sender]);
        self.i8_no_message_of_or_to_a_kicked_person(seats);
        self.letters.passed(passed)
    }

    fn i8_no_message_of_or_to_a_kicked_person(&mut self, seats: impl Iterator<Item = SeatId>) {
        let person = |seat: SeatId| self.seats.get(&seat).map(|who| &who.aor);
        let mut people = seats.filter_map(person);
        let kicked = people.find(|aor| self.kicked.contains(*aor)).cloned();
        drop(people);
        self.check("i8", kicked.is_none(), || format!("{kicked:?} was kicked"));
    }

    fn i9_no_message_passes_while_a_remove_is_pending(&mut self, generation: Generation) {
        let shut = self.shut.contains(&generation);
        self.check("i9", !shut, || format!("{generation:?} is shut"));
    }

    /// What a device that is in says of the group.
    pub(crate) fn stands(&mut self, who: &Participant, standing: &client::Standing) {
        // Where somebody is led apart it is for the members to find out.
        if self.fault == Fault::LeadsApart {
            return;
        }
        self.i4_one_authenticator_in_an_epoch(who, standing);
        let generation = (standing.era, standing.epoch);
        let roster: BTreeSet<Participant> = standing.roster.iter().map(Participant::from).collect();
        let once = roster.len() == standing.members;
        self.check("i12", once, || format!("{who} sees a device twice in {generation:?}"));
        let right = self.members.get(&generation) == Some(&roster);
        self.check("i11", right, || format!("{who} sees another roster in {generation:?}"));
    }

    /// A device is told that somebody was in another group than it was.
    pub(crate) fn split(&mut self, who: &Participant, other: &Aor, epoch: Epoch) {
        self.check("i4", false, || format!("{other} was in another group than {who} in {epoch}"));
    }

    fn i4_one_authenticator_in_an_epoch(&mut self, who: &Participant, standing: &client::Standing) {
        let generation = (standing.era, standing.epoch);
        let mut key = standing.authenticator.clone();
        if self.fault == Fault::OtherKey && standing.members == 4 {
            key.extend(who.device.as_str().bytes());
        }
        let known = self.authenticators.entry(generation).or_insert_with(|| key.clone()).clone();
        let same = known == key;
        self.check("i4", same, || format!("{who} has another key in {generation:?}"));
    }
}

fn done<T>(pending: &mut Vec<Pending<T>>, number: u64) -> Vec<T> {
    let done = |pending: &mut Pending<T>| pending.number.is_some_and(|order| order <= number);
    pending.extract_if(.., done).map(|pending| pending.what).collect()
}

/// Eras count from a time of day.
fn timeless(era: Era, since: Era) -> u32 {
    era.0.saturating_sub(since.0)
}

/// An event without what differs between two runs.
fn word(what: &What, since: Era) -> String {
    match what {
        What::Advanced { by, era, epoch, added, removed, pending, .. } => {
            let names = |all: &[Participant]| {
                all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            };
            let (added, removed, pending) = (names(added), names(removed), names(pending));
            let era = timeless(*era, since);
            format!("epoch {era}/{epoch} by {by} +[{added}] -[{removed}] pending [{pending}]")
        }
        What::Joined { who, seat, .. } => format!("joined {who} {seat}"),
        What::Bound { seat } => format!("bound {seat}"),
        What::Unseated { seat, why } => format!("unseated {seat} {why:?}"),
        What::Departed { who, why, pending } => format!("departed {who:?} {why:?} {pending:?}"),
        What::Asked { whom, task, .. } => format!("asked {whom} {task:?}"),
        What::Claimed { packages } => format!("claimed {}", packages.len()),
        What::GaveUp { spoiled } => format!("gave up {spoiled:?}"),
        What::Gathered { of, .. } => format!("gathered {}", of.len()),
        What::Invited { who, .. } => format!("invited {who}"),
        What::Vouched { by, epoch, .. } => format!("vouched {by:?} {epoch}"),
        What::Astray { who, epoch } => format!("astray {who} {epoch}"),
        What::GivenUp { author } => format!("given up {author}"),
        What::Created { .. } => "created".into(),
        What::Adopted => "adopted".into(),
        What::Ended { .. } => "ended".into(),
        _ => "something else".into(),
    }
}

impl Watch {
    /// How long a copy may be on its way.
    pub(crate) const WAY: Duration = Duration::from_secs(30);
}
