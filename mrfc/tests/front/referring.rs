//! REFER: a moderator has the focus call or remove somebody.
use bytes::Bytes;
use sip::header::{Name, SubscriptionStatus};
use sip::{Method, Request, Status};

use crate::phone::{Phone, Talk, conference, good_offer};
use crate::world::{DOMAIN, World};

/// A conference of alice's, and its URI.
pub(crate) async fn made(world: &mut World, alice: &mut Phone) -> (Talk, String) {
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let talk = alice.invite(&factory, &good_offer()).await.ok().unwrap();
    world.relay.seat().await;
    let uri = format!("sip:{}@{DOMAIN}", conference(&talk.response));
    (talk, uri)
}

fn refer(phone: &mut Phone, uri: &str, to: &str) -> Request {
    phone.request("REFER", uri).with(Name::ReferTo, to)
}

/// The next NOTIFY: whether it is the last one, and its sipfrag. It is answered.
async fn notified(phone: &mut Phone) -> (bool, Bytes) {
    let (key, notify) = phone.incoming().await;
    assert_eq!(notify.method, Method::Notify);
    assert_eq!(notify.headers.event().unwrap().package, "refer");
    phone.answer(key, &notify, 200).await;
    let state = notify.headers.subscription_state().unwrap();
    (state.status == SubscriptionStatus::Terminated, notify.body)
}

#[tokio::test]
async fn f5_a_referral_is_answered_200_and_told_by_notify() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;

    // Nobody of bob's is registered.
    let request = refer(&mut alice, &uri, &format!("<sip:bob@{DOMAIN}>"));
    assert_eq!(alice.send(request).await.status, Status::OK);

    let (over, fragment) = notified(&mut alice).await;
    assert!(!over);
    assert_eq!(fragment, "SIP/2.0 100 Trying\r\n");
    let (over, fragment) = notified(&mut alice).await;
    assert!(over);
    assert_eq!(fragment, "SIP/2.0 480 Temporarily Unavailable\r\n");
}

#[tokio::test]
async fn refer_sub_false_is_answered_and_not_notified() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (mut talk, uri) = made(&mut world, &mut alice).await;

    let quiet =
        refer(&mut alice, &uri, &format!("<sip:bob@{DOMAIN}>")).with(Name::ReferSub, "false");
    let response = alice.send(quiet).await;
    assert_eq!(response.status, Status::OK);
    assert_eq!(response.headers.text(&Name::ReferSub).unwrap(), "false");

    // Had there been a NOTIFY, it would have come before what the next REFER, in the dialog, brings.
    let loud = talk.dialog.request(Method::Refer).unwrap();
    let loud = loud.with(Name::ReferTo, format!("<sip:nobody@{DOMAIN}>"));
    assert_eq!(alice.send(loud).await.status, Status::OK);
    assert_eq!(notified(&mut alice).await.1, "SIP/2.0 100 Trying\r\n");
    assert_eq!(notified(&mut alice).await.1, "SIP/2.0 404 Not Found\r\n");
}

#[tokio::test]
async fn f8_a_kick_ends_the_seat_and_the_dialog_of_every_device() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    bob.invite(&uri, &good_offer()).await.ok().unwrap();
    let seat = world.relay.seat().await.seat;

    let kick = refer(&mut alice, &uri, &format!("<sip:bob@{DOMAIN};method=BYE>"));
    assert_eq!(alice.send(kick).await.status, Status::OK);

    assert_eq!(world.relay.unseated(seat).await, "removed by a moderator");
    let (key, bye) = bob.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    bob.answer(key, &bye, 200).await;
    assert_eq!(notified(&mut alice).await, (true, Bytes::from("SIP/2.0 200 OK\r\n")));
    let again = bob.invite(&uri, &good_offer()).await.err().unwrap();
    assert_eq!(again.status, Status::FORBIDDEN);
}

#[tokio::test]
async fn without_the_right_a_referral_is_403_and_nobody_is_called_or_removed() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;

    for to in [format!("<sip:bob@{DOMAIN}>"), format!("<sip:alice@{DOMAIN};method=BYE>")] {
        let request = refer(&mut mallory, &uri, &to);
        assert_eq!(mallory.send(request).await.status, Status::FORBIDDEN, "{to}");
    }

    assert_eq!(world.metric("mrfc_dialogs").await, 1);
}

