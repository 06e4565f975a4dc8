//! Whether everybody has seen the same group: each sealed message carries, sealed, what its author saw of the last epochs,
//! and a receiver compares that with its own. Who was led into another group for a while, and back, is noticed by the
//! first message. As long as two groups are kept apart nothing of one opens in the other, and only numbers that
//! people compare show it.
use std::collections::VecDeque;
use std::fmt::Write as _;

use ids::{Epoch, Era};
use sha2::{Digest as _, Sha256};

use super::outgoing::Generation;

/// Epochs remembered, and compared.
const REMEMBERED_MAX: usize = 64;
/// Epochs told in a message: some hundred octets.
const TOLD_MAX: usize = 6;
/// Octets of what is told of an authenticator. Nobody makes a group whose authenticators agree in them by chance.
const OCTETS: usize = 8;

/// What this device has seen.
#[derive(Debug, Default)]
pub(super) struct Witness(VecDeque<(Generation, [u8; OCTETS])>);

impl Witness {
    /// This device is in an epoch, with this authenticator.
    pub(super) fn note(&mut self, generation: Generation, authenticator: &[u8]) {
        if self.0.iter().any(|(seen, _)| *seen == generation) {
            return;
        }
        let hash: [u8; 32] = Sha256::new_with_prefix(b"conclave epoch seen")
            .chain_update(authenticator)
            .finalize()
            .into();
        let mut short = [0; OCTETS];
        short.iter_mut().zip(hash).for_each(|(to, octet)| *to = octet);
        self.0.push_back((generation, short));
        if self.0.len() > REMEMBERED_MAX {
            self.0.pop_front();
        }
    }

    /// What goes along with a message.
    pub(super) fn told(&self) -> String {
        let newest = self.0.iter().rev().take(TOLD_MAX);
        newest.fold(String::new(), |mut told, ((era, epoch), seen)| {
            let comma = if told.is_empty() { "" } else { "," };
            // Writing to memory cannot fail.
            let _written = write!(told, "{comma}{era}/{epoch}={}", hex::encode(seen));
            told
        })
    }

    /// The first epoch in which somebody has seen something else. What makes no sense says nothing.
    pub(super) fn differs(&self, told: &str) -> Option<Epoch> {
        let differing = told.split(',').take(TOLD_MAX).filter_map(parse).filter(|(of, theirs)| {
            let own = self.0.iter().find(|(generation, _)| generation == of);
            own.is_some_and(|(_, own)| own[..] != theirs[..])
        });
        differing.map(|((_, epoch), _)| epoch).min()
    }
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

    fn witness(seen: &[(u64, &[u8])]) -> Witness {
        let mut witness = Witness::default();
        seen.iter().for_each(|(epoch, authenticator)| {
            witness.note((Era(1), Epoch(*epoch)), authenticator);
        });
        witness
    }

    #[test]
    fn i4_members_who_saw_the_same_epochs_agree_and_one_who_was_led_astray_is_noticed() {
        let alice = witness(&[(1, b"one"), (2, b"two"), (3, b"three")]);
        let bob = witness(&[(2, b"two"), (3, b"three"), (4, b"four")]);
        let astray = witness(&[(1, b"one"), (2, b"another two"), (3, b"three")]);

        assert_eq!(bob.differs(&alice.told()), None);
        assert_eq!(alice.differs(&bob.told()), None);
        assert_eq!(alice.differs(&astray.told()), Some(Epoch(2)));
        assert_eq!(astray.differs(&alice.told()), Some(Epoch(2)));
    }

    #[test]
    fn what_makes_no_sense_says_nothing_and_an_old_epoch_is_forgotten() {
        let mut alice = witness(&[(1, b"one")]);
        for nonsense in ["", "1/1", "x/1=00", "1/1=zz", ",,,=,/"] {
            assert_eq!(alice.differs(nonsense), None, "{nonsense}");
        }
        let other = witness(&[(1, b"another")]).told();
        assert_eq!(alice.differs(&other), Some(Epoch(1)));
        for epoch in 2..100 {
            alice.note((Era(1), Epoch(epoch)), b"same");
        }
        assert_eq!(alice.differs(&other), None);
        assert!(alice.told().len() < 200);
    }
}
