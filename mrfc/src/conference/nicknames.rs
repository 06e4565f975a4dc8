//! Who in a conference is known by which nickname (RFC 7701, 7). A nickname belongs to one person at a time, by the
//! comparison of [`Nickname`]; each seat of that person has it only by asking for it. It ends with the seat, and is
//! kept for its person for a while.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ids::{Aor, SeatId};

use super::nickname::{Key, Nickname};
use super::nouns::At;
use super::refusal::Refusal;

/// What a conference allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicknamePolicy {
    /// Whether there are nicknames at all; 403 otherwise.
    pub allowed: bool,
    /// How long a nickname is kept for its person after its last seat is over. 10 minutes: as long as a seat outlives
    /// its dialog.
    pub quarantine: Duration,
    reserved: BTreeSet<Key>,
}

impl NicknamePolicy {
    /// A policy under which nobody gets one of the reserved words.
    pub fn new(
        allowed: bool,
        quarantine: Duration,
        reserved: impl IntoIterator<Item = Nickname>,
    ) -> Self {
        let reserved = reserved.into_iter().map(|word| word.key().clone()).collect();
        Self { allowed, quarantine, reserved }
    }
}

impl Default for NicknamePolicy {
    fn default() -> Self {
        Self { allowed: true, quarantine: Duration::from_secs(600), reserved: BTreeSet::new() }
    }
}

/// One person's right to a nickname.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    owner: Aor,
    /// The seats that use it; none while it is kept for its person.
    seats: BTreeSet<SeatId>,
    /// Until when it is kept.
    until: At,
}

/// Nicknames kept for one person who does not use them. More are given up, the oldest first, so that nobody who comes
/// and goes takes them all.
const KEPT_MAX: usize = 4;

/// All nicknames of a conference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nicknames {
    claims: BTreeMap<Key, Claim>,
    /// As their owners wrote them.
    shown: BTreeMap<SeatId, Nickname>,
}

impl Nicknames {
    /// The nickname of a seat.
    pub(super) fn of(&self, seat: SeatId) -> Option<&Nickname> {
        self.shown.get(&seat)
    }

    /// Whether this person may have this nickname now.
    pub(super) fn may_take(
        &self,
        who: &Aor,
        wish: &Nickname,
        policy: &NicknamePolicy,
        now: At,
    ) -> Result<(), Refusal> {
        let taken = self.claims.get(wish.key()).is_some_and(|claim| {
            claim.owner != *who && (!claim.seats.is_empty() || now < claim.until)
        });
        if taken || policy.reserved.contains(wish.key()) {
            return Err(Refusal::NicknameTaken);
        }
        Ok(())
    }

    /// The seat has this nickname from now on, or none. What it had before is free.
    pub(super) fn give(&mut self, seat: SeatId, owner: &Aor, nickname: Option<Nickname>, at: At) {
        self.forget(at);
        self.release(seat, at);
        let Some(nickname) = nickname else { return };
        let claim = Claim { owner: owner.clone(), seats: BTreeSet::new(), until: at };
        let claim = self.claims.entry(nickname.key().clone()).or_insert(claim);
        claim.owner = owner.clone();
        claim.seats.insert(seat);
        self.shown.insert(seat, nickname);
    }

    /// The seat is over. Its nickname is kept for its person for a while.
    pub(super) fn over(&mut self, seat: SeatId, at: At, quarantine: Duration) {
        self.release(seat, at.after(quarantine));
        self.forget(at);
    }

    fn release(&mut self, seat: SeatId, until: At) {
        let Some(nickname) = self.shown.remove(&seat) else { return };
        let Some(claim) = self.claims.get_mut(nickname.key()) else { return };
        claim.seats.remove(&seat);
        claim.until = until;
        let owner = claim.owner.clone();
        let kept = self.claims.iter().filter(|(_, c)| c.owner == owner && c.seats.is_empty());
        let mut kept: Vec<(At, Key)> =
            kept.map(|(key, claim)| (claim.until, key.clone())).collect();
        kept.sort_unstable();
        let spare = kept.len().saturating_sub(KEPT_MAX);
        for (_, key) in kept.into_iter().take(spare) {
            self.claims.remove(&key);
        }
    }

    /// Nicknames that were kept long enough are free.
    fn forget(&mut self, at: At) {
        self.claims.retain(|_, claim| !claim.seats.is_empty() || at < claim.until);
    }
}
