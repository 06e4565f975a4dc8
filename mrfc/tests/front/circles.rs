//! Circles: the founding beside a first message, the order of changes over HTTPS, and who hears nothing of it.
use ids::{Aor, DeviceId, Epoch};
use mls::circle::{Circle, CircleMember};
use mls::identity::{DeviceKey, request};
use mls::member::{Keyring, Member, Processed};
use mls::wire::{
    self, Bundle, CircleLog, ClaimedKeyPackage, CommitResult, DeviceName, Founding, GroupState,
    circles_from_bytes,
};
use msrp::cpim::Builder;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use service::clock;
use sip::header::Name;
use sip::multipart::{self, Part};
use sip::{Request, Response};

use crate::messaging::{message, send};
use crate::phone::Phone;
use crate::web::ask;
use crate::world::{DOMAIN, World};

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

fn aor(user: &str) -> Aor {
    format!("sip:{user}@{DOMAIN}").parse().unwrap()
}

fn device(user: &str, n: u8) -> DeviceName {
    let device: DeviceId = format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().unwrap();
    DeviceName { aor: aor(user), device }
}

/// A device with a certificate that the API issued.
async fn keys(world: &World, user: &str, n: u8) -> Keyring {
    let key =
        DeviceKey::generate(&mut StdRng::seed_from_u64(u64::from(n) << 8 | user.len() as u64));
    let csr = request(&key, &device(user, n)).unwrap();
    let answer = ask(world, user, "POST", "/v1/certificates", &csr).await;
    Keyring::new(key, &answer.body, world.issuer.roots(), clock::wall()).unwrap()
}

/// Somebody at a phone, with the keys of a device.
async fn person(world: &World, user: &str) -> (Phone, Keyring) {
    (Phone::registered(world, user, 1).await, keys(world, user, 1).await)
}

fn claim(keys: &Keyring) -> ClaimedKeyPackage {
    let upload = keys.key_packages(1, false, clock::wall(), DAY).unwrap();
    let DeviceName { aor, device } = keys.device().clone();
    ClaimedKeyPackage { aor, device, key_package: upload.packages[0].clone() }
}

fn pair() -> Circle {
    Circle::of([aor("alice"), aor("bob")]).unwrap()
}

/// The circle of Alice and Bob, founded by this device for these others.
fn found(by: &Keyring, others: &[&Keyring]) -> (CircleMember, Founding) {
    let claims: Vec<ClaimedKeyPackage> = others.iter().map(|keys| claim(keys)).collect();
    CircleMember::found(by, &pair(), &claims, clock::wall()).unwrap()
}

/// The parts of a sealed message: what a device of ours sends.
fn sealed(member: &mut CircleMember, id: &str, to: &str, text: &[u8]) -> Part {
    let from = member.group().me().aor.clone();
    let body = member.seal(id, text).unwrap();
    let letter = Builder::new(from.as_str(), aor(to).as_str()).imdn(id, &[]);
    Part::new("message/cpim", letter.content(wire::MLS, body).gather())
}

fn paged(from: &mut Phone, to: &str, founding: Option<&Founding>, sealed: &Part) -> Request {
    let Some(founding) = founding else {
        return message(from, to, "message/cpim", &sealed.body);
    };
    let parts = [Part::new(wire::FOUNDING, founding.to_bytes()), sealed.clone()];
    let (kind, body) = multipart::write(&parts, 7);
    message(from, to, &kind, &body)
}

async fn answered(from: &Phone, to: &mut Phone, request: Request) -> (Response, Request) {
    let asked = send(from, request);
    let (key, copy) = to.incoming().await;
    to.answer(key, &copy, 200).await;
    (asked.await.unwrap(), copy)
}

async fn refused(from: &Phone, request: Request) -> u16 {
    send(from, request).await.unwrap().status.code()
}

async fn log(world: &World, of: &DeviceName, after: u64) -> CircleLog {
    let user = of.aor.user();
    let path = format!("/v1/circles/{}/log?device={}&after={after}", pair().id(), of.device);
    let answer = ask(world, user, "GET", &path, b"").await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    CircleLog::from_bytes(&answer.body).unwrap()
}

