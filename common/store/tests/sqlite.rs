//! What is SQLite's alone: its files, as a crash, a torn write, a full or a read-only disk leaves them.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up should fail")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]
mod engines;

use std::path::{Path, PathBuf};

use engines::Database;
use ids::{ConferenceId, Seq};
use store::{Entry, Error, Store};
use tempfile::TempDir;

fn room(name: &str) -> ConferenceId {
    name.parse().unwrap()
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("mrfc.sqlite")
}

#[tokio::test]
async fn what_was_answered_survives_a_process_that_just_stops() {
    let database = Database::sqlite();
    let (dir, store) = (&database.folder, database.open().await);
    store.append(&room("a"), Seq(0), Entry::event("kept")).await.unwrap();

    // No close, no checkpoint: the files as a killed process leaves them, seen from elsewhere.
    let copy = tempfile::tempdir().unwrap();
    for name in ["mrfc.sqlite", "mrfc.sqlite-wal"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let elsewhere = Store::open(&file(&copy)).await.unwrap();

    assert_eq!(elsewhere.read(&room("a")).await.unwrap().events, ["kept"]);
}

#[tokio::test]
async fn a_torn_end_of_the_write_ahead_log_loses_only_what_was_not_answered() {
    let database = Database::sqlite();
    let (dir, store) = (&database.folder, database.open().await);
    store.append(&room("a"), Seq(0), Entry::event("kept")).await.unwrap();
    let wal = std::fs::read(dir.path().join("mrfc.sqlite-wal")).unwrap();
    store.append(&room("a"), Seq(1), Entry::event("torn away")).await.unwrap();
    let longer = std::fs::read(dir.path().join("mrfc.sqlite-wal")).unwrap();
    assert!(longer.len() > wal.len());

    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join("mrfc.sqlite"), file(&copy)).unwrap();
    std::fs::write(copy.path().join("mrfc.sqlite-wal"), &longer[..longer.len() - 100]).unwrap();
    let recovered = Store::open(&file(&copy)).await.unwrap();

    assert_eq!(recovered.read(&room("a")).await.unwrap().events, ["kept"]);
    recovered.append(&room("a"), Seq(1), Entry::event("goes on")).await.unwrap();
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_is() {
    let dir = &tempfile::tempdir().unwrap();
    std::fs::write(
        file(dir),
        "this is a letter to my mother, not a database, and quite long enough",
    )
    .unwrap();

    let opened = Store::open(&file(dir)).await;

    assert!(opened.is_err());
    assert!(std::fs::read_to_string(file(dir)).unwrap().starts_with("this is a letter"));
    assert!(Store::open(Path::new("/nowhere/at/all.sqlite")).await.is_err());
}

#[tokio::test]
async fn a_garbled_end_of_the_write_ahead_log_loses_only_what_was_not_answered() {
    let database = Database::sqlite();
    let (dir, store) = (&database.folder, database.open().await);
    store.append(&room("a"), Seq(0), Entry::event("kept")).await.unwrap();
    let before = std::fs::metadata(dir.path().join("mrfc.sqlite-wal")).unwrap().len();
    store.append(&room("a"), Seq(1), Entry::event("garbled")).await.unwrap();
    let mut wal = std::fs::read(dir.path().join("mrfc.sqlite-wal")).unwrap();
    // One octet in the middle of what the last write added, as of a sector that was never written.
    let middle = (usize::try_from(before).unwrap() + wal.len()) / 2;
    wal[middle] ^= 0x55;

    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(file(dir), file(&copy)).unwrap();
    std::fs::write(copy.path().join("mrfc.sqlite-wal"), &wal).unwrap();
    let recovered = Store::open(&file(&copy)).await.unwrap();

    assert_eq!(recovered.read(&room("a")).await.unwrap().events, ["kept"]);
    recovered.append(&room("a"), Seq(1), Entry::event("goes on")).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_that_was_answered_is_lost() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("mrfc.sqlite");
    let store = Store::open(&path).await.unwrap();
    let mut seq = Seq(0);
    let refused = loop {
        match store.append(&room("a"), seq, Entry::event(vec![b'x'; 64 * 1024])).await {
            Ok(next) => seq = next,
            Err(why) => break why,
        }
        assert!(seq.0 < 1_000, "the disk is never full");
    };

    assert!(matches!(refused, Error::NotCommitted), "{refused:?}");
    assert_eq!(store.read(&room("a")).await.unwrap().events.len() as u64, seq.0);
    // Room is made, and it goes on without a restart.
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    store.append(&room("a"), seq, Entry::event("goes on")).await.unwrap();
    store.close().await;
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.read(&room("a")).await.unwrap().events.len() as u64, seq.0 + 1);
    store.close().await;
}

#[tokio::test]
async fn a_disk_that_became_read_only_is_said_and_recovers() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("mrfc.sqlite");
    let store = Store::open(&path).await.unwrap();
    store.append(&room("a"), Seq(0), Entry::event("kept")).await.unwrap();
    store.close().await;

    disk.remount("ro");
    let opened = Store::open(&path).await;
    assert!(opened.is_err(), "{opened:?}");

    disk.remount("rw");
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.read(&room("a")).await.unwrap().events, ["kept"]);
    store.append(&room("a"), Seq(1), Entry::event("goes on")).await.unwrap();
    store.close().await;
}

/// A disk of four megabytes, of which a file takes one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        if !mount(&["-t", "tmpfs", "-o", "size=4m", "none"], folder.path()) {
            eprintln!("SKIPPED: a small disk cannot be mounted here (not root, or a container)");
            return None;
        }
        std::fs::write(folder.path().join("ballast"), vec![0; 1 << 20]).unwrap();
        Some(Self(folder))
    }

    fn remount(&self, how: &str) {
        assert!(mount(&["-o", &format!("remount,{how}")], self.0.path()), "remount {how}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

fn mount(options: &[&str], folder: &Path) -> bool {
    let mut command = std::process::Command::new("mount");
    command.args(options).arg(folder).stderr(std::process::Stdio::null());
    command.status().is_ok_and(|it| it.success())
}
