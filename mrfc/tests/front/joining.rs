//! INVITE in every way a client may get it right or wrong, and how dialogs end.
use sip::dialog::Dialog;
use sip::header::{CSeq, Name, ReasonValue};
use sip::sdp::{Setup, parse_answer};
use sip::{Method, Request, Response, Status};

use crate::phone::{Phone, conference, good_offer, offer};
use crate::relay::{Manner, path};
use crate::world::{DOMAIN, World};

fn factory() -> String {
    format!("sip:conference-factory@{DOMAIN}")
}

/// S3-40, S3-42.
#[tokio::test]
async fn f1_the_factory_makes_a_conference_and_answers_with_its_seat() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;

    let talk = alice.invite(&factory(), &good_offer()).await.ok().unwrap();

    let seat = world.relay.seat().await;
    let media = parse_answer(&talk.response.body).unwrap();
    assert_eq!(media.path, [path(seat.seat)]);
    assert_eq!(media.setup, Some(Setup::Passive));
    assert_eq!(seat.peer_path.as_deref(), Some("msrps://127.0.0.1:9/ab12cd34;tcp"));
    assert_eq!(seat.identities, [format!("sip:alice@{DOMAIN}")]);
    assert!(!conference(&talk.response).is_empty());
    assert!(talk.response.headers.lists(&Name::Allow, "REFER"));
}

/// S3-43.
#[tokio::test]
async fn f2_somebody_else_joins_by_the_conference_uri() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::connect(&world, "bob", 1).await;
    let made = alice.invite(&factory(), &good_offer()).await.ok().unwrap();
    let uri = format!("sip:{}@{DOMAIN}", conference(&made.response));
    world.relay.seat().await;

    // Bob is not registered: each of his requests is proven by itself.
    let joined = bob.invite(&uri, &good_offer()).await.ok().unwrap();

    assert_eq!(conference(&joined.response), conference(&made.response));
    assert_eq!(world.relay.seat().await.aor, bob.aor);
}

#[tokio::test]
async fn f7_a_bye_is_away_and_a_bye_with_the_reason_is_leaving() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let made = alice.invite(&factory(), &good_offer()).await.ok().unwrap();
    let uri = format!("sip:{}@{DOMAIN}", conference(&made.response));
    let mut joined = bob.invite(&uri, &good_offer()).await.ok().unwrap();
    let mut made = made;
    let (first, second) = (world.relay.seat().await.seat, world.relay.seat().await.seat);

    let away = made.dialog.request(Method::Bye).unwrap();
    assert_eq!(alice.send(away).await.status, Status::OK);
    let reason = ReasonValue::new("conclave", 1, "leave");
    let leave = joined.dialog.request(Method::Bye).unwrap().with(Name::Reason, reason);
    assert_eq!(bob.send(leave).await.status, Status::OK);

    assert_eq!(world.relay.unseated(first).await, "away");
    assert_eq!(world.relay.unseated(second).await, "left");
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

#[tokio::test]
async fn an_invite_without_an_offer_gets_ours_and_the_ack_brings_the_answer() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let invite = alice.request("INVITE", &factory());

    let response = alice.send(invite.clone()).await;

    assert_eq!(response.status, Status::OK);
    let seat = world.relay.seat().await;
    assert_eq!(seat.peer_path, None);
    assert_eq!(parse_answer(&response.body).unwrap().path, [path(seat.seat)]);
    let dialog = Dialog::uac(&invite, &response).unwrap();
    let number = invite.headers.cseq().unwrap().number;
    let ack = dialog.acknowledgement(number).with_body("application/sdp", good_offer());
    alice.sip.acknowledge(alice.flow, ack).await;
    let answered = world.relay.seat().await.peer_path;
    assert_eq!(answered.as_deref(), Some("msrps://127.0.0.1:9/ab12cd34;tcp"));
}

#[tokio::test]
async fn an_offer_of_ours_that_is_not_answered_in_the_ack_ends_with_bye() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let invite = alice.request("INVITE", &factory());
    let response = alice.send(invite.clone()).await;
    let dialog = Dialog::uac(&invite, &response).unwrap();

    let number = invite.headers.cseq().unwrap().number;
    alice.sip.acknowledge(alice.flow, dialog.acknowledgement(number)).await;

    let (key, bye) = alice.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    assert_eq!(bye.headers.reasons().unwrap()[0].cause(), Some(488));
    alice.answer(key, &bye, 200).await;
}

