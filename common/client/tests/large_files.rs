//! Files that are larger than memory: sealed and opened, and sent from one side to the other, each in less than 32 MiB.
//! 64 MiB always; 2 GiB with `make large-files`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use client::session::Now;
use client::{Broken, Folder, SealedFile};
use endpoint::ends::{Place, path};
use endpoint::transfer::{Hashes, Output, Part, Sink, Source, Transfer};
use endpoint::{First, Limits, Setup};
use msrp::Decoder;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use sip::sdp::{MsrpMedia, Setup as Way};

const SMALL: u64 = 64 << 20;
const LARGE: u64 = 2 << 30;
/// Above what the program had when the test began.
const MEMORY_MAX: u64 = 32 << 20;

/// What is measured is of the whole program: one test at a time.
static MEASURED: Mutex<()> = Mutex::new(());

/// The most memory that this program had since [`forget_peak`], in octets.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The peak falls by itself never, so that whoever comes after somebody who took much would be let off.
/// 5 is for the peak, see `proc_pid_clear_refs(5)`.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// By how many octets the memory of this program grows at most, as this runs.
fn grown(run: impl FnOnce()) -> u64 {
    let _alone = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    forget_peak();
    let before = peak();
    run();
    // Of the same pages the kernel counts a few more or fewer from one time to the other.
    peak().saturating_sub(before)
}

fn within_memory(run: impl FnOnce()) {
    let grown = grown(run);
    assert!(grown < MEMORY_MAX, "it took {grown} octets of memory");
}

fn on_runtime(run: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run);
}

/// The octets of a file from this place on: no two pieces of it are alike.
fn octets(offset: u64, count: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(count + 8);
    let mut at = offset / 8;
    let skip = usize::try_from(offset % 8).unwrap();
    while octets.len() < count + skip {
        octets.extend_from_slice(&at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        at += 1;
    }
    octets.drain(..skip);
    octets.truncate(count);
    octets
}

/// As a chat does it, from one folder to another.
async fn sealed_and_opened(size: u64) {
    let temporary = tempfile::tempdir().unwrap();
    let (path, fetched) = (temporary.path().join("large.bin"), temporary.path().join("fetched"));
    let mut file = std::fs::File::create(&path).unwrap();
    let mut at = 0;
    while at < size {
        let count = usize::try_from(size - at).unwrap_or(usize::MAX).min(100_000);
        file.write_all(&octets(at, count)).unwrap();
        at += count as u64;
    }

    let sealed = SealedFile::new(&path, "a/b", &temporary.path().join("sealed")).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::hard_link(sealed.to_send().path, &fetched).unwrap();
    let announced = sealed.announced("sip:alice@x".parse().unwrap());
    let into = Folder::new(temporary.path().join("downloads"));
    let opened = announced.open(fetched, &into).await.unwrap();

    assert_eq!((sealed.octets(), announced.octets), (size, size));
    let mut opened = std::fs::File::open(opened).unwrap();
    let (mut piece, mut at) = (vec![0; 100_000], 0);
    loop {
        let read = opened.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        assert!(piece[..read] == octets(at, read), "other octets at {at}");
        at += read as u64;
    }
    assert_eq!(at, size);
}

/// A file that is made as it is read.
struct Made(u64);

impl Source for Made {
    fn read(&mut self, offset: u64, count: usize) -> Result<Bytes, String> {
        let left = usize::try_from(self.0.saturating_sub(offset)).unwrap();
        Ok(Bytes::from(octets(offset, count.min(left))))
    }
}

/// A disk that forgets everything but how much there was.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<u64>>);

impl Source for Counted {
    fn read(&mut self, offset: u64, _count: usize) -> Result<Bytes, String> {
        Err(format!("{offset} was read back"))
    }
}

impl Sink for Counted {
    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), String> {
        let mut written = self.0.lock().unwrap();
        assert_eq!(*written, offset);
        *written += octets.len() as u64;
        Ok(())
    }
}

