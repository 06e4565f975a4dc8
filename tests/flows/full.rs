//! The focus's disk is full, fails, or has become read-only, in a room whose messages count when they are stored: senders are
//! told so, and whatever was acknowledged is there when the disk is well again. What the store makes of such disks by itself
//! is tested there.
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use client::{Device, Error, Event, Level, Taken};
use conclave::system::Directions;
use tempfile::TempDir;

use super::servers::{Server, settle};
use crate::common::CONCLAVE;
use crate::deferred::{message, noise, of};
use crate::{Seat, soon};

/// A disk of its own, which only root can have.
pub(super) struct SmallDisk(TempDir);

impl SmallDisk {
    pub(super) fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        if mount(&["-t", "tmpfs", "-o", &size, "none"], folder.path()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: a small disk cannot be mounted here (not root, or a container)");
        None
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Until not one octet more fits.
    pub(super) fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        for octets in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![0; octets]).is_ok() {}
        }
    }

    fn remount(&self, how: &str) {
        assert!(mount(&["-o", &format!("remount,{how}")], self.0.path()), "remount {how}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

fn mount(options: &[&str], folder: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(options).arg(folder).stderr(Stdio::null());
    command.status().is_ok_and(|it| it.success())
}

pub(super) async fn device(folder: &Path, user: &str) -> Device {
    let profile = Directions::read(folder).unwrap().profile(user).unwrap();
    soon(Device::start(profile)).await.unwrap().0
}

pub(super) async fn in_room(device: &Device) -> Seat {
    let room = "full".parse().unwrap();
    let mut seat = Seat::of(soon(device.join(&room, Level::Sealed)).await.unwrap());
    seat.entered().await;
    seat
}

pub(super) fn sound(focus: &Server) {
    let mut verify = Command::new(CONCLAVE);
    verify.args(["db", "verify", "--config"]).arg(&focus.config);
    verify.envs(focus.settings.iter().map(|(name, value)| (name, value)));
    let verified = verify.output().unwrap();
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && told.contains("sound"), "{verified:?}");
}

/// A conference that bob is away from, and what was said in it since.
pub(super) struct Away {
    pub(super) relay: Server,
    pub(super) focus: Server,
    pub(super) alice: Device,
    pub(super) bob: Device,
    pub(super) chair: Seat,
    /// What bob will hear.
    pub(super) acknowledged: BTreeSet<String>,
}

impl Away {
    pub(super) async fn begin([mut relay, mut focus]: [Server; 2], folder: &Path) -> Self {
        relay.start();
        focus.start();
        let (alice, bob) = (device(folder, "alice").await, device(folder, "bob").await);
        let mut chair = in_room(&alice).await;
        let seat = in_room(&bob).await;
        chair.are(2).await;
        soon(seat.conference.away()).await;
        let acknowledged = BTreeSet::from([chair.say("before").await]);
        Self { relay, focus, alice, bob, chair, acknowledged }
    }
}

/// Until the seat has heard these, each once.
pub(super) async fn hears(seat: &mut Seat, mut ids: BTreeSet<String>) {
    while !ids.is_empty() {
        let id = seat
            .until(|event| match event {
                Event::Message(message) => Some(message.id),
                _ => None,
            })
            .await;
        ids.remove(&id);
    }
}

#[tokio::test]
async fn a_full_or_read_only_disk_is_told_to_senders_and_costs_nothing_that_was_acknowledged() {
    service::tls::install_provider();
    let Some(disk) = SmallDisk::mount(24) else { return };
    let folder = disk.0.path().join("dev");
    let Away { mut relay, mut focus, alice, bob, chair, mut acknowledged } =
        Away::begin(settle(&folder), &folder).await;

    disk.fill();
    let body = Bytes::from(vec![b'x'; 40_000]);
    let mut refused = None;
    // What the database has beside what it uses is taken first.
    for _ in 0..400 {
        match soon(chair.conference.send("application/octet-stream", body.clone())).await {
            Ok(id) => drop(acknowledged.insert(id)),
            Err(why) => {
                refused = Some(why);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(Error::Refused { .. })), "{refused:?}");

    // Room is made, and it goes on without a restart.
    std::fs::remove_file(disk.ballast()).unwrap();
    acknowledged.insert(chair.say("there is room again").await);
    let mut seat = Seat::of(soon(bob.join(chair.conference.id(), Level::Sealed)).await.unwrap());
    hears(&mut seat, acknowledged).await;
    alice.stop().await;
    bob.stop().await;
    focus.kill();
    relay.kill();
    sound(&focus);

    disk.remount("ro");
    let mut start = Command::new(CONCLAVE);
    start.args(["mrfc", "serve", "--exit-with-parent", "--config"]).arg(&focus.config);
    start.envs(focus.settings.iter().map(|(name, value)| (name, value)));
    let refused = start.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("read"), "{told}");

    disk.remount("rw");
    sound(&focus);
    relay.start();
    focus.start();
    let (alice, bob) = (device(&folder, "alice").await, device(&folder, "bob").await);
    let chair = in_room(&alice).await;
    let mut seat = in_room(&bob).await;
    let id = chair.say("and goes on").await;
    hears(&mut seat, BTreeSet::from([id])).await;
}

/// Files and folders that take nothing: whoever has them open hears an error, until they are mended.
struct Broken(Vec<PathBuf>);

impl Broken {
    /// Only root can break them so, and not on every file system.
    fn all(paths: Vec<PathBuf>) -> Option<Self> {
        let broken = Self(paths);
        if broken.are("+i") {
            return Some(broken);
        }
        eprintln!("SKIPPED: files cannot be made to fail here (not root, or no chattr)");
        None
    }

    fn are(&self, how: &str) -> bool {
        let mut chattr = Command::new("chattr");
        chattr.arg(how).args(&self.0).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.are("-i");
    }
}

/// S4-18, and promise 8.
#[tokio::test]
async fn a_disk_that_fails_under_a_running_focus_is_told_to_senders_and_when_it_is_well_all_goes_on()
 {
    service::tls::install_provider();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("dev");
    let Away { relay: _relay, mut focus, alice, bob, chair, mut acknowledged } =
        Away::begin(settle(&folder), &folder).await;
    let (leg, _events) = soon(alice.call(&of("carol"))).await.unwrap();
    assert!(leg.with_mailbox());
    let kind = "application/octet-stream";
    soon(leg.send(kind, noise(2_000))).await.unwrap();

    let parts = ["mrfc.sqlite", "mrfc.sqlite-wal", "arriving", "blobs"];
    let broken = Broken::all(parts.map(|part| folder.join(part)).to_vec());
    let Some(broken) = broken else { return };
    for _ in 0..2 {
        let refused = soon(chair.conference.send("text/plain", "lost".into())).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
        let refused = soon(alice.message(&of("carol"), "text/plain", "lost".into())).await;
        assert!(matches!(refused, Err(Error::Refused { status: 500, .. })), "{refused:?}");
        let refused = soon(leg.send(kind, noise(70_000))).await;
        assert!(matches!(refused, Err(Error::Refused { status: 413, .. })), "{refused:?}");
    }
    // Nobody is let in whose entry could not be written down.
    let refused = soon(bob.join(chair.conference.id(), Level::Sealed)).await;
    assert!(refused.is_err(), "{refused:?}");

    drop(broken);
    acknowledged.insert(chair.say("it is well again").await);
    let stored = soon(alice.message(&of("carol"), "text/plain", "and here".into())).await;
    assert_eq!(stored.unwrap().0, Taken::Stored);
    soon(leg.send(kind, noise(70_000))).await.unwrap();
    let mut seat = Seat::of(soon(bob.join(chair.conference.id(), Level::Sealed)).await.unwrap());
    hears(&mut seat, acknowledged).await;
    let carol = device(&folder, "carol").await;
    let mut inbox = carol.inbox();
    for wanted in [noise(2_000), "and here".into(), noise(70_000)] {
        assert!(message(&mut inbox).await.inside().1 == wanted, "something else came");
    }
    focus.kill();
    sound(&focus);
}

/// A file system of its own on a file, which turns read-only when it finds an error.
struct FileSystem {
    folder: TempDir,
    device: String,
}

impl FileSystem {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (image, at) = (folder.path().join("image"), folder.path().join("mounted"));
        std::fs::create_dir(&at).unwrap();
        std::fs::File::create(&image).unwrap().set_len(96 << 20).unwrap();
        let made = Command::new("mkfs.ext4").arg("-q").arg(&image).stderr(Stdio::null()).status();
        let options = ["-o", "loop,errors=remount-ro", &image.display().to_string()];
        if !made.is_ok_and(|it| it.success()) || !mount(&options, &at) {
            eprintln!("SKIPPED: a file system cannot be mounted here (not root, or a container)");
            return None;
        }
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let line = mounts.lines().find(|line| line.contains(&at.display().to_string())).unwrap();
        let device = line.split_whitespace().next().unwrap().trim_start_matches("/dev/").to_owned();
        Some(Self { folder, device })
    }

    fn at(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// It has found an error.
    fn fails(&self) -> bool {
        let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", self.device);
        std::fs::write(trigger, "1").is_ok()
    }

    /// As an operator does who has replaced the disk.
    fn again(&self) {
        assert!(Command::new("umount").arg(self.at()).status().unwrap().success());
        let image = self.folder.path().join("image").display().to_string();
        assert!(mount(&["-o", "loop", &image], &self.at()));
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.at()).status().ok();
    }
}

