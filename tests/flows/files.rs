//! F14: files from person to person (RFC 5547), from device to device and through the relay. Rules of the document are
//! named by their sections. What a chunk or a description looks like is tested where it is decided.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use client::{
    Arrival, Arrived, Broken, Disposition, Error, Event, FileHash, FileOffer, FileRequest,
    FileSelector, FileToSend, FileTransfer, Folder, Icon, Inbox, Incomplete, Level, Limits,
    SealedFile,
};
use sha2::{Digest as _, Sha256};

use crate::circles::opened;
use crate::{Guest, House, Seat, soon};

/// A folder with a file to send, and one for what comes.
pub(crate) struct Desk {
    temporary: tempfile::TempDir,
    pub(crate) into: Folder,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let into = Folder::new(temporary.path().join("downloads"));
        Self { temporary, into }
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> FileToSend {
        let path = self.temporary.path().join(name);
        fs::write(&path, content).unwrap();
        FileToSend::new(path, "application/octet-stream")
    }

    /// The names of what was received, parts of files among them.
    fn names(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.into.path()) else { return Vec::new() };
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn content(octets: usize) -> Vec<u8> {
    (0..octets).map(|at| (at * 7 + at / 251).to_le_bytes()[0]).collect()
}

async fn offer(inbox: &mut Inbox) -> FileOffer {
    match soon(inbox.next()).await.unwrap() {
        Arrival::File(offer) => offer,
        other => panic!("no file: {other:?}"),
    }
}

async fn request(inbox: &mut Inbox) -> FileRequest {
    match soon(inbox.next()).await.unwrap() {
        Arrival::Wanted(request) => request,
        other => panic!("no request: {other:?}"),
    }
}

/// A file on its way: both sides of it.
async fn under_way(
    from: &Guest,
    to: &Guest,
    file: &FileToSend,
    into: &Folder,
) -> (Result<FileTransfer, Error>, Result<FileTransfer, Error>) {
    let mut inbox = to.device.inbox();
    let taking = async {
        let offer = offer(&mut inbox).await;
        assert_eq!(*offer.from(), from.aor);
        offer.accept(into).await
    };
    soon(async { tokio::join!(from.device.send_file(&to.aor, file), taking) }).await
}

pub(crate) type Over = Result<Arrived, Incomplete>;

/// A file sent and received: how it was for each.
async fn sent(from: &Guest, to: &Guest, file: &FileToSend, into: &Folder) -> (Over, Over) {
    let (sender, receiver) = under_way(from, to, file, into).await;
    let (mut sender, mut receiver) = (sender.unwrap(), receiver.unwrap());
    soon(async { tokio::join!(sender.finished(), receiver.finished()) }).await
}

pub(crate) fn path(over: Over) -> PathBuf {
    let arrived = over.unwrap();
    assert!(arrived.verified);
    arrived.path.unwrap()
}

pub(crate) fn status(outcome: Result<FileTransfer, Error>) -> u16 {
    match outcome {
        Err(Error::Refused { status, .. }) => status,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is on its way"),
    }
}

/// The file has no name that is whole, and this is what is left of it.
fn left(desk: &Desk) -> Vec<PathBuf> {
    let names = desk.names();
    assert!(names.iter().all(|name| name.ends_with(".part")), "{names:?}");
    names.iter().map(|name| desk.into.path().join(name)).collect()
}

/// S3-18.
#[tokio::test]
async fn f14_s8_2_1_a_file_of_any_size_goes_to_a_person_as_it_is() {
    let house = House::open();
    let (alice, bob, desk) = (house.guest("alice").await, house.guest("bob").await, Desk::new());

    for octets in [0, 1, 2047, 2048, 2049, 5 << 20] {
        let content = content(octets);
        let file = desk.file("report.bin", &content);
        let (sender, receiver) = sent(&alice, &bob, &file, &desk.into).await;

        assert_eq!(sender.unwrap(), Arrived { octets: octets as u64, verified: true, path: None });
        let path = path(receiver);
        assert!(fs::read(&path).unwrap() == content, "{octets} octets arrived changed");
        fs::remove_file(path).unwrap();
    }
    assert!(desk.names().is_empty(), "{:?}", desk.names());
    assert_eq!(house.relayed("mrfp_connections").await, 0.0);
}

#[tokio::test]
async fn f14_s8_2_1_through_the_relay_a_file_is_the_same() {
    let house = House::with(&[("MRFC_SESSIONS__THROUGH_RELAY", "true")]);
    let (alice, bob, desk) = (house.guest("alice").await, house.guest("bob").await, Desk::new());
    let content = content(3_000_000);
    let mut file = desk.file("report.bin", &content);
    // A relay's ends are put into a description alone, so the picture stays behind (8.8).
    file.icon = Some(Icon { media_type: "image/png".into(), content: Bytes::from_static(b"x") });

    let mut inbox = bob.device.inbox();
    let taking = async {
        let offer = offer(&mut inbox).await;
        assert_eq!(offer.icon(), None);
        offer.accept(&desk.into).await.unwrap()
    };
    let (sender, mut receiver) =
        soon(async { tokio::join!(alice.device.send_file(&bob.aor, &file), taking) }).await;
    let mut sender = sender.unwrap();
    let over = soon(async { tokio::join!(sender.finished(), receiver.finished()) }).await;

    assert!(over.0.unwrap().verified);
    assert!(fs::read(path(over.1)).unwrap() == content, "it arrived changed");
    assert_eq!(house.relayed("mrfp_sessions_opened_total").await, 2.0);
}

/// FT-03, FT-10: what is said of a file before anybody takes it.
#[tokio::test]
async fn f14_s8_2_1_the_offer_says_what_the_file_is_and_shows_a_picture_of_it() {
    let house = House::open();
    let (alice, bob, desk) = (house.guest("alice").await, house.guest("bob").await, Desk::new());
    let picture = content(40_000);
    let icon =
        Icon { media_type: "image/jpeg".into(), content: Bytes::from_static(b"\xff\xd8\xff") };
    let file = FileToSend {
        media_type: "image/jpeg".into(),
        disposition: Disposition::Render,
        icon: Some(icon.clone()),
        ..desk.file("a \"b\" 100%.jpg", &picture)
    };
    let mut inbox = bob.device.inbox();

    let looking = async {
        let offer = offer(&mut inbox).await;
        let said = offer.selector().clone();
        assert_eq!(said.name.as_deref(), Some("a \"b\" 100%.jpg"));
        assert_eq!((said.media_type.as_deref(), said.size), (Some("image/jpeg"), Some(40_000)));
        assert_eq!(said.hash("sha-256").unwrap(), &Sha256::digest(&picture)[..]);
        assert_eq!(said.hash("sha-1").unwrap().len(), 20);
        assert_eq!((offer.disposition(), offer.icon()), (Disposition::Render, Some(icon.clone())));
        offer.decline().await;
    };

    let (declined, ()) =
        soon(async { tokio::join!(alice.device.send_file(&bob.aor, &file), looking) }).await;
    assert_eq!(status(declined), 603);
    assert!(desk.names().is_empty());
}

/// FT-11.
#[tokio::test]
async fn f14_s6_a_name_with_folders_and_control_characters_stays_in_the_folder() {
    let house = House::open();
    let (alice, bob, desk) = (house.guest("alice").await, house.guest("bob").await, Desk::new());
    let outside = desk.temporary.path().join("escaped");

    for (name, saved) in [
        ("../escaped", "_escaped"),
        ("/etc/passwd", "_etc_passwd"),
        ("..\\..\\x\u{1b}[2J\r\n.exe", "_.._x_[2J__.exe"),
        ("CON.txt", "_CON.txt"),
        ("..", "file"),
    ] {
        let file = FileToSend { name: name.into(), ..desk.file("source", b"content") };
        let (_, receiver) = sent(&alice, &bob, &file, &desk.into).await;
        assert_eq!(path(receiver), desk.into.path().join(saved), "{name:?}");
    }
    let file = FileToSend { name: "/etc/passwd".into(), ..desk.file("source", b"other") };
    let (_, receiver) = sent(&alice, &bob, &file, &desk.into).await;
    assert_eq!(path(receiver), desk.into.path().join("_etc_passwd-2"));
    assert_eq!(fs::read(desk.into.path().join("_etc_passwd")).unwrap(), b"content");
    assert!(!outside.exists());
}

/// FT-04, FT-05.
#[tokio::test]
async fn f14_s8_2_2_a_file_is_asked_for_by_its_hash_and_what_is_not_there_is_488() {
    let house = House::open();
    let (alice, bob, desk) = (house.guest("alice").await, house.guest("bob").await, Desk::new());
    let content = content(100_000);
    let file = desk.file("report.bin", &content);
    let hash = FileHash::new("sha-256", &Sha256::digest(&content));
    let wanted = FileSelector { hashes: vec![hash], ..FileSelector::default() };
    let mut inbox = bob.device.inbox();

    let giving = async {
        let request = request(&mut inbox).await;
        assert_eq!((request.from(), request.selector()), (&alice.aor, &wanted));
        let mut given = request.serve(&file).await.unwrap();
        given.finished().await.unwrap()
    };
    let fetching = async {
        let fetched = alice.device.fetch_file(&bob.aor, &wanted, &desk.into).await;
        fetched.unwrap().finished().await
    };
    let (given, fetched) = soon(async { tokio::join!(giving, fetching) }).await;
    assert!(given.verified);
    let path = path(fetched);
    assert_eq!(path, desk.into.path().join("report.bin"));
    assert!(fs::read(path).unwrap() == content);

    let other = desk.file("other.bin", b"something else");
    let giving = async { request(&mut inbox).await.serve(&other).await.map(drop).unwrap_err() };
    let fetching = alice.device.fetch_file(&bob.aor, &wanted, &desk.into);
    let (given, fetched) = soon(async { tokio::join!(giving, fetching) }).await;
    assert!(matches!(given, Error::Refused { status: 488, .. }), "{given:?}");
    assert_eq!(status(fetched), 488);
    let nothing = async { request(&mut inbox).await.none().await };
    let fetching = alice.device.fetch_file(&bob.aor, &wanted, &desk.into);
    assert_eq!(status(soon(async { tokio::join!(nothing, fetching) }).await.1), 488);
    assert_eq!(desk.names(), ["report.bin"]);
}

/// A file on its way of which a part has arrived, and whoever may stop it.
async fn half_way(
    alice: &Guest,
    bob: &Guest,
    desk: &Desk,
) -> (FileTransfer, FileTransfer, FileToSend) {
    let file = desk.file("large.bin", &content(64 << 20));
    let (sender, receiver) = under_way(alice, bob, &file, &desk.into).await;
    let (sender, receiver) = (sender.unwrap(), receiver.unwrap());
    let mut progress = receiver.progress();
    soon(progress.wait_for(|progress| progress.octets > 1 << 20)).await.unwrap();
    (sender, receiver, file)
}

/// FT-08.
#[tokio::test]
async fn f14_s8_4_a_file_that_is_given_up_is_not_whole_and_goes_on_from_where_it_was() {
    let house = House::open();
    let (alice, bob, desk) = (house.guest("alice").await, house.guest("bob").await, Desk::new());

    let (mut sender, mut receiver, file) = half_way(&alice, &bob, &desk).await;
    sender.abort();
    let (one, other) = soon(async { tokio::join!(sender.finished(), receiver.finished()) }).await;
    let (one, other) = (one.unwrap_err(), other.unwrap_err());
    assert_eq!((&one.why, &other.why), (&Broken::Aborted, &Broken::GivenUp));
    assert!(one.go_on_from <= other.go_on_from, "{one:?} {other:?}");
    let [part] = &left(&desk)[..] else { panic!("{:?}", desk.names()) };
    assert_eq!(fs::metadata(part).unwrap().len(), other.go_on_from);

    // The other one goes on, and this time the receiver gives it up.
    let rest = FileToSend { from: one.go_on_from, ..file.clone() };
    let (sender, receiver) = under_way(&alice, &bob, &rest, &desk.into).await;
    let (mut sender, mut receiver) = (sender.unwrap(), receiver.unwrap());
    receiver.abort();
    let (sent, got) = soon(async { tokio::join!(sender.finished(), receiver.finished()) }).await;
    assert_eq!(got.as_ref().unwrap_err().why, Broken::Aborted);
    assert!(matches!(
        sent.unwrap_err().why,
        Broken::Refused { status: 413, .. } | Broken::Ended(_)
    ));

    // Then it is asked for: only what is missing comes.
    let here = got.unwrap_err().go_on_from;
    let hash = FileHash::new("sha-256", &Sha256::digest(fs::read(&file.path).unwrap()));
    let wanted =
        FileSelector { size: Some(64 << 20), hashes: vec![hash], ..FileSelector::default() };
    let mut inbox = alice.device.inbox();
    let giving = async { request(&mut inbox).await.serve(&file).await.unwrap().finished().await };
    let fetching = async {
        let fetched = bob.device.fetch_file(&alice.aor, &wanted, &desk.into).await;
        fetched.unwrap().finished().await
    };
    let (given, fetched) = soon(async { tokio::join!(giving, fetching) }).await;
    assert_eq!(given.unwrap().octets, (64 << 20) - here);
    assert!(fs::read(path(fetched)).unwrap() == fs::read(&file.path).unwrap());
    assert_eq!(desk.names(), ["large.bin"]);
}

#[tokio::test]
async fn f14_a_sender_that_is_gone_leaves_a_part_that_is_not_called_whole() {
    let house = House::open();
    let (alice, bob, desk) = (house.guest("alice").await, house.guest("bob").await, Desk::new());
    let (sender, mut receiver, _file) = half_way(&alice, &bob, &desk).await;

    drop(sender);
    alice.device.vanish().await;

    let over = soon(receiver.finished()).await.unwrap_err();
    assert!(matches!(over.why, Broken::GivenUp | Broken::Ended(_)), "{over:?}");
    let [part] = &left(&desk)[..] else { panic!("{:?}", desk.names()) };
    assert_eq!(fs::metadata(part).unwrap().len(), over.go_on_from);
}

/// What does not fit what is here: each a clear answer, and nothing lost.
#[tokio::test]
async fn f14_s8_3_1_a_part_that_does_not_fit_and_a_file_that_is_too_large_are_488() {
    let house = House::open();
    let limits = Limits { file_octets_max: 1000, ..Limits::default() };
    let (alice, bob) = (house.guest("alice").await, house.guest_with("bob", limits).await);
    let desk = Desk::new();
    let refused = async |file: &FileToSend| {
        let (sender, receiver) = under_way(&alice, &bob, file, &desk.into).await;
        assert_eq!(status(receiver), 488);
        status(sender)
    };

    let file = desk.file("report.bin", &content(1000));
    // Nothing of it is here.
    assert_eq!(refused(&FileToSend { from: 10, ..file.clone() }).await, 488);
    assert_eq!(refused(&desk.file("large.bin", &content(1001))).await, 488);
    let beyond = FileToSend { from: 1001, ..file.clone() };
    assert_eq!(status(soon(alice.device.send_file(&bob.aor, &beyond)).await), 488);
    let missing = FileToSend::new(desk.temporary.path().join("nothing"), "a/b");
    assert!(soon(alice.device.send_file(&bob.aor, &missing)).await.is_err());
    assert!(desk.names().is_empty(), "{:?}", desk.names());
    // Nothing is wrong with the file where its receiver has no place for it.
    let nowhere = Folder::new("/proc/downloads");
    let (sender, receiver) = under_way(&alice, &bob, &file, &nowhere).await;
    assert!(matches!(receiver, Err(Error::Network { what: "the folder for received files", .. })));
    assert_eq!(status(sender), 500);

    let (_, receiver) = sent(&alice, &bob, &file, &desk.into).await;
    assert!(Path::new(&path(receiver)).ends_with("report.bin"));
}

/// FT-07: what changes on the sender's disk after it was described.
#[tokio::test]
async fn f14_s8_3_1_a_file_with_another_hash_is_removed_and_the_sender_is_told() {
    let house = House::open();
    let (alice, bob, desk) = (house.guest("alice").await, house.guest("bob").await, Desk::new());
    let file = desk.file("report.bin", &content(300_000));
    let mut inbox = bob.device.inbox();
    let taking = async {
        let offer = offer(&mut inbox).await;
        let mut changed = content(300_000);
        changed[200_000] ^= 1;
        fs::write(&file.path, changed).unwrap();
        offer.accept(&desk.into).await.unwrap().finished().await
    };
    let sending = async { alice.device.send_file(&bob.aor, &file).await.unwrap().finished().await };

    let (sent, taken) = soon(async { tokio::join!(sending, taking) }).await;

    assert_eq!(taken, Err(Incomplete { why: Broken::Other("its hash"), go_on_from: 0 }));
    assert!(matches!(sent.unwrap_err().why, Broken::Refused { status: 400, .. }));
    tokio::time::timeout(Duration::from_secs(10), async {
        while !desk.names().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

/// S3-18. Of a file that is too large for the room its members hear, and fetch it: what signalling and relay see is sealed.
#[tokio::test]
async fn f14_a_large_file_of_a_sealed_room_is_fetched_sealed_and_opens_for_members_only() {
    let house = House::open();
    let (alice, chair, bob, mut seat) = crate::two(&house).await;
    let desk = Desk::new();
    let content = content(20 << 20);
    let file = desk.file("holiday.mkv", &content);
    let sealed = SealedFile::new(&file.path, "video/x-matroska", desk.temporary.path());
    let sealed = soon(sealed).await.unwrap();
    let mut inbox = alice.device.inbox();

    soon(chair.conference.announce(&sealed)).await.unwrap();
    let told = |event| if let Event::Announced(file) = event { Some(file) } else { None };
    let announced = seat.until(told).await;
    assert_eq!((&announced.from, announced.name.as_str()), (&alice.aor, "holiday.mkv"));
    assert_eq!(announced.octets, 20 << 20);

    let giving = async {
        let request = request(&mut inbox).await;
        assert!(sealed.is(request.selector()));
        assert_ne!(request.selector().hash("sha-256").unwrap(), &Sha256::digest(&content)[..]);
        assert_ne!(request.selector().size, Some(announced.octets));
        request.serve(&sealed.to_send()).await.unwrap().finished().await.unwrap()
    };
    let fetching = async {
        let fetched = bob.device.fetch_announced(&announced, &desk.into).await;
        fetched.unwrap().finished().await
    };
    let (_given, fetched) = soon(async { tokio::join!(giving, fetching) }).await;
    let fetched = path(fetched);
    let octets = fs::read(&fetched).unwrap();
    assert!(!octets.windows(64).any(|window| window == &content[..64]), "it was not sealed");

    let opened = soon(announced.open(fetched, &desk.into)).await.unwrap();
    assert_eq!(opened, desk.into.path().join("holiday.mkv"));
    assert!(fs::read(opened).unwrap() == content);
    assert_eq!(desk.names(), ["holiday.mkv"]);
}

/// What is announced is fetched, whatever its size: nobody waits for octets that do not come.
#[tokio::test]
async fn f14_a_small_file_that_is_announced_in_a_room_is_told_of_and_fetched() {
    let house = House::open();
    let (alice, chair, bob, mut seat) = crate::two(&house).await;
    let desk = Desk::new();
    let mut inbox = alice.device.inbox();

    for octets in [0, 1, 2047, 2048, 2049] {
        let content = content(octets);
        let file = desk.file(&format!("note-{octets}.txt"), &content);
        let into = desk.into.path().join("sealed");
        let file = soon(SealedFile::new(&file.path, "text/plain", &into)).await.unwrap();
        soon(chair.conference.announce(&file)).await.unwrap();

        let told = |event| if let Event::Announced(file) = event { Some(file) } else { None };
        let announced = seat.until(told).await;
        assert_eq!(announced.octets, octets as u64);
        let giving = async {
            let given = request(&mut inbox).await.serve(&file.to_send()).await;
            given.unwrap().finished().await.unwrap()
        };
        let fetching = async { bob.device.fetch_announced(&announced, &desk.into).await };
        let (_given, fetched) = soon(async { tokio::join!(giving, fetching) }).await;
        let fetched = path(Ok(fetched.unwrap().finished().await.unwrap()));
        let opened = soon(announced.open(fetched, &desk.into)).await.unwrap();
        assert!(fs::read(opened).unwrap() == content, "{octets} octets arrived changed");
    }
}

/// Promise 8: both halves were answered, and their sender will not send them again.
#[tokio::test]
async fn f14_a_file_that_was_shared_is_told_after_a_crash_of_the_device_that_had_not_told_it() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let mut chair = alice.create().await;
    chair.entered().await;
    let (folder, room) = (tempfile::tempdir().unwrap(), chair.conference.id().clone());
    let (device, vault) = opened(&house, &folder, "bob").await;
    let mut seat = Seat::of(soon(device.join(&room, Level::Sealed)).await.unwrap());
    seat.entered().await;
    chair.are(2).await;

    let content = Bytes::from(content(200_000));
    let shared = chair.conference.send_file("holiday.jpg", "image/jpeg", content.clone());
    soon(shared).await.unwrap();
    // Nobody asks for events, so nothing is told.
    let here = async {
        while vault.records().noted_under(b"files/").len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    soon(here).await;
    vault.commit_now().unwrap();
    device.vanish().await;
    drop((seat, vault));

    let file = |event| if let Event::File(file) = event { Some(file) } else { None };
    let (device, vault) = opened(&house, &folder, "bob").await;
    let mut seat = Seat::of(soon(device.join(&room, Level::Sealed)).await.unwrap());
    let again = seat.until(file).await;
    assert_eq!((again.name.as_str(), &again.content), ("holiday.jpg", &content));
    assert!(vault.records().noted_under(b"files/").is_empty(), "it was told");
}
