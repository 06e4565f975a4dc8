//! What a conference is to whoever speaks with it (RFC 4579): it says that it is one, it does what it may for whoever may
//! ask, and refuses cleanly what it does not do.
use sip::header::{Name, NameAddr};
use sip::{Method, Request, Status};

use crate::phone::{Phone, conference, good_offer};
use crate::referring::made;
use crate::relay::Manner;
use crate::watching::subscription;
use crate::web::ask;
use crate::world::{DOMAIN, World};

#[tokio::test]
async fn conf_01_it_has_the_conference_package_and_refuses_replaces_and_join_by_their_names() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;

    let options = alice.request("OPTIONS", &uri);
    let able = alice.send(options).await;
    assert!(able.headers.lists(&Name::AllowEvents, "conference"));

    for extension in ["replaces", "join"] {
        let request = alice.request("INVITE", &uri).with(Name::Require, extension);
        let refused = alice.send(request).await;
        assert_eq!(refused.status, Status::BAD_EXTENSION);
        assert_eq!(refused.headers.text(&Name::Unsupported).unwrap(), extension);
    }
}

/// Its Contact is the conference and says that it is a focus.
fn is_focus(contact: &NameAddr, uri: &str) {
    assert!(contact.params.has("isfocus"), "{contact}");
    assert_eq!(contact.uri.aor().unwrap().as_str(), uri);
}

#[tokio::test]
async fn conf_02_every_message_of_a_dialog_says_that_this_is_a_focus_and_where_others_join() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (mut talk, uri) = made(&mut world, &mut alice).await;
    let contact = talk.response.headers.contact().unwrap();
    is_focus(&contact, &uri);

    // The Contact itself is where somebody else joins.
    let joined = bob.invite(&contact.uri.to_string(), &good_offer()).await.ok().unwrap();
    is_focus(&joined.response.headers.contact().unwrap(), &uri);
    let again = talk.dialog.request(Method::Invite).unwrap();
    let again = again.with_body("application/sdp", good_offer());
    let number = again.headers.cseq().unwrap().number;
    let renewed = alice.send(again).await;
    is_focus(&renewed.headers.contact().unwrap(), &uri);
    alice.sip.acknowledge(alice.flow, talk.dialog.acknowledgement(number)).await;
    let refer = alice.request("REFER", &uri).with(Name::ReferTo, format!("<sip:carol@{DOMAIN}>"));
    let mut carol = Phone::registered(&world, "carol", 1).await;
    for request in [subscription(&mut alice, &uri), refer, alice.request("OPTIONS", &uri)] {
        let response = alice.send(request).await;
        assert_eq!(response.status, Status::OK);
        is_focus(&response.headers.contact().unwrap(), &uri);
    }
    // CONF-03: who is called is called by the conference.
    let (key, invite) = carol.incoming().await;
    is_focus(&invite.headers.contact().unwrap(), &uri);
    assert_eq!(invite.headers.from().unwrap().uri.aor().unwrap().as_str(), uri);
    carol.answer(key, &invite, 486).await;
    let mut packages = Vec::new();
    while packages.len() < 3 {
        let (key, notify) = alice.incoming().await;
        assert_eq!(notify.method, Method::Notify);
        is_focus(&notify.headers.contact().unwrap(), &uri);
        packages.push(notify.headers.event().unwrap().package);
        alice.answer(key, &notify, 200).await;
    }
    assert!(packages.contains(&"refer".to_owned()) && packages.contains(&"conference".to_owned()));
}

/// What somebody may do: join, add, remove, watch, and look.
async fn may(phone: &mut Phone, uri: &str) -> [u16; 4] {
    let refer = |phone: &mut Phone, to: &str| -> Request {
        let request = phone.request("REFER", uri).with(Name::ReferSub, "false");
        request.with(Name::ReferTo, to)
    };
    let add = refer(phone, &format!("<sip:nobody@{DOMAIN}>"));
    let remove = refer(phone, &format!("<sip:nobody@{DOMAIN};method=BYE>"));
    let look = subscription(phone, uri).with(Name::Expires, 0);
    let join = phone.request("INVITE", uri).with_body("application/sdp", good_offer());
    let mut allowed = [0; 4];
    for (at, request) in [add, remove, look, join].into_iter().enumerate() {
        allowed[at] = phone.send(request).await.status.code();
    }
    allowed
}

#[tokio::test]
async fn conf_09_who_may_add_remove_watch_and_join_is_the_policys() {
    let quiet = |config: &mut mrfc::Config| config.conferences.notify_secs = 60;
    let mut world = World::with(Manner::Prompt, quiet).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let (talk, uri) = made(&mut world, &mut alice).await;
    bob.invite(&uri, &good_offer()).await.ok().unwrap();
    let path = format!("/v1/conferences/{}", conference(&talk.response));
    let banned = format!("{path}/banned/sip:mallory@{DOMAIN}");
    assert_eq!(ask(&world, "alice", "PUT", &banned, b"").await.status, 204);

    // Nobody of that name is on the roster, which only a moderator learns.
    assert_eq!(may(&mut alice, &uri).await, [200, 404, 200, 200]);
    assert_eq!(may(&mut bob, &uri).await, [403, 403, 200, 200]);
    assert_eq!(may(&mut mallory, &uri).await, [403, 403, 403, 403]);
    // A stranger may come in, and nothing before that.
    assert_eq!(may(&mut carol, &uri).await, [403, 403, 403, 200]);
}
