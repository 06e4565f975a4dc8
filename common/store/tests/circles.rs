//! Circles: of two changes one is kept, and each device reads what is for it.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up should fail")]
mod engines;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engines::Database;
use ids::{Aor, ConferenceId, DeviceId};
use store::{CircleChange, CircleStanding, Error, NewCircle};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn aor(user: &str) -> Aor {
    format!("sip:{user}@example.net").parse().unwrap()
}

fn device(n: u8) -> DeviceId {
    format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().unwrap()
}

fn id() -> ConferenceId {
    "circle-1".parse().unwrap()
}

fn at(days: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * days
}

fn change(text: &'static str, readers: &[(&str, u8, Option<&'static str>)]) -> CircleChange {
    let readers = readers.iter().map(|(user, n, welcome)| {
        (aor(user), device(*n), welcome.map(|text| Bytes::from_static(text.as_bytes())))
    });
    let readers: Vec<_> = readers.collect();
    let tree = readers.iter().any(|reader| reader.2.is_some()).then(|| Bytes::from_static(b"tree"));
    CircleChange { message: Bytes::from_static(text.as_bytes()), tree, readers }
}

fn standing(seen: u64) -> CircleStanding {
    let odd = seen % 2 == 1;
    CircleStanding { era: 1, epoch: seen + 1, paused: odd, ends: odd.then(|| at(99)) }
}

fn new(seen: u64, changes: Vec<CircleChange>) -> NewCircle {
    NewCircle {
        seen,
        people: vec![aor("alice"), aor("bob")],
        standing: standing(seen),
        state: Bytes::from(format!("state {}", seen + 1)),
        changes,
        kept: (60 * DAY, 3),
    }
}

async fn i3_of_two_changes_made_on_one_revision_the_second_is_not_kept(database: Database) {
    let store = database.open().await;
    assert_eq!(store.circle(&id()).await.unwrap(), None);

    store.put_circle(&id(), new(0, vec![]), at(1)).await.unwrap();
    let again = store.put_circle(&id(), new(0, vec![]), at(1)).await;
    assert!(matches!(again, Err(Error::Stale)), "{again:?}");
    let id = id();
    let (one, other) = tokio::join!(
        store.put_circle(&id, new(1, vec![change("a", &[])]), at(1)),
        store.put_circle(&id, new(1, vec![change("b", &[])]), at(1)),
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");

    let row = store.circle(&id).await.unwrap().unwrap();
    assert_eq!((row.revision, &row.state[..]), (2, &b"state 2"[..]));
    assert_eq!(row.people, [aor("alice"), aor("bob")]);
    let standing = standing(1);
    assert_eq!(store.circle_standing(&id, &aor("bob")).await.unwrap(), Some(standing));
    assert_eq!(store.circle_standing(&id, &aor("eve")).await.unwrap(), None);
    let people = vec![aor("alice"), aor("bob")];
    assert_eq!(store.circle_people(&id).await.unwrap(), Some((people, standing)));
    assert_eq!(store.circle_people(&"circle-2".parse().unwrap()).await.unwrap(), None);
}

async fn a_device_reads_the_changes_that_are_for_it_and_its_own_welcome(database: Database) {
    let store = database.open().await;
    let first =
        change("add", &[("alice", 1, None), ("bob", 1, Some("w1")), ("bob", 2, Some("w2"))]);
    store.put_circle(&id(), new(0, vec![first]), at(1)).await.unwrap();
    let second = change("later", &[("alice", 1, None), ("bob", 1, None)]);
    store.put_circle(&id(), new(1, vec![second]), at(1)).await.unwrap();
    store.close().await;

    let store = database.open().await;
    let read = async |n, after| {
        let log = store.circle_log(&id(), (&aor("bob"), &device(n)), after, 10).await.unwrap();
        log.into_iter()
            .map(|it| (it.seq, it.message, it.welcome.map(|(w, _)| w)))
            .collect::<Vec<_>>()
    };
    let text = Bytes::from_static;
    assert_eq!(read(1, 0).await, [(1, text(b"add"), Some(text(b"w1"))), (2, text(b"later"), None)]);
    assert_eq!(read(1, 1).await, [(2, text(b"later"), None)]);
    assert_eq!(read(2, 0).await, [(1, text(b"add"), Some(text(b"w2")))]);
    assert_eq!(read(3, 0).await, []);
    assert_eq!(store.circles_of(&aor("bob"), 9).await.unwrap(), [[aor("alice"), aor("bob")]]);
    assert!(store.circles_of(&aor("eve"), 9).await.unwrap().is_empty());
    assert_eq!(store.circles_count(&aor("bob")).await.unwrap(), 1);
    assert_eq!(store.circles_count(&aor("eve")).await.unwrap(), 0);
}

async fn the_log_of_a_circle_is_bounded_by_age_and_number_and_keeps_its_newest(database: Database) {
    let store = database.open().await;
    for seen in 0..5 {
        let entry = change("x", &[("bob", 1, None)]);
        store.put_circle(&id(), new(seen, vec![entry]), at(1)).await.unwrap();
    }
    let seqs = async || {
        let log = store.circle_log(&id(), (&aor("bob"), &device(1)), 0, 10).await.unwrap();
        log.iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs().await, [3, 4, 5]);

    store.put_circle(&id(), new(5, vec![change("y", &[("bob", 1, None)])]), at(99)).await.unwrap();
    assert_eq!(seqs().await, [6]);
    store.put_circle(&id(), new(6, vec![]), at(300)).await.unwrap();
    assert_eq!(seqs().await, [6]);
}

on_both![
    i3_of_two_changes_made_on_one_revision_the_second_is_not_kept,
    a_device_reads_the_changes_that_are_for_it_and_its_own_welcome,
    the_log_of_a_circle_is_bounded_by_age_and_number_and_keeps_its_newest,
];
