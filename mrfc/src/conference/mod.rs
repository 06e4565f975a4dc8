//! One conference as a value: who is in it, what they may do, which change of the group comes next. No socket, task,
//! clock or random source: time is an argument, randomness is not needed.
//!
//! ```text
//! Command ─► decide(&self) ─► Decision ─► (journal) ─► take(&mut self) ─► Effects
//!                └─► Refusal: nothing has changed
//! ```
//!
//! [`Conference::decide`] says what a command leads to; the event inside the [`Decision`] is kept in the journal;
//! [`Conference::take`] follows it and lists what to carry out. After a start [`Conference::recover`] follows the
//! journal again. One event follows from one command; what follows from time is asked for with
//! [`Conference::due`] and [`Command::Tick`].
//!
//! | file | holds |
//! |---|---|
//! | `command` `event` `effect` `refusal` | what enters, happens, follows, is turned down |
//! | `roster` | who belongs to it, on which device, at which seat |
//! | `policy` | who may do what |
//! | `anonymous` `masks` | who is known by what in place of a name |
//! | `rules` | what moderators settle |
//! | `scene` `partings` | what watchers see, and who has just gone |
//! | `nickname` `nicknames` | what a nickname may be, and who has which |
//! | `group` | era, epoch, members, pending Removes; beside them the MLS ledger |
//! | `committing` `turns` | who is asked to change the group, and when |
//! | `entries` | how often a device has entered by itself |
//! | `trial` `vouching` | epochs that nobody but their author vouches for yet |
//! | `doubt` | members that are ahead of the journal: it is an old copy |
//! | `decide` `apply` `advance` | the two halves of the path |
//! | `life` | when it ends, rests, or passes to another founder |
//! | `tail` | what is said again after a start |
//! | `overview` | what an operator may know |
mod advance;
mod anonymous;
mod apply;
mod command;
mod committing;
mod decide;
mod doubt;
mod effect;
mod entries;
mod event;
mod group;
mod life;
mod masks;
mod nickname;
mod nicknames;
mod nouns;
mod overview;
mod partings;
mod policy;
mod refusal;
mod roster;
mod rules;
mod scene;
mod tail;
#[cfg(test)]
mod tests;
mod trial;
mod turns;
mod vouching;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Aor, ConferenceId, Number, SeatId, Seq, Term};
use mls::identity::{FocusKey, Roots};
use mls::ledger::Ledger;

pub use anonymous::{anonymous, known_as};
pub use command::{Command, Joining};
pub use committing::Patience;
use committing::{Committing, Leaves, View, Work};
pub use decide::Decision;
use doubt::Hearing;
pub use effect::{Announced, Effect, Told};
use entries::Entries;
pub use event::{BadEvent, Departed, Event, Task, What};
use group::Group;
pub use life::{CreatorLeaves, Life, Standing};
pub use nickname::{BadNickname, Nickname};
pub use nicknames::NicknamePolicy;
use nicknames::Nicknames;
pub use nouns::{
    At, Blob, Came, Dial, End, Flow, Level, Participant, PeerPath, Shown, Transport, Why,
};
pub use overview::{Device, Overview, Person, Presence};
use partings::Partings;
pub use refusal::Refusal;
pub use roster::{Roster, Seat};
pub use rules::{Rules, Ruling, SUBJECT_OCTETS_MAX};
pub use scene::{Place, Scene, Seen, Stand};
use tail::Tail;

/// What a conference never changes.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its name.
    pub id: ConferenceId,
    /// The domain of its URI.
    pub domain: String,
    /// What device certificates are checked against.
    pub roots: Roots,
    /// What the focus signs Remove proposals with.
    pub focus: FocusKey,
    /// Its bounds.
    pub bounds: Bounds,
    /// Its nicknames.
    pub nicknames: NicknamePolicy,
}

