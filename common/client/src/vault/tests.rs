//! A disk that stops at any write, a device on it, and what others make of what it sends.
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Aor, ConferenceId, Era};
use mls::identity::{DeviceKey, Issuer, request};
use mls::ledger::{Ledger, Policy, Verdict};
use mls::member::{Keyring, Member, Processed};
use mls::storage::{Octets, Records};
use mls::wire::{Bundle, ClaimedKeyPackage, DeviceName, WelcomeDelivery};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::disk::Disk;
use super::log::{Fault, Log, Opened};
use super::{Vault, VaultError, VaultKey};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A disk in memory that outlives the process, and stops at a write.
#[derive(Clone, Default)]
struct Sim(Arc<Mutex<Platter>>);

#[derive(Default)]
struct Platter {
    octets: Vec<u8>,
    /// Writes until the machine stops; `None` if it does not.
    writes_left: Option<usize>,
    /// How much of the last write is done, of 4.
    quarters: usize,
    /// It has stopped.
    off: bool,
}

impl Sim {
    fn holding(octets: &[u8]) -> Self {
        let sim = Self::default();
        sim.0.lock().unwrap().octets = octets.to_vec();
        sim
    }

    fn octets(&self) -> Vec<u8> {
        self.0.lock().unwrap().octets.clone()
    }

    /// Does a write, or so much of it as is done when the machine stops.
    fn write(&self, write: impl FnOnce(&mut Vec<u8>, usize)) -> io::Result<()> {
        let platter = &mut *self.0.lock().unwrap();
        match platter.writes_left {
            Some(0) if platter.off => {}
            Some(0) => {
                platter.off = true;
                write(&mut platter.octets, platter.quarters);
            }
            left => {
                platter.writes_left = left.map(|left| left - 1);
                write(&mut platter.octets, 4);
                return Ok(());
            }
        }
        Err(io::Error::other("stopped"))
    }
}

impl Disk for Sim {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.octets())
    }

    fn cut(&mut self, octets: u64) -> io::Result<()> {
        self.write(|all, quarters| {
            if quarters > 1 {
                all.truncate(usize::try_from(octets).unwrap());
            }
        })
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.write(|all, quarters| all.extend_from_slice(&octets[..octets.len() * quarters / 4]))
    }

    fn replace(&mut self, octets: &[u8]) -> io::Result<()> {
        self.write(|all, quarters| {
            if quarters > 1 {
                *all = octets.to_vec();
            }
        })
    }
}

fn key_in(folder: &Path) -> VaultKey {
    VaultKey::KeyFile(folder.join("key"))
}

fn open(sim: &Sim, key: &VaultKey) -> Result<Opened<Sim>, Fault> {
    Log::open(sim.clone(), key, &mut StdRng::seed_from_u64(1))
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(2)
}

/// A file with these transactions, each a note; where each ends.
fn written(key: &VaultKey, notes: &[&str]) -> (Sim, Vec<usize>) {
    let sim = Sim::default();
    let mut log = open(&sim, key).unwrap().log;
    let records = Records::kept([]);
    let mut ends = vec![sim.octets().len()];
    for note in notes {
        records.note(note.as_bytes(), *note);
        log.commit(&records, &mut rng()).unwrap();
        ends.push(sim.octets().len());
    }
    (sim, ends)
}

fn notes(values: BTreeMap<Vec<u8>, Octets>) -> Vec<String> {
    let records = Records::kept(values);
    let noted = records.noted_under(b"").into_iter();
    noted.map(|(name, _)| String::from_utf8(name).unwrap()).collect()
}

#[test]
fn a_write_that_was_cut_anywhere_leaves_everything_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_in(folder.path());
    let (sim, ends) = written(&key, &["a", "b", "c"]);
    let whole = sim.octets();

    for length in ends[2]..ends[3] {
        let torn = Sim::holding(&whole[..length]);
        let opened = open(&torn, &key).unwrap();
        assert_eq!((opened.cut, opened.in_doubt), (length - ends[2], false), "{length}");
        assert_eq!(notes(opened.values), ["a", "b"]);
        assert_eq!(torn.octets().len(), ends[2]);
    }
}

