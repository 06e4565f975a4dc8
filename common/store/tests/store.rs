//! What the store promises, on both databases.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
mod engines;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use engines::Database;
use ids::{Aor, ConferenceId, DeviceId, Seq};
use store::{Certificate, Entry, Error, NewKeyPackage};

const NOW: SystemTime = UNIX_EPOCH;

fn at(secs: u64) -> SystemTime {
    NOW + Duration::from_secs(secs)
}

fn room(name: &str) -> ConferenceId {
    name.parse().unwrap()
}

fn alice() -> Aor {
    "sip:alice@example.net".parse().unwrap()
}

fn device(number: u8) -> DeviceId {
    format!("urn:uuid:00000000-0000-4000-8000-{number:012}").parse().unwrap()
}

fn package(number: u64, expires: SystemTime) -> NewKeyPackage {
    let reference = Bytes::copy_from_slice(&number.to_be_bytes());
    NewKeyPackage { reference, package: format!("package {number}").into(), expires }
}

async fn a_journal_comes_back_in_order_after_reopening(database: Database) {
    let store = database.open().await;
    for seq in 0..5_u64 {
        let entry = Entry::event(format!("event {seq}"));
        assert_eq!(store.append(&room("a"), Seq(seq), entry).await.unwrap(), Seq(seq + 1));
    }
    store.append(&room("b"), Seq(0), Entry::event("other")).await.unwrap();

    let store = database.reopen(store).await;

    let history = store.read(&room("a")).await.unwrap();
    let expected: Vec<Bytes> = (0..5).map(|seq| Bytes::from(format!("event {seq}"))).collect();
    assert_eq!(history.events, expected);
    assert_eq!(history.group, None);
    let mut names = store.conferences().await.unwrap();
    names.sort();
    assert_eq!(names, [room("a"), room("b")]);
    assert_eq!(store.read(&room("never")).await.unwrap().events, Vec::<Bytes>::new());
}

async fn two_owners_append_and_one_of_them_loses(database: Database) {
    let store = database.open().await;
    let mut tasks = Vec::new();
    for owner in 0..16 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut won = 0;
            for seq in 0..20 {
                let entry = Entry::event(format!("{owner} at {seq}"));
                match store.append(&room("a"), Seq(seq), entry).await {
                    Ok(next) => {
                        assert_eq!(next, Seq(seq + 1));
                        won += 1;
                    }
                    Err(Error::Conflict { expected, .. }) => assert_eq!(expected, Seq(seq)),
                    Err(other) => panic!("{other}"),
                }
            }
            won
        }));
    }
    let mut won = 0;
    for task in tasks {
        won += task.await.unwrap();
    }

    assert_eq!(won, store.read(&room("a")).await.unwrap().events.len());
    assert!(won >= 1);
    let ahead = store.append(&room("a"), Seq(99), Entry::event("gap")).await;
    assert!(matches!(ahead, Err(Error::Conflict { .. })));
}

async fn of_many_appends_that_share_a_transaction_each_is_judged_by_itself(database: Database) {
    let store = database.open().await;
    store.append(&room("r7"), Seq(0), Entry::event("first")).await.unwrap();
    // 100 rooms at once, of which one has moved on, and one is appended to three times in a row.
    let mut expected: Vec<(String, u64)> = (0..100).map(|n| (format!("r{n}"), 0)).collect();
    expected.extend([("r3".to_owned(), 1), ("r3".to_owned(), 2), ("r3".to_owned(), 2)]);
    let appends = expected.iter().map(|(name, seq)| {
        let (store, room, seq) = (store.clone(), room(name), Seq(*seq));
        let entry = Entry::event(format!("{room} at {seq}"));
        tokio::spawn(async move { store.append(&room, seq, entry).await })
    });

    // All are handed over, in this order, before the writer has a turn.
    let appends: Vec<_> = appends.collect();
    let mut answers = Vec::new();
    for append in appends {
        answers.push(append.await.unwrap());
    }

    for ((name, seq), answer) in expected.iter().zip(&answers).take(102) {
        match answer {
            Err(Error::Conflict { .. }) => assert_eq!(name, "r7"),
            answer => assert_eq!(answer.as_ref().unwrap(), &Seq(seq + 1), "{name}"),
        }
    }
    assert!(matches!(answers.last().unwrap(), Err(Error::Conflict { .. })));
    assert_eq!(store.read(&room("r7")).await.unwrap().events, ["first"]);
    assert_eq!(store.read(&room("r3")).await.unwrap().events.len(), 3);
    assert_eq!(store.conferences().await.unwrap().len(), 100);
}

