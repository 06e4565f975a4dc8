//! A whole database: its tables brought up to date, looked at, backed up while it is written to, and put back.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up should fail")]
mod engines;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engines::Database;
use ids::{ConferenceId, Seq};
use store::maintenance::{Force, Trouble, backup, migrate, pending, restore, verify};
use store::{Deed, Entry, Error, Store};

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

fn room(name: &str) -> ConferenceId {
    name.parse().unwrap()
}

fn deed(actor: &str) -> Deed {
    let text = String::from("é\u{1f600} text");
    let (action, subject, source, result) = (text.clone(), text.clone(), text.clone(), text);
    Deed { at: at(1), actor: actor.to_owned(), action, subject, source, result }
}

/// Two conferences, one with a group, some numbers, some texts.
async fn fill(store: &Store) {
    for seq in 0..100 {
        let group = (seq == 50).then(|| vec![0, 255, 50].into());
        let entry = Entry { event: vec![b'x'; 1_000].into(), group };
        store.append(&room("a"), Seq(seq), entry).await.unwrap();
    }
    store.append(&room("b"), Seq(0), Entry::event("")).await.unwrap();
    assert_eq!(store.reserve("seats", 7).await.unwrap(), 1..8);
    store.note_deed(deed("sip:alice@example.net"), 10).await.unwrap();
}

