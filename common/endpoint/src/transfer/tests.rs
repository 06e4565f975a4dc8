//! Two sides of a transfer without a network between them, and a sender or receiver that misbehaves. Rules are those of
//! RFC 5547 by their sections.
mod hostile;
mod messages;

use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use msrp::{ByteRange, Decoder, Report, TransactionId};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sip::sdp::{MsrpMedia, Setup as Way};

use super::*;
use crate::ends::{Place, path};
use crate::{First, Limits};

/// What a side says of its end.
fn media(session: &str, side: Way) -> MsrpMedia {
    let fingerprint = format!("SHA-256 {}", ["AB"; 32].join(":"));
    let place = Place {
        address: "127.0.0.1",
        port: Some(7394),
        session,
        fingerprint: &fingerprint,
        message_octets_max: 1 << 20,
    };
    place.media(side, true).unwrap()
}

/// What a session is made of, between these two.
fn setup(names: [&str; 2], ours: MsrpMedia, theirs: MsrpMedia, first: First) -> Setup {
    let [me, peer] = names.map(|name| format!("sip:{name}@x").parse().unwrap());
    let limits = Limits { chunk_octets: 2048, ..Limits::default() };
    let (own, to) = (path(&ours).unwrap(), path(&theirs).unwrap());
    Setup { me, peer, own, to, ours, theirs, first, by_session_id: false, limits }
}

/// A file in memory, which can fail.
#[derive(Clone, Default)]
struct Memory {
    octets: Arc<Mutex<Vec<u8>>>,
    full_at: Option<u64>,
}

impl Memory {
    fn of(octets: &[u8]) -> Self {
        Self { octets: Arc::new(Mutex::new(octets.to_vec())), full_at: None }
    }

    fn octets(&self) -> Vec<u8> {
        self.octets.lock().unwrap().clone()
    }
}

impl Source for Memory {
    fn read(&mut self, offset: u64, octets: usize) -> Result<Bytes, String> {
        let all = self.octets.lock().unwrap();
        let start = usize::try_from(offset).unwrap().min(all.len());
        Ok(Bytes::copy_from_slice(&all[start..all.len().min(start + octets)]))
    }
}

impl Sink for Memory {
    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), String> {
        let mut all = self.octets.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        if self.full_at.is_some_and(|full| offset + octets.len() as u64 > full) {
            return Err("no space is left".to_owned());
        }
        let end = start + octets.len();
        let longer = all.len().max(end);
        all.resize(longer, 0);
        all[start..end].copy_from_slice(octets);
        Ok(())
    }
}

fn content(octets: usize) -> Vec<u8> {
    (0..octets).map(|at| (at * 7 + at / 251).to_le_bytes()[0]).collect()
}

fn hashes(content: &[u8]) -> Hashes {
    let mut hashing = Hashing::default();
    hashing.update(content);
    hashing.finish()
}

/// All of a file of which everything is known.
fn whole(content: &[u8]) -> Part {
    Part {
        media_type: Some("image/jpeg".into()),
        octets: Some(content.len() as u64),
        hashes: hashes(content),
        octets_max: 1 << 40,
        ..Part::default()
    }
}

/// The ends of sender and receiver; the receiver has called.
fn ends(change: impl Fn(&mut MsrpMedia)) -> (Setup, Setup) {
    let (alice, mut bob) = (media("alice1", Way::Active), media("bob1", Way::Passive));
    change(&mut bob);
    (
        setup(["alice", "bob"], alice.clone(), bob.clone(), First::Us),
        setup(["bob", "alice"], bob, alice, First::Peer),
    )
}

struct Two {
    rng: StdRng,
    now: Now,
    sender: Transfer,
    receiver: Transfer,
    /// Frames of each way.
    frames: [usize; 2],
}

impl Two {
    fn new(source: &Memory, sent: Part, sink: &Memory, wanted: Part) -> Self {
        Self::with(source, sent, sink, wanted, |_bob| {})
    }

    fn with(
        source: &Memory,
        sent: Part,
        sink: &Memory,
        wanted: Part,
        change: impl Fn(&mut MsrpMedia),
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let now = Now { instant: service::clock::now(), wall: service::clock::wall() };
        let (alice, bob) = ends(change);
        let sender = Transfer::send(alice, sent, Box::new(source.clone()), &mut rng);
        let receiver = Transfer::receive_into(now, bob, wanted, Box::new(sink.clone()), &mut rng);
        Self { rng, now, sender, receiver, frames: [0, 0] }
    }

