//! Circles: the first message with everything needed to read it, and what nobody else can do with a copy of it.
use std::time::Duration;

use bytes::Bytes;
use ids::{Aor, Epoch, Era};

use super::support::{Realm, claim, name};
use crate::circle::{Circle, CircleMember, PEOPLE_MAX, group_of, is_circle};
use crate::identity::BadCredential;
use crate::ledger::{Ledger, Policy, Refusal, Verdict, Whom};
use crate::member::{Keyring, Member, MemberError, Processed};
use crate::wire::{Bundle, CircleEntry, CircleLog, Founding, Kind};

fn aor(person: &str) -> Aor {
    name(person, 1).aor
}

fn circle(people: &[&str]) -> Circle {
    Circle::of(people.iter().map(|person| aor(person))).unwrap()
}

/// Alice's circle with these people's devices, and its first message.
struct First {
    realm: Realm,
    alice: CircleMember,
    devices: Vec<Keyring>,
    founding: Founding,
    sealed: Bytes,
}

fn first(seed: u64, devices: &[(&str, u8)]) -> First {
    let mut realm = Realm::new(seed);
    let keyring = realm.device("alice", 1);
    let devices: Vec<_> = devices.iter().map(|(person, n)| realm.device(person, *n)).collect();
    let people = devices.iter().map(|device| device.device().aor.clone());
    let circle = Circle::of(people.chain([aor("alice")])).unwrap();
    let claims: Vec<_> = devices.iter().map(claim).collect();
    let (mut alice, founding) = CircleMember::found(&keyring, &circle, &claims, realm.now).unwrap();
    let sealed = alice.seal("m1", b"are you there?").unwrap();
    First { realm, alice, devices, founding, sealed }
}

impl First {
    fn join(&self, device: &Keyring) -> Result<CircleMember, MemberError> {
        let founding = Founding::from_bytes(&self.founding.to_bytes()).unwrap();
        let welcome = founding.welcome_for(device.device()).ok_or(MemberError::NotForUs)?;
        CircleMember::join(device, &founding.people, &welcome, self.realm.now)
    }

    fn ledger(&self) -> Ledger {
        let (focus, roots) = (self.realm.issuer.focus_key(), self.realm.issuer.roots());
        self.founding.ledger(&focus, roots, self.realm.now).unwrap().ledger
    }

    fn refusal(&self, founding: &Founding) -> Refusal {
        let (focus, roots) = (self.realm.issuer.focus_key(), self.realm.issuer.roots());
        founding.ledger(&focus, roots, self.realm.now).unwrap_err()
    }

    fn check(&self, ledger: &Ledger, by: &Keyring, bundle: &Bundle) -> Result<Verdict, Refusal> {
        let on_roster = |person: &Aor| self.founding.people.has(person);
        let now = self.realm.now;
        ledger.check(bundle, &Policy { by: by.device(), on_roster: &on_roster, now })
    }
}

fn read(member: &mut CircleMember, sealed: &[u8], realm: &Realm) -> Vec<u8> {
    match member.process(sealed, realm.now) {
        Ok(Processed::Message(opened)) => opened.plaintext,
        other => panic!("{other:?}"),
    }
}

/// S3-04, S3-05. Everything the recipient has is its own KeyPackage and what came in one piece.
#[test]
fn i24_a_recipient_reads_the_first_message_with_nothing_but_what_came_with_it() {
    let first = first(1, &[("bob", 1), ("bob", 2), ("alice", 2)]);

    for device in &first.devices {
        let mut member = first.join(device).unwrap();
        assert_eq!(read(&mut member, &first.sealed, &first.realm), b"are you there?");
        assert_eq!(member.group().authenticator(), first.alice.group().authenticator());
    }
}

