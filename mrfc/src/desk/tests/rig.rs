//! A focus without a front: a store in a temporary folder, desks, one relay, and devices with real keys.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use control::{RoomNotice, RoomOrder};
use ids::{Aor, ConferenceId, DeviceId, SeatId};
use mls::identity::{DeviceKey, Issuer, request};
use mls::member::{Keyring, Member};
use mls::wire::{self, Bundle, CommitRequest, CommitResult, DeviceName, WelcomeDelivery};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use service::tls::{self, DevCa};
use store::maintenance::{Force, backup, restore};
use store::{Location, NewKeyPackage, Store};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::relay::{FakeRelay, Habits, PATIENCE};
use crate::conference::{Came, Nickname, NicknamePolicy, Shown};
use crate::config::Level;
use crate::desk::{
    DeskLimits, DeskParts, Desks, End, Joiner, NewConference, Refusal, SeatGiven, SipEffect,
};
use crate::relays::{Logins, RelayAt, RelayParts, Relays};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn aor(person: &str) -> Aor {
    format!("sip:{person}@example.net").parse().unwrap()
}

pub(super) fn room7() -> ConferenceId {
    "room7".parse().unwrap()
}

pub(super) struct Rig {
    dir: TempDir,
    pub(super) store: Store,
    pub(super) ca: DevCa,
    pub(super) relay: FakeRelay,
    pub(super) desks: Desks,
    pub(super) sip: mpsc::Receiver<SipEffect>,
    pub(super) limits: DeskLimits,
    issuer: Issuer,
    rng: StdRng,
    devices: BTreeMap<String, Device>,
}

struct Device {
    name: DeviceName,
    keyring: Keyring,
    seat: SeatId,
    founding: Option<Member>,
    member: Option<Member>,
}

/// What came to a device.
#[derive(Debug)]
pub(super) enum Delivered {
    Request(CommitRequest),
    Result(CommitResult),
    Welcome(WelcomeDelivery),
    Mls(Bytes),
}

impl Rig {
    pub(super) async fn new() -> Self {
        Self::with(DeskLimits::default(), Habits::default()).await
    }

    pub(super) async fn with(limits: DeskLimits, habits: Habits) -> Self {
        tls::install_provider();
        let (dir, now) = (tempfile::tempdir().unwrap(), service::clock::wall());
        let store = Store::open(&dir.path().join("mrfc.sqlite")).await.unwrap();
        let mut rng = StdRng::seed_from_u64(7);
        let issuer = Issuer::generate(&mut rng, "devices", now - DAY, 400 * DAY).unwrap();
        let ca = DevCa::new("control", now).unwrap();
        let relay = FakeRelay::start(&ca, habits);
        let (desks, sip) = open(&store, &ca, &issuer, relay.address, limits).await;
        let devices = BTreeMap::new();
        Self { dir, store, ca, relay, desks, sip, limits, issuer, rng, devices }
    }

    /// The focus ends between two steps and starts again on the same file.
    pub(super) async fn restart(&mut self) {
        self.desks.stop().await;
        let (desks, sip) =
            open(&self.store, &self.ca, &self.issuer, self.relay.address, self.limits).await;
        self.desks = desks;
        self.sip = sip;
    }

    /// A backup of the database as it is now.
    pub(super) async fn backup(&self) -> PathBuf {
        let file = self.dir.path().join("backup");
        backup(&self.location(), &file).await.unwrap();
        file
    }

    /// The focus ends, its database is again what it was in a backup, and it starts on that.
    pub(super) async fn put_back(&mut self, backup: &Path) {
        self.desks.stop().await;
        self.store.close().await;
        let now = service::clock::wall();
        restore(backup, &self.location(), Force::Yes, now).await.unwrap();
        self.store = Store::open(&self.location()).await.unwrap();
        self.restart().await;
    }

    fn location(&self) -> Location {
        Location::file(&self.dir.path().join("mrfc.sqlite"))
    }

    /// A second focus on the same file.
    pub(super) async fn another(&self) -> Desks {
        open(&self.store, &self.ca, &self.issuer, self.relay.address, self.limits).await.0
    }

    pub(super) async fn make(&self, level: Level) -> Result<ConferenceId, Refusal> {
        let new = NewConference { id: Some(room7()), creator: aor("alice"), level, standing: None };
        self.desks.create(new).await
    }