#[tokio::test]
async fn a_disk_that_turns_read_only_under_a_running_focus_costs_nothing_that_was_acknowledged() {
    service::tls::install_provider();
    let Some(disk) = FileSystem::mount() else { return };
    let folder = disk.at().join("dev");
    let servers = settle(&folder);
    // What is configured lay there long before. What is said from now on, servers have to put on the disk themselves.
    assert!(Command::new("sync").arg("-f").arg(&folder).status().unwrap().success());
    let Away { mut relay, mut focus, alice, bob, chair, acknowledged } =
        Away::begin(servers, &folder).await;
    let stored = soon(alice.message(&of("carol"), "text/plain", "kept".into())).await;
    assert_eq!(stored.unwrap().0, Taken::Stored);

    if !disk.fails() {
        return eprintln!("SKIPPED: this kernel makes no file system fail");
    }
    let refused = soon(chair.conference.send("text/plain", "lost".into())).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let refused = soon(alice.message(&of("carol"), "text/plain", "lost".into())).await;
    assert!(matches!(refused, Err(Error::Refused { status: 500, .. })), "{refused:?}");

    focus.kill();
    relay.kill();
    disk.again();
    sound(&focus);
    relay.start();
    focus.start();
    let carol = device(&folder, "carol").await;
    assert_eq!(&message(&mut carol.inbox()).await.body[..], b"kept");
    let back = async {
        loop {
            // His phone finds the focus again by itself.
            match bob.join(chair.conference.id(), Level::Sealed).await {
                Ok(joined) => return Seat::of(joined),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    hears(&mut soon(back).await, acknowledged).await;
}
