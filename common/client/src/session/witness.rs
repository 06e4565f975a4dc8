//! Whether everybody has seen the same group: each sealed message carries, sealed, what its author saw of some epochs, and
//! a receiver compares that with its own. Who was led into another group for a while, and back, is noticed by the first
//! messages. A server can have everybody come back by a new seat, so what was seen is kept with the device. As long as
//! two groups are kept apart nothing of one opens in the other, and only numbers that people compare show it.
use std::collections::VecDeque;
use std::fmt::Write as _;

use ids::{ConferenceId, Epoch, Era};
use mls::storage::Records;
use sha2::{Digest as _, Sha256};

use super::outgoing::Generation;

/// Epochs remembered, and compared.
const REMEMBERED_MAX: usize = 64;
/// Epochs told in a message: some hundred octets.
const TOLD_MAX: usize = 6;
/// Of these the newest. The others are older ones in turn: whoever leads people apart can have some epochs go by
/// before they hear each other again.
const NEWEST: usize = 4;
/// Octets of what is told of an authenticator. Nobody makes a group whose authenticators agree in them by chance.
const OCTETS: usize = 8;
/// Octets of a generation in a note.
const GENERATION_OCTETS: usize = 4 + 8;

/// What this device has seen of one group.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    seen: VecDeque<(Generation, [u8; OCTETS])>,
    /// The newest generation in which a difference was told of.
    told_of: Option<Generation>,
    /// Which of the older epochs come next.
    turn: usize,
    /// Where it is kept, and under which name.
    notes: Option<(Records, Vec<u8>)>,
}

impl Witness {
    /// As the device left it, if it keeps anything.
    pub(crate) fn kept(records: &Records, conference: &ConferenceId) -> Self {
        let name = format!("witness/{conference}").into_bytes();
        let mut witness = Self::default();
        if let Some(note) = records.noted(&name) {
            witness.read(&note);
        }
        witness.notes = Some((records.clone(), name));
        witness
    }

    /// This device is in an epoch, with this authenticator. What it has seen first counts.
    pub(crate) fn note(&mut self, generation: Generation, authenticator: &[u8]) {
        if self.seen.iter().any(|(seen, _)| *seen == generation) {
            return;
        }
        let hash: [u8; 32] = Sha256::new_with_prefix(b"conclave epoch seen")
            .chain_update(authenticator)
            .finalize()
            .into();
        let mut short = [0; OCTETS];
        short.iter_mut().zip(hash).for_each(|(to, octet)| *to = octet);
        self.seen.push_back((generation, short));
        if self.seen.len() > REMEMBERED_MAX {
            self.seen.pop_front();
        }
        self.keep();
    }

    /// What goes along with a message.
    pub(crate) fn told(&mut self) -> String {
        let older = self.seen.len().saturating_sub(NEWEST);
        let in_turn = (0..older.min(TOLD_MAX - NEWEST)).map(|next| (self.turn + next) % older);
        let newest = self.seen.iter().rev().take(NEWEST);
        let all = newest.chain(in_turn.filter_map(|at| self.seen.get(at)));
        let told = all.fold(String::new(), |mut told, ((era, epoch), seen)| {
            let comma = if told.is_empty() { "" } else { "," };
            // Writing to memory cannot fail.
            let _written = write!(told, "{comma}{era}/{epoch}={}", hex::encode(seen));
            told
        });
        self.turn = self.turn.wrapping_add(TOLD_MAX - NEWEST);
        told
    }

    /// The first epoch in which somebody has seen something else, if it is news. What makes no sense says nothing.
    pub(crate) fn compare(&mut self, told: &str) -> Option<Epoch> {
        let differs = |(of, theirs): &(Generation, Vec<u8>)| {
            let own = self.seen.iter().find(|(generation, _)| generation == of);
            let known = self.told_of.is_some_and(|told_of| *of <= told_of);
            !known && own.is_some_and(|(_, own)| own[..] != theirs[..])
        };
        let differing = told.split(',').take(TOLD_MAX).filter_map(parse).filter(differs);
        let differing: Vec<Generation> = differing.map(|(of, _)| of).collect();
        let first = differing.iter().min()?.1;
        self.told_of = differing.into_iter().max();
        self.keep();
        Some(first)
    }

    fn keep(&self) {
        let Some((records, name)) = &self.notes else { return };
        let octets =
            |(era, epoch): Generation| era.0.to_be_bytes().into_iter().chain(epoch.0.to_be_bytes());
        // Nobody is ever in a generation 0.
        let told_of = octets(self.told_of.unwrap_or_default());
        let seen = self.seen.iter().flat_map(|(of, seen)| octets(*of).chain(*seen));
        let note: Vec<u8> = told_of.chain(seen).collect();
        records.note(name, note);
    }

