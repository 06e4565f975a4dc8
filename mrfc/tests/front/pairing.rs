//! Flow F9: sessions between two people (RFC 4975; 3GPP TS 24.247, A.4.3), from device to device and through a relay, and
//! what is charged for them. The relay here gives places and carries no media; with a real one it is tested in the
//! root's `tests/`.
use control::{Ending, Level, Match, RoomNotice, RoomOrder};
use ids::SeatId;
use sip::dialog::Dialog;
use sip::endpoint::TransactionKey;
use sip::header::{Name, ReasonValue};
use sip::sdp::{Setup, Through};
use sip::{Method, Request, Response, Status};

use crate::charging::{lines, told};
use crate::naming::register_flow;
use crate::phone::Phone;
use crate::relay::{Manner, path};
use crate::world::{DOMAIN, World};

/// What a device says of its end, with something that only its peer understands.
pub(crate) fn end(user: &str, setup: &str) -> String {
    format!(
        "v=0\r\no={user} 77 3 IN IP4 127.0.0.1\r\ns=-\r\ni=private\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=message 7394 TCP/TLS/MSRP *\r\na=path:msrps://127.0.0.1:7394/{user}1234;tcp\r\n\
         a=setup:{setup}\r\na=accept-types:text/plain image/*\r\na=x-theirs:{user}\r\n\
         a=fingerprint:SHA-256 {}\r\n",
        ["AB"; 32].join(":")
    )
}

/// An INVITE of one phone to a person, and how it can be told that the answer came.
pub(crate) struct Calling {
    pub(crate) request: Request,
    pub(crate) answer: tokio::task::JoinHandle<Response>,
}

pub(crate) fn call(from: &mut Phone, to: &str, body: &str) -> Calling {
    let request = from.request("INVITE", &format!("sip:{to}@{DOMAIN}"));
    let request = match body.is_empty() {
        true => request,
        false => request.with_body("application/sdp", body.to_owned()),
    };
    send(from, request)
}

pub(crate) fn send(from: &Phone, request: Request) -> Calling {
    let (sip, flow, sent) = (from.sip.clone(), from.flow, request.clone());
    Calling { request, answer: tokio::spawn(async move { sip.request(flow, sent).await.unwrap() }) }
}

/// A phone answers with its end of the session; its dialog.
pub(crate) async fn pick_up(
    phone: &Phone,
    key: TransactionKey,
    invite: &Request,
    body: &str,
) -> Dialog {
    let answer = Response::to(invite, Status::OK)
        .with_to_tag("callee")
        .with(Name::Contact, phone.contact())
        .with_body("application/sdp", body.to_owned());
    let dialog = Dialog::uas(invite, &answer).unwrap();
    phone.sip.respond(key, answer).await;
    dialog
}

pub(crate) async fn acknowledge(
    phone: &Phone,
    calling: &Request,
    answer: &Response,
    body: &str,
) -> Dialog {
    let dialog = Dialog::uac(calling, answer).unwrap();
    let ack = dialog.acknowledgement(calling.headers.cseq().unwrap().number);
    let ack = if body.is_empty() { ack } else { ack.with_body("application/sdp", body.to_owned()) };
    phone.sip.acknowledge(phone.flow, ack).await;
    dialog
}

/// Alice and bob in a session, and what each was told of the other's end.
pub(crate) async fn session(
    alice: &mut Phone,
    bob: &mut Phone,
) -> (Dialog, Dialog, String, String) {
    let callee = bob.aor.user().to_owned();
    let calling = call(alice, &callee, &end("alice", "actpass"));
    let (key, invite) = bob.incoming().await;
    let bobs = pick_up(bob, key, &invite, &end("bob", "active")).await;
    let answer = calling.answer.await.unwrap();
    assert_eq!(answer.status, Status::OK);
    let alices = acknowledge(alice, &calling.request, &answer, "").await;
    bob.acknowledged().await;
    let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    (alices, bobs, text(&invite.body), text(&answer.body))
}

async fn ended(phone: &mut Phone) -> Vec<ReasonValue> {
    let (key, bye) = phone.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    phone.answer(key, &bye, 200).await;
    bye.headers.reasons().unwrap()
}

