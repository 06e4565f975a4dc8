//! Messages that wait: kept once, given to each device once, bounded, and known for as long as they could come again.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "a store that does not answer should fail its test")]
mod engines;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engines::Database;
use ids::Aor;
use store::{FileBounds, FileRow, Filed, MailboxBounds, NewLetter, Posted, Settled};

const BOUNDS: MailboxBounds = MailboxBounds {
    letters_max: 3,
    sender_letters_max: 2,
    octets_max: 100,
    blob_octets_max: 1_000,
    known_max: 10,
};

fn aor(name: &str) -> Aor {
    format!("sip:{name}@example.net").parse().unwrap()
}

fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

fn letter(sender: &str, id: &str, expires: u64) -> NewLetter {
    NewLetter {
        owner: aor("bob"),
        sender: aor(sender),
        message_id: id.to_owned(),
        accepted: at(1),
        expires: at(expires),
        forget: at(expires + 100),
        octets: 10,
        locked: false,
        head: Bytes::from_static(b"head"),
        body: Bytes::from_static(b"\x00body\xff"),
        blob: None,
    }
}

async fn each_device_has_its_own_place_and_what_came_later_comes_later(database: Database) {
    let store = database.open().await;
    for id in ["m1", "m2"] {
        let posted = store.post(letter("alice", id, 50), None, BOUNDS).await.unwrap();
        assert_eq!(posted, Posted::Kept);
    }
    let other = NewLetter { owner: aor("dave"), ..letter("alice", "m3", 50) };
    store.post(other, None, BOUNDS).await.unwrap();
    let mut owners = store.mailbox_owners().await.unwrap();
    owners.sort();
    assert_eq!(owners, [aor("bob"), aor("dave")]);
    for device in ["phone", "tablet"] {
        for id in ["m1", "m2"] {
            let next = store.next_letter(&aor("bob"), device, 0, at(2)).await.unwrap().unwrap();
            assert_eq!(next.letter.message_id, id);
            assert_eq!(next.letter.body, &b"\x00body\xff"[..]);
            let which = (&aor("bob"), device, next.number);
            store.settle_letter(which, Settled::Taken, (at(2), at(40)), None).await.unwrap();
        }
        assert!(store.next_letter(&aor("bob"), device, 0, at(2)).await.unwrap().is_none());
    }
    // Others have until the fortieth second, and nobody gets what is over.
    assert!(store.next_letter(&aor("bob"), "third", 0, at(39)).await.unwrap().is_some());
    assert!(store.next_letter(&aor("bob"), "third", 0, at(40)).await.unwrap().is_none());
    assert!(store.next_letter(&aor("carol"), "phone", 0, at(2)).await.unwrap().is_none());
}

async fn a_message_that_comes_again_is_known_until_it_is_forgotten_and_a_notice_is_kept_with_it(
    database: Database,
) {
    let store = database.open().await;
    let notice = NewLetter { owner: aor("alice"), ..letter("mailbox", "n1", 50) };
    let first = store.post(letter("alice", "m1", 10), Some(notice.clone()), BOUNDS).await;
    let again = store.post(letter("alice", "m1", 10), Some(notice), BOUNDS).await;
    assert_eq!((first.unwrap(), again.unwrap()), (Posted::Kept, Posted::Known));
    assert_eq!(store.letters(&aor("alice")).await.unwrap().len(), 1);

    let over = store.expired_letters(at(10), 9).await.unwrap();
    let ended: Vec<_> = over.iter().map(|letter| (letter.number, None)).collect();
    assert_eq!(ended.len(), 1);
    store.end_letters(ended).await.unwrap();

    assert!(store.letters(&aor("bob")).await.unwrap().is_empty());
    store.forget_letters(at(109)).await.unwrap();
    let known = store.post(letter("alice", "m1", 10), None, BOUNDS).await.unwrap();
    assert_eq!(known, Posted::Known);
    store.forget_letters(at(110)).await.unwrap();
    let new = store.post(letter("alice", "m1", 10), None, BOUNDS).await.unwrap();
    assert_eq!(new, Posted::Kept);
}

