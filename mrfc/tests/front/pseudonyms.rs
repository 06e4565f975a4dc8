//! Those who hide in a sealed conference: the pseudonym that the answer names, its certificate and KeyPackages over HTTPS, and
//! what relay and watchers are told.
use ids::{Aor, ConferenceId};
use mls::identity::{DeviceKey, request};
use mls::member::Keyring;
use mls::wire::DeviceName;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use service::clock;
use sip::header::Name;
use sip::{Method, Request, Response, Status};

use crate::hiding::accepted;
use crate::operator::{admin, get};
use crate::phone::{Phone, Talk, good_offer};
use crate::referring::made;
use crate::relay::Manner;
use crate::watching::watch;
use crate::web::ask;
use crate::world::{DOMAIN, World};

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Alice's sealed conference; Bob has a phone.
struct Room {
    world: World,
    alice: Phone,
    bob: Phone,
    _talk: Talk,
    uri: String,
    id: ConferenceId,
}

async fn room() -> Room {
    let mut world = World::with(Manner::Prompt, |config| {
        let folder = config.https.certificate_file.parent().unwrap().to_owned();
        config.admin = Some(admin(&folder));
        config.conferences.notify_secs = 0;
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let bob = Phone::registered(&world, "bob", 1).await;
    let (talk, uri) = made(&mut world, &mut alice).await;
    let id = uri.trim_start_matches("sip:").split('@').next().unwrap().parse().unwrap();
    Room { world, alice, bob, _talk: talk, uri, id }
}

fn invite(phone: &mut Phone, uri: &str) -> Request {
    let request = phone.request("INVITE", uri).with_body("application/sdp", good_offer());
    request.with(Name::Privacy, "id;critical")
}

/// Joins without a name: the dialog, and what the device is known by.
async fn hide(phone: &mut Phone, uri: &str) -> Result<(Talk, DeviceName), Response> {
    let request = invite(phone, uri);
    let talk = accepted(phone, request).await?;
    let name = Name::parse(b"Conclave-Shown-As").unwrap();
    let shown = talk.response.headers.addresses(name).unwrap().remove(0);
    let mask = DeviceName { aor: shown.uri.aor().unwrap(), device: shown.instance().unwrap() };
    Ok((talk, mask))
}

fn request_of(name: &DeviceName) -> (DeviceKey, Vec<u8>) {
    let key = DeviceKey::generate(&mut StdRng::seed_from_u64(11));
    let request = request(&key, name).unwrap();
    (key, request)
}

#[tokio::test]
async fn i21_who_hides_in_a_sealed_conference_is_told_a_pseudonym_and_relay_and_watchers_see_no_more()
 {
    let mut room = room().await;

    let (_talk, mask) = hide(&mut room.bob, &room.uri).await.ok().unwrap();

    assert_eq!(mask.aor, Aor::pseudonym(&room.id, 1));
    let seat = room.world.relay.seat().await;
    assert_eq!((&seat.aor, &seat.device), (&mask.aor, &mask.device));
    assert_eq!(seat.identities, [mask.aor.to_string()]);
    let device = room.bob.device.to_string();
    let told = format!("{seat:?}");
    assert!(!told.contains("bob") && !told.contains(&device), "{told}");
    let xml = watch(&mut room.alice, &room.uri).await.info.to_xml();
    assert!(xml.contains(mask.aor.as_str()) && xml.contains("Anonymous 1"), "{xml}");
    assert!(!xml.contains("bob") && !xml.contains(&device), "{xml}");
    let path = format!("/v1/conferences/{}/members", room.id);
    let members = get(&room.world, &path).await;
    let bob =
        &members["members"].as_array().unwrap().iter().find(|it| it["shown_as"] != json!(null));
    let bob = bob.unwrap();
    assert_eq!(bob["person"], json!(format!("sip:bob@{DOMAIN}")));
    assert_eq!(bob["shown_as"], json!(mask.aor.as_str()));
}

#[tokio::test]
async fn i21_a_pseudonym_is_certified_for_whose_it_is_in_that_conference_and_for_nobody_else() {
    let mut room = room().await;
    let (_talk, mask) = hide(&mut room.bob, &room.uri).await.ok().unwrap();
    let path = format!("/v1/conferences/{}/certificates", room.id);
    let (key, csr) = request_of(&mask);

    let issued = ask(&room.world, "bob", "POST", &path, &csr).await;
    assert_eq!(issued.status, 201, "{issued:?}");
    let identity = room.world.issuer.roots().check(&issued.body, clock::wall()).unwrap();
    assert_eq!((&identity.name, identity.key), (&mask, key.public()));
    assert!(!contains(&issued.body, b"bob"));

    // Not to others, not of other names, not in other conferences, and not as a certificate of a person's own.
    assert_eq!(ask(&room.world, "alice", "POST", &path, &csr).await.status, 403);
    let another = DeviceName { device: room.bob.device.clone(), ..mask.clone() };
    let named = DeviceName { aor: room.bob.aor.clone(), ..mask.clone() };
    let later = DeviceName { aor: Aor::pseudonym(&room.id, 2), ..mask.clone() };
    for name in [another, named, later] {
        let (_, csr) = request_of(&name);
        assert_eq!(ask(&room.world, "bob", "POST", &path, &csr).await.status, 403, "{name}");
    }
    let elsewhere = "/v1/conferences/elsewhere/certificates";
    assert_eq!(ask(&room.world, "bob", "POST", elsewhere, &csr).await.status, 403);
    assert_eq!(ask(&room.world, "bob", "POST", "/v1/certificates", &csr).await.status, 403);
    let listed = ask(&room.world, "bob", "GET", "/v1/devices", b"").await.json();
    assert!(!listed.to_string().contains(mask.device.as_str()), "{listed}");
}

fn contains(octets: &[u8], what: &[u8]) -> bool {
    octets.windows(what.len()).any(|window| window == what)
}

#[tokio::test]
async fn i21_packages_of_a_pseudonym_are_left_by_whose_it_is_and_claimed_by_nobody() {
    let mut room = room().await;
    let (_talk, mask) = hide(&mut room.bob, &room.uri).await.ok().unwrap();
    let (key, csr) = request_of(&mask);
    let path = format!("/v1/conferences/{}/certificates", room.id);
    let issued = ask(&room.world, "bob", "POST", &path, &csr).await;
    let keys = Keyring::new(key, &issued.body, room.world.issuer.roots(), clock::wall()).unwrap();
    let upload = keys.key_packages(2, false, clock::wall(), DAY).unwrap().to_bytes();
    let path = format!("/v1/conferences/{}/key-packages", room.id);

    assert_eq!(ask(&room.world, "alice", "PUT", &path, &upload).await.status, 403);
    assert_eq!(ask(&room.world, "bob", "PUT", "/v1/key-packages", &upload).await.status, 403);
    assert_eq!(ask(&room.world, "bob", "PUT", &path, &upload).await.status, 204);

    let claim = format!("/v1/key-packages/{}", mask.aor);
    for who in ["alice", "bob"] {
        assert_eq!(ask(&room.world, who, "GET", &claim, b"").await.status, 404, "{who}");
    }
}

#[tokio::test]
async fn i21_one_person_in_two_conferences_has_nothing_in_common_there() {
    let mut room = room().await;
    let mut carol = Phone::registered(&room.world, "carol", 1).await;
    let (_other, other) = made(&mut room.world, &mut carol).await;

    let (_here, one) = hide(&mut room.bob, &room.uri).await.ok().unwrap();
    let (_there, two) = hide(&mut room.bob, &other).await.ok().unwrap();

    assert_ne!(one.aor, two.aor);
    assert_ne!(one.device, two.device);
    assert!(![one.device, two.device].contains(&room.bob.device));
}

#[tokio::test]
async fn a_pseudonym_is_put_out_by_its_address_and_the_person_stays_out() {
    let mut room = room().await;
    let mut tablet = Phone::registered(&room.world, "bob", 2).await;
    let (_phone, one) = hide(&mut room.bob, &room.uri).await.ok().unwrap();
    let (_tablet, two) = hide(&mut tablet, &room.uri).await.ok().unwrap();
    assert_eq!(one.aor, two.aor);
    assert_ne!(one.device, two.device);

    let out = room.alice.request("REFER", &room.uri).with(Name::ReferSub, "false");
    let out = out.with(Name::ReferTo, format!("<{};method=BYE>", one.aor));
    assert_eq!(room.alice.send(out).await.status, Status::OK);

    for phone in [&mut room.bob, &mut tablet] {
        let (key, bye) = phone.incoming().await;
        assert_eq!(bye.method, Method::Bye);
        phone.answer(key, &bye, 200).await;
    }
    let again = hide(&mut room.bob, &room.uri).await.err().unwrap();
    assert_eq!(again.status, Status::FORBIDDEN);
    let path = format!("/v1/conferences/{}", room.id);
    let shown = ask(&room.world, "alice", "GET", &path, b"").await.json();
    assert_eq!(shown["banned"], json!([one.aor.as_str()]), "{shown}");
    // Whose it was has no say in it, and no certificate of it.
    let (_, csr) = request_of(&one);
    let path = format!("/v1/conferences/{}/certificates", room.id);
    assert_eq!(ask(&room.world, "bob", "POST", &path, &csr).await.status, 403);
}

#[tokio::test]
async fn a_device_that_was_taken_back_leaves_its_pseudonyms() {
    let mut room = room().await;
    let (_talk, mask) = hide(&mut room.bob, &room.uri).await.ok().unwrap();
    // Something has to be known of the device.
    let own = DeviceName { aor: room.bob.aor.clone(), device: room.bob.device.clone() };
    let (_, csr) = request_of(&own);
    assert_eq!(ask(&room.world, "bob", "POST", "/v1/certificates", &csr).await.status, 201);

    let path = format!("/v1/devices/{}", own.device);
    let taken = ask(&room.world, "bob", "DELETE", &path, b"").await;

    assert_eq!((taken.status, taken.json()["conferences"].clone()), (200, json!(1)));
    let path = format!("/v1/conferences/{}/members", room.id);
    let members = get(&room.world, &path).await.to_string();
    assert!(!members.contains(mask.aor.as_str()) && !members.contains("bob"), "{members}");
}

/// The device of a re-INVITE is the one of its dialog.
#[tokio::test]
async fn a_session_that_is_described_anew_keeps_its_pseudonym() {
    let mut room = room().await;
    let (mut talk, mask) = hide(&mut room.bob, &room.uri).await.ok().unwrap();
    room.world.relay.seat().await;

    let moved = good_offer().replace("ab12cd34", "ef56gh78");
    let request = talk.dialog.request(Method::Invite).unwrap();
    let answer = room.bob.send(request.with_body("application/sdp", moved)).await;

    assert_eq!(answer.status, Status::OK);
    let seat = room.world.relay.seat().await;
    assert_eq!((seat.aor, seat.device), (mask.aor, mask.device));
}