async fn commit(world: &World, by: &DeviceName, bundle: &Bundle) -> CommitResult {
    let path = format!("/v1/circles/{}/commits?device={}", pair().id(), by.device);
    let answer = ask(world, by.aor.user(), "POST", &path, &bundle.to_bytes()).await;
    assert_eq!(answer.status, 200);
    CommitResult::from_bytes(&answer.body).unwrap()
}

async fn state(world: &World, user: &str) -> GroupState {
    let path = format!("/v1/circles/{}/group", pair().id());
    let answer = ask(world, user, "GET", &path, b"").await;
    GroupState::from_bytes(&answer.body).unwrap()
}

#[tokio::test]
async fn a_founding_passes_beside_its_message_untouched_and_is_in_the_log_for_its_devices() {
    let world = World::start().await;
    let (mut alice, mine) = person(&world, "alice").await;
    let (mut bob, his) = person(&world, "bob").await;
    let (mut member, founding) = found(&mine, &[&his]);
    let first = sealed(&mut member, "m1", "bob", b"are you there?");
    let request = paged(&mut alice, "bob", Some(&founding), &first);
    let body = request.body.clone();

    let (answer, copy) = answered(&alice, &mut bob, request).await;

    assert_eq!((answer.status.code(), &copy.body), (200, &body));
    let said = Name::parse(b"Conclave-Protection").unwrap();
    assert_eq!(answer.headers.text(&said).unwrap(), "end-to-end");
    assert_eq!(copy.headers.text(&said).unwrap(), "end-to-end");
    let his_log = log(&world, his.device(), 0).await;
    let era = founding.create.era;
    assert_eq!((his_log.era, his_log.epoch, his_log.entries.len()), (era, Epoch(1), 1));
    assert_eq!(his_log.entries[0].welcome, founding.welcome_for(his.device()));
    assert_eq!(log(&world, mine.device(), 0).await.entries[0].welcome, None);
    // Again, by a sender that did not hear the answer.
    let second = sealed(&mut member, "m2", "bob", b"hello?");
    let again = paged(&mut alice, "bob", Some(&founding), &second);
    assert_eq!(answered(&alice, &mut bob, again).await.0.status.code(), 200);
    assert_eq!(log(&world, his.device(), 1).await.entries.len(), 0);
}

/// I3: of two that begin at once one wins; the other's message does not pass, and it joins by the Welcome in the log.
#[tokio::test]
async fn i3_who_founds_second_hears_412_and_finds_its_welcome_in_the_log() {
    let world = World::start().await;
    let (mut alice, mine) = person(&world, "alice").await;
    let (mut bob, his) = person(&world, "bob").await;
    let now = clock::wall();
    let (mut one, first) = found(&mine, &[&his]);
    let (mut other, second) = found(&his, &[&mine]);
    let part = sealed(&mut one, "m1", "bob", b"first");
    let request = paged(&mut alice, "bob", Some(&first), &part);
    assert_eq!(answered(&alice, &mut bob, request).await.0.status.code(), 200);

    let late = sealed(&mut other, "m1", "alice", b"second");
    let request = paged(&mut bob, "alice", Some(&second), &late);
    assert_eq!(refused(&bob, request).await, 412);

    let over_https = ask(&world, "bob", "POST", "/v1/circles", &second.to_bytes()).await;
    let lost = CommitResult::from_bytes(&over_https.body).unwrap();
    assert!(matches!(lost, CommitResult::Lost { epoch: Epoch(1), .. }), "{lost:?}");
    other.forget();
    let welcome = log(&world, his.device(), 0).await.entries[0].welcome.clone().unwrap();
    let mut other = CircleMember::join(&his, &pair(), &welcome, now).unwrap();
    let again = sealed(&mut other, "m1", "alice", b"second");
    let request = paged(&mut bob, "alice", None, &again);
    assert_eq!(answered(&bob, &mut alice, request).await.0.status.code(), 200);
}