    pub(super) fn joiner(&mut self, person: &str) -> Joiner {
        if !self.devices.contains_key(person) {
            let number = self.devices.len();
            let device = format!("urn:uuid:00000000-0000-4000-8000-{number:012}").parse().unwrap();
            let name = DeviceName { aor: aor(person), device };
            let (now, key) = (service::clock::wall(), DeviceKey::generate(&mut self.rng));
            let csr = request(&key, &name).unwrap();
            let from = now - Duration::from_secs(60);
            let certificate = self.issuer.issue(&csr, &name, from, 30 * DAY).unwrap();
            let keyring = Keyring::new(key, &certificate, self.issuer.roots(), now).unwrap();
            let device = Device { name, keyring, seat: SeatId(0), founding: None, member: None };
            self.devices.insert(person.to_owned(), device);
        }
        let DeviceName { aor, device } = self.devices[person].name.clone();
        Joiner {
            identities: vec![aor.to_string()],
            aor,
            device,
            peer_path: Some(String::from("msrps://ue.test:9/s;tcp")),
            end: End { private_messages: true, ..End::default() },
            came: Came::DialedIn,
            shown: Shown::Named,
            mask: DeviceId::random(&mut self.rng),
        }
    }

    pub(super) async fn join(&mut self, person: &str) -> Result<SeatGiven, Refusal> {
        let joiner = self.joiner(person);
        let given = self.desks.join(&room7(), joiner).await?;
        self.devices.get_mut(person).unwrap().seat = given.seat;
        Ok(given)
    }

    pub(super) fn seat(&self, person: &str) -> SeatId {
        self.devices[person].seat
    }

    /// Joins and connects.
    pub(super) async fn arrive(&mut self, person: &str) {
        self.join(person).await.unwrap();
        self.relay.bound(&room7(), self.seat(person));
    }

    /// Leaves one KeyPackage in the directory.
    pub(super) async fn leave_package(&mut self, person: &str) {
        self.joiner(person);
        let device = &self.devices[person];
        let now = service::clock::wall();
        let upload = device.keyring.key_packages(1, false, now, 30 * DAY).unwrap();
        let package = upload.packages[0].clone();
        let reference = package.clone();
        let package = NewKeyPackage { reference, package, expires: now + 20 * DAY };
        let DeviceName { aor, device } = &device.name;
        self.store.put_key_packages(aor, device, vec![package], None, (10, now)).await.unwrap();
    }

    /// What comes next to this person's device alone, but for the question whether it could follow.
    pub(super) async fn told(&mut self, person: &str) -> Delivered {
        let seat = self.seat(person);
        loop {
            let cpim = self.relay.order(|order| match order {
                RoomOrder::Deliver { seat: to, cpim, .. } if *to == seat => Some(cpim.clone()),
                _ => None,
            });
            match delivered(&cpim.await) {
                Delivered::Request(request) if request.reason == wire::Reason::Confirm => {}
                other => return other,
            }
        }
    }

    /// Says what this person's device has found of its epoch.
    pub(super) fn report(&mut self, person: &str) {
        let report = self.member(person).report().to_bytes();
        let handshake = RoomNotice::Handshake {
            seat: self.seat(person),
            message_id: String::from("r"),
            content_type: String::from(wire::EPOCH_REPORT),
            body: report,
        };
        self.relay.notice(&room7(), handshake);
    }

    /// The next gate that comes alone.
    pub(super) async fn gate(&mut self) -> control::Gate {
        let gate = self.relay.order(|order| match order {
            RoomOrder::Gate(gate) => Some(*gate),
            _ => None,
        });
        gate.await
    }

    pub(super) fn send(&self, person: &str, bundle: &Bundle) {
        let handshake = RoomNotice::Handshake {
            seat: self.seat(person),
            message_id: String::from("m"),
            content_type: String::from(wire::BUNDLE),
            body: bundle.to_bytes(),
        };
        self.relay.notice(&room7(), handshake);
    }

    /// alice makes the room, joins and creates the group.
    pub(super) async fn found(&mut self) {
        self.make(Level::Sealed).await.unwrap();
        self.arrive("alice").await;
        let Delivered::Request(asked) = self.told("alice").await else { panic!("no request") };
        assert_eq!(asked.reason, wire::Reason::Create);
        self.answer("alice", &asked).await;
        let result = self.told("alice").await;
        assert!(matches!(result, Delivered::Result(CommitResult::Accepted { .. })), "{result:?}");
        let alice = self.devices.get_mut("alice").unwrap();
        alice.member = alice.founding.take();
    }

    /// Does what was asked for. Returns the bundle that went up.
    pub(super) async fn answer(&mut self, person: &str, asked: &CommitRequest) -> Bundle {
        let (now, id) = (service::clock::wall(), room7());
        let state = self.desks.group_state(&id, &aor(person)).await.unwrap();
        let device = self.devices.get_mut(person).unwrap();
        let bundle = match asked.reason {
            wire::Reason::Create => {
                let made = Member::create(&device.keyring, &id, asked.era, now).unwrap();
                device.founding = Some(made.0);
                made.1
            }
            wire::Reason::Enter => {
                let state = wire::GroupState::from_bytes(&state.unwrap()).unwrap();
                let entered = Member::join_externally(&device.keyring, &id, &state, None, now);
                let (member, bundle) = entered.unwrap();
                device.member = Some(member);
                bundle
            }
            _ => device.member.as_mut().unwrap().answer(asked, now).unwrap(),
        };
        self.send(person, &bundle);
        bundle
    }

