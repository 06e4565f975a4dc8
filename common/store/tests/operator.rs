//! Deeds and documents, on both databases.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
mod engines;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engines::Database;
use ids::Aor;
use store::{Deed, Document, Error};

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

fn alice() -> Aor {
    "sip:alice@example.net".parse().unwrap()
}

fn deed(secs: u64, actor: &str) -> Deed {
    Deed {
        at: at(secs),
        actor: actor.to_owned(),
        action: "DELETE /v1/conferences/{name}".to_owned(),
        subject: "/v1/conferences/room7".to_owned(),
        source: "127.0.0.1".to_owned(),
        result: "204".to_owned(),
    }
}

async fn deeds_come_newest_first_and_the_oldest_make_room(database: Database) {
    let store = database.open().await;
    for secs in 1..=5 {
        let actor = if secs == 4 { "sip:alice@example.net" } else { "token" };
        store.note_deed(deed(secs, actor), 3).await.unwrap();
    }

    let all = store.deeds(None, 10).await.unwrap();
    assert_eq!(all, [deed(5, "token"), deed(4, "sip:alice@example.net"), deed(3, "token")]);
    let hers = store.deeds(Some("sip:alice@example.net"), 10).await.unwrap();
    assert_eq!(hers, [deed(4, "sip:alice@example.net")]);
    assert_eq!(store.deeds(None, 1).await.unwrap().len(), 1);
}

async fn a_document_changes_only_for_who_has_seen_its_newest_version(database: Database) {
    let store = database.open().await;
    let put = async |seen, body: &str| {
        store.put_document(&alice(), "profile", seen, body.to_owned(), at(1)).await
    };
    assert_eq!(store.document(&alice(), "profile").await.unwrap(), Document::default());

    assert_eq!(put(0, "one").await.unwrap(), 1);
    assert!(matches!(put(0, "another").await, Err(Error::Stale)));
    assert_eq!(put(1, "two").await.unwrap(), 2);
    assert!(matches!(put(1, "late").await, Err(Error::Stale)));
    assert!(matches!(put(u64::MAX, "never").await, Err(Error::Stale)));

    let kept = Document { version: 2, body: "two".to_owned() };
    assert_eq!(store.document(&alice(), "profile").await.unwrap(), kept);
    assert_eq!(store.documents("profile").await.unwrap(), [(alice(), kept)]);
    assert_eq!(store.document(&alice(), "contacts").await.unwrap().version, 0);
}

on_both![
    deeds_come_newest_first_and_the_oldest_make_room,
    a_document_changes_only_for_who_has_seen_its_newest_version,
];
