//! A conference in one process: the ledger of the focus, members of ours, and guests that run mls-rs.
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Aor, ConferenceId, Era};
use mls::identity::{DeviceKey, Issuer, request};
use mls::ledger::{Accepted, Ledger, Policy, Refusal, Verdict, Whom};
use mls::member::{Keyring, Member, Processed};
use mls::wire::{Bundle, ClaimedKeyPackage, DeviceName, WelcomeDelivery};
use mls_rs::client_builder::MlsConfig;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::guest::{Guest, Heard};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn room7() -> ConferenceId {
    "room7".parse().unwrap()
}

pub(crate) fn name(person: &str) -> DeviceName {
    DeviceName {
        aor: format!("sip:{person}@example.net").parse().unwrap(),
        device: "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap(),
    }
}

/// The authority of the domain.
pub(crate) struct Realm {
    pub(crate) issuer: Issuer,
    pub(crate) rng: StdRng,
    pub(crate) now: SystemTime,
}

impl Realm {
    #[expect(clippy::disallowed_methods, reason = "both implementations read this clock")]
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = SystemTime::now();
        let issuer =
            Issuer::generate(&mut rng, "example.net devices", now - DAY, 400 * DAY).unwrap();
        Self { issuer, rng, now }
    }

    fn device(&mut self, name: &DeviceName) -> Keyring {
        let key = DeviceKey::generate(&mut self.rng);
        let begins = self.now - Duration::from_secs(60);
        let csr = request(&key, name).unwrap();
        let certificate = self.issuer.issue(&csr, name, begins, 30 * DAY).unwrap();
        Keyring::new(key, &certificate, self.issuer.roots(), self.now).unwrap()
    }
}

/// Everything there is of one conference.
pub(crate) struct Room<C: MlsConfig> {
    pub(crate) realm: Realm,
    pub(crate) ledger: Ledger,
    pub(crate) members: Vec<Member>,
    pub(crate) guests: Vec<Guest<C>>,
    /// Makes a device that runs mls-rs.
    newcomer: fn(&mut Realm, &DeviceName) -> Guest<C>,
    /// Keyrings of our devices, the newest last.
    keyrings: Vec<Keyring>,
    banned: BTreeSet<Aor>,
}

impl<C: MlsConfig> Room<C> {
    /// alice makes it, with our implementation.
    pub(crate) fn new(seed: u64, newcomer: fn(&mut Realm, &DeviceName) -> Guest<C>) -> Self {
        let mut realm = Realm::new(seed);
        let alice = realm.device(&name("alice"));
        let (member, bundle) = Member::create(&alice, &room7(), Era(1), realm.now).unwrap();
        let policy = Policy { by: alice.device(), on_roster: &|_: &Aor| true, now: realm.now };
        let (focus, roots) = (realm.issuer.focus_key(), realm.issuer.roots());
        let made = Ledger::create(&room7(), Era(1), &bundle, &focus, roots, &policy).unwrap();
        let (ledger, _) = made.into_ledger();
        let members = vec![member];
        let (guests, keyrings, banned) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { realm, ledger, members, guests, newcomer, keyrings, banned }
    }

    /// A KeyPackage of a new device of ours.
    pub(crate) fn claim_of_ours(&mut self, person: &str) -> ClaimedKeyPackage {
        let keyring = self.realm.device(&name(person));
        let mut upload = keyring.key_packages(1, false, self.realm.now, 30 * DAY).unwrap();
        let DeviceName { aor, device } = keyring.device().clone();
        self.keyrings.push(keyring);
        ClaimedKeyPackage { aor, device, key_package: upload.packages.remove(0) }
    }

    /// A device that runs mls-rs, not yet in the room.
    pub(crate) fn guest(&mut self, person: &str) -> Guest<C> {
        (self.newcomer)(&mut self.realm, &name(person))
    }

    /// A KeyPackage of a new guest, who waits to be let in.
    pub(crate) fn claim_of_a_guest(&mut self, person: &str) -> ClaimedKeyPackage {
        let guest = self.guest(person);
        let claim = guest.claim(self.realm.now);
        self.guests.push(guest);
        claim
    }

    pub(crate) fn judge(&self, by: &DeviceName, bundle: &Bundle) -> Result<Verdict, Refusal> {
        let on_roster = |aor: &Aor| !self.banned.contains(aor);
        let policy = Policy { by, on_roster: &on_roster, now: self.realm.now };
        self.ledger.check(bundle, &policy)
    }