#[tokio::test]
async fn f9_s3_34_a_session_from_device_to_device_passes_its_descriptions_untouched() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;

    let calling = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = bob.incoming().await;
    bob.answer(key, &invite, 180).await;
    let mut bobs = pick_up(&bob, key, &invite, &end("bob", "active")).await;
    let answer = calling.answer.await.unwrap();

    assert_eq!(invite.body, end("alice", "actpass"));
    assert_eq!(answer.body, end("bob", "active"));
    assert_eq!(invite.headers.from().unwrap().uri.aor().unwrap(), alice.aor);
    assert_eq!(
        invite.headers.text(&Name::PAssertedIdentity).unwrap(),
        format!("<sip:alice@{DOMAIN}>")
    );
    // Between the two stands the server: neither learns the other's Contact or Call-ID.
    assert_ne!(invite.headers.call_id().unwrap(), calling.request.headers.call_id().unwrap());
    let contact = answer.headers.contact().unwrap();
    assert_eq!(contact.uri.sip().unwrap().host(), DOMAIN);
    assert!(!contact.params.has("isfocus"));
    let mut alices = acknowledge(&alice, &calling.request, &answer, "").await;
    bob.acknowledged().await;
    assert_eq!(world.metric("mrfc_dialogs").await, 2);

    // A MESSAGE in the dialog, and a new description, pass both ways.
    let text = alices.request(Method::Message).unwrap().with_body("text/plain", "in here");
    let asked = send(&alice, text);
    let (key, copy) = bob.incoming().await;
    assert_eq!((copy.method.clone(), &copy.body[..]), (Method::Message, &b"in here"[..]));
    bob.answer(key, &copy, 200).await;
    assert_eq!(asked.answer.await.unwrap().status, Status::OK);
    let again = bobs.request(Method::Invite).unwrap();
    let asked = send(&bob, again.with_body("application/sdp", end("bob", "passive")));
    let (key, copy) = alice.incoming().await;
    assert_eq!(copy.body, end("bob", "passive"));
    let refused = Response::to(&copy, Status::NOT_ACCEPTABLE_HERE);
    alice.sip.respond(key, refused).await;
    assert_eq!(asked.answer.await.unwrap().status, Status::NOT_ACCEPTABLE_HERE);

    let bye = alices.request(Method::Bye).unwrap();
    let bye = bye.with(Name::Reason, ReasonValue::new("SIP", 200, "good night"));
    assert_eq!(alice.send(bye).await.status, Status::OK);
    assert_eq!(ended(&mut bob).await[0].params.text("text").unwrap(), "good night");
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

#[tokio::test]
async fn f9_every_device_rings_the_first_that_answers_has_it_and_the_others_stop() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut phone = Phone::registered(&world, "bob", 1).await;
    let mut tablet = Phone::registered(&world, "bob", 2).await;

    let calling = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = phone.incoming().await;
    let (other_key, other) = tablet.incoming().await;
    pick_up(&phone, key, &invite, &end("bob", "active")).await;
    let answer = calling.answer.await.unwrap();
    tablet.cancelled(other_key).await;
    // It was faster than the CANCEL: its session is ended at once.
    pick_up(&tablet, other_key, &other, &end("bob", "active")).await;

    assert_eq!(answer.status, Status::OK);
    acknowledge(&alice, &calling.request, &answer, "").await;
    phone.acknowledged().await;
    assert_eq!(ended(&mut tablet).await[0].cause(), Some(487));
}

#[tokio::test]
async fn f9_nobody_there_busy_and_given_up_are_told_as_they_are() {
    let world = World::with(Manner::Prompt, |config| config.limits.ring_secs = 1).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let absent = call(&mut alice, "carol", &end("alice", "actpass"));
    assert_eq!(absent.answer.await.unwrap().status, Status::TEMPORARILY_UNAVAILABLE);
    let mut bob = Phone::registered(&world, "bob", 1).await;

    let busy = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = bob.incoming().await;
    bob.answer(key, &invite, 486).await;
    assert_eq!(busy.answer.await.unwrap().status, Status::BUSY_HERE);

    let ignored = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = bob.incoming().await;
    bob.answer(key, &invite, 180).await;
    bob.cancelled(key).await;
    assert_eq!(ignored.answer.await.unwrap().status, Status::TEMPORARILY_UNAVAILABLE);
    bob.answer(key, &invite, 487).await;
}

