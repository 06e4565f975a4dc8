//! How long the leaf of this device may stay as it is. Whoever copied its keys reads on until it is replaced (RFC 9420,
//! 16.6), so it goes after a time or a number of messages. Everybody follows every commit: a group in which all do it at
//! once stands still, so each device has its own part of the time, from its name and the leaf.
//!
//! It counts and compares. Time is an argument; the commit is for whoever holds the group: a session, a circle's task.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ids::{ConferenceId, Epoch};
use mls::member::{Member, OwnLeaf};
use mls::storage::Records;

use crate::profile::Limits;

/// Messages between two notes of how many there were: what a crash may forget.
const NOTED_EVERY: u64 = 256;
/// How long after a leaf was replaced because of a message out of reach that is done again: a member can have everybody
/// see such messages.
const REACH_AGAIN: Duration = Duration::from_secs(3600);
/// How long a group is left alone after it has refused a new leaf for the first time; twice as long each time after that.
const REFUSED: Duration = Duration::from_secs(60);
/// And how long at most.
const REFUSED_MAX: Duration = Duration::from_secs(6 * 3600);
/// Octets of a note.
const NOTE_OCTETS: usize = 32 + 8 + 8 + 8;

/// The leaf of this device in one group.
#[derive(Debug)]
pub(crate) struct Freshness {
    /// Where it is noted.
    name: Vec<u8>,
    leaf: Option<Leaf>,
    /// The epoch in which so much of somebody is missing that nothing more of theirs opens.
    missing: Option<Epoch>,
    /// When the leaf was last replaced for that.
    reached: Option<SystemTime>,
    /// When the group last refused a new leaf, and how often it has in a row.
    refused: Option<(SystemTime, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaf {
    id: [u8; 32],
    /// Since when its keys have been about.
    made: SystemTime,
    /// Since when this device has been in the group with it.
    used: SystemTime,
    /// What it has sealed.
    sealed: u64,
}

/// How long a group is left alone that has refused a new leaf so many times in a row.
pub(super) fn rest_after(times: u32) -> Duration {
    REFUSED.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(REFUSED_MAX)
}

impl Freshness {
    /// As the device left it, if it keeps anything.
    pub(crate) fn kept(records: &Records, conference: &ConferenceId) -> Self {
        let name = format!("leaf/{conference}").into_bytes();
        let leaf = records.noted(&name).and_then(|note| Leaf::read(&note));
        Self { name, leaf, missing: None, reached: None, refused: None }
    }

    /// Nothing more of somebody opens in this epoch. In the next one all begin anew, with this leaf's new keys.
    pub(crate) fn out_of_reach(&mut self, epoch: Epoch) {
        self.missing = Some(epoch);
    }

    /// The device has this leaf now.
    fn has(&mut self, records: &Records, leaf: OwnLeaf, now: SystemTime) {
        if self.leaf.is_some_and(|known| known.id == leaf.id) {
            return;
        }
        let made = leaf.made.unwrap_or(now).min(now);
        let new = Leaf { id: leaf.id, made, used: now, sealed: 0 };
        records.note(&self.name, new.write());
        (self.leaf, self.refused) = (Some(new), None);
    }

    /// The group would not have a new leaf: it is not asked at every occasion.
    pub(crate) fn refused(&mut self, now: SystemTime) {
        let before = self.refused.map_or(0, |(_at, times)| times);
        self.refused = Some((now, before.saturating_add(1)));
    }

    /// Whether it is too early to try again.
    fn rests(&self, now: SystemTime) -> bool {
        let Some((at, times)) = self.refused else { return false };
        now.duration_since(at).is_ok_and(|since| since < rest_after(times))
    }

    /// A message was sealed.
    pub(crate) fn sealed(&mut self, records: &Records) {
        let Some(leaf) = &mut self.leaf else { return };
        leaf.sealed += 1;
        if leaf.sealed.is_multiple_of(NOTED_EVERY) {
            records.note(&self.name, leaf.write());
        }
    }

    /// How many messages the leaf has sealed, if this device has looked at it.
    pub(crate) fn count(&self) -> u64 {
        self.leaf.map_or(0, |leaf| leaf.sealed)
    }

    /// Whether it has sealed so many that it has to go.
    pub(crate) fn is_worn(&self, limits: &Limits) -> bool {
        let Some(leaf) = &self.leaf else { return false };
        let quarter = limits.leaf_messages_max / 4;
        let own = u128::from(quarter) * u128::from(leaf.part()) / u128::from(u16::MAX);
        let most = limits.leaf_messages_max - quarter;
        u128::from(leaf.sealed) >= u128::from(most) + own
    }

    /// Whether the leaf that this device has in the group now has to go, and may.
    pub(crate) fn is_due(
        &mut self,
        records: &Records,
        member: &Member,
        limits: &Limits,
        now: SystemTime,
    ) -> bool {
        if let Some(leaf) = member.own_leaf() {
            self.has(records, leaf, now);
        }
        let may = member.is_active() && !member.is_paused() && !self.rests(now);
        let is_due = member.is_outdated() || self.is_over(limits, now);
        may && (is_due || self.is_missing(member.epoch(), now))
    }

    /// Whether the present epoch has to end, for once.
    fn is_missing(&mut self, present: Epoch, now: SystemTime) -> bool {
        let again = self
            .reached
            .is_none_or(|at| now.duration_since(at).is_ok_and(|since| since >= REACH_AGAIN));
        if !again || self.missing.take() != Some(present) {
            return false;
        }
        self.reached = Some(now);
        true
    }

    /// Whether the leaf has to go.
    fn is_over(&self, limits: &Limits, now: SystemTime) -> bool {
        let Some(leaf) = &self.leaf else { return false };
        // Between three quarters of the time and the whole of it. A crowd that came together with KeyPackages that are
        // all old has a quarter of it from when it came. What cannot be reckoned with is never.
        let (quarter, part) = (limits.leaf_life / 4, leaf.part());
        let own = share(quarter, part);
        let old = leaf.made.checked_add(quarter * 3 + own);
        let settled = leaf.used.checked_add(own);
        let is_old = old.zip(settled).is_some_and(|(old, settled)| now >= old.max(settled));
        is_old || self.is_worn(limits)
    }
}

/// This part of a time, of 65535.
fn share(time: Duration, part: u16) -> Duration {
    time / u32::from(u16::MAX) * u32::from(part)
}

impl Leaf {
    /// Where in the time this leaf is: any place is as likely as any other.
    fn part(&self) -> u16 {
        let [high, low, ..] = self.id;
        u16::from_be_bytes([high, low])
    }

    fn write(&self) -> Vec<u8> {
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let numbers = [seconds(self.made), seconds(self.used), self.sealed];
        let numbers = numbers.into_iter().flat_map(u64::to_be_bytes);
        self.id.into_iter().chain(numbers).collect()
    }

    fn read(note: &[u8]) -> Option<Self> {
        let note: &[u8; NOTE_OCTETS] = note.try_into().ok()?;
        let (id, numbers) = note.split_first_chunk()?;
        let number = |at: usize| {
            let octets = numbers.chunks_exact(8).nth(at)?.try_into().ok()?;
            Some(u64::from_be_bytes(octets))
        };
        let at = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let (made, used) = (at(number(0)?)?, at(number(1)?)?);
        Some(Self { id: *id, made, used, sealed: number(2)? })
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn limits() -> Limits {
        Limits { leaf_life: 8 * DAY, leaf_messages_max: 1000, ..Limits::default() }
    }

    fn at(days: u32) -> SystemTime {
        UNIX_EPOCH + 20_000 * DAY + days * DAY
    }

    fn leaf(number: u32, made: Option<SystemTime>) -> OwnLeaf {
        OwnLeaf { id: Sha256::digest(number.to_be_bytes()).into(), made }
    }

    fn fresh(number: u32, made: Option<SystemTime>, now: SystemTime) -> Freshness {
        let records = Records::default();
        let mut freshness = Freshness::kept(&records, &"room7".parse().unwrap());
        freshness.has(&records, leaf(number, made), now);
        freshness
    }

    #[test]
    fn a_leaf_goes_in_the_last_quarter_of_its_life_and_not_before() {
        for number in 0..100 {
            let freshness = fresh(number, None, at(0));

            assert!(!freshness.is_over(&limits(), at(6) - Duration::from_secs(1)), "{number}");
            assert!(freshness.is_over(&limits(), at(8)), "{number}");
        }
    }

    #[test]
    fn a_thousand_leaves_of_one_hour_do_not_go_in_one_hour() {
        let crowd: Vec<_> = (0..1000).map(|number| fresh(number, None, at(0))).collect();
        let over = |hours: u32| {
            let now = at(6) + DAY / 24 * hours;
            crowd.iter().filter(|freshness| freshness.is_over(&limits(), now)).count()
        };

        let hours = (0..48).map(|hour| over(hour + 1) - over(hour));
        let each_hour: Vec<usize> = [over(0)].into_iter().chain(hours).collect();

        assert!(each_hour.iter().all(|count| *count < 50), "{each_hour:?}");
        assert_eq!(over(48), 1000);
    }

    #[test]
    fn a_leaf_is_as_old_as_its_key_package_but_a_crowd_has_time_from_when_it_came() {
        let crowd: Vec<_> = (0..1000).map(|number| fresh(number, Some(at(0)), at(30))).collect();
        let over = |now| crowd.iter().filter(|it| it.is_over(&limits(), now)).count();

        assert!(over(at(30)) < 5, "{}", over(at(30)));
        assert!(over(at(31)) > 400 && over(at(31)) < 600, "{}", over(at(31)));
        assert_eq!(over(at(32)), 1000);
        assert!(!fresh(1, Some(at(0)), at(1)).is_over(&limits(), at(5)));
        assert!(fresh(1, Some(at(0)), at(1)).is_over(&limits(), at(8)), "not the day it came");
    }

    #[test]
    fn a_leaf_goes_after_so_many_messages() {
        let records = Records::default();
        let mut freshness = fresh(7, None, at(0));
        let over = |freshness: &Freshness| freshness.is_over(&limits(), at(0));
        let sealed = (0..2000).take_while(|_| {
            freshness.sealed(&records);
            !over(&freshness)
        });
        let sealed = sealed.count() + 1;

        assert!((750..=1000).contains(&sealed), "{sealed}");
    }

    #[test]
    fn a_new_leaf_begins_anew_and_the_same_one_goes_on() {
        let records = Records::default();
        let mut freshness = fresh(7, None, at(0));
        freshness.has(&records, leaf(7, None), at(7));
        assert!(freshness.is_over(&limits(), at(8)));

        freshness.has(&records, leaf(8, None), at(8));

        assert!(!freshness.is_over(&limits(), at(13)));
    }

    #[test]
    fn who_was_refused_a_new_leaf_rests_for_longer_each_time_until_there_is_one() {
        let (mut freshness, begin) = (fresh(7, None, at(0)), at(8));
        let mut tries = 0;
        for minute in 0..24 * 60 {
            let now = begin + Duration::from_secs(60 * minute);
            if !freshness.rests(now) {
                tries += 1;
                freshness.refused(now);
            }
        }

        assert!((9..=13).contains(&tries), "{tries} in a day");
        assert!(freshness.rests(begin + DAY));
        freshness.has(&Records::default(), leaf(8, None), begin + DAY);
        assert!(!freshness.rests(begin + DAY));
    }

    #[test]
    fn a_restart_makes_no_leaf_younger() {
        let records = Records::default();
        let room = "room7".parse().unwrap();
        let mut freshness = Freshness::kept(&records, &room);
        freshness.has(&records, leaf(7, Some(at(0))), at(0));
        (0..600).for_each(|_| freshness.sealed(&records));

        let mut back = Freshness::kept(&records, &room);
        back.has(&records, leaf(7, Some(at(0))), at(7));

        assert!(back.is_over(&limits(), at(8)));
        assert_eq!(back.leaf.unwrap().sealed, 512, "what a crash forgets is bounded");
    }

    #[test]
    fn bounds_without_end_are_never_reached() {
        let never = Limits { leaf_life: Duration::MAX, leaf_messages_max: u64::MAX, ..limits() };

        assert!(!fresh(7, None, at(0)).is_over(&never, at(1_000_000)));
    }

    #[test]
    fn a_device_that_is_in_no_group_has_nothing_to_replace() {
        let freshness = Freshness::kept(&Records::default(), &"room7".parse().unwrap());

        assert!(!freshness.is_over(&limits(), at(9999)));
    }
}
