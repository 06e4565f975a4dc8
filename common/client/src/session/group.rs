//! Where this device stands towards the group: outside, about to enter, or a member. It turns what the focus and the
//! members send into what follows for the session; the keys and every check of them are the `mls` crate's.
use std::time::SystemTime;

use ids::{ConferenceId, Epoch, Era};
use mls::member::{Committed, Keyring, Member, MemberError, Opened, Processed};
use mls::wire::{
    Bundle, CommitRequest, CommitResult, DeviceName, EpochReport, GroupState, Reason,
    WelcomeDelivery,
};

use super::Standing;
use super::freshness::Freshness;
use super::outgoing::{Generation, Sealed, Sealing};
use crate::event::{Entry, Error, Event};
use crate::profile::Limits;

/// What follows from a message.
#[derive(Debug)]
pub(super) enum Follows {
    /// Tell the person.
    Event(Event),
    /// Send this bundle to the focus.
    Send(Bundle),
    /// Fetch the group's state, to enter by external commit.
    FetchGroup,
    /// Show what was opened, if it fits its envelope.
    Show(Opened),
    /// It belongs to an epoch to come: take it again after the next commit, or the Welcome.
    Early,
    /// The group is in a new epoch: what waited for it may go on.
    Advanced,
    /// Tell the focus what we found of an epoch.
    Report(EpochReport),
}

/// This device and one conference's group.
#[derive(Debug)]
pub(super) struct Group {
    keyring: Keyring,
    conference: ConferenceId,
    /// A group we made that the focus has not accepted yet.
    founding: Option<Member>,
    member: Option<Member>,
    /// The epoch our external commit was made in, until it is decided.
    entering: Option<Epoch>,
    /// The last generation of the key that we were in: no older one is taken, and what was said after it is missing
    /// where we have to enter anew.
    known: Option<Generation>,
    /// The bundle we wait for: sent again when the focus asks again, which costs nothing if it has it.
    pending: Option<Bundle>,
    /// We could not follow a change of the group: we may have been removed by it.
    lost: bool,
    /// An entry of ours was refused, and we have entered nothing since.
    refused: bool,
    /// The member was there when the device was started, and nobody has been told so.
    kept: bool,
    /// How old the leaf of this device is.
    freshness: Freshness,
}

/// The name of the note of the bundle we wait for.
fn bundle_name(conference: &ConferenceId) -> Vec<u8> {
    format!("bundle/{conference}").into_bytes()
}

impl Group {
    /// As the device left it, if it keeps anything.
    pub(super) fn new(keyring: Keyring, conference: ConferenceId) -> Self {
        // What cannot be read has been forgotten: the focus asks this device to enter.
        let member = Member::load(&keyring, &conference).ok().flatten();
        // Whether an own entry was accepted while the device was away nobody says: it enters again.
        let member = member.filter(|member| !member.is_entering());
        let kept = member.is_some();
        let known = member.as_ref().map(|member| (member.era(), member.epoch()));
        let bundle = keyring.records().noted(&bundle_name(&conference));
        let pending = bundle.filter(|_| kept).and_then(|bundle| Bundle::from_bytes(&bundle).ok());
        let (founding, entering) = (None, None);
        let (lost, refused) = (false, false);
        let freshness = Freshness::kept(keyring.records(), &conference);
        Self {
            keyring,
            conference,
            founding,
            member,
            entering,
            known,
            pending,
            lost,
            refused,
            kept,
            freshness,
        }
    }

    /// What was reserved and not used is given back.
    pub(super) fn rest(&mut self) {
        if let Some(member) = self.member.as_mut() {
            // If it cannot be written, it is burnt when the device comes back.
            let _settled = member.settle();
        }
    }

    fn unpend(&mut self) {
        self.pending = None;
        self.keyring.records().forget(&bundle_name(&self.conference));
    }

    pub(super) fn standing(&self) -> Standing {
        let Some(member) = &self.member else { return Standing::default() };
        let roster: Vec<_> = member.roster().cloned().collect();
        Standing {
            era: member.era(),
            epoch: member.epoch(),
            members: roster.len(),
            roster,
            authenticator: member.authenticator().to_vec(),
            held: Vec::new(),
        }
    }

    /// Whether that is still where it stands. Of one generation and authenticator there is one roster.
    pub(super) fn is_at(&self, known: &Standing) -> bool {
        match &self.member {
            Some(member) => {
                (member.era(), member.epoch()) == (known.era, known.epoch)
                    && member.authenticator()[..] == known.authenticator
            }
            None => known.authenticator.is_empty(),
        }
    }

