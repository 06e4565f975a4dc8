//! What people keep over HTTPS: contacts by address or by a number that the server looks up, a phonebook, a profile, and
//! wishes about privacy that hold where something of others arrives.
use mls::identity::{DeviceKey, request};
use mls::wire::DeviceName;
use mrfc::Config;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use service::tls::Identity;
use sip::digest::Login;
use sip::header::Name;

use crate::enumeration::Dns;
use crate::phone::{Phone, conference, good_offer};
use crate::relay::Manner;
use crate::web::{Answer, ask, exchange, exchange_at};
use crate::world::{DOMAIN, World, number, password};

/// A number that nobody has but in ENUM.
const BOB: &str = "+15551230002";

pub(crate) fn at(user: &str, what: &str) -> String {
    format!("/v1/people/sip:{user}@{DOMAIN}/{what}")
}

async fn world(change: impl FnOnce(&mut Config)) -> World {
    World::with(Manner::Prompt, change).await
}

/// A request with a proof of this user, and with If-Match where a version is given.
pub(crate) async fn call(
    world: &World,
    user: &str,
    (method, path): (&str, &str),
    version: Option<u64>,
    body: &Value,
) -> Answer {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
    let first = exchange(world, method, path, "", b"").await;
    assert_eq!(first.status, 401, "{path} asks nobody who they are");
    let challenges: Vec<&str> =
        first.headers.lines().filter_map(|line| line.strip_prefix("www-authenticate: ")).collect();
    let mut login = Login::new(user, &password(user));
    login.challenged(challenges, None).unwrap();
    let proof = login.authorize(method, path, &mut StdRng::seed_from_u64(3)).unwrap();
    let seen = version.map(|version| format!("If-Match: \"{version}\"\r\n")).unwrap_or_default();
    let headers = format!("Authorization: {proof}\r\nContent-Type: application/json\r\n{seen}");
    exchange(world, method, path, &headers, &body).await
}

