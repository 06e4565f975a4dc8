//! The operator's API: who may use it, what it shows, what it changes, and that all of it is noted.
use std::path::Path;

use mrfc::config::Admin;
use serde_json::{Value, json};
use service::clock;
use service::tls::{DevCa, Identity};

use crate::phone::{Phone, conference, good_offer};
use crate::relay::Manner;
use crate::web::{Answer, exchange_at};
use crate::world::{DOMAIN, World};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A world whose operators hold the token, or a certificate under the world's own CA.
pub(crate) async fn world() -> World {
    World::with(Manner::Prompt, |config| {
        let folder = config.https.certificate_file.parent().unwrap().to_owned();
        config.admin = Some(admin(&folder));
    })
    .await
}

pub(crate) fn admin(folder: &Path) -> Admin {
    std::fs::write(folder.join("admin.token"), format!("{TOKEN}\n")).unwrap();
    let settings = json!({
        "listen": "127.0.0.1:0",
        "certificate_file": folder.join("server.pem"),
        "key_file": folder.join("server.key"),
        "token_file": folder.join("admin.token"),
        "client_ca_file": folder.join("ca.pem"),
    });
    serde_json::from_value(settings).unwrap()
}

pub(crate) async fn call(world: &World, method: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n");
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
    exchange_at(world, world.addresses.admin.unwrap(), None, method, path, &bearer, &body).await
}

