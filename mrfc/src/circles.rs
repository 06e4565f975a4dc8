//! Circles: the order of changes in the groups of people who write to each other outside of a room. Each change is checked
//! by the rules of every group (`mls::ledger`), with the circle's people as the roster, and kept only if nobody else's was
//! first; whoever loses hears so and makes it again.
//!
//! ```text
//! founding, bundle ─► read the circle ─► check ─► put, if nothing has changed since ─► log, for each device of the group
//!                          ▲                                  │ something has
//!                          └──────────────────────────────────┘
//! ```
//!
//! It keeps no circle in memory, has no task of its own, and sees no message: [`Circles::pass`] reads the clear front of
//! one that passes by, so that nobody writes in an epoch that is over.
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use control::gate::Prefix;
use ids::{Aor, ConferenceId, Epoch, Era};
use mls::circle::Circle;
use mls::identity::{FocusKey, Roots};
use mls::ledger::{Accepted, Ledger, Policy, Refusal as Broken, Verdict, Whom};
use mls::wire::{
    Bundle, CIRCLES_MAX, CircleEntry, CircleLog, CommitResult, DeviceName, Founding, GroupState,
    LOG_ENTRIES_MAX, WelcomeDelivery,
};
use store::{CircleChange, CircleRow, CircleStanding, NewCircle, Store};

/// How often a change is tried on what somebody else has just changed.
const TRIES: usize = 4;

/// Bounds of circles.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a change stays in the log.
    pub log: Duration,
    /// How many changes stay in the log of one circle.
    pub log_entries_max: u32,
    /// Circles that one person belongs to.
    pub per_person_max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            log: Duration::from_secs(60 * 24 * 3600),
            log_entries_max: 512,
            per_person_max: 2000,
        }
    }
}

/// Why a circle is not as somebody wants it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is none, or it is not theirs: whoever asks is told neither.
    #[error("there is no such circle")]
    NoSuchCircle,
    /// The message is of an epoch that is over, or still to come.
    #[error("the circle's group is in another epoch")]
    OtherEpoch,
    /// What was brought breaks a rule.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// They belong to as many as one person may.
    #[error("you belong to as many circles as one person may")]
    TooMany,
    /// The store failed, or so many change it at once that nobody wins.
    #[error("the circle could not be kept")]
    Unavailable,
}

/// The desk of all circles. Clones share it.
#[derive(Clone)]
pub(crate) struct Circles(Arc<Inner>);

struct Inner {
    store: Store,
    roots: Roots,
    focus: FocusKey,
    wall: fn() -> SystemTime,
    bounds: Bounds,
}

impl std::fmt::Debug for Circles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Circles({:?})", self.0.bounds)
    }
}

/// A change that passed every check, before it is kept.
struct Checked {
    ledger: Ledger,
    /// What is added to the log: messages, and whom they are for.
    changes: Vec<CircleChange>,
    result: CommitResult,
}

impl Circles {
    pub(crate) fn new(
        store: Store,
        (roots, focus): (Roots, FocusKey),
        wall: fn() -> SystemTime,
        bounds: Bounds,
    ) -> Self {
        Self(Arc::new(Inner { store, roots, focus, wall, bounds }))
    }

    /// A circle begins, if it has not begun otherwise. The same founding again gets the same answer.
    pub(crate) async fn found(
        &self,
        by: &Aor,
        founding: Founding,
    ) -> Result<CommitResult, Refusal> {
        let people = founding.people.clone();
        let result = self.begin(by, founding).await?;
        self.retract(&people).await?;
        Ok(result)
    }

    async fn begin(&self, by: &Aor, founding: Founding) -> Result<CommitResult, Refusal> {
        if founding.by.aor != *by {
            return Err(Broken::NotTheSender.into());
        }
        let (id, founding) = (founding.people.id().clone(), Arc::new(founding));
        for _try in 0..TRIES {
            let (inner, founding) = (Arc::clone(&self.0), Arc::clone(&founding));
            let now = (inner.wall)();
            if let Some(row) = self.row(&id).await? {
                return blocking(move || {
                    let ledger = inner.ledger(&row)?;
                    let (era, epoch) = (ledger.era(), ledger.epoch());
                    Ok(if founding.began(&ledger, now) {
                        CommitResult::Accepted { era, epoch }
                    } else {
                        CommitResult::Lost { era, epoch, winner: [0; 32] }
                    })
                })
                .await;
            }
            let count = self.0.store.circles_count(by).await.map_err(|why| unavailable(&why))?;
            if count >= u64::from(self.0.bounds.per_person_max) {
                return Err(Refusal::TooMany);
            }
            let people = founding.people.people().cloned().collect();
            let check = move || {
                let founded = founding.ledger(&inner.focus, &inner.roots, now)?;
                Ok(checked(founded.ledger, &founded.accepted, std::slice::from_ref(&founding.by)))
            };
            if let Some(result) = self.keep(&id, 0, people, blocking(check).await?).await? {
                return Ok(result);
            }
        }
        Err(Refusal::Unavailable)
    }