    /// Sender and receiver know the same of a file.
    fn of(content: &[u8]) -> (Self, Memory) {
        let sink = Memory::default();
        (Self::new(&Memory::of(content), whole(content), &sink, whole(content)), sink)
    }

    /// Moves frames until nothing moves, or so many have left the sender.
    fn run(&mut self, frames_max: usize) {
        loop {
            let before = self.frames;
            if self.frames[0] < frames_max
                && let Some(frame) = self.sender.poll_frame(self.now, &mut self.rng)
            {
                self.frames[0] += 1;
                deliver(&frame.to_bytes(), &mut self.receiver, self.now, &mut self.rng);
            }
            if let Some(frame) = self.receiver.poll_frame(self.now, &mut self.rng) {
                self.frames[1] += 1;
                deliver(&frame.to_bytes(), &mut self.sender, self.now, &mut self.rng);
            }
            if self.frames == before {
                return;
            }
        }
    }

    fn finish(mut self) -> [Option<Result<Finished, Broken>>; 2] {
        self.run(usize::MAX);
        [over(&mut self.sender), over(&mut self.receiver)]
    }
}

fn deliver(octets: &[u8], to: &mut Transfer, now: Now, rng: &mut StdRng) {
    let (mut decoder, mut input) = (Decoder::default(), BytesMut::from(octets));
    while let Some(item) = decoder.next(&mut input).unwrap() {
        to.receive(now, rng, &item);
    }
}

/// How it is over, if it is.
fn over(transfer: &mut Transfer) -> Option<Result<Finished, Broken>> {
    let outputs = std::iter::from_fn(|| transfer.poll_output());
    let mut over = outputs.filter_map(|output| match output {
        Output::Over(over) => Some(over),
        Output::Bound(_) => None,
    });
    let first = over.next();
    assert!(over.next().is_none(), "it was over twice");
    first
}

fn done(content: &[u8]) -> Option<Result<Finished, Broken>> {
    Some(Ok(Finished { octets: content.len() as u64, verified: true }))
}

#[test]
fn s8_7_a_file_of_any_size_arrives_as_it_was_and_both_sides_know() {
    for octets in [0, 1, 2047, 2048, 2049, 5 << 20] {
        let content = content(octets);
        let (two, sink) = Two::of(&content);

        assert_eq!(two.finish(), [done(&content), done(&content)], "{octets}");
        assert!(sink.octets() == content, "{octets} octets arrived changed");
    }
}

/// FT-09: one message for the file, and no more unanswered than the window.
#[test]
fn s8_7_no_more_is_on_the_way_than_a_window_and_progress_is_what_was_answered() {
    let content = content(5 << 20);
    let (mut two, _sink) = Two::of(&content);
    two.run(1);
    while let Some(frame) = two.sender.poll_frame(two.now, &mut two.rng) {
        two.frames[0] += 1;
        drop(frame);
    }

    assert!((500..600).contains(&two.frames[0]), "{} chunks", two.frames[0]);
    assert_eq!(two.sender.progress(), Progress { octets: 0, total: Some(5 << 20) });
    assert_eq!(two.receiver.progress().octets, 0);
}

/// FT-09: a receiver that takes nothing but CPIM gets it in CPIM.
#[test]
fn s8_7_a_wrapped_file_is_the_file_without_its_wrapper() {
    for octets in [0, 1, 2048, 100_000] {
        let content = content(octets);
        let sink = Memory::default();
        let (source, wanted) = (Memory::of(&content), whole(&content));
        let cpim_only = |bob: &mut MsrpMedia| bob.accept_types = vec!["message/cpim".into()];
        let two = Two::with(&source, wanted.clone(), &sink, wanted, cpim_only);

        assert_eq!(two.finish(), [done(&content), done(&content)], "{octets}");
        assert!(sink.octets() == content, "{octets} octets arrived changed");
    }
}

/// FT-06: only what is missing is sent, and the hash is that of all of it.
#[test]
fn s6_a_transfer_goes_on_from_any_octet_and_the_hash_is_of_all() {
    let content = content(10_000);
    for start in [1_u64, 2047, 2048, 2049, 9_999, 10_000] {
        let here = usize::try_from(start).unwrap();
        let sink = Memory::of(&content[..here]);
        let rest = Part { start, octets: Some(10_000 - start), ..whole(&content) };
        let two = Two::new(&Memory::of(&content), rest.clone(), &sink, rest);

        let finished = Some(Ok(Finished { octets: 10_000 - start, verified: true }));
        assert_eq!(two.finish(), [finished.clone(), finished], "from {start}");
        assert!(sink.octets() == content, "from {start}");
    }
}

