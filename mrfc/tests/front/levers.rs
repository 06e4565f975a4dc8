//! What an operator settles in a conference over the admin API, and what it means on the wire.
use serde_json::{Value, json};
use sip::{Method, Status};

use crate::operator::{call, get, world};
use crate::phone::{Phone, good_offer};
use crate::referring::made;
use crate::world::{DOMAIN, World};

/// Alice's conference with Bob in it.
struct Room {
    world: World,
    alice: Phone,
    bob: Phone,
    uri: String,
    path: String,
}

async fn room() -> Room {
    let mut world = world().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_, uri) = made(&mut world, &mut alice).await;
    bob.invite(&uri, &good_offer()).await.ok().unwrap();
    world.relay.seat().await;
    let name = uri.trim_start_matches("sip:").split('@').next().unwrap();
    let path = format!("/v1/conferences/{name}");
    Room { world, alice, bob, uri, path }
}

impl Room {
    /// Pulls a lever; the status.
    async fn pull(&self, method: &str, lever: &str) -> u16 {
        call(&self.world, method, &format!("{}/{lever}", self.path), &Value::Null).await.status
    }

    async fn shown(&self) -> Value {
        get(&self.world, &self.path).await
    }
}

fn about(who: &str) -> String {
    format!("sip:{who}@{DOMAIN}")
}

#[tokio::test]
async fn a_conference_locked_by_an_operator_lets_in_those_who_belong_to_it_alone() {
    let mut room = room().await;
    let mut carol = Phone::registered(&room.world, "carol", 1).await;

    assert_eq!(room.pull("PUT", "lock").await, 204);
    assert_eq!(room.pull("PUT", "lock").await, 204, "what is so already is no failure");

    assert_eq!(room.shown().await["locked"], true);
    let refused = carol.invite(&room.uri, &good_offer()).await.err().unwrap();
    assert_eq!(refused.status, Status::FORBIDDEN);
    assert!(room.bob.invite(&room.uri, &good_offer()).await.is_ok());
    room.world.relay.seat().await;
    assert_eq!(room.pull("DELETE", "lock").await, 204);
    assert!(carol.invite(&room.uri, &good_offer()).await.is_ok());
}

#[tokio::test]
async fn f8_an_operator_bans_who_is_in_and_who_is_not_the_founder_too() {
    let mut room = room().await;

    let carol = format!("banned/{}", about("carol"));
    assert_eq!(room.pull("PUT", &carol).await, 204);
    let mut phone = Phone::registered(&room.world, "carol", 1).await;
    let refused = phone.invite(&room.uri, &good_offer()).await.err().unwrap();
    assert_eq!(refused.status, Status::FORBIDDEN);
    assert_eq!(room.pull("DELETE", &carol).await, 204);
    assert!(phone.invite(&room.uri, &good_offer()).await.is_ok());

    // No moderator may do this to the founder; an operator may.
    assert_eq!(room.pull("PUT", &format!("banned/{}", about("alice"))).await, 204);
    let (key, bye) = room.alice.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    room.alice.answer(key, &bye, 200).await;
    assert_eq!(room.shown().await["barred"], json!([about("alice")]));
    assert!(room.alice.invite(&room.uri, &good_offer()).await.is_err());
}

#[tokio::test]
async fn who_is_muted_by_an_operator_has_a_muted_seat_and_is_listed_so() {
    let mut room = room().await;

    for (method, muted) in [("PUT", true), ("DELETE", false)] {
        assert_eq!(room.pull(method, &format!("muted/{}", about("bob"))).await, 204);
        let seat = room.world.relay.seat().await;
        assert_eq!((seat.aor, seat.muted), (room.bob.aor.clone(), muted));
        let members = get(&room.world, &format!("{}/members", room.path)).await;
        assert_eq!(members["members"][1]["muted"], muted, "{members}");
    }
    assert_eq!(room.pull("PUT", &format!("muted/{}", about("mallory"))).await, 404);
}