#[tokio::test]
async fn a_referral_that_says_nothing_clear_is_refused() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    let bob = format!("<sip:bob@{DOMAIN}>");

    let nobody = alice.request("REFER", &uri);
    let two = refer(&mut alice, &uri, &bob).with(Name::ReferTo, &bob);
    let elsewhere = refer(&mut alice, &format!("sip:room7@{DOMAIN}"), &bob);

    assert_eq!(alice.send(nobody).await.status, Status::BAD_REQUEST);
    assert_eq!(alice.send(two).await.status, Status::BAD_REQUEST);
    assert_eq!(alice.send(elsewhere).await.status, Status::NOT_FOUND);
}

#[tokio::test]
async fn conf_10_who_could_not_come_in_learns_nothing_of_a_conference() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let (talk, uri) = made(&mut world, &mut alice).await;
    bob.invite(&uri, &good_offer()).await.ok().unwrap();
    let path = format!("/v1/conferences/{}", conference(&talk.response));
    let nowhere = format!("sip:nowhere@{DOMAIN}");

    // Who could come in learns what it can do, and not who is there.
    let options = mallory.request("OPTIONS", &uri);
    let open = mallory.send(options).await;
    assert_eq!(open.status, Status::OK);
    assert_eq!(conference(&open), uri[4..].split('@').next().unwrap());
    assert!(open.headers.lists(&Name::AllowEvents, "conference") && open.body.is_empty());
    let banned = format!("{path}/banned/sip:mallory@{DOMAIN}");
    let lock = br#"{"locked":true}"#;
    let settled = [
        crate::web::ask(&world, "alice", "PUT", &banned, b"").await,
        crate::web::ask_json(&world, "alice", "PATCH", &path, lock).await,
    ];
    assert_eq!(settled.map(|answer| answer.status), [204, 204]);

    let mut carol = Phone::registered(&world, "carol", 1).await;
    for phone in [&mut mallory, &mut carol] {
        let (real, unreal) = (phone.request("OPTIONS", &uri), phone.request("OPTIONS", &nowhere));
        let (real, unreal) = (phone.send(real).await, phone.send(unreal).await);
        assert_eq!(real.status, Status::NOT_FOUND);
        let names = |response: &sip::Response| {
            let names = response.headers.iter().map(|header| header.name.to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&real), names(&unreal));
    }
    let options = bob.request("OPTIONS", &uri);
    assert_eq!(bob.send(options).await.status, Status::OK);
}

#[tokio::test]
async fn ref_05_whoever_knows_a_dialog_of_a_moderator_refers_as_that_moderator() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let (talk, uri) = made(&mut world, &mut alice).await;
    let (other, _) = made(&mut world, &mut alice).await;
    let target = |talk: &Talk| {
        let id = talk.dialog.id();
        // Its tags are told as the one who is asked sees them.
        format!("{};local-tag={};remote-tag={}", id.call_id, id.remote_tag, id.local_tag)
    };
    let bob = format!("<sip:bob@{DOMAIN}>");
    let ask = |carol: &mut Phone, dialog: &str| {
        let request = refer(carol, &uri, &bob).with(Name::ReferSub, "false");
        request.with(Name::Require, "tdialog").with(Name::TargetDialog, dialog)
    };

    let turned = format!("{};remote-tag=x;local-tag=y", talk.dialog.id().call_id);
    for dialog in [turned, target(&other), String::from("c1")] {
        let request = ask(&mut carol, &dialog);
        assert_eq!(carol.send(request).await.status, Status::FORBIDDEN, "{dialog}");
    }
    let request = ask(&mut carol, &target(&talk));
    assert_eq!(carol.send(request).await.status, Status::OK);
}

#[tokio::test]
async fn ref_04_each_subscription_in_a_dialog_has_the_number_of_its_refer() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (mut talk, _uri) = made(&mut world, &mut alice).await;
    let mut numbers = Vec::new();
    for who in ["bob", "carol"] {
        let request = talk.dialog.request(Method::Refer).unwrap();
        numbers.push(request.headers.cseq().unwrap().number.to_string());
        let request = request.with(Name::ReferTo, format!("<sip:{who}@{DOMAIN}>"));
        assert_eq!(alice.send(request).await.status, Status::OK);
    }

    let mut ids = Vec::new();
    for _ in 0..4 {
        let (key, notify) = alice.incoming().await;
        alice.answer(key, &notify, 200).await;
        let id = notify.headers.event().unwrap().params.value("id").map(str::to_owned);
        ids.push(id);
    }

    for number in numbers {
        assert_eq!(ids.iter().filter(|id| id.as_ref() == Some(&number)).count(), 2, "{number}");
    }
}
