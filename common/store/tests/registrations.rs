//! Registrations and the attempts at them, on both databases.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
mod engines;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engines::Database;
use ids::Aor;
use store::{Attempt, Registration};

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

fn person(name: &str) -> Aor {
    format!("sip:{name}@example.net").parse().unwrap()
}

fn registration(n: u8, expires: SystemTime) -> Registration {
    let device = format!("urn:uuid:00000000-0000-4000-8000-{n:012}");
    Registration {
        slot: format!("{device} 1"),
        contact: format!("sip:alice@192.0.2.{n}"),
        device: Some(device.parse().unwrap()),
        reg_id: Some(1),
        path: "[\"<sip:core.example.net;lr>\"]".to_owned(),
        via_core: true,
        call_id: format!("call {n}"),
        cseq: n.into(),
        expires,
    }
}

async fn s2_nr3_each_device_is_kept_and_a_person_is_replaced_as_a_whole(database: Database) {
    let store = database.open().await;
    let (one, two) = (registration(1, at(100)), registration(2, at(200)));
    let both = vec![one, two.clone()];
    let bob = Registration { device: None, reg_id: None, ..registration(3, at(200)) };
    let people = vec![(person("alice"), both), (person("bob"), vec![bob.clone()])];
    store.keep_registrations(people).await.unwrap();
    assert_eq!(store.registrations(at(50)).await.unwrap().len(), 3);

    store.keep_registrations(vec![(person("alice"), vec![two.clone()])]).await.unwrap();
    store.close().await;

    let store = database.open().await;
    let expected = [(person("alice"), two), (person("bob"), bob)];
    assert_eq!(store.registrations(at(50)).await.unwrap(), expected);
}

async fn what_has_ended_is_forgotten(database: Database) {
    let store = database.open().await;
    let both = vec![registration(1, at(100)), registration(2, at(200))];
    store.keep_registrations(vec![(person("alice"), both)]).await.unwrap();

    assert_eq!(store.registrations(at(100)).await.unwrap().len(), 1);
    assert_eq!(store.registrations(at(50)).await.unwrap().len(), 1);
}

async fn s2_ns1_attempts_come_newest_first_and_the_oldest_make_room(database: Database) {
    let store = database.open().await;
    let attempt = |secs, name: &str| Attempt {
        at: at(secs),
        aor: person(name).to_string(),
        device: None,
        source: "192.0.2.1:5061".to_owned(),
        access: "tls".to_owned(),
        status: 401,
        result: "wrong".to_owned(),
    };
    let three = vec![attempt(1, "bob"), attempt(2, "alice"), attempt(3, "bob")];
    store.note_attempts(three, 3).await.unwrap();
    store.note_attempts(vec![attempt(4, "bob")], 3).await.unwrap();

    let all = store.attempts(None, 10).await.unwrap();
    assert_eq!(all, [attempt(4, "bob"), attempt(3, "bob"), attempt(2, "alice")]);
    let hers = store.attempts(Some("sip:alice@example.net"), 10).await.unwrap();
    assert_eq!(hers, [attempt(2, "alice")]);
}

on_both![
    s2_nr3_each_device_is_kept_and_a_person_is_replaced_as_a_whole,
    what_has_ended_is_forgotten,
    s2_ns1_attempts_come_newest_first_and_the_oldest_make_room,
];
