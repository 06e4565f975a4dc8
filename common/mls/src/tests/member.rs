//! A member's own rules: what takes effect when, what can be opened, and what is refused on the way in.
use ids::{Epoch, Era};
use openmls::prelude::OpenMlsProvider as _;
use openmls::prelude::tls_codec::Serialize as _;

use super::support::{DAY, Room, claim, join, name, room7};
use crate::change::Fault;
use crate::identity::{BadCredential, Issuer};
use crate::member::{Keyring, Member, MemberError, PLAINTEXT_OCTETS_MAX, Processed};
use crate::wire::{ClaimedKeyPackage, CommitRequest, Reason, WelcomeDelivery};

#[test]
fn an_own_commit_takes_effect_only_when_its_echo_comes_back() {
    let mut room = Room::with(1, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let before = room.members[0].authenticator();
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    assert_eq!(room.members[0].authenticator(), before);
    assert!(room.members[0].is_committing());
    let second = room.members[0].add(&[claim(&erin)], room.realm.now);
    assert_eq!(second, Err(MemberError::Committing));

    let Processed::Commit(echo) = room.members[0].process(&bundle.commit, room.realm.now).unwrap()
    else {
        panic!("no commit")
    };

    assert!(echo.own && !echo.lost_own && !echo.removed_self);
    assert_eq!((echo.by, echo.added), (name("alice", 1), vec![name("erin", 1)]));
    assert_ne!(room.members[0].authenticator(), before);
}

#[test]
fn a_refused_commit_can_be_abandoned_and_made_anew() {
    let mut room = Room::with(2, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();

    room.members[0].abandon().unwrap();

    room.add(0, &[erin]);
    assert_eq!(room.ledger.members().count(), 3);
}

#[test]
fn a_commit_request_is_answered_as_far_as_there_is_something_to_do() {
    let mut room = Room::with(3, &[("bob", 1), ("bob", 2)]);
    let erin = room.realm.device("erin", 1);
    let request = CommitRequest {
        reason: Reason::Add,
        era: Era(1),
        add: vec![claim(&erin), claim(&erin)],
        remove: vec![name("bob", 2), name("zoe", 1)],
    };
    let bundle = room.members[1].answer(&request, room.realm.now).unwrap();

    let accepted = room.submit(&name("bob", 1), &bundle, &[erin]);

    assert_eq!((accepted.added, accepted.removed), (vec![name("erin", 1)], vec![name("bob", 2)]));
    let again = room.members[1].answer(&request, room.realm.now);
    assert_eq!(again, Err(MemberError::NothingToDo));
}

#[test]
fn a_bad_key_package_is_not_added() {
    let mut room = Room::with(4, &[("bob", 1)]);
    let (erin, frank) = (room.realm.device("erin", 1), room.realm.device("frank", 1));
    let swapped = ClaimedKeyPackage { key_package: claim(&frank).key_package, ..claim(&erin) };

    let refused = room.members[0].add(&[swapped], room.realm.now);

    assert!(matches!(refused, Err(MemberError::KeyPackage { who, .. }) if who == name("erin", 1)));
    assert!(!room.members[0].is_committing());
}

#[test]
fn messages_of_the_last_two_epochs_can_be_opened_but_not_of_the_third() {
    let mut room = Room::with(5, &[("bob", 1)]);
    let mut sealed = Vec::new();
    for number in 1..=3 {
        sealed.push(room.members[0].seal("m", b"in flight").unwrap());
        let device = room.realm.device("erin", number);
        room.add(0, &[device]);
    }

    let now = room.realm.now;
    let mut open = |at: usize| room.members[1].process(&sealed[at], now).unwrap();
    assert_eq!(open(0), Processed::Stale { epoch: Epoch(1) });
    assert!(matches!(open(1), Processed::Message(opened) if opened.epoch == Epoch(2)));
    assert!(matches!(open(2), Processed::Message(opened) if opened.epoch == Epoch(3)));
}

#[test]
fn a_message_ahead_of_its_commit_is_to_be_held() {
    let mut room = Room::with(6, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    let now = room.realm.now;
    room.members[0].process(&bundle.commit, now).unwrap();
    let sealed = room.members[0].seal("m", b"from the future").unwrap();

    let early = room.members[1].process(&sealed, now).unwrap();
    assert_eq!(early, Processed::Future { epoch: Epoch(2) });
    room.members[1].process(&bundle.commit, now).unwrap();
    assert!(matches!(room.members[1].process(&sealed, now), Ok(Processed::Message(_))));
}

#[test]
fn a_message_is_opened_once() {
    let mut room = Room::with(7, &[("bob", 1)]);
    let sealed = room.members[0].seal("m", b"once").unwrap();
    let now = room.realm.now;
    assert!(matches!(room.members[1].process(&sealed, now), Ok(Processed::Message(_))));

    assert_eq!(room.members[1].process(&sealed, now), Err(MemberError::Used { epoch: Epoch(1) }));
}

#[test]
fn a_commit_seen_before_is_stale() {
    let mut room = Room::with(8, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    room.add(0, &[erin]);
    let commit = room.stream.last().unwrap().clone();

    let again = room.members[1].process(&commit, room.realm.now).unwrap();

    assert_eq!(again, Processed::Stale { epoch: Epoch(1) });
}

#[test]
fn the_message_id_is_bound_to_the_message() {
    let mut room = Room::with(9, &[("bob", 1)]);
    let sealed = room.members[0].seal("message-one", b"hello").unwrap();
    let at = sealed.windows(11).position(|w| w == b"message-one").unwrap();
    let mut changed = sealed.to_vec();
    changed[at..at + 11].copy_from_slice(b"message-two");
    let now = room.realm.now;

    assert_eq!(room.members[1].process(&changed, now), Err(MemberError::Unreadable));
    let Ok(Processed::Message(opened)) = room.members[1].process(&sealed, now) else { panic!() };
    assert_eq!(opened.message_id, "message-one");
}

#[test]
fn each_message_carries_its_own_id() {
    let mut room = Room::with(10, &[("bob", 1)]);

    for id in ["one", "two", ""] {
        room.say(0, id, b"text");
    }
}

#[test]
fn a_member_does_not_take_its_own_echo_for_a_message() {
    let mut room = Room::with(11, &[("bob", 1)]);
    let sealed = room.members[0].seal("m", b"mine").unwrap();

    assert_eq!(room.members[0].process(&sealed, room.realm.now), Ok(Processed::Own));
}

#[test]
fn the_largest_message_is_64_kib() {
    let mut room = Room::with(12, &[("bob", 1)]);
    let largest = vec![b'x'; PLAINTEXT_OCTETS_MAX];

    assert_eq!(room.say(0, "m", &largest).len(), 1);
    let larger = vec![b'x'; PLAINTEXT_OCTETS_MAX + 1];
    assert_eq!(room.members[0].seal("m", &larger), Err(MemberError::TooLong));
    assert_eq!(room.members[0].seal(&"i".repeat(256), b"x"), Err(MemberError::TooLong));
}

#[test]
fn padding_hides_the_length_of_a_message() {
    let mut room = Room::with(13, &[("bob", 1)]);
    room.members[0].pad_to(512).unwrap();

    let lengths: Vec<usize> =
        [1, 50, 200].map(|n| room.members[0].seal("m", &vec![b'x'; n]).unwrap().len()).to_vec();

    assert!(lengths.iter().all(|l| *l == lengths[0]), "{lengths:?}");
    assert_eq!(room.say(0, "m", b"padded").len(), 1);
}

#[test]
fn a_welcome_works_once() {
    let mut room = Room::new(14);
    let erin = room.realm.device("erin", 1);
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    let accepted = room.accept(&name("alice", 1), &bundle);
    let delivery = &accepted.welcomes[0].1;
    join(&erin, delivery, room.realm.now);

    let again = Member::join(&erin, &room7(), delivery, room.realm.now);

    assert_eq!(again.unwrap_err(), MemberError::NotForUs);
}

fn last_resort(device: &Keyring, room: &Room) -> ClaimedKeyPackage {
    let upload = device.key_packages(0, true, room.realm.now, 30 * DAY).unwrap();
    ClaimedKeyPackage { key_package: upload.last_resort.unwrap(), ..claim(device) }
}

#[test]
fn a_welcome_for_the_last_resort_works_once_too_and_another_one_still_does() {
    let mut room = Room::new(15);
    let erin = room.realm.device("erin", 1);
    let package = last_resort(&erin, &room);
    let bundle = room.members[0].add(std::slice::from_ref(&package), room.realm.now).unwrap();
    let accepted = room.submit(&name("alice", 1), &bundle, std::slice::from_ref(&erin));
    let replayed = Member::join(&erin, &room7(), &accepted.welcomes[0].1, room.realm.now);
    assert_eq!(replayed.unwrap_err(), MemberError::NotForUs);

    // The same KeyPackage again, for another conference.
    let (alice, room8) = (room.members[0].keyring(), "room8".parse().unwrap());
    let now = room.realm.now;
    let (mut other, _) = Member::create(&alice, &room8, Era(1), now).unwrap();
    let bundle = other.add(&[package], now).unwrap();
    other.process(&bundle.commit, now).unwrap();
    let tree = other.group().export_ratchet_tree().tls_serialize_detached().unwrap().into();
    let welcome = bundle.welcomes[0].welcome.clone();
    let delivery = WelcomeDelivery { era: Era(1), welcome, tree };

    assert_eq!(
        Member::join(&erin, &room8, &delivery, now).unwrap().authenticator(),
        other.authenticator()
    );
}

#[test]
fn a_welcome_for_somebody_else_is_refused() {
    let mut room = Room::new(16);
    let (erin, frank) = (room.realm.device("erin", 1), room.realm.device("frank", 1));
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    let accepted = room.accept(&name("alice", 1), &bundle);

    let joined = Member::join(&frank, &room7(), &accepted.welcomes[0].1, room.realm.now);

    assert_eq!(joined.unwrap_err(), MemberError::NotForUs);
}

#[test]
fn a_welcome_to_another_conference_or_era_than_meant_is_refused() {
    for (conference, era) in [("room8", 1), ("room7", 2)] {
        let mut room = Room::new(17);
        let erin = room.realm.device("erin", 1);
        let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
        let accepted = room.accept(&name("alice", 1), &bundle);
        let delivery = WelcomeDelivery { era: Era(era), ..accepted.welcomes[0].1.clone() };

        let conference = conference.parse().unwrap();
        let joined = Member::join(&erin, &conference, &delivery, room.realm.now);

        assert_eq!(joined.unwrap_err(), MemberError::OtherSettings);
    }
}

#[test]
fn a_group_whose_external_sender_is_not_our_focus_is_refused() {
    let mut room = Room::new(18);
    let erin = room.realm.device("erin", 1);
    let state = room.ledger.group_state();
    let other = Issuer::generate(&mut room.realm.rng, "example.net devices", room.realm.now, DAY);
    let other = other.unwrap();
    let stranger = Keyring::unchecked(
        erin.device(),
        erin.signer().clone(),
        &erin.certificate(),
        other.roots(),
    );

    let entered = Member::join_externally(&stranger, &room7(), &state, None, room.realm.now);

    assert_eq!(entered.unwrap_err(), MemberError::OtherSettings);
}

/// A device with a certificate for 60 days, while everybody else's ends after 30.
fn long_lived(room: &mut Room) -> Keyring {
    let (key, who, now) = (room.realm.key(), name("erin", 1), room.realm.now);
    let csr = crate::identity::request(&key, &who).unwrap();
    let certificate = room.realm.issuer.issue(&csr, &who, now - DAY, 60 * DAY).unwrap();
    Keyring::new(key, &certificate, room.realm.issuer.roots(), now).unwrap()
}

#[test]
fn a_member_whose_certificate_has_ended_keeps_nobody_out() {
    let mut room = Room::with(19, &[("bob", 1)]);
    let late = room.realm.now + 31 * DAY;
    let erin = long_lived(&mut room);

    // By Welcome: an insider's, since the focus would not take a commit of an ended certificate.
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    let accepted = room.accept(&name("alice", 1), &bundle);
    let joined = Member::join(&erin, &room7(), &accepted.welcomes[0].1, late);
    assert_eq!(joined.unwrap().roster().count(), 3);

    // By external commit.
    let mut room = Room::with(19, &[("bob", 1)]);
    let erin = long_lived(&mut room);
    let state = room.ledger.group_state();
    let (entered, bundle) = Member::join_externally(&erin, &room7(), &state, None, late).unwrap();
    assert_eq!(entered.roster().count(), 3);
    assert!(room.check_at(erin.device(), &bundle, late).is_ok());
}

#[test]
fn nobody_joins_under_a_certificate_of_its_own_that_has_ended_or_is_to_come() {
    let mut room = Room::with(26, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let state = room.ledger.group_state();
    let enter = |at| Member::join_externally(&erin, &room7(), &state, None, at).map(|_| ());

    let late = enter(room.realm.now + 31 * DAY);
    let early = enter(room.realm.now - DAY);

    assert_eq!(late, Err(Fault::Credential(BadCredential::Expired).into()));
    assert_eq!(early, Err(Fault::Credential(BadCredential::NotYetValid).into()));
}

#[test]
fn a_state_older_than_what_the_device_has_seen_is_refused() {
    let mut room = Room::with(20, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let state = room.ledger.group_state();
    let now = room.realm.now;
    let enter =
        |known| Member::join_externally(&erin, &room7(), &state, Some(known), now).map(|_| ());

    assert_eq!(enter((Era(1), Epoch(2))), Err(MemberError::Rollback { known: Epoch(2) }));
    assert!(matches!(enter((Era(2), Epoch(0))), Err(MemberError::Rollback { .. })));
    assert_eq!(enter((Era(1), Epoch(1))), Ok(()));
    assert_eq!(enter((Era(0), Epoch(9))), Ok(()));
}

#[test]
fn an_entrant_writes_only_after_its_commit_was_accepted() {
    let mut room = Room::with(21, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let (state, now) = (room.ledger.group_state(), room.realm.now);
    let (mut member, bundle) = Member::join_externally(&erin, &room7(), &state, None, now).unwrap();
    assert_eq!(member.seal("m", b"x"), Err(MemberError::Entering));
    assert_eq!(member.commit_pending(now), Err(MemberError::Entering));
    room.accept(erin.device(), &bundle);

    let Ok(Processed::Commit(echo)) = member.process(&bundle.commit, now) else { panic!() };

    assert!(echo.own);
    assert!(member.seal("m", b"x").is_ok());
}

#[test]
fn an_entrant_that_lost_the_race_enters_again() {
    let mut room = Room::with(22, &[("bob", 1)]);
    let (erin, frank) = (room.realm.device("erin", 1), room.realm.device("frank", 1));
    let (state, now) = (room.ledger.group_state(), room.realm.now);
    let (mut member, bundle) = Member::join_externally(&erin, &room7(), &state, None, now).unwrap();
    room.add(0, &[frank]);
    assert!(room.check(erin.device(), &bundle).is_err());

    let told = member.process(room.stream.last().unwrap(), now);

    assert_eq!(told, Ok(Processed::EntryLost));
    room.enter(&erin);
    assert_eq!(room.say(3, "m", b"in").len(), 3);
}

#[test]
fn a_member_shows_the_keys_of_the_others_and_forgets_the_group_on_request() {
    let mut room = Room::with(23, &[("bob", 1)]);
    let bob = room.members[1].keyring();

    let shown = room.members[0].key_of(&name("bob", 1)).map(<[u8]>::to_vec);

    assert_eq!(shown.unwrap(), crate::identity::DeviceKey::public(bob.signer()));
    assert_eq!(room.members[0].key_of(&name("zoe", 1)), None);
    room.members.pop().unwrap().forget();
    assert_eq!(
        format!("{:?}", room.members[0]),
        "Member { conference: room7, era: Era(1), epoch: Epoch(1), .. }"
    );
}

#[test]
fn a_remove_heard_twice_is_pending_once_and_can_be_committed() {
    let mut room = Room::with(24, &[("bob", 1), ("dave", 1)]);
    room.kick("dave");
    for proposal in room.ledger.pending_proposals() {
        room.broadcast(&proposal);
    }
    assert_eq!(room.members[0].pending().collect::<Vec<_>>(), [&name("dave", 1)]);

    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();

    room.submit(&name("alice", 1), &bundle, &[]);
}

#[test]
fn a_commit_that_covers_a_remove_this_member_has_not_heard_of_cannot_be_processed_until_it_has() {
    let mut room = Room::with(25, &[("bob", 1), ("dave", 1)]);
    room.kick("dave");
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    let now = room.realm.now;
    let bob = room.members[1].keyring();
    let storage = bob.openmls().storage();
    room.members[1].group().clear_pending_proposals(storage).unwrap();

    let refused = room.members[1].process(&bundle.commit, now);

    assert_eq!(refused, Err(MemberError::Unreadable));
    for proposal in room.ledger.pending_proposals() {
        room.members[1].process(&proposal, now).unwrap();
    }
    assert!(room.members[1].process(&bundle.commit, now).is_ok());
}