    pub(super) fn member(&mut self, person: &str) -> &mut Member {
        self.devices.get_mut(person).unwrap().member.as_mut().unwrap()
    }

    pub(super) fn hear(&mut self, person: &str, mls: &[u8]) {
        self.member(person).process(mls, service::clock::wall()).unwrap();
    }

    pub(super) fn welcome(&mut self, person: &str, delivery: &WelcomeDelivery) {
        let device = self.devices.get_mut(person).unwrap();
        let now = service::clock::wall();
        device.member = Some(Member::join(&device.keyring, &room7(), delivery, now).unwrap());
    }

    /// The next broadcast: its content and the gate that comes with it.
    pub(super) async fn broadcast(&mut self) -> (Bytes, Option<control::Gate>) {
        let broadcast = self.relay.order(|order| match order {
            RoomOrder::Broadcast { cpim, gate, .. } => Some((cpim.clone(), *gate)),
            _ => None,
        });
        let (cpim, gate) = broadcast.await;
        let Delivered::Mls(content) = delivered(&cpim) else { panic!("no MLS message") };
        (content, gate)
    }

    /// bob joins with a package and alice adds him.
    pub(super) async fn add(&mut self, person: &str) {
        self.leave_package(person).await;
        self.arrive(person).await;
        let Delivered::Request(asked) = self.told("alice").await else { panic!("no request") };
        self.answer("alice", &asked).await;
        let Delivered::Welcome(welcome) = self.told(person).await else { panic!("no Welcome") };
        self.welcome(person, &welcome);
        let (commit, gate) = self.broadcast().await;
        self.hear("alice", &commit);
        assert_eq!(gate.unwrap().epoch, self.member(person).epoch());
    }

    /// Every notice is kept.
    pub(super) async fn all_safe(&self) {
        let all_safe = async {
            while self.relay.waiting().await > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, all_safe).await.expect("every notice is safe");
    }

    pub(super) async fn effect(&mut self) -> SipEffect {
        let effect = tokio::time::timeout(PATIENCE, self.sip.recv()).await;
        effect.expect("the effect comes").expect("the desks run")
    }
}

fn delivered(cpim: &Bytes) -> Delivered {
    let envelope = msrp::cpim::parse(cpim).unwrap().unwrap();
    assert_eq!(envelope.from().unwrap().uri, "sip:room7@example.net");
    envelope.only_to().unwrap();
    let content = cpim.slice(envelope.octets()..);
    match std::str::from_utf8(envelope.content_type().unwrap()).unwrap() {
        wire::COMMIT_REQUEST => Delivered::Request(CommitRequest::from_bytes(&content).unwrap()),
        wire::COMMIT_RESULT => Delivered::Result(CommitResult::from_bytes(&content).unwrap()),
        wire::WELCOME => Delivered::Welcome(WelcomeDelivery::from_bytes(&content).unwrap()),
        wire::MLS => Delivered::Mls(content),
        other => panic!("{other}"),
    }
}

async fn open(
    store: &Store,
    ca: &DevCa,
    issuer: &Issuer,
    relay: SocketAddr,
    limits: DeskLimits,
) -> (Desks, mpsc::Receiver<SipEffect>) {
    let identity = ca.issue(&["mrfc.test"]).unwrap();
    let dialler = service::quic::dialler(&identity, ca.roots().unwrap(), relay).unwrap();
    let at = RelayAt {
        name: "relay-0".into(),
        control: relay.to_string(),
        server_name: "relay.test".into(),
    };
    let (relays, heard) = Relays::start(RelayParts {
        focus: "mrfc-0".into(),
        incarnation: format!("{:032x}", rand::random::<u128>()),
        relays: vec![at],
        dialler,
        limits: control::Limits::default(),
        pauses: (Duration::from_millis(20), Duration::from_millis(200)),
        logins: nobody(),
    });
    let (sip, effects) = mpsc::channel(64);
    let parts = DeskParts {
        store: store.clone(),
        relays,
        heard,
        roots: issuer.roots().clone(),
        focus: issuer.focus_key(),
        domain: "example.net".into(),
        sip,
        wall: service::clock::wall,
        limits,
        nicknames: NicknamePolicy::new(true, Duration::from_secs(600), Nickname::parse("admin")),
        charging: None,
        logs: None,
    };
    (Desks::open(parts).await.unwrap(), effects)
}

/// No login at a relay is right.
fn nobody() -> Logins {
    let users = crate::users::Users::parse("", "example.net").unwrap();
    let metrics = crate::metrics::Metrics::new(&service::metrics::Metrics::new());
    Logins::new(std::sync::Arc::new(users), "example.net", metrics)
}