#[test]
fn damage_anywhere_is_told_or_puts_the_last_write_in_doubt_and_never_reads_as_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_in(folder.path());
    let (sim, ends) = written(&key, &["a", "b", "c"]);

    for at in 0..ends[3] {
        let mut octets = sim.octets();
        octets[at] ^= 0x40;
        match open(&Sim::holding(&octets), &key) {
            Ok(opened) => {
                assert!(at >= ends[2] && opened.in_doubt, "octet {at}");
                assert_eq!(notes(opened.values), ["a", "b"]);
            }
            Err(Fault::Damaged { at: told, .. }) => assert!(told <= at, "octet {at}: {told}"),
            Err(other) => panic!("octet {at}: {other:?}"),
        }
    }
    let mut grown = sim.octets();
    grown.extend([0; 100]);
    let opened = open(&Sim::holding(&grown), &key).unwrap();
    assert!(opened.in_doubt && opened.cut == 100);
}

#[test]
fn transactions_of_one_file_open_in_no_other_and_in_no_other_place() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_in(folder.path());
    let (sim, ends) = written(&key, &["a", "b", "c"]);
    let octets = sim.octets();
    let (first, second) = (&octets[ends[0]..ends[1]], &octets[ends[1]..ends[2]]);

    let swapped = [&octets[..ends[0]], second, first, &octets[ends[2]..]].concat();
    assert!(matches!(open(&Sim::holding(&swapped), &key), Err(Fault::Damaged { .. })));
    let left_out = [&octets[..ends[0]], &octets[ends[1]..]].concat();
    assert!(matches!(open(&Sim::holding(&left_out), &key), Err(Fault::Damaged { .. })));
}

#[test]
fn a_file_that_has_grown_is_written_anew_and_has_the_same_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_in(folder.path());
    let sim = Sim::default();
    let mut log = open(&sim, &key).unwrap().log;
    log.slack = 1000;
    let records = Records::kept([]);
    for n in 0..500_u32 {
        records.note(b"counter", n.to_be_bytes());
        records.note(format!("note {}", n % 3).as_bytes(), [0; 10]);
        log.commit(&records, &mut rng()).unwrap();
        assert!(sim.octets().len() < 3000);
    }

    let values = open(&sim, &key).unwrap().values;

    let again = Records::kept(values);
    assert_eq!(again.noted(b"counter").as_deref(), Some(&499_u32.to_be_bytes().to_vec()));
    assert_eq!(again.noted_under(b"note").len(), 3);
}

#[test]
fn after_a_failed_write_nothing_is_written_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::default();
    let mut log = open(&sim, &key_in(folder.path())).unwrap().log;
    let records = Records::kept([]);
    sim.0.lock().unwrap().writes_left = Some(0);
    records.note(b"a", [1]);
    assert!(matches!(log.commit(&records, &mut rng()), Err(Fault::Disk("writing", _))));

    sim.0.lock().unwrap().writes_left = None;
    records.note(b"b", [1]);
    assert!(matches!(log.commit(&records, &mut rng()), Err(Fault::Closed)));
}

/// I19: one vault has many users, and a transaction takes along what all of them have changed.
#[tokio::test]
async fn whose_change_is_on_its_way_to_the_disk_with_anothers_waits_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(&folder.path().join("vault"), &key_in(folder.path())).unwrap();
    let writing = vault.inner.log.lock().unwrap();
    vault.records().note(b"mine", [1]);
    let taken = vault.records().drain();
    assert_eq!(taken.len(), 1);

    let mut commit = std::pin::pin!(vault.commit());
    let mut context = Context::from_waker(Waker::noop());
    assert!(commit.as_mut().poll(&mut context).is_pending(), "it is not on the disk");

    drop(writing);
    commit.await.unwrap();
}

#[test]
fn a_vault_is_used_by_one_process_and_opens_with_its_own_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let (home, file) = (folder.path().join("a/state"), folder.path().join("passphrase"));
    std::fs::write(&file, "correct horse\nbattery").unwrap();
    let right = VaultKey::Passphrase(file.clone());
    let vault = Vault::open(&home, &right).unwrap();
    vault.records().note(b"a", "a canary that nobody may read");
    vault.commit_now().unwrap();
    let said = Vault::open(&home, &right).unwrap_err().to_string();
    assert!(said.contains("in use by another process") && said.contains("a/state"), "{said}");
    drop(vault);

    std::fs::write(&file, "wrong").unwrap();
    let said = Vault::open(&home, &right).unwrap_err().to_string();
    assert!(said.contains("does not open with") && said.contains("passphrase"), "{said}");
    let said = Vault::open(&home, &key_in(folder.path())).unwrap_err().to_string();
    assert!(said.contains("was made with a passphrase"), "{said}");
    std::fs::write(&file, "correct horse").unwrap();
    let vault = Vault::open(&home, &right).unwrap();
    assert!(vault.records().noted(b"a").is_some());
    let octets = std::fs::read(home.join("vault")).unwrap();
    assert!(!octets.windows(8).any(|part| part == b"a canary"));
}