#[tokio::test]
async fn private_messages_nicknames_and_the_subject_are_an_operators_to_settle() {
    let mut room = room().await;
    let before = room.shown().await;
    assert_eq!((&before["private_messages"], &before["nicknames"]), (&json!(true), &json!(true)));

    for lever in ["private-messages", "nicknames"] {
        assert_eq!(room.pull("DELETE", lever).await, 204);
    }
    for _ in 0..2 {
        assert!(!room.world.relay.seat().await.private_messages);
    }
    let subject = format!("{}/subject", room.path);
    let tea = json!({ "subject": "Tea\nand cake" });
    assert_eq!(call(&room.world, "PUT", &subject, &tea).await.status, 204);

    let after = room.shown().await;
    assert_eq!((&after["private_messages"], &after["nicknames"]), (&json!(false), &json!(false)));
    assert_eq!(after["subject"], "Tea and cake");
    let nothing = json!({ "subject": "" });
    assert_eq!(call(&room.world, "PUT", &subject, &nothing).await.status, 204);
    assert!(room.shown().await["subject"].is_null());
    let wrong = call(&room.world, "PUT", &subject, &json!({ "topic": "Tea" })).await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
}

#[tokio::test]
async fn the_last_moderator_cannot_be_dismissed_and_the_answer_says_what_to_do() {
    let room = room().await;
    let alice = format!("{}/moderators/{}", room.path, about("alice"));

    let last = call(&room.world, "DELETE", &alice, &Value::Null).await;
    assert_eq!(last.status, 409);
    assert!(last.what().contains("last moderator"), "{last:?}");
    assert!(last.json()["mend"].as_str().unwrap().contains("appoint"), "{last:?}");

    assert_eq!(room.pull("PUT", &format!("moderators/{}", about("bob"))).await, 204);
    assert_eq!(room.pull("DELETE", &format!("moderators/{}", about("alice"))).await, 204);
    let members = get(&room.world, &format!("{}/members", room.path)).await;
    let roles: Vec<bool> =
        members["members"].as_array().unwrap().iter().map(|m| m["moderator"] == true).collect();
    assert_eq!(roles, [false, true], "{members}");
}

#[tokio::test]
async fn every_lever_is_in_the_audit_with_its_name_and_a_wrong_one_is_nothing() {
    let room = room().await;
    room.pull("PUT", "lock").await;
    room.pull("PUT", &format!("muted/{}", about("bob"))).await;
    assert_eq!(room.pull("PUT", &format!("praised/{}", about("bob"))).await, 404);
    assert_eq!(room.pull("PUT", "banned/nobody").await, 400);
    let nowhere = call(&room.world, "PUT", "/v1/conferences/nowhere/lock", &Value::Null).await;
    assert_eq!((nowhere.status, nowhere.what().as_str()), (404, "there is no such conference"));

    let audit = get(&room.world, "/v1/audit").await;

    let lines = audit["audit"].as_array().unwrap();
    let told: Vec<_> = lines
        .iter()
        .map(|line| [&line["action"], &line["result"]].map(|text| text.as_str().unwrap()))
        .collect();
    assert!(told.contains(&["PUT /v1/conferences/{name}/lock", "204"]), "{told:?}");
    assert!(told.contains(&["PUT /v1/conferences/{name}/lock", "404"]), "{told:?}");
    assert!(told.contains(&["PUT /v1/conferences/{name}/muted/{person}", "204"]), "{told:?}");
    assert!(told.contains(&["PUT /v1/conferences/{name}/banned/{person}", "400"]), "{told:?}");
    let muted = lines.iter().find(|line| line["action"].as_str().unwrap().contains("muted"));
    assert_eq!(muted.unwrap()["subject"], format!("{}/muted/{}", room.path, about("bob")));
}

/// S3-44.
#[tokio::test]
async fn f4_an_operator_has_a_conference_call_somebody() {
    let room = room().await;
    let mut carol = Phone::registered(&room.world, "carol", 1).await;

    assert_eq!(room.pull("PUT", &format!("members/{}", about("carol"))).await, 204);

    let (key, invite) = carol.incoming().await;
    assert_eq!(invite.method, Method::Invite);
    assert_eq!(invite.headers.from().unwrap().uri.aor().unwrap().as_str(), room.uri);
    carol.answer(key, &invite, 486).await;
    let nowhere = format!("/v1/conferences/nowhere/members/{}", about("carol"));
    assert_eq!(call(&room.world, "PUT", &nowhere, &Value::Null).await.status, 404);
}
