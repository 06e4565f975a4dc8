//! The disk that PostgreSQL writes its log to is full: PostgreSQL stops, senders are told so, and when there is room and it is
//! started again, the focus goes on and everything that was acknowledged is there.
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use client::{Error, Level, Taken};
use tempfile::TempDir;

use crate::database::{DURABLE, hand_over, programs, run, template, unprivileged};
use crate::deferred::{message, noise, of};
use crate::full::{Away, SmallDisk, device, hears, in_room, sound};
use crate::servers::settle;
use crate::{Seat, keys, soon};

/// Two segments fit beside the first, and what fills the rest.
const DISK_MIBIBYTES: u32 = 56;
/// Little is kept of the log, so that it needs new files.
const SMALL: &str =
    "-c wal_recycle=off -c min_wal_size=32MB -c max_wal_size=32MB -c shared_buffers=8MB";

/// A server whose log lies on a disk of its own.
struct Postgres {
    folder: TempDir,
    log: SmallDisk,
    running: Option<Child>,
}

impl Postgres {
    /// None where there is no PostgreSQL, or no disk.
    fn open() -> Option<Self> {
        let bin = programs()?;
        let log = SmallDisk::mount(DISK_MIBIBYTES)?;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        run(Command::new("cp").arg("-a").arg(template(&bin)).arg(&data));
        let wal = log.path().join("wal");
        run(Command::new("cp").arg("-a").arg(data.join("pg_wal")).arg(&wal));
        fs::remove_dir_all(data.join("pg_wal")).unwrap();
        std::os::unix::fs::symlink(&wal, data.join("pg_wal")).unwrap();
        hand_over(folder.path());
        hand_over(log.path());
        let mut server = Self { folder, log, running: None };
        server.start(&bin);
        run(server.ask("createdb").arg("conclave"));
        Some(server)
    }

    fn url(&self) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://conclave@{folder}/conclave")
    }

    fn said(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn ask(&self, program: &str) -> Command {
        let mut command = Command::new(programs().unwrap().join(program));
        command.arg("-h").arg(self.folder.path()).args(["-U", "conclave"]);
        command
    }

    /// It ends with this thread, if not before.
    fn start(&mut self, bin: &std::path::Path) {
        let mut command = Command::new("setpriv");
        let postgres = unprivileged(&bin.join("postgres"));
        command.arg("--pdeathsig=QUIT").arg(postgres.get_program()).args(postgres.get_args());
        command.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        command.args(DURABLE.split_whitespace()).args(SMALL.split_whitespace()).current_dir("/");
        let said = File::options().append(true).create(true).open(self.said()).unwrap();
        let streams = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        self.running = Some(streams.spawn().unwrap());
        let answers = |server: &Self| server.ask("pg_isready").output().unwrap().status.success();
        for _ in 0..600 {
            if answers(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PostgreSQL does not answer: {}", fs::read_to_string(self.said()).unwrap());
    }

    /// As an operator does who has made room.
    fn start_again(&mut self) {
        self.stop();
        self.start(&programs().unwrap());
    }

    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            Command::new("kill").args(["-QUIT", &running.id().to_string()]).status().unwrap();
            running.wait().unwrap();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// S4-18, and S4-14 for what PostgreSQL has on its disks.
#[tokio::test]
async fn a_full_disk_under_postgresql_is_told_to_senders_and_costs_nothing_that_was_acknowledged() {
    service::tls::install_provider();
    let Some(mut postgres) = Postgres::open() else { return };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("dev");
    let [relay, mut focus] = settle(&folder);
    focus.set("MRFC_STORE__PATH", "");
    focus.set("MRFC_STORE__URL", &postgres.url());
    // Whoever follows one that was killed waits for so long.
    focus.set("MRFC_STORE__LEASE_SECS", "5");
    let Away { relay: _relay, mut focus, alice, bob, chair, mut acknowledged } =
        Away::begin([relay, focus], &folder).await;
    let carol = of("carol");
    let kept = soon(alice.message(&carol, "text/plain", noise(1_000))).await.unwrap();
    assert_eq!(kept.0, Taken::Stored);

    postgres.log.fill();
    let body = Bytes::from(vec![b'x'; 40_000]);
    let mut refused = None;
    // The file of the log that is begun is written to its end first.
    for _ in 0..1_000 {
        match soon(chair.conference.send("application/octet-stream", body.clone())).await {
            Ok(id) => drop(acknowledged.insert(id)),
            Err(why) => {
                refused = Some(why);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(Error::Refused { .. })), "{refused:?}");
    let said = fs::read_to_string(postgres.said()).unwrap();
    assert!(said.contains("No space left on device"), "it had another reason: {said}");
    let lost = soon(alice.message(&carol, "text/plain", "lost".into())).await;
    assert!(matches!(lost, Err(Error::Refused { status: 500..=503, .. })), "{lost:?}");

    fs::remove_file(postgres.log.ballast()).unwrap();
    postgres.start_again();
    acknowledged.insert(chair.say("there is room again").await);
    let kept = soon(alice.message(&carol, "text/plain", "and here".into())).await.unwrap();
    assert_eq!(kept.0, Taken::Stored);
    let mut seat = Seat::of(soon(bob.join(chair.conference.id(), Level::Sealed)).await.unwrap());
    hears(&mut seat, acknowledged).await;
    let carol = device(&folder, "carol").await;
    let mut inbox = carol.inbox();
    for wanted in [noise(1_000), "and here".into()] {
        assert!(message(&mut inbox).await.inside().1 == wanted, "something else came");
    }

    focus.kill();
    sound(&focus);
    let keys = keys::server_keys(&folder);
    for disk in [postgres.folder.path(), postgres.log.path()] {
        assert_eq!(keys::kept(&keys, disk), [[0; 3]; 2]);
    }
    focus.start();
    let (alice, bob) = (device(&folder, "alice").await, device(&folder, "bob").await);
    let (chair, mut seat) = (in_room(&alice).await, in_room(&bob).await);
    let id = chair.say("and goes on").await;
    hears(&mut seat, [id].into()).await;
}