pub(crate) async fn get(world: &World, path: &str) -> Value {
    let answer = call(world, "GET", path, &Value::Null).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// Alice in a conference of her own; its name.
async fn talking(world: &mut World, alice: &mut Phone) -> String {
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let made = alice.invite(&factory, &good_offer()).await.ok().unwrap();
    world.relay.seat().await;
    conference(&made.response)
}

#[tokio::test]
async fn only_the_token_or_a_certificate_of_the_operators_ca_opens_the_api() {
    let world = world().await;
    let address = world.addresses.admin.unwrap();
    let with = async |identity: Option<&Identity>, headers: &str| {
        exchange_at(&world, address, identity, "GET", "/v1/status", headers, b"").await
    };

    let nobody = with(None, "").await;
    assert_eq!((nobody.status, nobody.what().as_str()), (401, "who are you?"));
    assert!(nobody.headers.contains("www-authenticate: Bearer realm="), "{}", nobody.headers);
    for wrong in ["Bearer 0123456789abcdef", "Bearer ", "Basic YWxpY2U6c2VjcmV0", "Digest x"] {
        let answer = with(None, &format!("Authorization: {wrong}\r\n")).await;
        assert_eq!(answer.status, 401, "{wrong}");
    }
    assert_eq!(with(None, &format!("Authorization: Bearer {TOKEN}\r\n")).await.status, 200);
    let operator = world.ca.issue(&["operator-1"]).unwrap();
    assert_eq!(with(Some(&operator), "").await.status, 200);
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_no_handshake() {
    let world = world().await;
    let stranger = DevCa::new("another", clock::wall()).unwrap().issue(&["operator-1"]).unwrap();
    let config = service::tls::Trust::Roots(world.roots.clone());
    let config = service::tls::client_config(config, Some(&stranger), &[]).unwrap();
    let socket = tokio::net::TcpStream::connect(world.addresses.admin.unwrap()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from(DOMAIN).unwrap();
    let connected = tokio_rustls::TlsConnector::from(config).connect(name, socket).await;

    // With TLS 1.3 the client hears of it when it reads.
    let refused = match connected {
        Err(_) => true,
        Ok(mut stream) => {
            use tokio::io::AsyncReadExt as _;
            stream.read(&mut [0; 1]).await.is_err()
        }
    };
    assert!(refused);
}

#[tokio::test]
async fn guessing_tokens_is_slowed_down_and_noted_without_the_guess() {
    let world = World::with(Manner::Prompt, |config| {
        let folder = config.https.certificate_file.parent().unwrap().to_owned();
        config.admin = Some(admin(&folder));
        config.limits.http_failures_per_minute_max = 2;
    })
    .await;
    let address = world.addresses.admin.unwrap();
    let mut statuses = Vec::new();
    for guess in ["hunter2-hunter2-1", "hunter2-hunter2-2", "hunter2-hunter2-3"] {
        let header = format!("Authorization: Bearer {guess}\r\n");
        let answer = exchange_at(&world, address, None, "GET", "/v1/audit", &header, b"").await;
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [401, 401, 429]);

    // Whoever has the token waits too, from there; a certificate is no guess.
    let operator = world.ca.issue(&["operator-1"]).unwrap();
    let audit = exchange_at(&world, address, Some(&operator), "GET", "/v1/audit", "", b"").await;
    let lines = audit.json()["audit"].as_array().unwrap().clone();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["actor"], &lines[0]["result"]), (&json!("stranger"), &json!("401")));
    assert!(!String::from_utf8_lossy(&audit.body).contains("hunter2"));
}

#[tokio::test]
async fn without_the_table_there_is_no_admin_listener() {
    let world = World::start().await;

    assert_eq!(world.addresses.admin, None);
}

#[tokio::test]
async fn conferences_are_made_looked_at_and_closed() {
    let world = world().await;
    let body =
        json!({ "name": "standup", "creator": format!("sip:alice@{DOMAIN}"), "level": "open" });

    let made = call(&world, "POST", "/v1/conferences", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.headers.contains("location: /v1/conferences/standup"));
    assert_eq!(made.json()["uri"], format!("sip:standup@{DOMAIN}"));
    let again = call(&world, "POST", "/v1/conferences", &body).await;
    assert_eq!((again.status, again.what().as_str()), (409, "there is a conference of this name"));

    let list = get(&world, "/v1/conferences").await;
    assert_eq!((&list["total"], &list["conferences"][0]["level"]), (&json!(1), &json!("open")));
    let one = get(&world, "/v1/conferences/standup").await;
    assert_eq!((&one["relay"], &one["participants"]), (&json!("mrfp-0"), &json!(0)));
    assert!(one["group"].is_null() && one["created"].as_str().unwrap().ends_with('Z'));

    let closed = call(&world, "DELETE", "/v1/conferences/standup", &Value::Null).await;
    assert_eq!(closed.status, 204);
    let gone = call(&world, "GET", "/v1/conferences/standup", &Value::Null).await;
    assert_eq!((gone.status, gone.what().as_str()), (410, "this conference is over"));
    // One that stays has no room until somebody comes.
    let body =
        json!({ "name": "club", "creator": format!("sip:alice@{DOMAIN}"), "standing": true });
    let made = call(&world, "POST", "/v1/conferences", &body).await;
    assert_eq!((&made.json()["relay"], &made.json()["standing"]), (&json!(""), &json!(true)));
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_with_its_place() {
    let world = world().await;
    let alice = format!("sip:alice@{DOMAIN}");
    let refusals = [
        (json!({ "name": "Not A Name", "creator": alice }), 400, "name"),
        (json!({ "creator": "alice" }), 400, "creator"),
        (json!({ "name": "conference-factory", "creator": alice }), 409, "name"),
        (json!({ "creator": alice, "colour": "red" }), 422, "the body"),
        (json!({}), 422, "the body"),
    ];
    for (body, status, place) in refusals {
        let answer = call(&world, "POST", "/v1/conferences", &body).await;
        assert_eq!((answer.status, &answer.json()["where"]), (status, &json!(place)), "{body}");
    }
    let nothing = call(&world, "GET", "/v1/nothing", &Value::Null).await;
    assert_eq!((nothing.status, nothing.what().as_str()), (404, "there is nothing here"));
    let not_so = call(&world, "PUT", "/v1/status", &Value::Null).await;
    assert_eq!(not_so.status, 405);
    assert!(not_so.headers.contains("allow: GET"), "{}", not_so.headers);
}

#[tokio::test]
async fn a_member_is_listed_with_each_device_and_put_out() {
    let mut world = world().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let name = talking(&mut world, &mut alice).await;

    let members = get(&world, &format!("/v1/conferences/{name}/members")).await;
    let member = &members["members"][0];
    assert_eq!(member["person"], format!("sip:alice@{DOMAIN}"));
    assert_eq!(
        (&member["moderator"], &member["devices"][0]["presence"]),
        (&json!(true), &json!("seated"))
    );
    assert_eq!(member["devices"][0]["holds_key"], false);

    let path = format!("/v1/conferences/{name}/members/sip:alice@{DOMAIN}");
    let out = call(&world, "DELETE", &path, &Value::Null).await;
    assert_eq!(out.status, 204, "{out:?}");
    let (key, bye) = alice.incoming().await;
    assert_eq!(bye.method, sip::Method::Bye);
    alice.answer(key, &bye, 200).await;
    // Nobody is left, and so it is over.
    let stranger = format!("/v1/conferences/{name}/members/sip:bob@{DOMAIN}");
    assert_eq!(call(&world, "DELETE", &stranger, &Value::Null).await.status, 410);
    let nowhere = format!("/v1/conferences/nowhere/members/sip:bob@{DOMAIN}");
    assert_eq!(call(&world, "DELETE", &nowhere, &Value::Null).await.status, 404);
}

#[tokio::test]
async fn s0_08_each_registration_says_what_protects_it() {
    let world = world().await;
    let _alice = Phone::registered(&world, "alice", 1).await;
    let _bob = Phone::registered(&world, "bob", 1).await;

    let all = get(&world, "/v1/registrations").await;
    assert_eq!((&all["total"], all["registrations"].as_array().unwrap().len()), (&json!(2), 2));
    let alice = format!("sip:alice@{DOMAIN}");
    let hers = get(&world, &format!("/v1/registrations?person={alice}")).await;
    let registration = &hers["registrations"][0];
    assert_eq!((&hers["total"], &registration["person"]), (&json!(1), &json!(alice)));
    assert_eq!(registration["access"], "tls");
    assert!(registration["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(registration["device"].as_str().unwrap().starts_with("urn:uuid:"));
    assert!(registration["secs_left"].as_u64().unwrap() > 0);
    let one = get(&world, "/v1/registrations?limit=1").await;
    assert_eq!((&one["total"], one["registrations"].as_array().unwrap().len()), (&json!(2), 1));
    assert_eq!(get(&world, "/v1/status").await["registrations"], 2);
}

#[tokio::test]
async fn a_dropped_registration_is_gone_with_its_connection_and_no_other_one() {
    let world = world().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let _bob = Phone::registered(&world, "bob", 1).await;

    let path = format!("/v1/registrations/sip:alice@{DOMAIN}");
    let dropped = call(&world, "DELETE", &path, &Value::Null).await;

    assert_eq!(dropped.json()["registrations"], 1);
    alice.closed().await;
    assert_eq!(get(&world, "/v1/registrations").await["total"], 1);
    assert_eq!(call(&world, "DELETE", &path, &Value::Null).await.status, 404);
    let other =
        format!("/v1/registrations/sip:bob@{DOMAIN}/urn:uuid:00000000-0000-4000-8000-0000000000ff");
    assert_eq!(call(&world, "DELETE", &other, &Value::Null).await.status, 404);
    assert_eq!(get(&world, "/v1/registrations").await["total"], 1);
}

#[tokio::test]
async fn a_draining_relay_gets_no_new_room_and_keeps_those_it_has() {
    let mut world = world().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    talking(&mut world, &mut alice).await;
    let relay = &get(&world, "/v1/relays").await["relays"][0];
    assert_eq!((&relay["name"], &relay["reached"]), (&json!("mrfp-0"), &json!(true)));
    assert_eq!((&relay["rooms"], &relay["draining"]), (&json!(1), &json!(false)));

    assert_eq!(call(&world, "PUT", "/v1/relays/mrfp-0/drain", &Value::Null).await.status, 204);

    let body = json!({ "creator": format!("sip:bob@{DOMAIN}") });
    let nowhere = call(&world, "POST", "/v1/conferences", &body).await;
    assert_eq!((nowhere.status, nowhere.what().as_str()), (503, "no relay can carry the room now"));
    let relay = &get(&world, "/v1/relays").await["relays"][0];
    assert_eq!((&relay["rooms"], &relay["draining"]), (&json!(1), &json!(true)));
    assert_eq!(call(&world, "DELETE", "/v1/relays/mrfp-0/drain", &Value::Null).await.status, 204);
    assert_eq!(call(&world, "POST", "/v1/conferences", &body).await.status, 201);
    let unknown = call(&world, "PUT", "/v1/relays/mrfp-7/drain", &Value::Null).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.json()["mend"].as_str().unwrap().contains("mrfp-0"));
}

#[tokio::test]
async fn every_change_is_in_the_audit_and_no_look_is() {
    let world = world().await;
    let body = json!({ "name": "standup", "creator": format!("sip:alice@{DOMAIN}") });
    call(&world, "POST", "/v1/conferences", &body).await;
    get(&world, "/v1/conferences").await;
    let operator = world.ca.issue(&["operator-1"]).unwrap();
    let address = world.addresses.admin.unwrap();
    let path = "/v1/conferences/nowhere";
    exchange_at(&world, address, Some(&operator), "DELETE", path, "", b"").await;

    let audit = get(&world, "/v1/audit").await;

    let lines = audit["audit"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["action"], "DELETE /v1/conferences/{name}");
    assert_eq!((&lines[0]["subject"], &lines[0]["result"]), (&json!(path), &json!("404")));
    assert!(lines[0]["actor"].as_str().unwrap().starts_with("certificate "));
    assert_eq!((&lines[1]["actor"], &lines[1]["result"]), (&json!("token"), &json!("201")));
    assert_eq!(lines[1]["subject"], "/v1/conferences/standup");
    assert_eq!(lines[1]["source"], "127.0.0.1");
    let hers = get(&world, "/v1/audit?actor=token&limit=5").await;
    assert_eq!(hers["audit"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_document_names_every_route_and_the_shape_of_every_answer() {
    let world = world().await;
    let document = get(&world, "/v1/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));

    // Whatever the document names is there, by each of its methods.
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 19, "{paths:?}");
    for (path, methods) in paths {
        let tried = path.replace("{name}", "none").replace("{person}", "sip:none@example.net");
        let tried = tried.replace("{device}", "urn:uuid:00000000-0000-4000-8000-000000000009");
        let allowed = call(&world, "TRACE", &tried, &Value::Null).await;
        assert_eq!(allowed.status, 405, "{path} is not served");
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            assert!(allowed.headers.contains(&method), "{method} {path}: {}", allowed.headers);
        }
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
    }
    assert!(text.contains("ConferenceList") && text.contains("\"Problem\""));
}

#[tokio::test]
async fn a_check_of_the_configuration_needs_a_file() {
    let world = world().await;

    let answer = call(&world, "POST", "/v1/config/check", &Value::Null).await;

    assert_eq!(answer.status, 404);
    assert!(answer.what().contains("not started from a file"));
}
