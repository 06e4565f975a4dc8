//! The focus with its database on a PostgreSQL server instead of in a file: what it has answered for is there when it was
//! killed and started again.
use bytes::Bytes;
use client::{Device, Taken};
use conclave::system::Directions;
use ids::ConferenceId;
use sha2::{Digest as _, Sha256};

use crate::ahead::{Guest, join};
use crate::deferred::{message, noise, of};
use crate::servers::{Server, settle};
use crate::{database, soon};

/// Both servers; nothing of what they keep is in the folder.
struct House {
    relay: Server,
    focus: Server,
    directions: Directions,
    _folder: tempfile::TempDir,
}

impl House {
    /// None where there is no PostgreSQL.
    async fn open() -> Option<Self> {
        let url = database::database().await?;
        service::tls::install_provider();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev");
        let [mut relay, mut focus] = settle(&path);
        for file in ["mrfc.sqlite", "mrfc.sqlite-wal", "mrfc.sqlite-shm"] {
            std::fs::remove_file(path.join(file)).ok();
        }
        focus.set("MRFC_STORE__PATH", "");
        focus.set("MRFC_STORE__URL", &url);
        // Whoever follows one that was killed waits for so long.
        focus.set("MRFC_STORE__LEASE_SECS", "5");
        relay.start();
        focus.start();
        assert!(!path.join("mrfc.sqlite").exists(), "it has a file all the same");
        let directions = Directions::read(&path).unwrap();
        Some(Self { relay, focus, directions, _folder: folder })
    }

    /// The relay as well: what comes after this comes from the database.
    fn is_killed_and_started_again(&mut self) {
        self.focus.kill();
        self.relay.kill();
        self.relay.start();
        self.focus.start();
    }

    async fn guest(&self, user: &str) -> Guest {
        let profile = self.directions.profile(user).unwrap();
        let aor = profile.aor.clone();
        let (device, _invitations) = soon(Device::start(profile)).await.unwrap();
        Guest { aor, device, _invitations }
    }
}

#[tokio::test]
async fn f12_who_was_away_hears_all_of_a_stored_room_once_after_a_focus_on_postgresql_was_killed() {
    let Some(mut house) = House::open().await else { return };
    let room: ConferenceId = "away".parse().unwrap();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut chair = join(&alice, &room).await;
    chair.entered().await;
    let mut seat = join(&bob, &room).await;
    seat.entered().await;
    chair.are(2).await;
    chair.say("before").await;
    seat.hears(&alice.aor, "before").await;
    soon(seat.conference.away()).await;
    let said = ["one", "two", "three", "four", "five"];
    for text in said {
        chair.say(text).await;
    }
    soon(chair.conference.away()).await;

    house.is_killed_and_started_again();

    let mut seat = join(&bob, &room).await;
    for text in said {
        seat.hears(&alice.aor, text).await;
    }
    // What is next is new, both ways.
    let mut chair = join(&alice, &room).await;
    chair.say("after").await;
    seat.hears(&alice.aor, "after").await;
    seat.say("I have it all").await;
    chair.hears(&bob.aor, "I have it all").await;
}

#[tokio::test]
async fn f12_a_message_for_somebody_away_waits_on_postgresql_and_comes_once_octet_for_octet() {
    let Some(mut house) = House::open().await else { return };
    let alice = house.guest("alice").await;
    let mut sent = Vec::new();
    for (kind, body) in
        [("text/plain", Bytes::from_static(b"at nine")), ("image/png", noise(60_000))]
    {
        let digest = Sha256::digest(&body);
        let taken = soon(alice.device.message(&of("bob"), kind, body)).await.unwrap();
        assert_eq!(taken.0, Taken::Stored);
        sent.push((kind, digest));
    }

    house.is_killed_and_started_again();

    let bob = house.guest("bob").await;
    let mut inbox = bob.device.inbox();
    for (kind, digest) in sent {
        let late = message(&mut inbox).await;
        assert_eq!((&late.from, late.content_type.as_str()), (&alice.aor, kind));
        assert_eq!(Sha256::digest(&late.body), digest, "{kind}");
        assert!(late.late.is_some());
    }
    let carol = house.guest("carol").await;
    soon(carol.device.message(&bob.aor, "text/plain", "now".into())).await.unwrap();
    let live = message(&mut inbox).await;
    assert_eq!((&live.body[..], live.late), (&b"now"[..], None));
}