#[test]
fn one_ciphertext_is_for_all_and_each_device_has_a_welcome_of_its_own() {
    let people = [("bob", 1), ("bob", 2), ("carol", 1), ("dave", 1)];
    let mut first = first(2, &people);
    let mut members: Vec<_> =
        first.devices.iter().map(|device| first.join(device).unwrap()).collect();
    assert_eq!(first.founding.add.welcomes.len(), people.len());

    let answer = members[0].seal("m2", b"yes").unwrap();
    for member in &mut members {
        assert_eq!(read(member, &first.sealed, &first.realm), b"are you there?");
        if *member.group().me() != name("bob", 1) {
            assert_eq!(read(member, &answer, &first.realm), b"yes");
        }
    }
    assert_eq!(read(&mut first.alice, &answer, &first.realm), b"yes");
}

#[test]
fn a_later_message_is_small_and_goes_both_ways() {
    let mut first = first(3, &[("bob", 1)]);
    let mut bob = first.join(&first.devices[0]).unwrap();
    read(&mut bob, &first.sealed, &first.realm);

    let text = [b'x'; 160];
    let later = first.alice.seal("m2", &text).unwrap();
    assert!(later.len() < 400, "{} octets", later.len());
    assert!(first.founding.to_bytes().len() < 8192, "{}", first.founding.to_bytes().len());
    assert_eq!(read(&mut bob, &later, &first.realm), text);
    let back = bob.seal("m3", &text).unwrap();
    assert_eq!(read(&mut first.alice, &back, &first.realm), text);
}

#[test]
fn i15_a_message_of_a_circle_is_opened_once_and_its_welcome_used_once() {
    let first = first(4, &[("bob", 1)]);
    let mut bob = first.join(&first.devices[0]).unwrap();
    read(&mut bob, &first.sealed, &first.realm);

    assert_eq!(
        bob.process(&first.sealed, first.realm.now),
        Err(MemberError::Used { epoch: Epoch(1) })
    );
    assert_eq!(first.join(&first.devices[0]).unwrap_err(), MemberError::NotForUs);
}

/// She has the bytes, the founding with every Welcome, and what the focus knows.
#[test]
fn a_third_person_with_a_copy_of_everything_opens_nothing() {
    let mut first = first(5, &[("bob", 1)]);
    let carol = first.realm.device("carol", 1);
    let now = first.realm.now;

    assert_eq!(first.join(&carol).unwrap_err(), MemberError::NotForUs);
    let stolen = first.founding.welcome_for(first.devices[0].device()).unwrap();
    let joined = Member::join(&carol, first.founding.people.id(), &stolen, now);
    assert_eq!(joined.unwrap_err(), MemberError::NotForUs);
    let ledger = first.ledger();
    let state = ledger.group_state();
    let (mut alone, bundle) =
        Member::join_externally(&carol, first.founding.people.id(), &state, None, now).unwrap();
    assert!(!matches!(alone.process(&first.sealed, now), Ok(Processed::Message(_))));
    let refused = first.check(&ledger, &carol, &bundle).unwrap_err();
    assert_eq!(refused, Refusal::NotOnRoster(name("carol", 1)));
    // Were the focus to let her in, the others would have no more to do with the group.
    first.alice.process(&bundle.commit, now).unwrap();
    let sealed = first.alice.seal("m2", b"to bob");
    assert_eq!(sealed, Err(MemberError::Stranger(name("carol", 1))));
}

#[test]
fn who_is_welcomed_into_a_group_with_a_stranger_in_it_does_not_stay() {
    let mut realm = Realm::new(6);
    let (alice, bob) = (realm.device("alice", 1), realm.device("bob", 1));
    let carol = realm.device("carol", 1);
    let pair = circle(&["alice", "bob"]);
    let claims = [claim(&bob), claim(&carol)];

    let founded = CircleMember::found(&alice, &pair, &claims, realm.now);
    assert_eq!(founded.unwrap_err(), MemberError::Stranger(name("carol", 1)));
    // A founder that does it all the same, for the focus and for Bob.
    let three = circle(&["alice", "bob", "carol"]);
    let (_alice, mut founding) = CircleMember::found(&alice, &three, &claims, realm.now).unwrap();
    founding.people = pair.clone();
    let (focus, roots) = (realm.issuer.focus_key(), realm.issuer.roots());
    assert!(founding.ledger(&focus, roots, realm.now).is_err());
    let welcome = founding.welcome_for(bob.device()).unwrap();
    let joined = CircleMember::join(&bob, &pair, &welcome, realm.now);
    assert_eq!(joined.unwrap_err(), MemberError::OtherSettings);
}