#[test]
fn what_is_wrong_with_the_key_the_file_or_the_folder_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (home, file) = (folder.path().join("state"), folder.path().join("key"));
    let key = VaultKey::KeyFile(file.clone());
    drop(Vault::open(&home, &key).unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let say = |home: &Path, key: &VaultKey| Vault::open(home, key).unwrap_err().to_string();
    let nowhere = VaultKey::Passphrase(folder.path().join("nowhere"));
    let said = say(&folder.path().join("other"), &nowhere);
    assert!(said.contains("nowhere: there is no such file: write the passphrase"), "{said}");
    std::fs::rename(&file, folder.path().join("away")).unwrap();
    let said = say(&home, &key);
    assert!(said.contains("reading the key"), "{said}");
    std::fs::write(&file, "not a key").unwrap();
    assert!(say(&home, &key).contains("64 hexadecimal digits"));
    std::fs::rename(folder.path().join("away"), &file).unwrap();
    let path = home.join("vault");
    let mut octets = std::fs::read(&path).unwrap();
    octets[20] ^= 1;
    std::fs::write(&path, &octets).unwrap();
    let said = say(&home, &key);
    assert!(said.contains("damaged at octet 0") && said.contains("move it away"), "{said}");
    let said = say(&file.join("under a file"), &key);
    assert!(said.contains("making the folder") && said.contains("writable"), "{said}");
    std::fs::write(&file, "").unwrap();
    let empty = VaultKey::Passphrase(file);
    assert!(matches!(Vault::open(&folder.path().join("b"), &empty), Err(VaultError::Key { .. })));
}

/// A conference of alice, and bob whose device is on a disk that stops.
struct World {
    now: SystemTime,
    rng: StdRng,
    issuer: Issuer,
    ledger: Ledger,
    alice: Member,
    commits: Vec<Bytes>,
    bob: (DeviceName, Vec<u8>, Vec<u8>),
}

impl World {
    fn new() -> (Self, Records) {
        let now = service::clock::wall();
        let mut rng = StdRng::seed_from_u64(3);
        let issuer = Issuer::generate(&mut rng, "devices", now - DAY, 400 * DAY).unwrap();
        let (alice, _) = device(&issuer, &mut rng, "alice", now, Records::default());
        let (member, bundle) = Member::create(&alice, &room(), Era(1), now).unwrap();
        let policy = Policy { by: alice.device(), on_roster: &|_: &Aor| true, now };
        let (roots, focus) = (issuer.roots(), issuer.focus_key());
        let made = Ledger::create(&room(), Era(1), &bundle, &focus, roots, &policy).unwrap();
        let ledger = made.into_ledger().0;
        let records = Records::kept([]);
        let (bob, key) = device(&issuer, &mut rng, "bob", now, records.clone());
        let kept = (bob.device().clone(), key, bob.certificate().to_vec());
        let mut world =
            Self { now, rng, issuer, ledger, alice: member, commits: Vec::new(), bob: kept };
        let welcome = world.add(&bob);
        Member::join(&bob, &room(), &welcome, now).unwrap();
        (world, records)
    }

    fn add(&mut self, newcomer: &Keyring) -> WelcomeDelivery {
        let upload = newcomer.key_packages(1, false, self.now, 30 * DAY).unwrap();
        let DeviceName { aor, device } = newcomer.device().clone();
        let key_package = upload.packages[0].clone();
        let claim = ClaimedKeyPackage { aor, device, key_package };
        let bundle = self.alice.add(&[claim], self.now).unwrap();
        self.submit(&bundle)
    }

    fn submit(&mut self, bundle: &Bundle) -> WelcomeDelivery {
        let by = self.alice.me().clone();
        let policy = Policy { by: &by, on_roster: &|_: &Aor| true, now: self.now };
        let Verdict::New(checked) = self.ledger.check(bundle, &policy).unwrap() else {
            panic!("seen before")
        };
        let mut accepted = self.ledger.apply(*checked).unwrap();
        let commit = accepted.commit.unwrap();
        self.alice.process(&commit, self.now).unwrap();
        self.commits.push(commit);
        accepted.welcomes.remove(0).1
    }

