//! Joiners that wait for their seat at the relay, and seats that wait for their dialog after a restart.
//! It holds deadlines and reads no clock.
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use ids::SeatId;

use super::SeatGiven;
use super::ask::Reply;
use crate::conference::Refusal;

struct Waiting {
    reply: Reply<SeatGiven>,
    until: SystemTime,
}

/// The seats whose fate is open.
#[derive(Default)]
pub(super) struct Seating {
    waiting: BTreeMap<SeatId, Waiting>,
    /// The paths of the seats that are ready: another one means that the relay began anew.
    paths: BTreeMap<SeatId, String>,
    orphans: BTreeSet<SeatId>,
    orphans_until: Option<SystemTime>,
}

/// What a path from the relay means.
pub(super) enum Seated {
    /// The joiner was told, or knew.
    Known,
    /// The joiner has gone meanwhile.
    NobodyWaits,
    /// The path is not the one the joiner was told.
    Moved,
}

impl Seating {
    /// These seats have lost their dialogs with the restart of this focus.
    pub(super) fn orphaned(seats: impl Iterator<Item = SeatId>, until: SystemTime) -> Self {
        let orphans: BTreeSet<SeatId> = seats.collect();
        let orphans_until = (!orphans.is_empty()).then_some(until);
        Self { orphans, orphans_until, ..Self::default() }
    }

    pub(super) fn wait(&mut self, seat: SeatId, reply: Reply<SeatGiven>, until: SystemTime) {
        self.waiting.insert(seat, Waiting { reply, until });
    }

    /// The relay has a seat ready.
    pub(super) fn seated(&mut self, given: SeatGiven) -> Seated {
        let (seat, path) = (given.seat, given.path.clone());
        let former = self.paths.insert(seat, path.clone());
        match self.waiting.remove(&seat) {
            Some(waiting) => match waiting.reply.send(Ok(given)) {
                Ok(()) => Seated::Known,
                Err(_) => Seated::NobodyWaits,
            },
            None if former.is_some_and(|former| former != path) => Seated::Moved,
            None => Seated::Known,
        }
    }

    /// Whether its joiner has not been told yet.
    pub(super) fn is_waiting(&self, seat: SeatId) -> bool {
        self.waiting.contains_key(&seat)
    }

    /// The relay will not have this seat: its joiner, if one waits, is told why.
    pub(super) fn refused(&mut self, seat: SeatId, why: Refusal) {
        if let Some(waiting) = self.waiting.remove(&seat) {
            waiting.reply.send(Err(why)).ok();
        }
    }

    /// The seat is over.
    pub(super) fn over(&mut self, seat: SeatId) {
        self.paths.remove(&seat);
        self.orphans.remove(&seat);
        if let Some(waiting) = self.waiting.remove(&seat) {
            waiting.reply.send(Err(Refusal::NoSeat)).ok();
        }
    }

    /// When something is late.
    pub(super) fn due(&self) -> Option<SystemTime> {
        let waiting = self.waiting.values().map(|waiting| waiting.until);
        waiting.chain(self.orphans_until).min()
    }

    /// The seats whose joiners waited in vain. They are told.
    pub(super) fn late(&mut self, now: SystemTime) -> Vec<SeatId> {
        let late = self.waiting.extract_if(.., |_, waiting| waiting.until <= now);
        let late: Vec<(SeatId, Waiting)> = late.collect();
        let tell = |(seat, waiting): (SeatId, Waiting)| {
            waiting.reply.send(Err(Refusal::RelaySilent)).ok();
            seat
        };
        late.into_iter().map(tell).collect()
    }

    /// The seats that nobody has claimed.
    pub(super) fn forgotten(&mut self, now: SystemTime) -> BTreeSet<SeatId> {
        if self.orphans_until.is_none_or(|until| now < until) {
            return BTreeSet::new();
        }
        self.orphans_until = None;
        std::mem::take(&mut self.orphans)
    }
}