    fn read(&mut self, note: &[u8]) {
        let Some((told_of, seen)) = note.split_at_checked(GENERATION_OCTETS) else { return };
        self.told_of = generation(told_of).filter(|of| *of != Generation::default());
        let entry = |octets: &[u8]| {
            let (of, seen) = octets.split_at_checked(GENERATION_OCTETS)?;
            Some((generation(of)?, seen.try_into().ok()?))
        };
        let all = seen.chunks_exact(GENERATION_OCTETS + OCTETS).take(REMEMBERED_MAX);
        self.seen = all.filter_map(entry).collect();
    }
}

fn generation(octets: &[u8]) -> Option<Generation> {
    let (era, epoch) = octets.split_at_checked(4)?;
    let era = u32::from_be_bytes(era.try_into().ok()?);
    Some((Era(era), Epoch(u64::from_be_bytes(epoch.try_into().ok()?))))
}

fn parse(entry: &str) -> Option<(Generation, Vec<u8>)> {
    let (generation, seen) = entry.trim().split_once('=')?;
    let (era, epoch) = generation.split_once('/')?;
    let generation = (Era(era.parse().ok()?), Epoch(epoch.parse().ok()?));
    Some((generation, hex::decode(seen).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(mut witness: Witness, seen: &[(u64, &[u8])]) -> Witness {
        seen.iter().for_each(|(epoch, authenticator)| {
            witness.note((Era(1), Epoch(*epoch)), authenticator);
        });
        witness
    }

    fn witness(seen: &[(u64, &[u8])]) -> Witness {
        saw(Witness::default(), seen)
    }

    #[test]
    fn i4_members_who_saw_the_same_epochs_agree_and_one_who_was_led_astray_is_noticed() {
        let mut alice = witness(&[(1, b"one"), (2, b"two"), (3, b"three")]);
        let mut bob = witness(&[(2, b"two"), (3, b"three"), (4, b"four")]);
        let mut astray = witness(&[(1, b"one"), (2, b"another two"), (3, b"three")]);

        assert_eq!(bob.compare(&alice.told()), None);
        assert_eq!(alice.compare(&bob.told()), None);
        assert_eq!(alice.compare(&astray.told()), Some(Epoch(2)));
        assert_eq!(astray.compare(&alice.told()), Some(Epoch(2)));
    }

    #[test]
    fn i4_each_leading_astray_is_told_of_once_also_after_a_restart() {
        let (records, room) = (Records::kept([]), "room7".parse().unwrap());
        let mut first = witness(&[(2, b"another two"), (3, b"another three")]);
        let mut second = witness(&[(3, b"another three"), (4, b"four"), (5, b"another five")]);
        let mut alice =
            saw(Witness::kept(&records, &room), &[(2, b"two"), (3, b"three"), (4, b"four")]);

        assert_eq!(alice.compare(&first.told()), Some(Epoch(2)));
        assert_eq!(alice.compare(&first.told()), None);
        let mut alice = saw(Witness::kept(&records, &room), &[(5, b"five")]);
        assert_eq!(alice.compare(&first.told()), None);
        assert_eq!(alice.compare(&second.told()), Some(Epoch(5)));
        let mut elsewhere = Witness::kept(&records, &"room8".parse().unwrap());
        assert_eq!(elsewhere.compare(&second.told()), None);
    }

    #[test]
    fn i4_a_device_that_comes_back_says_and_knows_what_it_saw_before() {
        let (records, room) = (Records::kept([]), "room7".parse().unwrap());
        drop(saw(Witness::kept(&records, &room), &[(1, b"one"), (2, b"two")]));
        let mut astray = witness(&[(2, b"another two"), (3, b"three")]);

        let told = saw(Witness::kept(&records, &room), &[(3, b"three")]).told();
        assert_eq!(astray.compare(&told), Some(Epoch(2)));
        let mut back = Witness::kept(&records, &room);
        assert_eq!(back.compare(&astray.told()), Some(Epoch(2)));
    }

    #[test]
    fn i4_epochs_that_go_by_hide_nothing_while_they_are_remembered() {
        let mut astray = witness(&[(1, b"another one")]);
        let mut alice = witness(&[(1, b"one")]);
        for epoch in 2..50 {
            alice.note((Era(1), Epoch(epoch)), b"same");
            astray.note((Era(1), Epoch(epoch)), b"same");
        }

        let noticed = (1..=25).find(|_message| alice.compare(&astray.told()) == Some(Epoch(1)));

        assert!(noticed.is_some());
    }

    #[test]
    fn what_makes_no_sense_says_nothing_and_an_old_epoch_is_forgotten() {
        let mut alice = witness(&[(1, b"one")]);
        for nonsense in ["", "1/1", "x/1=00", "1/1=zz", ",,,=,/"] {
            assert_eq!(alice.compare(nonsense), None, "{nonsense}");
        }
        let other = witness(&[(1, b"another")]).told();
        for epoch in 2..100 {
            alice.note((Era(1), Epoch(epoch)), b"same");
        }
        assert_eq!(alice.compare(&other), None);
        assert!(alice.told().len() < 200);
        alice.read(b"no note");
        assert_eq!(alice.compare("1/99=00"), Some(Epoch(99)), "what it knew it knows");
    }
}
