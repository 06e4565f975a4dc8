//! Whatever servers carry and keep, what was said and the keys of it are neither in their memory nor in their files.
use bytes::Bytes;
use client::{Level, Manner, SealedFile, Taken};

use crate::{House, Seat, canary, soon, two};

const SAID: &[u8] = b"the heron lands where the reeds are low";
const NAME: &str = "reeds-and-heron.txt";
const SHOWN: &[u8] = b"a map of the reeds, with a cross";

/// I6, for a conference whose log is kept, a message that waits in the mailbox, and a file.
#[tokio::test]
async fn i6_servers_hold_neither_what_was_said_nor_a_key_of_it() {
    let house = House::with(&[("MRFC_CONFERENCES__ACKNOWLEDGE", "stored")]);
    let (alice, mut chair, bob, seat) = two(&house).await;
    let carol = house.guest("carol").await;
    carol.device.stop().await;
    let mut departures = alice.device.departures();
    let mut tap = chair.conference.tap();
    let said = std::str::from_utf8(SAID).unwrap();
    seat.say(said).await;
    chair.hears(&bob.aor, said).await;
    soon(seat.conference.away()).await;

    soon(chair.conference.send("text/plain", Bytes::from_static(SAID))).await.unwrap();
    let to = std::slice::from_ref(&carol.aor);
    let words = Bytes::from_static(SAID);
    let sent = soon(alice.device.write(to, Manner::default(), "text/plain", words)).await;
    assert_eq!(sent.unwrap().taken, Taken::Stored);
    let letter = soon(departures.next()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    std::fs::write(&path, SHOWN).unwrap();
    let file = soon(SealedFile::new(&path, "text/plain", folder.path())).await.unwrap();
    soon(chair.conference.announce(&file)).await.unwrap();

    let exported = chair.conference.export("audio", 32).await.unwrap();
    let private = |key: &[u8]| key.get(16..48).unwrap().to_vec();
    let secrets = [
        SAID.to_vec(),
        NAME.as_bytes().to_vec(),
        SHOWN.to_vec(),
        exported.to_vec(),
        private(&alice.device.credential().key),
        private(&bob.device.credential().key),
    ];
    let servers = [house.process("mrfc"), house.process("mrfp")];
    let found = |what: &[u8]| {
        let memory = servers.map(|server| canary::memory(server, what).unwrap().found);
        let files = canary::files(house.folder.path(), what).unwrap().found;
        (memory, files)
    };
    // What servers do have is found, wherever it is.
    let (memory, files) = found(chair.conference.id().as_str().as_bytes());
    assert!(memory.iter().all(|found| *found > 0) && files > 0, "{memory:?}, {files}");
    let sealed = tap.drain().into_iter().next().unwrap();
    for kept in [&sealed[sealed.len() - 64..], &letter.body[letter.body.len() - 64..]] {
        assert!(found(kept).1 > 0, "what is sealed lies in a file");
    }
    for secret in &secrets {
        assert_eq!(found(secret), ([0, 0], 0), "{}", String::from_utf8_lossy(secret));
    }

    let mut seat =
        Seat::of(soon(bob.device.join(chair.conference.id(), Level::Sealed)).await.unwrap());
    seat.hears(&alice.aor, said).await;
}
