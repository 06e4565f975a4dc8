//! An old copy of the database, put back by hand: the members are ahead of what the focus knows, and so may the relay be.
//! What happens to a backup that is put back as it should be is tested in `mrfc::desk`.
use std::path::PathBuf;
use std::time::Duration;

use client::{Device, Event, Invitations, Level};
use conclave::system::Directions;
use ids::{Aor, ConferenceId, Era};
use tokio::time::timeout;

use crate::servers::{Server, settle};
use crate::{Seat, soon};

/// A device whose focus was not there twice waits for up to half a minute before it tries again, and then for longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two tries.
const LOOK: Duration = Duration::from_millis(20);

/// Both servers, and what the database of the focus is copied to.
struct House {
    relay: Server,
    focus: Server,
    directions: Directions,
    folder: tempfile::TempDir,
}

pub(super) struct Guest {
    pub(super) aor: Aor,
    pub(super) device: Device,
    pub(super) _invitations: Invitations,
}

impl House {
    fn open(acknowledge: &str) -> Self {
        service::tls::install_provider();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev");
        let [mut relay, mut focus] = settle(&path);
        focus.set("MRFC_CONFERENCES__ACKNOWLEDGE", acknowledge);
        relay.start();
        focus.start();
        let directions = Directions::read(&path).unwrap();
        Self { relay, focus, directions, folder }
    }

    fn files(&self, of: &str) -> [(PathBuf, PathBuf); 3] {
        let name = |ending| format!("mrfc.sqlite{ending}");
        let (dev, to) = (self.folder.path().join("dev"), self.folder.path().join(of));
        ["", "-wal", "-shm"].map(|ending| (dev.join(name(ending)), to.join(name(ending))))
    }

    /// As an operator does it who has not read the manual.
    fn copy(&self) {
        std::fs::create_dir(self.folder.path().join("copy")).unwrap();
        for (file, copy) in self.files("copy") {
            if file.exists() {
                std::fs::copy(file, copy).unwrap();
            }
        }
    }

    fn put_back(&self) {
        for (file, copy) in self.files("copy") {
            if copy.exists() {
                std::fs::copy(copy, file).unwrap();
            } else if file.exists() {
                std::fs::remove_file(file).unwrap();
            }
        }
    }

    async fn guest(&self, user: &str) -> Guest {
        let profile = self.directions.profile(user).unwrap();
        let aor = profile.aor.clone();
        let (device, _invitations) = soon(Device::start(profile)).await.unwrap();
        Guest { aor, device, _invitations }
    }
}

/// Comes in, as soon as the focus is there again.
pub(super) async fn join(guest: &Guest, room: &ConferenceId) -> Seat {
    let come = async {
        loop {
            match guest.device.join(room, Level::Sealed).await {
                Ok(joined) => return Seat::of(joined),
                Err(_not_yet) => tokio::time::sleep(LOOK).await,
            }
        }
    };
    timeout(PATIENCE, Box::pin(come)).await.expect("the focus is there again")
}

/// Waits until so many hold the key of a group that is newer than this.
async fn newer(seat: &mut Seat, than: Era, members: usize) {
    let stands = async {
        loop {
            let standing = seat.conference.status();
            if standing.era > than && standing.members == members {
                return;
            }
            // What it stands at may be told before it does.
            if let Ok(None) = timeout(LOOK, seat.events.next()).await {
                panic!("the conference is over");
            }
        }
    };
    soon(stands).await;
}