    /// This device in the group, once it holds the key.
    pub(super) const fn member(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    /// The generation of the group key this device is in.
    pub(super) fn generation(&self) -> Option<Generation> {
        self.member.as_ref().map(|member| (member.era(), member.epoch()))
    }

    /// Seals a letter, if this is the time for it.
    pub(super) fn seal(&mut self, id: &str, inner: &[u8]) -> Result<Sealed, Sealing> {
        let member = self.member.as_mut().ok_or(Sealing::Wait)?;
        let generation = (member.era(), member.epoch());
        match member.seal(id, inner) {
            Ok(bytes) => {
                self.freshness.sealed(self.keyring.records());
                Ok(Sealed { generation, bytes })
            }
            Err(MemberError::Paused | MemberError::Committing | MemberError::Entering) => {
                Err(Sealing::Wait)
            }
            Err(error) => Err(Sealing::Failed(Error::Group(error.to_string()))),
        }
    }

    /// What the leaf of this device has sealed.
    pub(super) fn sealed(&self) -> u64 {
        self.freshness.count()
    }

    /// Whether that was enough.
    pub(super) fn is_worn(&self, limits: &Limits) -> bool {
        self.freshness.is_worn(limits)
    }

    /// Takes a message of the group.
    pub(super) fn process(&mut self, sealed: &[u8], now: SystemTime) -> Vec<Follows> {
        // The Welcome takes another way than what members say, and may come behind it.
        let Some(member) = self.member.as_mut() else { return vec![Follows::Early] };
        match member.process(sealed, now) {
            Ok(Processed::Message(opened)) => vec![Follows::Show(opened)],
            Ok(Processed::Commit(committed)) => self.committed(committed),
            Ok(Processed::Future { .. }) => vec![Follows::Early],
            Ok(Processed::EntryLost) => {
                self.forget_entry();
                vec![Follows::FetchGroup]
            }
            // Handshakes of past epochs are the commits that led here; an own message comes from nobody else.
            Ok(Processed::Remove(_) | Processed::Own | Processed::Stale { .. }) => Vec::new(),
            Err(MemberError::Entering) => vec![Follows::Early],
            // The group has begun anew. We are welcomed or told to enter; nothing else of it is for us.
            Err(MemberError::OtherGroup) => Vec::new(),
            Err(error) => {
                let unreadable = Follows::Event(Event::Unreadable { why: error.to_string() });
                // A message that does not open is lost alone; without a handshake everything after it is. Whether it is
                // our fault the focus learns from the others: it tells us to enter anew, or all of us to begin anew.
                let report = member.report_unusable();
                self.lost |= is_handshake(sealed);
                if let MemberError::OutOfReach { epoch } = error {
                    self.freshness.out_of_reach(epoch);
                }
                let lost = is_handshake(sealed).then_some(Follows::Report(report));
                std::iter::once(unreadable).chain(lost).collect()
            }
        }
    }

    fn committed(&mut self, committed: Committed) -> Vec<Follows> {
        let kept = std::mem::take(&mut self.kept);
        (self.lost, self.refused) = (false, false);
        self.unpend();
        if committed.removed_self {
            (self.member, self.known) = (None, None);
            return vec![Follows::Event(Event::Removed)];
        }
        let Committed { epoch, added, removed, .. } = committed;
        let present = self.generation();
        let former = std::mem::replace(&mut self.known, present);
        let event = if self.entering.take().is_some() {
            let era = self.member.as_ref().map(Member::era).unwrap_or_default();
            let returning = former.is_some() || removed.contains(self.keyring.device());
            let missed = returning.then_some(Event::Missed { since: former, until: (era, epoch) });
            let entered = Event::Entered { era, epoch, by: Entry::External };
            let events = missed.into_iter().chain([entered]).map(Follows::Event);
            return std::iter::once(Follows::Advanced).chain(events).collect();
        } else {
            let pairs = |names: Vec<DeviceName>| {
                names.into_iter().map(|name| (name.aor, name.device)).collect()
            };
            Event::Advanced { epoch, added: pairs(added), removed: pairs(removed) }
        };
        // A commit came before the focus could say that what we kept is of the present epoch.
        let era = self.member.as_ref().map(Member::era).unwrap_or_default();
        let entered = kept.then_some(Event::Entered { era, epoch, by: Entry::Kept });
        let events = entered.into_iter().chain([event]).map(Follows::Event);
        std::iter::once(Follows::Advanced).chain(events).collect()
    }

    fn forget_entry(&mut self) {
        self.member = None;
        self.entering = None;
        self.unpend();
    }

    /// Comes in by Welcome, unless we are in. One to a later era takes us over.
    pub(super) fn welcomed(&mut self, delivery: &[u8], now: SystemTime) -> Vec<Follows> {
        let delivery = WelcomeDelivery::from_bytes(delivery).map_err(MemberError::from);
        let is_in = |era| self.member.as_ref().is_some_and(|member| member.era() >= era);
        // Who is welcomed is no member any more, whatever was kept, or whatever we could not follow.
        if !self.kept && !self.lost && delivery.as_ref().is_ok_and(|delivery| is_in(delivery.era)) {
            return Vec::new();
        }
        let joined = delivery
            .and_then(|delivery| Member::join(&self.keyring, &self.conference, &delivery, now));
        match joined {
            Ok(member) => {
                let (era, epoch) = (member.era(), member.epoch());
                self.become_member(member);
                let entered = Event::Entered { era, epoch, by: Entry::Welcomed };
                vec![Follows::Advanced, Follows::Event(entered)]
            }
            // A Welcome that opens with nothing we hold (our keys were lost): the way in is an external commit.
            Err(error) => {
                vec![
                    Follows::Event(Event::Unreadable { why: error.to_string() }),
                    Follows::FetchGroup,
                ]
            }
        }
    }

    /// A group of this era is made and not decided yet.
    fn founds(&self, era: Era) -> bool {
        self.founding.as_ref().is_some_and(|founding| founding.era() == era)
    }

    /// Does what the focus asks for.
    pub(super) fn asked(&mut self, request: &[u8], now: SystemTime) -> Vec<Follows> {
        let Ok(request) = CommitRequest::from_bytes(request) else {
            return vec![Follows::Event(Event::Unreadable {
                why: "a malformed commit request".to_owned(),
            })];
        };
        let bundle = match request.reason {
            Reason::Enter => return vec![Follows::FetchGroup],
            Reason::Confirm => return self.say_where_we_are(),
            // A slow answer is asked for again. Made twice, the group accepted would not be the one we hold.
            Reason::Create if self.founds(request.era) => {
                return self.resend();
            }
            // It knows less of the group than we do.
            Reason::Create if self.known.is_some_and(|(era, _)| era >= request.era) => {
                return self.say_where_we_are();
            }
            Reason::Create => {
                let made = Member::create(&self.keyring, &self.conference, request.era, now);
                made.map(|(member, bundle)| {
                    self.founding = Some(member);
                    bundle
                })
            }
            // What we hold is of an era that is over, or the one we began was lost with a seat.
            Reason::Add | Reason::Remove
                if self.member.as_ref().is_some_and(|member| member.era() < request.era) =>
            {
                return vec![Follows::FetchGroup];
            }
            Reason::Add | Reason::Remove => match self.member.as_mut() {
                Some(member) => member.answer(&request, now),
                None => return Vec::new(),
            },
        };
        match bundle {
            Ok(bundle) => self.offer(bundle),
            Err(MemberError::NothingToDo) => Vec::new(),
            // Our last bundle, or its answer, may be lost: the focus knows a bundle it has seen.
            Err(MemberError::Committing | MemberError::Entering) => self.resend(),
            Err(error) => vec![Follows::Event(Event::Unreadable { why: error.to_string() })],
        }
    }

    /// The keys of an era that is over are of no use to anybody but a thief: they go as these are kept.
    fn become_member(&mut self, member: Member) {
        (self.kept, self.lost, self.refused) = (false, false, false);
        member.keep();
        self.known = Some((member.era(), member.epoch()));
        (self.member, self.entering) = (Some(member), None);
    }

    fn offer(&mut self, bundle: Bundle) -> Vec<Follows> {
        self.keyring.records().note(&bundle_name(&self.conference), bundle.to_bytes());
        self.pending = Some(bundle.clone());
        vec![Follows::Send(bundle)]
    }

    /// The bundle we wait for once more, if there is one.
    fn resend(&self) -> Vec<Follows> {
        self.pending.clone().map(Follows::Send).into_iter().collect()
    }

    /// Replaces the leaf of this device where it has been there for long enough, has sealed enough, or carries a
    /// certificate that has been renewed. It waits while anything else is under way.
    pub(super) fn refresh(&mut self, limits: &Limits, now: SystemTime) -> Vec<Follows> {
        let quiet = self.founding.is_none() && self.entering.is_none();
        let Some(member) = self.member.as_mut().filter(|_| quiet) else { return Vec::new() };
        if !self.freshness.is_due(self.keyring.records(), member, limits, now) {
            return Vec::new();
        }
        match member.refresh() {
            Ok(bundle) => self.offer(bundle),
            // Its turn comes again.
            Err(_busy) => Vec::new(),
        }
    }

    /// Takes what became of a bundle of ours.
    pub(super) fn decided(&mut self, result: &[u8]) -> Vec<Follows> {
        match CommitResult::from_bytes(result) {
            Ok(CommitResult::Accepted { era, epoch }) => match self.founding.take() {
                Some(member) => {
                    self.become_member(member);
                    self.unpend();
                    let entered = Event::Entered { era, epoch, by: Entry::Created };
                    vec![Follows::Advanced, Follows::Event(entered)]
                }
                // A commit is merged when it comes back in the stream, not before.
                None => Vec::new(),
            },
            Ok(CommitResult::Lost { epoch, .. }) => {
                self.founding = None;
                // The answer to an entry we have given up already says nothing about the one under way. A member's
                // commit is dropped when the winner comes in the stream.
                if self.entering.is_some_and(|made_in| epoch > made_in) {
                    self.forget_entry();
                    return vec![Follows::FetchGroup];
                }
                Vec::new()
            }
            Ok(CommitResult::Refused { why }) => self.refused(&why),
            Err(error) => vec![Follows::Event(Event::Unreadable { why: error.to_string() })],
        }
    }

    /// A bundle of ours is not wanted: it is as if it had never been made.
    pub(super) fn refused(&mut self, why: &str) -> Vec<Follows> {
        self.founding = None;
        self.unpend();
        let mut follows = vec![Follows::Event(Event::Refused { why: why.to_owned() })];
        if self.entering.is_some() {
            self.forget_entry();
            // Perhaps it was another one that was refused, on a slow line: then nobody asks us to enter. Once, or whoever
            // may not enter would go on for ever.
            let again = !std::mem::replace(&mut self.refused, true);
            follows.extend(again.then_some(Follows::FetchGroup));
        } else if let Some(member) = self.member.as_mut()
            && let Err(error) = member.abandon()
        {
            follows.push(Follows::Event(Event::Unreadable { why: error.to_string() }));
        }
        follows
    }

    /// Enters by external commit with the group's public state, unless we are up to date.
    pub(super) fn enter(&mut self, state: &GroupState, now: SystemTime) -> Vec<Follows> {
        let present = self.member.as_ref().map(|member| (member.era(), member.epoch()));
        if present == Some((state.era, state.epoch)) {
            let came_back = std::mem::take(&mut self.kept);
            let entered = Event::Entered { era: state.era, epoch: state.epoch, by: Entry::Kept };
            return came_back.then_some(Follows::Event(entered)).into_iter().collect();
        }
        self.kept = false;
        // Told so again while our entry is under way.
        if self.entering == Some(state.epoch)
            && self.member.as_ref().is_some_and(|member| member.era() == state.era)
            && self.pending.is_some()
        {
            return self.resend();
        }
        match Member::join_externally(&self.keyring, &self.conference, state, self.known, now) {
            Ok((member, bundle)) => {
                self.member = Some(member);
                self.entering = Some(state.epoch);
                self.offer(bundle)
            }
            Err(error) => {
                let behind = matches!(error, MemberError::Rollback { .. });
                let unreadable = Follows::Event(Event::Unreadable { why: error.to_string() });
                // A server that has lost what we have seen cannot know it; one that would lead us back learns nothing.
                let report = if behind { self.say_where_we_are() } else { Vec::new() };
                std::iter::once(unreadable).chain(report).collect()
            }
        }
    }

    /// Tells the focus which epoch we are in, if we are in any.
    fn say_where_we_are(&self) -> Vec<Follows> {
        let member = self.member.as_ref().filter(|_| self.entering.is_none());
        member.map(|member| Follows::Report(member.report())).into_iter().collect()
    }

    /// The id of a message, if it opens with the keys this device has. Nothing is shown.
    pub(super) fn opens(&mut self, sealed: &[u8], now: SystemTime) -> Option<String> {
        match self.member.as_mut()?.process(sealed, now) {
            Ok(Processed::Message(opened)) => Some(opened.message_id),
            _ => None,
        }
    }
}

/// Whether octets are an MLS PublicMessage (RFC 9420, 6): version 1, wire format 1.
fn is_handshake(message: &[u8]) -> bool {
    message.starts_with(&[0, 1, 0, 1])
}

#[cfg(test)]
pub(super) mod tests;
