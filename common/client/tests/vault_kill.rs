//! A process that seals and writes on a real disk, and is killed at any moment (`SIGKILL`), again and again: nothing that
//! left it is of a generation that left it before, and it stays the member it was. `SEED=n` repeats one run.
#![expect(clippy::unwrap_used, reason = "tests have nobody to hand an error to")]
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use client::{Vault, VaultKey};
use ids::{Aor, ConferenceId, DeviceId, Era};
use mls::identity::{DeviceKey, Issuer, Roots, request};
use mls::ledger::{Ledger, Policy, Verdict};
use mls::member::{Keyring, Member, Processed};
use mls::storage::Records;
use mls::wire::{ClaimedKeyPackage, DeviceName};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const DAY: Duration = Duration::from_secs(24 * 3600);
const FOLDER: &str = "CONCLAVE_TEST_VAULT";

fn room() -> ConferenceId {
    "room".parse().unwrap()
}

fn vault(folder: &Path) -> Vault {
    Vault::open(&folder.join("state"), &VaultKey::KeyFile(folder.join("key"))).unwrap()
}

/// bob's device as it finds itself in its vault.
fn bob(vault: &Vault, now: SystemTime) -> Keyring {
    let noted = |name: &[u8]| vault.records().noted(name).unwrap();
    let roots = Roots::from_der(&noted(b"roots")).unwrap();
    let key = DeviceKey::from_pkcs8(&noted(b"key")).unwrap();
    Keyring::with_records(key, &noted(b"certificate"), &roots, now, vault.records().clone())
        .unwrap()
}

/// The child: seals, writes, and says what leaves it. Run by the test below only.
#[test]
#[ignore = "run by the test below"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let vault = vault(Path::new(&folder));
    let device = bob(&vault, service::clock::wall());
    let mut member =
        Member::load(&device, &room()).unwrap().expect("it is still the member it was");
    for n in 0.. {
        let sealed = member.seal("message", b"a generation of its own").unwrap();
        if n % 20 == 19 {
            member.settle().unwrap();
        }
        vault.commit_now().unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "sealed {}", hex::encode(sealed)).unwrap();
        out.flush().unwrap();
    }
}

fn device(
    issuer: &Issuer,
    rng: &mut StdRng,
    person: &str,
    now: SystemTime,
) -> (DeviceKey, Vec<u8>) {
    let aor = format!("sip:{person}@example.net").parse().unwrap();
    let name = DeviceName { aor, device: DeviceId::random(rng) };
    let key = DeviceKey::generate(rng);
    let csr = request(&key, &name).unwrap();
    let certificate = issuer.issue(&csr, &name, now - Duration::from_secs(60), 30 * DAY).unwrap();
    (key, certificate)
}

/// alice in a group, and bob in it with his state in a vault.
fn prepare(folder: &Path, now: SystemTime) -> Member {
    let mut rng = StdRng::seed_from_u64(1);
    let issuer = Issuer::generate(&mut rng, "devices", now - DAY, 400 * DAY).unwrap();
    let (key, certificate) = device(&issuer, &mut rng, "alice", now);
    let roots = issuer.roots();
    let alice = Keyring::with_records(key, &certificate, roots, now, Records::default()).unwrap();
    let (mut member, bundle) = Member::create(&alice, &room(), Era(1), now).unwrap();
    let policy = Policy { by: alice.device(), on_roster: &|_: &Aor| true, now };
    let focus = issuer.focus_key();
    let made = Ledger::create(&room(), Era(1), &bundle, &focus, roots, &policy).unwrap();
    let mut ledger = made.into_ledger().0;

    let vault = vault(folder);
    let (key, certificate) = device(&issuer, &mut rng, "bob", now);
    vault.records().note(b"key", key.to_pkcs8().unwrap().to_vec());
    vault.records().note(b"certificate", certificate);
    vault.records().note(b"roots", issuer.certificate().to_vec());
    let bob = bob(&vault, now);
    let key_package = bob.key_packages(1, false, now, 30 * DAY).unwrap().packages.remove(0);
    let DeviceName { aor, device } = bob.device().clone();
    let bundle = member.add(&[ClaimedKeyPackage { aor, device, key_package }], now).unwrap();
    let Verdict::New(checked) = ledger.check(&bundle, &policy).unwrap() else { panic!("seen") };
    let accepted = ledger.apply(*checked).unwrap();
    member.process(&accepted.commit.unwrap(), now).unwrap();
    Member::join(&bob, &room(), &accepted.welcomes.first().unwrap().1, now).unwrap();
    vault.commit_now().unwrap();
    member
}

#[test]
fn i19_a_device_killed_at_any_moment_uses_no_generation_twice() {
    let seed = std::env::var("SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let now = service::clock::wall();
    let mut alice = prepare(folder.path(), now);

    let mut count = 0;
    for life in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
        // The rest of what it says until the signal takes effect is as much on the wire.
        let until = rng.random_range(1..90);
        let mut heard = 0;
        while let Some(line) = lines.next() {
            let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
            let Some((_, sealed)) = line.split_once("sealed ") else { continue };
            // The last line may be cut.
            let Ok(sealed) = hex::decode(sealed) else { continue };
            if let Ok(Processed::Message(_)) = alice.process(&sealed, now) {
                (heard, count) = (heard + 1, count + 1);
            } else {
                let is_last = lines.next().is_none();
                assert!(is_last && heard >= until, "SEED={seed}, life {life}: message {heard}");
            }
            if heard == until {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(heard >= until, "SEED={seed}, life {life}: it ended by itself after {heard}");
    }
    assert!(count > 100, "only {count}");
}
