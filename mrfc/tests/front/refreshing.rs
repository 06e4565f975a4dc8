//! Session timers (RFC 4028), UPDATE (RFC 3311), hold (RFC 3264, 8.4), in dialogs with the focus and with another person.
use control::RoomOrder;
use sip::dialog::Dialog;
use sip::endpoint::TransactionKey;
use sip::header::{Name, SessionExpires};
use sip::sdp::{Direction, Setup, parse_answer};
use sip::{Method, Request, Response, Status};

use crate::pairing::{acknowledge, call, end, pick_up, send};
use crate::phone::{Phone, Talk, conference, good_offer};
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

fn factory() -> String {
    format!("sip:conference-factory@{DOMAIN}")
}

/// Sessions that last two seconds and are refreshed each second.
async fn hasty() -> World {
    World::with(Manner::Prompt, |config| {
        config.sip.session_secs = 2;
        config.sip.session_secs_min = 1;
    })
    .await
}

/// An INVITE with more header fields, and its answer.
async fn invite(phone: &mut Phone, fields: &[(Name, &str)]) -> (Request, Response) {
    let request = phone.request("INVITE", &factory()).with_body("application/sdp", good_offer());
    let request = fields.iter().fold(request, |it, (name, value)| it.with(name.clone(), *value));
    let response = phone.send(request.clone()).await;
    (request, response)
}

async fn joined(phone: &mut Phone, fields: &[(Name, &str)]) -> Talk {
    let (request, response) = invite(phone, fields).await;
    assert_eq!(response.status, Status::OK);
    let dialog = acknowledge(phone, &request, &response, "").await;
    Talk { dialog, response }
}

/// A request in the dialog, its answer, and if it is an INVITE its ACK.
async fn again(phone: &Phone, dialog: &mut Dialog, method: Method, sdp: &str) -> Response {
    let request = dialog.request(method.clone()).unwrap().with(Name::Supported, "timer");
    let request = match sdp.is_empty() {
        true => request,
        false => request.with_body("application/sdp", sdp.to_owned()),
    };
    let number = request.headers.cseq().unwrap().number;
    let response = phone.send(request).await;
    dialog.answered(&response);
    if response.status.is_success() && method == Method::Invite {
        phone.sip.acknowledge(phone.flow, dialog.acknowledgement(number)).await;
    }
    response
}

fn expires(response: &Response) -> SessionExpires {
    response.headers.session_expires().unwrap().unwrap()
}

/// What a phone says to a refresh.
async fn take(phone: &Phone, key: TransactionKey, request: &Request, body: &str) {
    let response = Response::to(request, Status::OK)
        .with(Name::Contact, phone.contact())
        .with(Name::SessionExpires, "2;refresher=uac");
    let response = match body.is_empty() {
        true => response,
        false => response.with_body("application/sdp", body.to_owned()),
    };
    phone.sip.respond(key, response).await;
}

const TIMER: (Name, &str) = (Name::Supported, "timer");
const UPDATES: (Name, &str) = (Name::Allow, "INVITE, ACK, BYE, CANCEL, UPDATE");

/// ST-01.
#[tokio::test]
async fn r4028_9_a_brief_session_is_422_with_the_least_and_no_seat_is_asked_for() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;

    let (_, refused) = invite(&mut alice, &[TIMER, (Name::SessionExpires, "89")]).await;
    assert_eq!(refused.status, Status::SESSION_INTERVAL_TOO_SMALL);
    assert_eq!(refused.headers.min_se(), Ok(Some(90)));
    let (_, broken) = invite(&mut alice, &[TIMER, (Name::SessionExpires, "soon")]).await;
    assert_eq!(broken.status, Status::BAD_REQUEST);
    assert_eq!(world.metric("mrfc_dialogs").await, 0);

    let fields = [TIMER, (Name::SessionExpires, "300;refresher=uac")];
    let talk = joined(&mut alice, &fields).await;
    assert_eq!(expires(&talk.response).to_string(), "300;refresher=uac");
    assert!(talk.response.headers.lists(&Name::Require, "timer"));
    assert!(talk.response.headers.lists(&Name::Allow, "UPDATE"));
    assert!(talk.response.headers.lists(&Name::Supported, "timer"));
}

