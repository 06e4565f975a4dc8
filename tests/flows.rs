//! The call flows of the system, each from end to end: both servers as processes, real sockets, and client devices that
//! register, hold keys and talk. `f6` is flow 6. What each message of a flow looks like is tested where it is decided
//! (`mrfc/tests/front`, `mrfp/tests`); here only what the people see counts.
#![expect(clippy::unwrap_used, reason = "a test whose system does not start should fail")]
#[path = "flows/ahead.rs"]
mod ahead;
#[path = "flows/anonymous.rs"]
mod anonymous;
#[path = "flows/away.rs"]
mod away;
#[path = "flows/begun.rs"]
mod begun;
#[path = "flows/bucket.rs"]
mod bucket;
#[path = "flows/calling.rs"]
mod calling;
#[path = "../src/canary.rs"]
mod canary;
#[path = "flows/circles.rs"]
mod circles;
#[expect(dead_code, reason = "the lines that other tests say to a command")]
mod common;
#[path = "../common/store/tests/engines/server.rs"]
mod database;
#[path = "flows/deferred.rs"]
mod deferred;
#[path = "flows/devices.rs"]
mod devices;
#[path = "flows/dying.rs"]
mod dying;
#[path = "flows/elsewhere.rs"]
mod elsewhere;
#[path = "flows/ending.rs"]
mod ending;
#[path = "flows/files.rs"]
mod files;
#[path = "flows/full.rs"]
mod full;
#[path = "flows/keys.rs"]
mod keys;
#[path = "flows/killed.rs"]
mod killed;
#[path = "flows/killing.rs"]
mod killing;
#[path = "flows/large.rs"]
mod large;
#[path = "flows/left.rs"]
mod left;
#[path = "flows/losing.rs"]
mod losing;
#[path = "flows/lying.rs"]
mod lying;
#[path = "flows/media.rs"]
mod media;
#[path = "flows/messages.rs"]
mod messages;
#[path = "../common/blobs/tests/blobs/moto.rs"]
mod moto;
#[path = "flows/packages.rs"]
mod packages;
#[path = "common/picture.rs"]
mod picture;
#[path = "flows/postgres.rs"]
mod postgres;
#[path = "flows/postgres_full.rs"]
mod postgres_full;
#[path = "flows/private.rs"]
mod private;
#[path = "flows/renewing.rs"]
mod renewing;
#[path = "flows/sealed.rs"]
mod sealed;
#[path = "flows/secrets.rs"]
mod secrets;
#[path = "flows/servers.rs"]
mod servers;
#[path = "flows/web.rs"]
mod web;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use client::{
    Conference, Device, Entry, Error, Event, Events, Invitations, Level, Limits, Profile,
};
use common::Talk;
use conclave::system::Directions;
use ids::Aor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// The longest anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running system; it ends with the test.
struct House {
    dev: Talk,
    directions: Directions,
    /// Where the focus and the relay show their figures.
    focus: SocketAddr,
    relay: SocketAddr,
    folder: tempfile::TempDir,
}

impl House {
    fn open() -> Self {
        Self::with(&[])
    }

    /// The same where the focus has these settings, each by its variable.
    fn with(settings: &[(&str, &str)]) -> Self {
        service::tls::install_provider();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev");
        let arguments = ["dev", "--sip", "127.0.0.1:0", "--folder", &path.display().to_string()];
        let mut dev = Talk::start_with(&arguments, settings);
        let [focus, relay] = ["mrfc", "mrfp"].map(|server| {
            let line = dev.until(&format!("{server}    metrics http://"));
            line.split('/').nth(2).unwrap().parse().unwrap()
        });
        dev.until("ready in");
        Self { dev, directions: Directions::read(&path).unwrap(), focus, relay, folder }
    }