#[tokio::test]
async fn nobody_writes_in_an_epoch_that_is_over_and_a_late_commit_loses() {
    let world = World::start().await;
    let (mut alice, mine) = person(&world, "alice").await;
    let (mut bob, his) = person(&world, "bob").await;
    let (mut member, founding) = found(&mine, &[&his]);
    let founded = ask(&world, "alice", "POST", "/v1/circles", &founding.to_bytes()).await;
    assert_eq!(founded.status, 200);

    // Two new devices of Bob's enter at once.
    let (one, two) = (keys(&world, "bob", 2).await, keys(&world, "bob", 3).await);
    // After their certificates were made: none is good before that.
    let now = clock::wall();
    let before = state(&world, "bob").await;
    let (_, first) = CircleMember::enter(&one, &pair(), &before, None, now).unwrap();
    let (_, second) = CircleMember::enter(&two, &pair(), &before, None, now).unwrap();
    let accepted = commit(&world, one.device(), &first).await;
    assert_eq!(accepted, CommitResult::Accepted { era: founding.create.era, epoch: Epoch(2) });
    assert_eq!(commit(&world, one.device(), &first).await, accepted, "the same commit again");
    let lost = commit(&world, two.device(), &second).await;
    assert!(matches!(lost, CommitResult::Lost { epoch: Epoch(2), .. }), "{lost:?}");

    let stale = sealed(&mut member, "m1", "bob", b"in the old epoch");
    let request = paged(&mut alice, "bob", None, &stale);
    assert_eq!(refused(&alice, request).await, 412);
    for entry in log(&world, mine.device(), 1).await.entries {
        assert!(matches!(member.process(&entry.message, now), Ok(Processed::Commit(_))));
    }
    let fresh = sealed(&mut member, "m1", "bob", b"in the new one");
    let request = paged(&mut alice, "bob", None, &fresh);
    assert_eq!(answered(&alice, &mut bob, request).await.0.status.code(), 200);
}

#[tokio::test]
async fn of_a_circle_of_others_nobody_learns_or_changes_anything() {
    let world = World::start().await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let (mine, his) = (keys(&world, "alice", 1).await, keys(&world, "bob", 1).await);
    let hers = keys(&world, "carol", 1).await;
    let now = clock::wall();
    let (mut member, founding) = found(&mine, &[&his]);
    // Brought by somebody who did not make it.
    let brought = ask(&world, "bob", "POST", "/v1/circles", &founding.to_bytes()).await;
    let refusal = CommitResult::from_bytes(&brought.body).unwrap();
    assert!(matches!(refusal, CommitResult::Refused { .. }), "{refusal:?}");
    ask(&world, "alice", "POST", "/v1/circles", &founding.to_bytes()).await;
    let circle = format!("/v1/circles/{}", pair().id());

    for path in ["/group", &format!("/log?device={}", hers.device().device)] {
        let asked = ask(&world, "carol", "GET", &format!("{circle}{path}"), b"").await;
        assert_eq!(asked.status, 404);
    }
    let known = state(&world, "bob").await;
    let (_, bundle) = Member::join_externally(&hers, pair().id(), &known, None, now).unwrap();
    let path = format!("{circle}/commits?device={}", hers.device().device);
    assert_eq!(ask(&world, "carol", "POST", &path, &bundle.to_bytes()).await.status, 404);
    let copied = sealed(&mut member, "m1", "bob", b"x");
    let request = paged(&mut carol, "bob", None, &copied);
    assert_eq!(refused(&carol, request).await, 412);
    let list = ask(&world, "carol", "GET", "/v1/circles", b"").await;
    assert_eq!(circles_from_bytes(&list.body), Ok(Vec::new()));
    let list = ask(&world, "bob", "GET", "/v1/circles", b"").await;
    assert_eq!(circles_from_bytes(&list.body), Ok(vec![pair()]));
    let anonymous = crate::web::exchange(&world, "GET", "/v1/circles", "", b"").await;
    assert_eq!(anonymous.status, 401);
}

#[tokio::test]
async fn a_circle_and_its_log_are_there_after_a_restart_of_the_focus() {
    let mut world = World::start().await;
    let (mine, his) = (keys(&world, "alice", 1).await, keys(&world, "bob", 1).await);
    let (_member, founding) = found(&mine, &[&his]);
    ask(&world, "alice", "POST", "/v1/circles", &founding.to_bytes()).await;

    world.restart().await;

    assert_eq!(log(&world, his.device(), 0).await.entries.len(), 1);
    assert_eq!(state(&world, "bob").await.epoch, Epoch(1));
}