/// FT-07: also what was there before counts.
#[test]
fn s8_3_1_a_file_that_is_not_the_one_described_has_failed_on_both_sides() {
    let content = content(10_000);
    let mut other = content.clone();
    other[5_000] ^= 1;
    let refused = |over: &Option<Result<Finished, Broken>>| {
        matches!(over, Some(Err(Broken::Refused { status: 400, .. })))
    };

    let sink = Memory::default();
    let two = Two::new(&Memory::of(&other), whole(&other), &sink, whole(&content));
    let [sender, receiver] = two.finish();
    assert_eq!(receiver, Some(Err(Broken::Other("its hash"))));
    assert!(refused(&sender), "{sender:?}");

    let rest = Part { start: 6_000, octets: Some(4_000), ..whole(&content) };
    let sink = Memory::of(&other[..6_000]);
    let [sender, receiver] = Two::new(&Memory::of(&content), rest.clone(), &sink, rest).finish();
    assert_eq!(receiver, Some(Err(Broken::Other("its hash"))));
    assert!(refused(&sender), "{sender:?}");
}

#[test]
fn s8_3_1_either_hash_alone_shows_another_file_and_without_one_nothing_is_proven() {
    let content = content(100);
    let Hashes { sha1, sha256 } = hashes(b"other");
    for hashes in [Hashes { sha1, sha256: None }, Hashes { sha1: None, sha256 }] {
        let wanted = Part { hashes, ..whole(&content) };
        let two = Two::new(&Memory::of(&content), whole(&content), &Memory::default(), wanted);
        assert_eq!(two.finish()[1], Some(Err(Broken::Other("its hash"))));
    }
    let wanted = Part { hashes: Hashes::default(), ..whole(&content) };
    let two = Two::new(&Memory::of(&content), whole(&content), &Memory::default(), wanted);
    assert_eq!(two.finish()[1], Some(Ok(Finished { octets: 100, verified: false })));
}

/// FT-08.
#[test]
fn s8_4_a_sender_that_gives_up_ends_its_message_with_a_hash_sign() {
    let content = content(100_000);
    let (mut two, sink) = Two::of(&content);
    two.run(11);

    two.sender.abort(two.now, &mut two.rng);
    two.frames[0] = 0;
    two.run(usize::MAX);

    assert_eq!(over(&mut two.sender), Some(Err(Broken::Aborted)));
    assert_eq!(over(&mut two.receiver), Some(Err(Broken::GivenUp)));
    assert!(sink.octets().len() < content.len());
}

/// FT-08: Figure 5.
#[test]
fn s8_4_a_receiver_that_gives_up_answers_413_and_the_message_is_ended() {
    let content = content(100_000);
    let (mut two, _sink) = Two::of(&content);
    two.run(11);

    two.receiver.abort(two.now, &mut two.rng);
    let [sender, receiver] = two.finish();

    assert_eq!(receiver, Some(Err(Broken::Aborted)));
    assert!(matches!(sender, Some(Err(Broken::Refused { status: 413, .. }))), "{sender:?}");
}

/// FT-08: who sees nothing of the other side waits for a bounded time.
#[test]
fn s8_4_nobody_waits_for_ever_for_a_peer_that_says_nothing() {
    let content = content(10 << 20);
    let (mut two, _sink) = Two::of(&content);
    two.run(11);
    let end = |transfer: &mut Transfer, mut now: Now| {
        while let Some(due) = transfer.next_timeout() {
            now.instant = due;
            transfer.timeout(now, &mut StdRng::seed_from_u64(1));
        }
        over(transfer)
    };

    while two.sender.poll_frame(two.now, &mut two.rng).is_some() {}

    assert_eq!(end(&mut two.sender, two.now), Some(Err(Broken::Late)));
    assert_eq!(end(&mut two.receiver, two.now), Some(Err(Broken::Late)));
}