/// The bounds of one conference.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Devices on the roster. 5 000: a commit then costs its maker half a second.
    pub participants_max: usize,
    /// Octets of one message that is passed on as it comes: a sealed file, or anything in an open room. 4 GiB: the
    /// relay holds none of it. What is held to be checked has its own bounds there.
    pub message_octets_max: u64,
    /// How often one device may enter the group by itself in a day. 50: it may have lost its keys as often.
    pub entries_per_day_max: u32,
    /// How long a conference that nobody has joined yet is kept. 60 s.
    pub empty: Duration,
    /// When it ends although somebody could still come.
    pub life: Life,
    /// How long the group's changes are waited for.
    pub patience: Patience,
    /// Whether a message of a sealed conference counts when it is stored, so that who is away gets it. Of an open one it
    /// counts when it is relayed.
    pub acknowledge: Acknowledge,
}

/// When a message counts, and its sender is told so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When it is passed on to whoever is there.
    #[default]
    Relayed,
    /// When it is on disk for those who are not.
    Stored,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            participants_max: 5_000,
            message_octets_max: 4 << 30,
            entries_per_day_max: 50,
            empty: Duration::from_secs(60),
            life: Life::default(),
            patience: Patience::default(),
            acknowledge: Acknowledge::Relayed,
        }
    }
}

/// What was settled when the conference was made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct About {
    creator: Aor,
    level: Level,
    /// None while it rests.
    relay: Option<String>,
    term: Term,
    created: At,
    joined: bool,
    /// Its creator has had a seat.
    came: bool,
    /// It outlives emptiness.
    standing: bool,
}

/// The state of one conference.
#[derive(Debug)]
pub struct Conference {
    terms: Arc<Terms>,
    seq: Seq,
    /// None before it is made and after it has ended.
    about: Option<About>,
    /// The newest appointment there was.
    term: Term,
    roster: Roster,
    group: Group,
    committing: Committing,
    entries: Entries,
    nicknames: Nicknames,
    rules: Rules,
    partings: Partings,
    /// Since when nobody has a seat.
    vacant: Option<At>,
    /// What members say that are ahead of the journal.
    hearing: Hearing,
}

/// A conference after its journal was followed.
#[derive(Debug)]
pub struct Recovered {
    /// It.
    pub conference: Conference,
    /// What the last events had said to devices. Some of it may not have reached the relay before the end.
    pub tail: Vec<(Seq, Vec<Effect>)>,
}