/// ST-01.
#[tokio::test]
async fn r4028_10_the_focus_refreshes_by_update_and_puts_out_who_does_not_answer() {
    let mut world = hasty().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let talk = joined(&mut alice, &[UPDATES]).await;
    let seat = world.relay.seat().await.seat;
    assert_eq!(expires(&talk.response).to_string(), "2;refresher=uas");

    for _ in 0..2 {
        let (key, update) = alice.incoming().await;
        assert_eq!((update.method.clone(), update.body.len()), (Method::Update, 0));
        let asked = update.headers.session_expires().unwrap().unwrap();
        assert_eq!(asked.to_string(), "2;refresher=uac");
        assert!(update.headers.contact().unwrap().params.has("isfocus"));
        take(&alice, key, &update, "").await;
    }
    let (_, update) = alice.incoming().await;
    assert_eq!(update.method, Method::Update);
    let (_, bye) = alice.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    assert_eq!(bye.headers.reasons().unwrap()[0].cause(), Some(408));
    assert_eq!(world.relay.unseated(seat).await, "no connection");
    assert_eq!(world.metric("mrfc_sessions_expired_total").await, 1);
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

#[tokio::test]
async fn r4028_10_who_takes_no_update_is_refreshed_by_the_same_offer_again() {
    let mut world = hasty().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    joined(&mut alice, &[]).await;
    let seat = world.relay.seat().await.seat;
    let mut offers = Vec::new();

    for _ in 0..2 {
        let (key, invite) = alice.incoming().await;
        assert_eq!(invite.method, Method::Invite);
        offers.push(invite.body.clone());
        take(&alice, key, &invite, &good_offer()).await;
        alice.acknowledged().await;
    }

    let media = parse_answer(&offers[0]).unwrap();
    assert_eq!((media.path, media.setup), (vec![crate::relay::path(seat)], Some(Setup::ActPass)));
    assert_eq!(offers[0], offers[1], "RFC 3264, 8: nothing has changed");
    // It says that it takes UPDATE and does not: the next refresh is an INVITE again.
    let (key, invite) = alice.incoming().await;
    let liar = Response::to(&invite, Status::OK)
        .with(Name::Contact, alice.contact())
        .with(Name::Allow, "UPDATE")
        .with_body("application/sdp", good_offer());
    alice.sip.respond(key, liar).await;
    alice.acknowledged().await;
    let (key, update) = alice.incoming().await;
    assert_eq!(update.method, Method::Update);
    alice.answer(key, &update, 405).await;
    assert_eq!(alice.incoming().await.1.method, Method::Invite);
}

#[tokio::test]
async fn r4028_7_4_the_peer_refreshes_by_update_or_by_invite_and_ends_by_silence() {
    let mut world = hasty().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let fields = [TIMER, (Name::SessionExpires, "2;refresher=uac")];
    let mut talk = joined(&mut alice, &fields).await;
    let seat = world.relay.seat().await.seat;

    for (method, sdp) in [(Method::Update, ""), (Method::Invite, good_offer().as_str())] {
        let refresh = again(&alice, &mut talk.dialog, method.clone(), sdp).await;
        assert_eq!(refresh.status, Status::OK, "{method}");
        assert!(refresh.headers.contact().unwrap().params.has("isfocus"), "{method}");
        assert_eq!(refresh.body.is_empty(), method == Method::Update);
    }
    // No word any more.
    let (_, bye) = alice.incoming().await;

    assert_eq!(bye.method, Method::Bye);
    assert_eq!(world.relay.unseated(seat).await, "no connection");
}

#[tokio::test]
async fn r4028_10_a_refresh_that_the_peer_does_not_know_of_ends_the_session() {
    let mut world = hasty().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    joined(&mut alice, &[UPDATES]).await;
    let seat = world.relay.seat().await.seat;

    let (key, update) = alice.incoming().await;
    alice.answer(key, &update, 481).await;

    let (_, bye) = alice.incoming().await;
    let why = bye.headers.reasons().unwrap();
    assert_eq!(why[0].params.text("text").unwrap(), "the peer does not know the session");
    assert_eq!(world.relay.unseated(seat).await, "no connection");
}

#[tokio::test]
async fn r3311_a_glare_and_a_busy_peer_are_asked_again() {
    let world = hasty().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let fields = [UPDATES, TIMER, (Name::SessionExpires, "2;refresher=uas")];
    joined(&mut alice, &fields).await;

    let (key, update) = alice.incoming().await;
    let busy = Response::to(&update, Status::REQUEST_PENDING);
    alice.sip.respond(key, busy).await;

    // At most 2 s later (RFC 3261, 14.1), or the session is over before.
    let (_, next) = alice.incoming().await;
    assert!(matches!(next.method, Method::Update | Method::Bye), "{}", next.method);
    assert!(next.headers.cseq().unwrap().number > update.headers.cseq().unwrap().number);
}

#[tokio::test]
async fn r4028_dial_out_asks_for_a_timer_obeys_422_once_and_refreshes() {
    let mut world = hasty().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let made = joined(&mut alice, &[UPDATES]).await;
    world.relay.seat().await;
    let uri = format!("sip:{}@{DOMAIN}", conference(&made.response));
    let refer = alice.request("REFER", &uri).with(Name::ReferTo, format!("<{}>", bob.aor));
    let refer = refer.with(Name::ReferSub, "false").with(Name::Supported, "norefersub");
    assert!(alice.send(refer).await.status.is_success());

    let (key, first) = bob.incoming().await;
    assert_eq!(first.headers.text(&Name::SessionExpires).unwrap(), "2");
    assert!(first.headers.lists(&Name::Supported, "timer"));
    let brief = Response::to(&first, Status::SESSION_INTERVAL_TOO_SMALL).with(Name::MinSe, 3);
    bob.sip.respond(key, brief).await;
    let (key, second) = bob.incoming().await;
    assert_eq!(second.headers.text(&Name::SessionExpires).unwrap(), "3");
    assert_eq!(second.body, first.body);
    let answer = Response::to(&second, Status::OK)
        .with_to_tag("bob")
        .with(Name::Contact, bob.contact())
        .with(Name::Allow, "INVITE, ACK, BYE, UPDATE")
        .with(Name::SessionExpires, "3;refresher=uac")
        .with_body("application/sdp", good_offer());
    bob.sip.respond(key, answer).await;
    bob.acknowledged().await;

    let (key, update) = bob.incoming().await;
    assert_eq!(update.method, Method::Update);
    take(&bob, key, &update, "").await;
}

#[tokio::test]
async fn r3264_8_4_a_held_participant_keeps_its_seat_gets_nothing_and_comes_back() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut talk = joined(&mut alice, &[]).await;
    let first = world.relay.seat().await;
    assert!(!first.held && !first.muted);
    let version = |response: &Response| {
        let text = String::from_utf8(response.body.to_vec()).unwrap();
        let origin = text.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
        origin.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };

    for (theirs, ours, held, muted) in [
        ("inactive", Direction::Inactive, true, true),
        ("sendonly", Direction::RecvOnly, true, false),
        ("recvonly", Direction::SendOnly, false, true),
        ("sendrecv", Direction::SendRecv, false, false),
    ] {
        let sdp = format!("{}a={theirs}\r\n", good_offer());
        let method = if theirs == "sendonly" { Method::Update } else { Method::Invite };
        let answer = again(&alice, &mut talk.dialog, method.clone(), &sdp).await;

        assert_eq!(answer.status, Status::OK, "{theirs}");
        assert_eq!(parse_answer(&answer.body).unwrap().direction, ours);
        assert_eq!(version(&answer), version(&talk.response) + 1, "{theirs}");
        let seat = world.relay.seat().await;
        assert_eq!((seat.seat, seat.held, seat.muted), (first.seat, held, muted), "{theirs}");
        // The same once more changes nothing.
        let same = again(&alice, &mut talk.dialog, method, &sdp).await;
        assert_eq!(same.body, answer.body, "{theirs}");
        talk.response = answer;
    }
}

