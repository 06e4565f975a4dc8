//! The log of a conference: each place once, read back in order, kept for who is away, and gone without a trace.
#![expect(clippy::unwrap_used, reason = "a store that does not answer should fail its test")]
mod engines;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engines::Database;
use ids::{ConferenceId, DeviceId, Number, Term};
use store::{LogBounds, LogEntry, LogKind, LogPageBounds, Store};

const PAGE: LogPageBounds = LogPageBounds { entries_max: 4, octets_max: 1_000 };
const ALL: LogBounds =
    LogBounds { since: SystemTime::UNIX_EPOCH, octets_max: u64::MAX, entries_max: u32::MAX };

fn room() -> ConferenceId {
    "room7".parse().unwrap()
}

fn device(n: u8) -> DeviceId {
    format!("urn:uuid:00000000-0000-4000-8000-0000000000{n:02x}").parse().unwrap()
}

fn place(term: u32, n: u64) -> Number {
    Number { term: Term(term), n }
}

fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

fn entry(term: u32, n: u64, by: Option<u8>) -> LogEntry {
    LogEntry {
        number: place(term, n),
        kind: if by.is_some() { LogKind::Message } else { LogKind::Commit },
        author: by.map(device),
        accepted: at(n),
        cpim: Bytes::from(format!("\0what was said at {term}.{n}\u{ff}")),
    }
}

async fn append(store: &Store, entries: impl IntoIterator<Item = LogEntry>) -> Vec<bool> {
    let entries = entries.into_iter().map(|entry| (room(), entry)).collect();
    store.append_log(entries).await.unwrap()
}

/// Everything a device is given after a place, page by page.
async fn read(store: &Store, after: Number, by: u8) -> Vec<Number> {
    let (mut all, mut after) = (Vec::new(), after);
    loop {
        let page = store.read_log(&room(), (after, &device(by)), PAGE).await.unwrap();
        for (number, cpim) in &page.entries {
            assert_eq!(*cpim, entry(number.term.0, number.n, None).cpim);
        }
        all.extend(page.entries.iter().map(|(number, _)| *number));
        if page.complete {
            return all;
        }
        after = *all.last().unwrap();
    }
}

async fn what_is_appended_is_read_back_in_order_octet_for_octet_without_ones_own(
    database: Database,
) {
    let store = database.open().await;
    let entries = (1..=100).map(|n| entry(1, n, (n % 10 != 0).then_some(1 + (n % 2) as u8)));
    assert!(append(&store, entries).await.iter().all(|there| *there));
    append(&store, [entry(2, 1, None), entry(2, 2, Some(2))]).await;

    let first = read(&store, place(0, 0), 1).await;

    let others = (1..=100).filter(|n| n % 10 == 0 || n % 2 == 1).map(|n| place(1, n));
    let others: Vec<Number> = others.chain([place(2, 1), place(2, 2)]).collect();
    assert_eq!(first, others);
    assert_eq!(read(&store, place(1, 99), 1).await, [place(1, 100), place(2, 1), place(2, 2)]);
    assert_eq!(read(&store, place(2, 2), 1).await, []);
}

async fn a_place_is_taken_once_and_the_same_again_is_there_already(database: Database) {
    let store = database.open().await;
    assert_eq!(append(&store, [entry(1, 1, Some(1)), entry(1, 2, Some(1))]).await, [true, true]);

    let other = LogEntry { cpim: Bytes::from_static(b"something else"), ..entry(1, 2, Some(1)) };
    let again = [entry(1, 1, Some(1)), other, entry(1, 3, Some(1))];

    assert_eq!(append(&store, again).await, [true, false, true]);
    assert_eq!(read(&store, place(0, 0), 9).await, [place(1, 1), place(1, 2), place(1, 3)]);
}

async fn a_cursor_never_goes_back(database: Database) {
    let store = database.open().await;
    assert_eq!(store.cursor(&room(), &device(1)).await.unwrap(), None);

    for number in [place(1, 9), place(1, 3), place(2, 1), place(1, 100)] {
        store.move_cursors(vec![(room(), device(1), number)]).await.unwrap();
    }

    assert_eq!(store.cursor(&room(), &device(1)).await.unwrap(), Some(place(2, 1)));
}

async fn what_everybody_has_goes_and_a_commit_stays_while_a_message_needs_it(database: Database) {
    let store = database.open().await;
    let commits = [1, 3, 6, 10];
    let by = |n| (!commits.contains(&n)).then_some(1);
    append(&store, (1..=10).map(|n| entry(1, n, by(n)))).await;
    let cursors = vec![(room(), device(2), place(1, 2)), (room(), device(3), place(1, 9))];
    store.move_cursors(cursors).await.unwrap();

    assert_eq!(store.trim_log(room(), ALL).await.unwrap(), 2);
    let places = |numbers: &[u64]| numbers.iter().map(|n| place(1, *n)).collect::<Vec<_>>();
    assert_eq!(read(&store, place(0, 0), 9).await, places(&[3, 4, 5, 6, 7, 8, 9, 10]));

    // Of the messages only two may stay; what they need of the group stays as well.
    store.trim_log(room(), LogBounds { entries_max: 2, ..ALL }).await.unwrap();
    assert_eq!(read(&store, place(0, 0), 9).await, places(&[3, 6, 8, 9, 10]));
    let octets_max = entry(1, 9, Some(1)).cpim.len() as u64;
    store.trim_log(room(), LogBounds { octets_max, ..ALL }).await.unwrap();
    assert_eq!(read(&store, place(0, 0), 9).await, places(&[3, 6, 9, 10]));
    // When the last message is too old, so are the changes before it.
    store.trim_log(room(), LogBounds { since: at(10), ..ALL }).await.unwrap();
    assert_eq!(read(&store, place(0, 0), 9).await, places(&[10]));
}

