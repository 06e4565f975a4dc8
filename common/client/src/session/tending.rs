//! When a session looks after the leaf of this device: in each new epoch, when the leaf has sealed enough, and from time to
//! time. Whoever talks or listens without a pause has no other timeout, so this has its own.
use std::time::{Duration, Instant};

use super::freshness::rest_after;
use super::outgoing::Settled;
use super::{Now, Session};
use crate::event::Error;

/// When a device that comes back first looks. It knows by then whether its keys are of the present epoch.
const SETTLED: Duration = Duration::from_secs(5);
/// How often it looks then. A leaf lives for days.
const EVERY: Duration = Duration::from_secs(60);

/// When the leaf of this device is looked at next.
#[derive(Debug, Default)]
pub(super) struct Look {
    due: Option<Instant>,
    /// The focus has refused a change of ours so often in this epoch, and nothing is tried before then.
    refused: u32,
    not_before: Option<Instant>,
}

impl Look {
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The session is in use: at the latest when that has settled.
    pub(super) fn settled(&mut self, now: Instant) {
        self.due.get_or_insert(now + SETTLED);
    }

    /// There is a new epoch: whatever was refused was for another one.
    pub(super) fn anew(&mut self, now: Instant) {
        *self = Self { due: Some(now), ..Self::default() };
    }

    /// The focus does not want our change. It is asked again, and each time it has twice as long to think better of it.
    pub(super) fn refused(&mut self, now: Instant) {
        self.refused = self.refused.saturating_add(1);
        self.not_before = Some(now + rest_after(self.refused));
        self.by(now);
    }

    /// Then, or as soon as it may be.
    fn by(&mut self, due: Instant) {
        self.due = Some(self.not_before.map_or(due, |earliest| due.max(earliest)));
    }
}

impl Session {
    /// Has the leaf replaced, if it is time to look and time for that.
    pub(super) fn tend(&mut self, now: Now) {
        if self.look.due().is_none_or(|due| due > now.instant) {
            return;
        }
        self.look.by(now.instant + EVERY);
        let renewed = self.group.refresh(&self.limits, now.wall);
        self.follow(now, renewed, None);
    }

    /// Settles what the relay has answered. If it did not take a change of ours, the focus has not heard of it and decides
    /// nothing: the change is given up.
    pub(super) fn settle_answered(&mut self, now: Now, settled: Vec<Settled>) {
        let ours = |(ticket, outcome): &Settled| match outcome {
            Err(Error::Refused { status, reason, .. }) if self.bundle == Some(*ticket) => {
                Some(format!("the relay did not take it: {status} {reason}"))
            }
            _ => None,
        };
        let why = settled.iter().find_map(ours);
        self.settle(settled);
        if let Some(why) = why {
            let follows = self.group.refused(&why);
            self.follow(now, follows, None);
        }
    }