    /// A device changes the group of a circle.
    pub(crate) async fn commit(
        &self,
        by: &DeviceName,
        id: &ConferenceId,
        bundle: Bundle,
    ) -> Result<CommitResult, Refusal> {
        let adds = !bundle.welcomes.is_empty();
        let result = self.change(by, id, bundle).await?;
        if adds {
            let people = self.row(id).await?.ok_or(Refusal::NoSuchCircle)?.people;
            self.retract(&Circle::of(people).map_err(|_| Refusal::NoSuchCircle)?).await?;
        }
        Ok(result)
    }

    /// Somebody may have been let in by a KeyPackage that was claimed before its device was taken back: that one has to go,
    /// or what is sealed for its person could be read by nobody but a thief. Whoever takes it back now finds it in.
    async fn retract(&self, people: &Circle) -> Result<(), Refusal> {
        let mut revoked = BTreeSet::new();
        for aor in people.people() {
            let devices = self.0.store.revoked_devices_of(aor).await;
            let devices = devices.map_err(|why| unavailable(&why))?.into_iter();
            revoked.extend(devices.map(|device| DeviceName { aor: aor.clone(), device }));
        }
        if !revoked.is_empty() {
            let whom = move |ledger: &Ledger| {
                ledger.members().filter(|member| revoked.contains(member)).cloned().collect()
            };
            self.propose(people.id(), whom).await?;
        }
        Ok(())
    }

    async fn change(
        &self,
        by: &DeviceName,
        id: &ConferenceId,
        bundle: Bundle,
    ) -> Result<CommitResult, Refusal> {
        let bundle = Arc::new(bundle);
        for _try in 0..TRIES {
            let row = self.of_person(id, &by.aor).await?;
            let (inner, bundle, by) = (Arc::clone(&self.0), Arc::clone(&bundle), by.clone());
            let (seen, now) = (row.revision, (inner.wall)());
            let decided = blocking(move || {
                let mut ledger = inner.ledger(&row)?;
                let before: Vec<DeviceName> = ledger.members().cloned().collect();
                let on_roster = |person: &Aor| row.people.contains(person);
                let policy = Policy { by: &by, on_roster: &on_roster, now };
                Ok(match ledger.check(&bundle, &policy) {
                    Ok(Verdict::New(new)) => {
                        let accepted = ledger.apply(*new)?;
                        // Whoever enters hears of it too: the echo is what lets it write.
                        let readers: Vec<_> = before.into_iter().chain([by.clone()]).collect();
                        Ok(checked(ledger, &accepted, &readers))
                    }
                    Ok(Verdict::Repeat { epoch }) => {
                        Err(CommitResult::Accepted { era: ledger.era(), epoch })
                    }
                    Err(why) => Err(why.to_result()),
                })
            });
            match decided.await? {
                Err(result) => return Ok(result),
                Ok(checked) => {
                    if let Some(result) = self.keep(id, seen, Vec::new(), checked).await? {
                        return Ok(result);
                    }
                }
            }
        }
        Err(Refusal::Unavailable)
    }

    /// A device has to go from every circle of its person: nobody writes there until a commit covers it.
    pub(crate) async fn remove(&self, device: &DeviceName) -> Result<usize, Refusal> {
        let mut removed = Ok(0);
        for circle in self.of(&device.aor).await? {
            let device = device.clone();
            let whom = move |ledger: &Ledger| {
                ledger.members().filter(|member| **member == device).cloned().collect()
            };
            // One that fails keeps it in no other.
            removed = match self.propose(circle.id(), whom).await {
                Ok(any) => removed.map(|count| count + usize::from(any)),
                Err(why) => Err(why),
            };
        }
        removed
    }

    /// Whoever's certificate has ended has to go too: nobody vouches for that device any more, and it may be anybody's.
    async fn expire(&self, id: &ConferenceId, standing: &CircleStanding) -> Result<bool, Refusal> {
        let now = (self.0.wall)();
        if standing.ends.is_none_or(|ends| now < ends) {
            return Ok(false);
        }
        self.propose(id, move |ledger| ledger.expired(now)).await?;
        Ok(true)
    }

