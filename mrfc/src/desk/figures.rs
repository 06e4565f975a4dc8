//! What the desks count, for whoever shows it. Nothing here is kept over a start but what the journals tell again.
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ids::{ConferenceId, Epoch};

use crate::conference::{Conference, Refusal, What};

/// The figures of all desks together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Devices on rosters.
    pub participants: usize,
    /// Leaves of groups.
    pub members: usize,
    /// Changes of groups that were accepted.
    pub commits_accepted: u64,
    /// Changes that lost their epoch to another one, or came too early or twice.
    pub commits_conflicting: u64,
    /// Changes that broke a rule.
    pub commits_refused: u64,
    /// Entries of devices that had entered too often.
    pub entries_limited: u64,
    /// Groups that began: each is an era of its conference.
    pub groups_begun: u64,
    /// Groups that nobody could follow and that were given up.
    pub groups_given_up: u64,
    /// Groups that members had left behind when an old copy of the database came back.
    pub groups_outdated: u64,
}

/// Where the desks count.
#[derive(Debug, Default)]
pub(super) struct Counting(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    sum: Figures,
    conferences: HashMap<ConferenceId, (usize, usize)>,
}

impl Counting {
    /// An event was followed; the conference is like this now.
    pub(super) fn followed(&self, conference: &Conference, what: &What) {
        let mut counted = self.lock();
        let before = counted.conferences.remove(conference.id()).unwrap_or_default();
        let after = match what {
            What::Ended { .. } => (0, 0),
            _ => (conference.roster().devices(), conference.members()),
        };
        counted.sum.participants = counted.sum.participants + after.0 - before.0;
        counted.sum.members = counted.sum.members + after.1 - before.1;
        if after != (0, 0) {
            counted.conferences.insert(conference.id().clone(), after);
        }
        match what {
            What::Advanced { epoch, .. } => {
                counted.sum.commits_accepted += 1;
                counted.sum.groups_begun += u64::from(*epoch == Epoch(0));
            }
            What::GivenUp { .. } => counted.sum.groups_given_up += 1,
            What::Outdated { .. } => counted.sum.groups_outdated += 1,
            _ => {}
        }
    }

    /// A change of a group was turned down.
    pub(super) fn turned_down(&self, refusal: &Refusal) {
        use mls::ledger::Refusal as Group;
        let mut counted = self.lock();
        match refusal {
            Refusal::Repeated { .. }
            | Refusal::Group(Group::Lost { .. } | Group::Future { .. }) => {
                counted.sum.commits_conflicting += 1;
            }
            Refusal::EntersTooOften => counted.sum.entries_limited += 1,
            _ => counted.sum.commits_refused += 1,
        }
    }

    /// Devices and leaves of one conference.
    pub(super) fn of(&self, conference: &ConferenceId) -> (usize, usize) {
        self.lock().conferences.get(conference).copied().unwrap_or_default()
    }

    /// The sums now.
    pub(super) fn figures(&self) -> Figures {
        self.lock().sum
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