/// The refusal of an INVITE to the factory with this body.
async fn refused(alice: &mut Phone, sdp: &str) -> Response {
    match alice.invite(&factory(), sdp).await {
        Ok(_) => panic!("a seat was given for {sdp}"),
        Err(response) => response,
    }
}

/// S2-NS4, S2-OS13.
#[tokio::test]
async fn a_body_that_leads_to_no_seat_is_488_with_a_warning() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let types = "a=setup:active\r\na=accept-types:message/cpim\r\n";
    let rtp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
               m=audio 4000 RTP/AVP 0\r\n";
    let bodies = [
        ("RTP only", rtp.to_owned()),
        ("TCP/MSRP to a sealed conference", offer("TCP/MSRP", "msrp", types)),
        ("no message/cpim", offer("TCP/TLS/MSRP", "msrps", "a=accept-types:text/plain\r\n")),
        ("we are to connect", offer("TCP/TLS/MSRP", "msrps", &types.replace("active", "passive"))),
    ];
    for (what, sdp) in bodies {
        let response = refused(&mut alice, &sdp).await;

        assert_eq!(response.status, Status::NOT_ACCEPTABLE_HERE, "{what}");
        assert_eq!(response.headers.warnings().unwrap().len(), 1, "{what}");
    }
    assert_eq!(refused(&mut alice, "this is no SDP").await.status, Status::BAD_REQUEST);
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
    assert_eq!(world.metric("mrfc_sip_responses_total{code=\"488\",method=\"INVITE\"}").await, 4);
}