    /// Makes a Remove pending for each of these that has none. Whether there was one to be made.
    async fn propose(
        &self,
        id: &ConferenceId,
        whom: impl Fn(&Ledger) -> Vec<DeviceName> + Clone + Send + 'static,
    ) -> Result<bool, Refusal> {
        for _try in 0..TRIES {
            let Some(row) = self.row(id).await? else { return Ok(false) };
            let (inner, whom, seen) = (Arc::clone(&self.0), whom.clone(), row.revision);
            let (known, proposed) = blocking(move || {
                let mut ledger = inner.ledger(&row)?;
                let known = standing_of(&ledger);
                let before = ledger.pending_proposals();
                let pending: Vec<DeviceName> = ledger.pending().cloned().collect();
                for device in whom(&ledger).iter().filter(|device| !pending.contains(device)) {
                    let removal = ledger.check_removal(Whom::Device(device))?;
                    ledger.apply_removal(removal)?;
                }
                let readers: Vec<DeviceName> = ledger.members().cloned().collect();
                let new = ledger.pending_proposals().into_iter().filter(|it| !before.contains(it));
                let changes = new.map(|it| change(it, None, &readers, &[])).collect();
                let (era, epoch) = (ledger.era(), ledger.epoch());
                let result = CommitResult::Accepted { era, epoch };
                Ok((known, Checked { changes, ledger, result }))
            })
            .await?;
            let any = !proposed.changes.is_empty();
            if !any {
                // What stands beside the group may be from before anybody kept it.
                let kept = self.0.store.circle_people(id).await.map_err(|why| unavailable(&why))?;
                if kept.is_some_and(|(_, kept)| kept == known) {
                    return Ok(false);
                }
            }
            if self.keep(id, seen, Vec::new(), proposed).await?.is_some() {
                return Ok(any);
            }
        }
        Err(Refusal::Unavailable)
    }

    /// What has happened in a circle after this place, for this device of one of its people.
    pub(crate) async fn log(
        &self,
        device: &DeviceName,
        id: &ConferenceId,
        after: u64,
    ) -> Result<CircleLog, Refusal> {
        let known = self.0.store.circle_people(id).await.map_err(|why| unavailable(&why))?;
        let known = known.filter(|(people, _)| people.contains(&device.aor));
        let (people, mut standing) = known.ok_or(Refusal::NoSuchCircle)?;
        // Whoever seals for a room's log reads this one first, and is not asked again.
        if self.expire(id, &standing).await? {
            standing = self.standing(id, &device.aor).await?;
        }
        let CircleStanding { era, epoch, .. } = standing;
        // Read behind the standing, the log leads to it at least; whoever is told of more than it leads to enters anew.
        let ask = (&device.aor, &device.device);
        let max = u32::try_from(LOG_ENTRIES_MAX).unwrap_or(u32::MAX);
        let read = self.0.store.circle_log(id, ask, after, max).await;
        let read = read.map_err(|why| unavailable(&why))?;
        let people = Circle::of(people).map_err(|_| Refusal::NoSuchCircle)?;
        let era = Era(era);
        let entry = |read: store::CircleRead| CircleEntry {
            seq: read.seq,
            message: read.message,
            welcome: read.welcome.map(|(welcome, tree)| WelcomeDelivery { era, welcome, tree }),
        };
        let more = read.len() == LOG_ENTRIES_MAX;
        let entries = read.into_iter().map(entry).collect();
        Ok(CircleLog { people, era, epoch: Epoch(epoch), more, entries })
    }

    /// The public state of a circle's group, for one of its people.
    pub(crate) async fn group_state(
        &self,
        who: &Aor,
        id: &ConferenceId,
    ) -> Result<GroupState, Refusal> {
        let row = self.of_person(id, who).await?;
        let inner = Arc::clone(&self.0);
        blocking(move || Ok(inner.ledger(&row)?.group_state())).await
    }

    /// The circles of a person.
    pub(crate) async fn of(&self, who: &Aor) -> Result<Vec<Circle>, Refusal> {
        let max = u32::try_from(CIRCLES_MAX).unwrap_or(u32::MAX);
        let circles = self.0.store.circles_of(who, max).await.map_err(|why| unavailable(&why))?;
        Ok(circles.into_iter().filter_map(|people| Circle::of(people).ok()).collect())
    }