async fn a_migration_is_told_before_it_is_done(database: Database) {
    assert!(pending(&database.location).await.unwrap().len() > 8);

    let done = migrate(&database.location).await.unwrap();

    assert_eq!(done[0].about, "first");
    assert_eq!(pending(&database.location).await.unwrap(), []);
    assert_eq!(migrate(&database.location).await.unwrap(), []);
    assert_eq!(verify(&database.location).await.unwrap(), []);
    database
        .execute(
            "INSERT INTO _sqlx_migrations SELECT 9999, description, installed_on, success, \
                      checksum, execution_time FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
    assert!(matches!(pending(&database.location).await, Err(Trouble::Later(9999))));
}

async fn verifying_names_what_is_wrong_where_and_how_to_mend_it(database: Database) {
    let store = database.open().await;
    fill(&store).await;
    store.close().await;
    assert_eq!(verify(&database.location).await.unwrap(), []);

    database
        .execute("DELETE FROM conference_events WHERE conference = 'a' AND seq IN (7, 8)")
        .await;
    database.execute("UPDATE conference_groups SET seq = 101").await;
    database.execute("INSERT INTO charged_seats VALUES ('c', 8, 'sip:x@example.net')").await;
    database.execute("INSERT INTO circle_people VALUES ('sip:x@example.net', 'lost')").await;

    let found = verify(&database.location).await.unwrap();
    let places: Vec<_> = found.iter().map(|it| it.place.as_str()).collect();
    assert_eq!(
        places,
        ["a: 2 of events 1 to 100 are missing", "a: event 101", "charged_seats: seat 8", "lost"]
    );
    assert!(found[0].what.contains("hole") && found[0].mend.contains("conclave db restore"));
}

async fn a_backup_is_one_state_of_a_database_that_is_written_to(database: Database) {
    let store = database.open().await;
    fill(&store).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (writing, until) = (store.clone(), Arc::clone(&stop));
    let writer = tokio::spawn(async move {
        let mut seq = 0;
        // An event of one conference and then one of the other: never the second without the first.
        while !until.load(Ordering::Relaxed) {
            writing.append(&room("c"), Seq(seq), Entry::event("one")).await.unwrap();
            writing.append(&room("d"), Seq(seq), Entry::event("other")).await.unwrap();
            seq += 1;
        }
    });
    while store.read(&room("d")).await.unwrap().events.len() < 3 {
        tokio::task::yield_now().await;
    }
    let file = database.folder.path().join("it's a backup");

    backup(&database.location, &file).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();

    assert!(matches!(backup(&database.location, &file).await, Err(Trouble::Exists(_))));
    assert_eq!(verify(&(&file).into()).await.unwrap(), []);
    let copy = Store::open(&file).await.unwrap();
    assert_eq!(copy.read(&room("a")).await.unwrap(), store.read(&room("a")).await.unwrap());
    assert_eq!(copy.deeds(None, 10).await.unwrap(), store.deeds(None, 10).await.unwrap());
    let of = async |name| copy.read(&room(name)).await.unwrap().events.len();
    let (one, other) = (of("c").await, of("d").await);
    assert!(other >= 3 && (one == other || one == other + 1), "{one} {other}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

async fn taken(database: &Database) -> std::path::PathBuf {
    let store = database.open().await;
    fill(&store).await;
    let file = database.folder.path().join("backup");
    backup(&database.location, &file).await.unwrap();
    store.append(&room("a"), Seq(100), Entry::event("after the backup")).await.unwrap();
    store.close().await;
    file
}

async fn what_is_put_back_repeats_no_number_and_begins_its_conferences_anew(database: Database) {
    let file = taken(&database).await;

    let refused = restore(&file, &database.location, Force::No, at(5)).await;
    assert!(matches!(refused, Err(Trouble::Exists(_))), "{refused:?}");
    let restored = restore(&file, &database.location, Force::Yes, at(5)).await.unwrap();

    assert_eq!(restored.conferences, 2);
    assert_eq!(verify(&database.location).await.unwrap(), []);
    let store = database.open().await;
    let history = store.read(&room("a")).await.unwrap();
    assert_eq!((history.events.len(), history.group.unwrap().len()), (100, 3));
    assert_eq!(store.deeds(None, 10).await.unwrap(), [deed("sip:alice@example.net")]);
    assert!(store.reserve("seats", 1).await.unwrap().start > 1 << 32);
    assert!(store.is_restored(&room("a")).await.unwrap());
    assert!(!store.is_restored(&room("c")).await.unwrap());
    store.note_begun_anew(&room("a")).await.unwrap();
    assert!(!store.is_restored(&room("a")).await.unwrap());
}

async fn nothing_is_put_back_under_a_focus_that_writes(database: Database) {
    let file = taken(&database).await;
    let store = database.open().await;
    store.take_lease("focus", "mrfc-0", (at(0), at(10))).await.unwrap();

    let refused = restore(&file, &database.location, Force::Yes, at(5)).await;
    assert!(
        matches!(&refused, Err(Trouble::InUse { holder, .. }) if holder == "mrfc-0"),
        "{refused:?}"
    );
    store.append(&room("a"), Seq(101), Entry::event("goes on")).await.unwrap();
    // One that is silent for longer than its lease has lost it.
    if database.location.path().is_none() {
        restore(&file, &database.location, Force::Yes, at(10)).await.unwrap();
        let late = store.append(&room("a"), Seq(102), Entry::event("late")).await;
        assert!(matches!(late, Err(Error::Fenced)), "{late:?}");
    }
}

on_both![
    a_migration_is_told_before_it_is_done,
    verifying_names_what_is_wrong_where_and_how_to_mend_it,
    a_backup_is_one_state_of_a_database_that_is_written_to,
    what_is_put_back_repeats_no_number_and_begins_its_conferences_anew,
    nothing_is_put_back_under_a_focus_that_writes,
];

#[tokio::test]
async fn a_backup_of_a_file_goes_into_a_server_and_back() {
    let Some(server) = Database::postgres().await else { return };
    let file = Database::sqlite();
    let first = taken(&file).await;

    restore(&first, &server.location, Force::No, at(5)).await.unwrap();
    let second = file.folder.path().join("second");
    backup(&server.location, &second).await.unwrap();

    let (one, other) = (Store::open(&first).await.unwrap(), Store::open(&second).await.unwrap());
    assert_eq!(one.read(&room("a")).await.unwrap(), other.read(&room("a")).await.unwrap());
    assert_eq!(one.deeds(None, 9).await.unwrap(), other.deeds(None, 9).await.unwrap());
}

#[tokio::test]
async fn a_damaged_file_is_found_out_and_not_put_back() {
    let database = Database::sqlite();
    let file = taken(&database).await;
    let mut octets = std::fs::read(&file).unwrap();
    let middle = octets.len() / 2;
    octets[middle..middle + 4_000].fill(0x55);
    std::fs::write(&file, &octets).unwrap();

    let found = verify(&(&file).into()).await;
    assert!(found.as_ref().map_or(true, |it| !it.is_empty()), "{found:?}");
    let target = database.folder.path().join("target.sqlite");
    let refused = restore(&file, &(&target).into(), Force::No, at(5)).await;
    assert!(matches!(refused, Err(Trouble::Unsound(_) | Trouble::Store(_))), "{refused:?}");
    assert!(!target.exists());
    let missing = verify(&Path::new("/nowhere/at/all.sqlite").into()).await;
    assert!(matches!(missing, Err(Trouble::Missing)));
}