#[tokio::test]
async fn r8122_another_certificate_is_another_seat_and_the_same_one_is_not() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut talk = joined(&mut alice, &[]).await;
    let first = world.relay.seat().await.seat;
    let print = |octet: &str| {
        format!("{}a=fingerprint:SHA-256 {}\r\n", good_offer(), [octet; 32].join(":"))
    };

    again(&alice, &mut talk.dialog, Method::Invite, &print("AB")).await;
    let second = world.relay.seat().await;
    assert_ne!(second.seat, first);
    assert_eq!(second.reach.fingerprints.len(), 1);

    let same = again(&alice, &mut talk.dialog, Method::Invite, &print("AB")).await;
    assert_eq!(parse_answer(&same.body).unwrap().path, [crate::relay::path(second.seat)]);
}

#[tokio::test]
async fn s14_2_a_re_invite_without_an_offer_gets_ours_and_the_ack_brings_the_answer() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut talk = joined(&mut alice, &[]).await;
    let seat = world.relay.seat().await.seat;

    let request = talk.dialog.request(Method::Invite).unwrap();
    let number = request.headers.cseq().unwrap().number;
    let response = alice.send(request).await;
    talk.dialog.answered(&response);
    let media = parse_answer(&response.body).unwrap();
    assert_eq!((media.path, media.setup), (vec![crate::relay::path(seat)], Some(Setup::ActPass)));

    // RFC 3311, 5.2: our offer is not answered yet.
    let crossing = again(&alice, &mut talk.dialog, Method::Update, &good_offer()).await;
    assert_eq!(crossing.status, Status::REQUEST_PENDING);
    let ack = talk.dialog.acknowledgement(number).with_body("application/sdp", good_offer());
    alice.sip.acknowledge(alice.flow, ack).await;
    assert_eq!(world.relay.seat().await.seat, seat);
    let after = again(&alice, &mut talk.dialog, Method::Update, &good_offer()).await;
    assert_eq!(after.status, Status::OK);
}