    /// Whether a sealed message of this person may pass: its circle is theirs, and it was sealed in the present epoch, where
    /// nobody is whom a commit has yet to remove, or whose certificate has ended. Its author hears 412 and looks what has
    /// changed.
    pub(crate) async fn pass(&self, author: &Aor, prefix: &Prefix) -> Result<(), Refusal> {
        let mut standing = self.standing(&prefix.conference, author).await?;
        if self.expire(&prefix.conference, &standing).await? {
            standing = self.standing(&prefix.conference, author).await?;
        }
        let CircleStanding { era, epoch, paused, .. } = standing;
        if !paused && (prefix.era, prefix.epoch) == (Era(era), Epoch(epoch)) {
            Ok(())
        } else {
            Err(Refusal::OtherEpoch)
        }
    }

    async fn standing(&self, id: &ConferenceId, who: &Aor) -> Result<CircleStanding, Refusal> {
        let standing = self.0.store.circle_standing(id, who).await;
        standing.map_err(|why| unavailable(&why))?.ok_or(Refusal::NoSuchCircle)
    }

    async fn row(&self, id: &ConferenceId) -> Result<Option<CircleRow>, Refusal> {
        self.0.store.circle(id).await.map_err(|why| unavailable(&why))
    }

    async fn of_person(&self, id: &ConferenceId, who: &Aor) -> Result<CircleRow, Refusal> {
        let row = self.row(id).await?.filter(|row| row.people.contains(who));
        row.ok_or(Refusal::NoSuchCircle)
    }

    /// Keeps a change if nobody was faster.
    async fn keep(
        &self,
        id: &ConferenceId,
        seen: u64,
        people: Vec<Aor>,
        checked: Checked,
    ) -> Result<Option<CommitResult>, Refusal> {
        let Checked { ledger, changes, result } = checked;
        let Bounds { log, log_entries_max, .. } = self.0.bounds;
        let new = NewCircle {
            seen,
            people,
            standing: standing_of(&ledger),
            state: ledger.to_bytes(),
            changes,
            kept: (log, log_entries_max),
        };
        match self.0.store.put_circle(id, new, (self.0.wall)()).await {
            Ok(()) => Ok(Some(result)),
            Err(store::Error::Stale) => Ok(None),
            Err(why) => Err(unavailable(&why)),
        }
    }
}

impl Inner {
    fn ledger(&self, row: &CircleRow) -> Result<Ledger, Refusal> {
        Ledger::from_bytes(&row.state, &self.focus, &self.roots).map_err(|error| {
            tracing::error!(%error, "a circle cannot be read back");
            Refusal::Unavailable
        })
    }
}

fn standing_of(ledger: &Ledger) -> CircleStanding {
    CircleStanding {
        era: ledger.era().0,
        epoch: ledger.epoch().0,
        paused: ledger.pending().next().is_some(),
        ends: ledger.next_expiry().map(|(ends, _)| ends),
    }
}

/// What is kept of a commit, and of Removes issued again behind it. It is for `readers` and whoever it lets in.
fn checked(ledger: Ledger, accepted: &Accepted, readers: &[DeviceName]) -> Checked {
    let commit = accepted.commit.clone().unwrap_or_default();
    let tree = accepted.welcomes.first().map(|(_, delivery)| delivery.tree.clone());
    let mut changes = vec![change(commit, tree, readers, &accepted.welcomes)];
    let members: Vec<DeviceName> = ledger.members().cloned().collect();
    let again = accepted.proposals.iter();
    changes.extend(again.map(|proposal| change(proposal.clone(), None, &members, &[])));
    let result = CommitResult::Accepted { era: accepted.era, epoch: accepted.epoch };
    Checked { ledger, changes, result }
}

fn change(
    message: Bytes,
    tree: Option<Bytes>,
    readers: &[DeviceName],
    welcomes: &[(DeviceName, WelcomeDelivery)],
) -> CircleChange {
    let known = readers.iter().map(|name| (name.aor.clone(), name.device.clone(), None));
    let welcomed = welcomes.iter().map(|(name, delivery)| {
        (name.aor.clone(), name.device.clone(), Some(delivery.welcome.clone()))
    });
    CircleChange { message, tree, readers: known.chain(welcomed).collect() }
}

fn unavailable(error: &store::Error) -> Refusal {
    tracing::warn!(%error, "the store failed a circle");
    Refusal::Unavailable
}

/// Signatures by the dozen: too long for a thread that others share.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Refusal::Unavailable))
}
