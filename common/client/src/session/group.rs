//! Where this device stands towards the group: outside, about to enter, or a member. It turns what the focus and the
//! members send into what follows for the session; the keys and every check of them are the `mls` crate's.
use std::time::SystemTime;

use ids::{ConferenceId, Epoch};
use mls::member::{Keyring, Member, MemberError, Opened, Processed};
use mls::wire::{Bundle, CommitRequest, CommitResult, GroupState, Reason, WelcomeDelivery};

use super::Standing;
use super::outgoing::{Sealed, Sealing};
use crate::event::{Entry, Error, Event};

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
    /// It belongs to an epoch to come: take it again after the next commit.
    Early,
    /// The group is in a new epoch: what waited for it may go on.
    Advanced,
}

/// This device and one conference's group.
#[derive(Debug)]
pub(super) struct Group {
    keyring: Keyring,
    conference: ConferenceId,
    /// A group we made that the focus has not accepted yet.
    founding: Option<Member>,
    member: Option<Member>,
    /// How the member came to be, until that is told.
    entering: Option<Entry>,
}

impl Group {
    pub(super) fn new(keyring: Keyring, conference: ConferenceId) -> Self {
        Self { keyring, conference, founding: None, member: None, entering: None }
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
        }
    }

    /// Seals a letter, unless it must wait for another epoch than the one it was refused in.
    pub(super) fn seal(
        &mut self,
        id: &str,
        inner: &[u8],
        refused_in: Option<Epoch>,
    ) -> Result<Sealed, Sealing> {
        let member = self.member.as_mut().ok_or(Sealing::Wait)?;
        let epoch = member.epoch();
        if refused_in == Some(epoch) {
            return Err(Sealing::Wait);
        }
        match member.seal(id, inner) {
            Ok(bytes) => Ok(Sealed { epoch, bytes }),
            Err(MemberError::Paused | MemberError::Committing | MemberError::Entering) => {
                Err(Sealing::Wait)
            }
            Err(error) => Err(Sealing::Failed(Error::Group(error.to_string()))),
        }
    }

    /// Takes a message of the group.
    pub(super) fn process(&mut self, sealed: &[u8], now: SystemTime) -> Vec<Follows> {
        let Some(member) = self.member.as_mut() else { return Vec::new() };
        match member.process(sealed, now) {
            Ok(Processed::Message(opened)) => vec![Follows::Show(opened)],
            Ok(Processed::Commit(committed)) => {
                let mut follows = vec![Follows::Advanced];
                if committed.removed_self {
                    self.member = None;
                    return vec![Follows::Event(Event::Removed)];
                }
                if let Some(by) = self.entering.take() {
                    let (era, epoch) = (member.era(), member.epoch());
                    follows.push(Follows::Event(Event::Entered { era, epoch, by }));
                } else {
                    let pairs = |names: Vec<mls::wire::DeviceName>| {
                        names.into_iter().map(|name| (name.aor, name.device)).collect()
                    };
                    let (added, removed) = (pairs(committed.added), pairs(committed.removed));
                    follows.push(Follows::Event(Event::Advanced {
                        epoch: committed.epoch,
                        added,
                        removed,
                    }));
                }
                follows
            }
            Ok(Processed::Future { .. }) => vec![Follows::Early],
            Ok(Processed::EntryLost) => {
                self.member = None;
                vec![Follows::FetchGroup]
            }
            // Handshakes of past epochs are the commits that led here; an own message comes from nobody else.
            Ok(Processed::Remove(_) | Processed::Own | Processed::Stale { .. }) => Vec::new(),
            Err(MemberError::Entering) => vec![Follows::Early],
            Err(error) => vec![Follows::Event(Event::Unreadable { why: error.to_string() })],
        }
    }

    /// Comes in by Welcome, unless we are in.
    pub(super) fn welcomed(&mut self, delivery: &[u8], now: SystemTime) -> Vec<Follows> {
        if self.member.is_some() {
            return Vec::new();
        }
        let joined = WelcomeDelivery::from_bytes(delivery)
            .map_err(MemberError::from)
            .and_then(|delivery| Member::join(&self.keyring, &self.conference, &delivery, now));
        match joined {
            Ok(member) => {
                let (era, epoch) = (member.era(), member.epoch());
                self.member = Some(member);
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

    /// Does what the focus asks for.
    pub(super) fn asked(&mut self, request: &[u8], now: SystemTime) -> Vec<Follows> {
        let Ok(request) = CommitRequest::from_bytes(request) else {
            return vec![Follows::Event(Event::Unreadable {
                why: "a malformed commit request".to_owned(),
            })];
        };
        let bundle = match request.reason {
            Reason::Enter => return vec![Follows::FetchGroup],
            Reason::Create => {
                let made = Member::create(&self.keyring, &self.conference, request.era, now);
                made.map(|(member, bundle)| {
                    self.founding = Some(member);
                    bundle
                })
            }
            Reason::Add | Reason::Remove => match self.member.as_mut() {
                Some(member) => member.answer(&request, now),
                None => return Vec::new(),
            },
        };
        match bundle {
            Ok(bundle) => vec![Follows::Send(bundle)],
            // What is asked for is done already, or another commit of ours is on its way: the focus asks again.
            Err(MemberError::NothingToDo | MemberError::Committing | MemberError::Entering) => {
                Vec::new()
            }
            Err(error) => vec![Follows::Event(Event::Unreadable { why: error.to_string() })],
        }
    }

    /// Takes what became of a bundle of ours.
    pub(super) fn decided(&mut self, result: &[u8]) -> Vec<Follows> {
        match CommitResult::from_bytes(result) {
            Ok(CommitResult::Accepted { era, epoch }) => match self.founding.take() {
                Some(member) => {
                    self.member = Some(member);
                    let entered = Event::Entered { era, epoch, by: Entry::Created };
                    vec![Follows::Advanced, Follows::Event(entered)]
                }
                // A commit is merged when it comes back in the stream, not before.
                None => Vec::new(),
            },
            Ok(CommitResult::Lost { .. }) => {
                self.founding = None;
                self.entry_failed(Follows::FetchGroup)
            }
            Ok(CommitResult::Refused { why }) => {
                self.founding = None;
                if let Some(member) = self.member.as_mut().filter(|_| self.entering.is_none())
                    && let Err(error) = member.abandon()
                {
                    return vec![Follows::Event(Event::Unreadable { why: error.to_string() })];
                }
                let why = format!("the focus refused our commit: {why}");
                self.entry_failed(Follows::Event(Event::Unreadable { why }))
            }
            Err(error) => vec![Follows::Event(Event::Unreadable { why: error.to_string() })],
        }
    }

    fn entry_failed(&mut self, follows: Follows) -> Vec<Follows> {
        if self.entering.take().is_some() {
            self.member = None;
            return vec![follows];
        }
        match follows {
            Follows::Event(_) => vec![follows],
            // The winner of the race comes in the stream; our own commit is dropped when it does.
            _ => Vec::new(),
        }
    }

    /// Enters by external commit with the group's public state, unless we are up to date.
    pub(super) fn enter(&mut self, state: &GroupState, now: SystemTime) -> Vec<Follows> {
        let known = self.member.as_ref().map(|member| (member.era(), member.epoch()));
        if known == Some((state.era, state.epoch)) {
            return Vec::new();
        }
        match Member::join_externally(&self.keyring, &self.conference, state, known, now) {
            Ok((member, bundle)) => {
                self.member = Some(member);
                self.entering = Some(Entry::External);
                vec![Follows::Send(bundle)]
            }
            Err(error) => vec![Follows::Event(Event::Unreadable { why: error.to_string() })],
        }
    }

    /// Whether a message opens with the keys this device has, without following it.
    pub(super) fn opens(&mut self, sealed: &[u8], now: SystemTime) -> bool {
        let opened = self.member.as_mut().map(|member| member.process(sealed, now));
        matches!(opened, Some(Ok(Processed::Message(_))))
    }
}
