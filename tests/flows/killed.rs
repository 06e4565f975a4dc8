//! One life of a device that is killed: it talks in a room, writes to people, leaves files for them, and tells the test on
//! its standard output what it did and what it was told. Each content follows from its name, so whoever has it can say
//! whether all of it came. What the lives of all devices add up to is for `killing`.
use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use client::{
    Announced, Arrival, Conference, Device, Event, Events, Folder, Inbox, Level, Manner,
    SealedFile, Sent, Taken, Vault, VaultKey,
};
use conclave::system::Directions;
use ids::Aor;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use sha2::{Digest as _, Sha256};

use crate::killing::{FOLDER, MARK, PEOPLE, PERSON, QUIET, ROOM};

/// Between two looks for files that nobody has fetched yet.
const LOOK: Duration = Duration::from_millis(100);

/// Tells the test something, in one write: what is not whole was not told.
fn tell(words: impl Display) {
    let line = format!("\n{MARK}{words}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// One life of a device, in a process of its own.
#[test]
#[ignore = "a device of the test beside it, which starts it"]
fn a_device_that_is_killed() {
    let (Ok(name), Ok(folder)) = (std::env::var(PERSON), std::env::var(FOLDER)) else { return };
    service::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let why = runtime.block_on(live(&name, Path::new(&folder)));
    tell(format_args!("over {why}"));
}

/// Until the seat ends.
async fn live(name: &str, folder: &Path) -> String {
    let key = VaultKey::KeyFile(folder.join("device.key"));
    let vault = match Vault::open(&folder.join(name), &key) {
        Ok(vault) => vault,
        Err(error) => return format!("vault: {error}"),
    };
    let profile = Directions::read(&folder.join("dev")).unwrap().profile(name).unwrap();
    let (device, _invitations) = match Device::open(profile, vault).await {
        Ok(opened) => opened,
        Err(error) => return format!("device: {error}"),
    };
    let (conference, events) = match device.join(&ROOM.parse().unwrap(), Level::Sealed).await {
        Ok(joined) => joined,
        Err(error) => return format!("join: {error}"),
    };
    let (inbox, here) = (device.inbox(), Here { name, folder });
    tokio::select! {
        why = listen(&conference, events) => why,
        why = talk(&conference, here) => why,
        why = read(inbox) => why,
        why = write(&device, here) => why,
        why = leave(&device, here) => why,
        why = fetch(&device, here) => why,
    }
}

#[derive(Clone, Copy)]
struct Here<'a> {
    name: &'a str,
    folder: &'a Path,
}

impl Here<'_> {
    /// Waits a while, and then as long as nobody says anything new.
    async fn turn(self, rng: &mut StdRng, millis: std::ops::Range<u64>) {
        tokio::time::sleep(Duration::from_millis(rng.random_range(millis))).await;
        while self.folder.join(QUIET).exists() {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn somebody(self, rng: &mut StdRng) -> &'static str {
        let others: Vec<_> = PEOPLE.iter().filter(|other| **other != self.name).collect();
        others.choose(rng).unwrap()
    }

    /// A folder of this person's, whatever was left there by an earlier life.
    fn place(self, name: &str) -> PathBuf {
        self.folder.join(format!("{}-{name}", self.name))
    }
}

fn aor(name: &str) -> Aor {
    format!("sip:{name}@localhost").parse().unwrap()
}

/// Octets that nobody has by chance, by their name.
fn content(name: &str, octets: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(octets + 32);
    while all.len() < octets {
        all.extend(Sha256::digest(format!("{name}/{}", all.len())));
    }
    all.truncate(octets);
    all
}

/// A text that begins with its name, mostly a short one; each fifth goes in many pieces, and not by a page.
fn text(name: &str, rng: &mut StdRng) -> Bytes {
    let octets = if rng.random_ratio(1, 5) { rng.random_range(1_000..25_000) } else { 0 };
    format!("{name} {octets} {}", hex::encode(content(name, octets))).into()
}

/// What is to be told of a text: its name, if all of it is there.
fn name_of(body: &[u8]) -> Option<String> {
    let text = str::from_utf8(body).ok()?;
    let [name, octets, rest] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    (rest == hex::encode(content(name, octets.parse().ok()?))).then(|| name.to_owned())
}

fn heard(id: &str, body: &[u8]) {
    match name_of(body) {
        Some(name) => tell(format_args!("heard {id} {name}")),
        None => tell(format_args!("wrong {id} was changed on its way")),
    }
}

async fn listen(conference: &Conference, mut events: Events) -> String {
    while let Some(event) = events.next().await {
        let standing = conference.status();
        if standing.members > 0 {
            let group = hex::encode(&standing.authenticator);
            tell(format_args!("epoch {}/{} {group}", standing.era.0, standing.epoch.0));
        }
        match event {
            Event::Message(message) => heard(&message.id, &message.body),
            Event::Unreadable { why } => tell(format_args!("unreadable {why}")),
            Event::Missed { since, until } => tell(format_args!("missed {since:?} {until:?}")),
            Event::Ended { reason, .. } => return format!("ended: {reason}"),
            _ => {}
        }
    }
    "no more events".to_owned()
}

async fn talk(conference: &Conference, here: Here<'_>) -> String {
    let mut rng = StdRng::seed_from_u64(rand::random());
    loop {
        here.turn(&mut rng, 20..200).await;
        let name = format!("{}-{:016x}", here.name, rng.random::<u64>());
        match conference.send("text/plain", text(&name, &mut rng)).await {
            Ok(id) => tell(format_args!("said {id}")),
            Err(error) => tell(format_args!("unsaid {error}")),
        }
    }
}

/// What is sealed for one person, outside of the room.
async fn read(mut inbox: Inbox) -> String {
    while let Some(arrival) = inbox.next().await {
        match arrival {
            Arrival::Letter(letter) => heard(&letter.message.id, &letter.message.body),
            Arrival::Unreadable { why, .. } => tell(format_args!("unreadable letter: {why}")),
            _ => {}
        }
    }
    "no more letters".to_owned()
}

async fn write(device: &Device, here: Here<'_>) -> String {
    let mut rng = StdRng::seed_from_u64(rand::random());
    loop {
        here.turn(&mut rng, 100..1_000).await;
        let to = here.somebody(&mut rng);
        let name = format!("{}-{to}-{:016x}", here.name, rng.random::<u64>());
        let body = text(&name, &mut rng);
        match device.write(&[aor(to)], Manner::default(), "text/plain", body).await {
            Ok(Sent { id: Some(id), taken, .. }) if taken != Taken::Accepted => {
                tell(format_args!("wrote {to} {id}"));
            }
            Ok(sent) => tell(format_args!("unwritten: {:?}", sent.taken)),
            Err(error) => tell(format_args!("unwritten: {error}")),
        }
    }
}

/// Leaves files in others' mailboxes, and tells them the keys.
async fn leave(device: &Device, here: Here<'_>) -> String {
    let mut rng = StdRng::seed_from_u64(rand::random());
    loop {
        here.turn(&mut rng, 100..1_500).await;
        let to = here.somebody(&mut rng);
        let octets = rng.random_range(1..500_000);
        let name = format!("{}-{to}-{:016x}-{octets}", here.name, rng.random::<u64>());
        match leave_one(device, here, (to, &name), octets).await {
            Ok(()) => tell(format_args!("left {to} {name}")),
            Err(why) => tell(format_args!("not left: {why}")),
        }
    }
}

async fn leave_one(
    device: &Device,
    here: Here<'_>,
    (to, name): (&str, &str),
    octets: usize,
) -> Result<(), String> {
    let folder = here.place("outgoing");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, content(name, octets)).unwrap();
    let sealed = SealedFile::new(&path, "application/octet-stream", &folder).await;
    std::fs::remove_file(&path).unwrap();
    let sealed = sealed.map_err(|error| error.to_string())?;
    let mut leaving =
        device.leave_sealed(&aor(to), &sealed).await.map_err(|error| error.to_string())?;
    leaving.finished().await.map_err(|error| error.to_string())?;
    let telling = device.announce_to(&aor(to), &sealed).await.map_err(|error| error.to_string())?;
    match telling.done().await {
        Ok(Sent { taken, .. }) if taken != Taken::Accepted => Ok(()),
        Ok(sent) => Err(format!("{:?}", sent.taken)),
        Err(error) => Err(error.to_string()),
    }
}

