//! What a device tells of new epochs, what it makes of a group that begins anew, and what it has missed.
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ids::{DeviceId, Era};
use mls::identity::{DeviceKey, Issuer, request};
use mls::ledger::{Accepted, Ledger, Policy, Verdict, Whom};
use mls::storage::Records;
use mls::wire::{ClaimedKeyPackage, Finding};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::super::witness::Witness;
use super::*;

mod leaf;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A focus with a ledger, and devices that hear everything.
pub(in crate::session) struct Room {
    issuer: Issuer,
    rng: StdRng,
    pub(in crate::session) now: SystemTime,
    ledger: Option<Ledger>,
    /// The keys of the devices.
    keys: BTreeMap<DeviceName, Vec<u8>>,
}

impl Room {
    pub(in crate::session) fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let now = service::clock::wall();
        let issuer = Issuer::generate(&mut rng, "devices", now - DAY, 400 * DAY).unwrap();
        Self { issuer, rng, now, ledger: None, keys: BTreeMap::new() }
    }

    fn id() -> ConferenceId {
        "room7".parse().unwrap()
    }

    pub(in crate::session) fn device(&mut self, person: &str) -> Group {
        Group::new(self.keyring(person), Self::id())
    }

    /// A new device of this person, which keeps what it has.
    pub(in crate::session) fn keyring(&mut self, person: &str) -> Keyring {
        let aor = format!("sip:{person}@example.net").parse().unwrap();
        let name = DeviceName { aor, device: DeviceId::random(&mut self.rng) };
        let key = DeviceKey::generate(&mut self.rng);
        self.keys.insert(name.clone(), key.to_pkcs8().unwrap().to_vec());
        self.certified(&name, Records::kept([]))
    }

    /// The same device, with its key and certificate and nothing else.
    fn bare(&self, group: &Group) -> Group {
        Group::new(self.certified(group.keyring.device(), Records::kept([])), Self::id())
    }

    /// The same device, with all that it kept.
    pub(in crate::session) fn restarted(&self, keyring: &Keyring) -> Keyring {
        let kept = keyring.records().snapshot().into_iter();
        let kept = kept.filter_map(|change| Some((change.key, change.value?)));
        self.certified(keyring.device(), Records::kept(kept))
    }

    fn certified(&self, name: &DeviceName, records: Records) -> Keyring {
        let key = DeviceKey::from_pkcs8(&self.keys[name]).unwrap();
        let csr = request(&key, name).unwrap();
        let from = self.now - Duration::from_secs(60);
        let certificate = self.issuer.issue(&csr, name, from, 30 * DAY).unwrap();
        let roots = self.issuer.roots();
        Keyring::with_records(key, &certificate, roots, self.now, records).unwrap()
    }

    /// What the focus asks for.
    fn ask(&self, group: &mut Group, reason: Reason, add: Vec<ClaimedKeyPackage>) -> Vec<Follows> {
        let era = self.ledger.as_ref().map_or(Era(1), Ledger::era);
        let request = CommitRequest { reason, era, add, remove: Vec::new() };
        group.asked(&request.to_bytes(), self.now)
    }

    /// This device makes the group of this era.
    pub(in crate::session) fn found(&mut self, group: &mut Group, era: Era) {
        let request =
            CommitRequest { reason: Reason::Create, era, add: Vec::new(), remove: Vec::new() };
        let bundle = sent(group.asked(&request.to_bytes(), self.now));
        let (by, roots, focus) =
            (group.keyring.device().clone(), self.issuer.roots(), self.issuer.focus_key());
        let policy = Policy { by: &by, on_roster: &|_| true, now: self.now };
        let created = Ledger::create(&Self::id(), era, &bundle, &focus, roots, &policy).unwrap();
        let (ledger, accepted) = created.into_ledger();
        self.ledger = Some(ledger);
        let result = CommitResult::Accepted { era: accepted.era, epoch: accepted.epoch };
        group.decided(&result.to_bytes());
    }

    fn policy<'a>(&self, by: &'a Group) -> Policy<'a> {
        Policy { by: by.keyring.device(), on_roster: &|_| true, now: self.now }
    }

    fn accept(&mut self, by: &Group, bundle: &Bundle) -> Accepted {
        let name = by.keyring.device().clone();
        let policy = Policy { by: &name, on_roster: &|_| true, now: self.now };
        let ledger = self.ledger.as_mut().unwrap();
        let Verdict::New(checked) = ledger.check(bundle, &policy).unwrap() else { panic!() };
        ledger.apply(*checked).unwrap()
    }

    /// `by` adds `who`, and both are in the next epoch. Returns the commit.
    pub(in crate::session) fn add(&mut self, by: &mut Group, who: &mut Group) -> Bytes {
        let package = who.keyring.key_packages(1, false, self.now, 30 * DAY).unwrap().packages;
        let DeviceName { aor, device } = who.keyring.device().clone();
        let claim = ClaimedKeyPackage { aor, device, key_package: package[0].clone() };
        let bundle = sent(self.ask(by, Reason::Add, vec![claim]));
        let accepted = self.accept(by, &bundle);
        let commit = accepted.commit.unwrap();
        who.welcomed(&accepted.welcomes[0].1.to_bytes(), self.now);
        by.process(&commit, self.now);
        commit
    }

    /// Enters by external commit. Returns the commit and what the device made of it.
    pub(in crate::session) fn enter(&mut self, group: &mut Group) -> (Bytes, Vec<Follows>) {
        let state = self.ledger.as_ref().unwrap().group_state();
        let bundle = sent(group.enter(&state, self.now));
        let commit = self.accept(group, &bundle).commit.unwrap();
        let follows = group.process(&commit, self.now);
        (commit, follows)
    }
}