    /// A bundle all the way: accepted, its commit to everybody, its Welcomes to whom they are for.
    pub(crate) fn submit(&mut self, by: &DeviceName, bundle: &Bundle) -> Accepted {
        let Verdict::New(checked) = self.judge(by, bundle).unwrap() else { panic!("seen before") };
        let accepted = self.ledger.apply(*checked).unwrap();
        // Who entered by its own commit is in the new epoch already.
        let entrant = accepted.added.contains(by).then_some(by);
        self.broadcast(accepted.commit.as_ref().unwrap(), entrant);
        for (to, delivery) in &accepted.welcomes {
            self.welcome(to, delivery);
        }
        for proposal in &accepted.proposals {
            self.broadcast(proposal, None);
        }
        self.agree();
        accepted
    }

    fn welcome(&mut self, to: &DeviceName, delivery: &WelcomeDelivery) {
        if let Some(guest) = self.guests.iter_mut().find(|guest| guest.name == *to) {
            return guest.join(delivery).unwrap();
        }
        let keyring = self.keyring(to);
        self.members.push(Member::join(&keyring, &room7(), delivery, self.realm.now).unwrap());
    }

    /// The keys of a device of ours that was let in.
    pub(crate) fn keyring(&self, of: &DeviceName) -> Keyring {
        self.keyrings.iter().rfind(|keyring| keyring.device() == of).unwrap().clone()
    }

    /// Everybody who is in takes it in, but for one guest who has it. Who is removed by it is out.
    fn broadcast(&mut self, bytes: &Bytes, has_it: Option<&DeviceName>) {
        for member in &mut self.members {
            member.process(bytes, self.realm.now).unwrap();
        }
        self.members.retain(Member::is_active);
        let present = self.guests.iter_mut().filter(|guest| guest.group.is_some());
        for guest in present.filter(|guest| has_it != Some(&guest.name)) {
            if guest.hear(bytes).unwrap() == Heard::Removed {
                guest.group = None;
            }
        }
    }

    /// The focus wants a person out: nobody may write until a commit covers it.
    pub(crate) fn kick(&mut self, person: &str) {
        let aor = name(person).aor;
        self.banned.insert(aor.clone());
        let checked = self.ledger.check_removal(Whom::Person(&aor)).unwrap();
        for proposal in self.ledger.apply_removal(checked).unwrap() {
            self.broadcast(&proposal, None);
        }
    }

    /// Both implementations see one epoch, one roster and one secret.
    pub(crate) fn agree(&self) {
        let roster: Vec<DeviceName> = self.ledger.members().cloned().collect();
        let (epoch, secret) = (self.ledger.epoch(), self.members[0].authenticator());
        for member in &self.members {
            assert_eq!((member.epoch(), member.authenticator()), (epoch, secret));
            assert_eq!(member.roster().cloned().collect::<Vec<_>>(), roster);
        }
        for guest in self.guests.iter().filter(|guest| guest.group.is_some()) {
            assert_eq!(guest.epoch(), epoch.0, "{}", guest.name);
            assert_eq!(guest.authenticator(), secret, "{} has another secret", guest.name);
            assert_eq!(guest.roster(&self.realm), roster, "{} sees others", guest.name);
        }
    }

    /// Everybody who is in writes, and everybody else reads it.
    pub(crate) fn talk(&mut self) {
        let said: Vec<(DeviceName, Bytes)> = self.everybody_seals();
        for (from, sealed) in &said {
            let expected = from.to_string();
            for member in &mut self.members {
                match member.process(sealed, self.realm.now).unwrap() {
                    Processed::Own => assert_eq!(member.me(), from),
                    Processed::Message(opened) => {
                        assert_eq!((&opened.from, &opened.message_id), (from, &expected));
                        assert_eq!(opened.plaintext, expected.as_bytes());
                    }
                    other => panic!("{} got {other:?}", member.me()),
                }
            }
            let present = self.guests.iter_mut().filter(|guest| guest.group.is_some());
            for guest in present.filter(|guest| guest.name != *from) {
                let text = expected.as_bytes().to_vec();
                assert_eq!(guest.hear(sealed).unwrap(), Heard::Text { id: expected.clone(), text });
            }
        }
    }

    fn everybody_seals(&mut self) -> Vec<(DeviceName, Bytes)> {
        let ours = self.members.iter_mut().map(|member| {
            let text = member.me().to_string();
            (member.me().clone(), member.seal(&text, text.as_bytes()).unwrap())
        });
        let present = self.guests.iter_mut().filter(|guest| guest.group.is_some());
        let theirs = present.map(|guest| {
            let text = guest.name.to_string();
            (guest.name.clone(), guest.say(&text, text.as_bytes()).unwrap())
        });
        ours.chain(theirs).collect()
    }
}
