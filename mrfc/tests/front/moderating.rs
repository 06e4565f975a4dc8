//! What a moderator settles over HTTPS, and what it means on the wire.
use control::RoomOrder;
use sip::header::Name;
use sip::{Method, Status};

use crate::phone::{Phone, conference, good_offer};
use crate::referring::made;
use crate::web::ask;
use crate::world::{DOMAIN, World};

struct Room {
    world: World,
    alice: Phone,
    bob: Phone,
    uri: String,
    path: String,
}

async fn room() -> Room {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (talk, uri) = made(&mut world, &mut alice).await;
    bob.invite(&uri, &good_offer()).await.ok().unwrap();
    world.relay.seat().await;
    let path = format!("/v1/conferences/{}", conference(&talk.response));
    Room { world, alice, bob, uri, path }
}

fn about(who: &str) -> String {
    format!("sip:{who}@{DOMAIN}")
}

#[tokio::test]
async fn a_muted_participant_has_a_muted_seat_until_unmuted() {
    let mut room = room().await;
    let path = format!("{}/muted/{}", room.path, about("bob"));

    for (method, muted) in [("PUT", true), ("DELETE", false)] {
        assert_eq!(ask(&room.world, "alice", method, &path, b"").await.status, 204);
        let seat = room.world.relay.seat().await;
        assert_eq!((seat.aor, seat.muted), (room.bob.aor.clone(), muted));
    }
    // What is so already is no failure.
    assert_eq!(ask(&room.world, "alice", "DELETE", &path, b"").await.status, 204);
}

#[tokio::test]
async fn f8_who_is_banned_is_out_and_a_later_invite_of_theirs_is_403() {
    let mut room = room().await;
    let path = format!("{}/banned/{}", room.path, about("bob"));

    assert_eq!(ask(&room.world, "alice", "PUT", &path, b"").await.status, 204);

    let (key, bye) = room.bob.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    room.bob.answer(key, &bye, 200).await;
    let again = room.bob.invite(&room.uri, &good_offer()).await.err().unwrap();
    assert_eq!(again.status, Status::FORBIDDEN);
    assert_eq!(ask(&room.world, "alice", "DELETE", &path, b"").await.status, 204);
    assert!(room.bob.invite(&room.uri, &good_offer()).await.is_ok());
}

#[tokio::test]
async fn a_locked_conference_is_403_to_who_is_new() {
    let room = room().await;
    let mut carol = Phone::registered(&room.world, "carol", 1).await;
    let body = br#"{"locked":true,"subject":"Tea"}"#;
    assert_eq!(ask(&room.world, "alice", "PATCH", &room.path, body).await.status, 415);

    // A body is JSON when its Content-Type says so.
    let locked = crate::web::ask_json(&room.world, "alice", "PATCH", &room.path, body).await;
    assert_eq!(locked.status, 204);

    let refused = carol.invite(&room.uri, &good_offer()).await.err().unwrap();
    assert_eq!(refused.status, Status::FORBIDDEN);
    let shown = ask(&room.world, "bob", "GET", &room.path, b"").await.json();
    assert_eq!((&shown["locked"], &shown["subject"]), (&true.into(), &"Tea".into()));
    assert_eq!(shown["moderators"], serde_json::json!([about("alice")]));
}

#[tokio::test]
async fn only_moderators_settle_and_only_participants_look() {
    let room = room().await;
    let muted = format!("{}/muted/{}", room.path, about("alice"));

    assert_eq!(ask(&room.world, "bob", "PUT", &muted, b"").await.status, 403);
    assert_eq!(ask(&room.world, "bob", "DELETE", &room.path, b"").await.status, 403);
    assert_eq!(ask(&room.world, "mallory", "GET", &room.path, b"").await.status, 403);
    assert_eq!(ask(&room.world, "alice", "GET", "/v1/conferences/nowhere", b"").await.status, 404);
    let nobody = format!("{}/muted/{}", room.path, about("mallory"));
    assert_eq!(ask(&room.world, "alice", "PUT", &nobody, b"").await.status, 404);
}

#[tokio::test]
async fn the_role_can_be_handed_on() {
    let mut room = room().await;
    let of = |who: &str| format!("{}/moderators/{}", room.path, about(who));

    assert_eq!(ask(&room.world, "alice", "PUT", &of("bob"), b"").await.status, 204);
    assert_eq!(ask(&room.world, "alice", "DELETE", &of("alice"), b"").await.status, 204);

    let kick = |phone: &mut Phone, who: &str| {
        let request = phone.request("REFER", &room.uri).with(Name::ReferSub, "false");
        request.with(Name::ReferTo, format!("<{};method=BYE>", about(who)))
    };
    let by_alice = kick(&mut room.alice, "bob");
    assert_eq!(room.alice.send(by_alice).await.status, Status::FORBIDDEN);
    let by_bob = kick(&mut room.bob, "alice");
    assert_eq!(room.bob.send(by_bob).await.status, Status::OK);
}

#[tokio::test]
async fn f10_a_moderator_ends_the_conference_and_its_uri_is_gone() {
    let mut room = room().await;

    assert_eq!(ask(&room.world, "alice", "DELETE", &room.path, b"").await.status, 204);

    for phone in [&mut room.alice, &mut room.bob] {
        let (key, bye) = phone.incoming().await;
        assert_eq!(bye.method, Method::Bye);
        phone.answer(key, &bye, 200).await;
    }
    let closed = |order: &RoomOrder| matches!(order, RoomOrder::Close { .. }).then_some(());
    room.world.relay.order(closed).await;
    let again = room.bob.invite(&room.uri, &good_offer()).await.err().unwrap();
    assert_eq!(again.status, Status::GONE);
    assert_eq!(ask(&room.world, "alice", "DELETE", &room.path, b"").await.status, 410);
}