impl Group {
    /// The keys of its device.
    pub(in crate::session) const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// A commit of its own that replaces its leaf.
    pub(in crate::session) fn refreshed(&mut self) -> Bytes {
        self.member.as_mut().unwrap().refresh().unwrap().commit
    }
}

fn sent(follows: Vec<Follows>) -> Bundle {
    let sent = follows.into_iter().find_map(|next| match next {
        Follows::Send(bundle) => Some(bundle),
        _ => None,
    });
    sent.expect("a bundle is sent")
}

fn missed(follows: &[Follows]) -> Option<&Event> {
    follows.iter().find_map(|next| match next {
        Follows::Event(event @ Event::Missed { .. }) => Some(event),
        _ => None,
    })
}

fn spoilt(commit: &Bytes) -> Vec<u8> {
    let mut octets = commit.to_vec();
    *octets.last_mut().unwrap() ^= 1;
    octets
}

/// alice and bob in a group, and carol outside.
fn three() -> (Room, Group, Group, Group) {
    let mut room = Room::new();
    let (mut alice, mut bob, carol) =
        (room.device("alice"), room.device("bob"), room.device("carol"));
    room.found(&mut alice, Era(1));
    room.add(&mut alice, &mut bob);
    (room, alice, bob, carol)
}

fn fetches(follows: &[Follows]) -> bool {
    follows.iter().any(|next| matches!(next, Follows::FetchGroup))
}

#[test]
fn i22_who_is_asked_to_change_a_group_of_a_later_era_enters_it() {
    let mut room = Room::new();
    let mut alice = room.device("alice");
    room.found(&mut alice, Era(1));
    let (reason, era) = (Reason::Create, Era(2));
    let request = CommitRequest { reason, era, add: Vec::new(), remove: Vec::new() };
    sent(alice.asked(&request.to_bytes(), room.now));
    // The seat it was begun on is gone, and the answer with it.
    let mut alice = Group::new(alice.keyring.clone(), Room::id());
    let mut other = room.device("bob");
    room.found(&mut other, Era(2));

    let follows = room.ask(&mut alice, Reason::Add, Vec::new());

    assert!(matches!(follows[..], [Follows::FetchGroup]), "{follows:?}");
}