#[tokio::test]
async fn f9_a_lost_connection_ends_the_session_and_nobody_else_can() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mallory = Phone::registered(&world, "mallory", 1).await;
    let (mut alices, ..) = session(&mut alice, &mut bob).await;

    let mut forged = alices.request(Method::Bye).unwrap();
    let tag = forged.headers.from().unwrap().tag().unwrap().to_owned();
    forged.headers.set(Name::From, format!("<sip:mallory@{DOMAIN}>;tag={tag}"));
    assert_eq!(mallory.send(forged).await.status, Status::NO_SUCH_DIALOG);
    alice.sip.close(alice.flow);

    assert_eq!(ended(&mut bob).await[0].cause(), Some(503));
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

#[tokio::test]
async fn f9_privacy_hides_the_caller_and_a_description_may_come_with_the_answer() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let request = alice.request("INVITE", &format!("sip:bob@{DOMAIN}"));
    let calling = send(&alice, request.with(Name::Privacy, "user;id"));

    let (key, invite) = bob.incoming().await;
    let bobs_offer = end("bob", "actpass");
    pick_up(&bob, key, &invite, &bobs_offer).await;
    let answer = calling.answer.await.unwrap();
    let wire = String::from_utf8(invite.to_bytes().to_vec()).unwrap();
    assert!(!wire.contains("alice"), "{wire}");
    assert_eq!(answer.body, bobs_offer);
    acknowledge(&alice, &calling.request, &answer, "v=0\r\nthe answer").await;

    assert_eq!(bob.acknowledged().await.body, "v=0\r\nthe answer");
}