/// A device that was taken back reads nothing more: nobody writes until a commit has removed it.
#[tokio::test]
async fn i12_a_device_taken_back_has_to_go_from_its_circles_before_anybody_writes() {
    let mut world = World::start().await;
    let (mut alice, mine) = person(&world, "alice").await;
    let (mut bob, his) = person(&world, "bob").await;
    let lost = keys(&world, "bob", 2).await;
    let now = clock::wall();
    let (mut member, founding) = found(&mine, &[&his, &lost]);
    ask(&world, "alice", "POST", "/v1/circles", &founding.to_bytes()).await;

    let path = format!("/v1/devices/{}", lost.device().device);
    let taken = ask(&world, "bob", "DELETE", &path, b"").await;
    assert!(taken.status < 300, "{}", taken.status);

    // Who has not heard of it seals for the lost device still: that does not pass, also not after a restart.
    for again in [false, true] {
        if again {
            world.restart().await;
            alice = Phone::registered(&world, "alice", 1).await;
            bob = Phone::registered(&world, "bob", 1).await;
        }
        let unaware = sealed(&mut member, "m0", "bob", b"for every device of yours");
        let request = paged(&mut alice, "bob", None, &unaware);
        assert_eq!(refused(&alice, request).await, 412);
    }
    let told = log(&world, mine.device(), 1).await;
    assert_eq!(told.entries.len(), 1);
    let removed = member.process(&told.entries[0].message, now).unwrap();
    assert_eq!(removed, Processed::Remove(lost.device().clone()));
    assert!(member.seal("m1", b"x").is_err());
    let bundle = member.commit_pending(now).unwrap();
    let accepted = commit(&world, mine.device(), &bundle).await;
    assert_eq!(accepted, CommitResult::Accepted { era: founding.create.era, epoch: Epoch(2) });
    member.process(&bundle.commit, now).unwrap();
    let passes = sealed(&mut member, "m2", "bob", b"for those you have");
    let request = paged(&mut alice, "bob", None, &passes);
    assert_eq!(answered(&alice, &mut bob, request).await.0.status.code(), 200);
    // It is not told of the epoch it is not in.
    let unknown = log(&world, lost.device(), 2).await;
    assert!(unknown.entries.iter().all(|entry| entry.welcome.is_none()));
}

/// Its KeyPackage was claimed before, and whoever seals for it alone seals for nobody.
#[tokio::test]
async fn i12_a_device_taken_back_between_its_claim_and_its_use_has_to_go_before_anybody_writes() {
    let world = World::start().await;
    let (mut alice, mine) = person(&world, "alice").await;
    let lost = keys(&world, "bob", 2).await;
    let now = clock::wall();
    let take_back = async |device: &DeviceName| {
        let path = format!("/v1/devices/{}", device.device);
        assert_eq!(ask(&world, device.aor.user(), "DELETE", &path, b"").await.status, 200);
    };
    let (mut member, founding) = found(&mine, &[&lost]);
    take_back(lost.device()).await;

    let first = sealed(&mut member, "m1", "bob", b"for a device that you have lost");
    let request = paged(&mut alice, "bob", Some(&founding), &first);
    assert_eq!(refused(&alice, request).await, 412);

    let told = log(&world, mine.device(), 1).await;
    let removed = member.process(&told.entries[0].message, now).unwrap();
    assert_eq!(removed, Processed::Remove(lost.device().clone()));
    let bundle = member.commit_pending(now).unwrap();
    commit(&world, mine.device(), &bundle).await;
    member.process(&bundle.commit, now).unwrap();
    // The same with one that is let in later.
    let next = keys(&world, "bob", 3).await;
    let bundle = member.add(&[claim(&next)], now).unwrap();
    take_back(next.device()).await;
    let accepted = commit(&world, mine.device(), &bundle).await;
    assert!(matches!(accepted, CommitResult::Accepted { .. }), "{accepted:?}");
    member.process(&bundle.commit, now).unwrap();
    let second = sealed(&mut member, "m2", "bob", b"for another one");
    let request = paged(&mut alice, "bob", None, &second);
    assert_eq!(refused(&alice, request).await, 412);
}