    /// The process of a server: a child of the command that runs the system.
    fn process(&self, server: &str) -> u32 {
        let dev = self.dev.child.id();
        // Whichever of its threads has started it.
        let threads = std::fs::read_dir(format!("/proc/{dev}/task")).unwrap();
        let threads = threads.map(|thread| thread.unwrap().path().join("children"));
        let children: String = threads.map(|of| std::fs::read_to_string(of).unwrap()).collect();
        let is_server = |id: &u32| {
            let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(server)
        };
        let mut children = children.split_whitespace().map(|id| id.parse().unwrap());
        children.find(is_server).expect("a server of this name among the children")
    }

    /// What an operator types; it has to work.
    fn operate(&self, words: &[&str]) {
        let profile = self.folder.path().join("dev/operator.toml");
        let mut command = std::process::Command::new(common::CONCLAVE);
        let output = command.args(words).arg("--profile").arg(profile).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A figure of the relay, over all its labels or with these; 0 before there was anything to count.
    async fn relayed(&self, name: &str) -> f64 {
        figure(self.relay, |labelled| labelled == name || labelled.split('{').next() == Some(name))
            .await
    }

    /// A figure of the focus, over all its labels that have this one.
    async fn decided(&self, name: &str, label: &str) -> f64 {
        figure(self.focus, |labelled| labelled.starts_with(name) && labelled.contains(label)).await
    }

    /// A new device of a user, registered.
    async fn guest(&self, user: &str) -> Guest {
        self.guest_with(user, Limits::default()).await
    }

    async fn guest_with(&self, user: &str, limits: Limits) -> Guest {
        let profile = Profile { limits, ..self.directions.profile(user).unwrap() };
        let aor = profile.aor.clone();
        let (device, invitations) = soon(Device::start(profile.clone())).await.unwrap();
        Guest { aor, profile, device, invitations }
    }
}

/// The sum of a server's figures whose names, with their labels, are these.
async fn figure(server: SocketAddr, is: impl Fn(&str) -> bool) -> f64 {
    let mut stream = tokio::net::TcpStream::connect(server).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    // A label may have a blank.
    let figures = text.lines().filter_map(|line| line.rsplit_once(' '));
    let wanted = figures.filter(|(labelled, _)| is(labelled));
    wanted.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

struct Guest {
    aor: Aor,
    profile: Profile,
    device: Device,
    invitations: Invitations,
}

impl Guest {
    async fn create(&self) -> Seat {
        Seat::of(soon(self.device.create(Level::Sealed)).await.unwrap())
    }

    /// Joins and holds the group key.
    async fn join(&self, conference: &Conference) -> Seat {
        let mut seat =
            Seat::of(soon(self.device.join(conference.id(), Level::Sealed)).await.unwrap());
        seat.entered().await;
        seat
    }

    async fn invited(&mut self) -> Seat {
        Seat::of(soon(self.invitations.next()).await.unwrap())
    }
}

/// A place in a conference, with what is told there.
struct Seat {
    conference: Conference,
    events: Events,
}

impl Seat {
    fn of((conference, events): (Conference, Events)) -> Self {
        Self { conference, events }
    }

    /// The first event of which `wanted` makes something. `Ended` comes before its time only in a test that fails.
    async fn until<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        soon(async {
            loop {
                let event = self.events.next().await.expect("the conference goes on");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        })
        .await
    }

    async fn entered(&mut self) -> Entry {
        let by = |event| if let Event::Entered { by, .. } = event { Some(by) } else { None };
        self.until(by).await
    }

    async fn say(&self, text: &'static str) -> String {
        soon(self.conference.send("text/plain", Bytes::from_static(text.as_bytes()))).await.unwrap()
    }

    /// Waits for this text, from this person. Every other message before it is a failure.
    async fn hears(&mut self, from: &Aor, text: &str) -> client::Message {
        let message = |event| match event {
            Event::Message(message) => Some(message),
            Event::Unreadable { why } | Event::Refused { why } => panic!("unreadable: {why}"),
            _ => None,
        };
        let message = self.until(message).await;
        assert_eq!((&message.from, &message.body[..]), (from, text.as_bytes()));
        message
    }

    async fn added(&mut self, who: &Aor) {
        self.until(|event| match event {
            Event::Advanced { added, .. } if added.iter().any(|(aor, _)| aor == who) => Some(()),
            _ => None,
        })
        .await;
    }

    /// Waits until so many devices hold the group key, as far as this one knows. What it says from then on all of them
    /// hear; before that, who has come in meanwhile does not.
    async fn are(&mut self, devices: usize) {
        soon(async {
            while self.conference.status().members != devices {
                self.events.next().await.expect("the conference goes on");
            }
        })
        .await;
    }

    async fn removed(&mut self, who: &Aor) {
        self.until(|event| match event {
            Event::Advanced { removed, .. } if removed.iter().any(|(aor, _)| aor == who) => {
                Some(())
            }
            _ => None,
        })
        .await;
    }

    async fn ended(&mut self) -> String {
        self.until(|event| if let Event::Ended { reason } = event { Some(reason) } else { None })
            .await
    }
}

/// What comes within our patience. On the heap: what a device does is large.
fn soon<'a, T>(what: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(async move { timeout(PATIENCE, what).await.expect("it takes too long") })
}

/// Alice's new conference, and Bob in it.
async fn two(house: &House) -> (Guest, Seat, Guest, Seat) {
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut chair = alice.create().await;
    chair.entered().await;
    let seat = bob.join(&chair.conference).await;
    chair.added(&bob.aor).await;
    (alice, chair, bob, seat)
}

/// S2-NR3, S2-OR5.
#[tokio::test]
async fn f0_each_device_of_a_person_registers_for_itself_and_one_leaving_leaves_the_other() {
    let house = House::open();
    let (mut first, second) = (house.guest("alice").await, house.guest("alice").await);
    let bob = house.guest("bob").await;
    let mut chair = bob.create().await;
    chair.entered().await;

    second.device.stop().await;
    soon(chair.conference.invite(&first.aor)).await.unwrap();
    let mut seat = first.invited().await;

    seat.entered().await;
    chair.are(2).await;
    chair.say("one of you is enough").await;
    seat.hears(&bob.aor, "one of you is enough").await;
}

#[tokio::test]
async fn f1_the_factory_gives_a_new_conference_and_its_creator_holds_the_first_key() {
    let house = House::open();
    let alice = house.guest("alice").await;

    let (mut one, other) = (alice.create().await, alice.create().await);

    assert_eq!(one.entered().await, Entry::Created);
    assert_ne!(one.conference.id(), other.conference.id());
}

/// S3-43.
#[tokio::test]
async fn f2_who_joins_by_the_conference_uri_is_let_in_by_a_member_and_both_talk() {
    let house = House::open();
    let (alice, mut chair, bob, mut seat) = two(&house).await;

    chair.say("welcome").await;
    seat.hears(&alice.aor, "welcome").await;
    seat.say("thank you").await;
    chair.hears(&bob.aor, "thank you").await;
    let nobody = "no-such-room".parse().unwrap();
    // On a system made by `dev` a name makes a conference: whoever calls it first is its creator.
    let mut named = Seat::of(soon(bob.device.join(&nobody, Level::Sealed)).await.unwrap());
    assert_eq!(named.entered().await, Entry::Created);
}

#[tokio::test]
async fn f3_everybody_on_the_list_of_a_new_conference_is_called_and_holds_its_key() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let (mut bob, mut carol) = (house.guest("bob").await, house.guest("carol").await);