async fn a_refused_append_leaves_the_group_alone(database: Database) {
    let store = database.open().await;
    let entry = |event: &'static str, group: &'static str| Entry {
        event: Bytes::from_static(event.as_bytes()),
        group: Some(Bytes::from_static(group.as_bytes())),
    };
    store.append(&room("a"), Seq(0), entry("1", "first")).await.unwrap();
    store.append(&room("a"), Seq(1), Entry::event("2")).await.unwrap();

    let late = store.append(&room("a"), Seq(1), entry("2b", "second")).await;

    assert!(matches!(late, Err(Error::Conflict { .. })));
    let store = database.reopen(store).await;
    let history = store.read(&room("a")).await.unwrap();
    assert_eq!(history.group.unwrap(), "first");
    assert_eq!(history.events, ["1", "2"]);
}

async fn i17_sixteen_racers_at_two_stores_claim_two_hundred_packages_and_each_goes_once(
    database: Database,
) {
    let (store, other) = (database.open().await, database.open().await);
    for batch in 0..4 {
        let packages = (0..50).map(|n| package(batch * 50 + n, at(1000))).collect();
        store.put_key_packages(&alice(), &device(1), packages, None, (200, NOW)).await.unwrap();
    }
    let mut racers = Vec::new();
    for n in 0..16 {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        racers.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            // Bounded, so that a directory that never runs dry fails the test and does not hang it.
            for _ in 0..250 {
                let claimed = store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap();
                let Some(claimed) = claimed else { break };
                mine.push(claimed.package);
            }
            mine
        }));
    }
    let mut all = Vec::new();
    for racer in racers {
        all.extend(racer.await.unwrap());
    }

    assert_eq!(all.len(), 200);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 200);
}

async fn the_oldest_package_goes_first_and_the_last_resort_again_and_again(database: Database) {
    let store = database.open().await;
    let packages = vec![package(1, at(1000)), package(2, at(1000))];
    let last = Some(package(9, at(1000)));
    store.put_key_packages(&alice(), &device(1), packages, last, (10, NOW)).await.unwrap();
    assert_eq!(store.count_key_packages(&alice(), &device(1), at(1)).await.unwrap(), 2);

    let mut given = Vec::new();
    for _ in 0..2 {
        let claimed = store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap().unwrap();
        given.push((claimed.package, claimed.last_resort));
    }
    let store = database.reopen(store).await;
    for _ in 0..2 {
        let claimed = store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap().unwrap();
        given.push((claimed.package, claimed.last_resort));
    }

    let expected =
        [("package 1", false), ("package 2", false), ("package 9", true), ("package 9", true)];
    assert_eq!(given, expected.map(|(package, last)| (Bytes::from(package), last)));
}

async fn a_new_last_resort_replaces_the_old_one(database: Database) {
    let store = database.open().await;
    for number in [1, 2] {
        let last = Some(package(number, at(1000)));
        store.put_key_packages(&alice(), &device(1), Vec::new(), last, (10, NOW)).await.unwrap();
    }

    let claimed = store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap().unwrap();

    assert_eq!(claimed.package, "package 2");
}

async fn a_package_that_was_here_before_is_refused_even_when_claimed_and_takes_the_upload_along(
    database: Database,
) {
    let store = database.open().await;
    store
        .put_key_packages(&alice(), &device(1), vec![package(1, at(1000))], None, (9, NOW))
        .await
        .unwrap();
    store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap().unwrap();

    let again = vec![package(2, at(1000)), package(1, at(1000))];
    let refused = store.put_key_packages(&alice(), &device(1), again, None, (9, NOW)).await;

    assert!(matches!(refused, Err(Error::Duplicate)));
    assert_eq!(store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap(), None);
}

async fn a_device_may_leave_only_so_many(database: Database) {
    let store = database.open().await;
    let packages = (0..4).map(|n| package(n, at(1000))).collect();

    let refused = store.put_key_packages(&alice(), &device(1), packages, None, (3, NOW)).await;

    assert!(matches!(refused, Err(Error::TooMany { max: 3 })));
    assert_eq!(store.count_key_packages(&alice(), &device(1), NOW).await.unwrap(), 0);
}

