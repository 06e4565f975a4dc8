//! Files that wait: bounded for each person and sender, known when they come again, and gone when their time is over.
#![expect(clippy::unwrap_used, reason = "a store that does not answer should fail its test")]
mod engines;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engines::Database;
use ids::Aor;
use store::{FileBounds, FileRow, Filed, KeptFile, NewLetter};

const BOUNDS: FileBounds = FileBounds { files_max: 3, sender_files_max: 2, octets_max: 100 };

fn aor(name: &str) -> Aor {
    format!("sip:{name}@example.net").parse().unwrap()
}

fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

fn file(sender: &str, id: &str, octets: u64) -> FileRow {
    FileRow {
        owner: aor("bob"),
        sender: aor(sender),
        transfer_id: id.to_owned(),
        blob: format!("blob-{id}"),
        octets,
        sha256: format!("hash of {id}"),
        sha1: format!("old hash of {id}"),
        locked: true,
        head: Bytes::from_static(b"\x00head\xff"),
        accepted: at(1),
        expires: at(50),
    }
}

async fn what_was_kept_is_given_back_until_its_time_is_over(database: Database) {
    let store = database.open().await;
    let (one, two) = (file("alice", "t1", 10), file("eve", "t2", 0));
    for row in [&one, &two] {
        assert_eq!(store.keep_file(row.clone(), BOUNDS).await.unwrap(), Filed::Kept);
    }
    let store = database.reopen(store).await;

    let kept = store.files_of(&aor("bob"), at(49)).await.unwrap();
    assert_eq!(kept.iter().map(|kept| &kept.row).collect::<Vec<_>>(), [&one, &two]);
    assert_eq!(store.files_of(&aor("alice"), at(49)).await.unwrap(), Vec::<KeptFile>::new());
    assert_eq!(store.files_of(&aor("bob"), at(50)).await.unwrap(), Vec::<KeptFile>::new());
    assert_eq!(store.expired_files(at(49), 10).await.unwrap(), Vec::<KeptFile>::new());
    assert_eq!(store.expired_files(at(50), 10).await.unwrap(), kept);

    assert!(store.knows_blob("blob-t1").await.unwrap());
    for gone in kept {
        store.end_file(gone.number, None).await.unwrap();
    }
    assert!(!store.knows_blob("blob-t1").await.unwrap());
}

async fn the_same_octets_or_the_same_transfer_of_one_sender_are_kept_once(database: Database) {
    let store = database.open().await;
    store.keep_file(file("alice", "t1", 10), BOUNDS).await.unwrap();

    let again = FileRow { transfer_id: "t9".to_owned(), ..file("alice", "t1", 10) };
    let other = FileRow { sha256: "another".to_owned(), ..file("alice", "t1", 10) };
    for known in [again, other] {
        assert_eq!(store.keep_file(known, BOUNDS).await.unwrap(), Filed::Known);
    }
    assert_eq!(store.keep_file(file("eve", "t1", 10), BOUNDS).await.unwrap(), Filed::Kept);
}

async fn nobody_fills_a_mailbox_alone_and_nothing_more_goes_into_a_full_one(database: Database) {
    let store = database.open().await;
    let keep = async |file| store.keep_file(file, BOUNDS).await.unwrap();
    assert_eq!(keep(file("alice", "t1", 101)).await, Filed::Full);
    assert_eq!(keep(file("alice", "t1", 90)).await, Filed::Kept);
    assert_eq!(keep(file("alice", "t2", 11)).await, Filed::Full);
    assert_eq!(keep(file("alice", "t2", 1)).await, Filed::Kept);
    assert_eq!(keep(file("alice", "t3", 1)).await, Filed::SenderFull);
    assert_eq!(keep(file("eve", "t4", 1)).await, Filed::Kept);
    assert_eq!(keep(file("carol", "t5", 1)).await, Filed::Full);
}

async fn what_was_fetched_goes_sooner_and_never_later(database: Database) {
    let store = database.open().await;
    store.keep_file(file("alice", "t1", 1), BOUNDS).await.unwrap();
    store.keep_file(file("alice", "t2", 1), BOUNDS).await.unwrap();
    let numbers = store.files_of(&aor("bob"), at(2)).await.unwrap();
    let [one, two] = numbers.iter().map(|kept| kept.number).collect::<Vec<_>>()[..] else {
        panic!("{numbers:?}")
    };

    store.file_fetched(one, at(10), at(20)).await.unwrap();
    store.file_fetched(two, at(10), at(90)).await.unwrap();
    store.file_fetched(one, at(11), at(12)).await.unwrap();

    let kept = store.files_of(&aor("bob"), at(2)).await.unwrap();
    let told: Vec<_> = kept.iter().map(|kept| (kept.row.expires, kept.fetched)).collect();
    assert_eq!(told, [(at(20), true), (at(50), true)]);
}

async fn what_its_sender_is_told_of_a_file_is_kept_once_with_its_end(database: Database) {
    let store = database.open().await;
    store.keep_file(file("alice", "t1", 1), BOUNDS).await.unwrap();
    let number = store.files_of(&aor("bob"), at(2)).await.unwrap().remove(0).number;
    let notice = NewLetter {
        owner: aor("alice"),
        sender: aor("mailbox"),
        message_id: "n1".to_owned(),
        accepted: at(50),
        expires: at(90),
        forget: at(100),
        octets: 4,
        locked: false,
        head: Bytes::from_static(b"head"),
        body: Bytes::from_static(b"gone"),
        blob: None,
    };

    for _ in 0..2 {
        store.end_file(number, Some(notice.clone())).await.unwrap();
    }

    let told = store.letters(&aor("alice")).await.unwrap();
    let told: Vec<_> =
        told.iter().map(|kept| (&kept.letter.message_id, &kept.letter.body)).collect();
    assert_eq!(told, [(&notice.message_id, &notice.body)]);
    assert!(!store.knows_blob("blob-t1").await.unwrap());
}

on_both! {
    what_its_sender_is_told_of_a_file_is_kept_once_with_its_end,
    what_was_kept_is_given_back_until_its_time_is_over,
    the_same_octets_or_the_same_transfer_of_one_sender_are_kept_once,
    nobody_fills_a_mailbox_alone_and_nothing_more_goes_into_a_full_one,
    what_was_fetched_goes_sooner_and_never_later,
}