async fn get(world: &World, user: &str, what: &str) -> Value {
    let answer = ask(world, user, "GET", &at(user, what), b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn add(world: &World, version: u64, contact: &str) -> Answer {
    let path = at("alice", "contacts");
    call(world, "alice", ("POST", &path), Some(version), &json!({ "contact": contact })).await
}

fn asks(config: &mut Config, dns: &Dns) {
    config.numbers.enum_domain = Some(String::from("e164.test"));
    config.numbers.dns_servers = vec![dns.address];
}

#[tokio::test]
async fn sec_2_s2_ns2_s2_07_the_server_looks_a_number_up_one_match_is_kept_none_is_404_several_are_409()
 {
    let bob = format!("sip:bob@{DOMAIN}");
    let (eve, carol) = (String::from("sip:eve@elsewhere.test"), format!("sip:carol@{DOMAIN}"));
    let dns = Dns::knows(&[(BOB, &bob), ("+15551230003", &carol), ("+15551230003", &eve)]).await;
    let world = world(|config| asks(config, &dns)).await;

    let one = add(&world, 0, "tel:+1-555-123-0002").await;
    assert_eq!(one.status, 201, "{one:?}");
    assert_eq!(one.json(), json!({ "address": bob, "number": BOB }));
    assert!(
        one.headers.contains(&format!("location: {}", at("alice", &format!("contacts/{bob}"))))
    );
    let none = add(&world, 1, "tel:+15551230009").await;
    assert_eq!((none.status, none.what().as_str()), (404, "nobody is known by this number"));
    let several = add(&world, 1, "+15551230003").await;
    assert_eq!(several.status, 409);
    assert_eq!(several.what(), "several people are known by this number");
    assert!(dns.asked() >= 3);

    // No bare number is anywhere, and what failed has left no trace.
    let contacts = get(&world, "alice", "contacts").await;
    assert_eq!(contacts, json!({ "contacts": [{ "address": bob, "number": BOB }] }));
}

#[tokio::test]
async fn sec_2_a_number_of_a_user_needs_no_name_server_and_a_silent_one_is_503_and_keeps_nothing() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let world = world(|config| {
        config.numbers.enum_domain = Some(String::from("e164.test"));
        config.numbers.dns_servers = vec![address];
        config.numbers.lookup_secs = 1;
    })
    .await;

    let bob = add(&world, 0, &format!("tel:{}", number("bob"))).await;
    assert_eq!((bob.status, &bob.json()["address"]), (201, &json!(format!("sip:bob@{DOMAIN}"))));
    let unknown = add(&world, 1, "tel:+15551230009").await;
    assert_eq!((unknown.status, unknown.what().as_str()), (503, "ENUM: no answer in time"));
    assert_eq!(get(&world, "alice", "contacts").await["contacts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn sec_2_an_address_is_taken_as_it_is_and_nobody_of_this_domain_is_404() {
    let world = World::start().await;

    let bob = add(&world, 0, &format!("sip:bob@{DOMAIN}")).await;
    let elsewhere = add(&world, 1, "sip:dan@elsewhere.test").await;
    let again = add(&world, 2, &format!("sip:bob@{DOMAIN}")).await;
    assert_eq!((bob.status, elsewhere.status, again.status), (201, 201, 200));
    let nobody = add(&world, 3, &format!("sip:nobody@{DOMAIN}")).await;
    assert_eq!(
        (nobody.status, nobody.what().as_str()),
        (404, "nobody of this address is known here")
    );
    let local = add(&world, 3, "tel:7042;phone-context=example.net").await;
    assert_eq!(local.status, 400);

    let path = at("alice", &format!("contacts/sip:bob@{DOMAIN}"));
    let named = call(&world, "alice", ("PUT", &path), Some(3), &json!({ "name": "Bobby" })).await;
    assert_eq!(named.status, 204, "{named:?}");
    let contacts = get(&world, "alice", "contacts").await;
    assert_eq!(contacts["contacts"][0]["name"], "Bobby");
    let gone = call(&world, "alice", ("DELETE", &path), Some(4), &Value::Null).await;
    assert_eq!(gone.status, 204);
    let twice = call(&world, "alice", ("DELETE", &path), Some(5), &Value::Null).await;
    assert_eq!((twice.status, twice.what().as_str()), (404, "this is no contact of yours"));
}

#[tokio::test]
async fn sec_2_s2_ns2_s2_os8_a_session_starts_from_a_phonebook_entry_without_a_question() {
    let world = World::start().await;
    let bobs = number("bob");
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let path = at("alice", &format!("phonebook/{bobs}"));
    let put = call(&world, "alice", ("PUT", &path), Some(0), &json!({ "name": "Bob" })).await;
    assert_eq!(put.status, 204, "{put:?}");
    let listed = get(&world, "alice", "phonebook").await;
    assert_eq!(listed, json!({ "entries": [{ "number": bobs, "name": "Bob" }] }));

    let entry = get(&world, "alice", &format!("phonebook/{bobs}")).await;
    let address = entry["address"].as_str().unwrap();
    assert_eq!(address, format!("sip:bob@{DOMAIN}"));
    let message = alice.request("MESSAGE", address).with_body("text/plain", "hello");
    let answers = async {
        let (key, message) = bob.incoming().await;
        bob.answer(key, &message, 200).await;
        message
    };
    let (response, message) = tokio::join!(alice.send(message), answers);
    assert_eq!((response.status.code(), &message.body[..]), (200, &b"hello"[..]));

    let other = at("alice", "phonebook/+15551230009");
    let missing = ask(&world, "alice", "GET", &other, b"").await;
    assert_eq!((missing.status, missing.what().as_str()), (404, "this number is not in it"));
    let anywhere = at("alice", &format!("lookup/{bobs}"));
    let found = call(&world, "alice", ("POST", &anywhere), None, &Value::Null).await;
    assert_eq!(found.json()["address"], address);
    // Numbers in a phonebook are no contacts.
    assert_eq!(get(&world, "alice", "contacts").await, json!({ "contacts": [] }));
}

#[tokio::test]
async fn the_directory_is_not_read_out_number_by_number() {
    let world = world(|config| {
        config.numbers.lookups_per_minute_max = 2;
    })
    .await;
    let path = at("mallory", &format!("lookup/{}", number("bob")));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(call(&world, "mallory", ("POST", &path), None, &Value::Null).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn sec_3_s2_ns3_e_f_only_the_person_gets_at_profile_and_privacy() {
    let world = World::start().await;
    for what in ["profile", "privacy", "contacts", "phonebook"] {
        let nobody = exchange(&world, "GET", &at("alice", what), "", b"").await;
        assert_eq!(nobody.status, 401, "{what}");
        let mallory =
            call(&world, "mallory", ("GET", &at("alice", what)), None, &Value::Null).await;
        assert_eq!((mallory.status, mallory.what().as_str()), (403, "this is somebody else's"));
    }
    for (what, body) in [("profile", json!({})), ("privacy", json!({ "messages_from": "nobody" }))]
    {
        let path = at("alice", what);
        let change = call(&world, "mallory", ("PUT", &path), Some(0), &body).await;
        assert_eq!(change.status, 403, "{what}");
        // Whoever says that somebody has asked, and is no proxy of ours, says nothing.
        let word = format!("X-3GPP-Asserted-Identity: \"sip:alice@{DOMAIN}\"\r\n");
        let forged = exchange(&world, "GET", &path, &word, b"").await;
        assert_eq!(forged.status, 401, "{what}");
    }
    assert_eq!(get(&world, "alice", "privacy").await["messages_from"], "everybody");
}

#[tokio::test]
async fn sec_3_each_access_is_noted_with_the_person_and_the_answer() {
    let world = world(|config| {
        let folder = config.https.certificate_file.parent().unwrap().to_owned();
        config.admin = Some(crate::operator::admin(&folder));
    })
    .await;
    get(&world, "alice", "profile").await;
    call(&world, "mallory", ("GET", &at("alice", "privacy")), None, &Value::Null).await;
    let mut guess = Login::new("alice", "a guess");
    crate::web::ask_with(&world, &mut guess, "GET", &at("alice", "privacy"), b"").await;
    // What proves nothing is no guess.
    exchange(&world, "GET", &at("alice", "privacy"), "Authorization: Basic x\r\n", b"").await;

    let audit = crate::operator::get(&world, "/v1/audit").await;

    let lines = audit["audit"].as_array().unwrap();
    let seen: Vec<_> =
        lines.iter().map(|line| (line["actor"].as_str(), line["result"].as_str())).collect();
    let (alice, mallory) = (format!("sip:alice@{DOMAIN}"), format!("sip:mallory@{DOMAIN}"));
    let expected = [
        (Some("stranger"), Some("401")),
        (Some(mallory.as_str()), Some("403")),
        (Some(alice.as_str()), Some("200")),
    ];
    assert_eq!(seen, expected, "{lines:?}");
    assert_eq!(lines[2]["action"], "GET /v1/people/{person}/profile");
    assert_eq!(lines[2]["subject"], at("alice", "profile"));
}

#[tokio::test]
async fn sec_3_the_certificate_of_a_device_says_who_asks() {
    let world = World::start().await;
    let device = DeviceName {
        aor: format!("sip:alice@{DOMAIN}").parse().unwrap(),
        device: "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap(),
    };
    let key = DeviceKey::generate(&mut StdRng::seed_from_u64(5));
    let csr = request(&key, &device).unwrap();
    let certificate = ask(&world, "alice", "POST", "/v1/certificates", &csr).await.body;
    let pkcs8 = key.to_pkcs8().unwrap();
    let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
    let identity = Identity::new(vec![CertificateDer::from(certificate)], pkcs8).unwrap();

    let with = async |path: &str| {
        let address = world.addresses.https;
        exchange_at(&world, address, Some(&identity), "GET", path, "", b"").await
    };
    assert_eq!(with(&at("alice", "profile")).await.status, 200);
    assert_eq!(with(&at("bob", "profile")).await.status, 403);
    // A device that somebody has found does not renew itself.
    let (address, path) = (world.addresses.https, "/v1/certificates");
    let renewed = exchange_at(&world, address, Some(&identity), "POST", path, "", &csr).await;
    assert_eq!(renewed.status, 401);
}

#[tokio::test]
async fn sec_3_a_proxy_that_proves_its_name_says_who_asks_and_nobody_else_does() {
    let world = world(|config| {
        let folder = config.https.certificate_file.parent().unwrap().to_owned();
        config.https.proxy_ca_file = Some(folder.join("ca.pem"));
        config.https.proxy_names = vec![String::from("proxy.example.net")];
    })
    .await;
    let word = format!("X-3GPP-Asserted-Identity: \"tel:{BOB}\", \"sip:alice@{DOMAIN}\"\r\n");
    let with = async |name: &str, word: &str| {
        let identity = world.ca.issue(&[name]).unwrap();
        let (address, path) = (world.addresses.https, at("alice", "profile"));
        exchange_at(&world, address, Some(&identity), "GET", &path, word, b"").await.status
    };

    assert_eq!(with("proxy.example.net", &word).await, 200);
    assert_eq!(with("proxy.example.net", "").await, 401);
    assert_eq!(with("proxy.example.net", &word.replace("alice", "bob")).await, 403);
    assert_eq!(with("proxy.example.net", &word.replace("alice", "nobody")).await, 401);
    assert_eq!(with("another.example.net", &word).await, 401);
}

#[tokio::test]
async fn a_change_says_which_version_it_changes() {
    let world = World::start().await;
    let path = at("alice", "profile");
    let put = async |version, name: &str| {
        let body = json!({ "display_name": name });
        call(&world, "alice", ("PUT", &path), version, &body).await
    };

    let blind = put(None, "Alice").await;
    assert_eq!((blind.status, blind.what().as_str()), (428, "which version do you change?"));
    let first = put(Some(0), "Alice").await;
    assert!(first.status == 204 && first.headers.contains("etag: \"1\""), "{first:?}");
    let late = put(Some(0), "Alicia").await;
    assert!(late.status == 412 && late.headers.contains("etag: \"1\""), "{late:?}");
    assert_eq!(put(Some(1), "Alicia").await.status, 204);
    let read = ask(&world, "alice", "GET", &path, b"").await;
    assert!(read.headers.contains("etag: \"2\""), "{}", read.headers);
    assert_eq!(read.json()["display_name"], "Alicia");
    assert_eq!(put(Some(2), &"x".repeat(65)).await.status, 400);
    assert_eq!(put(Some(2), "a\nb").await.status, 400);
}

#[tokio::test]
async fn sec_3_what_a_person_wants_holds_where_messages_arrive() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mallory = Phone::registered(&world, "mallory", 1).await;
    let to_alice = format!("sip:alice@{DOMAIN}");
    let wishes = json!({ "messages_from": "contacts", "blocked": [] });
    let path = at("alice", "privacy");
    assert_eq!(call(&world, "alice", ("PUT", &path), Some(0), &wishes).await.status, 204);

    let mut mallory = mallory;
    let message = mallory.request("MESSAGE", &to_alice).with_body("text/plain", "psst");
    assert_eq!(mallory.send(message).await.status.code(), 403);

    // Who becomes a contact gets through from then on; who is blocked does not even then.
    assert_eq!(add(&world, 0, &format!("sip:bob@{DOMAIN}")).await.status, 201);
    let message = bob.request("MESSAGE", &to_alice).with_body("text/plain", "hello");
    let takes = async {
        let (key, message) = alice.incoming().await;
        alice.answer(key, &message, 200).await;
    };
    let (response, ()) = tokio::join!(bob.send(message), takes);
    assert_eq!(response.status.code(), 200);
    let wishes = json!({ "messages_from": "contacts", "blocked": [format!("sip:bob@{DOMAIN}")] });
    assert_eq!(call(&world, "alice", ("PUT", &path), Some(1), &wishes).await.status, 204);
    let message = bob.request("MESSAGE", &to_alice).with_body("text/plain", "hello?");
    assert_eq!(bob.send(message).await.status.code(), 403);
}

#[tokio::test]
async fn sec_3_who_wants_no_invitation_is_not_called_into_a_conference() {
    let mut world = World::start().await;
    let path = at("bob", "privacy");
    let wishes = json!({ "invitations_from": "nobody" });
    assert_eq!(call(&world, "bob", ("PUT", &path), Some(0), &wishes).await.status, 204);
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let _bob = Phone::registered(&world, "bob", 1).await;
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let mut made = alice.invite(&factory, &good_offer()).await.ok().unwrap();
    world.relay.seat().await;
    assert!(!conference(&made.response).is_empty());

    let bob = format!("<sip:bob@{DOMAIN}>");
    let refer = made.dialog.request(sip::Method::Refer).unwrap().with(Name::ReferTo, bob);
    assert!(alice.send(refer).await.status.is_success());

    let told = loop {
        let (key, notify) = alice.incoming().await;
        alice.answer(key, &notify, 200).await;
        let text = String::from_utf8_lossy(&notify.body).into_owned();
        if !text.contains(" 100 ") {
            break text;
        }
    };
    assert!(told.contains("403"), "{told}");
}

#[tokio::test]
async fn sec_3_who_wants_to_be_hidden_is_hidden_without_saying_so_each_time() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let path = at("alice", "privacy");
    let wishes = json!({ "hide_identity": true });
    assert_eq!(call(&world, "alice", ("PUT", &path), Some(0), &wishes).await.status, 204);

    for (privacy, hidden) in [(None, true), (Some("none"), false)] {
        let mut message = alice.request("MESSAGE", &format!("sip:bob@{DOMAIN}"));
        if let Some(privacy) = privacy {
            message = message.with(Name::Privacy, privacy);
        }
        let takes = async {
            let (key, message) = bob.incoming().await;
            bob.answer(key, &message, 200).await;
            message
        };
        let message = message.with_body("text/plain", "x");
        let (_, message) = tokio::join!(alice.send(message), takes);
        let names_alice = String::from_utf8_lossy(&message.to_bytes()).contains("alice");
        assert_eq!(names_alice, !hidden, "{privacy:?}");
    }
}

#[tokio::test]
async fn the_document_of_people_names_every_resource() {
    let world = World::start().await;
    let document = exchange(&world, "GET", "/v1/openapi.json", "", b"").await.json();

    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 8, "{paths:?}");
    for (path, methods) in paths {
        let tried = path.replace("{person}", "sip:x@y.z").replace("{contact}", "sip:a@b.c");
        let allowed = exchange(&world, "TRACE", &tried.replace("{number}", "+1"), "", b"").await;
        assert_eq!(allowed.status, 405, "{path} is not served");
        for method in methods.as_object().unwrap().keys() {
            assert!(allowed.headers.contains(&method.to_uppercase()), "{method} {path}");
        }
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
    }
}