    // Twice on the list is called once.
    let guests = [bob.aor.clone(), carol.aor.clone(), bob.aor.clone()];
    let mut chair = Seat::of(soon(alice.device.create_with(Level::Sealed, &guests)).await.unwrap());

    let (mut one, mut other) = (bob.invited().await, carol.invited().await);
    one.entered().await;
    other.entered().await;
    assert_eq!(one.conference.id(), chair.conference.id());
    one.are(3).await;
    one.say("all of us are here").await;
    chair.hears(&bob.aor, "all of us are here").await;
    other.hears(&bob.aor, "all of us are here").await;
}

/// S3-44.
#[tokio::test]
async fn f4_and_f5_a_referral_makes_the_focus_call_every_device_of_the_invited() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let (mut phone, mut tablet) = (house.guest("carol").await, house.guest("carol").await);
    let mut chair = alice.create().await;
    chair.entered().await;

    soon(chair.conference.invite(&phone.aor)).await.unwrap();
    let (mut one, mut other) = (phone.invited().await, tablet.invited().await);
    one.entered().await;
    other.entered().await;

    chair.are(3).await;
    let id = chair.say("to all of you").await;
    assert_eq!(one.hears(&alice.aor, "to all of you").await.id, id);
    assert_eq!(other.hears(&alice.aor, "to all of you").await.id, id);
}