#[test]
fn a_disk_that_is_full_ends_the_transfer_and_the_sender_is_told() {
    let file = content(100_000);
    let sink = Memory { full_at: Some(50_000), ..Memory::default() };
    let two = Two::new(&Memory::of(&file), whole(&file), &sink, whole(&file));

    let [sender, receiver] = two.finish();

    assert_eq!(receiver, Some(Err(Broken::Sink("no space is left".into()))));
    assert!(matches!(sender, Some(Err(Broken::Refused { status: 413, .. }))), "{sender:?}");
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_is_given_up() {
    let file = content(100_000);
    let source = Memory::of(&file);
    let mut two = Two::new(&source, whole(&file), &Memory::default(), whole(&file));
    two.run(11);
    source.octets.lock().unwrap().truncate(30_000);
    two.frames[0] = 0;

    let [sender, receiver] = two.finish();

    assert!(matches!(sender, Some(Err(Broken::Source(_)))), "{sender:?}");
    assert_eq!(receiver, Some(Err(Broken::GivenUp)));
}

/// A receiver that knows no reports: what was answered to its last octet has been sent.
#[test]
fn s8_7_without_a_report_the_sender_is_done_when_it_is_hung_up_on_or_has_waited() {
    let file = content(10);
    let sender = || {
        let (mut two, _sink) = Two::of(&file);
        two.run(1);
        while let Some(frame) = two.receiver.poll_frame(two.now, &mut two.rng) {
            deliver(&frame.to_bytes(), &mut two.sender, two.now, &mut two.rng);
        }
        let frame = two.sender.poll_frame(two.now, &mut two.rng).unwrap().to_bytes();
        deliver(&frame, &mut two.receiver, two.now, &mut two.rng);
        let answer = two.receiver.poll_frame(two.now, &mut two.rng).unwrap().to_bytes();
        deliver(&answer, &mut two.sender, two.now, &mut two.rng);
        two
    };
    let unproven = Some(Ok(Finished { octets: 10, verified: false }));

    let mut two = sender();
    assert_eq!(over(&mut two.sender), None);
    two.sender.end("hung up");
    assert_eq!(over(&mut two.sender), unproven);

    let mut two = sender();
    let due = two.sender.next_timeout().unwrap();
    let later = Now { instant: due, ..two.now };
    two.sender.timeout(later, &mut two.rng);
    assert_eq!(over(&mut two.sender), unproven);
}

/// A report about something else says nothing of this file.
#[test]
fn a_report_of_another_message_does_not_end_the_transfer() {
    let (mut two, _sink) = Two::of(&content(100_000));
    two.run(5);
    let (_, bob) = ends(|_bob| {});
    let report = Report {
        to_path: &bob.to,
        from_path: &bob.own,
        message_id: MessageId::random(&mut two.rng),
        range: ByteRange::whole(100_000),
        status: Status::OK,
        comment: "OK",
    };
    let report = report.encode(TransactionId::random(&mut two.rng)).to_bytes();
    deliver(&report, &mut two.sender, two.now, &mut two.rng);

    assert_eq!(over(&mut two.sender), None);
}

#[test]
fn what_is_held_is_reported_when_it_is_kept_and_refused_when_it_is_not() {
    let content = content(40_000);
    for kept in [Ok(()), Err("the disk is full".to_owned())] {
        let (mut two, sink) = Two::of(&content);
        two.receiver.hold();
        two.run(usize::MAX);
        assert_eq!(sink.octets(), content);
        assert!(over(&mut two.receiver).is_none() && over(&mut two.sender).is_none());
        let held = Finished { octets: 40_000, verified: true };
        assert_eq!(two.receiver.held(), Some(held));
        assert_eq!(two.receiver.media_type(), Some("image/jpeg"));

        two.receiver.kept(&mut two.rng, kept.clone());

        let told = match kept {
            Ok(()) => [Ok(held), Ok(held)],
            Err(why) => {
                let reason = "the file cannot be kept".to_owned();
                [Err(Broken::Refused { status: 413, reason }), Err(Broken::Sink(why))]
            }
        };
        assert_eq!(two.finish(), told.map(Some));
    }
}

#[test]
fn a_wrapper_that_belongs_to_what_is_received_stays_where_it_was() {
    let content = content(5_000);
    let (source, sink) = (Memory::of(&content), Memory::default());
    let wanted = Part { octets_max: 1 << 20, as_sent: true, ..Part::default() };
    let wraps = |bob: &mut MsrpMedia| bob.accept_types = vec!["message/cpim".to_owned()];
    let two = Two::with(&source, whole(&content), &sink, wanted, wraps);

    let [sent, _] = two.finish();

    assert!(matches!(sent, Some(Ok(_))), "{sent:?}");
    let received = sink.octets();
    assert!(received.starts_with(b"From: ") && received.ends_with(&content));
}