fn end(me: &MsrpMedia, other: &MsrpMedia, first: First) -> Setup {
    let name = |media: &MsrpMedia| format!("sip:{}@x", media.path[0].len()).parse().unwrap();
    let (own, to) = (path(me).unwrap(), path(other).unwrap());
    let (ours, theirs) = (me.clone(), other.clone());
    let (me, peer, limits) = (name(me), name(other), Limits::default());
    Setup { me, peer, own, to, ours, theirs, first, by_session_id: false, limits }
}

fn sent_and_received(size: u64) {
    let mut rng = StdRng::seed_from_u64(7);
    let now = Now { instant: service::clock::now(), wall: service::clock::wall() };
    let fingerprint = format!("SHA-256 {}", ["AB"; 32].join(":"));
    let media = |session, side| {
        let (address, port, fingerprint) = ("127.0.0.1", Some(7394), fingerprint.as_str());
        let message_octets_max = u64::MAX;
        Place { address, port, session, fingerprint, message_octets_max }.media(side, true).unwrap()
    };
    let (alice, bob) = (media("alice1", Way::Active), media("bob1", Way::Passive));
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < size {
        let count = usize::try_from(size - at).unwrap().min(1 << 16);
        hash.update(octets(at, count));
        at += count as u64;
    }
    let hashes = Hashes { sha1: None, sha256: Some(hash.finalize().into()) };
    let media_type = Some("application/octet-stream".to_owned());
    let part = Part { media_type, octets: Some(size), hashes, octets_max: size, ..Part::default() };
    let sink = Counted::default();
    let (from, to) = (end(&alice, &bob, First::Us), end(&bob, &alice, First::Peer));
    let mut sender = Transfer::send(from, part.clone(), Box::new(Made(size)), &mut rng);
    let mut receiver = Transfer::receive_into(now, to, part, Box::new(sink.clone()), &mut rng);

    let (mut there, mut back) = (Decoder::default(), Decoder::default());
    let (mut forth, mut answers) = (BytesMut::new(), BytesMut::new());
    loop {
        let mut moved = false;
        while let Some(frame) = sender.poll_frame(now, &mut rng) {
            frame.slices().for_each(|slice| forth.extend_from_slice(slice));
            moved = true;
            if forth.len() > 1 << 18 {
                break;
            }
        }
        while let Some(item) = there.next(&mut forth).unwrap() {
            receiver.receive(now, &mut rng, &item);
        }
        while let Some(frame) = receiver.poll_frame(now, &mut rng) {
            frame.slices().for_each(|slice| answers.extend_from_slice(slice));
            moved = true;
        }
        while let Some(item) = back.next(&mut answers).unwrap() {
            sender.receive(now, &mut rng, &item);
        }
        if !moved {
            break;
        }
    }
    for side in [&mut sender, &mut receiver] {
        let over = std::iter::from_fn(|| side.poll_output()).find_map(|output| match output {
            Output::Over(over) => Some(over),
            Output::Bound(_) => None,
        });
        let over: Result<_, Broken> = over.unwrap();
        assert_eq!(over.map(|finished| (finished.octets, finished.verified)), Ok((size, true)));
    }
    assert_eq!(*sink.0.lock().unwrap(), size);
}

#[test]
fn nobody_is_let_off_for_the_memory_that_somebody_took_before() {
    for _time in 0..2 {
        let grown = grown(|| drop(std::hint::black_box(vec![1_u8; 64 << 20])));

        assert!(grown > MEMORY_MAX, "only {grown} octets of 64 MiB are seen");
    }
}

#[test]
fn sixty_four_mebioctets_are_sealed_and_opened_in_little_memory() {
    within_memory(|| on_runtime(sealed_and_opened(SMALL)));
}

#[test]
fn sixty_four_mebioctets_are_sent_and_received_in_little_memory() {
    within_memory(|| sent_and_received(SMALL));
}

#[test]
#[ignore = "half a minute, optimised: make large-files"]
fn two_gibioctets_are_sealed_and_opened_in_little_memory() {
    within_memory(|| on_runtime(sealed_and_opened(LARGE)));
}

#[test]
#[ignore = "half a minute, optimised: make large-files"]
fn two_gibioctets_are_sent_and_received_in_little_memory() {
    within_memory(|| sent_and_received(LARGE));
}
