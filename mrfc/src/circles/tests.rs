//! Certificates that end while a circle is quiet: two desks over one database, the second a month later.
use ids::DeviceId;
use mls::circle::CircleMember;
use mls::identity::{DeviceKey, Issuer, request};
use mls::member::{Keyring, MemberError, Processed};
use mls::wire::ClaimedKeyPackage;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use service::clock;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The life of the first certificates.
const SHORT: Duration = Duration::from_secs(30 * 24 * 3600);

const MINUTE: Duration = Duration::from_secs(60);

fn later() -> SystemTime {
    clock::wall() + SHORT + DAY
}

/// A circle of Alice and Bob, and its desk a month after it was founded.
struct Later {
    issuer: Issuer,
    desk: Circles,
    circle: Circle,
    _folder: tempfile::TempDir,
}

/// A device in the circle.
struct Device {
    keys: Keyring,
    member: CircleMember,
}

fn device(user: &str, n: u8) -> DeviceName {
    let device: DeviceId = format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().unwrap();
    DeviceName { aor: format!("sip:{user}@example.net").parse().unwrap(), device }
}

fn claim(keys: &Keyring) -> ClaimedKeyPackage {
    let upload = keys.key_packages(1, false, clock::wall(), DAY).unwrap();
    let DeviceName { aor, device } = keys.device().clone();
    ClaimedKeyPackage { aor, device, key_package: upload.packages[0].clone() }
}

impl Later {
    /// With Alice's device and two of Bob's. The certificates of those named are good for long.
    async fn with(lasting: &[DeviceName]) -> (Self, [Device; 3]) {
        let (mut rng, now) = (StdRng::seed_from_u64(12), clock::wall());
        let issuer = Issuer::generate(&mut rng, "devices", now - DAY, 400 * DAY).unwrap();
        let keys = [device("alice", 1), device("bob", 1), device("bob", 2)].map(|who| {
            let key = DeviceKey::generate(&mut rng);
            let life = if lasting.contains(&who) { 4 * SHORT } else { SHORT };
            let csr = request(&key, &who).unwrap();
            let certificate = issuer.issue(&csr, &who, now - MINUTE, life).unwrap();
            Keyring::new(key, &certificate, issuer.roots(), now).unwrap()
        });
        let [mine, his, spare] = &keys;
        let circle = Circle::of([mine, his].map(|keys| keys.device().aor.clone())).unwrap();
        let claims = [claim(his), claim(spare)];
        let (mut alice, founding) = CircleMember::found(mine, &circle, &claims, now).unwrap();
        let join = |keys: &Keyring| {
            let welcome = founding.welcome_for(keys.device()).unwrap();
            CircleMember::join(keys, &circle, &welcome, now).unwrap()
        };
        let (bob, other) = (join(his), join(spare));
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("mrfc.sqlite")).await.unwrap();
        let desk = |wall| {
            let keys = (issuer.roots().clone(), issuer.focus_key());
            Circles::new(store.clone(), keys, wall, Bounds::default())
        };
        let before = desk(clock::wall);
        before.found(&mine.device().aor, founding).await.unwrap();
        let first = alice.seal("m0", b"hello").unwrap();
        assert!(before.pass(&mine.device().aor, &prefix(&first)).await.is_ok());
        let this = Self { desk: desk(later), issuer, circle, _folder: folder };
        let mut members = [alice, bob, other].into_iter();
        (this, keys.map(|keys| Device { keys, member: members.next().unwrap() }))
    }

    fn renew(&self, device: &Device) {
        let csr = device.keys.request().unwrap();
        let from = clock::wall() - MINUTE;
        let certificate = self.issuer.issue(&csr, device.keys.device(), from, 4 * SHORT).unwrap();
        device.keys.renew(&certificate, later()).unwrap();
    }

    /// Whether what this device seals now may pass.
    async fn writes(&self, device: &mut Device) -> Result<(), Refusal> {
        let sealed = device.member.seal("m1", b"is anybody there?").unwrap();
        self.desk.pass(&device.keys.device().aor, &prefix(&sealed)).await
    }

    async fn commits(&self, device: &Device, bundle: Bundle) -> CommitResult {
        self.desk.commit(device.keys.device(), self.circle.id(), bundle).await.unwrap()
    }

    /// What the log has for this device behind this place.
    async fn follows(&self, device: &mut Device, after: u64) -> Vec<Processed> {
        let log = self.desk.log(device.keys.device(), self.circle.id(), after).await.unwrap();
        let entries = log.entries.into_iter();
        entries.map(|it| device.member.process(&it.message, later()).unwrap()).collect()
    }

    /// Leaves what it has behind, and enters anew.
    async fn enters(&self, device: &mut Device) -> CommitResult {
        let (aor, id) = (&device.keys.device().aor, self.circle.id());
        let state = self.desk.group_state(aor, id).await.unwrap();
        let (member, bundle) =
            CircleMember::enter(&device.keys, &self.circle, &state, None, later()).unwrap();
        device.member = member;
        let result = self.commits(device, bundle.clone()).await;
        device.member.process(&bundle.commit, later()).unwrap();
        result
    }
}

