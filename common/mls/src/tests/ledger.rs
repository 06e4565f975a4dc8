//! The ledger's own rules: one winner for each epoch, complete bundles, and a state that survives the journal.
use std::time::Duration;

use bytes::Bytes;
use ids::{Epoch, Era};
use sha2::{Digest as _, Sha256};

use super::support::{DAY, Room, claim, name};
use crate::identity::BadCredential;
use crate::ledger::{Ledger, Refusal, Verdict, Whom};
use crate::member::Processed;
use crate::wire::{Bundle, CommitResult, Kind};

#[test]
fn two_commits_in_one_epoch_and_the_first_one_wins() {
    let mut room = Room::with(1, &[("bob", 1)]);
    let (erin, frank) = (room.realm.device("erin", 1), room.realm.device("frank", 1));
    let now = room.realm.now;
    let first = room.members[0].add(&[claim(&erin)], now).unwrap();
    let second = room.members[1].add(&[claim(&frank)], now).unwrap();
    let epoch = room.ledger.epoch();
    let accepted = room.accept(&name("alice", 1), &first);

    let refusal = room.refusal(&name("bob", 1), &second);

    let winner = Sha256::digest(&first.commit).into();
    let lost = CommitResult::Lost { era: Era(1), epoch: epoch.next(), winner };
    assert_eq!(refusal.to_result(), lost);
    let told = room.broadcast(&accepted.commit.unwrap());
    let lost_own: Vec<bool> = told
        .iter()
        .map(|p| matches!(p, Processed::Commit(committed) if committed.lost_own))
        .collect();
    assert_eq!(lost_own, [false, true], "the loser applies the winner and knows that it lost");
    let again = room.members[1].add(&[claim(&frank)], now).unwrap();
    room.accept(&name("bob", 1), &again);
}

