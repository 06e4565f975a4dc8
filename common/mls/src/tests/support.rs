//! An authority, devices, and a room with a ledger and its members in one process.
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Aor, ConferenceId, Era};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::identity::{DeviceKey, Issuer, request};
use crate::ledger::{Accepted, Ledger, Policy, Refusal, Verdict, Whom};
use crate::member::{Keyring, Member, Processed};
use crate::wire::{Bundle, ClaimedKeyPackage, DeviceName, WelcomeDelivery};

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// openmls compares KeyPackage lifetimes with the system clock, so tests live in the present.
#[expect(
    clippy::disallowed_methods,
    reason = "openmls reads this clock, the tests have to agree with it"
)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

pub(super) fn name(person: &str, number: u8) -> DeviceName {
    DeviceName {
        aor: format!("sip:{person}@example.net").parse().unwrap(),
        device: format!("urn:uuid:00000000-0000-4000-8000-{number:012}").parse().unwrap(),
    }
}

pub(super) fn room7() -> ConferenceId {
    "room7".parse().unwrap()
}

/// An authority and its randomness.
pub(super) struct Realm {
    pub(super) issuer: Issuer,
    pub(super) rng: StdRng,
    pub(super) now: SystemTime,
}

impl Realm {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = now();
        let issuer =
            Issuer::generate(&mut rng, "example.net devices", now - DAY, 400 * DAY).unwrap();
        Self { issuer, rng, now }
    }

    pub(super) fn key(&mut self) -> DeviceKey {
        DeviceKey::generate(&mut self.rng)
    }

    pub(super) fn certificate(&self, key: &DeviceKey, who: &DeviceName) -> Vec<u8> {
        let csr = request(key, who).unwrap();
        self.issuer.issue(&csr, who, self.now - Duration::from_secs(60), 30 * DAY).unwrap()
    }

    /// A device with a fresh key and a good certificate.
    pub(super) fn device(&mut self, person: &str, number: u8) -> Keyring {
        let (key, who) = (self.key(), name(person, number));
        let certificate = self.certificate(&key, &who);
        Keyring::new(key, &certificate, self.issuer.roots(), self.now).unwrap()
    }
}

/// One KeyPackage of a device, as the directory would hand it out.
pub(super) fn claim(device: &Keyring) -> ClaimedKeyPackage {
    let upload = device.key_packages(1, false, now(), 30 * DAY).unwrap();
    let DeviceName { aor, device } = device.device().clone();
    ClaimedKeyPackage { aor, device, key_package: upload.packages[0].clone() }
}

/// A conference: the ledger, its members, and everything the focus has broadcast.
pub(super) struct Room {
    pub(super) realm: Realm,
    pub(super) ledger: Ledger,
    pub(super) members: Vec<Member>,
    pub(super) stream: Vec<Bytes>,
    pub(super) banned: BTreeSet<Aor>,
}

impl Room {
    /// alice creates it with her first device.
    pub(super) fn new(seed: u64) -> Self {
        Self::of(Realm::new(seed))
    }

    /// The same under this authority.
    pub(super) fn of(mut realm: Realm) -> Self {
        let alice = realm.device("alice", 1);
        Self::founded(realm, &alice)
    }

    /// The same by this device of hers.
    pub(super) fn founded(realm: Realm, alice: &Keyring) -> Self {
        let (member, bundle) = Member::create(alice, &room7(), Era(1), realm.now).unwrap();
        let policy = Policy { by: alice.device(), on_roster: &|_: &Aor| true, now: realm.now };
        let focus = realm.issuer.focus_key();
        let roots = realm.issuer.roots();
        let checked = Ledger::create(&room7(), Era(1), &bundle, &focus, roots, &policy).unwrap();
        let (ledger, _) = checked.into_ledger();
        Self { realm, ledger, members: vec![member], stream: Vec::new(), banned: BTreeSet::new() }
    }

    /// A room with these people's devices, added by alice in one commit.
    pub(super) fn with(seed: u64, others: &[(&str, u8)]) -> Self {
        let mut room = Self::new(seed);
        let devices: Vec<_> =
            others.iter().map(|(person, n)| room.realm.device(person, *n)).collect();
        room.add(0, &devices);
        room
    }

    pub(super) fn check(&self, by: &DeviceName, bundle: &Bundle) -> Result<Verdict, Refusal> {
        self.check_at(by, bundle, self.realm.now)
    }

    pub(super) fn check_at(
        &self,
        by: &DeviceName,
        bundle: &Bundle,
        now: SystemTime,
    ) -> Result<Verdict, Refusal> {
        let on_roster = |aor: &Aor| !self.banned.contains(aor);
        self.ledger.check(bundle, &Policy { by, on_roster: &on_roster, now })
    }

