//! A device that is killed right after its servers were told that it has something: whatever its vault ends with behind that
//! moment, the device that comes back tells it. A vault is one log, so what a disk may have is any beginning of it.
use std::fs;

use client::{Device, Inbox, Taken, Vault};
use ids::Aor;
use tempfile::TempDir;

use super::circles::{letter, opened, write};
use crate::{Guest, House, soon};

fn vault_of(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("state/vault")
}

/// A folder like this one, whose vault ends there.
fn ending_at(folder: &TempDir, octets: &[u8], end: usize) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("state")).unwrap();
    fs::copy(folder.path().join("key"), copy.path().join("key")).unwrap();
    fs::write(vault_of(&copy), octets.get(..end).unwrap()).unwrap();
    copy
}

/// Somebody, and somebody with a vault who has had a first letter of theirs.
struct Acquainted {
    alice: Guest,
    bob: Aor,
    folder: TempDir,
    device: Device,
    vault: Vault,
    inbox: Inbox,
}

impl Acquainted {
    async fn of(house: &House) -> Self {
        let alice = house.guest("alice").await;
        let folder = tempfile::tempdir().unwrap();
        let (device, vault) = opened(house, &folder, "bob").await;
        let bob = "sip:bob@localhost".parse().unwrap();
        let mut inbox = device.inbox();
        write(&alice.device, &bob, "before").await;
        letter(&mut inbox).await;
        Self { alice, bob, folder, device, vault, inbox }
    }
}

#[tokio::test]
async fn f12_what_a_sender_was_told_of_is_told_wherever_the_vault_of_its_recipient_ends_behind_that()
 {
    let house = House::open();
    let Acquainted { alice, bob, folder, device, vault, inbox } = Acquainted::of(&house).await;
    let mut said = Vec::new();
    for text in ["one", "two", "three", "four"] {
        assert_eq!(write(&alice.device, &bob, text).await, Taken::Delivered);
        said.push((fs::metadata(vault_of(&folder)).unwrap().len(), text));
    }
    // Nobody takes anything out of the inbox, so nothing is told in this life; but all of it is opened and kept.
    let all = async {
        while vault.records().noted_under(b"untold/").len() < said.len() {
            tokio::task::yield_now().await;
        }
    };
    soon(all).await;
    vault.commit_now().unwrap();
    device.vanish().await;
    let octets = fs::read(vault_of(&folder)).unwrap();
    drop((inbox, vault));

    let ends = said.iter().map(|(end, _text)| usize::try_from(*end).unwrap());
    let ends: Vec<usize> = ends.chain([octets.len()]).collect();
    // Torn anywhere, or whole.
    let torn = ends.windows(2).flat_map(|pair| {
        let third = (pair[1] - pair[0]) / 3;
        [pair[0], pair[0] + third, pair[0] + 2 * third]
    });
    for end in torn.chain([octets.len()]) {
        let copy = ending_at(&folder, &octets, end);
        let (device, vault) = opened(&house, &copy, "bob").await;
        let mut inbox = device.inbox();
        for (at, text) in &said {
            if usize::try_from(*at).unwrap() > end {
                break;
            }
            let letter = letter(&mut inbox).await;
            let body = String::from_utf8_lossy(&letter.message.body).into_owned();
            assert_eq!(&body, text, "the vault ends at {end} of {}", octets.len());
        }
        device.stop().await;
        drop((inbox, vault));
    }
}

#[tokio::test]
async fn f12_no_sender_is_told_that_a_device_has_something_before_it_is_on_its_disk() {
    let house = House::open();
    let Acquainted { alice, bob, folder: _folder, device: _device, vault, mut inbox } =
        Acquainted::of(&house).await;

    // While this is held the disk takes nothing.
    let unit = vault.records().unit();
    let came = async {
        while vault.records().noted_under(b"post/").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let mut writing = Box::pin(write(&alice.device, &bob, "and now"));
    tokio::select! {
        biased;
        taken = &mut writing => panic!("{taken:?}, and nothing is on the disk"),
        () = soon(came) => {}
    }
    drop(unit);

    assert_eq!(writing.await, Taken::Delivered);
    assert_eq!(&letter(&mut inbox).await.message.body[..], b"and now");
}