#[test]
fn i22_a_refusal_of_something_else_leaves_nobody_outside_and_one_of_the_entry_ends_it() {
    let mut room = Room::new();
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| room.device(name));
    room.found(&mut alice, Era(1));
    let state = room.ledger.as_ref().unwrap().group_state();
    let refused = CommitResult::Refused { why: "no".to_owned() }.to_bytes();

    sent(bob.enter(&state, room.now));
    assert!(fetches(&bob.decided(&refused)));
    sent(bob.enter(&state, room.now));
    assert!(!fetches(&bob.decided(&refused)));

    let (commit, _) = room.enter(&mut bob);
    alice.process(&commit, room.now);
    let mut carol = room.device("carol");
    room.add(&mut alice, &mut carol);
    let state = room.ledger.as_ref().unwrap().group_state();
    sent(bob.enter(&state, room.now));
    assert!(fetches(&bob.decided(&refused)));
}

#[test]
fn i22_who_cannot_follow_the_change_that_removed_it_is_welcomed_again() {
    let mut room = Room::new();
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| room.device(name));
    room.found(&mut alice, Era(1));
    room.add(&mut alice, &mut bob);
    let name = bob.keyring.device().clone();
    let removal = room.ledger.as_ref().unwrap().check_removal(Whom::Device(&name)).unwrap();
    for proposal in room.ledger.as_mut().unwrap().apply_removal(removal).unwrap() {
        alice.process(&proposal, room.now);
        bob.process(&proposal, room.now);
    }
    let bundle = sent(room.ask(&mut alice, Reason::Remove, Vec::new()));
    let commit = room.accept(&alice, &bundle).commit.unwrap();
    alice.process(&commit, room.now);

    let follows = bob.process(&spoilt(&commit), room.now);
    assert!(matches!(follows[..], [_, Follows::Report(_)]), "{follows:?}");
    room.add(&mut alice, &mut bob);

    assert_eq!(bob.generation(), alice.generation());
    let said = alice.seal("said", b"welcome back").unwrap().bytes;
    assert!(matches!(&bob.process(&said, room.now)[..], [Follows::Show(_)]));
}

#[test]
fn i7_what_members_say_before_the_welcome_has_come_waits_for_it() {
    let mut room = Room::new();
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(|name| room.device(name));
    room.found(&mut alice, Era(1));
    let before = alice.seal("before", b"not for bob").unwrap().bytes;
    let package = bob.keyring.key_packages(1, false, room.now, 30 * DAY).unwrap().packages;
    let DeviceName { aor, device } = bob.keyring.device().clone();
    let claim = ClaimedKeyPackage { aor, device, key_package: package[0].clone() };
    let bundle = sent(room.ask(&mut alice, Reason::Add, vec![claim]));
    let accepted = room.accept(&alice, &bundle);
    alice.process(&accepted.commit.unwrap(), room.now);
    let said = alice.seal("said", b"for bob").unwrap().bytes;
    let next = room.add(&mut alice, &mut carol);

    // The relay passes them on before the focus has heard that bob is there.
    for early in [&before, &said, &next] {
        let follows = bob.process(early, room.now);
        assert!(matches!(follows[..], [Follows::Early]), "{follows:?}");
    }
    bob.welcomed(&accepted.welcomes[0].1.to_bytes(), room.now);

    assert!(bob.process(&before, room.now).is_empty());
    assert!(matches!(&bob.process(&said, room.now)[..], [Follows::Show(_)]));
    bob.process(&next, room.now);
    assert_eq!(bob.generation(), alice.generation());
}

