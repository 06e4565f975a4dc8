//! What happens besides messages: guests come, go, are removed, lose their connection, or stop reading, at times that are
//! decided beforehand. A guest belongs to one act and does only what that says. Pure.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::{Place, Scenario};

/// What one group of guests does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// What.
    pub what: What,
    /// Guests of each room who do it.
    pub who: usize,
    /// When the first does it, from the start of measuring.
    pub at: Duration,
    /// Over how long they are spread.
    pub over: Duration,
    /// How long until each of them is back.
    pub back: Option<Duration>,
    /// After how long each of them does it again, until the run ends.
    pub every: Option<Duration>,
}

/// What a guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Comes in; `back` later leaves.
    Join,
    /// Leaves for good, and the group with it.
    Leave,
    /// Is removed by the first member.
    Kick,
    /// Ends its seat and stays a member.
    Away,
    /// Loses its connections without a word.
    Vanish,
    /// Stops reading.
    Pause,
}

impl What {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Kick => "kick",
            Self::Away => "away",
            Self::Vanish => "vanish",
            Self::Pause => "pause",
        }
    }
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, who, at, over, back, every } = self;
        write!(f, "{}: {who} guests of each room at {at:?}", what.name())?;
        if !over.is_zero() {
            write!(f, " over {over:?}")?;
        }
        if let Some(back) = back {
            write!(f, ", undone after {back:?}")?;
        }
        every.map_or(Ok(()), |every| write!(f, ", again every {every:?}"))
    }
}

/// Something a guest does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cue {
    /// When it is meant to happen, from the start of the run. Nothing that happens moves it.
    pub at: Duration,
    /// What.
    pub turn: Turn,
}

/// Which way a guest goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It comes in, or reads again.
    In,
    /// It goes, in the way of its act.
    Out,
}

impl Act {
    /// What is wrong with it in a run that measures so long.
    pub(crate) fn check(&self, measured: Duration) -> Result<(), &'static str> {
        if self.who == 0 {
            return Err("nobody does it: who must be at least 1");
        }
        let last = self.at + self.spread(self.who - 1);
        if last >= measured {
            return Err(
                "the run is over before everybody has done it: less at or over, or more duration",
            );
        }
        if self.what == What::Pause && self.back.is_none() {
            return Err("who stops reading must start again: back is missing");
        }
        if self.what == What::Kick && self.back.is_some() {
            return Err("who was removed may not come back by themselves: a kick takes no back");
        }
        match (self.back, self.every) {
            (None, Some(_)) => Err("what is done again must be undone: back is missing"),
            (Some(back), Some(every)) if every <= back => Err("every must be longer than back"),
            _ => Ok(()),
        }
    }

    /// Whether its guests are there from the start.
    #[must_use]
    pub fn starts_inside(&self) -> bool {
        self.what != What::Join
    }

    /// How long after the first this guest does it.
    fn spread(&self, index: usize) -> Duration {
        let whole = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.over.saturating_mul(whole(index)) / whole(self.who).max(1)
    }

    /// What the guest `index` of this act does, in order, in a run that ends at `end`.
    #[must_use]
    pub fn cues(&self, index: usize, warmup: Duration, end: Duration) -> Vec<Cue> {
        let mut at = warmup + self.at + self.spread(index);
        let (first, second) = match self.what {
            What::Join => (Turn::In, Turn::Out),
            _ => (Turn::Out, Turn::In),
        };
        let mut cues = Vec::new();
        while at < end {
            cues.push(Cue { at, turn: first });
            if let Some(back) = self.back {
                cues.push(Cue { at: at + back, turn: second });
            }
            match self.every {
                Some(every) => at += every,
                None => break,
            }
        }
        cues
    }
}

/// A guest and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Where it sits.
    pub place: Place,
    /// Its act.
    pub act: Act,
    /// What it does.
    pub cues: Vec<Cue>,
}

impl Scenario {
    /// The guests of a room.
    #[must_use]
    pub fn guests_of(&self, room: usize) -> Vec<Guest> {
        let (mut guests, mut member) = (Vec::new(), self.members);
        let end = self.warmup + self.measured();
        for act in &self.acts {
            for index in 0..act.who {
                let cues = act.cues(index, self.warmup, end);
                guests.push(Guest { place: Place { room, member }, act: *act, cues });
                member += 1;
            }
        }
        guests
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scenario::BadScenario;
    use crate::scenario::tests::scenario;

    const SEC: Duration = Duration::from_secs(1);

    pub(crate) fn act(what: What, who: usize) -> Act {
        Act { what, who, at: 2 * SEC, over: Duration::ZERO, back: None, every: None }
    }

    #[test]
    fn guests_are_spread_and_sit_behind_those_who_stay() {
        let acts = vec![Act { over: 4 * SEC, ..act(What::Kick, 4) }, act(What::Join, 2)];
        let scenario = Scenario { acts, ..scenario() };

        let guests = scenario.guests_of(1);

        let seen: Vec<_> =
            guests.iter().map(|guest| (guest.place.member, guest.cues[0].at)).collect();
        // A second of warm-up comes first.
        assert_eq!(
            seen,
            [(3, 3 * SEC), (4, 4 * SEC), (5, 5 * SEC), (6, 6 * SEC), (7, 3 * SEC), (8, 3 * SEC)]
        );
        assert_eq!(scenario.everybody().count(), 18);
        assert_eq!((guests[0].cues[0].turn, guests[4].cues[0].turn), (Turn::Out, Turn::In));
    }

    #[test]
    fn what_is_done_again_is_undone_first_and_ends_with_the_run() {
        let again = Act { back: Some(SEC), every: Some(3 * SEC), ..act(What::Vanish, 1) };

        let cues = again.cues(0, Duration::ZERO, 9 * SEC);

        let at: Vec<_> = cues.iter().map(|cue| (cue.at.as_secs(), cue.turn)).collect();
        let (out, back) = (Turn::Out, Turn::In);
        assert_eq!(at, [(2, out), (3, back), (5, out), (6, back), (8, out), (9, back)]);
    }

    #[test]
    fn an_act_that_cannot_be_played_is_refused_by_its_number() {
        let bad = [
            act(What::Join, 0),
            act(What::Pause, 1),
            Act { back: Some(SEC), ..act(What::Kick, 1) },
            Act { every: Some(SEC), ..act(What::Kick, 1) },
            Act { back: Some(SEC), every: Some(SEC), ..act(What::Away, 1) },
            Act { at: 10 * SEC, ..act(What::Leave, 1) },
            Act { over: 16 * SEC, ..act(What::Leave, 2) },
        ];
        for bad in bad {
            let scenario = Scenario { acts: vec![act(What::Kick, 1), bad], ..scenario() };
            assert!(matches!(scenario.schedule(), Err(BadScenario::Act(2, _))), "{bad:?}");
        }
        let just = Act { over: 15 * SEC, ..act(What::Leave, 2) };
        assert!(Scenario { acts: vec![just], ..scenario() }.schedule().is_ok());
    }
}