    fn bob(&self, records: Records) -> Keyring {
        let (_, key, certificate) = &self.bob;
        let key = DeviceKey::from_pkcs8(key).unwrap();
        let roots = self.issuer.roots();
        Keyring::with_records(key, certificate, roots, self.now, records).unwrap()
    }

    /// One life of bob's device: it ends when the disk stops, or in order.
    fn live(&mut self, sim: &Sim, key: &VaultKey, life: usize) -> Result<(), Fault> {
        let Opened { mut log, values, in_doubt, .. } = open(sim, key)?;
        assert!(!in_doubt, "an interrupted write is no damage");
        log.slack = 20_000;
        let records = Records::kept(values);
        let mut bob = Member::load(&self.bob(records.clone()), &room()).unwrap().unwrap();
        for commit in &self.commits {
            bob.process(commit, self.now).unwrap();
        }
        assert_eq!(bob.authenticator(), self.alice.authenticator());
        log.commit(&records, &mut self.rng)?;
        for n in 0..70 {
            let sealed = bob.seal(&format!("{life}-{n}"), b"a generation of its own").unwrap();
            log.commit(&records, &mut self.rng)?;
            // It has left.
            let opened = self.alice.process(&sealed, self.now);
            assert!(matches!(opened, Ok(Processed::Message(_))), "{life}-{n}: {opened:?}");
        }
        let id = format!("from alice {life}");
        let sealed = self.alice.seal(&id, b"hello bob").unwrap();
        assert!(matches!(bob.process(&sealed, self.now), Ok(Processed::Message(_))));
        records.note(id.as_bytes(), b"hello bob".as_slice());
        log.commit(&records, &mut self.rng)?;
        let person = format!("guest{life}");
        let (newcomer, _) =
            device(&self.issuer, &mut self.rng, &person, self.now, Records::default());
        self.add(&newcomer);
        bob.process(self.commits.last().unwrap(), self.now).unwrap();
        log.commit(&records, &mut self.rng)?;
        let sealed = bob.seal(&format!("{life}-new"), b"in the new epoch").unwrap();
        log.commit(&records, &mut self.rng)?;
        let opened = self.alice.process(&sealed, self.now);
        assert!(matches!(opened, Ok(Processed::Message(_))), "{life}: {opened:?}");
        Ok(())
    }
}

fn room() -> ConferenceId {
    "room".parse().unwrap()
}

fn device(
    issuer: &Issuer,
    rng: &mut StdRng,
    person: &str,
    now: SystemTime,
    records: Records,
) -> (Keyring, Vec<u8>) {
    let aor = format!("sip:{person}@example.net").parse().unwrap();
    let name = DeviceName { aor, device: ids::DeviceId::random(rng) };
    let key = DeviceKey::generate(rng);
    let kept = key.to_pkcs8().unwrap().to_vec();
    let csr = request(&key, &name).unwrap();
    let certificate = issuer.issue(&csr, &name, now - Duration::from_secs(60), 30 * DAY).unwrap();
    (Keyring::with_records(key, &certificate, issuer.roots(), now, records).unwrap(), kept)
}

#[test]
fn i19_a_disk_that_stops_at_any_write_costs_no_epoch_and_no_generation_is_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_in(folder.path());
    let (mut world, records) = World::new();
    let sim = Sim::default();
    let mut log = open(&sim, &key).unwrap().log;
    log.commit(&records, &mut rng()).unwrap();
    drop(log);

    let (mut life, mut stops) = (0, 0);
    for writes in 0.. {
        let mut stopped = false;
        for quarters in 0..=4 {
            let octets = sim.octets();
            *sim.0.lock().unwrap() =
                Platter { octets, writes_left: Some(writes), quarters, off: false };
            let lived = world.live(&sim, &key, life);
            life += 1;
            stopped |= lived.is_err();
            stops += usize::from(lived.is_err());
        }
        if !stopped {
            break;
        }
    }
    assert!(stops >= 20, "only {stops} stops");
    let octets = sim.octets();
    *sim.0.lock().unwrap() = Platter { octets, ..Platter::default() };
    world.live(&sim, &key, life).unwrap();
}