#[test]
fn a_member_says_that_it_is_in_the_epoch_and_all_say_the_same() {
    let (mut room, mut alice, mut bob, mut carol) = three();
    let commit = room.add(&mut alice, &mut carol);
    bob.process(&commit, room.now);

    let said = |group: &mut Group| match room.ask(group, Reason::Confirm, Vec::new()).pop() {
        Some(Follows::Report(report)) => report,
        other => panic!("{other:?}"),
    };

    let of_bob = said(&mut bob);
    assert_eq!((of_bob.era, of_bob.epoch), (Era(1), Epoch(2)));
    assert!(matches!(of_bob.finding, Finding::Confirmed { .. }));
    assert_eq!(of_bob, said(&mut alice));
    assert_eq!(of_bob, said(&mut carol));
    let mut outsider = room.device("dave");
    assert!(room.ask(&mut outsider, Reason::Confirm, Vec::new()).is_empty());
}

#[test]
fn a_member_that_cannot_follow_a_commit_says_so_and_waits_for_what_it_is_told() {
    let (mut room, mut alice, mut bob, mut carol) = three();
    let commit = room.add(&mut alice, &mut carol);

    let follows = bob.process(&spoilt(&commit), room.now);

    let report = follows.iter().find_map(|next| match next {
        Follows::Report(report) => Some(*report),
        _ => None,
    });
    let expected = EpochReport { era: Era(1), epoch: Epoch(2), finding: Finding::Unusable };
    assert_eq!(report, Some(expected));
    assert!(!follows.iter().any(|next| matches!(next, Follows::FetchGroup)));
}

#[test]
fn who_enters_anew_is_told_what_was_missed_and_a_newcomer_is_not() {
    let (mut room, mut alice, mut bob, mut carol) = three();
    room.add(&mut alice, &mut carol);

    // bob has missed a commit; his keys are of epoch 1.
    let (_, follows) = room.enter(&mut bob);

    let expected = Event::Missed { since: Some((Era(1), Epoch(1))), until: (Era(1), Epoch(3)) };
    assert_eq!(missed(&follows), Some(&expected));
    let mut dave = room.device("dave");
    let (_, follows) = room.enter(&mut dave);
    assert_eq!(missed(&follows), None);
}

#[test]
fn a_device_that_lost_everything_learns_from_its_old_leaf_that_it_missed_something() {
    let (mut room, _alice, bob, _carol) = three();
    let mut again = room.bare(&bob);

    let (_, follows) = room.enter(&mut again);

    let expected = Event::Missed { since: None, until: (Era(1), Epoch(2)) };
    assert_eq!(missed(&follows), Some(&expected));
}

#[test]
fn a_device_never_enters_a_group_that_is_older_than_what_it_has_seen_also_after_a_lost_race() {
    let (mut room, mut alice, mut bob, mut carol) = three();
    let old = room.ledger.as_ref().unwrap().group_state();
    let commit = room.add(&mut alice, &mut carol);
    bob.process(&commit, room.now);
    bob.forget_entry();

    let follows = bob.enter(&old, room.now);

    assert!(matches!(&follows[..], [Follows::Event(Event::Unreadable { .. })]), "{follows:?}");
}

#[test]
fn i3_a_member_that_finds_an_older_group_stays_where_it_is_and_says_where_that_is() {
    let (mut room, mut alice, mut bob, mut carol) = three();
    let old = room.ledger.as_ref().unwrap().group_state();
    let commit = room.add(&mut alice, &mut carol);
    bob.process(&commit, room.now);
    let here = bob.generation().unwrap();

    let follows = bob.enter(&old, room.now);

    let [Follows::Event(Event::Unreadable { .. }), Follows::Report(report)] = &follows[..] else {
        panic!("{follows:?}")
    };
    assert_eq!((report.era, report.epoch), here);
    assert!(matches!(report.finding, Finding::Confirmed { .. }));
    assert_eq!(bob.generation(), Some(here));
    // Nor does it found a group that there was already: of one era there is one.
    let follows = room.ask(&mut bob, Reason::Create, Vec::new());
    assert!(matches!(&follows[..], [Follows::Report(_)]), "{follows:?}");
}

