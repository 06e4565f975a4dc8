//! Whatever servers carry and keep, what was said and the keys of it are neither in their memory nor in their files.
use bytes::Bytes;
use client::{Device, Level, Manner, SealedFile, Taken, Vault};
use ids::Aor;
use tempfile::TempDir;

use crate::circles::opened;
use crate::{House, Seat, canary, soon, two};

const SAID: &[u8] = b"the heron lands where the reeds are low";
const NAME: &str = "reeds-and-heron.txt";
const SHOWN: &[u8] = b"a map of the reeds, with a cross";

/// I6, for a conference whose log is kept, a message that waits in the mailbox, and a file.
#[tokio::test]
async fn i6_servers_hold_neither_what_was_said_nor_a_key_of_it() {
    let house = House::with(&[("MRFC_CONFERENCES__ACKNOWLEDGE", "stored")]);
    let (alice, mut chair, bob, seat) = two(&house).await;
    let (shelf, carol): (_, Aor) =
        (tempfile::tempdir().unwrap(), "sip:carol@localhost".parse().unwrap());
    let halves = leaves(&house, &shelf).await;
    let mut departures = alice.device.departures();
    let mut tap = chair.conference.tap();
    let said = std::str::from_utf8(SAID).unwrap();
    seat.say(said).await;
    chair.hears(&bob.aor, said).await;
    soon(seat.conference.away()).await;

    soon(chair.conference.send("text/plain", Bytes::from_static(SAID))).await.unwrap();
    let to = std::slice::from_ref(&carol);
    let words = Bytes::from_static(SAID);
    let sent = soon(alice.device.write(to, Manner::default(), "text/plain", words)).await;
    assert_eq!(sent.unwrap().taken, Taken::Stored);
    let letter = soon(departures.next()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    std::fs::write(&path, SHOWN).unwrap();
    let file = soon(SealedFile::new(&path, "text/plain", folder.path())).await.unwrap();
    soon(chair.conference.announce(&file)).await.unwrap();
    let announced = soon(alice.device.announce_to(&carol, &file)).await.unwrap();
    soon(announced.done()).await.unwrap();
    let (device, vault) = opened(&house, &shelf, "carol").await;
    let _inbox = device.inbox();
    let key_of_file = soon(key_of_file(&vault)).await;
    let [used] = &used(halves, &vault)[..] else { panic!("one Welcome has come") };

    let exported = chair.conference.export("audio", 32).await.unwrap();
    let private = |key: &[u8]| key.get(16..48).unwrap().to_vec();
    let secrets = [
        key_of_file,
        used.get(used.len() - 32..).unwrap().to_vec(),
        used.get(used.len() - 65..used.len() - 33).unwrap().to_vec(),
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

/// A record of a device: its key and its octets.
type Record = (Vec<u8>, Vec<u8>);

/// What this vault has of the private halves of its device's KeyPackages.
fn halves(vault: &Vault) -> Vec<Record> {
    let all = vault.records().snapshot().into_iter();
    let halves = all.filter(|record| record.key.starts_with(b"kp"));
    halves.map(|record| (record.key, record.value.unwrap().to_vec())).collect()
}

/// A device of Carol's leaves its KeyPackages, and goes: their private halves.
async fn leaves(house: &House, shelf: &TempDir) -> Vec<Record> {
    let (device, vault): (Device, _) = opened(house, shelf, "carol").await;
    soon(device.stop()).await;
    halves(&vault)
}

/// Those of them that are gone. At the end of each are its two private keys, each behind its length.
fn used(before: Vec<Record>, vault: &Vault) -> Vec<Vec<u8>> {
    let left = halves(vault);
    let gone = before.into_iter().filter(|(key, _)| left.iter().all(|(other, _)| other != key));
    let octets: Vec<Vec<u8>> = gone.map(|(_key, octets)| octets).collect();
    for half in &octets {
        for place in [half.len() - 33, half.len() - 66] {
            assert_eq!(half.get(place), Some(&32));
        }
    }
    octets
}

/// The key of the announced file, once it has come: behind its name and type, its two sizes and two hashes.
async fn key_of_file(vault: &Vault) -> Vec<u8> {
    let place = |octets: &[u8], what: &[u8]| octets.windows(what.len()).rposition(|it| it == what);
    loop {
        for (_name, octets) in vault.records().noted_under(b"") {
            let Some(name) = place(&octets, NAME.as_bytes()) else { continue };
            let (_, told) = octets.split_at(name + NAME.len());
            let (_, told) = told.split_at(place(told, b"text/plain").unwrap() + 10);
            assert!(told.starts_with(&(SHOWN.len() as u64).to_be_bytes()));
            return told.get(80..112).unwrap().to_vec();
        }
        tokio::task::yield_now().await;
    }
}