#[tokio::test]
async fn r4028_f9_each_side_of_a_session_is_refreshed_by_itself_and_who_vanished_ends_both() {
    let world = hasty().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;

    let calling = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = bob.incoming().await;
    assert_eq!(invite.headers.text(&Name::SessionExpires).unwrap(), "2");
    pick_up(&bob, key, &invite, &end("bob", "active")).await;
    let answer = calling.answer.await.unwrap();
    assert_eq!(expires(&answer).to_string(), "2;refresher=uas");
    acknowledge(&alice, &calling.request, &answer, "").await;
    bob.acknowledged().await;

    // Neither takes UPDATE: each is told once more what it was told of the other.
    let (key, refresh) = alice.incoming().await;
    assert_eq!(refresh.body, end("bob", "active"));
    take(&alice, key, &refresh, &end("alice", "actpass")).await;
    alice.acknowledged().await;
    let (_, refresh) = bob.incoming().await;
    assert_eq!(refresh.body, end("alice", "actpass"));
    // Bob says nothing.
    let mut last = bob.incoming().await.1;
    while last.method != Method::Bye {
        last = bob.incoming().await.1;
    }
    assert_eq!(last.headers.reasons().unwrap()[0].cause(), Some(408));
    let mut last = alice.incoming().await.1;
    while last.method != Method::Bye {
        last = alice.incoming().await.1;
    }
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

#[tokio::test]
async fn r3311_f9_an_update_with_an_offer_passes_and_one_without_is_answered_here() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let calling = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = bob.incoming().await;
    let mut bobs = pick_up(&bob, key, &invite, &end("bob", "active")).await;
    let answer = calling.answer.await.unwrap();
    let mut alices = acknowledge(&alice, &calling.request, &answer, "").await;
    bob.acknowledged().await;

    let refresh = again(&alice, &mut alices, Method::Update, "").await;
    assert_eq!(refresh.status, Status::OK);
    assert!(refresh.headers.has(&Name::SessionExpires) && refresh.body.is_empty());

    // Bob has not said that he takes UPDATE, and is asked by INVITE.
    let held = format!("{}a=sendonly\r\n", end("alice", "actpass"));
    let update = alices.request(Method::Update).unwrap();
    let asked = send(&alice, update.with_body("application/sdp", held.clone()));
    let (key, copy) = bob.incoming().await;
    assert_eq!((copy.method.clone(), &copy.body[..]), (Method::Invite, held.as_bytes()));
    bobs.receive(&copy).unwrap();
    let taken = Response::to(&copy, Status::OK)
        .with(Name::Contact, bob.contact())
        .with(Name::Allow, "UPDATE, INVITE")
        .with_body("application/sdp", end("bob", "passive"));
    bob.sip.respond(key, taken).await;
    bob.acknowledged().await;
    let answer = asked.answer.await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (Status::OK, end("bob", "passive").as_bytes()));

    let update = alices.request(Method::Update).unwrap();
    let asked = send(&alice, update.with_body("application/sdp", held));
    let (key, copy) = bob.incoming().await;
    assert_eq!(copy.method, Method::Update);
    bob.answer(key, &copy, 488).await;
    assert_eq!(asked.answer.await.unwrap().status, Status::NOT_ACCEPTABLE_HERE);
}

#[tokio::test]
async fn r3311_an_update_of_nobody_or_of_somebody_else_is_481() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let mut talk = joined(&mut alice, &[]).await;
    world.relay.order(|order| matches!(order, RoomOrder::Seat(_)).then_some(())).await;

    let outside = mallory.request("UPDATE", &factory());
    assert_eq!(mallory.send(outside).await.status, Status::NO_SUCH_DIALOG);
    let mut stolen = talk.dialog.request(Method::Update).unwrap();
    let tag = talk.dialog.local().tag().unwrap().to_owned();
    stolen.headers.set(Name::From, format!("<{}>;tag={tag}", mallory.aor));
    assert_eq!(mallory.send(stolen).await.status, Status::NO_SUCH_DIALOG);
}