#[test]
fn a_group_that_begins_anew_takes_its_members_over_by_welcome_and_disturbs_nobody_before() {
    let (mut room, mut alice, mut bob, mut carol) = three();
    room.found(&mut alice, Era(2));
    let commit = room.add(&mut alice, &mut carol);

    // bob is still in era 1: what he hears of era 2 is nothing to him, and no reason to fetch anything.
    assert!(bob.process(&commit, room.now).is_empty());
    let before = bob.standing();
    assert!(bob.is_at(&before) && !bob.is_at(&Standing::default()));
    room.add(&mut alice, &mut bob);

    assert_eq!(bob.generation(), Some((Era(2), Epoch(2))));
    assert_eq!(bob.standing().authenticator, alice.standing().authenticator);
    assert!(!bob.is_at(&before) && bob.is_at(&alice.standing()));
}

#[test]
fn a_founder_who_is_asked_twice_sends_the_same_group_again_and_holds_the_one_accepted() {
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.device("alice"), room.device("bob"));
    let first = sent(room.ask(&mut alice, Reason::Create, Vec::new()));

    let again = sent(room.ask(&mut alice, Reason::Create, Vec::new()));
    assert_eq!(first.to_bytes(), again.to_bytes());
    room.found(&mut alice, Era(1));

    let (commit, _entered) = room.enter(&mut bob);
    let follows = alice.process(&commit, room.now);
    assert!(
        matches!(&follows[..], [Follows::Advanced, Follows::Event(Event::Advanced { .. })]),
        "{follows:?}"
    );
    assert_eq!(alice.standing().authenticator, bob.standing().authenticator);
}

#[test]
fn who_is_told_to_enter_again_while_the_entry_is_under_way_sends_it_again() {
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.device("alice"), room.device("bob"));
    room.found(&mut alice, Era(1));
    let state = room.ledger.as_ref().unwrap().group_state();

    let first = sent(bob.enter(&state, room.now));
    let again = sent(bob.enter(&state, room.now));
    assert_eq!(first.to_bytes(), again.to_bytes());

    let commit = room.accept(&bob, &first).commit.unwrap();
    bob.process(&commit, room.now);
    alice.process(&commit, room.now);
    assert_eq!(alice.standing().authenticator, bob.standing().authenticator);
}

/// A focus can show one member another commit than the others. Each of the two is told that its own has won.
#[test]
fn i4_members_who_were_kept_in_two_groups_notice_it_once_they_are_in_one_again() {
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.device("alice"), room.device("bob"));
    let (mut by_alice, mut by_bob) = (Witness::default(), Witness::default());
    let note = |witness: &mut Witness, group: &Group| {
        witness.note(group.generation().unwrap(), &group.standing().authenticator);
    };
    room.found(&mut alice, Era(1));
    room.add(&mut alice, &mut bob);

    let other = bob.member.as_mut().unwrap().refresh().unwrap();
    let mut carol = room.device("carol");
    room.add(&mut alice, &mut carol);
    bob.process(&other.commit, room.now);
    note(&mut by_alice, &alice);
    note(&mut by_bob, &bob);
    // The same epoch by number, and nothing of one group opens in the other.
    assert_eq!(alice.generation(), bob.generation());
    assert_ne!(alice.standing().authenticator, bob.standing().authenticator);
    let sealed = alice.seal("m1", b"are you there?").unwrap();
    assert_eq!(bob.opens(&sealed.bytes, room.now), None);

    let mut dave = room.device("dave");
    room.add(&mut alice, &mut dave);
    note(&mut by_alice, &alice);
    let (entry, _follows) = room.enter(&mut bob);
    alice.process(&entry, room.now);
    note(&mut by_alice, &alice);
    note(&mut by_bob, &bob);

    // They hear each other again, and what each tells of the past does not fit.
    assert_eq!(alice.standing().authenticator, bob.standing().authenticator);
    assert_eq!(by_bob.compare(&by_alice.told()), Some(Epoch(2)));
    assert_eq!(by_alice.compare(&by_bob.told()), Some(Epoch(2)));
}
