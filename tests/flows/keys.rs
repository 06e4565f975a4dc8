//! The keys of the servers are nowhere in what they keep: whoever gets the database and the blobs alone has none of them.
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use client::{Manner, SealedFile, Taken};

use crate::circles::was_here;
use crate::deferred::{noise, of};
use crate::files::Desk;
use crate::large::{leave, left_for};
use crate::left::arrived;
use crate::{House, canary, soon, two};

const SAID: &[u8] = b"the warbler sings where nobody listens";

/// What the servers of this folder keep their keys as: the mailbox's 32 octets, and the private half of the issuer's.
pub(super) fn server_keys(dev: &Path) -> [Vec<u8>; 2] {
    let mailbox = hex::decode(fs::read_to_string(dev.join("mailbox.key")).unwrap().trim()).unwrap();
    let pem = fs::read_to_string(dev.join("issuer.key")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).unwrap();
    // RFC 8410, 7: the private key is an octet string of 32 in an octet string of 34, behind 16 octets.
    assert_eq!(der.get(12..16), Some(&[0x04, 0x22, 0x04, 0x20][..]));
    [mailbox, der.get(16..48).unwrap().to_vec()]
}

/// How often each of these keys is in a file below this folder, as it is and as text.
pub(super) fn kept(keys: &[Vec<u8>; 2], folder: &Path) -> [[u64; 3]; 2] {
    keys.each_ref().map(|key| {
        let texts = [key.clone(), hex::encode(key).into(), STANDARD.encode(key).into()];
        texts.map(|text| canary::files(folder, &text).unwrap().found)
    })
}

/// S4-14.
#[tokio::test]
async fn s4_14_neither_the_mailboxs_key_nor_the_issuers_is_in_anything_that_is_kept() {
    let house = House::with(&[("MRFC_CONFERENCES__ACKNOWLEDGE", "stored")]);
    let (alice, mut chair, bob, seat) = two(&house).await;
    let dev = house.folder.path().join("dev");
    let (shelf, carol, desk) = (tempfile::tempdir().unwrap(), of("carol"), Desk::new());
    was_here(&house, &shelf, "carol").await;
    seat.say("in the room").await;
    chair.hears(&bob.aor, "in the room").await;
    soon(seat.conference.away()).await;
    chair.say("for who is away").await;

    // What the mailbox locks with its key, in the database and among the blobs, and what it keeps as it came.
    let said = Bytes::from_static(SAID);
    let taken = soon(alice.device.message(&carol, "text/plain", said.clone())).await.unwrap();
    assert_eq!(taken.0, Taken::Stored);
    let mut left = left_for(&alice.device, &carol).await;
    leave(&mut left, "text/plain", SAID.repeat(3_000).into()).await;
    drop(left);
    let to = std::slice::from_ref(&carol);
    let sent = soon(alice.device.write(to, Manner::default(), "text/plain", said)).await;
    assert_eq!(sent.unwrap().taken, Taken::Stored);
    let file = desk.file("plan.bin", &noise(70_000));
    let file = SealedFile::new(&file.path, "text/plain", desk.into.path()).await.unwrap();
    arrived(soon(alice.device.send_sealed(&carol, &file)).await).await;

    let keys = server_keys(&dev);
    assert!(fs::read_dir(dev.join("blobs")).unwrap().count() >= 2);
    assert_eq!(canary::files(&dev, SAID).unwrap().found, 0, "it is locked");
    // The mailbox's is in its own file, as text.
    assert_eq!(kept(&keys, &dev), [[0, 1, 0], [0, 0, 0]]);
    // A key that somebody left among the blobs would be found, however it is written.
    for (number, key) in keys.iter().enumerate() {
        fs::write(dev.join("blobs/forgotten"), [&noise(3_000), &key[..], b"."].concat()).unwrap();
        assert_eq!(kept(&keys, &dev)[number][0], 1);
    }
}