/// Fetches what was left for this person, also what an earlier life heard of.
async fn fetch(device: &Device, here: Here<'_>) -> String {
    let into = Folder::new(here.place("fetched"));
    let unfetched = device.unfetched();
    loop {
        for file in unfetched.all() {
            match fetch_one(device, &file, &into).await {
                Ok(octets) if is_whole(&file.name, &octets) => {
                    tell(format_args!("heard {} {}", file.name, file.name));
                    unfetched.forget(&file);
                }
                Ok(octets) => {
                    tell(format_args!("wrong {} has {} octets", file.name, octets.len()));
                    unfetched.forget(&file);
                }
                Err(why) => tell(format_args!("unfetched {}: {why}", file.name)),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn fetch_one(device: &Device, file: &Announced, into: &Folder) -> Result<Vec<u8>, String> {
    let fetching = device.fetch_announced(file, into).await;
    let arrived = fetching.map_err(|error| error.to_string())?.finished().await;
    let path = arrived.map_err(|error| error.to_string())?.path.unwrap();
    let opened = file.open(path, into).await.map_err(|error| error.to_string())?;
    let octets = std::fs::read(&opened).unwrap();
    std::fs::remove_file(opened).unwrap();
    Ok(octets)
}

fn is_whole(name: &str, octets: &[u8]) -> bool {
    let wanted = name.rsplit_once('-').and_then(|(_, octets)| octets.parse().ok());
    wanted.is_some_and(|wanted: usize| octets == content(name, wanted))
}