async fn a_device_that_starts_anew_replaces_what_it_left_and_nothing_dead_is_handed_out(
    database: Database,
) {
    let store = database.open().await;
    for start in 0..5_u64 {
        let packages = (0..2).map(|n| package(start * 10 + n, at(1000))).collect();
        let last = Some(package(start * 10 + 9, at(1000)));
        let bounds = (3, NOW);
        store.replace_key_packages(&alice(), &device(1), packages, last, bounds).await.unwrap();
    }
    let other = vec![package(100, at(1000))];
    store.put_key_packages(&alice(), &device(2), other, None, (3, NOW)).await.unwrap();

    let mut given = Vec::new();
    for _ in 0..4 {
        let claimed = store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap().unwrap();
        given.push(claimed.package);
    }

    assert_eq!(given, ["package 40", "package 41", "package 49", "package 49"]);
    assert_eq!(store.count_key_packages(&alice(), &device(2), at(1)).await.unwrap(), 1);
}

async fn a_replacement_that_is_refused_replaces_nothing(database: Database) {
    let store = database.open().await;
    let first = vec![package(1, at(1000))];
    store.put_key_packages(&alice(), &device(1), first, None, (3, NOW)).await.unwrap();

    let many = (10..20).map(|n| package(n, at(1000))).collect();
    let refused = store.replace_key_packages(&alice(), &device(1), many, None, (3, NOW)).await;

    assert!(matches!(refused, Err(Error::TooMany { max: 3 })));
    let claimed = store.claim_key_package(&alice(), &device(1), at(1)).await.unwrap().unwrap();
    assert_eq!(claimed.package, "package 1");
}

async fn an_expired_package_is_never_handed_out(database: Database) {
    let store = database.open().await;
    let packages = vec![package(1, at(10)), package(2, at(20))];
    let last = Some(package(3, at(30)));
    store.put_key_packages(&alice(), &device(1), packages, last, (9, NOW)).await.unwrap();

    let claim = async |now| {
        let claimed = store.claim_key_package(&alice(), &device(1), now).await.unwrap();
        claimed.map(|claimed| claimed.package)
    };
    assert_eq!(claim(at(10)).await.unwrap(), "package 2");
    assert_eq!(claim(at(29)).await.unwrap(), "package 3");
    assert_eq!(claim(at(30)).await, None);
}

async fn a_person_gives_one_package_of_each_device_and_strangers_none(database: Database) {
    let store = database.open().await;
    for number in 1..=3_u8 {
        let packages = vec![package(number.into(), at(1000))];
        store.put_key_packages(&alice(), &device(number), packages, None, (9, NOW)).await.unwrap();
    }
    let bob: Aor = "sip:bob@example.net".parse().unwrap();

    let claimed = store.claim_key_packages(&alice(), (at(1), at(1))).await.unwrap();

    let devices: Vec<DeviceId> = claimed.into_iter().map(|claimed| claimed.device).collect();
    assert_eq!(devices, [device(1), device(2), device(3)]);
    assert_eq!(store.claim_key_packages(&alice(), (at(1), at(1))).await.unwrap(), []);
    assert_eq!(store.claim_key_packages(&bob, (at(1), at(1))).await.unwrap(), []);
    let wanted = vec![(alice(), device(1)), (bob, device(1))];
    assert_eq!(store.claim_for(wanted, at(1)).await.unwrap(), [None, None]);
}

async fn a_counter_never_gives_a_number_twice(database: Database) {
    let store = database.open().await;
    let mut tasks = Vec::new();
    for count in 1..=20 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move { store.reserve("seats", count).await.unwrap() }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let store = database.reopen(store).await;
    all.extend(store.reserve("seats", 1).await.unwrap());

    all.sort_unstable();
    assert_eq!(all, (1..=211).collect::<Vec<u64>>());
    assert_eq!(store.reserve("others", 1).await.unwrap(), 1..2);
    // Of an old copy the same numbers would be given out again; by the time they are not.
    assert_eq!(store.reserve_after("others", 1_000, 2).await.unwrap(), 1_001..1_003);
    assert_eq!(store.reserve_after("others", 1_000, 2).await.unwrap(), 1_003..1_005);
    assert_eq!(store.reserve_after("fresh", 1_000, 2).await.unwrap(), 1_001..1_003);
}

