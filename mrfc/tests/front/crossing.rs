//! Requests that meet in a dialog (RFC 3261, 14 and 15; RFC 3311, 5.2): each gets its answer, and none hangs.
use sip::header::{Name, SessionExpires};
use sip::{Method, Request, Response, Status};

use crate::pairing::acknowledge;
use crate::phone::{Phone, Talk, good_offer};
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

/// A participant that takes no UPDATE.
async fn talking(world: &World, user: &str) -> (Phone, Talk) {
    let mut phone = Phone::registered(world, user, 1).await;
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let request = phone.request("INVITE", &factory).with_body("application/sdp", good_offer());
    let response = phone.send(request.clone()).await;
    let dialog = acknowledge(&phone, &request, &response, "").await;
    (phone, Talk { dialog, response })
}

async fn refreshing(secs: u32) -> World {
    World::with(Manner::Prompt, move |config| {
        config.sip.session_secs = secs;
        config.sip.session_secs_min = 1;
    })
    .await
}

fn offering(talk: &mut Talk, method: &Method, path: &str) -> Request {
    let request = match method {
        Method::Invite => talk.dialog.request(Method::Invite),
        _ => talk.dialog.request(Method::Update),
    };
    let sdp = good_offer().replace("ab12cd34", path);
    request.unwrap().with_body("application/sdp", sdp)
}

#[tokio::test]
async fn s14_2_what_crosses_a_re_invite_of_the_focus_is_491_and_a_bye_ends_it() {
    let world = refreshing(4).await;
    let (mut alice, mut talk) = talking(&world, "alice").await;
    let (key, ours) = alice.incoming().await;
    assert_eq!(ours.method, Method::Invite);

    // Alice asks while the INVITE of the focus is unanswered.
    for method in [Method::Invite, Method::Update] {
        let mut crossing = talk.dialog.clone();
        let request = match method {
            Method::Invite => crossing.request(Method::Invite).unwrap(),
            _ => crossing.update().unwrap(),
        };
        let cseq = talk.dialog.request(Method::Options).unwrap();
        let number = cseq.headers.cseq().unwrap().number;
        let mut request = request.with_body("application/sdp", good_offer());
        request.headers.set(Name::CSeq, format!("{number} {method}"));
        assert_eq!(alice.send(request).await.status, Status::REQUEST_PENDING, "{method}");
    }
    let plain = talk.dialog.request(Method::Update).unwrap();
    assert_eq!(alice.send(plain).await.status, Status::OK, "without an offer nothing crosses");

    let bye = talk.dialog.request(Method::Bye).unwrap();
    assert_eq!(alice.send(bye).await.status, Status::OK);
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
    // The answer that comes too late harms nobody.
    alice.answer(key, &ours, 487).await;
    let options = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(alice.send(options).await.status, Status::OK);
}

#[tokio::test]
async fn s14_1_the_focus_comes_again_after_a_glare_with_a_higher_number() {
    let world = refreshing(13).await;
    let (mut alice, _talk) = talking(&world, "alice").await;
    let (key, first) = alice.incoming().await;
    let crossing = Response::to(&first, Status::REQUEST_PENDING);
    alice.sip.respond(key, crossing).await;

    // It has not made the Call-ID, so it waits 2 s at most; the session lasts a little longer than that.
    let (key, second) = alice.incoming().await;

    assert_eq!((second.method.clone(), &second.body), (Method::Invite, &first.body));
    let number = |request: &Request| request.headers.cseq().unwrap().number;
    assert!(number(&second) > number(&first));
    let settled = SessionExpires { secs: 13, refresher: Some(sip::header::Refresher::Uac) };
    let answer = Response::to(&second, Status::OK)
        .with(Name::Contact, alice.contact())
        .with(Name::SessionExpires, settled)
        .with_body("application/sdp", good_offer());
    alice.sip.respond(key, answer).await;
    alice.acknowledged().await;
}

#[tokio::test]
async fn s14_2_a_second_change_before_the_first_is_answered_is_500_and_a_bye_answers_it_487() {
    let mut world = World::with(Manner::Held, |_| {}).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let request = alice.request("INVITE", &factory).with_body("application/sdp", good_offer());
    let mut exchange = alice.sip.begin(alice.flow, request.clone()).await.unwrap();
    assert_eq!(exchange.next().await.unwrap().status, Status::TRYING);
    world.relay.seat().await;
    world.relay.go();
    let response = exchange.last().await.unwrap();
    let dialog = acknowledge(&alice, &request, &response, "").await;
    let mut talk = Talk { dialog, response };

    // Another path wants another seat, for which the relay takes its time.
    let first = offering(&mut talk, &Method::Invite, "ef56gh78");
    let mut first = alice.sip.begin(alice.flow, first).await.unwrap();
    assert_eq!(first.next().await.unwrap().status, Status::TRYING);
    let second = offering(&mut talk, &Method::Update, "ij90kl12");
    let refused = alice.send(second).await;
    assert_eq!(refused.status, Status::SERVER_INTERNAL_ERROR);
    let after: u32 = refused.headers.text(&Name::RetryAfter).unwrap().parse().unwrap();
    assert!(after <= 10);

    let bye = talk.dialog.request(Method::Bye).unwrap();
    assert_eq!(alice.send(bye).await.status, Status::OK);
    assert_eq!(first.last().await.unwrap().status, Status::REQUEST_TERMINATED);
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

/// Two requests of one dialog at once, and a BYE on their heels, all in one go.
#[tokio::test]
async fn s12_2_requests_of_one_dialog_at_once_are_all_answered_and_the_bye_ends_it() {
    let world = World::start().await;
    let (alice, mut talk) = talking(&world, "alice").await;
    let requests = [Method::Message, Method::Message, Method::Options, Method::Bye];
    let mut exchanges = Vec::new();
    for method in requests {
        let request = talk.dialog.request(method.clone()).unwrap();
        let request = match method {
            Method::Message => request.with_body("message/mls", "sealed"),
            _ => request,
        };
        exchanges.push(alice.sip.begin(alice.flow, request).await.unwrap());
    }

    let mut codes = Vec::new();
    for exchange in &mut exchanges {
        codes.push(exchange.last().await.unwrap().status.code());
    }

    assert_eq!(codes, [202, 202, 200, 200]);
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}