#[tokio::test]
async fn f9_s3_36_through_a_relay_each_side_is_told_the_relays_place_for_it() {
    let mut world = World::with(Manner::Prompt, |config| {
        config.sessions.through_relay_for = vec![format!("sip:bob@{DOMAIN}")];
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;

    let (mut alices, _, offer, answer) = session(&mut alice, &mut bob).await;

    for (told, seat, setup) in
        [(&offer, SeatId(2), Setup::ActPass), (&answer, SeatId(1), Setup::Passive)]
    {
        let told_media = Through::parse(told.as_bytes()).unwrap();
        let media = told_media.media();
        assert_eq!(media.path, [path(seat)]);
        assert_eq!((media.setup, media.address.as_str()), (Some(setup), "relay.example.net"));
        assert_eq!(media.accept_types, ["text/plain", "image/*"]);
        assert!(!told.contains("127.0.0.1") && !told.contains("private"), "{told}");
        assert!(told.contains("a=x-theirs:") && told.contains("77 3 IN"), "{told}");
    }
    assert!(!offer.contains("o=alice") && !answer.contains("o=bob"));
    let room = opened(&mut world).await;
    assert_eq!((room.level, room.charge), (Level::Pair, false));
    let mut known = Vec::new();
    while known.len() < 2 {
        let seat = world.relay.seat().await;
        known.extend(seat.peer_path.map(|path| (seat.seat, path, seat.reach.fingerprints.len())));
    }
    let peer = |user: &str| format!("msrps://127.0.0.1:7394/{user}1234;tcp");
    assert_eq!(known, [(SeatId(1), peer("alice"), 1), (SeatId(2), peer("bob"), 1)]);

    let bye = alices.request(Method::Bye).unwrap();
    assert_eq!(alice.send(bye).await.status, Status::OK);
    ended(&mut bob).await;
    world.relay.order(|order| matches!(order, RoomOrder::Close { .. }).then_some(())).await;
    // Without bob the policy wants no relay.
    let (_, _, offer, _) = session(&mut alice, &mut carol).await;
    assert_eq!(offer, end("alice", "actpass"));
}

/// The room that was ordered.
async fn opened(world: &mut World) -> control::Room {
    let open = |order: &RoomOrder| match order {
        RoomOrder::Open(room) => Some(room.clone()),
        _ => None,
    };
    world.relay.order(open).await
}

#[tokio::test]
async fn f9_what_no_relay_can_serve_is_488_and_a_relay_that_loses_a_leg_ends_both() {
    let world = World::with(Manner::Prompt, |config| config.sessions.through_relay = true).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    for bad in ["v=0\r\n", &end("alice", "actpass").replace("a=path", "a=nopath")] {
        let status = call(&mut alice, "bob", bad).answer.await.unwrap().status.code();
        assert!(matches!(status, 400 | 488), "{status}");
    }
    let calling = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = bob.incoming().await;
    pick_up(&bob, key, &invite, &end("bob", "active").replace("a=path", "a=nopath")).await;
    assert_eq!(calling.answer.await.unwrap().status, Status::NOT_ACCEPTABLE_HERE);
    assert_eq!(ended(&mut bob).await[0].cause(), Some(488));

    session(&mut alice, &mut bob).await;
    let room = world.relay.last_pair();
    let lost = RoomNotice::Lost { seat: SeatId(2), cause: control::Cause::Disconnected };
    world.relay.tell(&room, lost);

    ended(&mut alice).await;
    ended(&mut bob).await;
}

#[tokio::test]
async fn f9_s3_35_each_message_is_charged_once_however_often_the_relay_tells_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("charges.jsonl");
    let charge_file = file.clone();
    let world = World::with(Manner::Prompt, |config| {
        config.sessions.charge_for = vec![String::from(DOMAIN)];
        config.sessions.charge_file = Some(charge_file);
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    session(&mut alice, &mut bob).await;
    let room = world.relay.last_pair();
    for notice in [
        told("m1", SeatId(1), "text/plain", Ending::Complete),
        told("m1", SeatId(1), "text/plain", Ending::Complete),
        told("typing", SeatId(1), "application/im-iscomposing+xml", Ending::Complete),
        told("m2", SeatId(2), "image/png", Ending::Aborted),
        told("m1", SeatId(2), "text/plain", Ending::Complete),
    ] {
        world.relay.tell(&room, notice);
    }

    let lines = lines(&file, 3).await;
    let of = |line: &serde_json::Value| {
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (
            text("message_id"),
            text("from"),
            line["charged_octets"].as_u64().unwrap(),
            line["result"].as_u64().unwrap(),
        )
    };
    let (alice, bob) = (alice.aor.to_string(), bob.aor.to_string());
    assert_eq!(
        lines.iter().map(of).collect::<Vec<_>>(),
        [
            (String::from("m1"), alice.clone(), 12, 200),
            (String::from("m2"), bob.clone(), 0, 0),
            (String::from("m1"), bob.clone(), 12, 200),
        ]
    );
    assert_eq!(lines[0]["to"][0], bob.as_str());
    assert_eq!(lines[0]["session"], room.as_str());
}

#[tokio::test]
async fn f9_ob_03_a_call_takes_the_next_flow_of_a_device_when_one_fails_and_only_then() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut first = Phone::connect(&world, "bob", 1).await;
    let mut second = Phone::connect(&world, "bob", 2).await;
    let device = first.device.to_string();
    register_flow(&mut first, &device, 1).await;
    register_flow(&mut second, &device, 2).await;

    // A device that is busy is so over every flow.
    let busy = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = second.incoming().await;
    second.answer(key, &invite, 486).await;
    assert_eq!(busy.answer.await.unwrap().status, Status::BUSY_HERE);

    let calling = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = second.incoming().await;
    second.answer(key, &invite, 430).await;
    let (key, again) = first.incoming().await;
    assert_eq!(
        (&again.body, again.uri.to_string()),
        (&invite.body, String::from("sip:bob@127.0.0.1:1;transport=tls"))
    );
    assert_eq!(again.headers.call_id().unwrap(), invite.headers.call_id().unwrap());
    let mut bobs = pick_up(&first, key, &again, &end("bob", "active")).await;
    let answer = calling.answer.await.unwrap();
    assert_eq!((answer.status, answer.body.clone()), (Status::OK, end("bob", "active").into()));
    acknowledge(&alice, &calling.request, &answer, "").await;
    first.acknowledged().await;
    assert_eq!(first.send(bobs.request(Method::Bye).unwrap()).await.status, Status::OK);
    ended(&mut alice).await;

    // A connection that ends while it rings has failed, and when no flow is left nobody is there.
    let calling = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = second.incoming().await;
    second.answer(key, &invite, 180).await;
    second.sip.close(second.flow);
    let (key, invite) = first.incoming().await;
    first.answer(key, &invite, 430).await;
    assert_eq!(calling.answer.await.unwrap().status, Status::TEMPORARILY_UNAVAILABLE);
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

#[tokio::test]
async fn f9_sips_a_call_that_was_asked_for_over_tls_goes_over_tls_or_nowhere() {
    let world = World::with(Manner::Prompt, |config| {
        config.sip.protected_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::connect_plain(&world, "bob").await;
    assert_eq!(bob.register(3_600).await.status, Status::OK);

    let request = alice.request("INVITE", &format!("sips:bob@{DOMAIN}"));
    let request = request
        .with(Name::Contact, alice.contact().replace("sip:", "sips:"))
        .with_body("application/sdp", end("alice", "actpass"));
    let refused = alice.send(request).await;

    assert_eq!(refused.status, Status::TEMPORARILY_UNAVAILABLE);
    assert!(refused.headers.text(&Name::Warning).unwrap().starts_with("380 "), "{refused:?}");
    // Asked for without it, the call goes there.
    let calling = call(&mut alice, "bob", &end("alice", "actpass"));
    let (key, invite) = bob.incoming().await;
    bob.answer(key, &invite, 486).await;
    assert_eq!(calling.answer.await.unwrap().status, Status::BUSY_HERE);
}

#[tokio::test]
async fn f9_s3_37_beside_a_session_what_is_clear_is_filtered_and_what_is_sealed_passes() {
    let world = World::with(Manner::Prompt, |config| {
        config.sessions.through_relay = true;
        config.filters = vec![toml::from_str("words = [\"lottery\"]\nstatus = 606").unwrap()];
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    // What passes the relay is not read there: the session stands whatever will be said in it.
    let (mut alices, ..) = session(&mut alice, &mut bob).await;

    let clear = alices.request(Method::Message).unwrap().with_body("text/plain", "the Lottery!");
    assert_eq!(alice.send(clear).await.status.code(), 606);
    let sealed = alices.request(Method::Message).unwrap().with_body("message/mls", "lottery");
    let asked = send(&alice, sealed);
    let (key, copy) = bob.incoming().await;
    assert_eq!(&copy.body[..], b"lottery");
    bob.answer(key, &copy, 200).await;
    assert_eq!(asked.answer.await.unwrap().status, Status::OK);
}

#[tokio::test]
async fn f9_r6714_through_a_relay_each_hop_has_a_middlebox_of_its_own_or_none() {
    let mut world =
        World::with(Manner::Prompt, |config| config.sessions.through_relay = true).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    // Somebody in front of alice has put its own address into the lines, and left the path.
    let anchored = end("alice", "actpass")
        .replace("c=IN IP4 127.0.0.1", "c=IN IP4 198.51.100.7")
        .replace("m=message 7394", "m=message 12000")
        .replace("a=setup", "a=msrp-cema\r\na=setup");

    let calling = call(&mut alice, "bob", &anchored);
    let (key, invite) = bob.incoming().await;
    let offered = Through::parse(&invite.body).unwrap();
    pick_up(&bob, key, &invite, &end("bob", "active")).await;
    let answer = calling.answer.await.unwrap();
    let answered = Through::parse(&answer.body).unwrap();
    acknowledge(&alice, &calling.request, &answer, "").await;
    bob.acknowledged().await;

    // RFC 6714, 4.2: our lines are the relay's place, as our path is, and the extension is ours to offer.
    for (told, seat, cema) in
        [(offered.media(), SeatId(2), true), (answered.media(), SeatId(1), true)]
    {
        assert_eq!((told.cema, told.path.clone()), (cema, vec![path(seat)]));
        assert_eq!((told.address.as_str(), told.port), ("relay.example.net", 2855));
    }
    let mut known = Vec::new();
    while known.len() < 2 {
        let seat = world.relay.seat().await;
        known.extend(seat.peer_path.map(|_| (seat.seat, seat.matching)));
    }
    assert_eq!(known, [(SeatId(1), Match::SessionId), (SeatId(2), Match::Strict)]);

    // Without the extension such lines are no description that can be believed (RFC 6714, 4.3).
    let changed = anchored.replace("a=msrp-cema\r\n", "");
    let refused = call(&mut alice, "bob", &changed).answer.await.unwrap();
    assert_eq!(refused.status, Status::NOT_ACCEPTABLE_HERE);
}