#[test]
fn i3_of_two_foundings_one_begins_the_circle_and_its_author_may_repeat_it() {
    let mut first = first(7, &[("bob", 1)]);
    let now = first.realm.now;
    let alice = first.realm.device("alice", 2);
    let claims = [claim(&first.devices[0]), claim(&alice)];
    let bob_too = first.realm.device("bob", 9);
    let (_bob, other) =
        CircleMember::found(&bob_too, &first.founding.people, &claims, now).unwrap();
    let ledger = first.ledger();

    assert!(first.founding.began(&ledger, now));
    assert!(!other.began(&ledger, now));
    let lost = first.check(&ledger, &bob_too, &other.create).unwrap_err();
    assert!(matches!(lost, Refusal::Lost { epoch: Epoch(1), .. }), "{lost:?}");
}

#[test]
fn i4_a_circle_that_is_founded_again_is_in_a_later_era_and_none_is_of_a_time_to_come() {
    let mut first = first(15, &[("bob", 1)]);
    let (began, hour) = (first.realm.now, Duration::from_secs(3600));
    let keyring = first.realm.device("alice", 2);
    let circle = first.founding.people.clone();
    let found = |later| {
        let claims = [claim(&first.devices[0])];
        CircleMember::found(&keyring, &circle, &claims, began + later).unwrap()
    };

    let (again, founding) = found(hour);
    let (_member, to_come) = found(30 * hour);

    assert!(again.generation() > first.alice.generation());
    let (focus, roots) = (first.realm.issuer.focus_key(), first.realm.issuer.roots());
    // The clock of the focus is behind.
    assert!(founding.ledger(&focus, roots, began).is_ok());
    let era = Era::at(began).next();
    assert_eq!(first.refusal(&to_come), Refusal::WrongEra { era });
}

#[test]
fn a_founding_that_is_not_whole_is_refused() {
    let first = first(8, &[("bob", 1), ("carol", 1)]);
    let mut missing = first.founding.clone();
    missing.add.welcomes.pop();
    assert_eq!(first.refusal(&missing), Refusal::Welcomes("one is missing"));
    let mut tree = first.founding.clone();
    tree.tree = first.founding.create.tree.clone();
    assert!(matches!(first.refusal(&tree), Refusal::GroupInfo(_)));
    let mut claimed = first.founding.clone();
    claimed.by = name("bob", 1);
    assert_eq!(first.refusal(&claimed), Refusal::NotTheSender);
    let mut swapped = first.founding.clone();
    swapped.add.kind = Kind::Create;
    assert!(matches!(first.refusal(&swapped), Refusal::Lost { .. } | Refusal::Malformed(_)));
}

#[test]
fn a_device_that_lost_its_state_enters_its_circle_again() {
    let mut first = first(9, &[("bob", 1)]);
    let now = first.realm.now;
    let mut ledger = first.ledger();
    let bob = first.devices[0].clone();

    let people = &first.founding.people;
    let (mut member, bundle) =
        CircleMember::enter(&bob, people, &ledger.group_state(), None, now).unwrap();
    let Ok(Verdict::New(checked)) = first.check(&ledger, &bob, &bundle) else { panic!() };
    ledger.apply(*checked).unwrap();
    let missed = member.process(&first.sealed, now);
    assert!(matches!(missed, Ok(Processed::Stale { .. })), "{missed:?}");
    member.process(&bundle.commit, now).unwrap();
    first.alice.process(&bundle.commit, now).unwrap();

    let again = first.alice.seal("m2", b"once more").unwrap();
    assert_eq!(read(&mut member, &again, &first.realm), b"once more");
}