async fn issued_certificates_are_listed_newest_first(database: Database) {
    let store = database.open().await;
    let certificate = |serial: &str, issued| Certificate {
        serial: serial.into(),
        aor: alice(),
        device: device(1),
        issued: at(issued),
        expires: at(1000),
    };
    for one in [certificate("aa", 1), certificate("bb", 2), certificate("aa", 1)] {
        store.note_certificate(one).await.unwrap();
    }

    let listed = store.certificates(&alice()).await.unwrap();
    assert_eq!(listed, [certificate("bb", 2), certificate("aa", 1)]);
}

async fn a_closed_store_says_so(database: Database) {
    let store = database.open().await;
    store.close().await;

    let late = store.append(&room("a"), Seq(0), Entry::event("late")).await;

    assert!(matches!(late, Err(Error::Closed)));
}

async fn of_a_conference_that_is_over_only_the_end_is_left_and_it_goes_on_from_there(
    database: Database,
) {
    let store = database.open().await;
    for seq in 0..3_u64 {
        let entry = Entry { event: format!("event {seq}").into(), group: Some("keys".into()) };
        store.append(&room("a"), Seq(seq), entry).await.unwrap();
        store.append(&room("b"), Seq(seq), Entry::event("other")).await.unwrap();
    }

    store.forget(&room("a"), Seq(3)).await.unwrap();

    let left = store.read(&room("a")).await.unwrap();
    assert_eq!((left.before, left.events.len(), left.group), (Seq(2), 1, None));
    assert_eq!(left.events[0], "event 2");
    assert_eq!(store.conferences().await.unwrap(), [room("b")]);
    let store = database.reopen(store).await;
    // Somebody who does not know that it is over cannot write.
    let late = store.append(&room("a"), Seq(2), Entry::event("late")).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    let anew = Entry { event: "anew".into(), group: Some("new keys".into()) };
    assert_eq!(store.append(&room("a"), Seq(3), anew).await.unwrap(), Seq(4));
    store.forget(&room("a"), Seq(3)).await.unwrap();
    let again = store.read(&room("a")).await.unwrap();
    assert_eq!((again.before, again.events.len()), (Seq(2), 2));
    assert_eq!(again.group.as_deref(), Some(&b"new keys"[..]));
    assert_eq!(store.conferences().await.unwrap(), [room("a"), room("b")]);
}

async fn of_many_that_are_forgotten_together_each_keeps_what_came_behind_its_end(
    database: Database,
) {
    let store = database.open().await;
    for n in 0..12 {
        for seq in 0..3 {
            let entry = Entry { event: format!("{n} at {seq}").into(), group: Some("g".into()) };
            store.append(&room(&format!("r{n}")), Seq(seq), entry).await.unwrap();
        }
    }
    // All but the last two, up to their third event; they are handed over before the writer has a turn.
    let forgets: Vec<_> = (0..10)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.forget(&room(&format!("r{n}")), Seq(3)).await })
        })
        .collect();
    for forget in forgets {
        forget.await.unwrap().unwrap();
    }

    for n in 0..10 {
        let history = store.read(&room(&format!("r{n}"))).await.unwrap();
        assert_eq!(
            (history.before, history.events.len(), history.group),
            (Seq(2), 1, None),
            "r{n}"
        );
        assert_eq!(history.events[0], format!("{n} at 2"));
    }
    for n in 10..12 {
        let history = store.read(&room(&format!("r{n}"))).await.unwrap();
        assert_eq!((history.events.len(), history.group.is_some()), (3, true));
    }
}

on_both![
    i17_sixteen_racers_at_two_stores_claim_two_hundred_packages_and_each_goes_once,
    a_counter_never_gives_a_number_twice,
    a_journal_comes_back_in_order_after_reopening,
    two_owners_append_and_one_of_them_loses,
    of_many_appends_that_share_a_transaction_each_is_judged_by_itself,
    a_refused_append_leaves_the_group_alone,
    the_oldest_package_goes_first_and_the_last_resort_again_and_again,
    a_new_last_resort_replaces_the_old_one,
    a_package_that_was_here_before_is_refused_even_when_claimed_and_takes_the_upload_along,
    a_device_may_leave_only_so_many,
    a_device_that_starts_anew_replaces_what_it_left_and_nothing_dead_is_handed_out,
    a_replacement_that_is_refused_replaces_nothing,
    an_expired_package_is_never_handed_out,
    a_person_gives_one_package_of_each_device_and_strangers_none,
    issued_certificates_are_listed_newest_first,
    a_closed_store_says_so,
    of_a_conference_that_is_over_only_the_end_is_left_and_it_goes_on_from_there,
    of_many_that_are_forgotten_together_each_keeps_what_came_behind_its_end,
];