    /// Why the ledger turns a bundle down. Also shows that turning it down changes nothing.
    pub(super) fn refusal(&self, by: &DeviceName, bundle: &Bundle) -> Refusal {
        let before = self.ledger.to_bytes();
        let refusal = self.check(by, bundle).unwrap_err();
        assert_eq!(self.ledger.to_bytes(), before, "a refused bundle changed the ledger");
        refusal
    }

    /// Checks and applies.
    pub(super) fn accept(&mut self, by: &DeviceName, bundle: &Bundle) -> Accepted {
        match self.check(by, bundle).unwrap() {
            Verdict::New(checked) => self.ledger.apply(*checked).unwrap(),
            Verdict::Repeat { epoch } => panic!("already made epoch {epoch}"),
        }
    }

    /// Gives every active member what the focus broadcasts.
    pub(super) fn broadcast(&mut self, bytes: &Bytes) -> Vec<Processed> {
        self.stream.push(bytes.clone());
        let now = self.realm.now;
        let active = self.members.iter_mut().filter(|m| m.is_active());
        active.map(|m| m.process(bytes, now).unwrap()).collect()
    }

    /// A bundle all the way: accepted, broadcast, and its Welcomes used by the devices they are for.
    pub(super) fn submit(
        &mut self,
        by: &DeviceName,
        bundle: &Bundle,
        joining: &[Keyring],
    ) -> Accepted {
        let accepted = self.accept(by, bundle);
        let commit = accepted.commit.clone().unwrap();
        self.broadcast(&commit);
        for (to, delivery) in &accepted.welcomes {
            let device = joining.iter().find(|d| d.device() == to).unwrap();
            self.members.push(join(device, delivery, self.realm.now));
        }
        for proposal in &accepted.proposals {
            self.broadcast(proposal);
        }
        self.agree();
        accepted
    }

    pub(super) fn add(&mut self, committer: usize, devices: &[Keyring]) -> Accepted {
        let claims: Vec<_> = devices.iter().map(claim).collect();
        let bundle = self.members[committer].add(&claims, self.realm.now).unwrap();
        let by = self.members[committer].me().clone();
        self.submit(&by, &bundle, devices)
    }

    /// The focus kicks a person: Removes are pending, nobody has committed yet.
    pub(super) fn kick(&mut self, person: &str) -> Vec<Processed> {
        let aor = name(person, 1).aor;
        self.banned.insert(aor.clone());
        let checked = self.ledger.check_removal(Whom::Person(&aor)).unwrap();
        let proposals = self.ledger.apply_removal(checked).unwrap();
        proposals.iter().flat_map(|p| self.broadcast(p)).collect()
    }

    /// A device enters by external commit.
    pub(super) fn enter(&mut self, device: &Keyring) -> Accepted {
        let state = self.ledger.group_state();
        let (member, bundle) =
            Member::join_externally(device, &room7(), &state, None, self.realm.now).unwrap();
        self.members.push(member);
        self.submit(device.device(), &bundle, &[])
    }

    /// Seals with one member and opens with all others. Returns who read it.
    pub(super) fn say(&mut self, from: usize, id: &str, text: &[u8]) -> Vec<DeviceName> {
        let sealed = self.members[from].seal(id, text).unwrap();
        let author = self.members[from].me().clone();
        let now = self.realm.now;
        let mut readers = Vec::new();
        for member in self.members.iter_mut().filter(|m| m.is_active()) {
            match member.process(&sealed, now) {
                Ok(Processed::Message(opened)) => {
                    assert_eq!(opened.plaintext, text);
                    assert_eq!((opened.from, opened.message_id), (author.clone(), id.to_owned()));
                    readers.push(member.me().clone());
                }
                Ok(Processed::Own) => assert_eq!(*member.me(), author),
                other => panic!("{} got {other:?}", member.me()),
            }
        }
        readers
    }

    /// All members are in the ledger's epoch, and agree on the authenticator and the roster.
    pub(super) fn agree(&self) {
        let active: Vec<&Member> = self.members.iter().filter(|m| m.is_active()).collect();
        let roster: Vec<&DeviceName> = self.ledger.members().collect();
        for member in &active {
            assert_eq!(member.epoch(), self.ledger.epoch(), "{}", member.me());
            assert_eq!(member.authenticator(), active[0].authenticator());
            assert_eq!(member.roster().collect::<Vec<_>>(), roster);
        }
        let present: BTreeSet<&DeviceName> = active.iter().map(|m| m.me()).collect();
        assert!(present.iter().all(|me| roster.contains(me)));
    }

    pub(super) fn index(&self, who: &DeviceName) -> usize {
        self.members.iter().rposition(|m| m.me() == who).unwrap()
    }
}

pub(super) fn join(device: &Keyring, delivery: &WelcomeDelivery, now: SystemTime) -> Member {
    Member::join(device, &room7(), delivery, now).unwrap()
}
