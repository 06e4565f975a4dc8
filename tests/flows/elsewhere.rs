//! What waits for a person is sealed for who they are, not for where they are: it opens on a device that has moved, when the
//! servers are other processes by then, and for nobody who keeps it, and nobody else who has it.
use std::fs;
use std::path::Path;

use client::{Announced, Device, Invitations, Manner, SealedFile, Taken, Vault};
use conclave::system::Directions;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::circles::{letter, vault_in};
use crate::deferred::of;
use crate::files::Desk;
use crate::left::{announced, arrived};
use crate::sealed::unreadable;
use crate::servers::settle;
use crate::soon;

const PEOPLE: [&str; 2] = ["bob", "carol"];

async fn opened(system: &Directions, folder: &TempDir, user: &str) -> (Device, Invitations, Vault) {
    let vault = vault_in(folder).await;
    let profile = system.profile(user).unwrap();
    let (device, invitations) = soon(Device::open(profile, vault.clone())).await.unwrap();
    (device, invitations, vault)
}

/// Everything a device has, carried to another folder.
fn moved(from: &TempDir) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in ["state", "key"] {
        fs::rename(from.path().join(name), to.path().join(name)).unwrap();
    }
    to
}

/// What lies in the blob store with these octets, copied to where somebody else can try it.
fn copied(dev: &Path, octets: &[u8], to: &Path) {
    let blobs = fs::read_dir(dev.join("blobs")).unwrap().map(|file| file.unwrap().path());
    let blob = blobs.into_iter().find(|blob| fs::read(blob).unwrap() == octets);
    fs::copy(blob.expect("it lies there as it was sent"), to).unwrap();
}

/// S3-30, S4-02, S4-14.
#[tokio::test]
async fn f13_what_waits_opens_for_its_person_elsewhere_another_day_and_for_nobody_who_keeps_it() {
    service::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let dev = folder.path().join("dev");
    let [mut relay, mut focus] = settle(&dev);
    relay.start();
    focus.start();
    let system = Directions::read(&dev).unwrap();
    let mut shelves = Vec::new();
    for person in PEOPLE {
        let shelf = tempfile::tempdir().unwrap();
        let (device, _invitations, _vault) = opened(&system, &shelf, person).await;
        device.stop().await;
        shelves.push(shelf);
    }
    let profile = system.profile("alice").unwrap();
    let (alice, _invitations) = soon(Device::start(profile)).await.unwrap();
    let (mut departures, desk) = (alice.departures(), Desk::new());
    let mut letters = Vec::new();
    for person in PEOPLE {
        let (to, words) = (of(person), format!("for {person} alone"));
        let one = std::slice::from_ref(&to);
        let written = alice.write(one, Manner::default(), "text/plain", words.clone().into());
        assert_eq!(soon(written).await.unwrap().taken, Taken::Stored);
        letters.push(soon(departures.next()).await.unwrap());
        let file = desk.file(&format!("{person}.txt"), words.repeat(500).as_bytes());
        let into = desk.into.path().join("sealed");
        let file = SealedFile::new(&file.path, "text/plain", &into).await.unwrap();
        arrived(soon(alice.send_sealed(&to, &file)).await).await;
    }
    alice.stop().await;
    // With the mailbox's key they are what they were without it: sealed.
    let kept = soon(mrfc::kept_messages(&focus.config, &of("bob"))).await.unwrap();
    let first = kept.first().expect("it waits");
    assert_eq!(first.sha256, hex::encode(Sha256::digest(&letters[0].body)));
    assert!(kept.iter().all(|message| !message.locked));

    focus.stop();
    relay.stop();
    let shelves: Vec<TempDir> = shelves.iter().map(moved).collect();
    relay.start();
    focus.start();

    let (bob, _bobs, _vault) = opened(&system, &shelves[0], "bob").await;
    let (carol, _carols, _hers) = opened(&system, &shelves[1], "carol").await;
    let (mut to_bob, mut to_carol) = (bob.inbox(), carol.inbox());
    let mut keys: Vec<Announced> = Vec::new();
    for (person, inbox) in [("bob", &mut to_bob), ("carol", &mut to_carol)] {
        let words = format!("for {person} alone");
        assert_eq!(letter(inbox).await.message.body, words.as_bytes());
        keys.push(announced(inbox).await);
    }
    let fetched = arrived(soon(bob.fetch_announced(&keys[0], &desk.into)).await).await;
    let (fetched, stolen) = (fetched.path.unwrap(), folder.path().join("stolen"));
    copied(&dev, &fs::read(&fetched).unwrap(), &stolen);
    let file = keys[0].open(fetched, &desk.into).await.unwrap();
    assert!(fs::read(file).unwrap() == "for bob alone".repeat(500).as_bytes());

    // Carol, with the stored octets; and whom the issuer's key makes a device of Bob's now.
    keys[1].open(stolen, &desk.into).await.unwrap_err();
    carol.take(letters[0].clone()).await;
    unreadable(&mut to_carol).await;
    let profile = system.profile("bob").unwrap();
    let (another, _invitations) = soon(Device::start(profile)).await.unwrap();
    let mut inbox = another.inbox();
    another.take(letters[0].clone()).await;
    unreadable(&mut inbox).await;
}