#[test]
fn a_removed_device_reads_nothing_more_of_its_circle() {
    let mut first = first(10, &[("bob", 1), ("bob", 2)]);
    let now = first.realm.now;
    let mut ledger = first.ledger();
    let mut lost = first.join(&first.devices[1]).unwrap();
    let mut bob = first.join(&first.devices[0]).unwrap();
    let gone = name("bob", 2);
    let checked = ledger.check_removal(Whom::Device(&gone)).unwrap();
    for proposal in ledger.apply_removal(checked).unwrap() {
        first.alice.process(&proposal, now).unwrap();
        bob.process(&proposal, now).unwrap();
    }
    assert_eq!(first.alice.seal("m2", b"x"), Err(MemberError::Paused));
    let bundle = first.alice.commit_pending(now).unwrap();
    first.alice.process(&bundle.commit, now).unwrap();
    bob.process(&bundle.commit, now).unwrap();

    let after = first.alice.seal("m3", b"only this one").unwrap();
    assert_eq!(read(&mut bob, &after, &first.realm), b"only this one");
    assert!(matches!(lost.process(&after, now), Ok(Processed::Future { .. })));
}

#[test]
fn a_key_package_of_another_authority_founds_nothing() {
    let (mut realm, mut rogue) = (Realm::new(11), Realm::new(12));
    let (alice, bob) = (realm.device("alice", 1), rogue.device("bob", 1));

    let founded =
        CircleMember::found(&alice, &circle(&["alice", "bob"]), &[claim(&bob)], realm.now);

    let why = crate::key_packages::BadKeyPackage::Credential(BadCredential::NotOurs);
    assert_eq!(founded.unwrap_err(), MemberError::KeyPackage { who: name("bob", 1), why });
}

/// S4-14.
#[test]
fn a_circle_is_named_by_its_people_and_by_nothing_else() {
    let one = circle(&["alice", "bob", "carol"]);

    assert_eq!(one, circle(&["carol", "alice", "bob", "alice"]));
    assert_ne!(one.id(), circle(&["alice", "bob"]).id());
    assert!(is_circle(one.id()) && !is_circle(&"lobby".parse().unwrap()));
    assert_eq!(one.others(&aor("bob")), [aor("alice"), aor("carol")]);
    assert!(Circle::of([aor("alice"), aor("alice")]).is_err());
    let crowd = (0..=PEOPLE_MAX).map(|n| aor(&format!("p{n}")));
    assert!(Circle::of(crowd).is_err());
    let first = first(13, &[("bob", 1)]);
    let (id, _era, epoch) = group_of(&first.sealed).unwrap();
    assert_eq!((&id, epoch), (first.founding.people.id(), Epoch(1)));
    assert_eq!(group_of(b"nothing"), None);
}

#[test]
fn the_log_of_a_circle_is_read_as_it_was_written_and_no_piece_of_it_is() {
    let first = first(14, &[("bob", 1)]);
    let welcome = first.founding.welcome_for(first.devices[0].device());
    let entry =
        |seq, welcome| CircleEntry { seq, message: first.founding.add.commit.clone(), welcome };
    let log = CircleLog {
        people: first.founding.people.clone(),
        era: Era(1),
        epoch: Epoch(2),
        more: true,
        entries: vec![entry(1, welcome), entry(2, None)],
    };
    let bytes = log.to_bytes();

    assert_eq!(CircleLog::from_bytes(&bytes), Ok(log));
    for cut in 0..bytes.len() {
        assert!(CircleLog::from_bytes(&bytes[..cut]).is_err());
    }
    let founding = first.founding.to_bytes();
    assert_eq!(Founding::from_bytes(&founding), Ok(first.founding));
    for cut in (0..founding.len()).step_by(5) {
        assert!(Founding::from_bytes(&founding[..cut]).is_err());
    }
}
