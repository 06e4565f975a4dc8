//! What is PostgreSQL's alone: a server whose disk is full goes on answering, and what it answers is true.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up should fail")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]
mod engines;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engines::server::{DURABLE, FAST, Server};
use ids::{ConferenceId, Number, Seq, Term};
use sqlx::Connection as _;
use store::{Entry, Error, Location, LogEntry, LogKind, Store};

/// A disk of its own for the tables of a database, which only root can have.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=40m", "none"]).arg(at).stderr(Stdio::null());
        if !mount.status().is_ok_and(|it| it.success()) {
            eprintln!("SKIPPED: a small disk cannot be mounted here (not root, or a container)");
            return None;
        }
        fs::create_dir(at.join("tables")).unwrap();
        let owned = Command::new("chown").args(["-R", "nobody:nogroup"]).arg(at).status().unwrap();
        assert!(owned.success());
        Some(Self(at.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Until not one octet more fits.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        for octets in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![0; octets]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// An event that cannot be made shorter.
fn event(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut digits = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    };
    (0..4_000).map(|_| digits()).collect()
}

#[tokio::test]
async fn a_server_whose_disk_is_full_refuses_keeps_what_it_took_and_goes_on_when_there_is_room() {
    let Some(server) = Server::start(FAST) else { return };
    server.create("first").await;
    let Some(disk) = SmallDisk::mount(&server.folder.join("small")) else { return };
    sqlx::any::install_default_drivers();
    let mut first = sqlx::AnyConnection::connect(&server.url("first")).await.unwrap();
    let tables = disk.0.join("tables");
    for sql in [
        format!("CREATE TABLESPACE small LOCATION '{}'", tables.display()),
        "CREATE DATABASE small_disk TABLESPACE small".to_owned(),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut first).await.unwrap();
    }
    first.close().await.unwrap();
    let location: Location = server.url("small_disk").parse().unwrap();
    let store = Store::open(&location).await.unwrap();
    let room: ConferenceId = "a".parse().unwrap();
    let mut kept = 0;

    disk.fill();
    let refused = loop {
        // What the tables have beside what they use is taken first.
        assert!(kept < 1_000, "the disk is not full");
        match store.append(&room, Seq(kept), Entry::event(event(kept))).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::NotCommitted), "{refused:?}");
    store.append(&room, Seq(kept), Entry::event(event(kept))).await.unwrap_err();

    // Room is made, and it goes on without a restart.
    fs::remove_file(disk.ballast()).unwrap();
    store.append(&room, Seq(kept), Entry::event(event(kept))).await.unwrap();
    let events = store.read(&room).await.unwrap().events;
    let wanted: Vec<String> = (0..=kept).map(event).collect();
    assert!(events == wanted, "{} of {} events", events.len(), wanted.len());
    store.close().await;
}

/// How long nobody can store a message while one conference is purged, printed: the figure of `docs/operating.md`. With
/// `MEBIBYTES` of logs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes a gibibyte and measures; it checks only that others go on"]
async fn how_long_a_purge_holds_up_the_other_conferences() {
    let mebibytes: u64 = std::env::var("MEBIBYTES").map_or(1024, |it| it.parse().unwrap());
    let Some(server) = Server::start(DURABLE) else { return };
    server.create("purged").await;
    let location: Location = server.url("purged").parse().unwrap();
    let store = Store::open(&location).await.unwrap();
    let entry = |n: u64| LogEntry {
        number: Number { term: Term(1), n },
        kind: LogKind::Message,
        author: None,
        accepted: SystemTime::UNIX_EPOCH,
        cpim: Bytes::from(event(n).into_bytes()).slice(..8_192),
    };
    let [kept, gone, live]: [ConferenceId; 3] =
        ["kept", "gone", "live"].map(|name| name.parse().unwrap());
    for first in (1..=mebibytes * 128).step_by(128) {
        let log = |n: u64| (if n.is_multiple_of(100) { &gone } else { &kept }.clone(), entry(n));
        store.append_log((first..first + 128).map(log).collect()).await.unwrap();
    }
    // What is refused after 10 s is said again: how long nothing was stored is what counts.
    let longest = async |until: &AtomicBool| {
        let (mut n, mut longest, mut refused) = (0, Duration::ZERO, 0);
        let mut last = service::clock::now();
        while !until.load(Ordering::Acquire) {
            n += 1;
            match store.append_log(vec![(ConferenceId::clone(&live), entry(n))]).await {
                Ok(_) => {
                    longest = longest.max(last.elapsed());
                    last = service::clock::now();
                }
                Err(_held) => refused += 1,
            }
        }
        (n - refused, refused, longest.max(last.elapsed()))
    };
    let (over, begun) = (AtomicBool::new(false), service::clock::now());

    let purge = async {
        store.purge_log(&gone).await.unwrap();
        over.store(true, Ordering::Release);
        begun.elapsed()
    };
    let (took, (stored, refused, held)) = tokio::join!(purge, longest(&over));

    eprintln!(
        "{mebibytes} MiB: the purge took {took:.1?}; nothing was stored for {held:.1?}; {stored} stored before and after, \
         {refused} refused"
    );
    assert!(stored > 0);
    store.close().await;
}