#[tokio::test]
async fn an_open_conference_takes_plain_tcp() {
    let world = World::with(Manner::Prompt, |config| {
        config.conferences.level = mrfc::config::Level::Open;
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let types = "a=setup:active\r\na=accept-types:message/cpim\r\n";

    let talk = alice.invite(&factory(), &offer("TCP/MSRP", "msrp", types)).await;

    assert!(talk.is_ok());
}

#[tokio::test]
async fn a_conference_nobody_made_is_404_unless_names_make_conferences() {
    let uri = format!("sip:room7@{DOMAIN}");
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let unknown = alice.invite(&uri, &good_offer()).await.err().unwrap();
    assert_eq!(unknown.status, Status::NOT_FOUND);

    let world = World::with(Manner::Prompt, |config| config.conferences.named = true).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let talk = alice.invite(&uri, &good_offer()).await.ok().unwrap();
    assert_eq!(conference(&talk.response), "room7");
}

#[tokio::test]
async fn a_cancelled_invite_is_487_and_its_seat_is_given_back() {
    let mut world = World::with(Manner::Held, |_| {}).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let request = alice.request("INVITE", &factory()).with_body("application/sdp", good_offer());
    let mut exchange = alice.sip.begin(alice.flow, request).await.unwrap();
    assert_eq!(exchange.next().await.unwrap().status, Status::TRYING);
    let seat = world.relay.seat().await.seat;

    alice.sip.cancel(exchange.key).await;

    assert_eq!(exchange.last().await.unwrap().status, Status::REQUEST_TERMINATED);
    world.relay.go();
    assert_eq!(world.relay.unseated(seat).await, "away");
}

#[tokio::test]
async fn a_device_that_disappears_while_it_joins_leaves_no_seat() {
    let mut world = World::with(Manner::Held, |_| {}).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let request = alice.request("INVITE", &factory()).with_body("application/sdp", good_offer());
    let mut exchange = alice.sip.begin(alice.flow, request).await.unwrap();
    assert_eq!(exchange.next().await.unwrap().status, Status::TRYING);
    let seat = world.relay.seat().await.seat;

    alice.sip.close(alice.flow);
    alice.closed().await;

    world.relay.go();
    assert_eq!(world.relay.unseated(seat).await, "away");
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

#[tokio::test]
async fn a_full_house_is_486_and_its_own_people_still_come_back() {
    let mut world = World::with(Manner::Prompt, |config| config.limits.participants_max = 1).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let made = alice.invite(&factory(), &good_offer()).await.ok().unwrap();
    let uri = format!("sip:{}@{DOMAIN}", conference(&made.response));
    let first = world.relay.seat().await.seat;

    let full = bob.invite(&uri, &good_offer()).await.err().unwrap();
    assert_eq!(full.status, Status::BUSY_HERE);

    // The same device again takes its own place; the dialog of the former seat is ended.
    alice.invite(&uri, &good_offer()).await.ok().unwrap();
    assert_ne!(world.relay.seat().await.seat, first);
    let (key, bye) = alice.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    assert_eq!(bye.headers.call_id().unwrap(), made.dialog.id().call_id.as_ref());
    alice.answer(key, &bye, 200).await;
}

#[tokio::test]
async fn a_silent_relay_is_a_504_and_holds_up_nobody_else() {
    let world = World::with(Manner::Silent, |_| {}).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let request = alice.request("INVITE", &factory()).with_body("application/sdp", good_offer());
    let mut exchange = alice.sip.begin(alice.flow, request).await.unwrap();
    assert_eq!(exchange.next().await.unwrap().status, Status::TRYING);

    let options = alice.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(alice.send(options).await.status, Status::OK);

    assert_eq!(exchange.last().await.unwrap().status, Status::SERVER_TIMEOUT);
}

#[tokio::test]
async fn a_re_invite_with_the_same_path_keeps_the_seat_and_another_path_is_another_seat() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut talk = alice.invite(&factory(), &good_offer()).await.ok().unwrap();
    let first = world.relay.seat().await.seat;

    let same = renew(&alice, &mut talk.dialog, &good_offer()).await;
    assert_eq!(same.body, talk.response.body);

    let moved = good_offer().replace("ab12cd34", "ef56gh78");
    let other = renew(&alice, &mut talk.dialog, &moved).await;
    let second = world.relay.seat().await;
    assert_ne!(second.seat, first);
    assert!(second.peer_path.is_some_and(|path| path.contains("ef56gh78")));
    assert_eq!(parse_answer(&other.body).unwrap().path, [path(second.seat)]);
    assert_eq!(world.metric("mrfc_dialogs").await, 1);
}

/// A re-INVITE and its ACK.
async fn renew(phone: &Phone, dialog: &mut Dialog, sdp: &str) -> Response {
    let request = dialog.request(Method::Invite).unwrap();
    let request = request.with_body("application/sdp", sdp.to_owned());
    let number = request.headers.cseq().unwrap().number;
    let response = phone.send(request).await;
    assert_eq!(response.status, Status::OK);
    assert!(response.headers.contact().unwrap().params.has("isfocus"));
    dialog.answered(&response);
    phone.sip.acknowledge(phone.flow, dialog.acknowledgement(number)).await;
    response
}

#[tokio::test]
async fn somebody_elses_dialog_is_481_and_goes_on() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mallory = Phone::registered(&world, "mallory", 1).await;
    let mut talk = alice.invite(&factory(), &good_offer()).await.ok().unwrap();

    // Mallory knows every tag of the dialog, and her own name.
    let mut stolen = talk.dialog.request(Method::Bye).unwrap();
    let tag = talk.dialog.local().tag().unwrap().to_owned();
    stolen.headers.set(Name::From, format!("<{}>;tag={tag}", mallory.aor));
    stolen.headers.set(Name::CSeq, CSeq { number: 77, method: Method::Bye }.to_string());

    assert_eq!(mallory.send(stolen).await.status, Status::NO_SUCH_DIALOG);
    assert_eq!(world.metric("mrfc_dialogs").await, 1);
    let own = talk.dialog.request(Method::Bye).unwrap();
    assert_eq!(alice.send(own).await.status, Status::OK);
}

#[tokio::test]
async fn a_request_in_a_dialog_that_never_was_is_481() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bye: Request = alice.request("BYE", &format!("sip:room7@{DOMAIN}"));
    bye.headers.set(Name::To, format!("<sip:room7@{DOMAIN}>;tag=nobody"));

    assert_eq!(alice.send(bye).await.status, Status::NO_SUCH_DIALOG);
}