    /// Something was to be sealed. Once for each message: what is under way is not asked for at every frame.
    pub(super) fn has_sealed(&mut self, now: Instant, before: u64) {
        if self.group.sealed() != before && self.group.is_worn(&self.limits) {
            self.look.by(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use ids::Era;
    use mls::wire::{self, CommitResult};
    use msrp::{Item, Reply, Status};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::group::Follows;
    use super::super::group::tests::Room;
    use super::super::outgoing::tests::decode;
    use super::super::trust::tests::seat;
    use super::*;
    use crate::profile::Limits;

    /// What this one says without a pause, until it sends a commit: how many messages.
    fn says_until_it_commits(alice: &mut Session, now: Now, rng: &mut StdRng) -> Option<u32> {
        (1..20).find(|_message| {
            alice.say(now, rng, "text/plain", Bytes::from_static(b"and then")).unwrap();
            let mut octets = BytesMut::new();
            for _turn in 0..2 {
                while let Some(frame) = alice.poll_frame(now, rng) {
                    frame.slices().for_each(|slice| octets.extend_from_slice(slice));
                }
                if alice.next_timeout().is_some_and(|due| due <= now.instant) {
                    alice.timeout(now, rng);
                }
            }
            let kind = wire::BUNDLE.as_bytes();
            octets.windows(kind.len()).any(|part| part == kind)
        })
    }

    #[test]
    fn who_talks_without_a_pause_replaces_its_leaf_after_so_many_messages() {
        let (mut room, mut rng) = (Room::new(), StdRng::seed_from_u64(7));
        let mut alice = seat(room.keyring("alice"), &mut rng);
        alice.limits.leaf_messages_max = 8;
        room.found(&mut alice.group, Era(1));
        let now = Now { instant: service::clock::now(), wall: room.now };
        alice.follow(now, vec![Follows::Advanced], None);

        let said = says_until_it_commits(&mut alice, now, &mut rng);

        assert!(said.is_some_and(|said| (6..=9).contains(&said)), "{said:?}");
    }

    #[test]
    fn who_hears_others_without_a_pause_still_looks_at_its_leaf() {
        let (mut room, mut rng) = (Room::new(), StdRng::seed_from_u64(7));
        let mut alice = seat(room.keyring("alice"), &mut rng);
        room.found(&mut alice.group, Era(1));
        let begin = Now { instant: service::clock::now(), wall: room.now };
        alice.follow(begin, vec![Follows::Advanced], None);
        alice.timeout(begin, &mut rng);
        let later =
            Now { instant: begin.instant + EVERY, wall: begin.wall + alice.limits.leaf_life };
        alice.alive.heard(later.instant);

        assert_eq!(alice.next_timeout(), Some(later.instant));
        alice.timeout(later, &mut rng);

        assert_eq!(alice.outgoing.len(), 1, "a commit is on its way");
    }

    #[test]
    fn a_commit_that_the_relay_does_not_take_is_given_up_and_another_one_made() {
        let (mut room, mut rng) = (Room::new(), StdRng::seed_from_u64(7));
        let mut alice = seat(room.keyring("alice"), &mut rng);
        room.found(&mut alice.group, Era(1));
        let now = Now { instant: service::clock::now(), wall: room.now };
        alice.follow(now, vec![Follows::Advanced], None);
        alice.timeout(now, &mut rng);
        while alice.poll_frame(now, &mut rng).is_some() {}
        let made = |alice: &mut Session, now: Now, rng: &mut StdRng| {
            alice.look.by(now.instant);
            alice.alive.heard(now.instant);
            alice.timeout(now, rng);
            alice.group.member().unwrap().is_committing()
        };
        let later = |secs| Now {
            instant: now.instant + Duration::from_secs(secs),
            wall: now.wall + Duration::from_secs(secs) + Limits::default().leaf_life,
        };
        assert!(made(&mut alice, later(1), &mut rng));

        let frame = std::iter::from_fn(|| alice.poll_frame(later(1), &mut rng)).last().unwrap();
        let Item::Request(chunk) = decode(&frame) else { panic!() };
        let busy = Reply::new(&chunk.head, Status::STOP_SENDING).unwrap().encode().unwrap();
        alice.receive(later(1), &decode(&busy));

        assert!(!alice.group.member().unwrap().is_committing());
        assert!(made(&mut alice, later(100), &mut rng));
    }

    /// The commits of this one in so long a time, if the focus refuses each and it says something before each look.
    fn refused_in(alice: &mut Session, time: Duration, begin: Now, rng: &mut StdRng) -> u32 {
        let refused = CommitResult::Refused { why: "not now".to_owned() }.to_bytes();
        let (mut commits, mut now) = (0, begin);
        while now.instant < begin.instant + time {
            alice.say(now, rng, "text/plain", Bytes::from_static(b"and then")).unwrap();
            while alice.poll_frame(now, rng).is_some() {}
            alice.outgoing.end("", &mut Vec::new());
            alice.alive.heard(now.instant);
            alice.timeout(now, rng);
            if alice.group.member().is_some_and(|member| member.is_committing()) {
                commits += 1;
                let follows = alice.group.decided(&refused);
                alice.follow(now, follows, None);
            }
            let step = Duration::from_secs(30);
            now = Now { instant: now.instant + step, wall: now.wall + step };
        }
        commits
    }

    #[test]
    fn whose_leaf_the_focus_will_not_have_asks_less_and_less_often_and_again_in_a_new_epoch() {
        let (mut room, mut rng) = (Room::new(), StdRng::seed_from_u64(7));
        let mut alice = seat(room.keyring("alice"), &mut rng);
        room.found(&mut alice.group, Era(1));
        alice.limits.leaf_messages_max = 8;
        let now = Now { instant: service::clock::now(), wall: room.now };
        alice.follow(now, vec![Follows::Advanced], None);

        let day = Duration::from_secs(24 * 3600);
        let commits = refused_in(&mut alice, day, now, &mut rng);
        let later = Now { instant: now.instant + day, wall: now.wall + day };
        alice.follow(later, vec![Follows::Advanced], None);
        let again = refused_in(&mut alice, Duration::from_secs(60), later, &mut rng);

        assert!((8..=14).contains(&commits), "{commits}");
        assert_eq!(again, 1);
    }
}
