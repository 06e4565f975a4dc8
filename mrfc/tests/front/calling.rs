//! Dial-out: the focus calls every registered device of an invited person.
use sip::conference_info::{ConferenceInfo, Disconnection, Status as Where};
use sip::header::Name;
use sip::sdp::{Offer, Setup};
use sip::{Method, Response, Status};

use crate::phone::{Phone, good_offer};
use crate::referring::made;
use crate::relay::path;
use crate::watching::{quick, status, watch};
use crate::world::{DOMAIN, World};

async fn invite_bob(alice: &mut Phone, uri: &str) {
    let refer = alice.request("REFER", uri).with(Name::ReferTo, format!("<sip:bob@{DOMAIN}>"));
    assert_eq!(alice.send(refer).await.status, Status::OK);
}

/// The sipfrag of the last NOTIFY.
async fn outcome(phone: &mut Phone) -> String {
    loop {
        let (key, notify) = phone.incoming().await;
        phone.answer(key, &notify, 200).await;
        let state = notify.headers.subscription_state().unwrap().to_string();
        if state.starts_with("terminated") {
            return String::from_utf8(notify.body.to_vec()).unwrap();
        }
    }
}

/// S3-44.
#[tokio::test]
async fn f4_each_device_is_called_with_a_seat_of_its_own() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bobs =
        [Phone::registered(&world, "bob", 1).await, Phone::registered(&world, "bob", 2).await];
    let (_talk, uri) = made(&mut world, &mut alice).await;
    invite_bob(&mut alice, &uri).await;

    let mut paths = Vec::new();
    for bob in &mut bobs {
        let (key, invite) = bob.incoming().await;
        assert_eq!(invite.method, Method::Invite);
        assert!(invite.headers.contact().unwrap().params.has("isfocus"));
        assert_eq!(invite.headers.from().unwrap().uri.aor().unwrap().as_str(), uri);
        let offer = Offer::parse_conference(&invite.body).unwrap();
        assert_eq!(offer.media().setup, Some(Setup::ActPass));
        paths.push(offer.media().path[0].clone());
        let response = Response::to(&invite, Status::OK)
            .with(Name::Contact, bob.contact())
            .with_body("application/sdp", good_offer());
        bob.sip.respond(key, response).await;
    }

    assert_eq!(outcome(&mut alice).await, "SIP/2.0 200 OK\r\n");
    assert_ne!(paths[0], paths[1]);
    // Each seat is ordered twice: when it is offered, and when the answer brings the peer's path.
    let mut answered = Vec::new();
    while answered.len() < 2 {
        let seat = world.relay.seat().await;
        if seat.peer_path.is_some() {
            answered.push(path(seat.seat));
        }
    }
    answered.sort();
    paths.sort();
    assert_eq!(answered, paths);
    assert_eq!(world.metric("mrfc_dialogs").await, 3);
}

#[tokio::test]
async fn a_declined_call_gives_the_seat_back_and_the_inviter_is_told() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    invite_bob(&mut alice, &uri).await;

    let (key, invite) = bob.incoming().await;
    let seat = world.relay.seat().await.seat;
    bob.answer(key, &invite, 603).await;

    assert_eq!(outcome(&mut alice).await, "SIP/2.0 603 Decline\r\n");
    assert_eq!(world.relay.unseated(seat).await, "declined");
    assert_eq!(world.metric("mrfc_dial_outs_total{result=\"declined\"}").await, 1);
}

/// What alice, who moderates, sees of bob while he is called; she has asked for it.
async fn seen_as_bob_answers(answer: impl AsyncFn(&mut Phone)) -> (Where, Option<Disconnection>) {
    let mut world = quick().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    let mut seen = watch(&mut alice, &uri).await;
    let refer = alice.request("REFER", &uri).with(Name::ReferTo, format!("<sip:bob@{DOMAIN}>"));
    let refer = refer.with(Name::ReferSub, "false");
    assert_eq!(alice.send(refer).await.status, Status::OK);
    seen.until(&mut alice, |info| status(info, "bob") == Some(Where::DialingOut)).await;

    answer(&mut bob).await;

    let moved = |info: &ConferenceInfo| status(info, "bob") != Some(Where::DialingOut);
    seen.until(&mut alice, moved).await;
    let user = seen.info.user(bob.aor.as_str()).unwrap();
    (user.endpoints[0].status.unwrap(), user.endpoints[0].disconnection)
}

#[tokio::test]
async fn cevt_10_a_watcher_who_moderates_sees_that_a_device_rings() {
    let seen = seen_as_bob_answers(async |bob: &mut Phone| {
        let (key, invite) = bob.incoming().await;
        bob.answer(key, &invite, 180).await;
    });

    assert_eq!(Box::pin(seen).await, (Where::Alerting, None));
}

#[tokio::test]
async fn cevt_10_a_watcher_who_moderates_sees_why_a_call_came_to_nothing() {
    for (code, how) in [
        (486, Disconnection::Busy),
        (600, Disconnection::Busy),
        (603, Disconnection::Failed),
        (480, Disconnection::Failed),
        (408, Disconnection::Failed),
    ] {
        let seen = seen_as_bob_answers(async |bob: &mut Phone| {
            let (key, invite) = bob.incoming().await;
            bob.answer(key, &invite, code).await;
        });

        assert_eq!(Box::pin(seen).await, (Where::Disconnected, Some(how)), "{code}");
    }
}

