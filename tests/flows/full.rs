//! The focus's disk is full, or has become read-only, in a room whose messages count when they are stored: senders are told
//! so, and whatever was acknowledged is there when the disk is well again. What the store makes of such disks by itself is
//! tested there.
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use client::{Device, Error, Event, Level};
use conclave::system::Directions;
use tempfile::TempDir;

use super::servers::{Server, settle};
use crate::common::CONCLAVE;
use crate::{Seat, soon};

/// A disk of its own, which only root can have.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        if mount(&["-t", "tmpfs", "-o", "size=24m", "none"], folder.path()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: a small disk cannot be mounted here (not root, or a container)");
        None
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Until not one octet more fits.
    fn fill(&self) {
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

async fn device(folder: &Path, user: &str) -> Device {
    let profile = Directions::read(folder).unwrap().profile(user).unwrap();
    soon(Device::start(profile)).await.unwrap().0
}

async fn in_room(device: &Device) -> Seat {
    let room = "full".parse().unwrap();
    let mut seat = Seat::of(soon(device.join(&room, Level::Sealed)).await.unwrap());
    seat.entered().await;
    seat
}

fn sound(focus: &Server) {
    let mut verify = Command::new(CONCLAVE);
    verify.args(["db", "verify", "--config"]).arg(&focus.config);
    verify.envs(focus.settings.iter().map(|(name, value)| (name, value)));
    let verified = verify.output().unwrap();
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && told.contains("sound"), "{verified:?}");
}

/// Until the seat has heard these, each once.
async fn hears(seat: &mut Seat, mut ids: BTreeSet<String>) {
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
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.0.path().join("dev");
    let [mut relay, mut focus] = settle(&folder);
    relay.start();
    focus.start();
    let (alice, bob) = (device(&folder, "alice").await, device(&folder, "bob").await);
    let mut chair = in_room(&alice).await;
    let seat = in_room(&bob).await;
    chair.are(2).await;
    soon(seat.conference.away()).await;
    let mut acknowledged = BTreeSet::from([chair.say("before").await]);

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
