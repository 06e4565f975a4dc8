//! Who may write: one at a time, whatever the clocks say.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up should fail")]
mod engines;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engines::Database;
use ids::Seq;
use store::{Entry, Error};

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

async fn a_lease_is_held_by_one_until_it_expires(database: Database) {
    let (one, other) = (database.open().await, database.open().await);
    let lease = one.take_lease("focus", "one", (at(0), at(10))).await.unwrap();
    assert_eq!((lease.term, lease.holder.as_str()), (1, "one"));

    match other.take_lease("focus", "other", (at(9), at(19))).await {
        Err(Error::Held { holder, until }) => assert_eq!((holder.as_str(), until), ("one", at(10))),
        taken => panic!("{taken:?}"),
    }
    one.renew_lease(&lease, at(15)).await.unwrap();
    assert!(other.take_lease("focus", "other", (at(14), at(24))).await.is_err());

    let theirs = other.take_lease("focus", "other", (at(15), at(25))).await.unwrap();
    assert_eq!(theirs.term, 2);
    assert_eq!(one.lease("focus").await.unwrap(), Some(theirs));
}

async fn a_writer_of_an_old_term_writes_nothing_more(database: Database) {
    let room = "a".parse().unwrap();
    let (old, new) = (database.open().await, database.open().await);
    let lease = old.take_lease("focus", "old", (at(0), at(10))).await.unwrap();
    old.append(&room, Seq(0), Entry::event("first")).await.unwrap();
    // It has expired, but nobody has taken it: no harm is done yet.
    old.append(&room, Seq(1), Entry::event("second")).await.unwrap();

    new.take_lease("focus", "new", (at(10), at(20))).await.unwrap();

    let late = old.append(&room, Seq(2), Entry::event("late")).await;
    assert!(matches!(late, Err(Error::Fenced)), "{late:?}");
    assert!(matches!(old.reserve("seats", 1).await, Err(Error::Fenced)));
    assert!(matches!(old.renew_lease(&lease, at(99)).await, Err(Error::Fenced)));
    assert!(matches!(old.forget(&room, Seq(2)).await, Err(Error::Fenced)));
    assert_eq!(new.read(&room).await.unwrap().events, ["first", "second"]);
    new.append(&room, Seq(2), Entry::event("third")).await.unwrap();
}

async fn a_lease_that_is_given_back_is_free_at_once(database: Database) {
    let (one, other) = (database.open().await, database.open().await);
    let lease = one.take_lease("focus", "one", (at(0), at(10))).await.unwrap();

    one.release_lease(&lease).await.unwrap();

    assert_eq!(other.take_lease("focus", "other", (at(1), at(11))).await.unwrap().term, 2);
}

async fn a_holder_that_starts_again_takes_over_from_itself_and_fences_what_it_was(
    database: Database,
) {
    let room = "a".parse().unwrap();
    let before = database.open().await;
    before.take_lease("focus", "one", (at(0), at(10))).await.unwrap();

    let after = database.open().await;
    assert_eq!(after.take_lease("focus", "one", (at(1), at(11))).await.unwrap().term, 2);

    let late = before.append(&room, Seq(0), Entry::event("late")).await;
    assert!(matches!(late, Err(Error::Fenced)), "{late:?}");
    after.append(&room, Seq(0), Entry::event("first")).await.unwrap();
}

async fn of_sixteen_that_reach_for_a_free_lease_one_gets_it(database: Database) {
    let stores = [database.open().await, database.open().await];
    let reaching = (0..16).map(|n| {
        let store = stores[n % 2].clone();
        let holder = n.to_string();
        tokio::spawn(async move { store.take_lease("focus", &holder, (at(0), at(10))).await })
    });
    let mut won = 0;
    for reach in reaching.collect::<Vec<_>>() {
        won += usize::from(reach.await.unwrap().is_ok());
    }

    assert_eq!(won, 1);
}

on_both![
    a_lease_is_held_by_one_until_it_expires,
    a_writer_of_an_old_term_writes_nothing_more,
    a_lease_that_is_given_back_is_free_at_once,
    a_holder_that_starts_again_takes_over_from_itself_and_fences_what_it_was,
    of_sixteen_that_reach_for_a_free_lease_one_gets_it,
];
