//! Sealing and opening 1 KiB in a group of certificates with two past epochs, as a device that keeps its state does it:
//! with what has to be taken to the disk, and without the disk.
#![expect(clippy::unwrap_used, reason = "a bench has nobody to hand an error to")]
#![expect(clippy::print_stdout, reason = "how large the record is belongs to the figures")]
#![allow(missing_docs, reason = "criterion's macro makes a function without")]
#![expect(
    clippy::disallowed_methods,
    reason = "openmls reads this clock, the bench has to agree with it"
)]
mod shared;

use std::hint::black_box;
use std::time::SystemTime;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ids::{Aor, Era};
use mls::identity::Issuer;
use mls::ledger::{Ledger, Policy, Verdict};
use mls::member::{Member, Processed};
use mls::storage::Records;
use mls::wire::{Bundle, DeviceName, WelcomeDelivery};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::{DAY, claim, device, room};

/// A conference as big as asked for, of which two members are there.
struct Room {
    now: SystemTime,
    rng: StdRng,
    issuer: Issuer,
    ledger: Ledger,
    alice: Member,
    records: [Records; 2],
    bob: Option<Member>,
}

impl Room {
    fn of(size: usize) -> Self {
        let now = SystemTime::now();
        let mut rng = StdRng::seed_from_u64(1);
        let issuer = Issuer::generate(&mut rng, "devices", now - DAY, 400 * DAY).unwrap();
        let alice = device(&issuer, &mut rng, "alice", now);
        let (member, bundle) = Member::create(&alice, &room(), Era(1), now).unwrap();
        let policy = Policy { by: alice.device(), on_roster: &|_: &Aor| true, now };
        let (roots, focus) = (issuer.roots(), issuer.focus_key());
        let made = Ledger::create(&room(), Era(1), &bundle, &focus, roots, &policy).unwrap();
        let (ledger, _) = made.into_ledger();
        let records = [alice.records().clone(), Records::default()];
        let mut room = Self { now, rng, issuer, ledger, alice: member, records, bob: None };
        // Two epochs are for the past.
        room.add(size - 3, "early");
        room.add(1, "late");
        room.add(1, "last");
        room
    }

    fn add(&mut self, count: usize, name: &str) {
        let newcomers: Vec<_> = (0..count)
            .map(|n| device(&self.issuer, &mut self.rng, &format!("{name}{n}"), self.now))
            .collect();
        let mut claims: Vec<_> =
            newcomers.iter().map(|newcomer| claim(newcomer, self.now)).collect();
        let bob = self.bob.is_none().then(|| device(&self.issuer, &mut self.rng, "bob", self.now));
        claims.extend(bob.as_ref().map(|bob| claim(bob, self.now)));
        let bundle = self.alice.add(&claims, self.now).unwrap();
        let welcomes = self.submit(&bundle);
        if let Some(bob) = bob {
            let welcome = welcomes.iter().find(|(to, _)| to == bob.device()).unwrap();
            self.records[1] = bob.records().clone();
            self.bob = Some(Member::join(&bob, &room(), &welcome.1, self.now).unwrap());
        }
    }

    fn submit(&mut self, bundle: &Bundle) -> Vec<(DeviceName, WelcomeDelivery)> {
        let by = self.alice.me().clone();
        let policy = Policy { by: &by, on_roster: &|_: &Aor| true, now: self.now };
        let Verdict::New(checked) = self.ledger.check(bundle, &policy).unwrap() else {
            panic!("seen")
        };
        let accepted = self.ledger.apply(*checked).unwrap();
        let commit = accepted.commit.unwrap();
        for member in [Some(&mut self.alice), self.bob.as_mut()].into_iter().flatten() {
            member.process(&commit, self.now).unwrap();
        }
        accepted.welcomes
    }
}

fn messages(criterion: &mut Criterion) {
    for size in [10, 100, 1000] {
        let Room { mut alice, bob, now, records: [mine, theirs], .. } = Room::of(size);
        let mut bob = bob.unwrap();
        let plaintext = [b'x'; 1024];
        let octets = |changes: Vec<mls::storage::Change>| -> usize {
            changes.iter().filter_map(|change| Some(change.value.as_ref()?.len())).sum()
        };
        // First what is opened: whoever hears nothing of 2000 messages opens none after.
        criterion.bench_function(&format!("open 1 KiB/{size}"), |bench| {
            let open = |sealed: bytes::Bytes| {
                let opened = bob.process(&sealed, now).unwrap();
                assert!(matches!(opened, Processed::Message(_)));
                black_box((opened, octets(theirs.drain())));
            };
            bench.iter_batched(
                || alice.seal("message", &plaintext).unwrap(),
                open,
                BatchSize::PerIteration,
            );
        });
        criterion.bench_function(&format!("seal 1 KiB/{size}"), |bench| {
            bench.iter(|| {
                let sealed = alice.seal("message", &plaintext).unwrap();
                (sealed, octets(mine.drain()))
            });
        });
        mine.drain();
        criterion.bench_function(&format!("write the secrets/{size}"), |bench| {
            bench.iter(|| {
                alice.settle().unwrap();
                octets(mine.drain())
            });
        });
        alice.settle().unwrap();
        println!(
            "the secrets of {size} members and two past epochs: {} octets",
            octets(mine.drain())
        );
    }
}

criterion_group!(benches, messages);
criterion_main!(benches);
