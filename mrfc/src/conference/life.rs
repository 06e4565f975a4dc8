//! When a conference ends by itself, when it rests, and who follows a creator who leaves. It looks at facts and at the
//! time; what is to happen then is decided and followed like everything else.
//!
//! | kind | nobody left | creator leaves | its time is over |
//! |---|---|---|---|
//! | made by a call | ends | as [`CreatorLeaves`] says | ends |
//! | standing ([`Standing`]) | rests: no room at a relay, no group; its rules stay | goes on | goes on |
use std::time::Duration;

use ids::Aor;

use super::nouns::{At, Participant};
use super::{About, Conference, Due, Seat};

/// When a conference ends although somebody could still come. A standing one does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// This long after it was made, whoever is in it. None: never.
    pub longest: Option<Duration>,
    /// When nobody has had a seat for so long. 30 days: by then the certificates of those who were in it have ended.
    pub idle: Option<Duration>,
    /// What becomes of it when its creator leaves for good.
    pub creator_leaves: CreatorLeaves,
}

/// What becomes of a conference whose creator leaves for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreatorLeaves {
    /// It goes on; if nobody moderates it any more, whoever is seated longest does.
    #[default]
    Stay,
    /// It ends.
    End,
    /// The moderator who is seated longest takes the creator's place, and cannot be removed from now on.
    HandOn,
}

/// What is settled beforehand for a conference that outlives emptiness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who moderates it beside its creator.
    pub moderators: Vec<Aor>,
    /// What it is about.
    pub subject: Option<String>,
}

impl Default for Life {
    fn default() -> Self {
        let idle = Some(Duration::from_secs(30 * 24 * 3600));
        Self { longest: None, idle, creator_leaves: CreatorLeaves::Stay }
    }
}

impl Conference {
    /// Whether it outlives emptiness.
    pub fn is_standing(&self) -> bool {
        self.about.as_ref().is_some_and(|about| about.standing)
    }

    /// Whether it has no room at a relay, because nobody is in it.
    pub fn is_resting(&self) -> bool {
        self.about.as_ref().is_some_and(|about| about.relay.is_none())
    }

    /// What becomes of it next by itself.
    pub(super) fn life(&self, about: &About) -> Option<(At, Due)> {
        let bounds = &self.terms.bounds;
        let deserted = self.roster.is_deserted();
        if about.standing {
            let rests = deserted && about.relay.is_some();
            let since = self.vacant.unwrap_or(about.created);
            return rests.then(|| (since.after(bounds.empty), Due::Rest));
        }
        if deserted {
            let unused = about.created.after(bounds.empty);
            return Some((if about.joined { At::default() } else { unused }, Due::End));
        }
        let orphaned = about.came && self.roster.devices_of(self.founder(about)).next().is_none();
        let orphaned = match bounds.life.creator_leaves {
            CreatorLeaves::End if orphaned => Some(Due::End),
            CreatorLeaves::HandOn if orphaned => self.heir().map(Due::Inherit),
            _ => None,
        };
        let orphaned = orphaned.map(|due| (At::default(), due));
        let longest = bounds.life.longest.map(|longest| about.created.after(longest));
        let idle = self.vacant.zip(bounds.life.idle).map(|(since, idle)| since.after(idle));
        let over = longest.into_iter().chain(idle).min().map(|at| (at, Due::End));
        orphaned.into_iter().chain(over).min_by_key(|(at, _)| *at)
    }

    /// Whoever is seated longest, moderators first.
    fn heir(&self) -> Option<Aor> {
        let seated = |moderates: bool| {
            let seats = self.roster.seats().filter_map(|seat| self.roster.at(seat));
            let mut people = seats.map(|(who, _): (&Participant, &Seat)| &who.aor);
            people.find(|aor| !moderates || self.roster.is_moderator(aor))
        };
        seated(true).or_else(|| seated(false)).map(|aor| self.roster.real(aor).clone())
    }

    /// The last one to moderate has left: somebody else does. In a standing conference only if nobody is left who may,
    /// wherever they are.
    pub(super) fn succeed(&mut self) {
        if !self.is_standing() || self.roster.moderators().next().is_none() {
            self.roster.succeed();
        }
    }

    /// Follows the time: since when nobody has a seat.
    pub(super) fn note_vacancy(&mut self, at: At) {
        self.vacant = match self.roster.seats().next() {
            Some(_) => None,
            None => self.vacant.or(Some(at)),
        };
    }
}
