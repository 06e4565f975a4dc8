//! How conferences end (flow F10), what is left of them, and those that stay when nobody is in them.
use control::{RoomNotice, RoomOrder};
use mrfc::config::{Leaves, Level, StandingConference};
use sip::conference_info::State;
use sip::header::{Name, SubscriptionStatus};
use sip::{Method, Status};

use crate::phone::{Phone, Talk, conference, good_offer};
use crate::referring::made;
use crate::relay::Manner;
use crate::watching::{subscription, told, watch};
use crate::web::{ask, ask_json};
use crate::world::{DOMAIN, World};

/// Leaves for good.
async fn leave(phone: &Phone, talk: &mut Talk) {
    let leave = talk.dialog.request(Method::Bye).unwrap();
    let leave = leave.with(Name::Reason, "conclave;cause=1;text=\"leave\"");
    assert_eq!(phone.send(leave).await.status, Status::OK);
}

/// The focus ends the dialog of this phone.
async fn called_off(phone: &mut Phone) {
    let (key, bye) = phone.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    phone.answer(key, &bye, 200).await;
}

async fn closed(world: &mut World) {
    let closed = |order: &RoomOrder| matches!(order, RoomOrder::Close { .. }).then_some(());
    world.relay.order(closed).await;
}

/// Until a figure is this; it is brought up to date every second.
async fn settled(world: &World, line: &str, value: u64) {
    while world.metric(line).await != value {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn f10_the_end_of_a_conference_is_told_to_everybody_and_leaves_nothing_behind() {
    let quick = |config: &mut mrfc::Config| config.conferences.notify_secs = 0;
    let mut world = World::with(Manner::Prompt, quick).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let (talk, uri) = made(&mut world, &mut alice).await;
    bob.invite(&uri, &good_offer()).await.ok().unwrap();
    world.relay.seat().await;
    watch(&mut bob, &uri).await;
    // Somebody is being called meanwhile.
    let refer = alice.request("REFER", &uri).with(Name::ReferTo, format!("<{}>", carol.aor));
    let refer = refer.with(Name::ReferSub, "false");
    assert_eq!(alice.send(refer).await.status, Status::OK);
    let (ringing, invite) = carol.incoming().await;
    carol.answer(ringing, &invite, 180).await;

    let path = format!("/v1/conferences/{}", conference(&talk.response));
    assert_eq!(ask(&world, "alice", "DELETE", &path, b"").await.status, 204);

    called_off(&mut alice).await;
    carol.cancelled(ringing).await;
    carol.answer(ringing, &invite, 487).await;
    let (mut ended, mut deleted) = (false, false);
    while !(ended && deleted) {
        let (key, request) = bob.incoming().await;
        bob.answer(key, &request, 200).await;
        ended |= request.method == Method::Bye;
        if request.method == Method::Notify {
            let state = request.headers.subscription_state().unwrap();
            if state.status == SubscriptionStatus::Terminated {
                assert_eq!(state.params.value("reason"), Some("noresource"));
                let info = sip::conference_info::ConferenceInfo::from_xml(&request.body).unwrap();
                assert_eq!((info.state, info.entity.as_str()), (State::Deleted, uri.as_str()));
                deleted = true;
            }
        }
    }
    closed(&mut world).await;
    settled(&world, "mrfc_rooms", 0).await;
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
    assert_eq!(world.metric("mrfc_members").await, 0);
    // It is gone for whatever is asked of it.
    let again = bob.invite(&uri, &good_offer()).await.err().unwrap();
    assert_eq!(again.status, Status::GONE);
    for request in [
        subscription(&mut bob, &uri),
        bob.request("OPTIONS", &uri),
        bob.request("REFER", &uri).with(Name::ReferTo, format!("<{}>", carol.aor)),
    ] {
        assert_eq!(bob.send(request).await.status, Status::GONE);
    }
    let never = bob.invite(&format!("sip:never@{DOMAIN}"), &good_offer()).await.err().unwrap();
    assert_eq!(never.status, Status::NOT_FOUND);
}

#[tokio::test]
async fn f10_who_asks_long_after_the_end_is_told_that_there_is_no_such_conference() {
    let mut world = World::with(Manner::Prompt, |config| config.conferences.gone_secs = 0).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (mut talk, uri) = made(&mut world, &mut alice).await;
    leave(&alice, &mut talk).await;
    closed(&mut world).await;

    let again = alice.invite(&uri, &good_offer()).await.err().unwrap();

    assert_eq!(again.status, Status::NOT_FOUND);
}

#[tokio::test]
async fn f10_a_conference_ends_with_its_creator_where_that_is_the_policy() {
    let ends = |config: &mut mrfc::Config| config.conferences.creator_leaves = Leaves::End;
    let mut world = World::with(Manner::Prompt, ends).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (mut talk, uri) = made(&mut world, &mut alice).await;
    bob.invite(&uri, &good_offer()).await.ok().unwrap();

    leave(&alice, &mut talk).await;

    called_off(&mut bob).await;
    closed(&mut world).await;
}

#[tokio::test]
async fn f10_a_conference_ends_when_its_time_is_over() {
    let brief = |config: &mut mrfc::Config| config.conferences.lifetime_secs = 1;
    let mut world = World::with(Manner::Prompt, brief).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    made(&mut world, &mut alice).await;

    called_off(&mut alice).await;

    closed(&mut world).await;
    settled(&world, "mrfc_rooms", 0).await;
}

/// A conference that the configuration wants to be there.
fn lobby() -> StandingConference {
    StandingConference {
        name: String::from("lobby"),
        creator: format!("sip:alice@{DOMAIN}").parse().unwrap(),
        moderators: vec![format!("sip:bob@{DOMAIN}").parse().unwrap()],
        level: Some(Level::Sealed),
        subject: Some(String::from("Coffee")),
    }
}

#[tokio::test]
async fn a_standing_conference_is_there_before_anybody_and_gets_its_room_when_somebody_comes() {
    let standing = |config: &mut mrfc::Config| config.conferences.standing.push(lobby());
    let mut world = World::with(Manner::Prompt, standing).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let uri = format!("sip:lobby@{DOMAIN}");

    let talk = carol.invite(&uri, &good_offer()).await.ok().unwrap();

    let opened = |order: &RoomOrder| match order {
        RoomOrder::Open(room) => Some(room.uri.clone()),
        _ => None,
    };
    assert_eq!(world.relay.order(opened).await, uri);
    assert_eq!(conference(&talk.response), "lobby");
    // Whoever came first decides nothing; those who were named do, wherever they are.
    let kick = |phone: &mut Phone, who: &str| {
        let refer = phone.request("REFER", &uri).with(Name::ReferSub, "false");
        refer.with(Name::ReferTo, format!("<sip:{who}@{DOMAIN};method=BYE>"))
    };
    let by_carol = kick(&mut carol, "bob");
    assert_eq!(carol.send(by_carol).await.status, Status::FORBIDDEN);
    let by_bob = kick(&mut bob, "carol");
    assert_eq!(bob.send(by_bob).await.status, Status::OK);
    called_off(&mut carol).await;
    // Its rules outlive a restart, and the configuration does not make it anew.
    world.restart().await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let barred = carol.invite(&uri, &good_offer()).await.err().unwrap();
    assert_eq!(barred.status, Status::FORBIDDEN);
    let shown = ask(&world, "alice", "GET", "/v1/conferences/lobby", b"").await.json();
    assert_eq!(shown["subject"], "Coffee");
}

#[tokio::test]
async fn a_person_with_the_right_makes_a_standing_conference_and_nobody_else_does() {
    let maker = |config: &mut mrfc::Config| {
        config.conferences.makers = vec![format!("sip:alice@{DOMAIN}")];
    };
    let mut world = World::with(Manner::Prompt, maker).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let (uri, path) = (format!("sip:club@{DOMAIN}"), "/v1/conferences/club");
    let body = br#"{"subject":"Chess","moderators":["sip:bob@example.net"]}"#;
    let factory = "/v1/conferences/conference-factory";

    assert_eq!(ask_json(&world, "carol", "PUT", path, body).await.status, 403);
    assert_eq!(ask_json(&world, "alice", "PUT", factory, b"{}").await.status, 409);
    let nowhere = carol.invite(&uri, &good_offer()).await.err().unwrap();
    assert_eq!(nowhere.status, Status::NOT_FOUND);
    assert_eq!(ask_json(&world, "alice", "PUT", path, body).await.status, 201);
    assert_eq!(ask_json(&world, "alice", "PUT", path, body).await.status, 409);

    carol.invite(&uri, &good_offer()).await.ok().unwrap();
    let seat = world.relay.seat().await.seat;
    world.relay.tell(&"club".parse().unwrap(), RoomNotice::Bound { seat });
    let shown = ask(&world, "carol", "GET", path, b"").await.json();
    assert_eq!(
        shown["moderators"],
        serde_json::json!(["sip:alice@example.net", "sip:bob@example.net"])
    );
    assert_eq!(ask(&world, "bob", "DELETE", path, b"").await.status, 204);
    called_off(&mut carol).await;
    assert_eq!(ask(&world, "bob", "GET", path, b"").await.status, 410);
}

#[tokio::test]
async fn cevt_07_a_subscription_outlives_the_rest_of_a_standing_conference() {
    let standing = |config: &mut mrfc::Config| {
        config.conferences.standing.push(lobby());
        config.conferences.notify_secs = 0;
    };
    let mut world = World::with(Manner::Prompt, standing).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let uri = format!("sip:lobby@{DOMAIN}");
    let seen = watch(&mut alice, &uri).await;
    assert_eq!((seen.info.user_count, seen.info.active), (Some(0), Some(false)));
    assert_eq!(seen.info.subject.as_deref(), Some("Coffee"));

    alice.invite(&uri, &good_offer()).await.ok().unwrap();

    world.relay.seat().await;
    let (state, info) = told(&mut alice).await;
    assert_eq!(state.status, SubscriptionStatus::Active);
    assert!(info.is_some());
}