async fn purged_it_is_gone_from_the_files_and_not_only_from_the_tables(database: Database) {
    let store = database.open().await;
    append(&store, (1..=50).map(|n| entry(1, n, Some(1)))).await;
    append(&store, [entry(1, 51, None)]).await;
    store.move_cursors(vec![(room(), device(2), place(1, 2))]).await.unwrap();
    let other: ConferenceId = "other".parse().unwrap();
    store.append_log(vec![(other.clone(), entry(1, 1, Some(1)))]).await.unwrap();

    assert!(lies_on_disk(&database).await, "nobody looks where it is");

    store.purge_log(&room()).await.unwrap();

    assert_eq!(read(&store, place(0, 0), 9).await, []);
    assert_eq!(store.cursor(&room(), &device(2)).await.unwrap(), Some(place(1, 2)));
    let page = store.read_log(&other, (place(0, 0), &device(9)), PAGE).await.unwrap();
    assert_eq!(page.entries.len(), 1, "what others said stays");
    assert!(!lies_on_disk(&database).await, "it is in the files");
    // Asked again, nothing is amiss.
    store.purge_log(&room()).await.unwrap();
}

async fn a_conference_that_is_over_leaves_neither_entries_nor_cursors_and_the_others_stay(
    database: Database,
) {
    let store = database.open().await;
    let (other, silent): (ConferenceId, ConferenceId) =
        ("other".parse().unwrap(), "silent".parse().unwrap());
    append(&store, [entry(1, 1, Some(1)), entry(1, 2, None)]).await;
    store.append_log(vec![(other.clone(), entry(1, 1, Some(1)))]).await.unwrap();
    let cursors = vec![(room(), device(2), place(1, 2)), (silent.clone(), device(2), place(3, 4))];
    store.move_cursors(cursors).await.unwrap();
    let logged = async || {
        let mut logged = store.logged_conferences().await.unwrap();
        logged.sort();
        logged
    };
    assert_eq!(logged().await, [other.clone(), room(), silent.clone()]);

    store.forget_log(&room()).await.unwrap();
    store.forget_log(&"never-there".parse().unwrap()).await.unwrap();

    assert_eq!(logged().await, [other.clone(), silent.clone()]);
    assert_eq!(read(&store, place(0, 0), 9).await, []);
    assert_eq!(store.cursor(&room(), &device(2)).await.unwrap(), None);
    assert_eq!(store.cursor(&silent, &device(2)).await.unwrap(), Some(place(3, 4)));
}

async fn who_still_reads_what_is_purged_is_waited_for_and_then_it_is_told(database: Database) {
    let store = database.open().await;
    append(&store, (1..=50).map(|n| entry(1, n, Some(1)))).await;
    let mut reader = database.connect().await;
    let begin = match store_is_a_file(&database) {
        true => "BEGIN; SELECT count(*) FROM conference_log",
        false => "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM conference_log",
    };
    sqlx::raw_sql(begin).execute(&mut reader).await.unwrap();

    let told = store.purge_log(&room()).await;

    assert!(matches!(told, Err(store::Error::StillRead)), "{told:?}");
    assert_eq!(read(&store, place(0, 0), 9).await, [], "it is deleted all the same");
    sqlx::raw_sql("ROLLBACK").execute(&mut reader).await.unwrap();
    store.purge_log(&room()).await.unwrap();
    assert!(!lies_on_disk(&database).await, "it is in the files");
}

fn store_is_a_file(database: &Database) -> bool {
    database.location.path().is_some()
}

/// Whether a part of what was said is in the files of this database, as they are on the disk.
async fn lies_on_disk(database: &Database) -> bool {
    let needle = b"what was said at 1.3";
    let files = database.files().await;
    assert!(!files.is_empty());
    let holds = |file: &std::path::PathBuf| {
        let octets = std::fs::read(file).unwrap_or_default();
        octets.windows(needle.len()).any(|part| part == needle)
    };
    files.iter().any(holds)
}

on_both![
    what_is_appended_is_read_back_in_order_octet_for_octet_without_ones_own,
    a_place_is_taken_once_and_the_same_again_is_there_already,
    a_cursor_never_goes_back,
    what_everybody_has_goes_and_a_commit_stays_while_a_message_needs_it,
    purged_it_is_gone_from_the_files_and_not_only_from_the_tables,
    a_conference_that_is_over_leaves_neither_entries_nor_cursors_and_the_others_stay,
    who_still_reads_what_is_purged_is_waited_for_and_then_it_is_told,
];
