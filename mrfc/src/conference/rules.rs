//! What moderators settle about a conference and about the people in it: each ruling is decided here, kept as one
//! event, and followed in `apply`. Removing and calling people are commands of their own.
use ids::{Aor, SeatId};
use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::event::What;
use super::nicknames::Nicknames;
use super::refusal::Refusal;
use super::{About, Conference};

/// Octets of a subject: a line on a screen.
pub const SUBJECT_OCTETS_MAX: usize = 256;
/// People who are kept from talking, or out, in one conference: its journal and its memory stay small.
const LISTED_MAX: usize = 10_000;

/// What holds in a conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Nobody new is let in, unless called.
    pub locked: bool,
    /// Messages to one participant alone.
    pub private_messages: bool,
    /// Nicknames.
    pub nicknames: bool,
    /// What it is about.
    pub subject: Option<String>,
}

/// Something settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// Nobody new is let in, or anybody again.
    Lock(bool),
    /// Messages to one participant alone pass, or not.
    PrivateMessages(bool),
    /// There are nicknames, or not.
    Nicknames(bool),
    /// What it is about; empty: nothing.
    Subject(String),
    /// This person may not talk.
    Mute(Aor),
    /// This person may talk again.
    Unmute(Aor),
    /// This person, who is not in, is kept out. Somebody who is in is put out with [`super::Command::Kick`].
    Ban(Aor),
    /// This person may come again.
    Unban(Aor),
    /// This person may decide about others.
    Appoint(Aor),
    /// This person may not decide about others any more.
    Dismiss(Aor),
}

/// How a ruling is said of somebody.
type OfSomebody = fn(Aor) -> Ruling;

impl Ruling {
    /// Whom it is about, and how it is said of somebody.
    pub(super) fn person(&self) -> Option<(&Aor, OfSomebody)> {
        match self {
            Self::Lock(_) | Self::PrivateMessages(_) | Self::Nicknames(_) | Self::Subject(_) => {
                None
            }
            Self::Mute(who) => Some((who, Self::Mute)),
            Self::Unmute(who) => Some((who, Self::Unmute)),
            Self::Ban(who) => Some((who, Self::Ban)),
            Self::Unban(who) => Some((who, Self::Unban)),
            Self::Appoint(who) => Some((who, Self::Appoint)),
            Self::Dismiss(who) => Some((who, Self::Dismiss)),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { locked: false, private_messages: true, nicknames: true, subject: None }
    }
}

impl Conference {
    /// What holds in it.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether a ruling changes something. Whoever makes it may.
    pub(super) fn rule(
        &self,
        about: &About,
        by: Option<&Aor>,
        ruling: &Ruling,
    ) -> Result<What, Refusal> {
        let seen = by.map(|by| self.roster.seen_as(by));
        let spared = |who: &Aor| seen.is_some_and(|by| by != who) && who == self.founder(about);
        let new = match ruling {
            Ruling::Lock(it) => *it != self.rules.locked,
            Ruling::PrivateMessages(it) => *it != self.rules.private_messages,
            Ruling::Nicknames(it) => *it != self.rules.nicknames,
            Ruling::Subject(it) => self.rules.subject.as_deref().unwrap_or_default() != it,
            Ruling::Unban(who) => self.roster.is_barred(who),
            Ruling::Unmute(who) => self.roster.is_muted(who),
            Ruling::Mute(who) | Ruling::Ban(who) | Ruling::Dismiss(who)
                if spared(who) && self.roster.is_moderator(who) =>
            {
                return Err(Refusal::Founder);
            }
            Ruling::Mute(_) | Ruling::Ban(_) if self.roster.listed() >= LISTED_MAX => {
                return Err(Refusal::Full);
            }
            Ruling::Ban(who) => !self.roster.is_barred(who),
            Ruling::Mute(who) | Ruling::Appoint(who) | Ruling::Dismiss(who)
                if !self.roster.has(who) =>
            {
                return Err(Refusal::NotOnRoster(who.clone()));
            }
            Ruling::Mute(who) => !self.roster.is_muted(who),
            Ruling::Appoint(who) => !self.roster.is_moderator(who),
            Ruling::Dismiss(who) => {
                if self.roster.is_moderator(who) && self.roster.moderators().nth(1).is_none() {
                    return Err(Refusal::LastModerator);
                }
                self.roster.is_moderator(who)
            }
        };
        if !new {
            return Err(Refusal::NothingNew);
        }
        Ok(What::Ruled { by: by.cloned(), ruling: shortened(ruling) })
    }

    /// Follows a ruling.
    pub(super) fn ruled(&mut self, ruling: &Ruling) -> Vec<Effect> {
        match ruling {
            Ruling::Lock(it) => self.rules.locked = *it,
            Ruling::Subject(it) => {
                self.rules.subject = Some(it.clone()).filter(|it| !it.is_empty());
            }
            Ruling::Nicknames(it) => {
                self.rules.nicknames = *it;
                if !it {
                    self.nicknames = Nicknames::default();
                }
            }
            Ruling::PrivateMessages(it) => {
                self.rules.private_messages = *it;
                return self.roster.seats().map(Effect::Seat).collect();
            }
            Ruling::Mute(who) => return self.muted(who, true),
            Ruling::Unmute(who) => return self.muted(who, false),
            Ruling::Ban(who) => {
                self.roster.declined(who);
                self.roster.bar(who, None);
            }
            Ruling::Unban(who) => self.roster.unbar(who),
            Ruling::Appoint(who) => self.roster.appoint(who, true),
            Ruling::Dismiss(who) => self.roster.appoint(who, false),
        }
        Vec::new()
    }

    fn muted(&mut self, who: &Aor, muted: bool) -> Vec<Effect> {
        self.roster.mute(who, muted);
        let seats = self.roster.devices_of(who).filter_map(|(_, seat)| seat);
        let seats: Vec<SeatId> = seats.map(|seat| seat.id).collect();
        seats.into_iter().map(Effect::Seat).collect()
    }
}

/// A subject is cut at its bound, between characters, and is one line.
fn shortened(ruling: &Ruling) -> Ruling {
    let Ruling::Subject(subject) = ruling else { return ruling.clone() };
    let line = subject.replace(char::is_control, " ");
    let end = line.floor_char_boundary(SUBJECT_OCTETS_MAX);
    Ruling::Subject(line.get(..end).unwrap_or_default().trim().to_owned())
}