/// S3-39, S3-41.
#[tokio::test]
async fn f6_a_message_reaches_everybody_else_once_and_in_order() {
    let house = House::open();
    let (alice, mut chair, _bob, mut seat) = two(&house).await;
    let carol = house.guest("carol").await;
    let mut third = carol.join(&chair.conference).await;
    chair.are(3).await;

    for text in ["first", "second", "third"] {
        chair.say(text).await;
    }

    for text in ["first", "second", "third"] {
        let (one, other) =
            (seat.hears(&alice.aor, text).await, third.hears(&alice.aor, text).await);
        assert_eq!(one.id, other.id);
        assert_eq!(one.content_type, "text/plain");
    }
}

#[tokio::test]
async fn f6c_a_nickname_is_one_persons_and_free_again_when_given_back() {
    let house = House::open();
    let (_alice, chair, _bob, seat) = two(&house).await;

    soon(chair.conference.nickname("Blue Jay")).await.unwrap();
    let taken = soon(seat.conference.nickname("blue jay")).await;
    assert!(matches!(taken, Err(Error::Refused { status: 425, .. })), "{taken:?}");
    soon(seat.conference.nickname("Robin")).await.unwrap();
}

#[tokio::test]
async fn f7_who_leaves_is_out_of_the_group_and_the_others_talk_on_without_them() {
    let house = House::open();
    let (_alice, mut chair, bob, seat) = two(&house).await;
    let carol = house.guest("carol").await;
    let third = carol.join(&chair.conference).await;
    chair.added(&carol.aor).await;

    soon(seat.conference.leave()).await.unwrap();

    chair.removed(&bob.aor).await;
    third.say("he is gone").await;
    chair.hears(&carol.aor, "he is gone").await;
}

#[tokio::test]
async fn f8_who_is_kicked_is_told_and_reads_nothing_more_and_only_a_moderator_may() {
    let house = House::open();
    let (alice, mut chair, bob, mut seat) = two(&house).await;
    let mut tap = seat.conference.tap();

    let refused = soon(seat.conference.kick(&alice.aor)).await;
    assert!(matches!(refused, Err(Error::Refused { status: 403, .. })), "{refused:?}");
    soon(chair.conference.kick(&bob.aor)).await.unwrap();

    seat.ended().await;
    chair.removed(&bob.aor).await;
    tap.drain();
    chair.say("now we can talk").await;
    assert!(tap.drain().is_empty(), "something was still sent to who was kicked");
}

/// S3-18.
#[tokio::test]
async fn f14_a_file_reaches_everybody_in_the_room_byte_for_byte() {
    let house = House::open();
    let (alice, chair, _bob, mut seat) = two(&house).await;
    let content: Bytes = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();

    let shared = chair.conference.send_file("picture.jpg", "image/jpeg", content.clone());
    soon(shared).await.unwrap();

    let file = |event| if let Event::File(file) = event { Some(file) } else { None };
    let file = seat.until(file).await;
    assert_eq!((file.from, file.name.as_str()), (alice.aor, "picture.jpg"));
    assert!(file.content == content, "the file arrived changed");
}