fn prefix(sealed: &Bytes) -> Prefix {
    control::gate::read(sealed).unwrap()
}

/// In the era of a member.
fn accepted(device: &Device, epoch: u64) -> CommitResult {
    CommitResult::Accepted { era: device.member.generation().0, epoch: Epoch(epoch) }
}

/// It may be in other hands: nobody vouches for it, and while it has a leaf it reads what is sealed.
#[tokio::test]
async fn i12_a_leaf_whose_certificate_has_ended_has_to_go_before_anybody_writes() {
    let lasting = [device("alice", 1), device("bob", 1)];
    let (month, [mut alice, mut bob, spare]) = Later::with(&lasting).await;

    // Nobody has to ask for it first: what is sealed for it too does not pass.
    assert!(matches!(month.writes(&mut alice).await, Err(Refusal::OtherEpoch)));

    let told = month.follows(&mut alice, 1).await;
    assert_eq!(told, [Processed::Remove(spare.keys.device().clone())]);
    assert!(matches!(alice.member.seal("m2", b"x"), Err(MemberError::Paused)));
    let bundle = alice.member.commit_pending(later()).unwrap();
    assert_eq!(month.commits(&alice, bundle).await, accepted(&alice, 2));
    month.follows(&mut alice, 2).await;
    assert!(month.writes(&mut alice).await.is_ok());
    month.follows(&mut bob, 1).await;
    assert!(month.writes(&mut bob).await.is_ok());
    assert!(alice.member.group().roster().all(|name| name != spare.keys.device()));
}

/// Who asks what there is to follow is told: what goes through a room is not looked at when it passes.
#[tokio::test]
async fn i12_who_reads_the_log_learns_that_a_certificate_has_ended() {
    let lasting = [device("alice", 1), device("bob", 1)];
    let (month, [mut alice, _bob, spare]) = Later::with(&lasting).await;

    let told = month.follows(&mut alice, 1).await;

    assert_eq!(told, [Processed::Remove(spare.keys.device().clone())]);
    assert_eq!(month.follows(&mut alice, 2).await, [], "said once");
}

/// Nobody was there for a month: who is back first renews its leaf, or enters anew, and the others after it.
#[tokio::test]
async fn i22_a_circle_of_ended_certificates_goes_on() {
    let (month, [mut alice, mut bob, spare]) = Later::with(&[]).await;
    month.renew(&alice);
    let bundle = alice.member.refresh().unwrap();
    assert_eq!(month.commits(&alice, bundle).await, accepted(&alice, 2));

    let told = month.follows(&mut alice, 1).await;
    assert_eq!(told.len(), 3, "her own change, and both of Bob's devices have to go: {told:?}");
    assert!(matches!(alice.member.seal("m1", b"x"), Err(MemberError::Paused)));
    month.renew(&bob);
    assert_eq!(month.enters(&mut bob).await, accepted(&bob, 3));
    let told = month.follows(&mut bob, 5).await;
    assert_eq!(told, [Processed::Remove(spare.keys.device().clone())], "the other one still");
    let bundle = bob.member.commit_pending(later()).unwrap();
    assert_eq!(month.commits(&bob, bundle).await, accepted(&bob, 4));
    month.follows(&mut bob, 6).await;
    month.follows(&mut alice, 4).await;
    assert!(month.writes(&mut alice).await.is_ok() && month.writes(&mut bob).await.is_ok());
}