#[tokio::test]
async fn cevt_10_who_has_no_device_is_seen_as_not_reached_and_is_on_no_roster() {
    let mut world = quick().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;

    // Bob has no device, and nobody knows of the other one.
    for who in ["bob", "nobody"] {
        let refer =
            alice.request("REFER", &uri).with(Name::ReferTo, format!("<sip:{who}@{DOMAIN}>"));
        assert_eq!(alice.send(refer).await.status, Status::OK);
        let told = outcome(&mut alice).await;
        assert!(told.starts_with("SIP/2.0 4"), "{told}");
    }
    let mut seen = watch(&mut alice, &uri).await;
    seen.until(&mut alice, |info| info.users.len() == 1).await;

    assert_eq!(seen.info.users[0].entity, alice.aor.as_str());
}

#[tokio::test]
async fn s16_7_who_declines_for_good_on_one_device_is_not_called_on_the_others() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut phone = Phone::registered(&world, "bob", 1).await;
    let mut tablet = Phone::registered(&world, "bob", 2).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    invite_bob(&mut alice, &uri).await;
    let (on_phone, invite) = phone.incoming().await;
    let (on_tablet, other) = tablet.incoming().await;
    // An INVITE may be cancelled once it is answered provisionally (RFC 3261, 9.1).
    tablet.answer(on_tablet, &other, 180).await;

    phone.answer(on_phone, &invite, 603).await;

    tablet.cancelled(on_tablet).await;
    tablet.answer(on_tablet, &other, 487).await;
    assert_eq!(outcome(&mut alice).await, "SIP/2.0 603 Decline\r\n");
    assert_eq!(world.metric("mrfc_dialogs").await, 1);
}

#[tokio::test]
async fn ref_03_whoever_asked_is_told_that_it_rings_once_and_then_how_it_went() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    invite_bob(&mut alice, &uri).await;
    let (key, invite) = bob.incoming().await;
    assert_eq!(fragment(&mut alice).await, "SIP/2.0 100 Trying\r\n");

    bob.answer(key, &invite, 180).await;
    bob.answer(key, &invite, 183).await;
    bob.answer(key, &invite, 486).await;

    assert_eq!(fragment(&mut alice).await, "SIP/2.0 180 Ringing\r\n");
    assert_eq!(fragment(&mut alice).await, "SIP/2.0 486 Busy Here\r\n");
}

/// The sipfrag of the next NOTIFY.
async fn fragment(phone: &mut Phone) -> String {
    let (key, notify) = phone.incoming().await;
    assert_eq!(notify.method, Method::Notify);
    phone.answer(key, &notify, 200).await;
    String::from_utf8(notify.body.to_vec()).unwrap()
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_is_acknowledged_and_ended() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    invite_bob(&mut alice, &uri).await;

    let (key, invite) = bob.incoming().await;
    let passive = good_offer().replace("setup:active", "setup:passive");
    let response = Response::to(&invite, Status::OK)
        .with(Name::Contact, bob.contact())
        .with_body("application/sdp", passive);
    bob.sip.respond(key, response).await;

    let (key, bye) = bob.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    assert_eq!(bye.headers.reasons().unwrap()[0].cause(), Some(488));
    bob.answer(key, &bye, 200).await;
    assert_eq!(outcome(&mut alice).await, "SIP/2.0 488 Not Acceptable Here\r\n");
}

#[tokio::test]
async fn a_call_that_rings_too_long_is_cancelled() {
    let mut world =
        World::with(crate::relay::Manner::Prompt, |config| config.limits.ring_secs = 1).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    invite_bob(&mut alice, &uri).await;

    let (key, invite) = bob.incoming().await;
    bob.answer(key, &invite, 180).await;
    bob.cancelled(key).await;
    bob.answer(key, &invite, 487).await;

    assert_eq!(outcome(&mut alice).await, "SIP/2.0 487 Request Terminated\r\n");
}

#[tokio::test]
async fn a_device_that_comes_by_itself_is_not_called_any_more() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    invite_bob(&mut alice, &uri).await;
    let (called, invite) = bob.incoming().await;

    bob.invite(&uri, &good_offer()).await.ok().unwrap();

    bob.cancelled(called).await;
    // Too late: the answer to the call ends the call, not the session that bob began.
    let response = Response::to(&invite, Status::OK)
        .with(Name::Contact, bob.contact())
        .with_body("application/sdp", good_offer());
    bob.sip.respond(called, response).await;
    let (key, bye) = bob.incoming().await;
    assert_eq!(bye.headers.call_id(), invite.headers.call_id());
    bob.answer(key, &bye, 200).await;
    assert_eq!(world.metric("mrfc_dialogs").await, 2);
}

#[tokio::test]
async fn a_call_takes_the_path_of_the_registration() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::connect(&world, "bob", 1).await;
    let mut register = bob.request("REGISTER", &format!("sip:{DOMAIN}"));
    register.headers.set(Name::To, format!("<{}>", bob.aor));
    let path = "<sip:edge.example.net;lr>";
    let register = register.with(Name::Path, path).with(Name::Supported, "path");
    let response = bob.ask(register).await;
    assert_eq!(response.headers.text(&Name::Path).unwrap(), path);
    let (_talk, uri) = made(&mut world, &mut alice).await;
    invite_bob(&mut alice, &uri).await;

    let (key, invite) = bob.incoming().await;

    assert_eq!(invite.headers.text(&Name::Route).unwrap(), path);
    bob.answer(key, &invite, 486).await;
    assert_eq!(outcome(&mut alice).await, "SIP/2.0 486 Busy Here\r\n");
}