/// A journal that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum BadJournal {
    /// An entry cannot be read.
    #[error(transparent)]
    Event(#[from] BadEvent),
    /// The group beside it cannot be read.
    #[error("the group beside the journal: {0}")]
    Group(#[from] mls::ledger::Refusal),
    /// Journal and group do not belong together.
    #[error("the group beside the journal is of another epoch")]
    Torn,
}

impl Conference {
    /// A conference that does not exist yet: it takes nothing but [`Command::Create`].
    pub fn new(terms: Arc<Terms>) -> Self {
        Self {
            terms,
            seq: Seq(0),
            about: None,
            term: Term(0),
            roster: Roster::default(),
            group: Group::default(),
            committing: Committing::default(),
            entries: Entries::default(),
            nicknames: Nicknames::default(),
            rules: Rules::default(),
            partings: Partings::default(),
            vacant: None,
            hearing: Hearing::default(),
        }
    }

    /// Follows a journal again. `group` is the newest snapshot kept beside it.
    ///
    /// # Errors
    /// An entry or the group cannot be read.
    pub fn recover(
        terms: Arc<Terms>,
        journal: &[Bytes],
        group: Option<&Bytes>,
    ) -> Result<Recovered, BadJournal> {
        Self::recover_after(Seq(0), terms, journal, group)
    }

    /// The same for a journal whose first events are forgotten, up to where a conference of this name had ended.
    ///
    /// # Errors
    /// As [`Conference::recover`].
    pub fn recover_after(
        before: Seq,
        terms: Arc<Terms>,
        journal: &[Bytes],
        group: Option<&Bytes>,
    ) -> Result<Recovered, BadJournal> {
        let mut conference = Self { seq: before, ..Self::new(terms) };
        let mut tail = Tail::default();
        for entry in journal {
            let event = Event::from_bytes(entry)?;
            let effects = conference.apply(&event);
            tail.follow(conference.place(), &event.what, effects);
        }
        conference.restore(group)?;
        Ok(Recovered { conference, tail: tail.into_entries() })
    }

    fn restore(&mut self, group: Option<&Bytes>) -> Result<(), BadJournal> {
        let Some(facts) = &self.group.facts else {
            return Ok(());
        };
        let snapshot = group.ok_or(BadJournal::Torn)?;
        let ledger = Ledger::from_bytes(snapshot, &self.terms.focus, &self.terms.roots)?;
        if (ledger.era(), ledger.epoch()) != (self.group.era, facts.epoch) {
            return Err(BadJournal::Torn);
        }
        self.group.ledger = Some(ledger);
        Ok(())
    }

    /// Its name.
    pub fn id(&self) -> &ConferenceId {
        &self.terms.id
    }

    /// Its URI, the CPIM To of room messages.
    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.terms.id, self.terms.domain)
    }

    /// How many events it has followed: where its journal ends.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// Whether it exists now.
    pub const fn is_open(&self) -> bool {
        self.about.is_some()
    }

    /// What the relay may see, while it exists.
    pub fn level(&self) -> Option<Level> {
        self.about.as_ref().map(|about| about.level)
    }

    /// Who made it, while it exists.
    pub fn creator(&self) -> Option<&Aor> {
        self.about.as_ref().map(|about| &about.creator)
    }

    /// What the one who made it is on the roster as.
    fn founder<'a>(&'a self, about: &'a About) -> &'a Aor {
        self.roster.seen_as(&about.creator)
    }

    /// The relay that carries its room, while it exists and does not rest.
    pub fn relay(&self) -> Option<&str> {
        self.about.as_ref()?.relay.as_deref()
    }

    /// Who is in it.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Whether the device has a leaf in the group.
    pub fn is_member(&self, who: &Participant) -> bool {
        self.group.is_member(who)
    }

    /// Whether the device takes part, or still has a leaf.
    pub fn has(&self, who: &Participant) -> bool {
        self.roster.has_device(who) || self.is_member(who)
    }

    /// How many leaves the group has.
    pub fn members(&self) -> usize {
        self.group.facts.as_ref().map_or(0, |facts| facts.members.len())
    }

    /// The gate of its room, if there is a group.
    pub fn gate(&self) -> Option<control::Gate> {
        self.group.gate()
    }

    /// The group's public state, for a device of this person.
    ///
    /// # Errors
    /// There is no such conference, or the person is not on its roster.
    pub fn group_state(&self, who: &Aor) -> Result<Option<mls::wire::GroupState>, Refusal> {
        if self.about.is_none() {
            return Err(Refusal::NoSuchConference);
        }
        if !self.roster.includes(who) {
            return Err(Refusal::NotOnRoster(who.clone()));
        }
        Ok(self.group.ledger.as_ref().map(Ledger::group_state))
    }

    /// The tree of the present epoch: goes with each Welcome.
    pub fn tree(&self) -> Bytes {
        self.group.tree()
    }

    /// The Remove proposals that the next commit has to cover.
    pub fn proposals(&self) -> Vec<Bytes> {
        self.group.ledger.as_ref().map(Ledger::pending_proposals).unwrap_or_default()
    }

    /// The relay's room as it should be.
    pub fn room(&self) -> Option<control::Room> {
        let about = self.about.as_ref().filter(|about| about.relay.is_some())?;
        Some(control::Room {
            uri: self.uri(),
            term: about.term,
            level: match about.level {
                Level::Sealed => control::Level::Sealed,
                Level::Open => control::Level::Open,
            },
            gate: self.gate(),
            message_octets_max: self.terms.bounds.message_octets_max,
            charge: false,
            stored: self.keeps_log().then_some(Number { term: about.term, n: 0 }),
        })
    }

    /// Whether what is said is kept for devices that are away.
    pub fn keeps_log(&self) -> bool {
        self.level() == Some(Level::Sealed) && self.terms.bounds.acknowledge == Acknowledge::Stored
    }

    /// A seat of the relay's room as it should be.
    pub fn seat(&self, seat: SeatId) -> Option<control::Seat> {
        let (who, seat) = self.roster.at(seat)?;
        // Others write to the number, and it is what this one writes as: the relay knows no other name.
        let handle = self.shown_as(&who.aor);
        let aor = handle.as_ref().and_then(|handle| handle.parse().ok());
        let aor = aor.unwrap_or_else(|| who.aor.clone());
        let identities = handle.map_or_else(|| seat.identities.clone(), |handle| vec![handle]);
        Some(control::Seat {
            identities,
            muted: self.roster.is_muted(&who.aor) || !seat.end.flow.sends(),
            private_messages: seat.end.private_messages && self.rules.private_messages,
            peer_path: seat.peer_path.as_ref().map(|path| path.0.clone()),
            accept_wrapped_types: seat.end.accept_wrapped_types.clone(),
            matching: seat.end.matching(),
            reach: seat.end.reach(),
            held: !seat.end.flow.receives(),
            ..control::Seat::new(seat.id, aor, seat.mask.as_ref().unwrap_or(&who.device).clone())
        })
    }

    /// What the participant at this seat is known by.
    pub fn nickname(&self, seat: SeatId) -> Option<&Nickname> {
        self.nicknames.of(seat)
    }

    /// Everything the relay should have, as effects.
    pub fn wanted(&self) -> Vec<Effect> {
        if self.relay().is_none() {
            return Vec::new();
        }
        std::iter::once(Effect::Open).chain(self.roster.seats().map(Effect::Seat)).collect()
    }

    /// Whom a commit or an entry is waited for from.
    pub fn awaited(&self) -> Option<&Participant> {
        self.committing.awaited()
    }

    /// When [`Command::Tick`] has something to do; `None` until something else happens.
    pub fn due(&self) -> Option<SystemTime> {
        self.work().map(|(at, _)| at.into())
    }

    fn work(&self) -> Option<(At, Due)> {
        let about = self.about.as_ref()?;
        let life = self.life(about);
        if self.roster.is_deserted() || about.level == Level::Open {
            return life;
        }
        // Nobody is asked to build on an epoch that may be given up.
        let work =
            self.doubt_due().or_else(|| self.trial_due()).or_else(|| self.outcast()).or_else(
                || {
                    let work = self.committing.work(&self.view(about), &self.terms.bounds.patience);
                    work.map(|(at, work)| (at, Due::Committing(work)))
                },
            );
        life.into_iter().chain(self.expiry()).chain(work).min_by_key(|(at, _)| *at)
    }

    /// Who is there to be asked: the founder first, and last whom nobody can rely on.
    fn view(&self, about: &About) -> View<'_> {
        let faults = |who: &Participant| self.group.distrusted.get(who).copied();
        let rank = |who: &Participant| (faults(who), who.aor != *self.founder(about));
        let mut bound: Vec<&Participant> = self.roster.bound().collect();
        bound.sort_by_key(|who| rank(who));
        let group = self.group.facts.as_ref().map(|facts| Leaves {
            members: &facts.members,
            pending: &facts.pending,
            astray: &facts.astray,
        });
        View { bound, group, distrusted: &self.group.distrusted }
    }

    /// Whose certificate ends next. The device is removed then, as if it had left: it can change nothing any more,
    /// and may come back with a new certificate.
    fn expiry(&self) -> Option<(At, Due)> {
        let (end, who) = self.group.ledger.as_ref()?.next_expiry()?;
        Some((At::from(end), Due::Expired(who.into())))
    }
}

/// What is due.
enum Due {
    /// Nobody is left, or its time is over.
    End,
    /// Nobody is left, and it stays.
    Rest,
    /// Its creator has left, and this one follows.
    Inherit(Aor),
    /// The certificate of this member has ended.
    Expired(Participant),
    /// This member cannot follow, and nobody can rely on it to enter anew.
    Outcast(Participant),
    /// Nobody has vouched for the newest epoch in time.
    Trial,
    /// Those who could say whether the journal is old have said so, or are silent.
    Doubt,
    /// The group has to change.
    Committing(Work),
}