/// Waits until all of them hold the same key. Whoever enters by itself misses what is said before, and hears so.
async fn together(seats: [&Seat; 3]) {
    let at = |seat: &Seat| (seat.conference.status().era, seat.conference.status().epoch);
    let agree = async {
        loop {
            let [one, two, three] = [at(seats[0]), at(seats[1]), at(seats[2])];
            if one == two && two == three {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    soon(agree).await;
}

/// Everybody says something that all others hear.
async fn talk(people: &mut [(&Guest, &mut Seat)]) {
    for speaker in 0..people.len() {
        let (guest, seat) = people.get(speaker).unwrap();
        let (from, text) = (guest.aor.clone(), ["one", "two", "three"].get(speaker).unwrap());
        seat.say(text).await;
        let others = people.iter_mut().enumerate().filter(|(listener, _)| *listener != speaker);
        for (_, (_, seat)) in others {
            let heard = |event| match event {
                Event::Message(message) => Some(message),
                _ => None,
            };
            // On the way here something was unreadable: the old group.
            let message = seat.until(heard).await;
            assert_eq!((&message.from, &message.body[..]), (&from, text.as_bytes()));
        }
    }
}

/// What becomes of the relay while the file is put back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relay {
    Stays,
    Restarts,
}

/// Alice and Bob have been in a room, whose database is copied then.
async fn copied(acknowledge: &str) -> (House, [Guest; 3]) {
    let mut house = House::open(acknowledge);
    let room = room();
    let (alice, bob, carol) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("carol").await);
    let mut chair = join(&alice, &room).await;
    chair.entered().await;
    let mut seat = join(&bob, &room).await;
    newer(&mut chair, Era(0), 2).await;
    newer(&mut seat, Era(0), 2).await;
    talk(&mut [(&alice, &mut chair), (&bob, &mut seat)]).await;
    away([chair, seat]).await;
    house.focus.stop();
    house.copy();
    house.focus.start();
    (house, [alice, bob, carol])
}

/// A flow that is lost ends the calls on it; whoever is away beforehand comes back sooner.
async fn away(seats: impl IntoIterator<Item = Seat>) {
    for seat in seats {
        soon(seat.conference.away()).await;
    }
}

fn room() -> ConferenceId {
    "ahead".parse().unwrap()
}

/// What the copy knows nothing of.
async fn go_on(house: &House, carol: &Guest, [chair, seat]: [&mut Seat; 2]) -> Seat {
    for _ in 0..2 {
        let guest = house.guest("carol").await;
        let mut third = join(&guest, &room()).await;
        third.entered().await;
        newer(chair, Era(0), 3).await;
        soon(third.conference.leave()).await.unwrap();
        newer(chair, Era(0), 2).await;
        guest.device.stop().await;
    }
    let mut third = join(carol, &room()).await;
    third.entered().await;
    for seat in [chair, seat, &mut third] {
        newer(seat, Era(0), 3).await;
    }
    third
}

async fn an_old_copy_comes_back(acknowledge: &str, relay: Relay) {
    let (mut house, [alice, bob, carol]) = copied(acknowledge).await;
    let (mut chair, mut seat) = (join(&alice, &room()).await, join(&bob, &room()).await);
    let mut third = go_on(&house, &carol, [&mut chair, &mut seat]).await;
    talk(&mut [(&alice, &mut chair), (&bob, &mut seat), (&carol, &mut third)]).await;
    let era = chair.conference.status().era;
    away([chair, seat, third]).await;

    house.focus.stop();
    if relay == Relay::Restarts {
        house.relay.kill();
    }
    house.put_back();
    if relay == Relay::Restarts {
        house.relay.start();
    }
    house.focus.start();
    let (mut chair, mut seat) = (join(&alice, &room()).await, join(&bob, &room()).await);
    let mut third = join(&carol, &room()).await;

    for seat in [&mut chair, &mut seat, &mut third] {
        newer(seat, era, 3).await;
    }
    together([&chair, &seat, &third]).await;
    talk(&mut [(&alice, &mut chair), (&bob, &mut seat), (&carol, &mut third)]).await;
    // The operator is told, once.
    assert_eq!(house.focus.warnings().matches("this database is an old copy").count(), 1);
}

#[tokio::test]
async fn who_is_ahead_of_an_old_copy_of_the_database_talks_on_in_a_new_group() {
    an_old_copy_comes_back("relayed", Relay::Restarts).await;
}

#[tokio::test]
async fn who_is_ahead_of_an_old_copy_talks_on_also_where_the_relay_is_ahead_too() {
    an_old_copy_comes_back("relayed", Relay::Stays).await;
}

#[tokio::test]
async fn f12_who_is_ahead_of_an_old_copy_talks_on_where_messages_are_stored() {
    an_old_copy_comes_back("stored", Relay::Restarts).await;
}

#[tokio::test]
async fn f12_who_is_ahead_of_an_old_copy_talks_on_where_messages_are_stored_and_the_relay_is_ahead()
{
    an_old_copy_comes_back("stored", Relay::Stays).await;
}