#[test]
fn the_same_bundle_again_has_the_same_answer_and_changes_nothing() {
    let mut room = Room::with(2, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    let accepted = room.accept(&name("alice", 1), &bundle);
    let before = room.ledger.to_bytes();

    let verdict = room.check(&name("alice", 1), &bundle).unwrap();

    assert!(matches!(verdict, Verdict::Repeat { epoch } if epoch == accepted.epoch));
    assert_eq!(room.ledger.to_bytes(), before);
}

#[test]
fn a_commit_of_a_future_epoch_is_refused() {
    let mut room = Room::with(3, &[("bob", 1)]);
    let old = room.ledger.to_bytes();
    let erin = room.realm.device("erin", 1);
    room.add(0, &[erin]);
    let frank = room.realm.device("frank", 1);
    let bundle = room.members[0].add(&[claim(&frank)], room.realm.now).unwrap();
    let focus = room.realm.issuer.focus_key();
    room.ledger = Ledger::from_bytes(&old, &focus, room.realm.issuer.roots()).unwrap();

    assert_eq!(room.refusal(&name("alice", 1), &bundle), Refusal::Future { epoch: Epoch(1) });
}

#[test]
fn a_commit_of_another_era_is_refused() {
    let mut room = Room::with(4, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let mut bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    bundle.era = Era(2);

    assert_eq!(room.refusal(&name("alice", 1), &bundle), Refusal::WrongEra { era: Era(1) });
}

#[test]
fn a_commit_brought_by_another_device_than_its_author_is_refused() {
    let mut room = Room::with(5, &[("alice", 2), ("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();

    for other in [name("bob", 1), name("alice", 2)] {
        assert_eq!(room.refusal(&other, &bundle), Refusal::NotTheSender);
    }
}

#[test]
fn a_committer_whose_certificate_has_ended_is_refused() {
    let mut room = Room::with(6, &[("bob", 1)]);
    let now = room.realm.now;
    let bundle = room.members[0].remove(&[name("bob", 1)], now).unwrap();

    let refused = room.check_at(&name("alice", 1), &bundle, now + 31 * DAY);

    assert_eq!(refused.unwrap_err(), Refusal::Credential(BadCredential::Expired));
    assert_eq!(room.ledger.expired(now), []);
    assert_eq!(room.ledger.expired(now + 31 * DAY).len(), 2);
}

#[test]
fn the_ledger_says_whose_certificate_ends_next_until_the_remove_is_pending() {
    let mut room = Room::with(27, &[("bob", 1)]);
    let end = |room: &Room| room.ledger.next_expiry().map(|(end, who)| (end, who.clone()));
    let (ends, first) = end(&room).unwrap();
    assert!(room.ledger.expired(ends - Duration::from_secs(1)).is_empty());
    assert!(room.ledger.expired(ends).contains(&first));

    room.kick("alice");
    assert_eq!(end(&room).unwrap().1, name("bob", 1));
    room.kick("bob");
    assert_eq!(end(&room), None);
}

#[test]
fn a_committer_whose_certificate_has_ended_cannot_add_without_renewing_it() {
    let mut room = Room::with(22, &[("bob", 1)]);
    let (key, who, now) = (room.realm.key(), name("erin", 1), room.realm.now);
    let csr = crate::identity::request(&key, &who).unwrap();
    let long = room.realm.issuer.issue(&csr, &who, now, 60 * DAY).unwrap();
    let erin = crate::member::Keyring::new(key, &long, room.realm.issuer.roots(), now).unwrap();
    let package = erin.key_packages(1, false, now, 50 * DAY).unwrap().packages.remove(0);
    let package = crate::wire::ClaimedKeyPackage { key_package: package, ..claim(&erin) };
    let bundle = room.members[0].add(&[package], now).unwrap();

    let refused = room.check_at(&name("alice", 1), &bundle, now + 31 * DAY);

    assert_eq!(refused.unwrap_err(), Refusal::Credential(BadCredential::Expired));
}

#[test]
fn nobody_is_added_who_is_not_on_the_roster() {
    let mut room = Room::with(7, &[("bob", 1)]);
    let dave = room.realm.device("dave", 1);
    room.banned.insert(dave.device().aor.clone());
    let bundle = room.members[0].add(&[claim(&dave)], room.realm.now).unwrap();

    let refusal = room.refusal(&name("alice", 1), &bundle);

    assert_eq!(refusal, Refusal::NotOnRoster(name("dave", 1)));
}

#[test]
fn a_committer_who_is_not_on_the_roster_is_refused() {
    let mut room = Room::with(8, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = room.members[1].add(&[claim(&erin)], room.realm.now).unwrap();
    room.banned.insert(name("bob", 1).aor);

    assert_eq!(room.refusal(&name("bob", 1), &bundle), Refusal::NotOnRoster(name("bob", 1)));
}

#[test]
fn a_key_package_that_has_expired_is_not_added() {
    let mut room = Room::with(9, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let now = room.realm.now;
    let short = erin.key_packages(1, false, now, DAY).unwrap();
    let mut package = claim(&erin);
    package.key_package = short.packages[0].clone();
    let bundle = room.members[0].add(&[package], now).unwrap();

    let refused = room.check_at(&name("alice", 1), &bundle, now + 2 * DAY);

    assert_eq!(refused.unwrap_err(), Refusal::KeyPackage(name("erin", 1)));
}

#[test]
fn a_member_removes_its_own_devices_but_nobody_elses() {
    let mut room = Room::with(10, &[("bob", 1), ("bob", 2), ("carol", 1)]);
    let now = room.realm.now;
    let bundle = room.members[1].remove(&[name("carol", 1)], now).unwrap();
    let refusal = room.refusal(&name("bob", 1), &bundle);
    assert_eq!(refusal, Refusal::RemovesAnother(name("carol", 1)));
    room.members[1].abandon().unwrap();

    let bundle = room.members[1].remove(&[name("bob", 2)], now).unwrap();
    let accepted = room.submit(&name("bob", 1), &bundle, &[]);

    assert_eq!(accepted.removed, [name("bob", 2)]);
}

#[test]
fn a_member_may_remove_whoever_is_no_longer_on_the_roster() {
    let mut room = Room::with(11, &[("bob", 1), ("carol", 1)]);
    let now = room.realm.now;
    room.banned.insert(name("carol", 1).aor);

    let bundle = room.members[1].remove(&[name("carol", 1)], now).unwrap();

    assert_eq!(room.submit(&name("bob", 1), &bundle, &[]).removed, [name("carol", 1)]);
}

#[test]
fn a_removal_of_somebody_who_is_no_member_is_refused() {
    let room = Room::with(12, &[("bob", 1)]);

    let refused = room.ledger.check_removal(Whom::Person(&name("zoe", 1).aor));

    assert_eq!(refused.unwrap_err(), Refusal::NotAMember);
}

#[test]
fn a_removal_asked_for_twice_is_pending_once() {
    let mut room = Room::with(13, &[("bob", 1), ("dave", 1), ("dave", 2)]);
    room.kick("dave");
    let first = room.ledger.pending_proposals();

    room.kick("dave");

    assert_eq!(room.ledger.pending_proposals(), first);
    assert_eq!(room.ledger.pending().collect::<Vec<_>>(), [&name("dave", 1), &name("dave", 2)]);
    let bundle = room.members[1].commit_pending(room.realm.now).unwrap();
    room.submit(&name("bob", 1), &bundle, &[]);
}

#[test]
fn checking_changes_nothing_and_applying_wants_the_state_that_was_checked() {
    let mut room = Room::with(14, &[("bob", 1), ("dave", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    let before = room.ledger.to_bytes();
    let Verdict::New(first) = room.check(&name("alice", 1), &bundle).unwrap() else { panic!() };
    let Verdict::New(second) = room.check(&name("alice", 1), &bundle).unwrap() else { panic!() };
    let removal = room.ledger.check_removal(Whom::Person(&name("dave", 1).aor)).unwrap();
    assert_eq!(room.ledger.to_bytes(), before);

    room.ledger.apply(*first).unwrap();

    assert!(matches!(room.ledger.apply(*second), Err(Refusal::Lost { .. })));
    assert!(matches!(room.ledger.apply_removal(removal), Err(Refusal::Lost { .. })));
}

#[test]
fn a_ledger_from_the_journal_goes_on_where_it_was() {
    let mut room = Room::with(15, &[("bob", 1), ("dave", 1)]);
    room.kick("dave");
    let (focus, stored) = (room.realm.issuer.focus_key(), room.ledger.to_bytes());

    room.ledger = Ledger::from_bytes(&stored, &focus, room.realm.issuer.roots()).unwrap();

    assert_eq!(room.ledger.to_bytes(), stored);
    assert_eq!(room.ledger.pending().collect::<Vec<_>>(), [&name("dave", 1)]);
    let bundle = room.members[1].commit_pending(room.realm.now).unwrap();
    room.submit(&name("bob", 1), &bundle, &[]);
    assert!(matches!(room.check(&name("bob", 1), &bundle), Ok(Verdict::Repeat { .. })));
}

#[test]
fn the_snapshot_of_a_checked_commit_is_the_ledger_after_it() {
    let mut room = Room::with(16, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    let Verdict::New(checked) = room.check(&name("alice", 1), &bundle).unwrap() else { panic!() };
    let snapshot = checked.snapshot();

    room.ledger.apply(*checked).unwrap();

    assert_eq!(room.ledger.to_bytes(), snapshot);
}

#[test]
fn a_journal_entry_that_is_no_ledger_is_refused_without_panic() {
    let room = Room::with(17, &[("bob", 1)]);
    let (focus, stored) = (room.realm.issuer.focus_key(), room.ledger.to_bytes());

    for cut in (0..stored.len()).step_by(97) {
        assert!(Ledger::from_bytes(&stored[..cut], &focus, room.realm.issuer.roots()).is_err());
    }
}

#[test]
fn welcomes_are_for_exactly_the_added_devices() {
    let mut room = Room::with(18, &[("bob", 1)]);
    let (erin, frank) = (room.realm.device("erin", 1), room.realm.device("frank", 1));
    let claims = [claim(&erin), claim(&frank)];
    let bundle = room.members[0].add(&claims, room.realm.now).unwrap();
    let alice = name("alice", 1);

    let mut missing = bundle.clone();
    missing.welcomes.pop();
    let mut twice = bundle.clone();
    twice.welcomes.push(bundle.welcomes[0].clone());
    let mut swapped = bundle.clone();
    swapped.welcomes[0].welcome = bundle.welcomes[1].welcome.clone();
    let mut stranger = bundle.clone();
    stranger.welcomes[0].to = name("zoe", 1);
    let mut unreadable = bundle.clone();
    unreadable.welcomes[0].welcome = Bytes::from_static(b"no Welcome");

    for wrong in [missing, twice, swapped, stranger, unreadable] {
        assert!(matches!(room.refusal(&alice, &wrong), Refusal::Welcomes(_)));
    }
    room.accept(&alice, &bundle);
}

#[test]
fn a_group_info_that_does_not_fit_the_new_state_is_refused() {
    let mut room = Room::with(19, &[("bob", 1)]);
    let (erin, frank) = (room.realm.device("erin", 1), room.realm.device("frank", 1));
    let now = room.realm.now;
    let bundle = room.members[0].add(&[claim(&erin)], now).unwrap();
    let other = room.members[1].add(&[claim(&frank)], now).unwrap();
    let alice = name("alice", 1);
    let old = room.ledger.group_state().group_info;
    let mut unsigned = bundle.group_info.to_vec();
    *unsigned.last_mut().unwrap() ^= 1;

    for group_info in [old, other.group_info, unsigned.into(), Bytes::new()] {
        let wrong = Bundle { group_info, ..bundle.clone() };
        assert!(matches!(room.refusal(&alice, &wrong), Refusal::GroupInfo(_)));
    }
    room.accept(&alice, &bundle);
}

#[test]
fn a_bundle_that_is_not_what_it_says_is_refused() {
    let mut room = Room::with(20, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = room.members[0].add(&[claim(&erin)], room.realm.now).unwrap();
    let sealed = room.members[1].seal("m", b"no commit").unwrap();
    let state = room.ledger.group_state();

    for wrong in [
        Bundle { kind: Kind::External, ..bundle.clone() },
        Bundle { commit: sealed, ..bundle.clone() },
        Bundle { commit: state.group_info, ..bundle.clone() },
        Bundle { tree: state.tree, ..bundle.clone() },
        Bundle { commit: vec![0; 5 << 20].into(), ..bundle.clone() },
    ] {
        assert!(matches!(room.refusal(&name("alice", 1), &wrong), Refusal::Malformed(_)));
    }
}

#[test]
fn a_commit_with_any_octet_changed_or_cut_is_refused_without_panic() {
    let mut room = Room::with(21, &[("bob", 1), ("dave", 1)]);
    let bundle = room.members[0].remove(&[name("alice", 1)], room.realm.now);
    assert!(bundle.is_err(), "nobody removes itself by commit");
    room.kick("dave");
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();
    let alice = name("alice", 1);
    let end = bundle.commit.len() - 33;

    for at in (0..end).step_by(5) {
        let mut commit = bundle.commit.to_vec();
        commit[at] ^= 0x40;
        let changed = Bundle { commit: commit.into(), ..bundle.clone() };
        assert!(room.check(&alice, &changed).is_err(), "octet {at}");
        let cut = Bundle { commit: bundle.commit.slice(..at), ..bundle.clone() };
        assert!(room.check(&alice, &cut).is_err(), "cut at {at}");
    }
}