async fn a_full_mailbox_takes_nothing_more_and_one_sender_fills_it_not(database: Database) {
    let store = database.open().await;
    let post = async |sender: &str, id: &str, octets| {
        let letter = NewLetter { octets, ..letter(sender, id, 50) };
        store.post(letter, None, BOUNDS).await.unwrap()
    };
    assert_eq!(post("alice", "m1", 10).await, Posted::Kept);
    assert_eq!(post("alice", "m2", 10).await, Posted::Kept);
    assert_eq!(post("alice", "m3", 10).await, Posted::SenderFull);
    assert_eq!(post("carol", "m1", 81).await, Posted::Full);
    assert_eq!(post("carol", "m1", 80).await, Posted::Kept);
    assert_eq!(post("carol", "m2", 0).await, Posted::Full);
}

fn large(sender: &str, id: &str, octets: u64) -> NewLetter {
    NewLetter { octets, blob: Some(format!("blob-{id}")), ..letter(sender, id, 50) }
}

async fn a_large_message_keeps_its_row_until_its_blob_is_gone(database: Database) {
    let store = database.open().await;
    let posted = store.post(large("alice", "m1", 500), None, BOUNDS).await.unwrap();
    assert_eq!(posted, Posted::Kept);
    let store = database.reopen(store).await;
    let kept = store.next_letter(&aor("bob"), "phone", 0, at(2)).await.unwrap().unwrap();
    assert_eq!(kept.letter.blob.as_deref(), Some("blob-m1"));
    assert!(store.knows_blob("blob-m1").await.unwrap());
    assert!(store.ended_blobs(9).await.unwrap().is_empty());

    store.end_letters(vec![(kept.number, None)]).await.unwrap();
    store.forget_letters(at(1_000)).await.unwrap();

    assert_eq!(store.ended_blobs(9).await.unwrap(), [(kept.number, "blob-m1".to_owned())]);
    store.forget_blob(kept.number).await.unwrap();
    assert!(store.ended_blobs(9).await.unwrap().is_empty());
    assert!(!store.knows_blob("blob-m1").await.unwrap());
    store.forget_letters(at(1_000)).await.unwrap();
    let again = store.post(large("alice", "m1", 500), None, BOUNDS).await.unwrap();
    assert_eq!(again, Posted::Kept);
}

async fn large_messages_and_files_have_one_bound_and_small_messages_another(database: Database) {
    let store = database.open().await;
    let post = async |letter| store.post(letter, None, BOUNDS).await.unwrap();
    let files = FileBounds { files_max: 9, sender_files_max: 9, octets_max: 1_000 };
    let file = FileRow {
        owner: aor("bob"),
        sender: aor("eve"),
        transfer_id: "t1".to_owned(),
        blob: "blob-t1".to_owned(),
        octets: 300,
        sha256: "hash".to_owned(),
        sha1: "old hash".to_owned(),
        locked: true,
        head: Bytes::new(),
        accepted: at(1),
        expires: at(50),
    };
    assert_eq!(post(large("alice", "m1", 600)).await, Posted::Kept);
    let much = FileRow { octets: 401, ..file.clone() };
    assert_eq!(store.keep_file(much, files).await.unwrap(), Filed::Full);
    assert_eq!(store.keep_file(file, files).await.unwrap(), Filed::Kept);
    assert_eq!(post(large("carol", "m2", 101)).await, Posted::Full);
    assert_eq!(post(NewLetter { octets: 100, ..letter("carol", "m3", 50) }).await, Posted::Kept);
    assert_eq!(post(letter("alice", "m4", 50)).await, Posted::Full);
    let room = async |sender| store.has_room((&aor("bob"), &aor(sender)), BOUNDS).await.unwrap();
    assert_eq!(room("alice").await, Posted::Kept);
    assert_eq!(post(NewLetter { octets: 0, ..letter("alice", "m4", 50) }).await, Posted::Kept);
    assert_eq!(room("carol").await, Posted::Full);
}

on_both![
    a_large_message_keeps_its_row_until_its_blob_is_gone,
    large_messages_and_files_have_one_bound_and_small_messages_another,
    each_device_has_its_own_place_and_what_came_later_comes_later,
    a_message_that_comes_again_is_known_until_it_is_forgotten_and_a_notice_is_kept_with_it,
    a_full_mailbox_takes_nothing_more_and_one_sender_fills_it_not,
];
